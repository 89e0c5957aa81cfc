/* demo.c: `wardmote demo`: the main job, end to end, on this machine. The acts are a script, so
 * that each command in it is one that the reader can type; this verb finds and starts it. */
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"

static int take(void *self, int id, const char *value)
{
    (void)self;
    (void)id;
    return cli_error(CLI_USAGE, "demo: %s: no argument is expected here", value);
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    int status = cli_parse(verb, argc, argv, take, NULL);
    if (status >= 0) {
        return status;
    }
    static const char *const places[] = {"../share/wardmote/demo", "../tools/demo"};
    char folder[PATH_MAX - 64], script[PATH_MAX];
    bool found = false;
    if (cli_program_folder(folder, sizeof folder)) {
        for (size_t i = 0; i < WM_COUNT_OF(places) && !found; i++) {
            snprintf(script, sizeof script, "%s/%s", folder, places[i]);
            found = access(script, X_OK) == 0;
        }
    }
    if (!found) {
        return cli_error(CLI_MISSING,
                         "demo: its script is not installed: run `make demo` in the source tree");
    }
    const char *const command[] = {script, folder, NULL};
    status = cli_spawn(command, NULL);
    return status < 0 ? cli_error(CLI_FAILED, "%s: not started: %m", script) : status;
}

const struct cli_verb cli_verb_demo = {
    .name = "demo",
    .arguments = "",
    .summary = "shows what this is for, on this machine",
    .run = run,
};
