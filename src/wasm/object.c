/* Reading objects: the one-time proof, mapping, and the three look-ups that a backtrace needs.
 *
 * Two depths of checking. The header with its section table is checked at every open: it is one
 * page and decides which addresses everything else is read from. The records are proven once, by
 * wasm_object_check, when the object enters the cache. What the proof establishes is what the
 * loader and the runtime then use without looking again, so a rule of the format that code relies
 * on must have its line here. Layout is canonical: sections follow each other in enum order with
 * the least padding, so that no two sections can overlap and nothing hides between them. */
#include "wasm/object.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/error.h"
#include "base/fault.h"
#include "crypto/hash.h"
#include "host/file.h"
#include "wasm/constexpr.h"
#include "wasm/module.h"

#define SECTION_ALIGNMENT 16
#define TEXT_ALIGNMENT 4096

_Static_assert(sizeof(struct wasm_object_header) == 392, "format");
_Static_assert(offsetof(struct wasm_object_header, content_sha256) == 360, "format");
_Static_assert(sizeof(struct wasm_object_type) == 24, "format");
_Static_assert(sizeof(struct wasm_object_init) == 32, "format");
_Static_assert(sizeof(struct wasm_object_import) == 32, "format");
_Static_assert(sizeof(struct wasm_object_table) == 16, "format");
_Static_assert(sizeof(struct wasm_object_global) == 48, "format");
_Static_assert(sizeof(struct wasm_object_export) == 16, "format");
_Static_assert(sizeof(struct wasm_object_func) == 24, "format");
_Static_assert(sizeof(struct wasm_object_elem) == 64, "format");
_Static_assert(sizeof(struct wasm_object_data) == 64, "format");
_Static_assert(sizeof(struct wasm_object_unwind) == 16, "format");
_Static_assert(sizeof(struct wasm_object_line) == 8, "format");
_Static_assert(sizeof(struct wasm_object_source) == 16, "format");

struct section_rule {
    const char *name;
    uint64_t record_bytes, records_max;
};

#define RULE(section, type) [WASM_OBJECT_##section] = {#section, sizeof(type), UINT32_MAX},
static const struct section_rule section_rules[WASM_OBJECT_SECTION_COUNT] = {
    WASM_OBJECT_SECTIONS(RULE)};
#undef RULE

static int malformed(struct wm_diag *diag, const char *what)
{
    return wm_diag_set(diag, WM_E_MALFORMED, "object: %s", what);
}

static int bad_record(struct wm_diag *diag, enum wasm_object_section section, uint64_t idx,
                      const char *what)
{
    return wm_diag_set(diag, WM_E_MALFORMED, "object: %s[%llu]: %s", section_rules[section].name,
                       (unsigned long long)idx, what);
}

static int check_sections(const struct wasm_object_header *header, struct wm_diag *diag)
{
    uint64_t at = sizeof *header;
    for (unsigned i = 0; i < WASM_OBJECT_SECTION_COUNT; i++) {
        uint64_t alignment = i == WASM_OBJECT_TEXT ? TEXT_ALIGNMENT : SECTION_ALIGNMENT;
        uint64_t len;
        if (!wm_align_up_u64(at, alignment, &at) || header->sections[i].offset != at ||
            header->sections[i].count > section_rules[i].records_max ||
            !wm_mul_u64(header->sections[i].count, section_rules[i].record_bytes, &len) ||
            !wm_add_u64(at, len, &at) || at > header->total_bytes) {
            return wm_diag_set(diag, WM_E_MALFORMED, "object: section %s does not lie in its place",
                               section_rules[i].name);
        }
    }
    return at == header->total_bytes ? 0 : malformed(diag, "bytes after the last section");
}

