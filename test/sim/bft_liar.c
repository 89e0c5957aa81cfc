/* What a liar hears, and what it says by itself. */
#include "sim/bft_liar_internal.h"

#include "base/assert.h"
#include "crypto/hash.h"
#include "crypto/merkle.h"

#define ACT_NS (40 * MS)

struct liar *liar_new(struct node *node)
{
    struct liar *liar = sim_alloc(1, sizeof *liar);
    liar->node = node;
    world_push(node->world, draw_below(&node->world->draw, ACT_NS), EVENT_LIAR, node->index, 0,
               NULL);
    return liar;
}

void liar_free(struct liar *liar)
{
    if (!liar) {
        return;
    }
    for (uint32_t i = 0; i < LIAR_HEARD; i++) {
        bytes_drop(liar->heard[i]);
    }
    for (uint32_t i = 0; i < LIAR_CERTIFICATES; i++) {
        bytes_drop(liar->certificates[i]);
    }
    bytes_drop(liar->view_changes);
    bytes_drop(liar->new_view);
    if (liar->has_early) {
        bytes_drop(liar->early.request);
        bytes_drop(liar->early.arguments);
    }
    free(liar);
}

/* Does it play this trick now? */
bool liar_plays(struct node *node, enum trick_kind trick)
{
    const struct plan *plan = &node->world->plan;
    if (!(plan->tricks >> trick & 1) || !draw_chance(dice(node), plan->trick_pm)) {
        return false;
    }
    node->world->counts->tricks[trick]++;
    world_trace(node->world, node->index, UINT32_MAX, trick_text(trick), 0, 0, 0, NULL);
    return true;
}

const struct configuration *liar_configuration(const struct node *node, uint64_t cfg)
{
    return node->app ? node->app->calls.configuration(node->app->calls.self, cfg) : NULL;
}

uint32_t liar_position(const struct node *node, uint64_t cfg)
{
    const struct configuration *configuration = liar_configuration(node, cfg);
    for (uint32_t i = 0; configuration && i < configuration->replica_count; i++) {
        if (configuration->replicas[i].id == node->id) {
            return i;
        }
    }
    return UINT32_MAX;
}

void liar_core_nonce(const struct node *node, const struct preprepare_claims *claims,
                     ledger_nonce out)
{
    /* As src/bft/window.c derives it; if that changes, no nonce is ever opened early, and the test
     * that counts tricks fails. */
    uint8_t text[16 + 3 * 8] = "wardmote nonce 1", secret[32];
    const uint64_t numbers[3] = {claims->cfg, claims->view, claims->seqno};
    memcpy(text + 16, numbers, sizeof numbers);
    node_nonce_secret(node, secret);
    wm_mac(secret, wm_view_of(text, sizeof text), out);
}

/* The committed ledger's end, as seen from this liar's disk, at or below seqno. */
const struct bft_head *liar_head_below(const struct node *node, uint64_t seqno)
{
    uint64_t at = node->disk.ledger_end < seqno ? node->disk.ledger_end : seqno;
    const struct stored *stored = disk_stored(&node->disk, at);
    return stored ? &stored->head : &node->disk.begin_head;
}

/* --- Saying it to some --- */

void liar_tells(struct node *node, uint32_t nodes, struct wm_view bytes)
{
    for (uint32_t i = 0; i < node->world->node_count; i++) {
        uint32_t id = node->world->nodes[i].id;
        /* Twins of another: both are spoken to at once. */
        if ((nodes >> i & 1) && id != node->id && node->world->nodes[i].side != 2) {
            node_say(node, id, bytes, false);
        }
    }
}

/* --- The tree, followed from proposal to proposal --- */

bool liar_tree_add(struct merkle *tree, struct wm_view entry)
{
    merkle_hash leaf;
    if (entry.len == 0) {
        return true;
    }
    merkle_leaf(entry, leaf);
    return merkle_add(tree, leaf);
}

static bool tree_is(const struct merkle *tree, uint64_t size, const ledger_hash root)
{
    merkle_hash ours;
    merkle_root(tree, ours);
    return tree->count == size && hash_equal(ours, root);
}

