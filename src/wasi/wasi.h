/* wasi.h: the WASI preview 1 face of the library OS.
 *
 * A struct wasi is one program's view: its arguments, environment and descriptors. It is linked to
 * a module by giving wasi_resolve (with the wasi as `self`) to wasm_instance_new; all 46 functions
 * of wasi_snapshot_preview1 are there, and client sockets (struct wasi_net), typed once, and found
 * by name only at link time.
 *
 * Descriptors: 0, 1, 2 are the standard streams; from 3 on the pre-opened directories in their
 * order, then the listeners (wasi-libc stops looking for directories at the first descriptor that
 * is none). Each descriptor has the rights of the specification, base and inheriting; a call
 * without its right gives NOTCAPABLE. A program starts with all rights that make sense for what it
 * was given; a read-only directory is the directory's own property (ROFS).
 *
 * Guest pointers are checked as a whole range before anything happens (FAULT), arrays of pointers
 * are copied before they are looked at, and file contents move between the file and guest memory
 * directly. Paths with a NUL inside are INVAL; more than LIBOS_IOV_MAX buffers are INVAL; more than
 * WASI_SUBSCRIPTIONS_MAX subscriptions are INVAL.
 *
 * Waiting calls (reading a terminal, poll_oneoff, accept) end early when the store is interrupted,
 * with its trap. random_get asks the backend each time. For repeatable runs give a library OS on
 * libos/sim.h.
 *
 * Limits known: signals do not exist (proc_raise ends the program, or says NOTSUP); path_link does
 * not follow a symbolic link as its source (INVAL); a file descriptor of a pipe has file type
 * UNKNOWN, as the specification has none for it.
 *
 * Threads: the thread that owns the library OS and the store. */
#ifndef WM_WASI_WASI_H
#define WM_WASI_WASI_H

#include "base/diag.h"
#include "libos/file.h"
#include "wasm/instance.h"

#define WASI_SUBSCRIPTIONS_MAX 4096u
/* Arguments or environment, each with its NUL. */
#define WASI_STRINGS_BYTES_MAX (UINT32_C(16) << 20)

/* Client sockets: the module "wardmote_socket", made for sdk/posix, whose functions are beside
 * those of preview 1 and give the same errors:
 *
 *     socket(family, type, protocol, *fd)      TCP or UDP over IPv4 or IPv6; family AF_UNIX and
 *                                              others: AFNOSUPPORT. type may have SOCK_NONBLOCK
 *     connect(fd, *address)                    ACCES: the address is not allowed. Waits (deadline
 *                                              and kill end it), or INPROGRESS
 *     getsockname(fd, *address), getpeername(fd, *address)
 *     getsockopt(fd, option, *u64), setsockopt(fd, option, u64)        enum libos_socket_option
 *     resolve(name, name_len, *addresses, most, *count)                NOENT: no such name
 *
 * The descriptor is one of WASI's: sock_recv, sock_send, sock_shutdown, fd_read, fd_write, fd_close
 * and poll_oneoff are for it too. There is no bind and no listen; sock_accept lacks its right. A
 * UDP socket sends to the address that it is connected to, and may be connected again.
 *
 * Without a struct wasi_net, socket and resolve of a name give ACCES; addresses in digits are
 * resolved without asking anybody. */
struct wasi_net {
    void *self;
    /* An unconnected socket (port_socket_new); NULL: none is made. */
    int (*socket)(struct libos *os, enum libos_family family, bool datagram,
                  struct libos_file **out);
    /* May this program reach `address`? It is asked at each connect about what is really reached
     * (libos_address_plain), port included. NULL: nothing. */
    bool (*allow)(void *self, const struct libos_address *address, bool datagram);
    /* Addresses of a name (of 1 to 253 bytes, any bytes but NUL): how many of `most` were stored,
     * -ENOENT, or another negative error. May wait, if it looks at libos_interrupted. NULL: no
     * names. */
    int64_t (*resolve)(void *self, const char *name, struct libos_address *out, size_t most);
    uint32_t limit; /* sockets at a time: MFILE; 0: WASI_SOCKETS_LIMIT */
};
#define WASI_SOCKETS_LIMIT 32u
#define WASI_ADDRESSES_MAX 16u /* that one resolve gives */

struct wasi_preopen {
    const char *guest_path; /* what the program calls it: "/", ".", "/data" */
    struct libos_file *dir;
};

/* Everything is borrowed during wasi_new only; files get a reference more. */
struct wasi_config {
    struct libos *os;        /* outlives the wasi */
    const char *const *args; /* args[0] is the program's name */
    size_t arg_count;
    const char *const *env; /* "NAME=value" */
    size_t env_count;
    struct libos_file *stdio[3]; /* NULL: reads end at once, writes vanish */
    const struct wasi_preopen *preopens;
    size_t preopen_count;
    struct libos_file *const *listeners;
    size_t listener_count;
    const struct wasi_net *net;   /* copied; its self outlives the wasi. NULL: no sockets */
    struct wasi_scratch *scratch; /* NULL: one of its own; else outlives the wasi */
    uint32_t fd_limit;            /* 0: LIBOS_FDS_LIMIT */
    bool suspend_on_input;        /* the first fd_read of standard input calls wasm_suspend_here */
};

struct wasi;

/* 0, -ENOMEM, WM_E_LIMIT (too many strings or files), WM_E_USAGE (a preopen that is no directory).
 */
WM_MUST_CHECK int wasi_new(const struct wasi_config *config, struct wasi **out,
                           struct wm_diag *diag);
/* Closes all descriptors. NULL allowed. After the store that was linked to it. */
void wasi_free(struct wasi *wasi);

/* Strings as a program gets them, made once for many programs. */
struct wasi_strings;
WM_MUST_CHECK int wasi_strings_new(struct libos *os, const char *const *from, size_t count,
                                   struct wasi_strings **out);
void wasi_strings_free(struct libos *os, struct wasi_strings *strings); /* NULL allowed */

/* For the next run of the same program: descriptors, their rights and flags, exit status are as
 * after wasi_new; costs next to nothing where the program changed none of them. Arguments and
 * environment become the given ones, borrowed until the next reset or wasi_free; NULL leaves them.
 */
void wasi_reset(struct wasi *wasi, const struct wasi_strings *args, const struct wasi_strings *env);
/* How many descriptors are open beyond those of wasi_new; *number, if any, is one of them. */
uint32_t wasi_extra_fds(const struct wasi *wasi, uint32_t *number);

/* Room that a call needs while it runs, 24 KiB: programs that run one after the other on a thread
 * may share it. */
WM_MUST_CHECK int wasi_scratch_new(struct libos *os, struct wasi_scratch **out);
void wasi_scratch_free(struct libos *os, struct wasi_scratch *scratch);

/* A wasm_resolve_fn: `self` is the struct wasi. */
int wasi_resolve(void *self, struct wm_view module, struct wm_view name, enum wasm_extern_kind kind,
                 struct wasm_extern *out);
/* For an import that nobody has: a sentence about what to do, or NULL when WASI has nothing to do
 * with it. Borrowed, static. */
const char *wasi_hint(struct wm_view module, struct wm_view name);

/* The status given to proc_exit, or 128 + n for proc_raise of a deadly signal, after a call ended
 * with WASM_TRAP_EXIT; 0 before. */
uint32_t wasi_exit_status(const struct wasi *wasi);

#endif
