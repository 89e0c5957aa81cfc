/* From LLVM's relocatable objects to one block of text that can be mapped anywhere.
 *
 *     files:  .text .text.* ...  .rodata .rodata.cst16 ...  .eh_frame   .debug_line   symbols
 *     image:  code of the first, second, ... file | constants (from the next 64), as the code
 *             | scratch: .eh_frame; text_bytes ends before it
 *
 * The files are parts of one module: a function may be called from another file than its own, and
 * is found by its name. Everything else a file keeps to itself.
 *
 * Because everything that refers to something else does so relative to its own place, one image
 * serves at every address. So what is not PC-relative, or refers to anything that is not in the
 * files, is refused by name: it would mean that the translator let LLVM call a library function,
 * and such a call would jump to nowhere.
 *
 * Input comes from LLVM, not from a user, but every offset is checked all the same. */
#include "wasm/elf.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/error.h"
#include "wasm/elf_internal.h"

#define SECTIONS_MAX 65279u /* SHN_LORESERVE - 1: above, numbering changes; LLVM makes a dozen */
#define ALIGNMENT_MAX 4096
#define CONSTANTS_ALIGNMENT 64
#define NAME_MAX_BYTES 120
/* Offsets in TEXT are 32 bits wide, and so are PC-relative distances. */
#define IMAGE_BYTES_MAX (UINT64_C(1) << 31)

struct section {
    struct wm_view name, bytes;
    uint32_t type, info;
    uint64_t flags, alignment;
    bool placed;
    uint64_t address; /* in the image, when placed */
};

struct input {
    struct wm_view elf;
    uint32_t section_count;
    struct section *sections;
    uint64_t symbol_count;
    const uint8_t *symbols; /* Elf64_Sym each, not aligned */
    struct wm_view symbol_names;
    struct section *eh_frame, *debug_line;
};

struct linker {
    struct wm_arena *arena;
    struct wm_diag *diag;
    uint32_t input_count;
    struct input *inputs;
    struct wasm_elf_image *image;
    uint8_t *block; /* the image and the scratch behind it */
    uint64_t block_bytes;
};

static int refuse(struct linker *link, const char *what)
{
    return wm_diag_set(link->diag, WM_E_COMPILER, "compiled code: %s", what);
}

/* The NUL-terminated string at `offset`; empty where there is none. */
static struct wm_view string_at(struct wm_view table, uint64_t offset)
{
    struct wm_view rest;
    if (!wm_view_slice(table, offset, 0, &rest)) {
        return (struct wm_view){0};
    }
    rest.len = table.len - offset;
    const uint8_t *end = rest.len ? memchr(rest.ptr, 0, rest.len) : NULL;
    rest.len = end ? (size_t)(end - rest.ptr) : 0;
    return rest;
}

static int refuse_named(struct linker *link, const char *what, struct wm_view name)
{
    char quoted[NAME_MAX_BYTES];
    wm_diag_quote(quoted, sizeof quoted, name.ptr, name.len);
    return wm_diag_set(link->diag, WM_E_COMPILER, "compiled code: %s: %s", what, quoted);
}

