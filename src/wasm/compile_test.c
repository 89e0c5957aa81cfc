/* compile_test.c: the compiler process, the real one and ones that misbehave.
 *
 * WARDMOTE_WASMC names the real one (the build sets it). The others are shell scripts, written
 * here: what the real one would do only when LLVM fails, they do at once. */
#include "wasm/compile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "crypto/hash.h"
#include "host/file.h"
#include "wasm/cache.h"
#include "wasm/object_sample.h"
#include "wasm/wasmc.h"

static int memory_file(struct wm_view bytes)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    if (fd >= 0 && (host_file_write_all(fd, bytes) != 0 || lseek(fd, 3, SEEK_SET) != 3)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Compiles `module`; *object_fd where not NULL is the object. */
static int compile(struct wm_view module, const struct wasm_compile_job *like, int *object_fd,
                   struct wm_diag *diag)
{
    struct wasm_compile_job job = *like;
    job.module_fd = memory_file(module);
    job.object_fd = memory_file((struct wm_view){0});
    lseek(job.object_fd, 0, SEEK_SET);
    int err = wasm_compile(&job, diag);
    close(job.module_fd);
    if (object_fd && !err) {
        *object_fd = job.object_fd;
    } else {
        close(job.object_fd);
    }
    return err;
}

static struct wasm_compile_job plain_job(void)
{
    return (struct wasm_compile_job){.options = wasm_sample_options()};
}

/* The sample with a line table (DWARF 4) behind it: all its code is line 1 of a.c. */
static struct wm_view module_with_lines(uint8_t out[1024])
{
    static const uint8_t table[] = {
        0,  62,  11,  '.',  'd', 'e', 'b', 'u', 'g', '_', 'l', 'i', 'n', 'e', /* custom section */
        46, 0,   0,   0,    4,   0,  /* the unit's length, version */
        27, 0,   0,   0,             /* its header's length */
        1,  1,   1,   0xfb, 14,  13, /* line base -5, line range, opcode base */
        0,  1,   1,   1,    1,   0,   0,   0,   1,   0,   0,   1, /* operands of the opcodes */
        0,  'a', '.', 'c',  0,   0,   0,   0,   0,                /* files */
        0,  5,   2,   1,    0,   0,   0, /* set_address 1; 0 is that of dropped functions */
        1,  2,   100, 0,    1,   1};     /* copy, advance_pc, end */
    struct wm_view sample = wasm_sample_module();
    memcpy(out, sample.ptr, sample.len);
    memcpy(out + sample.len, table, sizeof table);
    return wm_view_of(out, sample.len + sizeof table);
}

TEST(a_module_becomes_an_object_of_its_key)
{
    struct wm_diag diag = WM_DIAG_INIT;
    uint8_t room[1024];
    const struct wm_view modules[] = {wasm_sample_module(), module_with_lines(room)};
    for (int variant = 0; variant < 2 * 3 * 2; variant++) {
        struct wasm_compile_job job = plain_job();
        struct wasm_object_key key;
        uint8_t *bytes = NULL, sha256[32];
        size_t len = 0;
        int fd = -1;
        bool with_lines = variant % 2;
        job.options.tier = (enum wasm_tier)(variant / 2 % 2);
        job.options.mode = (enum wasm_mode)(variant / 4);
        CHECK_INT(compile(modules[with_lines], &job, &fd, &diag), ==, 0);
        CHECK_STR(diag.text, "");
        REQUIRE(fd >= 0 && lseek(fd, 0, SEEK_SET) == 0);
        REQUIRE(host_file_read_all(fd, 1 << 20, &bytes, &len) == 0);
        close(fd);
        CHECK_INT(wasm_object_check(wm_view_of(bytes, len), true, &diag), ==, 0);
        wm_sha256_once(modules[with_lines], sha256);
        wasm_object_key_of(sha256, &job.options, &key);
        const struct wasm_object_header *header = (const void *)bytes;
        CHECK(memcmp(&header->key, &key, sizeof key) == 0);
        CHECK_INT(header->imported_funcs, ==, 1);
        /* Offsets are kept for the functions whose lines the module knows, and for no others. */
        CHECK((header->sections[WASM_OBJECT_LINES].count > 0) == with_lines);
        CHECK((header->sections[WASM_OBJECT_SOURCES].count > 0) == with_lines);
        CHECK(header->sections[WASM_OBJECT_UNWIND].count > 0);
        wm_free(bytes);
    }
}

TEST(the_position_of_the_module_file_does_not_matter)
{
    struct wasm_compile_job job = plain_job();
    struct wm_diag diag = WM_DIAG_INIT;
    job.module_fd = memory_file(wasm_sample_module());
    job.object_fd = memory_file((struct wm_view){0});
    CHECK_INT(wasm_compile(&job, &diag), ==, 0);
    CHECK_INT(lseek(job.module_fd, 0, SEEK_CUR), ==, 3);
    close(job.module_fd);
    close(job.object_fd);
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    job.module_fd = ends[0];
    CHECK_INT(wasm_compile(&job, &diag), ==, -EINVAL);
    CHECK_STR(diag.text, "module: not a regular file");
    close(ends[0]);
    close(ends[1]);
}

TEST(a_bad_module_is_refused_in_the_compilers_words)
{
    static const uint8_t invalid[] = {
        0, 'a', 's', 'm',  1, 0, 0,    0, /* one function: () -> i32 */
        1, 5,   1,   0x60, 0, 1, 0x7f, 3, 2, 1, 0, 10, 4, 1, 2, 0, 0x0b};
    const struct wasm_compile_job job = plain_job();
    struct wm_diag diag = WM_DIAG_INIT;
    CHECK_INT(compile(wm_view_str("no module"), &job, NULL, &diag), ==, WM_E_MALFORMED);
    CHECK(strlen(diag.text) > 10);
    CHECK_INT(compile((struct wm_view){0}, &job, NULL, &diag), ==, WM_E_MALFORMED);
    CHECK_INT(compile(wm_view_of(invalid, sizeof invalid), &job, NULL, &diag), ==, WM_E_INVALID);
    CHECK(strstr(diag.text, "type mismatch"));
    CHECK_INT(compile(wm_view_of("\0asm\r\0\1\0", 8), &job, NULL, &diag), ==, WM_E_UNSUPPORTED);
    CHECK(strstr(diag.text, "component"));
}

static size_t put_uleb(uint8_t *out, uint64_t value)
{
    size_t len = 0;
    do {
        out[len++] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value);
    return len;
}

/* A valid module of `count` functions with some work in each. */
static uint8_t *many_functions(uint32_t count, size_t *len)
{
    /* local.get 0; local.get 0; i32.mul; i32.const 77; i32.rem_u ... in a loop that br_if's */
    static const uint8_t body[] = {29,   0, 0x03, 0x7f, 0x20, 0,    0x20, 0,    0x6c, 0x41,
                                   0xcd, 0, 0x70, 0x20, 0,    0x41, 1,    0x6b, 0x22, 0,
                                   0x0d, 0, 0x20, 0,    0x6a, 0x41, 3,    0x6c, 0x0b, 0x0b};
    static const uint8_t start[] = {0, 'a', 's', 'm', 1, 0, 0, 0, 1, 6, 1, 0x60, 1, 0x7f, 1, 0x7f};
    uint8_t *bytes = wm_alloc(100 + (size_t)count * (sizeof body + 1));
    uint8_t number[10];
    if (!bytes) {
        return NULL;
    }
    memcpy(bytes, start, sizeof start);
    size_t at = sizeof start, number_len = put_uleb(number, count);
    bytes[at++] = 3;
    at += put_uleb(bytes + at, number_len + count);
    memcpy(bytes + at, number, number_len);
    at += number_len;
    memset(bytes + at, 0, count);
    at += count;
    bytes[at++] = 10;
    at += put_uleb(bytes + at, number_len + (uint64_t)count * sizeof body);
    memcpy(bytes + at, number, number_len);
    at += number_len;
    for (uint32_t i = 0; i < count; i++, at += sizeof body) {
        memcpy(bytes + at, body, sizeof body);
    }
    *len = at;
    return bytes;
}

struct steps {
    unsigned calls;
    uint32_t done, total;
    bool ordered; /* it never went back */
};

static void count_step(void *self, uint32_t done, uint32_t total)
{
    struct steps *steps = self;
    steps->ordered = (steps->calls == 0 || steps->ordered) && done >= steps->done && done <= total;
    steps->calls++;
    steps->done = done;
    steps->total = total;
}

TEST(a_limit_on_time_ends_a_compilation)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_compile_job job = plain_job();
    size_t len = 0;
    uint8_t *bytes = many_functions(40000, &len);
    REQUIRE(bytes);
    job.options.tier = WASM_TIER_OPTIMISED;
    job.limits.cpu_seconds = 1;
    CHECK_INT(compile(wm_view_of(bytes, len), &job, NULL, &diag), ==, WM_E_LIMIT);
    CHECK(strstr(diag.text, "1 seconds of CPU time"));
    wm_free(bytes);
}

