/* tier_rpc_test.c: the contract through a socket, shared regions, and hostile workers. */
#include "faaslet/tier_rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "faaslet/tier_contract.h"
#include "faaslet/tier_embedded.h"
#include "faaslet/tier_msg.h"

#define V(text) wm_view_str(text)
#define KEY(text) ((struct tier_key){V("tenant"), V(text)})
#define CONNECTIONS 6

/* A node with its embedded tier, and connections of a worker to it. */
struct link {
    struct tier_rpc_server server;
    int fd;
    pthread_t thread;
    int result;
    struct rpc_client *rpc;
    struct tier_rpc_client client;
    struct tier tier;
};

static struct {
    char root[64], path[80];
    struct kv *kv;
    struct tier embedded;
    struct tier_regions *regions;
    struct tier_shares *shares;
    struct link links[CONNECTIONS];
} node;

static int handle(void *self, struct rpc_request *request)
{
    struct link *link = self;
    return request->service == RPC_TIER ? tier_rpc_handle(&link->server, request)
                                        : WM_E_UNSUPPORTED;
}

static void *serve(void *self)
{
    struct link *link = self;
    struct rpc_transport transport;
    link->result = rpc_socket_transport(link->fd, &transport);
    if (!link->result) {
        link->result = rpc_serve(&transport, handle, link, NULL);
    }
    return NULL;
}

static bool serves(void *self, struct wm_view tenant)
{
    return wm_view_eq(wm_view_str(self), tenant);
}

static bool connect_link(struct link *link, char *tenant)
{
    int fds[2];
    struct rpc_transport transport;
    *link = (struct link){.server = {&node.embedded, tenant ? serves : NULL, tenant, node.regions}};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        return false;
    }
    link->fd = fds[1];
    if (rpc_socket_transport(fds[0], &transport) != 0 ||
        rpc_client_new(&transport, &link->rpc, NULL) != 0 ||
        pthread_create(&link->thread, NULL, serve, link) != 0) {
        return false;
    }
    tier_rpc_client_init(&link->client, link->rpc, node.shares, &link->tier);
    return true;
}

static int disconnect(struct link *link)
{
    rpc_client_free(link->rpc);
    pthread_join(link->thread, NULL);
    return link->result;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static bool start_node(void)
{
    snprintf(node.root, sizeof node.root, "/tmp/wm-tierrpc-XXXXXX");
    if (!mkdtemp(node.root)) {
        return false;
    }
    snprintf(node.path, sizeof node.path, "%s/store", node.root);
    struct kv_config kv = {node.path, 0, true};
    if (kv_open(&kv, &node.kv, NULL) != 0) {
        return false;
    }
    struct tier_embedded_config embedded = {.kv = node.kv};
    if (tier_embedded_new(&embedded, &node.embedded, NULL) != 0 ||
        tier_regions_new(3, 64 << 20, &node.regions) != 0 || tier_shares_new(&node.shares) != 0) {
        return false;
    }
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        if (!connect_link(&node.links[i], NULL)) {
            return false;
        }
    }
    return true;
}

static struct tier *tier(void)
{
    if (!node.kv && !start_node()) {
        abort();
    }
    return &node.links[0].tier;
}

TIER_CONTRACT(rpc, tier())

TEST(rpc_threads)
{
    struct tier tiers[CONNECTIONS];
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        (void)tier();
        tiers[i] = node.links[i].tier;
    }
    tier_contract_threads(tiers, CONNECTIONS, "threads");
}

/* --- Shared regions --- */

