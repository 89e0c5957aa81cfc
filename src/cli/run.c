/* run.c: `wardmote run`: one program that its user doesn't trust, with what it is given and no
 * more.
 *
 * Everything after the module's name is the guest's own, so that its options and ours cannot meet.
 * The report of --json goes to standard error: standard output belongs to the guest. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wardmote/run.h>

#include "cli/cli.h"
#include "cli/json.h"

enum {
    OPTION_DIR = 256,
    OPTION_DIR_RO,
    OPTION_ENV,
    OPTION_MEMORY,
    OPTION_STACK,
    OPTION_FUEL,
    OPTION_TIMEOUT,
    OPTION_MODE,
    OPTION_TIER,
    OPTION_INVOKE,
    OPTION_LISTEN,
    OPTION_CACHE,
    OPTION_PERF_MAP,
    OPTION_JSON,
};

struct request {
    struct wm_run_config config;
    /* As many as there are command-line arguments, each. */
    const char **args, **env, **listen;
    struct wm_dir *dirs;
    bool json;
};

static const struct cli_option options[] = {
    {OPTION_DIR, "dir", "HOST[::GUEST]", "a folder it may use, under the name GUEST"},
    {OPTION_DIR_RO, "dir-ro", "HOST[::GUEST]", "a folder it may only read"},
    {OPTION_ENV, "env", "NAME[=VALUE]", "a variable; without =VALUE, this shell's own"},
    {OPTION_LISTEN, "listen", "ADDR:PORT", "a listening socket, given as a descriptor"},
    {OPTION_MEMORY, "memory", "BYTES", "most memory it may have (k, m, g); default 4g"},
    {OPTION_STACK, "stack", "BYTES", "native stack; default 8m"},
    {OPTION_FUEL, "fuel", "N", "most instructions it may use"},
    {OPTION_TIMEOUT, "timeout", "MS", "longest time it may run"},
    {OPTION_MODE, "mode", "guard|check|det", "how it is confined; default guard"},
    {OPTION_TIER, "tier", "soon|optimised|O0", "what to compile; default soon"},
    {OPTION_INVOKE, "invoke", "NAME", "call this export with the ARGs, print results"},
    {OPTION_CACHE, "cache", "DIR", "compiled code; default ~/.cache/wardmote"},
    {OPTION_PERF_MAP, "perf-map", NULL, "name its functions for Linux perf"},
    {OPTION_JSON, "json", NULL, "report on standard error, as one JSON object"},
};

static int wrong(const char *option, const char *value, const char *expected)
{
    return cli_error(CLI_USAGE, "run: --%s %s: not usable: expected %s", option, value, expected);
}

/* "HOST[::GUEST]": "::" since a single colon occurs in names of folders. The halves are copied:
 * argv stays whole. */
static int take_dir(struct request *request, const char *value, bool read_only)
{
    char *host = strdup(value);
    if (!host) {
        return cli_error(CLI_REFUSED, "run: out of memory");
    }
    char *split = strstr(host, "::");
    if (split) {
        *split = 0;
    }
    if (!host[0] || (split && !split[2])) {
        free(host);
        return wrong(read_only ? "dir-ro" : "dir", value, "HOST or HOST::GUEST");
    }
    request->dirs[request->config.wasi.dir_count++] =
        (struct wm_dir){.host = host, .guest = split ? split + 2 : host, .read_only = read_only};
    return 0;
}

static int take_env(struct request *request, const char *value)
{
    if (!value[0] || value[0] == '=') {
        return wrong("env", value, "NAME=VALUE, or NAME");
    }
    if (strchr(value, '=')) {
        request->env[request->config.wasi.env_count++] = value;
        return 0;
    }
    const char *ours = getenv(value);
    if (!ours) {
        return 0; /* unset here, unset there */
    }
    /* getenv points behind "NAME=" of one string in the environment. */
    request->env[request->config.wasi.env_count++] = ours - strlen(value) - 1;
    return 0;
}

static int take_mode(struct request *request, const char *value)
{
    int choice = cli_choice(value, cli_modes, WM_COUNT_OF(cli_modes));
    if (choice < 0) {
        return wrong("mode", value, "guard, check or det");
    }
    request->config.options.mode = (enum wm_mode)choice;
    return 0;
}

