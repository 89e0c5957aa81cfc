/* A client of four replicas on loopback, for ledger_replicas.py.
 *
 *     ledger_client make FOLDER PORT              folders 0 to 3, peers at PORT to PORT + 3
 *     ledger_client load FOLDER PORT SEED N FILE  N requests; receipts are made of replies, checked
 *                                                 and appended to FILE; clients at PORT ...
 *     ledger_client check FOLDER PORT FILE        each receipt still holds, and each replica finds
 *                                                 each transaction, at the same index */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "crypto/hash.h"
#include "ledger/init.h"
#include "proof/chain.h"
#include "proof/ledger_receipt.h"
#include "proof/statement.h"
#include "wire/client.h"

#define REPLICAS 4u
#define PATIENCE_S 60

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "ledger_client: %s: %s\n", what, why);
    exit(1);
}

static void write_file(const char *folder, const char *name, const void *bytes, size_t len)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len) {
        fail(path, strerror(errno));
    }
    close(fd);
}

static size_t read_file(const char *folder, const char *name, uint8_t *out, size_t room)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        fail(path, strerror(errno));
    }
    size_t len = fread(out, 1, room, file);
    fclose(file);
    return len;
}

/* --- make --- */

static void make(const char *folder, unsigned port)
{
    static const char *const names[REPLICAS] = {"ada", "ben", "cem", "dora"};
    static uint8_t genesis[GENESIS_BYTES_MAX];
    struct ledger_init_seat seats[REPLICAS] = {0};
    char addresses[REPLICAS][32], path[1024], text[256], pem[SIGN_PEM_BYTES];
    struct wm_diag diag = WM_DIAG_INIT;
    struct ledger_init init = {.name = wm_view_str("test"),
                               .time_s = 1,
                               .parameters = {2, 64, 256},
                               .rules = {50, 50, 50, 50},
                               .count = REPLICAS,
                               .seats = seats};
    size_t len;
    wm_random_bytes(init.salt, sizeof init.salt);
    for (uint32_t i = 0; i < REPLICAS; i++) {
        (void)snprintf(addresses[i], sizeof addresses[i], "127.0.0.1:%u", port + i);
        seats[i].member = wm_view_str(names[i]);
        seats[i].address = wm_view_str(addresses[i]);
        wm_random_bytes(seats[i].member_seed, sizeof seats[i].member_seed);
        wm_random_bytes(seats[i].replica_seed, sizeof seats[i].replica_seed);
    }
    if (ledger_init(&init, genesis, &len, &diag) != 0) {
        fail("make", wm_diag_text(&diag));
    }
    for (uint32_t i = 0; i < REPLICAS; i++) {
        uint8_t secret[32];
        (void)snprintf(path, sizeof path, "%s/%u", folder, i);
        (void)mkdir(path, 0700);
        wm_random_bytes(secret, sizeof secret);
        sign_seed_to_pem(seats[i].replica_seed, pem);
        (void)snprintf(text, sizeof text, "id: %u\npeer-listen: %s\n", i, addresses[i]);
        write_file(path, "genesis", genesis, len);
        write_file(path, "replica.key", pem, sizeof pem);
        write_file(path, "nonce.secret", secret, sizeof secret);
        write_file(path, "replica.yaml", text, strlen(text));
    }
}

/* --- Connections --- */

struct connection {
    int fd;
    uint8_t *in;
    size_t len;
};
static struct connection connections[REPLICAS];
static unsigned client_port;
static struct chain chain;

static void send_message(struct connection *to, const struct client_message *message)
{
    static uint8_t out[4 + CLIENT_MESSAGE_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(out + 4, CLIENT_MESSAGE_BYTES_MAX);
    client_message_put(&writer, message);
    WM_ASSERT(cbor_fits(&writer));
    uint32_t len = (uint32_t)writer.len;
    memcpy(out, &len, 4);
    if (to->fd >= 0 && send(to->fd, out, len + 4, MSG_NOSIGNAL) != (ssize_t)len + 4) {
        close(to->fd);
        to->fd = -1;
    }
}

static void connect_all(void)
{
    for (uint32_t i = 0; i < REPLICAS; i++) {
        struct connection *c = &connections[i];
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)(client_port + i)),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (c->in && c->fd >= 0) {
            continue;
        }
        c->in = c->in ? c->in : malloc(CLIENT_MESSAGE_BYTES_MAX + 4);
        c->len = 0;
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(c->fd, (struct sockaddr *)&at, sizeof at) != 0) {
            close(c->fd);
            c->fd = -1;
        }
    }
}

