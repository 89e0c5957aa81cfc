/* Stochastic gradient descent without locks (HOGWILD): each call takes its examples from a sparse
 * matrix in state and corrects the shared weights. Input: a number, whose parity chooses the half
 * of the examples; two calls run at the same time. Least squares, whose solution is known. */
#include <faaslet.h>
#include <faaslet/matrix.h>
#include <faaslet/vector.h>

#define FEATURES 2000u
#define EXAMPLES 4000u
#define NON_ZEROS 5u

static uint32_t outer[EXAMPLES + 1], inner[EXAMPLES * NON_ZEROS];
static double values[EXAMPLES * NON_ZEROS];

static double truth(uint32_t feature)
{
    return (double)(feature % 21) / 10 - 1;
}

static int32_t generate(void)
{
    uint32_t seed = 12345;
    for (uint32_t i = 0; i <= EXAMPLES; i++) {
        outer[i] = i * NON_ZEROS;
    }
    for (uint32_t i = 0; i < EXAMPLES * NON_ZEROS; i++) {
        seed = seed * 1664525 + 1013904223;
        inner[i] = (i % NON_ZEROS) * (FEATURES / NON_ZEROS) + (seed >> 8) % (FEATURES / NON_ZEROS);
        values[i] = (double)(seed >> 20) / 4096 + 0.5;
    }
    return ddo_sparse_put("examples", FEATURES, EXAMPLES, outer, inner, values);
}

static int32_t train(uint32_t half)
{
    struct ddo_sparse examples;
    struct ddo_vector weights;
    int32_t rc = ddo_sparse_open(&examples, "examples");
    rc = rc ? rc : ddo_vector_open(&weights, "weights", DDO_DOUBLE, FEATURES, 500);
    double *w = rc ? NULL : ddo_vector_doubles(&weights);
    for (uint32_t epoch = 0; rc == 0 && epoch < 200; epoch++) {
        struct ddo_columns part;
        rc = ddo_sparse_columns(&examples, half * EXAMPLES / 2, EXAMPLES / 2, &part);
        for (uint32_t c = 0; rc == 0 && c < EXAMPLES / 2; c++) {
            double error = 0, norm = 0;
            const uint32_t from = part.outer[c] - part.outer[0];
            for (uint32_t i = from; i < from + NON_ZEROS; i++) {
                error += part.values[i] * (w[part.inner[i]] - truth(part.inner[i]));
                norm += part.values[i] * part.values[i];
            }
            for (uint32_t i = from; rc == 0 && i < from + NON_ZEROS; i++) {
                rc = ddo_vector_add(&weights, part.inner[i], -0.7 * error / norm * part.values[i]);
            }
        }
    }
    return rc ? rc : ddo_vector_push(&weights);
}

FAASLET_MAIN
{
    char what = 0;
    faaslet_input(&what, 1);
    int32_t rc = what == 'g' ? generate() : train((uint32_t)what & 1);
    return rc < 0 ? -rc : rc;
}
