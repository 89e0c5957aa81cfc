/* dl_main.c: a program that loads libraries; each check is a case of run(). */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define CHECK(ok)            \
    do {                     \
        if (!(ok)) {         \
            return __LINE__; \
        }                    \
    } while (0)

int main_value = 1000;
const char *main_text = "the program's";
static int calls;

int main_adds(int a, int b)
{
    calls++;
    return a + b;
}

static void *open_or_tell(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW);
    if (!handle) {
        printf("%s\n", dlerror());
        fflush(stdout);
    }
    return handle;
}

static int everything(void)
{
    CHECK(calls == 0 && main_value == 1000); /* as the image has it */
    void *side = dlopen("lib/side.wasm", RTLD_NOW);
    CHECK(side);
    int (*side_run)(int) = (int (*)(int))dlsym(side, "side_run");
    CHECK(side_run && side_run(1) == 1011 && calls == 1); /* 2 + 3 + 1000 + 6 */
    CHECK(side_run(1) == 1012);
    int *counter = dlsym(side, "side_counter");
    CHECK(counter && *counter == 7);
    *counter = 100;
    CHECK(side_run(1) == 1106);
    int (*(*side_op)(int))(int) = (int (*(*)(int))(int))dlsym(side, "side_op");
    CHECK(side_op && side_op(0)(5) == 10 && side_op(1)(5) == 15);
    /* One address for one function, whoever asks. */
    CHECK((void *)side_op(1) == dlsym(side, "side_thrice"));
    CHECK(dlsym(side, "side_thrice") == dlsym(side, "side_thrice"));
    int (*(*main_op)(void))(int, int) = (int (*(*)(void))(int, int))dlsym(side, "side_main_op");
    CHECK(main_op && main_op() == main_adds && main_op()(1, 2) == 3);
    char *(*side_text)(void) = (char *(*)(void))dlsym(side, "side_text");
    char *text = side_text();
    CHECK(strcmp(text, "made by the library's constructor, for the program's") == 0);
    free(text); /* one heap for both */
    void *again = dlopen("lib/side.wasm", RTLD_NOW);
    CHECK(again == side && dlclose(again) == 0 && dlsym(side, "side_run"));
    void *two = dlopen("lib/two.wasm", RTLD_NOW);
    CHECK(two && two != side);
    int (*two_run)(int) = (int (*)(int))dlsym(two, "side_run");
    CHECK(two_run && two_run != side_run && two_run(1) == 1011);
    CHECK(dlclose(two) == 0 && dlclose(two) == -1 && dlerror());
    CHECK(!dlsym(two, "side_run") && !dlsym(side, "nothing") && strstr(dlerror(), "not found"));
    CHECK(!dlopen("lib/absent.wasm", RTLD_NOW) && !dlopen(NULL, RTLD_NOW));
    return 0;
}

static int with_side(const char *name)
{
    void *side = open_or_tell("lib/side.wasm");
    int (*function)(int) = (int (*)(int))dlsym(side, name);
    return function ? function(3) : -1;
}

EXPORT(run) int run(int what)
{
    static const char *const bad[] = {"bad_type",       "bad_segment",   "bad_elem",  "bad_data",
                                      "bad_import",     "bad_memory",    "bad_table", "bad_start",
                                      "bad_own_memory", "bad_own_table", "bad_got",   "bad_ctors",
                                      "bad_loop"};
    char path[32];
    switch (what) {
    case 0: return everything();
    case 1: return with_side("side_calls_missing");
    case 2: return with_side("side_weak");
    case 3: /* a library that keeps opening itself from its constructor ends, one way or the other
             */
        return open_or_tell("lib/nested.wasm") ? 0 : -1;
    case 4: return calls || main_value != 1000 || dlsym((void *)2, "side_run");
    case 5: /* many */
        for (int i = 0; i < 40; i++) {
            snprintf(path, sizeof path, "lib/copy%d.wasm", i);
            if (!dlopen(path, RTLD_NOW)) {
                return i;
            }
        }
        return -1;
    default:
        snprintf(path, sizeof path, "lib/%s.wasm", bad[what - 10]);
        return open_or_tell(path) ? 0 : -1;
    }
}
