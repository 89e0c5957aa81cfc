#include "faaslet/tier_cluster.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "faaslet/tier_check.h"
#include "faaslet/tier_rpc.h"

#define LIST_AT_ONCE 64u

struct cluster {
    struct tier_cluster_config config;
    char **names; /* count of them */
    atomic_uint_fast64_t reads, writes, bytes_read, bytes_written, locks, errors;
};

/* --- Who is the master --- */

static uint64_t mix(uint64_t hash, struct wm_view bytes)
{
    for (size_t i = 0; i < bytes.len; i++) { /* FNV-1a */
        hash = (hash ^ bytes.ptr[i]) * UINT64_C(0x100000001b3);
    }
    return (hash ^ 0xff) * UINT64_C(0x100000001b3); /* so that "ab","c" is not "a","bc" */
}

/* The last step of splitmix64: every bit of the input reaches every bit of the output. */
static uint64_t finish(uint64_t hash)
{
    hash = (hash ^ (hash >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ (hash >> 27)) * UINT64_C(0x94d049bb133111eb);
    return hash ^ (hash >> 31);
}

uint32_t tier_cluster_master(const char *const *nodes, uint32_t count, struct tier_key key)
{
    uint64_t of_key = mix(mix(UINT64_C(0xcbf29ce484222325), key.tenant), key.key), best = 0;
    uint32_t master = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = finish(mix(of_key, wm_view_str(nodes[i])));
        /* Equal hashes: by name, so that the order of the list does not matter. */
        if (i == 0 || hash > best || (hash == best && strcmp(nodes[i], nodes[master]) > 0)) {
            best = hash;
            master = i;
        }
    }
    return master;
}

/* --- Going there --- */

/* A node's tier for one call. */
struct visit {
    struct cluster *cluster;
    const char *node;
    struct tier tier;
    struct rpc_client *rpc; /* NULL: this node */
    struct tier_rpc_client client;
};

static int unreachable(struct cluster *cluster, const char *node, struct wm_diag *diag)
{
    char why[WM_DIAG_TEXT_BYTES];
    atomic_fetch_add_explicit(&cluster->errors, 1, memory_order_relaxed);
    if (!diag) {
        return -EHOSTUNREACH;
    }
    memcpy(why, diag->text, sizeof why);
    return wm_diag_set(diag, -EHOSTUNREACH, "state: node %s does not answer: %.150s", node,
                       why[0] ? why : "no connection");
}

static int visit_node(struct cluster *cluster, uint32_t index, struct visit *visit,
                      struct wm_diag *diag)
{
    *visit = (struct visit){.cluster = cluster, .node = cluster->names[index]};
    if (index == cluster->config.own) {
        visit->tier = *cluster->config.local;
        return 0;
    }
    int err = cluster->config.peer(cluster->config.self, visit->node, &visit->rpc, diag);
    if (err) {
        return unreachable(cluster, visit->node, diag);
    }
    tier_rpc_client_init(&visit->client, visit->rpc, NULL, &visit->tier);
    return 0;
}

static int end_visit(struct visit *visit, int err, struct wm_diag *diag)
{
    if (!visit->rpc) {
        return err;
    }
    struct cluster *cluster = visit->cluster;
    bool usable = rpc_client_usable(visit->rpc);
    cluster->config.release(cluster->config.self, visit->node, visit->rpc, usable);
    /* As against an error that the node itself reports. */
    return usable ? err : unreachable(cluster, visit->node, diag);
}

static int visit_master(struct cluster *cluster, struct tier_key key, struct visit *visit,
                        struct wm_diag *diag)
{
    int err = tier_check_key(key, diag);
    if (err) {
        return err;
    }
    uint32_t master =
        tier_cluster_master((const char *const *)cluster->names, cluster->config.count, key);
    return visit_node(cluster, master, visit, diag);
}

/* --- Operations --- */

/* An operation of one key: goes there, does it, comes back. */
#define AT_MASTER(call)                                \
    struct visit visit;                                \
    int err = visit_master(self, key, &visit, diag);   \
    if (!err) {                                        \
        const struct tier_ops *there = visit.tier.ops; \
        void *tier = visit.tier.self;                  \
        err = end_visit(&visit, there->call, diag);    \
    }

static void count(atomic_uint_fast64_t *counter, uint64_t number)
{
    atomic_fetch_add_explicit(counter, number, memory_order_relaxed);
}

static uint64_t total_of(const struct tier_range *ranges, uint32_t range_count)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < range_count; i++) {
        total += ranges[i].len;
    }
    return total;
}

static int op_size(void *self, struct tier_key key, uint64_t *bytes, struct wm_diag *diag)
{
    AT_MASTER(size(tier, key, bytes, diag))
    return err;
}

static int op_create(void *self, struct tier_key key, uint64_t bytes, struct wm_diag *diag)
{
    AT_MASTER(create(tier, key, bytes, diag))
    return err;
}

