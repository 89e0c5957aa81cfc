/* The governance chain: receipts under the configurations that came before, executed again. */
#include "proof/chain.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/hash.h"
#include "crypto/merkle.h"
#include "proof/governance.h"
#include "proof/ledger_receipt.h"
#include "proof/procedure.h"

#define BYTES_MAX_DEFAULT (UINT64_C(256) * 1024 * 1024)

static const struct configuration *configuration_of(void *self, uint64_t cfg)
{
    const struct chain *chain = self;
    return cfg < chain->configurations.count ? chain->configurations.items[cfg].configuration
                                             : NULL;
}

struct agreement_configurations chain_configurations(const struct chain *chain)
{
    return (struct agreement_configurations){.self = (void *)chain, .get = configuration_of};
}

const struct configuration *chain_configuration(const struct chain *chain)
{
    return chain->configurations.items[chain->configurations.count - 1].configuration;
}

uint64_t chain_newest(const struct chain *chain)
{
    return chain->votes.count ? chain->votes.items[chain->votes.count - 1].index : 0;
}

static int too_new(const struct chain *chain, uint64_t governance, struct wm_diag *diag)
{
    return wm_diag_set(diag, WM_E_NOT_FOUND,
                       "governance chain: it ends at index %llu, after %llu links, and what is "
                       "asked for needs what follows index %llu; fetch the rest of it",
                       (unsigned long long)chain_newest(chain), (unsigned long long)chain->links,
                       (unsigned long long)governance);
}

/* The governance transaction of this index; none of index 0 is one, too. False: there is none. */
static bool vote_of(const struct chain *chain, uint64_t index, struct chain_vote *out)
{
    *out = (struct chain_vote){0};
    for (size_t low = 0, high = chain->votes.count; index > 0;) {
        size_t middle = low + (high - low) / 2;
        if (low == high) {
            return false;
        }
        *out = chain->votes.items[middle];
        if (out->index == index) {
            break;
        }
        if (out->index < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return true;
}

int chain_covers(const struct chain *chain, const struct preprepare_claims *claims,
                 struct wm_diag *diag)
{
    struct chain_vote vote;
    if (claims->governance > chain_newest(chain)) {
        return too_new(chain, claims->governance, diag);
    }
    if (!vote_of(chain, claims->governance, &vote)) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "batch %llu: it names a governance transaction at index %llu, and there "
                           "is none",
                           (unsigned long long)claims->seqno,
                           (unsigned long long)claims->governance);
    }
    /* After a final vote the old configuration signs its end, and then the next one signs. */
    bool ends = claims->kind == BATCH_END;
    if (claims->cfg != vote.cfg + (vote.final && !ends) || (ends && !vote.final)) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "batch %llu: it is of configuration %llu, which did not sign such a "
                           "batch after the governance transaction at index %llu",
                           (unsigned long long)claims->seqno, (unsigned long long)claims->cfg,
                           (unsigned long long)claims->governance);
    }
    return claims->cfg < chain->configurations.count ? 0 : too_new(chain, claims->governance, diag);
}

int chain_receipt(const struct chain *chain, struct wm_view bytes, struct ledger_receipt_facts *out,
                  struct wm_diag *diag)
{
    struct agreement_configurations configurations = chain_configurations(chain);
    struct ledger_receipt_facts facts;
    int rc = ledger_receipt_verify(bytes, chain->service, &configurations, &facts, diag);
    if (rc != 0) {
        return rc;
    }
    rc = chain_covers(chain, &facts.quorum, diag);
    if (rc == 0) {
        rc = chain_covers(chain, &facts.batch, diag);
    }
    if (rc != 0) {
        wm_diag_prefix(diag, "receipt");
        return rc;
    }
    *out = facts;
    return 0;
}

/* --- The pairs of governance --- */

static struct chain_pair *pair_of(struct chain *chain, struct wm_view key)
{
    for (size_t i = 0; i < chain->pairs.count; i++) {
        if (wm_view_eq(chain->pairs.items[i].key, key)) {
            return &chain->pairs.items[i];
        }
    }
    return NULL;
}

