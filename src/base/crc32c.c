/* The polynomial is 0x1edc6f41, reflected; register and result are inverted. The table goes by half
 * a byte: it is for processors that lack the instruction (SSE4.2, of 2008), where being small is
 * worth more than being fast. */
#include "base/crc32c.h"

#include "base/compiler.h"

static const uint32_t half_byte[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t wm_crc32c_table(uint32_t crc, struct wm_view bytes)
{
    crc = ~crc;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= bytes.ptr[i];
        crc = crc >> 4 ^ half_byte[crc & 15];
        crc = crc >> 4 ^ half_byte[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, struct wm_view bytes)
{
    const uint8_t *at = bytes.ptr;
    size_t left = bytes.len;
    uint64_t wide = (uint32_t)~crc;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word;
        __builtin_memcpy(&word, at, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    uint32_t narrow = (uint32_t)wide;
    for (; left > 0; at++, left--) {
        narrow = __builtin_ia32_crc32qi(narrow, *at);
    }
    return ~narrow;
}

uint32_t wm_crc32c(uint32_t crc, struct wm_view bytes)
{
    return WM_LIKELY(__builtin_cpu_supports("sse4.2")) ? by_instruction(crc, bytes)
                                                       : wm_crc32c_table(crc, bytes);
}

#else

uint32_t wm_crc32c(uint32_t crc, struct wm_view bytes)
{
    return wm_crc32c_table(crc, bytes);
}

#endif
