/* client.c: where the node is, who we are to it, and the small things that all commands need. */
#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/client_http.h"
#include "cli/text.h"

#define WAIT_S_DEFAULT 600u
#define RETRIES_MAX 1000u

enum {
    OPTION_NODE = 1000,
    OPTION_TENANT,
    OPTION_TOKEN_FILE,
    OPTION_CA,
    OPTION_PLAIN,
    OPTION_RETRY,
    OPTION_WAIT,
    OPTION_JSON,
};

const struct cli_option client_options[] = {
    {OPTION_NODE, "node", "URL|unix:PATH", "the node; default WARDMOTE_NODE_URL, else this user's"},
    {OPTION_TENANT, "tenant", "NAME", "for whom; administrators only"},
    {OPTION_TOKEN_FILE, "token-file", "FILE", "a file that others cannot read"},
    {OPTION_CA, "ca", "FILE", "who signed the node's certificate"},
    {OPTION_PLAIN, "plain", NULL, "send the token unencrypted, also to another machine"},
    {OPTION_RETRY, "retry", "N", "tries more when the node is busy"},
    {OPTION_WAIT, "wait", "SECONDS", "for an answer; default 600"},
    {OPTION_JSON, "json", NULL, "the node's answer as JSON"},
};
_Static_assert(WM_COUNT_OF(client_options) == CLIENT_OPTIONS, "client.h has their number");

const struct cli_option client_yes[1] = {{CLIENT_YES, "yes", NULL, "do not ask"}};

void client_init(struct client *client)
{
    *client = (struct client){0};
}

int client_take(struct client *client, int id, const char *value)
{
    switch (id) {
    case OPTION_NODE: client->node_option = value; return 0;
    case OPTION_TENANT: client->tenant = value; return client_check_name("tenant", value);
    case OPTION_TOKEN_FILE: client->token_file = value; return 0;
    case OPTION_CA: client->ca = value; return 0;
    case OPTION_PLAIN: client->plain = true; return 0;
    case OPTION_JSON: client->json = true; return 0;
    case OPTION_RETRY:
        return cli_number(value, &client->retries) && client->retries <= RETRIES_MAX
                   ? 0
                   : cli_error(CLI_USAGE, "--retry %s: not usable: expected a number up to %u",
                               value, RETRIES_MAX);
    case OPTION_WAIT:
        return cli_number(value, &client->wait_s) && client->wait_s > 0 && client->wait_s <= 86400
                   ? 0
                   : cli_error(CLI_USAGE,
                               "--wait %s: not usable: expected seconds, from 1 to 86400", value);
    default: return CLI_USAGE;
    }
}

bool client_data_folder(char *out, size_t out_bytes)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int len;
    if (state && state[0] == '/') {
        len = snprintf(out, out_bytes, "%s/wardmote", state);
    } else if (geteuid() == 0) {
        len = snprintf(out, out_bytes, "/var/lib/wardmote");
    } else if (home && home[0] == '/') {
        len = snprintf(out, out_bytes, "%s/.local/state/wardmote", home);
    } else {
        return false;
    }
    return len > 0 && (size_t)len < out_bytes;
}

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
           strcmp(host, "[::1]") == 0;
}

/* Is the URL one of a node, and does it lead to this machine? */
static int check_url(const char *url, bool *loopback, bool *encrypted)
{
    static const CURLUPart unwanted[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY,
                                         CURLUPART_FRAGMENT};
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *path = NULL, *other = NULL;
    int status = CLI_USAGE;
    if (!parts) {
        return cli_error(CLI_FAILED, "--node: out of memory");
    }
    if (!strstr(url, "://") || curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_PATH, &path, 0) != CURLUE_OK || strcmp(path, "/") != 0 ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
        cli_error(CLI_USAGE,
                  "--node %s: not usable: expected http://HOST:PORT, https://HOST:PORT "
                  "or unix:PATH",
                  strchr(url, '@') ? "URL" : url);
        goto out;
    }
    for (size_t i = 0; i < WM_COUNT_OF(unwanted); i++) {
        if (curl_url_get(parts, unwanted[i], &other, 0) == CURLUE_OK) {
            cli_error(CLI_USAGE, "--node: the URL holds more than a host and a port: a token "
                                 "belongs in a file, for --token-file");
            goto out;
        }
    }
    *loopback = is_loopback(host);
    *encrypted = strcmp(scheme, "https") == 0;
    status = 0;
