/* sgd.c: training a linear classifier by many functions at once (HOGWILD: Recht et al., NIPS 2011),
 * the first experiment of the Faasm paper (section 6.2).
 *
 * The examples are a sparse matrix in state, an example a column; the weights are a vector that all
 * functions of a node change in one place, without locks, and push now and then, so that other
 * nodes see them. An epoch chains `workers` functions, each for a range of examples. Nothing is
 * copied: the examples and the weights are mapped into each function's memory.
 *
 * With TRAINING_PRIVATE the same is done without sharing, for comparison. README.md has the
 * commands. */
#include <errno.h>
#include <faaslet.h>
#include <faaslet/matrix.h>
#include <faaslet/vector.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "rcv1.h"
#include "training.h"

#define NAME "sgd" /* the function's own: it chains to itself by it */
#define WORKERS_MAX 256u
#define KEY(text) (text), (uint32_t)(sizeof(text) - 1)

static struct training job;

/* --- Chaining --- */

static uint32_t part_start(uint32_t part)
{
    return (uint32_t)((uint64_t)job.rows * part / job.workers);
}

/* Calls this function for each part, and adds up what they give. */
static int32_t chain_parts(uint32_t what, double *sum)
{
    static int64_t ids[WORKERS_MAX];
    int32_t rc = 0;
    *sum = 0;
    for (uint32_t i = 0; i < job.workers; i++) {
        struct training part = job;
        part.what = what;
        part.from = part_start(i);
        part.to = part_start(i + 1);
        ids[i] = faaslet_chain(KEY(NAME), &part, sizeof part);
        if (ids[i] < 0) {
            return (int32_t)ids[i];
        }
    }
    for (uint32_t i = 0; i < job.workers; i++) {
        double one = 0;
        int32_t code = faaslet_await(ids[i], UINT32_MAX);
        if (code == 0 && faaslet_chained_output(ids[i], 0, &one, sizeof one) > 0) {
            *sum += one;
        }
        rc = rc ? rc : code > 0 ? -code : code;
    }
    return rc;
}

/* --- Examples --- */

static int32_t publish(const char *key, uint32_t key_len, uint32_t offset, uint32_t len)
{
    int32_t rc = faaslet_state_dirty(key, key_len, offset, len);
    return rc < 0 ? rc : faaslet_state_push(key, key_len, offset, len);
}

/* A value of `size` bytes, of which [offset, offset + len) is to be written. */
static void *room(const char *key, uint32_t key_len, uint32_t size, uint32_t offset, uint32_t len,
                  int32_t *rc)
{
    *rc = *rc ? *rc : faaslet_state_create(key, key_len, size);
    void *at = *rc ? NULL : faaslet_state_map(key, key_len, offset, len, FAASLET_MAP_NO_PULL);
    *rc = *rc || at ? *rc : faaslet_state_map_error();
    return at;
}

static int32_t generate(void)
{
    uint32_t outer_bytes = (job.rows + 1) * 4;
    uint32_t shape[3] = {RCV1_FEATURES, job.rows, 0};
    int32_t rc = 0;
    double sum;
    uint32_t *outer = room(KEY("examples.outer"), outer_bytes, 0, outer_bytes, &rc);
    if (rc) {
        return rc;
    }
    outer[0] = 0;
    for (uint32_t row = 0; row < job.rows; row++) {
        outer[row + 1] = outer[row] + rcv1_row_length(job.seed, row);
    }
    shape[2] = outer[job.rows];
    if (shape[2] > DDO_MATRIX_BYTES_MAX / 8) {
        return -EFBIG;
    }
    rc = publish(KEY("examples.outer"), 0, outer_bytes);
    rc = rc ? rc : faaslet_state_write(KEY("examples.shape"), 0, shape, sizeof shape);
    rc = rc ? rc : faaslet_state_push(KEY("examples.shape"), 0, 0);
    return rc ? rc : chain_parts(TRAINING_GENERATE_PART, &sum);
}

static int32_t generate_part(void)
{
    struct ddo_sparse all;
    int32_t rc = ddo_sparse_open(&all, "examples");
    if (rc || job.from >= job.to) {
        return rc;
    }
    uint32_t first = all.outer[job.from], count = all.outer[job.to] - first;
    uint32_t *inner = room(KEY("examples.inner"), all.entries * 4, first * 4, count * 4, &rc);
    double *values = room(KEY("examples.values"), all.entries * 8, first * 8, count * 8, &rc);
    int8_t *labels = room(KEY("examples.labels"), job.rows, job.from, job.to - job.from, &rc);
    if (rc) {
        return rc;
    }
    for (uint32_t row = job.from; row < job.to; row++) {
        uint32_t at = all.outer[row] - first;
        labels[row - job.from] = (int8_t)rcv1_row(job.seed, row, inner + at, values + at);
    }
    rc = publish(KEY("examples.inner"), first * 4, count * 4);
    rc = rc ? rc : publish(KEY("examples.values"), first * 8, count * 8);
    return rc ? rc : publish(KEY("examples.labels"), job.from, job.to - job.from);
}

