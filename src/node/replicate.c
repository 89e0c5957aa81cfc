/* replicate.c: a thread for each peer, which pushes and pulls; see the header. What is sent is read
 * from the store, which any thread may read; what comes in is decoded in the thread that received
 * it and applied by the loop, as one change in the queue of changes.h. */
#include "node/replicate.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/vec.h"
#include "host/file.h"
#include "node/calls_internal.h"
#include "node/changes.h"
#include "node/fetch.h"
#include "node/images.h"
#include "node/log.h"
#include "node/sync_message.h"
#include "node/trust.h"
#include "store/kv.h"

#define PULL_MS 3000       /* between comparisons with a peer */
#define AGAIN_MS 500       /* after a failure */
#define FORGET_MS 3600000u /* between looks for old tombstones */
#define DIRTY_MAX 1024u    /* changes that wait to be pushed; beyond them the peer pulls */
#define WANTS_MAX 8192u
#define WANT_TRIES 5u
#define WANT_PAUSE_MS 1000
#define LIST_RECORDS 4096u
#define ROUNDS_MAX 10000u /* of one pull: a peer that always has more is left for now */
#define STACK_BYTES (1u << 20)

struct dirty {
    enum entry_kind kind;
    uint32_t len;
    uint8_t key[ENTRY_KEY_BYTES_MAX];
};
typedef WM_VEC(struct dirty) dirty_list;

struct link {
    struct replicate *replicate;
    uint32_t peer;
    pthread_t thread;
    bool runs;
    dirty_list dirty; /* under the lock */
};

/* Files that an entry names. */
struct want {
    struct function_version version; /* its names and hashes; strings are not used */
    char **args;                     /* a copy */
    uint32_t tries;
};

struct replicate {
    struct node *node;
    struct peers *peers;
    struct trust *trust;
    struct mailbox *mailbox;
    uint32_t count, own;
    struct link *links;
    pthread_t fetcher;
    bool fetcher_runs;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* CLOCK_MONOTONIC */
    WM_VEC(struct want) wants;
    _Atomic bool stopping;
    _Atomic uint32_t live; /* threads, and whoever is in between enter and leave */
    /* Of all revisions, computed when somebody asks and something has changed. */
    pthread_mutex_t digest_lock;
    struct sync_digest digests[ENTRY_KINDS];
    uint64_t digested;
    _Atomic uint64_t changes;
    uv_timer_t forget_timer;
    bool timer_open;
    struct change_turn forget;
    bool forgetting;
    _Atomic uint64_t pushed, pulled, taken, failed, fetched;
};

/* --- Small things --- */

bool replicate_stopping(struct replicate *replicate)
{
    return atomic_load(&replicate->stopping);
}

bool replicate_enter(struct replicate *replicate)
{
    atomic_fetch_add(&replicate->live, 1);
    if (replicate_stopping(replicate)) {
        atomic_fetch_sub(&replicate->live, 1);
        return false;
    }
    return true;
}

void replicate_leave(struct replicate *replicate)
{
    atomic_fetch_sub(&replicate->live, 1);
}

uint32_t replicate_count(const struct replicate *replicate)
{
    return replicate->count;
}

const char *replicate_name(const struct replicate *replicate, uint32_t peer)
{
    struct peers_info info;
    peers_info(replicate->peers, peer, &info);
    return info.name;
}

static bool lives(const struct replicate *replicate, uint32_t peer)
{
    struct peers_info info;
    peers_info(replicate->peers, peer, &info);
    return peer != replicate->own && info.state == PEERS_ALIVE;
}

int replicate_get(struct replicate *replicate, uint32_t peer, struct rpc_client **out,
                  struct wm_diag *diag)
{
    return lives(replicate, peer) ? peers_get(replicate->peers, peer, out, diag) : WM_E_NOT_FOUND;
}

void replicate_put(struct replicate *replicate, uint32_t peer, struct rpc_client *client,
                   bool broken)
{
    peers_put(replicate->peers, peer, client, broken);
}

struct trust *replicate_trust(struct replicate *replicate)
{
    return replicate->trust;
}

const struct node *replicate_node(const struct replicate *replicate)
{
    return replicate->node;
}

static void complain(const struct replicate *replicate, uint32_t peer, const char *what,
                     struct wm_diag *diag)
{
    char quoted[LOG_TEXT_BYTES];
    log_limited(LOG_WARN, "cluster", "event=%s peer=%s why=%s", what,
                replicate_name(replicate, peer), log_text(quoted, wm_diag_text(diag)));
}

