/* client_python.c: finding the interpreter, packing the script. */
#include "cli/client_python.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define BOOTSTRAP_BYTES_MAX 8192u
#define VERSION "3.12.0" /* that of sdk/python/get */

/* sdk/python/NAME: installed, or in the source tree. */
static bool find_sdk(const char *name, int mode, char *out, size_t out_bytes)
{
    static const char *const places[] = {"../../share/wardmote/sdk", "../share/wardmote/sdk",
                                         "../sdk", "../../sdk"};
    char folder[PATH_MAX];
    for (size_t i = 0; i < WM_COUNT_OF(places) && cli_program_folder(folder, sizeof folder); i++) {
        int len = snprintf(out, out_bytes, "%s/%s/python/%s", folder, places[i], name);
        if (len > 0 && (size_t)len < out_bytes && access(out, mode) == 0) {
            return true;
        }
    }
    return false;
}

/* In the folder of compiled code; false: there is no home folder. */
static bool cache_path(char *out, size_t out_bytes)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int len = -1;
    if (cache && cache[0] == '/') {
        len = snprintf(out, out_bytes, "%s/wardmote/python-" VERSION ".wasm", cache);
    } else if (home && home[0] == '/') {
        len = snprintf(out, out_bytes, "%s/.cache/wardmote/python-" VERSION ".wasm", home);
    }
    return len > 0 && (size_t)len < out_bytes;
}

static int make(const char *script, const char *path)
{
    char get[PATH_MAX], program[PATH_MAX];
    if (!find_sdk("get", X_OK, get, sizeof get)) {
        return cli_error(CLI_MISSING,
                         "%s: sdk/python/get, which would fetch Python, is not beside this "
                         "program; name Python's module with --python FILE",
                         script);
    }
    if (cli_find_program("wardmote", "WARDMOTE_PROGRAM", program, sizeof program) &&
        setenv("WARDMOTE_PROGRAM", program, 1) != 0) {
        return cli_error(CLI_FAILED, "%s: %m", script);
    }
    const char *const argv[] = {get, path, NULL};
    int status = cli_spawn(argv, NULL);
    if (status < 0) {
        return cli_error(CLI_FAILED, "%s: not started: %m", get);
    }
    return status == 0
               ? 0
               : cli_error(status == CLI_MISSING ? CLI_MISSING : CLI_FAILED,
                           "%s: Python for functions is missing here, and could not be fetched; "
                           "name its module with --python FILE",
                           script);
}

static int open_python(const char *script, const char *given, struct client_body *body)
{
    static const char *const places[] = {"../share/wardmote/python.wasm",
                                         "../../share/wardmote/python.wasm"};
    char folder[PATH_MAX - 64], path[PATH_MAX];
    given = given ? given : getenv("WARDMOTE_PYTHON");
    if (given && *given) {
        return client_body_open(body, given, CLIENT_MODULE_BYTES_MAX);
    }
    for (size_t i = 0; i < WM_COUNT_OF(places) && cli_program_folder(folder, sizeof folder); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, places[i]);
        if (access(path, R_OK) == 0) {
            return client_body_open(body, path, CLIENT_MODULE_BYTES_MAX);
        }
    }
    if (!cache_path(path, sizeof path)) {
        return cli_error(CLI_MISSING,
                         "%s: no folder to keep Python in (HOME is not set): name its module "
                         "with --python FILE",
                         script);
    }
    int status = access(path, R_OK) == 0 ? 0 : make(script, path);
    return status ? status : client_body_open(body, path, CLIENT_MODULE_BYTES_MAX);
}

/* The whole file, with a NUL behind it. */
static int read_text(const char *path, uint64_t max, char *out, size_t *len)
{
    struct client_body body;
    int status = client_body_open(&body, path, max);
    if (status) {
        return status;
    }
    ssize_t got = pread(body.fd, out, max, 0);
    client_body_close(&body);
    if (got < 0 || memchr(out, 0, (size_t)got)) {
        return cli_error(CLI_USAGE, "%s: not usable: no text", path);
    }
    out[got] = 0;
    *len = (size_t)got;
    return 0;
}

/* Of the alphabet that URLs leave alone: escaped, a script would take up to three times its size.
 */
