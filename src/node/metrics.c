/* Counters, one histogram of call times, and calls by function; see the header. */
#include "node/metrics.h"

#include <errno.h>
#include <microhttpd.h>

#include "base/alloc.h"
#include "node/async.h"
#include "node/calls.h"
#include "node/catalogue.h"
#include "node/http.h"
#include "node/map.h"
#include "node/node.h"
#include "node/text.h"
#include "store/kv.h"

#define OTHER "_other"
#define SECONDS(ns) ((double)(ns) / 1e9)

static const uint64_t bounds_ns[] = {50000,     100000,     250000,     500000,     1000000,
                                     2500000,   5000000,    10000000,   50000000,   100000000,
                                     500000000, 1000000000, 5000000000, 30000000000};
#define BOUNDS WM_COUNT_OF(bounds_ns)

struct series { /* of one function */
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1], function[CATALOGUE_NAME_BYTES_MAX + 1];
    uint8_t key[2 * CATALOGUE_NAME_BYTES_MAX + 2];
    uint64_t ends[CALL_ENDS], cold, wall_ns;
};

struct metrics {
    uint64_t counters[METRICS_COUNT];
    uint64_t http[6]; /* by the status' first digit */
    uint64_t buckets[BOUNDS + 1], calls, wall_ns;
    struct map series;
    struct series *other;
};

int metrics_new(struct metrics **out)
{
    struct metrics *metrics = wm_alloc_zero(1, sizeof *metrics);
    if (!metrics) {
        return -ENOMEM;
    }
    map_init(&metrics->series);
    *out = metrics;
    return 0;
}

void metrics_free(struct metrics *metrics)
{
    if (!metrics) {
        return;
    }
    size_t at = 0;
    for (struct series *series; (series = map_next(&metrics->series, &at));) {
        wm_free(series);
    }
    map_fini(&metrics->series);
    wm_free(metrics);
}

void metrics_add(struct metrics *metrics, enum metrics_counter counter, uint64_t n)
{
    (void)__atomic_add_fetch(&metrics->counters[counter], n, __ATOMIC_RELAXED);
}

void metrics_http(struct metrics *metrics, unsigned status)
{
    metrics->http[status < 600 ? status / 100 : 0]++;
    if (status == 401) {
        metrics_add(metrics, METRICS_UNAUTHORIZED, 1);
    }
}

static struct series *series_of(struct metrics *metrics, const char *tenant, const char *function)
{
    uint8_t key[2 * CATALOGUE_NAME_BYTES_MAX + 2];
    size_t tenant_len = strlen(tenant), len = strcspn(function, ":@");
    if (tenant_len > CATALOGUE_NAME_BYTES_MAX || len > CATALOGUE_NAME_BYTES_MAX) {
        return metrics->other;
    }
    memcpy(key, tenant, tenant_len + 1);
    memcpy(key + tenant_len + 1, function, len);
    struct series *series = map_get(&metrics->series, wm_view_of(key, tenant_len + 1 + len));
    if (series) {
        return series;
    }
    if (metrics->series.count >= METRICS_SERIES_MAX && strcmp(tenant, OTHER) != 0) {
        return metrics->other ? metrics->other
                              : (metrics->other = series_of(metrics, OTHER, OTHER));
    }
    series = wm_alloc_zero(1, sizeof *series);
    if (!series || map_reserve(&metrics->series, 1) != 0) {
        wm_free(series);
        return NULL;
    }
    memcpy(series->tenant, tenant, tenant_len + 1);
    memcpy(series->function, function, len);
    memcpy(series->key, key, sizeof key);
    (void)map_put(&metrics->series, wm_view_of(series->key, tenant_len + 1 + len), series);
    return series;
}

void metrics_call(struct metrics *metrics, const char *tenant, const char *function,
                  enum call_end end, bool cold, uint64_t wall_ns)
{
    size_t i = 0;
    while (i < BOUNDS && wall_ns > bounds_ns[i]) {
        i++;
    }
    metrics->buckets[i]++;
    metrics->calls++;
    metrics->wall_ns += wall_ns;
    if (end == CALL_END_NOT_FOUND) { /* the name is anything: no series of its own */
        tenant = function = OTHER;
    }
    struct series *series = series_of(metrics, tenant, function);
    if (series) {
        series->ends[end]++;
        series->cold += cold;
        series->wall_ns += wall_ns;
    }
}

