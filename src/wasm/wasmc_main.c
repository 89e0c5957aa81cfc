/* wardmote-wasmc: module in, object out, and nothing else; or, as one of several workers (wasmc.h),
 * a part of it.
 *
 * The only program that maps LLVM, and the one that meets whatever a hostile module can do to a
 * compiler: explode, hang, abort, or corrupt it. So, in this order: limits on memory and time; the
 * module is read into memory of our own (a file could change between being hashed, validated and
 * compiled); then the doors are closed (host/confine.h), and only then is the first byte of
 * the module looked at. Everything that LLVM needs from the machine is mapped by then.
 *
 * It ends by _exit: taking LLVM's and the arena's memory apart would cost as much as a small
 * compile. */
#include <errno.h>
#include <inttypes.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Support.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/arith.h"
#include "base/error.h"
#include "crypto/hash.h"
#include "host/confine.h"
#include "host/file.h"
#include "wasm/dwarf.h"
#include "wasm/elf.h"
#include "wasm/module.h"
#include "wasm/translate.h"
#include "wasm/wasmc.h"

/* LLVM recurses over the nesting of what it compiles. Beyond this the process dies of SIGSEGV,
 * which its parent reports. */
#define STACK_BYTES (UINT64_C(96) << 20)
#define PROGRESS_NS INT64_C(50000000)

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct request {
    struct wasm_options options;
    struct host_limits limits;
    uint32_t worker, workers;
    uint64_t partition_bytes;
};

/* Needed where LLVM calls us without a word about what it was doing. */
static uint32_t this_worker;

/* The partitions of a module: bodies bounds[i] ... bounds[i + 1] - 1, and what became of them. */
struct partitions {
    uint32_t count, turn;
    uint32_t bounds[WASMC_PARTITIONS_MAX + 1];
    struct wm_view elfs[WASMC_PARTITIONS_MAX]; /* ptr NULL: not here */
};

struct told {
    int64_t last_ns;
    uint32_t before, total; /* functions of the partitions before this one; of the module */
};

/* When the parent is gone this raises SIGPIPE, which ends a compilation that nobody wants any more.
 */
static void tell(const struct wasmc_message *message)
{
    ssize_t put = write(WASMC_FD_REPORT, message, sizeof *message);
    (void)put;
}

_Noreturn static void finish(int code, const char *text, int status)
{
    struct wasmc_message message = {.kind = WASMC_RESULT, .code = code, .worker = this_worker};
    snprintf(message.text, sizeof message.text, "%s", text);
    tell(&message);
    _exit(status);
}

static void fatal(const char *reason)
{
    char text[WM_DIAG_TEXT_BYTES];
    snprintf(text, sizeof text, "compiler: LLVM gave up: %s", reason);
    finish(WM_E_COMPILER, text, 1);
}

static void progress(void *self, uint32_t done, uint32_t total)
{
    struct told *told = self;
    int64_t now = host_monotonic_ns();
    if (now - told->last_ns >= PROGRESS_NS || done == total) {
        told->last_ns = now;
        tell(&(struct wasmc_message){.kind = WASMC_PROGRESS,
                                     .worker = this_worker,
                                     .done = told->before + done,
                                     .total = told->total});
    }
}