out:
    curl_free(scheme);
    curl_free(host);
    curl_free(path);
    curl_free(other);
    curl_url_cleanup(parts);
    return status;
}

static int use_socket(struct client *client, const char *path)
{
    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path || !*path) {
        return cli_error(CLI_USAGE,
                         "unix:%s: not usable as a socket: its path is longer than %zu "
                         "bytes, or empty",
                         path, sizeof((struct sockaddr_un *)0)->sun_path - 1);
    }
    client->socket = wm_strdup(path);
    client->url = wm_strdup("http://node");
    if (asprintf(&client->place, "unix:%s", path) < 0) {
        client->place = NULL;
    }
    return client->socket && client->url && client->place
               ? 0
               : cli_error(CLI_FAILED, "%s: out of memory", path);
}

static int find_node(struct client *client, bool *loopback, bool *encrypted)
{
    const char *node = client->node_option, *given = getenv("WARDMOTE_NODE_URL");
    char folder[PATH_MAX - 16], path[PATH_MAX];
    *loopback = true;
    *encrypted = false;
    if (!node && given && *given) {
        node = given;
    }
    if (!node) {
        if (!client_data_folder(folder, sizeof folder)) {
            return cli_error(CLI_USAGE, "no node is named and HOME is not set: name one with "
                                        "--node URL|unix:PATH");
        }
        snprintf(path, sizeof path, "%s/node.sock", folder);
        return use_socket(client, path);
    }
    if (strncmp(node, "unix:", 5) == 0) {
        return use_socket(client, node + 5);
    }
    int status = check_url(node, loopback, encrypted);
    if (status) {
        return status;
    }
    size_t len = strlen(node);
    while (len && node[len - 1] == '/') {
        len--;
    }
    client->url = wm_strdup(node);
    client->place = client->url ? strdup(node) : NULL;
    if (!client->place) {
        return cli_error(CLI_FAILED, "--node: out of memory");
    }
    client->url[len] = 0;
    client->place[len] = 0;
    return 0;
}

/* Printable, without blanks: it becomes part of a header. The text is no part of the message. */
static int use_token(struct client *client, const char *from, const char *text, size_t len)
{
    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' ')) {
        len--;
    }
    bool good = len > 0 && len <= CLIENT_TOKEN_BYTES_MAX;
    for (size_t i = 0; i < len && good; i++) {
        good = text[i] > 0x20 && text[i] < 0x7f;
    }
    if (!good) {
        return cli_error(CLI_USAGE,
                         "%s: holds no token: expected one word as `wardmote tenant "
                         "token` printed it",
                         from);
    }
    client->token = wm_alloc(len + 1);
    if (!client->token) {
        return cli_error(CLI_FAILED, "%s: out of memory", from);
    }
    memcpy(client->token, text, len);
    client->token[len] = 0;
    return 0;
}

static int read_token_file(struct client *client, const char *path, bool must_exist)
{
    char text[CLIENT_TOKEN_BYTES_MAX + 16];
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return !must_exist && (errno == ENOENT || errno == ENOTDIR)
                   ? 0
                   : cli_error(CLI_USAGE, "%s: cannot be read: %m", path);
    }
    if (fstat(fd, &info) != 0 || (S_ISREG(info.st_mode) && (info.st_mode & 077)) ||
        (info.st_uid != geteuid() && info.st_uid != 0)) {
        close(fd);
        return cli_error(CLI_USAGE,
                         "%s: others may read or change it, so its token is no secret: "
                         "chmod 600 %s",
                         path, path);
    }
    ssize_t len = read(fd, text, sizeof text);
    int error = errno;
    close(fd);
    errno = error;
    int status = len < 0 ? cli_error(CLI_USAGE, "%s: cannot be read: %m", path)
                         : use_token(client, path, text, (size_t)len);
    explicit_bzero(text, sizeof text);
    return status;
}

