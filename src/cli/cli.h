/* cli.h: what the verbs of the command line share: exit statuses, messages, options.
 *
 * One file per verb; each holds a struct cli_verb. Options are a table per verb, from which both
 * the parser and --help work, so the two cannot differ. */
#ifndef WM_CLI_CLI_H
#define WM_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* A contract with scripts; `run` passes the guest's own status through, and for itself uses the
 * last four. */
enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,  /* the thing asked for is false or failed */
    CLI_USAGE = 2,   /* usage, or unusable input */
    CLI_MISSING = 3, /* this machine lacks something, which is named */
    CLI_OUT_OF_FUEL = 123,
    CLI_DEADLINE = 124,
    CLI_REFUSED = 125, /* wardmote itself failed, or refused the module */
    CLI_TRAP = 134,
};

struct cli_option {
    int id;            /* its letter ('o'), or a number above 255 for one that has none */
    const char *name;  /* "memory", without the dashes */
    const char *value; /* "BYTES", or NULL for a switch */
    const char *help;  /* one line */
};

#define CLI_ARGUMENT 0 /* id passed to take() for what is no option */

struct cli_verb {
    const char *name;
    const char *arguments; /* for the usage line: "MODULE.wasm [ARG...]" */
    const char *summary;   /* one line */
    const struct cli_option *options;
    size_t option_count;
    const struct cli_option *common; /* options of several verbs, which --help names in short */
    size_t common_count;
    const char *notes; /* below the options in --help; NULL allowed */
    bool elsewhere;    /* in another program, which also has the page of --help */
    bool own_tail;     /* after the first argument everything is an argument (the guest's own) */
    int (*run)(const struct cli_verb *verb, int argc, char **argv); /* argv[0]: the verb */
};

extern const struct cli_verb cli_verb_run, cli_verb_build, cli_verb_compile, cli_verb_version,
    cli_verb_demo, cli_verb_fn, cli_verb_state, cli_verb_tenant, cli_verb_node;
extern const struct cli_verb *const cli_verbs[]; /* NULL-terminated, in the order of help */

/* Gives each option and argument to `take`, which returns 0 or an exit status. Handles --help.
 * Returns -1 to go on, or the status to leave with. */
int cli_parse(const struct cli_verb *verb, int argc, char **argv,
              int (*take)(void *self, int id, const char *value), void *self);
void cli_help(const struct cli_verb *verb);

/* Prints "wardmote: " and the text to standard error; returns `status`. */
int cli_error(int status, const char *format, ...) WM_PRINTF(2, 3);
/* Exit status for a library error code outside of `run`. */
int cli_status_of(int code);

/* Numbers as options take them. False (nothing stored) on anything else. */
bool cli_number(const char *text, uint64_t *out);
/* With k, m, g (powers of 1024) allowed, in either case. */
bool cli_bytes(const char *text, uint64_t *out);

/* Which of `names` the text is, or -1. */
int cli_choice(const char *text, const char *const *names, size_t count);
extern const char *const cli_modes[3]; /* as enum wm_mode counts */

/* "did you mean" for a mistyped word: the closest of `words`, or NULL. */
const char *cli_nearest(const char *word, const char *const *words, size_t count);

/* The folder of the running program, in `out`. False when the kernel does not tell. */
bool cli_program_folder(char *out, size_t out_bytes);
/* A program of ours: the value of the variable `given` where that is set (for tests), else beside
 * the running program, in its libexec folder, or in the one that was configured. */
bool cli_find_program(const char *name, const char *given, char *out, size_t out_bytes);
/* Full path of a command in PATH. */
bool cli_find_tool(const char *name, char *out, size_t out_bytes);
/* Runs argv[0] (a full path) and waits, with PATH replaced unless `path` is NULL. Its exit status,
 * 128 + signal, or -1 with errno. */
int cli_spawn(const char *const *argv, const char *path);

/* The progress bar of compilations: a wm_progress; self is the module's name. Draws only on a
 * terminal, and only after a second. cli_progress_end removes it. */
void cli_progress(void *self, uint32_t done, uint32_t total);
/* The same bar for other work; total 0: nobody knows how much, only the time is shown. */
void cli_progress_of(const char *name, const char *doing, uint64_t done, uint64_t total);
void cli_progress_end(void);

#endif