static bool parse(char **argv, struct request *out)
{
    uint64_t numbers[WASMC_ARGS];
    for (unsigned i = 0; i < WASMC_ARGS; i++) {
        char *end;
        errno = 0;
        numbers[i] = strtoull(argv[i + 1], &end, 10);
        if (errno || end == argv[i + 1] || *end) {
            return false;
        }
    }
    if (numbers[0] != WASM_COMPILER_VERSION || numbers[1] > WASM_MODE_DET ||
        numbers[2] > WASM_TIER_OPTIMISED || numbers[3] < WASM_CPU_V2 || numbers[3] > WASM_CPU_V4 ||
        numbers[4] > 1 || numbers[5] > 1 || numbers[7] > UINT32_MAX ||
        numbers[9] > WASMC_WORKERS_MAX || numbers[8] >= numbers[9] || numbers[10] == 0) {
        return false;
    }
    *out = (struct request){
        .options = {.mode = (enum wasm_mode)numbers[1],
                    .tier = (enum wasm_tier)numbers[2],
                    .cpu = (enum wasm_cpu)numbers[3],
                    .fuel = numbers[4],
                    .lines = numbers[5]},
        .limits = {.memory_bytes = numbers[6],
                   .cpu_seconds = (uint32_t)numbers[7],
                   .stack_bytes = STACK_BYTES,
                   .file_bytes = WASMC_OBJECT_BYTES_MAX},
        .worker = (uint32_t)numbers[8],
        .workers = (uint32_t)numbers[9],
        .partition_bytes = numbers[10],
    };
    return true;
}

static int read_module(struct wm_view *out, struct wm_diag *diag)
{
    struct host_file_info info = {0};
    int err = host_file_info(WASMC_FD_MODULE, &info);
    if (err) {
        return wm_diag_default(diag, err, "module: reading its size");
    }
    if (info.id.bytes > WASM_MODULE_BYTES_MAX) {
        return wm_diag_set(diag, WM_E_LIMIT, "module: larger than %llu MiB",
                           (unsigned long long)(WASM_MODULE_BYTES_MAX >> 20));
    }
    uint8_t *bytes = wm_alloc(info.id.bytes);
    if (!bytes) {
        return wm_diag_default(diag, -ENOMEM, "module");
    }
    err = host_file_read_at(WASMC_FD_MODULE, 0, bytes, info.id.bytes);
    *out = wm_view_of(bytes, info.id.bytes);
    return err ? wm_diag_default(diag, err, "module: reading it") : 0;
}

/* In det the stack a call needs is counted by wasm_frame_cost, and the stack that it gets is sized
 * by that count: a native frame that is larger would break the sum. */
static int check_frames(const struct wasm_module *module, const struct wasm_elf_image *image,
                        struct wm_diag *diag)
{
    for (uint32_t i = 0; i < module->body_count; i++) {
        const struct wasm_body *body = &module->bodies[i];
        uint32_t func_idx = module->imported_funcs + i, bytes = image->frame_bytes[func_idx];
        uint64_t counted = wasm_frame_cost(&module->types[body->type_idx], body);
        if (bytes == UINT32_MAX || bytes > counted) {
            char name[96];
            wasm_module_func_name(module, func_idx, name, sizeof name);
            return wm_diag_set(diag, WM_E_LIMIT,
                               "%s: its native frame of %u bytes is larger than the %" PRIu64
                               " counted for it in mode det",
                               name, bytes, counted);
        }
    }
    return 0;
}

static void divide(const struct wasm_module *module, uint64_t partition_bytes,
                   struct partitions *out)
{
    uint64_t total = 0, before = 0;
    for (uint32_t i = 0; i < module->body_count; i++) {
        total += module->bodies[i].code.len;
    }
    *out = (struct partitions){.count = wasmc_partitions(total, partition_bytes)};
    /* A body belongs to the partition that its first byte falls in. */
    for (uint32_t i = 0, partition = 0; i < module->body_count; i++) {
        while (partition + 1 < out->count && before * out->count >= total * (partition + 1)) {
            out->bounds[++partition] = i;
        }
        before += module->bodies[i].code.len;
        out->bounds[partition + 1] = i + 1;
    }
    for (uint32_t i = 1; i <= out->count; i++) { /* those that are empty */
        if (out->bounds[i] < out->bounds[i - 1]) {
            out->bounds[i] = out->bounds[i - 1];
        }
    }
}