TEST(a_limit_on_memory_ends_a_compilation)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_compile_job job = plain_job();
    size_t len = 0;
#ifdef __SANITIZE_ADDRESS__
    SKIP("AddressSanitizer needs terabytes of address space, so the compiler sets no limit");
#endif
    uint8_t *bytes = many_functions(40000, &len);
    REQUIRE(bytes);
    job.limits.memory_bytes = 220 << 20; /* LLVM itself maps some 150 MiB */
    CHECK_INT(compile(wm_view_of(bytes, len), &job, NULL, &diag), ==, WM_E_LIMIT);
    CHECK(strstr(diag.text, "220 MiB"));
    wm_free(bytes);
}

TEST(progress_reaches_its_end)
{
    for (uint32_t processes = 1; processes <= 4; processes += 3) {
        struct wm_diag diag = WM_DIAG_INIT;
        struct wasm_compile_job job = plain_job();
        struct steps steps = {0};
        size_t len = 0;
        uint8_t *bytes = many_functions(2000, &len);
        REQUIRE(bytes);
        setenv("WARDMOTE_PARTITION_BYTES", "6000", 1);
        job.limits.processes = processes;
        job.progress = count_step;
        job.progress_self = &steps;
        CHECK_INT(compile(wm_view_of(bytes, len), &job, NULL, &diag), ==, 0);
        CHECK(steps.calls > 0);
        CHECK(steps.ordered);
        CHECK_INT(steps.done, ==, steps.total);
        CHECK_INT(steps.total, ==, 2000);
        wm_free(bytes);
        unsetenv("WARDMOTE_PARTITION_BYTES");
    }
}

