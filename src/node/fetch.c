/* fetch.c: see the header. */
#include "node/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "host/file.h"
#include "node/api.h"
#include "node/images.h"
#include "node/log.h"
#include "node/replicate.h"
#include "node/sync_message.h"
#include "node/trust.h"

/* --- Asking --- */

struct asking {
    struct replicate *replicate;
    uint32_t peer;
    struct rpc_client *client;
    bool broken;
};

static int ask(struct asking *asking, const struct sync_file_request *request,
               struct sync_file_reply *out, struct wm_diag *diag)
{
    uint8_t body[SYNC_FILE_REQUEST_BYTES];
    struct rpc_reply reply;
    sync_file_request_put(request, body);
    struct iovec part = {body, sizeof body};
    int rc = replicate_stopping(asking->replicate)
                 ? -ESHUTDOWN
                 : rpc_call(asking->client, RPC_FILE, &part, 1, -1, &reply, diag);
    asking->broken = asking->broken || rc != 0;
    if (rc == 0 && !sync_file_reply_get(reply.body, request->offset, out)) {
        rc = wm_diag_set(diag, WM_E_MALFORMED, "file of another node: a reply that is none");
    }
    return rc == 0 && !out->found ? WM_E_NOT_FOUND : rc;
}

/* The file's bytes into `fd`, hashed as they come. */
static int receive(struct asking *asking, enum sync_file kind, const uint8_t sha256[32],
                   uint64_t bytes_max, int fd, struct wm_diag *diag)
{
    struct sync_file_request request = {.kind = kind};
    struct sync_file_reply reply;
    struct wm_sha256 hash;
    uint8_t got[WM_SHA256_BYTES];
    uint64_t bytes = 0;
    int rc;
    memcpy(request.sha256, sha256, sizeof request.sha256);
    wm_sha256_init(&hash);
    for (;;) {
        rc = ask(asking, &request, &reply, diag);
        if (rc != 0) {
            return rc;
        }
        if (reply.bytes > bytes_max || (request.offset != 0 && reply.bytes != bytes)) {
            return wm_diag_set(diag, WM_E_LIMIT,
                               "file of another node: larger than it may be, or it changed");
        }
        bytes = reply.bytes;
        wm_sha256_add(&hash, reply.part);
        rc = host_file_write_all(fd, reply.part);
        if (rc != 0) {
            return wm_diag_default(diag, rc, "file of another node");
        }
        request.offset += reply.part.len;
        if (request.offset == bytes) {
            break;
        }
    }
    wm_sha256_end(&hash, got);
    return wm_bytes_equal(got, sha256, sizeof got)
               ? 0
               : wm_diag_set(diag, WM_E_FORGED,
                             "file of another node: its bytes are not those that were asked for");
}

