/* training.h: what sgd.c is told: the input of each of its calls, little-endian as WebAssembly is.
 */
#ifndef TRAINING_H
#define TRAINING_H

#include <stdint.h>

enum training_what {
    TRAINING_GENERATE,      /* makes the examples; chains `workers` of: */
    TRAINING_GENERATE_PART, /* rows [from, to) */
    TRAINING_EPOCH,         /* one pass over the examples; chains: */
    TRAINING_WORK,
    TRAINING_LOSS, /* output: double, the mean hinge loss; chains: */
    TRAINING_LOSS_PART,
};

/* Each function gets a copy of its own from the global copy, into its own memory, and writes its
 * weights back in the same way: what functions in containers of their own have to do. */
#define TRAINING_PRIVATE 1u
#define TRAINING_NODES 2u /* several nodes work: each has its share of the weights */

struct training {
    uint32_t what, flags;
    uint64_t seed;
    uint32_t rows, workers, epoch;
    uint32_t push_every; /* examples between two pushes of the weights */
    uint32_t from, to;   /* rows of a part */
};

#endif