/* --- Several workers --- */

/* The object's content; NULL when it was not compiled. */
static uint8_t *object_of(struct wm_view module, const struct wasm_compile_job *job, size_t *len)
{
    struct wm_diag diag = WM_DIAG_INIT;
    uint8_t *bytes = NULL;
    int fd = -1;
    CHECK_INT(compile(module, job, &fd, &diag), ==, 0);
    CHECK_STR(diag.text, "");
    if (fd < 0 || lseek(fd, 0, SEEK_SET) != 0 ||
        host_file_read_all(fd, 64 << 20, &bytes, len) != 0) {
        bytes = NULL;
    }
    host_file_close(fd);
    return bytes;
}

TEST(the_object_is_the_same_however_many_workers)
{
    struct wm_diag diag = WM_DIAG_INIT;
    size_t len = 0;
    uint8_t *bytes = many_functions(WASMC_PARTITION_BYTES * 3 / 26, &len);
    REQUIRE(bytes);
    for (int mode = WASM_MODE_GUARD; mode <= WASM_MODE_DET; mode += 2) {
        struct wasm_compile_job job = plain_job();
        uint8_t *objects[3];
        size_t lens[3];
        job.options.mode = (enum wasm_mode)mode;
        job.options.tier = WASM_TIER_O0;
        for (unsigned i = 0; i < 3; i++) {
            job.limits.processes = 1 + i + i / 2; /* 1, 2, 4 */
            objects[i] = object_of(wm_view_of(bytes, len), &job, &lens[i]);
            REQUIRE(objects[i]);
            CHECK(wm_view_eq(wm_view_of(objects[i], lens[i]), wm_view_of(objects[0], lens[0])));
        }
        CHECK_INT(wasm_object_check(wm_view_of(objects[0], lens[0]), true, &diag), ==, 0);
        for (unsigned i = 0; i < 3; i++) {
            wm_free(objects[i]);
        }
    }
    wm_free(bytes);
}

/* Down to partitions smaller than a function, of which many are empty. */
TEST(every_partition_size_compiles)
{
    static const char *const sizes[] = {"1", "7", "20", "64", "1000", "100000"};
    size_t len = 0, object_len = 0;
    uint8_t *bytes = many_functions(50, &len);
    REQUIRE(bytes);
    for (size_t i = 0; i < WM_COUNT_OF(sizes); i++) {
        struct wasm_compile_job job = plain_job();
        struct wm_diag diag = WM_DIAG_INIT;
        job.limits.processes = 1 + (uint32_t)i % 3;
        setenv("WARDMOTE_PARTITION_BYTES", sizes[i], 1);
        uint8_t *object = object_of(wm_view_of(bytes, len), &job, &object_len);
        REQUIRE(object);
        CHECK_INT(wasm_object_check(wm_view_of(object, object_len), true, &diag), ==, 0);
        wm_free(object);
        object = object_of(wasm_sample_module(), &job, &object_len);
        REQUIRE(object);
        CHECK_INT(wasm_object_check(wm_view_of(object, object_len), true, &diag), ==, 0);
        wm_free(object);
    }
    unsetenv("WARDMOTE_PARTITION_BYTES");
    wm_free(bytes);
}

