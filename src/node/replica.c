/* A replica's life: its loop, its thread, its end. */
#include "node/replica.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "node/replica_internal.h"

#define TICK_MS 50u /* dialling, new configurations, followers */

void replica_log_line(struct replica *replica, const char *format, ...)
{
    char line[512];
    va_list args;
    if (!replica->config.log) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    replica->config.log(replica->config.log_self, line);
}

void replica_fail(struct replica *replica, int code, const struct wm_diag *why)
{
    if (replica->code == 0) {
        replica->code = code;
        replica->why = *why;
        (void)wm_diag_default(&replica->why, code, replica->folder.path);
        (void)uv_async_send(&replica->wake);
    }
}

/* --- The loop --- */

static void shut(struct replica *replica)
{
    if (replica->shut) {
        return;
    }
    replica->shut = true;
    replica_check_shut(replica);
    replica_peers_shut(replica);
    replica_clients_shut(replica);
    uv_close((uv_handle_t *)&replica->wake, NULL);
    uv_close((uv_handle_t *)&replica->turn, NULL);
    uv_close((uv_handle_t *)&replica->timer, NULL);
    uv_close((uv_handle_t *)&replica->tick, NULL);
}

static void on_turn(uv_prepare_t *turn)
{
    struct replica *replica = turn->data;
    if (replica->code == 0 && !atomic_load(&replica->stopping)) {
        replica_app_turn(replica);
        replica_disk_turn(replica);
        streams_flush(&replica->streams);
    }
    if (replica->code != 0 || atomic_load(&replica->stopping)) {
        shut(replica);
    }
}

static void on_wake(uv_async_t *wake)
{
    (void)wake; /* the turn's end looks */
}

static void on_tick(uv_timer_t *tick)
{
    struct replica *replica = tick->data;
    replica_peers_tick(replica);
    replica_clients_tick(replica);
}

static void run(void *self)
{
    struct replica *replica = self;
    replica_step(replica, &(struct bft_event){.kind = BFT_EVENT_START});
    (void)uv_run(&replica->loop, UV_RUN_DEFAULT);
}

/* --- Start and end --- */

static void destroy(struct replica *replica)
{
    replica_check_free(replica);
    replica_clients_free(replica);
    replica_peers_free(replica);
    replica_app_close(replica);
    replica_disk_close(replica);
    replica_folder_close(&replica->folder);
    (void)uv_loop_close(&replica->loop);
    wm_free(replica);
}

static int open_all(struct replica *replica, struct wm_diag *diag)
{
    int rc = replica_folder_open(&replica->folder, replica->config.folder, diag);
    rc = rc ? rc : replica_disk_open(replica, diag);
    rc = rc ? rc : replica_app_open(replica, diag);
    rc = rc ? rc : replica_check_open(replica, diag);
    rc = rc ? rc : replica_peers_open(replica, diag);
    return rc ? rc : replica_clients_open(replica, diag);
}

int replica_start(const struct replica_config *config, struct replica **out, struct wm_diag *diag)
{
    struct replica *replica = wm_alloc_zero(1, sizeof *replica);
    if (!replica) {
        return wm_diag_default(diag, -ENOMEM, config->folder);
    }
    replica->config = *config;
    replica->folder.dir_fd = -1;
    replica->streams.loop = &replica->loop;
    int rc = uv_loop_init(&replica->loop);
    if (rc != 0) {
        wm_free(replica);
        return wm_diag_default(diag, rc, "event loop");
    }
    replica->wake.data = replica->turn.data = replica->timer.data = replica->tick.data = replica;
    rc = uv_async_init(&replica->loop, &replica->wake, on_wake);
    WM_ASSERT(rc == 0);
    (void)uv_prepare_init(&replica->loop, &replica->turn);
    (void)uv_timer_init(&replica->loop, &replica->timer);
    (void)uv_timer_init(&replica->loop, &replica->tick);
    rc = open_all(replica, diag);
    if (rc == 0) {
        (void)uv_prepare_start(&replica->turn, on_turn);
        (void)uv_timer_start(&replica->tick, on_tick, 0, TICK_MS);
        rc = uv_thread_create(&replica->thread, run, replica);
        rc = rc ? wm_diag_default(diag, rc, "replica's thread") : 0;
    }
    if (rc != 0) {
        shut(replica);
        (void)uv_run(&replica->loop, UV_RUN_DEFAULT);
        destroy(replica);
        return rc;
    }
    replica_log_line(replica, "replica %u: peers %s, clients %s", replica->folder.id,
                     replica->peer_address, replica->client_address);
    *out = replica;
    return 0;
}

int replica_wait(struct replica *replica, struct wm_diag *diag)
{
    (void)uv_thread_join(&replica->thread);
    return replica->code ? wm_diag_set(diag, replica->code, "%s", wm_diag_text(&replica->why)) : 0;
}

void replica_stop(struct replica *replica)
{
    atomic_store(&replica->stopping, true);
    (void)uv_async_send(&replica->wake);
}

void replica_dispose(struct replica *replica)
{
    destroy(replica);
}

const char *replica_peer_address(const struct replica *replica)
{
    return replica->peer_address;
}

const char *replica_client_address(const struct replica *replica)
{
    return replica->client_address;
}

size_t replica_metrics(struct replica *replica, char *out, size_t room)
{
    struct replica_figures *figures = &replica->figures;
    const struct {
        const char *name, *type;
        _Atomic uint64_t *value;
    } all[] = {
        {"committed_batch", "gauge", &figures->committed},
        {"transactions_total", "counter", &figures->transactions},
        {"view", "gauge", &figures->view},
        {"mode", "gauge", &figures->mode},
        {"head_batch", "gauge", &figures->head},
        {"pool_requests", "gauge", &figures->pool},
        {"clients", "gauge", &figures->clients},
        {"peers", "gauge", &figures->peers},
        {"refused_total", "counter", &figures->refused},
        {"journal_syncs_total", "counter", &figures->journal_syncs},
        {"journal_records_total", "counter", &figures->journal_records},
        {"checkpoints_total", "counter", &figures->checkpoints},
    };
    size_t len = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        int more = snprintf(
            out + len, room - len, "# TYPE wardmote_ledger_%s %s\nwardmote_ledger_%s %llu\n",
            all[i].name, all[i].type, all[i].name,
            (unsigned long long)atomic_load_explicit(all[i].value, memory_order_relaxed));
        if (more < 0 || (size_t)more >= room - len) {
            break;
        }
        len += (size_t)more;
    }
    return len;
}
