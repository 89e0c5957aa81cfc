/* calls_record.c: the node's key, its records of calls, and what the rest of the node is told. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/alloc.h"
#include "base/error.h"
#include "host/file.h"
#include "node/calls_internal.h"
#include "node/identity.h"
#include "node/log.h"
#include "node/replicate.h"
#include "node/sandbox.h"
#include "wire/record.h"

#define IDENTITY_NAME "identity.pem"
#define SEAL_EVERY_MS 100u

/* --- Sealing --- */

static void seal(uv_work_t *work)
{
    struct node_calls *calls = work->data;
    struct wm_diag diag = WM_DIAG_INIT;
    if (records_seal(calls->records, &diag) != 0) {
        char quoted[LOG_TEXT_BYTES];
        log_limited(LOG_ERROR, "records", "event=seal why=%s",
                    log_text(quoted, wm_diag_text(&diag)));
    }
}

static void close_records(struct node_calls *calls)
{
    struct wm_diag diag = WM_DIAG_INIT;
    if (records_close(calls->records, &diag) != 0) {
        char quoted[LOG_TEXT_BYTES];
        log_line(LOG_ERROR, "records", "event=close why=%s", log_text(quoted, wm_diag_text(&diag)));
    }
    trust_close(calls->trust);
    sign_key_fini(&calls->key);
}

static void sealed(uv_work_t *work, int status)
{
    struct node_calls *calls = work->data;
    (void)status;
    calls->sealing = false;
}

static void on_seal_timer(uv_timer_t *timer)
{
    struct node_calls *calls = timer->data;
    bool due = records_turn(calls->records, host_realtime_ns());
    if (due && !calls->sealing) {
        calls->seal_work.data = calls;
        calls->sealing = uv_queue_work(calls->node->loop, &calls->seal_work, seal, sealed) == 0;
    }
}

int calls_records_open(struct node_calls *calls, struct wm_diag *diag)
{
    struct node *node = calls->node;
    int rc = identity_open(node->dir_fd, IDENTITY_NAME, &calls->key, NULL, diag);
    if (rc != 0) {
        return rc;
    }
    for (int i = 0; i < SIGN_PUBLIC_BYTES; i++) {
        snprintf(calls->key_text + 2 * i, 3, "%02x", calls->key.public_key[i]);
    }
    struct records_config config = {.kv = node->kv, .key = &calls->key, .node = node->config->name};
    rc = records_open(&config, &calls->records, diag);
    if (rc == 0 && (rc = trust_open(node->kv, calls->key.public_key, &calls->trust, diag)) != 0) {
        (void)!records_close(calls->records, NULL);
    }
    if (rc != 0) {
        sign_key_fini(&calls->key);
        return rc;
    }
    calls->has_key = true;
    uv_timer_init(node->loop, &calls->seal_timer);
    calls->seal_timer.data = calls;
    uv_timer_start(&calls->seal_timer, on_seal_timer, SEAL_EVERY_MS, SEAL_EVERY_MS);
    uv_unref((uv_handle_t *)&calls->seal_timer);
    calls->seal_timer_open = true;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct node_calls *calls = handle->data;
    calls->seal_timer_open = false;
}

void calls_records_close(struct node_calls *calls)
{
    if (calls->has_key) {
        uv_close((uv_handle_t *)&calls->seal_timer, on_timer_closed);
        while (calls->seal_timer_open) { /* it lies in what is freed next */
            uv_run(calls->node->loop, UV_RUN_ONCE);
        }
        /* The loop's other threads may be sealing: wait for them in the loop. */
        while (calls->sealing) {
            uv_run(calls->node->loop, UV_RUN_ONCE);
        }
        close_records(calls);
    }
}

void calls_record(struct node_calls *calls, uint64_t id, const struct function_version *version,
                  const uint8_t *input_sha256, const uint8_t *output_sha256, uint64_t input_bytes,
                  uint64_t output_bytes, const struct channel_result *from, enum call_end end,
                  uint64_t *second, uint32_t *index)
{
    static const uint8_t none[32];
    int64_t now_ns = host_realtime_ns();
    struct records_call call = {
        .id = id,
        .tenant = version->tenant,
        .function = version->name,
        .version = version->version,
        .module_sha256 = version->module_sha256,
        .image_sha256 =
            memcmp(version->image_sha256, none, sizeof none) != 0 ? version->image_sha256 : NULL,
        .input_sha256 = input_sha256,
        .output_sha256 = output_sha256,
        .end = end,
        .return_code = from->return_code,
        .cold = from->cold != 0,
        .start_ns = (uint64_t)(from->start_ns > 0 ? from->start_ns : now_ns),
        .input_bytes = input_bytes,
        .output_bytes = output_bytes,
        .usage = from->usage,
    };
    *second = 0;
    *index = 0;
    /* Lost ones are counted, in the root too: nothing more can be done for them here. */
    (void)!records_add(calls->records, &call, now_ns, second, index);
}

