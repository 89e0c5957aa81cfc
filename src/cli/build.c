/* build.c: `wardmote build`: Debian's clang for WebAssembly, with the flags that one would have to
 * know.
 *
 * What a compiler for another machine must not see is this machine: its headers are kept out
 * (Debian's clang would look in /usr/include for what the guests' library lacks, and a header found
 * there compiles into nonsense), and so are the environment variables that point at them (tool.c).
 * What is no option of ours is clang's. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define GUEST_INCLUDE "/usr/include/wasm32-wasi"
#define GUEST_LIB "/usr/lib/wasm32-wasi"

struct request {
    const char **args; /* clang's, in order */
    size_t arg_count;
    const char *out;
    bool verbose, library, level, reactor, faaslet, cxx, no_link, debug;
    const char *source; /* the first */
    bool shared, loads; /* a library for run-time loading; a program that loads such */
};

/* What each kind of build needs, with the package that has it. */
static const struct {
    const char *path, *what, *package;
    bool cxx_only;
} needs[] = {
    {GUEST_INCLUDE "/stdio.h", "the guests' C library", "wasi-libc", false},
    {"/usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a",
     "the compiler's support library", "libclang-rt-19-dev-wasm32", false},
    {GUEST_LIB "/libc++.a", "the guests' C++ library", "libc++-19-dev-wasm32", true},
    {GUEST_LIB "/libc++abi.a", "the guests' C++ library", "libc++abi-19-dev-wasm32", true},
};

