/* One table of settings, from which the flags, the file's keys, --help and --print-config are
 * made. */
#include "node/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "base/alloc.h"
#include "host/file.h"
#include "node/uri.h"

#define DISTANCE_MAX 3u
#define WORD_MAX 32u
#define FLAG_BYTES 40
#define CONFIG_PATH_BYTES 4096

enum kind { KIND_TEXT, KIND_LIST, KIND_BOOL, KIND_U32, KIND_U64 };

struct setting {
    const char *name;
    enum kind kind;
    size_t offset;
    uint64_t min, max;
    const char *value, *help;
};

#define AT(field) offsetof(struct config, field)
#define MIB (UINT64_C(1) << 20)

static const struct setting settings[] = {
    {"data", KIND_TEXT, AT(data), 0, 0, "DIR",
     "folder of everything that lasts (that of this user)"},
    {"name", KIND_TEXT, AT(name), 0, 0, "NAME", "of this node (the machine's)"},
    {"listen", KIND_LIST, AT(listen), 0, CONFIG_LISTEN_MAX, "ADDR:PORT",
     "where HTTP is served (127.0.0.1:8300); port 0 picks one"},
    {"tls-cert", KIND_TEXT, AT(tls_cert), 0, 0, "FILE", "certificate chain, PEM"},
    {"tls-key", KIND_TEXT, AT(tls_key), 0, 0, "FILE", "its key, PEM"},
    {"plain-http", KIND_BOOL, AT(plain_http), 0, 0, NULL,
     "off loopback without TLS: tokens can be read on the wire"},
    {"require-isolation", KIND_BOOL, AT(require_isolation), 0, 0, NULL,
     "do not start where the machine lacks a part of it"},
    {"threads", KIND_U32, AT(threads), 0, 1024, "N", "executors of a worker (processors)"},
    {"tier", KIND_TEXT, AT(tier), 0, 0, "TIER", "global tier: embedded, redis:ADDR:PORT"},
    {"peers", KIND_LIST, AT(peers), 0, CONFIG_LIST_MAX, "NAME=HOST:PORT",
     "all nodes, this one too; the same list for each"},
    {"peer-listen", KIND_TEXT, AT(peer_listen), 0, 0, "ADDR:PORT", "for them (its own in peers)"},
    {"cluster-key", KIND_TEXT, AT(cluster_key), 0, 0, "FILE", "secret that the nodes share"},
    {"log", KIND_TEXT, AT(log), 0, 0, "LEVEL", "error, warn, info, debug (info)"},
    {"connections", KIND_U32, AT(connections), 16, 1000000, "N", "open at once (8192)"},
    {"connections-per-address", KIND_U32, AT(connections_per_address), 1, 1000000, "N",
     "of them (1024)"},
    {"body-bytes", KIND_U64, AT(body_bytes), MIB, UINT64_C(1) << 40, "N",
     "of requests in memory (1 GiB)"},
    {"idle-s", KIND_U32, AT(idle_s), 1, 86400, "N", "until an idle connection is closed (60)"},
    {"header-s", KIND_U32, AT(header_s), 1, 3600, "N", "for a request's head (15)"},
    {"drain-s", KIND_U32, AT(drain_s), 0, 86400, "N", "for running calls at the end (30)"},
    {"keep-s", KIND_U32, AT(keep_s), 1, 2678400, "N", "results of asynchronous calls (86400)"},
    {"store-bytes", KIND_U64, AT(store_bytes), 16 * MIB, UINT64_C(1) << 44, "N",
     "of the store at most (64 GiB)"},
};

static void *field_of(const struct config *config, const struct setting *setting)
{
    return (char *)config + setting->offset;
}

void config_init(struct config *config)
{
    *config = (struct config){
        .connections = 8192,
        .connections_per_address = 1024,
        .body_bytes = 1024 * MIB,
        .idle_s = 60,
        .header_s = 15,
        .drain_s = 30,
        .keep_s = 86400,
        .store_bytes = 65536 * MIB,
    };
}

static void list_clear(struct config_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        wm_free(list->items[i]);
    }
    *list = (struct config_list){0};
}

void config_fini(struct config *config)
{
    for (size_t i = 0; i < WM_COUNT_OF(settings); i++) {
        if (settings[i].kind == KIND_TEXT) {
            wm_free(*(char **)field_of(config, &settings[i]));
        } else if (settings[i].kind == KIND_LIST) {
            list_clear(field_of(config, &settings[i]));
        }
    }
    *config = (struct config){0};
}

