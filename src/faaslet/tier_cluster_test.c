/* tier_cluster_test.c: the contract on three nodes in one process, seen from each of them; who is
 * the master; and what a node that does not answer takes along. */
#include "faaslet/tier_cluster.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/test.h"
#include "faaslet/tier_contract.h"
#include "faaslet/tier_embedded.h"
#include "faaslet/tier_rpc.h"

#define V(text) wm_view_str(text)
#define KEY(text) ((struct tier_key){V("tenant"), V(text)})
#define NODES 3

static const char *const names[NODES] = {"alpha", "beta", "gamma"};

static struct node {
    char path[96];
    struct kv *kv;
    struct tier embedded, cluster;
    struct tier_rpc_server server;
} nodes[NODES];
static char root[64];
static int down = -1; /* a node that nobody reaches */
static atomic_int opened, released, unusable;

/* Each request has a connection of its own, served by a thread of its own. */
struct link {
    struct tier_rpc_server *server;
    int fd;
};

static int handle(void *self, struct rpc_request *request)
{
    return tier_rpc_handle(self, request);
}

static void *serve(void *self)
{
    struct link *link = self;
    struct rpc_transport transport;
    if (rpc_socket_transport(link->fd, &transport) == 0) {
        (void)!rpc_serve(&transport, handle, link->server, NULL);
    }
    free(link);
    return NULL;
}

static int peer(void *self, const char *name, struct rpc_client **out, struct wm_diag *diag)
{
    (void)self;
    int fds[2];
    unsigned index = 0;
    struct rpc_transport transport;
    pthread_t thread;
    while (index < NODES && strcmp(names[index], name) != 0) {
        index++;
    }
    if (index == NODES || (int)index == down) {
        return wm_diag_set(diag, -ECONNREFUSED, "peer %s: %s", name, wm_error_text(-ECONNREFUSED));
    }
    struct link *link = malloc(sizeof *link);
    if (!link || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        return -ENOMEM;
    }
    *link = (struct link){&nodes[index].server, fds[1]};
    if (pthread_create(&thread, NULL, serve, link) != 0) {
        return -ENOMEM;
    }
    pthread_detach(thread);
    atomic_fetch_add(&opened, 1);
    int err = rpc_socket_transport(fds[0], &transport);
    return err ? err : rpc_client_new(&transport, out, diag);
}

static void release(void *self, const char *name, struct rpc_client *client, bool usable)
{
    (void)self, (void)name;
    atomic_fetch_add(&released, 1);
    atomic_fetch_add(&unusable, !usable);
    rpc_client_free(client);
}

static bool start(void)
{
    snprintf(root, sizeof root, "/tmp/wm-cluster-XXXXXX");
    if (!mkdtemp(root)) {
        return false;
    }
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *node = &nodes[i];
        snprintf(node->path, sizeof node->path, "%s/%s", root, names[i]);
        struct kv_config kv = {node->path, 0, true};
        struct tier_embedded_config embedded = {0};
        if (kv_open(&kv, &node->kv, NULL) != 0) {
            return false;
        }
        embedded.kv = node->kv;
        struct tier_cluster_config config = {names, NODES, i, &node->embedded, peer, release, NULL};
        if (tier_embedded_new(&embedded, &node->embedded, NULL) != 0 ||
            tier_cluster_new(&config, &node->cluster, NULL) != 0) {
            return false;
        }
        node->server = (struct tier_rpc_server){.tier = &node->embedded};
    }
    return true;
}

static const struct tier *tier(unsigned index)
{
    if (!nodes[0].kv && !start()) {
        abort();
    }
    return &nodes[index].cluster;
}

TIER_CONTRACT(cluster, tier(1))

TEST(cluster_threads)
{
    struct tier tiers[6];
    for (unsigned i = 0; i < 6; i++) {
        tiers[i] = *tier(i % NODES);
    }
    tier_contract_threads(tiers, 6, "threads");
}

TEST(all_agree_on_the_master_and_few_keys_move)
{
    const char *const five[] = {"n1", "n2", "n3", "n4", "n5"};
    const char *const reversed[] = {"n5", "n4", "n3", "n2", "n1"};
    unsigned of[5] = {0}, moved = 0;
    for (unsigned i = 0; i < 5000; i++) {
        char text[16];
        snprintf(text, sizeof text, "key-%u", i);
        uint32_t master = tier_cluster_master(five, 5, KEY(text));
        of[master]++;
        CHECK_INT(tier_cluster_master(reversed, 5, KEY(text)), ==, 4 - master);
        uint32_t without = tier_cluster_master(five, 4, KEY(text)); /* without n5 */
        moved += master != 4 && without != master;
    }
    for (unsigned i = 0; i < 5; i++) {
        CHECK_INT(of[i], >, 850);
        CHECK_INT(of[i], <, 1150);
    }
    CHECK_INT(moved, ==, 0); /* only those of the node that left */
    /* Part of the format: nodes of different versions must agree. */
    CHECK_INT(tier_cluster_master(names, NODES, KEY("a")), ==, 2);
    CHECK_INT(tier_cluster_master(names, NODES, KEY("b")), ==, 2);
    CHECK_INT(tier_cluster_master(names, NODES, KEY("e")), ==, 0);
    CHECK_INT(tier_cluster_master(names, NODES, KEY("weights")), ==, 1);
    CHECK_INT(tier_cluster_master(names, NODES, KEY("counter")), ==, 2);
    CHECK_INT(tier_cluster_master(names, NODES, KEY("model/1")), ==, 1);
}

