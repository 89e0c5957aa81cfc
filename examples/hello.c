/* hello.c: the least a guest can do.
 *
 *     wardmote build examples/hello.c -o hello.wasm
 *     wardmote run hello.wasm */
#include <stdio.h>

int main(void)
{
    puts("hello from inside the sandbox");
    return 0;
}
