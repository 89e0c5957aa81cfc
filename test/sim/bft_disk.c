#include "sim/bft_disk.h"

#include "base/assert.h"

static void stored_free(struct stored *stored)
{
    for (uint32_t i = 0; i < STORED_PARTS; i++) {
        bytes_drop(stored->parts[i]);
    }
    free(stored);
}

void disk_init(struct disk *disk, const struct bft_head *head, const struct app_state *state)
{
    memset(disk, 0, sizeof *disk);
    disk->begin_head = *head;
    disk->begin_state = *state;
    disk->ledger_end = disk->ledger_synced = head->seqno;
}

static void cut_journal(struct disk *disk, uint64_t end)
{
    while (disk->journal_end > end) {
        disk->journal_end--;
        bytes_drop(disk->records[disk->journal_end - disk->journal_first]);
    }
}

static void cut_ledger(struct disk *disk, uint64_t end)
{
    while (disk->ledger_end > end) {
        stored_free(disk->batches[disk->ledger_end - disk->begin_head.seqno - 1]);
        disk->ledger_end--;
    }
}

void disk_fini(struct disk *disk)
{
    cut_journal(disk, disk->journal_first);
    cut_ledger(disk, disk->begin_head.seqno);
    free(disk->records);
    free(disk->batches);
    memset(disk, 0, sizeof *disk);
}

static struct stored *stored_copy(const struct stored *stored)
{
    struct stored *copy = sim_alloc(1, sizeof *copy);
    *copy = *stored;
    for (uint32_t i = 0; i < STORED_PARTS; i++) {
        bytes_get(copy->parts[i]);
    }
    return copy;
}

static void batches_push(struct disk *disk, struct stored *stored)
{
    uint64_t count = disk->ledger_end - disk->begin_head.seqno;
    if (count == disk->batches_room) {
        disk->batches_room = disk->batches_room ? 2 * disk->batches_room : 32;
        disk->batches = sim_grow(disk->batches, disk->batches_room, sizeof *disk->batches);
    }
    disk->batches[count] = stored;
    disk->ledger_end++;
    WM_ASSERT(stored->head.seqno == disk->ledger_end);
}

static void records_push(struct disk *disk, struct bytes *record)
{
    uint64_t count = disk->journal_end - disk->journal_first;
    if (count == disk->records_room) {
        disk->records_room = disk->records_room ? 2 * disk->records_room : 64;
        disk->records = sim_grow(disk->records, disk->records_room, sizeof *disk->records);
    }
    disk->records[count] = record;
    disk->journal_end++;
}

void disk_copy(const struct disk *disk, struct disk *out)
{
    disk_init(out, &disk->begin_head, &disk->begin_state);
    out->journal_first = out->journal_end = disk->journal_first;
    for (uint64_t i = disk->journal_first; i < disk->journal_synced; i++) {
        records_push(out, bytes_get(disk->records[i - disk->journal_first]));
    }
    for (uint64_t i = disk->begin_head.seqno + 1; i <= disk->ledger_synced; i++) {
        batches_push(out, stored_copy(disk->batches[i - disk->begin_head.seqno - 1]));
    }
    out->journal_synced = out->journal_end;
    out->ledger_synced = out->ledger_end;
}

void disk_journal_add(struct disk *disk, struct wm_view record)
{
    records_push(disk, bytes_new(record));
}

uint64_t disk_journal_trim(struct disk *disk, struct draw *draw)
{
    if (!disk->replacing || disk->journal_synced < disk->replaced_until ||
        disk->ledger_synced < disk->replaced_seqno) {
        return 0;
    }
    disk->replacing = false;
    /* Whole segments go, so that some that could go stay. */
    uint64_t count = disk->replaced_below - disk->journal_first;
    count = draw_coin(draw) ? count : draw_below(draw, count + 1);
    for (uint64_t i = 0; i < count; i++) {
        bytes_drop(disk->records[i]);
    }
    disk->journal_first += count;
    memmove(disk->records, disk->records + count,
            (disk->journal_end - disk->journal_first) * sizeof *disk->records);
    return count;
}

static struct bytes *part_of(struct wm_view view)
{
    return view.len ? bytes_new(view) : NULL;
}

