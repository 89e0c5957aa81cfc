/* state_reader.c: a function that reads the value that state_writer.c changes, without a copy. */
#include <faaslet.h>
#include <stdio.h>

#define KEY "series"
#define KEY_BYTES (sizeof KEY - 1)

FAASLET_MAIN
{
    char text[64];
    int64_t bytes = faaslet_state_size(KEY, KEY_BYTES), sum = 0;
    const int32_t *series = faaslet_state_map(KEY, KEY_BYTES, 0, 0, FAASLET_MAP_READ_ONLY);
    if (bytes < 0 || !series) {
        return 1;
    }
    for (int64_t i = 0; i < bytes / 4; i++) {
        sum += series[i];
    }
    int len = snprintf(text, sizeof text, "the sum is %lld\n", (long long)sum);
    return faaslet_output(text, (uint32_t)len);
}
