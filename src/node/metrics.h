/* metrics.h: counts for /metrics, in Prometheus' text format.
 *
 * A fixed set of counters and histograms; the rest (what is running, sizes) is asked for when the
 * page is made. Names of tenants and functions become labels, and tenants choose them, so there are
 * at most METRICS_SERIES_MAX pairs; calls of further ones are counted under tenant "_other". The
 * loop thread, but for metrics_add. */
#ifndef WM_NODE_METRICS_H
#define WM_NODE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "faaslet/call.h"

#define METRICS_SERIES_MAX 1000u

/* X(NAME, metric, help) */
#define METRICS_COUNTERS(X)                                                             \
    X(UPLOADS, "wardmote_uploads_total", "modules uploaded and compiled")               \
    X(UPLOADS_FAILED, "wardmote_uploads_failed_total", "modules refused or failed")     \
    X(CHANGES, "wardmote_catalogue_changes_total", "durable changes of the catalogue")  \
    X(ASYNC, "wardmote_async_calls_total", "asynchronous calls accepted")               \
    X(CRON, "wardmote_cron_calls_total", "calls by cron triggers")                      \
    X(OUTBOUND, "wardmote_outbound_requests_total", "outbound HTTP requests of guests") \
    X(OUTBOUND_DENIED, "wardmote_outbound_denied_total", "of them refused by a rule")   \
    X(STATE_PULLED, "wardmote_state_pulled_bytes_total", "state pulled by calls")       \
    X(STATE_PUSHED, "wardmote_state_pushed_bytes_total", "state pushed by calls")       \
    X(CHAINED, "wardmote_chained_calls_total", "chained calls that ended in workers")   \
    X(UNAUTHORIZED, "wardmote_http_unauthorized_total", "requests with no or a bad token")

#define METRICS_ENUM(name, metric, help) METRICS_##name,
enum metrics_counter { METRICS_COUNTERS(METRICS_ENUM) METRICS_COUNT };
#undef METRICS_ENUM

struct metrics;
struct node;
WM_MUST_CHECK int metrics_new(struct metrics **out);
void metrics_free(struct metrics *metrics);
void metrics_add(struct metrics *metrics, enum metrics_counter counter,
                 uint64_t n); /* any thread */
void metrics_http(struct metrics *metrics, unsigned status);
void metrics_call(struct metrics *metrics, const char *tenant, const char *function,
                  enum call_end end, bool cold, uint64_t wall_ns);
/* The page; from wm_alloc. NULL: no memory. */
char *metrics_text(struct node *node, size_t *len);

#endif
