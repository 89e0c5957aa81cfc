/* main.c: finds the verb and hands over.
 *
 * This executable is on the path of every `wardmote run`, so it stays small: the compiler is a
 * program of its own, and nothing here opens a file or allocates before the verb does. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <wardmote/version.h>

#include "cli/cli.h"

const struct cli_verb *const cli_verbs[] = {
    &cli_verb_run,  &cli_verb_build,  &cli_verb_compile, &cli_verb_fn,      &cli_verb_state,
    &cli_verb_node, &cli_verb_tenant, &cli_verb_demo,    &cli_verb_version, NULL,
};

/* The headings of the help page, each before the verb that it names. */
static const struct {
    const struct cli_verb *before;
    const char *text;
} headings[] = {
    {&cli_verb_run, "programs, on this machine:"},
    {&cli_verb_fn, "functions, on a node that runs here or elsewhere:"},
    {&cli_verb_demo, "about wardmote:"},
};

static void print_help(FILE *out)
{
    fputs("wardmote runs code that its users don't trust.\n\n"
          "usage: wardmote VERB [OPTION...] ARGUMENT...\n",
          out);
    for (size_t i = 0; cli_verbs[i]; i++) {
        for (size_t j = 0; j < WM_COUNT_OF(headings); j++) {
            if (headings[j].before == cli_verbs[i]) {
                fprintf(out, "\n%s\n", headings[j].text);
            }
        }
        fprintf(out, "  %-9s %s\n", cli_verbs[i]->name, cli_verbs[i]->summary);
    }
    fputs("  help      this page; `wardmote help VERB` tells about one verb\n\n"
          "exit status: 0 done; 1 failed; 2 wrong usage or unusable input; 3 this machine lacks\n"
          "something. `run` passes the program's own on; its own: 125 refused, 134 trap,\n"
          "124 deadline, 123 out of fuel. Manual: man wardmote\n",
          out);
}

static const struct cli_verb *find_verb(const char *name)
{
    for (size_t i = 0; cli_verbs[i]; i++) {
        if (strcmp(cli_verbs[i]->name, name) == 0) {
            return cli_verbs[i];
        }
    }
    return NULL;
}

static int unknown_verb(const char *name)
{
    const char *names[WM_COUNT_OF(cli_verbs)];
    size_t count = 0;
    for (; cli_verbs[count]; count++) {
        names[count] = cli_verbs[count]->name;
    }
    names[count++] = "help";
    size_t len = strlen(name);
    if (len > 5 && strcmp(name + len - 5, ".wasm") == 0) {
        return cli_error(CLI_USAGE, "%s: no such verb: try `wardmote run %s`", name, name);
    }
    const char *near = cli_nearest(name, names, count);
    if (near) {
        return cli_error(CLI_USAGE, "%s: no such verb: did you mean `wardmote %s`?", name, near);
    }
    return cli_error(CLI_USAGE, "%s: no such verb: `wardmote help` lists them", name);
}

static int help(int argc, char **argv)
{
    if (argc < 3) {
        print_help(stdout);
        return CLI_DONE;
    }
    const struct cli_verb *verb = find_verb(argv[2]);
    if (!verb) {
        return unknown_verb(argv[2]);
    }
    if (verb->elsewhere) {
        /* `help fn put` is `fn put --help`. */
        static char ask[] = "--help";
        memmove(argv + 1, argv + 2, (size_t)(argc - 2) * sizeof *argv);
        argv[argc - 1] = ask;
        return verb->run(verb, argc - 1, argv + 1);
    }
    cli_help(verb);
    return CLI_DONE;
}

/* A stream that the caller closed would have its number given to the next file that we open, the
 * cache's perhaps, and the guest would then get that as its standard input. */
static void fill_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) < 0) {
            _exit(CLI_REFUSED);
        }
    }
}

int main(int argc, char **argv)
{
    fill_standard_streams();
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        return help(argc, argv);
    }
    if (strcmp(name, "--version") == 0) {
        printf("wardmote %s\n", wm_version());
        return CLI_DONE;
    }
    const struct cli_verb *verb = find_verb(name);
    return verb ? verb->run(verb, argc - 1, argv + 1) : unknown_verb(name);
}
