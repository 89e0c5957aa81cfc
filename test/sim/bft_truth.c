#include "sim/bft_truth.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "crypto/hash.h"
#include "proof/procedure.h"
#include "wire/viewchange.h"

static bool wrong(struct truth *truth, const char *format, ...) WM_PRINTF(2, 3);
static bool wrong(struct truth *truth, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(truth->why, sizeof truth->why, format, arguments);
    va_end(arguments);
    return false;
}

/* --- Statements --- */

static size_t signed_bytes(struct wm_view header, const ledger_hash payload,
                           uint8_t bytes[COSE_SIGNED_BYTES_MAX])
{
    struct cbor_writer writer = cbor_writer_of(bytes, COSE_SIGNED_BYTES_MAX);
    cose_put_signed(&writer, header, payload);
    return cbor_fits(&writer) ? writer.len : 0;
}

void truth_name(struct wm_view header, const ledger_hash payload, ledger_hash out)
{
    uint8_t bytes[COSE_SIGNED_BYTES_MAX];
    wm_sha256_once(wm_view_of(bytes, signed_bytes(header, payload, bytes)), out);
}

bool truth_signed(struct wm_view header, const ledger_hash payload, const ledger_key key,
                  const ledger_signature signature)
{
    uint8_t bytes[COSE_SIGNED_BYTES_MAX];
    size_t len = signed_bytes(header, payload, bytes);
    return len > 0 && sign_verify(key, wm_view_of(bytes, len), signature);
}

bool truth_opens(const ledger_nonce nonce, const ledger_hash commitment)
{
    ledger_hash hash;
    wm_sha256_once(wm_view_of(nonce, LEDGER_NONCE_BYTES), hash);
    return hash_equal(hash, commitment);
}

bool truth_preprepare(struct wm_view header, struct preprepare_claims *claims, ledger_key key)
{
    struct cose_statement statement;
    if (!cose_header(header, &statement) || !statement.tree ||
        preprepare_claims_get(statement.claims, claims, NULL) != 0) {
        return false;
    }
    memcpy(key, statement.key, sizeof(ledger_key));
    return true;
}

bool truth_prepared(const struct app_service *service, const struct configuration *configuration,
                    struct wm_view header, const ledger_hash root, uint32_t position,
                    const ledger_hash commitment, const ledger_signature signature)
{
    struct preprepare_claims of;
    struct prepare_claims claims = {0};
    uint8_t encoded[PREPARE_CLAIMS_BYTES_MAX], own[COSE_PROTECTED_BYTES_MAX];
    ledger_key primary;
    if (!truth_preprepare(header, &of, primary) || position >= configuration->replica_count) {
        return false;
    }
    memcpy(claims.service, service->hash, sizeof claims.service);
    claims.cfg = of.cfg;
    claims.view = of.view;
    claims.seqno = of.seqno;
    claims.replica = position;
    truth_name(header, root, claims.preprepare);
    memcpy(claims.commitment, commitment, sizeof claims.commitment);
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    prepare_claims_put(&writer, &claims);
    struct cbor_writer around = cbor_writer_of(own, sizeof own);
    const uint8_t *key = configuration->replicas[position].key;
    cose_put_protected(&around, key, true, wm_view_of(encoded, writer.len));
    return cbor_fits(&writer) && cbor_fits(&around) &&
           truth_signed(wm_view_of(own, around.len), root, key, signature);
}