static int call(struct replicate *replicate, struct rpc_client *client, const void *body,
                size_t len, struct rpc_reply *reply, struct wm_diag *diag)
{
    struct iovec part = {(void *)(uintptr_t)body, len};
    if (replicate_stopping(replicate)) {
        return -ESHUTDOWN;
    }
    int rc = rpc_call(client, RPC_CATALOGUE, &part, 1, -1, reply, diag);
    if (rc == 0 && reply->fd >= 0) {
        close(reply->fd);
    }
    return rc;
}

/* --- Applying what came --- */

struct applying {
    struct mailbox_call call;
    struct change_turn turn;
    struct replicate *replicate;
    struct catalogue_import *import;
    int err;
};

static int make_import(struct change_turn *turn, struct catalogue_change **out,
                       struct wm_diag *diag)
{
    struct applying *applying = WM_CONTAINER_OF(turn, struct applying, turn);
    return catalogue_import_change(turn->node->catalogue, applying->import, host_realtime_ns(), out,
                                   diag);
}

static void import_done(struct change_turn *turn, int err)
{
    struct applying *applying = WM_CONTAINER_OF(turn, struct applying, turn);
    applying->err = err;
    mailbox_done(&applying->call);
}

static void apply_on_loop(void *self)
{
    struct applying *applying = self;
    changes_take(applying->replicate->node, &applying->turn);
}

/* Records out of a message, as one change; waits until it is on the disk. One that cannot be is
 * left out. */
static int take_records(struct replicate *replicate, uint32_t peer, struct wm_view body,
                        struct wm_diag *diag)
{
    struct wm_cursor cursor = wm_cursor_of(body);
    struct sync_record record;
    struct applying applying = {.replicate = replicate, .import = catalogue_import_new()};
    applying.turn = (struct change_turn){.make = make_import, .done = import_done};
    int rc = applying.import ? 0 : -ENOMEM;
    uint32_t count = 0;
    while (rc == 0 && sync_record_next(&cursor, &record)) {
        struct wm_diag why = WM_DIAG_INIT;
        if (catalogue_import_add(applying.import, record.kind, record.key, &record.revision,
                                 record.text, &why) != 0) {
            complain(replicate, peer, "refused", &why);
        } else {
            count++;
        }
    }
    if (rc == 0 && !wm_cursor_done(&cursor)) {
        rc = wm_diag_set(diag, WM_E_MALFORMED, "entries of another node: a record that is none");
    }
    if (rc == 0 && count != 0) {
        if (!replicate_enter(replicate)) {
            rc = -ESHUTDOWN;
        } else {
            rc = mailbox_call(replicate->mailbox, &applying.call, apply_on_loop, &applying)
                     ? applying.err
                     : -ESHUTDOWN;
            replicate_leave(replicate);
            atomic_fetch_add(&replicate->taken, rc == 0 ? count : 0);
        }
    }
    catalogue_import_free(applying.import);
    return wm_diag_default(diag, rc, "entries of another node");
}

/* --- Reading what is to be sent --- */

struct building {
    uint8_t *bytes;
    size_t len, room;
};

static int add_record(struct building *building, const struct sync_record *record)
{
    size_t need = sync_record_bytes(record);
    if (need > building->room - building->len) {
        size_t room = building->len + need + (building->len + need) / 2;
        uint8_t *grown = wm_realloc(building->bytes, room, 1);
        if (!grown) {
            return -ENOMEM;
        }
        building->bytes = grown;
        building->room = room;
    }
    sync_record_put(record, building->bytes + building->len);
    building->len += need;
    return 0;
}

/* What is in the store under this key; nothing is added when there is nothing. */
static int add_entry(struct building *building, struct kv_reader *reader, enum entry_kind kind,
                     struct wm_view key)
{
    struct sync_record record = {.kind = (uint8_t)kind, .key = key};
    int rc = catalogue_export(reader, kind, key, &record.revision, &record.text);
    if (rc != 0 || record.text.len > ENTRY_TEXT_BYTES_MAX || !record.revision.node[0]) {
        return rc == WM_E_NOT_FOUND ? 0 : rc;
    }
    return add_record(building, &record);
}

static bool digest_one(void *self, struct wm_view key, const struct revision *revision)
{
    sync_digest_add(self, key, revision);
    return true;
}

