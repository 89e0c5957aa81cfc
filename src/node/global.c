/* global.c: choosing and opening the global tier. */
#include "node/global.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "faaslet/tier_cluster.h"
#include "faaslet/tier_embedded.h"
#include "faaslet/tier_redis.h"
#include "node/cluster.h"
#include "node/log.h"
#include "node/map.h"

#define REDIS_PREFIX "redis:"
#define REDIS_CONNECTIONS 16u
#define RENEW_MS 1000u                  /* quotas */
#define FIRST_BYTES (UINT64_C(1) << 30) /* until then; catalogue.h's own */

/* A tenant's quota of state as the tier's threads see it: the catalogue is the loop's. */
struct quota {
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1];
    uint64_t bytes;
};

struct global {
    struct node *node;
    struct tier tier;
    struct tier own; /* this node's keys, below `tier` where there are peers */
    pthread_mutex_t lock;
    struct map quotas; /* of tenants that have changed something; renewed by the timer */
    uv_timer_t timer;
    bool timed;
};

/* --- Quotas --- */

/* 0, no limit, only where there is no memory to note one. */
static uint64_t quota_of(void *self, struct wm_view tenant)
{
    struct global *global = self;
    uint64_t bytes = 0;
    pthread_mutex_lock(&global->lock);
    struct quota *quota = map_get(&global->quotas, tenant);
    if (!quota && tenant.len < sizeof quota->tenant && map_reserve(&global->quotas, 1) == 0 &&
        (quota = wm_alloc_zero(1, sizeof *quota))) {
        memcpy(quota->tenant, tenant.ptr, tenant.len);
        quota->bytes = FIRST_BYTES;
        map_put(&global->quotas, wm_view_str(quota->tenant), quota);
    }
    bytes = quota ? quota->bytes : 0;
    pthread_mutex_unlock(&global->lock);
    return bytes;
}

static void renew_quotas(uv_timer_t *timer)
{
    struct global *global = timer->data;
    struct quota *quota;
    size_t at = 0;
    pthread_mutex_lock(&global->lock);
    while ((quota = map_next(&global->quotas, &at))) {
        const struct tenant *tenant = catalogue_tenant(global->node->catalogue, quota->tenant);
        if (tenant) {
            quota->bytes = tenant->quota.state_bytes;
        }
    }
    pthread_mutex_unlock(&global->lock);
}

void global_note_tenant(struct node *node, const char *tenant)
{
    struct global *global = node->global;
    if (global && global->timed) {
        (void)quota_of(global, wm_view_str(tenant));
        renew_quotas(&global->timer);
    }
}

static void free_global(struct global *global)
{
    struct quota *quota;
    size_t at = 0;
    while ((quota = map_next(&global->quotas, &at))) {
        wm_free(quota);
    }
    map_fini(&global->quotas);
    pthread_mutex_destroy(&global->lock);
    wm_free(global);
}

/* --- Opening --- */

static int open_redis(const char *address, struct tier *out, struct wm_diag *diag)
{
    struct redis_config config = {.address = address, .connections = REDIS_CONNECTIONS};
    struct wm_diag warning = WM_DIAG_INIT;
    char quoted[LOG_TEXT_BYTES];
    int rc = tier_redis_open(&config, out, &warning, diag);
    if (rc == 0 && warning.text[0]) {
        log_line(LOG_WARN, "tier", "warning=%s", log_text(quoted, warning.text));
    }
    return rc;
}

static int open_embedded(struct node *node, struct cluster *cluster, struct global *global,
                         struct wm_diag *diag)
{
    struct tier_embedded_config config = {.kv = node->kv, .quota = quota_of, .quota_self = global};
    if (!cluster) {
        return tier_embedded_new(&config, &global->tier, diag);
    }
    int rc = tier_embedded_new(&config, &global->own, diag);
    if (rc != 0) {
        return rc;
    }
    struct tier_cluster_config over = {.local = &global->own,
                                       .peer = cluster_peer_get,
                                       .release = cluster_peer_put,
                                       .self = cluster};
    over.nodes = cluster_names(cluster, &over.count, &over.own);
    rc = tier_cluster_new(&over, &global->tier, diag);
    if (rc != 0) {
        global->own.ops->close(global->own.self);
        return rc;
    }
    cluster_set_local_tier(cluster, &global->own);
    return 0;
}

int global_open(struct node *node, struct cluster *cluster, struct global **out,
                struct wm_diag *diag)
{
    struct global *global = wm_alloc_zero(1, sizeof *global);
    const char *tier = node->config->tier;
    if (!global) {
        return wm_diag_set(diag, -ENOMEM, "global tier: %s", wm_error_text(-ENOMEM));
    }
    global->node = node;
    pthread_mutex_init(&global->lock, NULL);
    map_init(&global->quotas);
    int rc;
    if (strncmp(tier, REDIS_PREFIX, strlen(REDIS_PREFIX)) == 0) {
        rc = open_redis(tier + strlen(REDIS_PREFIX), &global->tier, diag);
    } else {
        rc = open_embedded(node, cluster, global, diag);
        global->timed = rc == 0;
    }
    if (rc != 0) {
        free_global(global);
        return rc;
    }
    if (global->timed) {
        uv_timer_init(node->loop, &global->timer);
        global->timer.data = global;
        uv_timer_start(&global->timer, renew_quotas, RENEW_MS, RENEW_MS);
        uv_unref((uv_handle_t *)&global->timer);
    }
    if (node->tier) { /* the one of a node that is alone */
        node->tier->ops->close(node->tier->self);
        wm_free(node->tier);
    }
    node->tier = &global->tier;
    node->global = global;
    *out = global;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free_global(handle->data);
}

void global_close(struct node *node, struct global *global)
{
    if (global) {
        node->tier = NULL;
        node->global = NULL;
        global->tier.ops->close(global->tier.self);
        if (global->own.ops) {
            global->own.ops->close(global->own.self);
        }
        if (global->timed) {
            uv_close((uv_handle_t *)&global->timer, on_timer_closed);
        } else {
            free_global(global);
        }
    }
}
