/* vmap_test_model.h: a map and a naive model of it, driven by any bytes; for tests and fuzzing. */
#ifndef WM_STORE_VMAP_TEST_MODEL_H
#define WM_STORE_VMAP_TEST_MODEL_H

#include "base/view.h"

#define VMAP_MODEL_KEYS 48u

/* Runs operations that `input` says on a new map with these keys, compares all that can be seen,
 * and what lies in memory, with the model after each, and takes the map down at the end. NULL: all
 * is well; else what was not, in static memory. */
const char *vmap_model_run(const struct wm_view keys[VMAP_MODEL_KEYS], struct wm_view input);

#endif
