/* Blame, from the signatures upwards. Every kind first finds its parts genuine, then that they
 * contradict each other or a rule; so an honest replica's statements can be put into any file, and
 * the worst that comes of it is that nobody is to blame. */
#include "proof/blame.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/hash.h"
#include "crypto/merkle.h"
#include "proof/blame_internal.h"
#include "proof/statement.h"

typedef unsigned long long number;

/* --- Verdicts --- */

int blame_nobody(struct blame_case *at, const char *format, ...)
{
    char text[WM_DIAG_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return wm_diag_set(at->diag, WM_E_INVALID, "nobody is to blame: %s", text);
}

void blame_because(struct blame_case *at, const char *format, ...)
{
    char text[WM_DIAG_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)wm_diag_set(&at->verdict->reason, 0, "%s", text);
}

static bool is_blamed(const struct blame_verdict *verdict, const ledger_key key)
{
    for (uint32_t i = 0; i < verdict->count; i++) {
        if (memcmp(verdict->blamed[i].replica->key, key, LEDGER_KEY_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static const struct ledger_member *member_of(const struct configuration *configuration, uint32_t id)
{
    uint32_t i = 0;
    while (i < configuration->member_count && configuration->members[i].id != id) {
        i++;
    }
    WM_ASSERT(i < configuration->member_count); /* the reader of configurations saw to it */
    return &configuration->members[i];
}

void blame_add(struct blame_case *at, const struct configuration *configuration, uint64_t who)
{
    struct blame_verdict *verdict = at->verdict;
    for (uint32_t i = 0; i < configuration->replica_count; i++) {
        const struct ledger_replica *replica = &configuration->replicas[i];
        if ((who >> i & 1) && !is_blamed(verdict, replica->key) &&
            verdict->count < LEDGER_REPLICAS_MAX) {
            verdict->blamed[verdict->count++] =
                (struct blamed){.cfg = configuration->number,
                                .position = i,
                                .replica = replica,
                                .member = member_of(configuration, replica->member)};
        }
    }
}

/* Those of `b` whose keys are among those of `a`: positions in b. */
static uint64_t in_both(const struct blame_batch *a, const struct blame_batch *b)
{
    uint64_t both = 0;
    for (uint32_t i = 0; i < b->configuration->replica_count; i++) {
        for (uint32_t j = 0; (b->who >> i & 1) && j < a->configuration->replica_count; j++) {
            if ((a->who >> j & 1) &&
                memcmp(a->configuration->replicas[j].key, b->configuration->replicas[i].key,
                       LEDGER_KEY_BYTES) == 0) {
                both |= UINT64_C(1) << i;
            }
        }
    }
    return both;
}

/* --- Genuine parts --- */

static int malformed(struct blame_case *at)
{
    return cbor_diag(&at->parts, "parts", at->diag);
}

int blame_parts_end(struct blame_case *at)
{
    return cbor_end(&at->parts) ? 0 : malformed(at);
}

static int configuration_of(struct blame_case *at, uint64_t cfg, const struct configuration **out)
{
    struct agreement_configurations configurations = chain_configurations(at->chain);
    *out = configurations.get(configurations.self, cfg);
    return *out ? 0
                : wm_diag_set(at->diag, WM_E_NOT_FOUND,
                              "a statement is of configuration %llu, which the governance chain in "
                              "the file does not reach; it takes a file with the rest of it",
                              (number)cfg);
}

static int header_of(struct blame_case *at, struct wm_view header, struct cose_statement *out)
{
    return cose_header(header, out)
               ? 0
               : wm_diag_set(at->diag, WM_E_MALFORMED, "a statement's header is not one");
}

int blame_check_signatures(struct blame_case *at, const struct certificate *signatures,
                           struct blame_batch *out)
{
    const struct statement_parts *preprepare = &signatures->preprepare;
    struct cose_statement statement;
    if (!signatures->is_there) {
        return wm_diag_set(at->diag, WM_E_MALFORMED, "signatures: there are none");
    }
    int rc = header_of(at, preprepare->header, &statement);
    if (rc == 0) {
        rc = preprepare_claims_get(statement.claims, &out->claims, at->diag);
    }
    if (rc == 0) {
        rc = configuration_of(at, out->claims.cfg, &out->configuration);
    }
    if (rc == 0) {
        rc = agreement_preprepare(at->chain->service, out->configuration, preprepare->header,
                                  preprepare->payload, preprepare->signature, &out->claims,
                                  out->name, at->diag);
    }
    if (rc != 0) {
        return rc;
    }
    memcpy(out->root, preprepare->payload, sizeof out->root);
    uint32_t primary = agreement_primary(out->claims.view, out->configuration->replica_count);
    out->who = UINT64_C(1) << primary;
    for (uint32_t i = 0; i < signatures->count; i++) {
        const struct certificate_prepare *prepare = &signatures->prepares[i];
        if (prepare->replica == primary ||
            !agreement_prepared_by(at->chain->service, out->configuration, &out->claims, out->name,
                                   out->root, prepare->replica, prepare->commitment,
                                   prepare->signature)) {
            return wm_diag_set(at->diag, WM_E_FORGED,
                               "batch %llu: the prepare at position %u is not one of that replica",
                               (number)out->claims.seqno, prepare->replica);
        }
        out->who |= UINT64_C(1) << prepare->replica;
    }
    return 0;
}

int blame_batch(struct blame_case *at, struct blame_batch *out)
{
    struct certificate signatures;
    return certificate_get(&at->parts, &signatures) ? blame_check_signatures(at, &signatures, out)
                                                    : malformed(at);
}

void blame_entry_bytes(struct wm_view header, const ledger_hash root,
                       uint8_t bytes[PREPREPARE_ENTRY_BYTES_MAX], struct wm_view *out)
{
    struct cbor_writer writer = cbor_writer_of(bytes, PREPREPARE_ENTRY_BYTES_MAX);
    struct preprepare_entry entry = {.header = header};
    memcpy(entry.root, root, sizeof entry.root);
    preprepare_entry_put(&writer, &entry);
    WM_ASSERT(cbor_fits(&writer)); /* the reader bounds the header */
    *out = wm_view_of(bytes, writer.len);
}

static bool leaf_lies_at(const ledger_hash leaf, const struct blame_place *place, uint64_t size,
                         const ledger_hash root)
{
    merkle_hash found;
    return merkle_path_root(leaf, place->leaf, size, (const merkle_hash *)place->path,
                            place->path_len, found) &&
           memcmp(found, root, sizeof found) == 0;
}

bool blame_lies_at(struct wm_view entry, const struct blame_place *place, uint64_t size,
                   const ledger_hash root)
{
    merkle_hash leaf;
    merkle_leaf(entry, leaf);
    return leaf_lies_at(leaf, place, size, root);
}

bool blame_is_anchored(const struct blame_case *at, uint64_t cfg, const struct blame_place *anchor,
                       uint64_t size, const ledger_hash root)
{
    return cfg > 0 && cfg < at->chain->configurations.count &&
           leaf_lies_at(at->chain->configurations.items[cfg].vote, anchor, size, root);
}

int blame_preprepare_of(struct blame_case *at, struct wm_view header, const ledger_hash root,
                        struct preprepare_claims *claims, ledger_hash name)
{
    struct cose_statement statement;
    int rc = header_of(at, header, &statement);
    if (rc == 0) {
        rc = preprepare_claims_get(statement.claims, claims, at->diag);
    }
    if (rc == 0) {
        agreement_name(header, root, name);
    }
    return rc;
}

/* The entry of a batch in the ledger of another. */
static int below_of(struct blame_case *at, const struct blame_below *below,
                    const struct preprepare_claims *above, struct preprepare_claims *claims,
                    ledger_hash name)
{
    uint8_t bytes[PREPREPARE_ENTRY_BYTES_MAX];
    struct wm_view entry;
    int rc = blame_preprepare_of(at, below->header, below->root, claims, name);
    if (rc != 0) {
        return rc;
    }
    blame_entry_bytes(below->header, below->root, bytes, &entry);
    if (!blame_lies_at(entry, &below->place, above->ledger_size, above->ledger_root)) {
        return wm_diag_set(at->diag, WM_E_FORGED,
                           "batch %llu: it is not in the ledger of batch %llu",
                           (number)claims->seqno, (number)above->seqno);
    }
    return 0;
}

/* The anchor of the ledger that a batch stands on. */
static int check_anchor(struct blame_case *at, const struct preprepare_claims *claims,
                        const struct blame_place *anchor, bool *anchored)
{
    *anchored =
        blame_is_anchored(at, claims->cfg, anchor, claims->ledger_size, claims->ledger_root);
    return *anchored ? 0
                     : wm_diag_set(at->diag, WM_E_FORGED,
                                   "batch %llu: its ledger does not have the chain's final vote "
                                   "where the file says",
                                   (number)claims->seqno);
}

/* Whoever signed a later batch answers for this one only if he has executed it: so not across a
 * place where one can begin with a checkpoint, which are the multiples of C. */
static int check_below(struct blame_case *at, const struct preprepare_claims *batch,
                       const struct blame_batch *signers, bool anchored)
{
    uint64_t interval = signers->configuration->parameters.checkpoint_interval;
    const char *why = NULL;
    if (batch->cfg != signers->claims.cfg) {
        why = "those who signed are of another configuration";
    } else if (!anchored) {
        why = "that the ledger has this configuration of the chain is not shown";
    } else if (batch->seqno >= signers->claims.seqno ||
               (batch->seqno - 1) / interval != (signers->claims.seqno - 1) / interval) {
        why = "who signed the later one may have begun with a checkpoint between the two";
    }
    return why ? blame_nobody(at, "batch %llu, by way of batch %llu: %s", (number)batch->seqno,
                              (number)signers->claims.seqno, why)
               : 0;
}

int blame_answer(struct blame_case *at, struct blame_answer *out)
{
    struct blame_vouched vouched;
    if (!blame_vouched_get(&at->parts, &vouched)) {
        return malformed(at);
    }
    int rc = blame_check_signatures(at, &vouched.signatures, &out->signers);
    if (rc != 0) {
        return rc;
    }
    const struct preprepare_claims *signed_claims = &out->signers.claims;
    out->anchored = signed_claims->cfg == 0;
    if (vouched.has_anchor) {
        rc = check_anchor(at, signed_claims, &vouched.anchor, &out->anchored);
    }
    out->batch = out->signers;
    if (rc != 0 || !vouched.has_below) {
        return rc;
    }
    struct preprepare_claims claims;
    rc = below_of(at, &vouched.below, signed_claims, &claims, out->batch.name);
    if (rc == 0) {
        rc = check_below(at, &claims, &out->signers, out->anchored);
    }
    if (rc == 0) {
        rc = agreement_preprepare(at->chain->service, out->signers.configuration,
                                  vouched.below.header, vouched.below.root, NULL,
                                  &out->batch.claims, out->batch.name, at->diag);
    }
    memcpy(out->batch.root, vouched.below.root, sizeof out->batch.root);
    return rc;
}

/* --- Statements one by one --- */

struct spoken {
    const struct configuration *configuration;
    uint64_t cfg, view, seqno;
    uint32_t position;
    ledger_hash preprepare, commitment;
};

static int spoken_prepare(struct blame_case *at, const struct statement_parts *parts,
                          const struct cose_statement *statement, struct spoken *out)
{
    struct prepare_claims claims;
    int rc = prepare_claims_get(statement->claims, &claims, at->diag);
    if (rc == 0) {
        rc = configuration_of(at, claims.cfg, &out->configuration);
    }
    if (rc != 0) {
        return rc;
    }
    const struct preprepare_claims place = {
        .cfg = claims.cfg, .view = claims.view, .seqno = claims.seqno};
    uint8_t bytes[COSE_PROTECTED_BYTES_MAX];
    struct wm_view header = wm_view_of(NULL, 0);
    if (claims.replica < out->configuration->replica_count) {
        agreement_prepare_header(at->chain->service, &place, claims.preprepare, claims.replica,
                                 out->configuration->replicas[claims.replica].key,
                                 claims.commitment, bytes, &header);
    }
    if (!wm_view_eq(header, parts->header) ||
        !agreement_prepared_by(at->chain->service, out->configuration, &place, claims.preprepare,
                               parts->payload, claims.replica, claims.commitment,
                               parts->signature)) {
        return wm_diag_set(at->diag, WM_E_FORGED,
                           "prepare of batch %llu: it is not one of the replica at position %u of "
                           "configuration %llu",
                           (number)claims.seqno, claims.replica, (number)claims.cfg);
    }
    out->cfg = claims.cfg;
    out->view = claims.view;
    out->seqno = claims.seqno;
    out->position = claims.replica;
    memcpy(out->preprepare, claims.preprepare, sizeof out->preprepare);
    memcpy(out->commitment, claims.commitment, sizeof out->commitment);
    return 0;
}

static int spoken_preprepare(struct blame_case *at, const struct statement_parts *parts,
                             struct spoken *out)
{
    const struct certificate alone = {.is_there = true, .preprepare = *parts};
    struct blame_batch batch;
    int rc = blame_check_signatures(at, &alone, &batch);
    if (rc != 0) {
        return rc;
    }
    out->configuration = batch.configuration;
    out->cfg = batch.claims.cfg;
    out->view = batch.claims.view;
    out->seqno = batch.claims.seqno;
    out->position = agreement_primary(batch.claims.view, batch.configuration->replica_count);
    memcpy(out->preprepare, batch.name, sizeof out->preprepare);
    memcpy(out->commitment, batch.claims.commitment, sizeof out->commitment);
    return 0;
}

/* A pre-prepare or a prepare. */
static int spoken_get(struct blame_case *at, struct spoken *out)
{
    struct statement_parts parts;
    struct cose_statement statement;
    uint64_t items, type;
    if (!blame_statement_get(&at->parts, &parts)) {
        return malformed(at);
    }
    int rc = header_of(at, parts.header, &statement);
    if (rc != 0) {
        return rc;
    }
    struct cbor_reader claims = cbor_reader_of(statement.claims);
    if (cbor_array(&claims, &items) && cbor_uint(&claims, &type) && type == COSE_TYPE_PREPARE) {
        return spoken_prepare(at, &parts, &statement, out);
    }
    return spoken_preprepare(at, &parts, out);
}

static const uint8_t *key_of(const struct spoken *spoken)
{
    return spoken->configuration->replicas[spoken->position].key;
}

/* --- The kinds that are about signatures alone --- */

/* C1: a replica signs one batch for each place. */
static int equivocation(struct blame_case *at)
{
    struct spoken a, b;
    int rc = spoken_get(at, &a);
    if (rc == 0) {
        rc = spoken_get(at, &b);
    }
    if (rc == 0) {
        rc = blame_parts_end(at);
    }
    if (rc != 0) {
        return rc;
    }
    if (memcmp(key_of(&a), key_of(&b), LEDGER_KEY_BYTES) != 0) {
        return blame_nobody(at, "the two statements are by different replicas");
    }
    if (a.cfg != b.cfg || a.view != b.view || a.seqno != b.seqno) {
        return blame_nobody(at, "the two statements are for different places");
    }
    if (memcmp(a.preprepare, b.preprepare, sizeof a.preprepare) == 0) {
        return blame_nobody(at, "both statements are for the same batch");
    }
    blame_add(at, a.configuration, UINT64_C(1) << a.position);
    blame_because(at,
                  "it signed two different batches for one place: configuration %llu, view %llu, "
                  "batch %llu",
                  (number)a.cfg, (number)a.view, (number)a.seqno);
    return 0;
}

static int two_batches(struct blame_case *at, struct blame_batch *a, struct blame_batch *b)
{
    int rc = blame_batch(at, a);
    return rc == 0 ? blame_batch(at, b) : rc;
}

/* Blames those who signed both. */
static int signed_both(struct blame_case *at, const struct blame_batch *a,
                       const struct blame_batch *b)
{
    uint64_t both = in_both(a, b);
    if (both == 0) {
        return blame_nobody(at, "no replica signed both batches");
    }
    blame_add(at, b->configuration, both);
    return 0;
}

/* C1, of all who signed both. */
static int fork_of(struct blame_case *at)
{
    struct blame_batch a, b;
    int rc = two_batches(at, &a, &b);
    if (rc == 0) {
        rc = blame_parts_end(at);
    }
    if (rc != 0) {
        return rc;
    }
    if (a.claims.cfg != b.claims.cfg || a.claims.view != b.claims.view ||
        a.claims.seqno != b.claims.seqno) {
        return blame_nobody(at, "the two batches are for different places");
    }
    if (memcmp(a.name, b.name, sizeof a.name) == 0) {
        return blame_nobody(at, "both are the same batch");
    }
    blame_because(at,
                  "they signed two different batches for one place: configuration %llu, view %llu, "
                  "batch %llu",
                  (number)a.claims.cfg, (number)a.claims.view, (number)a.claims.seqno);
    return signed_both(at, &a, &b);
}

/* C1': in one view a replica signs only on top of what it has signed in it. */
static int implicit(struct blame_case *at)
{
    struct blame_batch a, b;
    struct blame_below below;
    struct preprepare_claims claims;
    ledger_hash name;
    int rc = two_batches(at, &a, &b);
    if (rc != 0) {
        return rc;
    }
    if (!blame_below_get(&at->parts, &below)) {
        return malformed(at);
    }
    rc = blame_parts_end(at);
    if (rc == 0) {
        rc = below_of(at, &below, &b.claims, &claims, name);
    }
    if (rc != 0) {
        return rc;
    }
    if (a.claims.view != b.claims.view || b.claims.seqno <= a.claims.seqno) {
        return blame_nobody(at, "the second batch is not a later one of the same view");
    }
    if (claims.seqno != a.claims.seqno) {
        return blame_nobody(at, "the entry is of batch %llu, and not of batch %llu",
                            (number)claims.seqno, (number)a.claims.seqno);
    }
    if (memcmp(name, a.name, sizeof name) == 0) {
        return blame_nobody(at, "the second batch stands on the first one");
    }
    blame_because(at,
                  "in view %llu they signed batch %llu, and then batch %llu on a ledger that has "
                  "another batch %llu",
                  (number)a.claims.view, (number)a.claims.seqno, (number)b.claims.seqno,
                  (number)a.claims.seqno);
    return signed_both(at, &a, &b);
}

/* C3: who opened a nonce has a top that is not below it, for ever. */
static int rollback(struct blame_case *at)
{
    struct spoken spoken;
    struct statement_parts parts;
    struct cose_statement statement;
    struct statement_signed covered;
    struct viewchange_claims change;
    const struct configuration *configuration;
    ledger_nonce nonce;
    ledger_hash commitment;
    int rc = spoken_get(at, &spoken);
    if (rc != 0) {
        return rc;
    }
    if (!cbor_bytes_of(&at->parts, nonce, sizeof nonce) ||
        !blame_statement_get(&at->parts, &parts) || !cbor_end(&at->parts)) {
        return malformed(at);
    }
    rc = header_of(at, parts.header, &statement);
    if (rc == 0) {
        rc = viewchange_claims_get(statement.claims, &change, at->diag);
    }
    if (rc == 0) {
        rc = configuration_of(at, change.cfg, &configuration);
    }
    if (rc != 0) {
        return rc;
    }
    statement_signed_bytes(parts.header, parts.payload, &covered);
    if (statement.tree || change.replica >= configuration->replica_count ||
        memcmp(change.service, at->chain->service, sizeof change.service) != 0 ||
        memcmp(statement.key, configuration->replicas[change.replica].key, LEDGER_KEY_BYTES) != 0 ||
        !sign_verify(statement.key, wm_view_of(covered.bytes, covered.len), parts.signature)) {
        return wm_diag_set(at->diag, WM_E_FORGED,
                           "view-change to view %llu: it is not one of the replica at position %u "
                           "of configuration %llu",
                           (number)change.view, change.replica, (number)change.cfg);
    }
    wm_sha256_once(wm_view_of(nonce, sizeof nonce), commitment);
    if (memcmp(commitment, spoken.commitment, sizeof commitment) != 0) {
        return wm_diag_set(at->diag, WM_E_FORGED,
                           "batch %llu: the nonce does not open the commitment",
                           (number)spoken.seqno);
    }
    if (memcmp(key_of(&spoken), statement.key, LEDGER_KEY_BYTES) != 0) {
        return blame_nobody(at, "the nonce and the view-change are of different replicas");
    }
    if (change.view <= spoken.view) {
        return blame_nobody(at, "the view-change is not to a later view than the batch's");
    }
    bool same_place =
        change.has_top && change.top_view == spoken.view && change.top_seqno == spoken.seqno;
    bool above =
        change.has_top && (change.top_view > spoken.view ||
                           (change.top_view == spoken.view && change.top_seqno > spoken.seqno));
    if (above || (same_place && memcmp(change.top, spoken.preprepare, sizeof change.top) == 0)) {
        return blame_nobody(at, "the view-change names a top that is not below the batch");
    }
    blame_add(at, spoken.configuration, UINT64_C(1) << spoken.position);
    blame_because(
        at,
        "it opened its nonce for batch %llu of view %llu, which it had prepared then, and "
        "left for view %llu with %s",
        (number)spoken.seqno, (number)spoken.view, (number)change.view,
        same_place       ? "another batch in its place"
        : change.has_top ? "a smaller one as its newest"
                         : "none");
    return 0;
}

/* G: in one view a configuration ends after one final vote. */
static int governance(struct blame_case *at)
{
    struct blame_batch a, b;
    int rc = two_batches(at, &a, &b);
    if (rc == 0) {
        rc = blame_parts_end(at);
    }
    if (rc != 0) {
        return rc;
    }
    if (a.claims.kind != BATCH_END || b.claims.kind != BATCH_END) {
        return blame_nobody(at, "not both batches are of the end of a configuration");
    }
    if (a.claims.cfg != b.claims.cfg || a.claims.view != b.claims.view) {
        return blame_nobody(at, "the two batches are of different configurations or views");
    }
    if (a.claims.seqno - a.claims.phase == b.claims.seqno - b.claims.phase &&
        memcmp(a.claims.committed_root, b.claims.committed_root, sizeof(ledger_hash)) == 0) {
        return blame_nobody(at, "both batches are after the same final vote");
    }
    blame_because(
        at,
        "in view %llu they ended configuration %llu after a final vote in batch %llu, and "
        "after another one in batch %llu",
        (number)a.claims.view, (number)a.claims.cfg, (number)(a.claims.seqno - a.claims.phase),
        (number)(b.claims.seqno - b.claims.phase));
    return signed_both(at, &a, &b);
}

/* C7: a request is not given a smaller index than it asks for. */
static int index_rule(struct blame_case *at)
{
    struct agreement_configurations configurations = chain_configurations(at->chain);
    struct ledger_receipt_facts facts;
    struct blame_batch signers = {0};
    struct blame_place anchor;
    struct request request;
    struct wm_view bytes;
    bool has_anchor;
    if (!cbor_bytes(&at->parts, &bytes) || !blame_maybe(&at->parts, &has_anchor) ||
        (has_anchor && !blame_place_get(&at->parts, &anchor)) || !cbor_end(&at->parts)) {
        return malformed(at);
    }
    int rc = ledger_receipt_committed(bytes, at->chain->service, &configurations, &facts, at->diag);
    if (rc == 0) {
        rc = request_get(facts.receipt.request, &request, at->diag);
    }
    if (rc == 0) {
        rc = configuration_of(at, facts.quorum.cfg, &signers.configuration);
    }
    if (rc != 0) {
        return rc;
    }
    if (request.claims.minimum_index <= facts.receipt.index) {
        return blame_nobody(at, "the request asks for an index of at least %llu, and has %llu",
                            (number)request.claims.minimum_index, (number)facts.receipt.index);
    }
    signers.claims = facts.quorum;
    signers.who = facts.who | UINT64_C(1) << agreement_primary(
                                  facts.quorum.view, signers.configuration->replica_count);
    bool anchored = signers.claims.cfg == 0;
    if (has_anchor) {
        rc = check_anchor(at, &signers.claims, &anchor, &anchored);
    }
    if (rc == 0 && facts.receipt.chained) {
        rc = check_below(at, &facts.batch, &signers, anchored);
    }
    if (rc != 0) {
        return rc;
    }
    blame_add(at, signers.configuration, signers.who);
    blame_because(
        at, "batch %llu: they gave index %llu to a request that asks for one of at least %llu",
        (number)facts.batch.seqno, (number)facts.receipt.index,
        (number)request.claims.minimum_index);
    return 0;
}

/* --- The file --- */

static int judge(struct blame_case *at, enum blame_kind kind)
{
    /* Items of the file's list of parts. */
    static const uint8_t parts_of[] = {
        [BLAME_EQUIVOCATION] = 2, [BLAME_FORK] = 2,  [BLAME_IMPLICIT] = 3,   [BLAME_ROLLBACK] = 3,
        [BLAME_EXECUTION] = 6,    [BLAME_INDEX] = 2, [BLAME_GOVERNANCE] = 2,
    };
    if (kind == BLAME_NEW_VIEW ? at->part_count != 2 && at->part_count != 3
                               : at->part_count != parts_of[kind]) {
        return wm_diag_set(at->diag, WM_E_MALFORMED, "it does not have as many parts as its kind");
    }
    switch (kind) {
    case BLAME_EQUIVOCATION: return equivocation(at);
    case BLAME_FORK: return fork_of(at);
    case BLAME_IMPLICIT: return implicit(at);
    case BLAME_ROLLBACK: return rollback(at);
    case BLAME_NEW_VIEW: return blame_new_view(at);
    case BLAME_EXECUTION: return blame_execution(at);
    case BLAME_INDEX: return index_rule(at);
    case BLAME_GOVERNANCE: return governance(at);
    }
    return wm_diag_set(at->diag, WM_E_UNSUPPORTED, "this kind is not known here");
}

int blame_verify(struct wm_view bytes, struct wm_view genesis,
                 const struct procedure_table *procedures, uint64_t bytes_max,
                 struct blame_verdict *verdict, struct wm_diag *diag)
{
    struct blame blame;
    int rc = blame_get(bytes, &blame, diag);
    if (rc != 0) {
        return rc;
    }
    memset(verdict, 0, sizeof *verdict);
    rc = chain_begin(&verdict->chain, genesis, bytes_max, diag);
    if (rc != 0) {
        return rc;
    }
    if (memcmp(blame.service, verdict->chain.service, sizeof blame.service) != 0) {
        rc = wm_diag_set(diag, WM_E_INVALID, "it is of another service than this genesis'");
    }
    if (rc == 0) {
        rc = chain_add_all(&verdict->chain, blame.chain, diag);
    }
    if (rc == 0) {
        struct blame_case at = {.chain = &verdict->chain,
                                .procedures = procedures,
                                .bytes_max = bytes_max,
                                .parts = cbor_reader_of(blame.encoded),
                                .part_count = blame.parts,
                                .verdict = verdict,
                                .diag = diag};
        verdict->kind = blame.kind;
        rc = judge(&at, blame.kind);
        WM_ASSERT(rc != 0 || verdict->count > 0);
    }
    if (rc != 0) {
        chain_fini(&verdict->chain);
        (void)wm_diag_default(diag, rc, "check");
        wm_diag_prefix(diag, "blame: %s", blame_kind_text(blame.kind));
    }
    return rc;
}

void blame_fini(struct blame_verdict *verdict)
{
    chain_fini(&verdict->chain);
}
