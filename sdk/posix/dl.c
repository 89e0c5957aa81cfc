/* dlfcn.h over dl_open, dl_sym and dl_close of sdk/faaslet.h. Linked as posix.c is. */
#pragma clang diagnostic ignored "-Weverything" /* as in posix.c */
#pragma GCC visibility push(hidden) /* or --dlopen would keep all this, and its imports */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define IMPORT(name) __attribute__((import_module("faaslet"), import_name(#name)))

IMPORT(dl_open) int32_t host_dl_open(const char *path, uint32_t path_len);
IMPORT(dl_sym)
int64_t host_dl_sym(int32_t handle, const char *name, uint32_t name_len, uint32_t flags);
IMPORT(dl_close) int32_t host_dl_close(int32_t handle);

static char text[160];
static int is_set;

static void set_error(const char *name, int64_t error)
{
    snprintf(text, sizeof text, "%.100s: %s", name,
             error == -ENOENT    ? "not found"
             : error == -ENOEXEC ? "does not fit the program, which must be built with --dlopen"
                                 : strerror((int)-error));
    is_set = 1;
}

void *dlopen(const char *path, int flags)
{
    int32_t handle = path ? host_dl_open(path, strlen(path)) : -EINVAL;
    if (handle < 0) {
        set_error(path ? path : "(the program)", handle);
        return NULL;
    }
    return (void *)(intptr_t)handle;
}

void *dlsym(void *__restrict handle, const char *__restrict name)
{
    int32_t number = (int32_t)(intptr_t)handle;
    int64_t found = host_dl_sym(number, name, strlen(name), 0);
    if (found == -ENOENT) {
        found = host_dl_sym(number, name, strlen(name), 1); /* data */
    }
    if (found < 0) {
        set_error(name, found);
        return NULL;
    }
    return (void *)(uintptr_t)found;
}

int dlclose(void *handle)
{
    int32_t error = host_dl_close((int32_t)(intptr_t)handle);
    if (error) {
        set_error("handle", error);
    }
    return error ? -1 : 0;
}

char *dlerror(void)
{
    char *found = is_set ? text : NULL;
    is_set = 0;
    return found;
}
