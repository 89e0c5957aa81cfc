/* Opening and closing in order; draining. */
#include "node/node.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "crypto/hash.h"
#include "crypto/seal.h"
#include "faaslet/tier_embedded.h"
#include "faaslet/tier_redis.h"
#include "host/file.h"
#include "node/api.h"
#include "node/async.h"
#include "node/calls.h"
#include "node/catalogue.h"
#include "node/catalogue_sync.h"
#include "node/changes.h"
#include "node/cluster_key.h"
#include "node/http.h"
#include "node/jsonx.h"
#include "node/log.h"
#include "node/logs.h"
#include "node/metrics.h"
#include "node/triggers.h"
#include "store/kv.h"

#define FORBIDDEN_MODE 0077

void node_file_name(char out[NODE_FILE_NAME_BYTES], const char *folder, const uint8_t sha256[32])
{
    char hex[65];
    jsonx_hex(hex, sha256, 32);
    (void)snprintf(out, NODE_FILE_NAME_BYTES, "%s/%s%s", folder, hex,
                   strcmp(folder, NODE_MODULES) == 0 ? ".wasm" : ".image");
}

static int read_key(int dir_fd, uint8_t key[32], struct wm_diag *diag)
{
    struct host_file_info info = {0};
    int fd = host_file_open(dir_fd, NODE_KEY);
    if (fd == -ENOENT) {
        wm_random_bytes(key, 32);
        int err = host_file_create(dir_fd, NODE_KEY, wm_view_of(key, 32), 0600, true, NULL);
        return wm_diag_default(diag, err, NODE_KEY);
    }
    int err = fd < 0 ? fd : host_file_info(fd, &info);
    if (!err && ((info.mode & FORBIDDEN_MODE) || info.uid != geteuid() || info.id.bytes != 32)) {
        err = WM_E_DENIED;
        wm_diag_set(diag, err,
                    NODE_KEY ": not 32 bytes of ours that only we can read; secrets are sealed "
                             "under it: put the right one back (chmod 600)");
    }
    err = err ? err : host_file_read_at(fd, 0, key, 32);
    host_file_close(fd);
    return wm_diag_default(diag, err, NODE_KEY);
}

/* The folders above it, as the default one's may be missing on a new account. What fails shows when
 * the folder itself is made. */
static void make_parents(const char *path)
{
    char *copy = wm_strdup(path);
    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(copy, 0700);
        *slash = '/';
    }
    wm_free(copy);
}

int node_folder_open(const char *path, int *dir_fd, uint8_t key[32], struct wm_diag *diag)
{
    static const char *const folders[] = {NODE_MODULES, NODE_IMAGES, NODE_FILES, NODE_TEMP};
    struct stat st;
    make_parents(path);
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        int err = -errno;
        return wm_diag_set(diag, err, "data: making %s: %s", path, wm_error_text(err));
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int err = -errno;
        host_file_close(fd);
        return wm_diag_set(diag, err, "data: opening %s: %s", path, wm_error_text(err));
    }
    int err = 0;
    if (st.st_uid != geteuid() || (st.st_mode & 0022)) {
        err = wm_diag_set(diag, WM_E_DENIED,
                          "data: %s belongs to another user, or others may write to it; take that "
                          "away (chmod go-w) or choose another folder",
                          path);
    } else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        err = errno == EWOULDBLOCK
                  ? wm_diag_set(diag, -EBUSY, "data: another node runs on %s", path)
                  : wm_diag_default(diag, -errno, "data: its lock");
    } else if ((st.st_mode & 0077) && fchmod(fd, 0700) != 0) {
        err = wm_diag_default(diag, -errno, "data: chmod");
    }
    for (unsigned i = 0; i < WM_COUNT_OF(folders) && !err; i++) {
        if (mkdirat(fd, folders[i], 0700) != 0 && errno != EEXIST) {
            err = wm_diag_default(diag, -errno, "data");
        }
    }
    err = err ? err : read_key(fd, key, diag);
    if (err) {
        (void)close(fd);
        return err;
    }
    *dir_fd = fd;
    return 0;
}

