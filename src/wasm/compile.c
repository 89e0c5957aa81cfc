/* The side of the compiler process that stays alive: start it, watch it, say what became of it.
 *
 * The child is not trusted. It decides over the object's content anyway (whoever compiles does; the
 * object is trusted because the child runs our code and cannot be reached by anyone else), but what
 * it says is treated as any input: message lengths, codes and texts are checked. How it ended
 * decides first:
 *
 *     a RESULT message, then exit 0   done, or the module's own fault, in the child's words
 *     SIGXCPU, SIGKILL over time      the time limit
 *     out of memory on its stderr     the memory limit
 *     anything else                   the compiler failed: signal, and the last thing LLVM said */
#include "wasm/compile.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fault.h"
#include "host/file.h"
#include "host/process.h"
#include "wasm/wasmc.h"

#ifndef WASM_LIBEXEC_DIR
#define WASM_LIBEXEC_DIR "/usr/libexec/wardmote"
#endif

#define PROGRAM "wardmote-wasmc"
#define MEMORY_BYTES_DEFAULT (UINT64_C(4) << 30)
#define CPU_SECONDS_BASE 20
#define CPU_SECONDS_PER_MIB 40
/* Only a compiler that sleeps for ever meets this; one that works meets the limit on CPU time. */
#define WALL_FACTOR 20
#define WALL_SECONDS_BASE 60
#define POLL_MS 100
#define LAST_WORDS_BYTES 160
#define STDERR_BYTES_READ 4096

struct watch {
    const struct wasm_compile_job *job;
    struct host_process process;
    int stderr_fd, report_fd;
    uint32_t cpu_seconds;
    uint64_t memory_bytes;
    struct wasmc_message result; /* kind 0 until it came */
    uint32_t done, total;
    bool timed_out;
};

/* Puts `name` of the folder that `self` lies in into `out`. */
static bool beside(char out[PATH_MAX], const char *self, const char *name)
{
    const char *slash = strrchr(self, '/');
    if (!slash) {
        return false;
    }
    int wanted = snprintf(out, PATH_MAX, "%.*s/%s", (int)(slash - self), self, name);
    return wanted > 0 && wanted < PATH_MAX && access(out, X_OK) == 0;
}

/* Beside the running program, or beside the library when this code is in one. */
static bool beside_program(char out[PATH_MAX], const char *name)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len > 0) {
        self[len] = 0;
        if (beside(out, self, name)) {
            return true;
        }
    }
    Dl_info library;
    return dladdr((const void *)(uintptr_t)&wasm_compile, &library) && library.dli_fname &&
           library.dli_fname[0] == '/' && beside(out, library.dli_fname, name);
}

/* Build tree; an installed tree wherever it was put; the place it was configured for. */
int wasm_compiler_path(char out[PATH_MAX], struct wm_diag *diag)
{
    const char *given = secure_getenv("WARDMOTE_WASMC");
    if (given && *given) {
        int wanted = snprintf(out, PATH_MAX, "%s", given);
        if (wanted < PATH_MAX && access(out, X_OK) == 0) {
            return 0;
        }
        return wm_diag_set(diag, WM_E_MISSING,
                           "compiler: %s, named by WARDMOTE_WASMC, cannot be executed", given);
    }
    if (beside_program(out, PROGRAM) || beside_program(out, "../libexec/wardmote/" PROGRAM)) {
        return 0;
    }
    snprintf(out, PATH_MAX, "%s/%s", WASM_LIBEXEC_DIR, PROGRAM);
    if (access(out, X_OK) == 0) {
        return 0;
    }
    return wm_diag_set(diag, WM_E_MISSING,
                       "compiler: " PROGRAM " is neither beside this program nor in %s; install it "
                       "there",
                       WASM_LIBEXEC_DIR);
}

static int set_limits(struct watch *watch, struct wm_diag *diag)
{
    const struct wasm_compile_limits *limits = &watch->job->limits;
    struct host_file_info module = {0};
    int err = host_file_info(watch->job->module_fd, &module);
    if (err || !S_ISREG(module.mode)) {
        return wm_diag_set(diag, err ? err : -EINVAL, "module: %s",
                           err ? wm_error_text(err) : "not a regular file");
    }
    uint64_t mib = (module.id.bytes + (1 << 20) - 1) >> 20;
    uint64_t seconds = CPU_SECONDS_BASE + CPU_SECONDS_PER_MIB * mib;
    watch->memory_bytes = limits->memory_bytes ? limits->memory_bytes : MEMORY_BYTES_DEFAULT;
    watch->cpu_seconds = limits->cpu_seconds
                             ? limits->cpu_seconds
                             : (uint32_t)(seconds < UINT32_MAX ? seconds : UINT32_MAX);
    return 0;
}

