/* A queue of lines for each function; see the header. */
#include "node/logs.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "node/catalogue.h"
#include "node/jsonx.h"
#include "node/map.h"

#define LINE_COST (sizeof(struct line))
#define SHARE_STEP 16384u

struct line {
    struct line *next;
    uint64_t seq, call;
    int64_t time_ns;
    uint32_t len;
    char text[];
};

struct log {
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1];
    uint8_t key[2 * CATALOGUE_NAME_BYTES_MAX + 2];
    uint32_t key_len;
    struct line *first, *last;
    uint64_t next_seq, bytes;
    int64_t used_ns;
};

struct logs {
    struct map map;
};

int logs_new(struct logs **out)
{
    struct logs *logs = wm_alloc_zero(1, sizeof *logs);
    if (!logs) {
        return -ENOMEM;
    }
    map_init(&logs->map);
    *out = logs;
    return 0;
}

static void drop_first(struct log *log)
{
    struct line *line = log->first;
    log->first = line->next;
    if (!log->first) {
        log->last = NULL;
    }
    log->bytes -= line->len + LINE_COST;
    wm_free(line);
}

static void drop_log(struct logs *logs, struct log *log)
{
    while (log->first) {
        drop_first(log);
    }
    (void)map_remove(&logs->map, wm_view_of(log->key, log->key_len));
    wm_free(log);
}

void logs_free(struct logs *logs)
{
    if (!logs) {
        return;
    }
    size_t at = 0;
    for (struct log *log; (log = map_next(&logs->map, &at));) {
        while (log->first) {
            drop_first(log);
        }
        wm_free(log);
    }
    map_fini(&logs->map);
    wm_free(logs);
}

static struct wm_view key_of(uint8_t out[2 * CATALOGUE_NAME_BYTES_MAX + 2], const char *tenant,
                             const char *function)
{
    size_t tenant_len = strlen(tenant), len = strcspn(function, ":@");
    tenant_len = tenant_len > CATALOGUE_NAME_BYTES_MAX ? CATALOGUE_NAME_BYTES_MAX : tenant_len;
    len = len > CATALOGUE_NAME_BYTES_MAX ? CATALOGUE_NAME_BYTES_MAX : len;
    memcpy(out, tenant, tenant_len);
    out[tenant_len] = 0;
    memcpy(out + tenant_len + 1, function, len);
    return wm_view_of(out, tenant_len + 1 + len);
}

/* The log that was not written to for longest; of this tenant, or of all (NULL). */
static struct log *oldest(struct logs *logs, const char *tenant, uint64_t *bytes)
{
    struct log *best = NULL;
    size_t at = 0;
    *bytes = 0;
    for (struct log *log; (log = map_next(&logs->map, &at));) {
        if (!tenant || strcmp(log->tenant, tenant) == 0) {
            *bytes += log->bytes;
            best = !best || log->used_ns < best->used_ns ? log : best;
        }
    }
    return best;
}

static struct log *log_of(struct logs *logs, const char *tenant, const char *function)
{
    uint8_t bytes[2 * CATALOGUE_NAME_BYTES_MAX + 2];
    struct wm_view key = key_of(bytes, tenant, function);
    struct log *log = map_get(&logs->map, key);
    if (log) {
        return log;
    }
    uint64_t all;
    while (logs->map.count >= LOGS_FUNCTIONS_MAX) {
        drop_log(logs, oldest(logs, NULL, &all));
    }
    for (struct log *quiet;
         (quiet = oldest(logs, tenant, &all)) && all > LOGS_TENANT_BYTES - LOGS_FUNCTION_BYTES;) {
        drop_log(logs, quiet);
    }
    log = wm_alloc_zero(1, sizeof *log);
    if (!log || map_reserve(&logs->map, 1) != 0) {
        wm_free(log);
        return NULL;
    }
    memcpy(log->key, key.ptr, key.len);
    memcpy(log->tenant, key.ptr, strlen((const char *)key.ptr) + 1);
    log->key_len = (uint32_t)key.len;
    log->next_seq = 1;
    (void)map_put(&logs->map, wm_view_of(log->key, log->key_len), log);
    return log;
}

static void add_line(struct log *log, uint64_t call, int64_t now_ns, struct wm_view text)
{
    size_t len = text.len > LOGS_LINE_BYTES_MAX ? LOGS_LINE_BYTES_MAX : text.len;
    struct line *line = wm_alloc(sizeof *line + len);
    if (!line) {
        return;
    }
    *line = (struct line){
        .seq = log->next_seq++, .call = call, .time_ns = now_ns, .len = (uint32_t)len};
    if (len) {
        memcpy(line->text, text.ptr, len);
    }
    if (log->last) {
        log->last->next = line;
    } else {
        log->first = line;
    }
    log->last = line;
    log->bytes += len + LINE_COST;
    while (log->bytes > LOGS_FUNCTION_BYTES) {
        drop_first(log);
    }
}

/* The tenant's own share, in logs that exist already. */
static void keep_share(struct logs *logs, const struct log *busy)
{
    uint64_t all;
    for (struct log *quiet;
         (quiet = oldest(logs, busy->tenant, &all)) && quiet != busy && all > LOGS_TENANT_BYTES;) {
        drop_log(logs, quiet);
    }
}

void logs_add(struct logs *logs, const char *tenant, const char *function, uint64_t call,
              int64_t now_ns, struct wm_view text)
{
    struct log *log = text.len ? log_of(logs, tenant, function) : NULL;
    if (!log) {
        return;
    }
    uint64_t before = log->bytes / SHARE_STEP;
    log->used_ns = now_ns;
    for (size_t at = 0; at < text.len;) {
        const uint8_t *end = memchr(text.ptr + at, '\n', text.len - at);
        size_t len = end ? (size_t)(end - text.ptr) - at : text.len - at;
        add_line(log, call, now_ns, wm_view_of(text.ptr + at, len));
        at += len + 1;
    }
    if (log->bytes / SHARE_STEP != before) { /* it looks at all logs: not for every line */
        keep_share(logs, log);
    }
}

void logs_remove(struct logs *logs, const char *tenant, const char *function)
{
    uint8_t bytes[2 * CATALOGUE_NAME_BYTES_MAX + 2];
    struct log *log = map_get(&logs->map, key_of(bytes, tenant, function));
    if (log) {
        drop_log(logs, log);
    }
}

json_t *logs_show(struct logs *logs, const char *tenant, const char *function, uint64_t since,
                  uint32_t limit)
{
    uint8_t bytes[2 * CATALOGUE_NAME_BYTES_MAX + 2];
    const struct log *log = map_get(&logs->map, key_of(bytes, tenant, function));
    json_t *list = json_array();
    uint64_t next = log ? log->next_seq : 1;
    uint64_t from = next > limit ? next - limit : 0; /* the newest `limit` lines */
    from = since > from ? since : from;
    for (const struct line *line = log ? log->first : NULL; list && line; line = line->next) {
        char call[24];
        if (line->seq < from) {
            continue;
        }
        (void)snprintf(call, sizeof call, "%016llx", (unsigned long long)line->call);
        json_t *one = json_pack("{s:I, s:I, s:s, s:o}", "seq", (json_int_t)line->seq, "time_ns",
                                (json_int_t)line->time_ns, "call", call, "text",
                                jsonx_bytes(wm_view_of(line->text, line->len)));
        if (json_array_append_new(list, one) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return json_pack("{s:o, s:I}", "lines", list, "next", (json_int_t)next);
}
