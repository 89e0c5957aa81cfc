/* version.c: `wardmote version`: what is installed here, for bug reports and scripts. */
#include <stdio.h>

#include <wardmote/version.h>

#include "cli/cli.h"
#include "cli/json.h"

enum { OPTION_JSON = 256 };

static int take(void *self, int id, const char *value)
{
    bool *json = self;
    if (id == OPTION_JSON) {
        *json = true;
        return 0;
    }
    return cli_error(CLI_USAGE, "version: %s: no argument is expected here", value);
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    bool json = false;
    int status = cli_parse(verb, argc, argv, take, &json);
    if (status >= 0) {
        return status;
    }
    struct wm_build_info info;
    wm_build_info(&info);
    if (json) {
        struct cli_json out = cli_json_begin(stdout);
        cli_json_text(&out, "version", info.version);
        cli_json_text(&out, "cpu", info.cpu);
        cli_json_text(&out, "compiler", info.compiler_path);
        cli_json_text(&out, "cache", info.cache_path);
        cli_json_number(&out, "abi", info.abi);
        cli_json_number(&out, "compiler_version", info.compiler);
        cli_json_end(&out);
        return CLI_DONE;
    }
    printf("wardmote %s\n"
           "compiles for  %s\n"
           "compiler      %s\n"
           "cache         %s\n",
           info.version, info.cpu,
           info.compiler_path ? info.compiler_path
                              : "not found: wardmote-wasmc belongs beside wardmote",
           info.cache_path ? info.cache_path : "none: neither XDG_CACHE_HOME nor HOME is set");
    return CLI_DONE;
}

static const struct cli_option options[] = {
    {OPTION_JSON, "json", NULL, "one JSON object"},
};

const struct cli_verb cli_verb_version = {
    .name = "version",
    .arguments = "",
    .summary = "tells which version this is, and what it found on this machine",
    .options = options,
    .option_count = WM_COUNT_OF(options),
    .run = run,
};
