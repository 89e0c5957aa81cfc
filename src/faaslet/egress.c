/* egress.c: addresses of an allow-list. */
#include "faaslet/egress.h"

#include <string.h>

static bool parse_port(struct wm_view text, uint16_t *port, bool *any)
{
    uint32_t value = 0;
    *any = wm_view_eq_str(text, "*");
    if (*any) {
        *port = 0;
        return true;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || value > 65535) {
            return false;
        }
        value = value * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    *port = (uint16_t)value;
    return text.len != 0 && value > 0 && value <= 65535;
}

bool egress_add(struct egress *egress, struct wm_view text)
{
    const uint8_t *colon = text.len ? memrchr(text.ptr, ':', text.len) : NULL;
    if (!colon || egress->count == EGRESS_RULES_MAX) {
        return false;
    }
    size_t host_len = (size_t)(colon - text.ptr);
    struct wm_view host = wm_view_of(text.ptr, host_len);
    struct wm_view port = wm_view_of(colon + 1, text.len - host_len - 1);
    if (host_len > 2 && host.ptr[0] == '[' && host.ptr[host_len - 1] == ']') {
        host = wm_view_of(host.ptr + 1, host_len - 2);
    }
    struct libos_address address;
    bool any;
    if (!libos_address_parse(host, &address) || !parse_port(port, &address.port, &any)) {
        return false;
    }
    address = libos_address_plain(&address);
    egress->rules[egress->count].address = address;
    egress->rules[egress->count++].any_port = any;
    return true;
}

bool egress_allows(void *self, const struct libos_address *address, bool datagram)
{
    const struct egress *egress = self;
    (void)datagram;
    for (uint32_t i = 0; i < egress->count; i++) {
        const struct libos_address *rule = &egress->rules[i].address;
        if (rule->family == address->family && memcmp(rule->ip, address->ip, 16) == 0 &&
            (egress->rules[i].any_port || rule->port == address->port)) {
            return true;
        }
    }
    return false;
}