static int sealed_memfd(uint64_t bytes, unsigned seals)
{
    int fd = memfd_create("region", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && (ftruncate(fd, (off_t)bytes) != 0 || fcntl(fd, F_ADD_SEALS, seals) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

TEST(ranges_in_a_shared_region_move_without_the_socket)
{
    const uint64_t bytes = 40u << 20; /* more than one request may carry */
    const struct tier *at = tier();
    struct tier_rpc_client *client = &node.links[0].client;
    int fd = sealed_memfd(bytes, F_SEAL_SHRINK);
    uint8_t *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(fd >= 0 && map != MAP_FAILED);
    CHECK_INT(tier_rpc_share(client, 7, fd, map, bytes, NULL), ==, 0);
    for (uint64_t i = 0; i < bytes; i += 8) {
        map[i] = (uint8_t)(i >> 12);
    }
    struct tier_range whole = {0, bytes, map};
    CHECK_INT(at->ops->write(at->self, KEY("shared"), bytes, &whole, 1, 0, NULL), ==, 0);
    /* Read on another connection of the same worker: into the region, and beside it. */
    const struct tier *other = &node.links[1].tier;
    uint8_t *kept = wm_alloc(bytes), small[5] = {0};
    REQUIRE(kept != NULL);
    memcpy(kept, map, bytes);
    memset(map, 0, bytes);
    struct tier_range ranges[] = {
        {100, 1000000, map + 100}, {4096, sizeof small, small}, {3000000, 37000000, map + 3000000}};
    CHECK_INT(other->ops->read(other->self, KEY("shared"), ranges, 3, NULL), ==, 0);
    CHECK(memcmp(map + 100, kept + 100, 1000000) == 0);
    CHECK(memcmp(small, kept + 4096, sizeof small) == 0);
    CHECK(memcmp(map + 3000000, kept + 3000000, 37000000) == 0);
    CHECK_INT(map[2000000], ==, 0);
    /* Without it: in several requests. */
    CHECK_INT(tier_rpc_unshare(client, 7, NULL), ==, 0);
    memset(map, 0, bytes);
    CHECK_INT(other->ops->read(other->self, KEY("shared"), &whole, 1, NULL), ==, 0);
    CHECK(memcmp(map, kept, bytes) == 0);
    map[35u << 20] ^= 1;
    CHECK_INT(at->ops->write(at->self, KEY("shared"), bytes, &whole, 1, 0, NULL), ==, 0);
    whole = (struct tier_range){35u << 20, 1, small};
    CHECK_INT(at->ops->read(at->self, KEY("shared"), &whole, 1, NULL), ==, 0);
    CHECK_INT(small[0], ==, kept[35u << 20] ^ 1);
    CHECK_INT(tier_rpc_unshare(client, 7, NULL), ==, WM_E_NOT_FOUND);
    munmap(map, bytes);
    close(fd);
    wm_free(kept);
}

TEST(what_cannot_be_shared_safely_is_refused)
{
    struct tier_rpc_client *client = &node.links[0].client;
    struct wm_diag diag = WM_DIAG_INIT;
    static uint8_t place[4][1 << 20];
    int ok = sealed_memfd(1 << 20, F_SEAL_SHRINK), unsealed = sealed_memfd(1 << 20, 0);
    int growing = sealed_memfd(1 << 20, F_SEAL_GROW), file = open("/proc/self/exe", O_RDONLY);
    int huge = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
    if (huge >= 0) {
        CHECK(ftruncate(huge, 2 << 20) == 0 && fcntl(huge, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
        CHECK_INT(tier_rpc_share(client, 1, huge, place[0], 1 << 20, NULL), ==, WM_E_DENIED);
        close(huge);
    }
    int constant = sealed_memfd(1 << 20, F_SEAL_SHRINK | F_SEAL_WRITE);
    CHECK_INT(tier_rpc_share(client, 1, unsealed, place[0], 1 << 20, &diag), ==, WM_E_DENIED);
    CHECK_STR(diag.text, "shared region: not a memfd that is sealed against shrinking");
    CHECK_INT(tier_rpc_share(client, 1, growing, place[0], 1 << 20, NULL), ==, WM_E_DENIED);
    CHECK_INT(tier_rpc_share(client, 1, file, place[0], 1 << 20, NULL), ==, WM_E_DENIED);
    CHECK_INT(tier_rpc_share(client, 1, constant, place[0], 1 << 20, NULL), ==, -EPERM);
    CHECK_INT(tier_rpc_share(client, 1, ok, place[0], (1 << 20) + 1, NULL), ==, WM_E_INVALID);
    CHECK_INT(tier_rpc_share(client, 0, ok, place[0], 1 << 20, NULL), ==, WM_E_DENIED);
    CHECK_INT(tier_rpc_share(client, 1, ok, place[0], 0, NULL), ==, WM_E_INVALID);
    CHECK_INT(tier_rpc_share(client, 1, ok, place[0], 1 << 20, NULL), ==, 0);
    CHECK_INT(tier_rpc_share(client, 1, ok, place[1], 1 << 20, NULL), ==, -EEXIST);
    CHECK_INT(tier_rpc_share(client, 2, ok, place[0] + 5, 1 << 20, NULL), ==, -EEXIST);
    CHECK_INT(tier_rpc_share(client, 2, ok, place[1], 1 << 20, NULL), ==, 0);
    CHECK_INT(tier_rpc_share(client, 3, ok, place[2], 1 << 20, NULL), ==, 0);
    CHECK_INT(tier_rpc_share(client, 4, ok, place[3], 1 << 20, NULL), ==, WM_E_LIMIT);
    for (uint32_t id = 1; id <= 3; id++) {
        CHECK_INT(tier_rpc_unshare(client, id, NULL), ==, 0);
    }
    int large = sealed_memfd(65 << 20, F_SEAL_SHRINK);
    CHECK_INT(tier_rpc_share(client, 4, large, place[3], 65 << 20, NULL), ==, WM_E_LIMIT);
    close(ok), close(unsealed), close(growing), close(file), close(constant), close(large);
}

/* --- A worker that writes its own requests --- */

static int raw(struct link *link, const struct tier_request *request, const void *tail, size_t len,
               struct tier_reply *reply)
{
    uint8_t head[TIER_REQUEST_BYTES];
    tier_request_encode(request, head);
    struct iovec parts[] = {
        {head, sizeof head},
        {(void *)(uintptr_t)request->tenant.ptr, request->tenant.len},
        {(void *)(uintptr_t)request->key.ptr, request->key.len},
        {(void *)(uintptr_t)request->text.ptr, request->text.len},
        {(void *)(uintptr_t)request->ranges.ptr, request->ranges.len},
        {(void *)(uintptr_t)tail, len},
    };
    struct rpc_reply answer;
    int err = rpc_call(link->rpc, RPC_TIER, parts, 6, -1, &answer, NULL);
    if (err) {
        return err;
    }
    return tier_reply_decode(answer.body, reply) ? reply->code : WM_E_MALFORMED;
}

TEST(another_tenants_keys_are_out_of_reach)
{
    static char name[] = "mallory";
    struct link link;
    uint64_t bytes = 0;
    struct wm_diag diag = WM_DIAG_INIT;
    struct tier_key own = {V("mallory"), V("k")}, foreign = {V("tenant"), V("k")};
    (void)tier();
    REQUIRE(connect_link(&link, name));
    CHECK_INT(link.tier.ops->create(link.tier.self, own, 10, NULL), ==, 0);
    CHECK_INT(node.embedded.ops->create(node.embedded.self, foreign, 10, NULL), ==, 0);
    CHECK_INT(link.tier.ops->size(link.tier.self, foreign, &bytes, &diag), ==, WM_E_DENIED);
    CHECK_STR(diag.text, "state: the tenant that was named is another one");
    CHECK_INT(link.tier.ops->remove(link.tier.self, foreign, NULL), ==, WM_E_DENIED);
    struct tier_request request = {.op = TIER_OP_LIST, .tenant = V("tenant")};
    struct tier_reply reply;
    CHECK_INT(raw(&link, &request, NULL, 0, &reply), ==, WM_E_DENIED);
    request.tenant = V("");
    CHECK_INT(raw(&link, &request, NULL, 0, &reply), ==, WM_E_DENIED);
    request.tenant = V("mallory");
    CHECK_INT(raw(&link, &request, NULL, 0, &reply), ==, 0);
    CHECK_INT(node.embedded.ops->size(node.embedded.self, foreign, &bytes, NULL), ==, 0);
    CHECK_INT(disconnect(&link), ==, 0);
}

TEST(ranges_that_lie_do_no_harm)
{
    struct link *link = &node.links[2];
    struct tier_reply reply;
    struct {
        struct tier_msg_range range;
        size_t inline_bytes;
        int write_err, read_err;
    } cases[] = {
        {{0, 4, 0, 0}, 4, 0, 0},
        {{0, 4, 0, 0}, 3, WM_E_INVALID, 0},
        {{0, 4, 0, 0}, 5, WM_E_INVALID, 0},
        {{0, 4, 9, 0}, 0, WM_E_INVALID, WM_E_INVALID},    /* no such region */
        {{0, 4, 5, 4093}, 0, WM_E_INVALID, WM_E_INVALID}, /* beyond its end */
        {{0, 4, 5, UINT64_MAX - 1}, 0, WM_E_INVALID, WM_E_INVALID},
        {{0, 4, 5, 4092}, 0, 0, 0},
        {{7, 4, 5, 0}, 0, WM_E_INVALID, WM_E_INVALID}, /* beyond the value's end */
        {{0, UINT64_MAX, 0, 0}, 4, WM_E_INVALID, WM_E_LIMIT},
        {{0, UINT64_C(1) << 40, 5, 0}, 4, WM_E_INVALID, WM_E_INVALID},
        {{UINT64_MAX, 4, 0, 0}, 4, WM_E_INVALID, WM_E_INVALID},
    };
    int fd = sealed_memfd(4096, F_SEAL_SHRINK);
    CHECK_INT(tier_rpc_share(&link->client, 5, fd, &reply, 4096, NULL), ==, 0);
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        uint8_t table[TIER_RANGE_BYTES];
        tier_range_encode(&cases[i].range, table);
        struct tier_request request = {.op = TIER_OP_WRITE,
                                       .a = 10,
                                       .tenant = V("tenant"),
                                       .key = V("lies"),
                                       .range_count = 1,
                                       .ranges = wm_view_of(table, sizeof table)};
        CHECK_INT(raw(link, &request, "abcdefgh", cases[i].inline_bytes, &reply), ==,
                  cases[i].write_err);
        request.op = TIER_OP_READ;
        CHECK_INT(raw(link, &request, NULL, 0, &reply), ==, cases[i].read_err);
    }
    CHECK_INT(tier_rpc_unshare(&link->client, 5, NULL), ==, 0);
    close(fd);
}

TEST(requests_out_of_form_end_the_connection)
{
    for (unsigned i = 0; i < 8; i++) {
        struct link link;
        struct rpc_reply answer;
        uint8_t head[TIER_REQUEST_BYTES + 300] = {0};
        struct tier_request request = {.op = TIER_OP_SIZE};
        tier_request_encode(&request, head);
        size_t len = TIER_REQUEST_BYTES;
        switch (i) {
        case 0: len = TIER_REQUEST_BYTES - 1; break;
        case 1: head[0] = 0; break;
        case 2: head[0] = TIER_OPS; break;
        case 3: head[1] = 2; break;
        case 4: head[48] = 1; break;             /* a tenant that does not come */
        case 5: head[48] = 65, len += 65; break; /* one that is too long */
        case 6: head[12] = 1; break;             /* ranges that do not come */
        default: head[60] = 1; break;
        }
        (void)tier();
        REQUIRE(connect_link(&link, NULL));
        struct iovec part = {head, len};
        CHECK_INT(rpc_call(link.rpc, RPC_TIER, &part, 1, -1, &answer, NULL), ==, -EPIPE);
        CHECK_INT(disconnect(&link), ==, WM_E_MALFORMED);
    }
}

TEST(failures_of_the_client_are_errors)
{
    (void)tier();
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        bool fired = true;
        for (uint64_t n = 1; fired; n++) {
            struct link link;
            uint8_t read[4] = "";
            struct tier_range range = {0, 4, (uint8_t *)"data"};
            REQUIRE(connect_link(&link, NULL));
            int fd = sealed_memfd(4096, F_SEAL_SHRINK);
            wm_fault_arm((enum wm_fault_kind)kind, n);
            int err = link.tier.ops->write(link.tier.self, KEY("faulty"), 4, &range, 1, 0, NULL);
            range.bytes = read;
            err = err ? err : link.tier.ops->read(link.tier.self, KEY("faulty"), &range, 1, NULL);
            bool shared = !err && !(err = tier_rpc_share(&link.client, 9, fd, &read, 4096, NULL));
            fired = wm_fault_fired((enum wm_fault_kind)kind);
            wm_fault_arm((enum wm_fault_kind)kind, 0);
            CHECK_INT(err == 0, ==, !fired);
            (void)!tier_rpc_unshare(shared ? &link.client : &node.links[3].client, 9, NULL);
            if (kind == WM_FAULT_ALLOC) { /* the connection goes on */
                uint64_t bytes = 0;
                err = link.tier.ops->size(link.tier.self, KEY("faulty"), &bytes, NULL);
                CHECK(err == 0 || err == WM_E_NOT_FOUND);
                CHECK(rpc_client_usable(link.rpc));
            }
            close(fd);
            (void)disconnect(&link);
        }
    }
}

/* --- Long lists come in pages --- */

static bool count_up(void *self, struct wm_view name, uint64_t number)
{
    uint64_t *next = self;
    CHECK(number == *next && name.len == 300000);
    return ++*next < 100;
}

static bool count_keys(void *self, struct wm_view name, uint64_t number)
{
    char key[TIER_KEY_BYTES_MAX + 1];
    uint64_t *next = self;
    snprintf(key, sizeof key, "%0*llu", (int)TIER_KEY_BYTES_MAX, (unsigned long long)*next);
    CHECK(wm_view_eq_str(name, key) && number == 1);
    ++*next;
    return true;
}

TEST(pages_follow_each_other)
{
    const struct tier *at = tier();
    uint8_t *element = wm_alloc_zero(300000, 1);
    uint64_t index, next = 0;
    REQUIRE(element != NULL);
    for (unsigned i = 0; i < 10; i++) {
        CHECK_INT(
            at->ops->append(at->self, KEY("pages"), wm_view_of(element, 300000), &index, NULL), ==,
            0);
    }
    CHECK_INT(at->ops->appended(at->self, KEY("pages"), 0, UINT64_MAX, count_up, &next, NULL), ==,
              0);
    CHECK_INT(next, ==, 10);
    next = 2;
    CHECK_INT(at->ops->appended(at->self, KEY("pages"), 2, 6, count_up, &next, NULL), ==, 0);
    CHECK_INT(next, ==, 8);
    next = 0;
    char key[TIER_KEY_BYTES_MAX + 1];
    for (unsigned i = 0; i < 4500; i++) {
        snprintf(key, sizeof key, "%0*u", (int)TIER_KEY_BYTES_MAX, i);
        struct tier_key full = {V("pages"), V(key)};
        if (node.embedded.ops->create(node.embedded.self, full, 1, NULL) != 0) {
            CHECK(false);
            break;
        }
    }
    CHECK_INT(at->ops->list(at->self, V("pages"), V(""), V(""), count_keys, &next, NULL), ==, 0);
    CHECK_INT(next, ==, 4500);
    wm_free(element);
}

TEST(done)
{
    (void)tier();
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        CHECK_INT(disconnect(&node.links[i]), ==, 0);
    }
    tier_shares_free(node.shares);
    tier_regions_free(node.regions);
    node.embedded.ops->close(node.embedded.self);
    kv_close(node.kv);
    (void)nftw(node.root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    node.kv = NULL;
}

TEST_MAIN(TIER_CONTRACT_CASES(rpc), TEST_CASE(rpc_threads),
          TEST_CASE(ranges_in_a_shared_region_move_without_the_socket),
          TEST_CASE(what_cannot_be_shared_safely_is_refused),
          TEST_CASE(another_tenants_keys_are_out_of_reach), TEST_CASE(ranges_that_lie_do_no_harm),
          TEST_CASE(requests_out_of_form_end_the_connection),
          TEST_CASE(failures_of_the_client_are_errors), TEST_CASE(pages_follow_each_other),
          TEST_CASE(done))