static int take_tier(struct request *request, const char *value)
{
    static const char *const names[] = {"soon", "optimised", "O0"}; /* as enum wm_when counts */
    int choice = cli_choice(value, names, WM_COUNT_OF(names));
    if (choice < 0) {
        return wrong("tier", value, "soon, optimised or O0");
    }
    request->config.options.when = (enum wm_when)choice;
    return 0;
}

static int take(void *self, int id, const char *value)
{
    struct request *request = self;
    struct wm_run_config *config = &request->config;
    switch (id) {
    case CLI_ARGUMENT:
        if (!config->module_path) {
            config->module_path = value;
        }
        request->args[config->wasi.arg_count++] = value;
        return 0;
    case OPTION_DIR: return take_dir(request, value, false);
    case OPTION_DIR_RO: return take_dir(request, value, true);
    case OPTION_ENV: return take_env(request, value);
    case OPTION_LISTEN: request->listen[config->wasi.listen_count++] = value; return 0;
    case OPTION_MEMORY:
        if (!cli_bytes(value, &config->memory_bytes) || config->memory_bytes < 65536 ||
            config->memory_bytes > UINT64_C(4) << 30) {
            return wrong("memory", value, "64k to 4g");
        }
        return 0;
    case OPTION_STACK:
        if (!cli_bytes(value, &config->stack_bytes) || config->stack_bytes < 512 << 10 ||
            config->stack_bytes > UINT64_C(1) << 30) {
            return wrong("stack", value, "512k to 1g");
        }
        return 0;
    case OPTION_FUEL:
        if (!cli_number(value, &config->fuel) || config->fuel == 0 || config->fuel > INT64_MAX) {
            return wrong("fuel", value, "a number of instructions, 1 or more");
        }
        config->options.fuel = true;
        return 0;
    case OPTION_TIMEOUT:
        if (!cli_number(value, &config->timeout_ms) || config->timeout_ms == 0 ||
            config->timeout_ms > INT32_MAX) {
            return wrong("timeout", value, "milliseconds, 1 or more");
        }
        return 0;
    case OPTION_MODE: return take_mode(request, value);
    case OPTION_TIER: return take_tier(request, value);
    case OPTION_INVOKE: config->invoke = value; return 0;
    case OPTION_CACHE: config->cache_path = value; return 0;
    case OPTION_PERF_MAP: request->config.perf_map = true; return 0;
    case OPTION_JSON: request->json = true; return 0;
    default: return CLI_USAGE;
    }
}

static void print_json(const struct wm_run_report *report, const char *module, int status,
                       const char *error)
{
    static const char *const tiers[] = {"O0", "optimised"};
    struct cli_json out = cli_json_begin(stderr);
    cli_json_text(&out, "module", module);
    cli_json_number(&out, "exit", (uint64_t)status);
    cli_json_text(&out, "error", error);
    if (!error) {
        cli_json_text(&out, "trap", report->trap ? wm_trap_text(report->trap) : NULL);
        cli_json_text(&out, "mode", cli_modes[report->module.mode]);
        cli_json_text(&out, "tier", tiers[report->module.tier]);
        cli_json_bool(&out, "cached", report->module.cached);
        cli_json_bool(&out, "background", report->module.background);
        cli_json_ms(&out, "compile_ms", report->module.compile_ns);
        cli_json_ms(&out, "load_ms", report->load_ns);
        cli_json_ms(&out, "first_instruction_ms", report->first_instr_ns);
        cli_json_ms(&out, "total_ms", report->total_ns);
        cli_json_number(&out, "memory_peak_bytes", report->memory_peak_bytes);
        cli_json_number(&out, "process_peak_bytes", report->process_peak_bytes);
        if (report->module.fuel) {
            cli_json_number(&out, "fuel", report->fuel_used);
        } else {
            cli_json_text(&out, "fuel", NULL);
        }
        cli_json_number(&out, "wasm_bytes", report->module.wasm_bytes);
        cli_json_number(&out, "code_bytes", report->module.code_bytes);
    }
    cli_json_end(&out);
}

static int status_of_trap(enum wm_trap trap)
{
    return trap == WM_TRAP_OUT_OF_FUEL ? CLI_OUT_OF_FUEL
           : trap == WM_TRAP_DEADLINE  ? CLI_DEADLINE
                                       : CLI_TRAP;
}

