/* global.c: choosing and opening the global tier. */
#include "node/global.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "faaslet/tier_cluster.h"
#include "faaslet/tier_embedded.h"
#include "faaslet/tier_redis.h"
#include "node/cluster.h"
#include "node/log.h"

#define REDIS_PREFIX "redis:"
#define REDIS_CONNECTIONS 16u

struct global {
    struct tier tier;
    struct tier own; /* this node's keys, below `tier` where there are peers */
};

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
    struct tier_embedded_config config = {.kv = node->kv};
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
    int rc;
    if (strncmp(tier, REDIS_PREFIX, strlen(REDIS_PREFIX)) == 0) {
        rc = open_redis(tier + strlen(REDIS_PREFIX), &global->tier, diag);
    } else {
        rc = open_embedded(node, cluster, global, diag);
    }
    if (rc != 0) {
        wm_free(global);
        return rc;
    }
    if (node->tier) { /* the one of a node that is alone */
        node->tier->ops->close(node->tier->self);
        wm_free(node->tier);
    }
    node->tier = &global->tier;
    *out = global;
    return 0;
}

void global_close(struct node *node, struct global *global)
{
    if (global) {
        node->tier = NULL;
        global->tier.ops->close(global->tier.self);
        if (global->own.ops) {
            global->own.ops->close(global->own.self);
        }
        wm_free(global);
    }
}