static int op_read(void *self, struct tier_key key, const struct tier_range *ranges,
                   uint32_t range_count, struct wm_diag *diag)
{
    struct cluster *cluster = self;
    AT_MASTER(read(tier, key, ranges, range_count, diag))
    if (!err) {
        count(&cluster->reads, 1);
        count(&cluster->bytes_read, total_of(ranges, range_count));
    }
    return err;
}

static int op_write(void *self, struct tier_key key, uint64_t bytes,
                    const struct tier_range *ranges, uint32_t range_count, uint64_t token,
                    struct wm_diag *diag)
{
    struct cluster *cluster = self;
    AT_MASTER(write(tier, key, bytes, ranges, range_count, token, diag))
    if (!err) {
        count(&cluster->writes, 1);
        count(&cluster->bytes_written, total_of(ranges, range_count));
    }
    return err;
}

static int op_remove(void *self, struct tier_key key, struct wm_diag *diag)
{
    AT_MASTER(remove(tier, key, diag))
    return err;
}

static int op_append(void *self, struct tier_key key, struct wm_view element, uint64_t *index,
                     struct wm_diag *diag)
{
    AT_MASTER(append(tier, key, element, index, diag))
    return err;
}

static int op_appended(void *self, struct tier_key key, uint64_t first, uint64_t most,
                       tier_emit_fn *emit, void *emit_self, struct wm_diag *diag)
{
    AT_MASTER(appended(tier, key, first, most, emit, emit_self, diag))
    return err;
}

static int op_appended_count(void *self, struct tier_key key, uint64_t *number,
                             struct wm_diag *diag)
{
    AT_MASTER(appended_count(tier, key, number, diag))
    return err;
}

static int op_clear_appended(void *self, struct tier_key key, struct wm_diag *diag)
{
    AT_MASTER(clear_appended(tier, key, diag))
    return err;
}

static int op_add(void *self, struct tier_key key, int64_t delta, int64_t *now,
                  struct wm_diag *diag)
{
    AT_MASTER(add(tier, key, delta, now, diag))
    return err;
}

static int op_lock(void *self, struct tier_key key, struct tier_lock *lock, uint32_t ttl_ms,
                   uint32_t wait_ms, struct wm_diag *diag)
{
    struct cluster *cluster = self;
    AT_MASTER(lock(tier, key, lock, ttl_ms, wait_ms, diag))
    if (!err) {
        count(&cluster->locks, 1);
    }
    return err;
}

static int op_renew(void *self, struct tier_key key, const struct tier_lock *lock, uint32_t ttl_ms,
                    struct wm_diag *diag)
{
    AT_MASTER(renew(tier, key, lock, ttl_ms, diag))
    return err;
}

static int op_unlock(void *self, struct tier_key key, const struct tier_lock *lock,
                     struct wm_diag *diag)
{
    AT_MASTER(unlock(tier, key, lock, diag))
    return err;
}

static int op_set_add(void *self, struct tier_key key, struct wm_view member, uint32_t ttl_ms,
                      struct wm_diag *diag)
{
    AT_MASTER(set_add(tier, key, member, ttl_ms, diag))
    return err;
}

static int op_set_remove(void *self, struct tier_key key, struct wm_view member,
                         struct wm_diag *diag)
{
    AT_MASTER(set_remove(tier, key, member, diag))
    return err;
}

static int op_set_members(void *self, struct tier_key key, tier_emit_fn *emit, void *emit_self,
                          struct wm_diag *diag)
{
    AT_MASTER(set_members(tier, key, emit, emit_self, diag))
    return err;
}

/* --- Listing: the nodes' lists, merged --- */

struct entry {
    uint64_t bytes;
    size_t len;
    uint8_t key[TIER_KEY_BYTES_MAX];
};

/* The next entries of one node. */
struct page {
    struct entry entries[LIST_AT_ONCE];
    uint32_t count, at;
    bool last; /* there are no more after these */
};

static bool collect(void *self, struct wm_view key, uint64_t bytes)
{
    struct page *page = self;
    if (page->count == LIST_AT_ONCE || key.len > TIER_KEY_BYTES_MAX) {
        page->last = false;
        return false;
    }
    struct entry *entry = &page->entries[page->count++];
    *entry = (struct entry){.bytes = bytes, .len = key.len};
    memcpy(entry->key, key.ptr, key.len);
    return true;
}

static struct wm_view key_of(const struct entry *entry)
{
    return wm_view_of(entry->key, entry->len);
}

static int fill(struct cluster *cluster, uint32_t node, struct page *page, struct wm_view tenant,
                struct wm_view prefix, struct wm_view after, struct wm_diag *diag)
{
    struct visit visit;
    int err = visit_node(cluster, node, &visit, diag);
    if (err) {
        return err;
    }
    page->count = page->at = 0;
    page->last = true;
    err = visit.tier.ops->list(visit.tier.self, tenant, prefix, after, collect, page, diag);
    return end_visit(&visit, err, diag);
}

static bool comes_before(struct wm_view a, struct wm_view b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return order < 0 || (order == 0 && a.len < b.len);
}

