/* records.h: the node's records of its calls: kept, signed second by second, proved on request.
 *
 * records_add encodes a call's record and appends it to the present second: no lock, no hash, no
 * disk. When a second is over, records_turn closes it and says so; records_seal, in some other
 * thread, then hashes its records into a tree, signs the root, and writes records and root in one
 * commit (doc/format/record.md). From then on records_receipt gives the receipt of each.
 *
 *     loop, per call:     records_add(records, &call, now_ns, &second, &index)
 *     loop, by a timer:   if (records_turn(records, now_ns)) queue { records_seal } to a worker
 *     loop, after that:   whoever waits for a second <= records_sealed(records) can have receipts
 *
 * Each root names the one before, over restarts; each start that seals anything counts up the run.
 * What a crash can lose is what was not yet sealed: the records of the last second, of those that
 * records_seal had not finished, and nothing else; the next root's run number shows that there was
 * a crash. Calls whose record found no room (config.pending_bytes_max, when the disk cannot keep
 * up) are counted in the root: lost, but not in silence.
 *
 * Time: `now_ns` is the wall clock's. A second is named after the clock when it began, but never
 * the same or lower than the one before: where the clock is set back, numbers go on upwards, one
 * at a time, until the clock has caught up.
 *
 * Memory: some 70 KiB for a second with few calls; 350 bytes a call and, sealed, 64 more for its
 * tree; sealed seconds stay in memory up to recent_bytes_max and are read and hashed again after.
 *
 * Threads: records_add and records_turn on one thread, the loop's. Everything else on any. */
#ifndef WM_NODE_RECORDS_H
#define WM_NODE_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "crypto/sign.h"
#include "faaslet/call.h"
#include "store/kv.h"
#include "wire/record.h"

struct records;

struct records_config {         /* 0: the default in [] */
    struct kv *kv;              /* tables: records, records_meta, roots; borrowed */
    const struct sign_key *key; /* borrowed */
    const char *node;           /* this node's name; copied */
    uint64_t keep_s;            /* records, after their second [7 days] */
    uint64_t keep_bytes;        /* of records on disk, the oldest go first [4 GiB] */
    uint64_t keep_roots_s;      /* roots, some 300 bytes for a second with calls [90 days] */
    uint64_t pending_bytes_max; /* in memory, not sealed [256 MiB] */
    uint64_t recent_bytes_max;  /* in memory, sealed [64 MiB] */
};

/* Goes on with the chain that the store holds. WM_E_FORGED, WM_E_MALFORMED: its last root is
 * damaged. */
WM_MUST_CHECK int records_open(const struct records_config *config, struct records **out,
                               struct wm_diag *diag);
/* Seals what is there and frees. On an error those records are lost; the rest is closed all the
 * same. */
int records_close(struct records *records, struct wm_diag *diag);

struct records_call { /* all borrowed */
    uint64_t id;
    const char *tenant, *function;
    uint32_t version;
    const uint8_t *module_sha256;
    const uint8_t *image_sha256; /* NULL: it did not start from a Proto-Faaslet */
    const uint8_t *input_sha256;
    const uint8_t *output_sha256; /* NULL: it ended without an output */
    enum call_end end;
    int32_t return_code;
    bool cold;
    uint64_t start_ns; /* of the wall clock */
    uint64_t input_bytes, output_bytes;
    struct call_usage usage;
};

/* Where the record is: its second, and its index there. -ENOMEM or WM_E_LIMIT: there was no room;
 * the call is counted as lost. WM_E_USAGE: a name is empty or too long; nothing is counted. */
WM_MUST_CHECK int records_add(struct records *records, const struct records_call *call,
                              int64_t now_ns, uint64_t *second, uint32_t *index);
/* Closes the present second when it is over. True: there are closed seconds, call records_seal. */
bool records_turn(struct records *records, int64_t now_ns);

/* Seals all closed seconds, in their order; prunes some of what is too old. After an error the
 * second that it struck, and those behind it, stay closed, and the next call tries again. */
WM_MUST_CHECK int records_seal(struct records *records, struct wm_diag *diag);
/* The last sealed second; 0: none yet. */
uint64_t records_sealed(const struct records *records);

/* The receipt of one record, RECEIPT_BYTES_MAX of room. WM_E_BUSY: not sealed yet; WM_E_NOT_FOUND:
 * no such record, or pruned. Of a second that is no longer in memory the first one reads and hashes
 * all of its records (some 0.4 us each): not on the loop's thread. The next ones of that second, as
 * long as no other is asked for, cost as little as from memory. */
WM_MUST_CHECK int records_receipt(struct records *records, uint64_t second, uint32_t index,
                                  uint8_t out[RECEIPT_BYTES_MAX], size_t *len,
                                  struct wm_diag *diag);
/* Signed roots (signed_root_verify reads them) of seconds >= from, in order, until emit returns
 * false. */
typedef bool records_emit_root(void *self, uint64_t second, struct wm_view signed_root);
WM_MUST_CHECK int records_roots(struct records *records, uint64_t from, records_emit_root *emit,
                                void *self, struct wm_diag *diag);
/* Encoded records of sealed seconds from..to, both included, in order, until emit returns false. */
typedef bool records_emit(void *self, uint64_t second, uint32_t index, struct wm_view record);
WM_MUST_CHECK int records_scan(struct records *records, uint64_t from, uint64_t to,
                               records_emit *emit, void *self, struct wm_diag *diag);

struct records_stats {
    uint64_t added, lost;                            /* calls */
    uint64_t seconds_sealed, seal_failures, seal_ns; /* ns: of all, in the sealing thread */
    uint64_t pending_bytes, recent_bytes;            /* memory */
    uint64_t kept_bytes, pruned_bytes;               /* disk */
    uint64_t receipts;
    uint64_t run, sequence; /* of the next root */
};
void records_stats(struct records *records, struct records_stats *out);

#endif
