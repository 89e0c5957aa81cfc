/* table.h: which procedure a name is: those compiled in, governance's, and those that members have
 * installed.
 *
 * Built-in ones (ledger/builtin.h, proof/governance.h) are found first and cannot be replaced. Any
 * other name is looked up in the state, where a passed proposal put the digest of a WebAssembly
 * module; that lookup is among the transaction's reads, so a receipt says which code ran. What runs
 * modules is not here (the engine is in a folder above): it is given as struct table_modules.
 * Without one, and where it does not have the module, the execution is given up with
 * WM_E_NOT_FOUND: a replica that cannot run what others run must not say what came of it.
 *
 * Any thread, once made. */
#ifndef WM_LEDGER_TABLE_H
#define WM_LEDGER_TABLE_H

#include "proof/governance.h"

#define TABLE_BUILTINS_MAX 32u

struct table_modules {
    void *self;
    /* The module that is installed under `name`: sets run, self and fuel_version of *out. Its
     * bytes are in the state (governance_chunk_key), and may be kept compiled elsewhere, but must
     * be those. 0; or a code of the machine, and the execution is given up.
     * All that the module reads and writes is under table_module_key: nothing else keeps users'
     * code from the state of governance, of clients and of other procedures. */
    int (*find)(void *self, struct procedure_call *call, struct wm_view name,
                const struct governance_module *module, struct procedure *out);
};

struct table {
    const struct table_modules *modules;
    uint32_t count;
    struct {
        struct wm_view name;
        struct procedure procedure;
    } builtins[TABLE_BUILTINS_MAX]; /* by name */
};

/* modules NULL: none can be run. Borrowed. */
void table_init(struct table *table, const struct table_modules *modules);
struct procedure_table table_procedures(struct table *table);
/* The names that are compiled in, apart from governance's; `which` < table_count. */
uint32_t table_count(const struct table *table);
const char *table_name(const struct table *table, uint32_t which);

/* The state's key of a module's own key: "mod/", the name's length in one byte, name, key. False:
 * too long or empty. */
#define TABLE_MODULE_KEY_BYTES_MAX (PROCEDURE_KEY_BYTES_MAX - 5u - LEDGER_NAME_BYTES_MAX)
WM_MUST_CHECK bool table_module_key(struct wm_view name, struct wm_view key,
                                    uint8_t out[PROCEDURE_KEY_BYTES_MAX], size_t *len);

#endif