/* How many letters must be changed, added or left out (Levenshtein). */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[WORD_MAX + 1];
    size_t len = strlen(b);
    if (len > WORD_MAX || strlen(a) > WORD_MAX) {
        return WORD_MAX;
    }
    for (unsigned j = 0; j <= len; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; a[i - 1]; i++) {
        unsigned corner = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= len; j++) {
            unsigned best = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            best = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
            row[j] = best < row[j] + 1 ? best : row[j] + 1;
        }
    }
    return row[len];
}

static const struct setting *find_setting(const char *name)
{
    for (size_t i = 0; i < WM_COUNT_OF(settings); i++) {
        if (strcmp(settings[i].name, name) == 0) {
            return &settings[i];
        }
    }
    return NULL;
}

static int unknown(const char *name, const char *dashes, const char *where, struct wm_diag *diag)
{
    char shown[WORD_MAX + 16];
    const char *near = NULL;
    unsigned best = DISTANCE_MAX;
    for (size_t i = 0; i < WM_COUNT_OF(settings); i++) {
        unsigned d = distance(name, settings[i].name);
        if (d < best) {
            best = d;
            near = settings[i].name;
        }
    }
    wm_diag_quote(shown, sizeof shown, name, strlen(name));
    return near ? wm_diag_set(diag, WM_E_USAGE, "%s: there is no setting %s%s; did you mean %s%s?",
                              where, dashes, shown, dashes, near)
                : wm_diag_set(diag, WM_E_USAGE, "%s: there is no setting %s%s; see --help", where,
                              dashes, shown);
}

static int add_item(struct config_list *list, const char *text, size_t len, uint64_t max)
{
    char *copy = wm_alloc(len + 1);
    if (!copy) {
        return -ENOMEM;
    }
    if (list->count >= max) {
        wm_free(copy);
        return WM_E_LIMIT;
    }
    memcpy(copy, text, len);
    copy[len] = 0;
    list->items[list->count++] = copy;
    return 0;
}

/* Sets one value; lists are added to. */
static int set(struct config *config, const struct setting *setting, const char *text,
               const char *where, struct wm_diag *diag)
{
    void *field = field_of(config, setting);
    char shown[64];
    uint64_t number;
    wm_diag_quote(shown, sizeof shown, text, strlen(text));
    switch (setting->kind) {
    case KIND_TEXT: {
        if (!*text) {
            return wm_diag_set(diag, WM_E_USAGE, "%s: %s: is empty", where, setting->name);
        }
        char *copy = wm_strdup(text);
        if (!copy) {
            return wm_diag_default(diag, -ENOMEM, where);
        }
        wm_free(*(char **)field);
        *(char **)field = copy;
        return 0;
    }
    case KIND_LIST:
        while (*text) {
            size_t len = strcspn(text, ",");
            int err = len ? add_item(field, text, len, setting->max) : 0;
            if (err) {
                return wm_diag_set(diag, err, "%s: %s: %s", where, setting->name,
                                   err == WM_E_LIMIT ? "more than there may be" : "no memory");
            }
            text += len + (text[len] == ',');
        }
        return 0;
    case KIND_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
            return wm_diag_set(diag, WM_E_USAGE, "%s: %s: %s: neither true nor false", where,
                               setting->name, shown);
        }
        *(bool *)field = text[0] == 't';
        return 0;
    case KIND_U32:
    case KIND_U64:
        if (!uri_number(text, setting->max, &number) || number < setting->min) {
            return wm_diag_set(diag, WM_E_USAGE, "%s: %s: %s: not a number from %llu to %llu",
                               where, setting->name, shown, (unsigned long long)setting->min,
                               (unsigned long long)setting->max);
        }
        if (setting->kind == KIND_U32) {
            *(uint32_t *)field = (uint32_t)number;
        } else {
            *(uint64_t *)field = number;
        }
        return 0;
    default: return WM_E_USAGE;
    }
}

/* One parsing: which setting's value comes next, and which were seen. */
struct parse {
    struct config *config;
    const char *shown;
    const struct setting *setting; /* whose value comes next */
    bool seen[WM_COUNT_OF(settings)];
    bool in_list, in_map, done;
};

/* A NUL would end the text early, and is in no setting. */
static const char *scalar_of(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    return strlen(text) == event->data.scalar.length ? text : NULL;
}

static int take_key(struct parse *parse, const char *name, const char *where, struct wm_diag *diag)
{
    const struct setting *setting = find_setting(name);
    if (!setting) {
        return unknown(name, "", where, diag);
    }
    if (parse->seen[setting - settings]) {
        return wm_diag_set(diag, WM_E_USAGE, "%s: %s is set twice", where, name);
    }
    parse->seen[setting - settings] = true;
    parse->setting = setting;
    if (setting->kind == KIND_LIST) {
        list_clear(field_of(parse->config, setting)); /* a file's list replaces the one before */
    }
    return 0;
}