TEST(a_key_lies_on_its_master_only)
{
    uint64_t bytes = 0;
    CHECK_INT(tier(0)->ops->create(tier(0)->self, KEY("one"), 5, NULL), ==, 0);
    uint32_t master = tier_cluster_master(names, NODES, KEY("one"));
    for (uint32_t i = 0; i < NODES; i++) {
        struct tier *embedded = &nodes[i].embedded;
        CHECK_INT(embedded->ops->size(embedded->self, KEY("one"), &bytes, NULL), ==,
                  i == master ? 0 : WM_E_NOT_FOUND);
        CHECK_INT(tier(i)->ops->size(tier(i)->self, KEY("one"), &bytes, NULL), ==, 0);
    }
}

static bool in_order(void *self, struct wm_view key, uint64_t bytes)
{
    unsigned *next = self;
    char text[16];
    snprintf(text, sizeof text, "k%04u", (*next)++);
    CHECK(wm_view_eq_str(key, text) && bytes == *next);
    return true;
}

TEST(the_lists_of_all_nodes_are_merged)
{
    unsigned next = 0;
    for (unsigned i = 0; i < 400; i++) {
        char text[16];
        snprintf(text, sizeof text, "k%04u", i);
        struct tier_key key = {V("merged"), V(text)};
        REQUIRE(tier(0)->ops->create(tier(0)->self, key, i + 1, NULL) == 0);
    }
    CHECK_INT(tier(2)->ops->list(tier(2)->self, V("merged"), V("k"), V(""), in_order, &next, NULL),
              ==, 0);
    CHECK_INT(next, ==, 400);
}

TEST(a_node_that_is_away_takes_only_its_keys)
{
    unsigned reached = 0, refused = 0;
    struct wm_diag diag = WM_DIAG_INIT;
    (void)tier(0);
    down = 2;
    for (unsigned i = 0; i < 60; i++) {
        char text[16];
        uint64_t bytes = 0;
        snprintf(text, sizeof text, "k%04u", i);
        struct tier_key key = {V("merged"), V(text)};
        int err = tier(0)->ops->size(tier(0)->self, key, &bytes, &diag);
        if (tier_cluster_master(names, NODES, key) == 2) {
            CHECK_INT(err, ==, -EHOSTUNREACH);
            CHECK(strstr(diag.text, "node gamma does not answer: peer gamma:") != NULL);
            refused++;
        } else {
            CHECK_INT(err, ==, 0);
            reached++;
        }
    }
    CHECK_INT(reached, >, 0);
    CHECK_INT(refused, >, 0);
    unsigned next = 0;
    CHECK_INT(tier(0)->ops->list(tier(0)->self, V("merged"), V(""), V(""), in_order, &next, &diag),
              ==, -EHOSTUNREACH);
    down = -1;
    CHECK_INT(tier(0)->ops->list(tier(0)->self, V("merged"), V(""), V(""), in_order, &next, NULL),
              ==, 0);
}

TEST(names_are_checked)
{
    const char *const twice[] = {"a", "b", "a"};
    const char *const empty[] = {""};
    struct tier out;
    struct tier_cluster_config config = {twice, 3, 0, &nodes[0].embedded, peer, release, NULL};
    CHECK_INT(tier_cluster_new(&config, &out, NULL), ==, WM_E_INVALID);
    config.count = 2;
    config.own = 2;
    CHECK_INT(tier_cluster_new(&config, &out, NULL), ==, WM_E_INVALID);
    config = (struct tier_cluster_config){empty, 1, 0, &nodes[0].embedded, peer, release, NULL};
    CHECK_INT(tier_cluster_new(&config, &out, NULL), ==, WM_E_INVALID);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

TEST(done)
{
    (void)tier(0);
    CHECK_INT(atomic_load(&opened), ==, atomic_load(&released));
    CHECK_INT(atomic_load(&opened), >, 0);
    CHECK_INT(atomic_load(&unusable), ==, 0);
    usleep(50000); /* the serving threads see their connections' ends */
    for (unsigned i = 0; i < NODES; i++) {
        nodes[i].cluster.ops->close(nodes[i].cluster.self);
        nodes[i].embedded.ops->close(nodes[i].embedded.self);
        kv_close(nodes[i].kv);
    }
    (void)nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

TEST_MAIN(TIER_CONTRACT_CASES(cluster), TEST_CASE(cluster_threads),
          TEST_CASE(all_agree_on_the_master_and_few_keys_move),
          TEST_CASE(a_key_lies_on_its_master_only), TEST_CASE(the_lists_of_all_nodes_are_merged),
          TEST_CASE(a_node_that_is_away_takes_only_its_keys), TEST_CASE(names_are_checked),
          TEST_CASE(done))
