/* guest_object.c: the tables around guest_object.S. */
#include "wasm/guest_object.h"

#include <string.h>

extern const uint8_t guest_text[], guest_text_end[], guest_entry[], guest_adapter[];
#define DECLARE(name) extern const uint8_t guest_##name[];
GUEST_FUNCS(DECLARE)

static const uint8_t strings[] = {WASM_I32, WASM_I32, 'h', 'o', 's', 't', 'f', '\n'};
static const uint8_t data[] = "wxyz";

void guest_object_make(struct guest_object *guest, uint8_t id, uint32_t memory_min,
                       uint32_t memory_max)
{
    static const uint8_t *const code[FUNC_COUNT] = {NULL,
#define CODE(name) guest_##name,
                                                    GUEST_FUNCS(CODE)};
    memset(guest, 0, sizeof *guest);
    guest->types[0] =
        (struct wasm_object_type){.params = {0, 1},
                                  .results = {1, 1},
                                  .entry_offset = (uint32_t)(guest_entry - guest_text),
                                  .adapter_offset = (uint32_t)(guest_adapter - guest_text)};
    guest->imports[0] = (struct wasm_object_import){.module = {2, 4}, .name = {6, 1}};
    guest->tables[0] = (struct wasm_object_table){.elem_type = WASM_FUNCREF, .min = 4, .max = 1000};
    guest->globals[0] = (struct wasm_object_global){
        .valtype = WASM_I32, .is_mutable = 1, .init = {.value = {.i32 = 5}}};
    guest->datas[0] = (struct wasm_object_data){.mode = WASM_SEGMENT_PASSIVE, .len = 4};
    guest->funcs[0].code_offset = UINT32_MAX;
    for (uint32_t i = 1; i < FUNC_COUNT; i++) {
        const uint8_t *end = i + 1 < FUNC_COUNT ? code[i + 1] : guest_text_end;
        guest->funcs[i] = (struct wasm_object_func){.code_offset = (uint32_t)(code[i] - guest_text),
                                                    .code_len = (uint32_t)(end - code[i]),
                                                    .wasm_offset = 100 + i,
                                                    .name = {.offset = 6, .len = 2}};
    }
    /* Frames of 24 bytes with the return address above, of 8, and none elsewhere. */
    const struct {
        uint32_t offset, cfa;
    } unwind[] = {
        {0, UINT32_MAX},
        {(uint32_t)(guest_adapter - guest_text) + 4, 32},
        {guest->funcs[FUNC_add_one].code_offset, UINT32_MAX},
        {guest->funcs[FUNC_recurse].code_offset + 4, 32},
        {guest->funcs[FUNC_load].code_offset, UINT32_MAX},
        {guest->funcs[FUNC_call_host].code_offset + 4, 16},
        {guest->funcs[FUNC_call_host_forever].code_offset, UINT32_MAX},
    };
    for (size_t i = 0; i < WM_COUNT_OF(unwind); i++) {
        guest->unwind[i].code_offset = unwind[i].offset;
        guest->unwind[i].cfa = unwind[i].cfa;
    }
    struct wasm_object_header *header = &guest->header;
    memset(header->key.module_sha256, id, sizeof header->key.module_sha256);
    header->sections[WASM_OBJECT_TYPES].count = 1;
    header->sections[WASM_OBJECT_IMPORTS].count = 1;
    header->sections[WASM_OBJECT_TABLES].count = 1;
    header->sections[WASM_OBJECT_GLOBALS].count = 1;
    header->sections[WASM_OBJECT_FUNCS].count = FUNC_COUNT;
    header->sections[WASM_OBJECT_DATAS].count = 1;
    header->sections[WASM_OBJECT_UNWIND].count = WM_COUNT_OF(unwind);
    header->imported_funcs = 1;
    header->memory_flags = 1;
    header->memory_min = memory_min;
    header->memory_max = memory_max;
    header->start_func = UINT32_MAX;
    header->text_code_bytes = (uint64_t)(guest_text_end - guest_text);
    struct wasm_object *object = &guest->object;
    object->header = header;
    object->text = guest_text;
    object->at.TYPES = guest->types;
    object->at.IMPORTS = guest->imports;
    object->at.TABLES = guest->tables;
    object->at.GLOBALS = guest->globals;
    object->at.FUNCS = guest->funcs;
    object->at.DATAS = guest->datas;
    object->at.UNWIND = guest->unwind;
    object->at.STRINGS = strings;
    object->at.DATA = data;
}
