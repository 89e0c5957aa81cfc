/* bft_disk.h: what a simulated replica finds again after its machine has stopped.
 *
 * Two logs, each synced by itself: the journal of BFT_PERSIST records, and the committed ledger of
 * the application with the state at each batch (a checkpoint and a replay would give the same
 * state). What is appended after a sync may be lost when the machine stops: any suffix of it, for a
 * log cuts itself at the first record that is torn.
 *
 * Not modelled: records that change on the disk (store/seglog.h finds and refuses them), an
 * application's state that lags behind its ledger. */
#ifndef WM_TEST_SIM_BFT_DISK_H
#define WM_TEST_SIM_BFT_DISK_H

#include "bft/bft.h"
#include "sim/bft_app.h"

#define STORED_PARTS 5u

struct stored { /* a committed batch */
    uint64_t cfg, view;
    struct bytes *parts[STORED_PARTS]; /* in the order of struct bft_entries; NULL: empty */
    bool pruned;                       /* the parts are not here any more */
    struct bft_head head;              /* of the ledger with it */
    struct app_state state;
};

struct disk {
    /* Records from number journal_first on; synced: how many of all are durable. */
    struct bytes **records;
    uint64_t journal_first, journal_end, journal_synced;
    uint64_t records_room;
    /* The ledger: `begin` (genesis, or an installed checkpoint), then batches. */
    struct bft_head begin_head;
    struct app_state begin_state;
    struct stored **batches;
    uint64_t ledger_end, ledger_synced; /* seqnos */
    uint64_t batches_room;
    /* Records that replace all before them, once both logs are durable up to there. */
    bool replacing;
    uint64_t replaced_below, replaced_until, replaced_seqno;
};

void disk_init(struct disk *disk, const struct bft_head *head, const struct app_state *state);
void disk_fini(struct disk *disk);
/* A copy of what is durable. */
void disk_copy(const struct disk *disk, struct disk *out);

void disk_journal_add(struct disk *disk, struct wm_view record);
/* Some old records that are replaced by now are removed. Returns how many. */
uint64_t disk_journal_trim(struct disk *disk, struct draw *draw);

void disk_ledger_add(struct disk *disk, const struct app_commit *commit);
/* NULL: `begin`, or not there. */
const struct stored *disk_stored(const struct disk *disk, uint64_t seqno);
bool disk_read(const struct disk *disk, uint64_t seqno,
               void (*take)(void *, const struct bft_entries *), void *taker);
/* Forgets the entries of batches below seqno. */
void disk_ledger_prune(struct disk *disk, uint64_t seqno);
/* The smallest seqno from which on all entries are here. */
uint64_t disk_ledger_first(const struct disk *disk);
/* The ledger begins where this one does now. All of it is durable. */
void disk_install(struct disk *disk, const struct disk *from, uint64_t seqno);

/* The ledger's durable end. */
void disk_end(const struct disk *disk, struct bft_head *head, struct app_state *state);

/* The machine stops. */
void disk_crash(struct disk *disk, struct draw *draw);

#endif