/* The socket's owner is the administrator anyhow: there only a token that was named counts. */
static int find_token(struct client *client)
{
    const char *given = getenv("WARDMOTE_TOKEN"), *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    char *copy = given ? strdup(given) : NULL;
    int status;
    /* Programs that are started from here, a compiler for example, have no use for it. */
    unsetenv("WARDMOTE_TOKEN");
    if (given && !copy) {
        return cli_error(CLI_FAILED, "WARDMOTE_TOKEN: out of memory");
    }
    int len = -1;
    if (config && config[0] == '/') {
        len = snprintf(path, sizeof path, "%s/wardmote/token", config);
    } else if (home && home[0] == '/') {
        len = snprintf(path, sizeof path, "%s/.config/wardmote/token", home);
    }
    if (client->token_file) {
        status = read_token_file(client, client->token_file, true);
    } else if (client->socket) {
        status = 0;
    } else if (copy && *copy) {
        status = use_token(client, "WARDMOTE_TOKEN", copy, strlen(copy));
    } else {
        status = len > 0 && (size_t)len < sizeof path ? read_token_file(client, path, false) : 0;
    }
    if (copy) {
        explicit_bzero(copy, strlen(copy));
    }
    free(copy);
    return status;
}

int client_open(struct client *client)
{
    bool loopback, encrypted;
    client->wait_s = client->wait_s ? client->wait_s : WAIT_S_DEFAULT;
    int status = find_node(client, &loopback, &encrypted);
    status = status ? status : find_token(client);
    if (!status && client->token && !loopback && !encrypted && !client->plain) {
        status = cli_error(CLI_USAGE,
                           "%s: the token would travel unencrypted: use https://, or "
                           "--plain where the network is your own",
                           client->place);
    }
    if (!status && client->ca && access(client->ca, R_OK) != 0) {
        status = cli_error(CLI_USAGE, "--ca %s: cannot be read: %m", client->ca);
    }
    return status;
}

void client_close(struct client *client)
{
    client_http_free(client->http);
    if (client->token) {
        explicit_bzero(client->token, strlen(client->token));
    }
    wm_free(client->token);
    wm_free(client->url);
    wm_free(client->socket);
    free(client->place);
    client->http = NULL;
    client->token = client->url = client->socket = client->place = NULL;
}

int client_check_name(const char *what, const char *name)
{
    size_t len = strlen(name);
    bool good = len > 0 && len <= CLIENT_NAME_BYTES_MAX && name[0] != '-' && name[0] != '_' &&
                name[0] != '.';
    for (size_t i = 0; i < len && good; i++) {
        char c = name[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.';
    }
    return good ? 0
                : cli_error(CLI_USAGE,
                            "%s %s: not usable as a name: expected 1 to %u of a-z A-Z 0-9 - _ . "
                            "that start with a letter or digit",
                            what, name, CLIENT_NAME_BYTES_MAX);
}

int client_words_take(void *self, int id, const char *value)
{
    struct client_words *words = self;
    if (id == CLIENT_YES) {
        words->yes = true;
        return 0;
    }
    if (id != CLI_ARGUMENT) {
        return client_take(&words->client, id, value);
    }
    if (words->count == WM_COUNT_OF(words->word)) {
        return cli_error(CLI_USAGE, "%s: more than %zu arguments", words->verb->name,
                         WM_COUNT_OF(words->word));
    }
    words->word[words->count++] = value;
    return 0;
}

int client_words_check(const struct client_words *words, size_t least, size_t most)
{
    const struct cli_verb *verb = words->verb;
    if (words->count < least) {
        return cli_error(CLI_USAGE, "%s: too few arguments: wardmote %s %s", verb->name, verb->name,
                         verb->arguments);
    }
    if (words->count > most) {
        return cli_error(CLI_USAGE, "%s: %s: no such argument is expected: wardmote %s %s",
                         verb->name, words->word[most], verb->name, verb->arguments);
    }
    return 0;
}

int client_words(struct client_words *words, const struct cli_verb *verb, int argc, char **argv,
                 size_t least, size_t most)
{
    *words = (struct client_words){.verb = verb};
    client_init(&words->client);
    int status = cli_parse(verb, argc, argv, client_words_take, words);
    if (status >= 0) {
        return status;
    }
    status = client_words_check(words, least, most);
    status = status ? status : client_open(&words->client);
    if (status) {
        client_close(&words->client);
        return status;
    }
    return -1;
}

bool client_confirm(bool yes, const char *format, ...)
{
    if (yes || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        return true;
    }
    va_list args;
    char *question = NULL, answer[16] = "";
    va_start(args, format);
    int len = vasprintf(&question, format, args);
    va_end(args);
    if (len < 0) {
        return false;
    }
    cli_text_put(stderr, question, (size_t)len, false);
    fputs(" [y/N] ", stderr);
    free(question);
    bool agreed = fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
    if (!agreed) {
        fputs("nothing is done\n", stderr);
    }
    return agreed;
}

int client_write_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len) {
        ssize_t done = write(fd, at, len);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            return -errno;
        }
        at += done;
        len -= (size_t)done;
    }
    return 0;
}

