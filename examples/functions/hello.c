/* hello.c: the smallest function: what it is given, it greets.
 *
 *     wardmote fn put examples/functions/hello.c
 *     wardmote fn call hello you */
#include <faaslet.h>
#include <string.h>

FAASLET_MAIN
{
    static const char greeting[] = "hello, ";
    char name[256];
    int32_t len = faaslet_input(name, sizeof name);
    faaslet_output(greeting, strlen(greeting));
    return faaslet_output_append(name, (uint32_t)len);
}
