#include "node/heartbeat.h"

#include <string.h>

void peers_heartbeat_encode(const struct peers_load *load, uint64_t boot,
                            uint8_t out[PEERS_HEARTBEAT_BYTES])
{
    memset(out, 0, PEERS_HEARTBEAT_BYTES);
    out[0] = 1;
    out[1] = load->draining;
    uint16_t mean = load->load < UINT16_MAX ? (uint16_t)load->load : UINT16_MAX;
    memcpy(out + 2, &mean, 2);
    memcpy(out + 4, &load->running, 4);
    memcpy(out + 8, &load->queued, 4);
    memcpy(out + 12, &load->capacity, 4);
    memcpy(out + 16, &boot, 8);
}

int peers_heartbeat_decode(struct wm_view bytes, struct peers_load *load, uint64_t *boot)
{
    struct wm_cursor cursor = wm_cursor_of(bytes);
    uint8_t version, draining;
    struct wm_view mean;
    struct peers_load read = {0};
    uint64_t number;
    if (!wm_cursor_u8(&cursor, &version) || !wm_cursor_u8(&cursor, &draining) ||
        !wm_cursor_bytes(&cursor, 2, &mean) || !wm_cursor_u32(&cursor, &read.running) ||
        !wm_cursor_u32(&cursor, &read.queued) || !wm_cursor_u32(&cursor, &read.capacity) ||
        !wm_cursor_u64(&cursor, &number)) {
        return WM_E_MALFORMED;
    }
    if (version == 0 || draining > 1 || (version == 1 && !wm_cursor_done(&cursor))) {
        return WM_E_MALFORMED;
    }
    read.draining = draining;
    read.load = (uint32_t)(mean.ptr[0] | mean.ptr[1] << 8);
    *load = read;
    *boot = number;
    return 0;
}
