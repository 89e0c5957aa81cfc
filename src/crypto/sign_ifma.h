/* sign_ifma.h: eight Ed25519 signatures checked at once, by the processor's IFMA instructions.
 *
 * For sign_batch.c and tests. What is accepted is what sign_verify accepts (sign.h), exactly. Not
 * constant time: all inputs are public. Pure; some 40 KiB of stack. Any thread. */
#ifndef WM_CRYPTO_SIGN_IFMA_H
#define WM_CRYPTO_SIGN_IFMA_H

#include "crypto/sign_batch.h"

/* Whether this machine has what sign_ifma_verify needs. */
bool sign_ifma_supported(void);

/* Sets `valid` of each; count: 1 to SIGN_LANES. Fewer than SIGN_LANES take as long. */
void sign_ifma_verify(struct sign_item *items, size_t count);

#endif
