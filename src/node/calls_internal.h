/* calls_internal.h: the structures of calls.c, for calls.c and calls_record.c. */
#ifndef WM_NODE_CALLS_INTERNAL_H
#define WM_NODE_CALLS_INTERNAL_H

#include <uv.h>

#include "crypto/sign.h"
#include "node/calls.h"
#include "node/cluster.h"
#include "node/global.h"
#include "node/map.h"
#include "node/node.h"
#include "node/records.h"
#include "node/trust.h"
#include "node/workers.h"

#define FAASLET_TEXT_BYTES 512u

/* What a tenant has in use. Lasts as long as the node. */
struct share {
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1];
    uint32_t running, running_max, queued;
    struct entry *first, **last; /* that wait */
    double tokens;
    int64_t refilled_ns;
    bool starting; /* start_next is at work */
};

struct entry {
    struct entry *next, **at; /* of all */
    struct node_calls *calls;
    struct share *share;
    struct entry *waiting;
    struct worker_call work;
    bool queued, cancelled;
    bool placed; /* waits for the scheduler's start */
    uint32_t retries;
    struct cluster_ticket ticket;
    struct call_http http; /* again as the request had it, for handing it on */
    bool by_route, chained, away;
    uint32_t to_peer; /* where it goes first, with away */
    call_done_fn *done;
    void *self;
};

struct node_calls {
    struct node *node;
    struct global *global;
    struct cluster *cluster; /* NULL: this node is alone */
    struct workers *workers;
    struct records *records;
    struct sign_key key;
    struct trust *trust; /* any thread */
    bool has_key;
    char key_text[2 * SIGN_PUBLIC_BYTES + 1];
    uv_timer_t seal_timer;
    uv_work_t seal_work;
    bool sealing;
    uv_idle_t hash_idle;
    struct hashing *hashing, **hashing_last; /* ended calls with much to hash */
    int handles_open;                        /* of libuv, while it is closed */
    struct node_calls_stats stats;
    struct map shares;
    struct entry *all, *free;
    uint64_t id_prefix, id_count;
    bool draining;
    void (*drained)(void *self);
    void *drained_self;
};

WM_MUST_CHECK int calls_records_open(struct node_calls *calls, struct wm_diag *diag);
void calls_records_close(struct node_calls *calls);
/* Fills in node->hooks. */
void calls_hooks(struct node_calls *calls);
/* The call's record; where there is no room for it, it is counted as lost. */
void calls_record(struct node_calls *calls, uint64_t id, const struct function_version *version,
                  const uint8_t *input_sha256, const uint8_t *output_sha256, uint64_t input_bytes,
                  uint64_t output_bytes, const struct channel_result *from, enum call_end end,
                  uint64_t *second, uint32_t *index);

#endif
