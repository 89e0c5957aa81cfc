/* tier_check.h: what every implementation of the global tier refuses in the same way, and the
 * in-memory name of a key. Arguments may come from a hostile worker. Pure; any thread. */
#ifndef WM_FAASLET_TIER_CHECK_H
#define WM_FAASLET_TIER_CHECK_H

#include "faaslet/tier.h"

#define TIER_MEMBER_BYTES_MAX 256u
#define TIER_TTL_MS_MAX 3600000u

/* Tenant and key, both of 1 byte to their limit: else WM_E_INVALID. */
WM_MUST_CHECK int tier_check_key(struct tier_key key, struct wm_diag *diag);
/* A value's size: 1 byte to TIER_VALUE_BYTES_MAX, else WM_E_LIMIT (WM_E_INVALID for 0). */
WM_MUST_CHECK int tier_check_size(struct tier_key key, uint64_t bytes, struct wm_diag *diag);
/* Ranges that lie in a value of `bytes`, and together are no more than TIER_VALUE_BYTES_MAX. Their
 * order is free and they may overlap (of a write the later one wins). *total: their bytes. */
WM_MUST_CHECK int tier_check_ranges(struct tier_key key, uint64_t bytes,
                                    const struct tier_range *ranges, uint32_t count,
                                    uint64_t *total, struct wm_diag *diag);
/* 1 to TIER_TTL_MS_MAX. */
WM_MUST_CHECK int tier_check_ttl(struct tier_key key, uint32_t ttl_ms, struct wm_diag *diag);
WM_MUST_CHECK int tier_check_member(struct tier_key key, struct wm_view member,
                                    struct wm_diag *diag);

/* "tenant/key" in printable ASCII for messages; returns out. */
#define TIER_SHOWN_BYTES 96
char *tier_shown(char out[TIER_SHOWN_BYTES], struct tier_key key);

/* Sets a sentence that begins with the key and ends with what is wrong; returns code. */
int tier_fail(struct wm_diag *diag, int code, struct tier_key key, const char *what);

/* u8 bytes of the tenant's name, the tenant, the key: orders the keys of a tenant by their bytes.
 * Returns the length. The key must have passed tier_check_key. */
#define TIER_NAME_BYTES_MAX (1u + TIER_TENANT_BYTES_MAX + TIER_KEY_BYTES_MAX)
size_t tier_name(uint8_t out[TIER_NAME_BYTES_MAX], struct tier_key key);

#endif
