/* catalogue.h: who may do what, and which functions there are: the node's durable configuration.
 *
 * Tenants with quotas and tokens; functions with versions, aliases, environment and secrets; routes
 * and cron triggers. Kept in the node's store (store/kv.h), one JSON document an entry, and in
 * memory for look-ups: what a call needs is found by hash, without touching the disk. A change is
 * on the disk before it is acknowledged.
 *
 * Names are 1 to 64 of a-z A-Z 0-9 - _ . and start with a letter or digit. A token is 32 random
 * bytes, shown once; kept is its SHA-256. Secrets are kept encrypted under the node's key (mode
 * 0600 beside the store), are never given out, and are not part of what `show` prints.
 *
 * Threads: the loop thread. */
#ifndef WM_NODE_CATALOGUE_H
#define WM_NODE_CATALOGUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "faaslet/call.h"
#include "faaslet/control.h"

#define CATALOGUE_NAME_BYTES_MAX 64u

struct kv; /* store/kv.h */
struct catalogue;

enum role { ROLE_NONE, ROLE_INVOKE, ROLE_DEPLOY, ROLE_ADMIN }; /* each may do what the lower may */

struct tenant_quota {        /* 0: the default in [] */
    uint32_t cpu_weight;     /* 1 to 10000, against other tenants [100] */
    uint32_t cpu_percent;    /* of one processor; no limit [0] */
    uint64_t memory_bytes;   /* of all its workers [2 GiB] */
    uint64_t net_bits_per_s; /* each direction [100,000,000] */
    uint32_t calls_running;  /* at once [256] */
    uint32_t calls_queued;   /* beyond those [1024]; more: 429 */
    uint32_t calls_per_s;    /* [no limit] */
    uint64_t state_bytes;    /* of its values on this node [1 GiB] */
    uint64_t modules_bytes;  /* of its uploads [1 GiB] */
    uint64_t results_bytes;  /* of asynchronous results not yet read [256 MiB] */
};

struct tenant {
    char name[CATALOGUE_NAME_BYTES_MAX + 1];
    char trust_class[CATALOGUE_NAME_BYTES_MAX + 1]; /* whose worker processes it shares [its own] */
    struct tenant_quota quota;
    char **allow; /* hosts that outbound HTTP may reach: "example.org:443"; NULL-terminated */
};

/* One version of one function. Immutable; counted, so that a running call keeps its own. */
struct function_version {
    uint32_t refs;
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1];
    char name[CATALOGUE_NAME_BYTES_MAX + 1];
    uint32_t version; /* from 1 */
    enum function_kind kind;
    uint8_t module_sha256[32];
    uint8_t image_sha256[32]; /* of the Proto-Faaslet's file; zero: none yet */
    struct call_limits limits;
    bool idempotent; /* may be retried when the node or worker that ran it died */
    bool fuel;
    uint64_t module_bytes, image_bytes;
    int64_t created_ns;    /* of the wall clock */
    char **args;           /* of a command, after its name; NULL-terminated */
    char **env;            /* "NAME=value"; NULL-terminated */
    uint64_t env_revision; /* changes with each change of environment or secrets */
    void *worker_data;     /* workers.c's: which workers have loaded it */
};

WM_MUST_CHECK int catalogue_open(struct kv *kv, const uint8_t secret_key[32],
                                 struct catalogue **out, struct wm_diag *diag);
void catalogue_close(struct catalogue *catalogue);

/* What a call needs; borrowed until the loop's next turn, except versions, which are counted. */
const struct tenant *catalogue_tenant(struct catalogue *catalogue, const char *name);
/* "NAME" (alias "latest"), "NAME:ALIAS", "NAME@VERSION". NULL: there is none. One reference given.
 */
struct function_version *catalogue_find(struct catalogue *catalogue, const char *tenant,
                                        const char *function);
void function_version_put(struct function_version *version);
/* ROLE_NONE: no such token. *tenant: "" for the node's own administrator, who may act for all. */
enum role catalogue_token(struct catalogue *catalogue, struct wm_view token, const char **tenant);
/* Secrets of a function as "NAME=value" strings, for the worker that runs it; given, wiped by
 * catalogue_secrets_free. */
WM_MUST_CHECK int catalogue_secrets(struct catalogue *catalogue, const char *tenant,
                                    const char *function, char ***out, struct wm_diag *diag);
void catalogue_secrets_free(char **secrets);

#endif