static int take_event(struct parse *parse, const yaml_event_t *event, struct wm_diag *diag)
{
    char where[128];
    snprintf(where, sizeof where, "%.80s:%zu", parse->shown, event->start_mark.line + 1);
    switch (event->type) {
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_START_EVENT:
        return parse->done ? wm_diag_set(diag, WM_E_USAGE, "%s: a second document", where) : 0;
    case YAML_DOCUMENT_END_EVENT: parse->done = true; return 0;
    case YAML_MAPPING_START_EVENT:
        if (!parse->in_map) {
            parse->in_map = true;
            return 0;
        }
        break;
    case YAML_MAPPING_END_EVENT: parse->in_map = false; return 0;
    case YAML_SEQUENCE_START_EVENT:
        if (parse->setting && parse->setting->kind == KIND_LIST && !parse->in_list) {
            parse->in_list = true;
            return 0;
        }
        break;
    case YAML_SEQUENCE_END_EVENT:
        parse->in_list = false;
        parse->setting = NULL;
        return 0;
    case YAML_SCALAR_EVENT: {
        const char *text = scalar_of(event);
        if (text && !parse->in_map && !*text) {
            return 0; /* an empty document */
        }
        if (!text || !parse->in_map) {
            break;
        }
        if (!parse->setting) {
            return take_key(parse, text, where, diag);
        }
        int err = set(parse->config, parse->setting, text, where, diag);
        if (!parse->in_list) {
            parse->setting = NULL;
        }
        return err;
    }
    case YAML_ALIAS_EVENT:
        return wm_diag_set(diag, WM_E_USAGE, "%s: aliases are not supported", where);
    case YAML_NO_EVENT:
    case YAML_STREAM_END_EVENT:
    default: return 0;
    }
    return wm_diag_set(diag, WM_E_USAGE, "%s: expected `setting: value` lines", where);
}

int config_parse(struct config *config, struct wm_view yaml, const char *shown,
                 struct wm_diag *diag)
{
    static const unsigned char nothing[1];
    yaml_parser_t parser;
    struct parse parse = {.config = config, .shown = shown};
    if (yaml.len > CONFIG_FILE_BYTES_MAX) {
        return wm_diag_set(diag, WM_E_LIMIT, "%s: larger than %u bytes", shown,
                           CONFIG_FILE_BYTES_MAX);
    }
    if (!yaml_parser_initialize(&parser)) {
        return wm_diag_default(diag, -ENOMEM, shown);
    }
    yaml_parser_set_input_string(&parser, yaml.len ? yaml.ptr : nothing, yaml.len);
    int err = 0;
    for (bool end = false; !end && !err;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            err = wm_diag_set(diag, WM_E_MALFORMED, "%s:%zu: not YAML: %s", shown,
                              parser.problem_mark.line + 1,
                              parser.problem ? parser.problem : "out of memory");
            break;
        }
        err = take_event(&parse, &event, diag);
        end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return err;
}

static int read_file(struct config *config, const char *path, struct wm_diag *diag)
{
    uint8_t *bytes;
    size_t len;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int err = fd < 0 ? -errno : host_file_read_all(fd, CONFIG_FILE_BYTES_MAX, &bytes, &len);
    host_file_close(fd);
    if (err) {
        return wm_diag_set(diag, err, "%s: %s", path, wm_error_text(err));
    }
    err = config_parse(config, wm_view_of(bytes, len), path, diag);
    wm_free(bytes);
    return err;
}

/* Flags that are not settings: how many arguments they took, 0: it is a setting. */
static int take_action(const char *flag, enum config_action *action)
{
    static const struct {
        const char *flag;
        enum config_action action;
    } actions[] = {{"--help", CONFIG_HELP},
                   {"-h", CONFIG_HELP},
                   {"--version", CONFIG_VERSION},
                   {"--print-config", CONFIG_PRINT}};
    for (size_t i = 0; i < WM_COUNT_OF(actions); i++) {
        if (strcmp(flag, actions[i].flag) == 0) {
            *action = actions[i].action;
            return 1;
        }
    }
    return 0;
}