static bool no_children(void)
{
    return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD;
}

TEST(workers_share_one_limit_on_time)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_compile_job job = plain_job();
    size_t len = 0;
    uint8_t *bytes = many_functions(40000, &len);
    REQUIRE(bytes);
    job.options.tier = WASM_TIER_OPTIMISED;
    job.limits = (struct wasm_compile_limits){.cpu_seconds = 1, .processes = 4};
    CHECK_INT(compile(wm_view_of(bytes, len), &job, NULL, &diag), ==, WM_E_LIMIT);
    CHECK(strstr(diag.text, "1 seconds of CPU time"));
    CHECK(no_children());
    wm_free(bytes);
}

TEST(a_worker_out_of_memory_ends_all)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_compile_job job = plain_job();
#ifdef __SANITIZE_ADDRESS__
    SKIP("AddressSanitizer needs terabytes of address space, so the compiler sets no limit");
#endif
    size_t len = 0;
    uint8_t *bytes = many_functions(120000, &len);
    REQUIRE(bytes);
    job.limits = (struct wasm_compile_limits){.memory_bytes = 200 << 20, .processes = 3};
    CHECK_INT(compile(wm_view_of(bytes, len), &job, NULL, &diag), ==, WM_E_LIMIT);
    CHECK(strstr(diag.text, "200 MiB"));
    CHECK(no_children());
    wm_free(bytes);
}

/* --- Compilers that misbehave --- */

static char script_path[64];

/* Makes WARDMOTE_WASMC a script that ends with `line`. */
static bool pretend(const char *line)
{
    FILE *file = fopen(script_path, "we");
    bool ok = file && fprintf(file, "#!/bin/sh\n%s\n", line) > 0;
    ok = (!file || fclose(file) == 0) && ok && chmod(script_path, 0700) == 0;
    return ok && setenv("WARDMOTE_WASMC", script_path, 1) == 0;
}

static char *real;

static bool begin_pretending(void)
{
    const char *given = getenv("WARDMOTE_WASMC");
    real = given ? wm_strdup(given) : NULL;
    strcpy(script_path, "/tmp/wm-wasmc-XXXXXX");
    int fd = mkstemp(script_path);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static void end_pretending(void)
{
    unlink(script_path);
    if (real) {
        setenv("WARDMOTE_WASMC", real, 1);
    }
    wm_free(real);
}

TEST(a_compiler_that_dies_is_reported)
{
    static const struct {
        const char *line;
        int code;
        const char *text;
    } cases[] = {
        {"kill -SEGV $$", WM_E_COMPILER, "compiler: it died of SIGSEGV"},
        {"echo 'LLVM ERROR: Cannot select: x' >&2; kill -ABRT $$", WM_E_COMPILER,
         "compiler: it died of SIGABRT: LLVM ERROR: Cannot select: x"},
        {"printf 'Assertion \\033[1m' >&2; kill -ABRT $$", WM_E_COMPILER,
         "compiler: it died of SIGABRT: Assertion \\x1b[1m"},
        {"echo 'LLVM ERROR: out of memory' >&2; kill -ABRT $$", WM_E_LIMIT,
         "compiler: it needs more than its limit of 4096 MiB of memory; a larger limit, or the O0 "
         "tier, may do"},
        {"kill -XCPU $$", WM_E_LIMIT,
         "compiler: not done after 60 seconds of CPU time; a larger limit, or the O0 tier, may do"},
        {"kill -KILL $$", WM_E_COMPILER, "compiler: it died of SIGKILL"},
        {"exit 0", WM_E_COMPILER, "compiler: it ended with status 0 and no result"},
        {"exit 3", WM_E_COMPILER, "compiler: it ended with status 3 and no result"},
        {"echo half a message >&3", WM_E_COMPILER,
         "compiler: it ended with status 0 and no result"},
        {"head -c 100000 /dev/zero >&3; exit 4", WM_E_COMPILER,
         "compiler: it ended with status 4 and no result"},
    };
    const struct wasm_compile_job job = plain_job();
    REQUIRE(begin_pretending());
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        struct wm_diag diag = WM_DIAG_INIT;
        REQUIRE(pretend(cases[i].line));
        CHECK_INT(compile(wasm_sample_module(), &job, NULL, &diag), ==, cases[i].code);
        CHECK_STR(diag.text, cases[i].text);
    }
    end_pretending();
}

