/* Numbers of clients. */
#include "proof/client_window.h"

#include <string.h>

void client_window_key(const ledger_key client, uint8_t out[CLIENT_WINDOW_KEY_BYTES])
{
    memcpy(out, "client/", 7);
    memcpy(out + 7, client, LEDGER_KEY_BYTES);
}

static uint64_t get_u64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return __builtin_bswap64(value);
}

static void put_u64(uint8_t *bytes, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(bytes, &value, sizeof value);
}

bool client_window_use(struct wm_view value, uint64_t number, uint8_t out[CLIENT_WINDOW_BYTES])
{
    uint64_t highest = number, window = 1;
    if (value.len == CLIENT_WINDOW_BYTES) {
        highest = get_u64(value.ptr);
        window = get_u64(value.ptr + 8);
        if (number > highest) {
            uint64_t up = number - highest;
            window = up < 64 ? window << up | 1 : 1;
            highest = number;
        } else {
            uint64_t down = highest - number;
            if (down >= 64 || window >> down & 1) {
                return false;
            }
            window |= UINT64_C(1) << down;
        }
    }
    put_u64(out, highest);
    put_u64(out + 8, window);
    return true;
}
