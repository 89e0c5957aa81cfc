/* crc32c.h: the Castagnoli CRC (RFC 3720, appendix B.4), which finds damage and is no defence
 * against malice.
 *
 * On x86-64 by the processor's own instruction, 8 bytes at a time, else by a table of 16 words. Any
 * thread. Freestanding. */
#ifndef WM_BASE_CRC32C_H
#define WM_BASE_CRC32C_H

#include <stdint.h>

#include "base/view.h"

/* The CRC of all bytes so far, given that of those before; it begins with 0. */
uint32_t wm_crc32c(uint32_t crc, struct wm_view bytes);
/* The same by the table, for the comparison in the test. */
uint32_t wm_crc32c_table(uint32_t crc, struct wm_view bytes);

#endif
