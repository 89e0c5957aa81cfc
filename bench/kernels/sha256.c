/* SHA-256 (FIPS 180-4) of 8 MiB, portable code. */
#define KERNEL_NAME "sha256"
#include "kernel.h"

#define BYTES (8u << 20)
static unsigned char message[BYTES];
static uint32_t hash[8];

static uint32_t round_constants[64];

/* The first 32 bits of the fractional parts of the roots of the first primes, found by integer
 * search, so that the constants need not be taken on trust. */
static uint32_t root_fraction(uint32_t prime, int power)
{
    uint64_t low = 0, high = UINT64_C(1) << 36;
    while (high - low > 1) {
        uint64_t mid = low + (high - low) / 2;
        unsigned __int128 product = (unsigned __int128)mid * mid; /* mid scaled by 2^32 */
        unsigned __int128 target = (unsigned __int128)prime << 64;
        if (power == 3) {
            product = (product >> 32) * mid; /* truncation moves the root by far less than 2^-32 */
        }
        if (product <= target) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return (uint32_t)low;
}

static void kernel_init(void)
{
    int found = 0;
    for (uint32_t n = 2; found < 64; n++) {
        uint32_t d = 2;
        while (d * d <= n && n % d != 0) {
            d++;
        }
        if (d * d > n) {
            if (found < 8) {
                hash[found] = root_fraction(n, 2);
            }
            round_constants[found++] = root_fraction(n, 3);
        }
    }
    for (uint32_t i = 0; i < BYTES; i++) {
        message[i] = (unsigned char)(i * 31 + (i >> 8));
    }
}

static inline uint32_t rotr(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

NOINLINE static void block(const unsigned char *bytes)
{
    uint32_t w[64];
    for (int i = 0; i < 16; i++) {
        w[i] = (uint32_t)bytes[4 * i] << 24 | (uint32_t)bytes[4 * i + 1] << 16 |
               (uint32_t)bytes[4 * i + 2] << 8 | bytes[4 * i + 3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3];
    uint32_t e = hash[4], f = hash[5], g = hash[6], h = hash[7];
    for (int i = 0; i < 64; i++) {
        uint32_t s1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
        uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + round_constants[i] + w[i];
        uint32_t s0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
        uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    hash[0] += a;
    hash[1] += b;
    hash[2] += c;
    hash[3] += d;
    hash[4] += e;
    hash[5] += f;
    hash[6] += g;
    hash[7] += h;
}

NOINLINE static void kernel_run(void)
{
    for (uint32_t at = 0; at < BYTES; at += 64) {
        block(message + at);
    }
    unsigned char last[64] = {0x80};
    uint64_t bits = (uint64_t)BYTES * 8;
    for (int i = 0; i < 8; i++) {
        last[56 + i] = (unsigned char)(bits >> (56 - 8 * i));
    }
    block(last);
}

static void kernel_sum(struct kernel_sum *sum)
{
    for (int i = 0; i < 8; i++) {
        sum_int(sum, hash[i]);
    }
}
