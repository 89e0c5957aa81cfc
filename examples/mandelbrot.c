/* mandelbrot.c [WIDTH [STEPS]]: a set drawn in letters, four points at a time with 128-bit vectors.
 *
 *     wardmote build -O3 examples/mandelbrot.c -o mandelbrot.wasm
 *     wardmote run mandelbrot.wasm 100
 *
 * The vector type is the compiler's own, so that the same file is also a native program: gcc -O3.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef float floats __attribute__((vector_size(16)));
typedef int32_t ints __attribute__((vector_size(16)));

static ints iterate(floats cx, floats cy, int steps)
{
    floats x = cx, y = cy;
    ints count = {0};
    for (int i = 0; i < steps; i++) {
        floats xx = x * x, yy = y * y;
        ints inside = xx + yy < 4.0f; /* -1 where true */
        count -= inside;
        if ((inside[0] | inside[1] | inside[2] | inside[3]) == 0) {
            break;
        }
        y = 2.0f * x * y + cy;
        x = xx - yy + cx;
    }
    return count;
}

int main(int argc, char **argv)
{
    int width = argc > 1 ? atoi(argv[1]) : 76;
    int steps = argc > 2 ? atoi(argv[2]) : 1000;
    static const char letters[] = " .,:;-=+*#%@";
    if (width < 8 || width > 4000 || steps < 1) {
        fputs("usage: mandelbrot [WIDTH [STEPS]], WIDTH 8 to 4000\n", stderr);
        return 2;
    }
    int height = width * 5 / 16;
    uint64_t total = 0;
    for (int row = 0; row < height; row++) {
        float y = -1.2f + 2.4f * (float)row / (float)height;
        for (int column = 0; column < width; column += 4) {
            floats cx, cy = {y, y, y, y};
            for (int lane = 0; lane < 4; lane++) {
                cx[lane] = -2.2f + 3.2f * (float)(column + lane) / (float)width;
            }
            ints count = iterate(cx, cy, steps);
            for (int lane = 0; lane < 4 && column + lane < width; lane++) {
                int n = count[lane];
                total += (uint64_t)n;
                if (width <= 200) {
                    putchar(n >= steps ? letters[11] : letters[n < 22 ? n / 2 : 10]);
                }
            }
        }
        if (width <= 200) {
            putchar('\n');
        }
    }
    printf("%llu steps\n", (unsigned long long)total);
    return 0;
}
