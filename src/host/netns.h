/* netns.h: network namespaces for workers, made over netlink.
 *
 *        the node's namespace                    a worker's namespace
 *     PREFIX-N  10.x.y.1/30  ---- veth ----  eth0  10.x.y.2/30, default route to .1 with `forward`,
 *                                            else connects fail at once with EACCES
 *       htb: what it receives                  htb: what it sends
 *
 * Namespace N of a pool has the network base + 256 N; with the default base 10.200.0.0 that is
 * 10.(200+N/256).(N%256). Each direction is shaped at the end where it leaves, so a tenant can
 * neither send nor be sent more than its rate. Rates are bits on the wire, Ethernet headers
 * included: a TCP stream of full packets carries 1448 of 1514 bytes.
 *
 * No traffic passes between two namespaces, also when the host forwards packets. Two walls, of
 * which each suffices alone: inside, the networks of all pools are prohibited by a route (a connect
 * fails at once; a worker has no capability to change that); outside, a policy rule of the node's
 * namespace prohibits whatever comes in through PREFIX-N and is not for this host, or, with
 * `forward`, what goes to 10.200.0.0/13 or this pool. The rule does not depend on
 * /proc/sys/net/ipv4/ip_forward, which anybody may switch on later. 169.254.0.0/16, where clouds
 * keep their machines' credentials, is prohibited inside too. There is no IPv6 on these links.
 * The host's own addresses, those that it has when the namespace is made, are prohibited inside
 * likewise, so that a tenant does not find services that listen on all of them; `host` allows them.
 *
 * Namespaces have no names: they last as long as a descriptor or a process holds them. The process
 * that calls stays in its own namespace; a short-lived thread makes the new one.
 *
 * Needs CAP_SYS_ADMIN and CAP_NET_ADMIN; host_net_probe tells. Inputs: trusted (the node's
 * configuration). Threads: any; a pool has a lock. Errors: 0, negative errno, WM_E_*, and a
 * sentence. Cost: about 1 ms to make one, tens of ms to put one back (the kernel waits; others do
 * not). */
#ifndef WM_HOST_NETNS_H
#define WM_HOST_NETNS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/diag.h"

#define HOST_NET_PREFIX_MAX 8
#define HOST_NET_COUNT_MAX 2048
#define HOST_NET_BASE 0x0ac80000u /* 10.200.0.0, in the host's byte order */
#define HOST_NET_RATE_MIN 8000u
#define HOST_NET_RATE_MAX 32000000000ull

struct host_net; /* a pool */

struct host_netns {
    int fd; /* the namespace, for setns; the pool's */
    unsigned index;
    uint32_t outside_addr, inside_addr; /* host byte order */
    uint64_t rate_in, rate_out;         /* bits/s: what it receives, what it sends */
    char outside_name[16];              /* of the interface */
};

struct host_net_options {
    const char *prefix; /* 1 to 8 of a-z and 0-9; another one for each node on the machine */
    uint32_t base;      /* its low 8 bits 0; 0: HOST_NET_BASE. Ranges of nodes must not meet */
    unsigned count;     /* of namespaces at most; 1 to HOST_NET_COUNT_MAX */
    unsigned ready;     /* so many are made at once; the rest when they are needed */
    uint64_t rate_bits; /* for each direction of a new one */
    bool host;          /* may reach the host's own addresses */
    /* May reach beyond the host. Then the operator switches ip_forward on and lets the uplink
     * masquerade, e.g.: nft 'add table ip wm; add chain ip wm post { type nat hook postrouting
     * priority 100; }; add rule ip wm post ip saddr 10.200.0.0/13 masquerade' */
    bool forward;
};

/* 0, or why this process cannot make namespaces, with what to do. Makes one to find out. */
WM_MUST_CHECK int host_net_probe(struct wm_diag *diag);

/* Removes what a dead node of the same prefix left, then makes `ready` namespaces. WM_E_BUSY when
 * one of the host's addresses lies in the pool's range. */
WM_MUST_CHECK int host_net_open(const struct host_net_options *options, struct host_net **out,
                                struct wm_diag *diag);
/* All namespaces have been put back. Processes still inside are cut off. */
void host_net_close(struct host_net *net);

/* One that nobody has; WM_E_LIMIT when all `count` are taken. It is the caller's until put. */
WM_MUST_CHECK int host_net_take(struct host_net *net, const struct host_netns **out,
                                struct wm_diag *diag);
/* Destroys it: half-closed connections and caches of one tenant must not meet the next. The place
 * is free for a new one. */
void host_net_put(struct host_net *net, const struct host_netns *ns);
/* Makes namespaces until `ready` wait. For idle times; host_net_take does without. */
WM_MUST_CHECK int host_net_refill(struct host_net *net, struct wm_diag *diag);
/* Bits per second, RATE_MIN to RATE_MAX. Takes effect at once, also for open connections. */
WM_MUST_CHECK int host_net_set_rate(struct host_net *net, const struct host_netns *ns,
                                    uint64_t rate_in, uint64_t rate_out, struct wm_diag *diag);

/* A descriptor, the caller's, of a new namespace with nothing but a loopback interface; or
 * negative. The cheap kind, for tenants that may not connect anywhere. */
WM_MUST_CHECK int host_net_local(struct wm_diag *diag);

/* The calling thread goes there; sockets that exist stay where they were made. */
WM_MUST_CHECK int host_net_enter(int ns_fd);

#endif