/* The number of the next partition that is this worker's to translate; false: there is none. */
static bool next_turn(const struct request *request, struct partitions *partitions, uint32_t *out)
{
    uint8_t turn;
    ssize_t got;
    if (request->workers == 1) {
        *out = partitions->turn++;
        return *out < partitions->count;
    }
    do {
        got = read(WASMC_FD_TURNS, &turn, 1);
    } while (got < 0 && errno == EINTR);
    *out = turn;
    return got == 1 && turn < partitions->count; /* they come in order */
}

static int hand_over(uint32_t partition, struct wm_view elf, struct wm_diag *diag)
{
    const struct wasmc_part_head head = {.partition = partition, .bytes = elf.len};
    int err = host_file_write_all(WASMC_FD_OBJECT, wm_view_of(&head, sizeof head));
    err = err ? err : host_file_write_all(WASMC_FD_OBJECT, elf);
    return err ? wm_diag_default(diag, err, "compiler: writing what it made") : 0;
}

static int translate(const struct request *request, const struct wasm_module *module,
                     struct partitions *partitions, struct wm_diag *diag)
{
    struct told told = {.total = module->body_count};
    const struct wasm_translate_progress step = {.step = progress, .self = &told};
    uint32_t turn;
    int err = 0;
    while (!err && next_turn(request, partitions, &turn)) {
        struct wasm_translation translation = {0};
        const struct wasm_translate_part part = {.first = partitions->bounds[turn],
                                                 .end = partitions->bounds[turn + 1],
                                                 .thunks = turn == 0};
        err = wasm_translate(module, &request->options, &part, &step, &translation, diag);
        told.before += part.end - part.first;
        if (!err && request->worker > 0) {
            err = hand_over(turn, translation.elf, diag);
            wasm_translate_release(&translation);
        } else if (!err) {
            partitions->elfs[turn] = translation.elf; /* kept to the end */
        }
    }
    return err;
}

/* Takes what another worker left in `fd`. It translated a hostile module: its file is input. */
static int take_parts(int fd, struct partitions *partitions, struct wm_diag *diag)
{
    struct host_file_info info = {0};
    int err = host_file_info(fd, &info);
    for (uint64_t at = 0; !err && at < info.id.bytes;) {
        struct wasmc_part_head head;
        if (!wm_range_fits(at, sizeof head, info.id.bytes)) {
            break; /* it died while it wrote */
        }
        err = host_file_read_at(fd, at, &head, sizeof head);
        at += sizeof head;
        if (err || !wm_range_fits(at, head.bytes, info.id.bytes)) {
            break;
        }
        if (head.partition >= partitions->count || partitions->elfs[head.partition].ptr) {
            return wm_diag_set(diag, WM_E_COMPILER, "compiler: a partition that nobody asked for");
        }
        uint8_t *bytes = wm_alloc(head.bytes);
        err = bytes ? host_file_read_at(fd, at, bytes, head.bytes) : -ENOMEM;
        partitions->elfs[head.partition] = wm_view_of(bytes, head.bytes);
        at += head.bytes;
    }
    return err ? wm_diag_default(diag, err, "compiler: reading what it made") : 0;
}

static int gather(const struct request *request, struct partitions *partitions,
                  struct wm_diag *diag)
{
    uint8_t none;
    ssize_t got;
    do {
        got = request->workers > 1 ? read(WASMC_FD_DONE, &none, 1) : 0;
    } while (got < 0 && errno == EINTR);
    int err = 0;
    for (uint32_t i = 1; i < request->workers && !err; i++) {
        err = take_parts(WASMC_FD_PARTS + (int)i - 1, partitions, diag);
    }
    for (uint32_t i = 0; i < partitions->count && !err; i++) {
        if (!partitions->elfs[i].ptr) {
            finish(WM_E_COMPILER, "compiler: a part of the module was not compiled",
                   WASMC_EXIT_LACKS);
        }
    }
    return err;
}

