/* Loading a library into a running Faaslet.
 *
 * The order matters. The GOT is made of host globals that are empty while the library is linked,
 * because what they hold (own exports, table indices) exists only afterwards; it is filled before
 * the first code of the library runs, which is __wasm_apply_data_relocs: that copies GOT values
 * into the library's data. */
#include "faaslet/dl.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "wasi/types.h"
#include "wasm/memory.h"
#include "wasm/table.h"

#define SIGNATURE_BYTES 2048u
#define SYM_DATA 1u /* FAASLET_DL_DATA */

struct library {
    struct wasm_instance *instance;
    uint32_t memory_base;
    uint32_t refs;
    uint32_t path_len;
    char path[FAASLET_KEY_BYTES_MAX];
};

struct dl_session {
    struct dl_config config;
    struct wasm_instance *program; /* NULL: nothing was opened since the reset */
    struct wasm_table *table;
    uint32_t program_elems; /* size of the table before the first library */
    uint32_t count;
    struct library libraries[DL_LIBRARIES_MAX];
    char name[FAASLET_KEY_BYTES_MAX]; /* of the host call that runs now */
    char signature[SIGNATURE_BYTES];
};

/* One library on its way in. */
struct loading {
    struct dl_session *session;
    struct wasm_store *store;
    const struct wasm_object *object;
    struct wasm_instance *instance;
    uint64_t next_import; /* the resolver is asked in the object's order */
    uint32_t memory_base, table_base;
    struct wasm_global_cell **got; /* in the order of the GOT imports */
    uint32_t got_count;
    struct wasm_host_func stub;
};

static int32_t error_of(int code)
{
    switch (code) {
    case 0: return 0;
    case WM_E_NOT_FOUND: return -WASI_NOENT;
    case WM_E_LIMIT:
    case -ENOMEM: return -WASI_NOMEM;
    default: return -WASI_NOEXEC;
    }
}

/* --- Linking --- */

static enum wasm_trap call_missing(struct wasm_caller *caller, union wasm_value *values)
{
    (void)caller;
    (void)values;
    return WASM_TRAP_HOST;
}

static char letter_of(uint8_t valtype)
{
    switch ((enum wasm_valtype)valtype) {
    case WASM_I32: return 'i';
    case WASM_I64: return 'I';
    case WASM_F32: return 'f';
    case WASM_F64: return 'F';
    case WASM_V128: return 'v';
    case WASM_FUNCREF: return 'r';
    case WASM_EXTERNREF: return 'e';
    }
    return '?';
}

/* A function of the import's own type, which the linker compares it with. */
static int make_stub(struct loading *load, const struct wasm_object_import *import,
                     struct wasm_extern *out)
{
    const struct wasm_object *object = load->object;
    const struct wasm_object_type *type = &object->at.TYPES[object->at.FUNCS[import->idx].type_idx];
    struct wm_view params = wasm_object_view(object, type->params);
    struct wm_view results = wasm_object_view(object, type->results);
    char *at = load->session->signature;
    if (params.len + results.len + 2 > SIGNATURE_BYTES) {
        return WM_E_LIMIT;
    }
    for (size_t i = 0; i < params.len; i++) {
        *at++ = letter_of(params.ptr[i]);
    }
    *at++ = ':';
    for (size_t i = 0; i < results.len; i++) {
        *at++ = letter_of(results.ptr[i]);
    }
    *at = '\0';
    load->stub = (struct wasm_host_func){"env", "", load->session->signature, call_missing};
    *out = (struct wasm_extern){.kind = WASM_EXTERN_FUNC, .host = &load->stub};
    return 0;
}

static int new_global(struct loading *load, bool is_mutable, uint32_t value,
                      struct wasm_extern *out)
{
    *out = (struct wasm_extern){.kind = WASM_EXTERN_GLOBAL};
    return wasm_global_new(load->store, WASM_I32, is_mutable, (union wasm_value){.i32 = value},
                           &out->global, NULL);
}

static bool is_got(struct wm_view module)
{
    return wm_view_eq_str(module, "GOT.mem") || wm_view_eq_str(module, "GOT.func");
}

