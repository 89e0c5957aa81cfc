/* product.h: what product.c is told, and what its matrices hold; see there. */
#ifndef PRODUCT_H
#define PRODUCT_H

#include <stdint.h>

enum product_what {
    PRODUCT_GENERATE, /* makes both factors */
    PRODUCT_WHOLE,    /* chains 8 of HALF, then MERGE_WHOLE */
    PRODUCT_HALF,     /* one of 8 products of quarters: chains 8 of MULTIPLY, then MERGE_HALF */
    PRODUCT_MULTIPLY, /* one of 64 products of sixteenths */
    PRODUCT_MERGE_HALF,
    PRODUCT_MERGE_WHOLE,
};

/* Each function copies what it needs from the global copy into memory of its own, and back. */
#define PRODUCT_PRIVATE 1u
#define PRODUCT_NODES 2u /* several nodes work: what others have written is pulled */

#define PRODUCT_GRID 4u /* blocks in a row and in a column */

struct product {
    uint32_t what, flags;
    uint32_t size;        /* rows and columns; a multiple of PRODUCT_GRID */
    uint32_t run;         /* a number of its own for each product: its keys end with it */
    uint32_t half, block; /* each three bits: row, column, and which of the two terms */
};

/* Small whole numbers, so that sums are exact in any order. `which`: 0 the left factor, 1 the
 * right. */
static inline double product_element(uint32_t which, uint32_t row, uint32_t column)
{
    return (double)((row * 31 + column * 17 + row * column % 23 + which * 7) % 19) - 9;
}

#endif