/* `bytes` are the whole file; its header is proven, and where each section lies. */
static int check_header(struct wm_view bytes, struct wm_diag *diag)
{
    const struct wasm_object_header *header = (const void *)bytes.ptr;
    if (bytes.len < sizeof *header) {
        return malformed(diag, "shorter than its header");
    }
    if (memcmp(header->magic, WASM_OBJECT_MAGIC, sizeof header->magic) != 0) {
        return malformed(diag, "no Wardmote object (wrong first bytes)");
    }
    if (header->version != WASM_OBJECT_VERSION || header->header_bytes != sizeof *header) {
        return wm_diag_set(diag, WM_E_MALFORMED, "object: format version %u, this program has %u",
                           header->version, WASM_OBJECT_VERSION);
    }
    if (header->total_bytes != bytes.len) {
        return wm_diag_set(diag, WM_E_MALFORMED, "object: %llu bytes long, header says %llu",
                           (unsigned long long)bytes.len, (unsigned long long)header->total_bytes);
    }
    if (header->key.abi_version != WASM_ABI_VERSION) {
        return wm_diag_set(diag, WM_E_MALFORMED, "object: code for ABI %u, this program has %u",
                           header->key.abi_version, WASM_ABI_VERSION);
    }
    return check_sections(header, diag);
}

static void locate(struct wasm_object *object)
{
    const struct wasm_object_header *header = object->header;
#define LOCATE(section, type)                      \
    object->at.section =                           \
        (const type *)(const void *)(object->map + \
                                     header->sections[WASM_OBJECT_##section].offset);
    WASM_OBJECT_SECTIONS(LOCATE)
#undef LOCATE
}

/* The proof. Each function below proves the records of one section, relying on those of the
 * sections that come before it in wasm_object_check. */

static bool str_fits(const struct wasm_object *object, struct wasm_object_str str)
{
    return wm_range_fits(str.offset, str.len, WASM_OBJECT_COUNT(object, STRINGS));
}

static bool valtype_ok(uint64_t valtype)
{
    switch (valtype) {
    case WASM_I32:
    case WASM_I64:
    case WASM_F32:
    case WASM_F64:
    case WASM_V128:
    case WASM_FUNCREF:
    case WASM_EXTERNREF: return true;
    default: return false;
    }
}

static bool valtypes_ok(const struct wasm_object *object, struct wasm_object_str str, uint32_t max)
{
    if (!str_fits(object, str) || str.len > max) {
        return false;
    }
    for (uint32_t i = 0; i < str.len; i++) {
        if (!valtype_ok(object->at.STRINGS[str.offset + i])) {
            return false;
        }
    }
    return true;
}

static bool is_zero(const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < len; i++) {
        if (at[i]) {
            return false;
        }
    }
    return true;
}

static int check_key(const struct wasm_object_key *key, struct wm_diag *diag)
{
    bool ok = key->mode <= WASM_MODE_DET && key->tier <= WASM_TIER_OPTIMISED &&
              key->cpu >= WASM_CPU_V2 && key->cpu <= WASM_CPU_V4 && key->fuel <= 1 &&
              key->lines <= 1 && is_zero(key->reserved, sizeof key->reserved);
    return ok ? 0 : malformed(diag, "unknown options in its key");
}

static int check_types(const struct wasm_object *object, struct wm_diag *diag)
{
    uint64_t count = WASM_OBJECT_COUNT(object, TYPES);
    if (count > WASM_TYPES_MAX) {
        return malformed(diag, "too many types");
    }
    for (uint64_t i = 0; i < count; i++) {
        const struct wasm_object_type *type = &object->at.TYPES[i];
        if (!valtypes_ok(object, type->params, WASM_PARAMS_MAX) ||
            !valtypes_ok(object, type->results, WASM_RESULTS_MAX)) {
            return bad_record(diag, WASM_OBJECT_TYPES, i, "its value types");
        }
        if (type->entry_offset >= object->header->text_code_bytes ||
            type->adapter_offset >= object->header->text_code_bytes) {
            return bad_record(diag, WASM_OBJECT_TYPES, i, "a thunk outside the code");
        }
    }
    return 0;
}

static bool limits_ok(uint32_t min, uint32_t max, uint32_t most)
{
    return min <= max && min <= most && (max <= most || max == UINT32_MAX);
}

/* Imports come in the module's order; of each kind they number the first of its index space. */
static int check_imports(const struct wasm_object *object, struct wm_diag *diag)
{
    const struct wasm_object_header *header = object->header;
    uint32_t next[4] = {0};
    uint64_t count = WASM_OBJECT_COUNT(object, IMPORTS);
    if (count > WASM_IMPORTS_MAX) {
        return malformed(diag, "too many imports");
    }
    for (uint64_t i = 0; i < count; i++) {
        const struct wasm_object_import *import = &object->at.IMPORTS[i];
        if (!str_fits(object, import->module) || !str_fits(object, import->name)) {
            return bad_record(diag, WASM_OBJECT_IMPORTS, i, "its name");
        }
        if (import->kind > WASM_EXTERN_GLOBAL || import->idx != next[import->kind]) {
            return bad_record(diag, WASM_OBJECT_IMPORTS, i, "its kind or index");
        }
        next[import->kind]++;
        uint32_t most = import->kind == WASM_EXTERN_MEMORY ? (uint32_t)WASM_PAGES_MAX : UINT32_MAX;
        if (!limits_ok(import->min, import->max, most)) {
            return bad_record(diag, WASM_OBJECT_IMPORTS, i, "its limits");
        }
    }
    if (next[WASM_EXTERN_FUNC] != header->imported_funcs ||
        next[WASM_EXTERN_TABLE] != header->imported_tables ||
        next[WASM_EXTERN_GLOBAL] != header->imported_globals ||
        next[WASM_EXTERN_MEMORY] != (header->memory_flags >> 1)) {
        return malformed(diag, "the number of its imports is not the header's");
    }
    return 0;
}

static int check_entities(const struct wasm_object *object, struct wm_diag *diag)
{
    const struct wasm_object_header *header = object->header;
    bool has_memory = header->memory_flags & 1;
    /* 0: none; 1: its own; 3: imported. */
    if (header->memory_flags > 3 || header->memory_flags == 2 ||
        (has_memory && !limits_ok(header->memory_min, header->memory_max, WASM_PAGES_MAX))) {
        return malformed(diag, "its memory");
    }
    if (header->text_code_bytes > WASM_OBJECT_COUNT(object, TEXT)) {
        return malformed(diag, "more code than text");
    }
    if (WASM_OBJECT_COUNT(object, FUNCS) > WASM_FUNCS_MAX ||
        header->imported_funcs > WASM_OBJECT_COUNT(object, FUNCS) ||
        WASM_OBJECT_COUNT(object, TABLES) > WASM_TABLES_MAX ||
        header->imported_tables > WASM_OBJECT_COUNT(object, TABLES) ||
        WASM_OBJECT_COUNT(object, GLOBALS) > WASM_GLOBALS_MAX ||
        header->imported_globals > WASM_OBJECT_COUNT(object, GLOBALS)) {
        return malformed(diag, "more entities than allowed, or fewer than are imported");
    }
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, TABLES); i++) {
        const struct wasm_object_table *table = &object->at.TABLES[i];
        if (!wasm_is_ref((uint8_t)table->elem_type) || table->elem_type > UINT8_MAX ||
            !limits_ok(table->min, table->max, UINT32_MAX) || table->closed > 1 ||
            (table->closed && i < header->imported_tables)) {
            return bad_record(diag, WASM_OBJECT_TABLES, i, "its type");
        }
    }
    return 0;
}