static int merge(struct cluster *cluster, struct page *pages, struct wm_view tenant,
                 struct wm_view prefix, tier_emit_fn *emit, void *emit_self, struct wm_diag *diag)
{
    for (;;) {
        struct page *least = NULL;
        for (uint32_t i = 0; i < cluster->config.count; i++) {
            struct page *page = &pages[i];
            if (page->at == page->count && !page->last && page->count > 0) {
                struct entry after = page->entries[page->count - 1];
                int err = fill(cluster, i, page, tenant, prefix, key_of(&after), diag);
                if (err) {
                    return err;
                }
            }
            if (page->at < page->count &&
                (!least || comes_before(key_of(&page->entries[page->at]),
                                        key_of(&least->entries[least->at])))) {
                least = page;
            }
        }
        if (!least) {
            return 0;
        }
        const struct entry *entry = &least->entries[least->at++];
        if (!emit(emit_self, key_of(entry), entry->bytes)) {
            return 0;
        }
    }
}

static int op_list(void *self, struct wm_view tenant, struct wm_view prefix, struct wm_view after,
                   tier_emit_fn *emit, void *emit_self, struct wm_diag *diag)
{
    struct cluster *cluster = self;
    struct page *pages = wm_alloc_zero(cluster->config.count, sizeof *pages);
    int err = pages ? 0 : wm_diag_default(diag, -ENOMEM, "state: listing");
    for (uint32_t i = 0; !err && i < cluster->config.count; i++) {
        err = fill(cluster, i, &pages[i], tenant, prefix, after, diag);
    }
    err = err ? err : merge(cluster, pages, tenant, prefix, emit, emit_self, diag);
    wm_free(pages);
    return err;
}

/* --- The object --- */

static void op_close(void *self)
{
    struct cluster *cluster = self;
    for (uint32_t i = 0; cluster->names && i < cluster->config.count; i++) {
        wm_free(cluster->names[i]);
    }
    wm_free(cluster->names);
    wm_free(cluster);
}

static const struct tier_ops ops = {
    .size = op_size,
    .create = op_create,
    .read = op_read,
    .write = op_write,
    .remove = op_remove,
    .list = op_list,
    .append = op_append,
    .appended = op_appended,
    .appended_count = op_appended_count,
    .clear_appended = op_clear_appended,
    .add = op_add,
    .lock = op_lock,
    .renew = op_renew,
    .unlock = op_unlock,
    .set_add = op_set_add,
    .set_remove = op_set_remove,
    .set_members = op_set_members,
    .close = op_close,
};

static int check_names(const struct tier_cluster_config *config, struct wm_diag *diag)
{
    if (config->count == 0 || config->count > TIER_NODES_MAX || config->own >= config->count) {
        return wm_diag_set(diag, WM_E_INVALID, "cluster: %u nodes; 1 to %u are allowed",
                           config->count, TIER_NODES_MAX);
    }
    for (uint32_t i = 0; i < config->count; i++) {
        size_t len = strlen(config->nodes[i]);
        if (len == 0 || len > TIER_NODE_NAME_BYTES_MAX) {
            return wm_diag_set(diag, WM_E_INVALID,
                               "cluster: a node's name has 1 to %u bytes, not %zu",
                               TIER_NODE_NAME_BYTES_MAX, len);
        }
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(config->nodes[i], config->nodes[k]) == 0) {
                return wm_diag_set(diag, WM_E_INVALID, "cluster: two nodes are named %s",
                                   config->nodes[i]);
            }
        }
    }
    return 0;
}

int tier_cluster_new(const struct tier_cluster_config *config, struct tier *out,
                     struct wm_diag *diag)
{
    int err = check_names(config, diag);
    if (err) {
        return err;
    }
    struct cluster *cluster = wm_alloc_zero(1, sizeof *cluster);
    if (!cluster) {
        return wm_diag_default(diag, -ENOMEM, "cluster");
    }
    cluster->config = *config;
    cluster->names = wm_alloc_zero(config->count, sizeof *cluster->names);
    for (uint32_t i = 0; cluster->names && i < config->count && !err; i++) {
        cluster->names[i] = wm_strdup(config->nodes[i]);
        err = cluster->names[i] ? 0 : -ENOMEM;
    }
    if (err || !cluster->names) {
        op_close(cluster);
        return wm_diag_default(diag, -ENOMEM, "cluster");
    }
    cluster->config.nodes = NULL; /* the caller's may be gone */
    *out = (struct tier){&ops, cluster};
    return 0;
}

void tier_cluster_stats(const struct tier *tier, struct tier_stats *out)
{
    struct cluster *cluster = tier->self;
    WM_ASSERT(tier->ops == &ops);
    *out = (struct tier_stats){
        .reads = atomic_load(&cluster->reads),
        .writes = atomic_load(&cluster->writes),
        .bytes_read = atomic_load(&cluster->bytes_read),
        .bytes_written = atomic_load(&cluster->bytes_written),
        .locks = atomic_load(&cluster->locks),
        .errors = atomic_load(&cluster->errors),
    };
}
