/* crypto.c: what eight signatures at once save: verifications for a second of processor time, by
 * sign_batch's IFMA path and by libsodium, on one core.
 *
 * 64 signatures of as many keys, over messages of 200 to 299 bytes, as requests to a ledger are.
 * One round checks all of them each way, the order changing from round to round; thread CPU time.
 * Of a batch of one, which leaves seven lanes idle, there is a figure, too: from how many on the
 * lanes pay. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "crypto/sign_batch.h"

#define COUNT 64u
#define BYTES_MIN 200u
#define BYTES_MAX 300u

static uint8_t public_keys[COUNT][SIGN_PUBLIC_BYTES], signatures[COUNT][SIGN_SIGNATURE_BYTES];
static uint8_t messages[COUNT][BYTES_MAX];
static struct sign_item items[COUNT];

static void make_signatures(void)
{
    for (size_t i = 0; i < COUNT; i++) {
        uint8_t seed[SIGN_SEED_BYTES] = {(uint8_t)i, 'b'};
        struct sign_key key;
        size_t len = BYTES_MIN + i * (BYTES_MAX - BYTES_MIN) / COUNT;
        memset(messages[i], (int)i, sizeof messages[i]);
        sign_key_init(&key, seed);
        sign_bytes(&key, wm_view_of(messages[i], len), signatures[i]);
        memcpy(public_keys[i], key.public_key, sizeof public_keys[i]);
        sign_key_fini(&key);
        items[i] =
            (struct sign_item){public_keys[i], wm_view_of(messages[i], len), signatures[i], false};
    }
}

/* Microseconds for each of COUNT signatures, `batch` at a time. */
static double verify_us(enum sign_path path, size_t batch)
{
    int64_t start = bench_now_ns(BENCH_THREAD_CPU);
    for (size_t i = 0; i < COUNT; i += batch) {
        if (!sign_verify_batch_by(path, &items[i], batch)) {
            bench_die("the path is gone");
        }
    }
    int64_t end = bench_now_ns(BENCH_THREAD_CPU);
    for (size_t i = 0; i < COUNT; i++) {
        if (!items[i].valid) {
            bench_die("a genuine signature was refused");
        }
        items[i].valid = false;
    }
    return (double)(end - start) / 1e3 / COUNT;
}

int main(int argc, char **argv)
{
    enum { IFMA, LIBSODIUM, SINGLE, VARIANTS };
    static double us[VARIANTS][BENCH_ROUNDS_MAX], ratios[BENCH_ROUNDS_MAX];
    struct bench_config config = bench_start(argc, argv, 401);
    if (strcmp(sign_batch_path(), "ifma") != 0) {
        printf("crypto: this processor has no AVX-512 IFMA: its figures are left out\n");
        return 0;
    }
    make_signatures();
    for (int i = -5; i < config.rounds; i++) { /* the first five only warm up */
        double now_us[VARIANTS];
        for (int turn = 0; turn < VARIANTS; turn++) {
            int variant = (i + 5 + turn) % VARIANTS;
            now_us[variant] = verify_us(variant == LIBSODIUM ? SIGN_PATH_LIBSODIUM : SIGN_PATH_IFMA,
                                        variant == SINGLE ? 1 : COUNT);
        }
        for (int variant = 0; i >= 0 && variant < VARIANTS; variant++) {
            us[variant][i] = now_us[variant];
        }
        if (i >= 0) {
            ratios[i] = now_us[LIBSODIUM] / now_us[IFMA];
        }
    }
    struct bench_stat stat[VARIANTS], ratio = bench_stat(ratios, (size_t)config.rounds);
    for (int variant = 0; variant < VARIANTS; variant++) {
        stat[variant] = bench_stat(us[variant], (size_t)config.rounds);
    }
    struct bench_figure figures[] = {
        {.name = "crypto.ed25519_batch_ratio",
         .value = ratio.median,
         .unit = "ratio",
         .goal = 3.5,
         .goal_at_least = true,
         .spread = ratio.q3 - ratio.q1},
        {.name = "crypto.ed25519_batch_us",
         .value = stat[IFMA].median,
         .unit = "us",
         .peer = "libsodium",
         .peer_value = stat[LIBSODIUM].median,
         .spread = stat[IFMA].q3 - stat[IFMA].q1},
        {.name = "crypto.ed25519_batch_us.of_one",
         .value = stat[SINGLE].median,
         .unit = "us",
         .peer = "libsodium",
         .peer_value = stat[LIBSODIUM].median,
         .spread = stat[SINGLE].q3 - stat[SINGLE].q1},
    };
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        figures[i].runs = ratio.count;
        bench_figure_write(&config, &figures[i]);
    }
    return 0;
}
