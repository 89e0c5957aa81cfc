/* client_main.c: wardmote-client, the commands against a node. `wardmote fn ...` becomes this
 * program; its own arguments are the same: VERB COMMAND [OPTION...] ARGUMENT... */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"

static const struct group {
    const char *name, *summary, *notes;
    const struct cli_verb *const *commands;
} groups[] = {
    {"fn", "functions on a node", NULL, client_fn},
    {"state", "the state that functions share, as bytes under keys", NULL, client_state},
    {"tenant", "who may do what on a node, and how much of it", NULL, client_tenant},
    {"node", "the daemon that runs functions",
     "\n`wardmote node [--data DIR] [--listen ADDR:PORT] [--config FILE]` starts one, in\n"
     "the foreground; `wardmote node restore BACKUP --data DIR` makes one of a backup.\n"
     "Its other settings: wardmote-node --help\n",
     client_node},
};

static void group_help(FILE *out, const struct group *group)
{
    fprintf(out, "usage: wardmote %s COMMAND [OPTION...] ARGUMENT...\n\n%s.\n\n", group->name,
            group->summary);
    size_t skip = strlen(group->name) + 1;
    for (size_t i = 0; group->commands[i]; i++) {
        fprintf(out, "  %-11s %s\n", group->commands[i]->name + skip, group->commands[i]->summary);
    }
    fprintf(out, "%s`wardmote %s COMMAND --help` tells about one. Manual: man wardmote-%s\n",
            group->notes ? group->notes : "", group->name, group->name);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* How many of the words are the command's name; 0: they are not. */
static size_t matches(const char *name, int argc, char **argv)
{
    size_t words = 0;
    while (*name) {
        size_t len = strcspn(name, " ");
        if ((int)words >= argc || strlen(argv[words]) != len ||
            memcmp(argv[words], name, len) != 0) {
            return 0;
        }
        words++;
        name += len + (name[len] == ' ');
    }
    return words;
}

/* What `fn route` alone lacks, or which command was meant. */
static int unknown(const struct group *group, const char *word)
{
    const char *names[32];
    char firsts[32][24]; /* "route" of "route add" */
    char further[128] = "";
    size_t count = 0, skip = strlen(group->name) + 1, word_len = strlen(word);
    for (size_t i = 0; group->commands[i] && count < WM_COUNT_OF(names); i++) {
        const char *name = group->commands[i]->name + skip;
        snprintf(firsts[count], sizeof firsts[count], "%.*s", (int)strcspn(name, " "), name);
        names[count] = firsts[count];
        count++;
        if (strncmp(name, word, word_len) == 0 && name[word_len] == ' ') {
            size_t len = strlen(further);
            snprintf(further + len, sizeof further - len, "%s%s", len ? ", " : "",
                     name + word_len + 1);
        }
    }
    if (*further) {
        return cli_error(CLI_USAGE, "%s %s: expected one of %s behind it", group->name, word,
                         further);
    }
    if (word[0] == '-') {
        return cli_error(CLI_USAGE,
                         "%s: %s: options stand behind the command: wardmote %s COMMAND %s",
                         group->name, word, group->name, word);
    }
    const char *near = cli_nearest(word, names, count);
    if (near) {
        return cli_error(CLI_USAGE, "%s %s: no such command: did you mean `wardmote %s %s`?",
                         group->name, word, group->name, near);
    }
    return cli_error(CLI_USAGE, "%s %s: no such command: `wardmote help %s` lists them",
                     group->name, word, group->name);
}

static int run_group(const struct group *group, int argc, char **argv)
{
    if (argc < 1) {
        group_help(stderr, group);
        return CLI_USAGE;
    }
    if (is_help(argv[0])) {
        group_help(stdout, group);
        return CLI_DONE;
    }
    for (size_t i = 0; group->commands[i]; i++) {
        const struct cli_verb *verb = group->commands[i];
        size_t words = matches(verb->name + strlen(group->name) + 1, argc, argv);
        if (words) {
            return verb->run(verb, argc - (int)words + 1, argv + words - 1);
        }
    }
    return unknown(group, argv[0]);
}

static void fill_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) < 0) {
            _exit(CLI_FAILED);
        }
    }
}

int main(int argc, char **argv)
{
    fill_standard_streams();
    for (size_t i = 0; argc > 1 && i < WM_COUNT_OF(groups); i++) {
        if (strcmp(argv[1], groups[i].name) == 0) {
            return run_group(&groups[i], argc - 2, argv + 2);
        }
    }
    return cli_error(CLI_USAGE, "this program is started by `wardmote fn`, `state`, `tenant` and "
                                "`node`");
}
