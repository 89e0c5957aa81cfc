/* call.h: what the WASI functions share; for wasi/ alone.
 *
 * Each function is `int wasi_NAME(struct wasi_call *call, const union wasm_value *args)` and
 * returns WASI_SUCCESS, an enum wasi_errno (positive), or a negative error of the library OS, which
 * the common entry translates. A function first takes everything from the guest that it needs and
 * proves its result pointers, then acts, so that nothing fails after the act. */
#ifndef WM_WASI_CALL_H
#define WM_WASI_CALL_H

#include "libos/fds.h"
#include "wasi/types.h"
#include "wasi/wasi.h"
#include "wasm/memory.h"

/* NUL-terminated strings behind each other, and where each starts. */
struct wasi_strings {
    uint32_t count;
    uint32_t bytes;
    char *text;
    uint32_t *starts;
};

/* Not on the stack: each build zeroes stack arrays at each call. One call runs at a time, as one
 * thread owns all this. */
struct wasi_scratch {
    struct libos_iov iov[LIBOS_IOV_MAX];
    char path[2][LIBOS_PATH_MAX];
};

struct wasi {
    struct libos *os;
    struct libos_fds fds; /* words[0]: base rights, words[1]: inheriting; label: a preopen's name */
    uint32_t initial_count; /* descriptors of wasi_new, and their table for wasi_reset */
    struct libos_fd *initial;
    uint32_t *initial_flags;
    const struct wasi_strings *args, *env;
    struct wasi_strings *own_args, *own_env, *preopens; /* preopens: the names */
    struct wasi_net net;                                /* all NULL: no sockets */
    struct libos_file *suspend_at; /* reading it may freeze the program; NULL: nothing does */
    uint32_t exit_status;
    struct wasm_store *store; /* of the call that runs now */
    struct wasi_scratch *scratch;
    bool own_scratch;
};

struct wasi_call {
    struct wasi *wasi;
    struct wasm_caller *caller;
    struct wasm_memory *memory;
    enum wasm_trap trap; /* set: the guest's call ends with it */
};

#define WASI_DECLARE(name, signature) \
    int wasi_##name(struct wasi_call *call, const union wasm_value *args);
WASI_FUNC_TABLE(WASI_DECLARE)
#undef WASI_DECLARE
#define WASI_DECLARE(name, signature) \
    int wasi_net_##name(struct wasi_call *call, const union wasm_value *args);
WASI_NET_FUNC_TABLE(WASI_DECLARE)
#undef WASI_DECLARE

/* WASI's number for a positive error of the library OS. */
enum wasi_errno wasi_errno_of(int libos_errno);

/* Guest memory: WASI_SUCCESS or WASI_FAULT. */
WM_MUST_CHECK int wasi_window(struct wasi_call *call, uint32_t at, uint32_t len, uint8_t **out);
/* To look through only: memory that the guest may not write will do. */
WM_MUST_CHECK int wasi_view(struct wasi_call *call, uint32_t at, uint32_t len, const uint8_t **out);
static inline void wasi_put_u16(uint8_t *at, uint16_t value)
{
    __builtin_memcpy(at, &value, sizeof value);
}
static inline void wasi_put_u32(uint8_t *at, uint32_t value)
{
    __builtin_memcpy(at, &value, sizeof value);
}
static inline void wasi_put_u64(uint8_t *at, uint64_t value)
{
    __builtin_memcpy(at, &value, sizeof value);
}
static inline uint16_t wasi_u16(const uint8_t *at)
{
    uint16_t value;
    __builtin_memcpy(&value, at, sizeof value);
    return value;
}
static inline uint32_t wasi_u32(const uint8_t *at)
{
    uint32_t value;
    __builtin_memcpy(&value, at, sizeof value);
    return value;
}
static inline uint64_t wasi_u64(const uint8_t *at)
{
    uint64_t value;
    __builtin_memcpy(&value, at, sizeof value);
    return value;
}

/* The guest's array of (pointer, length), copied, with each buffer proved, into wasi->iov. */
enum wasi_direction { WASI_INTO_GUEST, WASI_FROM_GUEST };
WM_MUST_CHECK int wasi_take_iov(struct wasi_call *call, uint32_t at, uint32_t count,
                                enum wasi_direction direction);
/* A path into wasi->path[which]. */
WM_MUST_CHECK int wasi_take_path(struct wasi_call *call, uint32_t at, uint32_t len, unsigned which);
/* A descriptor that has all of `rights`: BADF, NOTCAPABLE. */
WM_MUST_CHECK int wasi_fd(struct wasi_call *call, uint32_t number, uint64_t rights,
                          struct libos_fd **out);

enum wasi_filetype wasi_filetype_of(enum libos_kind kind);
void wasi_put_filestat(uint8_t out[WASI_FILESTAT_BYTES], const struct libos_stat *stat);
/* FST flags and two times: INVAL when they contradict each other. */
WM_MUST_CHECK int wasi_times(uint64_t atim, uint64_t mtim, uint32_t flags, struct libos_times *out);
/* LIBOS_* status flags of valid FDFLAGs. */
uint32_t wasi_status_flags(uint32_t fdflags);
/* All rights that make sense for what the file is. */
void wasi_rights_of(const struct libos_file *file, uint64_t *base, uint64_t *inheriting);

#endif
