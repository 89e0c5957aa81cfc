/* channel.h: the memory that a node and one of its workers share: calls in, results out.
 *
 *     control | submissions | completions | reports | windows of slot 0 | windows of slot 1 | ...
 *
 * A slot is one call on its way. The node fills a free slot's input window and its fields and
 * submits it; an executor thread of the worker takes it, runs the call, writes output and facts
 * into the slot and completes it; the node reads them and the slot is free again. Who may touch a
 * slot follows from where its number is, so slots need no lock. Windows are as large as the largest
 * input and output; only what is used takes memory, and what a large call took is given back.
 *
 * Submissions have one writer (the node's loop thread) and many readers; completions and reports
 * have many writers (serialised by a lock in the worker) and one reader. Nobody makes a system call
 * while the other side is awake: executors sleep on `doorbell` (futex) and the node on an eventfd,
 * which is written when the node had seen everything before (see channel_complete): once for a
 * batch of short calls.
 *
 * The node believes nothing that it reads here: numbers are checked against what it keeps itself
 * about slots that are out, lengths against the windows; text is copied before it is looked at. A
 * worker that breaks the form is ended (WM_E_MALFORMED). Output bytes are only passed on. */
#ifndef WM_FAASLET_CHANNEL_H
#define WM_FAASLET_CHANNEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"
#include "faaslet/call.h"

#define CHANNEL_SLOTS 256u /* a power of two */
#define CHANNEL_TEXT_BYTES 65536u
#define CHANNEL_REPORTS 1024u /* a power of two */

/* What the node says of a call. */
struct channel_call {
    uint64_t id;
    uint32_t function;   /* the worker's handle */
    uint32_t func_idx;   /* UINT32_MAX: the function's entry; else an index of its table */
    uint32_t timeout_ms; /* 0: the function's own */
    uint32_t depth;      /* chained calls above it */
    uint32_t input_len;  /* of the input window */
    uint32_t
        request_len; /* of its text: method, path, query, headers, each ended by NUL; 0: none */
};

/* What the worker says of it. Lengths are of the output window: output, then at its end the text:
 * response headers, message, backtrace. */
struct channel_result {
    uint32_t end; /* enum call_end */
    int32_t return_code;
    uint32_t output_len;
    uint32_t status; /* of a response; 0: not given */
    uint32_t headers_len, message_len, backtrace_len;
    uint32_t cold;
    struct call_usage usage;
    int64_t start_ns; /* of the wall clock */
};

/* A chained call that ended inside the worker: for the node's records and metrics. */
struct channel_report {
    uint64_t id, parent;
    uint32_t function;
    struct channel_result result;
    uint32_t input_len;
    uint8_t input_sha256[32], output_sha256[32];
};

struct channel; /* one side's view of it */

/* Makes the memory file; *fd is given. */
WM_MUST_CHECK int channel_create(struct channel **out, int *fd, struct wm_diag *diag);
/* The worker's side: maps what it was given, event_fd to wake the node; both borrowed. */
WM_MUST_CHECK int channel_attach(int fd, int event_fd, struct channel **out, struct wm_diag *diag);
void channel_close(struct channel *channel);

/* --- The node's side, one thread --- */

/* A free slot, or UINT32_MAX: as many as CHANNEL_SLOTS are out. */
uint32_t channel_take_slot(struct channel *channel);
uint8_t *channel_input(struct channel *channel, uint32_t slot);        /* CALL_INPUT_BYTES_MAX */
uint8_t *channel_request_text(struct channel *channel, uint32_t slot); /* CHANNEL_TEXT_BYTES */
void channel_submit(struct channel *channel, uint32_t slot, const struct channel_call *call);
/* Wakes a sleeping executor, if there were submissions since: once after a batch. */
void channel_ring(struct channel *channel);
/* The next completed call: 1 and its slot, result (copied, checked) and views into its windows; 0:
 * none; WM_E_MALFORMED. */
struct channel_views {
    struct wm_view output, headers, message, backtrace;
};
WM_MUST_CHECK int channel_next_completion(struct channel *channel, uint32_t *slot,
                                          struct channel_result *result,
                                          struct channel_views *views);
/* 1, 0, WM_E_MALFORMED. */
WM_MUST_CHECK int channel_next_report(struct channel *channel, struct channel_report *report);
void channel_free_slot(struct channel *channel, uint32_t slot);

/* --- The worker's side, any thread --- */

uint32_t channel_pending(struct channel *channel); /* submitted and not taken, about */
bool channel_has_sleepers(struct channel *channel);
/* Takes a submitted call: false, none. */
bool channel_take(struct channel *channel, uint32_t *slot, struct channel_call *call);
/* For sleeping: the doorbell's value before one last look, and waiting for it to change. *stop of
 * the channel (channel_stop) ends all waits. */
uint32_t channel_doorbell(struct channel *channel);
void channel_wait(struct channel *channel, uint32_t seen);
/* Wakes executors for work of the worker's own. */
void channel_wake(struct channel *channel, int count);

struct wm_view channel_input_view(struct channel *channel, uint32_t slot, uint32_t len);
struct wm_view channel_request_view(struct channel *channel, uint32_t slot, uint32_t len);
uint8_t *channel_output(struct channel *channel, uint32_t slot);      /* CALL_OUTPUT_BYTES_MAX */
uint8_t *channel_result_text(struct channel *channel, uint32_t slot); /* CHANNEL_TEXT_BYTES */
/* True: the node had seen everything before and may sleep, so that the caller owes it a
 * channel_wake_node: at once, or after more completions that follow soon. */
WM_MUST_CHECK bool channel_complete(struct channel *channel, uint32_t slot,
                                    const struct channel_result *result);
void channel_wake_node(struct channel *channel);
/* Waits while the ring of reports is full, so that none is lost. */
void channel_report(struct channel *channel, const struct channel_report *report);

#endif
