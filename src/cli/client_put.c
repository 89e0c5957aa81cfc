/* client_put.c: `wardmote fn put`: a program becomes a function; --watch does so at every change.
 *
 * A source file is compiled here by `wardmote build`, in a folder of its own that is gone when the
 * module is open. What --watch watches are the folders of the files (an editor puts a new file in
 * the old one's place), for the names that the compiler says it read. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/client_http.h"
#include "cli/client_json.h"
#include "cli/client_python.h"

#define LIST_MAX 64u
#define WATCHED_MAX 256u
#define QUIET_MS 100 /* an editor's several writes are one change */

enum {
    OPTION_KIND = 256,
    OPTION_MEMORY,
    OPTION_TIMEOUT,
    OPTION_CPU,
    OPTION_OUTPUT,
    OPTION_FILES,
    OPTION_DEPTH,
    OPTION_CHAINED,
    OPTION_IDEMPOTENT,
    OPTION_FUEL,
    OPTION_ARG,
    OPTION_ENV,
    OPTION_SECRET,
    OPTION_LIBRARY,
    OPTION_PYTHON,
    OPTION_WATCH,
};

struct list {
    const char *at[LIST_MAX];
    size_t count;
};

/* Options that are numbers and become query parameters as they are. */
static const struct number {
    int id;
    const char *option, *query;
    bool bytes;
} numbers[] = {
    {OPTION_MEMORY, "memory", "memory", true},     {OPTION_TIMEOUT, "timeout", "timeout_ms", false},
    {OPTION_CPU, "cpu", "cpu_ms", false},          {OPTION_OUTPUT, "output-limit", "output", true},
    {OPTION_FILES, "files", "files", true},        {OPTION_DEPTH, "depth", "depth", false},
    {OPTION_CHAINED, "chained", "chained", false},
};

enum source { SOURCE_MODULE, SOURCE_C, SOURCE_PYTHON };

struct put {
    struct client client;
    const char *file, *name, *kind, *python;
    char name_buffer[CLIENT_NAME_BYTES_MAX + 1];
    uint64_t number[WM_COUNT_OF(numbers)];
    bool number_given[WM_COUNT_OF(numbers)];
    struct list args, env, secrets;
    bool idempotent, fuel, library, watch;
    enum source source;
    uint64_t args_bytes;        /* of the body's end */
    char *watched[WATCHED_MAX]; /* absolute paths */
    size_t watched_count;
};

static const char *const kinds[] = {"auto", "command", "faaslet", "suspended"};

static int add(struct list *list, const char *option, const char *value)
{
    if (list->count == LIST_MAX) {
        return cli_error(CLI_USAGE, "fn put: more than %u times --%s", LIST_MAX, option);
    }
    list->at[list->count++] = value;
    return 0;
}

static int take_number(struct put *put, int id, const char *value)
{
    for (size_t i = 0; i < WM_COUNT_OF(numbers); i++) {
        const struct number *number = &numbers[i];
        if (number->id != id) {
            continue;
        }
        put->number_given[i] = true;
        if (number->bytes ? cli_bytes(value, &put->number[i])
                          : cli_number(value, &put->number[i])) {
            return 0;
        }
        return cli_error(CLI_USAGE, "fn put: --%s %s: not usable: expected %s", number->option,
                         value, number->bytes ? "bytes, with k, m or g allowed" : "a whole number");
    }
    return client_take(&put->client, id, value);
}

static int take(void *self, int id, const char *value)
{
    struct put *put = self;
    switch (id) {
    case CLI_ARGUMENT:
        if (put->name) {
            return cli_error(CLI_USAGE, "fn put: %s: one file and one name are expected", value);
        }
        *(put->file ? &put->name : &put->file) = value;
        return 0;
    case OPTION_KIND:
        put->kind = value;
        return cli_choice(value, kinds, WM_COUNT_OF(kinds)) >= 0
                   ? 0
                   : cli_error(CLI_USAGE,
                               "fn put: --kind %s: not usable: expected auto, command, "
                               "faaslet or suspended",
                               value);
    case OPTION_IDEMPOTENT: put->idempotent = true; return 0;
    case OPTION_FUEL: put->fuel = true; return 0;
    case OPTION_LIBRARY: put->library = true; return 0;
    case OPTION_WATCH: put->watch = true; return 0;
    case OPTION_PYTHON: put->python = value; return 0;
    case OPTION_ARG: return add(&put->args, "arg", value);
    case OPTION_ENV: return add(&put->env, "env", value);
    case OPTION_SECRET:
        if (!strchr(value, '=') || value[0] == '=' || !strchr(value, '=')[1]) {
            return cli_error(CLI_USAGE,
                             "fn put: --secret %.64s: not usable: expected NAME=FILE, or "
                             "NAME=- for standard input",
                             strchr(value, '=') ? "=..." : value);
        }
        return add(&put->secrets, "secret", value);
    default: return take_number(put, id, value);
    }
}

