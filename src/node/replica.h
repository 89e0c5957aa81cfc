/* replica.h: one replica of a ledger, in a folder, on a network.
 *
 * The pure parts joined to the world: agreement (bft/bft.h) and execution (ledger/executor.h) get
 * time from the clock, requests and messages from sockets, and durability from a disk. One thread
 * with a libuv loop runs the protocol; one more checks clients' signatures, eight at a time
 * (crypto/sign_batch.h); libuv's threads wait for the disk and write checkpoints.
 *
 * The folder is all that a replica is; it can be moved to another machine, and its address changed
 * by governance (doc/ledger.md). doc/format/ledger.md, section Folders:
 *
 *     genesis           the service, as all replicas have it
 *     replica.key       Ed25519, PEM, mode 0600; nonce.secret: 32 bytes, mode 0600
 *     replica.yaml      id, listen addresses, limits
 *     journal/          what was said (store/seglog.h); shrinks with checkpoints
 *     ledger/           committed entries, sealed segments content-addressed
 *     checkpoints/      the newest two, and those that the ledger still names
 *     evidence/         what convicts others, one blame file each
 *
 * Order on the disk. A group of loop turns ends with one fdatasync of the journal; messages that
 * say something new leave after it. Committed entries follow in the ledger's log without a sync of
 * their own; the log is synced before the journal that could bring them back is cut. Starting:
 * newest checkpoint whose state root the ledger confirms, replay of the entries after it, then the
 * journal.
 *
 * Connections. To each other replica one channel (crypto/channel.h under the service's name; keys
 * proved by channel_identity.h, purpose "ledger replica"), dialled by the one with the larger id,
 * dialled again when it breaks. Clients come to the client address, plain or by channel, and speak
 * wire/client.h. A peer that is slow has a bounded queue; beyond it messages are dropped, as a
 * network would.
 *
 * Admission. A client's signature is checked before anything is kept of him. More than
 * `requests_of_client` under way, or a full pool, is CLIENT_REFUSED with a time to wait; clients
 * are served in turn. Copies of what was executed are answered from the ledger.
 *
 * When it must not go on (agreement halted, disk failed, out of memory) it stops by itself;
 * replica_wait says why. Nothing that a client or another replica sends can do that. */
#ifndef WM_NODE_REPLICA_H
#define WM_NODE_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "bft/bft.h"

struct replica;

struct replica_config {
    const char *folder;
    const char *peer_listen, *client_listen; /* ADDRESS:PORT; NULL: as replica.yaml says */
    bool no_sync;                            /* for benches: a crash of the machine convicts it */
    /* One line for people, when something changes: started, view, suspicion, checkpoint. */
    void (*log)(void *self, const char *line);
    void *log_self;
};

/* Starts its threads. WM_E_NOT_FOUND, WM_E_MALFORMED, WM_E_DENIED (modes of the keys), -EBUSY (the
 * folder is in use), WM_E_STALE (its disk is older than its word: exit 3), and errno of the disk.
 */
WM_MUST_CHECK int replica_start(const struct replica_config *config, struct replica **out,
                                struct wm_diag *diag);
/* Until it has stopped: 0 when asked to, else why. */
int replica_wait(struct replica *replica, struct wm_diag *diag);
void replica_stop(struct replica *replica);    /* any thread, a signal handler too */
void replica_dispose(struct replica *replica); /* after replica_wait */

/* Where it listens, once started: "127.0.0.1:4711". Borrowed. */
const char *replica_peer_address(const struct replica *replica);
const char *replica_client_address(const struct replica *replica);

/* Prometheus text of its figures, appended to `out` (room bytes, cut there). Any thread. */
size_t replica_metrics(struct replica *replica, char *out, size_t room);

#endif