const char *truth_quorum(const struct app_service *service,
                         const struct configuration *configuration, const struct quorum *quorum)
{
    struct preprepare_claims claims;
    ledger_key key;
    uint32_t count = quorum->has_primary_nonce ? 1 : 0;
    uint64_t seen = 0;
    if (!quorum->has_root || !truth_preprepare(quorum->header, &claims, key)) {
        return "its pre-prepare cannot be read";
    }
    uint32_t primary = (uint32_t)(claims.view % configuration->replica_count);
    if (!hash_equal(claims.service, service->hash) || claims.cfg != configuration->number ||
        memcmp(key, configuration->replicas[primary].key, sizeof key) != 0 ||
        !truth_signed(quorum->header, quorum->root, key, quorum->signature)) {
        return "its pre-prepare is not by the primary";
    }
    if (quorum->has_primary_nonce && !truth_opens(quorum->primary_nonce, claims.commitment)) {
        return "the primary's nonce does not open its commitment";
    }
    for (uint32_t i = 0; i < quorum->count; i++) {
        const struct quorum_share *share = &quorum->shares[i];
        ledger_hash commitment;
        wm_sha256_once(wm_view_of(share->nonce, sizeof share->nonce), commitment);
        if (share->replica >= configuration->replica_count || share->replica == primary ||
            (seen >> share->replica & 1) ||
            !truth_prepared(service, configuration, quorum->header, quorum->root, share->replica,
                            commitment, share->signature)) {
            return "a share is not one of that backup";
        }
        seen |= UINT64_C(1) << share->replica;
        count++;
    }
    /* Q = N - f with f = (N-1)/3. */
    uint32_t wanted = configuration->replica_count - (configuration->replica_count - 1) / 3;
    return count < wanted ? "too few stand behind it" : NULL;
}

/* --- The tree --- */

static void hash_pair(const ledger_hash left, const ledger_hash right, ledger_hash out)
{
    uint8_t both[2 * sizeof(ledger_hash)];
    memcpy(both, left, sizeof(ledger_hash));
    memcpy(both + sizeof(ledger_hash), right, sizeof(ledger_hash));
    wm_sha256_prefixed(1, wm_view_of(both, sizeof both), out);
}

static void level_push(struct truth *truth, uint32_t level, const ledger_hash hash)
{
    if (truth->levels[level].count == truth->levels[level].room) {
        truth->levels[level].room = truth->levels[level].room ? 2 * truth->levels[level].room : 64;
        truth->levels[level].items =
            sim_grow(truth->levels[level].items, truth->levels[level].room, sizeof(ledger_hash));
    }
    memcpy(truth->levels[level].items[truth->levels[level].count++], hash, sizeof(ledger_hash));
}

static void leaf_add(struct truth *truth, struct wm_view entry)
{
    ledger_hash hash;
    if (entry.len == 0) {
        return;
    }
    wm_sha256_prefixed(0, entry, hash);
    level_push(truth, 0, hash);
    for (uint32_t level = 0; truth->levels[level].count % 2 == 0; level++) {
        uint64_t count = truth->levels[level].count;
        ledger_hash node;
        hash_pair(truth->levels[level].items[count - 2], truth->levels[level].items[count - 1],
                  node);
        level_push(truth, level + 1, node);
    }
}

/* RFC 9162 section 2.1.1: MTH of leaves [from, to). */
static void tree_root(const struct truth *truth, uint64_t from, uint64_t to, ledger_hash out)
{
    uint64_t count = to - from, half = 1;
    uint32_t level = 0;
    ledger_hash left, right;
    if (count == 0) {
        wm_sha256_once(wm_view_of(NULL, 0), out);
        return;
    }
    while (half * 2 < count) {
        half *= 2;
    }
    for (uint64_t n = count; n > 1; n /= 2) {
        level++;
    }
    if ((count & (count - 1)) == 0) { /* whole: it was made when its last leaf came */
        memcpy(out, truth->levels[level].items[from >> level], sizeof(ledger_hash));
        return;
    }
    tree_root(truth, from, from + half, left);
    tree_root(truth, from + half, to, right);
    hash_pair(left, right, out);
}

static bool is_tree(struct truth *truth, const char *what, uint64_t size, const ledger_hash root)
{
    ledger_hash ours;
    tree_root(truth, 0, truth->levels[0].count, ours);
    if (size != truth->levels[0].count || !hash_equal(root, ours)) {
        return wrong(truth, "%s: another ledger is before it than the one that is", what);
    }
    return true;
}