/* Splits "--name=value", or takes the value from the next argument. */
static int take_flag(struct config *config, char **argv, int argc, int *at,
                     bool seen[WM_COUNT_OF(settings)], struct wm_diag *diag)
{
    const char *arg = argv[*at];
    char name[FLAG_BYTES];
    const char *equals = strchr(arg, '=');
    size_t len = equals ? (size_t)(equals - arg) : strlen(arg);
    if (strncmp(arg, "--", 2) != 0 || len < 3 || len - 2 >= sizeof name) {
        return wm_diag_set(diag, WM_E_USAGE, "%.60s: not a flag; see --help", arg);
    }
    memcpy(name, arg + 2, len - 2);
    name[len - 2] = 0;
    const struct setting *setting = find_setting(strcmp(name, "peer") == 0 ? "peers" : name);
    if (!setting) {
        return unknown(name, "--", "command line", diag);
    }
    const char *value = equals ? equals + 1 : NULL;
    if (!value && setting->kind == KIND_BOOL) {
        value = "true";
    } else if (!value) {
        if (*at + 1 >= argc) {
            return wm_diag_set(diag, WM_E_USAGE, "--%s: needs %s", name, setting->value);
        }
        value = argv[++*at];
    }
    if (setting->kind == KIND_LIST && !seen[setting - settings]) {
        list_clear(field_of(config, setting)); /* the file's */
    }
    seen[setting - settings] = true;
    return set(config, setting, value, "command line", diag);
}

int config_args(struct config *config, int argc, char **argv, enum config_action *action,
                struct wm_diag *diag)
{
    bool seen[WM_COUNT_OF(settings)] = {0};
    int err = 0;
    *action = CONFIG_RUN;
    for (int i = 1; i < argc && !err; i++) { /* the file first, wherever it is named */
        if (strcmp(argv[i], "--config") == 0) {
            err = i + 1 < argc ? read_file(config, argv[i + 1], diag)
                               : wm_diag_set(diag, WM_E_USAGE, "--config: needs FILE");
            i++;
        }
    }
    for (int i = 1; i < argc && !err; i++) {
        if (strcmp(argv[i], "--config") == 0) {
            i++;
        } else if (!take_action(argv[i], action)) {
            err = take_flag(config, argv, argc, &i, seen, diag);
        }
    }
    return err;
}

int config_split_address(const char *text, char host[64], uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    uint64_t number;
    if (!colon || !uri_number(colon + 1, UINT16_MAX, &number)) {
        return WM_E_USAGE;
    }
    size_t len = (size_t)(colon - text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    } else if (memchr(text, ':', len)) {
        return WM_E_USAGE;
    }
    if (len >= 64) {
        return WM_E_USAGE;
    }
    memcpy(host, text, len);
    host[len] = 0;
    *port = (uint16_t)number;
    return 0;
}

bool config_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strcmp(host, "localhost") == 0) {
        return true;
    }
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static int default_text(char **field, const char *text)
{
    if (!*field) {
        *field = wm_strdup(text);
    }
    return *field ? 0 : -ENOMEM;
}

/* The folder's whole path: it names the folder's node on this machine (sandbox.c), and two shells
 * in two folders may both have said "./data". Without one it is where the client looks (client.c).
 */
static int data_folder(struct config *config, struct wm_diag *diag)
{
    char path[CONFIG_PATH_BYTES], here[CONFIG_PATH_BYTES];
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    const char *given = config->data;
    int len = -1;
    if (given) {
        while (strncmp(given, "./", 2) == 0) {
            given += 2 + strspn(given + 2, "/");
        }
        bool whole = given[0] == '/';
        if (whole || getcwd(here, sizeof here)) {
            len = snprintf(path, sizeof path, "%s%s%s", whole ? "" : here,
                           whole || !*given ? "" : "/", given);
        }
    } else if (state && state[0] == '/') {
        len = snprintf(path, sizeof path, "%s/wardmote", state);
    } else if (geteuid() == 0) {
        len = snprintf(path, sizeof path, "/var/lib/wardmote");
    } else if (home && home[0] == '/') {
        len = snprintf(path, sizeof path, "%s/.local/state/wardmote", home);
    } else {
        return wm_diag_set(diag, WM_E_USAGE,
                           "HOME is not set: name the folder for the node's data with --data DIR");
    }
    if (len <= 0 || (size_t)len >= sizeof path) {
        return wm_diag_set(diag, WM_E_USAGE, "data: %.80s: too long, or this folder is gone",
                           given ? given : path);
    }
    char *copy = wm_strdup(path);
    if (!copy) {
        return wm_diag_default(diag, -ENOMEM, "configuration");
    }
    config->data_is_default = !given;
    wm_free(config->data);
    config->data = copy;
    return 0;
}