/* Starts the child; on return only our ends of the files are open. */
static int start(struct watch *watch, struct wm_diag *diag)
{
    char path[PATH_MAX], text[WASMC_ARGS][24], name[] = PROGRAM;
    const struct wasm_options *options = &watch->job->options;
    const uint64_t numbers[WASMC_ARGS] = {WASM_COMPILER_VERSION, options->mode,     options->tier,
                                          options->cpu,          options->fuel,     options->lines,
                                          watch->memory_bytes,   watch->cpu_seconds};
    char *argv[WASMC_ARGS + 2] = {name};
    char *envp[] = {NULL};
    int report[2] = {-1, -1};

    int err = wasm_compiler_path(path, diag);
    if (err) {
        return err;
    }
    for (unsigned i = 0; i < WASMC_ARGS; i++) {
        snprintf(text[i], sizeof text[i], "%llu", (unsigned long long)numbers[i]);
        argv[i + 1] = text[i];
    }
    watch->stderr_fd =
        wm_fault_here(WM_FAULT_IO) ? (errno = EMFILE, -1) : memfd_create(PROGRAM, MFD_CLOEXEC);
    if (watch->stderr_fd < 0) {
        return wm_diag_default(diag, -errno, "compiler");
    }
    if (wm_fault_here(WM_FAULT_IO) ? (errno = EMFILE, true) : pipe2(report, O_CLOEXEC) != 0) {
        return wm_diag_default(diag, -errno, "compiler");
    }
    const struct host_spawn spawn = {
        .path = path,
        .argv = argv,
        .envp = envp,
        .fd_count = WASMC_FD_COUNT,
        .fds = {[WASMC_FD_MODULE] = watch->job->module_fd,
                [WASMC_FD_OBJECT] = watch->job->object_fd,
                [WASMC_FD_STDERR] = watch->stderr_fd,
                [WASMC_FD_REPORT] = report[1]},
    };
    err = host_process_spawn(&spawn, &watch->process);
    host_file_close(report[1]);
    watch->report_fd = report[0];
    if (err) {
        return wm_diag_set(diag, err, "compiler: starting %s: %s", path, wm_error_text(err));
    }
    return 0;
}

/* One message off the pipe; false at its end, and on half a message, which a sound child never
 * sends. */
static bool take_message(struct watch *watch)
{
    struct wasmc_message message;
    ssize_t got;
    do {
        got = read(watch->report_fd, &message, sizeof message);
    } while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof message) {
        return false;
    }
    if (message.kind == WASMC_PROGRESS) {
        watch->done = message.done;
        watch->total = message.total;
    } else if (message.kind == WASMC_RESULT) {
        watch->result = message;
        watch->result.text[sizeof message.text - 1] = 0;
    }
    return true;
}

static int watch_child(struct watch *watch, struct wm_diag *diag)
{
    int64_t wall_seconds = (int64_t)watch->cpu_seconds * WALL_FACTOR + WALL_SECONDS_BASE;
    int64_t deadline = host_monotonic_ns() + wall_seconds * INT64_C(1000000000);
    int64_t told = host_monotonic_ns();
    bool ended = false, readable = false;
    while (!ended || readable) {
        int err = host_process_poll(&watch->process, watch->report_fd, POLL_MS, &ended, &readable);
        if (err) {
            host_process_kill(&watch->process);
            return wm_diag_default(diag, err, "compiler: waiting for it");
        }
        if (readable && !take_message(watch)) {
            /* Closed, so that a child that goes on writing ends instead of waiting for us. */
            host_file_close(watch->report_fd);
            watch->report_fd = -1;
        }
        int64_t now = host_monotonic_ns();
        if (watch->job->progress && watch->total && now - told >= POLL_MS * INT64_C(1000000)) {
            watch->job->progress(watch->job->progress_self, watch->done, watch->total);
            told = now;
        }
        if (now > deadline && !watch->timed_out) {
            watch->timed_out = true;
            host_process_kill(&watch->process);
        }
    }
    return 0;
}