/* A new node has one tenant, so that its administrator need not name one. */
static int need_default_tenant(struct node *node, struct wm_diag *diag)
{
    struct catalogue_change *change;
    json_t *tenants = catalogue_show_tenants(node->catalogue);
    bool fresh = json_array_size(tenants) == 0;
    json_decref(tenants);
    if (!fresh) {
        return 0;
    }
    node->is_new = true;
    struct tenant tenant = {.name = API_DEFAULT_TENANT};
    catalogue_defaults(node->catalogue, true);
    int err = catalogue_set_tenant(node->catalogue, &tenant, &change, diag);
    err = err ? err : catalogue_change_now(change, diag);
    catalogue_defaults(node->catalogue, false);
    return err;
}

/* A node that shares a key with others seals by that key, so that sealed secrets open on all of
 * them. What it sealed under its own before (own_key) is sealed anew (doc/adr/0012). */
static int open_catalogue(struct node *node, struct wm_diag *diag)
{
    uint8_t cluster_key[32], own_key[32];
    struct catalogue_change *change = NULL;
    bool shares = node->config->cluster_key != NULL;
    int err = 0;
    memcpy(own_key, node->key, sizeof own_key);
    if (shares) {
        err = cluster_key_read(node->config->cluster_key, cluster_key, diag);
        if (!err) {
            cluster_key_seal(cluster_key, node->key);
        }
        wm_wipe(cluster_key, sizeof cluster_key);
    }
    err = err ? err : catalogue_open(node->kv, node->key, &node->catalogue, diag);
    if (!err) {
        catalogue_set_node(node->catalogue, node->config->name);
    }
    if (!err && shares) {
        err = catalogue_reseal(node->catalogue, own_key, &change, diag);
        err = err || !change ? err : catalogue_change_now(change, diag);
    }
    wm_wipe(own_key, sizeof own_key);
    return err;
}

static int open_store(struct node *node, struct wm_diag *diag)
{
    size_t len = strlen(node->config->data) + sizeof NODE_STORE + 1;
    char *path = wm_alloc(len);
    if (!path) {
        return wm_diag_default(diag, -ENOMEM, "store");
    }
    (void)snprintf(path, len, "%s/" NODE_STORE, node->config->data);
    struct kv_config config = {.path = path, .bytes_max = node->config->store_bytes};
    int err = kv_open(&config, &node->kv, diag);
    wm_free(path);
    return err;
}

/* Where calls have brought none (global.h): this node's own, or Redis. */
static int open_tier(struct node *node, struct wm_diag *diag)
{
    const char *name = node->config->tier;
    struct wm_diag warning = WM_DIAG_INIT;
    struct tier *tier = wm_alloc_zero(1, sizeof *tier);
    if (!tier) {
        return wm_diag_default(diag, -ENOMEM, "tier");
    }
    int err =
        strncmp(name, "redis:", 6) == 0
            ? tier_redis_open(&(struct redis_config){.address = name + 6}, tier, &warning, diag)
            : tier_embedded_new(&(struct tier_embedded_config){.kv = node->kv}, tier, diag);
    if (err) {
        wm_free(tier);
        wm_diag_prefix(diag, "tier");
        return err;
    }
    if (warning.text[0]) {
        char shown[LOG_TEXT_BYTES];
        log_line(LOG_WARN, "tier", "warning=%s", log_text(shown, warning.text));
    }
    node->tier = tier;
    return 0;
}

/* Files named by content that no version names any more: of functions that were removed, and of
 * uploads that failed or were cut off. Before anything is uploaded. */
