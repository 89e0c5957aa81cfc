#include "faaslet/tier_check.h"

#include <stdio.h>
#include <string.h>

#include "base/arith.h"
#include "base/error.h"

char *tier_shown(char out[TIER_SHOWN_BYTES], struct tier_key key)
{
    char tenant[40], name[52];
    snprintf(out, TIER_SHOWN_BYTES, "%s/%s",
             wm_diag_quote(tenant, sizeof tenant, key.tenant.ptr, key.tenant.len),
             wm_diag_quote(name, sizeof name, key.key.ptr, key.key.len));
    return out;
}

int tier_fail(struct wm_diag *diag, int code, struct tier_key key, const char *what)
{
    char shown[TIER_SHOWN_BYTES];
    return diag ? wm_diag_set(diag, code, "state %s: %s", tier_shown(shown, key), what) : code;
}

int tier_check_key(struct tier_key key, struct wm_diag *diag)
{
    if (key.tenant.len == 0 || key.tenant.len > TIER_TENANT_BYTES_MAX || key.key.len == 0 ||
        key.key.len > TIER_KEY_BYTES_MAX) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "state: a tenant's name of %zu and a key of %zu bytes; allowed are 1 to "
                           "%u and 1 to %u",
                           key.tenant.len, key.key.len, TIER_TENANT_BYTES_MAX, TIER_KEY_BYTES_MAX);
    }
    return 0;
}

int tier_check_size(struct tier_key key, uint64_t bytes, struct wm_diag *diag)
{
    if (bytes == 0) {
        return tier_fail(diag, WM_E_INVALID, key, "a value has at least one byte");
    }
    if (bytes > TIER_VALUE_BYTES_MAX) {
        return tier_fail(diag, WM_E_LIMIT, key, "larger than a value may be (2 GiB)");
    }
    return 0;
}

int tier_check_ranges(struct tier_key key, uint64_t bytes, const struct tier_range *ranges,
                      uint32_t count, uint64_t *total, struct wm_diag *diag)
{
    *total = 0;
    if (count > TIER_RANGES_MAX) {
        return tier_fail(diag, WM_E_LIMIT, key, "more ranges than one request may have (65,536)");
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!wm_range_fits(ranges[i].offset, ranges[i].len, bytes)) {
            return tier_fail(diag, WM_E_INVALID, key, "a range beyond the end of the value");
        }
        *total += ranges[i].len; /* at most 2^16 times 2^31 */
    }
    if (*total > TIER_VALUE_BYTES_MAX) {
        return tier_fail(diag, WM_E_LIMIT, key, "ranges of more than 2 GiB together");
    }
    return 0;
}

int tier_check_ttl(struct tier_key key, uint32_t ttl_ms, struct wm_diag *diag)
{
    return ttl_ms >= 1 && ttl_ms <= TIER_TTL_MS_MAX
               ? 0
               : tier_fail(diag, WM_E_INVALID, key, "a time to live of 1 ms to 1 h is allowed");
}

int tier_check_member(struct tier_key key, struct wm_view member, struct wm_diag *diag)
{
    return member.len >= 1 && member.len <= TIER_MEMBER_BYTES_MAX
               ? 0
               : tier_fail(diag, WM_E_INVALID, key, "a member of a set has 1 to 256 bytes");
}

size_t tier_name(uint8_t out[TIER_NAME_BYTES_MAX], struct tier_key key)
{
    out[0] = (uint8_t)key.tenant.len;
    memcpy(out + 1, key.tenant.ptr, key.tenant.len);
    if (key.key.len > 0) { /* an empty prefix is asked for too */
        memcpy(out + 1 + key.tenant.len, key.key.ptr, key.key.len);
    }
    return 1 + key.tenant.len + key.key.len;
}
