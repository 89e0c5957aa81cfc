/* The side of the compiler that stays alive: start its processes, watch them, say what became of
 * them.
 *
 * A large module is compiled by several workers (wasmc.h), each a child of this process. The first
 * that fails ends the others, and its failure is what is reported. That there are fewer workers
 * than were wanted, because the machine would not start more, changes nothing but the time.
 *
 * A child is not trusted. It decides over the object's content anyway (whoever compiles does; the
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
#define CODE_SECTION_ID 10
#define SECTIONS_LOOKED_AT 1000
#define NS_PER_S UINT64_C(1000000000)
#define LAST_WORDS_BYTES 160
#define STDERR_BYTES_READ 4096

struct worker {
    struct host_process_end end;
    struct wasmc_message result; /* kind 0 until it came */
    uint32_t done;               /* functions */
};

struct watch {
    const struct wasm_compile_job *job;
    int stderr_fd, report_fd;
    uint32_t cpu_seconds;
    uint64_t memory_bytes, partition_bytes;
    uint32_t worker_count;
    struct worker workers[WASMC_WORKERS_MAX];
    struct host_process processes[WASMC_WORKERS_MAX];
    bool ended[WASMC_WORKERS_MAX];
    int failed;     /* the first worker that failed by itself; -1: none */
    uint32_t total; /* functions in the module */
    bool timed_out, out_of_cpu;
};

/* What the children share, besides what every child has. Both ends of pipes: 0 reads. */
struct plumbing {
    int report[2], turns[2], done[2];
    int parts[WASMC_WORKERS_MAX]; /* [0] is not used */
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

/* Length of the code section, by the headers of the sections before it. A guess that decides how
 * many workers there are and nothing else: who reads the module for what it is does so confined. */
static uint64_t code_section_bytes(int fd)
{
    uint64_t at = 8;
    for (unsigned i = 0; i < SECTIONS_LOOKED_AT; i++) {
        uint8_t header[6], id;
        uint64_t len;
        ssize_t got = pread(fd, header, sizeof header, (off_t)at);
        struct wm_cursor cursor = wm_cursor_of(wm_view_of(header, got > 0 ? (size_t)got : 0));
        if (!wm_cursor_u8(&cursor, &id) || wm_cursor_uleb(&cursor, 32, &len) != WM_LEB_OK) {
            return 0;
        }
        if (id == CODE_SECTION_ID) {
            return len;
        }
        at += wm_cursor_offset(&cursor) + len;
    }
    return 0;
}

static void set_workers(struct watch *watch)
{
    const char *given = secure_getenv("WARDMOTE_PARTITION_BYTES");
    uint64_t bytes = given ? strtoull(given, NULL, 10) : 0;
    uint32_t most = watch->job->limits.processes;
    watch->partition_bytes = bytes ? bytes : WASMC_PARTITION_BYTES;
    most = most ? most : host_cpu_count();
    most = most < WASMC_WORKERS_MAX ? most : WASMC_WORKERS_MAX;
    uint32_t partitions =
        wasmc_partitions(code_section_bytes(watch->job->module_fd), watch->partition_bytes);
    watch->worker_count = most < partitions ? most : partitions;
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

static int open_pipe(int ends[2])
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EMFILE;
    }
    return pipe2(ends, O_CLOEXEC) == 0 ? 0 : -errno;
}

static int open_memory(int *fd)
{
    *fd = wm_fault_here(WM_FAULT_IO) ? (errno = EMFILE, -1) : memfd_create(PROGRAM, MFD_CLOEXEC);
    return *fd < 0 ? -errno : 0;
}

static void close_plumbing(struct plumbing *plumbing)
{
    for (unsigned i = 0; i < 2; i++) {
        host_file_close(plumbing->report[i]);
        host_file_close(plumbing->turns[i]);
        host_file_close(plumbing->done[i]);
    }
    for (unsigned i = 0; i < WASMC_WORKERS_MAX; i++) {
        host_file_close(plumbing->parts[i]);
    }
}

static int open_plumbing(uint32_t worker_count, struct plumbing *out)
{
    uint8_t turns[WASMC_PARTITIONS_MAX];
    *out = (struct plumbing){.report = {-1, -1}, .turns = {-1, -1}, .done = {-1, -1}};
    for (unsigned i = 0; i < WASMC_WORKERS_MAX; i++) {
        out->parts[i] = -1;
    }
    int err = open_pipe(out->report);
    if (worker_count > 1) {
        err = err ? err : open_pipe(out->turns);
        err = err ? err : open_pipe(out->done);
        for (uint32_t i = 1; i < worker_count && !err; i++) {
            err = open_memory(&out->parts[i]);
        }
        for (unsigned i = 0; i < WASMC_PARTITIONS_MAX; i++) {
            turns[i] = (uint8_t)i;
        }
        /* Far less than a pipe holds. */
        err = err ? err : host_file_write_all(out->turns[1], wm_view_of(turns, sizeof turns));
        host_file_close(out->turns[1]); /* the pipe ends behind the last number */
        out->turns[1] = -1;
    }
    if (err) {
        close_plumbing(out);
    }
    return err;
}