static void list_root(const ledger_hash *leaves, uint64_t count, ledger_hash out)
{
    uint64_t half = 1;
    ledger_hash left, right;
    if (count == 0) {
        wm_sha256_once(wm_view_of(NULL, 0), out);
    } else if (count == 1) {
        memcpy(out, leaves[0], sizeof(ledger_hash));
    } else {
        while (half * 2 < count) {
            half *= 2;
        }
        list_root(leaves, half, left);
        list_root(leaves + half, count - half, right);
        hash_pair(left, right, out);
    }
}

/* --- Requests that were executed --- */

static uint64_t place_of(const struct truth *truth, const ledger_hash request)
{
    uint64_t at;
    memcpy(&at, request, sizeof at);
    for (at %= truth->requests.room;; at = (at + 1) % truth->requests.room) {
        if (truth->requests.items[at].index == 0 ||
            hash_equal(truth->requests.items[at].request, request)) {
            return at;
        }
    }
}

static void request_put(struct truth *truth, const ledger_hash request, uint64_t index)
{
    if (2 * truth->requests.count >= truth->requests.room) {
        struct truth old = *truth;
        truth->requests.room = old.requests.room ? 2 * old.requests.room : 256;
        truth->requests.items = sim_alloc(truth->requests.room, sizeof *truth->requests.items);
        for (uint64_t i = 0; i < old.requests.room; i++) {
            if (old.requests.items[i].index) {
                truth->requests.items[place_of(truth, old.requests.items[i].request)] =
                    old.requests.items[i];
            }
        }
        free(old.requests.items);
    }
    uint64_t at = place_of(truth, request);
    if (truth->requests.items[at].index == 0) { /* the first time counts */
        memcpy(truth->requests.items[at].request, request, sizeof(ledger_hash));
        truth->requests.items[at].index = index;
        truth->requests.count++;
    }
}

uint64_t truth_index_of(const struct truth *truth, const ledger_hash request)
{
    return truth->requests.room ? truth->requests.items[place_of(truth, request)].index : 0;
}

/* --- View changes --- */

/* The certificate shows that this batch was prepared, and it is of our chain or of none. */
static const char *check_certificate(const struct truth *truth,
                                     const struct viewchange_claims *claims, struct wm_view encoded)
{
    struct certificate certificate;
    struct preprepare_claims of;
    struct configuration configuration;
    ledger_hash name;
    ledger_key key;
    uint64_t seen = 0;
    struct cbor_reader reader = cbor_reader_of(encoded);
    if (!certificate_get(&reader, &certificate) || !cbor_end(&reader) ||
        certificate.is_there != claims->has_top) {
        return "its certificate cannot be read";
    }
    if (!certificate.is_there) {
        return NULL;
    }
    if (!truth_preprepare(certificate.preprepare.header, &of, key) ||
        of.cfg >= truth->state.configurations) {
        return "its certificate is of no batch";
    }
    app_configuration(truth->service, &truth->state, of.cfg, &configuration);
    uint32_t n = configuration.replica_count, primary = (uint32_t)(of.view % n);
    truth_name(certificate.preprepare.header, certificate.preprepare.payload, name);
    if (of.view != claims->top_view || of.seqno != claims->top_seqno ||
        !hash_equal(name, claims->top) || of.view >= claims->view ||
        memcmp(key, configuration.replicas[primary].key, sizeof key) != 0 ||
        !truth_signed(certificate.preprepare.header, certificate.preprepare.payload, key,
                      certificate.preprepare.signature)) {
        return "its certificate is not that of its top";
    }
    for (uint32_t i = 0; i < certificate.count; i++) {
        const struct certificate_prepare *prepare = &certificate.prepares[i];
        if (prepare->replica == primary || prepare->replica >= n ||
            (seen >> prepare->replica & 1) ||
            !truth_prepared(truth->service, &configuration, certificate.preprepare.header,
                            certificate.preprepare.payload, prepare->replica, prepare->commitment,
                            prepare->signature)) {
            return "a prepare of its certificate is not one";
        }
        seen |= UINT64_C(1) << prepare->replica;
    }
    return certificate.count < n - (n - 1) / 3 - 1 ? "its certificate is too small" : NULL;
}

