/* peers.h: the other nodes: who lives, how loaded they are, and connections to them.
 *
 * The list of nodes is fixed by the configuration; a node knows each by its number in that list.
 * Connections are encrypted and authenticated both ways (faaslet/secure.h); one that comes from a
 * name which is not in the list is closed.
 *
 * Membership: each node asks each other one for a heartbeat every heartbeat_ms over a connection of
 * its own, and learns its load from the reply. A peer that has not answered for one and a half
 * heartbeats is suspect, for `missed_max` dead; one that answers again is alive. A peer that was
 * started anew in between (its boot number changed) is reported dead first: what it was running is
 * gone. Each node judges for itself; nobody votes. Before its first answer a peer is suspect, then
 * dead, as if it had answered when this node started.
 *
 * When a peer is found dead, all connections to it are shut down, so that who waits for a reply on
 * one fails with -EPIPE or -ECONNRESET instead of waiting for TCP. It is for the caller of a
 * request to know whether it may be made again elsewhere.
 *
 * Requests: peers_get lends a connection to a peer, made where none is idle; at most
 * connections_max of them, then WM_E_BUSY (the caller's back-pressure). peers_put gives it back.
 * Idle ones are closed after idle_ms.
 *
 * Serving: a thread accepts; each connection has a thread of its own, which shakes hands and then
 * hands each request to `handle` (RPC_NODE is answered here). Handlers of different connections run
 * at the same time. More connections than expected of all peers together are closed at once;
 * so that strangers, who can hold a place for connect_ms each, do not take them all, only a part of
 * the places may be in the handshake at once.
 *
 * Threads of this module: one that accepts, one that judges, one for each peer's heartbeat, one for
 * each connection served. All functions may be called from any thread, except stop. */
#ifndef WM_NODE_PEERS_H
#define WM_NODE_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "faaslet/rpc.h"
#include "node/heartbeat.h"

#define PEERS_MAX 256u
#define PEERS_NAME_BYTES_MAX 64u
#define PEERS_CONNECTIONS_MAX 64u
#define PEERS_NOBODY UINT32_MAX

struct peers_address {
    const char *name;
    const char *host; /* a numeric address or a name that the resolver knows */
    uint16_t port;
};

enum peers_state { PEERS_SUSPECT, PEERS_ALIVE, PEERS_DEAD };

struct peers_info {
    const char *name; /* until stop */
    enum peers_state state;
    struct peers_load load; /* as it said last */
    uint32_t age_ms;        /* since it last answered; UINT32_MAX: never */
    uint32_t connections;   /* to it, lent and idle */
};

struct peers_config {                 /* 0: the default in [] */
    const char *name;                 /* this node's */
    const struct peers_address *list; /* may hold this node too: the same list for all nodes */
    uint32_t count;                   /* at most PEERS_MAX */
    const char *listen_host;          /* [127.0.0.1] */
    uint16_t listen_port;             /* 0: any free one; see peers_port */
    uint8_t key[32];
    uint32_t heartbeat_ms;    /* [500] */
    uint32_t missed_max;      /* [3] */
    uint32_t connect_ms;      /* connecting, and as long again for the handshake [2,000] */
    uint32_t connections_max; /* to one peer [PEERS_CONNECTIONS_MAX], at most that */
    uint32_t idle_ms;         /* [30,000] */
    /* Serves a peer's request; otherwise as rpc_handle_fn. Any thread; several at the same time.
     * May be NULL: then only heartbeats are answered. */
    int (*handle)(void *self, uint32_t peer, struct rpc_request *request);
    /* Asked for each heartbeat. Any thread. */
    void (*load)(void *self, struct peers_load *out);
    /* A peer's state changed; the judging thread. Must not call peers_stop. May be NULL. */
    void (*changed)(void *self, uint32_t peer, enum peers_state state);
    void *self;
};

struct peers;

/* All strings are copied. */
WM_MUST_CHECK int peers_start(const struct peers_config *config, struct peers **out,
                              struct wm_diag *diag);
/* The listener's address may be known only now (port 0): the others' lists follow. Before the
 * first heartbeat succeeds, or to move a peer; its connections are shut down. */
WM_MUST_CHECK int peers_move(struct peers *peers, uint32_t peer, const char *host, uint16_t port);
/* Ends all connections and threads; waits for handlers that are at work. No connection may be lent
 * out any more, or be waited for in peers_get. */
void peers_stop(struct peers *peers);

/* Shuts down all connections to other nodes: who waits for an answer on one fails at once. */
void peers_abort(struct peers *peers);
uint16_t peers_port(const struct peers *peers);
uint32_t peers_count(const struct peers *peers);
uint32_t peers_find(const struct peers *peers, const char *name); /* PEERS_NOBODY: not one */
uint32_t peers_self(const struct peers *peers); /* PEERS_NOBODY: not in the list */
/* Of this node itself: alive, with its own load. */
void peers_info(struct peers *peers, uint32_t peer, struct peers_info *out);

/* -EHOSTUNREACH (dead), WM_E_BUSY (all lent), WM_E_FORGED, -ETIMEDOUT, or the socket's error. */
WM_MUST_CHECK int peers_get(struct peers *peers, uint32_t peer, struct rpc_client **out,
                            struct wm_diag *diag);
/* broken: rpc_call failed on it. */
void peers_put(struct peers *peers, uint32_t peer, struct rpc_client *client, bool broken);

#endif