static int check_funcs(const struct wasm_object *object, struct wm_diag *diag)
{
    const struct wasm_object_header *header = object->header;
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, FUNCS); i++) {
        const struct wasm_object_func *func = &object->at.FUNCS[i];
        if (func->type_idx >= WASM_OBJECT_COUNT(object, TYPES)) {
            return bad_record(diag, WASM_OBJECT_FUNCS, i, "its type");
        }
        if (!str_fits(object, func->name)) {
            return bad_record(diag, WASM_OBJECT_FUNCS, i, "its name");
        }
        bool placed = i < header->imported_funcs
                          ? func->code_offset == UINT32_MAX && func->code_len == 0
                          : func->code_len > 0 && wm_range_fits(func->code_offset, func->code_len,
                                                                header->text_code_bytes);
        if (!placed) {
            return bad_record(diag, WASM_OBJECT_FUNCS, i, "its code");
        }
    }
    if (header->start_func != UINT32_MAX) {
        if (header->start_func >= WASM_OBJECT_COUNT(object, FUNCS)) {
            return malformed(diag, "its start function");
        }
        const struct wasm_object_type *type =
            &object->at.TYPES[object->at.FUNCS[header->start_func].type_idx];
        if (type->params.len || type->results.len) {
            return malformed(diag, "its start function's type");
        }
    }
    return 0;
}

/* Constant expressions: the runtime's own evaluator is run, with made-up values, so that what
 * passes here evaluates there. */
struct constexpr_check {
    const struct wasm_object *object;
    uint64_t globals; /* may be read: those before this one */
};

