/* Replaying. What a batch must be is asked of bft/head.c, which agreement asks as well; what comes
 * of it, of the executor. Here is only the comparing. */
#include "ledger/entries_replay.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "bft/head.h"
#include "crypto/hash.h"
#include "proof/agreement.h"

#define RECENT (2u * LEDGER_PIPELINE_MAX)

/* A batch whose evidence is still to come. */
struct recent {
    uint64_t seqno; /* 0: none */
    struct preprepare_claims claims;
    ledger_hash name, root;
    size_t header_len;
    uint8_t header[COSE_PROTECTED_BYTES_MAX];
};

struct entries_replay {
    struct executor *executor;
    bool trusted;
    struct wm_arena arena; /* of the step at hand */
    struct recent recent[RECENT];
    struct evidence evidence;
    struct agreement_top tops[LEDGER_REPLICAS_MAX];
};

/* The step at hand. */
struct step {
    struct entries_replay *replay;
    const struct bft_entries *entries;
    const struct bft_head *head;
    struct bft_next next;
    const struct configuration *configuration;
    struct preprepare_entry preprepare;
    struct preprepare_claims claims;
    ledger_hash name;
    struct merkle ledger; /* M before the pre-prepare */
    struct entries_difference *difference;
    struct wm_diag *diag;
};

int entries_replay_new(struct executor *executor, bool trusted, struct entries_replay **out)
{
    struct entries_replay *replay = wm_alloc_zero(1, sizeof *replay);
    if (!replay) {
        return -ENOMEM;
    }
    WM_ASSERT(executor_tip(executor) == executor_head(executor)->seqno);
    replay->executor = executor;
    replay->trusted = trusted;
    wm_arena_init(&replay->arena, 0);
    *out = replay;
    return 0;
}

void entries_replay_free(struct entries_replay *replay)
{
    if (replay) {
        wm_arena_fini(&replay->arena);
        wm_free(replay);
    }
}

/* --- Saying what is wrong --- */

static int wrong(struct step *step, int code, enum entry_kind entry, const char *why)
{
    static const char *const names[] = {
        [ENTRY_EVIDENCE] = "evidence",         [ENTRY_PREPREPARE] = "pre-prepare",
        [ENTRY_VIEW_CHANGES] = "view changes", [ENTRY_NEW_VIEW] = "new view",
        [ENTRY_TRANSACTIONS] = "transactions",
    };
    step->difference->entry = entry;
    if (!why) { /* something deeper has set it */
        wm_diag_prefix(step->diag, "batch %llu: %s", (unsigned long long)step->next.seqno,
                       names[entry]);
        return code;
    }
    return wm_diag_set(step->diag, code, "batch %llu: %s: %s", (unsigned long long)step->next.seqno,
                       names[entry], why);
}

static int wrong_transaction(struct step *step, int code, uint64_t index, const char *why)
{
    step->difference->entry = ENTRY_TRANSACTIONS;
    step->difference->index = index;
    return wm_diag_set(step->diag, code, "batch %llu: transaction %llu: %s",
                       (unsigned long long)step->next.seqno, (unsigned long long)index, why);
}

static bool same(const ledger_hash a, const ledger_hash b)
{
    return memcmp(a, b, sizeof(ledger_hash)) == 0;
}

/* --- The entries before the transactions --- */

static struct recent *recent_of(struct entries_replay *replay, uint64_t seqno)
{
    struct recent *recent = &replay->recent[seqno % RECENT];
    return seqno != 0 && recent->seqno == seqno ? recent : NULL;
}

static void remember(struct entries_replay *replay, const struct preprepare_entry *entry,
                     const struct preprepare_claims *claims)
{
    struct recent *recent = &replay->recent[claims->seqno % RECENT];
    recent->seqno = claims->seqno;
    recent->claims = *claims;
    agreement_name(entry->header, entry->root, recent->name);
    memcpy(recent->root, entry->root, sizeof recent->root);
    WM_ASSERT(entry->header.len <= sizeof recent->header);
    memcpy(recent->header, entry->header.ptr, entry->header.len);
    recent->header_len = entry->header.len;
}

