/* A batch executed again, on nothing but the pairs of the state that it touched (IA-CCF section 4,
 * its proof of wrong execution).
 *
 * The signers are bound to everything that this starts from: the requests and outputs by G, the
 * state by the root in the pre-prepare of the batch before, which lies in the ledger that they
 * signed on. Whoever executed the batch found another result than he signed, or signed a request
 * that no replica takes.
 *
 * What cannot be judged is not: a key without its proof, or a procedure that is not of this
 * program's version. So a file never blames because something was left out of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto/hash.h"
#include "crypto/merkle.h"
#include "crypto/trie_partial.h"
#include "proof/blame_internal.h"
#include "proof/client_window.h"
#include "proof/governance.h"
#include "proof/statement.h"

#define BYTES_MAX_DEFAULT (UINT64_C(256) * 1024 * 1024)
#define VERSIONS_MAX 64u /* of a built-in procedure, for telling a later one */

typedef unsigned long long number;

/* A pair as far as it is known, or as the batch has changed it. */
struct pair {
    bool used;
    ledger_hash key_hash;
    struct wm_view key, value;
    bool given;   /* `value` came with the file */
    bool written; /* it is as the batch left it: */
    bool present;
};

struct execution {
    struct blame_case *at;
    struct wm_arena arena;
    struct blame_answer answer;
    bool has_before, has_last;
    struct blame_below before;
    struct blame_last last;
    struct preprepare_claims before_claims;
    struct wm_view transactions;
    uint32_t count;
    struct transaction_item *items;
    struct request *requests;
    ledger_hash *hashes; /* of the requests */
    struct trie_partial state;
    struct pair *pairs; /* open hash table */
    uint32_t room;      /* a power of two */
    uint32_t pair_count;
};

static const struct preprepare_claims *claims_of(const struct execution *run)
{
    return &run->answer.batch.claims;
}

static uint64_t index_of(const struct execution *run, uint32_t position)
{
    return claims_of(run)->first_index + position;
}

/* They are guilty, for this reason. */
static int guilty(struct execution *run)
{
    blame_add(run->at, run->answer.signers.configuration, run->answer.signers.who);
    return 0;
}

static int no_memory(struct execution *run)
{
    return wm_diag_default(run->at->diag, -ENOMEM, "blame");
}

/* --- Reading --- */

static int malformed(struct execution *run)
{
    return cbor_diag(&run->at->parts, "parts", run->at->diag);
}

/* The entry of batch s-1 in the ledger below. */
static int read_before(struct execution *run)
{
    const struct preprepare_claims *claims = claims_of(run);
    uint8_t bytes[PREPREPARE_ENTRY_BYTES_MAX];
    struct wm_view entry;
    ledger_hash name;
    if (!run->has_before) {
        return 0;
    }
    int rc = blame_preprepare_of(run->at, run->before.header, run->before.root, &run->before_claims,
                                 name);
    if (rc != 0) {
        return rc;
    }
    blame_entry_bytes(run->before.header, run->before.root, bytes, &entry);
    if (run->before_claims.seqno + 1 != claims->seqno ||
        !blame_lies_at(entry, &run->before.place, claims->ledger_size, claims->ledger_root)) {
        return wm_diag_set(run->at->diag, WM_E_FORGED,
                           "batch %llu: the ledger below it does not have this batch before it",
                           (number)claims->seqno);
    }
    return 0;
}