/* Who asked for a free port has to be told which. */
static void print_listening(void *self, const char *given, const char *bound)
{
    (void)self;
    size_t len = strlen(given);
    if (len > 2 && strcmp(given + len - 2, ":0") == 0) {
        fprintf(stderr, "wardmote: listening on %s\n", bound);
    }
}

/* A program whose reader has gone ends as a native one does, of SIGPIPE; who ignores the signal has
 * chosen EPIPE for the programs that he starts. The library ignores it where it is at its default:
 * a handler that does what the default does keeps it. */
static void die_of_it(int number)
{
    raise(number); /* now at its default */
}

static void keep_sigpipe(void)
{
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL) {
        action = (struct sigaction){.sa_handler = die_of_it};
        action.sa_flags = (int)(SA_RESETHAND | SA_NODEFER | SA_ONSTACK);
        sigaction(SIGPIPE, &action, NULL);
    }
}

static int execute(struct request *request)
{
    struct wm_run_config *config = &request->config;
    struct wm_run_report report;
    struct wm_diag diag = WM_DIAG_INIT;
    config->progress = cli_progress;
    config->progress_self = (void *)(uintptr_t)config->module_path;
    keep_sigpipe();
    int error = wm_run(config, &report, &diag);
    cli_progress_end();
    int status;
    if (error) {
        status =
            cli_error(error == WM_E_USAGE ? CLI_USAGE : CLI_REFUSED, "%s", wm_diag_text(&diag));
    } else if (report.trap) {
        status = cli_error(status_of_trap(report.trap), "%s: trap: %s%s%s", config->module_path,
                           wm_trap_text(report.trap), report.backtrace ? "\n" : "",
                           report.backtrace ? report.backtrace : "");
    } else {
        status = (int)(report.exit_status & 0xff);
    }
    if (!error && report.results &&
        (fputs(report.results, stdout) == EOF || fflush(stdout) == EOF)) {
        status = cli_error(CLI_REFUSED, "standard output: the results cannot be written: %m");
    }
    if (request->json) {
        print_json(&report, config->module_path, status, error ? wm_diag_text(&diag) : NULL);
    }
    wm_run_report_fini(&report);
    return status;
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    size_t count = (size_t)argc;
    struct request request = {
        .args = calloc(count, sizeof *request.args),
        .env = calloc(count, sizeof *request.env),
        .listen = calloc(count, sizeof *request.listen),
        .dirs = calloc(count, sizeof *request.dirs),
    };
    int status = CLI_REFUSED;
    if (!request.args || !request.env || !request.listen || !request.dirs) {
        cli_error(CLI_REFUSED, "run: out of memory");
        goto out;
    }
    status = cli_parse(verb, argc, argv, take, &request);
    if (status >= 0) {
        goto out;
    }
    struct wm_run_config *config = &request.config;
    if (!config->module_path) {
        status = cli_error(CLI_USAGE, "run: no module given: wardmote run [OPTION...] %s",
                           verb->arguments);
        goto out;
    }
    config->wasi.args = request.args;
    config->wasi.env = request.env;
    config->wasi.dirs = request.dirs;
    config->wasi.listen = request.listen;
    config->wasi.listening = print_listening;
    if (config->invoke) {
        config->invoke_args = request.args + 1;
        config->invoke_arg_count = config->wasi.arg_count - 1;
    }
    status = execute(&request);
out:
    for (size_t i = 0; request.dirs && i < request.config.wasi.dir_count; i++) {
        free((void *)(uintptr_t)request.dirs[i].host);
    }
    free(request.dirs);
    free(request.listen);
    free(request.env);
    free(request.args);
    return status;
}

const struct cli_verb cli_verb_run = {
    .name = "run",
    .arguments = "MODULE.wasm [ARG...]",
    .summary = "runs a WASI program that may be hostile",
    .options = options,
    .option_count = WM_COUNT_OF(options),
    .notes = "What follows MODULE.wasm is the program's own. Exit status: the program's, or\n"
             "125 not run, 134 trap, 124 deadline, 123 out of fuel, 2 wrong usage.\n",
    .own_tail = true,
    .run = run,
};
