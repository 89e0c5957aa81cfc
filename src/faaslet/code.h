/* code.h: compiled modules that this process has mapped, each once, however many functions are made
 * of it.
 *
 * Functions of the same module are many: versions and aliases that differ in their environment, or
 * an instance for each user. The kernel would share the pages of an object between mappings, but
 * each mapping counts against vm.max_map_count, of which a process has 65,530.
 *
 * Two descriptors mean the same object when they are of the same file and nothing of it has changed
 * (host_file_id): the file cannot give its number to another while it is mapped.
 *
 * Inputs as for wasm_object_open. Threads: any. Memory: some bytes for each. */
#ifndef WM_FAASLET_CODE_H
#define WM_FAASLET_CODE_H

#include "base/diag.h"
#include "wasm/object.h"

/* As wasm_object_open: a reference. */
WM_MUST_CHECK int code_open(int fd, struct wasm_object **out, struct wm_diag *diag);
/* NULL allowed; else one that code_open gave. Unmaps it with the last reference. */
void code_close(struct wasm_object *object);

#endif
