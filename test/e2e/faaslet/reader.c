/* Reads what writer.c wrote; see test/e2e/state.c. */
#include <faaslet.h>
#include <stdlib.h>
#include <string.h>

/* Memory that is there before and grows after a mapping: neither moves. */
static char *before;

FAASLET_INIT
{
    before = malloc(100000);
    memset(before, 'b', 100000);
    return 0;
}

FAASLET_MAIN
{
    char what[16] = {0};
    faaslet_input(what, sizeof what - 1);
    const unsigned char *part = faaslet_state_map("grid", 4, 1u << 20, 100, FAASLET_MAP_READ_ONLY);
    if (!part) {
        return -faaslet_state_map_error();
    }
    if (strcmp(what, "check") == 0) {
        for (uint32_t i = 0; i < 100; i++) {
            uint32_t at = (1u << 20) + i;
            if (part[i] != (unsigned char)(at * 7 + (at >> 12))) {
                return 1;
            }
        }
        char *after = malloc(5u << 20);
        memset(after, 'a', 5u << 20);
        uint32_t at = 1u << 20;
        return before[99999] == 'b' && after[12345] == 'a' &&
                       part[0] == (unsigned char)(at * 7 + (at >> 12))
                   ? 0
                   : 2;
    }
    if (strcmp(what, "poked") == 0) {
        return part[0] == 0xee ? 0 : 3;
    }
    if (strcmp(what, "trap") == 0) {
        *(volatile unsigned char *)part = 1;
        return 4; /* never */
    }
    return 99;
}
