/* embed.c: WebAssembly inside a C program of your own: a host function, guest memory, a deadline,
 * and a guest that traps without taking the program with it.
 *
 *     wardmote build --reactor examples/embed_guest.c -o embed_guest.wasm
 *     cc examples/embed.c -o embed $(pkg-config --cflags --libs wardmote)
 *     ./embed embed_guest.wasm */
#include <stdio.h>
#include <string.h>

#include <wardmote/wardmote.h>

/* The guest's log(text, length): its pointer is a number, and reading checks it. */
static enum wm_host_end host_log(struct wm_caller *caller, void *env, union wm_value *values)
{
    char text[128];
    uint32_t len = values[1].i32 < sizeof text - 1 ? values[1].i32 : sizeof text - 1;
    if (!wm_memory_read(wm_caller_instance(caller), values[0].i32, text, len)) {
        return WM_HOST_TRAP;
    }
    text[len] = '\0';
    printf("guest says: %s\n", text);
    ++*(int *)env;
    return WM_HOST_OK;
}

int main(int argc, char **argv)
{
    struct wm_engine *engine = NULL;
    struct wm_module *module = NULL;
    struct wm_instance *instance = NULL;
    struct wm_diag diag = WM_DIAG_INIT;
    int logged = 0, status = 1;
    struct wm_host_func funcs[] = {{"host", "log", "ii:", host_log, &logged}};
    struct wm_instance_config config = {.funcs = funcs, .func_count = 1, .timeout_ms = 100};
    union wm_value values[2];

    if (argc != 2) {
        fprintf(stderr, "usage: %s embed_guest.wasm\n", argv[0]);
        return 2;
    }
    if (wm_engine_new(NULL, &engine, &diag) < 0 ||
        wm_module_load(engine, argv[1], NULL, &module, &diag) < 0 ||
        wm_instance_new(module, &config, &instance, &diag) < 0) {
        goto out;
    }
    values[0].i32 = 6;
    values[1].i32 = 7;
    if (wm_instance_call(instance, "multiply", values, 2, &diag) < 0) {
        goto out;
    }
    printf("multiply(6, 7) = %u, and it logged %d line\n", values[0].i32, logged);

    static const char *const bad[] = {"wild", "forever"};
    for (int i = 0; i < 2; i++) {
        int error = wm_instance_call(instance, bad[i], values, 2, &diag);
        if (error != WM_E_TRAP) {
            fprintf(stderr, "%s: expected a trap, got %s\n", bad[i], wm_error_name(error));
            goto out;
        }
        printf("%s() ended: %s; we go on\n", bad[i], wm_trap_text(wm_instance_trap(instance)));
    }
    status = 0;
out:
    if (status != 0 && *wm_diag_text(&diag) != '\0') {
        fprintf(stderr, "embed: %s\n", wm_diag_text(&diag));
    }
    wm_instance_free(instance);
    wm_module_free(module);
    wm_engine_free(engine);
    return status;
}
