/* Names to procedures. The built-in ones are few and looked up for each transaction: by halves. */
#include "ledger/table.h"

#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "ledger/builtin.h"

static int order_of(struct wm_view a, struct wm_view b)
{
    if (a.len != b.len) {
        return a.len < b.len ? -1 : 1;
    }
    return memcmp(a.ptr, b.ptr, a.len);
}

static void insert(struct table *table, const struct builtin *builtin)
{
    struct wm_view name = wm_view_str(builtin->name);
    uint32_t at = table->count;
    WM_ASSERT(table->count < TABLE_BUILTINS_MAX && name.len <= LEDGER_NAME_BYTES_MAX);
    for (; at > 0 && order_of(table->builtins[at - 1].name, name) > 0; at--) {
        table->builtins[at] = table->builtins[at - 1];
    }
    table->builtins[at].name = name;
    table->builtins[at].procedure = (struct procedure){.run = builtin->run};
    builtin_digest(builtin, table->builtins[at].procedure.digest);
    table->count++;
}

void table_init(struct table *table, const struct table_modules *modules)
{
    static const struct builtin *const families[] = {
        kv_builtins, register_builtins, anchor_builtins, smallbank_builtins, echo_builtins};
    memset(table, 0, sizeof *table);
    table->modules = modules;
    for (size_t i = 0; i < WM_COUNT_OF(families); i++) {
        for (const struct builtin *builtin = families[i]; builtin->name; builtin++) {
            insert(table, builtin);
        }
    }
}

static bool find_builtin(const struct table *table, struct wm_view name, struct procedure *out)
{
    uint32_t low = 0, high = table->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = order_of(table->builtins[middle].name, name);
        if (order == 0) {
            *out = table->builtins[middle].procedure;
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

static int find(void *self, struct procedure_call *call, struct wm_view name, struct procedure *out)
{
    const struct table *table = self;
    struct governance_module module;
    if (find_builtin(table, name, out)) {
        return 1;
    }
    int found = governance_find(call, name, out);
    if (found == 0) {
        found = governance_procedure(call, name, &module);
        if (found > 0) {
            int rc = table->modules
                         ? table->modules->find(table->modules->self, call, name, &module, out)
                         : WM_E_NOT_FOUND;
            memcpy(out->digest, module.sha256, sizeof out->digest);
            found = rc == 0 ? 1 : rc;
        }
    }
    return found;
}

struct procedure_table table_procedures(struct table *table)
{
    return (struct procedure_table){table, find};
}

uint32_t table_count(const struct table *table)
{
    return table->count;
}

const char *table_name(const struct table *table, uint32_t which)
{
    WM_ASSERT(which < table->count);
    return (const char *)table->builtins[which].name.ptr; /* of a literal, so it ends with NUL */
}

bool table_module_key(struct wm_view name, struct wm_view key, uint8_t out[PROCEDURE_KEY_BYTES_MAX],
                      size_t *len)
{
    if (name.len == 0 || name.len > LEDGER_NAME_BYTES_MAX || key.len == 0 ||
        key.len > TABLE_MODULE_KEY_BYTES_MAX) {
        return false;
    }
    memcpy(out, "mod/", 4);
    out[4] = (uint8_t)name.len;
    memcpy(out + 5, name.ptr, name.len);
    memcpy(out + 5 + name.len, key.ptr, key.len);
    *len = 5 + name.len + key.len;
    return true;
}
