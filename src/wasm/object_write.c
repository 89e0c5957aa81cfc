/* From a validated module and its linked code to an object file (doc/format/object.md).
 *
 * All sections are built in the arena first, then laid out, hashed and written in file order.
 * Names, value types and constant expressions go to STRINGS through a table of what is there
 * already: most modules have a dozen distinct signatures and a few hundred file names for thousands
 * of records. The table is hashed with a key that the module cannot know: names are the module's
 * choice, and with a known hash they could all be made to collide. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/vec.h"
#include "crypto/hash.h"
#include "host/file.h"
#include "wasm/cache.h"
#include "wasm/dwarf.h"
#include "wasm/elf.h"

#define SECTION_ALIGNMENT 16
#define TEXT_ALIGNMENT 4096

/* STRINGS, and an open-addressing table of what was put there. */
struct strings {
    WM_VEC(uint8_t) bytes;
    uint64_t hash_key[2];
    size_t used, room;             /* of `slots`; room is a power of two */
    struct wasm_object_str *slots; /* len 0: free */
};

struct writer {
    const struct wasm_module *module;
    const struct wasm_options *options;
    const struct wasm_elf_image *image;
    struct wm_arena *arena;
    struct wm_diag *diag;
    struct strings strings;
    struct wasm_object_header header;
    const void *content[WASM_OBJECT_SECTION_COUNT]; /* DATA is put together when written */
};

static uint64_t rotate(uint64_t value, unsigned by)
{
    return value << by | value >> (64 - by);
}

/* Multiply and rotate over 8 bytes at a time, keyed at both ends. Not for cryptography: an attacker
 * sees no output of it and the key lives as long as this process. */
static uint64_t hash_of(const struct strings *strings, struct wm_view text)
{
    uint64_t hash = strings->hash_key[0] ^ text.len;
    for (size_t i = 0; i < text.len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, text.ptr + i, text.len - i < 8 ? text.len - i : 8);
        hash = rotate((hash ^ word) * UINT64_C(0x9e3779b97f4a7c15), 29) + strings->hash_key[1];
    }
    hash *= strings->hash_key[1] | 1;
    return hash ^ hash >> 31;
}

static struct wasm_object_str *find_slot(const struct strings *strings, struct wm_view text)
{
    for (size_t i = hash_of(strings, text);; i++) {
        struct wasm_object_str *slot = &strings->slots[i & (strings->room - 1)];
        if (slot->len == 0 ||
            wm_view_eq(wm_view_of(strings->bytes.items + slot->offset, slot->len), text)) {
            return slot;
        }
    }
}

static int grow_slots(struct strings *strings)
{
    struct strings old = *strings;
    size_t room = old.room ? old.room * 2 : 1024;
    strings->slots = wm_alloc_zero(room, sizeof *strings->slots);
    if (!strings->slots) {
        strings->slots = old.slots;
        return -ENOMEM;
    }
    strings->room = room;
    for (size_t i = 0; i < old.room; i++) {
        if (old.slots[i].len) {
            *find_slot(strings, wm_view_of(strings->bytes.items + old.slots[i].offset,
                                           old.slots[i].len)) = old.slots[i];
        }
    }
    wm_free(old.slots);
    return 0;
}

/* Puts `text` into STRINGS where it is not there yet. */
static int intern(struct writer *writer, struct wm_view text, struct wasm_object_str *out)
{
    struct strings *strings = &writer->strings;
    *out = (struct wasm_object_str){0};
    if (text.len == 0) {
        return 0;
    }
    if (strings->used >= strings->room / 2 && grow_slots(strings) != 0) {
        return -ENOMEM;
    }
    struct wasm_object_str *slot = find_slot(strings, text);
    if (!slot->len) {
        if (text.len > UINT32_MAX - strings->bytes.count) {
            return WM_E_LIMIT;
        }
        while (strings->bytes.room - strings->bytes.count < text.len) {
            int err = wm_vec_grow((void **)&strings->bytes.items, &strings->bytes.room, 1);
            if (err) {
                return err;
            }
        }
        *slot = (struct wasm_object_str){(uint32_t)strings->bytes.count, (uint32_t)text.len};
        memcpy(strings->bytes.items + strings->bytes.count, text.ptr, text.len);
        strings->bytes.count += text.len;
        strings->used++;
    }
    *out = *slot;
    return 0;
}

