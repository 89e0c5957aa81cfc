#include "sim/bft_mutants.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bft/guard.h"
#include "sim/bft_scenario.h"

#ifdef BFT_MUTANTS

#define MUTANT_NAME(name) #name,
static const char *const names[] = {BFT_GUARD_TABLE(MUTANT_NAME)};
#undef MUTANT_NAME

uint32_t mutant_count(void)
{
    return BFT_GUARD_COUNT;
}

const char *mutant_name(uint32_t mutant)
{
    return names[mutant];
}

static bool drawn_run(struct world *world, struct counts *counts, uint64_t seed)
{
    struct plan plan;
    plan_draw(&plan, seed, true);
    world_init(world, &plan, counts);
    (void)world_run(world);
    world_fini(world);
    return world->failure[0] == 0;
}

/* In a child: does it fail with this guard off (-1: none)? scenario NULL: a drawn run. */
static bool fails(int mutant, const struct scenario *scenario, uint64_t seed)
{
    static struct world world;
    static struct counts counts;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        bool silent = freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr);
        bft_guard_off = mutant;
        alarm(60); /* it may do nothing for ever as well */
        bool ok =
            scenario ? scenario->run(&world, &counts, seed) : drawn_run(&world, &counts, seed);
        _exit(silent && ok ? 0 : 1);
    }
    int status = 0;
    return child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
           WEXITSTATUS(status) != 0;
}

bool mutant_found(uint32_t mutant, uint64_t seed, uint64_t budget)
{
    for (uint64_t run = 0; run < budget; run++) {
        if (fails((int)mutant, NULL, seed + run) && !fails(-1, NULL, seed + run)) {
            printf("%s: seed %llu, run %llu\n", names[mutant], (unsigned long long)(seed + run),
                   (unsigned long long)run + 1);
            return true;
        }
    }
    for (uint32_t i = 0; i < scenario_count; i++) {
        if (fails((int)mutant, &scenarios[i], seed) && !fails(-1, &scenarios[i], seed)) {
            printf("%s: scenario %s\n", names[mutant], scenarios[i].name);
            return true;
        }
    }
    printf("%s: not found in %llu runs and the scenarios\n", names[mutant],
           (unsigned long long)budget);
    return false;
}

#else

uint32_t mutant_count(void)
{
    return 0;
}

const char *mutant_name(uint32_t mutant)
{
    (void)mutant;
    return "";
}

bool mutant_found(uint32_t mutant, uint64_t seed, uint64_t budget)
{
    (void)mutant;
    (void)seed;
    (void)budget;
    return false;
}

#endif