static bool copy(struct chain *chain, struct wm_view bytes, struct wm_view *out)
{
    uint8_t *memory = wm_arena_take(&chain->arena, bytes.len, 1);
    if (memory && bytes.len > 0) {
        memcpy(memory, bytes.ptr, bytes.len);
    }
    *out = wm_view_of(memory, memory ? bytes.len : 0);
    return memory != NULL;
}

static int pair_put(void *self, struct wm_view key, struct wm_view value)
{
    struct chain *chain = self;
    struct chain_pair *pair = pair_of(chain, key), added;
    if (!copy(chain, value, &added.value)) {
        return WM_E_LIMIT;
    }
    if (pair) {
        pair->value = added.value;
        return 0;
    }
    return copy(chain, key, &added.key) ? wm_vec_push(&chain->pairs, added) : WM_E_LIMIT;
}

static void pair_remove(struct chain *chain, struct wm_view key)
{
    struct chain_pair *pair = pair_of(chain, key);
    if (pair) {
        *pair = chain->pairs.items[--chain->pairs.count];
    }
}

/* Links read pairs that links write, and all of those are here; and whether modules are whole,
 * which is taken for true: where one was not, the vote was refused, and is no link. */
static int pair_get(void *self, struct wm_view key, struct wm_view *value)
{
    if (governance_is_module_key(key)) {
        *value = wm_view_of(NULL, 0);
        return 1;
    }
    const struct chain_pair *pair = pair_of(self, key);
    if (!pair) {
        return 0;
    }
    *value = pair->value;
    return 1;
}

static int find(void *self, struct procedure_call *call, struct wm_view name, struct procedure *out)
{
    (void)self;
    return governance_find(call, name, out);
}

/* --- Beginning --- */

static const struct configuration *keep_configuration(struct chain *chain, struct wm_view encoded)
{
    struct configuration *kept = WM_ARENA_NEW(&chain->arena, struct configuration);
    struct wm_view own;
    if (!kept || !copy(chain, encoded, &own) || configuration_get(own, kept, NULL) != 0) {
        return NULL;
    }
    return kept;
}

int chain_begin(struct chain *chain, struct wm_view genesis, uint64_t bytes_max,
                struct wm_diag *diag)
{
    memset(chain, 0, sizeof *chain);
    wm_arena_init(&chain->arena, bytes_max ? bytes_max : BYTES_MAX_DEFAULT);
    struct genesis *read = WM_ARENA_NEW(&chain->arena, struct genesis);
    if (!read || !copy(chain, genesis, &chain->genesis_bytes)) {
        chain_fini(chain);
        return wm_diag_default(diag, -ENOMEM, "governance chain");
    }
    chain->genesis = read;
    int rc = genesis_get(chain->genesis_bytes, read, diag);
    if (rc == 0) {
        rc = governance_endorsed(&read->configuration, read->salt, diag);
        if (rc != 0) {
            wm_diag_prefix(diag, "genesis");
        }
    }
    if (rc == 0) {
        const struct chain_configuration first = {.configuration = &read->configuration};
        wm_sha256_once(genesis, chain->service);
        rc = wm_vec_push(&chain->configurations, first);
    }
    if (rc == 0) {
        rc = governance_begin(read, pair_put, chain);
    }
    if (rc != 0) {
        chain_fini(chain);
        return wm_diag_default(diag, rc, "genesis");
    }
    return 0;
}

void chain_fini(struct chain *chain)
{
    wm_vec_fini(&chain->configurations);
    wm_vec_fini(&chain->votes);
    wm_vec_fini(&chain->pairs);
    wm_arena_fini(&chain->arena);
}

/* --- Links --- */

static int not_following(struct chain *chain, struct wm_diag *diag, const char *why)
{
    return wm_diag_set(diag, WM_E_INVALID, "link %llu: %s", (unsigned long long)chain->links, why);
}

