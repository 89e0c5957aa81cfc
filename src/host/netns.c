/* Network namespaces.
 *
 * A netlink socket belongs for good to the namespace in which it was made. So the helper thread,
 * once it is in a new namespace, opens two things there: the namespace's own descriptor and a
 * netlink socket. With the latter every thread can configure the inside from the outside, and
 * nobody ever has to enter and to come back, which could fail half-way. */
#include "host/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/class.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/qdisc/htb.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/fault.h"

#define INSIDE_NAME "eth0"
#define INDEX_UNKNOWN (-1)
#define LOOPBACK_INDEX 1 /* in every new namespace */
#define PREFIX_BITS 30
#define RULE_PRIORITY 1000
#define POOLS_NET 0x0ac80000u /* 10.200.0.0/13, where pools are by default */
#define POOLS_BITS 13
#define LINK_LOCAL_NET 0xa9fe0000u
#define LINK_LOCAL_BITS 16
#define CLASS_MAJOR 1
#define CLASS_MINOR 1

/* What may leave at once: two of the largest segments that a sender hands over in one piece, or
 * what goes through in 2 ms, so that a timer that is late does not cost throughput. */
#define BURST_MIN_BYTES 131072u
#define BURST_PER_SECOND 500u

struct place {
    struct host_netns ns; /* first: the caller's pointer */
    struct nl_sock *inside;
    int outside_index, inside_index;
    enum { EMPTY, READY, TAKEN, ENDING } state;
};

struct host_net {
    pthread_mutex_t lock; /* protects all of this; the options do not change */
    struct nl_sock *outside;
    /* For deleting, which takes long: its lock is the inner one, and nobody takes `lock` with it.
     */
    pthread_mutex_t ending_lock;
    struct nl_sock *ending;
    struct host_net_options options;
    char prefix[HOST_NET_PREFIX_MAX + 1];
    struct place *places;
};

/* --- netlink's errors --- */

static int from_netlink(int err)
{
    switch (err < 0 ? -err : err) {
    case NLE_SUCCESS: return 0;
    case NLE_PERM:
    case NLE_NOACCESS: return -EPERM;
    case NLE_EXIST: return -EEXIST;
    case NLE_NODEV:
    case NLE_OBJ_NOTFOUND: return -ENOENT;
    case NLE_NOMEM: return -ENOMEM;
    case NLE_BUSY: return -EBUSY;
    case NLE_OPNOTSUPP:
    case NLE_AF_NOSUPPORT: return -EOPNOTSUPP;
    case NLE_INVAL: return -EINVAL;
    default: return -EIO;
    }
}

static int say(struct wm_diag *diag, const char *name, const char *what, int err)
{
    const char *advice = ": see the kernel's log";
    if (err == -EPERM) {
        advice = ": run the node as root (CAP_SYS_ADMIN and CAP_NET_ADMIN)";
    } else if (err == -EOPNOTSUPP || err == -ENOENT) {
        advice = ": this kernel lacks it (CONFIG_NET_NS, CONFIG_VETH, CONFIG_NET_SCH_HTB, "
                 "CONFIG_IP_MULTIPLE_TABLES)";
    } else if (err == -ENOSPC) {
        advice = ": raise /proc/sys/user/max_net_namespaces";
    }
    return wm_diag_set(diag, err, "network namespace %s: %s: %s%s", name, what, wm_error_text(err),
                       advice);
}

/* --- a new namespace --- */

struct making {
    int fd, err;
    struct nl_sock *sock;
};

static struct nl_sock *connect_netlink(int *err)
{
    struct nl_sock *sock = wm_fault_here(WM_FAULT_ALLOC) ? NULL : nl_socket_alloc();
    *err = !sock ? -ENOMEM : from_netlink(nl_connect(sock, NETLINK_ROUTE));
    if (sock && *err) {
        nl_socket_free(sock);
        return NULL;
    }
    return sock;
}

static void *make_in_thread(void *arg)
{
    struct making *making = arg;
    if (unshare(CLONE_NEWNET) != 0) {
        making->err = -errno;
        return NULL;
    }
    making->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (making->fd < 0) {
        making->err = -errno;
        return NULL;
    }
    making->sock = connect_netlink(&making->err);
    if (!making->sock) {
        close(making->fd);
        making->fd = -1;
    }
    return NULL;
}

static int make_namespace(struct making *out)
{
    pthread_t thread;
    *out = (struct making){.fd = -1};
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    int err = pthread_create(&thread, NULL, make_in_thread, out);
    if (err) {
        return -err;
    }
    pthread_join(thread, NULL);
    return out->err;
}

/* --- links, addresses, routes --- */

