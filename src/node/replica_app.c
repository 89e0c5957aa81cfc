/* Execution and agreement joined to disk and network. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "ledger/entries_replay.h"
#include "node/replica_internal.h"

#define TICKS_AT_ONCE 64u

static const struct bft_timing TIMING = {
    .batch_ns = 1000000u,
    .request_ns = 2000000000u,
    .view_ns = 2000000000u,
    .fetch_ns = 200000000u,
    .status_ns = 250000000u,
};

/* --- What the executor calls --- */

static void on_committed(void *self, const struct bft_entries *entries)
{
    struct replica *replica = self;
    if (replica->restoring) {
        return; /* it comes from the log */
    }
    replica_disk_entries(replica, entries);
    const struct configuration *configuration =
        executor_configuration(replica->executor, entries->cfg);
    if (entries->seqno % configuration->parameters.checkpoint_interval == 0) {
        replica_disk_checkpoint(replica);
    }
}

static bool on_read(void *self, uint64_t seqno, void (*take)(void *, const struct bft_entries *),
                    void *taker)
{
    struct replica *replica = self;
    struct bft_entries entries;
    struct wm_arena arena;
    wm_arena_init(&arena, 0);
    int rc = replica_entries(replica, seqno, &arena, &entries, NULL);
    if (rc == 0) {
        take(taker, &entries);
    }
    wm_arena_fini(&arena);
    return rc == 0;
}

/* --- Effects --- */

void replica_let_go(struct replica *replica, const struct replica_held *held)
{
    struct wm_view bytes = wm_view_of(held->bytes, held->len);
    if (held->kind == BFT_SEND) {
        replica_peers_send(replica, held->to, bytes);
    } else if (held->kind == BFT_BROADCAST) {
        replica_peers_broadcast(replica, bytes);
    } else if (held->kind == BFT_REPLY) {
        replica_clients_reply(replica, held->view, held->seqno);
    } else {
        WM_ASSERT(held->kind == BFT_COMMITTED);
        replica_clients_committed(replica, held->seqno);
    }
}

static void apply(struct replica *replica, const struct bft_effect *effect)
{
    struct wm_diag diag = WM_DIAG_INIT;
    switch (effect->kind) {
    case BFT_PERSIST: replica_disk_persist(replica, effect->bytes); break;
    case BFT_SEND:
        if (effect->after_sync) {
            replica_disk_hold(replica, effect);
        } else {
            replica_peers_send(replica, effect->to, effect->bytes);
        }
        break;
    case BFT_BROADCAST:
        if (effect->after_sync) {
            replica_disk_hold(replica, effect);
        } else {
            replica_peers_broadcast(replica, effect->bytes);
        }
        break;
    case BFT_REPLY:
    case BFT_COMMITTED: /* clients are to have our share before they are forgotten */
        replica_disk_hold(replica, effect);
        break;
    case BFT_VIEW: replica_log_line(replica, "view %llu", (unsigned long long)effect->view); break;
    case BFT_ALARM: replica_folder_evidence(replica, effect->blame, effect->bytes); break;
    case BFT_BEHIND:
        diag = (struct wm_diag)WM_DIAG_INIT;
        (void)wm_diag_set(&diag, WM_E_STALE,
                          "%s: the other replicas have removed what follows batch %llu; put the "
                          "folder of a replica's checkpoint %llu here",
                          replica->folder.path,
                          (unsigned long long)replica_index_seqno(&replica->index),
                          (unsigned long long)effect->seqno);
        replica_fail(replica, WM_E_STALE, &diag);
        break;
    case BFT_HALT:
        (void)bft_halted(replica->bft, &diag);
        replica_fail(replica, bft_halted(replica->bft, NULL), &diag);
        break;
    }
}

void replica_step(struct replica *replica, const struct bft_event *event)
{
    if (replica->code != 0) {
        return;
    }
    bft_step(replica->bft, uv_hrtime(), event, &replica->effects);
    for (uint32_t i = 0; i < replica->effects.count && replica->code == 0; i++) {
        apply(replica, &replica->effects.items[i]);
    }
    bft_effects_clear(&replica->effects);
}

/* --- Time --- */

static void on_timer(uv_timer_t *timer)
{
    (void)timer; /* the turn's end does what is due */
}

static void show_figures(struct replica *replica)
{
    struct bft_status status;
    struct replica_figures *figures = &replica->figures;
    bft_status(replica->bft, &status);
    atomic_store_explicit(&figures->committed, status.committed_seqno, memory_order_relaxed);
    atomic_store_explicit(&figures->transactions, replica->index.next_index - 1,
                          memory_order_relaxed);
    atomic_store_explicit(&figures->view, status.view, memory_order_relaxed);
    atomic_store_explicit(&figures->mode, status.mode, memory_order_relaxed);
    atomic_store_explicit(&figures->head, status.head_seqno, memory_order_relaxed);
    atomic_store_explicit(&figures->pool, status.pool_requests, memory_order_relaxed);
}