static int temporary(struct replicate *replicate)
{
    int fd =
        openat(replicate_node(replicate)->dir_fd, NODE_TEMP, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

typedef int try_fn(struct asking *asking, void *self, struct wm_diag *diag);

/* Asks one peer after the other until one has given it. What went wrong with the last one that had
 * it is told. */
static int try_peers(struct cluster *cluster, try_fn *run, void *self, struct wm_diag *diag)
{
    struct replicate *replicate = cluster_replicate(cluster);
    int rc = wm_diag_set(diag, WM_E_NOT_FOUND, "no node that lives has it");
    if (!replicate || !replicate_enter(replicate)) {
        return wm_diag_set(diag, -ESHUTDOWN, "the node is stopping");
    }
    for (uint32_t peer = 0; peer < replicate_count(replicate); peer++) {
        struct wm_diag why = WM_DIAG_INIT;
        struct asking asking = {.replicate = replicate, .peer = peer};
        if (replicate_stopping(replicate) ||
            replicate_get(replicate, peer, &asking.client, &why) != 0) {
            continue;
        }
        int one = run(&asking, self, &why);
        replicate_put(replicate, peer, asking.client, asking.broken);
        if (one == 0) {
            rc = 0;
            break;
        }
        if (one != WM_E_NOT_FOUND) {
            char quoted[LOG_TEXT_BYTES];
            rc = wm_diag_set(diag, one, "from node %s: %s", replicate_name(replicate, peer),
                             wm_diag_text(&why));
            log_limited(LOG_WARN, "cluster", "event=fetch peer=%s why=%s",
                        replicate_name(replicate, peer), log_text(quoted, wm_diag_text(&why)));
        }
    }
    replicate_leave(replicate);
    return rc;
}

static int try_module(struct asking *asking, void *self, struct wm_diag *diag)
{
    const uint8_t *sha256 = self;
    const struct node *node = replicate_node(asking->replicate);
    char name[NODE_FILE_NAME_BYTES], from[40];
    int fd = temporary(asking->replicate);
    if (fd < 0) {
        return wm_diag_default(diag, fd, "module");
    }
    int rc = receive(asking, SYNC_MODULE, sha256, API_MODULE_BYTES_MAX, fd, diag);
    if (rc == 0) {
        node_file_name(name, NODE_MODULES, sha256);
        snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
        int dir = openat(node->dir_fd, NODE_MODULES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 || fsync(fd) != 0 ||
            (linkat(AT_FDCWD, from, node->dir_fd, name, AT_SYMLINK_FOLLOW) != 0 &&
             errno != EEXIST) ||
            fsync(dir) != 0) {
            rc = wm_diag_default(diag, -errno, "module");
        }
        host_file_close(dir);
    }
    host_file_close(fd);
    return rc;
}

int fetch_module(struct cluster *cluster, const uint8_t sha256[32], struct wm_diag *diag)
{
    uint8_t copy[32];
    memcpy(copy, sha256, sizeof copy);
    return try_peers(cluster, try_module, copy, diag);
}

struct image {
    int dir;
    const char *name;
    const struct artefact_use *use;
    const uint8_t *sha256;
};

static int check_manifest(struct asking *asking, const struct image *image, struct wm_view manifest,
                          const struct artefact_trust *trust, struct artefact *out,
                          struct wm_diag *diag)
{
    (void)asking;
    int rc = artefact_check(manifest, trust, out, diag);
    rc = rc ? rc : artefact_fits(out, image->use, diag);
    if (rc == 0 && !wm_bytes_equal(out->sha256, image->sha256, sizeof out->sha256)) {
        rc = wm_diag_set(diag, WM_E_FORGED, "manifest: it is of another image");
    }
    return rc;
}

static int take_image(struct asking *asking, const struct image *image, struct wm_view manifest,
                      struct wm_diag *diag)
{
    struct artefact artefact;
    size_t count = 0;
    struct trust *trusted = replicate_trust(asking->replicate);
    uint8_t(*keys)[SIGN_PUBLIC_BYTES] = trust_keys(trusted, &count);
    struct artefact_trust trust = {(const uint8_t(*)[SIGN_PUBLIC_BYTES])keys, count};
    int rc = keys ? check_manifest(asking, image, manifest, &trust, &artefact, diag) : -ENOMEM;
    if (rc == WM_E_DENIED &&
        replicate_learn_keys(asking->replicate, asking->peer, asking->client, diag) == 0) {
        /* Of a node that joined a moment ago. */
        wm_free(keys);
        keys = trust_keys(trusted, &count);
        trust = (struct artefact_trust){(const uint8_t(*)[SIGN_PUBLIC_BYTES])keys, count};
        rc = keys ? check_manifest(asking, image, manifest, &trust, &artefact, diag) : -ENOMEM;
    }
    int fd = rc == 0 ? temporary(asking->replicate) : -1;
    if (rc == 0) {
        rc =
            fd < 0 ? fd : receive(asking, SYNC_IMAGE, image->sha256, artefact.file_bytes, fd, diag);
    }
    if (rc == 0) {
        rc = lseek(fd, 0, SEEK_SET) < 0 ? -errno
                                        : artefact_take(image->dir, image->name, fd, manifest,
                                                        image->use, &trust, &artefact, diag);
    }
    host_file_close(fd);
    wm_free(keys);
    return wm_diag_default(diag, rc, "Proto-Faaslet");
}

static int try_image(struct asking *asking, void *self, struct wm_diag *diag)
{
    const struct image *image = self;
    struct sync_file_request request = {.kind = SYNC_MANIFEST};
    struct sync_file_reply reply;
    uint8_t manifest[ARTEFACT_MANIFEST_BYTES_MAX];
    memcpy(request.sha256, image->sha256, sizeof request.sha256);
    memcpy(request.function_sha256, image->use->function_sha256, sizeof request.function_sha256);
    int rc = ask(asking, &request, &reply, diag);
    if (rc != 0) {
        return rc;
    }
    if (reply.part.len != reply.bytes || reply.bytes > sizeof manifest) {
        return wm_diag_set(diag, WM_E_MALFORMED, "manifest: longer than one may be");
    }
    size_t len = reply.part.len; /* the reply's bytes go with the next request */
    if (len != 0) {
        memcpy(manifest, reply.part.ptr, len);
    }
    return take_image(asking, image, wm_view_of(manifest, len), diag);
}

int fetch_image(struct cluster *cluster, int dir, const char *name, const struct artefact_use *use,
                const uint8_t sha256[32], struct wm_diag *diag)
{
    struct image image = {dir, name, use, sha256};
    return try_peers(cluster, try_image, &image, diag);
}

/* --- Answering --- */

static void name_of(const struct sync_file_request *request, char out[NODE_FILE_NAME_BYTES + 64])
{
    if (request->kind == SYNC_MANIFEST) {
        char name[IMAGES_NAME_BYTES];
        images_name(request->sha256, request->function_sha256, name);
        snprintf(out, NODE_FILE_NAME_BYTES + 64, "%s/%s", NODE_IMAGES, name);
    } else {
        node_file_name(out, request->kind == SYNC_MODULE ? NODE_MODULES : NODE_IMAGES,
                       request->sha256);
    }
}

int fetch_serve(const struct node *node, struct rpc_request *request)
{
    struct sync_file_request asked;
    char name[NODE_FILE_NAME_BYTES + 64];
    uint8_t head[SYNC_FILE_REPLY_BYTES], *room;
    struct stat st;
    if (!sync_file_request_get(request->body, &asked)) {
        return WM_E_MALFORMED;
    }
    name_of(&asked, name);
    int fd = openat(node->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool found = fd >= 0 && fstat(fd, &st) == 0 && asked.offset <= (uint64_t)st.st_size;
    uint64_t left = found ? (uint64_t)st.st_size - asked.offset : 0;
    size_t len = left < SYNC_FILE_BYTES ? (size_t)left : SYNC_FILE_BYTES;
    sync_file_reply_put(found, found ? (uint64_t)st.st_size : 0, head);
    int rc = rpc_reply_add(request, wm_view_of(head, sizeof head));
    if (rc == 0 && len != 0) {
        rc = rpc_reply_room(request, len, &room);
        rc = rc ? rc : host_file_read_at(fd, asked.offset, room, len);
    }
    host_file_close(fd);
    return rc;
}
