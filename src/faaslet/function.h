/* function.h: a function as a worker has it loaded: compiled code, Proto-Faaslet, limits, strings.
 *
 * Made from what the node sends (control.h): the object and the image were authenticated there
 * before (Faasm section 3.4: code generation is trusted, users' machines are not). Immutable after
 * function_new, counted: the table of the worker, each call and each slot's binding hold
 * references. Any thread. */
#ifndef WM_FAASLET_FUNCTION_H
#define WM_FAASLET_FUNCTION_H

#include <stdatomic.h>

#include "faaslet/control.h"
#include "faaslet/dylink.h"
#include "libos/libos.h"
#include "wasi/wasi.h"
#include "wasm/slot.h"

struct function {
    _Atomic uint32_t refs;
    uint32_t handle;
    enum function_kind kind;
    uint32_t version;
    struct call_limits limits; /* defaults filled in */
    char *tenant, *name;
    struct wasm_object *object;
    struct wasm_image *image;        /* NULL while its Proto-Faaslet is being made */
    struct libos os;                 /* owner of the strings' memory */
    struct wasi_strings *args, *env; /* args[0] is the name */
    char **secrets;                  /* "NAME=value"; NULL-terminated; wiped when freed */
    struct dylink dylink;            /* of a library */
    /* Function indices; UINT32_MAX: it has none. */
    uint32_t main_idx, restored_idx;
};

/* object_fd and image_fd (-1: none yet) are borrowed. WM_E_INVALID where the module does not export
 * what its kind needs, with what it exports and the kind that would fit; WM_E_STALE for an image of
 * another module. */
WM_MUST_CHECK int function_new(const struct control_message *message, int object_fd, int image_fd,
                               struct function **out, struct wm_diag *diag);
struct function *function_ref(struct function *function);
void function_put(struct function *function); /* NULL allowed */

/* NULL: no such secret. Borrowed. */
const char *function_secret(const struct function *function, const char *name);
/* The module's function that is exported under this name with this signature ("" parameters, 'i' or
 * "" result), or UINT32_MAX. */
uint32_t function_export(const struct wasm_object *object, const char *name, const char *results);

#endif
