/* spec_run: the official test suite, converted by wast2json, on every tier and mode asked for.
 *
 *     spec_run [--modes LIST] [--tiers LIST] [--only NAME] [--jobs N] [--show N] FOLDER
 *
 * FOLDER holds NAME/NAME.json. Every script in every combination runs in a process of its own, a
 * few at a time: a script that kills its process costs its own assertions only, and they count as
 * failed. The last line is "N passed, N failed, N skipped". */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/engine.h"
#include "spec/script.h"

#define SCRIPTS_MAX 1024
#define COMBOS_MAX 6
#define SCRIPT_SECONDS 600

static struct {
    const char *folder;
    const char *only;
    char *names[SCRIPTS_MAX];
    uint32_t assertions[SCRIPTS_MAX];
    size_t name_count;
    struct wasm_options combos[COMBOS_MAX];
    size_t combo_count;
    long jobs;
    unsigned show; /* failures printed for each script */
} run = {.jobs = 0, .show = 5};

struct job {
    pid_t pid;
    size_t name_idx, combo_idx;
    struct spec_tally *tally; /* shared with the child */
    FILE *out;                /* the child's failures */
};

static struct {
    unsigned long passed, failed, skipped;
} totals[COMBOS_MAX];

static WM_NORETURN void usage(void)
{
    fputs("usage: spec_run [--modes guard,check,det] [--tiers O0,optimised] [--only NAME]\n"
          "                [--jobs N] [--show N] FOLDER\n",
          stderr);
    exit(2);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void find_scripts(void)
{
    DIR *dir = opendir(run.folder);
    if (!dir) {
        fprintf(stderr, "spec_run: %s: %s\n", run.folder, strerror(errno));
        exit(2);
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s/%s.json", run.folder, entry->d_name, entry->d_name);
        if (access(path, R_OK) == 0 && (!run.only || strcmp(run.only, entry->d_name) == 0) &&
            run.name_count < SCRIPTS_MAX) {
            run.names[run.name_count++] = strdup(entry->d_name);
        }
    }
    closedir(dir);
    qsort(run.names, run.name_count, sizeof run.names[0], by_name);
    for (size_t i = 0; i < run.name_count; i++) {
        run.assertions[i] = spec_script_assertions(run.folder, run.names[i]);
    }
}

static void start(struct job *job)
{
    memset(job->tally, 0, sizeof *job->tally);
    job->out = tmpfile();
    if (!job->out) {
        fprintf(stderr, "spec_run: tmpfile: %s\n", strerror(errno));
        exit(2);
    }
    fflush(stdout);
    job->pid = fork();
    if (job->pid < 0) {
        fprintf(stderr, "spec_run: fork: %s\n", strerror(errno));
        exit(2);
    }
    if (job->pid == 0) {
        alarm(SCRIPT_SECONDS);
        spec_script_run(run.folder, run.names[job->name_idx], &run.combos[job->combo_idx],
                        job->tally, job->out);
        fflush(job->out);
        _exit(0);
    }
}

static void finish(struct job *job, int status)
{
    const struct wasm_options *combo = &run.combos[job->combo_idx];
    struct spec_tally *tally = job->tally;
    bool died = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    const char *mode = wasm_mode_name(combo->mode), *tier = wasm_tier_name(combo->tier);
    if (died) {
        uint32_t counted = tally->passed + tally->failed + tally->skipped;
        uint32_t all = run.assertions[job->name_idx];
        printf("# %s %s: %s.wast:%u: the process died (%s %d)\n", mode, tier,
               run.names[job->name_idx], tally->line,
               WIFSIGNALED(status) ? "signal" : "exit status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        tally->failed += all > counted ? all - counted : 1;
    }
    rewind(job->out);
    char line[1024];
    for (unsigned shown = 0; shown < run.show && fgets(line, sizeof line, job->out); shown++) {
        printf("# %s %s: %s", mode, tier, line);
    }
    if (tally->failed > run.show) {
        printf("# %s %s: %s.wast: %u failed in all\n", mode, tier, run.names[job->name_idx],
               tally->failed);
    }
    totals[job->combo_idx].passed += tally->passed;
    totals[job->combo_idx].failed += tally->failed;
    totals[job->combo_idx].skipped += tally->skipped;
    fclose(job->out);
    job->pid = 0;
}

static void run_all(void)
{
    size_t next = 0, all = run.name_count * run.combo_count, running = 0;
    struct job *jobs = calloc((size_t)run.jobs, sizeof *jobs);
    struct spec_tally *tallies = mmap(NULL, (size_t)run.jobs * sizeof *tallies,
                                      PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!jobs || tallies == MAP_FAILED) {
        fprintf(stderr, "spec_run: no memory\n");
        exit(2);
    }
    while (next < all || running > 0) {
        for (long i = 0; i < run.jobs && next < all; i++) {
            if (jobs[i].pid == 0) {
                jobs[i].tally = &tallies[i];
                jobs[i].name_idx = next / run.combo_count;
                jobs[i].combo_idx = next % run.combo_count;
                start(&jobs[i]);
                next++;
                running++;
            }
        }
        int status;
        pid_t pid = wait(&status);
        for (long i = 0; i < run.jobs; i++) {
            if (pid > 0 && jobs[i].pid == pid) {
                finish(&jobs[i], status);
                running--;
            }
        }
    }
    munmap(tallies, (size_t)run.jobs * sizeof *tallies);
    free(jobs);
}

static void add_combos(char *modes, char *tiers)
{
    int mode_list[COMBOS_MAX], tier_list[COMBOS_MAX];
    size_t mode_count = 0, tier_count = 0;
    for (char *name = strtok(modes, ","); name && mode_count < 3; name = strtok(NULL, ",")) {
        mode_list[mode_count++] = test_mode_of(name);
    }
    for (char *name = strtok(tiers, ","); name && tier_count < 2; name = strtok(NULL, ",")) {
        tier_list[tier_count++] = test_tier_of(name);
    }
    for (size_t t = 0; t < tier_count; t++) {
        for (size_t m = 0; m < mode_count; m++) {
            if (mode_list[m] < 0 || tier_list[t] < 0) {
                usage();
            }
            run.combos[run.combo_count++] =
                (struct wasm_options){.mode = (enum wasm_mode)mode_list[m],
                                      .tier = (enum wasm_tier)tier_list[t],
                                      .cpu = wasm_cpu_of_this_machine()};
        }
    }
}

int main(int argc, char **argv)
{
    char default_modes[] = "guard,check", default_tiers[] = "O0,optimised";
    char *modes = default_modes, *tiers = default_tiers;
    run.jobs = sysconf(_SC_NPROCESSORS_ONLN);
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--modes") == 0 && has_value) {
            modes = argv[++i];
        } else if (strcmp(argv[i], "--tiers") == 0 && has_value) {
            tiers = argv[++i];
        } else if (strcmp(argv[i], "--only") == 0 && has_value) {
            run.only = argv[++i];
        } else if (strcmp(argv[i], "--jobs") == 0 && has_value) {
            run.jobs = atol(argv[++i]);
        } else if (strcmp(argv[i], "--show") == 0 && has_value) {
            run.show = (unsigned)atol(argv[++i]);
        } else if (argv[i][0] != '-' && !run.folder) {
            run.folder = argv[i];
        } else {
            usage();
        }
    }
    if (!run.folder || run.jobs < 1) {
        usage();
    }
    add_combos(modes, tiers);
    find_scripts();
    if (run.name_count == 0 || run.combo_count == 0) {
        fprintf(stderr, "spec_run: %s: nothing to run\n", run.folder);
        return 2;
    }
    run_all();
    unsigned long passed = 0, failed = 0, skipped = 0;
    for (size_t i = 0; i < run.combo_count; i++) {
        printf("# %-5s %-9s: %lu passed, %lu failed, %lu skipped (text format)\n",
               wasm_mode_name(run.combos[i].mode), wasm_tier_name(run.combos[i].tier),
               totals[i].passed, totals[i].failed, totals[i].skipped);
        passed += totals[i].passed;
        failed += totals[i].failed;
        skipped += totals[i].skipped;
    }
    printf("%lu passed, %lu failed, %lu skipped\n", passed, failed, skipped);
    return failed != 0;
}