/* One change of a link: af says which part of `change` the kernel is to take. */
static int change_link(struct nl_sock *sock, int index, struct rtnl_link *change)
{
    struct rtnl_link *link = rtnl_link_alloc();
    int err = -ENOMEM;
    if (link) {
        rtnl_link_set_ifindex(link, index);
        err = from_netlink(rtnl_link_change(sock, link, change, 0));
        rtnl_link_put(link);
    }
    return err;
}

static int set_up(struct nl_sock *sock, int index)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    struct rtnl_link *change = rtnl_link_alloc();
    int err = -ENOMEM;
    if (change) {
        rtnl_link_set_flags(change, IFF_UP);
        err = change_link(sock, index, change);
        rtnl_link_put(change);
    }
    return err;
}

/* Without an address of its own on the link nothing can be sent over it. A kernel without IPv6
 * says that it does not know it. */
static int no_ipv6(struct nl_sock *sock, int index)
{
    struct rtnl_link *change = rtnl_link_alloc();
    int err = -ENOMEM;
    if (change) {
        err = from_netlink(rtnl_link_inet6_set_addr_gen_mode(change, IN6_ADDR_GEN_MODE_NONE));
        err = err ? err : change_link(sock, index, change);
        rtnl_link_put(change);
    }
    return err == -EOPNOTSUPP ? 0 : err;
}

/* Packets with a source that is not the namespace's are dropped; forwarding as wanted. */
static int set_outside_conf(struct nl_sock *sock, int index, bool forward)
{
    struct rtnl_link *change = rtnl_link_alloc();
    int err = -ENOMEM;
    if (change) {
        err = from_netlink(rtnl_link_inet_set_conf(change, IPV4_DEVCONF_FORWARDING, forward));
        err = err ? err : from_netlink(rtnl_link_inet_set_conf(change, IPV4_DEVCONF_RP_FILTER, 1));
        err = err ? err
                  : from_netlink(rtnl_link_inet_set_conf(change, IPV4_DEVCONF_ACCEPT_REDIRECTS, 0));
        err = err ? err : change_link(sock, index, change);
        rtnl_link_put(change);
    }
    return err;
}

static struct nl_addr *make_addr(uint32_t host_order, int bits)
{
    uint32_t wire = __builtin_bswap32(host_order);
    struct nl_addr *addr = nl_addr_build(AF_INET, &wire, sizeof wire);
    if (addr) {
        nl_addr_set_prefixlen(addr, bits);
    }
    return addr;
}

static int add_address(struct nl_sock *sock, int index, uint32_t host_order)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    struct rtnl_addr *address = rtnl_addr_alloc();
    struct nl_addr *local = make_addr(host_order, PREFIX_BITS);
    int err = -ENOMEM;
    if (address && local) {
        rtnl_addr_set_ifindex(address, index);
        err = from_netlink(rtnl_addr_set_local(address, local));
        err = err ? err : from_netlink(rtnl_addr_add(sock, address, 0));
    }
    if (local) {
        nl_addr_put(local);
    }
    if (address) {
        rtnl_addr_put(address);
    }
    return err;
}

/* By a gateway, or (gateway 0) prohibited. */
static int add_route(struct nl_sock *sock, uint32_t net, int bits, uint32_t gateway, int index)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    struct rtnl_route *route = rtnl_route_alloc();
    struct nl_addr *dst = make_addr(net, bits), *via = make_addr(gateway, 32);
    struct rtnl_nexthop *hop = gateway ? rtnl_route_nh_alloc() : NULL;
    int err = -ENOMEM;
    if (route && dst && via && (hop || !gateway)) {
        rtnl_route_set_family(route, AF_INET);
        rtnl_route_set_table(route, RT_TABLE_MAIN);
        rtnl_route_set_protocol(route, RTPROT_STATIC);
        rtnl_route_set_scope(route, RT_SCOPE_UNIVERSE);
        err = from_netlink(rtnl_route_set_dst(route, dst));
        if (gateway) {
            rtnl_route_nh_set_gateway(hop, via);
            rtnl_route_nh_set_ifindex(hop, index);
            rtnl_route_add_nexthop(route, hop); /* the route's now */
            hop = NULL;
        } else {
            err = err ? err : from_netlink(rtnl_route_set_type(route, RTN_PROHIBIT));
        }
        err = err ? err : from_netlink(rtnl_route_add(sock, route, NLM_F_CREATE | NLM_F_EXCL));
    }
    if (hop) {
        rtnl_route_nh_free(hop);
    }
    if (dst) {
        nl_addr_put(dst);
    }
    if (via) {
        nl_addr_put(via);
    }
    if (route) {
        rtnl_route_put(route);
    }
    return err;
}

