/* Distributed data objects: fills them, or reads them and answers with what it computed. */
#include <faaslet.h>
#include <faaslet/counter.h>
#include <faaslet/dict.h>
#include <faaslet/list.h>
#include <faaslet/matrix.h>
#include <faaslet/vector.h>
#include <string.h>

#define ROWS 1000u
#define COLUMNS 600u

static double number(uint32_t row, uint32_t column)
{
    return (double)((row * 31 + column * 17) % 101) - 50;
}

/* Three entries in each column, none in each seventh. */
static uint32_t outer[COLUMNS + 1], inner[3 * COLUMNS];
static double values[3 * COLUMNS];

static int32_t fill(void)
{
    struct ddo_dense dense;
    int32_t rc = ddo_dense_open(&dense, "dense", ROWS, COLUMNS);
    for (uint32_t column = 0; rc == 0 && column < COLUMNS; column += 100) {
        double *out = ddo_dense_write(&dense, column, 100);
        if (!out) {
            return dense.error;
        }
        for (uint32_t i = 0; i < 100 * ROWS; i++) {
            out[i] = number(i % ROWS, column + i / ROWS);
        }
        rc = ddo_dense_push(&dense, column, 100);
    }
    uint32_t entries = 0;
    for (uint32_t column = 0; column < COLUMNS; column++) {
        outer[column] = entries;
        for (uint32_t i = 0; column % 7 && i < 3; i++, entries++) {
            inner[entries] = column + i * 10;
            values[entries] = number(column + i * 10, column);
        }
    }
    outer[COLUMNS] = entries;
    if (rc == 0) {
        rc = ddo_sparse_put("sparse", ROWS, COLUMNS, outer, inner, values);
    }
    struct ddo_list list;
    struct ddo_dict dict;
    if (rc != 0 || (rc = ddo_list_open(&list, "list")) != 0 ||
        (rc = ddo_dict_open(&dict, "dict")) != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < 10; i++) {
        if (ddo_list_append(&list, "0123456789", i) != i) {
            return -1000;
        }
    }
    rc = ddo_dict_put(&dict, "one", "first", 5);
    rc = rc ? rc : ddo_dict_put(&dict, "two", "2nd", 3);
    rc = rc ? rc : ddo_dict_put(&dict, "two", "second", 6);
    return rc ? rc : ddo_counter_add("counter", 41, NULL);
}

/* Columns [first, first + count) of both matrices, summed up. */
static int32_t sums(uint32_t first, uint32_t count, double out[2])
{
    struct ddo_dense dense;
    struct ddo_sparse sparse;
    struct ddo_columns part;
    int32_t rc = ddo_dense_open(&dense, "dense", ROWS, COLUMNS);
    rc = rc ? rc : ddo_sparse_open(&sparse, "sparse");
    if (rc != 0) {
        return rc;
    }
    const double *in = ddo_dense_columns(&dense, first, count);
    if (!in) {
        return dense.error;
    }
    for (uint32_t i = 0; i < count * ROWS; i++) {
        out[0] += in[i] * (double)(first + i / ROWS);
    }
    rc = ddo_sparse_columns(&sparse, first, count, &part);
    for (uint32_t column = 0; rc == 0 && column < count; column++) {
        for (uint32_t i = part.outer[column]; i < part.outer[column + 1]; i++) {
            out[1] += part.values[i - part.outer[0]] * (double)(part.inner[i - part.outer[0]] + 1);
        }
    }
    return rc;
}

