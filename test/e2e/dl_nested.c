/* dl_nested.c: a library whose constructor opens the library itself, which is not yet there. */
void *dlopen(const char *, int);
int tries;

__attribute__((constructor)) static void construct(void)
{
    tries += dlopen("lib/nested.wasm", 2) != 0;
}