/* --- shaping --- */

static int add_qdisc(struct nl_sock *sock, int index)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    struct rtnl_qdisc *qdisc = rtnl_qdisc_alloc();
    int err = -ENOMEM;
    if (qdisc) {
        rtnl_tc_set_ifindex(TC_CAST(qdisc), index);
        rtnl_tc_set_parent(TC_CAST(qdisc), TC_H_ROOT);
        rtnl_tc_set_handle(TC_CAST(qdisc), TC_HANDLE(CLASS_MAJOR, 0));
        err = from_netlink(rtnl_tc_set_kind(TC_CAST(qdisc), "htb"));
        err = err ? err : from_netlink(rtnl_htb_set_defcls(qdisc, CLASS_MINOR));
        err = err ? err : from_netlink(rtnl_qdisc_add(sock, qdisc, NLM_F_CREATE | NLM_F_EXCL));
        rtnl_qdisc_put(qdisc);
    }
    return err;
}

/* flags: NLM_F_CREATE for a new class, 0 to change it. */
static int put_class(struct nl_sock *sock, int index, uint64_t rate_bits, int flags)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    struct rtnl_class *class = rtnl_class_alloc();
    uint64_t bytes = rate_bits / 8;
    uint32_t burst = (uint32_t)wm_max_u64(BURST_MIN_BYTES, bytes / BURST_PER_SECOND);
    int err = -ENOMEM;
    if (class) {
        rtnl_tc_set_ifindex(TC_CAST(class), index);
        rtnl_tc_set_parent(TC_CAST(class), TC_HANDLE(CLASS_MAJOR, 0));
        rtnl_tc_set_handle(TC_CAST(class), TC_HANDLE(CLASS_MAJOR, CLASS_MINOR));
        err = from_netlink(rtnl_tc_set_kind(TC_CAST(class), "htb"));
        err = err ? err : from_netlink(rtnl_htb_set_rate64(class, bytes));
        err = err ? err : from_netlink(rtnl_htb_set_ceil64(class, bytes));
        err = err ? err : from_netlink(rtnl_htb_set_rbuffer(class, burst));
        err = err ? err : from_netlink(rtnl_htb_set_cbuffer(class, burst));
        err = err ? err : from_netlink(rtnl_htb_set_quantum(class, BURST_MIN_BYTES / 2));
        err = err ? err : from_netlink(rtnl_class_add(sock, class, flags));
        rtnl_class_put(class);
    }
    return err;
}

static int shape(struct nl_sock *sock, int index, uint64_t rate_bits)
{
    int err = add_qdisc(sock, index);
    return err ? err : put_class(sock, index, rate_bits, NLM_F_CREATE | NLM_F_EXCL);
}

/* --- the wall outside --- */

static struct rtnl_rule *make_rule(const char *name, uint32_t to, int bits)
{
    struct rtnl_rule *rule = rtnl_rule_alloc();
    struct nl_addr *dst = bits ? make_addr(to, bits) : NULL;
    if (rule) {
        rtnl_rule_set_family(rule, AF_INET);
        rtnl_rule_set_action(rule, FR_ACT_PROHIBIT);
        rtnl_rule_set_prio(rule, RULE_PRIORITY);
        if (rtnl_rule_set_iif(rule, name) < 0 || (dst && rtnl_rule_set_dst(rule, dst) < 0) ||
            (bits && !dst)) {
            rtnl_rule_put(rule);
            rule = NULL;
        }
    }
    if (dst) {
        nl_addr_put(dst);
    }
    return rule;
}

static int add_rule(struct nl_sock *sock, const char *name, uint32_t to, int bits)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    struct rtnl_rule *rule = make_rule(name, to, bits);
    int err = rule ? from_netlink(rtnl_rule_add(sock, rule, NLM_F_CREATE | NLM_F_EXCL)) : -ENOMEM;
    if (rule) {
        rtnl_rule_put(rule);
    }
    return err;
}

/* The smallest network that holds all of the pool. */
static int cover_bits(const struct host_net_options *options)
{
    uint32_t last = options->base + options->count * 256 - 1;
    int bits = 24;
    while (bits > 1 && (options->base ^ last) >> (32 - bits) != 0) {
        bits--;
    }
    return bits;
}

static uint32_t network_of(uint32_t addr, int bits)
{
    return addr & ~(uint32_t)((1ull << (32 - bits)) - 1);
}

/* This pool is part of 10.200.0.0/13: one network stands for both. */
static bool is_among_pools(const struct host_net_options *options)
{
    int bits = cover_bits(options);
    return bits >= POOLS_BITS && network_of(options->base, POOLS_BITS) == POOLS_NET;
}