static int check_preprepare(struct step *step)
{
    struct executor *executor = step->replay->executor;
    if (!preprepare_entry_get(step->entries->preprepare, &step->preprepare, step->diag)) {
        return wrong(step, WM_E_MALFORMED, ENTRY_PREPREPARE, NULL);
    }
    int rc = agreement_preprepare(executor_service(executor), step->configuration,
                                  step->preprepare.header, step->preprepare.root, NULL,
                                  &step->claims, step->name, step->diag);
    if (rc != 0) {
        return wrong(step, rc, ENTRY_PREPREPARE, NULL);
    }
    const struct preprepare_claims *claims = &step->claims;
    uint64_t checkpoint;
    ledger_hash checkpoint_root;
    bft_head_checkpoint(step->head, &step->next,
                        step->configuration->parameters.checkpoint_interval, &checkpoint,
                        checkpoint_root);
    const char *why = NULL;
    if (claims->seqno != step->next.seqno) {
        why = "it is of another batch";
    } else if (claims->cfg != step->next.cfg || claims->kind != step->next.kind ||
               claims->phase != step->next.phase) {
        why = "it is of another configuration or kind";
    } else if (claims->view < step->head->view) {
        why = "it is of an earlier view than the batch before it";
    } else if (claims->first_index != step->head->next_index) {
        why = "its first index does not follow";
    } else if (claims->count > step->configuration->parameters.batch_max ||
               (claims->kind != BATCH_NORMAL && claims->count > 0)) {
        why = "it has more transactions than it may";
    } else if (claims->governance != step->head->governance) {
        why = "it names another governance transaction before it";
    } else if (claims->checkpoint_seqno != checkpoint ||
               !same(claims->checkpoint_root, checkpoint_root)) {
        why = "it names another checkpoint";
    } else if (claims->kind == BATCH_END &&
               !same(claims->committed_root, step->head->committed_root)) {
        why = "it names another root of the final vote";
    }
    return why ? wrong(step, WM_E_INVALID, ENTRY_PREPREPARE, why) : 0;
}

static bool add_leaf(struct step *step, struct wm_view entry)
{
    merkle_hash leaf;
    merkle_leaf(entry, leaf);
    return merkle_add(&step->ledger, leaf);
}

static const struct configuration *configuration_of(void *self, uint64_t cfg)
{
    return executor_configuration(self, cfg);
}

/* A view begins before its first batch, and nowhere else. */
static int check_view(struct step *step)
{
    const struct bft_entries *entries = step->entries;
    struct newview_entry entry;
    struct newview_claims claims;
    ledger_hash root;
    if (step->claims.view == step->head->view) {
        return entries->view_changes.len == 0 && entries->new_view.len == 0
                   ? 0
                   : wrong(step, WM_E_INVALID, ENTRY_NEW_VIEW, "no view begins here");
    }
    if (!newview_entry_get(entries->new_view, &entry, step->diag)) {
        return wrong(step, WM_E_MALFORMED, ENTRY_NEW_VIEW, NULL);
    }
    if (!add_leaf(step, entries->view_changes)) {
        return wrong(step, WM_E_LIMIT, ENTRY_VIEW_CHANGES, "the ledger is full");
    }
    if (step->replay->trusted) {
        struct cose_statement statement;
        if (!cose_header(entry.header, &statement)) {
            return wrong(step, WM_E_MALFORMED, ENTRY_NEW_VIEW, "its header is none");
        }
        int rc = newview_claims_get(statement.claims, &claims, step->diag);
        if (rc != 0) {
            return wrong(step, rc, ENTRY_NEW_VIEW, NULL);
        }
    } else {
        struct agreement_configurations known = {step->replay->executor, configuration_of};
        uint32_t tops;
        int rc = agreement_newview(executor_service(step->replay->executor), &known,
                                   step->configuration, &entry, entries->view_changes, &claims,
                                   step->replay->tops, &tops, step->diag);
        if (rc != 0) {
            return wrong(step, rc, ENTRY_NEW_VIEW, NULL);
        }
    }
    merkle_root(&step->ledger, root);
    if (claims.view != step->claims.view || claims.base_seqno != step->head->seqno ||
        claims.ledger_size != step->ledger.count || !same(claims.ledger_root, root)) {
        return wrong(step, WM_E_INVALID, ENTRY_NEW_VIEW,
                     "it begins another view, or continues another ledger");
    }
    return add_leaf(step, entries->new_view)
               ? 0
               : wrong(step, WM_E_LIMIT, ENTRY_NEW_VIEW, "the ledger is full");
}