/* A range of examples, wherever it lies. */
struct part {
    uint32_t count;
    const uint32_t *outer; /* counted over the whole matrix */
    const uint32_t *inner;
    const double *values;
    const int8_t *labels;
};

static int32_t map_part(struct part *part)
{
    struct ddo_sparse all;
    struct ddo_columns columns;
    int32_t rc = ddo_sparse_open(&all, "examples");
    rc = rc ? rc : ddo_sparse_columns(&all, job.from, job.to - job.from, &columns);
    if (rc) {
        return rc;
    }
    part->count = columns.count;
    part->outer = columns.outer;
    part->inner = columns.inner;
    part->values = columns.values;
    part->labels = faaslet_state_map(KEY("examples.labels"), job.from, job.to - job.from,
                                     FAASLET_MAP_READ_ONLY);
    return part->labels ? 0 : faaslet_state_map_error();
}

/* [offset, offset + len) of the global copy, in memory of this call's own. */
static void *fetch(const char *key, uint32_t key_len, uint32_t offset, uint32_t len, int32_t *rc)
{
    void *own = *rc ? NULL : malloc(len);
    *rc = *rc ? *rc : own ? 0 : -ENOMEM;
    *rc = *rc ? *rc : faaslet_state_pull(key, key_len, offset, len);
    if (*rc == 0) {
        int32_t got = faaslet_state_read(key, key_len, offset, own, len);
        *rc = got == (int32_t)len ? 0 : got < 0 ? got : -EIO;
    }
    return own;
}

static int32_t fetch_part(struct part *part)
{
    int32_t rc = 0;
    part->count = job.to - job.from;
    part->outer = fetch(KEY("examples.outer"), job.from * 4, (part->count + 1) * 4, &rc);
    if (rc) {
        return rc;
    }
    uint32_t first = part->outer[0], count = part->outer[part->count] - first;
    part->inner = fetch(KEY("examples.inner"), first * 4, count * 4, &rc);
    part->values = fetch(KEY("examples.values"), first * 8, count * 8, &rc);
    part->labels = fetch(KEY("examples.labels"), job.from, part->count, &rc);
    return rc;
}

static int32_t get_part(struct part *part)
{
    if (job.from >= job.to || job.to > job.rows) {
        return -EINVAL;
    }
    return job.flags & TRAINING_PRIVATE ? fetch_part(part) : map_part(part);
}

/* --- Weights --- */

/* Shared: `vector` and its numbers. Private: numbers and marks of this call's own. */
struct weights {
    struct ddo_vector vector;
    double *numbers;
    uint8_t *changed;
};

/* What other nodes have pushed; on one node there is nothing to be had. A pull undoes what others
 * of this node are changing, so it is made once in an epoch, by the first of its functions here,
 * while the rest wait: everything has been pushed then. "weights.epoch" is never pushed: each node
 * has its own. */
static int32_t pull_weights(struct weights *weights)
{
    int32_t rc = faaslet_state_create(KEY("weights.epoch"), 4);
    uint32_t *seen = rc ? NULL : faaslet_state_map(KEY("weights.epoch"), 0, 4, 0);
    if (!seen) {
        return rc ? rc : faaslet_state_map_error();
    }
    rc = faaslet_state_lock(KEY("weights.epoch"), FAASLET_LOCK_WRITE, UINT32_MAX);
    if (rc) {
        return rc;
    }
    const uint32_t turn = 2 * job.epoch + (job.what == TRAINING_WORK ? 1 : 2);
    if (*seen != turn) {
        rc = ddo_vector_pull(&weights->vector);
        rc = rc == -ENOENT ? 0 : rc; /* nobody has pushed yet */
        *seen = turn;
    }
    int32_t unlocked = faaslet_state_unlock(KEY("weights.epoch"));
    return rc ? rc : unlocked;
}