static int wall_outside(struct host_net *net, const struct host_netns *ns)
{
    const struct host_net_options *options = &net->options;
    if (!options->forward) {
        return add_rule(net->outside, ns->outside_name, 0, 0);
    }
    int err = add_rule(net->outside, ns->outside_name, POOLS_NET, POOLS_BITS);
    if (!err && !is_among_pools(options)) {
        int bits = cover_bits(options);
        err = add_rule(net->outside, ns->outside_name, network_of(options->base, bits), bits);
    }
    return err;
}

static int for_each_address(struct nl_sock *sock, int (*body)(void *arg, uint32_t addr), void *arg)
{
    struct nl_cache *cache;
    int err = wm_fault_here(WM_FAULT_IO) ? -EIO : from_netlink(rtnl_addr_alloc_cache(sock, &cache));
    if (err) {
        return err;
    }
    for (struct nl_object *at = nl_cache_get_first(cache); at && !err; at = nl_cache_get_next(at)) {
        struct nl_addr *local = rtnl_addr_get_local((struct rtnl_addr *)at);
        if (local && nl_addr_get_family(local) == AF_INET && nl_addr_get_len(local) == 4) {
            uint32_t wire;
            memcpy(&wire, nl_addr_get_binary_addr(local), sizeof wire);
            err = body(arg, __builtin_bswap32(wire));
        }
    }
    nl_cache_free(cache);
    return err;
}

struct routing {
    const struct host_net_options *options;
    struct place *place;
};

/* The way to one of the host's addresses. Those of the pools are behind the wall already, but for
 * the gateway, which is still used as one when it is prohibited: the way to it is the interface's,
 * not the route's. */
static int route_address(void *arg, uint32_t addr)
{
    const struct routing *routing = arg;
    const struct host_net_options *options = routing->options;
    const struct place *place = routing->place;
    bool is_gateway = addr == place->ns.outside_addr, is_loopback = addr >> 24 == 127;
    bool is_pooled = network_of(addr, POOLS_BITS) == POOLS_NET ||
                     (addr >= options->base && addr - options->base < options->count * 256);
    int err = 0;
    if (is_loopback || (is_pooled && !is_gateway)) {
        return 0;
    }
    if (!options->host) {
        err = add_route(place->inside, addr, 32, 0, 0);
    } else if (!options->forward && !is_gateway) {
        err = add_route(place->inside, addr, 32, place->ns.outside_addr, place->inside_index);
    }
    return err == -EEXIST ? 0 : err;
}

static int wall_inside(const struct host_net *net, struct place *place)
{
    const struct host_net_options *options = &net->options;
    int err = add_route(place->inside, POOLS_NET, POOLS_BITS, 0, 0);
    err = err ? err : add_route(place->inside, LINK_LOCAL_NET, LINK_LOCAL_BITS, 0, 0);
    if (!err && !is_among_pools(options)) {
        int bits = cover_bits(options);
        err = add_route(place->inside, network_of(options->base, bits), bits, 0, 0);
    }
    struct routing routing = {options, place};
    return err ? err : for_each_address(net->outside, route_address, &routing);
}

/* PREFIX-DIGITS. */
static bool is_ours(const char *name, const char *prefix)
{
    size_t len = strlen(prefix);
    return name && strncmp(name, prefix, len) == 0 && name[len] == '-' && name[len + 1] &&
           strspn(name + len + 1, "0123456789") == strlen(name + len + 1);
}

/* Deletes the rules of one interface, or of all of ours (name NULL). */
static int delete_rules(struct nl_sock *sock, const char *name, const char *prefix)
{
    struct nl_cache *cache;
    int err = wm_fault_here(WM_FAULT_IO)
                  ? -EIO
                  : from_netlink(rtnl_rule_alloc_cache(sock, AF_INET, &cache));
    if (err) {
        return err;
    }
    for (struct nl_object *at = nl_cache_get_first(cache); at && !err; at = nl_cache_get_next(at)) {
        struct rtnl_rule *rule = (struct rtnl_rule *)at;
        const char *iif = rtnl_rule_get_iif(rule);
        if (iif && rtnl_rule_get_prio(rule) == RULE_PRIORITY &&
            (name ? strcmp(iif, name) == 0 : is_ours(iif, prefix))) {
            err = from_netlink(rtnl_rule_delete(sock, rule, 0));
            err = err == -ENOENT ? 0 : err;
        }
    }
    nl_cache_free(cache);
    return err;
}

/* --- places --- */