/* Everything that must be refused. */
static int32_t refusals(void)
{
    struct ddo_dense dense;
    struct ddo_sparse sparse;
    struct ddo_columns part;
    struct ddo_vector vector;
    struct ddo_dict dict;
    int64_t len;
    static char long_key[FAASLET_KEY_MAX + 2];
    memset(long_key, 'k', sizeof long_key - 1);
    if (ddo_dense_open(&dense, "dense", ROWS + 1, COLUMNS) != -EINVAL ||
        ddo_dense_open(&dense, "huge", 70000, 70000) != -EINVAL ||
        ddo_dense_open(&dense, long_key, 1, 1) != -EINVAL ||
        ddo_dense_open(&dense, "dense", ROWS, COLUMNS) != 0 ||
        ddo_dense_columns(&dense, COLUMNS, 1) || dense.error != -EINVAL ||
        ddo_dense_columns(&dense, UINT32_MAX, 2) || ddo_dense_push(&dense, 0, 0) != -EINVAL) {
        return 1;
    }
    if (ddo_sparse_open(&sparse, "none") != -ENOENT || ddo_sparse_open(&sparse, "sparse") != 0 ||
        ddo_sparse_columns(&sparse, COLUMNS - 1, 2, &part) != -EINVAL ||
        ddo_sparse_columns(&sparse, 7, 1, &part) != 0 || part.outer[0] != part.outer[1]) {
        return 2;
    }
    if (ddo_vector_open(&vector, "", DDO_FLOAT, 1, 0) != -EINVAL ||
        ddo_vector_open(&vector, "dense", DDO_FLOAT, 1, 0) != -EINVAL ||
        ddo_vector_open(&vector, "v", DDO_FLOAT, 5, 0) != 0 ||
        ddo_vector_add(&vector, 5, 1) != -EINVAL || ddo_vector_add(&vector, 4, 1.5) != 0 ||
        ddo_vector_floats(&vector)[4] != 1.5f || ddo_vector_doubles(&vector)) {
        return 3;
    }
    if (ddo_dict_open(&dict, "dict") != 0 || ddo_dict_get(&dict, "three", &len) || len != -ENOENT ||
        ddo_dict_get(&dict, long_key, &len) || len != -EINVAL ||
        ddo_dict_put(&dict, "empty", "", 0) != -EINVAL) {
        return 4;
    }
    /* Another sparse matrix under our name, damaged: found where it is used. */
    uint32_t bad[3] = {0, 5, 3}, rows[5] = {0};
    double ones[5] = {1, 1, 1, 1, 1};
    if (ddo_sparse_put("bad", 10, 2, bad, rows, ones) != 0 ||
        ddo_sparse_open(&sparse, "bad") != 0 ||
        ddo_sparse_columns(&sparse, 0, 2, &part) != -EINVAL) {
        return 5;
    }
    return 0;
}

static int32_t others(void)
{
    struct ddo_list list;
    struct ddo_dict dict;
    char got[16] = {0};
    int64_t len, now;
    if (ddo_list_open(&list, "list") != 0 || ddo_list_count(&list) != 10 ||
        ddo_list_get(&list, 7, got, 4) != 7 || memcmp(got, "0123\0", 5) != 0 ||
        ddo_list_get(&list, 10, got, 4) != -ENOENT) {
        return 1;
    }
    if (ddo_dict_open(&dict, "dict") != 0) {
        return 2;
    }
    const char *at = ddo_dict_get(&dict, "two", &len);
    if (!at || len != 6 || memcmp(at, "second", 6) != 0 ||
        ddo_dict_copy(&dict, "one", got, sizeof got) != 5 || memcmp(got, "first", 5) != 0 ||
        ddo_dict_refresh(&dict, "one") != 0 || ddo_dict_remove(&dict, "one") != 0 ||
        ddo_dict_copy(&dict, "one", got, sizeof got) != -ENOENT) {
        return 3;
    }
    if (ddo_counter_add("counter", 1, &now) != 0 || now != 42 ||
        ddo_counter_get("counter", &now) != 0 || now != 42) {
        return 4;
    }
    return ddo_list_clear(&list) == 0 && ddo_list_count(&list) == 0 ? 0 : 5;
}

FAASLET_MAIN
{
    char what[16] = {0};
    double out[2] = {0};
    faaslet_input(what, sizeof what - 1);
    int32_t rc = strcmp(what, "fill") == 0       ? fill()
                 : strcmp(what, "part") == 0     ? sums(250, 20, out)
                 : strcmp(what, "others") == 0   ? others()
                 : strcmp(what, "refusals") == 0 ? refusals()
                                                 : 99;
    faaslet_output(out, sizeof out);
    return rc < 0 ? -rc : rc;
}