static bool global_readable(const struct constexpr_check *check, uint64_t idx)
{
    return idx < check->globals && !check->object->at.GLOBALS[idx].is_mutable;
}

static int eval_global(void *self, uint32_t idx, uint8_t *valtype, union wasm_value *out,
                       struct wm_diag *diag)
{
    const struct constexpr_check *check = self;
    (void)diag;
    if (!global_readable(check, idx)) {
        return WM_E_INVALID;
    }
    *valtype = (uint8_t)check->object->at.GLOBALS[idx].valtype;
    *out = (union wasm_value){0};
    return 0;
}

static int eval_func(void *self, uint32_t idx, union wasm_value *out, struct wm_diag *diag)
{
    const struct constexpr_check *check = self;
    (void)diag;
    *out = (union wasm_value){0};
    return idx < WASM_OBJECT_COUNT(check->object, FUNCS) ? 0 : WM_E_INVALID;
}

static bool extended_ok(struct constexpr_check *check, struct wm_view code, uint8_t valtype)
{
    const struct wasm_constexpr_env env = {check, eval_global, eval_func};
    union wasm_value ignored;
    uint8_t found = 0;
    return wasm_constexpr_eval(wm_cursor_of(code), &env, &found, &ignored, NULL) == 0 &&
           found == valtype;
}

/* `globals`: how many globals, from the first, the expression may read. */
static bool init_ok(const struct wasm_object *object, const struct wasm_object_init *init,
                    uint32_t valtype, uint64_t globals)
{
    struct constexpr_check check = {.object = object, .globals = globals};
    bool plain = init->code.offset == 0 && init->code.len == 0;
    switch ((enum wasm_constexpr_kind)init->kind) {
    case WASM_CONST_VALUE:
        /* A reference among values is null; any other would be an address from a file. */
        return plain && init->idx == 0 &&
               (!wasm_is_ref((uint8_t)valtype) || is_zero(&init->value, sizeof init->value));
    case WASM_CONST_FUNC:
        return plain && valtype == WASM_FUNCREF && init->idx < WASM_OBJECT_COUNT(object, FUNCS);
    case WASM_CONST_GLOBAL:
        return plain && global_readable(&check, init->idx) &&
               object->at.GLOBALS[init->idx].valtype == valtype;
    case WASM_CONST_EXTENDED:
        return str_fits(object, init->code) &&
               extended_ok(&check, wasm_object_view(object, init->code), (uint8_t)valtype);
    default: return false;
    }
}

static int check_globals(const struct wasm_object *object, struct wm_diag *diag)
{
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, GLOBALS); i++) {
        const struct wasm_object_global *global = &object->at.GLOBALS[i];
        if (!valtype_ok(global->valtype) || global->is_mutable > 1 || global->reserved) {
            return bad_record(diag, WASM_OBJECT_GLOBALS, i, "its type");
        }
        bool ok = i < object->header->imported_globals
                      ? is_zero(&global->init, sizeof global->init)
                      : init_ok(object, &global->init, global->valtype, i);
        if (!ok) {
            return bad_record(diag, WASM_OBJECT_GLOBALS, i, "its initial value");
        }
    }
    return 0;
}

static int check_exports(const struct wasm_object *object, struct wm_diag *diag)
{
    uint64_t counts[4] = {
        [WASM_EXTERN_FUNC] = WASM_OBJECT_COUNT(object, FUNCS),
        [WASM_EXTERN_TABLE] = WASM_OBJECT_COUNT(object, TABLES),
        [WASM_EXTERN_MEMORY] = object->header->memory_flags & 1,
        [WASM_EXTERN_GLOBAL] = WASM_OBJECT_COUNT(object, GLOBALS),
    };
    struct wm_view last = {0};
    if (WASM_OBJECT_COUNT(object, EXPORTS) > WASM_EXPORTS_MAX) {
        return malformed(diag, "too many exports");
    }
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, EXPORTS); i++) {
        const struct wasm_object_export *export = &object->at.EXPORTS[i];
        if (!str_fits(object, export->name)) {
            return bad_record(diag, WASM_OBJECT_EXPORTS, i, "its name");
        }
        if (export->kind > WASM_EXTERN_GLOBAL || export->idx >= counts[export->kind]) {
            return bad_record(diag, WASM_OBJECT_EXPORTS, i, "its kind or index");
        }
        struct wm_view name = wasm_object_view(object, export->name);
        if (i > 0 && wasm_object_name_order(last, name) >= 0) {
            return bad_record(diag, WASM_OBJECT_EXPORTS, i, "out of order");
        }
        last = name;
    }
    return 0;
}

