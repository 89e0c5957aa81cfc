/* product.c: a product of matrices by divide and conquer, with chained functions (Faasm paper,
 * section 6.4): two levels of quarters, so 8 * 8 = 64 multiplications and 1 + 8 = 9 merges.
 *
 * Matrices lie in state by blocks, 4 x 4 of them, each block a contiguous range:
 *
 *     left.R, right.R     16 blocks, row by row
 *     parts.R             64 blocks: 8 for each half's 8 multiplications
 *     halves.R            32 blocks: 4 for each of 8 halves
 *     product.R           16 blocks
 *
 * Each function maps the blocks that it reads and writes, and pushes what it has written: another
 * one of the same node sees it in place, one of another node pulls it. README.md has the commands.
 */
#include <errno.h>
#include <faaslet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "product.h"

#define NAME "product" /* the function's own */

static struct product job;
static uint32_t side, block_bytes; /* of one block */

struct value {
    char key[32];
    uint32_t key_len, bytes;
};

static struct value value_of(const char *name, uint32_t blocks)
{
    struct value value;
    value.key_len = (uint32_t)snprintf(value.key, sizeof value.key, "%s.%u", name, job.run);
    value.bytes = blocks * block_bytes;
    return value;
}

/* Rows, columns and terms of the numbers in `half` and `block`. */
static uint32_t row_of(uint32_t number)
{
    return number >> 2 & 1;
}
static uint32_t column_of(uint32_t number)
{
    return number >> 1 & 1;
}
static uint32_t term_of(uint32_t number)
{
    return number & 1;
}

/* --- Blocks --- */

/* To be read. fresh: another function has just written it, perhaps on another node. */
static const double *read_blocks(const struct value *value, uint32_t block, uint32_t count,
                                 bool fresh, int32_t *rc)
{
    const uint32_t offset = block * block_bytes, len = count * block_bytes;
    const void *at = NULL;
    if (*rc) {
        return NULL;
    }
    if (job.flags & PRODUCT_PRIVATE || (fresh && job.flags & PRODUCT_NODES)) {
        *rc = faaslet_state_pull(value->key, value->key_len, offset, len);
    }
    if (*rc == 0 && job.flags & PRODUCT_PRIVATE) {
        void *own = malloc(len);
        *rc = own ? faaslet_state_read(value->key, value->key_len, offset, own, len) : -ENOMEM;
        *rc = *rc == (int32_t)len ? 0 : *rc < 0 ? *rc : -EIO;
        return own;
    }
    if (*rc == 0) {
        at = faaslet_state_map(value->key, value->key_len, offset, len, FAASLET_MAP_READ_ONLY);
        *rc = at ? 0 : faaslet_state_map_error();
    }
    return at;
}

/* To be written, all of them, and then given to publish(). */
static double *write_blocks(const struct value *value, uint32_t block, uint32_t count, int32_t *rc)
{
    void *at = NULL;
    *rc = *rc ? *rc : faaslet_state_create(value->key, value->key_len, value->bytes);
    if (*rc == 0 && job.flags & PRODUCT_PRIVATE) {
        at = malloc(count * block_bytes);
        *rc = at ? 0 : -ENOMEM;
    } else if (*rc == 0) {
        at = faaslet_state_map(value->key, value->key_len, block * block_bytes, count * block_bytes,
                               FAASLET_MAP_NO_PULL);
        *rc = at ? 0 : faaslet_state_map_error();
    }
    return at;
}

static int32_t publish(const struct value *value, uint32_t block, uint32_t count, const void *from)
{
    const uint32_t offset = block * block_bytes, len = count * block_bytes;
    int32_t rc = job.flags & PRODUCT_PRIVATE
                     ? faaslet_state_write(value->key, value->key_len, offset, from, len)
                     : faaslet_state_dirty(value->key, value->key_len, offset, len);
    return rc ? rc : faaslet_state_push(value->key, value->key_len, offset, len);
}

/* --- The functions --- */

static int32_t generate(void)
{
    const char *const names[2] = {"left", "right"};
    int32_t rc = 0;
    for (uint32_t which = 0; which < 2; which++) {
        struct value value = value_of(names[which], PRODUCT_GRID * PRODUCT_GRID);
        double *out = write_blocks(&value, 0, PRODUCT_GRID * PRODUCT_GRID, &rc);
        if (rc) {
            return rc;
        }
        for (uint32_t row = 0; row < job.size; row++) {
            for (uint32_t column = 0; column < job.size; column++) {
                uint32_t block = row / side * PRODUCT_GRID + column / side;
                out[(block * side + row % side) * side + column % side] =
                    product_element(which, row, column);
            }
        }
        rc = publish(&value, 0, PRODUCT_GRID * PRODUCT_GRID, out);
    }
    return rc;
}

static void multiply_block(double *restrict out, const double *restrict left,
                           const double *restrict right)
{
    memset(out, 0, block_bytes);
    for (uint32_t i = 0; i < side; i++) {
        for (uint32_t k = 0; k < side; k++) {
            const double factor = left[i * side + k];
            for (uint32_t j = 0; j < side; j++) {
                out[i * side + j] += factor * right[k * side + j];
            }
        }
    }
}