typedef void take_fn(uint32_t from, const struct client_message *message);

/* Everything that comes within so many milliseconds. */
static void receive(int ms, take_fn *take)
{
    struct pollfd polls[REPLICAS];
    for (uint32_t i = 0; i < REPLICAS; i++) {
        polls[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
    }
    if (poll(polls, REPLICAS, ms) <= 0) {
        return;
    }
    for (uint32_t i = 0; i < REPLICAS; i++) {
        struct connection *c = &connections[i];
        uint32_t len;
        if (c->fd < 0 || !polls[i].revents) {
            continue;
        }
        ssize_t got = recv(c->fd, c->in + c->len, CLIENT_MESSAGE_BYTES_MAX + 4 - c->len, 0);
        if (got <= 0) {
            close(c->fd);
            c->fd = -1;
            continue;
        }
        c->len += (size_t)got;
        while (c->len >= 4 && (memcpy(&len, c->in, 4), c->len >= 4 + (size_t)len)) {
            struct client_message message;
            struct wm_diag diag = WM_DIAG_INIT;
            if (client_message_get(wm_view_of(c->in + 4, len), &message, &diag) != 0) {
                fail("a replica's message", wm_diag_text(&diag));
            }
            take(i, &message);
            c->len -= 4 + len;
            memmove(c->in, c->in + 4 + len, c->len);
        }
    }
}

/* --- load --- */

static struct {
    ledger_hash hash;
    uint8_t request[REQUEST_BYTES_MAX];
    size_t request_len;
    bool has_rest, done;
    uint8_t header[COSE_PROTECTED_BYTES_MAX];
    ledger_hash name;
    struct client_replyx rest;
    struct client_reply replies[REPLICAS];
    bool has_reply[REPLICAS];
} now;
static FILE *receipts;

static void try_receipt(void)
{
    struct ledger_receipt receipt = {.request = wm_view_of(now.request, now.request_len),
                                     .output = now.rest.output,
                                     .index = now.rest.index,
                                     .position = now.rest.position,
                                     .path_len = now.rest.path_len};
    static uint8_t bytes[LEDGER_RECEIPT_BYTES_MAX];
    struct ledger_receipt_facts facts;
    struct agreement_configurations configurations = chain_configurations(&chain);
    struct wm_diag diag = WM_DIAG_INIT;
    uint32_t count = 0;
    if (now.done || !now.has_rest) {
        return;
    }
    memcpy(receipt.path, now.rest.path, sizeof receipt.path);
    receipt.quorum.header = now.rest.preprepare.header;
    memcpy(receipt.quorum.signature, now.rest.preprepare.signature,
           sizeof receipt.quorum.signature);
    for (uint32_t i = 0; i < REPLICAS && count < 3; i++) {
        const struct client_reply *reply = &now.replies[i];
        if (!now.has_reply[i] || memcmp(reply->preprepare, now.name, sizeof now.name) != 0) {
            continue;
        }
        count++;
        if (reply->primary) {
            receipt.quorum.has_primary_nonce = true;
            memcpy(receipt.quorum.primary_nonce, reply->nonce, sizeof reply->nonce);
        } else {
            struct quorum_share *share = &receipt.quorum.shares[receipt.quorum.count++];
            share->replica = i;
            memcpy(share->signature, reply->signature, sizeof share->signature);
            memcpy(share->nonce, reply->nonce, sizeof share->nonce);
        }
    }
    if (count < 3) {
        return;
    }
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    ledger_receipt_put(&writer, &receipt);
    WM_ASSERT(cbor_fits(&writer));
    if (ledger_receipt_verify(wm_view_of(bytes, writer.len), chain.service, &configurations, &facts,
                              &diag) != 0) {
        fail("a receipt of replies", wm_diag_text(&diag));
    }
    if (receipt.output.code != 0) {
        fail("a transaction", "was not done");
    }
    uint32_t len = (uint32_t)writer.len;
    if (fwrite(&len, 4, 1, receipts) != 1 || fwrite(bytes, len, 1, receipts) != 1) {
        fail("receipts", strerror(errno));
    }
    now.done = true;
}

static void take_found(const struct client_receipt *found)
{
    struct ledger_receipt_facts facts;
    struct agreement_configurations configurations = chain_configurations(&chain);
    struct wm_diag diag = WM_DIAG_INIT;
    if (now.done || found->receipt.len == 0 ||
        memcmp(found->request, now.hash, sizeof now.hash) != 0) {
        return;
    }
    if (ledger_receipt_verify(found->receipt, chain.service, &configurations, &facts, &diag) != 0 ||
        memcmp(facts.request_hash, now.hash, sizeof now.hash) != 0) {
        fail("a receipt that was found", wm_diag_text(&diag));
    }
    uint32_t len = (uint32_t)found->receipt.len;
    if (fwrite(&len, 4, 1, receipts) != 1 || fwrite(found->receipt.ptr, len, 1, receipts) != 1) {
        fail("receipts", strerror(errno));
    }
    now.done = true;
}

static void take_reply(uint32_t from, const struct client_message *message)
{
    if (message->kind == CLIENT_REPLY) {
        now.replies[from] = message->reply;
        now.has_reply[from] = true;
    } else if (message->kind == CLIENT_REPLYX &&
               memcmp(message->replyx.request, now.hash, sizeof now.hash) == 0) {
        now.rest = message->replyx;
        struct wm_view header = message->replyx.preprepare.header;
        memcpy(now.header, header.ptr, header.len);
        now.rest.preprepare.header = wm_view_of(now.header, header.len);
        agreement_name(header, now.rest.preprepare.payload, now.name);
        now.has_rest = true;
    } else if (message->kind == CLIENT_REFUSED &&
               message->refused.code == (uint32_t)abs(WM_E_STALE)) {
        struct client_message ask = {.kind = CLIENT_FIND};
        memcpy(ask.find.request, now.hash, sizeof now.hash);
        send_message(&connections[from], &ask);
    } else if (message->kind == CLIENT_REFUSED &&
               message->refused.code != (uint32_t)abs(WM_E_LIMIT)) {
        char text[300];
        fail("refused", wm_diag_quote(text, sizeof text, message->refused.text.ptr,
                                      message->refused.text.len));
    } else if (message->kind == CLIENT_RECEIPT) {
        take_found(&message->receipt);
    }
    try_receipt();
}

static void one(const struct sign_key *key, uint64_t number, uint32_t i)
{
    uint8_t arguments[64], claims_bytes[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(arguments, sizeof arguments);
    struct request_claims claims = {.number = number};
    struct cose_statement statement;
    ledger_hash payload;
    if (i % 2 == 0) {
        cbor_put_array(&writer, 2);
        cbor_put_bytes(&writer, wm_view_of(&number, sizeof number));
        cbor_put_bytes(&writer, wm_view_str("value"));
        claims.procedure = wm_view_str("kv.put");
    } else {
        uint64_t account;
        memcpy(&account, key->public_key, sizeof account);
        cbor_put_array(&writer, 3);
        cbor_put_uint(&writer, (account >> 24) + i);
        cbor_put_int(&writer, 100);
        cbor_put_int(&writer, 100);
        claims.procedure = wm_view_str("smallbank.create_account");
    }
    struct wm_view arguments_view = wm_view_of(arguments, writer.len);
    claims.arguments_len = (uint32_t)writer.len;
    memcpy(claims.service, chain.service, sizeof claims.service);
    wm_sha256_once(arguments_view, payload);
    writer = cbor_writer_of(claims_bytes, sizeof claims_bytes);
    request_claims_put(&writer, &claims);
    statement_sign(key, false, wm_view_of(claims_bytes, writer.len), payload, header, &statement);
    memset(&now, 0, sizeof now);
    writer = cbor_writer_of(now.request, sizeof now.request);
    cose_put_sign1(&writer, &statement);
    now.request_len = writer.len;
    wm_sha256_once(wm_view_of(now.request, now.request_len), now.hash);
    struct client_message message = {.kind = CLIENT_SUBMIT};
    message.submit.request = wm_view_of(now.request, now.request_len);
    message.submit.arguments = arguments_view;
    for (time_t end = time(NULL) + PATIENCE_S; !now.done;) {
        if (time(NULL) > end) {
            fail("a request", "no receipt came of it");
        }
        connect_all();
        for (uint32_t r = 0; r < REPLICAS; r++) {
            send_message(&connections[r], &message);
        }
        for (uint32_t turn = 0; turn < 100 && !now.done; turn++) {
            receive(10, take_reply);
        }
    }
}

static void load(const char *seed_text, uint32_t count, const char *file)
{
    uint8_t seed[SIGN_SEED_BYTES];
    struct sign_key key;
    wm_sha256_once(wm_view_str(seed_text), seed);
    sign_key_init(&key, seed);
    receipts = fopen(file, "ab");
    if (!receipts) {
        fail(file, strerror(errno));
    }
    for (uint32_t i = 0; i < count; i++) {
        one(&key, i + 1, i);
        (void)fflush(receipts);
    }
    fclose(receipts);
    printf("%u receipts\n", count);
}

/* --- check --- */

static bool found[REPLICAS];
static uint64_t wanted_index;

static void take_check(uint32_t from, const struct client_message *message)
{
    struct ledger_receipt_facts facts;
    struct agreement_configurations configurations = chain_configurations(&chain);
    struct wm_diag diag = WM_DIAG_INIT;
    if (message->kind != CLIENT_RECEIPT || message->receipt.receipt.len == 0 ||
        memcmp(message->receipt.request, now.hash, sizeof now.hash) != 0) {
        return;
    }
    if (ledger_receipt_verify(message->receipt.receipt, chain.service, &configurations, &facts,
                              &diag) != 0) {
        fail("a receipt that was found", wm_diag_text(&diag));
    }
    if (facts.receipt.index != wanted_index) {
        fail("a transaction", "has another index now");
    }
    found[from] = true;
}

static void check(const char *file)
{
    struct agreement_configurations configurations = chain_configurations(&chain);
    FILE *from = fopen(file, "rb");
    uint32_t len, count = 0;
    if (!from) {
        fail(file, strerror(errno));
    }
    while (fread(&len, 4, 1, from) == 1) {
        static uint8_t bytes[LEDGER_RECEIPT_BYTES_MAX];
        struct ledger_receipt_facts facts;
        struct wm_diag diag = WM_DIAG_INIT;
        if (len > sizeof bytes || fread(bytes, len, 1, from) != 1 ||
            ledger_receipt_verify(wm_view_of(bytes, len), chain.service, &configurations, &facts,
                                  &diag) != 0) {
            fail("a receipt", wm_diag_text(&diag));
        }
        memcpy(now.hash, facts.request_hash, sizeof now.hash);
        wanted_index = facts.receipt.index;
        memset(found, 0, sizeof found);
        struct client_message ask = {.kind = CLIENT_FIND};
        memcpy(ask.find.request, now.hash, sizeof now.hash);
        for (time_t end = time(NULL) + PATIENCE_S;
             !(found[0] && found[1] && found[2] && found[3]);) {
            if (time(NULL) > end) {
                fail("a transaction with a receipt", "is not found everywhere");
            }
            connect_all();
            for (uint32_t r = 0; r < REPLICAS; r++) {
                if (!found[r]) {
                    send_message(&connections[r], &ask);
                }
            }
            for (uint32_t turn = 0; turn < 8 && !(found[0] && found[1] && found[2] && found[3]);
                 turn++) {
                receive(25, take_check);
            }
        }
        count++;
    }
    fclose(from);
    printf("%u receipts\n", count);
}

int main(int argc, char **argv)
{
    static uint8_t genesis[GENESIS_BYTES_MAX];
    char folder[512];
    struct wm_diag diag = WM_DIAG_INIT;
    if (argc == 4 && strcmp(argv[1], "make") == 0) {
        make(argv[2], (unsigned)atoi(argv[3]));
        return 0;
    }
    if (argc < 5) {
        fprintf(stderr, "usage: ledger_client make|load|check FOLDER PORT ...\n");
        return 2;
    }
    (void)snprintf(folder, sizeof folder, "%s/0", argv[2]);
    size_t len = read_file(folder, "genesis", genesis, sizeof genesis);
    if (chain_begin(&chain, wm_view_of(genesis, len), 0, &diag) != 0) {
        fail("genesis", wm_diag_text(&diag));
    }
    client_port = (unsigned)atoi(argv[3]);
    if (argc == 7 && strcmp(argv[1], "load") == 0) {
        load(argv[4], (uint32_t)atoi(argv[5]), argv[6]);
    } else {
        check(argv[4]);
    }
    chain_fini(&chain);
    return 0;
}
