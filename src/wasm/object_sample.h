/* object_sample.h: a small object with something in every section, for the tests of what reads
 * objects. Its code is bytes of no meaning: nothing here runs it. */
#ifndef WM_WASM_OBJECT_SAMPLE_H
#define WM_WASM_OBJECT_SAMPLE_H

#include "base/view.h"
#include "wasm/options.h"

struct wm_view wasm_sample_module(void); /* the .wasm bytes; static */
struct wasm_options wasm_sample_options(void);
/* Writes the object to `fd`: 0 or a negative code. `variant` changes its code, so that two objects
 * for one key differ. */
int wasm_sample_object(int fd, unsigned variant);

#endif
