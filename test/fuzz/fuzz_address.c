/* Addresses as text: what is read is what the C library reads. */
#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "libos/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[80] = "";
    uint8_t v4[16] = {0}, v6[16] = {0};
    struct libos_address found;
    bool ok = libos_address_parse(wm_view_of(data, size), &found);
    if (size >= sizeof text || memchr(data, 0, size)) {
        return 0;
    }
    memcpy(text, data, size);
    bool is_v4 = inet_pton(AF_INET, text, v4) == 1, is_v6 = inet_pton(AF_INET6, text, v6) == 1;
    WM_ASSERT(ok == (is_v4 || is_v6));
    WM_ASSERT(!ok || memcmp(found.ip, is_v4 ? v4 : v6, 16) == 0);
    if (ok) {
        (void)libos_address_plain(&found);
    }
    return 0;
}
