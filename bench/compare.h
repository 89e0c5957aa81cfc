/* compare.h: variants of one program, run in rounds, compared by the time that they print.
 *
 * Each variant is a command whose output has a line "NAME cpu_ns CHECKSUM...". Every variant's
 * checksum must be that of the first variant, except where a variant says that it may round
 * otherwise. */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include "bench.h"

struct bench_variant {
    const char *name;
    char *argv[12];
    bool may_round; /* compare the rounded sum instead of the exact one */
};

struct bench_compare {
    size_t count;
    struct bench_variant variants[BENCH_VARIANTS_MAX];
    int64_t cpu_ns[BENCH_VARIANTS_MAX]; /* of the last round */
    double ratio[BENCH_VARIANTS_MAX];   /* to the first variant, in the last round */
};

/* Runs each variant once, in an order that rotates with `round`, and fills cpu_ns and ratio. */
void bench_compare_round(struct bench_compare *compare, int round);

#endif