/* Takes the records of a section; NULL when memory is short. */
static void *take(struct writer *writer, enum wasm_object_section section, uint64_t count,
                  size_t record_bytes)
{
    void *records = wm_arena_take(writer->arena, count, record_bytes);
    writer->content[section] = records;
    writer->header.sections[section].count = records ? count : 0;
    return records;
}

static int lacks_code(struct writer *writer, const char *what, uint32_t idx)
{
    return wm_diag_set(writer->diag, WM_E_COMPILER, "compiled code: %s %u is not in it", what, idx);
}

static int write_types(struct writer *writer)
{
    const struct wasm_module *module = writer->module;
    struct wasm_object_type *types =
        take(writer, WASM_OBJECT_TYPES, module->type_count, sizeof *types);
    if (!types) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < module->type_count; i++) {
        const struct wasm_functype *type = &module->types[i];
        uint32_t canon = module->type_canon[i];
        int err = intern(writer, wm_view_of(type->params, type->param_count), &types[i].params);
        err =
            err ? err
                : intern(writer, wm_view_of(type->results, type->result_count), &types[i].results);
        if (err) {
            return err;
        }
        if (!writer->image->entries[canon].len || !writer->image->adapters[canon].len) {
            return lacks_code(writer, "a thunk of type", canon);
        }
        types[i].entry_offset = writer->image->entries[canon].offset;
        types[i].adapter_offset = writer->image->adapters[canon].offset;
    }
    return 0;
}

static uint32_t max_of(const struct wasm_limits *limits)
{
    return limits->has_max ? limits->max : UINT32_MAX;
}

static int write_imports(struct writer *writer)
{
    const struct wasm_module *module = writer->module;
    uint32_t next[4] = {0};
    struct wasm_object_import *imports =
        take(writer, WASM_OBJECT_IMPORTS, module->import_count, sizeof *imports);
    if (!imports) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < module->import_count; i++) {
        const struct wasm_import *from = &module->imports[i];
        struct wasm_object_import *to = &imports[i];
        to->kind = from->kind;
        to->idx = next[from->kind]++;
        if (from->kind == WASM_EXTERN_TABLE || from->kind == WASM_EXTERN_MEMORY) {
            const struct wasm_limits *limits =
                from->kind == WASM_EXTERN_TABLE ? &from->table.limits : &from->memory;
            to->min = limits->min;
            to->max = max_of(limits);
        }
        int err = intern(writer, from->module, &to->module);
        err = err ? err : intern(writer, from->name, &to->name);
        if (err) {
            return err;
        }
    }
    writer->header.imported_funcs = module->imported_funcs;
    writer->header.imported_tables = module->imported_tables;
    writer->header.imported_globals = module->imported_globals;
    return 0;
}

static int write_init(struct writer *writer, const struct wasm_constexpr *from,
                      struct wasm_object_init *to)
{
    *to = (struct wasm_object_init){.kind = from->kind};
    switch (from->kind) {
    case WASM_CONST_VALUE: to->value = from->value; return 0;
    case WASM_CONST_FUNC:
    case WASM_CONST_GLOBAL: to->idx = from->idx; return 0;
    case WASM_CONST_EXTENDED: return intern(writer, from->code, &to->code);
    }
    WM_UNREACHABLE();
}

static int write_tables(struct writer *writer)
{
    const struct wasm_module *module = writer->module;
    struct wasm_object_table *tables =
        take(writer, WASM_OBJECT_TABLES, module->table_count, sizeof *tables);
    if (!tables) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < module->table_count; i++) {
        tables[i] = (struct wasm_object_table){.elem_type = module->tables[i].elem,
                                               .min = module->tables[i].limits.min,
                                               .max = max_of(&module->tables[i].limits),
                                               .closed = module->tables_closed[i]};
    }
    if (module->memory_count) {
        writer->header.memory_flags = module->imported_memories ? 3 : 1;
        writer->header.memory_min = module->memory.min;
        writer->header.memory_max = max_of(&module->memory);
    }
    return 0;
}

