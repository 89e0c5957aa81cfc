/* classify.c: says what is on an image (Faasm paper, section 6.3). The network is made once, when
 * the function is uploaded, and is part of its Proto-Faaslet: a cold start finds it in memory.
 *
 * Input: 32 x 32 or 96 x 96 pixels, red, green, blue. Output: the class and its score. README.md
 * has the commands. */
#include <errno.h>
#include <faaslet.h>
#include <stdio.h>

#include "cnn.h"

static struct cnn cnn;
static struct cnn_scratch scratch;

FAASLET_INIT
{
    cnn_init(&cnn);
    return 0;
}

FAASLET_MAIN
{
    static uint8_t pixels[CNN_IMAGE_BYTES_MAX];
    float scores[CNN_CLASSES];
    char text[32];
    int best = -1;
    if (faaslet_input_size() <= sizeof pixels) {
        best = cnn_classify(&cnn, pixels, (uint32_t)faaslet_input(pixels, sizeof pixels), &scratch,
                            scores);
    }
    if (best < 0) {
        return EINVAL;
    }
    int len = snprintf(text, sizeof text, "%d %.6f\n", best, (double)scores[best]);
    return faaslet_output(text, (uint32_t)len);
}
