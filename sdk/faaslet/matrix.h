/* matrix.h: matrices in state, read by columns: only the columns that are asked for are pulled.
 *
 * Dense: doubles, one column after the other, in one value of rows * columns * 8 bytes.
 *
 *     struct ddo_dense m;
 *     ddo_dense_open(&m, "m", rows, columns);
 *     const double *a = ddo_dense_columns(&m, 10, 5);      columns 10 to 14, behind each other
 *     double *b = ddo_dense_write(&m, 3, 1);               column 3, to be written whole
 *     ddo_dense_push(&m, 3, 1);
 *
 * Sparse, compressed by columns (CSC): for column c, entries outer[c] to outer[c + 1] of `inner`
 * (the rows, ascending) and `values`. Four keys: KEY.shape (three numbers), KEY.outer, KEY.inner,
 * KEY.values. Written once by ddo_sparse_put, then read only.
 *
 *     struct ddo_sparse s;
 *     ddo_sparse_open(&s, "train");
 *     struct ddo_columns part;
 *     ddo_sparse_columns(&s, 100, 32, &part);
 *     for (c = 0; c < 32; c++)
 *         for (i = part.outer[c]; i < part.outer[c + 1]; i++)
 *             use(part.inner[i - part.outer[0]], part.values[i - part.outer[0]]);
 *
 * Sizes: each value at most 2 GiB, so 2^28 doubles of a dense matrix, 2^28 entries of a sparse one;
 * rows and columns below 2^32. Pulls go by chunks of 64 KiB, mappings by pages: a few columns cost
 * what lies in their chunks. Ranges are mapped once for a call and at most 1,024 of them, so larger
 * ranges are better than single columns; they count against the function's memory limit.
 *
 * Errors: as in faaslet.h, < 0; NULL with the error in the object's `error`. -EINVAL: columns
 * beyond the last, or a sparse matrix whose keys do not fit each other (what is in state may have
 * been written by anybody of the tenant, so `outer` is checked where it is used). */
#ifndef FAASLET_MATRIX_H
#define FAASLET_MATRIX_H

#include <errno.h>
#include <faaslet.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DDO_MATRIX_BYTES_MAX (UINT64_C(1) << 31)

/* --- Dense --- */

struct ddo_dense {
    char key[FAASLET_KEY_MAX];
    uint32_t key_len;
    uint32_t rows, columns;
    int32_t error; /* of the last function that gave NULL */
};

/* Makes it, all zeros, where there is none. */
static inline int32_t ddo_dense_open(struct ddo_dense *matrix, const char *key, uint32_t rows,
                                     uint32_t columns)
{
    size_t key_len = strlen(key);
    if (key_len == 0 || key_len > FAASLET_KEY_MAX || rows == 0 || columns == 0 ||
        (uint64_t)rows * columns > DDO_MATRIX_BYTES_MAX / 8) {
        return -EINVAL;
    }
    memset(matrix, 0, sizeof *matrix);
    memcpy(matrix->key, key, key_len);
    matrix->key_len = (uint32_t)key_len;
    matrix->rows = rows;
    matrix->columns = columns;
    return faaslet_state_create(matrix->key, matrix->key_len, (uint32_t)(rows * columns * 8));
}

static inline double *ddo_dense_map(struct ddo_dense *matrix, uint32_t column, uint32_t count,
                                    uint32_t flags)
{
    if (count == 0 || column > matrix->columns || count > matrix->columns - column) {
        matrix->error = -EINVAL;
        return NULL;
    }
    void *at = faaslet_state_map(matrix->key, matrix->key_len, column * matrix->rows * 8,
                                 count * matrix->rows * 8, flags);
    matrix->error = at ? 0 : faaslet_state_map_error();
    return (double *)at;
}

/* To be read: a write traps. */
static inline const double *ddo_dense_columns(struct ddo_dense *matrix, uint32_t column,
                                              uint32_t count)
{
    return ddo_dense_map(matrix, column, count, FAASLET_MAP_READ_ONLY);
}

/* To be written, every number of them: nothing is pulled first. */
static inline double *ddo_dense_write(struct ddo_dense *matrix, uint32_t column, uint32_t count)
{
    return ddo_dense_map(matrix, column, count, FAASLET_MAP_NO_PULL);
}

/* Columns that were written become part of the global copy. */
static inline int32_t ddo_dense_push(struct ddo_dense *matrix, uint32_t column, uint32_t count)
{
    if (count == 0 || column > matrix->columns || count > matrix->columns - column) {
        return -EINVAL;
    }
    uint32_t offset = column * matrix->rows * 8, len = count * matrix->rows * 8;
    int32_t rc = faaslet_state_dirty(matrix->key, matrix->key_len, offset, len);
    return rc < 0 ? rc : faaslet_state_push(matrix->key, matrix->key_len, offset, len);
}

/* --- Sparse --- */

struct ddo_sparse {
    char key[FAASLET_KEY_MAX]; /* with room for a suffix behind key_len */
    uint32_t key_len;
    uint32_t rows, columns, entries;
    const uint32_t *outer; /* columns + 1 of them */
};

struct ddo_columns {
    uint32_t count;        /* columns */
    const uint32_t *outer; /* count + 1: where each starts, counted over the whole matrix */
    const uint32_t *inner; /* from entry outer[0] on */
    const double *values;  /* likewise */
};