static int own_digests(struct replicate *replicate, struct sync_digest out[ENTRY_KINDS],
                       struct wm_diag *diag)
{
    struct kv_reader *reader;
    int rc = 0;
    pthread_mutex_lock(&replicate->digest_lock);
    uint64_t changes = atomic_load(&replicate->changes);
    if (changes != replicate->digested) {
        rc = kv_read_begin(replicate->node->kv, &reader, diag);
        memset(replicate->digests, 0, sizeof replicate->digests);
        for (unsigned i = 0; rc == 0 && i < ENTRY_KINDS; i++) {
            rc = catalogue_each_revision(reader, (enum entry_kind)i, (struct wm_view){0},
                                         host_realtime_ns(), digest_one, &replicate->digests[i]);
            if (rc != 0 || i == ENTRY_KINDS - 1) {
                kv_read_end(reader);
            }
        }
        replicate->digested = rc == 0 ? changes : 0;
    }
    memcpy(out, replicate->digests, sizeof replicate->digests);
    pthread_mutex_unlock(&replicate->digest_lock);
    return rc;
}

/* --- Pushing --- */

static int push(struct replicate *replicate, struct rpc_client *client, const dirty_list *list,
                struct wm_diag *diag)
{
    size_t at = 0;
    int rc = 0;
    while (rc == 0 && at < list->count) {
        struct building building = {0};
        struct kv_reader *reader;
        struct rpc_reply reply;
        size_t from = at;
        uint8_t op = SYNC_PUT;
        rc = kv_read_begin(replicate->node->kv, &reader, diag);
        if (rc != 0) {
            return rc;
        }
        building.bytes = wm_alloc(building.room = 4096);
        rc = building.bytes ? 0 : -ENOMEM;
        if (rc == 0) {
            building.bytes[building.len++] = op;
        }
        while (rc == 0 && at < list->count && at - from < SYNC_BATCH_RECORDS &&
               building.len < SYNC_BATCH_BYTES) {
            const struct dirty *one = &list->items[at++];
            rc = add_entry(&building, reader, one->kind, wm_view_of(one->key, one->len));
        }
        kv_read_end(reader);
        if (rc == 0 && building.len > 1) {
            rc = call(replicate, client, building.bytes, building.len, &reply, diag);
            atomic_fetch_add(&replicate->pushed, rc == 0 ? at - from : 0);
        }
        wm_free(building.bytes);
    }
    return rc;
}

/* --- Pulling --- */

int replicate_learn_keys(struct replicate *replicate, uint32_t peer, struct rpc_client *client,
                         struct wm_diag *diag)
{
    uint8_t body[5] = {SYNC_HELLO};
    uint32_t version = SYNC_VERSION;
    struct rpc_reply reply;
    memcpy(body + 1, &version, sizeof version);
    int rc = call(replicate, client, body, sizeof body, &reply, diag);
    if (rc != 0) {
        return rc;
    }
    if (reply.body.len == 0 || reply.body.len % SIGN_PUBLIC_BYTES != 0 ||
        reply.body.len / SIGN_PUBLIC_BYTES > SYNC_KEYS_MAX) {
        return wm_diag_set(diag, WM_E_MALFORMED, "keys of another node: not of the form");
    }
    return trust_add(replicate->trust, (const uint8_t(*)[SIGN_PUBLIC_BYTES])reply.body.ptr,
                     reply.body.len / SIGN_PUBLIC_BYTES, replicate_name(replicate, peer), diag);
}

/* The keys of a list's records whose revision is not the one that is here. */
static int differing(struct replicate *replicate, enum entry_kind kind, struct wm_view list,
                     dirty_list *out, struct dirty *last, bool *any, struct wm_diag *diag)
{
    struct wm_cursor cursor = wm_cursor_of(list);
    struct sync_record record;
    struct kv_reader *reader;
    int rc = kv_read_begin(replicate->node->kv, &reader, diag);
    if (rc != 0) {
        return rc;
    }
    *any = false;
    while (rc == 0 && sync_record_next(&cursor, &record)) {
        struct revision own;
        struct wm_view text;
        struct dirty one = {.kind = kind, .len = (uint32_t)record.key.len};
        memcpy(one.key, record.key.ptr, record.key.len);
        if (record.kind != kind || (last->len && memcmp(one.key, last->key, sizeof one.key) == 0)) {
            rc = WM_E_MALFORMED;
            break;
        }
        *last = one;
        *any = true;
        rc = catalogue_export(reader, kind, record.key, &own, &text);
        bool known = rc == 0;
        rc = rc == WM_E_NOT_FOUND ? 0 : rc;
        if (rc == 0 && (!known || revision_compare(&record.revision, &own) > 0)) {
            rc = wm_vec_push(out, one);
        }
    }
    kv_read_end(reader);
    if (rc == 0 && !wm_cursor_done(&cursor)) {
        rc = WM_E_MALFORMED;
    }
    return wm_diag_default(diag, rc, "list of another node");
}