int config_check(struct config *config, struct wm_diag *diag)
{
    char host[64];
    uint16_t port;
    enum log_level level;
    char machine[65] = "node";
    (void)gethostname(machine, sizeof machine - 1);
    machine[strcspn(machine, " /:")] = 0;
    int err = default_text(&config->name, uri_name_ok(machine) ? machine : "node");
    err = err ? err : default_text(&config->tier, "embedded");
    err = err ? err : default_text(&config->log, "info");
    if (!err && config->listen.count == 0) {
        err = add_item(&config->listen, "127.0.0.1:8300", 14, CONFIG_LISTEN_MAX);
    }
    if (err) {
        return wm_diag_default(diag, err, "configuration");
    }
    err = data_folder(config, diag);
    if (err) {
        return err;
    }
    if (!uri_name_ok(config->name)) {
        return wm_diag_set(diag, WM_E_USAGE,
                           "name: %.64s: not 1 to 64 of a-z A-Z 0-9 - _ . that start with a "
                           "letter or digit",
                           config->name);
    }
    if (!log_level_parse(config->log, &level)) {
        return wm_diag_set(diag, WM_E_USAGE, "log: %.20s: not error, warn, info or debug",
                           config->log);
    }
    if (strcmp(config->tier, "embedded") != 0 &&
        (strncmp(config->tier, "redis:", 6) != 0 || !config->tier[6])) {
        return wm_diag_set(diag, WM_E_USAGE, "tier: %.64s: not embedded or redis:ADDR:PORT",
                           config->tier);
    }
    if (!config->tls_cert != !config->tls_key) {
        return wm_diag_set(diag, WM_E_USAGE, "tls-cert and tls-key go together: %s is missing",
                           config->tls_cert ? "tls-key" : "tls-cert");
    }
    if (config->peers.count && !config->cluster_key) {
        return wm_diag_set(diag, WM_E_USAGE,
                           "peers: need cluster-key, the secret by which nodes know each other");
    }
    if (config->peer_listen && config_split_address(config->peer_listen, host, &port) != 0) {
        return wm_diag_set(diag, WM_E_USAGE, "peer-listen: %.80s: not ADDR:PORT",
                           config->peer_listen);
    }
    for (uint32_t i = 0; i < config->listen.count; i++) {
        const char *text = config->listen.items[i];
        if (config_split_address(text, host, &port) != 0) {
            return wm_diag_set(diag, WM_E_USAGE, "listen: %.80s: not ADDR:PORT", text);
        }
        if (!config_is_loopback(host) && !config->tls_cert && !config->plain_http) {
            return wm_diag_set(diag, WM_E_DENIED,
                               "listen: %.64s is not a loopback address, and without TLS whoever "
                               "is on the way can read tokens; give tls-cert and tls-key, or "
                               "plain-http where a proxy in front does TLS",
                               text);
        }
    }
    return 0;
}

static void print_text(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            fprintf(out, "\\x%02x", c);
        } else {
            fputc(c, out);
        }
    }
    fputc('"', out);
}

void config_print(const struct config *config, FILE *out)
{
    for (size_t i = 0; i < WM_COUNT_OF(settings); i++) {
        const struct setting *setting = &settings[i];
        const void *field = field_of(config, setting);
        if (setting->kind == KIND_TEXT && !*(char *const *)field) {
            continue;
        }
        fprintf(out, "%s: ", setting->name);
        switch (setting->kind) {
        case KIND_TEXT: print_text(*(char *const *)field, out); break;
        case KIND_BOOL: fputs(*(const bool *)field ? "true" : "false", out); break;
        case KIND_U32: fprintf(out, "%u", *(const uint32_t *)field); break;
        case KIND_U64: fprintf(out, "%llu", (unsigned long long)*(const uint64_t *)field); break;
        case KIND_LIST: {
            const struct config_list *list = field;
            fputc('[', out);
            for (uint32_t j = 0; j < list->count; j++) {
                fputs(j ? ", " : "", out);
                print_text(list->items[j], out);
            }
            fputc(']', out);
            break;
        }
        }
        fputc('\n', out);
    }
}

void config_help(FILE *out)
{
    fputs("usage: wardmote node [--data DIR] [--listen ADDR:PORT] [FLAG...]\n"
          "       wardmote node backup OUT --data DIR      of a node that is not running\n"
          "       wardmote node restore BACKUP --data DIR\n\n",
          out);
    for (size_t i = 0; i < WM_COUNT_OF(settings); i++) {
        char flag[FLAG_BYTES];
        snprintf(flag, sizeof flag, "--%s %s", settings[i].name,
                 settings[i].value ? settings[i].value : "");
        fprintf(out, "  %-34s %s\n", flag, settings[i].help);
    }
    fputs("  --config FILE                      the same settings as YAML, `name: value` a line\n"
          "  --print-config                     what they come to\n"
          "  --version, --help\n",
          out);
}