static int write_globals(struct writer *writer)
{
    const struct wasm_module *module = writer->module;
    struct wasm_object_global *globals =
        take(writer, WASM_OBJECT_GLOBALS, module->global_count, sizeof *globals);
    if (!globals) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < module->global_count; i++) {
        globals[i].valtype = module->globals[i].type.valtype;
        globals[i].is_mutable = module->globals[i].type.is_mutable;
        if (i >= module->imported_globals) {
            int err = write_init(writer, &module->globals[i].init, &globals[i].init);
            if (err) {
                return err;
            }
        }
    }
    return 0;
}

struct named_export {
    struct wm_view name;
    uint32_t kind, idx;
};

static int compare_exports(const void *a, const void *b)
{
    return wasm_object_name_order(((const struct named_export *)a)->name,
                                  ((const struct named_export *)b)->name);
}

static int write_exports(struct writer *writer)
{
    const struct wasm_module *module = writer->module;
    struct wasm_object_export *exports =
        take(writer, WASM_OBJECT_EXPORTS, module->export_count, sizeof *exports);
    struct named_export *sorted =
        WM_ARENA_ARRAY(writer->arena, struct named_export, module->export_count);
    if (!exports || !sorted) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < module->export_count; i++) {
        sorted[i] = (struct named_export){.name = module->exports[i].name,
                                          .kind = module->exports[i].kind,
                                          .idx = module->exports[i].idx};
    }
    qsort(sorted, module->export_count, sizeof *sorted, compare_exports);
    for (uint32_t i = 0; i < module->export_count; i++) {
        exports[i].kind = sorted[i].kind;
        exports[i].idx = sorted[i].idx;
        int err = intern(writer, sorted[i].name, &exports[i].name);
        if (err) {
            return err;
        }
    }
    return 0;
}

/* In `det` the stack must outlast the counted frames on every machine: a function whose native
 * frame is larger than what is counted for it would break that, so it is refused here, by name. */
static int check_frame(struct writer *writer, uint32_t func_idx)
{
    if (writer->options->mode != WASM_MODE_DET) {
        return 0;
    }
    const struct wasm_body *body =
        &writer->module->bodies[func_idx - writer->module->imported_funcs];
    uint64_t cost = wasm_frame_cost(wasm_module_func_type(writer->module, func_idx), body);
    uint32_t frame = writer->image->frame_bytes[func_idx];
    if (frame <= cost) {
        return 0;
    }
    char name[64];
    wasm_module_func_name(writer->module, func_idx, name, sizeof name);
    if (frame == UINT32_MAX) {
        return wm_diag_set(writer->diag, WM_E_LIMIT,
                           "function %s: the size of its native frame is not known, as mode det "
                           "needs it to be; split the function",
                           name);
    }
    return wm_diag_set(writer->diag, WM_E_LIMIT,
                       "function %s: its native frame of %u bytes is larger than the %llu that "
                       "mode det counts for it; split the function",
                       name, frame, (unsigned long long)cost);
}

static int write_funcs(struct writer *writer)
{
    const struct wasm_module *module = writer->module;
    struct wasm_object_func *funcs =
        take(writer, WASM_OBJECT_FUNCS, module->func_count, sizeof *funcs);
    struct wm_view *names = wasm_module_func_names(module, writer->arena);
    if (!funcs || !names) {
        return -ENOMEM;
    }
    /* A stripped module still says something of itself by what it exports. */
    for (uint32_t i = 0; i < module->export_count; i++) {
        const struct wasm_export *export = &module->exports[i];
        if (export->kind == WASM_EXTERN_FUNC && names[export->idx].len == 0) {
            names[export->idx] = export->name;
        }
    }
    for (uint32_t i = 0; i < module->func_count; i++) {
        funcs[i].type_idx = module->func_types[i];
        int err = intern(writer, names[i], &funcs[i].name);
        if (err) {
            return err;
        }
        if (i < module->imported_funcs) {
            funcs[i].code_offset = UINT32_MAX;
            continue;
        }
        if (!writer->image->funcs[i].len) {
            return lacks_code(writer, "function", i);
        }
        err = check_frame(writer, i);
        if (err) {
            return err;
        }
        funcs[i].code_offset = writer->image->funcs[i].offset;
        funcs[i].code_len = writer->image->funcs[i].len;
        funcs[i].wasm_offset = module->bodies[i - module->imported_funcs].code_offset;
    }
    return 0;
}