/* By index, or by name where nobody knows the index. */
static int delete_link(struct nl_sock *sock, int index, const char *name)
{
    struct rtnl_link *link = rtnl_link_alloc();
    int err = -ENOMEM;
    if (link) {
        if (index > 0) {
            rtnl_link_set_ifindex(link, index);
        } else {
            rtnl_link_set_name(link, name);
        }
        err = from_netlink(rtnl_link_delete(sock, link));
        rtnl_link_put(link);
    }
    return err;
}

/* Deleting an interface waits for every processor to let go of it, tens of milliseconds. A group
 * waits once: whoever has many puts them into a group with a random number and deletes that. */
static int group_link(struct nl_sock *sock, int index, uint32_t group)
{
    struct rtnl_link *change = rtnl_link_alloc();
    int err = -ENOMEM;
    if (change) {
        rtnl_link_set_group(change, group);
        err = change_link(sock, index, change);
        rtnl_link_put(change);
    }
    return err;
}

static int delete_group(struct nl_sock *sock, uint32_t group)
{
    const struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
    struct nl_msg *message = nlmsg_alloc_simple(RTM_DELLINK, 0);
    if (!message) {
        return -ENOMEM;
    }
    int err = nlmsg_append(message, (void *)&header, sizeof header, NLMSG_ALIGNTO);
    err = err < 0 ? err : nla_put_u32(message, IFLA_GROUP, group);
    if (err < 0) {
        nlmsg_free(message);
        return from_netlink(err);
    }
    return from_netlink(nl_send_sync(sock, message)); /* frees the message */
}

static int random_group(uint32_t *group)
{
    ssize_t got = getrandom(group, sizeof *group, 0);
    *group |= 0x40000000; /* far from the numbers that people choose */
    *group &= 0x7fffffff;
    return got == sizeof *group ? 0 : -EIO;
}

static int index_of(struct nl_sock *sock, const char *name, int *index)
{
    struct rtnl_link *link;
    int err = wm_fault_here(WM_FAULT_IO) ? -EIO
                                         : from_netlink(rtnl_link_get_kernel(sock, 0, name, &link));
    if (!err) {
        *index = rtnl_link_get_ifindex(link);
        rtnl_link_put(link);
    }
    return err;
}

/* Deleting one end deletes the other; should that fail, the end of the namespace does it. */
static void delete_veth(struct nl_sock *sock, struct place *place)
{
    if (place->outside_index) {
        int ignored = delete_link(sock, place->outside_index, place->ns.outside_name);
        (void)ignored;
        place->outside_index = 0;
    }
}

/* The outside end gets its carrier when the inside one goes up, and the kernel starts its queue a
 * moment later; a packet that it sends before is dropped, and a second is lost until TCP tries
 * again. After half a second of waiting that is the lesser evil. */
static int wait_for_carrier(struct nl_sock *sock, int index)
{
    const struct timespec wait = {0, 1000000};
    for (int tries = 0; tries < 500; tries++) {
        struct rtnl_link *link;
        int err = wm_fault_here(WM_FAULT_IO)
                      ? -EIO
                      : from_netlink(rtnl_link_get_kernel(sock, index, NULL, &link));
        if (err) {
            return err;
        }
        bool is_up = rtnl_link_get_operstate(link) == IF_OPER_UP;
        rtnl_link_put(link);
        if (is_up) {
            break;
        }
        nanosleep(&wait, NULL);
    }
    return 0;
}

static void unmake(struct host_net *net, struct place *place)
{
    delete_veth(net->outside, place);
    if (place->ns.outside_name[0]) {
        int ignored = delete_rules(net->outside, place->ns.outside_name, net->prefix);
        (void)ignored;
    }
    if (place->inside) {
        nl_socket_free(place->inside);
    }
    if (place->ns.fd >= 0) {
        close(place->ns.fd);
    }
    *place = (struct place){.ns.fd = -1};
}

static int add_veth(struct host_net *net, struct place *place)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    struct rtnl_link *link = rtnl_link_veth_alloc();
    struct rtnl_link *peer = link ? rtnl_link_veth_get_peer(link) : NULL;
    int err = -ENOMEM;
    if (peer) {
        rtnl_link_set_name(link, place->ns.outside_name);
        rtnl_link_set_name(peer, INSIDE_NAME);
        rtnl_link_set_ns_fd(peer, place->ns.fd);
        err = from_netlink(rtnl_link_add(net->outside, link, NLM_F_CREATE | NLM_F_EXCL));
        rtnl_link_put(peer);
    }
    if (link) {
        rtnl_link_put(link);
    }
    return err;
}