void disk_ledger_add(struct disk *disk, const struct app_commit *commit)
{
    const struct bft_entries *entries = commit->entries;
    struct stored *stored = sim_alloc(1, sizeof *stored);
    stored->cfg = entries->cfg;
    stored->view = entries->view;
    stored->parts[0] = part_of(entries->view_changes);
    stored->parts[1] = part_of(entries->new_view);
    stored->parts[2] = part_of(entries->evidence);
    stored->parts[3] = part_of(entries->preprepare);
    stored->parts[4] = part_of(entries->transactions);
    stored->head = *commit->head;
    stored->state = *commit->state;
    batches_push(disk, stored);
}

const struct stored *disk_stored(const struct disk *disk, uint64_t seqno)
{
    if (seqno <= disk->begin_head.seqno || seqno > disk->ledger_end) {
        return NULL;
    }
    return disk->batches[seqno - disk->begin_head.seqno - 1];
}

bool disk_read(const struct disk *disk, uint64_t seqno,
               void (*take)(void *, const struct bft_entries *), void *taker)
{
    const struct stored *stored = disk_stored(disk, seqno);
    if (!stored || stored->pruned) {
        return false;
    }
    struct bft_entries entries = {.seqno = seqno,
                                  .cfg = stored->cfg,
                                  .view = stored->view,
                                  .view_changes = bytes_view(stored->parts[0]),
                                  .new_view = bytes_view(stored->parts[1]),
                                  .evidence = bytes_view(stored->parts[2]),
                                  .preprepare = bytes_view(stored->parts[3]),
                                  .transactions = bytes_view(stored->parts[4])};
    take(taker, &entries);
    return true;
}

void disk_ledger_prune(struct disk *disk, uint64_t seqno)
{
    for (uint64_t i = disk->begin_head.seqno + 1; i < seqno && i <= disk->ledger_end; i++) {
        struct stored *stored = disk->batches[i - disk->begin_head.seqno - 1];
        for (uint32_t k = 0; k < STORED_PARTS; k++) {
            bytes_drop(stored->parts[k]);
            stored->parts[k] = NULL;
        }
        stored->pruned = true;
    }
}

uint64_t disk_ledger_first(const struct disk *disk)
{
    uint64_t first = disk->ledger_end + 1;
    while (first > disk->begin_head.seqno + 1 && !disk_stored(disk, first - 1)->pruned) {
        first--;
    }
    return first;
}

void disk_install(struct disk *disk, const struct disk *from, uint64_t seqno)
{
    const struct stored *stored = disk_stored(from, seqno);
    WM_ASSERT(stored && !stored->pruned);
    cut_ledger(disk, disk->begin_head.seqno);
    /* The last 2P batches come with a checkpoint: what is below the first of them is its base. */
    uint64_t first = disk_ledger_first(from);
    uint64_t wanted = seqno > 2 * LEDGER_PIPELINE_MAX ? seqno - 2 * LEDGER_PIPELINE_MAX + 1 : 1;
    first = wanted > first ? wanted : first;
    const struct stored *below = disk_stored(from, first - 1);
    disk->begin_head = below ? below->head : from->begin_head;
    disk->begin_state = below ? below->state : from->begin_state;
    disk->ledger_end = disk->begin_head.seqno;
    for (uint64_t i = first; i <= seqno; i++) {
        batches_push(disk, stored_copy(disk_stored(from, i)));
    }
    disk->ledger_synced = disk->ledger_end;
}

void disk_end(const struct disk *disk, struct bft_head *head, struct app_state *state)
{
    const struct stored *newest = disk_stored(disk, disk->ledger_synced);
    *head = newest ? newest->head : disk->begin_head;
    *state = newest ? newest->state : disk->begin_state;
}

void disk_crash(struct disk *disk, struct draw *draw)
{
    cut_journal(disk, draw_between(draw, disk->journal_synced, disk->journal_end));
    cut_ledger(disk, draw_between(draw, disk->ledger_synced, disk->ledger_end));
    disk->journal_synced = disk->journal_end;
    disk->ledger_synced = disk->ledger_end;
    disk->replacing = false;
}