static int resolve_env(struct loading *load, const struct wasm_object_import *import,
                       struct wm_view name, enum wasm_extern_kind kind, struct wasm_extern *out)
{
    struct dl_session *session = load->session;
    if (kind == WASM_EXTERN_MEMORY) {
        *out = (struct wasm_extern){.kind = kind, .memory = wasm_instance_memory(session->program)};
        return out->memory ? 0 : WM_E_NOT_FOUND;
    }
    if (kind == WASM_EXTERN_TABLE) {
        *out = (struct wasm_extern){.kind = kind, .table = session->table};
        return 0;
    }
    if (kind == WASM_EXTERN_GLOBAL && wm_view_eq_str(name, "__memory_base")) {
        return new_global(load, false, load->memory_base, out);
    }
    if (kind == WASM_EXTERN_GLOBAL && wm_view_eq_str(name, "__table_base")) {
        return new_global(load, false, load->table_base, out);
    }
    if (wasm_instance_export(session->program, name, out) == 0 && out->kind == kind) {
        return 0;
    }
    return kind == WASM_EXTERN_FUNC ? make_stub(load, import, out) : WM_E_NOT_FOUND;
}

static int resolve(void *self, struct wm_view module, struct wm_view name,
                   enum wasm_extern_kind kind, struct wasm_extern *out)
{
    struct loading *load = self;
    const struct wasm_object *object = load->object;
    const struct wasm_object_import *import;
    do { /* the engine answers for `cp` itself */
        import = &object->at.IMPORTS[load->next_import++];
    } while (wm_view_eq_str(wasm_object_view(object, import->module), "cp"));
    if (wm_view_eq_str(module, "env")) {
        return resolve_env(load, import, name, kind, out);
    }
    if (is_got(module)) {
        int rc = kind == WASM_EXTERN_GLOBAL ? new_global(load, true, 0, out) : WM_E_NOT_FOUND;
        if (rc == 0) {
            load->got[load->got_count++] = out->global;
        }
        return rc;
    }
    const struct dl_config *config = &load->session->config;
    return config->resolve ? config->resolve(config->resolve_self, module, name, kind, out)
                           : WM_E_NOT_FOUND;
}

/* --- Addresses --- */

/* The function's index in the table; it gets one if it has none. */
static int64_t index_of(struct dl_session *session, const struct wasm_func *func, uint32_t from)
{
    uint32_t index = wasm_table_find(session->table, from, func);
    if (index != UINT32_MAX) {
        return index;
    }
    if (wasm_table_size(session->table) - session->program_elems >= DL_TABLE_ELEMS_MAX) {
        return -WASI_NOMEM;
    }
    index = wasm_table_grow(session->table, 1);
    if (index == UINT32_MAX) {
        return -WASI_NOMEM;
    }
    wasm_table_set(session->table, index, func);
    return index;
}

/* Of a data symbol: a global whose value is its address, in a library counted from its data's. */
static bool address_in(struct wasm_instance *instance, struct wm_view name, uint32_t base,
                       uint32_t *out)
{
    struct wasm_extern found;
    if (wasm_instance_export(instance, name, &found) != 0 || found.kind != WASM_EXTERN_GLOBAL) {
        return false;
    }
    *out = base + wasm_global_get(found.global).i32;
    return true;
}

static const struct wasm_func *function_in(struct wasm_instance *instance, struct wm_view name)
{
    struct wasm_extern found;
    return wasm_instance_export(instance, name, &found) == 0 && found.kind == WASM_EXTERN_FUNC
               ? found.func
               : NULL;
}

static int32_t fill_got(struct loading *load)
{
    struct dl_session *session = load->session;
    const struct wasm_object *object = load->object;
    uint32_t at = 0;
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, IMPORTS); i++) {
        const struct wasm_object_import *import = &object->at.IMPORTS[i];
        struct wm_view module = wasm_object_view(object, import->module);
        struct wm_view name = wasm_object_view(object, import->name);
        uint32_t value = 0;
        if (!is_got(module)) {
            continue;
        }
        if (wm_view_eq_str(module, "GOT.mem")) {
            if (!address_in(load->instance, name, load->memory_base, &value) &&
                !address_in(session->program, name, 0, &value)) {
                return -WASI_NOENT;
            }
        } else {
            const struct wasm_func *func = function_in(load->instance, name);
            func = func ? func : function_in(session->program, name);
            int64_t index = func ? index_of(session, func, 0) : 0;
            if (index < 0) {
                return (int32_t)index;
            }
            value = (uint32_t)index;
        }
        wasm_global_set(load->got[at++], (union wasm_value){.i32 = value});
        if (wasm_store_interrupted(load->store) != WASM_TRAP_NONE) {
            return -WASI_INTR;
        }
    }
    return 0;
}

/* --- Opening --- */