/* The leaf of the ledger that a batch's pre-prepare is. */
static void preprepare_leaf(struct wm_view header, const ledger_hash root, ledger_hash out)
{
    uint8_t bytes[PREPREPARE_ENTRY_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    struct preprepare_entry entry = {.header = header};
    memcpy(entry.root, root, sizeof entry.root);
    preprepare_entry_put(&writer, &entry);
    WM_ASSERT(cbor_fits(&writer));
    merkle_leaf(wm_view_of(bytes, writer.len), out);
}

/* What the executed transaction wrote. */
static int apply(struct chain *chain, const struct procedure_done *done,
                 const struct ledger_receipt_facts *facts)
{
    const struct configuration *made = NULL;
    struct wm_view encoded;
    int rc = 0;
    if (governance_made(done, &encoded)) {
        made = keep_configuration(chain, encoded);
        rc = made ? 0 : WM_E_LIMIT;
    }
    for (uint32_t i = 0; i < done->write_count && rc == 0; i++) {
        const struct procedure_write *write = &done->writes[i];
        if (write->removed) {
            pair_remove(chain, write->key);
        } else {
            rc = pair_put(chain, write->key, write->value);
        }
    }
    if (rc == 0) {
        const struct chain_vote vote = {facts->receipt.index, facts->batch.cfg, made != NULL};
        rc = wm_vec_push(&chain->votes, vote);
    }
    if (rc == 0 && made) {
        const struct ledger_receipt *receipt = &facts->receipt;
        chain->pending = made;
        chain->pending_seqno = facts->batch.seqno;
        preprepare_leaf(receipt->chained ? receipt->header : receipt->quorum.header,
                        facts->batch_root, chain->pending_vote);
    }
    return rc;
}

static int execute(struct chain *chain, const struct chain_link *link,
                   const struct ledger_receipt_facts *facts, struct wm_diag *diag)
{
    const struct request *request = &facts->request;
    const struct request_output *said = &facts->receipt.output;
    const struct procedure_table table = {.find = find};
    const struct procedure_state state = {.self = chain, .get = pair_get};
    struct procedure_done done;
    struct wm_arena scratch;
    ledger_hash arguments;
    wm_sha256_once(link->arguments, arguments);
    if (link->arguments.len != request->claims.arguments_len ||
        memcmp(arguments, request->statement.payload, sizeof arguments) != 0) {
        return wm_diag_set(diag, WM_E_FORGED, "link %llu: its arguments are not the request's",
                           (unsigned long long)chain->links);
    }
    wm_arena_init(&scratch, BYTES_MAX_DEFAULT);
    int rc = procedure_execute(&table, &state, request, facts->request_hash, link->arguments,
                               facts->receipt.index, false, &scratch, &done);
    if (rc != 0) {
        rc = wm_diag_default(diag, rc, "governance chain");
    } else if (done.output.code != said->code || done.output.result_len != said->result_len ||
               memcmp(done.output.result, said->result, sizeof said->result) != 0 ||
               memcmp(done.output.procedure, said->procedure, sizeof said->procedure) != 0 ||
               memcmp(done.output.reads, said->reads, sizeof said->reads) != 0 ||
               memcmp(done.output.writes, said->writes, sizeof said->writes) != 0 ||
               done.output.fuel_version != said->fuel_version ||
               !wm_view_eq(done.result, link->result)) {
        rc = wm_diag_set(diag, WM_E_FORGED,
                         "link %llu: the replicas signed another result of this governance "
                         "transaction than its execution has",
                         (unsigned long long)chain->links);
    } else {
        rc = apply(chain, &done, facts);
        rc = rc == 0 ? 0 : wm_diag_default(diag, rc, "governance chain");
    }
    wm_arena_fini(&scratch);
    return rc;
}

static int add_transaction(struct chain *chain, const struct chain_link *link, struct wm_diag *diag)
{
    struct agreement_configurations configurations = chain_configurations(chain);
    struct ledger_receipt_facts facts;
    if (chain->pending) {
        return not_following(chain, diag, "a configuration has to end before it");
    }
    int rc = ledger_receipt_verify(link->receipt, chain->service, &configurations, &facts, diag);
    if (rc != 0) {
        wm_diag_prefix(diag, "link %llu", (unsigned long long)chain->links);
        return rc;
    }
    if (!governance_is_link(&facts.request.claims, &facts.receipt.output) ||
        facts.receipt.position != facts.batch.count - 1) {
        return not_following(chain, diag, "it is not a governance transaction that ends a batch");
    }
    if (facts.batch.cfg != chain_configuration(chain)->number ||
        facts.batch.governance != chain_newest(chain) ||
        facts.receipt.index <= chain_newest(chain)) {
        return not_following(chain, diag, "it is not the governance transaction after the last");
    }
    return execute(chain, link, &facts, diag);
}

static int check_end(struct chain *chain, const struct chain_link *link,
                     struct preprepare_claims *claims, struct wm_diag *diag)
{
    const struct configuration *ending = chain_configuration(chain);
    ledger_hash name;
    uint64_t who;
    int rc;
    if (link->kind == CHAIN_ENDED) {
        return link->quorum.has_root ? agreement_quorum(chain->service, ending, &link->quorum, NULL,
                                                        claims, name, &who, diag)
                                     : not_following(chain, diag, "its quorum has no root");
    }
    if (!link->certificate.is_there) {
        return not_following(chain, diag, "it has no certificate");
    }
    rc = agreement_certificate(chain->service, ending, &link->certificate, claims, name, diag);
    return rc != 0 || claims->evidence != 0
               ? rc
               : not_following(chain, diag, "its batch holds no evidence, so nothing is committed");
}

static int add_end(struct chain *chain, const struct chain_link *link, struct wm_diag *diag)
{
    uint32_t pipeline = chain_configuration(chain)->parameters.pipeline;
    struct preprepare_claims claims;
    if (!chain->pending) {
        return not_following(chain, diag, "no final vote came before it");
    }
    int rc = check_end(chain, link, &claims, diag);
    if (rc != 0) {
        wm_diag_prefix(diag, "link %llu", (unsigned long long)chain->links);
        return rc;
    }
    if (claims.kind != BATCH_END || claims.phase < pipeline || claims.phase > 2 * pipeline ||
        claims.seqno != chain->pending_seqno + claims.phase ||
        claims.governance != chain_newest(chain)) {
        return not_following(chain, diag, "it does not end the configuration that was voted out");
    }
    struct chain_configuration next = {.configuration = chain->pending};
    memcpy(next.vote, chain->pending_vote, sizeof next.vote);
    rc = wm_vec_push(&chain->configurations, next);
    if (rc != 0) {
        return wm_diag_default(diag, rc, "governance chain");
    }
    chain->pending = NULL;
    return 0;
}

int chain_add(struct chain *chain, struct wm_view bytes, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    struct chain_link link;
    if (!chain_link_get(&reader, &link) || !cbor_end(&reader)) {
        return cbor_diag(&reader, "governance chain", diag);
    }
    int rc = link.kind == CHAIN_TRANSACTION ? add_transaction(chain, &link, diag)
                                            : add_end(chain, &link, diag);
    if (rc == 0) {
        chain->links++;
    } else {
        wm_diag_prefix(diag, "governance chain");
    }
    return rc;
}

int chain_add_all(struct chain *chain, struct wm_view links, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(links);
    struct wm_view link;
    uint64_t count;
    if (!chain_get_head(&reader, &count)) {
        return cbor_diag(&reader, "governance chain", diag);
    }
    for (uint64_t i = 0; i < count; i++) {
        if (!cbor_skip(&reader, &link)) {
            return cbor_diag(&reader, "governance chain", diag);
        }
        int rc = chain_add(chain, link, diag);
        if (rc != 0) {
            return rc;
        }
    }
    return cbor_end(&reader) ? 0 : cbor_diag(&reader, "governance chain", diag);
}
