/* frozen_guest.c: computes for a while, then asks: for frozen.sh, to be frozen at its first fgets.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned primes[20000];

static unsigned ask(unsigned depth, char *line, int room)
{
    char local[64];
    snprintf(local, sizeof local, "depth %u", depth);
    unsigned below =
        depth ? ask(depth - 1, line, room) : (fgets(line, room, stdin) ? (unsigned)atoi(line) : 0);
    /* What was on the stack before the read must still be there after it. */
    return strtoul(local + 6, NULL, 10) == depth ? below : ~0u;
}

int main(void)
{
    unsigned count = 0;
    for (unsigned n = 2; count < 20000; n++) {
        unsigned i = 0;
        while (i < count && primes[i] * primes[i] <= n && n % primes[i]) {
            i++;
        }
        if (i == count || primes[i] * primes[i] > n) {
            primes[count++] = n;
        }
    }
    char line[64];
    unsigned nth = ask(20, line, sizeof line);
    printf("prime %u is %u\n", nth, nth && nth <= count ? primes[nth - 1] : 0);
    return 0;
}
