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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rcv1.h"
#include "training.h"

#define NAME "sgd" /* the function's own: it chains to itself by it */
#define WORKERS_MAX 256u
#define KEY(text) (text), (uint32_t)(sizeof(text) - 1)

static struct training job;

static int32_t generate_part(void);

/* As a call of its own: see chain_parts. */
static int32_t generate_called(void)
{
    return faaslet_input(&job, sizeof job) == sizeof job ? -generate_part() : EINVAL;
}

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
        /* The examples are made on one node: parts of several would lie in one chunk of state, of
         * which another node may have pulled a state in between. */
        ids[i] = what == TRAINING_GENERATE_PART
                     ? faaslet_chain_this(generate_called, &part, sizeof part)
                     : faaslet_chain(KEY(NAME), &part, sizeof part);
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

/* --- Weights ---
 *
 * One node: everybody adds to the vector "weights" in place, marks what was changed, and pushes
 * that now and then.
 *
 * Several nodes: if all pushed the same vector, the later push of a number would replace what
 * another node has added to it meanwhile. So each node has a vector of its own, "weights.I", of
 * what its functions have added, and the weights are the sum of all. "weights.view" is that sum as
 * this node knows it, and "weights.others" the others' part of it; neither is ever pushed.
 * Functions add to the view and to their node's vector in place. After each push, and by the first
 * function of an epoch, what the others have pushed since is added to the view.
 *
 * Private: numbers and marks of this call's own. */
struct weights {
    struct ddo_vector vector;
    double *numbers; /* to read, and to add to */
    double *own;     /* to add to as well; NULL: there is nothing else */
    uint8_t *changed;
    uint32_t trained; /* examples since the last push */
};

/* In "weights.node", which is never pushed: each node has its own. */
struct node {
    uint32_t number;  /* from 1; 0: not known yet */
    uint32_t turn;    /* for which the view was made */
    uint32_t trained; /* examples since others' were last looked for */
};

#define WEIGHTS_BYTES (RCV1_FEATURES * 8)

static void name_weights(char out[32], uint32_t number)
{
    snprintf(out, 32, "weights.%u", number);
}

/* Adds what other nodes have pushed since the last time. anew: nobody here works on the view now,
 * and it is made of the node's own vector and of theirs, so that sums which met do not drift apart.
 * With the node's lock held. */
static int32_t add_others(const struct node *node, struct weights *weights, bool anew)
{
    double *view = weights->numbers;
    static double sum[RCV1_FEATURES];
    int64_t nodes = 0;
    int32_t rc = faaslet_state_create(KEY("weights.others"), WEIGHTS_BYTES);
    double *known = rc ? NULL : faaslet_state_map(KEY("weights.others"), 0, WEIGHTS_BYTES, 0);
    rc = rc || known ? rc : faaslet_state_map_error();
    rc = rc ? rc : faaslet_state_add(KEY("weights.nodes"), 0, &nodes);
    if (rc == 0 && anew) {
        memcpy(view, weights->own, WEIGHTS_BYTES);
        memset(known, 0, WEIGHTS_BYTES);
    }
    memset(sum, 0, sizeof sum);
    for (uint32_t number = 1; rc == 0 && number <= nodes; number++) {
        char key[32];
        name_weights(key, number);
        uint32_t key_len = (uint32_t)strlen(key);
        if (number == node->number ||
            (rc = faaslet_state_pull(key, key_len, 0, 0)) == -ENOENT) { /* nothing pushed yet */
            rc = 0;
            continue;
        }
        const double *theirs =
            rc ? NULL : faaslet_state_map(key, key_len, 0, WEIGHTS_BYTES, FAASLET_MAP_READ_ONLY);
        rc = rc || theirs ? rc : faaslet_state_map_error();
        for (uint32_t i = 0; rc == 0 && i < RCV1_FEATURES; i++) {
            sum[i] += theirs[i];
        }
    }
    for (uint32_t i = 0; rc == 0 && i < RCV1_FEATURES; i++) {
        view[i] += sum[i] - known[i];
        known[i] = sum[i];
    }
    return rc;
}