static int32_t open_weights(struct weights *weights)
{
    const uint32_t bytes = RCV1_FEATURES * 8;
    int32_t rc = 0;
    if (job.flags & TRAINING_PRIVATE) {
        rc = faaslet_state_create(KEY("weights"), bytes);
        if (rc == 0 && job.epoch == 0) {
            rc = faaslet_state_push(KEY("weights"), 0, 0);
        }
        weights->numbers = malloc(bytes);
        weights->changed = calloc(RCV1_FEATURES, 1);
        if (rc == 0 && (!weights->numbers || !weights->changed)) {
            rc = -ENOMEM;
        }
        if (rc == 0 && (rc = faaslet_state_pull(KEY("weights"), 0, 0)) == -ENOENT) {
            rc = 0; /* nobody has pushed yet: zeros */
        }
        rc = rc ? rc : faaslet_state_read(KEY("weights"), 0, weights->numbers, bytes);
        return rc < 0 ? rc : 0;
    }
    rc = ddo_vector_open(&weights->vector, "weights", DDO_DOUBLE, RCV1_FEATURES, 0);
    weights->numbers = rc ? NULL : ddo_vector_doubles(&weights->vector);
    return rc || !(job.flags & TRAINING_NODES) ? rc : pull_weights(weights);
}

static int32_t push_weights(struct weights *weights)
{
    if (!(job.flags & TRAINING_PRIVATE)) {
        return ddo_vector_push(&weights->vector);
    }
    int32_t rc = 0;
    for (uint32_t i = 0; i < RCV1_FEATURES && rc == 0;) {
        uint32_t from = i;
        while (i < RCV1_FEATURES && weights->changed[i]) {
            weights->changed[i++] = 0;
        }
        if (i > from) {
            rc = faaslet_state_write(KEY("weights"), from * 8, weights->numbers + from,
                                     (i - from) * 8);
        } else {
            i++;
        }
    }
    rc = rc ? rc : faaslet_state_push(KEY("weights"), 0, 0);
    /* What others have pushed meanwhile. */
    rc = rc ? rc : faaslet_state_pull(KEY("weights"), 0, 0);
    rc = rc ? rc : faaslet_state_read(KEY("weights"), 0, weights->numbers, RCV1_FEATURES * 8);
    return rc < 0 ? rc : 0;
}

static int32_t work(void)
{
    struct weights weights = {0};
    struct part part;
    int32_t rc = get_part(&part);
    rc = rc ? rc : open_weights(&weights);
    const bool shared = !(job.flags & TRAINING_PRIVATE);
    const double rate = rcv1_rate(job.epoch);
    for (uint32_t i = 0, due = job.push_every; rc == 0 && i < part.count; i++) {
        uint32_t at = part.outer[i] - part.outer[0], count = part.outer[i + 1] - part.outer[i];
        const uint32_t *features = part.inner + at;
        const double *values = part.values + at;
        double label = part.labels[i], *w = weights.numbers;
        if (label * rcv1_margin(w, features, values, count) < 1) {
            double step = rate * label;
            for (uint32_t j = 0; j < count; j++) {
                w[features[j]] += step * values[j];
                if (shared) {
                    ddo_vector_touch(&weights.vector, features[j]);
                } else {
                    weights.changed[features[j]] = 1;
                }
            }
        }
        if (--due == 0) {
            due = job.push_every;
            rc = push_weights(&weights);
        }
    }
    return rc ? rc : push_weights(&weights);
}

static int32_t loss_part(void)
{
    struct weights weights = {0};
    struct part part;
    double sum = 0;
    int32_t rc = get_part(&part);
    rc = rc ? rc : open_weights(&weights);
    for (uint32_t i = 0; rc == 0 && i < part.count; i++) {
        uint32_t at = part.outer[i] - part.outer[0], count = part.outer[i + 1] - part.outer[i];
        sum += rcv1_hinge(part.labels[i] *
                          rcv1_margin(weights.numbers, part.inner + at, part.values + at, count));
    }
    return rc ? rc : faaslet_output(&sum, sizeof sum);
}

FAASLET_MAIN
{
    double sum = 0;
    int32_t rc = -EINVAL;
    if (faaslet_input_size() != sizeof job || faaslet_input(&job, sizeof job) != sizeof job ||
        job.rows == 0 || job.workers == 0 || job.workers > WORKERS_MAX || job.push_every == 0) {
        return EINVAL;
    }
    switch ((enum training_what)job.what) {
    case TRAINING_GENERATE: rc = generate(); break;
    case TRAINING_GENERATE_PART: rc = generate_part(); break;
    case TRAINING_EPOCH: rc = chain_parts(TRAINING_WORK, &sum); break;
    case TRAINING_WORK: rc = work(); break;
    case TRAINING_LOSS:
        rc = chain_parts(TRAINING_LOSS_PART, &sum);
        sum /= job.rows;
        rc = rc ? rc : faaslet_output(&sum, sizeof sum);
        break;
    case TRAINING_LOSS_PART: rc = loss_part(); break;
    }
    return rc < 0 ? -rc : rc;
}