static int spawn_worker(struct watch *watch, const char *path, uint32_t worker,
                        const struct plumbing *plumbing)
{
    char text[WASMC_ARGS][24], name[] = PROGRAM;
    const struct wasm_options *options = &watch->job->options;
    const uint64_t numbers[WASMC_ARGS] = {
        WASM_COMPILER_VERSION, options->mode,          options->tier,
        options->cpu,          options->fuel,          options->lines,
        watch->memory_bytes,   watch->cpu_seconds,     worker,
        watch->worker_count,   watch->partition_bytes,
    };
    char *argv[WASMC_ARGS + 2] = {name};
    char *envp[] = {NULL};
    struct host_spawn spawn = {
        .path = path,
        .argv = argv,
        .envp = envp,
        .fd_count = WASMC_FD_COUNT,
        .fds = {[WASMC_FD_MODULE] = watch->job->module_fd,
                [WASMC_FD_OBJECT] = worker ? plumbing->parts[worker] : watch->job->object_fd,
                [WASMC_FD_STDERR] = watch->stderr_fd,
                [WASMC_FD_REPORT] = plumbing->report[1]},
    };
    for (unsigned i = 0; i < WASMC_ARGS; i++) {
        snprintf(text[i], sizeof text[i], "%llu", (unsigned long long)numbers[i]);
        argv[i + 1] = text[i];
    }
    if (watch->worker_count > 1) {
        spawn.fd_count = WASMC_FD_WORKER_COUNT;
        spawn.fds[WASMC_FD_TURNS] = plumbing->turns[0];
        spawn.fds[WASMC_FD_DONE] = plumbing->done[worker ? 1 : 0];
    }
    for (uint32_t i = 1; worker == 0 && i < watch->worker_count; i++) {
        spawn.fds[spawn.fd_count++] = plumbing->parts[i];
    }
    return host_process_spawn(&spawn, &watch->processes[worker]);
}

/* Starts the workers; on return only our end of the reports and LLVM's words are open. */
static int start(struct watch *watch, struct wm_diag *diag)
{
    char path[PATH_MAX];
    struct plumbing plumbing;
    int err = wasm_compiler_path(path, diag);
    if (err) {
        return err;
    }
    err = open_memory(&watch->stderr_fd);
    err = err ? err : open_plumbing(watch->worker_count, &plumbing);
    if (err) {
        return wm_diag_default(diag, err, "compiler");
    }
    uint32_t started = 0;
    while (started < watch->worker_count && !err) {
        err = spawn_worker(watch, path, started, &plumbing);
        started += !err;
    }
    watch->report_fd = plumbing.report[0];
    plumbing.report[0] = -1;
    close_plumbing(&plumbing);
    watch->worker_count = started;
    if (!started) {
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
    if (got != (ssize_t)sizeof message || message.worker >= watch->worker_count) {
        return false;
    }
    struct worker *worker = &watch->workers[message.worker];
    if (message.kind == WASMC_PROGRESS) {
        worker->done = message.done;
        watch->total = message.total;
    } else if (message.kind == WASMC_RESULT) {
        worker->result = message;
        worker->result.text[sizeof message.text - 1] = 0;
    }
    return true;
}

static void kill_all(const struct watch *watch)
{
    for (uint32_t i = 0; i < watch->worker_count; i++) {
        if (!watch->ended[i]) {
            host_process_kill(&watch->processes[i]);
        }
    }
}

/* Waits for worker `i`, which has ended or soon will. */
static int reap(struct watch *watch, uint32_t i)
{
    watch->ended[i] = true;
    return host_process_reap(&watch->processes[i], &watch->workers[i].end);
}

/* Takes leave of the workers that ended in this round; the first failure ends the others. */
static int reap_ended(struct watch *watch, const bool *ended)
{
    bool was_failed = watch->failed >= 0;
    for (uint32_t i = 0; i < watch->worker_count; i++) {
        if (!ended[i] || watch->ended[i]) {
            continue;
        }
        int err = reap(watch, i);
        if (err) {
            return err;
        }
        const struct host_process_end *end = &watch->workers[i].end;
        bool lacks = end->kind == HOST_END_EXITED && end->status == WASMC_EXIT_LACKS;
        if (watch->failed < 0 && !lacks && (end->kind != HOST_END_EXITED || end->status != 0)) {
            watch->failed = (int)i;
        }
    }
    if (watch->failed >= 0 && !was_failed) {
        kill_all(watch);
    }
    return 0;
}

static uint64_t cpu_ns(const struct watch *watch)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < watch->worker_count; i++) {
        sum += watch->ended[i] ? watch->workers[i].end.cpu_ns
                               : host_process_cpu_ns(&watch->processes[i]);
    }
    return sum;
}

