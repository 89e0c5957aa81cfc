/* handover.c: the verbs that are programs of their own: `wardmote fn` is `wardmote-client fn`, and
 * `wardmote node` is `wardmote-node`. They need libraries (HTTP, TLS, JSON, a database) that this
 * executable, which starts in a millisecond, must not map. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"

static const struct {
    const char *name, *variable;
} client = {"wardmote-client", "WARDMOTE_CLIENT"}, node = {"wardmote-node", "WARDMOTE_NODE"};

static int missing(const char *verb, const char *name, const char *variable)
{
    const char *given = getenv(variable);
    if (given && *given) {
        return cli_error(CLI_MISSING, "%s: %s, named by %s, cannot be executed", verb, given,
                         variable);
    }
    return cli_error(CLI_MISSING,
                     "%s: %s is neither beside this program nor in %s: install it there, "
                     "with `make install` in the source tree or the Debian package",
                     verb, name, CLI_LIBEXEC_DIR);
}

/* argv[0] is the verb. Does not return when all is well. */
static int become(const char *name, const char *variable, char **argv, bool with_verb)
{
    char path[PATH_MAX];
    if (!cli_find_program(name, variable, path, sizeof path)) {
        return missing(argv[0], name, variable);
    }
    size_t count = 0;
    while (argv[count]) {
        count++;
    }
    char **words = calloc(count + 2, sizeof *words);
    if (!words) {
        return cli_error(CLI_FAILED, "%s: out of memory", argv[0]);
    }
    size_t at = 0;
    words[at++] = path;
    for (size_t i = with_verb ? 0 : 1; i < count; i++) {
        words[at++] = argv[i];
    }
    execv(path, words);
    int error = errno;
    free(words);
    errno = error;
    return cli_error(CLI_FAILED, "%s: not started: %m", path);
}

static int run_client(const struct cli_verb *verb, int argc, char **argv)
{
    (void)verb;
    (void)argc;
    return become(client.name, client.variable, argv, true);
}

/* Words that the client understands; all else is for the daemon, its options above all. */
static int run_node(const struct cli_verb *verb, int argc, char **argv)
{
    static const char *const words[] = {"drain", "backup", "status", "token",
                                        "key",   "--help", "-h"};
    bool for_client = argc > 1 && cli_choice(argv[1], words, WM_COUNT_OF(words)) >= 0;
    return for_client ? run_client(verb, argc, argv)
                      : become(node.name, node.variable, argv, false);
}

const struct cli_verb cli_verb_fn = {
    .name = "fn",
    .summary = "functions on a node: put, call, list, show, rm, logs, ...",
    .elsewhere = true,
    .run = run_client,
};

const struct cli_verb cli_verb_state = {
    .name = "state",
    .summary = "the state that functions share: get, put, list, rm",
    .elsewhere = true,
    .run = run_client,
};

const struct cli_verb cli_verb_tenant = {
    .name = "tenant",
    .summary = "who may do what on a node: add, token, quota, list, rm",
    .elsewhere = true,
    .run = run_client,
};

const struct cli_verb cli_verb_node = {
    .name = "node",
    .summary = "the daemon: starts one; drain, backup, restore, status",
    .elsewhere = true,
    .run = run_node,
};
