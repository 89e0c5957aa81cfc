/* options.c: options from a table, with one spelling rule for all verbs.
 *
 * "--name VALUE", "--name=VALUE", "-n VALUE", "-nVALUE"; "--" ends the options. Names are written
 * in full: an abbreviation that works today would be ambiguous after the next option. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct cli_option *find_long(const struct cli_verb *verb, const char *name, size_t len)
{
    for (size_t i = 0; i < verb->option_count; i++) {
        const struct cli_option *option = &verb->options[i];
        if (strlen(option->name) == len && memcmp(option->name, name, len) == 0) {
            return option;
        }
    }
    for (size_t i = 0; i < verb->common_count; i++) {
        const struct cli_option *option = &verb->common[i];
        if (strlen(option->name) == len && memcmp(option->name, name, len) == 0) {
            return option;
        }
    }
    return NULL;
}

static const struct cli_option *find_letter(const struct cli_verb *verb, char letter)
{
    for (size_t i = 0; i < verb->option_count; i++) {
        if (verb->options[i].id == letter) {
            return &verb->options[i];
        }
    }
    return NULL;
}

static int unknown_option(const struct cli_verb *verb, const char *text)
{
    const char *names[48];
    size_t count = 0;
    for (size_t i = 0; i < verb->option_count && count < WM_COUNT_OF(names); i++) {
        names[count++] = verb->options[i].name;
    }
    for (size_t i = 0; i < verb->common_count && count < WM_COUNT_OF(names); i++) {
        names[count++] = verb->common[i].name;
    }
    char word[64];
    const char *from = text + strspn(text, "-");
    size_t len = strcspn(from, "=");
    snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : sizeof word - 1), from);
    const char *near = text[1] == '-' ? cli_nearest(word, names, count) : NULL;
    if (near) {
        return cli_error(CLI_USAGE, "%s: %s: no such option: did you mean --%s?", verb->name, text,
                         near);
    }
    return cli_error(CLI_USAGE, "%s: %s: no such option: `wardmote %s --help` lists them",
                     verb->name, text, verb->name);
}

static int parse_option(const struct cli_verb *verb, int argc, char **argv, int *at,
                        int (*take)(void *self, int id, const char *value), void *self)
{
    const char *text = argv[*at];
    const struct cli_option *option;
    const char *value = NULL;
    if (text[1] == '-') {
        size_t len = strcspn(text + 2, "=");
        option = find_long(verb, text + 2, len);
        value = text[2 + len] ? text + 3 + len : NULL;
    } else {
        option = find_letter(verb, text[1]);
        value = text[2] ? text + 2 : NULL;
    }
    if (!option) {
        return unknown_option(verb, text);
    }
    if (!option->value && value) {
        return cli_error(CLI_USAGE, "%s: --%s takes no value", verb->name, option->name);
    }
    if (option->value && !value) {
        if (*at + 1 >= argc) {
            return cli_error(CLI_USAGE, "%s: --%s needs a value: --%s %s", verb->name, option->name,
                             option->name, option->value);
        }
        value = argv[++*at];
    }
    return take(self, option->id, value);
}

int cli_parse(const struct cli_verb *verb, int argc, char **argv,
              int (*take)(void *self, int id, const char *value), void *self)
{
    bool options = true;
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        if (options && strcmp(text, "--") == 0) {
            options = false;
            continue;
        }
        bool is_option = options && text[0] == '-' && text[1];
        if (is_option && (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0)) {
            cli_help(verb);
            return CLI_DONE;
        }
        int status = is_option ? parse_option(verb, argc, argv, &i, take, self)
                               : take(self, CLI_ARGUMENT, text);
        if (status != 0) {
            return status;
        }
        if (!is_option && verb->own_tail) {
            options = false;
        }
    }
    return -1;
}

static void print_common(const struct cli_verb *verb)
{
    int column =
        printf("\nalso, as for all of `wardmote %.*s`:", (int)strcspn(verb->name, " "), verb->name);
    for (size_t i = 0; i < verb->common_count; i++) {
        const struct cli_option *option = &verb->common[i];
        char word[64];
        int len =
            snprintf(word, sizeof word, " --%s%s%s%s", option->name, option->value ? " " : "",
                     option->value ? option->value : "", i + 1 < verb->common_count ? "," : "");
        if (column + len > 79) {
            fputs("\n ", stdout);
            column = 1;
        }
        column += printf("%s", word);
    }
    putchar('\n');
}

void cli_help(const struct cli_verb *verb)
{
    bool any = verb->option_count || verb->common_count;
    printf("usage: wardmote %s %s%s\n\n%s.\n", verb->name, any ? "[OPTION...] " : "",
           verb->arguments, verb->summary);
    if (verb->option_count) {
        putchar('\n');
    }
    for (size_t i = 0; i < verb->option_count; i++) {
        const struct cli_option *option = &verb->options[i];
        char left[64];
        snprintf(left, sizeof left, "%s%.1s%s--%s%s%s", option->id < 256 ? "-" : "    ",
                 option->id < 256 ? (const char[]){(char)option->id, 0} : "",
                 option->id < 256 ? ", " : "", option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        printf("  %-28s %s\n", left, option->help);
    }
    if (verb->common_count) {
        print_common(verb);
    }
    if (verb->notes) {
        printf("\n%s", verb->notes);
    }
}

bool cli_number(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    if (!*text) {
        return false;
    }
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value)) {
            return false;
        }
    }
    *out = value;
    return true;
}

bool cli_bytes(const char *text, uint64_t *out)
{
    char digits[32];
    size_t len = strlen(text);
    if (len == 0 || len >= sizeof digits) {
        return false;
    }
    unsigned shift = 0;
    switch (text[len - 1]) {
    case 'k':
    case 'K': shift = 10; break;
    case 'm':
    case 'M': shift = 20; break;
    case 'g':
    case 'G': shift = 30; break;
    default: break;
    }
    if (shift) {
        len--;
    }
    memcpy(digits, text, len);
    digits[len] = 0;
    uint64_t value;
    if (!cli_number(digits, &value) || value > UINT64_MAX >> shift) {
        return false;
    }
    *out = value << shift;
    return true;
}

/* Edit distance of short words, where swapping two neighbours is one edit (Damerau). */
static size_t distance(const char *a, const char *b)
{
    enum { MOST = 24 };
    size_t rows[MOST + 1][MOST + 1];
    size_t m = strlen(a), n = strlen(b);
    if (m > MOST || n > MOST) {
        return SIZE_MAX;
    }
    for (size_t i = 0; i <= m; i++) {
        for (size_t j = 0; j <= n; j++) {
            if (i == 0 || j == 0) {
                rows[i][j] = i + j;
                continue;
            }
            size_t best = rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = rows[i - 1][j] + 1 < best ? rows[i - 1][j] + 1 : best;
            best = rows[i][j - 1] + 1 < best ? rows[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = rows[i - 2][j - 2] + 1 < best ? rows[i - 2][j - 2] + 1 : best;
            }
            rows[i][j] = best;
        }
    }
    return rows[m][n];
}

const char *const cli_modes[3] = {"guard", "check", "det"};

int cli_choice(const char *text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            return (int)i;
        }
    }
    return -1;
}

const char *cli_nearest(const char *word, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t best_distance = strlen(word) < 4 ? 2 : 3; /* further away is a guess, not a help */
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(word, words[i]);
        if (d < best_distance) {
            best = words[i];
            best_distance = d;
        }
    }
    return best;
}