/* Asks for all of `list`, as many at a time as come. */
static int get(struct replicate *replicate, uint32_t peer, struct rpc_client *client,
               const dirty_list *list, struct wm_diag *diag)
{
    uint8_t *body = wm_alloc(1 + SYNC_BATCH_RECORDS * SYNC_KEY_BYTES_MAX);
    size_t at = 0;
    int rc = body ? 0 : -ENOMEM;
    while (rc == 0 && at < list->count) {
        size_t len = 1, asked = 0, came = 0;
        struct rpc_reply reply;
        struct sync_record record;
        body[0] = SYNC_GET;
        for (; at + asked < list->count && asked < SYNC_BATCH_RECORDS; asked++) {
            const struct dirty *one = &list->items[at + asked];
            len += sync_key_put(one->kind, wm_view_of(one->key, one->len), body + len);
        }
        rc = call(replicate, client, body, len, &reply, diag);
        if (rc != 0) {
            break;
        }
        struct wm_cursor cursor = wm_cursor_of(reply.body);
        while (came < asked && sync_record_next(&cursor, &record)) {
            came++;
        }
        if (came == 0) {
            break; /* gone meanwhile: the next comparison tells */
        }
        rc = take_records(replicate, peer, reply.body, diag);
        atomic_fetch_add(&replicate->pulled, rc == 0 ? came : 0);
        at += came;
    }
    wm_free(body);
    return rc;
}

static int pull_kind(struct replicate *replicate, uint32_t peer, struct rpc_client *client,
                     enum entry_kind kind, struct wm_diag *diag)
{
    struct dirty last = {.kind = kind};
    int rc = 0;
    for (uint32_t round = 0; rc == 0 && round < ROUNDS_MAX; round++) {
        uint8_t body[1 + SYNC_KEY_BYTES_MAX] = {SYNC_LIST};
        struct rpc_reply reply;
        dirty_list list = {0};
        bool any = false;
        size_t len = 1 + sync_key_put(kind, wm_view_of(last.key, last.len), body + 1);
        rc = call(replicate, client, body, len, &reply, diag);
        rc = rc ? rc : differing(replicate, kind, reply.body, &list, &last, &any, diag);
        rc = rc ? rc : get(replicate, peer, client, &list, diag);
        wm_vec_fini(&list);
        if (!any) {
            break;
        }
    }
    return rc;
}

static int pull(struct replicate *replicate, uint32_t peer, struct rpc_client *client,
                struct wm_diag *diag)
{
    struct sync_digest own[ENTRY_KINDS], theirs[ENTRY_KINDS];
    uint8_t op = SYNC_DIGEST;
    struct rpc_reply reply;
    int rc = own_digests(replicate, own, diag);
    rc = rc ? rc : call(replicate, client, &op, 1, &reply, diag);
    if (rc == 0 && !sync_digests_get(reply.body, theirs)) {
        rc = wm_diag_set(diag, WM_E_MALFORMED, "digests of another node: not of the form");
    }
    for (unsigned i = 0; rc == 0 && i < ENTRY_KINDS; i++) {
        if (own[i].count != theirs[i].count ||
            memcmp(own[i].hash, theirs[i].hash, sizeof own[i].hash) != 0) {
            rc = pull_kind(replicate, peer, client, (enum entry_kind)i, diag);
        }
    }
    return rc;
}

/* --- The thread of a peer --- */