static int read_sections(struct linker *link, struct input *input)
{
    Elf64_Ehdr header;
    if (input->elf.len < sizeof header) {
        return refuse(link, "shorter than an ELF header");
    }
    memcpy(&header, input->elf.ptr, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_type != ET_REL ||
        header.e_machine != EM_X86_64) {
        return refuse(link, "no relocatable ELF file for x86-64");
    }
    uint64_t table_bytes = (uint64_t)header.e_shnum * sizeof(Elf64_Shdr);
    if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum == 0 ||
        header.e_shnum > SECTIONS_MAX || header.e_shstrndx >= header.e_shnum ||
        !wm_range_fits(header.e_shoff, table_bytes, input->elf.len)) {
        return refuse(link, "its section table is not in the file");
    }
    input->section_count = header.e_shnum;
    input->sections = WM_ARENA_ARRAY(link->arena, struct section, input->section_count);
    Elf64_Shdr *raw = WM_ARENA_ARRAY(link->arena, Elf64_Shdr, input->section_count);
    if (!input->sections || !raw) {
        return wm_diag_default(link->diag, -ENOMEM, "compiled code");
    }
    memcpy(raw, input->elf.ptr + header.e_shoff, table_bytes);
    for (uint32_t i = 0; i < input->section_count; i++) {
        struct section *section = &input->sections[i];
        section->type = raw[i].sh_type;
        section->info = raw[i].sh_info;
        section->flags = raw[i].sh_flags;
        section->alignment = raw[i].sh_addralign ? raw[i].sh_addralign : 1;
        if (section->type == SHT_NULL || section->type == SHT_NOBITS) {
            section->bytes.len = section->type == SHT_NOBITS && raw[i].sh_size ? 1 : 0;
            section->bytes.ptr = input->elf.ptr;
        } else if (!wm_view_slice(input->elf, raw[i].sh_offset, raw[i].sh_size, &section->bytes)) {
            return refuse(link, "a section is not in the file");
        }
    }
    for (uint32_t i = 0; i < input->section_count; i++) {
        input->sections[i].name =
            string_at(input->sections[header.e_shstrndx].bytes, raw[i].sh_name);
        if (input->sections[i].type == SHT_SYMTAB) {
            if (input->symbols || raw[i].sh_entsize != sizeof(Elf64_Sym) ||
                raw[i].sh_link >= input->section_count) {
                return refuse(link, "its symbol table");
            }
            input->symbols = input->sections[i].bytes.ptr;
            input->symbol_count = input->sections[i].bytes.len / sizeof(Elf64_Sym);
            input->symbol_names = input->sections[raw[i].sh_link].bytes;
        }
    }
    return 0;
}

enum kind { KIND_IGNORED, KIND_CODE, KIND_CONSTANTS, KIND_UNWIND, KIND_REFUSED };

static enum kind kind_of(const struct section *section)
{
    if (!(section->flags & SHF_ALLOC) || section->bytes.len == 0 || section->type == SHT_NOTE) {
        return KIND_IGNORED;
    }
    if (wm_view_eq_str(section->name, ".eh_frame")) {
        return KIND_UNWIND;
    }
    if (section->type != SHT_PROGBITS || (section->flags & (SHF_WRITE | SHF_TLS))) {
        return KIND_REFUSED;
    }
    return section->flags & SHF_EXECINSTR ? KIND_CODE : KIND_CONSTANTS;
}

static int place_kind_of(struct linker *link, struct input *input, enum kind kind, uint64_t *at)
{
    for (uint32_t i = 0; i < input->section_count; i++) {
        struct section *section = &input->sections[i];
        if (kind_of(section) != kind) {
            continue;
        }
        if (section->alignment > ALIGNMENT_MAX || (section->alignment & (section->alignment - 1))) {
            return refuse_named(link, "alignment of section", section->name);
        }
        if (!wm_align_up_u64(*at, section->alignment, at) ||
            section->bytes.len > IMAGE_BYTES_MAX - *at) {
            return wm_diag_set(link->diag, WM_E_LIMIT, "compiled code: larger than 2 GiB");
        }
        section->placed = true;
        section->address = *at;
        *at += section->bytes.len;
    }
    return 0;
}

static int place_kind(struct linker *link, enum kind kind, uint64_t *at)
{
    int err = 0;
    for (uint32_t i = 0; i < link->input_count && !err; i++) {
        err = place_kind_of(link, &link->inputs[i], kind, at);
    }
    return err;
}

static int study_sections(struct linker *link, struct input *input)
{
    for (uint32_t i = 0; i < input->section_count; i++) {
        struct section *section = &input->sections[i];
        if (kind_of(section) == KIND_REFUSED) {
            return refuse_named(link, "it keeps data of its own, in section", section->name);
        }
        if (kind_of(section) == KIND_UNWIND) {
            if (input->eh_frame) {
                return refuse(link, "more than one .eh_frame");
            }
            input->eh_frame = section;
        }
        if (wm_view_eq_str(section->name, ".debug_line") && section->bytes.len &&
            section->type == SHT_PROGBITS) {
            input->debug_line = section;
        }
    }
    return 0;
}

static void copy_sections(struct linker *link, const struct input *input)
{
    for (uint32_t i = 0; i < input->section_count; i++) {
        const struct section *section = &input->sections[i];
        if (section->placed && section->bytes.len) {
            memcpy(link->block + section->address, section->bytes.ptr, section->bytes.len);
        }
    }
}