static int link_and_write(const struct request *request, const struct wasm_module *module,
                          const struct partitions *partitions, const uint8_t sha256[32],
                          struct wm_arena *arena, struct wm_diag *diag)
{
    struct wasm_elf_image image;
    int err = wasm_elf_link(partitions->elfs, partitions->count, module->func_count,
                            module->type_count, arena, &image, diag);
    if (!err && request->options.mode == WASM_MODE_DET) {
        err = check_frames(module, &image, diag);
    }
    return err ? err
               : wasm_object_write(WASMC_FD_OBJECT, module, sha256, &request->options, &image,
                                   arena, diag);
}

static int compile(struct wm_view bytes, const struct request *request, struct wm_diag *diag)
{
    struct wm_arena arena;
    struct wasm_module *module;
    struct partitions partitions;
    uint8_t sha256[WM_SHA256_BYTES];

    wm_arena_init(&arena, 0); /* the limit is the process's */
    int err = wasm_module_decode(bytes, &arena, &module, diag);
    err = err ? err : wasm_module_validate(module, diag);
    if (!err && request->options.lines) {
        err = wasm_dwarf_bodies(module, &arena);
    }
    if (!err) {
        divide(module, request->partition_bytes, &partitions);
        err = translate(request, module, &partitions, diag);
    }
    if (err || request->worker > 0) {
        return err;
    }
    wm_sha256_once(bytes, sha256);
    err = gather(request, &partitions, diag);
    return err ? err : link_and_write(request, module, &partitions, sha256, &arena, diag);
}

int main(int argc, char **argv)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct request request;
    struct wm_view bytes;
    if (argc != WASMC_ARGS + 1 || !parse(argv, &request)) {
        fputs("wardmote-wasmc: run by wardmote, not by hand; see `wardmote help compile`\n",
              stderr);
        return 2;
    }
    this_worker = request.worker;
    /* LLVM allocates millions of small pieces and gives little back before the end: returning
     * memory to the kernel and merging free pieces early would be a tenth of a fast compilation. */
    (void)mallopt(M_MXFAST, 0);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
    (void)mallopt(M_TOP_PAD, 16 << 20);
    (void)mallopt(M_MMAP_THRESHOLD, 32 << 20); /* the most that it takes */
    /* What LLVM's interface has no other switch for. Where variables lie is not asked for, only
     * lines, yet looking for them is a tenth of the optimised tier; and what a pass for mask
     * registers finds in guests was never worth its time. With fuel, loop strength reduction is
     * left out: it follows the counter from loop to loop, in time cubic in their number, and gains
     * nothing. */
    static const char *const options[] = {"wardmote-wasmc",
                                          "-experimental-debug-variable-locations=false",
                                          "-disable-x86-domain-reassignment", "-disable-lsr"};
    bool counted = request.options.fuel || request.options.mode == WASM_MODE_DET;
    LLVMParseCommandLineOptions((int)WM_COUNT_OF(options) - !counted, options, NULL);
    LLVMInstallFatalErrorHandler(fatal);
    if (SANITIZED) {
        /* The sanitizer's shadow is terabytes of address space, and it opens files to report. */
        request.limits.memory_bytes = 0;
    }
    int err = host_confine_limits(&request.limits);
    if (err) {
        wm_diag_default(&diag, err, "compiler: setting its limits");
    }
    err = err ? err : read_module(&bytes, &diag);
    if (!err && !SANITIZED) {
        err = host_confine_compute();
        if (err == WM_E_MISSING) {
            wm_diag_set(&diag, err,
                        "compiler: this kernel has no seccomp filters "
                        "(CONFIG_SECCOMP_FILTER), and it does not run unconfined");
        } else if (err) {
            wm_diag_default(&diag, err, "compiler: confining itself");
        }
    }
    err = err ? err : compile(bytes, &request, &diag);
    if (err == -ENOMEM) {
        err = wm_diag_set(&diag, WM_E_LIMIT, "compiler: its memory limit of %llu MiB was reached",
                          (unsigned long long)(request.limits.memory_bytes >> 20));
    }
    finish(err, err ? wm_diag_text(&diag) : "", err ? 1 : 0);
}
