/* compile.c: `wardmote compile`: the better tier ahead of time, into the cache.
 *
 * --suspendable first puts binaryen's asyncify pass into the module, so that a run of it can be
 * frozen where it reads its input and continued many times; the result is a module of its own. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <wardmote/engine.h>

#include "cli/cli.h"
#include "cli/json.h"

enum {
    OPTION_MODE = 256,
    OPTION_FUEL,
    OPTION_TIER,
    OPTION_CACHE,
    OPTION_SUSPENDABLE,
    OPTION_ONLY,
    OPTION_JSON
};

struct request {
    const char *module, *out, *cache;
    struct wm_module_options options;
    bool suspendable, only, json;
};

static const struct cli_option options[] = {
    {OPTION_MODE, "mode", "guard|check|det", "how it will be confined; default guard"},
    {OPTION_FUEL, "fuel", NULL, "with fuel counted, for run --fuel"},
    {OPTION_TIER, "tier", "optimised|O0", "default optimised"},
    {OPTION_SUSPENDABLE, "suspendable", NULL, "freezable at its first input; writes -o OUT"},
    {'o', "output", "OUT.wasm", "with --suspendable: the new module"},
    {OPTION_ONLY, "only", NULL, "with --suspendable: writes it, compiles nothing"},
    {OPTION_CACHE, "cache", "DIR", "compiled code; default ~/.cache/wardmote"},
    {OPTION_JSON, "json", NULL, "one JSON object"},
};

static int take(void *self, int id, const char *value)
{
    struct request *request = self;
    int choice;
    switch (id) {
    case CLI_ARGUMENT:
        if (request->module) {
            return cli_error(CLI_USAGE, "compile: %s: one module at a time", value);
        }
        request->module = value;
        return 0;
    case OPTION_MODE:
        choice = cli_choice(value, cli_modes, WM_COUNT_OF(cli_modes));
        if (choice < 0) {
            return cli_error(CLI_USAGE,
                             "compile: --mode %s: not usable: expected guard, check or det", value);
        }
        request->options.mode = (enum wm_mode)choice;
        return 0;
    case OPTION_TIER:
        if (strcmp(value, "O0") == 0) {
            request->options.when = WM_WHEN_O0;
        } else if (strcmp(value, "optimised") != 0) {
            return cli_error(CLI_USAGE, "compile: --tier %s: not usable: expected optimised or O0",
                             value);
        }
        return 0;
    case OPTION_FUEL: request->options.fuel = true; return 0;
    case OPTION_SUSPENDABLE: request->suspendable = true; return 0;
    case OPTION_ONLY: request->only = true; return 0;
    case 'o': request->out = value; return 0;
    case OPTION_CACHE: request->cache = value; return 0;
    case OPTION_JSON: request->json = true; return 0;
    default: return CLI_USAGE;
    }
}

static int make_suspendable(const struct request *request)
{
    char tool[PATH_MAX];
    if (access(request->module, R_OK) != 0) {
        return cli_error(CLI_USAGE, "%s: cannot be read: %m", request->module);
    }
    if (!cli_find_tool("wasm-opt", tool, sizeof tool)) {
        return cli_error(CLI_MISSING, "wasm-opt: not found: --suspendable needs it; "
                                      "as root: apt-get install binaryen");
    }
    /* What clang-19 emits and wasm-opt does not take for granted. */
    const char *const argv[] = {
        tool,
        "--asyncify",
        /* The one host call at which WASI programs are frozen; each further one would put code
         * into more functions. */
        "--pass-arg=asyncify-imports@wasi_snapshot_preview1.fd_read",
        "-O1",
        "--enable-simd",
        "--enable-bulk-memory",
        "--enable-sign-ext",
        "--enable-nontrapping-float-to-int",
        "--enable-mutable-globals",
        "--enable-multivalue",
        "--enable-reference-types",
        request->module,
        "-o",
        request->out,
        NULL,
    };
    int status = cli_spawn(argv, NULL);
    if (status < 0) {
        return cli_error(CLI_FAILED, "%s: not started: %m", tool);
    }
    return status == 0 ? 0
                       : cli_error(CLI_FAILED, "%s: wasm-opt --asyncify failed with status %d",
                                   request->module, status);
}

static int compile(const struct request *request, const char *module)
{
    struct wm_engine_config config = {
        .cache_path = request->cache,
        .progress = cli_progress,
        .progress_self = (void *)(uintptr_t)module,
    };
    struct wm_diag diag = WM_DIAG_INIT;
    struct wm_engine *engine = NULL;
    struct wm_module *loaded = NULL;
    int error = wm_engine_new(&config, &engine, &diag);
    if (!error) {
        error = wm_module_load(engine, module, &request->options, &loaded, &diag);
    }
    cli_progress_end();
    if (!error) {
        struct wm_module_info info;
        wm_module_info(loaded, &info);
        if (request->json) {
            struct cli_json out = cli_json_begin(stdout);
            cli_json_text(&out, "module", module);
            cli_json_text(&out, "tier", info.tier == WM_TIER_O0 ? "O0" : "optimised");
            cli_json_bool(&out, "cached", info.cached);
            cli_json_ms(&out, "compile_ms", info.compile_ns);
            cli_json_number(&out, "wasm_bytes", info.wasm_bytes);
            cli_json_number(&out, "code_bytes", info.code_bytes);
            cli_json_end(&out);
        } else if (info.cached) {
            printf("%s: already compiled\n", module);
        } else {
            printf("%s: compiled in %.1f s, %llu KiB of code\n", module,
                   (double)info.compile_ns * 1e-9, (unsigned long long)(info.code_bytes >> 10));
        }
    }
    wm_module_free(loaded);
    wm_engine_free(engine);
    return error ? cli_error(cli_status_of(error), "%s", wm_diag_text(&diag)) : CLI_DONE;
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct request request = {.options.when = WM_WHEN_OPTIMISED};
    int status = cli_parse(verb, argc, argv, take, &request);
    if (status >= 0) {
        return status;
    }
    if (!request.module) {
        return cli_error(CLI_USAGE, "compile: no module given: wardmote compile [OPTION...] %s",
                         verb->arguments);
    }
    if (request.suspendable != (request.out != NULL)) {
        return cli_error(CLI_USAGE, "compile: --suspendable and -o OUT.wasm go together");
    }
    if (request.only && !request.suspendable) {
        return cli_error(CLI_USAGE, "compile: --only goes with --suspendable");
    }
    if (request.suspendable) {
        status = make_suspendable(&request);
        if (status || request.only) {
            return status;
        }
    }
    return compile(&request, request.suspendable ? request.out : request.module);
}

const struct cli_verb cli_verb_compile = {
    .name = "compile",
    .arguments = "MODULE.wasm",
    .summary = "compiles a module ahead of time, into the cache",
    .options = options,
    .option_count = WM_COUNT_OF(options),
    .notes = "`wardmote run` finds it by the module's content, --mode and --fuel.\n",
    .run = run,
};