#define DDO_SUFFIX_MAX 8u

/* Sets key and suffix; the length of both. */
static inline uint32_t ddo_sparse_key(struct ddo_sparse *matrix, const char *suffix)
{
    size_t len = strlen(suffix);
    memcpy(matrix->key + matrix->key_len, suffix, len);
    return matrix->key_len + (uint32_t)len;
}

static inline int32_t ddo_sparse_name(struct ddo_sparse *matrix, const char *key)
{
    size_t key_len = strlen(key);
    if (key_len == 0 || key_len + DDO_SUFFIX_MAX > FAASLET_KEY_MAX) {
        return -EINVAL;
    }
    memset(matrix, 0, sizeof *matrix);
    memcpy(matrix->key, key, key_len);
    matrix->key_len = (uint32_t)key_len;
    return 0;
}

/* Replaces the value of KEY + suffix, of any size before, and pushes it. */
static inline int32_t ddo_sparse_put_part(struct ddo_sparse *matrix, const char *suffix,
                                          const void *bytes, uint32_t len)
{
    uint32_t key_len = ddo_sparse_key(matrix, suffix);
    int32_t rc = faaslet_state_delete(matrix->key, key_len);
    if (rc < 0) {
        return rc;
    }
    rc = faaslet_state_write(matrix->key, key_len, 0, bytes, len);
    return rc < 0 ? rc : faaslet_state_push(matrix->key, key_len, 0, 0);
}

/* Writes a matrix in place of what had the key. Who reads meanwhile may see parts of both: give new
 * data a new key. outer has columns + 1 numbers, from 0 up to the number of entries, at least 1. */
static inline int32_t ddo_sparse_put(const char *key, uint32_t rows, uint32_t columns,
                                     const uint32_t *outer, const uint32_t *inner,
                                     const double *values)
{
    struct ddo_sparse matrix;
    int32_t rc = ddo_sparse_name(&matrix, key);
    if (rc < 0) {
        return rc;
    }
    if (columns == 0 || columns >= DDO_MATRIX_BYTES_MAX / 4 || outer[columns] == 0 ||
        outer[columns] > DDO_MATRIX_BYTES_MAX / 8) {
        return -EINVAL;
    }
    uint32_t shape[3] = {rows, columns, outer[columns]};
    rc = ddo_sparse_put_part(&matrix, ".values", values, outer[columns] * 8);
    if (rc >= 0) {
        rc = ddo_sparse_put_part(&matrix, ".inner", inner, outer[columns] * 4);
    }
    if (rc >= 0) {
        rc = ddo_sparse_put_part(&matrix, ".outer", outer, (columns + 1) * 4);
    }
    /* Last: who finds a shape finds the rest. */
    return rc < 0 ? rc : ddo_sparse_put_part(&matrix, ".shape", shape, sizeof shape);
}

/* Pulls shape and starts of columns, nothing else. -ENOENT. */
static inline int32_t ddo_sparse_open(struct ddo_sparse *matrix, const char *key)
{
    uint32_t shape[3];
    int32_t rc = ddo_sparse_name(matrix, key);
    if (rc < 0) {
        return rc;
    }
    rc = faaslet_state_read(matrix->key, ddo_sparse_key(matrix, ".shape"), 0, shape, sizeof shape);
    if (rc != (int32_t)sizeof shape) {
        return rc < 0 ? rc : -EINVAL;
    }
    if (shape[1] == 0 || shape[1] >= DDO_MATRIX_BYTES_MAX / 4 ||
        shape[2] > DDO_MATRIX_BYTES_MAX / 8) {
        return -EINVAL;
    }
    matrix->outer =
        (const uint32_t *)faaslet_state_map(matrix->key, ddo_sparse_key(matrix, ".outer"), 0,
                                            (shape[1] + 1) * 4, FAASLET_MAP_READ_ONLY);
    if (!matrix->outer) {
        return faaslet_state_map_error();
    }
    matrix->rows = shape[0];
    matrix->columns = shape[1];
    matrix->entries = shape[2];
    return 0;
}

/* Maps `count` columns from `column` on, read-only. */
static inline int32_t ddo_sparse_columns(struct ddo_sparse *matrix, uint32_t column, uint32_t count,
                                         struct ddo_columns *out)
{
    memset(out, 0, sizeof *out);
    if (count == 0 || column > matrix->columns || count > matrix->columns - column) {
        return -EINVAL;
    }
    out->count = count;
    out->outer = matrix->outer + column;
    uint32_t first = out->outer[0], last = first;
    for (uint32_t i = 1; i <= count; i++) {
        if (out->outer[i] < last || out->outer[i] > matrix->entries) {
            return -EINVAL;
        }
        last = out->outer[i];
    }
    if (first == last) {
        return 0; /* empty columns */
    }
    out->inner =
        (const uint32_t *)faaslet_state_map(matrix->key, ddo_sparse_key(matrix, ".inner"),
                                            first * 4, (last - first) * 4, FAASLET_MAP_READ_ONLY);
    if (out->inner) {
        out->values =
            (const double *)faaslet_state_map(matrix->key, ddo_sparse_key(matrix, ".values"),
                                              first * 8, (last - first) * 8, FAASLET_MAP_READ_ONLY);
    }
    return out->values ? 0 : faaslet_state_map_error();
}

#ifdef __cplusplus
}
#endif

#endif
