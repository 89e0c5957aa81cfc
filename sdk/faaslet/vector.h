/* vector.h: a vector of numbers in state, written by many functions at once without locks.
 *
 * The object of asynchronous training (HOGWILD: Recht et al., NIPS 2011; the Faasm paper's
 * VectorAsync): all functions of a node add to one replica through a pointer, and each pushes from
 * time to time what anybody on the node changed. A mask, a value of the same size beside it
 * (KEY.mask, local to each node), says which numbers those are.
 *
 *     struct ddo_vector weights;
 *     if (ddo_vector_open(&weights, "weights", DDO_DOUBLE, 47236, 1000) < 0) ...
 *     double *w = ddo_vector_doubles(&weights);
 *     ddo_vector_add(&weights, i, -step * gradient);      pushes by itself every 1000 adds
 *     ddo_vector_push(&weights);                          what is left
 *     ddo_vector_pull(&weights);                          what other nodes have pushed
 *
 * What is promised: a number that was written before its mask is pushed with this push or a later
 * one. What is not: two adds to one number at the same moment may count as one; pushes of two nodes
 * overwrite each other's numbers, the later one wins; a pull may undo adds that are not pushed yet,
 * also those of other functions of the node. HOGWILD converges in spite of these; counting does not
 * (counter.h).
 *
 * Sizes: 1 to 2^31 bytes / the size of a number. In memory: the replica and a mask as large, on a
 * node once; in the function's memory limit, both. A push moves 4 bytes for each changed float, 8
 * for each double.
 *
 * Errors: as in faaslet.h, < 0. -EINVAL: a value of another size has that key, or a key so long
 * that
 * ".mask" does not fit behind it. After a failed push the changes stay marked. */
#ifndef FAASLET_VECTOR_H
#define FAASLET_VECTOR_H

#include <errno.h>
#include <faaslet.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ddo_number { DDO_FLOAT = 4, DDO_DOUBLE = 8 };

struct ddo_vector {
    char key[FAASLET_KEY_MAX], mask_key[FAASLET_KEY_MAX];
    uint32_t key_len, mask_key_len;
    enum ddo_number number;
    uint32_t count;
    uint32_t push_every, adds; /* 0: never by itself */
    unsigned char *numbers;
    volatile uint32_t *mask; /* one word for each 4 bytes of numbers */
};

/* Makes the vector, all zeros, where there is none. 0 or an error. */
static inline int32_t ddo_vector_open(struct ddo_vector *vector, const char *key,
                                      enum ddo_number number, uint32_t count, uint32_t push_every)
{
    static const char suffix[] = ".mask";
    size_t key_len = strlen(key);
    uint64_t bytes = (uint64_t)count * (uint32_t)number;
    if (key_len == 0 || key_len + sizeof suffix - 1 > FAASLET_KEY_MAX || count == 0 ||
        bytes > UINT64_C(1) << 31) {
        return -EINVAL;
    }
    memset(vector, 0, sizeof *vector);
    memcpy(vector->key, key, key_len);
    memcpy(vector->mask_key, key, key_len);
    memcpy(vector->mask_key + key_len, suffix, sizeof suffix - 1);
    vector->key_len = (uint32_t)key_len;
    vector->mask_key_len = (uint32_t)(key_len + sizeof suffix - 1);
    vector->number = number;
    vector->count = count;
    vector->push_every = push_every;
    int32_t rc = faaslet_state_create(vector->key, vector->key_len, (uint32_t)bytes);
    if (rc < 0) {
        return rc;
    }
    rc = faaslet_state_create(vector->mask_key, vector->mask_key_len, (uint32_t)bytes);
    if (rc < 0) {
        return rc;
    }
    vector->numbers =
        (unsigned char *)faaslet_state_map(vector->key, vector->key_len, 0, (uint32_t)bytes, 0);
    if (!vector->numbers) {
        return faaslet_state_map_error();
    }
    vector->mask = (volatile uint32_t *)faaslet_state_map(vector->mask_key, vector->mask_key_len, 0,
                                                          (uint32_t)bytes, FAASLET_MAP_NO_PULL);
    return vector->mask ? 0 : faaslet_state_map_error();
}

/* To read and, with ddo_vector_touch after it, to write. */
static inline double *ddo_vector_doubles(const struct ddo_vector *vector)
{
    return vector->number == DDO_DOUBLE ? (double *)(void *)vector->numbers : NULL;
}

static inline float *ddo_vector_floats(const struct ddo_vector *vector)
{
    return vector->number == DDO_FLOAT ? (float *)(void *)vector->numbers : NULL;
}

/* Pushes what anybody on this node has touched. */
static inline int32_t ddo_vector_push(struct ddo_vector *vector)
{
    vector->adds = 0;
    return faaslet_state_push_masked(vector->key, vector->key_len, vector->mask_key,
                                     vector->mask_key_len, 0);
}

/* Says that number `index` was written. After the write, not before: a push clears the mask and
 * then reads the number. */
static inline void ddo_vector_touch(struct ddo_vector *vector, uint32_t index)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (vector->number == DDO_DOUBLE) {
        /* One store, so that no push takes one half of the number and leaves the other. */
        ((volatile uint64_t *)(volatile void *)vector->mask)[index] = UINT64_C(0x100000001);
    } else {
        vector->mask[index] = 1;
    }
}

/* Adds without a lock. 0, -EINVAL (no such number), or the error of the push that was due. */
static inline int32_t ddo_vector_add(struct ddo_vector *vector, uint32_t index, double delta)
{
    if (index >= vector->count) {
        return -EINVAL;
    }
    if (vector->number == DDO_DOUBLE) {
        ((double *)(void *)vector->numbers)[index] += delta;
    } else {
        ((float *)(void *)vector->numbers)[index] += (float)delta;
    }
    ddo_vector_touch(vector, index);
    vector->adds++;
    return vector->push_every && vector->adds >= vector->push_every ? ddo_vector_push(vector) : 0;
}

static inline int32_t ddo_vector_pull(struct ddo_vector *vector)
{
    return faaslet_state_pull(vector->key, vector->key_len, 0, 0);
}

#ifdef __cplusplus
}
#endif

#endif
