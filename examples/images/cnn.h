/* cnn.h: a small convolutional network for square images, for the function and for the native
 * program beside it.
 *
 *     image S x S x 3 -> conv 3x3, 8, ReLU -> max 2x2 -> conv 3x3, 16, ReLU -> max 2x2
 *                     -> mean over a grid of 4 x 4 -> dense, 10 classes
 *
 * Its weights come from a fixed seed, so it says nothing true of a picture: what is of interest is
 * where and when it runs. Sums are made in one order, so that the same scores come out of
 * WebAssembly and of a native program (-ffp-contract=off), to the bit. */
#ifndef CNN_H
#define CNN_H

#include <stdint.h>
#include <string.h>

#define CNN_SIDE_MAX 96u /* 32 or 96: what 16 divides */
#define CNN_IMAGE_BYTES_MAX (CNN_SIDE_MAX * CNN_SIDE_MAX * 3)
#define CNN_FIRST 8u
#define CNN_SECOND 16u
#define CNN_GRID 4u
#define CNN_CLASSES 10u

struct cnn {
    float first[9][3][CNN_FIRST], first_bias[CNN_FIRST];
    float second[9][CNN_FIRST][CNN_SECOND], second_bias[CNN_SECOND];
    float dense[CNN_GRID * CNN_GRID * CNN_SECOND][CNN_CLASSES], dense_bias[CNN_CLASSES];
};

/* What a call works in. */
struct cnn_scratch {
    float image[CNN_SIDE_MAX * CNN_SIDE_MAX * 3];
    float wide[CNN_SIDE_MAX * CNN_SIDE_MAX * CNN_FIRST];
    float half[CNN_SIDE_MAX / 2 * CNN_SIDE_MAX / 2 * CNN_FIRST];
    float wide2[CNN_SIDE_MAX / 2 * CNN_SIDE_MAX / 2 * CNN_SECOND];
    float quarter[CNN_SIDE_MAX / 4 * CNN_SIDE_MAX / 4 * CNN_SECOND];
};

static inline void cnn_fill(float *out, uint32_t count, float scale, uint32_t *state)
{
    for (uint32_t i = 0; i < count; i++) {
        *state = *state * 1664525u + 1013904223u;
        out[i] = ((float)(*state >> 8) / 8388608.0f - 1) * scale;
    }
}

static inline void cnn_init(struct cnn *cnn)
{
    uint32_t state = 20200715;
    cnn_fill(&cnn->first[0][0][0], sizeof cnn->first / 4, 0.4f, &state);
    cnn_fill(cnn->first_bias, CNN_FIRST, 0.1f, &state);
    cnn_fill(&cnn->second[0][0][0], sizeof cnn->second / 4, 0.2f, &state);
    cnn_fill(cnn->second_bias, CNN_SECOND, 0.1f, &state);
    cnn_fill(&cnn->dense[0][0], sizeof cnn->dense / 4, 0.2f, &state);
    cnn_fill(cnn->dense_bias, CNN_CLASSES, 0.1f, &state);
}

/* Both layers are this, with `in` and `out` channels known when it is compiled. */
#define CNN_CONVOLUTION(name, IN, OUT)                                                   \
    static inline void name(const float *in, float *out, uint32_t side,                  \
                            const float weights[9][IN][OUT], const float *bias)          \
    {                                                                                    \
        for (uint32_t y = 0; y < side; y++) {                                            \
            for (uint32_t x = 0; x < side; x++) {                                        \
                float sum[OUT];                                                          \
                memcpy(sum, bias, sizeof sum);                                           \
                for (uint32_t tap = 0; tap < 9; tap++) {                                 \
                    uint32_t from_y = y + tap / 3 - 1, from_x = x + tap % 3 - 1;         \
                    if (from_y >= side || from_x >= side) {                              \
                        continue; /* beyond the edge: zeros (also -1, which is large) */ \
                    }                                                                    \
                    const float *pixel = in + (from_y * side + from_x) * (IN);           \
                    for (uint32_t i = 0; i < (IN); i++) {                                \
                        for (uint32_t o = 0; o < (OUT); o++) {                           \
                            sum[o] += pixel[i] * weights[tap][i][o];                     \
                        }                                                                \
                    }                                                                    \
                }                                                                        \
                for (uint32_t o = 0; o < (OUT); o++) {                                   \
                    out[(y * side + x) * (OUT) + o] = sum[o] > 0 ? sum[o] : 0;           \
                }                                                                        \
            }                                                                            \
        }                                                                                \
    }

CNN_CONVOLUTION(cnn_convolve_first, 3, CNN_FIRST)
CNN_CONVOLUTION(cnn_convolve_second, CNN_FIRST, CNN_SECOND)

/* The largest of each 2 x 2; `side` of the result. */
static inline void cnn_pool(const float *in, float *out, uint32_t side, uint32_t channels)
{
    for (uint32_t y = 0; y < side; y++) {
        for (uint32_t x = 0; x < side; x++) {
            const float *a = in + (2 * y * 2 * side + 2 * x) * channels;
            const float *b = a + 2 * side * channels;
            for (uint32_t c = 0; c < channels; c++) {
                float up = a[c] > a[channels + c] ? a[c] : a[channels + c];
                float down = b[c] > b[channels + c] ? b[c] : b[channels + c];
                out[(y * side + x) * channels + c] = up > down ? up : down;
            }
        }
    }
}

/* `bytes` red, green, blue of each pixel, row by row. The class; scores of all in `scores`. -1: not
 * the size of an image. */
static inline int cnn_classify(const struct cnn *cnn, const uint8_t *pixels, uint32_t bytes,
                               struct cnn_scratch *scratch, float scores[CNN_CLASSES])
{
    uint32_t side = bytes == 32 * 32 * 3 ? 32 : bytes == 96 * 96 * 3 ? 96 : 0;
    if (side == 0) {
        return -1;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        scratch->image[i] = (float)pixels[i] / 255;
    }
    cnn_convolve_first(scratch->image, scratch->wide, side, cnn->first, cnn->first_bias);
    cnn_pool(scratch->wide, scratch->half, side / 2, CNN_FIRST);
    cnn_convolve_second(scratch->half, scratch->wide2, side / 2, cnn->second, cnn->second_bias);
    cnn_pool(scratch->wide2, scratch->quarter, side / 4, CNN_SECOND);
    memcpy(scores, cnn->dense_bias, sizeof cnn->dense_bias);
    const uint32_t quarter = side / 4, cell = quarter / CNN_GRID;
    for (uint32_t g = 0; g < CNN_GRID * CNN_GRID; g++) {
        for (uint32_t c = 0; c < CNN_SECOND; c++) {
            float sum = 0;
            for (uint32_t i = 0; i < cell * cell; i++) {
                uint32_t y = g / CNN_GRID * cell + i / cell, x = g % CNN_GRID * cell + i % cell;
                sum += scratch->quarter[(y * quarter + x) * CNN_SECOND + c];
            }
            sum /= (float)(cell * cell);
            for (uint32_t k = 0; k < CNN_CLASSES; k++) {
                scores[k] += sum * cnn->dense[g * CNN_SECOND + c][k];
            }
        }
    }
    int best = 0;
    for (uint32_t k = 1; k < CNN_CLASSES; k++) {
        best = scores[k] > scores[best] ? (int)k : best;
    }
    return best;
}

#endif