void replica_app_turn(struct replica *replica)
{
    uint64_t deadline_ns = bft_deadline_ns(replica->bft), now_ns = uv_hrtime();
    for (uint32_t i = 0; i < TICKS_AT_ONCE && deadline_ns <= now_ns && replica->code == 0; i++) {
        replica_step(replica, &(struct bft_event){.kind = BFT_EVENT_TICK});
        deadline_ns = bft_deadline_ns(replica->bft);
        now_ns = uv_hrtime();
    }
    show_figures(replica);
    if (deadline_ns == UINT64_MAX) {
        (void)uv_timer_stop(&replica->timer);
        return;
    }
    uint64_t in_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    uv_update_time(&replica->loop);
    (void)uv_timer_start(&replica->timer, on_timer, (in_ns + 999999u) / 1000000u, 0);
}

/* --- Starting --- */

static int replay(struct replica *replica, struct wm_diag *diag)
{
    const struct bft_head *head = executor_head(replica->executor);
    uint64_t end = replica_index_seqno(&replica->index), from = head->seqno;
    struct entries_replay *replay;
    int rc = entries_replay_new(replica->executor, true, &replay);
    if (rc != 0) {
        return wm_diag_default(diag, rc, "ledger");
    }
    uint64_t seqno = from > 2 * LEDGER_PIPELINE_MAX ? from - 2 * LEDGER_PIPELINE_MAX : 0;
    while (rc == 0 && seqno++ < end) {
        struct bft_entries entries;
        struct wm_arena arena;
        wm_arena_init(&arena, 0);
        rc = replica_entries(replica, seqno, &arena, &entries, diag);
        if (rc == 0) {
            rc = seqno <= from ? entries_replay_before(replay, &entries, diag)
                               : entries_replay_step(replay, &entries, NULL, diag);
        }
        wm_arena_fini(&arena);
    }
    entries_replay_free(replay);
    if (rc != 0) {
        wm_diag_prefix(diag, "%s/ledger", replica->folder.path);
    }
    return rc;
}

static int open_executor(struct replica *replica, struct wm_diag *diag)
{
    struct executor_config config = {
        .procedures = &replica->procedures,
        .state_bytes_max = replica->folder.state_bytes_max,
        .keep = REPLICA_KEEP,
        .self = replica,
        .committed = on_committed,
        .read = on_read,
    };
    table_init(&replica->table, NULL);
    replica->procedures = table_procedures(&replica->table);
    int rc = replica_disk_restore(replica, &config, &replica->executor, diag);
    if (rc == WM_E_NOT_FOUND) {
        struct wm_view genesis = wm_view_of(replica->folder.genesis, replica->folder.genesis_len);
        rc = executor_new(&config, genesis, &replica->executor, diag);
    }
    return rc;
}

static int read_journal(struct replica *replica, struct wm_diag *diag)
{
    struct replica_log *journal = &replica->disk.journal;
    for (uint64_t at = journal->first; at < journal->next && replica->code == 0; at++) {
        struct bft_event event = {.kind = BFT_EVENT_RECORD};
        uint8_t kind;
        int rc = seglog_read(journal->log, at, &kind, &event.bytes, diag);
        if (rc != 0) {
            wm_diag_prefix(diag, "%s/journal", replica->folder.path);
            return rc;
        }
        replica_step(replica, &event);
    }
    return replica->code ? wm_diag_set(diag, replica->code, "%s", wm_diag_text(&replica->why)) : 0;
}

int replica_app_open(struct replica *replica, struct wm_diag *diag)
{
    bft_effects_init(&replica->effects);
    replica_index_init(&replica->index);
    replica->restoring = true;
    int rc = replica_index_load(replica, diag);
    rc = rc ? rc : open_executor(replica, diag);
    rc = rc ? rc : replay(replica, diag);
    replica->restoring = false;
    if (rc != 0) {
        return rc;
    }
    struct bft_config config = {
        .replica = replica->folder.id,
        .key = &replica->folder.key,
        .timing = TIMING,
        .limits = replica->folder.limits,
        .app = executor_app(replica->executor),
        .head = *executor_head(replica->executor),
    };
    memcpy(config.service, executor_service(replica->executor), sizeof config.service);
    memcpy(config.nonce_secret, replica->folder.nonce_secret, sizeof config.nonce_secret);
    rc = bft_new(&config, uv_hrtime(), &replica->bft, diag);
    sign_wipe(config.nonce_secret, sizeof config.nonce_secret);
    rc = rc ? rc : read_journal(replica, diag);
    if (rc == 0 && replica->disk.checkpoint_seqno > 0) {
        bft_set_checkpoint(replica->bft, replica->disk.checkpoint_seqno);
    }
    return rc;
}

void replica_app_close(struct replica *replica)
{
    bft_free(replica->bft);
    if (replica->executor) {
        executor_free(replica->executor);
    }
    bft_effects_fini(&replica->effects);
    replica_index_fini(&replica->index);
}