static int check_elems(const struct wasm_object *object, struct wm_diag *diag)
{
    uint64_t globals = WASM_OBJECT_COUNT(object, GLOBALS), next = 0;
    if (WASM_OBJECT_COUNT(object, ELEMS) > WASM_SEGMENTS_MAX) {
        return malformed(diag, "too many element segments");
    }
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, ELEMS); i++) {
        const struct wasm_object_elem *elem = &object->at.ELEMS[i];
        if (elem->mode > WASM_SEGMENT_DECLARATIVE || elem->valtype > UINT8_MAX ||
            !wasm_is_ref((uint8_t)elem->valtype) || elem->reserved) {
            return bad_record(diag, WASM_OBJECT_ELEMS, i, "its kind or type");
        }
        if (elem->mode == WASM_SEGMENT_ACTIVE) {
            if (elem->table_idx >= WASM_OBJECT_COUNT(object, TABLES) ||
                object->at.TABLES[elem->table_idx].elem_type != elem->valtype) {
                return bad_record(diag, WASM_OBJECT_ELEMS, i, "its table");
            }
            if (!init_ok(object, &elem->offset, WASM_I32, globals)) {
                return bad_record(diag, WASM_OBJECT_ELEMS, i, "its offset");
            }
        } else if (elem->table_idx || !is_zero(&elem->offset, sizeof elem->offset)) {
            return bad_record(diag, WASM_OBJECT_ELEMS, i, "a place without being active");
        }
        /* Segments divide ELEM_INITS among them in order. */
        if (elem->first != next ||
            !wm_range_fits(elem->first, elem->count, WASM_OBJECT_COUNT(object, ELEM_INITS))) {
            return bad_record(diag, WASM_OBJECT_ELEMS, i, "its elements");
        }
        next += elem->count;
        for (uint64_t at = elem->first; at < next; at++) {
            if (!init_ok(object, &object->at.ELEM_INITS[at], elem->valtype, globals)) {
                return bad_record(diag, WASM_OBJECT_ELEM_INITS, at, "no constant of its type");
            }
        }
    }
    return next == WASM_OBJECT_COUNT(object, ELEM_INITS)
               ? 0
               : malformed(diag, "elements that belong to no segment");
}

static int check_datas(const struct wasm_object *object, struct wm_diag *diag)
{
    uint64_t next = 0;
    if (WASM_OBJECT_COUNT(object, DATAS) > WASM_SEGMENTS_MAX) {
        return malformed(diag, "too many data segments");
    }
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, DATAS); i++) {
        const struct wasm_object_data *data = &object->at.DATAS[i];
        if (data->mode > WASM_SEGMENT_PASSIVE || data->reserved || data->reserved2) {
            return bad_record(diag, WASM_OBJECT_DATAS, i, "its kind");
        }
        bool placed =
            data->mode == WASM_SEGMENT_ACTIVE
                ? (object->header->memory_flags & 1) &&
                      init_ok(object, &data->offset, WASM_I32, WASM_OBJECT_COUNT(object, GLOBALS))
                : is_zero(&data->offset, sizeof data->offset);
        if (!placed) {
            return bad_record(diag, WASM_OBJECT_DATAS, i, "its offset");
        }
        /* The runtime takes lengths as 32-bit operands. */
        if (data->first != next || data->len > UINT32_MAX ||
            !wm_range_fits(data->first, data->len, WASM_OBJECT_COUNT(object, DATA))) {
            return bad_record(diag, WASM_OBJECT_DATAS, i, "its bytes");
        }
        next += data->len;
    }
    return next == WASM_OBJECT_COUNT(object, DATA)
               ? 0
               : malformed(diag, "data that belongs to no segment");
}

