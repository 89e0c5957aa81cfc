/* heartbeat.h: what nodes tell each other twice a second, as bytes.
 *
 * Pure; any thread. What is decoded comes from a node that holds the cluster's key, and is checked
 * all the same. */
#ifndef WM_NODE_HEARTBEAT_H
#define WM_NODE_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/view.h"

struct peers_load {
    uint32_t running, queued, capacity; /* calls */
    uint32_t load;                      /* schedule_stats.load; sent as at most 65,535 */
    bool draining;
};

/* A heartbeat, request or reply: version 1 (u8), draining (u8), load (u16), running, queued,
 * capacity (u32), boot number (u64), little-endian. */
#define PEERS_HEARTBEAT_BYTES 24u
void peers_heartbeat_encode(const struct peers_load *load, uint64_t boot,
                            uint8_t out[PEERS_HEARTBEAT_BYTES]);
/* Untrusted. Longer ones of later versions are accepted. */
WM_MUST_CHECK int peers_heartbeat_decode(struct wm_view bytes, struct peers_load *load,
                                         uint64_t *boot);

#endif
