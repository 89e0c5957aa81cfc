/* swap DIR SECONDS: exchanges DIR/a and DIR/b in one step, again and again (the outside half of the
 * rename race; runs natively). Prints how often. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: swap DIR SECONDS\n", stderr);
        return 2;
    }
    char a[4096], b[4096];
    snprintf(a, sizeof a, "%s/a", argv[1]);
    snprintf(b, sizeof b, "%s/b", argv[1]);
    time_t until = time(NULL) + atoi(argv[2]);
    unsigned long done = 0;
    while (time(NULL) < until) {
        if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) != 0) {
            perror("renameat2");
            return 1;
        }
        done++;
    }
    printf("%lu\n", done);
    return 0;
}
