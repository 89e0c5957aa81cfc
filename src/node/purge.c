/* Removing a folder with all in it, and all of a tenant's keys; see the header. */
#include "node/purge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/vec.h"
#include "faaslet/tier.h"
#include "host/file.h"
#include "node/catalogue.h"

#define DEPTH_MAX 512
#define KEYS_AT_ONCE 1000u

/* Never follows a link: what is opened as a folder is one. */
static int remove_tree(int at_fd, const char *name, int depth)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    int fd = openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : unlinkat(at_fd, name, 0) == 0 ? 0 : -errno;
    }
    DIR *dir = depth < DEPTH_MAX ? fdopendir(fd) : NULL;
    if (!dir) {
        host_file_close(fd);
        return depth < DEPTH_MAX ? -ENOMEM : -ELOOP;
    }
    int err = 0;
    for (struct dirent *entry; !err && (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            (entry->d_type != DT_DIR && unlinkat(dirfd(dir), entry->d_name, 0) == 0)) {
            continue;
        }
        err = remove_tree(dirfd(dir), entry->d_name, depth + 1);
    }
    (void)closedir(dir);
    return err ? err : unlinkat(at_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

struct key {
    size_t len;
    uint8_t bytes[TIER_KEY_BYTES_MAX];
};

struct keys {
    WM_VEC(struct key) list;
    int err;
};

static bool take_key(void *self, struct wm_view name, uint64_t bytes)
{
    struct keys *keys = self;
    struct key key = {.len = name.len};
    (void)bytes;
    if (name.len > sizeof key.bytes) {
        keys->err = WM_E_MALFORMED;
        return false;
    }
    memcpy(key.bytes, name.ptr, name.len);
    keys->err = wm_vec_push(&keys->list, key);
    return !keys->err && keys->list.count < KEYS_AT_ONCE;
}

/* Lists and removes in turns: a tier is not to be changed while it lists. */
static int remove_state(const struct tier *tier, struct wm_view tenant, struct wm_diag *diag)
{
    int err = 0;
    struct key last = {0};
    for (size_t removed = 1; removed && !err;) {
        struct keys keys = {.err = 0};
        err = tier->ops->list(tier->self, tenant, (struct wm_view){0},
                              wm_view_of(last.bytes, last.len), take_key, &keys, diag);
        err = err ? err : keys.err;
        removed = keys.list.count;
        for (size_t i = 0; i < removed && !err; i++) {
            struct key *key = &keys.list.items[i];
            struct tier_key name = {tenant, wm_view_of(key->bytes, key->len)};
            err = tier->ops->remove(tier->self, name, diag);
            err = err == WM_E_NOT_FOUND ? 0 : err;
            last = *key;
        }
        wm_vec_fini(&keys.list);
    }
    return err;
}

int purge_tenant(const struct node *node, const char *tenant, struct wm_diag *diag)
{
    char path[sizeof NODE_FILES + CATALOGUE_NAME_BYTES_MAX + 1];
    (void)snprintf(path, sizeof path, NODE_FILES "/%s", tenant);
    int err = remove_tree(node->dir_fd, path, 0);
    if (!err && node->tier) {
        err = remove_state(node->tier, wm_view_str(tenant), diag);
    }
    return wm_diag_default(diag, err, "what the tenant had");
}