static bool ends_in(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

static int find_source(struct put *put)
{
    static const struct {
        const char *end;
        enum source source;
    } ends[] = {{".wasm", SOURCE_MODULE}, {".c", SOURCE_C},   {".cc", SOURCE_C},
                {".cpp", SOURCE_C},       {".cxx", SOURCE_C}, {".py", SOURCE_PYTHON}};
    for (size_t i = 0; i < WM_COUNT_OF(ends); i++) {
        if (ends_in(put->file, ends[i].end)) {
            put->source = ends[i].source;
            const char *base = strrchr(put->file, '/');
            base = base ? base + 1 : put->file;
            if (!put->name) {
                snprintf(put->name_buffer, sizeof put->name_buffer, "%.*s",
                         (int)(strlen(base) - strlen(ends[i].end)), base);
                put->name = put->name_buffer;
            }
            return client_check_name("function", put->name);
        }
    }
    return cli_error(CLI_USAGE,
                     "%s: not usable: expected a file that ends in .wasm, .c, .cc, .cpp "
                     "or .py",
                     put->file);
}

/* --- what is watched --- */

static void watch_path(struct put *put, const char *path)
{
    char *full = realpath(path, NULL);
    bool ours = full && strncmp(full, "/usr/", 5) != 0;
    for (size_t i = 0; i < put->watched_count && ours; i++) {
        ours = strcmp(put->watched[i], full) != 0;
    }
    if (ours && put->watched_count < WATCHED_MAX) {
        put->watched[put->watched_count++] = full;
    } else {
        free(full);
    }
}

static void forget_watched(struct put *put)
{
    while (put->watched_count) {
        free(put->watched[--put->watched_count]);
    }
}

/* The compiler's list of what it read: a rule of make, where blanks in names have a backslash. */
static void watch_dependencies(struct put *put, FILE *rule)
{
    char word[PATH_MAX];
    size_t len = 0;
    bool after_colon = false;
    for (int c = fgetc(rule);; c = fgetc(rule)) {
        if (c == '\\') {
            c = fgetc(rule);
            if (c == '\n') {
                c = ' ';
            }
        } else if (c == '\n' || c == ' ') {
            c = 0;
        }
        bool ends = c == EOF || c == 0;
        if (!ends && len < sizeof word - 1) {
            word[len++] = (char)c;
            continue;
        }
        word[len] = 0;
        char *from = word + strspn(word, " ");
        if (!after_colon && len && word[len - 1] == ':') {
            after_colon = true;
        } else if (*from && after_colon) {
            watch_path(put, from);
        }
        len = 0;
        if (c == EOF) {
            return;
        }
    }
}

/* --- compiling --- */

/* Does the source include faaslet.h? Then it has no main(). */
static bool is_faaslet(const char *path)
{
    FILE *file = fopen(path, "re");
    char line[1024];
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        const char *at = line + strspn(line, " \t");
        if (*at++ != '#') {
            continue;
        }
        at += strspn(at, " \t");
        found = strncmp(at, "include", 7) == 0 &&
                (strstr(at, "<faaslet.h>") || strstr(at, "faaslet.h\""));
    }
    if (file) {
        fclose(file);
    }
    return found;
}

static volatile sig_atomic_t interrupted;

static void note_signal(int number)
{
    interrupted = number;
}