static bool ends_in(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

static bool is_cxx(const char *path)
{
    return ends_in(path, ".cc") || ends_in(path, ".cpp") || ends_in(path, ".cxx") ||
           ends_in(path, ".C");
}

/* Clang options whose value is the next argument, so that the value is not taken for a file. */
static bool takes_value(const char *text)
{
    static const char *const with_value[] = {
        "-I",         "-L",       "-l",      "-D",     "-U",  "-x",  "-include", "-isystem",
        "-idirafter", "-Xlinker", "-Xclang", "-mllvm", "-MF", "-MT", "-MQ",      "-iquote"};
    for (size_t i = 0; i < WM_COUNT_OF(with_value); i++) {
        if (strcmp(text, with_value[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int missing(const char *what, const char *package)
{
    return cli_error(CLI_MISSING, "build: %s: not installed; as root: apt-get install %s", what,
                     package);
}

/* Where sdk/posix lies: installed, or beside the build folder of a source tree (or build/sanitize
 * in it). */
static bool find_sdk(char *out, size_t out_bytes)
{
    static const char *const places[] = {"../share/wardmote/sdk", "../sdk", "../../sdk"};
    char folder[PATH_MAX];
    if (!cli_program_folder(folder, sizeof folder)) {
        return false;
    }
    for (size_t i = 0; i < WM_COUNT_OF(places); i++) {
        int len = snprintf(out, out_bytes, "%s/%s/posix", folder, places[i]);
        if (len > 0 && (size_t)len < out_bytes && access(out, R_OK) == 0) {
            return true;
        }
    }
    return false;
}

static int read_args(struct request *request, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) {
            cli_help(&cli_verb_build);
            exit(CLI_DONE);
        }
        if (strcmp(text, "-o") == 0 || takes_value(text)) {
            if (i + 1 >= argc) {
                return cli_error(CLI_USAGE, "build: %s needs a value", text);
            }
            if (strcmp(text, "-o") == 0) {
                request->out = argv[++i];
            } else {
                request->args[request->arg_count++] = text;
                request->args[request->arg_count++] = argv[++i];
            }
            continue;
        }
        if (strncmp(text, "-o", 2) == 0) {
            request->out = text + 2;
            continue;
        }
        if (strcmp(text, "--verbose") == 0) {
            request->verbose = true;
            continue;
        }
        if (strcmp(text, "--reactor") == 0) {
            request->reactor = true;
            continue;
        }
        if (strcmp(text, "--faaslet") == 0) {
            request->faaslet = request->reactor = true;
            continue;
        }
        if (strcmp(text, "--shared") == 0 || strcmp(text, "--dlopen") == 0) {
            *(text[2] == 's' ? &request->shared : &request->loads) = true;
            continue;
        }
        if (text[0] != '-') {
            if (access(text, R_OK) != 0) {
                return cli_error(CLI_USAGE, "%s: cannot be read: %m", text);
            }
            request->source = request->source ? request->source : text;
            request->cxx = request->cxx || is_cxx(text);
        }
        request->level = request->level || strncmp(text, "-O", 2) == 0;
        request->debug = request->debug || strncmp(text, "-g", 2) == 0;
        request->no_link = request->no_link || strcmp(text, "-c") == 0 || strcmp(text, "-S") == 0 ||
                           strcmp(text, "-E") == 0;
        request->args[request->arg_count++] = text;
    }
    if (!request->source) {
        return cli_error(CLI_USAGE, "build: no source file given: wardmote build %s",
                         cli_verb_build.arguments);
    }
    if (!request->out) {
        return cli_error(CLI_USAGE, "build: no -o OUT.wasm given");
    }
    return 0;
}

/* From PATH, else from where Debian's package puts it. */
static int find_tool(const char *name, const char *fixed, char out[PATH_MAX])
{
    if (cli_find_tool(name, out, PATH_MAX)) {
        return 0;
    }
    snprintf(out, PATH_MAX, "%s", fixed);
    return access(out, X_OK);
}

static int check_tools(const struct request *request, char clang[PATH_MAX], char linker[PATH_MAX])
{
    if (find_tool("clang-19", "/usr/lib/llvm-19/bin/clang", clang)) {
        return missing("clang-19", "clang-19");
    }
    if (find_tool("wasm-ld-19", "/usr/lib/llvm-19/bin/wasm-ld", linker) && !request->no_link) {
        return missing("wasm-ld-19", "lld-19");
    }
    for (size_t i = 0; i < WM_COUNT_OF(needs); i++) {
        if ((request->cxx || !needs[i].cxx_only) && access(needs[i].path, R_OK) != 0) {
            return missing(needs[i].what, needs[i].package);
        }
    }
    return 0;
}

struct words {
    const char **at;
    size_t count;
};

static void add(struct words *words, const char *word)
{
    words->at[words->count++] = word;
}

static void add_all(struct words *words, const char *const *flags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        add(words, flags[i]);
    }
}

static const char *const flags_always[] = {
    "--target=wasm32-wasi",
    /* The guests' headers and no others; ours for what they lack come before them. */
    "-nostdlibinc",
    "-msimd128",
    "-mbulk-memory",
    "-msign-ext",
    "-mnontrapping-fptoint",
    "-mmutable-globals",
    "-fno-exceptions",
    /* What wasi-libc has as emulations, each a library of its own that costs nothing when unused.
     */
    "-D_WASI_EMULATED_MMAN",
    "-D_WASI_EMULATED_SIGNAL",
    "-D_WASI_EMULATED_PROCESS_CLOCKS",
    "-D_WASI_EMULATED_GETPID",
};
static const char *const flags_link[] = {
    /* Stack first: overflowing it leaves the memory and traps, where it would overwrite data. */
    "-Wl,--stack-first",      "-Wl,-z,stack-size=1048576",      "-lwasi-emulated-mman",
    "-lwasi-emulated-signal", "-lwasi-emulated-process-clocks", "-lwasi-emulated-getpid",
};
/* A function of a node (sdk/faaslet.h): its entry points are exported by their macros; the table,
 * for chained calls of its own functions and for modules that are loaded later and put theirs into
 * it. */
static const char *const flags_faaslet[] = {
    "-Wl,--export-table",
    "-Wl,--growable-table",
};
/* A library keeps what is the program's as imports: the C library too, of which there must be one
 * alone. */
static const char *const flags_shared[] = {
    "-shared",
    "-nostdlib",
    "-Wl,--experimental-pic", /* no warning */
    "-Wl,--no-entry",
    "-Wl,--export-if-defined=__wasm_call_ctors",
    "-Wl,--unresolved-symbols=import-dynamic",
    "/usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a",
};
/* What a program must have for them: a table that grows, its own functions, and of the C library
 * what libraries commonly use, also where the program does not. */
#define EXPORT(name) "-Wl,--export=" #name
static const char *const flags_loads[] = {
    "-Wl,--export-dynamic",
    "-Wl,--export-table",
    "-Wl,--growable-table",
    EXPORT(__stack_pointer),
    EXPORT(malloc),
    EXPORT(calloc),
    EXPORT(realloc),
    EXPORT(free),
    EXPORT(memcpy),
    EXPORT(memmove),
    EXPORT(memset),
    EXPORT(memcmp),
    EXPORT(memchr),
    EXPORT(strlen),
    EXPORT(strcmp),
    EXPORT(strncmp),
    EXPORT(strcpy),
    EXPORT(strncpy),
    EXPORT(strcat),
    EXPORT(strchr),
    EXPORT(strrchr),
    EXPORT(strstr),
    EXPORT(strdup),
    EXPORT(strtol),
    EXPORT(strtoul),
    EXPORT(strtod),
    EXPORT(strerror),
    EXPORT(qsort),
    EXPORT(bsearch),
    EXPORT(abort),
    EXPORT(exit),
    EXPORT(getenv),
    EXPORT(errno),
    EXPORT(printf),
    EXPORT(fprintf),
    EXPORT(snprintf),
    EXPORT(vsnprintf),
    EXPORT(vfprintf),
    EXPORT(puts),
    EXPORT(putchar),
    EXPORT(fputs),
    EXPORT(fputc),
    EXPORT(fopen),
    EXPORT(fclose),
    EXPORT(fread),
    EXPORT(fwrite),
    EXPORT(fgets),
    EXPORT(fflush),
    EXPORT(stdin),
    EXPORT(stdout),
    EXPORT(stderr),
    EXPORT(open),
    EXPORT(read),
    EXPORT(write),
    EXPORT(close),
    EXPORT(time),
    EXPORT(clock_gettime),
    EXPORT(sin),
    EXPORT(cos),
    EXPORT(tan),
    EXPORT(atan2),
    EXPORT(exp),
    EXPORT(log),
    EXPORT(pow),
    EXPORT(fmod),
};
#undef EXPORT
#define FLAGS_MAX 160 /* more than all of the above and what build() adds */

static int build(const struct request *request)
{
    char clang[PATH_MAX], linker[PATH_MAX], use_linker[PATH_MAX + 16];
    char sdk[PATH_MAX - 32], sdk_include[PATH_MAX], sdk_source[PATH_MAX], sdk_top[PATH_MAX];
    char sdk_sockets[PATH_MAX], sdk_dl[PATH_MAX];
    int status = check_tools(request, clang, linker);
    if (status) {
        return status;
    }
    const char **argv = calloc(request->arg_count + FLAGS_MAX, sizeof *argv);
    if (!argv) {
        return cli_error(CLI_FAILED, "build: out of memory");
    }
    struct words words = {argv, 0};
    add(&words, clang);
    for (size_t i = 0; i < WM_COUNT_OF(flags_always); i++) {
        add(&words, flags_always[i]);
    }
    if (request->shared) {
        add(&words, "-fPIC");
    }
    if (request->shared || request->loads) {
        add(&words, "-fvisibility=default"); /* clang hides everything where nothing is shared */
    }
    if (!request->level) {
        add(&words, "-O2");
    }
    /* In the order in which they are searched: C++, clang's own, ours for what the guests' library
     * lacks, the guests' library. */
    add(&words, "-cxx-isystem");
    add(&words, GUEST_INCLUDE "/c++/v1");
    bool have_sdk = find_sdk(sdk, sizeof sdk);
    if (request->faaslet && !have_sdk) {
        free(argv);
        return cli_error(CLI_MISSING, "build: sdk/faaslet.h: not found beside this program, nor in "
                                      "../share/wardmote: install it again");
    }
    if (have_sdk) {
        if (request->faaslet) {
            snprintf(sdk_top, sizeof sdk_top, "-I%s/..", sdk);
            add(&words, sdk_top);
        }
        snprintf(sdk_include, sizeof sdk_include, "%s/include", sdk);
        add(&words, "-idirafter");
        add(&words, sdk_include);
    }
    add(&words, "-idirafter");
    add(&words, GUEST_INCLUDE);
    if (have_sdk && !request->no_link && !request->shared) {
        snprintf(sdk_source, sizeof sdk_source, "%s/posix.c", sdk);
        add(&words, "-xc");
        add(&words, sdk_source);
        snprintf(sdk_sockets, sizeof sdk_sockets, "%s/socket.c", sdk);
        add(&words, sdk_sockets);
        snprintf(sdk_dl, sizeof sdk_dl, "%s/dl.c", sdk);
        add(&words, sdk_dl);
        add(&words, "-xnone");
    }
    for (size_t i = 0; i < request->arg_count; i++) {
        add(&words, request->args[i]);
    }
    if (!request->no_link) {
        if (request->reactor) {
            add(&words, "-mexec-model=reactor");
        }
        if (request->faaslet) {
            add_all(&words, flags_faaslet, WM_COUNT_OF(flags_faaslet));
        }
        if (request->shared) {
            add_all(&words, flags_shared, WM_COUNT_OF(flags_shared));
        } else {
            if (request->cxx) {
                add(&words, "-lc++");
                add(&words, "-lc++abi");
            }
            add_all(&words, flags_link, WM_COUNT_OF(flags_link));
        }
        if (request->loads) {
            add_all(&words, flags_loads, WM_COUNT_OF(flags_loads));
        }
        snprintf(use_linker, sizeof use_linker, "-fuse-ld=%s", linker);
        add(&words, use_linker);
        if (!request->debug) {
            /* Debian's wasi-libc brings its own debugging data; the names of functions stay. */
            add(&words, "-Wl,--strip-debug");
        }
    }
    add(&words, "-o");
    add(&words, request->out);
    add(&words, NULL);
    if (request->verbose) {
        for (size_t i = 0; argv[i]; i++) {
            fprintf(stderr, "%s%s", i ? " " : "", argv[i]);
        }
        fputc('\n', stderr);
    }
    /* With an empty PATH clang does not find binaryen's wasm-opt, which it would run after linking:
     * ours is the optimiser that counts, and wasm-opt drops the names and lines that a trap is
     * reported with. (Its own switch for that, --no-wasm-opt, makes clang-19 leave out the linking
     * altogether.) */
    status = cli_spawn(argv, "");
    if (status < 0) {
        status = cli_error(CLI_FAILED, "%s: not started: %m", clang);
    } else if (status) {
        status = cli_error(CLI_FAILED, "%s: not built: clang-19 said why above", request->source);
    }
    free(argv);
    return status;
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    (void)verb;
    struct request request = {.args = calloc((size_t)argc, sizeof *request.args)};
    if (!request.args) {
        return cli_error(CLI_FAILED, "build: out of memory");
    }
    int status = read_args(&request, argc, argv);
    if (!status) {
        status = build(&request);
    }
    free(request.args);
    return status;
}

static const struct cli_option options[] = {
    {'o', "output", "OUT.wasm", "the program"},
    {258, "shared", NULL, "a library, for programs to load with dlopen"},
    {259, "dlopen", NULL, "with --reactor: a program that loads libraries"},
    {256, "reactor", NULL, "no main: exports for run --invoke or an embedder"},
    {260, "faaslet", NULL, "a function for a node: <faaslet.h>, no main"},
    {257, "verbose", NULL, "print the clang command"},
};

const struct cli_verb cli_verb_build = {
    .name = "build",
    .arguments = "[CLANG OPTION...] FILE.c... -o OUT.wasm",
    .summary = "compiles C or C++ to a program for `wardmote run`",
    .options = options,
    .option_count = WM_COUNT_OF(options),
    .notes = "Other options (-O3, -g, -I, -D, -W...) are clang's; -O2 where none is given.\n"
             "With -g, a trap is reported with file and line.\n",
    .run = run,
};