/* The failure of one worker ends the others at once and is the one that is reported. */
TEST(a_worker_that_dies_is_reported)
{
    static const struct {
        const char *line; /* $1 is the version, $9 the worker */
        int code;
        const char *text;
    } cases[] = {
        {"test $9 != 2 || kill -SEGV $$; exec sleep 100", WM_E_COMPILER,
         "compiler: it died of SIGSEGV"},
        {"test $9 != 0 || kill -ABRT $$; exec sleep 100", WM_E_COMPILER,
         "compiler: it died of SIGABRT"},
        {"test $9 != 1 || { echo 'LLVM ERROR: out of memory' >&2; kill -ABRT $$; }; exec sleep 100",
         WM_E_LIMIT,
         "compiler: it needs more than its limit of 4096 MiB of memory; a larger limit, or the O0 "
         "tier, may do"},
        {"test $9 != 2 || exit 3; exec sleep 100", WM_E_COMPILER,
         "compiler: it ended with status 3 and no result"},
        /* Worker 0 says that something is missing; why is said by who did not do it. */
        {"test $9 != 0 || exit 9; sleep 0.2; test $9 != 1 || kill -BUS $$; exec sleep 100",
         WM_E_COMPILER, "compiler: it died of SIGBUS"},
        {"test $9 != 0 || exit 9; exit 0", WM_E_COMPILER,
         "compiler: it ended with status 9 and no result"},
    };
    struct wasm_compile_job job = plain_job();
    size_t len = 0;
    uint8_t *bytes = many_functions(10, &len);
    REQUIRE(bytes && begin_pretending());
    setenv("WARDMOTE_PARTITION_BYTES", "20", 1);
    job.limits.processes = 3;
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        struct wm_diag diag = WM_DIAG_INIT;
        REQUIRE(pretend(cases[i].line));
        int64_t begun = host_monotonic_ns();
        CHECK_INT(compile(wm_view_of(bytes, len), &job, NULL, &diag), ==, cases[i].code);
        CHECK_STR(diag.text, cases[i].text);
        CHECK(host_monotonic_ns() - begun < INT64_C(50000000000));
        CHECK(no_children());
    }
    wm_free(bytes);
    unsetenv("WARDMOTE_PARTITION_BYTES");
    end_pretending();
}

/* Worker 0 is the real one; another ends well but leaves something else than its part. */
TEST(what_a_worker_leaves_is_not_believed)
{
    static const struct {
        const char *line, *text;
    } cases[] = {
        {":", "compiler: a part of the module was not compiled"},
        {"head -c 7 /dev/zero >&1", "compiler: a part of the module was not compiled"},
        {"printf '\\377\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0' >&1",
         "compiler: a partition that nobody asked for"},
        {"printf '\\1\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\377' >&1",
         "compiler: a part of the module was not compiled"},
    };
    struct wasm_compile_job job = plain_job();
    struct wasmc_message message = {.kind = WASMC_RESULT, .worker = 1};
    char path[96], line[1024];
    size_t len = 0;
    uint8_t *bytes = many_functions(10, &len);
    REQUIRE(bytes && begin_pretending());
    REQUIRE(real);
    setenv("WARDMOTE_PARTITION_BYTES", "20", 1);
    job.limits.processes = 2;
    snprintf(path, sizeof path, "%s.message", script_path);
    REQUIRE(host_file_replace(AT_FDCWD, path, wm_view_of(&message, sizeof message), 0600, false,
                              NULL) == 0);
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        struct wm_diag diag = WM_DIAG_INIT;
        /* It takes one turn, so that worker 0 cannot do without it. */
        snprintf(line, sizeof line,
                 "if test $9 = 0; then sleep 0.5; exec %s \"$@\"; fi\n"
                 "head -c 1 <&4 >/dev/null; %s; cat %s >&3; exit 0",
                 real, cases[i].line, path);
        REQUIRE(pretend(line));
        CHECK_INT(compile(wm_view_of(bytes, len), &job, NULL, &diag), ==, WM_E_COMPILER);
        CHECK_STR(diag.text, cases[i].text);
        CHECK(no_children());
    }
    unlink(path);
    wm_free(bytes);
    unsetenv("WARDMOTE_PARTITION_BYTES");
    end_pretending();
}