static void head(struct text *out, const char *name, const char *type, const char *help)
{
    text_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(struct text *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "gauge", help);
    text_format(out, "%s %llu\n", name, (unsigned long long)value);
}

static void add_series(struct text *out, struct metrics *metrics)
{
    size_t at = 0;
    head(out, "wardmote_calls_total", "counter", "calls by function and end");
    for (struct series *series; (series = map_next(&metrics->series, &at));) {
        for (unsigned end = 0; end < CALL_ENDS; end++) {
            if (series->ends[end]) {
                text_format(out,
                            "wardmote_calls_total{tenant=\"%s\",function=\"%s\",end=\"%s\"} %llu\n",
                            series->tenant, series->function, call_end_text((enum call_end)end),
                            (unsigned long long)series->ends[end]);
            }
        }
    }
    head(out, "wardmote_cold_calls_total", "counter", "calls for which a slot was bound anew");
    at = 0;
    for (struct series *series; (series = map_next(&metrics->series, &at));) {
        text_format(out, "wardmote_cold_calls_total{tenant=\"%s\",function=\"%s\"} %llu\n",
                    series->tenant, series->function, (unsigned long long)series->cold);
    }
    head(out, "wardmote_call_seconds_sum", "counter", "time in calls");
    at = 0;
    for (struct series *series; (series = map_next(&metrics->series, &at));) {
        text_format(out, "wardmote_call_seconds_sum{tenant=\"%s\",function=\"%s\"} %.9g\n",
                    series->tenant, series->function, SECONDS(series->wall_ns));
    }
}

char *metrics_text(struct node *node, size_t *len)
{
    static const struct {
        const char *name, *help;
    } counters[] = {
#define METRICS_ROW(name, metric, help) {metric, help},
        METRICS_COUNTERS(METRICS_ROW)
#undef METRICS_ROW
    };
    struct metrics *metrics = node->metrics;
    struct node_calls_stats stats = {0};
    struct text out = {0};
    node_calls_stats(node, &stats);
    gauge(&out, "wardmote_up", "1 while calls are taken", node->state == NODE_RUNNING);
    gauge(&out, "wardmote_calls_running", "calls that run", stats.running);
    gauge(&out, "wardmote_calls_queued", "calls that wait", stats.queued);
    gauge(&out, "wardmote_async_pending", "asynchronous calls not done",
          async_pending(node->async));
    gauge(&out, "wardmote_async_kept", "asynchronous results kept", async_kept(node->async));
    gauge(&out, "wardmote_store_bytes", "of the store on disk", kv_bytes(node->kv));
    gauge(&out, "wardmote_http_running", "requests not answered yet", http_running(node->http));
    head(&out, "wardmote_calls_handed_on_total", "counter", "calls given to another node");
    text_format(&out, "wardmote_calls_handed_on_total %llu\n", (unsigned long long)stats.handed_on);
    head(&out, "wardmote_http_responses_total", "counter", "HTTP answers");
    for (unsigned i = 1; i < WM_COUNT_OF(metrics->http); i++) {
        text_format(&out, "wardmote_http_responses_total{class=\"%uxx\"} %llu\n", i,
                    (unsigned long long)metrics->http[i]);
    }
    for (unsigned i = 0; i < METRICS_COUNT; i++) {
        head(&out, counters[i].name, "counter", counters[i].help);
        text_format(&out, "%s %llu\n", counters[i].name,
                    (unsigned long long)__atomic_load_n(&metrics->counters[i], __ATOMIC_RELAXED));
    }
    head(&out, "wardmote_call_duration_seconds", "histogram", "time of calls, queueing included");
    uint64_t sum = 0;
    for (size_t i = 0; i <= BOUNDS; i++) {
        char bound[32] = "+Inf";
        if (i < BOUNDS) {
            snprintf(bound, sizeof bound, "%g", SECONDS(bounds_ns[i]));
        }
        sum += metrics->buckets[i];
        text_format(&out, "wardmote_call_duration_seconds_bucket{le=\"%s\"} %llu\n", bound,
                    (unsigned long long)sum);
    }
    text_format(&out,
                "wardmote_call_duration_seconds_sum %.9g\nwardmote_call_duration_seconds_count "
                "%llu\n",
                SECONDS(metrics->wall_ns), (unsigned long long)metrics->calls);
    add_series(&out, metrics);
    if (out.failed) {
        text_fini(&out);
        return NULL;
    }
    *len = out.len;
    return out.at;
}
