/* state_writer.c: a function that changes a value of the state, which state_reader.c reads.
 *
 * The value is a series of a million numbers, 4 MiB. It is mapped, not copied: what is written here
 * is seen by every Faaslet of the tenant on this node at once. The push sends what was written,
 * and nothing else, to the global copy, which lasts.
 *
 *     wardmote fn put examples/state_writer.c && wardmote fn call state_writer all
 *     wardmote fn call state_writer 1000          changes number 1000 */
#include <faaslet.h>
#include <stdlib.h>
#include <string.h>

#define KEY "series"
#define KEY_BYTES (sizeof KEY - 1)
#define COUNT (1024u * 1024u)

FAASLET_MAIN
{
    char word[16] = {0};
    if (faaslet_input(word, sizeof word - 1) <= 0) {
        return 1;
    }
    int all = strcmp(word, "all") == 0;
    unsigned long at = strtoul(word, NULL, 10);
    if (at >= COUNT || faaslet_state_create(KEY, KEY_BYTES, COUNT * sizeof(int32_t)) != 0) {
        return 1;
    }
    int32_t *series = faaslet_state_map(KEY, KEY_BYTES, 0, 0, all ? FAASLET_MAP_NO_PULL : 0);
    if (!series) {
        return 1;
    }
    uint32_t first = all ? 0 : (uint32_t)at, last = all ? COUNT - 1 : (uint32_t)at;
    for (uint32_t i = first; i <= last; i++) {
        series[i] = all ? 1 : series[i] + 1;
    }
    uint32_t offset = first * (uint32_t)sizeof *series;
    uint32_t len = (last - first + 1) * (uint32_t)sizeof *series;
    return faaslet_state_dirty(KEY, KEY_BYTES, offset, len) != 0 ||
           faaslet_state_push(KEY, KEY_BYTES, 0, 0) != 0;
}