static int place_all(struct linker *link)
{
    struct wasm_elf_image *image = link->image;
    uint64_t at = 0;
    int err = place_kind(link, KIND_CODE, &at);
    image->code_bytes = at;
    if (!err) {
        at = (at + CONSTANTS_ALIGNMENT - 1) & ~(uint64_t)(CONSTANTS_ALIGNMENT - 1);
        err = place_kind(link, KIND_CONSTANTS, &at);
        /* Without constants the text ends where the code does. */
        image->text_bytes = wm_max_u64(at, image->code_bytes);
    }
    if (!err) {
        err = place_kind(link, KIND_UNWIND, &at);
        link->block_bytes = at;
    }
    if (err) {
        return err;
    }
    link->block = wm_arena_take(link->arena, 1, link->block_bytes);
    if (!link->block) {
        return wm_diag_default(link->diag, -ENOMEM, "compiled code");
    }
    /* Between functions an int3 is safer to fall into than the zeroes of an `add`. */
    memset(link->block, 0xcc, image->code_bytes);
    for (uint32_t i = 0; i < link->input_count; i++) {
        copy_sections(link, &link->inputs[i]);
    }
    image->text = link->block;
    return 0;
}

/* "f12": the letter and the number; false for every other name. */
static bool parse_name(struct wm_view name, char *letter, uint32_t *number)
{
    uint64_t value = 0;
    if (name.len < 2 || name.len > 11 || (name.len > 2 && name.ptr[1] == '0')) {
        return false;
    }
    for (size_t i = 1; i < name.len; i++) {
        if (name.ptr[i] < '0' || name.ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(name.ptr[i] - '0');
    }
    if (value > UINT32_MAX) {
        return false;
    }
    *letter = (char)name.ptr[0];
    *number = (uint32_t)value;
    return *letter == 'f' || *letter == 'e' || *letter == 'a';
}

static struct wasm_elf_symbol *slot_of(struct wasm_elf_image *image, struct wm_view name)
{
    char letter;
    uint32_t number;
    if (!parse_name(name, &letter, &number) ||
        number >= (letter == 'f' ? image->func_count : image->type_count)) {
        return NULL;
    }
    return letter == 'f'   ? &image->funcs[number]
           : letter == 'e' ? &image->entries[number]
                           : &image->adapters[number];
}

static bool symbol_at(const struct input *input, uint64_t idx, Elf64_Sym *out)
{
    if (idx >= input->symbol_count) {
        return false;
    }
    memcpy(out, input->symbols + idx * sizeof *out, sizeof *out);
    return true;
}

/* Where a relocation's symbol lies in the image. */
static int symbol_address(struct linker *link, const struct input *input, uint64_t idx,
                          uint64_t *out)
{
    Elf64_Sym symbol;
    if (!symbol_at(input, idx, &symbol)) {
        return refuse(link, "a relocation without a symbol");
    }
    struct wm_view name = string_at(input->symbol_names, symbol.st_name);
    if (symbol.st_shndx == SHN_UNDEF) {
        const struct wasm_elf_symbol *elsewhere = slot_of(link->image, name);
        if (!elsewhere || !elsewhere->len) {
            return refuse_named(link, "it needs a function that is not part of it", name);
        }
        *out = elsewhere->offset;
        return 0;
    }
    if (symbol.st_shndx >= input->section_count || !input->sections[symbol.st_shndx].placed) {
        return refuse_named(link, "a relocation to something that is not in the image", name);
    }
    *out = input->sections[symbol.st_shndx].address + symbol.st_value;
    return 0;
}

static int apply_relative(struct linker *link, const struct input *input,
                          const struct section *target, const Elf64_Rela *rela, uint32_t type)
{
    uint64_t symbol = 0, width = type == R_X86_64_PC64 ? 8 : 4;
    if (!wm_range_fits(rela->r_offset, width, target->bytes.len)) {
        return refuse(link, "a relocation outside its section");
    }
    int err = symbol_address(link, input, ELF64_R_SYM(rela->r_info), &symbol);
    if (err) {
        return err;
    }
    uint64_t place = target->address + rela->r_offset;
    int64_t value = (int64_t)(symbol + (uint64_t)rela->r_addend - place);
    if (width == 8) {
        memcpy(link->block + place, &value, 8);
        return 0;
    }
    if (value != (int32_t)value) {
        return wm_diag_set(link->diag, WM_E_LIMIT, "compiled code: a distance above 2 GiB");
    }
    int32_t narrow = (int32_t)value;
    memcpy(link->block + place, &narrow, 4);
    return 0;
}

static int relocate_input(struct linker *link, const struct input *input)
{
    for (uint32_t i = 0; i < input->section_count; i++) {
        const struct section *table = &input->sections[i];
        if ((table->type != SHT_RELA && table->type != SHT_REL) ||
            table->info >= input->section_count || !input->sections[table->info].placed) {
            continue;
        }
        const struct section *target = &input->sections[table->info];
        if (table->type == SHT_REL) {
            return refuse_named(link, "relocations without addends in", table->name);
        }
        for (uint64_t at = 0; at + sizeof(Elf64_Rela) <= table->bytes.len;
             at += sizeof(Elf64_Rela)) {
            Elf64_Rela rela;
            memcpy(&rela, table->bytes.ptr + at, sizeof rela);
            uint32_t type = ELF64_R_TYPE(rela.r_info);
            if (type == R_X86_64_NONE) {
                continue;
            }
            if (type != R_X86_64_PC32 && type != R_X86_64_PLT32 && type != R_X86_64_PC64) {
                return wm_diag_set(link->diag, WM_E_COMPILER,
                                   "compiled code: relocation type %u depends on an address", type);
            }
            int err = apply_relative(link, input, target, &rela, type);
            if (err) {
                return err;
            }
        }
    }
    return 0;
}

/* A copy of .debug_line whose addresses are image offsets. Its other references (to the tables of
 * file names) are not ours to resolve: nobody reads them. */
static int relocate_lines(struct linker *link, const struct input *input, struct wm_view *out)
{
    uint8_t *copy = wm_arena_take(link->arena, 1, input->debug_line->bytes.len);
    if (!copy) {
        return wm_diag_default(link->diag, -ENOMEM, "compiled code");
    }
    memcpy(copy, input->debug_line->bytes.ptr, input->debug_line->bytes.len);
    *out = wm_view_of(copy, input->debug_line->bytes.len);
    for (uint32_t i = 0; i < input->section_count; i++) {
        const struct section *table = &input->sections[i];
        if (table->type != SHT_RELA || table->info >= input->section_count ||
            &input->sections[table->info] != input->debug_line) {
            continue;
        }
        for (uint64_t at = 0; at + sizeof(Elf64_Rela) <= table->bytes.len;
             at += sizeof(Elf64_Rela)) {
            Elf64_Rela rela;
            memcpy(&rela, table->bytes.ptr + at, sizeof rela);
            uint64_t address = 0;
            if (ELF64_R_TYPE(rela.r_info) != R_X86_64_64 ||
                !wm_range_fits(rela.r_offset, 8, out->len)) {
                continue;
            }
            int err = symbol_address(link, input, ELF64_R_SYM(rela.r_info), &address);
            if (err) {
                return err;
            }
            address += (uint64_t)rela.r_addend;
            memcpy(copy + rela.r_offset, &address, 8);
        }
    }
    return 0;
}

static int take_symbol(struct linker *link, const struct input *input, const Elf64_Sym *symbol)
{
    char letter;
    uint32_t number;
    struct wm_view name = string_at(input->symbol_names, symbol->st_name);
    if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
        !parse_name(name, &letter, &number)) {
        return 0;
    }
    const struct section *section =
        symbol->st_shndx < input->section_count ? &input->sections[symbol->st_shndx] : NULL;
    if (!section || !section->placed || !(section->flags & SHF_EXECINSTR) || !symbol->st_size ||
        !wm_range_fits(symbol->st_value, symbol->st_size, section->bytes.len)) {
        return refuse_named(link, "a function outside the code", name);
    }
    struct wasm_elf_symbol *slot = slot_of(link->image, name);
    if (!slot) {
        return refuse_named(link, "a function of no index", name);
    }
    if (slot->len) {
        return refuse_named(link, "a function that is there twice", name);
    }
    slot->offset = (uint32_t)(section->address + symbol->st_value);
    slot->len = (uint32_t)symbol->st_size;
    return 0;
}

