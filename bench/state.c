/* state.c: what the ledger's state (store/vmap.h) costs: 1,000,000 pairs as SmallBank with 500,000
 * customers has them, keys of 9 bytes and values of 8 or 16, in batches of 300 transactions, each
 * of which reads three keys drawn at random and writes two of them.
 *
 *   ledger.state_get_us          one read
 *   ledger.state_put_us          one write
 *   ledger.state_root_us_per_tx  after a batch the root, a mark of the version, and the drop of the
 *                                one 8 batches before; a 300th of it
 *   ledger.state_us_per_tx       three reads, two writes and a share of the root
 *   ledger.state_put_unread_us   one write in batches that do not read: it brings the way to the
 *                                key into the caches, which else the read does
 *   ledger.state_bytes_per_pair  after loading
 *
 * CPU time of the thread. A round is a batch of each kind; figures are medians over the rounds. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "store/vmap.h"

#define PAIRS 1000000u
#define TRANSACTIONS 300u
#define READS 3u
#define WRITES 2u
#define KEPT 8u          /* versions */
#define ROUNDS_BEFORE 60 /* until what is freed is as scattered as it will be */

static uint64_t seed;

static uint64_t draw(uint64_t below) /* splitmix64 */
{
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (z ^ z >> 31) % below;
}

static void draw_keys(uint64_t keys[TRANSACTIONS * READS])
{
    for (unsigned i = 0; i < TRANSACTIONS * READS; i++) {
        keys[i] = draw(PAIRS);
    }
}

struct pair {
    uint8_t key[9];
    uint64_t value[2];
};

static struct wm_view key_of(uint64_t number, struct pair *pair)
{
    uint64_t customer = __builtin_bswap64(number / 2);
    pair->key[0] = number % 2 ? 'c' : 's';
    memcpy(pair->key + 1, &customer, sizeof customer);
    return wm_view_of(pair->key, sizeof pair->key);
}

static void put(struct vmap *map, uint64_t number)
{
    struct pair pair;
    struct wm_view key = key_of(number, &pair);
    pair.value[0] = seed;
    pair.value[1] = number;
    if (vmap_put(map, key, wm_view_of(pair.value, number % 4 < 2 ? 8 : 16)) != 0) {
        bench_die("no memory for the state");
    }
}

static void get(const struct vmap *map, uint64_t number)
{
    struct pair pair;
    struct wm_view value;
    if (!vmap_get(map, key_of(number, &pair), &value)) {
        bench_die("a key is not there");
    }
    __asm__ volatile("" : : "r"(value.ptr[0]) : "memory");
}

static void finish(struct vmap *map, uint64_t version)
{
    trie_hash root;
    vmap_root(map, root);
    if (vmap_mark(map, version) != 0) {
        bench_die("too many versions");
    }
    vmap_drop_before(map, version > KEPT ? version - KEPT : 1);
}

static double us_since(int64_t start)
{
    return (double)(bench_now_ns(BENCH_THREAD_CPU) - start) / 1e3;
}

static void figure(const struct bench_config *config, const char *name, double *values,
                   const char *unit, double goal)
{
    struct bench_stat stat = bench_stat(values, (size_t)config->rounds);
    struct bench_figure line = {.name = name,
                                .value = stat.median,
                                .unit = unit,
                                .goal = goal,
                                .spread = stat.q3 - stat.q1,
                                .runs = stat.count};
    bench_figure_write(config, &line);
}

static double gets_us(const struct vmap *map, const uint64_t *keys)
{
    int64_t start = bench_now_ns(BENCH_THREAD_CPU);
    for (unsigned i = 0; i < TRANSACTIONS * READS; i++) {
        get(map, keys[i]);
    }
    return us_since(start) / (TRANSACTIONS * READS);
}

static double puts_us(struct vmap *map, const uint64_t *keys)
{
    int64_t start = bench_now_ns(BENCH_THREAD_CPU);
    for (unsigned i = 0; i < TRANSACTIONS * READS; i++) {
        if (i % READS < WRITES) {
            put(map, keys[i]);
        }
    }
    return us_since(start) / (TRANSACTIONS * WRITES);
}

static double root_us(struct vmap *map, uint64_t version)
{
    int64_t start = bench_now_ns(BENCH_THREAD_CPU);
    finish(map, version);
    return us_since(start) / TRANSACTIONS;
}

int main(int argc, char **argv)
{
    static double read[BENCH_ROUNDS_MAX], write[BENCH_ROUNDS_MAX], root[BENCH_ROUNDS_MAX],
        all[BENCH_ROUNDS_MAX], unread[BENCH_ROUNDS_MAX];
    struct bench_config config = bench_start(argc, argv, 201);
    struct vmap *map = vmap_new(0);
    uint64_t keys[TRANSACTIONS * READS], version = 0;
    if (!map) {
        bench_die("no memory");
    }
    for (uint64_t i = 0; i < PAIRS; i++) {
        put(map, i);
    }
    double bytes = (double)vmap_bytes(map) / PAIRS;
    finish(map, ++version);
    for (int round = -ROUNDS_BEFORE; round < config.rounds; round++) {
        int at = round < 0 ? 0 : round;
        draw_keys(keys);
        read[at] = gets_us(map, keys);
        write[at] = puts_us(map, keys);
        root[at] = root_us(map, ++version);
        all[at] = READS * read[at] + WRITES * write[at] + root[at];
        draw_keys(keys);
        unread[at] = puts_us(map, keys);
        finish(map, ++version);
    }
    vmap_free(map);
    figure(&config, "ledger.state_get_us", read, "us", 1);
    figure(&config, "ledger.state_put_us", write, "us", 1);
    figure(&config, "ledger.state_root_us_per_tx", root, "us", 2);
    figure(&config, "ledger.state_us_per_tx", all, "us", 0);
    figure(&config, "ledger.state_put_unread_us", unread, "us", 0);
    bench_figure_write(&config, &(struct bench_figure){.name = "ledger.state_bytes_per_pair",
                                                       .value = bytes,
                                                       .unit = "B",
                                                       .runs = 1});
    return 0;
}