static int32_t multiply(void)
{
    const struct value left = value_of("left", PRODUCT_GRID * PRODUCT_GRID);
    const struct value right = value_of("right", PRODUCT_GRID * PRODUCT_GRID);
    const struct value parts = value_of("parts", 64);
    const uint32_t row = 2 * row_of(job.half) + row_of(job.block);
    const uint32_t column = 2 * column_of(job.half) + column_of(job.block);
    const uint32_t term = 2 * term_of(job.half) + term_of(job.block);
    int32_t rc = 0;
    const double *a = read_blocks(&left, row * PRODUCT_GRID + term, 1, false, &rc);
    const double *b = read_blocks(&right, term * PRODUCT_GRID + column, 1, false, &rc);
    double *out = write_blocks(&parts, 8 * job.half + job.block, 1, &rc);
    if (rc) {
        return rc;
    }
    multiply_block(out, a, b);
    return publish(&parts, 8 * job.half + job.block, 1, out);
}

static void add(double *restrict out, const double *restrict a, const double *restrict b)
{
    for (uint32_t i = 0; i < side * side; i++) {
        out[i] = a[i] + b[i];
    }
}

/* The half's four blocks, each the sum of two of its eight multiplications. */
static int32_t merge_half(void)
{
    const struct value parts = value_of("parts", 64), halves = value_of("halves", 32);
    int32_t rc = 0;
    const double *in = read_blocks(&parts, 8 * job.half, 8, true, &rc);
    double *out = write_blocks(&halves, 4 * job.half, 4, &rc);
    for (uint32_t i = 0; rc == 0 && i < 4; i++) {
        const double *a = in + (size_t)2 * i * side * side;
        add(out + (size_t)i * side * side, a, a + (size_t)side * side);
    }
    return rc ? rc : publish(&halves, 4 * job.half, 4, out);
}

static int32_t merge_whole(void)
{
    const struct value halves = value_of("halves", 32);
    const struct value product = value_of("product", PRODUCT_GRID * PRODUCT_GRID);
    int32_t rc = 0;
    const double *in = read_blocks(&halves, 0, 32, true, &rc);
    double *out = write_blocks(&product, 0, PRODUCT_GRID * PRODUCT_GRID, &rc);
    for (uint32_t half = 0; rc == 0 && half < 8; half += 2) { /* its two terms lie in turn */
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t row = 2 * row_of(half) + (i >> 1), column = 2 * column_of(half) + (i & 1);
            const double *a = in + (size_t)(4 * half + i) * side * side;
            add(out + (size_t)(row * PRODUCT_GRID + column) * side * side, a,
                a + (size_t)4 * side * side);
        }
    }
    return rc ? rc : publish(&product, 0, PRODUCT_GRID * PRODUCT_GRID, out);
}

/* --- Chaining --- */

static int32_t await(int64_t id)
{
    int32_t code = id < 0 ? (int32_t)id : faaslet_await(id, UINT32_MAX);
    return code > 0 ? -code : code;
}

static int64_t chain(uint32_t what, uint32_t half, uint32_t block)
{
    struct product part = job;
    part.what = what;
    part.half = half;
    part.block = block;
    return faaslet_chain(NAME, sizeof NAME - 1, &part, sizeof part);
}

/* Eight of one kind, and when they have ended the merge. */
static int32_t divide(bool whole)
{
    int64_t ids[8];
    int32_t rc = 0;
    for (uint32_t i = 0; i < 8; i++) {
        ids[i] = whole ? chain(PRODUCT_HALF, i, 0) : chain(PRODUCT_MULTIPLY, job.half, i);
    }
    for (uint32_t i = 0; i < 8; i++) {
        int32_t one = await(ids[i]);
        rc = rc ? rc : one;
    }
    return rc ? rc : await(chain(whole ? PRODUCT_MERGE_WHOLE : PRODUCT_MERGE_HALF, job.half, 0));
}

FAASLET_MAIN
{
    int32_t rc = -EINVAL;
    if (faaslet_input_size() != sizeof job || faaslet_input(&job, sizeof job) != sizeof job ||
        job.size == 0 || job.size % PRODUCT_GRID != 0 || job.size > 4096 || job.half > 7 ||
        job.block > 7) {
        return EINVAL;
    }
    side = job.size / PRODUCT_GRID;
    block_bytes = side * side * 8;
    switch ((enum product_what)job.what) {
    case PRODUCT_GENERATE: rc = generate(); break;
    case PRODUCT_WHOLE: rc = divide(true); break;
    case PRODUCT_HALF: rc = divide(false); break;
    case PRODUCT_MULTIPLY: rc = multiply(); break;
    case PRODUCT_MERGE_HALF: rc = merge_half(); break;
    case PRODUCT_MERGE_WHOLE: rc = merge_whole(); break;
    }
    return rc < 0 ? -rc : rc;
}
