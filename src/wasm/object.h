/* object.h: a compiled module as a file (doc/format/object.md gives it to the byte).
 *
 * An object holds all that running a module needs: the machine code, and flat tables of the
 * module's types, imports, exports, functions, segments and names; the .wasm file is not read
 * again. Code is position-independent and constant, so loading is mapping: no relocation, no copy,
 * pages shared by all processes that run the module.
 *
 * Trust. The code in an object can do anything, so an object is only as good as where it came from:
 * it must come from the compiler process through the cache (cache.h), which authenticates it. The
 * tables are checked all the same: wasm_object_check proves every offset and index in range, so a
 * damaged object is an error and never a wild read of ours. Checked once, when an object enters the
 * cache; wasm_object_open then only checks the header.
 *
 * All numbers little-endian. Every record below is a multiple of 8 bytes (16 where it holds a
 * value) without padding bytes, and each section starts at a multiple of 16; TEXT at a multiple of
 * 4096. */
#ifndef WM_WASM_OBJECT_H
#define WM_WASM_OBJECT_H

#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"
#include "wasm/abi.h"
#include "wasm/options.h"
#include "wasm/types.h"

#define WASM_OBJECT_MAGIC "WMOBJ\r\n\x1a"
#define WASM_OBJECT_VERSION 1u
/* Raised with every change of the generated code or of what is written for it: older objects in a
 * cache are then compiled anew. */
#define WASM_COMPILER_VERSION 3u

/* X(NAME, record type) in file order. */
#define WASM_OBJECT_SECTIONS(X)                                                                 \
    X(TYPES, struct wasm_object_type)                                                           \
    X(IMPORTS, struct wasm_object_import)                                                       \
    X(TABLES, struct wasm_object_table)   /* index space: imported ones first */                \
    X(GLOBALS, struct wasm_object_global) /* index space */                                     \
    X(EXPORTS, struct wasm_object_export) /* sorted by name */                                  \
    X(FUNCS, struct wasm_object_func)     /* index space; imports have no code */               \
    X(ELEMS, struct wasm_object_elem)                                                           \
    X(ELEM_INITS, struct wasm_object_init)                                                      \
    X(DATAS, struct wasm_object_data)                                                           \
    X(UNWIND, struct wasm_object_unwind)  /* sorted by code_offset */                           \
    X(LINES, struct wasm_object_line)     /* sorted by code_offset; may be empty */             \
    X(SOURCES, struct wasm_object_source) /* sorted by wasm_offset; may be empty */             \
    X(STRINGS, uint8_t)                   /* names, value types, constant expressions, files */ \
    X(DATA, uint8_t)                      /* bytes of data segments */                          \
    X(TEXT, uint8_t)                      /* code, then its constants */

#define WASM_OBJECT_SECTION_ENUM(name, type) WASM_OBJECT_##name,
enum wasm_object_section {
    WASM_OBJECT_SECTIONS(WASM_OBJECT_SECTION_ENUM) WASM_OBJECT_SECTION_COUNT
};
#undef WASM_OBJECT_SECTION_ENUM

struct wasm_object_str { /* bytes in STRINGS */
    uint32_t offset, len;
};

struct wasm_object_type {
    struct wasm_object_str params, results; /* enum wasm_valtype, one byte each */
    uint32_t entry_offset;                  /* of the entry thunk in TEXT */
    uint32_t adapter_offset;                /* of the adapter thunk in TEXT */
};

struct wasm_object_init { /* a constant expression. 32 bytes */
    uint32_t kind;        /* enum wasm_constexpr_kind */
    uint32_t idx;
    struct wasm_object_str code; /* EXTENDED only */
    union wasm_value value;
};

struct wasm_object_import {
    struct wasm_object_str module, name;
    uint32_t kind;     /* enum wasm_extern_kind */
    uint32_t idx;      /* in the index space of its kind */
    uint32_t min, max; /* tables and memories; UINT32_MAX: no maximum */
};

struct wasm_object_table {
    uint32_t elem_type, min, max;
    uint32_t closed; /* 1: the code relies on it holding no imported function, ever */
};

struct wasm_object_global {
    uint32_t valtype, is_mutable;
    uint64_t reserved;
    struct wasm_object_init init;
};

struct wasm_object_export {
    struct wasm_object_str name;
    uint32_t kind, idx;
};

struct wasm_object_func {
    uint32_t type_idx;
    uint32_t code_offset; /* in TEXT; UINT32_MAX for an import */
    uint32_t code_len;
    uint32_t wasm_offset;        /* of its body in the module */
    struct wasm_object_str name; /* for people; may be empty */
};

struct wasm_object_elem {
    uint32_t mode, valtype, table_idx, count;
    uint64_t first; /* in ELEM_INITS */
    uint64_t reserved;
    struct wasm_object_init offset;
};

