/* How a view begins, and how a batch's ledger leads into its view (IA-CCF section 5, by chain
 * continuation). A replica that signs a batch has checked the last entries below it:
 *
 *     ... pre-prepare s-1                           of the same view, and no evidence
 *     ... pre-prepare s-1, evidence                 of the same view
 *     ... pre-prepare s-1, view-changes, new-view   the view begins here
 *     view-changes, new-view                        it begins before any batch
 *     (nothing)                                     batch 1 of view 0
 *
 * and in a view's beginning that what is continued, batch s-1, is a largest top of its
 * view-changes. It does not matter how it came by the ledger: these entries are the end of what it
 * signs on, so even who began with a checkpoint has seen them.
 *
 * Two certificates may tie, where more than f lie: either may be continued. So nothing here asks
 * for the largest certificate; it asks whether one is larger than that which was continued. And
 * view-changes that name a later configuration than the new-view's are believed, since the replica
 * may have known another one under that number than the chain has. */
#include <string.h>

#include "crypto/hash.h"
#include "crypto/merkle.h"
#include "proof/blame_internal.h"
#include "proof/statement.h"

typedef unsigned long long number;

/* Configurations up to that of the new-view: later ones are not known for sure. */
struct known {
    struct agreement_configurations all;
    uint64_t cfg_max;
};

static const struct configuration *known_get(void *self, uint64_t cfg)
{
    const struct known *known = self;
    return cfg <= known->cfg_max ? known->all.get(known->all.self, cfg) : NULL;
}

/* What a replica asked for, as its view-change says; `surely`: it was checked to the end. */
struct asked {
    bool surely;
    struct viewchange_claims claims;
    struct agreement_top top; /* where `surely` */
};

/* A new-view with the view-changes that it is signed over. */
struct beginning {
    const struct configuration *configuration;
    struct newview_claims claims;
    const char *wrong; /* NULL: nothing is wrong with it in itself */
    uint32_t count;
    struct asked asked[LEDGER_REPLICAS_MAX];
};

/* --- A new-view in itself --- */

/* Is it genuine, signed by the primary of its view in this configuration? Sets claims. */
static bool is_genuine(const struct blame_case *at, const struct newview_entry *entry,
                       struct wm_view viewchanges, struct newview_claims *claims,
                       const struct configuration **configuration)
{
    struct agreement_configurations configurations = chain_configurations(at->chain);
    struct cose_statement statement;
    struct statement_signed covered;
    ledger_hash payload;
    if (!cose_header(entry->header, &statement) || statement.tree ||
        newview_claims_get(statement.claims, claims, NULL) != 0 ||
        memcmp(claims->service, at->chain->service, sizeof claims->service) != 0) {
        return false;
    }
    *configuration = configurations.get(configurations.self, claims->cfg);
    if (!*configuration) {
        return false;
    }
    uint32_t primary = agreement_primary(claims->view, (*configuration)->replica_count);
    wm_sha256_once(viewchanges, payload);
    statement_signed_bytes(entry->header, payload, &covered);
    return memcmp(statement.key, (*configuration)->replicas[primary].key, LEDGER_KEY_BYTES) == 0 &&
           sign_verify(statement.key, wm_view_of(covered.bytes, covered.len), entry->signature);
}

static uint32_t position_of_key(const struct configuration *configuration, const ledger_key key)
{
    uint32_t i = 0;
    while (i < configuration->replica_count &&
           memcmp(configuration->replicas[i].key, key, LEDGER_KEY_BYTES) != 0) {
        i++;
    }
    return i;
}

/* One view-change: NULL, or what is wrong with it for sure. */
static const char *read_change(const struct blame_case *at, const struct beginning *beginning,
                               const struct viewchange *change, uint64_t *seen, struct asked *out)
{
    struct known known = {chain_configurations(at->chain), beginning->claims.cfg};
    const struct agreement_configurations configurations = {.self = &known, .get = known_get};
    struct cose_statement statement;
    if (!cose_header(change->header, &statement) ||
        viewchange_claims_get(statement.claims, &out->claims, NULL) != 0) {
        return "one of its view-changes is none";
    }
    int rc = agreement_viewchange(at->chain->service, &configurations, change, &out->claims,
                                  &out->top, NULL);
    out->surely = rc == 0;
    if (rc != 0 && rc != WM_E_NOT_FOUND) {
        return "one of its view-changes is not genuine";
    }
    uint32_t position = position_of_key(beginning->configuration, statement.key);
    if (out->claims.view != beginning->claims.view ||
        position >= beginning->configuration->replica_count || *seen >> position != 0) {
        return "one of its view-changes is to another view, by no replica of the configuration, or "
               "out of order";
    }
    *seen |= UINT64_C(1) << position;
    return NULL;
}

