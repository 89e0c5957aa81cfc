/* procedure.h: a stored procedure of a ledger, and what its execution is bound to.
 *
 * A procedure is a deterministic function of the request, its index and the state that it reads: no
 * clock, no randomness, no I/O. It reaches the state through struct procedure_state alone. The same
 * call is run by replicas on the whole state, by an auditor on a checkpoint, and by whoever checks
 * a blame on the few pairs that came with it: so built-in procedures and the engine are reached
 * through struct procedure_table, which whoever links this fills.
 *
 * procedure_execute is the one way in which a request is executed: it keeps what the procedure
 * reads and writes apart from the state until it has ended, hashes both, and gives the
 * output that goes into the transaction (doc/format/ledger.md, section State). A procedure that
 * fails (any code but 0) leaves no writes.
 *
 * Pure. Memory from the caller's arena. Requests and arguments are hostile. */
#ifndef WM_PROOF_PROCEDURE_H
#define WM_PROOF_PROCEDURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "wire/request.h"

/* X(NAME, number, text): how a request ended. Part of the format: never renumbered. */
#define PROCEDURE_CODE_TABLE(X)                                                          \
    X(DONE, 0, "done")                                                                   \
    X(DUPLICATE, 1, "the client has used this number before")                            \
    X(UNKNOWN, 2, "there is no such procedure")                                          \
    X(ARGUMENTS, 3, "the arguments are not what the procedure takes")                    \
    X(DENIED, 4, "the client may not do this")                                           \
    X(REFUSED, 5, "the state does not allow it")                                         \
    X(LIMIT, 6, "a limit was reached: fuel, memory, reads, writes or the result's size") \
    X(TRAP, 7, "the procedure trapped")

#define PROCEDURE_CODE_ENUM(name, number, text) PROCEDURE_##name = number,
enum procedure_code { PROCEDURE_CODE_TABLE(PROCEDURE_CODE_ENUM) };
#undef PROCEDURE_CODE_ENUM
/* Borrowed, static; "an unknown code" for others. */
const char *procedure_code_text(uint32_t code);

#define PROCEDURE_KEY_BYTES_MAX 256u
#define PROCEDURE_VALUE_BYTES_MAX 65536u
#define PROCEDURE_TOUCHES_MAX 4096u /* keys that one call may read or write */
/* Bytes of keys, of values when they are first read, and of values each time they are written. */
#define PROCEDURE_TOUCHED_BYTES_MAX (32u * 1024u * 1024u)

/* The state as a procedure sees it: what it wrote, it reads. */
struct procedure_state {
    void *self;
    /* 1: *value is set, a view until the call ends; 0: there is none; negative: the state cannot
     * tell (a partial one): the execution is given up. */
    int (*get)(void *self, struct wm_view key, struct wm_view *value);
};

struct procedure_trace; /* reads and writes of one call so far */

struct procedure_call {
    const struct request *request;
    ledger_hash request_hash;
    struct wm_view arguments;
    uint64_t index;
    struct wm_arena *arena;
    struct procedure_trace *trace;
};

/* For procedures. Keys and values are copied. Out of a limit or memory: negative, and the call must
 * return (the trace remembers it and PROCEDURE_LIMIT, or the failure, becomes the result). */
WM_MUST_CHECK int procedure_get(struct procedure_call *call, struct wm_view key,
                                struct wm_view *value); /* 1, 0, negative */
WM_MUST_CHECK int procedure_put(struct procedure_call *call, struct wm_view key,
                                struct wm_view value);
WM_MUST_CHECK int procedure_remove(struct procedure_call *call, struct wm_view key);
/* Memory of the call's arena, for a result. NULL: there is none, and the call must return: that is
 * remembered, too, since a transaction must not end by how much memory a replica has. */
WM_MUST_CHECK void *procedure_memory(struct procedure_call *call, size_t len);

/* Fills in *result (memory of the arena or static; empty at first). */
typedef enum procedure_code procedure_fn(void *self, struct procedure_call *call,
                                         struct wm_view *result);

struct procedure {
    procedure_fn *run;
    void *self;
    ledger_hash digest;    /* of the code; of a built-in one: SHA-256 of "wardmote:NAME:VERSION" */
    uint32_t fuel_version; /* 0: not metered */
};

struct procedure_table {
    void *self;
    /* 1: the procedure that has this name in this state; 0: there is none. May read the state (a
     * user's module is named there) through the call, and so is bound by `reads`. Negative: cannot
     * tell. */
    int (*find)(void *self, struct procedure_call *call, struct wm_view name,
                struct procedure *out);
};

struct procedure_write {
    struct wm_view key, value;
    bool removed;
};
struct procedure_done {
    struct request_output output;
    struct wm_view result;
    uint32_t write_count;
    const struct procedure_write *writes; /* by key, each once; to be applied by the caller */
    uint32_t read_count;
    const struct wm_view *reads; /* keys, in the order in which they were read first */
};

/* 0; WM_E_NOT_FOUND: the state could not tell (partial), or what the table's find returned;
 * -ENOMEM. *done lives in the arena. Numbers of clients (duplicates) are the caller's business: it
 * passes `duplicate`; then nothing is looked up or read. */
WM_MUST_CHECK int procedure_execute(const struct procedure_table *table,
                                    const struct procedure_state *state,
                                    const struct request *request, const ledger_hash request_hash,
                                    struct wm_view arguments, uint64_t index, bool duplicate,
                                    struct wm_arena *arena, struct procedure_done *done);

#endif