static void sweep(struct node *node, const char *folder)
{
    int fd = openat(node->dir_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    unsigned removed = 0;
    if (!dir) {
        host_file_close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        uint8_t sha256[32];
        size_t len = strcspn(entry->d_name, ".");
        if (strncmp(entry->d_name, ".part-", 6) == 0) { /* was on its way in (artefact.h) */
            removed += unlinkat(dirfd(dir), entry->d_name, 0) == 0;
        }
        if (jsonx_unhex(entry->d_name, len, sha256, sizeof sha256) &&
            !catalogue_uses_file(node->catalogue, sha256)) {
            removed += unlinkat(dirfd(dir), entry->d_name, 0) == 0;
        }
    }
    (void)closedir(dir);
    if (removed) {
        log_line(LOG_INFO, "node", "folder=%s swept=%u", folder, removed);
    }
}

int node_open(const struct config *config, uv_loop_t *loop, struct node **out, struct wm_diag *diag)
{
    struct node *node = wm_alloc_zero(1, sizeof *node);
    if (!node) {
        return wm_diag_default(diag, -ENOMEM, "node");
    }
    node->config = config;
    node->loop = loop;
    node->dir_fd = -1;
    node->started_ns = host_realtime_ns();
    int err = node_folder_open(config->data, &node->dir_fd, node->key, diag);
    err = err ? err : metrics_new(&node->metrics);
    err = err ? err : logs_new(&node->logs);
    err = err ? err : open_store(node, diag);
    err = err ? err : open_catalogue(node, diag);
    err = err ? err : need_default_tenant(node, diag);
    if (!err) {
        sweep(node, NODE_MODULES);
        sweep(node, NODE_IMAGES);
    }
    if (!err) {
        changes_open(node);
    }
    err = err ? err : node_calls_open(node, diag);
    err = err || node->tier ? err : open_tier(node, diag);
    err = err ? err : async_open(node, &node->async, diag);
    err = err ? err : triggers_open(node, &node->triggers, diag);
    err = err ? err : http_open(node, diag);
    if (err) {
        node_close(node);
        return wm_diag_default(diag, err, "node");
    }
    node->state = NODE_RUNNING;
    async_resume(node->async);
    *out = node;
    return 0;
}

static void tell_waiters(struct node *node)
{
    while (node->waiters) {
        struct node_waiter *waiter = node->waiters;
        node->waiters = waiter->next;
        waiter->drained(waiter);
    }
}

void node_close(struct node *node)
{
    if (!node) {
        return;
    }
    node->state = NODE_DRAINED;
    while (node->uploads) { /* threads prepare modules, with workers' help */
        (void)uv_run(node->loop, UV_RUN_ONCE);
    }
    if (node->calls) {
        node_calls_close(node);
    }
    /* Everybody has been answered, or will be by work that is under way. */
    tell_waiters(node);
    if (node->async) {
        async_wake(node->async);
    }
    while (node->http && (http_running(node->http) || node->change_first || node->turn_working)) {
        (void)uv_run(node->loop, UV_RUN_ONCE);
    }
    http_close(node->http);
    triggers_close(node->triggers);
    async_close(node->async);
    catalogue_close(node->catalogue);
    if (node->tier) {
        node->tier->ops->close(node->tier->self);
        wm_free(node->tier);
    }
    if (node->kv) {
        kv_close(node->kv);
    }
    logs_free(node->logs);
    metrics_free(node->metrics);
    host_file_close(node->dir_fd);
    wm_wipe(node->key, sizeof node->key);
    wm_free(node);
}

static void calls_drained(void *self)
{
    struct node *node = self;
    node->state = NODE_DRAINED;
    log_line(LOG_INFO, "node", "state=drained");
    tell_waiters(node);
}

void node_drain(struct node *node, struct node_waiter *waiter)
{
    if (node->state == NODE_DRAINED) {
        waiter->drained(waiter);
        return;
    }
    waiter->next = node->waiters;
    node->waiters = waiter;
    if (node->state == NODE_RUNNING) {
        node->state = NODE_DRAINING;
        log_line(LOG_INFO, "node", "state=draining");
        node_calls_drain(node, calls_drained, node);
    }
}

void node_print_addresses(const struct node *node)
{
    for (unsigned i = 0; http_address(node->http, i); i++) {
        printf("listening on %s\n", http_address(node->http, i));
    }
    (void)fflush(stdout);
    if (node->is_new) {
        bool named = !node->config->data_is_default;
        fprintf(stderr,
                "a new node, in %s. In another shell:\n"
                "%s%s%s"
                "  wardmote fn put FILE.c           makes a C program a function, named FILE\n"
                "  wardmote fn call FILE INPUT      calls it\n"
                "  wardmote node status             what isolates it, and how it does\n",
                node->config->data, named ? "  export WARDMOTE_NODE_URL=unix:" : "",
                named ? node->config->data : "", named ? "/" NODE_SOCKET "\n" : "");
    }
}