static bool opens(const ledger_nonce nonce, const ledger_hash commitment)
{
    ledger_hash hash;
    wm_sha256_once(wm_view_of(nonce, LEDGER_NONCE_BYTES), hash);
    return same(hash, commitment);
}

/* Do Q replicas of its configuration say that this batch is committed? */
static const char *evidence_fault(const struct step *step, const struct recent *about,
                                  const struct evidence *evidence)
{
    const uint8_t *service = executor_service(step->replay->executor);
    const struct configuration *configuration =
        executor_configuration(step->replay->executor, about->claims.cfg);
    if (!configuration) {
        return "it is about a batch of a configuration that is not known here";
    }
    uint32_t replicas = configuration->replica_count, at = 0;
    uint32_t primary = agreement_primary(about->claims.view, replicas);
    if (evidence->count != ledger_quorum(replicas) || evidence->bitmap >> (replicas - 1) > 1) {
        return "it is not of a quorum";
    }
    if (!step->replay->trusted) {
        struct preprepare_claims claims;
        ledger_hash name;
        if (agreement_preprepare(service, configuration,
                                 wm_view_of(about->header, about->header_len), about->root,
                                 evidence->preprepare_signature, &claims, name, NULL) != 0) {
            return "the primary's signature is false";
        }
    }
    for (uint32_t i = 0; i < replicas; i++) {
        if ((evidence->bitmap >> i & 1) == 0) {
            continue;
        }
        const struct evidence_share *share = &evidence->shares[at++];
        if (share->primary != (i == primary)) {
            return "a share is not of its replica's kind";
        }
        if (!opens(share->nonce, share->primary ? about->claims.commitment : share->commitment)) {
            return "a nonce does not open its commitment";
        }
        if (!share->primary && !step->replay->trusted &&
            !agreement_prepared_by(service, configuration, &about->claims, about->name, about->root,
                                   i, share->commitment, share->signature)) {
            return "a backup's signature is false";
        }
    }
    return NULL;
}

static int check_evidence(struct step *step)
{
    const struct bft_entries *entries = step->entries;
    struct evidence *evidence = &step->replay->evidence;
    uint64_t about_seqno =
        step->next.seqno > step->next.pipeline ? step->next.seqno - step->next.pipeline : 0;
    const struct recent *about = recent_of(step->replay, about_seqno);
    bool wanted = about && about->claims.view == step->claims.view;
    if (entries->evidence.len == 0) {
        return step->claims.evidence == 0 && !wanted
                   ? 0
                   : wrong(step, WM_E_INVALID, ENTRY_EVIDENCE, "it is missing");
    }
    if (!evidence_get(entries->evidence, evidence, step->diag)) {
        return wrong(step, WM_E_MALFORMED, ENTRY_EVIDENCE, NULL);
    }
    if (evidence->seqno != about_seqno || evidence->bitmap != step->claims.evidence ||
        (about && !wanted)) {
        return wrong(step, WM_E_INVALID, ENTRY_EVIDENCE,
                     "it is not what the pre-prepare says, or of a batch that needs none here");
    }
    const char *fault = about ? evidence_fault(step, about, evidence) : NULL;
    if (fault) {
        return wrong(step, WM_E_FORGED, ENTRY_EVIDENCE, fault);
    }
    return add_leaf(step, entries->evidence)
               ? 0
               : wrong(step, WM_E_LIMIT, ENTRY_EVIDENCE, "the ledger is full");
}