/* What LLVM or the C++ library said before the end, as one printable line. */
static void last_words(const struct watch *watch, char out[LAST_WORDS_BYTES], bool *out_of_memory)
{
    static const char *const marks[] = {"LLVM ERROR", "Assertion", "terminate called", "wardmote"};
    char buffer[STDERR_BYTES_READ];
    const char *line = buffer;
    ssize_t got = pread(watch->stderr_fd, buffer, sizeof buffer - 1, 0);
    buffer[got > 0 ? got : 0] = 0;
    *out_of_memory = strstr(buffer, "out of memory") || strstr(buffer, "bad_alloc");
    for (size_t i = 0; i < WM_COUNT_OF(marks); i++) {
        const char *found = strstr(buffer, marks[i]);
        if (found) {
            line = found;
            break;
        }
    }
    wm_diag_quote(out, LAST_WORDS_BYTES, line, strcspn(line, "\n"));
}

static int time_limit(const struct watch *watch, struct wm_diag *diag)
{
    return wm_diag_set(diag, WM_E_LIMIT,
                       "compiler: not done after %u seconds of CPU time; a larger limit, or the O0 "
                       "tier, may do",
                       watch->cpu_seconds);
}

static int explain_signal(const struct watch *watch, const struct host_process_end *end,
                          struct wm_diag *diag)
{
    char words[LAST_WORDS_BYTES];
    bool out_of_memory;
    last_words(watch, words, &out_of_memory);
    if (end->status == SIGXCPU ||
        (end->status == SIGKILL && end->cpu_ns / 1000000000 >= watch->cpu_seconds)) {
        return time_limit(watch, diag);
    }
    if (end->status == SIGXFSZ) {
        return wm_diag_set(diag, WM_E_LIMIT, "compiler: the object would be too large");
    }
    if (out_of_memory) {
        return wm_diag_set(diag, WM_E_LIMIT,
                           "compiler: it needs more than its limit of %llu MiB of memory; a larger "
                           "limit, or the O0 tier, may do",
                           (unsigned long long)(watch->memory_bytes >> 20));
    }
    return wm_diag_set(diag, WM_E_COMPILER, "compiler: it died of %s%s%s",
                       host_signal_name(end->status), words[0] ? ": " : "", words);
}

static bool code_allowed(int32_t code)
{
    return code == WM_E_MALFORMED || code == WM_E_INVALID || code == WM_E_UNSUPPORTED ||
           code == WM_E_LIMIT || code == WM_E_COMPILER || code == WM_E_MISSING;
}

static int explain_end(const struct watch *watch, const struct host_process_end *end,
                       struct wm_diag *diag)
{
    if (watch->timed_out) {
        return wm_diag_set(diag, WM_E_LIMIT, "compiler: it made no progress and was ended");
    }
    if (end->kind == HOST_END_SIGNALLED) {
        return explain_signal(watch, end, diag);
    }
    if (watch->result.kind != WASMC_RESULT) {
        char words[LAST_WORDS_BYTES];
        bool out_of_memory;
        last_words(watch, words, &out_of_memory);
        return wm_diag_set(diag, WM_E_COMPILER,
                           "compiler: it ended with status %d and no result%s%s", end->status,
                           words[0] ? ": " : "", words);
    }
    if (watch->result.code == 0 && end->status == 0) {
        return 0;
    }
    char text[WM_DIAG_TEXT_BYTES];
    wm_diag_quote(text, sizeof text, watch->result.text, strlen(watch->result.text));
    return wm_diag_set(diag, code_allowed(watch->result.code) ? watch->result.code : WM_E_COMPILER,
                       "%s", text);
}

int wasm_compile(const struct wasm_compile_job *job, struct wm_diag *diag)
{
    struct watch watch = {.job = job, .stderr_fd = -1, .report_fd = -1, .process = {.pid = -1}};
    struct host_process_end end = {0};
    int err = set_limits(&watch, diag);
    err = err ? err : start(&watch, diag);
    if (!err) {
        err = watch_child(&watch, diag);
        int reaped = host_process_reap(&watch.process, &end);
        if (!err && reaped) {
            err = wm_diag_default(diag, reaped, "compiler: waiting for it");
        }
        err = err ? err : explain_end(&watch, &end, diag);
    }
    if (!err && job->progress && watch.total) {
        job->progress(job->progress_self, watch.total, watch.total);
    }
    host_file_close(watch.report_fd);
    host_file_close(watch.stderr_fd);
    return err;
}
