/* compare.c: one round of interleaved variants. See compare.h. The order rotates from round to
 * round, so that no variant always runs after the same neighbour (a warm cache, a clock that just
 * rose). */
#include "compare.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct line {
    int64_t ns;
    char exact[64], rounded[64];
};

static struct line parse(const struct bench_variant *variant, const struct bench_process *process)
{
    struct line line = {0};
    if (sscanf(process->out, "%*s %" SCNd64 " %63s %63s", &line.ns, line.exact, line.rounded) !=
            3 ||
        line.ns <= 0) {
        bench_die("%s: %s printed no result: %.200s", variant->argv[0], variant->name,
                  process->out);
    }
    return line;
}

void bench_compare_round(struct bench_compare *compare, int round)
{
    struct line lines[BENCH_VARIANTS_MAX];
    for (size_t i = 0; i < compare->count; i++) {
        size_t at = (i + (size_t)round) % compare->count;
        struct bench_process process;
        bench_process_must(compare->variants[at].argv, &process);
        lines[at] = parse(&compare->variants[at], &process);
    }
    for (size_t i = 0; i < compare->count; i++) {
        bool exact = !compare->variants[i].may_round;
        if (strcmp(exact ? lines[i].exact : lines[i].rounded,
                   exact ? lines[0].exact : lines[0].rounded) != 0) {
            bench_die("%s: its result is %s %s, but %s computed %s %s", compare->variants[i].name,
                      lines[i].exact, lines[i].rounded, compare->variants[0].name, lines[0].exact,
                      lines[0].rounded);
        }
        compare->cpu_ns[i] = lines[i].ns;
        compare->ratio[i] = (double)lines[i].ns / (double)lines[0].ns;
    }
}