/* The three tables that binary search runs on: strictly ascending keys. */
static int check_tables_of_code(const struct wasm_object *object, struct wm_diag *diag)
{
    uint64_t text_bytes = WASM_OBJECT_COUNT(object, TEXT);
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, UNWIND); i++) {
        const struct wasm_object_unwind *row = &object->at.UNWIND[i];
        if (row->code_offset > text_bytes || (i > 0 && row->code_offset <= row[-1].code_offset)) {
            return bad_record(diag, WASM_OBJECT_UNWIND, i, "out of order or outside the text");
        }
        if (row->reserved) {
            return bad_record(diag, WASM_OBJECT_UNWIND, i, "its reserved field");
        }
    }
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, LINES); i++) {
        const struct wasm_object_line *row = &object->at.LINES[i];
        if (row->code_offset > text_bytes || (i > 0 && row->code_offset <= row[-1].code_offset)) {
            return bad_record(diag, WASM_OBJECT_LINES, i, "out of order or outside the text");
        }
        if (row->wasm_offset > object->header->module_bytes) {
            return bad_record(diag, WASM_OBJECT_LINES, i, "an offset outside the module");
        }
    }
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, SOURCES); i++) {
        const struct wasm_object_source *row = &object->at.SOURCES[i];
        if (i > 0 && row->wasm_offset <= row[-1].wasm_offset) {
            return bad_record(diag, WASM_OBJECT_SOURCES, i, "out of order");
        }
        if (!str_fits(object, row->file)) {
            return bad_record(diag, WASM_OBJECT_SOURCES, i, "its file");
        }
    }
    return 0;
}

int wasm_object_check(struct wm_view bytes, bool hash, struct wm_diag *diag)
{
    int err = check_header(bytes, diag);
    if (err) {
        return err;
    }
    struct wasm_object object = {
        .header = (const void *)bytes.ptr, .map = bytes.ptr, .map_bytes = bytes.len};
    locate(&object);
    object.text = object.at.TEXT;
    if (hash) {
        uint8_t sha256[WM_SHA256_BYTES];
        wm_sha256_once(
            wm_view_of(bytes.ptr + sizeof *object.header, bytes.len - sizeof *object.header),
            sha256);
        if (!wm_bytes_equal(sha256, object.header->content_sha256, sizeof sha256)) {
            return wm_diag_set(diag, WM_E_FORGED, "object: its content is not what was hashed");
        }
    }
    static int (*const checks[])(const struct wasm_object *, struct wm_diag *) = {
        check_entities, check_types, check_imports, check_funcs,         check_globals,
        check_exports,  check_elems, check_datas,   check_tables_of_code};
    err = check_key(&object.header->key, diag);
    for (size_t i = 0; i < WM_COUNT_OF(checks) && !err; i++) {
        err = checks[i](&object, diag);
    }
    return err;
}

static void *map_file(int fd, uint64_t offset, uint64_t len, int protection)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return mmap(NULL, len, protection, MAP_PRIVATE, fd, (off_t)offset);
}

/* TEXT lies at a page boundary (check_sections) and is mapped a second time with execute
 * permission. The tables stay without it: nothing that a module wrote by hand becomes code. */
static int map_text(struct wasm_object *object, int fd, struct wm_diag *diag)
{
    uint64_t text_bytes = WASM_OBJECT_COUNT(object, TEXT);
    if (text_bytes == 0) {
        object->text = object->at.TEXT;
        return 0;
    }
    void *text = map_file(fd, object->header->sections[WASM_OBJECT_TEXT].offset, text_bytes,
                          PROT_READ | PROT_EXEC);
    if (text == MAP_FAILED) {
        int err = -errno;
        return err == -EPERM || err == -EACCES
                   ? wm_diag_set(diag, err,
                                 "object: its file system does not allow running code "
                                 "from it (noexec); choose another cache folder")
                   : wm_diag_default(diag, err, "object: mapping its code");
    }
    object->text = text;
    return 0;
}

int wasm_object_open(int fd, struct wasm_object **out, struct wm_diag *diag)
{
    struct host_file_info info = {0};
    int err = host_file_info(fd, &info);
    if (err) {
        return wm_diag_default(diag, err, "object: reading its size");
    }
    if (info.id.bytes < sizeof(struct wasm_object_header)) {
        return malformed(diag, "shorter than its header");
    }
    struct wasm_object *object = wm_alloc_zero(1, sizeof *object);
    if (!object) {
        return wm_diag_default(diag, -ENOMEM, "object");
    }
    void *map = map_file(fd, 0, info.id.bytes, PROT_READ);
    if (map == MAP_FAILED) {
        err = wm_diag_default(diag, -errno, "object: mapping it");
        wm_free(object);
        return err;
    }
    object->map = map;
    object->map_bytes = info.id.bytes;
    object->header = map;
    err = check_header(wm_view_of(object->map, object->map_bytes), diag);
    if (!err) {
        locate(object);
        err = map_text(object, fd, diag);
    }
    if (err) {
        wasm_object_close(object);
        return err;
    }
    *out = object;
    return 0;
}