static int32_t grow(struct loading *load, const struct dylink *facts)
{
    struct dl_session *session = load->session;
    struct wasm_memory *memory = wasm_instance_memory(session->program);
    uint64_t pages = (facts->memory_bytes + WASM_PAGE_BYTES - 1) / WASM_PAGE_BYTES;
    uint32_t used = wasm_table_size(session->table) - session->program_elems;
    if (facts->table_elems > DL_TABLE_ELEMS_MAX || used > DL_TABLE_ELEMS_MAX - facts->table_elems) {
        return -WASI_NOMEM;
    }
    load->table_base = wasm_table_grow(session->table, facts->table_elems);
    uint32_t page =
        load->table_base == UINT32_MAX ? UINT32_MAX : wasm_memory_grow(memory, (uint32_t)pages);
    if (page == UINT32_MAX) {
        return -WASI_NOMEM;
    }
    load->memory_base = (uint32_t)(page * WASM_PAGE_BYTES);
    return 0;
}

/* Runs an exported function without parameters and results, where there is one. */
static enum wasm_trap run(struct loading *load, const char *name)
{
    union wasm_value none[1] = {{0}};
    const struct wasm_func *func = function_in(load->instance, wm_view_str(name));
    if (!func) {
        return WASM_TRAP_NONE;
    }
    struct wasm_functype type = wasm_func_type(func);
    return type.param_count || type.result_count ? WASM_TRAP_TYPE_MISMATCH
                                                 : wasm_call(load->store, func, none);
}

static enum wasm_trap load_library(struct loading *load, const struct dl_library *library,
                                   int32_t *result)
{
    *result = grow(load, &library->facts);
    if (*result != 0) {
        return WASM_TRAP_NONE;
    }
    int rc = wasm_instance_new(load->store, load->object, resolve, load, &load->instance, NULL);
    if (rc == WM_E_TRAP || rc == WM_E_EXITED) {
        return wasm_store_report(load->store)->trap; /* its start function's, or a segment's */
    }
    *result = error_of(rc);
    if (*result == 0) {
        *result = fill_got(load);
    }
    if (*result != 0) {
        return wasm_store_interrupted(load->store);
    }
    enum wasm_trap trap = run(load, "__wasm_apply_data_relocs");
    if (trap == WASM_TRAP_NONE) {
        trap = run(load, "__wasm_call_ctors");
    }
    return trap == WASM_TRAP_NONE ? run(load, "_initialize") : trap;
}

/* What the program must export; 0 or -NOEXEC. */
static int32_t look_at_program(struct dl_session *session, struct wasm_instance *program)
{
    struct wasm_extern table;
    if (!wasm_instance_memory(program) ||
        wasm_instance_export(program, wm_view_str("__indirect_function_table"), &table) != 0 ||
        table.kind != WASM_EXTERN_TABLE) {
        return -WASI_NOEXEC;
    }
    session->program = program;
    session->table = table.table;
    session->program_elems = wasm_table_size(table.table);
    return 0;
}

/* Memory and tables of its own would not be counted as the program's are. */
static bool shares_everything(const struct wasm_object *object)
{
    const struct wasm_object_header *header = object->header;
    return (header->memory_flags & 3) != 1 &&
           WASM_OBJECT_COUNT(object, TABLES) == header->imported_tables;
}

static enum wasm_trap open_path(struct dl_session *session, struct wasm_caller *caller,
                                struct wm_view path, int32_t *result)
{
    struct dl_library found;
    for (uint32_t i = 0; i < session->count; i++) {
        struct library *library = &session->libraries[i];
        if (wm_view_eq(path, wm_view_of(library->path, library->path_len))) {
            library->refs++;
            *result = (int32_t)i + DL_HANDLE_FIRST;
            return WASM_TRAP_NONE;
        }
    }
    if (session->count == DL_LIBRARIES_MAX) {
        *result = -WASI_NOMEM;
        return WASM_TRAP_NONE;
    }
    *result = error_of(session->config.lookup(session->config.self, path, &found));
    if (*result == 0 && !shares_everything(found.object)) {
        *result = -WASI_NOEXEC;
    }
    if (*result == 0 && !session->program) {
        *result = look_at_program(session, caller->instance); /* nothing else runs yet */
    }
    if (*result != 0) {
        return WASM_TRAP_NONE;
    }
    struct loading load = {.session = session, .store = caller->store, .object = found.object};
    uint64_t imports = WASM_OBJECT_COUNT(found.object, IMPORTS);
    load.got = wm_alloc_zero(imports + 1, sizeof(struct wasm_global_cell *));
    if (!load.got) {
        *result = -WASI_NOMEM;
        return WASM_TRAP_NONE;
    }
    enum wasm_trap trap = load_library(&load, &found, result);
    wm_free(load.got);
    if (trap != WASM_TRAP_NONE || *result != 0) {
        return trap;
    }
    uint32_t slot = session->count; /* its constructors may have opened others */
    if (slot == DL_LIBRARIES_MAX) {
        *result = -WASI_NOMEM;
        return WASM_TRAP_NONE;
    }
    struct library *library = &session->libraries[slot];
    library->instance = load.instance;
    library->memory_base = load.memory_base;
    library->refs = 1;
    library->path_len = (uint32_t)path.len;
    memcpy(library->path, path.ptr, path.len);
    session->count++;
    *result = (int32_t)slot + DL_HANDLE_FIRST;
    return WASM_TRAP_NONE;
}