/* With the node's lock held. */
static int32_t open_share(struct weights *weights, struct node *node)
{
    const uint32_t turn = 2 * job.epoch + (job.what == TRAINING_WORK ? 1 : 2);
    char key[32];
    int32_t rc = 0;
    if (node->number == 0) {
        int64_t number = 0;
        rc = faaslet_state_add(KEY("weights.nodes"), 1, &number);
        node->number = rc ? 0 : (uint32_t)number;
    }
    name_weights(key, node->number);
    rc = rc ? rc : ddo_vector_open(&weights->vector, key, DDO_DOUBLE, RCV1_FEATURES, 0);
    rc = rc ? rc : faaslet_state_create(KEY("weights.view"), WEIGHTS_BYTES);
    weights->numbers = rc ? NULL : faaslet_state_map(KEY("weights.view"), 0, WEIGHTS_BYTES, 0);
    rc = rc || weights->numbers ? rc : faaslet_state_map_error();
    weights->own = rc ? NULL : ddo_vector_doubles(&weights->vector);
    if (rc == 0 && node->turn != turn) {
        rc = add_others(node, weights, true);
        node->turn = rc ? 0 : turn;
    }
    return rc;
}

/* Opens them, or (again) adds what others have pushed, when enough was trained here since. */
static int32_t with_node(struct weights *weights, bool again)
{
    int32_t rc = faaslet_state_create(KEY("weights.node"), sizeof(struct node));
    struct node *node =
        rc ? NULL : faaslet_state_map(KEY("weights.node"), 0, sizeof(struct node), 0);
    rc = rc || node ? rc : faaslet_state_map_error();
    rc = rc ? rc : faaslet_state_lock(KEY("weights.node"), FAASLET_LOCK_WRITE, UINT32_MAX);
    if (rc == 0) {
        node->trained += weights->trained;
        weights->trained = 0;
        if (!again) {
            rc = open_share(weights, node);
        } else if (node->trained >= job.push_every) {
            node->trained = 0;
            rc = add_others(node, weights, false);
        }
        int32_t unlocked = faaslet_state_unlock(KEY("weights.node"));
        rc = rc ? rc : unlocked;
    }
    return rc;
}

static int32_t open_private(struct weights *weights)
{
    int32_t rc = faaslet_state_create(KEY("weights"), WEIGHTS_BYTES);
    weights->numbers = malloc(WEIGHTS_BYTES);
    weights->changed = calloc(RCV1_FEATURES, 1);
    if (rc == 0 && (!weights->numbers || !weights->changed)) {
        rc = -ENOMEM;
    }
    if (rc == 0 && (rc = faaslet_state_pull(KEY("weights"), 0, 0)) == -ENOENT) {
        rc = 0; /* nobody has pushed yet: zeros */
    }
    rc = rc ? rc : faaslet_state_read(KEY("weights"), 0, weights->numbers, WEIGHTS_BYTES);
    return rc < 0 ? rc : 0;
}

static int32_t open_weights(struct weights *weights)
{
    if (job.flags & TRAINING_PRIVATE) {
        return open_private(weights);
    }
    if (job.flags & TRAINING_NODES) {
        return with_node(weights, false);
    }
    int32_t rc = ddo_vector_open(&weights->vector, "weights", DDO_DOUBLE, RCV1_FEATURES, 0);
    weights->numbers = rc ? NULL : ddo_vector_doubles(&weights->vector);
    return rc;
}

static int32_t push_weights(struct weights *weights)
{
    if (!(job.flags & TRAINING_PRIVATE)) {
        int32_t pushed = ddo_vector_push(&weights->vector);
        return pushed || !weights->own ? pushed : with_node(weights, true);
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
    rc = rc ? rc : faaslet_state_read(KEY("weights"), 0, weights->numbers, WEIGHTS_BYTES);
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
                if (weights.own) {
                    weights.own[features[j]] += step * values[j];
                }
                if (shared) {
                    ddo_vector_touch(&weights.vector, features[j]);
                } else {
                    weights.changed[features[j]] = 1;
                }
            }
        }
        weights.trained++;
        if (--due == 0) {
            due = job.push_every;
            rc = push_weights(&weights);
        }
    }
    /* On one node all see the same replica: the epoch pushes it once, at its end. */
    return rc || job.flags == 0 ? rc : push_weights(&weights);
}

static int32_t epoch(void)
{
    struct weights weights = {0};
    double sum;
    int32_t rc = chain_parts(TRAINING_WORK, &sum);
    if (rc || job.flags != 0) {
        return rc;
    }
    rc = open_weights(&weights);
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
    case TRAINING_EPOCH: rc = epoch(); break;
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
