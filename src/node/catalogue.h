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

/* Limits on what is kept; one more is refused with WM_E_LIMIT. */
#define CATALOGUE_TENANTS_MAX 4096u
#define CATALOGUE_TOKENS_MAX 256u     /* of a tenant */
#define CATALOGUE_FUNCTIONS_MAX 1024u /* of a tenant */
#define CATALOGUE_VERSIONS_MAX 64u    /* of a function; the oldest without an alias makes room */
#define CATALOGUE_ALIASES_MAX 32u
#define CATALOGUE_SECRETS_MAX 64u
#define CATALOGUE_SECRET_BYTES_MAX 32768u
#define CATALOGUE_STRINGS_MAX 256u         /* environment variables, or arguments */
#define CATALOGUE_STRINGS_BYTES_MAX 65536u /* all together */
#define CATALOGUE_ALLOW_MAX 256u
#define CATALOGUE_ROUTES_MAX 256u /* of a tenant */
#define CATALOGUE_CRONS_MAX 64u   /* of a tenant */
#define CATALOGUE_PATH_BYTES_MAX 256u
#define CATALOGUE_CRON_INPUT_MAX 16384u

#define CATALOGUE_TOKEN_BYTES 68u /* "wmt_" and 64 hexadecimal digits */
#define CATALOGUE_ID_BYTES 16u    /* of a token's id: hexadecimal digits */

struct kv;     /* store/kv.h */
struct json_t; /* jansson.h */
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
    uint64_t modules_bytes;  /* of its uploads, each file once [1 GiB] */
    uint64_t results_bytes;  /* of asynchronous results not yet read [256 MiB] */
};