static int write_elems(struct writer *writer)
{
    const struct wasm_module *module = writer->module;
    struct wasm_object_elem *elems =
        take(writer, WASM_OBJECT_ELEMS, module->elem_count, sizeof *elems);
    uint64_t total = 0;
    for (uint32_t i = 0; i < module->elem_count; i++) {
        total += module->elems[i].count;
    }
    struct wasm_object_init *inits = take(writer, WASM_OBJECT_ELEM_INITS, total, sizeof *inits);
    if (!elems || !inits) {
        return -ENOMEM;
    }
    uint64_t at = 0;
    for (uint32_t i = 0; i < module->elem_count; i++) {
        const struct wasm_elem *from = &module->elems[i];
        elems[i].mode = from->mode;
        elems[i].valtype = from->valtype;
        elems[i].count = from->count;
        elems[i].first = at;
        int err = 0;
        if (from->mode == WASM_SEGMENT_ACTIVE) {
            elems[i].table_idx = from->table_idx;
            err = write_init(writer, &from->offset, &elems[i].offset);
        }
        for (uint32_t j = 0; j < from->count && !err; j++, at++) {
            if (from->funcs) {
                inits[at].kind = WASM_CONST_FUNC;
                inits[at].idx = from->funcs[j];
            } else {
                err = write_init(writer, &from->exprs[j], &inits[at]);
            }
        }
        if (err) {
            return err;
        }
    }
    return 0;
}

static int write_datas(struct writer *writer)
{
    const struct wasm_module *module = writer->module;
    struct wasm_object_data *datas =
        take(writer, WASM_OBJECT_DATAS, module->data_count, sizeof *datas);
    uint64_t at = 0;
    if (!datas) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < module->data_count; i++) {
        const struct wasm_data *from = &module->datas[i];
        datas[i].mode = from->mode;
        datas[i].first = at;
        datas[i].len = from->bytes.len;
        at += from->bytes.len;
        if (from->mode == WASM_SEGMENT_ACTIVE) {
            int err = write_init(writer, &from->offset, &datas[i].offset);
            if (err) {
                return err;
            }
        }
    }
    writer->header.sections[WASM_OBJECT_DATA].count = at;
    return 0;
}

static int write_sources(struct writer *writer)
{
    struct wasm_dwarf_sources from;
    int err = wasm_dwarf_sources(writer->module, writer->arena, &from);
    if (err) {
        return err;
    }
    struct wasm_object_str *files =
        WM_ARENA_ARRAY(writer->arena, struct wasm_object_str, from.file_count);
    struct wasm_object_source *sources =
        take(writer, WASM_OBJECT_SOURCES, from.count, sizeof *sources);
    if (!files || !sources) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < from.file_count; i++) {
        err = intern(writer, from.files[i], &files[i]);
        if (err) {
            return err;
        }
    }
    for (uint32_t i = 0; i < from.count; i++) {
        sources[i].wasm_offset = from.rows[i].wasm_offset;
        sources[i].line = from.rows[i].line;
        if (from.rows[i].line) {
            sources[i].file = files[from.rows[i].file];
        }
    }
    return 0;
}

/* What comes from the image as it is. */
static int write_code(struct writer *writer)
{
    const struct wasm_elf_image *image = writer->image;
    struct wasm_object_header *header = &writer->header;
    writer->content[WASM_OBJECT_UNWIND] = image->unwind;
    header->sections[WASM_OBJECT_UNWIND].count = image->unwind_count;
    writer->content[WASM_OBJECT_TEXT] = image->text;
    header->sections[WASM_OBJECT_TEXT].count = image->text_bytes;
    header->text_code_bytes = image->code_bytes;
    header->frame_max = image->frame_max;
    if (!writer->options->lines) {
        return 0;
    }
    struct wasm_object_line *lines =
        take(writer, WASM_OBJECT_LINES, image->line_count, sizeof *lines);
    if (!lines) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < image->line_count; i++) {
        lines[i] = image->lines[i];
        if (lines[i].wasm_offset > writer->module->bytes.len) {
            lines[i].wasm_offset = 0;
        }
    }
    return write_sources(writer);
}

static const size_t record_bytes[WASM_OBJECT_SECTION_COUNT] = {
#define RECORD_BYTES(name, type) sizeof(type),
    WASM_OBJECT_SECTIONS(RECORD_BYTES)
#undef RECORD_BYTES
};