static const char *read_changes(const struct blame_case *at, struct beginning *beginning,
                                struct wm_view viewchanges)
{
    struct cbor_reader reader = cbor_reader_of(viewchanges);
    uint32_t quorum = ledger_quorum(beginning->configuration->replica_count);
    uint64_t view, seen = 0;
    if (!viewchanges_get_head(&reader, &view, &beginning->count) ||
        view != beginning->claims.view || beginning->count != quorum) {
        return "its view-changes are not a quorum to its view";
    }
    for (uint32_t i = 0; i < beginning->count; i++) {
        struct viewchange change;
        if (!viewchange_get(&reader, &change)) {
            return "one of its view-changes is none";
        }
        const char *wrong = read_change(at, beginning, &change, &seen, &beginning->asked[i]);
        if (wrong) {
            return wrong;
        }
    }
    return !cbor_end(&reader) || seen != beginning->claims.used
               ? "it does not name those whose view-changes it has"
               : NULL;
}

/* Is the place of a's top larger than b's? */
static bool above(const struct viewchange_claims *a, const struct viewchange_claims *b)
{
    if (!a->has_top || !b->has_top) {
        return a->has_top && !b->has_top;
    }
    return a->top_view != b->top_view ? a->top_view > b->top_view : a->top_seqno > b->top_seqno;
}

/* Is a certificate among the view-changes, surely, that is larger than this place? */
static bool is_surpassed(const struct beginning *beginning, const struct viewchange_claims *place)
{
    for (uint32_t i = 0; i < beginning->count; i++) {
        if (beginning->asked[i].surely && above(&beginning->asked[i].claims, place)) {
            return true;
        }
    }
    return false;
}

/* Could the new-view continue what this one asks for? The sizes follow from its pre-prepare. */
static bool may_continue(const struct beginning *beginning, const struct asked *asked)
{
    const struct newview_claims *claims = &beginning->claims;
    uint64_t seqno = asked->claims.has_top ? asked->claims.top_seqno : 0;
    uint64_t size = !asked->claims.has_top ? 1 : asked->top.claims.ledger_size + 2;
    return claims->base_seqno == seqno && !is_surpassed(beginning, &asked->claims) &&
           (!asked->surely || claims->ledger_size == size);
}

/* Reads a genuine new-view; `wrong` says what is the matter with it whatever the ledger. */
static void read_beginning(const struct blame_case *at, struct wm_view viewchanges,
                           struct beginning *out)
{
    bool any = false;
    out->wrong = read_changes(at, out, viewchanges);
    for (uint32_t i = 0; i < out->count && !out->wrong; i++) {
        any |= may_continue(out, &out->asked[i]);
    }
    if (!out->wrong && !any) {
        out->wrong = "it does not continue the largest of the batches that were prepared";
    }
}

/* --- The end of a batch's ledger --- */

struct tail {
    uint32_t count;
    struct blame_entry entries[BLAME_TAIL_MAX]; /* the last one last */
};

static struct wm_view from_end(const struct tail *tail, uint32_t back)
{
    return back < tail->count ? tail->entries[tail->count - 1 - back].entry : wm_view_of(NULL, 0);
}

/* Is it the pre-prepare entry of batch seqno? */
static bool is_preprepare(struct wm_view bytes, uint64_t seqno, struct preprepare_claims *claims,
                          ledger_hash name)
{
    struct preprepare_entry entry;
    struct cose_statement statement;
    if (!preprepare_entry_get(bytes, &entry, NULL) || !cose_header(entry.header, &statement) ||
        preprepare_claims_get(statement.claims, claims, NULL) != 0) {
        return false;
    }
    agreement_name(entry.header, entry.root, name);
    return claims->seqno == seqno;
}

