/* dlfcn.h: modules loaded at run time, in functions of a node (sdk/faaslet.h).
 *
 * The path names a module that was uploaded as a library (built by `wardmote build --shared`); the
 * program is built with `wardmote build --dlopen`. All flags mean RTLD_NOW | RTLD_LOCAL: libraries
 * see what the program exports, not each other. dlopen(NULL) fails. A closed library is unloaded at
 * the end of the call. */
#ifndef WARDMOTE_POSIX_DLFCN_H
#define WARDMOTE_POSIX_DLFCN_H

#define RTLD_LAZY 1
#define RTLD_NOW 2
#define RTLD_LOCAL 0
#define RTLD_GLOBAL 256

#ifdef __cplusplus
extern "C" {
#endif

void *dlopen(const char *, int);
void *dlsym(void *__restrict, const char *__restrict);
int dlclose(void *);
char *dlerror(void);

#ifdef __cplusplus
}
#endif

#endif
