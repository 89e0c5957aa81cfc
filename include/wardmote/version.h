/* wardmote/version.h: which Wardmote this is. */
#ifndef WARDMOTE_VERSION_H
#define WARDMOTE_VERSION_H

#include <wardmote/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of the headers that a program was compiled with. The interface is compatible within one MAJOR
 * number; while MAJOR is 0, within one MINOR number. */
#define WM_VERSION_MAJOR 0
#define WM_VERSION_MINOR 1
#define WM_VERSION_PATCH 0

/* "0.1.0", of the library that the program runs with. Borrowed, static. */
WM_EXPORT const char *wm_version(void);

/* What this build and this machine are. */
struct wm_build_info {
    const char *version;       /* "0.1.0" */
    const char *cpu;           /* instruction-set level used for compiled code: "x86-64-v3" */
    const char *compiler_path; /* where wardmote-wasmc was found, or NULL */
    const char *cache_path;    /* the default cache folder, or NULL where there is no home folder */
    unsigned abi;              /* of compiled objects */
    unsigned compiler;         /* version of the code generator */
};

/* Strings are borrowed, static; valid until the next call from any thread. */
WM_EXPORT void wm_build_info(struct wm_build_info *out);

#ifdef __cplusplus
}
#endif

#endif
