/* dl_side.c: a library with all that one may have: static data with addresses in it, function
 * pointers, a constructor, functions and data of the program's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int main_value;
extern const char *main_text;
int main_adds(int, int);
int missing_function(int);
__attribute__((weak)) int weak_function(int);

int side_counter = 5;
static char *made;
static const char *const words[] = {"zero", "one", "two"};
int *where = &side_counter;
typedef int op(int);
static int twice(int x)
{
    return 2 * x;
}
int side_thrice(int x)
{
    return 3 * x;
}
op *ops[] = {twice, side_thrice};
static int zeroes[20000];

__attribute__((constructor)) static void construct(void)
{
    made = malloc(100);
    snprintf(made, 100, "made by the %s constructor, for %s", "library's", main_text);
}

int side_run(int x)
{
    char text[64];
    snprintf(text, sizeof text, "%s", words[x % 3]);
    if (strcmp(text, "one") != 0 || zeroes[1999]) {
        return -1;
    }
    zeroes[1999] = 0;
    *where += 1;
    return main_adds(ops[0](x) + ops[1](x), main_value) + side_counter;
}

op *side_op(int i)
{
    return ops[i];
}

int (*side_main_op(void))(int, int)
{
    return main_adds;
}

char *side_text(void)
{
    return strdup(made);
}

int side_calls_missing(int x)
{
    return missing_function(x);
}

int side_weak(int x)
{
    return weak_function ? weak_function(x) : 77;
}