/* The compiler gets the terminal's signal too and ends; we then tidy up before we do. */
static void hold_signals(bool hold, struct sigaction old[2])
{
    static const int held[2] = {SIGINT, SIGTERM};
    struct sigaction action = {.sa_handler = note_signal};
    for (size_t i = 0; i < 2; i++) {
        sigaction(held[i], hold ? &action : &old[i], hold ? &old[i] : NULL);
    }
    if (!hold && interrupted) {
        raise(interrupted);
    }
}

static int build(struct put *put, const char *folder, int *module)
{
    char program[PATH_MAX], out[PATH_MAX], rule[PATH_MAX];
    if (!cli_find_program("wardmote", "WARDMOTE_PROGRAM", program, sizeof program)) {
        return cli_error(CLI_MISSING,
                         "%s: `wardmote build`, which would compile it, is not beside "
                         "this program",
                         put->file);
    }
    snprintf(out, sizeof out, "%s/module.wasm", folder);
    snprintf(rule, sizeof rule, "%s/module.d", folder);
    bool faaslet = put->kind && strcmp(put->kind, "auto") != 0 ? strcmp(put->kind, "faaslet") == 0
                                                               : is_faaslet(put->file);
    const char *argv[16];
    size_t count = 0;
    argv[count++] = program;
    argv[count++] = "build";
    if (faaslet) {
        argv[count++] = "--faaslet";
    }
    if (put->watch) {
        argv[count++] = "-MMD";
        argv[count++] = "-MF";
        argv[count++] = rule;
    }
    argv[count++] = put->file;
    argv[count++] = "-o";
    argv[count++] = out;
    argv[count] = NULL;
    int status = cli_spawn(argv, NULL);
    if (status < 0) {
        return cli_error(CLI_FAILED, "%s: not started: %m", program);
    }
    FILE *dependencies = put->watch ? fopen(rule, "re") : NULL;
    if (dependencies) {
        forget_watched(put);
        watch_path(put, put->file);
        watch_dependencies(put, dependencies);
        fclose(dependencies);
    }
    if (!status) {
        *module = open(out, O_RDONLY | O_CLOEXEC);
        status = *module < 0 ? cli_error(CLI_FAILED, "%s: cannot be read: %m", out) : 0;
    }
    unlink(out);
    unlink(rule);
    return status > 3 ? CLI_FAILED : status; /* `wardmote build` has said why */
}

static int compile(struct put *put, struct client_body *body)
{
    const char *temporary = getenv("TMPDIR");
    char folder[PATH_MAX - 32];
    struct sigaction old[2];
    struct stat info;
    int len = snprintf(folder, sizeof folder, "%s/wardmote-put-XXXXXX",
                       temporary && *temporary ? temporary : "/tmp");
    if (len < 0 || (size_t)len >= sizeof folder || !mkdtemp(folder)) {
        return cli_error(CLI_FAILED, "%s: no folder for the module: %m", put->file);
    }
    int module = -1;
    hold_signals(true, old);
    int status = build(put, folder, &module);
    rmdir(folder);
    hold_signals(false, old);
    if (!status && fstat(module, &info) != 0) {
        status = cli_error(CLI_FAILED, "%s: %m", put->file);
    }
    if (status) {
        if (module >= 0) {
            close(module);
        }
        return status;
    }
    *body = (struct client_body){NULL, module, (uint64_t)info.st_size, true};
    return 0;
}

/* --- the upload --- */

static int make_url(const struct put *put, struct client_url *url)
{
    const char *kind = put->kind ? put->kind : put->source == SOURCE_PYTHON ? "suspended" : NULL;
    *url = client_url_begin("/v1/functions");
    client_url_segment(url, put->name);
    if (kind) {
        client_url_query(url, "kind", kind);
    }
    for (size_t i = 0; i < WM_COUNT_OF(numbers); i++) {
        if (put->number_given[i]) {
            client_url_number(url, numbers[i].query, put->number[i]);
        }
    }
    if (put->idempotent) {
        client_url_query(url, "idempotent", "1");
    }
    if (put->fuel) {
        client_url_query(url, "fuel", "1");
    }
    if (put->library) {
        client_url_query(url, "library", "1");
    }
    if (put->args_bytes) {
        client_url_number(url, "args", put->args_bytes);
    }
    for (size_t i = 0; i < put->args.count; i++) {
        client_url_query(url, "arg", put->args.at[i]);
    }
    return 0;
}

