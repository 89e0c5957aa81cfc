/* names.c: from the name that a chained call gives to a loaded function.
 *
 * Which version a name means is the catalogue's to say, in the node; what it said is kept here
 * until the node says that names changed. Without a node (tests, benches) a name is the function's
 * own. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "faaslet/executor_internal.h"

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

int executors_find_name(struct executor *executor, const char *tenant, const char *name,
                        struct function **out)
{
    struct executors *executors = executor->executors;
    pthread_mutex_lock(&executors->lock);
    struct function *found = loaded_by_name(executors, tenant, name);
    if (found) {
        *out = function_ref(found);
    }
    pthread_mutex_unlock(&executors->lock);
    return found ? 0 : -ENOENT;
}