/* --- The host functions --- */

static struct dl_session *session_of(const struct wasm_caller *caller)
{
    return ((const struct faaslet_guest *)caller->env)->dl;
}

static int32_t take_name(const struct wasm_caller *caller, uint32_t at, uint32_t len,
                         char out[FAASLET_KEY_BYTES_MAX])
{
    const struct wasm_memory *memory = wasm_instance_memory(caller->instance);
    if (len == 0 || len > FAASLET_KEY_BYTES_MAX) {
        return -WASI_INVAL;
    }
    return memory && wasm_memory_read(memory, wasm_addr_of(at), out, len) ? 0 : -WASI_FAULT;
}

static enum wasm_trap dl_open(struct wasm_caller *caller, union wasm_value *values)
{
    struct dl_session *session = session_of(caller);
    char path[FAASLET_KEY_BYTES_MAX]; /* here, as opening may nest */
    enum wasm_trap trap = WASM_TRAP_NONE;
    uint32_t len = values[1].i32;
    int32_t result = session ? take_name(caller, values[0].i32, len, path) : -WASI_NOSYS;
    if (result == 0) {
        trap = open_path(session, caller, wm_view_of(path, len), &result);
    }
    values[0].i64 = (uint32_t)result;
    return trap;
}

static struct library *library_of(struct dl_session *session, uint32_t handle)
{
    uint32_t i = handle - DL_HANDLE_FIRST;
    return session && handle >= DL_HANDLE_FIRST && i < session->count &&
                   session->libraries[i].refs > 0
               ? &session->libraries[i]
               : NULL;
}

static int64_t find_symbol(struct dl_session *session, const struct library *library,
                           struct wm_view name, uint32_t flags)
{
    uint32_t address;
    if (flags & ~SYM_DATA) {
        return -WASI_INVAL;
    }
    if (flags & SYM_DATA) {
        if (!address_in(library->instance, name, library->memory_base, &address)) {
            return -WASI_NOENT;
        }
        return address;
    }
    const struct wasm_func *func = function_in(library->instance, name);
    return func ? index_of(session, func, session->program_elems) : -WASI_NOENT;
}

static enum wasm_trap dl_sym(struct wasm_caller *caller, union wasm_value *values)
{
    struct dl_session *session = session_of(caller);
    const struct library *library = library_of(session, values[0].i32);
    uint32_t len = values[2].i32;
    int64_t result = !session ? -WASI_NOSYS : !library ? -WASI_BADF : 0;
    if (result == 0) {
        result = take_name(caller, values[1].i32, len, session->name);
    }
    if (result == 0) {
        result = find_symbol(session, library, wm_view_of(session->name, len), values[3].i32);
    }
    values[0].i64 = (uint64_t)result;
    return WASM_TRAP_NONE;
}

static enum wasm_trap dl_close(struct wasm_caller *caller, union wasm_value *values)
{
    struct dl_session *session = session_of(caller);
    struct library *library = library_of(session, values[0].i32);
    int32_t result = !session ? -WASI_NOSYS : !library ? -WASI_BADF : 0;
    if (library) {
        library->refs--;
    }
    values[0].i64 = (uint32_t)result;
    return WASM_TRAP_NONE;
}

static const struct wasm_host_func funcs[] = {
    {"faaslet", "dl_open", "ii:i", dl_open},
    {"faaslet", "dl_sym", "iiii:I", dl_sym},
    {"faaslet", "dl_close", "i:i", dl_close},
};
const struct faaslet_host_table faaslet_dl_funcs = {funcs, WM_COUNT_OF(funcs)};

/* --- Sessions --- */

int dl_session_new(const struct dl_config *config, struct dl_session **out)
{
    struct dl_session *session = wm_alloc_zero(1, sizeof *session);
    if (!session) {
        return -ENOMEM;
    }
    session->config = *config;
    *out = session;
    return 0;
}

void dl_session_free(struct dl_session *session)
{
    wm_free(session);
}

void dl_session_reset(struct dl_session *session)
{
    session->program = NULL;
    session->table = NULL;
    session->count = 0;
}

uint32_t dl_session_count(const struct dl_session *session)
{
    return session->count;
}
