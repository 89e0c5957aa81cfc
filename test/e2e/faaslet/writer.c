/* Writes values that another module reads; see test/e2e/state.c. Input: what to do. */
#include <faaslet.h>
#include <string.h>

#define BYTES (3u << 20)

FAASLET_MAIN
{
    char what[16] = {0};
    faaslet_input(what, sizeof what - 1);
    if (strcmp(what, "grid") == 0) {
        if (faaslet_state_create("grid", 4, BYTES) != 0) {
            return 1;
        }
        unsigned char *grid = faaslet_state_map("grid", 4, 0, 0, FAASLET_MAP_NO_PULL);
        if (!grid) {
            return 2;
        }
        for (uint32_t i = 0; i < BYTES; i++) {
            grid[i] = (unsigned char)(i * 7 + (i >> 12));
        }
        if (faaslet_state_dirty("grid", 4, 0, BYTES) != 0) {
            return 3;
        }
        return faaslet_state_push("grid", 4, 0, 0) == 0 ? 0 : 4;
    }
    if (strcmp(what, "poke") == 0) {
        /* Seen by who has it mapped, at once, without a push. */
        unsigned char *at = faaslet_state_map("grid", 4, 1u << 20, 1, 0);
        if (!at) {
            return 5;
        }
        *at = 0xee;
        return 0;
    }
    return 99;
}