/* The items, whose leaves have to give G: so they are those that were signed. */
static int read_transactions(struct execution *run)
{
    const struct preprepare_claims *claims = claims_of(run);
    struct cbor_reader reader = cbor_reader_of(run->transactions);
    uint64_t seqno;
    merkle_hash root;
    if (!transactions_get_head(&reader, &seqno, &run->count)) {
        return cbor_diag(&reader, "transactions", run->at->diag);
    }
    uint64_t hash_count = merkle_hashes(run->count);
    run->items = WM_ARENA_ARRAY(&run->arena, struct transaction_item, run->count);
    run->requests = WM_ARENA_ARRAY(&run->arena, struct request, run->count);
    run->hashes = WM_ARENA_ARRAY(&run->arena, ledger_hash, run->count);
    merkle_hash *tree = WM_ARENA_ARRAY(&run->arena, merkle_hash, hash_count);
    if (!run->items || !run->requests || !run->hashes || !tree) {
        return no_memory(run);
    }
    for (uint32_t i = 0; i < run->count; i++) {
        uint8_t bytes[TRANSACTION_BYTES_MAX];
        struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
        if (!transaction_item_get(&reader, &run->items[i])) {
            return cbor_diag(&reader, "transactions", run->at->diag);
        }
        wm_sha256_once(run->items[i].request, run->hashes[i]);
        transaction_put(&writer, index_of(run, i), run->hashes[i], &run->items[i].output);
        merkle_leaf(wm_view_of(bytes, writer.len), tree[i]);
    }
    if (!cbor_end(&reader)) {
        return cbor_diag(&reader, "transactions", run->at->diag);
    }
    wm_sha256_once(wm_view_of(NULL, 0), root);
    if (run->count > 0) {
        merkle_build(tree, run->count);
        memcpy(root, tree[hash_count - 1], sizeof root);
    }
    if (seqno != claims->seqno || run->count != claims->count ||
        memcmp(root, run->answer.batch.root, sizeof root) != 0) {
        return wm_diag_set(run->at->diag, WM_E_FORGED,
                           "batch %llu: these are not the transactions that were signed",
                           (number)claims->seqno);
    }
    return 0;
}

/* --- Requests that no replica takes --- */

/* NULL, or what is wrong with it for whoever executes it. */
static const char *check_request(struct execution *run, uint32_t position)
{
    const struct transaction_item *item = &run->items[position];
    struct request *request = &run->requests[position];
    if (request_get(item->request, request, NULL) != 0) {
        return "is not one";
    }
    const struct cose_statement *statement = &request->statement;
    if (memcmp(request->claims.service, run->at->chain->service, sizeof(ledger_hash)) != 0) {
        return "is for another service";
    }
    if (request->claims.minimum_index > index_of(run, position)) {
        return "asks for a larger index";
    }
    return statement_verify(statement, statement->payload, NULL, "request", NULL) != 0
               ? "is not signed by the client that it names"
               : NULL;
}

/* 1: judged; 0: all of them may be executed. */
static int check_requests(struct execution *run)
{
    for (uint32_t i = 0; i < run->count; i++) {
        const struct transaction_item *item = &run->items[i];
        const struct request *request = &run->requests[i];
        ledger_hash payload;
        const char *wrong = check_request(run, i);
        if (!wrong && item->has_arguments) {
            wm_sha256_once(item->arguments, payload);
            if (memcmp(payload, request->statement.payload, sizeof payload) != 0) {
                return wm_diag_set(run->at->diag, WM_E_FORGED,
                                   "transaction %llu: the arguments are not the request's",
                                   (number)index_of(run, i));
            }
            if (item->arguments.len != request->claims.arguments_len) {
                wrong = "has arguments of another length than it says";
            }
        }
        if (wrong) {
            blame_because(run->at, "batch %llu: they executed transaction %llu, whose request %s",
                          (number)claims_of(run)->seqno, (number)index_of(run, i), wrong);
            return 1;
        }
    }
    return 0;
}

/* --- What follows the batch before --- */

/* The last transaction of the batch before: was it a governance transaction, and did it make a
 * configuration? 0: it was shown. */