static bool is_above(const struct viewchange_claims *a, const struct viewchange_claims *b)
{
    if (!a->has_top || !b->has_top) {
        return a->has_top && !b->has_top;
    }
    return a->top_view != b->top_view ? a->top_view > b->top_view : a->top_seqno > b->top_seqno;
}

/* Q distinct replicas asked for the view; *largest: their largest top. */
static bool check_view_changes(struct truth *truth, const struct configuration *configuration,
                               uint64_t view, struct wm_view entry, uint64_t used,
                               const ledger_hash continued, struct viewchange_claims *largest)
{
    struct cbor_reader reader = cbor_reader_of(entry);
    uint64_t read_view, seen = 0;
    uint32_t count, n = configuration->replica_count;
    bool names_it = false;
    if (!viewchanges_get_head(&reader, &read_view, &count) || read_view != view) {
        return wrong(truth, "view-change entry: it is not one of view %llu",
                     (unsigned long long)view);
    }
    memset(largest, 0, sizeof *largest);
    for (uint32_t i = 0; i < count; i++) {
        struct viewchange change;
        struct viewchange_claims claims;
        struct cose_statement statement;
        ledger_hash payload;
        uint32_t position = 0;
        if (!viewchange_get(&reader, &change) || !cose_header(change.header, &statement) ||
            viewchange_claims_get(statement.claims, &claims, NULL) != 0 || claims.view != view ||
            !hash_equal(claims.service, truth->service->hash)) {
            return wrong(truth, "view-change entry: number %u is not one of its view", i);
        }
        while (position < n && memcmp(configuration->replicas[position].key, statement.key,
                                      sizeof(ledger_key)) != 0) {
            position++;
        }
        wm_sha256_once(change.certificate, payload);
        if (position == n || (seen >> position & 1) ||
            !truth_signed(change.header, payload, statement.key, change.signature)) {
            return wrong(truth, "view-change entry: number %u is nobody's", i);
        }
        const char *why = check_certificate(truth, &claims, change.certificate);
        if (why) {
            return wrong(truth, "view-change of the replica at %u: %s", position, why);
        }
        seen |= UINT64_C(1) << position;
        if (is_above(&claims, largest)) {
            *largest = claims;
            names_it = false;
        }
        names_it |=
            !is_above(largest, &claims) && claims.has_top && hash_equal(claims.top, continued);
    }
    if (!cbor_end(&reader) || count != n - (n - 1) / 3 || seen != used) {
        return wrong(truth, "view-change entry: it has %u view-changes of %u replicas", count, n);
    }
    if (largest->has_top && !names_it) {
        return wrong(truth,
                     "view %llu: it continues another batch than the largest top (%llu, %llu)",
                     (unsigned long long)view, (unsigned long long)largest->top_view,
                     (unsigned long long)largest->top_seqno);
    }
    return true;
}