static int lay_out(struct writer *writer)
{
    struct wasm_object_header *header = &writer->header;
    uint64_t at = sizeof *header;
    for (unsigned i = 0; i < WASM_OBJECT_SECTION_COUNT; i++) {
        uint64_t len;
        bool ok =
            wm_align_up_u64(at, i == WASM_OBJECT_TEXT ? TEXT_ALIGNMENT : SECTION_ALIGNMENT, &at);
        header->sections[i].offset = at;
        ok = ok && header->sections[i].count <= UINT32_MAX &&
             wm_mul_u64(header->sections[i].count, record_bytes[i], &len) &&
             wm_add_u64(at, len, &at);
        if (!ok) {
            return WM_E_LIMIT;
        }
    }
    header->total_bytes = at;
    return 0;
}

/* Gives the bytes after the header to `each`, in order. */
static int each_piece(struct writer *writer, int (*each)(void *self, struct wm_view piece),
                      void *self)
{
    static const uint8_t zeroes[TEXT_ALIGNMENT];
    const struct wasm_object_header *header = &writer->header;
    uint64_t at = sizeof *header;
    int err = 0;
    for (unsigned i = 0; i < WASM_OBJECT_SECTION_COUNT && !err; i++) {
        uint64_t len = header->sections[i].count * record_bytes[i];
        err = each(self, wm_view_of(zeroes, header->sections[i].offset - at));
        if (i == WASM_OBJECT_DATA) {
            for (uint32_t j = 0; j < writer->module->data_count && !err; j++) {
                err = each(self, writer->module->datas[j].bytes);
            }
        } else if (!err) {
            err = each(self, wm_view_of(writer->content[i], len));
        }
        at = header->sections[i].offset + len;
    }
    return err;
}

static int hash_piece(void *self, struct wm_view piece)
{
    wm_sha256_add(self, piece);
    return 0;
}

static int write_piece(void *self, struct wm_view piece)
{
    return host_file_write_all(*(int *)self, piece);
}

static int write_file(struct writer *writer, int fd)
{
    struct wm_sha256 hash;
    wm_sha256_init(&hash);
    int err = each_piece(writer, hash_piece, &hash);
    WM_ASSERT(err == 0);
    wm_sha256_end(&hash, writer->header.content_sha256);
    err = host_file_write_all(fd, wm_view_of(&writer->header, sizeof writer->header));
    return err ? err : each_piece(writer, write_piece, &fd);
}

static void begin_header(struct writer *writer, const uint8_t sha256[32])
{
    struct wasm_object_header *header = &writer->header;
    memcpy(header->magic, WASM_OBJECT_MAGIC, sizeof header->magic);
    header->version = WASM_OBJECT_VERSION;
    header->header_bytes = sizeof *header;
    wasm_object_key_of(sha256, writer->options, &header->key);
    header->module_bytes = writer->module->bytes.len;
    header->start_func = writer->module->has_start ? writer->module->start_func : UINT32_MAX;
}

int wasm_object_write(int fd, const struct wasm_module *module, const uint8_t sha256[32],
                      const struct wasm_options *options, const struct wasm_elf_image *image,
                      struct wm_arena *arena, struct wm_diag *diag)
{
    struct writer writer = {
        .module = module, .options = options, .image = image, .arena = arena, .diag = diag};
    static int (*const steps[])(struct writer *) = {write_types,   write_imports, write_tables,
                                                    write_globals, write_exports, write_funcs,
                                                    write_elems,   write_datas,   write_code};
    WM_ASSERT(module->validated);
    WM_ASSERT(image->func_count == module->func_count && image->type_count == module->type_count);
    wm_random_bytes((uint8_t *)writer.strings.hash_key, sizeof writer.strings.hash_key);
    begin_header(&writer, sha256);
    int err = 0;
    for (size_t i = 0; i < WM_COUNT_OF(steps) && !err; i++) {
        err = steps[i](&writer);
    }
    writer.content[WASM_OBJECT_STRINGS] = writer.strings.bytes.items;
    writer.header.sections[WASM_OBJECT_STRINGS].count = writer.strings.bytes.count;
    err = err ? err : lay_out(&writer);
    err = err ? err : write_file(&writer, fd);
    wm_vec_fini(&writer.strings.bytes);
    wm_free(writer.strings.slots);
    return err ? wm_diag_default(diag, err, "object: writing it") : 0;
}