static void tell_progress(const struct watch *watch)
{
    uint64_t done = 0;
    for (uint32_t i = 0; i < watch->worker_count; i++) {
        done += watch->workers[i].done;
    }
    watch->job->progress(watch->job->progress_self,
                         done < watch->total ? (uint32_t)done : watch->total, watch->total);
}

static bool all_ended(const struct watch *watch)
{
    for (uint32_t i = 0; i < watch->worker_count; i++) {
        if (!watch->ended[i]) {
            return false;
        }
    }
    return true;
}

static int watch_children(struct watch *watch)
{
    int64_t wall_seconds = (int64_t)watch->cpu_seconds * WALL_FACTOR + WALL_SECONDS_BASE;
    int64_t deadline = host_monotonic_ns() + wall_seconds * (int64_t)NS_PER_S;
    int64_t told = host_monotonic_ns();
    bool readable = false;
    while (!all_ended(watch) || readable) {
        bool ended[WASMC_WORKERS_MAX];
        memcpy(ended, watch->ended, sizeof ended);
        int err = host_process_poll(watch->processes, watch->worker_count, watch->report_fd,
                                    POLL_MS, ended, &readable);
        err = err ? err : reap_ended(watch, ended);
        if (err) {
            return err;
        }
        if (readable && !take_message(watch)) {
            /* Closed, so that a child that goes on writing ends instead of waiting for us. */
            host_file_close(watch->report_fd);
            watch->report_fd = -1;
        }
        int64_t now = host_monotonic_ns();
        if (watch->job->progress && watch->total && now - told >= POLL_MS * INT64_C(1000000)) {
            tell_progress(watch);
            told = now;
        }
        if (now > deadline && !watch->timed_out) {
            watch->timed_out = true;
            kill_all(watch);
        }
        /* Each worker has the whole limit for itself, set on the process; this is for the sum. */
        if (watch->worker_count > 1 && watch->failed < 0 && !watch->out_of_cpu &&
            cpu_ns(watch) / NS_PER_S >= watch->cpu_seconds) {
            watch->out_of_cpu = true;
            kill_all(watch);
        }
    }
    return 0;
}

/* To the end of all workers, in whatever way. */
static int watch_to_the_end(struct watch *watch, struct wm_diag *diag)
{
    int err = watch_children(watch);
    kill_all(watch); /* there are any left only after an error */
    for (uint32_t i = 0; i < watch->worker_count; i++) {
        int reaped = watch->ended[i] ? 0 : reap(watch, i);
        err = err ? err : reaped;
    }
    return err ? wm_diag_default(diag, err, "compiler: waiting for it") : 0;
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
        (end->status == SIGKILL && end->cpu_ns / NS_PER_S >= watch->cpu_seconds)) {
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

static int explain_worker(const struct watch *watch, const struct worker *worker,
                          struct wm_diag *diag)
{
    const struct host_process_end *end = &worker->end;
    if (end->kind == HOST_END_SIGNALLED) {
        return explain_signal(watch, end, diag);
    }
    if (worker->result.kind != WASMC_RESULT) {
        char words[LAST_WORDS_BYTES];
        bool out_of_memory;
        last_words(watch, words, &out_of_memory);
        return wm_diag_set(diag, WM_E_COMPILER,
                           "compiler: it ended with status %d and no result%s%s", end->status,
                           words[0] ? ": " : "", words);
    }
    if (worker->result.code == 0 && end->status == 0) {
        return 0;
    }
    char text[WM_DIAG_TEXT_BYTES];
    wm_diag_quote(text, sizeof text, worker->result.text, strlen(worker->result.text));
    return wm_diag_set(
        diag, code_allowed(worker->result.code) ? worker->result.code : WM_E_COMPILER, "%s", text);
}

static int explain_end(const struct watch *watch, struct wm_diag *diag)
{
    if (watch->timed_out) {
        return wm_diag_set(diag, WM_E_LIMIT, "compiler: it made no progress and was ended");
    }
    if (watch->out_of_cpu) {
        return time_limit(watch, diag);
    }
    if (watch->failed >= 0) {
        return explain_worker(watch, &watch->workers[watch->failed], diag);
    }
    int err = 0;
    for (uint32_t i = 0; i < watch->worker_count && !err; i++) {
        err = explain_worker(watch, &watch->workers[i], diag);
    }
    return err;
}

int wasm_compile(const struct wasm_compile_job *job, struct wm_diag *diag)
{
    struct watch watch = {.job = job, .stderr_fd = -1, .report_fd = -1, .failed = -1};
    int err = set_limits(&watch, diag);
    if (!err) {
        set_workers(&watch);
        err = start(&watch, diag);
    }
    if (!err) {
        err = watch_to_the_end(&watch, diag);
        err = err ? err : explain_end(&watch, diag);
    }
    if (!err && job->progress && watch.total) {
        job->progress(job->progress_self, watch.total, watch.total);
    }
    host_file_close(watch.report_fd);
    host_file_close(watch.stderr_fd);
    return err;
}