static bool check_new_view(struct truth *truth, const struct configuration *configuration,
                           uint64_t view, const struct bft_entries *entries)
{
    struct newview_entry entry;
    struct newview_claims claims;
    struct cose_statement statement;
    struct viewchange_claims largest;
    ledger_hash payload;
    static const ledger_hash none;
    if (!newview_entry_get(entries->new_view, &entry, NULL) ||
        !cose_header(entry.header, &statement) ||
        newview_claims_get(statement.claims, &claims, NULL) != 0) {
        return wrong(truth, "new-view entry: it cannot be read");
    }
    uint32_t primary = (uint32_t)(view % configuration->replica_count);
    wm_sha256_once(entries->view_changes, payload);
    if (!hash_equal(claims.service, truth->service->hash) || claims.view != view ||
        claims.cfg != configuration->number || claims.base_seqno != truth->count ||
        memcmp(statement.key, configuration->replicas[primary].key, sizeof(ledger_key)) != 0 ||
        !truth_signed(entry.header, payload, statement.key, entry.signature)) {
        return wrong(truth, "new-view %llu: it is not the primary's over batch %llu",
                     (unsigned long long)view, (unsigned long long)truth->count);
    }
    const struct truth_batch *base = truth_batch(truth, truth->count);
    if (!check_view_changes(truth, configuration, view, entries->view_changes, claims.used,
                            base ? base->name : none, &largest)) {
        return false;
    }
    if ((largest.has_top ? largest.top_seqno : 0) != truth->count) {
        return wrong(truth, "new-view %llu: its largest top is batch %llu and it continues %llu",
                     (unsigned long long)view, (unsigned long long)largest.top_seqno,
                     (unsigned long long)truth->count);
    }
    leaf_add(truth, entries->view_changes);
    if (!is_tree(truth, "new-view", claims.ledger_size, claims.ledger_root)) {
        return false;
    }
    leaf_add(truth, entries->new_view);
    return true;
}

/* --- Batches --- */

struct batch { /* at hand */
    const struct bft_entries *entries;
    struct preprepare_claims claims;
    struct preprepare_entry entry;
    struct configuration configuration;
    ledger_key key;
    ledger_hash name;
};

static bool check_place(struct truth *truth, struct batch *batch)
{
    const struct preprepare_claims *claims = &batch->claims;
    const uint32_t pipeline = truth->service->parameters.pipeline;
    uint64_t after = truth->vote_at ? truth->count + 1 - truth->vote_at : 0, cfg = truth->cfg;
    enum batch_kind kind = BATCH_NORMAL;
    uint64_t phase = 0;
    if (after > 2 * pipeline) {
        kind = BATCH_START;
        phase = after - 2 * pipeline;
        cfg++;
    } else if (after > 0) {
        kind = BATCH_END;
        phase = after;
    }
    if (claims->seqno != truth->count + 1 || batch->entries->seqno != claims->seqno ||
        batch->entries->cfg != claims->cfg || batch->entries->view != claims->view) {
        return wrong(truth, "it is called another batch than it is");
    }
    if (claims->cfg != cfg || claims->kind != kind || claims->phase != phase) {
        return wrong(truth,
                     "it is of configuration %llu, kind %d, phase %u; its place is %llu, %d, %llu",
                     (unsigned long long)claims->cfg, (int)claims->kind, claims->phase,
                     (unsigned long long)cfg, (int)kind, (unsigned long long)phase);
    }
    if (kind != BATCH_NORMAL && claims->count != 0) {
        return wrong(truth, "a change of configuration has transactions in it");
    }
    app_configuration(truth->service, &truth->state, cfg, &batch->configuration);
    const struct configuration *configuration = &batch->configuration;
    uint32_t primary = (uint32_t)(claims->view % configuration->replica_count);
    if (memcmp(batch->key, configuration->replicas[primary].key, sizeof batch->key) != 0) {
        return wrong(truth, "its pre-prepare is not of the primary of view %llu",
                     (unsigned long long)claims->view);
    }
    return true;
}

static bool check_view(struct truth *truth, const struct batch *batch)
{
    const struct truth_batch *before = truth_batch(truth, truth->count);
    uint64_t view = before ? before->view : 0;
    bool has = batch->entries->view_changes.len > 0, has_new = batch->entries->new_view.len > 0;
    if (batch->claims.view < view || has != (batch->claims.view > view) || has != has_new) {
        return wrong(truth, "it is of view %llu after view %llu, with%s view-change entries",
                     (unsigned long long)batch->claims.view, (unsigned long long)view,
                     has ? "" : "out");
    }
    return !has || check_new_view(truth, &batch->configuration, batch->claims.view, batch->entries);
}