static int check_ledger(struct step *step)
{
    ledger_hash root;
    merkle_root(&step->ledger, root);
    return step->claims.ledger_size == step->ledger.count && same(step->claims.ledger_root, root)
               ? 0
               : wrong(step, WM_E_FORGED, ENTRY_PREPREPARE, "it stands on another ledger");
}

/* --- The transactions --- */

static int read_requests(struct step *step, struct bft_batch *batch)
{
    struct cbor_reader reader = cbor_reader_of(step->entries->transactions);
    uint64_t seqno;
    uint32_t count;
    if (!transactions_get_head(&reader, &seqno, &count)) {
        return wrong(step, cbor_diag(&reader, "head", step->diag), ENTRY_TRANSACTIONS, NULL);
    }
    if (seqno != step->next.seqno || count != step->claims.count) {
        return wrong(step, WM_E_INVALID, ENTRY_TRANSACTIONS,
                     "they are of another batch, or not as many as its pre-prepare says");
    }
    struct bft_request *requests = WM_ARENA_ARRAY(&step->replay->arena, struct bft_request, count);
    if (!requests) {
        return wm_diag_set(step->diag, -ENOMEM, "batch %llu: no memory for its requests",
                           (unsigned long long)seqno);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct transaction_item item;
        if (!transaction_item_get(&reader, &item)) {
            return wrong(step, cbor_diag(&reader, "item", step->diag), ENTRY_TRANSACTIONS, NULL);
        }
        if (!item.has_arguments) {
            return wrong_transaction(step, WM_E_NOT_FOUND, step->claims.first_index + i,
                                     "its arguments were erased, so it cannot be executed again; "
                                     "start from a checkpoint after it");
        }
        wm_sha256_once(item.request, requests[i].hash);
        requests[i].request = item.request;
        requests[i].arguments = item.arguments;
        requests[i].checked = step->replay->trusted;
    }
    if (!cbor_end(&reader)) {
        return wrong(step, cbor_diag(&reader, "end", step->diag), ENTRY_TRANSACTIONS, NULL);
    }
    *batch = (struct bft_batch){.cfg = step->claims.cfg,
                                .view = step->claims.view,
                                .seqno = seqno,
                                .first_index = step->claims.first_index,
                                .count = count,
                                .requests = requests};
    return 0;
}

static const char *item_fault(const struct transaction_item *stored,
                              const struct transaction_item *executed)
{
    const struct request_output *a = &stored->output, *b = &executed->output;
    if (a->code != b->code) {
        return "it ended with another code";
    }
    if (!same(a->procedure, b->procedure) || a->fuel_version != b->fuel_version) {
        return "another procedure was executed";
    }
    if (a->result_len != b->result_len || !same(a->result, b->result) ||
        (stored->has_result && !wm_view_eq(stored->result, executed->result))) {
        return "its result is another one";
    }
    if (!same(a->reads, b->reads)) {
        return "it read something else";
    }
    if (!same(a->writes, b->writes)) {
        return "it wrote something else";
    }
    return NULL;
}

/* Of a batch whose requests were read before. */
static int compare_items(struct step *step, const struct kept_batch *executed)
{
    struct cbor_reader reader = cbor_reader_of(step->entries->transactions);
    uint64_t seqno;
    uint32_t count;
    bool ok = transactions_get_head(&reader, &seqno, &count);
    for (uint32_t i = 0; ok && i < count; i++) {
        struct transaction_item stored, ours;
        ok = transaction_item_get(&reader, &stored);
        kept_item(executed, i, &ours);
        const char *fault = ok ? item_fault(&stored, &ours) : NULL;
        if (fault) {
            return wrong_transaction(step, WM_E_FORGED, executed->first_index + i, fault);
        }
    }
    WM_ASSERT(ok);
    return 0;
}