struct wasm_object_data {
    uint32_t mode, reserved;
    uint64_t first, len; /* in DATA */
    uint64_t reserved2;
    struct wasm_object_init offset;
};

/* From code_offset on, until the next record: where the caller's frame is. */
struct wasm_object_unwind {
    uint32_t code_offset;
    uint32_t cfa; /* bit 31: based on rbp, else on rsp; bits 30..0: bytes from there to the CFA; the
                     return address lies at CFA - 8. UINT32_MAX: no frame here, stop */
    int32_t rbp_offset; /* the caller's rbp lies at CFA + this; 0: rbp unchanged */
    uint32_t reserved;
};

struct wasm_object_line { /* from code_offset on, until the next record */
    uint32_t code_offset;
    uint32_t wasm_offset; /* in the module's bytes; 0: unknown */
};

struct wasm_object_source { /* from wasm_offset on, until the next record */
    uint32_t wasm_offset;
    uint32_t line; /* 0: unknown */
    struct wasm_object_str file;
};

/* What an object was made from, and how: its identity. */
struct wasm_object_key {
    uint8_t module_sha256[32];
    uint32_t compiler_version; /* WASM_COMPILER_VERSION */
    uint32_t abi_version;
    uint8_t mode, tier, cpu, fuel, lines, reserved[3];
};

struct wasm_object_header {
    uint8_t magic[8];
    uint32_t version;
    uint32_t header_bytes;
    struct wasm_object_key key;
    uint64_t total_bytes;
    struct {
        uint64_t offset; /* in the file */
        uint64_t count;  /* of records */
    } sections[WASM_OBJECT_SECTION_COUNT];
    uint32_t imported_funcs, imported_tables, imported_globals;
    uint32_t memory_flags;           /* 1: has a memory; 2: it is imported */
    uint32_t memory_min, memory_max; /* pages; max UINT32_MAX: none named */
    uint32_t start_func;             /* UINT32_MAX: none */
    uint32_t frame_max;              /* the largest native frame in TEXT, bytes */
    uint64_t module_bytes;           /* size of the .wasm file */
    uint64_t text_code_bytes;        /* of TEXT, how much is code (the rest is constants) */
    uint8_t content_sha256[32];      /* of everything after the header */
};

/* An object in memory. Borrowed views; released by wasm_object_close. */
struct wasm_object {
    const struct wasm_object_header *header;
    const uint8_t *map;
    uint64_t map_bytes;
    const uint8_t *text; /* executable */
#define WASM_OBJECT_SECTION_FIELD(name, type) const type *name;
    struct {
        WASM_OBJECT_SECTIONS(WASM_OBJECT_SECTION_FIELD)
    } at;
#undef WASM_OBJECT_SECTION_FIELD
};

#define WASM_OBJECT_COUNT(object, SECTION) ((object)->header->sections[WASM_OBJECT_##SECTION].count)

/* Proves `bytes` (aligned to 16) a well-formed object: 0, or WM_E_MALFORMED with the reason. With
 * `hash` also that the content's SHA-256 is the header's (WM_E_FORGED). Pure. */
WM_MUST_CHECK int wasm_object_check(struct wm_view bytes, bool hash, struct wm_diag *diag);
/* Maps the object in `fd` (the caller keeps fd): TEXT executable, the rest read-only. Checks the
 * header and the size only; see "Trust". */
WM_MUST_CHECK int wasm_object_open(int fd, struct wasm_object **out, struct wm_diag *diag);
void wasm_object_close(struct wasm_object *object);

static inline struct wm_view wasm_object_view(const struct wasm_object *object,
                                              struct wasm_object_str str)
{
    return wm_view_of(object->at.STRINGS + str.offset, str.len);
}

/* The function that holds text offset `code_offset`, or UINT32_MAX (thunks, constants). */
uint32_t wasm_object_func_at(const struct wasm_object *object, uint64_t code_offset);
/* The unwind record in force at `code_offset`, or NULL. */
const struct wasm_object_unwind *wasm_object_unwind_at(const struct wasm_object *object,
                                                       uint64_t code_offset);
/* File and line of `code_offset` from the module's DWARF: true and both set, or false. */
bool wasm_object_source_at(const struct wasm_object *object, uint64_t code_offset,
                           struct wm_view *file, uint32_t *line);
/* The wasm instruction, as an offset in the module's bytes; 0 where unknown. */
uint32_t wasm_object_offset_at(const struct wasm_object *object, uint64_t code_offset);

/* The order of EXPORTS: bytes, then length; negative, 0, positive. */
int wasm_object_name_order(struct wm_view a, struct wm_view b);
/* NULL where there is none of that name. */
const struct wasm_object_export *wasm_object_export_find(const struct wasm_object *object,
                                                         struct wm_view name);

#endif