static bool check_share_of(struct truth *truth, const struct truth_batch *of,
                           const struct configuration *configuration, uint32_t position,
                           const struct evidence_share *share)
{
    struct preprepare_claims claims;
    ledger_key key;
    bool ok = truth_preprepare(bytes_view(of->header), &claims, key);
    WM_ASSERT(ok);
    bool is_primary = position == of->view % configuration->replica_count;
    if (share->primary != is_primary) {
        return wrong(truth, "evidence: position %u is taken for another role", position);
    }
    if (is_primary) {
        ok = truth_opens(share->nonce, claims.commitment);
    } else {
        ok = truth_opens(share->nonce, share->commitment) &&
             truth_prepared(truth->service, configuration, bytes_view(of->header), of->root,
                            position, share->commitment, share->signature);
    }
    return ok || wrong(truth, "evidence: the share of position %u is not genuine", position);
}

static bool check_evidence(struct truth *truth, const struct batch *batch)
{
    const uint32_t pipeline = truth->service->parameters.pipeline;
    const struct truth_batch *of =
        batch->claims.seqno > pipeline ? truth_batch(truth, batch->claims.seqno - pipeline) : NULL;
    struct wm_view entry = batch->entries->evidence;
    struct evidence evidence;
    struct configuration configuration;
    bool wanted = of && of->view == batch->claims.view;
    if (!wanted) {
        return (entry.len == 0 && batch->claims.evidence == 0) ||
               wrong(truth, "it has evidence where there can be none");
    }
    if (!evidence_get(entry, &evidence, NULL) || evidence.seqno != of->seqno ||
        evidence.bitmap != batch->claims.evidence) {
        return wrong(truth, "its evidence is not that of batch %llu",
                     (unsigned long long)of->seqno);
    }
    app_configuration(truth->service, &truth->state, of->cfg, &configuration);
    uint32_t n = configuration.replica_count, at = 0;
    const uint8_t *primary = configuration.replicas[of->view % n].key;
    if (evidence.count != n - (n - 1) / 3 || (n < 64 && evidence.bitmap >> n) ||
        !truth_signed(bytes_view(of->header), of->root, primary, evidence.preprepare_signature)) {
        return wrong(truth, "evidence: it is not Q replicas' on a genuine pre-prepare");
    }
    for (uint32_t position = 0; position < n; position++) {
        if ((evidence.bitmap >> position & 1) &&
            !check_share_of(truth, of, &configuration, position, &evidence.shares[at++])) {
            return false;
        }
    }
    leaf_add(truth, entry);
    return true;
}