struct tenant {
    char name[CATALOGUE_NAME_BYTES_MAX + 1];
    char trust_class[CATALOGUE_NAME_BYTES_MAX + 1]; /* whom it trusts [itself]; only shown */
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
    void (*worker_free)(struct function_version *version); /* with the last reference; NULL: none */
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
/* A function's environment, as it would be for a new version: a copy (catalogue_strings_free);
 * NULL: no memory. A function that is not there yet has an empty one. */
char **catalogue_env(struct catalogue *catalogue, const char *tenant, const char *function);
void catalogue_strings_free(char **strings);
/* The versions of a function in whose Proto-Faaslets the environment may be frozen, one reference
 * each; how many there are, at most CATALOGUE_VERSIONS_MAX. */
size_t catalogue_frozen(struct catalogue *catalogue, const char *tenant, const char *function,
                        struct function_version *out[CATALOGUE_VERSIONS_MAX]);
/* Does any alias name it? */
bool catalogue_is_named(struct catalogue *catalogue, const struct function_version *version);
/* ROLE_NONE: no such token. *tenant: "" for the node's own administrator, who may act for all. */
enum role catalogue_token(struct catalogue *catalogue, struct wm_view token, const char **tenant);
/* Secrets of a function as "NAME=value" strings, for the worker that runs it; given, wiped by
 * catalogue_secrets_free. */
WM_MUST_CHECK int catalogue_secrets(struct catalogue *catalogue, const char *tenant,
                                    const char *function, char ***out, struct wm_diag *diag);
void catalogue_secrets_free(char **secrets);

/* A route, and what it leads to; borrowed until the loop's next turn. */
struct route {
    char name[CATALOGUE_NAME_BYTES_MAX + 1];
    char method[16];                         /* "*": any */
    char path[CATALOGUE_PATH_BYTES_MAX + 1]; /* whole, or ending in a slash and a star */
    char function[2 * CATALOGUE_NAME_BYTES_MAX + 2];
    bool is_public;
    uint64_t changed_ns; /* the catalogue's: by the clock of revisions */
};
/* The most exact route: a whole path before a tail, a longer one before a shorter one, a method
 * before "*". "/a/" followed by a star matches "/a" and all below. NULL: none. *path_known: the
 * path would match with another method. */
const struct route *catalogue_route(struct catalogue *catalogue, const char *tenant,
                                    const char *method, const char *path, bool *path_known);
/* How a pattern and a path compare, by itself: for tests and fuzzing. */
bool route_path_ok(const char *pattern);
bool route_matches(const char *pattern, const char *path);

struct cron_trigger {
    char name[CATALOGUE_NAME_BYTES_MAX + 1];
    char schedule[128];
    char function[2 * CATALOGUE_NAME_BYTES_MAX + 2];
    char *input;
    uint64_t changed_ns; /* the catalogue's */
};
/* All of them, in no order; `each` must not change the catalogue. */
void catalogue_each_cron(struct catalogue *catalogue,
                         void (*each)(void *self, const char *tenant,
                                      const struct cron_trigger *trigger),
                         void *self);

/* Changes. Each function checks everything, and prepares a change in memory; `commit` (any thread;
 * waits for the disk) makes it last; `apply` (the loop thread) makes it seen when it was committed,
 * drops it otherwise, and frees it; it cannot fail. Between a change's making and its `apply` no
 * other one may be made (asserted): whoever makes changes queues them (api.h). `now` does both.
 *
 * Errors: WM_E_USAGE (a name or value that breaks a rule), WM_E_NOT_FOUND, WM_E_BUSY (conflicts),
 * WM_E_LIMIT, and those of the store. */
struct catalogue_change;
WM_MUST_CHECK int catalogue_change_commit(struct catalogue_change *change, struct wm_diag *diag);
void catalogue_change_apply(struct catalogue_change *change, bool committed);
WM_MUST_CHECK int catalogue_change_now(struct catalogue_change *change, struct wm_diag *diag);

WM_MUST_CHECK int catalogue_set_tenant(struct catalogue *catalogue, const struct tenant *tenant,
                                       struct catalogue_change **out, struct wm_diag *diag);
/* With everything it has. */
WM_MUST_CHECK int catalogue_remove_tenant(struct catalogue *catalogue, const char *name,
                                          struct catalogue_change **out, struct wm_diag *diag);
/* tenant "": of the node's administrator. `text` is the only copy of the token. */
WM_MUST_CHECK int catalogue_add_token(struct catalogue *catalogue, const char *tenant,
                                      enum role role, char text[CATALOGUE_TOKEN_BYTES + 1],
                                      char id[CATALOGUE_ID_BYTES + 1],
                                      struct catalogue_change **out, struct wm_diag *diag);
WM_MUST_CHECK int catalogue_remove_token(struct catalogue *catalogue, const char *tenant,
                                         const char *id, struct catalogue_change **out,
                                         struct wm_diag *diag);
/* Takes what `version` says but refs, version, env_revision, created_ns; `latest` becomes it unless
 * `library`. *number: which it is. WM_E_LIMIT beyond the tenant's modules_bytes. version->env: the
 * environment under which its Proto-Faaslet was made; WM_E_BUSY when it is another by now. NULL:
 * that does not matter. */
WM_MUST_CHECK int catalogue_add_version(struct catalogue *catalogue,
                                        const struct function_version *version, bool library,
                                        uint32_t *number, struct catalogue_change **out,
                                        struct wm_diag *diag);
WM_MUST_CHECK int catalogue_remove_function(struct catalogue *catalogue, const char *tenant,
                                            const char *function, struct catalogue_change **out,
                                            struct wm_diag *diag);
/* version 0 removes the alias. */
WM_MUST_CHECK int catalogue_set_alias(struct catalogue *catalogue, const char *tenant,
                                      const char *function, const char *alias, uint32_t version,
                                      struct catalogue_change **out, struct wm_diag *diag);
/* `latest` to the highest version below it: *number. WM_E_BUSY: there is none. */
WM_MUST_CHECK int catalogue_rollback(struct catalogue *catalogue, const char *tenant,
                                     const char *function, uint32_t *number,
                                     struct catalogue_change **out, struct wm_diag *diag);
/* The Proto-Faaslet of a version under a new environment; all zero: it could not be made. */
struct catalogue_image {
    uint32_t version;
    uint8_t sha256[32];
    uint64_t bytes;
};
/* env: "NAME=value", NULL-terminated; replaces. `images`: of all versions that catalogue_frozen
 * gives; WM_E_BUSY where one is missing, because it came meanwhile. */
WM_MUST_CHECK int catalogue_set_env(struct catalogue *catalogue, const char *tenant,
                                    const char *function, char *const *env,
                                    const struct catalogue_image *images, size_t image_count,
                                    struct catalogue_change **out, struct wm_diag *diag);
/* value.ptr NULL removes it. A value holds no NUL. */
WM_MUST_CHECK int catalogue_set_secret(struct catalogue *catalogue, const char *tenant,
                                       const char *function, const char *secret,
                                       struct wm_view value, struct catalogue_change **out,
                                       struct wm_diag *diag);
WM_MUST_CHECK int catalogue_set_route(struct catalogue *catalogue, const char *tenant,
                                      const struct route *route, struct catalogue_change **out,
                                      struct wm_diag *diag);
WM_MUST_CHECK int catalogue_remove_route(struct catalogue *catalogue, const char *tenant,
                                         const char *name, struct catalogue_change **out,
                                         struct wm_diag *diag);
/* The schedule's own form is checked by the caller (cron.h). */
WM_MUST_CHECK int catalogue_set_cron(struct catalogue *catalogue, const char *tenant,
                                     const struct cron_trigger *trigger,
                                     struct catalogue_change **out, struct wm_diag *diag);
WM_MUST_CHECK int catalogue_remove_cron(struct catalogue *catalogue, const char *tenant,
                                        const char *name, struct catalogue_change **out,
                                        struct wm_diag *diag);

/* For people: a new JSON value, NULL when there is no memory, or no such thing. No secrets. */
struct json_t *catalogue_show_tenants(struct catalogue *catalogue);
struct json_t *catalogue_show_tenant(struct catalogue *catalogue, const char *name);
struct json_t *catalogue_show_tokens(struct catalogue *catalogue, const char *tenant);
struct json_t *catalogue_show_functions(struct catalogue *catalogue, const char *tenant);
struct json_t *catalogue_show_function(struct catalogue *catalogue, const char *tenant,
                                       const char *function);
struct json_t *catalogue_show_routes(struct catalogue *catalogue, const char *tenant);
struct json_t *catalogue_show_crons(struct catalogue *catalogue, const char *tenant);
/* Is this module or image (by its SHA-256) in use by any version? */
bool catalogue_uses_file(struct catalogue *catalogue, const uint8_t sha256[32]);
/* A quota from JSON (NULL: nothing asked for); members that are left out stay. False: *wrong is the
 * name of what cannot be. */
bool tenant_quota_decode(const struct json_t *json, struct tenant_quota *quota, const char **wrong);
const char *function_kind_text(enum function_kind kind);
const char *role_text(enum role role);
bool role_parse(const char *text, enum role *out);

#endif