static void encode64(const char *from, size_t len, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t at = 0; at < len; at += 3) {
        uint32_t word = 0;
        for (size_t i = 0; i < 3; i++) {
            word = word << 8 | (at + i < len ? (uint8_t)from[at + i] : 0u);
        }
        for (size_t i = 0; i < 4; i++) {
            *out++ = at + i <= len ? digits[word >> (18 - 6 * i) & 63] : '=';
        }
    }
    *out = 0;
}

/* Comments and blank lines of the bootstrap stay here. */
static void strip(char *text)
{
    char *to = text;
    for (char *line = text; *line;) {
        size_t len = strcspn(line, "\n"), blank = strspn(line, " ");
        len += line[len] == '\n';
        if (line[blank] != '#' && line[blank] != '\n') {
            memmove(to, line, len);
            to += len;
        }
        line += len;
    }
    *to = 0;
}

/* "-B" "-c" BOOTSTRAP SCRIPT NAME, each with its NUL; out may be NULL to count. */
static size_t put_args(const char *const *args, size_t count, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        size_t more = strlen(args[i]) + 1;
        if (out) {
            memcpy(out + len, args[i], more);
        }
        len += more;
    }
    return len;
}

static int append_args(const char *script, int fd, uint64_t *len)
{
    static char bootstrap[BOOTSTRAP_BYTES_MAX + 1], text[CLIENT_SCRIPT_BYTES_MAX + 1];
    static char encoded[(CLIENT_SCRIPT_BYTES_MAX + 2) / 3 * 4 + 1];
    static char all[sizeof bootstrap + sizeof encoded + PATH_MAX + 16];
    char path[PATH_MAX];
    size_t text_len = 0, bootstrap_len = 0;
    if (!find_sdk("bootstrap.py", R_OK, path, sizeof path)) {
        return cli_error(CLI_MISSING,
                         "%s: sdk/python/bootstrap.py, which loads scripts, is not beside this "
                         "program: install Wardmote again",
                         script);
    }
    int status = read_text(path, BOOTSTRAP_BYTES_MAX, bootstrap, &bootstrap_len);
    status = status ? status : read_text(script, CLIENT_SCRIPT_BYTES_MAX, text, &text_len);
    if (status) {
        return status;
    }
    strip(bootstrap);
    encode64(text, text_len, encoded);
    const char *slash = strrchr(script, '/');
    /* -B: there is no folder to keep compiled modules in. */
    const char *const args[] = {"-B", "-c", bootstrap, encoded, slash ? slash + 1 : script};
    *len = put_args(args, WM_COUNT_OF(args), NULL);
    if (*len > sizeof all) {
        return cli_error(CLI_USAGE, "%s: its name is too long", script);
    }
    put_args(args, WM_COUNT_OF(args), all);
    for (uint64_t at = 0; at < *len;) {
        ssize_t done = write(fd, all + at, *len - at);
        if (done < 0) {
            return cli_error(CLI_FAILED, "%s: %m", script);
        }
        at += (uint64_t)done;
    }
    return 0;
}

/* The module is copied: an upload is one file. */
static int copy_module(const char *script, const struct client_body *from, int fd)
{
    off_t at = 0;
    while ((uint64_t)at < from->len) {
        ssize_t done = sendfile(fd, from->fd, &at, from->len - (uint64_t)at);
        if (done <= 0) {
            return cli_error(CLI_FAILED, "%s: Python's module: %s", script,
                             done < 0 ? strerror(errno) : "it became shorter");
        }
    }
    return 0;
}

int client_python_body(const char *script, const char *given, struct client_body *body,
                       uint64_t *args_bytes)
{
    struct client_body module = CLIENT_BODY_NONE;
    int status = open_python(script, given, &module);
    int fd = status ? -1 : memfd_create("python", MFD_CLOEXEC);
    if (!status && fd < 0) {
        status = cli_error(CLI_FAILED, "%s: no memory for Python's module: %m", script);
    }
    status = status ? status : copy_module(script, &module, fd);
    status = status ? status : append_args(script, fd, args_bytes);
    if (!status) {
        *body = (struct client_body){NULL, fd, module.len + *args_bytes, true};
    } else if (fd >= 0) {
        close(fd);
    }
    client_body_close(&module);
    return status;
}