static bool check_transaction(struct truth *truth, const struct transaction_item *item,
                              uint64_t index, bool *governance, ledger_hash leaf)
{
    struct request request;
    struct app_outcome outcome;
    ledger_hash hash, payload;
    uint8_t bytes[TRANSACTION_BYTES_MAX], ours[320], theirs[320];
    if (request_get(item->request, &request, NULL) != 0 || !item->has_arguments ||
        !item->has_result || !hash_equal(request.claims.service, truth->service->hash)) {
        return wrong(truth, "transaction %llu: it is no request of this service",
                     (unsigned long long)index);
    }
    wm_sha256_once(item->request, hash);
    wm_sha256_once(item->arguments, payload);
    if (!hash_equal(payload, request.statement.payload) ||
        request.claims.arguments_len != item->arguments.len ||
        !truth_signed(request.statement.protected_header, payload, request.statement.key,
                      request.statement.signature)) {
        return wrong(truth, "transaction %llu: its client did not sign it",
                     (unsigned long long)index);
    }
    if (request.claims.minimum_index > index) {
        return wrong(truth, "transaction %llu: it must not come before %llu",
                     (unsigned long long)index, (unsigned long long)request.claims.minimum_index);
    }
    uint32_t client = app_client_of(request.statement.key);
    uint64_t number = request.claims.number;
    app_execute(&truth->state, &request, client, hash, item->arguments, index, &outcome);
    struct cbor_writer a = cbor_writer_of(ours, sizeof ours),
                       b = cbor_writer_of(theirs, sizeof theirs);
    request_output_put(&a, &outcome.output);
    request_output_put(&b, &item->output);
    if (!wm_view_eq(wm_view_of(ours, a.len), wm_view_of(theirs, b.len)) ||
        !wm_view_eq(item->result, wm_view_of(outcome.result, outcome.output.result_len))) {
        return wrong(truth, "transaction %llu: its result is wrong", (unsigned long long)index);
    }
    if (client < APP_CLIENTS && number < TRUTH_NUMBERS &&
        outcome.output.code != PROCEDURE_DUPLICATE && truth->executed[client][number]++) {
        return wrong(truth, "transaction %llu: number %llu of client %u is executed twice",
                     (unsigned long long)index, (unsigned long long)number, client);
    }
    request_put(truth, hash, index);
    *governance = outcome.governance;
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    transaction_put(&writer, index, hash, &outcome.output);
    wm_sha256_prefixed(0, wm_view_of(bytes, writer.len), leaf);
    return true;
}

static bool check_transactions(struct truth *truth, const struct batch *batch, bool *governance)
{
    struct cbor_reader reader = cbor_reader_of(batch->entries->transactions);
    ledger_hash leaves[LEDGER_BATCH_MAX / 16], root;
    uint64_t seqno;
    uint32_t count;
    *governance = false;
    if (!transactions_get_head(&reader, &seqno, &count) || seqno != batch->claims.seqno ||
        count != batch->claims.count || count > truth->service->parameters.batch_max ||
        count > WM_COUNT_OF(leaves)) {
        return wrong(truth, "it has other transactions than it says");
    }
    for (uint32_t i = 0; i < count; i++) {
        struct transaction_item item;
        if (*governance || !transaction_item_get(&reader, &item)) {
            return wrong(truth, "something follows governance, or cannot be read");
        }
        if (!check_transaction(truth, &item, batch->claims.first_index + i, governance,
                               leaves[i])) {
            return false;
        }
    }
    list_root(leaves, count, root);
    return (cbor_end(&reader) && hash_equal(root, batch->entry.root)) ||
           wrong(truth, "the root of its transactions is another one");
}

static bool check_numbers(struct truth *truth, const struct batch *batch)
{
    const struct preprepare_claims *claims = &batch->claims;
    const uint64_t interval = truth->service->parameters.checkpoint_interval;
    uint64_t checkpoint =
        claims->seqno >= interval ? (claims->seqno - interval) / interval * interval : 0;
    const struct truth_batch *at = truth_batch(truth, checkpoint);
    static const ledger_hash none;
    if (claims->first_index != truth->state.next_index || claims->governance != truth->governance) {
        return wrong(
            truth, "it begins at %llu after governance %llu; that is %llu after %llu",
            (unsigned long long)claims->first_index, (unsigned long long)claims->governance,
            (unsigned long long)truth->state.next_index, (unsigned long long)truth->governance);
    }
    if (claims->checkpoint_seqno != checkpoint ||
        !hash_equal(claims->checkpoint_root, at ? at->state_root : none)) {
        return wrong(truth, "its checkpoint is batch %llu, not that one's state",
                     (unsigned long long)claims->checkpoint_seqno);
    }
    if (claims->has_committed_root != (claims->kind == BATCH_END) ||
        (claims->has_committed_root &&
         !hash_equal(claims->committed_root, truth->committed_root))) {
        return wrong(truth, "it does not name the ledger that the vote ended");
    }
    return is_tree(truth, "pre-prepare", claims->ledger_size, claims->ledger_root);
}