void wasm_object_close(struct wasm_object *object)
{
    if (!object) {
        return;
    }
    if (object->text && object->text != object->at.TEXT) {
        (void)munmap((void *)(uintptr_t)object->text, WASM_OBJECT_COUNT(object, TEXT));
    }
    (void)munmap((void *)(uintptr_t)object->map, object->map_bytes);
    wm_free(object);
}

/* How many of `count` records of `record_bytes`, each beginning with an ascending uint32_t, have a
 * key of at most `key`. */
static uint64_t count_up_to(const void *records, size_t record_bytes, uint64_t count, uint64_t key)
{
    uint64_t low = 0;
    while (low < count) {
        uint64_t middle = low + (count - low) / 2;
        uint32_t at;
        memcpy(&at, (const uint8_t *)records + middle * record_bytes, sizeof at);
        if (at <= key) {
            low = middle + 1;
        } else {
            count = middle;
        }
    }
    return low;
}

static bool func_holds(const struct wasm_object_func *func, uint64_t code_offset)
{
    return code_offset >= func->code_offset && code_offset - func->code_offset < func->code_len;
}

uint32_t wasm_object_func_at(const struct wasm_object *object, uint64_t code_offset)
{
    /* The compiler emits functions in index order, so this search hits; that it does is no rule of
     * the format (LLVM may move cold functions), hence the scan behind it. */
    uint64_t low = object->header->imported_funcs, high = WASM_OBJECT_COUNT(object, FUNCS);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const struct wasm_object_func *func = &object->at.FUNCS[middle];
        if (func_holds(func, code_offset)) {
            return (uint32_t)middle;
        }
        if (func->code_offset < code_offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (code_offset < object->header->text_code_bytes) {
        for (uint64_t i = object->header->imported_funcs; i < WASM_OBJECT_COUNT(object, FUNCS);
             i++) {
            if (func_holds(&object->at.FUNCS[i], code_offset)) {
                return (uint32_t)i;
            }
        }
    }
    return UINT32_MAX;
}

const struct wasm_object_unwind *wasm_object_unwind_at(const struct wasm_object *object,
                                                       uint64_t code_offset)
{
    uint64_t rows = count_up_to(object->at.UNWIND, sizeof *object->at.UNWIND,
                                WASM_OBJECT_COUNT(object, UNWIND), code_offset);
    return rows ? &object->at.UNWIND[rows - 1] : NULL;
}

bool wasm_object_source_at(const struct wasm_object *object, uint64_t code_offset,
                           struct wm_view *file, uint32_t *line)
{
    uint32_t wasm_offset = wasm_object_offset_at(object, code_offset);
    if (!wasm_offset) {
        return false;
    }
    uint64_t sources = count_up_to(object->at.SOURCES, sizeof *object->at.SOURCES,
                                   WASM_OBJECT_COUNT(object, SOURCES), wasm_offset);
    if (!sources || !object->at.SOURCES[sources - 1].line) {
        return false;
    }
    *file = wasm_object_view(object, object->at.SOURCES[sources - 1].file);
    *line = object->at.SOURCES[sources - 1].line;
    return true;
}

uint32_t wasm_object_offset_at(const struct wasm_object *object, uint64_t code_offset)
{
    uint64_t lines = count_up_to(object->at.LINES, sizeof *object->at.LINES,
                                 WASM_OBJECT_COUNT(object, LINES), code_offset);
    return lines ? object->at.LINES[lines - 1].wasm_offset : 0;
}

int wasm_object_name_order(struct wm_view a, struct wm_view b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

const struct wasm_object_export *wasm_object_export_find(const struct wasm_object *object,
                                                         struct wm_view name)
{
    uint64_t low = 0, high = WASM_OBJECT_COUNT(object, EXPORTS);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const struct wasm_object_export *export = &object->at.EXPORTS[middle];
        int order = wasm_object_name_order(wasm_object_view(object, export->name), name);
        if (order == 0) {
            return export;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}