static int say_result(const struct put *put, const struct client_answer *answer, uint64_t bytes)
{
    json_t *document = client_json_of(&put->client, answer, put->name);
    if (!document) {
        return CLI_FAILED;
    }
    int64_t version;
    const char *kind = client_json_text(document, "kind");
    if (put->client.json) {
        client_json_dump(document, stdout);
    } else if (client_json_number(document, "version", &version)) {
        bool known = cli_choice(kind, kinds, WM_COUNT_OF(kinds)) >= 0;
        printf("%s: version %" PRId64 " is there%s%s, %" PRIu64 " KiB, %.1f s\n", put->name,
               version, known ? ", a " : "", known ? kind : "", (bytes + 1023) / 1024,
               (double)answer->total_us * 1e-6);
    } else {
        printf("%s: is there\n", put->name);
    }
    json_decref(document);
    return client_flush();
}

static int send_module(struct put *put, struct client_body body)
{
    struct client_url url = {0};
    struct client_answer answer = {0};
    int status = make_url(put, &url);
    if (!status) {
        struct client_request request = {
            .method = "PUT",
            .url = &url,
            .type = "application/wasm",
            .body = body,
            .what = put->name,
            .waiting = "compiling",
        };
        status = client_send(&put->client, &request, &answer);
    }
    if (!status) {
        status = say_result(put, &answer, body.len);
    }
    client_answer_free(&answer);
    client_url_free(&url);
    return status;
}

/* After the module, so that a refused one changes nothing. */
static int send_environment(struct put *put)
{
    int status = 0;
    if (put->env.count) {
        status = client_put_env(&put->client, put->name, put->env.at, put->env.count);
    }
    for (size_t i = 0; i < put->secrets.count && !status; i++) {
        const char *text = put->secrets.at[i], *equals = strchr(text, '=');
        char name[CLIENT_NAME_BYTES_MAX + 2];
        snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
        status = client_check_name("secret", name);
        if (!status) {
            status = client_put_secret(&put->client, put->name, name, equals + 1, false);
        }
    }
    return status ? cli_error(status, "%s: the function is there, but not all of its environment",
                              put->name)
                  : 0;
}

static int put_module(struct put *put)
{
    struct client_body body = CLIENT_BODY_NONE;
    int status = CLI_USAGE;
    switch (put->source) {
    case SOURCE_C: status = compile(put, &body); break;
    case SOURCE_PYTHON:
        status = client_python_body(put->file, put->python, &body, &put->args_bytes);
        break;
    case SOURCE_MODULE: status = client_body_open(&body, put->file, CLIENT_MODULE_BYTES_MAX); break;
    }
    if (!status) {
        status = send_module(put, body);
    }
    client_body_close(&body);
    return status;
}

/* --- watching --- */

/* One watch a folder; the kernel gives the same number for the same folder. */
static int watch_folders(const struct put *put, int notify)
{
    for (size_t i = 0; i < put->watched_count; i++) {
        char folder[PATH_MAX];
        const char *slash = strrchr(put->watched[i], '/');
        snprintf(folder, sizeof folder, "%.*s",
                 slash == put->watched[i] ? 1 : (int)(slash - put->watched[i]), put->watched[i]);
        if (inotify_add_watch(notify, folder, IN_CLOSE_WRITE | IN_MOVED_TO) < 0) {
            return cli_error(CLI_FAILED, "%s: cannot be watched: %m", folder);
        }
    }
    return 0;
}