/* Do the view-changes bear it that this batch is continued? NULL: none is. */
static const char *check_continued(const struct beginning *beginning,
                                   const struct preprepare_claims *batch, const ledger_hash name)
{
    struct viewchange_claims place = {.has_top = batch != NULL};
    bool asked_for = false;
    for (uint32_t i = 0; i < beginning->count; i++) {
        const struct viewchange_claims *claims = &beginning->asked[i].claims;
        asked_for |= claims->has_top == place.has_top &&
                     (!batch || memcmp(claims->top, name, sizeof claims->top) == 0);
    }
    if (!asked_for) {
        return "the batch that it stands on is not one that its view's beginning continues";
    }
    if (batch) {
        place.top_view = batch->view;
        place.top_seqno = batch->seqno;
    }
    return is_surpassed(beginning, &place)
               ? "a larger batch than the one it stands on was prepared, as its view's beginning "
                 "shows"
               : NULL;
}

/* The root of the ledger without its last entry: the way of that one is made of it. */
static void root_without_last(const struct tail *tail, ledger_hash out)
{
    const struct blame_place *place = &tail->entries[tail->count - 1].place;
    memcpy(out, place->path[0], LEDGER_HASH_BYTES);
    for (uint32_t i = 1; i < place->path_len; i++) {
        merkle_node(place->path[i], out, out);
    }
}

/* The view begins right below the batch: NULL, or what is wrong. */
static const char *check_beginning(const struct blame_case *at, const struct blame_batch *batch,
                                   const struct tail *tail, struct beginning *beginning,
                                   bool *primary_lied)
{
    const struct preprepare_claims *claims = &batch->claims;
    struct preprepare_claims before;
    struct newview_entry entry;
    ledger_hash name, root;
    if (tail->count < 2 || !newview_entry_get(from_end(tail, 0), &entry, NULL) ||
        !is_genuine(at, &entry, from_end(tail, 1), &beginning->claims, &beginning->configuration)) {
        return "the new-view below it is not one of its primary over the entry before";
    }
    root_without_last(tail, root);
    if (beginning->claims.view != claims->view || beginning->claims.cfg != claims->cfg ||
        beginning->claims.ledger_size + 1 != claims->ledger_size ||
        memcmp(beginning->claims.ledger_root, root, sizeof root) != 0) {
        return "the new-view below it is for another view or another ledger";
    }
    /* So its primary stated it on this ledger, and of this configuration. */
    read_beginning(at, from_end(tail, 1), beginning);
    *primary_lied = beginning->wrong != NULL;
    if (beginning->wrong) {
        return beginning->wrong;
    }
    bool is_there = tail->count > 2;
    if (beginning->claims.base_seqno + 1 != claims->seqno ||
        (is_there && (!is_preprepare(from_end(tail, 2), claims->seqno - 1, &before, name) ||
                      before.view >= claims->view))) {
        return "below its view's beginning is not the batch before it, of an earlier view";
    }
    return check_continued(beginning, is_there ? &before : NULL, name);
}

/* NULL, or what is wrong with how the batch's ledger leads into its view. */
static const char *check_tail(const struct blame_case *at, const struct blame_batch *batch,
                              const struct tail *tail, struct beginning *beginning,
                              bool *primary_lied)
{
    const struct preprepare_claims *claims = &batch->claims;
    struct preprepare_claims before;
    struct evidence evidence;
    ledger_hash name;
    if (tail->count == 0) {
        return claims->seqno == 1 && claims->view == 0
                   ? NULL
                   : "its ledger is empty, and it is not the first batch of view 0";
    }
    enum entry_kind kind = (enum entry_kind)entry_kind_of(from_end(tail, 0));
    bool has_evidence = kind == ENTRY_EVIDENCE;
    if (has_evidence != (claims->evidence != 0) ||
        (has_evidence && (!evidence_get(from_end(tail, 0), &evidence, NULL) ||
                          evidence.bitmap != claims->evidence))) {
        return "the evidence that it names is not what lies below it";
    }
    if (kind == ENTRY_NEW_VIEW) {
        return check_beginning(at, batch, tail, beginning, primary_lied);
    }
    if (!is_preprepare(from_end(tail, has_evidence), claims->seqno - 1, &before, name)) {
        return "what lies below it is not the batch before it";
    }
    return before.view == claims->view ? NULL : "its view has not begun: there is no new-view";
}

/* --- The two forms --- */

