/* script.h: running one converted script of the official suite against the engine. */
#ifndef WM_TEST_SPEC_SCRIPT_H
#define WM_TEST_SPEC_SCRIPT_H

#include <stdint.h>
#include <stdio.h>

#include "wasm/options.h"

/* Lives in memory shared with the parent, which so knows how far a run came that died. */
struct spec_tally {
    uint32_t passed, failed, skipped;
    uint32_t commands; /* done so far */
    uint32_t line;     /* of the command at work */
};

/* Runs FOLDER/NAME/NAME.json; each failure is one line on `out`. */
void spec_script_run(const char *folder, const char *name, const struct wasm_options *options,
                     struct spec_tally *tally, FILE *out);
/* Assertions in the script, text-format ones included; 0 when the file cannot be read. */
uint32_t spec_script_assertions(const char *folder, const char *name);

#endif
