/* tool.c: the other programs that a verb calls: found by name, run without a shell. */
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

bool cli_program_folder(char *out, size_t out_bytes)
{
    ssize_t len = readlink("/proc/self/exe", out, out_bytes);
    if (len <= 0 || (size_t)len >= out_bytes) {
        return false;
    }
    out[len] = 0;
    char *slash = strrchr(out, '/');
    if (!slash) {
        return false;
    }
    *slash = 0;
    return true;
}

bool cli_find_program(const char *name, const char *given, char *out, size_t out_bytes)
{
    const char *named = secure_getenv(given);
    if (named && *named) {
        int len = snprintf(out, out_bytes, "%s", named);
        return len > 0 && (size_t)len < out_bytes && access(out, X_OK) == 0;
    }
    static const char *const places[] = {"", "../libexec/wardmote/", "../../bin/"};
    char folder[PATH_MAX];
    for (size_t i = 0; i < WM_COUNT_OF(places) && cli_program_folder(folder, sizeof folder); i++) {
        int len = snprintf(out, out_bytes, "%s/%s%s", folder, places[i], name);
        if (len > 0 && (size_t)len < out_bytes && access(out, X_OK) == 0) {
            return true;
        }
    }
    int len = snprintf(out, out_bytes, "%s/%s", CLI_LIBEXEC_DIR, name);
    return len > 0 && (size_t)len < out_bytes && access(out, X_OK) == 0;
}

bool cli_find_tool(const char *name, char *out, size_t out_bytes)
{
    const char *path = getenv("PATH");
    for (const char *at = path ? path : "/usr/bin:/bin"; *at;) {
        size_t len = strcspn(at, ":");
        int need = snprintf(out, out_bytes, "%.*s/%s", (int)len, at, name);
        /* An empty entry means the present folder, from which nothing is run. */
        if (len > 0 && need > 0 && (size_t)need < out_bytes && access(out, X_OK) == 0) {
            return true;
        }
        at += len + (at[len] == ':');
    }
    return false;
}

/* Variables by which a host's folders would slip into a compilation for another machine. */
static const char *const host_only[] = {
    "CPATH=",        "C_INCLUDE_PATH=", "CPLUS_INCLUDE_PATH=", "OBJC_INCLUDE_PATH=",
    "LIBRARY_PATH=", "COMPILER_PATH=",  "GCC_EXEC_PREFIX=",    "CCC_OVERRIDE_OPTIONS=",
};

extern char **environ;

int cli_spawn(const char *const *argv, const char *path)
{
    size_t count = 0;
    while (environ[count]) {
        count++;
    }
    char **clean = calloc(count + 2, sizeof *clean);
    if (!clean) {
        errno = ENOMEM;
        return -1;
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool keep = !path || strncmp(environ[i], "PATH=", 5) != 0;
        for (size_t j = 0; j < WM_COUNT_OF(host_only); j++) {
            keep = keep && strncmp(environ[i], host_only[j], strlen(host_only[j])) != 0;
        }
        if (keep) {
            clean[kept++] = environ[i];
        }
    }
    char *path_entry = NULL;
    if (path) {
        if (asprintf(&path_entry, "PATH=%s", path) < 0) {
            free(clean);
            errno = ENOMEM;
            return -1;
        }
        clean[kept++] = path_entry;
    }
    pid_t child;
    int error = posix_spawn(&child, argv[0], NULL, NULL, (char *const *)argv, clean);
    free(path_entry);
    free(clean);
    if (error) {
        errno = error;
        return -1;
    }
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
