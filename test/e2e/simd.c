/* 128-bit vectors next to the same sums in scalar code: prints "fine" and a checksum, or what
 * differs. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <wasm_simd128.h>

#define N 4096
static float a[N], b[N], c[N], d[N];
static uint8_t text[N], upper[N];

static uint32_t rng = 12345;
static uint32_t next(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 17;
    rng ^= rng << 5;
    return rng;
}

int main(void)
{
    for (int i = 0; i < N; i++) {
        a[i] = (float)(next() % 1000) / 8;
        b[i] = (float)(next() % 1000) / 16 - 30;
        text[i] = (uint8_t)next();
    }
    for (int i = 0; i < N; i += 4) {
        v128_t x = wasm_v128_load(a + i), y = wasm_v128_load(b + i);
        v128_t z = wasm_f32x4_add(wasm_f32x4_mul(x, y), wasm_f32x4_max(x, y));
        z = wasm_v128_bitselect(z, wasm_f32x4_neg(z), wasm_f32x4_gt(z, wasm_f32x4_splat(0)));
        wasm_v128_store(c + i, wasm_f32x4_sqrt(z));
    }
    for (int i = 0; i < N; i++) {
        volatile float product = a[i] * b[i];
        float z = product + (a[i] > b[i] ? a[i] : b[i]);
        d[i] = __builtin_sqrtf(z > 0 ? z : -z);
    }
    if (memcmp(c, d, sizeof c) != 0) {
        puts("float lanes differ");
        return 1;
    }
    /* Upper case, 16 letters at a time; then a saturating and a widening sum. */
    v128_t total = wasm_i32x4_splat(0);
    uint32_t scalar_total = 0;
    for (int i = 0; i < N; i += 16) {
        v128_t x = wasm_v128_load(text + i);
        v128_t small = wasm_v128_and(wasm_u8x16_ge(x, wasm_u8x16_splat('a')),
                                     wasm_u8x16_le(x, wasm_u8x16_splat('z')));
        x = wasm_i8x16_sub(x, wasm_v128_and(small, wasm_u8x16_splat(32)));
        x = wasm_u8x16_add_sat(x, wasm_u8x16_splat(7));
        x = wasm_i8x16_shuffle(x, x, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        wasm_v128_store(upper + i, x);
        v128_t wide =
            wasm_i16x8_add(wasm_u16x8_extend_low_u8x16(x), wasm_u16x8_extend_high_u8x16(x));
        total = wasm_i32x4_add(total, wasm_i32x4_dot_i16x8(wide, wasm_i16x8_splat(3)));
    }
    for (int i = 0; i < N; i++) {
        uint8_t x = text[i];
        x = x >= 'a' && x <= 'z' ? x - 32 : x;
        x = x + 7 > 255 ? 255 : x + 7;
        if (upper[i / 16 * 16 + 15 - i % 16] != x) {
            printf("byte lane %d differs\n", i);
            return 1;
        }
        scalar_total += 3u * x;
    }
    uint32_t vector_total =
        (uint32_t)(wasm_i32x4_extract_lane(total, 0) + wasm_i32x4_extract_lane(total, 1) +
                   wasm_i32x4_extract_lane(total, 2) + wasm_i32x4_extract_lane(total, 3));
    if (vector_total != scalar_total) {
        puts("sums differ");
        return 1;
    }
    printf("fine %u\n", vector_total);
    return 0;
}
