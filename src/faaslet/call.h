/* call.h: one call of a function, as its executor sees it: input, output, limits, what it used.
 *
 * A call is made on one thread, in one Faaslet, and owns nothing that outlives it. Its input is
 * borrowed from whoever made the call (the channel's shared memory, a parent's window); its output
 * goes to a buffer of fixed room, also borrowed.
 *
 * Limits (all of them per call): time, processor time, memory, output, files, chain depth and
 * fan-out. Going over one ends the call with an end of its own, and nothing else. */
#ifndef WM_FAASLET_CALL_H
#define WM_FAASLET_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

#define CALL_INPUT_BYTES_MAX (UINT32_C(16) << 20)
#define CALL_OUTPUT_BYTES_MAX (UINT32_C(16) << 20)
#define CALL_DEPTH_MAX 64u
#define CALL_CHAINED_MAX 1024u
#define CALL_HOPS_MAX 3u /* nodes that may hand a call on, the first not counted */

/* How a call ended. The names are those of the HTTP interface ("end" in its JSON). X(NAME, text) */
#define CALL_END_TABLE(X)                                             \
    X(OK, "ok")                   /* return code 0 */                 \
    X(FAILED, "failed")           /* another return code */           \
    X(TRAP, "trap")               /* the sandbox ended it */          \
    X(TIMEOUT, "timeout")         /* wall time or processor time */   \
    X(LIMIT, "limit")             /* output, memory, files */         \
    X(NOT_FOUND, "not-found")     /* no such function */              \
    X(OVERLOADED, "overloaded")   /* refused: try again later */      \
    X(CANCELLED, "cancelled")     /* by its caller, or by a drain */  \
    X(WORKER_DIED, "worker-died") /* the process that ran it ended */ \
    X(NODE_DIED, "node-died")     /* and so did its node */           \
    X(REFUSED, "refused")         /* a rule: depth, hops, a drained node, an unusable function */

#define CALL_END_ENUM(name, text) CALL_END_##name,
enum call_end { CALL_END_TABLE(CALL_END_ENUM) CALL_ENDS };
#undef CALL_END_ENUM
const char *call_end_text(enum call_end end); /* static */

struct call_limits {       /* 0: the default in [] */
    uint64_t memory_bytes; /* of the Faaslet's memory [256 MiB] */
    uint64_t output_bytes; /* [6 MiB], at most CALL_OUTPUT_BYTES_MAX */
    uint64_t files_bytes;  /* of its write-local files [64 MiB] */
    uint32_t timeout_ms;   /* wall time [60,000] */
    uint32_t cpu_ms;       /* processor time [as timeout] */
    uint32_t depth;        /* of chained calls [16], at most CALL_DEPTH_MAX */
    uint32_t chained;      /* calls that it may start [256], at most CALL_CHAINED_MAX */
};
void call_limits_default(struct call_limits *limits);

struct call_usage {
    uint64_t fuel; /* 0 where the function is compiled without it */
    uint64_t cpu_ns, wall_ns;
    uint64_t memory_peak_bytes;
    uint64_t state_bytes_pulled, state_bytes_pushed;
    uint64_t net_bytes_in, net_bytes_out;
};

#endif