static int make(struct host_net *net, unsigned index, struct wm_diag *diag)
{
    struct place *place = &net->places[index];
    struct making making;
    uint32_t network = net->options.base + index * 256;
    uint64_t rate = net->options.rate_bits;
    *place = (struct place){
        .ns = {.fd = -1,
               .index = index,
               .outside_addr = network + 1,
               .inside_addr = network + 2,
               .rate_in = rate,
               .rate_out = rate},
    };
    const char *what = "making it";
    char name[sizeof place->ns.outside_name];
    snprintf(name, sizeof name, "%s-%u", net->prefix, index);
    int err = make_namespace(&making);
    if (!err) {
        place->ns.fd = making.fd;
        place->inside = making.sock;
        snprintf(place->ns.outside_name, sizeof place->ns.outside_name, "%s", name);
        /* The wall first: there is no moment in which the link is up without it. */
        what = "adding the policy rule";
        err = wall_outside(net, &place->ns);
    }
    if (!err) {
        what = "adding the veth pair";
        err = add_veth(net, place);
        place->outside_index = err ? 0 : INDEX_UNKNOWN;
        err = err ? err : index_of(net->outside, name, &place->outside_index);
        err = err ? err : index_of(place->inside, INSIDE_NAME, &place->inside_index);
    }
    if (!err) {
        what = "configuring the interfaces";
        err = set_outside_conf(net->outside, place->outside_index, net->options.forward);
        err = err ? err : no_ipv6(net->outside, place->outside_index);
        err = err ? err : no_ipv6(place->inside, place->inside_index);
        err = err ? err : add_address(net->outside, place->outside_index, place->ns.outside_addr);
        err = err ? err : add_address(place->inside, place->inside_index, place->ns.inside_addr);
    }
    if (!err) {
        what = "shaping (htb)";
        err = shape(net->outside, place->outside_index, rate);
        err = err ? err : shape(place->inside, place->inside_index, rate);
    }
    if (!err) {
        what = "setting the interfaces up";
        err = set_up(place->inside, LOOPBACK_INDEX);
        err = err ? err : set_up(net->outside, place->outside_index);
        err = err ? err : set_up(place->inside, place->inside_index);
        err = err ? err : wait_for_carrier(net->outside, place->outside_index);
    }
    if (!err) {
        what = "adding the routes";
        /* Where the host drops everything anyway, in silence, it is kinder to say so at once. */
        uint32_t gateway = net->options.forward ? place->ns.outside_addr : 0;
        err = add_route(place->inside, 0, 0, gateway, place->inside_index);
        err = err ? err : wall_inside(net, place);
    }
    if (err) {
        unmake(net, place);
        return say(diag, name, what, err);
    }
    place->state = READY;
    return 0;
}

/* --- pools --- */

static int check_options(const struct host_net_options *options, struct wm_diag *diag)
{
    size_t len = strlen(options->prefix);
    uint32_t base = options->base ? options->base : HOST_NET_BASE;
    if (len < 1 || len > HOST_NET_PREFIX_MAX ||
        strspn(options->prefix, "abcdefghijklmnopqrstuvwxyz0123456789") != len) {
        return wm_diag_set(diag, WM_E_USAGE,
                           "network namespaces: the prefix '%.32s' is not 1 to %d of a-z and 0-9",
                           options->prefix, HOST_NET_PREFIX_MAX);
    }
    if (options->count < 1 || options->count > HOST_NET_COUNT_MAX ||
        options->ready > options->count) {
        return wm_diag_set(diag, WM_E_USAGE,
                           "network namespaces: %u, of which %u ready, is not 1 to %d",
                           options->count, options->ready, HOST_NET_COUNT_MAX);
    }
    if ((base & 255) || base < 0x01000000u || base > 0xdfffffffu - options->count * 256) {
        return wm_diag_set(diag, WM_E_USAGE,
                           "network namespaces: %u networks from %u.%u.%u.%u on are no range of "
                           "addresses: the base ends in .0 and lies below 224.0.0.0",
                           options->count, base >> 24, base >> 16 & 255, base >> 8 & 255,
                           base & 255);
    }
    if (options->rate_bits < HOST_NET_RATE_MIN || options->rate_bits > HOST_NET_RATE_MAX) {
        return wm_diag_set(
            diag, WM_E_USAGE, "network namespaces: a rate is %u to %llu bits per second, not %llu",
            HOST_NET_RATE_MIN, HOST_NET_RATE_MAX, (unsigned long long)options->rate_bits);
    }
    return 0;
}

