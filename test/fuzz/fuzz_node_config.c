/* fuzz_node_config.c: configuration files of any content; what is accepted prints and reads back.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "node/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct config config, again;
    struct wm_diag diag = WM_DIAG_INIT;
    config_init(&config);
    int err = config_parse(&config, wm_view_of(bytes, len), "fuzz", &diag);
    WM_ASSERT(err == 0 || diag.text[0]);
    if (err == 0 && config_check(&config, &diag) == 0) {
        char *text = NULL;
        size_t text_len = 0;
        FILE *out = open_memstream(&text, &text_len);
        if (out) {
            config_print(&config, out);
            fclose(out);
            config_init(&again);
            err = config_parse(&again, wm_view_of(text, text_len), "again", &diag);
            WM_ASSERT(err == 0 && strcmp(again.data, config.data) == 0);
            config_fini(&again);
        }
        free(text);
    }
    config_fini(&config);
    return 0;
}
