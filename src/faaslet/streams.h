/* streams.h: a Faaslet's standard streams: the call's input, its output, its log.
 *
 * Three files of the library OS that live as long as the Faaslet and are pointed at one call after
 * the other. Input is read from the front and ends; output goes to the call's buffer (-EFBIG when
 * that is full); standard error becomes lines of the log, cut at STREAMS_LINE_BYTES. */
#ifndef WM_FAASLET_STREAMS_H
#define WM_FAASLET_STREAMS_H

#include "base/view.h"
#include "libos/file.h"

struct faaslet_call;
struct faaslet_thread;
struct faaslet_streams;

#define STREAMS_LINE_BYTES 1024u

WM_MUST_CHECK int faaslet_streams_new(struct faaslet_thread *thread, struct faaslet_streams **out);
/* After the last holder of one of its files: they lie in it. */
void faaslet_streams_free(struct faaslet_streams *streams);
/* Borrowed: 0, 1, 2. */
struct libos_file *faaslet_streams_file(struct faaslet_streams *streams, unsigned number);
void faaslet_streams_begin(struct faaslet_streams *streams, struct faaslet_call *call);
void faaslet_streams_end(
    struct faaslet_streams *streams); /* logs a last line without its newline */
/* A line (or several) for the call's log; over FAASLET_LOG_BYTES_MAX of a call it is dropped. */
void faaslet_streams_log(struct faaslet_streams *streams, struct wm_view text);

#endif
