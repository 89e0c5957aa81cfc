/* node.h: the daemon as a whole: its loop, what lasts, and its parts, in one struct.
 *
 * Everything here belongs to the loop thread. Work that blocks (the disk, the compiler) runs in
 * libuv's threads and touches nothing of this struct but what is said to be for any thread.
 *
 * The data folder is described in doc/format/node.md. */
#ifndef WM_NODE_NODE_H
#define WM_NODE_NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/diag.h"
#include "node/config.h"

struct kv;
struct catalogue;
struct tier;
struct global;
struct http;
struct metrics;
struct logs;
struct async;
struct catalogue_change;
struct http_request;
struct triggers;
struct node_calls;
struct call_result;
struct function_version;
struct json_t;
struct change_turn;
struct catalogue_changed;
struct artefact_use;

enum node_state { NODE_STARTING, NODE_RUNNING, NODE_DRAINING, NODE_DRAINED };

/* What other parts put in their places when they are opened; NULL where this node does without. */
struct node_hooks {
    void *self;
    /* Runs init of a version whose module is compiled, freezes it into images/ and fills in
     * image_sha256 and image_bytes. Any thread; blocks. Errors are the uploader's to read. */
    int (*snapshot)(void *self, struct function_version *version, struct wm_diag *diag);
    /* The record of a call and its path to the signed root, as CBOR (wm_free): any thread. Whose
     * record it is is checked here: WM_E_NOT_FOUND for another tenant's. */
    int (*receipt)(void *self, const char *tenant, uint64_t second, uint32_t index, uint8_t **out,
                   size_t *len, struct wm_diag *diag);
    /* The node's public key, in hexadecimal; borrowed. */
    const char *(*public_key)(void *self);
    /* Adds to what GET /v1/node tells: isolation, workers, peers, scheduler. */
    void (*describe)(void *self, struct json_t *object);
    /* An entry of the catalogue is another one now. */
    void (*changed)(void *self, const struct catalogue_changed *changed);
    /* Is it this node, of all that live, that calls this cron trigger? NULL: it is alone. */
    bool (*owns)(void *self, const char *tenant, const char *trigger);
};

struct node {
    const struct config *config;
    uv_loop_t *loop;
    enum node_state state;
    int dir_fd;      /* of the data folder */
    uint8_t key[32]; /* for secrets at rest: seal.key, or derived from the cluster's key */
    struct kv *kv;   /* any thread */
    struct catalogue *catalogue;
    struct tier *tier;     /* any thread; NULL: this node has none */
    struct global *global; /* what tier is part of; NULL: not made by global.c */
    struct node_calls *calls;
    struct http *http;
    struct metrics *metrics; /* any thread */
    struct logs *logs;
    struct async *async;
    struct triggers *triggers;
    struct node_hooks hooks;
    int64_t started_ns; /* of the wall clock */
    bool is_new;        /* there was nothing in its folder */
    /* api.c's: changes of the catalogue wait here for their turn; the first one is at work. */
    struct http_request *change_first, *change_last;
    struct catalogue_change *change;
    /* changes.c's: changes that no request makes. */
    struct change_turn *turn_first, *turn_last;
    bool turn_working, turn_was_ours;
    uint32_t uploads;            /* modules that are being prepared */
    struct node_waiter *waiters; /* of the drain that is under way */
};

/* Makes the data folder where it is missing, opens everything, listens and is ready. On failure
 * nothing is left open. `config` is borrowed. */
WM_MUST_CHECK int node_open(const struct config *config, uv_loop_t *loop, struct node **out,
                            struct wm_diag *diag);
/* Drained or not. Runs the loop until everything that was open is closed. */
void node_close(struct node *node);
/* No new calls; `drained` once the running ones have ended. May be called again meanwhile. */
struct node_waiter {
    struct node_waiter *next;
    void (*drained)(struct node_waiter *waiter);
};
void node_drain(struct node *node, struct node_waiter *waiter);

/* Prints its addresses (one `listening on URL` line each) to standard output; of a new node also,
 * to standard error, what to do next. */
void node_print_addresses(const struct node *node);

/* Folders and files of the data folder. */
#define NODE_STORE "data"
#define NODE_MODULES "modules"
#define NODE_IMAGES "images"
#define NODE_CACHE "cache"
#define NODE_FILES "files"
#define NODE_TEMP "tmp"
#define NODE_KEY "seal.key"
#define NODE_IDENTITY "node.key" /* its signing key, where it has one (identity.h) */
#define NODE_SOCKET "node.sock"
/* Makes what is missing of the folder and its key, and takes the folder's lock, which goes with the
 * process: -EBUSY where another node runs on it. */
WM_MUST_CHECK int node_folder_open(const char *path, int *dir_fd, uint8_t key[32],
                                   struct wm_diag *diag);
/* DATA/FOLDER/HEX.wasm or .image; for any thread. */
#define NODE_FILE_NAME_BYTES 80
void node_file_name(char out[NODE_FILE_NAME_BYTES], const char *folder, const uint8_t sha256[32]);

#endif
