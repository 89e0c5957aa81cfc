/* neighbours.c: two guests in one process. One is hostile and dies, again and again, each time by
 * another trap; its neighbour counts on, untouched, between the deaths.
 *
 *     wardmote build --reactor examples/neighbour_guest.c -o neighbour_guest.wasm
 *     cc examples/neighbours.c -o neighbours $(pkg-config --cflags --libs wardmote)
 *     ./neighbours neighbour_guest.wasm */
#include <stdio.h>

#include <wardmote/wardmote.h>

static int call(struct wm_instance *instance, const char *name, union wm_value *value,
                struct wm_diag *diag)
{
    return wm_instance_call(instance, name, value, 1, diag);
}

int main(int argc, char **argv)
{
    static const char *const attacks[] = {"read_far", "write_far", "divide",
                                          "forge",    "recurse",   "loop"};
    struct wm_engine *engine = NULL;
    struct wm_module *module = NULL;
    struct wm_instance *good = NULL, *bad = NULL;
    struct wm_instance_config config = {.timeout_ms = 50};
    struct wm_diag diag = WM_DIAG_INIT;
    union wm_value value = {.i32 = 0};
    uint32_t expected = 0;
    int status = 1;

    if (argc != 2) {
        fprintf(stderr, "usage: %s neighbour_guest.wasm\n", argv[0]);
        return 2;
    }
    if (wm_engine_new(NULL, &engine, &diag) < 0 ||
        wm_module_load(engine, argv[1], NULL, &module, &diag) < 0 ||
        wm_instance_new(module, NULL, &good, &diag) < 0) {
        goto out;
    }
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        if (wm_instance_new(module, &config, &bad, &diag) < 0) {
            goto out;
        }
        value.i32 = 0;
        int error = call(bad, attacks[i], &value, &diag);
        if (error != WM_E_TRAP) {
            fprintf(stderr, "neighbours: %s: expected a trap, got %s\n", attacks[i],
                    wm_error_name(error));
            goto out;
        }
        printf("hostile guest: %-9s  dead: %-28s", attacks[i], wm_trap_text(wm_instance_trap(bad)));
        wm_instance_free(bad);
        bad = NULL;
        value.i32 = 1;
        if (call(good, "count", &value, &diag) < 0) {
            goto out;
        }
        printf("  its neighbour counts: %u\n", value.i32);
        if (value.i32 != ++expected) {
            fprintf(stderr, "neighbours: the neighbour should have counted %u\n", expected);
            goto out;
        }
    }
    status = 0;
out:
    if (status != 0 && *wm_diag_text(&diag) != '\0') {
        fprintf(stderr, "neighbours: %s\n", wm_diag_text(&diag));
    }
    wm_instance_free(bad);
    wm_instance_free(good);
    wm_module_free(module);
    wm_engine_free(engine);
    return status;
}