static bool tree_add_preprepare(struct merkle *tree, struct wm_view header, const ledger_hash root)
{
    uint8_t bytes[PREPREPARE_ENTRY_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    struct preprepare_entry entry = {.header = header};
    memcpy(entry.root, root, sizeof entry.root);
    preprepare_entry_put(&writer, &entry);
    return cbor_fits(&writer) && liar_tree_add(tree, wm_view_of(bytes, writer.len));
}

/* The tree after batch seqno; candidates: what was followed, and the committed ledger. */
static bool tree_candidate(const struct liar *liar, uint64_t seqno, uint32_t number,
                           struct merkle *out)
{
    const struct node *node = liar->node;
    const struct stored *stored = disk_stored(&node->disk, seqno);
    if (number == 0 && liar->trees[seqno % LIAR_TREES].seqno == seqno && seqno > 0) {
        *out = liar->trees[seqno % LIAR_TREES].tree;
        return true;
    }
    if (number == 1 && stored) {
        *out = stored->head.ledger;
        return true;
    }
    if (number == 1 && seqno == node->disk.begin_head.seqno) {
        *out = node->disk.begin_head.ledger;
        return true;
    }
    return false;
}

/* The tree right before the evidence of this proposal. */
bool liar_tree_before(const struct liar *liar, const struct forged_preprepare *what,
                      struct merkle *out)
{
    for (uint32_t number = 0; number < 2; number++) {
        for (int with_view = 0; with_view < 2; with_view++) {
            struct merkle tree, whole;
            if (!tree_candidate(liar, what->claims.seqno - 1, number, &tree) ||
                (with_view && liar->entered_view != what->claims.view)) {
                continue;
            }
            if (with_view && (!liar_tree_add(&tree, bytes_view(liar->view_changes)) ||
                              !liar_tree_add(&tree, bytes_view(liar->new_view)))) {
                continue;
            }
            whole = tree;
            if (liar_tree_add(&whole, what->evidence) &&
                tree_is(&whole, what->claims.ledger_size, what->claims.ledger_root)) {
                *out = tree;
                return true;
            }
        }
    }
    return false;
}

static void follow_proposal(struct liar *liar, const struct forged_preprepare *what,
                            const struct statement_parts *statement)
{
    struct merkle tree;
    if (!liar_tree_before(liar, what, &tree) || !liar_tree_add(&tree, what->evidence) ||
        !tree_add_preprepare(&tree, statement->header, what->root)) {
        return;
    }
    uint64_t at = what->claims.seqno % LIAR_TREES;
    liar->trees[at].seqno = what->claims.seqno;
    liar->trees[at].view = what->claims.view;
    liar->trees[at].tree = tree;
}

/* --- What it hears --- */

static void keep_certificate(struct liar *liar, struct wm_view certificate)
{
    for (uint32_t i = 0; i < LIAR_CERTIFICATES; i++) {
        if (wm_view_eq(bytes_view(liar->certificates[i]), certificate)) {
            return;
        }
    }
    struct bytes **place = &liar->certificates[liar->certificates_next++ % LIAR_CERTIFICATES];
    bytes_drop(*place);
    *place = bytes_new(certificate);
}

static void keep_new_view(struct liar *liar, uint64_t view, const struct peer_newview *message)
{
    uint8_t entry[NEWVIEW_ENTRY_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(entry, sizeof entry);
    newview_entry_put(&writer, &message->entry);
    bytes_drop(liar->view_changes);
    bytes_drop(liar->new_view);
    liar->view_changes = bytes_new(message->viewchanges);
    liar->new_view = bytes_new(wm_view_of(entry, writer.len));
    liar->entered_view = view;
}

void liar_learns(struct liar *liar, const struct glance *glance, struct wm_view bytes)
{
    struct forged_preprepare what;
    struct statement_parts statement;
    struct peer_message message;
    if (glance->view > liar->view) {
        liar->view = glance->view;
    }
    switch (glance->kind) {
    case PEER_PREPREPARE:
        if (forge_read_preprepare(bytes, &what, &statement)) {
            follow_proposal(liar, &what, &statement);
        }
        break;
    case PEER_VIEW_CHANGE:
        if (peer_message_get(bytes, &message, NULL) == 0) {
            keep_certificate(liar, message.viewchange.certificate);
        }
        break;
    case PEER_NEW_VIEW:
        if (peer_message_get(bytes, &message, NULL) == 0) {
            keep_new_view(liar, glance->view, &message.newview);
        }
        break;
    default: break;
    }
}

void liar_nonce(const struct node *node, const ledger_hash name, ledger_nonce out)
{
    uint8_t text[1 + sizeof(ledger_hash)];
    text[0] = (uint8_t)node->id;
    memcpy(text + 1, name, sizeof(ledger_hash));
    wm_sha256_once(wm_view_of(text, sizeof text), out);
}

/* Prepares somebody's proposal, whatever it is, and opens its own nonce at once. */
static void prepare_anyhow(struct node *node, const struct glance *glance, const ledger_hash root)
{
    struct prepare_claims claims = {.cfg = glance->cfg,
                                    .view = glance->view,
                                    .seqno = glance->seqno,
                                    .replica = liar_position(node, glance->cfg)};
    ledger_nonce nonce;
    if (claims.replica == UINT32_MAX) {
        return;
    }
    memcpy(claims.service, node->world->service.hash, sizeof claims.service);
    memcpy(claims.preprepare, glance->name, sizeof claims.preprepare);
    liar_nonce(node, glance->name, nonce);
    wm_sha256_once(wm_view_of(nonce, sizeof nonce), claims.commitment);
    uint32_t to = draw_coin(dice(node)) ? everybody(node) : somebody(node);
    liar_tells(node, to, forge_prepare(own_key(node), &claims, root));
    liar_tells(node, to,
               forge_commit(glance->cfg, glance->view, glance->seqno, claims.replica, nonce));
}

void liar_hears(struct node *node, const struct packet *packet)
{
    struct liar *liar = node->liar;
    struct bytes **place = &liar->heard[liar->heard_next++ % LIAR_HEARD];
    bytes_drop(*place);
    *place = bytes_get(packet->bytes);
    liar_learns(liar, &packet->glance, bytes_view(packet->bytes));
    if (packet->glance.kind == PEER_PREPREPARE && liar_plays(node, TRICK_SAY_YES)) {
        struct forged_preprepare what;
        struct statement_parts statement;
        if (forge_read_preprepare(bytes_view(packet->bytes), &what, &statement)) {
            prepare_anyhow(node, &packet->glance, what.root);
        }
    }
}

void liar_hears_request(struct node *node, const struct sim_request *request)
{
    struct liar *liar = node->liar;
    const struct ledger_parameters *parameters = &node->world->plan.parameters;
    struct request read;
    /* Early, but not so early that nobody else keeps it. */
    uint64_t near = 2ull * parameters->pipeline * parameters->batch_max;
    if (request_get(bytes_view(request->request), &read, NULL) != 0 ||
        read.claims.minimum_index <= node->status.next_index ||
        read.claims.minimum_index > node->status.next_index + near ||
        !hash_equal(read.claims.service, node->world->service.hash)) {
        return;
    }
    if (liar->has_early) {
        bytes_drop(liar->early.request);
        bytes_drop(liar->early.arguments);
    }
    liar->early = *request;
    bytes_get(request->request);
    bytes_get(request->arguments);
    liar->has_early = true;
}

/* --- By itself --- */

static void flood_one(struct node *node)
{
    struct draw *draw = dice(node);
    struct peer_message message = {0};
    uint64_t cfg = node->status.cfg, view = node->status.view + draw_below(draw, 4);
    uint64_t seqno = node->status.committed_seqno + draw_below(draw, 80);
    uint8_t rubbish[256];
    ledger_hash hash;
    struct prepare_claims claims = {
        .cfg = cfg, .view = view, .seqno = seqno, .replica = liar_position(node, cfg)};
    for (size_t i = 0; i < sizeof rubbish; i++) {
        rubbish[i] = (uint8_t)draw_u64(draw);
    }
    memcpy(hash, rubbish, sizeof hash);
    switch (draw_below(draw, 9)) {
    case 0: liar_tells(node, somebody(node), wm_view_of(rubbish, draw_below(draw, 256))); return;
    case 1:
        memcpy(claims.service, node->world->service.hash, sizeof claims.service);
        memcpy(claims.preprepare, hash, sizeof hash);
        memcpy(claims.commitment, hash, sizeof hash);
        if (claims.replica != UINT32_MAX) {
            liar_tells(node, somebody(node), forge_prepare(own_key(node), &claims, hash));
        }
        return;
    case 2:
        liar_tells(node, somebody(node), forge_commit(cfg, view, seqno, claims.replica % 64, hash));
        return;
    case 3: liar_view_change(node, cfg, view + draw_below(draw, 1000), somebody(node)); return;
    case 4:
        message.kind = PEER_FETCH_REQUESTS;
        message.fetch_requests.count = 8;
        message.fetch_requests.requests = wm_view_of(rubbish, 8 * sizeof hash);
        break;
    case 5:
        message.kind = PEER_FETCH_ENTRIES;
        message.fetch_entries.from_seqno = draw_coin(draw) ? 1 : seqno;
        if (draw_coin(draw)) {
            memcpy(message.fetch_entries.name, hash, sizeof hash);
        }
        break;
    case 6:
        message.kind = PEER_ASK_NEWEST;
        memcpy(message.ask_newest.challenge, hash, sizeof hash);
        break;
    case 7:
        message.kind = PEER_REQUEST;
        message.request.request = wm_view_of(rubbish, draw_between(draw, 1, 250));
        message.request.arguments = wm_view_of(rubbish, draw_below(draw, 250));
        break;
    default:
        message.kind = PEER_STATUS;
        message.status = (struct peer_status){.cfg = cfg,
                                              .view = view,
                                              .committed_seqno = seqno,
                                              .prepared_seqno = seqno,
                                              .checkpoint_seqno = draw_below(draw, 1000)};
        break;
    }
    liar_tells(node, somebody(node), forge_message(&message));
}

/* A pre-prepare for a view or place that has not come, big enough to fill somebody's memory. */
static void flood_early(struct node *node)
{
    struct forged_preprepare what = {0};
    static uint8_t requests[LEDGER_BATCH_MAX * LEDGER_HASH_BYTES];
    uint64_t cfg = node->status.cfg;
    const struct configuration *configuration = liar_configuration(node, cfg);
    uint32_t position = liar_position(node, cfg);
    if (position == UINT32_MAX) {
        return;
    }
    uint32_t n = configuration->replica_count;
    memcpy(what.claims.service, node->world->service.hash, sizeof what.claims.service);
    what.claims.cfg = cfg;
    what.claims.view = (node->status.view / n + 1 + draw_below(dice(node), 3)) * n + position;
    what.claims.seqno = node->status.committed_seqno + 1 + draw_below(dice(node), 32);
    what.claims.first_index = 1;
    what.claims.count = what.count = (uint32_t)draw_between(dice(node), 1, 600);
    what.requests = wm_view_of(requests, (size_t)what.count * LEDGER_HASH_BYTES);
    liar_tells(node, somebody(node), forge_preprepare(own_key(node), &what));
}

static void replay(struct node *node)
{
    struct bytes *old = node->liar->heard[draw_below(dice(node), LIAR_HEARD)];
    if (old) {
        liar_tells(node, somebody(node), bytes_view(old));
    }
}

/* Its machine forgets the newest, and nobody tells it. */
static void forget(struct node *node)
{
    struct world *world = node->world;
    if (!node->has_backup) {
        disk_copy(&node->disk, &node->backup);
        node->has_backup = true;
        return;
    }
    node_crash(node);
    disk_fini(&node->disk);
    node->disk = node->backup;
    node->has_backup = false;
    world_push(world, draw_below(dice(node), 20 * MS) + 1, EVENT_BOOT, node->index, 0, NULL);
}

/* A request of its own, of a client whom nobody knows; a few of them. */
static void ask_something(struct node *node)
{
    uint64_t arguments[2] = {0, 1};
    struct peer_message message = {.kind = PEER_REQUEST};
    struct sim_request request;
    if (node->liar->requests_forged++ >= 4) {
        return;
    }
    app_request(node->world->service.hash, APP_CLIENTS + node->id % 8, node->liar->requests_forged,
                0, "add", wm_view_of(arguments, sizeof arguments), &request);
    message.request.request = bytes_view(request.request);
    message.request.arguments = bytes_view(request.arguments);
    request.request->at[request.request->len - 1] ^= draw_coin(dice(node));
    liar_tells(node, somebody(node), forge_message(&message));
    bytes_drop(request.request);
    bytes_drop(request.arguments);
}

void liar_acts(struct node *node)
{
    struct world *world = node->world;
    world_push(world, draw_below(&world->draw, 2 * ACT_NS) + MS, EVENT_LIAR, node->index, 0, NULL);
    if (!node->core || node->status.mode == BFT_SILENT) {
        return;
    }
    if (liar_plays(node, TRICK_EAGER_VIEW)) {
        uint64_t view = (draw_coin(dice(node)) ? node->status.view : node->liar->view) +
                        draw_between(dice(node), 1, 4);
        liar_view_change(node, node->status.cfg, view, somebody(node));
    }
    if (liar_plays(node, TRICK_FLOOD)) {
        for (uint64_t n = draw_between(dice(node), 1, world->calm ? 5 : 60); n > 0; n--) {
            if (draw_chance(dice(node), 150)) {
                flood_early(node);
            } else {
                flood_one(node);
            }
        }
        ask_something(node);
    }
    if (liar_plays(node, TRICK_REPLAY)) {
        replay(node);
    }
    if (draw_chance(dice(node), 100) && liar_plays(node, TRICK_AMNESIA)) {
        forget(node);
    }
}
