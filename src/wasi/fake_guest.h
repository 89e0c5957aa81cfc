/* fake_guest.h: a guest without an engine, for testing and fuzzing the WASI functions.
 *
 * Stands in for the runtime: guest memory is one block of the C heap, exactly as large as the
 * guest's, so that AddressSanitizer sees every byte outside. Functions are found and called as a
 * linked module does it, through wasi_resolve. Linked instead of the engine, never with it. */
#ifndef WM_WASI_FAKE_GUEST_H
#define WM_WASI_FAKE_GUEST_H

#include "wasi/types.h"
#include "wasi/wasi.h"
#include "wasm/instance.h"

struct wasm_memory {
    uint8_t *bytes;
    uint32_t len;
};

struct wasm_store {
    enum wasm_trap interrupted;
};

struct wasm_instance {
    struct wasm_memory *memory;
};

struct fake_guest {
    struct wasi *wasi; /* given by the test */
    struct wasm_store store;
    struct wasm_memory memory;
    struct wasm_instance instance;
    enum wasm_trap trap; /* of the last call */
};

/* false: out of memory. */
bool fake_guest_init(struct fake_guest *guest, uint32_t memory_bytes);
void fake_guest_fini(struct fake_guest *guest); /* the wasi too */
/* Calls by name with 64-bit arguments; the errno, or UINT32_MAX when there is no such function or
 * it trapped (guest->trap says how). */
uint32_t fake_call(struct fake_guest *guest, const char *name, const uint64_t *args, size_t count);
#define FAKE_CALL(guest, name, ...)                             \
    fake_call((guest), (name), (const uint64_t[]){__VA_ARGS__}, \
              sizeof((const uint64_t[]){__VA_ARGS__}) / 8)

/* What wasm_suspend_here answers, and how often it was asked. */
extern enum wasm_trap fake_suspend_answer;
extern unsigned fake_suspend_asked;

#endif