static int read_last(struct execution *run, bool *governance, bool *reconfigures)
{
    const struct preprepare_claims *before = &run->before_claims;
    const struct blame_last *last = &run->last;
    uint8_t bytes[TRANSACTION_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    struct request request;
    ledger_hash hash, result;
    merkle_hash leaf, root;
    wm_sha256_once(last->request, hash);
    wm_sha256_once(last->result, result);
    transaction_put(&writer, before->first_index + before->count - 1, hash, &last->output);
    merkle_leaf(wm_view_of(bytes, writer.len), leaf);
    if (before->count == 0 ||
        !merkle_path_root(leaf, before->count - 1, before->count, (const merkle_hash *)last->path,
                          last->path_len, root) ||
        memcmp(root, run->before.root, sizeof root) != 0 ||
        memcmp(result, last->output.result, sizeof result) != 0 ||
        last->result.len != last->output.result_len) {
        return wm_diag_set(run->at->diag, WM_E_FORGED,
                           "this is not the last transaction of batch %llu", (number)before->seqno);
    }
    struct governance_answer answer;
    *governance = request_get(last->request, &request, NULL) == 0 &&
                  governance_is_link(&request.claims, &last->output);
    *reconfigures =
        *governance && governance_answer_get(last->result, &answer) && answer.reconfigures;
    return 0;
}

/* What kind of batch has to follow; `kinds`: bit k, kind k may. */
static void follows(const struct preprepare_claims *before, uint32_t pipeline, bool has_last,
                    bool reconfigures, uint32_t *kinds, uint32_t *phase, uint64_t *cfg)
{
    *cfg = before->cfg;
    *phase = before->phase + 1;
    *kinds = 0;
    switch (before->kind) {
    case BATCH_NORMAL:
        /* Without its last transaction it may be either, unless it has none. */
        *kinds |= has_last && reconfigures ? 0u : 1u << BATCH_NORMAL;
        *kinds |= before->count == 0 || (has_last && !reconfigures) ? 0u : 1u << BATCH_END;
        break;
    case BATCH_END:
        *kinds = before->phase < 2 * pipeline ? 1u << BATCH_END : 1u << BATCH_START;
        if (before->phase >= 2 * pipeline) {
            *phase = 1;
            *cfg = before->cfg + 1;
        }
        break;
    case BATCH_START:
        *kinds = before->phase < pipeline ? 1u << BATCH_START : 1u << BATCH_NORMAL;
        break;
    }
}

/* Does the batch follow from the one before? Only who may have begun with that one as a checkpoint
 * did not know it; such places are left alone. */
static const char *check_succession(struct execution *run, bool governance, bool reconfigures)
{
    const struct preprepare_claims *claims = claims_of(run), *before = &run->before_claims;
    struct agreement_configurations known = chain_configurations(run->at->chain);
    const struct configuration *its = known.get(known.self, before->cfg);
    /* P batches begin a configuration, of the P of the one that ended. */
    const struct configuration *ended =
        before->kind == BATCH_START ? known.get(known.self, before->cfg - 1) : its;
    uint32_t kinds, phase;
    uint64_t cfg;
    if (!its || !ended || before->seqno % its->parameters.checkpoint_interval == 0) {
        return NULL;
    }
    if (claims->first_index != before->first_index + before->count) {
        return "its first index does not follow";
    }
    uint64_t newest = before->first_index + before->count - 1;
    bool named_last = claims->governance == newest && before->count > 0;
    bool named_older = claims->governance == before->governance;
    if (run->has_last ? !(governance ? named_last : named_older) : !named_last && !named_older) {
        return "it names another governance transaction before it";
    }
    follows(before, ended->parameters.pipeline, run->has_last, reconfigures, &kinds, &phase, &cfg);
    bool normal = claims->kind == BATCH_NORMAL;
    if (!(kinds >> claims->kind & 1) || claims->cfg != cfg || (!normal && claims->phase != phase)) {
        return "it is of another kind, phase or configuration than has to follow";
    }
    return NULL;
}

/* 1: judged; 0: it follows, or that cannot be said; negative. */
static int check_place(struct execution *run)
{
    const struct preprepare_claims *claims = claims_of(run);
    bool governance = false, reconfigures = false;
    const char *wrong = NULL;
    if (run->has_last) {
        if (!run->has_before) {
            return wm_diag_set(run->at->diag, WM_E_MALFORMED,
                               "a transaction of the batch before is there, and that is not");
        }
        int rc = read_last(run, &governance, &reconfigures);
        if (rc != 0) {
            return rc;
        }
    }
    if (claims->seqno == 1) {
        wrong = claims->first_index != 1 || claims->governance != 0 || claims->cfg != 0 ||
                        claims->kind != BATCH_NORMAL
                    ? "it does not follow from the genesis"
                    : NULL;
    } else if (run->has_before && run->answer.anchored) {
        wrong = check_succession(run, governance, reconfigures);
    }
    if (wrong) {
        blame_because(run->at, "they signed batch %llu, and %s", (number)claims->seqno, wrong);
    }
    return wrong != NULL;
}

/* --- The state --- */

static struct pair *pair_at(struct execution *run, const ledger_hash key_hash)
{
    uint32_t at;
    memcpy(&at, key_hash, sizeof at);
    for (at &= run->room - 1;; at = (at + 1) & (run->room - 1)) {
        struct pair *pair = &run->pairs[at];
        if (!pair->used || memcmp(pair->key_hash, key_hash, sizeof pair->key_hash) == 0) {
            return pair;
        }
    }
}

static int grow_pairs(struct execution *run)
{
    uint32_t old_room = run->room;
    struct pair *old = run->pairs;
    if (run->room > UINT32_MAX / 4) {
        return -ENOMEM;
    }
    struct pair *grown = WM_ARENA_ARRAY(&run->arena, struct pair, old_room ? 2 * old_room : 64);
    if (!grown) {
        return -ENOMEM;
    }
    run->pairs = grown;
    run->room = old_room ? 2 * old_room : 64;
    for (uint32_t i = 0; i < old_room; i++) {
        if (old[i].used) {
            *pair_at(run, old[i].key_hash) = old[i];
        }
    }
    return 0;
}

/* The pair of this key, made where it is new. NULL: no memory. */
static struct pair *pair_of(struct execution *run, struct wm_view key)
{
    ledger_hash key_hash;
    if (2 * run->pair_count >= run->room && grow_pairs(run) != 0) {
        return NULL;
    }
    wm_sha256_once(key, key_hash);
    struct pair *pair = pair_at(run, key_hash);
    if (!pair->used) {
        pair->used = true;
        memcpy(pair->key_hash, key_hash, sizeof pair->key_hash);
        pair->key = key;
        run->pair_count++;
    }
    return pair;
}

static int state_get(void *self, struct wm_view key, struct wm_view *value)
{
    struct execution *run = self;
    ledger_hash key_hash, proved, found;
    wm_sha256_once(key, key_hash);
    const struct pair *pair = pair_at(run, key_hash);
    if (pair->written) {
        *value = pair->value;
        return pair->present;
    }
    switch (trie_partial_get(&run->state, key_hash, proved)) {
    case TRIE_KNOWN_ABSENT: return 0;
    case TRIE_KNOWN_PRESENT:
        wm_sha256_once(pair->value, found);
        if (pair->given && memcmp(found, proved, sizeof found) == 0) {
            *value = pair->value;
            return 1;
        }
        break;
    case TRIE_UNKNOWN: break;
    }
    char text[64];
    return wm_diag_set(run->at->diag, WM_E_NOT_FOUND,
                       "the file does not show what the state has under \"%s\"",
                       wm_diag_quote(text, sizeof text, key.ptr, key.len));
}

static int state_set(struct execution *run, struct wm_view key, bool present, struct wm_view value)
{
    struct pair *pair = pair_of(run, key);
    if (!pair) {
        return -ENOMEM;
    }
    pair->written = true;
    pair->present = present;
    pair->value = value;
    return 0;
}

/* A pair of the genesis, as the state begins with it. */
static int begin_pair(void *self, struct wm_view key, struct wm_view value)
{
    struct execution *run = self;
    uint8_t *copy = wm_arena_take(&run->arena, key.len + value.len, 1);
    ledger_hash value_hash;
    if (!copy) {
        return -ENOMEM;
    }
    memcpy(copy, key.ptr, key.len);
    if (value.len > 0) {
        memcpy(copy + key.len, value.ptr, value.len);
    }
    struct pair *pair = pair_of(run, wm_view_of(copy, key.len));
    if (!pair) {
        return -ENOMEM;
    }
    pair->given = true;
    pair->value = wm_view_of(copy + key.len, value.len);
    wm_sha256_once(value, value_hash);
    return trie_partial_put(&run->state, pair->key_hash, value_hash);
}

static int read_pairs(struct execution *run)
{
    struct cbor_reader *reader = &run->at->parts;
    uint64_t count;
    if (!cbor_array(reader, &count)) {
        return malformed(run);
    }
    for (uint64_t i = 0; i < count; i++) {
        struct blame_pair read;
        if (!blame_pair_get(reader, &read)) {
            return malformed(run);
        }
        struct pair *pair = pair_of(run, read.key);
        if (!pair) {
            return no_memory(run);
        }
        pair->given = true;
        pair->value = read.value;
    }
    return 0;
}

static int read_proofs(struct execution *run)
{
    struct cbor_reader *reader = &run->at->parts;
    struct trie_proof *proof = WM_ARENA_NEW(&run->arena, struct trie_proof);
    struct state_proof *read = WM_ARENA_NEW(&run->arena, struct state_proof);
    uint64_t count;
    if (!proof || !read) {
        return no_memory(run);
    }
    if (!cbor_array(reader, &count)) {
        return malformed(run);
    }
    for (uint64_t i = 0; i < count; i++) {
        if (!state_proof_get(reader, read)) {
            return malformed(run);
        }
        proof->empty = read->empty;
        proof->path_len = read->path_len;
        memcpy(proof->key_hash, read->key_hash, sizeof proof->key_hash);
        memcpy(proof->value_hash, read->value_hash, sizeof proof->value_hash);
        for (uint32_t k = 0; k < read->path_len; k++) {
            proof->path[k].bit = read->path[k].bit;
            memcpy(proof->path[k].sibling, read->path[k].sibling, sizeof proof->path[k].sibling);
        }
        if (claims_of(run)->seqno == 1) {
            return wm_diag_set(run->at->diag, WM_E_MALFORMED,
                               "the first batch begins with the genesis, and takes no proofs");
        }
        int rc = run->has_before ? trie_partial_add(&run->state, proof, run->at->diag)
                                 : wm_diag_set(run->at->diag, WM_E_MALFORMED,
                                               "there are proofs, and not the batch before");
        if (rc != 0) {
            return wm_diag_default(run->at->diag, rc, "proof");
        }
    }
    return blame_parts_end(run->at);
}

/* The state before the batch. */
static int begin_state(struct execution *run)
{
    static const trie_hash no_pairs;
    bool first = claims_of(run)->seqno == 1;
    int rc = trie_partial_init(&run->state, &run->arena,
                               first ? no_pairs : run->before_claims.state_root);
    if (rc == 0 && grow_pairs(run) != 0) {
        rc = -ENOMEM;
    }
    if (rc == 0 && first) {
        rc = governance_begin(run->at->chain->genesis, begin_pair, run);
    }
    return rc == 0 ? 0 : wm_diag_default(run->at->diag, rc, "blame");
}

/* --- Executing --- */

/* Is this digest that of a built-in procedure of the name, in a version that there may be? */
static bool is_version_of(struct wm_view name, const ledger_hash digest)
{
    for (uint32_t version = 1; version <= VERSIONS_MAX; version++) {
        char text[16];
        ledger_hash hash;
        struct wm_sha256 state;
        (void)snprintf(text, sizeof text, ":%u", version);
        wm_sha256_init(&state);
        wm_sha256_add(&state, wm_view_str("wardmote:"));
        wm_sha256_add(&state, name);
        wm_sha256_add(&state, wm_view_str(text));
        wm_sha256_end(&state, hash);
        if (memcmp(hash, digest, sizeof hash) == 0) {
            return true;
        }
    }
    return false;
}

/* Was it executed by code that this program does not have, or has and they did not? */
static bool is_other_version(const struct request *request, const struct request_output *said,
                             const struct request_output *ours)
{
    if (said->code == PROCEDURE_DUPLICATE || ours->code == PROCEDURE_DUPLICATE) {
        return false; /* that is the ledger's own doing */
    }
    if (memcmp(said->procedure, ours->procedure, sizeof said->procedure) == 0) {
        return said->fuel_version != ours->fuel_version;
    }
    struct wm_view name = request->claims.procedure;
    return is_version_of(name, said->procedure) ||
           (said->code == PROCEDURE_UNKNOWN && !governance_is(name) &&
            is_version_of(name, ours->procedure));
}

static const char *differs(const struct request_output *said, const struct request_output *ours)
{
    return said->code != ours->code                                           ? "another end"
           : memcmp(said->procedure, ours->procedure, LEDGER_HASH_BYTES) != 0 ? "another procedure"
           : said->result_len != ours->result_len ||
                   memcmp(said->result, ours->result, LEDGER_HASH_BYTES) != 0
               ? "another result"
           : memcmp(said->reads, ours->reads, LEDGER_HASH_BYTES) != 0   ? "other reads"
           : memcmp(said->writes, ours->writes, LEDGER_HASH_BYTES) != 0 ? "other writes"
           : said->fuel_version != ours->fuel_version                   ? "another fuel version"
                                                                        : NULL;
}

/* The client's number: is it new? */
static int use_number(struct execution *run, const struct request *request, bool *duplicate)
{
    uint8_t *memory = wm_arena_take(&run->arena, CLIENT_WINDOW_KEY_BYTES + CLIENT_WINDOW_BYTES, 1);
    struct wm_view before = wm_view_of(NULL, 0);
    if (!memory) {
        return -ENOMEM;
    }
    uint8_t *after = memory + CLIENT_WINDOW_KEY_BYTES;
    struct wm_view key = wm_view_of(memory, CLIENT_WINDOW_KEY_BYTES);
    client_window_key(request->statement.key, memory);
    int rc = state_get(run, key, &before);
    if (rc < 0) {
        return rc;
    }
    *duplicate = !client_window_use(before, request->claims.number, after);
    return *duplicate ? 0 : state_set(run, key, true, wm_view_of(after, CLIENT_WINDOW_BYTES));
}

/* 1: judged; 0: as was signed; negative. */
static int execute_one(struct execution *run, uint32_t position)
{
    const struct transaction_item *item = &run->items[position];
    const struct request *request = &run->requests[position];
    const struct procedure_state state = {.self = run, .get = state_get};
    struct procedure_done done;
    bool duplicate;
    number index = index_of(run, position);
    char name[LEDGER_NAME_BYTES_MAX + 1];
    (void)wm_diag_quote(name, sizeof name, request->claims.procedure.ptr,
                        request->claims.procedure.len);
    if (!item->has_arguments) {
        return wm_diag_set(run->at->diag, WM_E_NOT_FOUND,
                           "transaction %llu: its arguments are erased", index);
    }
    int rc = use_number(run, request, &duplicate);
    if (rc == 0) {
        rc = procedure_execute(run->at->procedures, &state, request, run->hashes[position],
                               item->arguments, index, duplicate, &run->arena, &done);
    }
    if (rc != 0) {
        return wm_diag_default(run->at->diag, rc, "execution");
    }
    const char *what = differs(&item->output, &done.output);
    if (what && is_other_version(request, &item->output, &done.output)) {
        return wm_diag_set(run->at->diag, WM_E_UNSUPPORTED,
                           "transaction %llu: its procedure %s was not of the version that this "
                           "program has; ask one that has it",
                           index, name);
    }
    if (what) {
        blame_because(run->at,
                      "batch %llu: executing transaction %llu (%s) has %s than they signed",
                      (number)claims_of(run)->seqno, index, name, what);
        return 1;
    }
    for (uint32_t i = 0; i < done.write_count && rc == 0; i++) {
        const struct procedure_write *write = &done.writes[i];
        rc = state_set(run, write->key, !write->removed, write->value);
    }
    if (rc != 0) {
        return no_memory(run);
    }
    if (governance_is_link(&request->claims, &done.output) && position + 1 < run->count) {
        blame_because(run->at,
                      "batch %llu: it goes on after transaction %llu, which is one of governance",
                      (number)claims_of(run)->seqno, index);
        return 1;
    }
    return 0;
}

/* The state after the batch: 1: judged; 0: its root is as was signed; negative. */
static int check_state(struct execution *run)
{
    ledger_hash value_hash, root;
    for (uint32_t i = 0; i < run->room; i++) {
        const struct pair *pair = &run->pairs[i];
        int rc = 0;
        if (pair->used && pair->written && pair->present) {
            wm_sha256_once(pair->value, value_hash);
            rc = trie_partial_put(&run->state, pair->key_hash, value_hash);
        } else if (pair->used && pair->written) {
            rc = trie_partial_remove(&run->state, pair->key_hash);
        }
        if (rc == WM_E_NOT_FOUND) {
            char text[64];
            return wm_diag_set(run->at->diag, rc,
                               "the file does not show what the state has under \"%s\"",
                               wm_diag_quote(text, sizeof text, pair->key.ptr, pair->key.len));
        }
        if (rc != 0) {
            return no_memory(run);
        }
    }
    trie_partial_root(&run->state, root);
    if (memcmp(root, claims_of(run)->state_root, sizeof root) != 0) {
        blame_because(run->at, "batch %llu: executing it leaves another state than they signed",
                      (number)claims_of(run)->seqno);
        return 1;
    }
    return 0;
}

static int execute(struct execution *run)
{
    if (!run->at->procedures) {
        return wm_diag_set(run->at->diag, WM_E_UNSUPPORTED,
                           "executions cannot be checked here: no procedures were given");
    }
    if (!run->has_before && claims_of(run)->seqno > 1) {
        return blame_nobody(run->at, "the requests are right, and of the state nothing is shown");
    }
    int rc = 0;
    for (uint32_t i = 0; i < run->count && rc == 0; i++) {
        rc = execute_one(run, i);
    }
    if (rc == 0) {
        rc = check_state(run);
    }
    return rc != 0 ? rc
                   : blame_nobody(run->at, "executing batch %llu has the result that was signed",
                                  (number)claims_of(run)->seqno);
}

/* --- The parts --- */

/* [vouched, before / null, last / null, transactions, [* pair], [* proof]] */
static int read_parts(struct execution *run)
{
    struct cbor_reader *reader = &run->at->parts;
    int rc = blame_answer(run->at, &run->answer);
    if (rc != 0) {
        return rc;
    }
    if (!blame_maybe(reader, &run->has_before) ||
        (run->has_before && !blame_below_get(reader, &run->before)) ||
        !blame_maybe(reader, &run->has_last) ||
        (run->has_last && !blame_last_get(reader, &run->last)) ||
        !cbor_bytes(reader, &run->transactions)) {
        return malformed(run);
    }
    rc = read_before(run);
    rc = rc == 0 ? read_transactions(run) : rc;
    rc = rc == 0 ? begin_state(run) : rc;
    rc = rc == 0 ? read_pairs(run) : rc;
    return rc == 0 ? read_proofs(run) : rc;
}

int blame_execution(struct blame_case *at)
{
    struct wm_arena arena;
    wm_arena_init(&arena, at->bytes_max ? at->bytes_max : BYTES_MAX_DEFAULT);
    struct execution *run = WM_ARENA_NEW(&arena, struct execution);
    if (!run) {
        wm_arena_fini(&arena);
        return wm_diag_default(at->diag, -ENOMEM, "blame");
    }
    run->at = at;
    run->arena = arena;
    int rc = read_parts(run);
    int judged = rc == 0 ? check_requests(run) : rc;
    if (judged == 0) {
        judged = check_place(run);
    }
    if (judged == 0) {
        judged = execute(run);
    }
    if (judged > 0) {
        judged = guilty(run);
    }
    arena = run->arena;
    wm_arena_fini(&arena);
    return judged;
}
