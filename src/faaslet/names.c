/* names.c: from the name that a chained call gives to a loaded function.
 *
 * Which version a name means is the catalogue's to say, in the node; what it said is kept here
 * until the node says that names changed. Without a node (tests, benches) a name is the function's
 * own. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "faaslet/call_rpc.h"
#include "faaslet/executor_internal.h"
#include "host/file.h"

#define LOAD_WAIT_NS INT64_C(10000000000)
#define LOOK_NS INT64_C(5000000) /* whether the call is to end meanwhile */

struct name_entry {
    struct name_entry *next;
    uint32_t handle;
    char text[]; /* tenant, NUL, name, NUL */
};

void executors_forget_names(struct executors *executors)
{
    pthread_mutex_lock(&executors->lock);
    struct name_entry *entry = executors->names;
    executors->names = NULL;
    executors->names_forgotten++;
    pthread_mutex_unlock(&executors->lock);
    while (entry) {
        struct name_entry *next = entry->next;
        wm_free(entry);
        entry = next;
    }
}

/* Under the lock. */
static struct function *loaded_by_name(struct executors *executors, const char *tenant,
                                       const char *name)
{
    struct function *found = NULL;
    for (uint32_t i = 0; i < executors->function_room; i++) {
        struct function *function = executors->functions[i];
        if (function && strcmp(function->tenant, tenant) == 0 &&
            strcmp(function->name, name) == 0 && (!found || function->version > found->version)) {
            found = function;
        }
    }
    return found;
}

static int ask_node(struct executor *executor, const char *tenant, const char *name,
                    uint32_t *handle)
{
    struct call_rpc_request request = {
        .operation = CALL_RPC_RESOLVE, .tenant = wm_view_str(tenant), .name = wm_view_str(name)};
    struct call_rpc_reply reply;
    struct wm_diag diag = WM_DIAG_INIT;
    int rc = call_rpc_ask(executor->rpc, &request, &reply, &diag);
    rc = rc ? rc : reply.code;
    *handle = reply.value;
    return rc;
}

static struct name_entry *find_entry(struct executors *executors, const char *tenant,
                                     const char *name)
{
    size_t tenant_len = strlen(tenant);
    struct name_entry *entry = executors->names;
    while (entry &&
           (strcmp(entry->text, tenant) != 0 || strcmp(entry->text + tenant_len + 1, name) != 0)) {
        entry = entry->next;
    }
    return entry;
}

static void keep_entry(struct executors *executors, const char *tenant, const char *name,
                       uint32_t handle)
{
    size_t tenant_len = strlen(tenant), name_len = strlen(name);
    struct name_entry *entry = find_entry(executors, tenant, name);
    if (entry) {
        entry->handle = handle;
        return;
    }
    entry = wm_alloc(sizeof *entry + tenant_len + name_len + 2);
    if (entry) {
        entry->handle = handle;
        memcpy(entry->text, tenant, tenant_len + 1);
        memcpy(entry->text + tenant_len + 1, name, name_len + 1);
        entry->next = executors->names;
        executors->names = entry;
    }
}

/* Whether the call that asks is to end. */
static bool must_stop(const struct executor *executor)
{
    return executor->running_count != 0 &&
           wasm_store_interrupted(executor->running[executor->running_count - 1].store) !=
               WASM_TRAP_NONE;
}

/* The function of a handle; the node may still be sending it. Under the lock. */
static int wait_for(struct executor *executor, uint32_t handle, struct function **out)
{
    struct executors *executors = executor->executors;
    int64_t until_ns = host_monotonic_ns() + LOAD_WAIT_NS;
    for (;;) {
        *out = handle < executors->function_room ? executors->functions[handle] : NULL;
        if (*out) {
            return 0;
        }
        if (atomic_load(&executors->stopping) || must_stop(executor)) {
            return -EINTR;
        }
        if (host_monotonic_ns() >= until_ns) {
            return -ENOENT;
        }
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += LOOK_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)!pthread_cond_timedwait(&executors->loaded, &executors->lock, &until);
    }
}

int executors_find_name(struct executor *executor, const char *tenant, const char *name,
                        struct function **out)
{
    struct executors *executors = executor->executors;
    struct function *found = NULL;
    uint32_t handle = 0;
    int rc = 0;
    pthread_mutex_lock(&executors->lock);
    if (!executor->rpc) {
        found = loaded_by_name(executors, tenant, name);
    } else {
        struct name_entry *entry = find_entry(executors, tenant, name);
        if (entry && entry->handle < executors->function_room) {
            found = executors->functions[entry->handle];
        }
        if (!found) {
            uint64_t forgotten = executors->names_forgotten;
            pthread_mutex_unlock(&executors->lock);
            executor_block_begin(executor);
            rc = ask_node(executor, tenant, name, &handle);
            pthread_mutex_lock(&executors->lock);
            rc = rc ? rc : wait_for(executor, handle, &found);
            executor_block_end(executor);
            /* Not where names have changed since the node was asked: its answer may be of before.
             */
            if (found && forgotten == executors->names_forgotten) {
                keep_entry(executors, tenant, name, handle);
            }
        }
    }
    if (found) {
        *out = function_ref(found);
    }
    pthread_mutex_unlock(&executors->lock);
    return found ? 0 : rc ? rc : -ENOENT;
}
