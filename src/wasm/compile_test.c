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
};

static void count_step(void *self, uint32_t done, uint32_t total)
{
    struct steps *steps = self;
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
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_compile_job job = plain_job();
    struct steps steps = {0};
    size_t len = 0;
    uint8_t *bytes = many_functions(2000, &len);
    REQUIRE(bytes);
    job.progress = count_step;
    job.progress_self = &steps;
    CHECK_INT(compile(wm_view_of(bytes, len), &job, NULL, &diag), ==, 0);
    CHECK(steps.calls > 0);
    CHECK_INT(steps.done, ==, steps.total);
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

TEST(compiling_survives_every_failure_here)
{
    const struct wasm_compile_job job = plain_job();
    REQUIRE(begin_pretending());
    REQUIRE(pretend("exit 3"));
    int before = dup(2);
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_IO, &n);) {
        struct wm_diag diag = WM_DIAG_INIT;
        struct wasm_compile_job own = job;
        own.module_fd = own.object_fd = before;
        int module = memfd_create("m", MFD_CLOEXEC);
        own.module_fd = module;
        int err = wasm_compile(&own, &diag);
        CHECK(err < 0 && diag.text[0]);
        CHECK(err == WM_E_COMPILER || wm_fault_fired(WM_FAULT_IO));
        close(module);
    }
    int after = dup(2);
    CHECK_INT(after, ==, before + 1); /* no descriptor was lost */
    close(before);
    close(after);
    end_pretending();
}

TEST_MAIN(TEST_CASE(a_module_becomes_an_object_of_its_key),
          TEST_CASE(the_position_of_the_module_file_does_not_matter),
          TEST_CASE(a_bad_module_is_refused_in_the_compilers_words),
          TEST_CASE(a_limit_on_time_ends_a_compilation),
          TEST_CASE(a_limit_on_memory_ends_a_compilation), TEST_CASE(progress_reaches_its_end),
          TEST_CASE(a_compiler_that_dies_is_reported),
          TEST_CASE(what_a_compiler_says_is_not_believed), TEST_CASE(a_missing_compiler_is_named),
          TEST_CASE(compiling_survives_every_failure_here))