static int delete_leftovers(struct host_net *net)
{
    struct nl_cache *cache;
    int err = wm_fault_here(WM_FAULT_IO)
                  ? -EIO
                  : from_netlink(rtnl_link_alloc_cache(net->outside, AF_UNSPEC, &cache));
    if (err) {
        return err;
    }
    uint32_t group;
    unsigned count = 0;
    err = random_group(&group);
    for (struct nl_object *at = nl_cache_get_first(cache); at && !err; at = nl_cache_get_next(at)) {
        struct rtnl_link *link = (struct rtnl_link *)at;
        const char *type = rtnl_link_get_type(link);
        if (type && strcmp(type, "veth") == 0 && is_ours(rtnl_link_get_name(link), net->prefix)) {
            err = group_link(net->outside, rtnl_link_get_ifindex(link), group);
            count += !err;
            err = err == -ENOENT ? 0 : err; /* its namespace ended meanwhile */
        }
    }
    if (!err && count) {
        err = delete_group(net->outside, group);
        err = err == -ENOENT ? 0 : err;
    }
    nl_cache_free(cache);
    return err ? err : delete_rules(net->outside, NULL, net->prefix);
}

static int is_in_range(void *arg, uint32_t addr)
{
    const struct host_net_options *options = arg;
    return addr >= options->base && addr - options->base < options->count * 256 ? WM_E_BUSY : 0;
}

/* Two pools in one range would each get the other's packets. */
static int check_range(struct host_net *net, struct wm_diag *diag)
{
    uint32_t base = net->options.base;
    int err = for_each_address(net->outside, is_in_range, &net->options);
    if (err == WM_E_BUSY) {
        return wm_diag_set(diag, err,
                           "network namespaces %s: this host has an address among the %u networks "
                           "from %u.%u.%u.0 on already: give this node another base",
                           net->prefix, net->options.count, base >> 24, base >> 16 & 255,
                           base >> 8 & 255);
    }
    return err ? say(diag, net->prefix, "listing the host's addresses", err) : 0;
}

static int refill(struct host_net *net, struct wm_diag *diag)
{
    unsigned ready = 0;
    for (unsigned i = 0; i < net->options.count; i++) {
        ready += net->places[i].state == READY;
    }
    for (unsigned i = 0; i < net->options.count && ready < net->options.ready; i++) {
        if (net->places[i].state == EMPTY) {
            int err = make(net, i, diag);
            if (err) {
                return err;
            }
            ready++;
        }
    }
    return 0;
}

int host_net_open(const struct host_net_options *options, struct host_net **out,
                  struct wm_diag *diag)
{
    int err = check_options(options, diag);
    if (err) {
        return err;
    }
    struct host_net *net = wm_alloc_zero(1, sizeof *net);
    struct place *places = wm_alloc_zero(options->count, sizeof *places);
    if (!net || !places) {
        wm_free(net);
        wm_free(places);
        return wm_diag_set(diag, -ENOMEM, "network namespaces: %s", wm_error_text(-ENOMEM));
    }
    net->places = places;
    net->options = *options;
    net->options.base = options->base ? options->base : HOST_NET_BASE;
    snprintf(net->prefix, sizeof net->prefix, "%s", options->prefix);
    net->options.prefix = net->prefix;
    pthread_mutex_init(&net->lock, NULL);
    pthread_mutex_init(&net->ending_lock, NULL);
    for (unsigned i = 0; i < options->count; i++) {
        places[i].ns.fd = -1;
    }
    net->outside = connect_netlink(&err);
    if (!err) {
        net->ending = connect_netlink(&err);
    }
    if (err) {
        say(diag, net->prefix, "opening netlink", err);
    } else {
        err = delete_leftovers(net);
        if (err) {
            say(diag, net->prefix, "removing what an earlier node left", err);
        }
        err = err ? err : check_range(net, diag);
        err = err ? err : refill(net, diag);
    }
    if (err) {
        host_net_close(net);
        return err;
    }
    *out = net;
    return 0;
}

void host_net_close(struct host_net *net)
{
    uint32_t group;
    unsigned count = 0;
    int err = random_group(&group);
    for (unsigned i = 0; i < net->options.count && !err; i++) {
        struct place *place = &net->places[i];
        if (place->state != EMPTY && group_link(net->outside, place->outside_index, group) == 0) {
            place->state = ENDING;
            count++;
        }
    }
    bool gone = count && delete_group(net->outside, group) == 0;
    bool no_rules = net->outside && delete_rules(net->outside, NULL, net->prefix) == 0;
    for (unsigned i = 0; i < net->options.count; i++) {
        struct place *place = &net->places[i];
        if (place->state == EMPTY) {
            continue;
        }
        if (gone && place->state == ENDING) {
            place->outside_index = 0;
        }
        if (no_rules) {
            place->ns.outside_name[0] = '\0';
        }
        unmake(net, place);
    }
    if (net->outside) {
        nl_socket_free(net->outside);
    }
    if (net->ending) {
        nl_socket_free(net->ending);
    }
    pthread_mutex_destroy(&net->lock);
    pthread_mutex_destroy(&net->ending_lock);
    wm_free(net->places);
    wm_free(net);
}