/* The name alone decides: a file of that name in another watched folder costs one upload more. */
static bool is_watched(const struct put *put, const char *name)
{
    for (size_t i = 0; i < put->watched_count; i++) {
        if (strcmp(strrchr(put->watched[i], '/') + 1, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Reads what is there; did something of ours change? */
static bool drain(const struct put *put, int notify)
{
    union {
        struct inotify_event event;
        char bytes[16384];
    } buffer;
    bool changed = false;
    ssize_t len = read(notify, &buffer, sizeof buffer);
    for (ssize_t at = 0; at + (ssize_t)sizeof buffer.event <= len;) {
        const struct inotify_event *event = (const void *)(buffer.bytes + at);
        changed = changed || (event->mask & IN_Q_OVERFLOW) ||
                  (event->len && is_watched(put, event->name));
        at += (ssize_t)(sizeof *event + event->len);
    }
    return changed;
}

static int wait_for_change(const struct put *put, int notify)
{
    struct pollfd poller = {.fd = notify, .events = POLLIN};
    bool changed = false;
    for (;;) {
        int ready = poll(&poller, 1, changed ? QUIET_MS : -1);
        if (ready < 0 && errno != EINTR) {
            return cli_error(CLI_FAILED, "%s: cannot be watched: %m", put->file);
        }
        if (ready == 0) {
            return 0;
        }
        changed = (ready > 0 && drain(put, notify)) || changed;
    }
}

/* Errors are told, and the next change is waited for: that is what it is for. */
static int watch(struct put *put)
{
    int notify = inotify_init1(IN_CLOEXEC);
    if (notify < 0) {
        return cli_error(CLI_FAILED, "%s: cannot be watched: %m", put->file);
    }
    watch_path(put, put->file);
    int status = put->watched_count ? watch_folders(put, notify)
                                    : cli_error(CLI_USAGE, "%s: cannot be read: %m", put->file);
    bool environment = true;
    while (!status) {
        time_t now = time(NULL);
        struct tm parts;
        char when[16] = "";
        if (localtime_r(&now, &parts)) {
            strftime(when, sizeof when, "%H:%M:%S", &parts);
        }
        fprintf(stderr, "[%s] %s\n", when, put->file);
        if (put_module(put) == 0 && environment) {
            environment = send_environment(put) != 0;
        }
        status = watch_folders(put, notify);
        status = status ? status : wait_for_change(put, notify);
    }
    close(notify);
    return status;
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    static struct put put;
    client_init(&put.client);
    int status = cli_parse(verb, argc, argv, take, &put);
    if (status >= 0) {
        return status;
    }
    if (!put.file) {
        return cli_error(CLI_USAGE, "fn put: no file given: wardmote fn put %s", verb->arguments);
    }
    status = find_source(&put);
    if (!status && access(put.file, R_OK) != 0) {
        status = cli_error(CLI_USAGE, "%s: cannot be read: %m", put.file);
    }
    status = status ? status : client_open(&put.client);
    if (!status && put.watch) {
        status = watch(&put);
    } else if (!status) {
        status = put_module(&put);
        status = status ? status : send_environment(&put);
    }
    forget_watched(&put);
    client_close(&put.client);
    return status;
}

static const struct cli_option options[] = {
    {OPTION_KIND, "kind", "KIND", "auto, command, faaslet or suspended; default auto"},
    {OPTION_MEMORY, "memory", "BYTES", "most of its memory (k, m, g allowed)"},
    {OPTION_TIMEOUT, "timeout", "MS", "most time of a call"},
    {OPTION_CPU, "cpu", "MS", "most processor time of a call"},
    {OPTION_OUTPUT, "output-limit", "BYTES", "most output of a call"},
    {OPTION_FILES, "files", "BYTES", "most that a call keeps in files"},
    {OPTION_DEPTH, "depth", "N", "most calls in a chain"},
    {OPTION_CHAINED, "chained", "N", "most calls that a call starts"},
    {OPTION_IDEMPOTENT, "idempotent", NULL, "may be run again when a node died"},
    {OPTION_FUEL, "fuel", NULL, "count what it executes"},
    {OPTION_ARG, "arg", "ARG", "an argument, again for each"},
    {OPTION_ENV, "env", "NAME[=VALUE]", "a variable, again for each"},
    {OPTION_SECRET, "secret", "NAME=FILE|-", "a secret from a file or standard input"},
    {OPTION_LIBRARY, "library", NULL, "a module for dlopen, no function"},
    {OPTION_PYTHON, "python", "FILE", "the interpreter's module, for FILE.py"},
    {OPTION_WATCH, "watch", NULL, "put it again at every change of its files"},
};

const struct cli_verb client_fn_put = {
    .name = "fn put",
    .arguments = "FILE.wasm|FILE.c|FILE.py [NAME]",
    .summary = "makes a program a function, or a new version of one",
    .options = options,
    .option_count = WM_COUNT_OF(options),
    CLIENT_COMMON,
    .run = run,
};