/* --- Hooks --- */

static int snapshot(void *self, struct function_version *version, struct wm_diag *diag)
{
    struct node_calls *calls = self;
    return workers_snapshot(calls->workers, version, diag);
}

/* Whether the record in a receipt of ours is this tenant's. */
static bool concerns(struct wm_view bytes, const char *tenant)
{
    struct record_receipt receipt;
    struct record record;
    if (record_receipt_get(bytes, &receipt, NULL) != 0) {
        return false;
    }
    struct cbor_reader reader = cbor_reader_of(receipt.record);
    return record_get(&reader, &record) && wm_view_eq_str(record.tenant, tenant);
}

static int receipt(void *self, const char *tenant, uint64_t second, uint32_t index, uint8_t **out,
                   size_t *len, struct wm_diag *diag)
{
    struct node_calls *calls = self;
    uint8_t *bytes = wm_alloc(RECEIPT_BYTES_MAX);
    if (!bytes) {
        return wm_diag_set(diag, -ENOMEM, "receipt: %s", wm_error_text(-ENOMEM));
    }
    int rc = records_receipt(calls->records, second, index, bytes, len, diag);
    if (rc == 0 && !concerns(wm_view_of(bytes, *len), tenant)) {
        rc = wm_diag_set(diag, WM_E_NOT_FOUND, "receipt: no such call of this tenant");
    }
    if (rc != 0) {
        wm_free(bytes);
        return rc;
    }
    *out = bytes;
    return 0;
}

static const char *public_key(void *self)
{
    return ((struct node_calls *)self)->key_text;
}

static void describe(void *self, json_t *object)
{
    struct node_calls *calls = self;
    const struct host_sandbox *sandbox = sandbox_report(workers_sandbox(calls->workers));
    struct workers_stats stats;
    json_t *isolation = json_array(), *workers = json_object();
    char line[2 * WM_DIAG_TEXT_BYTES + 64];
    for (int i = 0; i < HOST_SANDBOX_ITEMS; i++) {
        json_array_append_new(
            isolation,
            json_string(host_sandbox_line(sandbox, (enum host_sandbox_item)i, line, sizeof line)));
    }
    workers_stats(calls->workers, &stats);
    json_object_set_new(workers, "processes", json_integer(stats.processes));
    json_object_set_new(workers, "started", json_integer((json_int_t)stats.started));
    json_object_set_new(workers, "died", json_integer((json_int_t)stats.died));
    json_object_set_new(workers, "loads", json_integer((json_int_t)stats.loads));
    json_object_set_new(object, "isolation", isolation);
    json_object_set_new(object, "workers", workers);
    if (calls->cluster) {
        cluster_describe(calls->cluster, object);
    }
}

/* What runs already learns of a change: names mean something else, quotas are others. */
static void changed(void *self, const struct catalogue_changed *what)
{
    struct node_calls *calls = self;
    if (what->kind == ENTRY_FUNCTION || what->kind == ENTRY_TENANT) {
        workers_forget_names(calls->workers, what->tenant);
    }
    if (what->kind == ENTRY_TENANT) {
        workers_tenant_changed(calls->workers, what->tenant);
    }
    if (calls->cluster && cluster_replicate(calls->cluster)) {
        replicate_changed(cluster_replicate(calls->cluster), what);
    }
}

static bool owns(void *self, const char *tenant, const char *trigger)
{
    struct node_calls *calls = self;
    return !calls->cluster || cluster_owns(calls->cluster, tenant, trigger);
}

void calls_hooks(struct node_calls *calls)
{
    calls->node->hooks = (struct node_hooks){.self = calls,
                                             .snapshot = snapshot,
                                             .receipt = receipt,
                                             .public_key = public_key,
                                             .describe = describe,
                                             .changed = changed,
                                             .owns = owns};
}