void truth_digest(const struct bft_entries *entries, ledger_hash out)
{
    const struct wm_view parts[] = {entries->view_changes, entries->new_view, entries->evidence,
                                    entries->preprepare, entries->transactions};
    struct wm_sha256 hash;
    wm_sha256_init(&hash);
    for (uint32_t i = 0; i < WM_COUNT_OF(parts); i++) {
        uint64_t len = parts[i].len;
        wm_sha256_add(&hash, wm_view_of(&len, sizeof len));
        wm_sha256_add(&hash, parts[i]);
    }
    wm_sha256_end(&hash, out);
}

static void batch_push(struct truth *truth, const struct batch *batch)
{
    if (truth->count == truth->room) {
        truth->room = truth->room ? 2 * truth->room : 64;
        truth->batches = sim_grow(truth->batches, truth->room, sizeof *truth->batches);
    }
    struct truth_batch *added = &truth->batches[truth->count++];
    *added = (struct truth_batch){.seqno = batch->claims.seqno,
                                  .cfg = batch->claims.cfg,
                                  .view = batch->claims.view,
                                  .first_index = batch->claims.first_index,
                                  .count = batch->claims.count,
                                  .header = bytes_new(batch->entry.header)};
    memcpy(added->name, batch->name, sizeof added->name);
    memcpy(added->root, batch->entry.root, sizeof added->root);
    memcpy(added->state_root, batch->claims.state_root, sizeof added->state_root);
    truth_digest(batch->entries, added->digest);
    truth->transactions += batch->claims.count;
}

bool truth_add(struct truth *truth, const struct bft_entries *entries)
{
    struct batch batch = {.entries = entries};
    ledger_hash root;
    bool governance;
    uint64_t known = truth->state.configurations;
    if (!preprepare_entry_get(entries->preprepare, &batch.entry, NULL) ||
        !truth_preprepare(batch.entry.header, &batch.claims, batch.key) ||
        !hash_equal(batch.claims.service, truth->service->hash)) {
        return wrong(truth, "its pre-prepare cannot be read");
    }
    truth_name(batch.entry.header, batch.entry.root, batch.name);
    if (!check_place(truth, &batch) || !check_view(truth, &batch) ||
        !check_evidence(truth, &batch) || !check_numbers(truth, &batch) ||
        !check_transactions(truth, &batch, &governance)) {
        return false;
    }
    app_state_root(&truth->state, root);
    if (!hash_equal(root, batch.claims.state_root)) {
        return wrong(truth, "its state is another one");
    }
    leaf_add(truth, entries->preprepare);
    if (governance) {
        truth->governance = truth->state.next_index - 1;
    }
    if (truth->vote_at && batch.claims.kind == BATCH_START) {
        truth->cfg = batch.claims.cfg - 1;
        if (batch.claims.phase == truth->service->parameters.pipeline) {
            truth->cfg = batch.claims.cfg;
            truth->vote_at = 0;
        }
    }
    if (truth->state.configurations > known) {
        truth->vote_at = batch.claims.seqno;
        tree_root(truth, 0, truth->levels[0].count, truth->committed_root);
    }
    batch_push(truth, &batch);
    return true;
}

const struct truth_batch *truth_batch(const struct truth *truth, uint64_t seqno)
{
    return seqno >= 1 && seqno <= truth->count ? &truth->batches[seqno - 1] : NULL;
}

void truth_init(struct truth *truth, const struct app_service *service,
                const struct app_state *state)
{
    memset(truth, 0, sizeof *truth);
    truth->service = service;
    truth->state = *state;
}

void truth_fini(struct truth *truth)
{
    for (uint64_t i = 0; i < truth->count; i++) {
        bytes_drop(truth->batches[i].header);
    }
    for (uint32_t i = 0; i < WM_COUNT_OF(truth->levels); i++) {
        free(truth->levels[i].items);
    }
    free(truth->batches);
    free(truth->requests.items);
    memset(truth, 0, sizeof *truth);
}