static int compare(struct step *step, const struct bft_executed *executed)
{
    const struct kept_batch *batch = executor_batch(step->replay->executor, step->next.seqno);
    WM_ASSERT(batch);
    if (executed->taken != step->claims.count) {
        return wrong_transaction(step, WM_E_INVALID, step->claims.first_index + executed->taken,
                                 "it comes after a governance transaction, which ends its batch");
    }
    if (!wm_view_eq(kept_entry(batch), step->entries->transactions)) {
        int rc = compare_items(step, batch);
        if (rc != 0) {
            return rc;
        }
    }
    if (!same(executed->root, step->preprepare.root)) {
        return wrong(step, WM_E_FORGED, ENTRY_PREPREPARE,
                     "its root is not that of the transactions that are stored");
    }
    if (!same(executed->state_root, step->claims.state_root)) {
        return wrong(step, WM_E_FORGED, ENTRY_PREPREPARE,
                     "executing the batch gives another state than it says");
    }
    return 0;
}

static int execute(struct step *step)
{
    struct executor *executor = step->replay->executor;
    struct bft_executed executed;
    struct bft_batch batch;
    int rc = read_requests(step, &batch);
    if (rc != 0) {
        return rc;
    }
    rc = executor_execute(executor, &batch, &executed);
    if (rc != 0) {
        return wrong(step, rc, ENTRY_TRANSACTIONS, wm_diag_text(executor_why(executor)));
    }
    rc = compare(step, &executed);
    if (rc != 0) {
        executor_undo_to(executor, step->head->seqno);
    }
    return rc;
}

/* --- A step --- */

int entries_replay_before(struct entries_replay *replay, const struct bft_entries *entries,
                          struct wm_diag *diag)
{
    struct preprepare_entry entry;
    struct preprepare_claims claims;
    struct cose_statement statement;
    if (!preprepare_entry_get(entries->preprepare, &entry, diag)) {
        return WM_E_MALFORMED;
    }
    if (!cose_header(entry.header, &statement)) {
        return wm_diag_set(diag, WM_E_MALFORMED, "pre-prepare: its header is none");
    }
    int rc = preprepare_claims_get(statement.claims, &claims, diag);
    if (rc == 0) {
        remember(replay, &entry, &claims);
    }
    return rc;
}

int entries_replay_step(struct entries_replay *replay, const struct bft_entries *entries,
                        struct entries_difference *difference, struct wm_diag *diag)
{
    struct entries_difference unused = {0};
    struct wm_diag own = WM_DIAG_INIT;
    struct step step = {.replay = replay,
                        .entries = entries,
                        .head = executor_head(replay->executor),
                        .difference = difference ? difference : &unused,
                        .diag = diag ? diag : &own};
    const struct configuration *left = executor_configuration(replay->executor, step.head->cfg);
    WM_ASSERT(left && executor_tip(replay->executor) == step.head->seqno);
    bft_head_next(step.head, left, &step.next);
    step.configuration = executor_configuration(replay->executor, step.next.cfg);
    WM_ASSERT(step.configuration);
    step.ledger = step.head->ledger;
    *step.difference = (struct entries_difference){.seqno = step.next.seqno};

    int rc = check_preprepare(&step);
    rc = rc == 0 ? check_view(&step) : rc;
    rc = rc == 0 ? check_evidence(&step) : rc;
    rc = rc == 0 ? check_ledger(&step) : rc;
    rc = rc == 0 ? execute(&step) : rc;
    wm_arena_reset(&replay->arena);
    if (rc != 0) {
        return rc;
    }
    remember(replay, &step.preprepare, &step.claims);
    executor_commit(replay->executor, entries);
    return 0;
}