static struct timespec at_ms(int64_t ms)
{
    return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

static int64_t now_ms(void)
{
    return host_monotonic_ns() / 1000000;
}

/* One round with a peer that lives. */
static int meet(struct link *link, bool fresh, bool compare, const dirty_list *list,
                struct wm_diag *diag)
{
    struct replicate *replicate = link->replicate;
    struct rpc_client *client;
    int rc = replicate_get(replicate, link->peer, &client, diag);
    if (rc != 0) {
        return rc;
    }
    rc = push(replicate, client, list, diag);
    if (rc == 0 && fresh) {
        rc = replicate_learn_keys(replicate, link->peer, client, diag);
        if (rc == WM_E_LIMIT) { /* its images are not taken; its entries are */
            complain(replicate, link->peer, "keys", diag);
            rc = 0;
        }
    }
    if (rc == 0 && compare) {
        rc = pull(replicate, link->peer, client, diag);
    }
    replicate_put(replicate, link->peer, client, rc != 0);
    return rc;
}

static void *link_main(void *arg)
{
    struct link *link = arg;
    struct replicate *replicate = link->replicate;
    int64_t pull_ms = 0;
    bool greeted = false;
    while (!replicate_stopping(replicate)) {
        bool alive = lives(replicate, link->peer);
        dirty_list list = {0};
        pthread_mutex_lock(&replicate->lock);
        if (!alive) {
            greeted = false;
            pull_ms = 0;
        }
        bool due = alive && now_ms() >= pull_ms;
        if (!replicate_stopping(replicate) && !due && (!alive || link->dirty.count == 0)) {
            struct timespec until =
                at_ms(alive && pull_ms < now_ms() + PULL_MS ? pull_ms : now_ms() + PULL_MS);
            pthread_cond_timedwait(&replicate->wake, &replicate->lock, &until);
        }
        if (alive) {
            list = link->dirty;
            link->dirty = (dirty_list){0};
        } else {
            link->dirty.count = 0; /* it will ask */
        }
        pthread_mutex_unlock(&replicate->lock);
        if (alive && (due || list.count != 0) && !replicate_stopping(replicate)) {
            struct wm_diag diag = WM_DIAG_INIT;
            int rc = wm_diag_default(&diag, meet(link, !greeted, due, &list, &diag), "peer");
            if (rc != 0 && !replicate_stopping(replicate)) {
                atomic_fetch_add(&replicate->failed, 1);
                complain(replicate, link->peer, "replication", &diag);
            }
            /* After a failure soon again: something was not said. */
            pull_ms = rc != 0 ? now_ms() + AGAIN_MS : due ? now_ms() + PULL_MS : pull_ms;
            greeted = greeted || rc == 0;
        }
        wm_vec_fini(&list);
    }
    replicate_leave(replicate);
    return NULL;
}

/* --- Fetching what entries name --- */

static void free_want(struct want *want)
{
    for (size_t i = 0; want->args && want->args[i]; i++) {
        wm_free(want->args[i]);
    }
    wm_free(want->args);
}

static void add_want(void *self, const struct function_version *version)
{
    struct replicate *replicate = self;
    struct want want = {.version = *version};
    size_t count = 0;
    while (version->args && version->args[count]) {
        count++;
    }
    want.args = wm_alloc_zero(count + 1, sizeof *want.args);
    bool ok = want.args != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        want.args[i] = wm_strdup(version->args[i]);
        ok = want.args[i] != NULL;
    }
    pthread_mutex_lock(&replicate->lock);
    ok = ok && replicate->wants.count < WANTS_MAX && wm_vec_push(&replicate->wants, want) == 0;
    pthread_cond_broadcast(&replicate->wake);
    pthread_mutex_unlock(&replicate->lock);
    if (!ok) {
        free_want(&want); /* the first call fetches it */
    }
}

static bool have(const struct node *node, const char *name)
{
    return faccessat(node->dir_fd, name, R_OK, 0) == 0;
}