TEST(what_a_compiler_says_is_not_believed)
{
    struct wm_diag diag = WM_DIAG_INIT;
    const struct wasm_compile_job job = plain_job();
    struct wasmc_message message = {.kind = WASMC_RESULT, .code = -EACCES};
    char path[96], line[128];
    REQUIRE(begin_pretending());
    snprintf(path, sizeof path, "%s.message", script_path);
    snprintf(line, sizeof line, "cat %s >&3; exit ${STATUS:-1}", path);
    REQUIRE(pretend(line));

    /* A code that it may not give, and a text without an end. */
    memset(message.text, 'x', sizeof message.text);
    message.text[3] = '\n';
    REQUIRE(host_file_replace(AT_FDCWD, path, wm_view_of(&message, sizeof message), 0600, false,
                              NULL) == 0);
    CHECK_INT(compile(wasm_sample_module(), &job, NULL, &diag), ==, WM_E_COMPILER);
    CHECK(strncmp(diag.text, "xxx\\x0ax", 8) == 0);

    /* "Done", but the exit status says otherwise. */
    message = (struct wasmc_message){.kind = WASMC_RESULT, .code = 0};
    REQUIRE(host_file_replace(AT_FDCWD, path, wm_view_of(&message, sizeof message), 0600, false,
                              NULL) == 0);
    CHECK_INT(compile(wasm_sample_module(), &job, NULL, &diag), ==, WM_E_COMPILER);
    unlink(path);
    end_pretending();
}

TEST(a_missing_compiler_is_named)
{
    struct wm_diag diag = WM_DIAG_INIT;
    const struct wasm_compile_job job = plain_job();
    REQUIRE(begin_pretending());
    setenv("WARDMOTE_WASMC", "/nowhere/wasmc", 1);
    CHECK_INT(compile(wasm_sample_module(), &job, NULL, &diag), ==, WM_E_MISSING);
    CHECK_STR(diag.text, "compiler: /nowhere/wasmc, named by WARDMOTE_WASMC, cannot be executed");
    end_pretending();
}

static void check_every_failure(struct wasm_compile_job job)
{
    size_t len = 0;
    uint8_t *bytes = many_functions(10, &len);
    REQUIRE(bytes && begin_pretending());
    REQUIRE(pretend("exit 3"));
    int before = dup(2);
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_IO, &n);) {
        struct wm_diag diag = WM_DIAG_INIT;
        struct wasm_compile_job own = job;
        own.module_fd = own.object_fd = before;
        int module = memory_file(wm_view_of(bytes, len));
        own.module_fd = module;
        int err = wasm_compile(&own, &diag);
        CHECK(err < 0 && diag.text[0]);
        CHECK(err == WM_E_COMPILER || wm_fault_fired(WM_FAULT_IO));
        CHECK(no_children());
        close(module);
    }
    int after = dup(2);
    CHECK_INT(after, ==, before + 1); /* no descriptor was lost */
    close(before);
    close(after);
    wm_free(bytes);
    end_pretending();
}

TEST(compiling_survives_every_failure_here)
{
    struct wasm_compile_job job = plain_job();
    check_every_failure(job);
    setenv("WARDMOTE_PARTITION_BYTES", "20", 1);
    job.limits.processes = 3;
    check_every_failure(job);
    unsetenv("WARDMOTE_PARTITION_BYTES");
}

TEST_MAIN(TEST_CASE(a_module_becomes_an_object_of_its_key),
          TEST_CASE(the_position_of_the_module_file_does_not_matter),
          TEST_CASE(a_bad_module_is_refused_in_the_compilers_words),
          TEST_CASE(a_limit_on_time_ends_a_compilation),
          TEST_CASE(a_limit_on_memory_ends_a_compilation), TEST_CASE(progress_reaches_its_end),
          TEST_CASE(the_object_is_the_same_however_many_workers),
          TEST_CASE(every_partition_size_compiles), TEST_CASE(workers_share_one_limit_on_time),
          TEST_CASE(a_worker_out_of_memory_ends_all), TEST_CASE(a_worker_that_dies_is_reported),
          TEST_CASE(what_a_worker_leaves_is_not_believed),
          TEST_CASE(a_compiler_that_dies_is_reported),
          TEST_CASE(what_a_compiler_says_is_not_believed), TEST_CASE(a_missing_compiler_is_named),
          TEST_CASE(compiling_survives_every_failure_here))