/* Reads a pipe to its end into a memory file. */
static int spool(int fd, uint64_t most, int *out, uint64_t *out_len)
{
    static char block[65536];
    int copy = memfd_create("wardmote-body", MFD_CLOEXEC);
    uint64_t len = 0;
    if (copy < 0) {
        return -errno;
    }
    for (;;) {
        ssize_t got = read(fd, block, sizeof block);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        int error = got < 0 ? -errno : client_write_all(copy, block, (size_t)got);
        len += got > 0 ? (uint64_t)got : 0;
        error = error ? error : len > most ? -EFBIG : 0;
        if (error) {
            close(copy);
            return error;
        }
        if (got == 0) {
            explicit_bzero(block, sizeof block);
            *out = copy;
            *out_len = len;
            return 0;
        }
    }
}

int client_body_open(struct client_body *body, const char *path, uint64_t most)
{
    bool input = strcmp(path, "-") == 0;
    const char *what = input ? "standard input" : path;
    struct stat info;
    int fd = input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    *body = CLIENT_BODY_NONE;
    if (fd < 0 || fstat(fd, &info) != 0 || S_ISDIR(info.st_mode)) {
        int error = fd < 0 ? errno : EISDIR;
        if (fd >= 0 && !input) {
            close(fd);
        }
        errno = error;
        return cli_error(CLI_USAGE, "%s: cannot be read: %m", what);
    }
    body->own_fd = !input;
    body->fd = fd;
    int error = 0;
    if (S_ISREG(info.st_mode) && lseek(fd, 0, SEEK_CUR) == 0) {
        body->len = (uint64_t)info.st_size;
        error = body->len > most ? -EFBIG : 0;
    } else {
        int copy = -1;
        error = spool(fd, most, &copy, &body->len);
        client_body_close(body);
        body->fd = copy;
        body->own_fd = true;
    }
    if (error) {
        client_body_close(body);
        errno = -error;
        return cli_error(CLI_USAGE, "%s: cannot be read: %m", what);
    }
    return 0;
}

void client_body_close(struct client_body *body)
{
    if (body->fd >= 0 && body->own_fd) {
        close(body->fd);
    }
    body->fd = -1;
    body->own_fd = false;
}

int client_file_open(struct client_file *file, const char *path, unsigned mode)
{
    struct stat info;
    *file = (struct client_file){.fd = -1};
    /* Through a link, to what it points at, if that is there. */
    file->path = realpath(path, NULL);
    if (!file->path) {
        file->path = strdup(path);
    }
    if (!file->path) {
        return cli_error(CLI_FAILED, "%s: out of memory", path);
    }
    path = file->path;
    bool there = lstat(path, &info) == 0;
    if (there && !S_ISREG(info.st_mode)) {
        file->fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);
    } else if (asprintf(&file->temporary, "%s.XXXXXX", path) < 0) {
        file->temporary = NULL;
        errno = ENOMEM;
    } else {
        file->fd = mkostemp(file->temporary, O_CLOEXEC);
        mode_t mask = umask(0);
        umask(mask);
        if (file->fd >= 0 && fchmod(file->fd, (mode_t)mode & ~mask) != 0) {
            close(file->fd);
            unlink(file->temporary);
            file->fd = -1;
        }
    }
    if (file->fd < 0) {
        free(file->temporary);
        file->temporary = NULL;
        cli_error(CLI_FAILED, "%s: cannot be written: %m", path);
        client_file_drop(file);
        return CLI_FAILED;
    }
    return 0;
}

int client_file_keep(struct client_file *file)
{
    bool good = close(file->fd) == 0;
    file->fd = -1;
    good = good && (!file->temporary || rename(file->temporary, file->path) == 0);
    int status = good ? 0 : cli_error(CLI_FAILED, "%s: cannot be written: %m", file->path);
    if (good) {
        free(file->temporary);
        file->temporary = NULL;
    }
    client_file_drop(file);
    return status;
}

void client_file_drop(struct client_file *file)
{
    if (file->fd >= 0) {
        close(file->fd);
    }
    if (file->temporary) {
        unlink(file->temporary);
    }
    free(file->temporary);
    free(file->path);
    *file = (struct client_file){.fd = -1};
}