static int fulfil(struct replicate *replicate, struct want *want, struct wm_diag *diag)
{
    static const uint8_t none[32];
    const struct node *node = replicate->node;
    struct cluster *cluster = node->calls->cluster;
    char name[NODE_FILE_NAME_BYTES], manifest[IMAGES_NAME_BYTES];
    char path[sizeof NODE_IMAGES + IMAGES_NAME_BYTES];
    struct artefact_use use;
    int rc = 0;
    node_file_name(name, NODE_MODULES, want->version.module_sha256);
    if (!have(node, name)) {
        rc = fetch_module(cluster, want->version.module_sha256, diag);
        atomic_fetch_add(&replicate->fetched, rc == 0);
    }
    if (rc != 0 || memcmp(want->version.image_sha256, none, sizeof none) == 0) {
        return rc;
    }
    want->version.args = want->args;
    images_use(&want->version, &use);
    images_name(want->version.image_sha256, use.function_sha256, manifest);
    snprintf(path, sizeof path, "%s/%s", NODE_IMAGES, manifest);
    node_file_name(name, NODE_IMAGES, want->version.image_sha256);
    if (!have(node, path) || !have(node, name)) {
        int dir = openat(node->dir_fd, NODE_IMAGES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        rc = dir < 0 ? -errno
                     : fetch_image(cluster, dir, manifest, &use, want->version.image_sha256, diag);
        atomic_fetch_add(&replicate->fetched, rc == 0);
        host_file_close(dir);
    }
    return rc;
}

static void *fetch_main(void *arg)
{
    struct replicate *replicate = arg;
    pthread_mutex_lock(&replicate->lock);
    while (!replicate_stopping(replicate)) {
        if (replicate->wants.count == 0) {
            pthread_cond_wait(&replicate->wake, &replicate->lock);
            continue;
        }
        struct want want = replicate->wants.items[--replicate->wants.count];
        pthread_mutex_unlock(&replicate->lock);
        struct wm_diag diag = WM_DIAG_INIT;
        int rc = fulfil(replicate, &want, &diag);
        pthread_mutex_lock(&replicate->lock);
        bool again = rc != 0 && ++want.tries < WANT_TRIES && !replicate_stopping(replicate);
        if (again) {
            struct timespec until = at_ms(now_ms() + WANT_PAUSE_MS);
            pthread_cond_timedwait(&replicate->wake, &replicate->lock, &until);
        }
        if (!again || wm_vec_push(&replicate->wants, want) != 0) {
            free_want(&want);
        }
    }
    pthread_mutex_unlock(&replicate->lock);
    replicate_leave(replicate);
    return NULL;
}

/* --- Answering --- */

static int serve_hello(struct replicate *replicate, struct rpc_request *request)
{
    size_t count = 0;
    uint8_t(*keys)[SIGN_PUBLIC_BYTES] = trust_keys(replicate->trust, &count);
    int rc = keys ? rpc_reply_add(request, wm_view_of(keys, count * SIGN_PUBLIC_BYTES)) : -ENOMEM;
    wm_free(keys);
    return rc;
}

static int serve_digest(struct replicate *replicate, struct rpc_request *request)
{
    struct sync_digest digests[ENTRY_KINDS];
    uint8_t out[SYNC_DIGESTS_BYTES];
    int rc = own_digests(replicate, digests, NULL);
    if (rc == 0) {
        sync_digests_put(digests, out);
        rc = rpc_reply_add(request, wm_view_of(out, sizeof out));
    }
    return rc;
}

struct listing {
    struct building building;
    uint8_t kind;
    uint32_t count;
    int err;
};

static bool list_one(void *self, struct wm_view key, const struct revision *revision)
{
    struct listing *listing = self;
    struct sync_record record = {.kind = listing->kind, .revision = *revision, .key = key};
    if (revision->node[0]) {
        listing->err = add_record(&listing->building, &record);
    }
    return listing->err == 0 && ++listing->count < LIST_RECORDS;
}

static int serve_list(struct replicate *replicate, struct wm_cursor *cursor,
                      struct rpc_request *request)
{
    struct listing listing = {0};
    enum entry_kind kind;
    struct wm_view after;
    struct kv_reader *reader;
    if (!sync_key_next(cursor, &kind, &after) || !wm_cursor_done(cursor)) {
        return WM_E_MALFORMED;
    }
    listing.kind = (uint8_t)kind;
    int rc = kv_read_begin(replicate->node->kv, &reader, NULL);
    if (rc == 0) {
        rc = catalogue_each_revision(reader, kind, after, host_realtime_ns(), list_one, &listing);
        kv_read_end(reader);
    }
    rc = rc ? rc : listing.err;
    rc = rc ? rc : rpc_reply_add(request, wm_view_of(listing.building.bytes, listing.building.len));
    wm_free(listing.building.bytes);
    return rc;
}

static int serve_get(struct replicate *replicate, struct wm_cursor *cursor,
                     struct rpc_request *request)
{
    struct building building = {0};
    enum entry_kind kind;
    struct wm_view key;
    struct kv_reader *reader;
    uint32_t count = 0;
    int rc = kv_read_begin(replicate->node->kv, &reader, NULL);
    if (rc != 0) {
        return rc;
    }
    while (rc == 0 && !wm_cursor_done(cursor) && building.len < SYNC_BATCH_BYTES) {
        rc = count++ < SYNC_BATCH_RECORDS && sync_key_next(cursor, &kind, &key) && key.len != 0
                 ? add_entry(&building, reader, kind, key)
                 : WM_E_MALFORMED;
    }
    kv_read_end(reader);
    rc = rc ? rc : rpc_reply_add(request, wm_view_of(building.bytes, building.len));
    wm_free(building.bytes);
    return rc;
}

int replicate_serve(struct replicate *replicate, uint32_t peer, struct rpc_request *request)
{
    struct wm_cursor cursor = wm_cursor_of(request->body);
    struct wm_diag diag = WM_DIAG_INIT;
    struct wm_view rest;
    uint8_t op;
    uint32_t version;
    if (replicate_stopping(replicate)) {
        return -ESHUTDOWN;
    }
    if (request->service == RPC_FILE) {
        return fetch_serve(replicate->node, request);
    }
    if (!wm_cursor_u8(&cursor, &op)) {
        return WM_E_MALFORMED;
    }
    int rc;
    switch (op) {
    case SYNC_HELLO:
        rc = wm_cursor_u32(&cursor, &version) && version == SYNC_VERSION
                 ? serve_hello(replicate, request)
                 : WM_E_UNSUPPORTED;
        break;
    case SYNC_DIGEST: rc = serve_digest(replicate, request); break;
    case SYNC_LIST: rc = serve_list(replicate, &cursor, request); break;
    case SYNC_GET: rc = serve_get(replicate, &cursor, request); break;
    case SYNC_PUT:
        rc = wm_cursor_bytes(&cursor, wm_cursor_left(&cursor), &rest)
                 ? take_records(replicate, peer, rest, &diag)
                 : WM_E_MALFORMED;
        break;
    default: rc = WM_E_UNSUPPORTED; break;
    }
    if (rc != 0 && rc != -ESHUTDOWN) {
        rc = wm_diag_default(&diag, rc, "catalogue");
        complain(replicate, peer, "request", &diag);
    }
    return rc;
}

/* --- The loop's side --- */

void replicate_changed(struct replicate *replicate, const struct catalogue_changed *changed)
{
    struct dirty one = {.kind = changed->kind, .len = (uint32_t)changed->key.len};
    atomic_fetch_add(&replicate->changes, 1);
    if (changed->foreign) {
        if (changed->kind == ENTRY_FUNCTION) {
            catalogue_each_version(replicate->node->catalogue, changed->key, add_want, replicate);
        }
        return;
    }
    memcpy(one.key, changed->key.ptr, changed->key.len);
    pthread_mutex_lock(&replicate->lock);
    for (uint32_t i = 0; i < replicate->count; i++) {
        struct link *link = &replicate->links[i];
        if (i != replicate->own && link->dirty.count < DIRTY_MAX) {
            (void)!wm_vec_push(&link->dirty, one); /* else it asks */
        }
    }
    pthread_cond_broadcast(&replicate->wake);
    pthread_mutex_unlock(&replicate->lock);
}

void replicate_look(struct replicate *replicate)
{
    pthread_mutex_lock(&replicate->lock);
    pthread_cond_broadcast(&replicate->wake);
    pthread_mutex_unlock(&replicate->lock);
}

static int make_forget(struct change_turn *turn, struct catalogue_change **out,
                       struct wm_diag *diag)
{
    return catalogue_forget(turn->node->catalogue, host_realtime_ns(), out, diag);
}

static void forget_done(struct change_turn *turn, int err)
{
    struct replicate *replicate = WM_CONTAINER_OF(turn, struct replicate, forget);
    (void)err; /* tried again in an hour */
    replicate->forgetting = false;
    atomic_fetch_add(&replicate->changes, 1);
}

static void on_forget(uv_timer_t *timer)
{
    struct replicate *replicate = timer->data;
    /* Tombstones leave the digest by their age, without a change. */
    atomic_fetch_add(&replicate->changes, 1);
    if (!replicate->forgetting && !replicate_stopping(replicate)) {
        replicate->forgetting = true;
        replicate->forget.make = make_forget;
        replicate->forget.done = forget_done;
        changes_take(replicate->node, &replicate->forget);
    }
}

static int start_thread(struct replicate *replicate, pthread_t *thread, void *(*run)(void *),
                        void *arg, struct wm_diag *diag)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    atomic_fetch_add(&replicate->live, 1);
    int rc = -pthread_create(thread, &attr, run, arg);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        atomic_fetch_sub(&replicate->live, 1);
        return wm_diag_set(diag, rc, "cluster: a thread: %s", wm_error_text(rc));
    }
    return 0;
}

