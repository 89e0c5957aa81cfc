/* rcv1.h: examples of the shape of RCV1, generated: for the function and for the native programs
 * beside it, which must see the same numbers.
 *
 * RCV1 (Lewis et al., JMLR 2004; the training set of the Faasm paper, figure 6) is news articles as
 * vectors of 47,236 features, about 76 of them not zero, each vector of length 1; few features are
 * in many articles, most are in few. Here feature f is drawn as 47,236 * u^3 with u uniform, so
 * that its popularity falls with f^(-2/3); a label is the sign of the product with hidden weights,
 * one in twenty turned round.
 *
 * Any row can be made without the others, of (seed, row) alone. Only +, *, / and sqrt on doubles,
 * whose results IEEE 754 fixes: the same bits in WebAssembly and natively, if the native compiler
 * is kept from fusing (-ffp-contract=off). */
#ifndef RCV1_H
#define RCV1_H

#include <stdint.h>

#define RCV1_FEATURES 47236u
#define RCV1_ROW_MIN 52u
#define RCV1_ROW_SPREAD 49u /* 52 to 100 in a row: 76 on average */
#define RCV1_ROW_MAX (RCV1_ROW_MIN + RCV1_ROW_SPREAD - 1)

/* splitmix64, of a counter. */
static inline uint64_t rcv1_mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline double rcv1_unit(uint64_t random) /* [0, 1) */
{
    return (double)(random >> 11) * (1.0 / 9007199254740992.0);
}

static inline uint32_t rcv1_row_length(uint64_t seed, uint32_t row)
{
    return RCV1_ROW_MIN + (uint32_t)(rcv1_mix(seed * 31 + row) % RCV1_ROW_SPREAD);
}

/* Fills row `row`: features ascending and distinct, values; returns its label, 1 or -1. */
static inline double rcv1_row(uint64_t seed, uint32_t row, uint32_t *features, double *values)
{
    uint32_t count = rcv1_row_length(seed, row);
    uint64_t state = rcv1_mix(seed ^ (uint64_t)row << 20);
    double squares = 0, product = 0;
    for (uint32_t i = 0; i < count; i++) {
        double u = rcv1_unit(rcv1_mix(state + i));
        uint32_t feature = (uint32_t)(RCV1_FEATURES * (u * u * u));
        uint32_t at = i;
        while (at > 0 && features[at - 1] > feature) {
            features[at] = features[at - 1];
            at--;
        }
        features[at] = feature;
    }
    /* What was drawn twice moves up; what then lies beyond the end moves down. */
    for (uint32_t i = 1; i < count; i++) {
        if (features[i] <= features[i - 1]) {
            features[i] = features[i - 1] + 1;
        }
    }
    for (uint32_t i = count, most = RCV1_FEATURES - 1; i-- > 0 && features[i] > most; most--) {
        features[i] = most;
    }
    for (uint32_t i = 0; i < count; i++) {
        /* The rarer, the heavier, as with inverse document frequencies. */
        values[i] =
            (0.2 + rcv1_unit(rcv1_mix(state + 1000 + i))) * (1 + 4.0 * features[i] / RCV1_FEATURES);
        squares += values[i] * values[i];
    }
    double scale = 1 / __builtin_sqrt(squares);
    for (uint32_t i = 0; i < count; i++) {
        values[i] *= scale;
        product += values[i] * (rcv1_unit(rcv1_mix(features[i] * UINT64_C(7919) + seed)) - 0.5);
    }
    double label = product < 0 ? -1 : 1;
    return rcv1_mix(state + 5000) % 20 == 0 ? -label : label;
}

/* --- One step of stochastic gradient descent, and the loss --- */

static inline double rcv1_margin(const double *weights, const uint32_t *features,
                                 const double *values, uint32_t count)
{
    double product = 0;
    for (uint32_t i = 0; i < count; i++) {
        product += values[i] * weights[features[i]];
    }
    return product;
}

static inline double rcv1_hinge(double margin)
{
    return margin < 1 ? 1 - margin : 0;
}

/* The step's length: 0.1 in the first epoch as in the paper's program, less in later ones. */
static inline double rcv1_rate(uint32_t epoch)
{
    double rate = 0.1;
    while (epoch-- > 0) {
        rate *= 0.8;
    }
    return rate;
}

#endif
