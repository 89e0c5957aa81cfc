/* fuzz_object.c: the object loader on bytes that come from anywhere. What passes the proof is
 * opened and everything in it is read, as the runtime would; AddressSanitizer watches the edges. */
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "host/file.h"
#include "wasm/object.h"

static volatile uint64_t sink;

static void touch(const struct wasm_object *object, struct wasm_object_str str)
{
    struct wm_view text = wasm_object_view(object, str);
    for (size_t i = 0; i < text.len; i++) {
        sink += text.ptr[i];
    }
}

static void walk(const struct wasm_object *object)
{
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, TYPES); i++) {
        touch(object, object->at.TYPES[i].params);
        sink += object->text[object->at.TYPES[i].entry_offset];
    }
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, FUNCS); i++) {
        const struct wasm_object_func *func = &object->at.FUNCS[i];
        touch(object, func->name);
        sink += object->at.TYPES[func->type_idx].entry_offset;
        sink += func->code_len ? object->text[func->code_offset + func->code_len - 1] : 0;
    }
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, EXPORTS); i++) {
        struct wm_view name = wasm_object_view(object, object->at.EXPORTS[i].name);
        WM_ASSERT(wasm_object_export_find(object, name) == &object->at.EXPORTS[i]);
    }
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, DATAS); i++) {
        const struct wasm_object_data *data = &object->at.DATAS[i];
        sink += data->len ? object->at.DATA[data->first + data->len - 1] : 0;
    }
    for (uint64_t at = 0; at < WASM_OBJECT_COUNT(object, TEXT) && at < 4096; at++) {
        struct wm_view file;
        uint32_t line;
        sink += wasm_object_func_at(object, at);
        sink += wasm_object_unwind_at(object, at) ? 1 : 0;
        sink += wasm_object_source_at(object, at, &file, &line) ? line : 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct wasm_object *object;
    if (wasm_object_check(wm_view_of(bytes, len), false, NULL) != 0) {
        return 0;
    }
    int fd = memfd_create("object", MFD_CLOEXEC);
    if (fd >= 0 && host_file_write_all(fd, wm_view_of(bytes, len)) == 0) {
        int err = wasm_object_open(fd, &object, NULL);
        WM_ASSERT(err == 0); /* what was proven opens */
        walk(object);
        wasm_object_close(object);
    }
    host_file_close(fd);
    return 0;
}