int replicate_open(struct node *node, struct peers *peers, struct trust *trust,
                   struct mailbox *mailbox, struct replicate **out, struct wm_diag *diag)
{
    pthread_condattr_t attr;
    struct replicate *replicate = wm_alloc_zero(1, sizeof *replicate);
    if (!replicate) {
        return wm_diag_default(diag, -ENOMEM, "cluster");
    }
    replicate->node = node;
    replicate->peers = peers;
    replicate->trust = trust;
    replicate->mailbox = mailbox;
    replicate->count = peers_count(peers);
    replicate->own = peers_self(peers);
    atomic_store(&replicate->changes, 1);
    pthread_mutex_init(&replicate->lock, NULL);
    pthread_mutex_init(&replicate->digest_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&replicate->wake, &attr);
    pthread_condattr_destroy(&attr);
    replicate->links = wm_alloc_zero(replicate->count, sizeof *replicate->links);
    int rc = replicate->links ? 0 : wm_diag_default(diag, -ENOMEM, "cluster");
    /* What a crash kept from being fetched. */
    if (rc == 0) {
        catalogue_each_version(node->catalogue, (struct wm_view){0}, add_want, replicate);
        rc = start_thread(replicate, &replicate->fetcher, fetch_main, replicate, diag);
        replicate->fetcher_runs = rc == 0;
    }
    for (uint32_t i = 0; rc == 0 && i < replicate->count; i++) {
        struct link *link = &replicate->links[i];
        link->replicate = replicate;
        link->peer = i;
        if (i != replicate->own) {
            rc = start_thread(replicate, &link->thread, link_main, link, diag);
            link->runs = rc == 0;
        }
    }
    if (rc != 0) {
        replicate_stop(replicate);
        replicate_close(replicate);
        return rc;
    }
    uv_timer_init(node->loop, &replicate->forget_timer);
    replicate->forget_timer.data = replicate;
    uv_timer_start(&replicate->forget_timer, on_forget, FORGET_MS, FORGET_MS);
    uv_unref((uv_handle_t *)&replicate->forget_timer);
    replicate->timer_open = true;
    *out = replicate;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct replicate *replicate = handle->data;
    replicate->timer_open = false;
}

