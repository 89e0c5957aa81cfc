/* wardmote/run.h: one WASI program, from its file to its exit: what `wardmote run` does.
 *
 * For more than one call into a module, or host functions of your own, see engine.h. */
#ifndef WARDMOTE_RUN_H
#define WARDMOTE_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include <wardmote/engine.h>
#include <wardmote/error.h>
#include <wardmote/wasi.h>

#ifdef __cplusplus
extern "C" {
#endif

struct wm_run_config {
    const char *module_path;
    struct wm_wasi_config wasi; /* args[0] is usually module_path */
    struct wm_module_options options;
    uint64_t memory_bytes; /* 0: 4 GiB */
    uint64_t stack_bytes;  /* 0: 8 MiB; in det 256 MiB, of counted frames */
    uint64_t fuel;         /* 0: not limited; else options.fuel is implied */
    uint64_t timeout_ms;   /* from the program's first instruction on; 0: none */
    /* Calls this export instead of _start, with arguments parsed by its signature; NULL: _start. A
     * module that exports _initialize (a "reactor") is initialised first. */
    const char *invoke;
    const char *const *invoke_args;
    size_t invoke_arg_count;
    const char *cache_path; /* as in wm_engine_config */
    bool perf_map;          /* see wm_module_perf_map */
    wm_progress *progress;
    void *progress_self;
};

struct wm_run_report {
    enum wm_trap trap; /* NONE: it returned, or ended itself with exit_status */
    uint32_t exit_status;
    char *backtrace; /* of a trap, or NULL */
    char *results;   /* of invoke: one value a line, or NULL */
    struct wm_module_info module;
    uint64_t load_ns; /* from the call of wm_run until the code was mapped, compiling included */
    uint64_t first_instr_ns;     /* until the guest's first instruction */
    uint64_t total_ns;           /* until the guest ended */
    uint64_t memory_peak_bytes;  /* of the guest's linear memory */
    uint64_t process_peak_bytes; /* of this process, resident */
    uint64_t fuel_used;          /* 0 where it was not counted */
};

/* Runs the program to its end. 0: it ran, and *out tells how it ended, whichever way that was; else
 * wardmote could not run it, and diag says why. wm_run_report_fini in either case. */
WM_EXPORT WM_MUST_CHECK int wm_run(const struct wm_run_config *config, struct wm_run_report *out,
                                   struct wm_diag *diag);
WM_EXPORT void wm_run_report_fini(struct wm_run_report *report);

#ifdef __cplusplus
}
#endif

#endif
