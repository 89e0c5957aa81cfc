/* tier_regions.h: memory that a worker and its node both map, so that state moves without a socket.
 *
 * The node's side (struct tier_regions, one for each worker, used by all its connections): a worker
 * passes a memfd once, under a number of its choice; it is mapped here when it is as large as said,
 * cannot shrink (the seal F_SEAL_SHRINK) and is not of huge pages: a hostile worker could else turn
 * our reads into bus errors. Its content may change at any time under our hands: it is copied,
 * never judged.
 *
 * The worker's side (struct tier_shares, likewise): which of its addresses lie in which region.
 *
 * Threads: any. A region that is in use when it is removed goes when the last user is done. */
#ifndef WM_FAASLET_TIER_REGIONS_H
#define WM_FAASLET_TIER_REGIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"

struct tier_regions;
struct tier_region;
/* At most `count` regions of `bytes` together, beyond which WM_E_LIMIT: their pages are accounted
 * to whoever touches them first, and that may be the node. */
WM_MUST_CHECK int tier_regions_new(uint32_t count, uint64_t bytes, struct tier_regions **out);
void tier_regions_free(struct tier_regions *regions); /* none is in use */
/* id > 0 and not taken (-EEXIST). The descriptor is borrowed. */
WM_MUST_CHECK int tier_regions_add(struct tier_regions *regions, uint32_t id, int memfd,
                                   uint64_t bytes, struct wm_diag *diag);
WM_MUST_CHECK int tier_regions_remove(struct tier_regions *regions,
                                      uint32_t id); /* WM_E_NOT_FOUND */
/* NULL: no such region, or [offset, offset + len) is not in it. Otherwise it is in use until put.
 */
struct tier_region *tier_regions_get(struct tier_regions *regions, uint32_t id, uint64_t offset,
                                     uint64_t len, uint8_t **bytes);
void tier_regions_put(struct tier_regions *regions, struct tier_region *region);

struct tier_shares;
WM_MUST_CHECK int tier_shares_new(struct tier_shares **out);
void tier_shares_free(struct tier_shares *shares);
/* Addresses must not overlap those of another share: -EEXIST. */
WM_MUST_CHECK int tier_shares_add(struct tier_shares *shares, uint32_t id, const void *base,
                                  uint64_t bytes);
void tier_shares_remove(struct tier_shares *shares, uint32_t id);
/* The region that all of [bytes, bytes + len) lies in; false: none. */
bool tier_shares_find(struct tier_shares *shares, const void *bytes, uint64_t len, uint32_t *id,
                      uint64_t *offset);

#endif
