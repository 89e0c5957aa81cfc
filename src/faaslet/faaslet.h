/* faaslet.h: one Faaslet: what a slot's instance is linked to, and one call's life in it.
 *
 * A struct faaslet is the host's half of a slot (slot.h): descriptors, standard streams, the state
 * session, the environment of the host functions. It is made once and serves one call after the
 * other; between calls it is put back as the slot is, and costs next to nothing where the call
 * touched nothing (Faasm section 5.2: reset after every call).
 *
 * A struct faaslet_call is what host functions see of the call that runs now. It lives on its
 * executor's C stack, and owns nothing but what struct chained_list says.
 *
 * Threads: an executor's. */
#ifndef WM_FAASLET_FAASLET_H
#define WM_FAASLET_FAASLET_H

#include "faaslet/call.h"
#include "faaslet/function.h"
#include "faaslet/guest.h"
#include "libos/file.h"
#include "wasi/wasi.h"

struct executor;
struct chained;

#define FAASLET_MESSAGE_BYTES 256u
#define FAASLET_HEADERS_BYTES 16384u
#define FAASLET_LIBRARIES_MAX 16u
#define FAASLET_LOG_BYTES_MAX 65536u /* of one call */

struct faaslet_call {
    uint64_t id;
    struct function *function; /* borrowed */
    uint32_t func_idx;         /* what is called: UINT32_MAX, the function's entry */
    uint32_t depth;
    struct wm_view input;
    struct wm_view
        request; /* method, path, query, headers, each ended by NUL; empty: not by a route */
    /* Output: room may grow through `more` where the buffer is not fixed. */
    uint8_t *output;
    uint32_t output_len, output_room;
    bool (*more)(struct faaslet_call *call, uint32_t wanted); /* NULL: fixed */
    uint8_t *headers; /* FAASLET_HEADERS_BYTES; NULL: response headers are dropped */
    uint32_t headers_len;
    uint32_t status;
    /* Set while it runs. */
    bool output_over, initialising;
    uint32_t logged_bytes;
    struct executor *executor; /* NULL: while a Proto-Faaslet is made */
    struct chained *children;
    uint32_t child_count;
    struct function *libraries[FAASLET_LIBRARIES_MAX]; /* references, until the slot was reset */
    uint32_t library_count;
    int64_t deadline_ns;
    /* Result. */
    enum call_end end;
    int32_t return_code;
    struct call_usage usage;
    bool cold;
    char message[FAASLET_MESSAGE_BYTES];
    char *backtrace; /* room of backtrace_room; NULL: none wanted */
    uint32_t backtrace_len, backtrace_room;
};

/* Appends to the output; false: over the limit, and the call will end with CALL_END_LIMIT. */
bool faaslet_call_output(struct faaslet_call *call, const void *bytes, uint32_t len);

/* What Faaslets of one thread share. */
struct faaslet_thread {
    struct libos os;
    struct wasi_scratch *scratch;
    /* One line of a call's log, without its newline. */
    void (*log)(void *self, const struct faaslet_call *call, struct wm_view line);
    void *log_self;
    struct libos_file *files; /* what all calls read below "/" */
    struct egress *egress;    /* where calls may connect to; NULL: nowhere. Borrowed */
    struct local_tier *local; /* NULL: no state here; the worker's */
    struct tier *tier;        /* this thread's way to the global tier */
};
/* files_path: a folder of the host, opened for reading; NULL: there is nothing below "/". */
WM_MUST_CHECK int faaslet_thread_init(struct faaslet_thread *thread, const char *files_path,
                                      struct wm_diag *diag);
void faaslet_thread_fini(struct faaslet_thread *thread);

struct faaslet {
    struct faaslet_guest guest; /* environment of the "faaslet" imports */
    struct faaslet_thread *thread;
    struct function *function; /* a reference, while bound */
    struct wasi *wasi;
    struct libos_file *root; /* "/": read-global, write-local */
    uint64_t files_bytes;    /* most that may be written there */
    struct faaslet_streams *streams;
    const struct wasm_func *main, *restored; /* resolved at the first call in a slot */
    struct wasm_slot *slot;                  /* that they were resolved in */
    struct faaslet *next;                    /* in an executor's list of spare ones */
};

WM_MUST_CHECK int faaslet_new(struct faaslet_thread *thread, uint64_t files_bytes,
                              struct faaslet **out, struct wm_diag *diag);
void faaslet_free(struct faaslet *faaslet);
/* A wasm_resolve_fn: self is the struct faaslet. */
int faaslet_resolve(void *self, struct wm_view module, struct wm_view name,
                    enum wasm_extern_kind kind, struct wasm_extern *out);

/* Descriptors, streams, sessions as the call finds them; and put back after it. */
void faaslet_begin(struct faaslet *faaslet, struct faaslet_call *call, struct wasm_store *store);
void faaslet_end(struct faaslet *faaslet);

/* Runs the call in `instance`, whose host half is `faaslet`, between begin and end; fills in end,
 * return code, message, backtrace. */
void faaslet_run(struct faaslet *faaslet, struct wasm_instance *instance, struct wasm_slot *slot,
                 struct faaslet_call *call);

/* Makes the Proto-Faaslet of `function`, which has none: runs constructors and faaslet_init, or the
 * program to its first read of input, within the function's limits, and writes the image to
 * image_fd (empty). WM_E_TRAP, WM_E_EXITED, WM_E_INVALID (init did not return 0; open descriptors),
 * WM_E_UNSUPPORTED; diag tells a person what to do. */
WM_MUST_CHECK int faaslet_snapshot(struct function *function, struct faaslet_thread *thread,
                                   int image_fd, struct wm_diag *diag);

#endif
