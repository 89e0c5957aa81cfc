/* dl.h: modules loaded at run time: dl_open, dl_sym and dl_close of sdk/faaslet.h.
 *
 * A library is a module that was uploaded as one: validated and compiled then, as everything that
 * runs here (Faasm section 3.4). Loading it makes a second instance in the caller's store, which
 * shares the caller's memory, table and stack by the tool conventions of dynamic linking: memory
 * and table grow by what the library's section "dylink.0" asks for, its data and its function
 * pointers are placed there, GOT entries are filled, `__wasm_apply_data_relocs` and
 * `__wasm_call_ctors` run.
 *
 * What an import of a library means:
 *
 *     env.memory, env.__indirect_function_table, env.__stack_pointer   the program's exports
 *     env.__memory_base, env.__table_base                              where it was put
 *     env.NAME                             a function that the program exports; where there is
 * none, one that traps (HOST) when it is called GOT.mem.NAME, GOT.func.NAME          the library's
 * own export, else the program's; a function that nobody has is NULL; data that nobody has: -ENOENT
 *     other modules (WASI, faaslet)        as for the program
 *
 * The program must be built for it (`wardmote build --dlopen`): otherwise -ENOEXEC. Libraries do
 * not see each other, except through the program. Types are compared by the engine's linker: one
 * that does not fit is -ENOEXEC.
 *
 * A library is the tenant's, as the program is: it may overwrite the program's memory and table,
 * and nothing else; all that the sandbox promises holds for both together.
 *
 * Everything is undone by the slot's reset: memory and table shrink, the instances are freed. A
 * Proto-Faaslet cannot hold a loaded library: wasm_image_take refuses it with the reason. dl_close
 * only counts: what it gives back is given back at the end of the call, and a library that is
 * opened again is the same one, as it was left.
 *
 * Limits per call: DL_LIBRARIES_MAX libraries, DL_TABLE_ELEMS_MAX elements (-ENOMEM), and the
 * store's on memory and table (-ENOMEM).
 *
 * Threads: a session belongs to one executor. */
#ifndef WM_FAASLET_DL_H
#define WM_FAASLET_DL_H

#include "base/diag.h"
#include "base/view.h"
#include "faaslet/dylink.h"
#include "faaslet/guest.h"
#include "wasm/instance.h"

#define DL_LIBRARIES_MAX 16u
#define DL_TABLE_ELEMS_MAX 65536u
#define DL_HANDLE_FIRST 2

struct dl_library {
    const struct wasm_object *object; /* compiled with the options of the program */
    struct dylink facts;
};

struct dl_config {
    void *self;
    /* The library of this path: 0 or a negative code. The object stays until dl_session_reset. */
    int (*lookup)(void *self, struct wm_view path, struct dl_library *out);
    /* For imports of other modules than `env` and GOT: the one that the program was linked with. */
    wasm_resolve_fn *resolve;
    void *resolve_self;
};

struct dl_session;

WM_MUST_CHECK int dl_session_new(const struct dl_config *config, struct dl_session **out);
void dl_session_free(struct dl_session *session); /* NULL allowed */
/* After each call, and after wasm_pool_put, which frees the instances. Costs nothing when nothing
 * was loaded. */
void dl_session_reset(struct dl_session *session);
uint32_t dl_session_count(const struct dl_session *session); /* libraries loaded now */

#endif