void replicate_stop(struct replicate *replicate)
{
    atomic_store(&replicate->stopping, true);
    replicate_look(replicate);
    if (replicate->timer_open) {
        uv_close((uv_handle_t *)&replicate->forget_timer, on_timer_closed);
    }
    while (atomic_load(&replicate->live) != 0 || replicate->timer_open || replicate->forgetting) {
        uv_run(replicate->node->loop, UV_RUN_NOWAIT);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    if (replicate->fetcher_runs) {
        pthread_join(replicate->fetcher, NULL);
        replicate->fetcher_runs = false;
    }
    for (uint32_t i = 0; replicate->links && i < replicate->count; i++) {
        if (replicate->links[i].runs) {
            pthread_join(replicate->links[i].thread, NULL);
            replicate->links[i].runs = false;
        }
    }
}

void replicate_close(struct replicate *replicate)
{
    if (!replicate) {
        return;
    }
    for (uint32_t i = 0; replicate->links && i < replicate->count; i++) {
        wm_vec_fini(&replicate->links[i].dirty);
    }
    for (size_t i = 0; i < replicate->wants.count; i++) {
        free_want(&replicate->wants.items[i]);
    }
    wm_vec_fini(&replicate->wants);
    wm_free(replicate->links);
    pthread_cond_destroy(&replicate->wake);
    pthread_mutex_destroy(&replicate->digest_lock);
    pthread_mutex_destroy(&replicate->lock);
    wm_free(replicate);
}

void replicate_stats(struct replicate *replicate, struct replicate_stats *out)
{
    *out = (struct replicate_stats){.pushed = atomic_load(&replicate->pushed),
                                    .pulled = atomic_load(&replicate->pulled),
                                    .taken = atomic_load(&replicate->taken),
                                    .failed = atomic_load(&replicate->failed),
                                    .fetched = atomic_load(&replicate->fetched)};
}