static int read_symbols(struct linker *link, uint32_t func_count, uint32_t type_count)
{
    struct wasm_elf_image *image = link->image;
    image->func_count = func_count;
    image->type_count = type_count;
    image->funcs = WM_ARENA_ARRAY(link->arena, struct wasm_elf_symbol, func_count);
    image->entries = WM_ARENA_ARRAY(link->arena, struct wasm_elf_symbol, type_count);
    image->adapters = WM_ARENA_ARRAY(link->arena, struct wasm_elf_symbol, type_count);
    image->frame_bytes = WM_ARENA_ARRAY(link->arena, uint32_t, func_count);
    if (!image->funcs || !image->entries || !image->adapters || !image->frame_bytes) {
        return wm_diag_default(link->diag, -ENOMEM, "compiled code");
    }
    for (uint32_t i = 0; i < link->input_count; i++) {
        const struct input *input = &link->inputs[i];
        Elf64_Sym symbol;
        for (uint64_t j = 0; symbol_at(input, j, &symbol); j++) {
            int err = take_symbol(link, input, &symbol);
            if (err) {
                return err;
            }
        }
    }
    return 0;
}

static int compare_fde(const void *key, const void *item)
{
    uint32_t offset = *(const uint32_t *)key, at = ((const struct elf_fde *)item)->offset;
    return (offset > at) - (offset < at);
}

