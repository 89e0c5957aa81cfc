/* fuzz_image.c: image files of any content, read for a small module. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "wasm/slot.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const uint8_t strings[1] = {0};
    static const struct wasm_object_table tables[2] = {{WASM_FUNCREF, 2, 100, 0},
                                                       {WASM_EXTERNREF, 1, 3, 0}};
    static const struct wasm_object_global globals[3] = {
        {.valtype = WASM_I32}, {.valtype = WASM_FUNCREF}, {.valtype = WASM_EXTERNREF}};
    static const struct wasm_object_func funcs[4];
    static const struct wasm_object_data datas[2];
    static const struct wasm_object_elem elems[1];
    struct wasm_object_header header = {.memory_flags = 1, .memory_min = 1, .memory_max = 64};
    struct wasm_object object = {.header = &header};
    struct wasm_image *image = NULL;
    header.sections[WASM_OBJECT_TABLES].count = 2;
    header.sections[WASM_OBJECT_GLOBALS].count = 3;
    header.sections[WASM_OBJECT_FUNCS].count = 4;
    header.sections[WASM_OBJECT_DATAS].count = 2;
    header.sections[WASM_OBJECT_ELEMS].count = 1;
    object.at.TABLES = tables;
    object.at.GLOBALS = globals;
    object.at.FUNCS = funcs;
    object.at.DATAS = datas;
    object.at.ELEMS = elems;
    object.at.STRINGS = strings;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd >= 0 && write(fd, bytes, len) == (ssize_t)len &&
        wasm_image_read(fd, &object, &image, NULL) == 0) {
        wasm_image_put(image);
    }
    close(fd);
    return 0;
}
