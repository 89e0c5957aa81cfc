/* control.h: what a node and a worker tell each other beside calls.
 *
 * One message is one packet of a SOCK_SEQPACKET pair, at most CONTROL_BYTES_MAX, with up to
 * CONTROL_FDS_MAX descriptors. A packet: u16 kind, then its fields in the order of struct
 * control_message; numbers little-endian, strings as u32 length and bytes.
 *
 * Both sides are of one build: HELLO carries CONTROL_VERSION. The node reads what workers send as
 * hostile: control_decode proves every length, and the message borrows from the packet. Pure, but
 * for control_send and control_receive. */
#ifndef WM_FAASLET_CONTROL_H
#define WM_FAASLET_CONTROL_H

#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"
#include "faaslet/call.h"

#define CONTROL_VERSION 1u
#define CONTROL_BYTES_MAX 65536u
#define CONTROL_FDS_MAX 64u
#define CONTROL_STRINGS_MAX 256u /* of one list */

enum control_kind {
    /* Node to worker. */
    CONTROL_HELLO = 1, /* fds: channel, event, network namespace (if any), then one socket for each
                          executor */
    CONTROL_LOAD,      /* fds: object, image */
    CONTROL_SNAPSHOT,  /* fds: object, an empty file for the image */
    CONTROL_UNLOAD,
    CONTROL_FORGET, /* names that a tenant's calls chain to are looked up anew */
    CONTROL_CANCEL, /* the call with call_id is to end */
    /* Worker to node. */
    CONTROL_READY, /* after HELLO: confined, executors wait */
    CONTROL_DONE,  /* of LOAD, SNAPSHOT: code and text tell */
    CONTROL_LOG,   /* a line of a call */
    CONTROL_KINDS,
};

#define CONTROL_FLAG_NETNS 1u   /* a network namespace is among the descriptors */
#define CONTROL_FLAG_SOCKETS 2u /* calls may connect, within it */
#define CONTROL_FLAG_CONFINE 4u /* the worker confines itself */
#define CONTROL_FLAG_SHARE 8u   /* there are other nodes: chained calls may be given to the node */

/* How a module becomes a function. */
enum function_kind {
    FUNCTION_COMMAND,   /* exports _start: a plain WASI program */
    FUNCTION_FAASLET,   /* exports faaslet_main */
    FUNCTION_SUSPENDED, /* a command frozen where it first reads its input */
    FUNCTION_LIBRARY, /* is loaded by others (dl.h), never called; its second file is the module */
    FUNCTION_KINDS,
};

struct control_strings {
    uint32_t count;
    struct wm_view items[CONTROL_STRINGS_MAX];
};

/* Fields that a kind does not use are zero. */
struct control_message {
    uint16_t kind;
    uint32_t version;     /* HELLO */
    uint32_t handle;      /* of the function */
    uint32_t executors;   /* HELLO: at most */
    uint32_t ready;       /* HELLO: that run at once; 0: the processors */
    uint32_t slots;       /* HELLO: for each executor */
    uint32_t flags;       /* HELLO: CONTROL_FLAG_* */
    uint64_t call_prefix; /* HELLO: upper bits of the ids of calls that start in this worker */
    uint32_t function_kind;
    uint32_t function_version;
    int32_t code;     /* DONE */
    uint64_t call_id; /* LOG */
    struct call_limits limits;
    struct wm_view tenant, name, text; /* text: DONE's sentence, LOG's line, HELLO's files folder */
    struct control_strings args, env, secrets; /* args: HELLO's allow-list too */
};

/* Bytes written to out (CONTROL_BYTES_MAX of room), or WM_E_LIMIT. */
WM_MUST_CHECK int64_t control_encode(const struct control_message *message, uint8_t *out);
/* 0, or WM_E_MALFORMED with the reason. The message's views lie in `packet`. */
WM_MUST_CHECK int control_decode(struct wm_view packet, struct control_message *out,
                                 struct wm_diag *diag);

/* Sends one packet with descriptors (borrowed). 0; negative errno. wait: for room in the socket;
 * else -EAGAIN where there is none. */
WM_MUST_CHECK int control_send(int socket, const struct control_message *message, const int *fds,
                               uint32_t fd_count, bool wait);
/* The same for one that is encoded already. */
WM_MUST_CHECK int control_send_packet(int socket, struct wm_view packet, const int *fds,
                                      uint32_t fd_count, bool wait);
/* Receives one. buffer: CONTROL_BYTES_MAX. *fd_count descriptors are given. 1; 0 at the end;
 * -EAGAIN; negative. */
WM_MUST_CHECK int control_receive(int socket, uint8_t *buffer, struct control_message *out,
                                  int fds[CONTROL_FDS_MAX], uint32_t *fd_count,
                                  struct wm_diag *diag);

#endif