static void assign_frames(struct wasm_elf_image *image, const struct elf_fde *fdes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (fdes[i].frame_bytes != UINT32_MAX && fdes[i].frame_bytes > image->frame_max) {
            image->frame_max = fdes[i].frame_bytes;
        }
    }
    for (uint32_t i = 0; i < image->func_count; i++) {
        const struct elf_fde *fde =
            !image->funcs[i].len || !count
                ? NULL
                : bsearch(&image->funcs[i].offset, fdes, count, sizeof *fdes, compare_fde);
        /* Without call frame information nothing is known of a frame. */
        image->frame_bytes[i] = fde ? fde->frame_bytes : UINT32_MAX;
    }
}

static int read_inputs(struct linker *link, const struct wm_view *elfs, uint32_t count)
{
    link->inputs = WM_ARENA_ARRAY(link->arena, struct input, count);
    if (!link->inputs) {
        return wm_diag_default(link->diag, -ENOMEM, "compiled code");
    }
    link->input_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct input *input = &link->inputs[i];
        input->elf = elfs[i];
        int err = read_sections(link, input);
        err = err ? err : study_sections(link, input);
        if (err) {
            return err;
        }
    }
    return 0;
}

static int relocate_image(struct linker *link)
{
    int err = 0;
    for (uint32_t i = 0; i < link->input_count && !err; i++) {
        err = relocate_input(link, &link->inputs[i]);
    }
    return err;
}

static int read_unwind(struct linker *link)
{
    struct elf_frames *frames = WM_ARENA_ARRAY(link->arena, struct elf_frames, link->input_count);
    struct elf_fde *fdes = NULL;
    uint32_t count = 0, fde_count = 0;
    if (!frames) {
        return wm_diag_default(link->diag, -ENOMEM, "compiled code");
    }
    for (uint32_t i = 0; i < link->input_count; i++) {
        const struct section *section = link->inputs[i].eh_frame;
        if (section) {
            frames[count++] = (struct elf_frames){
                .bytes = wm_view_of(link->block + section->address, section->bytes.len),
                .address = section->address};
        }
    }
    int err =
        elf_read_unwind(frames, count, link->arena, link->image, &fdes, &fde_count, link->diag);
    if (!err) {
        assign_frames(link->image, fdes, fde_count);
    }
    return err;
}

static int read_lines(struct linker *link)
{
    struct wm_view *lines = WM_ARENA_ARRAY(link->arena, struct wm_view, link->input_count);
    uint32_t count = 0;
    int err = lines ? 0 : wm_diag_default(link->diag, -ENOMEM, "compiled code");
    for (uint32_t i = 0; i < link->input_count && !err; i++) {
        if (link->inputs[i].debug_line) {
            err = relocate_lines(link, &link->inputs[i], &lines[count++]);
        }
    }
    return err ? err : elf_read_lines(lines, count, link->arena, link->image);
}

int wasm_elf_link(const struct wm_view *elfs, uint32_t count, uint32_t func_count,
                  uint32_t type_count, struct wm_arena *arena, struct wasm_elf_image *out,
                  struct wm_diag *diag)
{
    struct linker link = {.arena = arena, .diag = diag, .image = out};
    *out = (struct wasm_elf_image){0};
    int err = read_inputs(&link, elfs, count);
    err = err ? err : place_all(&link);
    err = err ? err : read_symbols(&link, func_count, type_count);
    err = err ? err : relocate_image(&link);
    err = err ? err : read_unwind(&link);
    return err ? err : read_lines(&link);
}
