/* ledger_execute.c: what executing costs a replica of the ledger, apart from agreement, signatures
 * and disk.
 *
 *   ledger.execute_us        microseconds of one core for a SmallBank transaction, in batches of
 * 300 on 500,000 accounts: from the request's bytes to its leaf and the batch's root; the state's
 * root is not made ledger.execute_root_us   the same with the state's root after each batch
 *   ledger.state_root_cost   the second divided by the first
 *
 * The mix is the customary one (send_payment 25 of 100, the other five operations 15 each),
 * accounts are drawn evenly. Two ledgers with the same accounts take the same batches in turn, one
 * with state roots and one without. CPU time of the one thread that works. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "ledger/ledger_fake.h"

#define ACCOUNTS 500000u
#define LOAD 1000u  /* accounts a transaction */
#define BATCH 300u  /* transactions */
#define BATCHES 20u /* a round */

static struct fake_ledger with_roots, without_roots;
static uint64_t seed = 1;

static uint64_t draw(uint64_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % below;
}

static void commit_batch(struct fake_ledger *ledger)
{
    if (ledger->request_count != 0) {
        (void)fake_batch(ledger);
    }
}

static void load(struct fake_ledger *ledger, bool roots)
{
    struct fake_arguments arguments;
    fake_start(ledger, &(struct fake_options){.unsigned_requests = true,
                                              .no_entries = true,
                                              .no_state_roots = !roots});
    for (uint64_t account = 0; account < ACCOUNTS; account += LOAD) {
        struct wm_view view =
            fake_array(&arguments, "uui", account, (uint64_t)LOAD, (int64_t)1000000);
        fake_ask(ledger, 0, "smallbank.load", view);
        if (account / LOAD % 10 == 9) {
            commit_batch(ledger);
        }
    }
    commit_batch(ledger);
    /* Two pairs an account, and what the ledger itself keeps. */
    if (vmap_count(executor_state(ledger->executor)) < 2 * ACCOUNTS) {
        bench_die("the accounts are not there");
    }
}

static void ask_one(struct fake_ledger *ledger)
{
    struct fake_arguments arguments;
    uint64_t kind = draw(100), a = draw(ACCOUNTS), b = draw(ACCOUNTS - 1), amount = draw(100);
    uint32_t client = (uint32_t)draw(FAKE_CLIENTS);
    b += b >= a;
    if (kind < 15) {
        fake_ask(ledger, client, "smallbank.balance", fake_array(&arguments, "u", a));
    } else if (kind < 30) {
        fake_ask(ledger, client, "smallbank.deposit_checking",
                 fake_array(&arguments, "uu", a, amount));
    } else if (kind < 45) {
        fake_ask(ledger, client, "smallbank.transact_savings",
                 fake_array(&arguments, "uu", a, amount));
    } else if (kind < 60) {
        fake_ask(ledger, client, "smallbank.amalgamate", fake_array(&arguments, "uu", a, b));
    } else if (kind < 75) {
        fake_ask(ledger, client, "smallbank.write_check", fake_array(&arguments, "uu", a, amount));
    } else {
        fake_ask(ledger, client, "smallbank.send_payment",
                 fake_array(&arguments, "uuu", a, b, amount));
    }
}

/* Microseconds a transaction. Making the requests, and their hashes, is not in it. */
static double round_us(struct fake_ledger *ledger)
{
    int64_t spent = 0;
    for (uint32_t i = 0; i < BATCHES; i++) {
        for (uint32_t k = 0; k < BATCH; k++) {
            ask_one(ledger);
        }
        struct bft_executed executed;
        int64_t start = bench_now_ns(BENCH_THREAD_CPU);
        if (fake_execute(ledger, &executed) != 0 || executed.taken != BATCH) {
            bench_die("a batch was not executed");
        }
        spent += bench_now_ns(BENCH_THREAD_CPU) - start;
        fake_commit(ledger, &executed);
    }
    return (double)spent / 1e3 / (BATCH * BATCHES);
}

static void figure(const struct bench_config *config, const char *name, double *values,
                   const char *unit, double goal)
{
    struct bench_stat stat = bench_stat(values, (size_t)config->rounds);
    bench_figure_write(config, &(struct bench_figure){.name = name,
                                                      .value = stat.median,
                                                      .unit = unit,
                                                      .goal = goal,
                                                      .spread = stat.q3 - stat.q1,
                                                      .runs = stat.count});
}

int main(int argc, char **argv)
{
    static double plain[BENCH_ROUNDS_MAX], rooted[BENCH_ROUNDS_MAX], ratio[BENCH_ROUNDS_MAX];
    struct bench_config config = bench_start(argc, argv, 21);
    load(&with_roots, true);
    load(&without_roots, false);
    (void)round_us(&with_roots);
    (void)round_us(&without_roots);
    for (int i = 0; i < config.rounds; i++) {
        uint64_t same = seed;
        plain[i] = round_us(&without_roots);
        seed = same;
        rooted[i] = round_us(&with_roots);
        ratio[i] = rooted[i] / plain[i];
    }
    figure(&config, "ledger.execute_us", plain, "us", 6);
    figure(&config, "ledger.execute_root_us", rooted, "us", 0);
    figure(&config, "ledger.state_root_cost", ratio, "x", 0);
    fake_stop(&with_roots);
    fake_stop(&without_roots);
    return 0;
}