int host_net_take(struct host_net *net, const struct host_netns **out, struct wm_diag *diag)
{
    struct place *found = NULL;
    int err = 0;
    pthread_mutex_lock(&net->lock);
    for (unsigned i = 0; i < net->options.count && !found; i++) {
        found = net->places[i].state == READY ? &net->places[i] : NULL;
    }
    for (unsigned i = 0; i < net->options.count && !found && !err; i++) {
        if (net->places[i].state == EMPTY) {
            err = make(net, i, diag);
            found = err ? NULL : &net->places[i];
        }
    }
    if (found) {
        found->state = TAKEN;
        *out = &found->ns;
    } else if (!err) {
        err = wm_diag_set(diag, WM_E_LIMIT,
                          "network namespaces %s: all %u are taken: allow more of them",
                          net->prefix, net->options.count);
    }
    pthread_mutex_unlock(&net->lock);
    return err;
}

static struct place *place_of(struct host_net *net, const struct host_netns *ns)
{
    struct place *place = &net->places[ns->index];
    WM_ASSERT(&place->ns == ns && place->state == TAKEN);
    return place;
}

void host_net_put(struct host_net *net, const struct host_netns *ns)
{
    pthread_mutex_lock(&net->lock);
    struct place *place = place_of(net, ns);
    place->state = ENDING;
    pthread_mutex_unlock(&net->lock);
    /* Nobody else touches an ending place, so others take and make meanwhile. */
    pthread_mutex_lock(&net->ending_lock);
    delete_veth(net->ending, place);
    pthread_mutex_unlock(&net->ending_lock);
    pthread_mutex_lock(&net->lock);
    unmake(net, place);
    pthread_mutex_unlock(&net->lock);
}

int host_net_refill(struct host_net *net, struct wm_diag *diag)
{
    pthread_mutex_lock(&net->lock);
    int err = refill(net, diag);
    pthread_mutex_unlock(&net->lock);
    return err;
}

int host_net_set_rate(struct host_net *net, const struct host_netns *ns, uint64_t rate_in,
                      uint64_t rate_out, struct wm_diag *diag)
{
    if (rate_in < HOST_NET_RATE_MIN || rate_in > HOST_NET_RATE_MAX ||
        rate_out < HOST_NET_RATE_MIN || rate_out > HOST_NET_RATE_MAX) {
        return wm_diag_set(diag, WM_E_USAGE,
                           "network namespace %s: a rate is %u to %llu bits per second",
                           ns->outside_name, HOST_NET_RATE_MIN, HOST_NET_RATE_MAX);
    }
    pthread_mutex_lock(&net->lock);
    struct place *place = place_of(net, ns);
    int err = put_class(net->outside, place->outside_index, rate_in, 0);
    if (!err) {
        place->ns.rate_in = rate_in;
        err = put_class(place->inside, place->inside_index, rate_out, 0);
    }
    if (!err) {
        place->ns.rate_out = rate_out;
    } else {
        say(diag, ns->outside_name, "changing the rate", err);
    }
    pthread_mutex_unlock(&net->lock);
    return err;
}

int host_net_local(struct wm_diag *diag)
{
    struct making making;
    int err = make_namespace(&making);
    if (err) {
        return say(diag, "(local)", "making it", err);
    }
    err = set_up(making.sock, LOOPBACK_INDEX);
    nl_socket_free(making.sock);
    if (err) {
        close(making.fd);
        return say(diag, "(local)", "setting lo up", err);
    }
    return making.fd;
}

/* A whole place, in a namespace that plays the host: nobody sees it. */
int host_net_probe(struct wm_diag *diag)
{
    struct making making;
    struct place place = {.ns.fd = -1};
    struct host_net net = {
        .options = {.base = HOST_NET_BASE, .count = 1, .rate_bits = HOST_NET_RATE_MAX},
        .prefix = "probe",
        .places = &place,
    };
    int err = make_namespace(&making);
    if (err) {
        return say(diag, "(probe)", "making it", err);
    }
    net.outside = making.sock;
    err = make(&net, 0, diag);
    if (!err) {
        unmake(&net, &place);
    }
    nl_socket_free(making.sock);
    close(making.fd);
    return err;
}

int host_net_enter(int ns_fd)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    return setns(ns_fd, CLONE_NEWNET) == 0 ? 0 : -errno;
}