/* [new-view entry, view-change entry, anchor / null] */
static int new_view_alone(struct blame_case *at)
{
    struct wm_view newview, viewchanges;
    struct newview_entry entry;
    struct beginning beginning = {0};
    struct blame_place anchor;
    bool has_anchor;
    if (!cbor_bytes(&at->parts, &newview) || !cbor_bytes(&at->parts, &viewchanges) ||
        !blame_maybe(&at->parts, &has_anchor) ||
        (has_anchor && !blame_place_get(&at->parts, &anchor))) {
        return cbor_diag(&at->parts, "parts", at->diag);
    }
    int rc = blame_parts_end(at);
    if (rc != 0) {
        return rc;
    }
    const struct newview_claims *claims = &beginning.claims;
    if (!newview_entry_get(newview, &entry, at->diag)) {
        return WM_E_MALFORMED;
    }
    if (!is_genuine(at, &entry, viewchanges, &beginning.claims, &beginning.configuration)) {
        return wm_diag_set(at->diag, WM_E_FORGED,
                           "new-view %llu: it is not one of its view's primary over these "
                           "view-changes, in a configuration that the chain in the file reaches",
                           (number)claims->view);
    }
    if (claims->cfg > 0 && !has_anchor) {
        return blame_nobody(at, "that the ledger has this configuration of the chain is not shown");
    }
    if (has_anchor &&
        !blame_is_anchored(at, claims->cfg, &anchor, claims->ledger_size, claims->ledger_root)) {
        return wm_diag_set(at->diag, WM_E_FORGED,
                           "new-view %llu: its ledger does not have the chain's final vote where "
                           "the file says",
                           (number)claims->view);
    }
    read_beginning(at, viewchanges, &beginning);
    if (!beginning.wrong) {
        return blame_nobody(at, "the new-view is right in itself");
    }
    uint32_t primary = agreement_primary(claims->view, beginning.configuration->replica_count);
    blame_add(at, beginning.configuration, UINT64_C(1) << primary);
    blame_because(at, "it began view %llu with a new-view that is wrong: %s", (number)claims->view,
                  beginning.wrong);
    return 0;
}

/* Reads the entries, which are all of the last ones. */
static int tail_get(struct blame_case *at, const struct preprepare_claims *claims, struct tail *out)
{
    uint64_t count, size = claims->ledger_size;
    if (!cbor_array(&at->parts, &count)) {
        return cbor_diag(&at->parts, "parts", at->diag);
    }
    if (count != (size < BLAME_TAIL_MAX ? size : BLAME_TAIL_MAX)) {
        return wm_diag_set(at->diag, WM_E_MALFORMED,
                           "these are not the last entries of the batch's ledger");
    }
    out->count = (uint32_t)count;
    for (uint32_t i = 0; i < out->count; i++) {
        const struct blame_entry *entry = &out->entries[i];
        if (!blame_entry_get(&at->parts, &out->entries[i])) {
            return cbor_diag(&at->parts, "parts", at->diag);
        }
        if (entry->place.leaf != size - count + i ||
            !blame_lies_at(entry->entry, &entry->place, size, claims->ledger_root)) {
            return wm_diag_set(at->diag, WM_E_FORGED,
                               "batch %llu: its ledger does not end with these entries",
                               (number)claims->seqno);
        }
    }
    return blame_parts_end(at);
}

/* [vouched, [* entry with its place]] */
static int view_tail(struct blame_case *at)
{
    struct blame_answer answer;
    struct beginning beginning = {0};
    struct tail tail;
    bool primary_lied = false;
    int rc = blame_answer(at, &answer);
    if (rc == 0) {
        rc = tail_get(at, &answer.batch.claims, &tail);
    }
    if (rc != 0) {
        return rc;
    }
    const struct preprepare_claims *claims = &answer.batch.claims;
    if (!answer.anchored) {
        return blame_nobody(at, "that the ledger has this configuration of the chain is not shown");
    }
    const char *wrong = check_tail(at, &answer.batch, &tail, &beginning, &primary_lied);
    if (!wrong) {
        return blame_nobody(at, "the ledger of batch %llu leads into its view as it has to",
                            (number)claims->seqno);
    }
    blame_add(at, answer.signers.configuration, answer.signers.who);
    if (primary_lied) {
        blame_add(at, beginning.configuration,
                  UINT64_C(1) << agreement_primary(beginning.claims.view,
                                                   beginning.configuration->replica_count));
    }
    blame_because(at, "they signed batch %llu in view %llu: %s", (number)claims->seqno,
                  (number)claims->view, wrong);
    return 0;
}

int blame_new_view(struct blame_case *at)
{
    return at->part_count == 3 ? new_view_alone(at) : view_tail(at);
}
