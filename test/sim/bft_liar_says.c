/* What becomes of what a liar's core wants to say. */
#include "sim/bft_liar_internal.h"

#include "base/assert.h"
#include "crypto/hash.h"
#include "crypto/merkle.h"

static void flip_bits(struct node *node, uint8_t *bytes, size_t len)
{
    for (uint64_t n = draw_between(dice(node), 1, 4); n > 0 && len > 0; n--) {
        bytes[draw_below(dice(node), len)] ^= (uint8_t)(1u << draw_below(dice(node), 8));
    }
}

/* --- Proposals --- */

/* Is there a request that must not be in this batch? */
static bool has_early(const struct node *node, const struct preprepare_claims *claims)
{
    struct request read;
    return node->liar->has_early &&
           request_get(bytes_view(node->liar->early.request), &read, NULL) == 0 &&
           read.claims.minimum_index > claims->first_index + claims->count;
}

static void say_equivocating(struct node *node, uint32_t to, struct wm_view bytes,
                             const struct forged_preprepare *what, bool too_early)
{
    struct bft_executed executed;
    uint8_t requests[LEDGER_BATCH_MAX / 16 * LEDGER_HASH_BYTES];
    struct forged_preprepare other = *what;
    struct bytes *own = bytes_new(bytes);
    const struct sim_request *extra = too_early ? &node->liar->early : NULL;
    uint32_t skip = (uint32_t)draw_below(dice(node), what->count + 1);
    if (too_early && what->count > 0) {
        skip = 0; /* there is room for it */
    }
    if (what->count >= LEDGER_BATCH_MAX / 16 || what->claims.kind != BATCH_NORMAL ||
        !node->app->otherwise(node->app, what->claims.seqno, skip, extra, &executed, requests)) {
        bytes_drop(own);
        node_say(node, to, bytes, true);
        return;
    }
    other.count = other.claims.count = executed.taken;
    memcpy(other.root, executed.root, sizeof other.root);
    memcpy(other.claims.state_root, executed.state_root, sizeof other.claims.state_root);
    other.requests = wm_view_of(requests, (size_t)executed.taken * LEDGER_HASH_BYTES);
    struct bytes *forged = bytes_new(forge_preprepare(own_key(node), &other));
    /* What is against the rules for any replica goes to all: so that a quorum might take it. */
    uint32_t half = extra || draw_chance(dice(node), 200) ? everybody(node) : somebody(node);
    if (draw_coin(dice(node))) {
        liar_tells(node, half, bytes_view(forged));
        liar_tells(node, draw_chance(dice(node), 200) ? everybody(node) : ~half, bytes_view(own));
    } else {
        liar_tells(node, ~half, bytes_view(own));
        liar_tells(node, half, bytes_view(forged));
    }
    bytes_drop(forged);
    bytes_drop(own);
}

static void spoil_number(struct node *node, struct preprepare_claims *claims)
{
    struct draw *draw = dice(node);
    switch (draw_below(draw, 9)) {
    case 0: claims->seqno += draw_between(draw, 1, 3); break;
    case 1: claims->view += 1; break;
    case 2:
        claims->kind = (enum batch_kind)draw_below(draw, 3);
        claims->phase = claims->kind == BATCH_NORMAL ? 0 : (uint32_t)draw_between(draw, 1, 4);
        claims->has_committed_root = claims->kind == BATCH_END;
        break;
    case 3: claims->first_index++; break;
    case 4: claims->count++; break;
    case 5: claims->governance++; break;
    case 6: claims->checkpoint_seqno += 16; break;
    case 7: claims->checkpoint_root[3] ^= 1; break;
    default: claims->evidence ^= UINT64_C(1) << draw_below(draw, 4); break;
    }
}

/* Evidence with something in it that is not so, and a ledger root that fits it. */
static bool spoil_evidence(struct node *node, struct forged_preprepare *what,
                           uint8_t entry[EVIDENCE_BYTES_MAX])
{
    struct evidence *evidence = sim_alloc(1, sizeof *evidence);
    struct merkle tree;
    bool ok = what->evidence.len > 0 && evidence_get(what->evidence, evidence, NULL) &&
              liar_tree_before(node->liar, what, &tree);
    if (ok) {
        uint32_t at = (uint32_t)draw_below(dice(node), evidence->count);
        struct evidence_share *share = &evidence->shares[at];
        switch (draw_below(dice(node), 4)) {
        case 0: share->nonce[5] ^= 1; break;
        case 1: share->signature[5] ^= 1; break;
        case 2: /* its own nonce and commitment for another */
            liar_nonce(node, what->root, share->nonce);
            wm_sha256_once(wm_view_of(share->nonce, sizeof share->nonce), share->commitment);
            break;
        default: /* one fewer */
            evidence->count--;
            evidence->bitmap &= ~(UINT64_C(1) << (63 - __builtin_clzll(evidence->bitmap)));
            break;
        }
        what->claims.evidence = evidence->bitmap;
        struct cbor_writer writer = cbor_writer_of(entry, EVIDENCE_BYTES_MAX);
        ok = evidence->bitmap != 0;
        if (ok) {
            evidence_put(&writer, evidence);
            what->evidence = wm_view_of(entry, writer.len);
            ok = cbor_fits(&writer) && liar_tree_add(&tree, what->evidence);
            what->claims.ledger_size = tree.count;
            merkle_root(&tree, what->claims.ledger_root);
        }
    }
    free(evidence);
    return ok;
}

static void open_early(struct node *node, const struct preprepare_claims *claims)
{
    ledger_nonce nonce;
    ledger_hash commitment;
    uint32_t position = liar_position(node, claims->cfg);
    liar_core_nonce(node, claims, nonce);
    wm_sha256_once(wm_view_of(nonce, sizeof nonce), commitment);
    if (!hash_equal(commitment, claims->commitment) || !liar_plays(node, TRICK_EARLY_NONCE)) {
        return;
    }
    liar_tells(node, everybody(node),
               forge_commit(claims->cfg, claims->view, claims->seqno, position, nonce));
}

static void says_preprepare(struct node *node, uint32_t to, struct wm_view bytes)
{
    struct forged_preprepare what;
    struct statement_parts statement;
    uint8_t entry[EVIDENCE_BYTES_MAX];
    bool ok = forge_read_preprepare(bytes, &what, &statement);
    WM_ASSERT(ok);
    if (liar_plays(node, TRICK_SILENT_PRIMARY)) {
        return;
    }
    if (has_early(node, &what.claims) && liar_plays(node, TRICK_WRONG_INDEX)) {
        say_equivocating(node, to, bytes, &what, true);
        return;
    }
    if (liar_plays(node, TRICK_EQUIVOCATE)) {
        say_equivocating(node, to, bytes, &what, false);
        return;
    }
    bool spoiled = true;
    if (liar_plays(node, TRICK_RECOMMIT)) {
        liar_nonce(node, what.root, what.claims.commitment);
    } else if (liar_plays(node, TRICK_WRONG_ROOT)) {
        what.root[0] ^= 1;
    } else if (liar_plays(node, TRICK_WRONG_STATE)) {
        what.claims.state_root[0] ^= 1;
    } else if (liar_plays(node, TRICK_WRONG_LEDGER)) {
        what.claims.ledger_root[0] ^= 1;
    } else if (liar_plays(node, TRICK_WRONG_CLAIM)) {
        spoil_number(node, &what.claims);
    } else if (liar_plays(node, TRICK_OTHER_SERVICE)) {
        what.claims.service[0] ^= draw_coin(dice(node));
        what.claims.cfg += draw_coin(dice(node));
    } else if (liar_plays(node, TRICK_WRONG_EVIDENCE)) {
        spoiled = spoil_evidence(node, &what, entry);
    } else {
        spoiled = false;
    }
    if (!spoiled) {
        open_early(node, &what.claims);
        node_say(node, to, bytes, true);
        return;
    }
    struct bytes *own = bytes_new(bytes),
                 *forged = bytes_new(forge_preprepare(own_key(node), &what));
    uint32_t half = draw_coin(dice(node)) ? everybody(node) : somebody(node);
    liar_tells(node, half, bytes_view(forged));
    liar_tells(node, ~half, bytes_view(own));
    bytes_drop(forged);
    bytes_drop(own);
}

/* --- Answers --- */

static void says_status(struct node *node, uint32_t to, const struct peer_message *message)
{
    struct peer_message other = *message;
    for (uint32_t i = 0; i < node->world->node_count; i++) {
        uint64_t far = draw_coin(dice(node)) ? 3 : UINT64_C(1) << 40;
        if (to && node->world->nodes[i].id != to) {
            continue;
        }
        other.status.committed_seqno =
            message->status.committed_seqno + draw_below(dice(node), far);
        other.status.prepared_seqno = other.status.committed_seqno + draw_below(dice(node), 3);
        other.status.view += draw_below(dice(node), 2) * draw_below(dice(node), far);
        other.status.in_view = draw_coin(dice(node));
        other.status.evidenced_seqno = draw_below(dice(node), far);
        other.status.checkpoint_seqno = draw_below(dice(node), far);
        other.status.cfg += draw_below(dice(node), 20) == 0;
        liar_tells(node, UINT32_C(1) << i, forge_message(&other));
    }
}

/* A batch of which it was the primary, without its transactions: as if they had never been; with a
 * quorum that is none. */
static bool forge_entries(struct node *node, struct peer_message *message, uint8_t *out,
                          size_t room)
{
    uint64_t seqno = message->entries.from_seqno;
    const struct stored *stored = disk_stored(&node->disk, seqno);
    const struct bft_head *before = liar_head_below(node, seqno - 1);
    struct preprepare_claims claims;
    struct preprepare_entry entry;
    struct cose_statement statement;
    struct statement_parts parts;
    uint8_t encoded[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    uint8_t preprepare[PREPREPARE_ENTRY_BYTES_MAX], transactions[32];
    if (!stored || stored->pruned || seqno == 0 || before->seqno != seqno - 1 ||
        !preprepare_entry_get(bytes_view(stored->parts[3]), &entry, NULL) ||
        !cose_header(entry.header, &statement) ||
        memcmp(statement.key, own_key(node)->public_key, sizeof statement.key) != 0 ||
        preprepare_claims_get(statement.claims, &claims, NULL) != 0 ||
        message->entries.quorum.count == 0) {
        return false;
    }
    claims.count = 0;
    memcpy(claims.state_root, before->state_root, sizeof claims.state_root);
    wm_sha256_once(wm_view_of(NULL, 0), entry.root);
    struct cbor_writer a = cbor_writer_of(encoded, sizeof encoded);
    preprepare_claims_put(&a, &claims);
    forge_statement(own_key(node), true, wm_view_of(encoded, a.len), entry.root, header, &parts);
    entry.header = parts.header;
    struct cbor_writer b = cbor_writer_of(preprepare, sizeof preprepare);
    preprepare_entry_put(&b, &entry);
    struct cbor_writer c = cbor_writer_of(transactions, sizeof transactions);
    transactions_put_head(&c, seqno, 0);
    struct cbor_writer writer = cbor_writer_of(out, room);
    message->entries.count = 0;
    for (uint32_t i = 0; i < 3; i++) {
        if (stored->parts[i]) {
            cbor_put_bytes(&writer, bytes_view(stored->parts[i]));
            message->entries.count++;
        }
    }
    cbor_put_bytes(&writer, wm_view_of(preprepare, b.len));
    cbor_put_bytes(&writer, wm_view_of(transactions, c.len));
    message->entries.count += 2;
    message->entries.entries = wm_view_of(out, writer.len);
    /* The others' shares are of the true batch; its own nonce opens the commitment. */
    struct quorum *quorum = &message->entries.quorum;
    static uint8_t kept[COSE_PROTECTED_BYTES_MAX];
    memcpy(kept, parts.header.ptr, parts.header.len);
    quorum->header = wm_view_of(kept, parts.header.len);
    quorum->has_root = true;
    memcpy(quorum->root, entry.root, sizeof quorum->root);
    memcpy(quorum->signature, parts.signature, sizeof quorum->signature);
    return cbor_fits(&writer);
}

static void says_entries(struct node *node, uint32_t to, struct peer_message *message)
{
    struct wm_view entries = message->entries.entries;
    size_t room = entries.len + 4096;
    uint8_t *copy = sim_alloc(1, room);
    if (entries.len > 0) {
        memcpy(copy, entries.ptr, entries.len);
    }
    message->entries.entries = wm_view_of(copy, entries.len);
    switch (draw_below(dice(node), 5)) {
    case 0:
        if (entries.len > 0) {
            copy[draw_below(dice(node), entries.len)] ^= 1;
        }
        break;
    case 1: message->entries.count += draw_coin(dice(node)) ? 1 : UINT64_MAX; break;
    case 2:
        if (message->entries.has_quorum && message->entries.quorum.count > 0) {
            uint32_t at = (uint32_t)draw_below(dice(node), message->entries.quorum.count);
            if (draw_coin(dice(node))) {
                message->entries.quorum.shares[at].nonce[0] ^= 1;
            } else {
                message->entries.quorum.count--;
            }
        }
        break;
    default: (void)forge_entries(node, message, copy, room); break;
    }
    node_say(node, to, forge_message(message), true);
    free(copy);
}

/* --- What its core says --- */

static void says_spoiled(struct node *node, uint32_t to, struct peer_message *message)
{
    ledger_signature *signature = NULL;
    switch ((uint32_t)message->kind) {
    case PEER_PREPREPARE: signature = &message->preprepare.statement.signature; break;
    case PEER_PREPARE: signature = &message->prepare.statement.signature; break;
    case PEER_VIEW_CHANGE: signature = &message->viewchange.signature; break;
    case PEER_NEW_VIEW: signature = &message->newview.entry.signature; break;
    default: break;
    }
    if (signature) {
        (*signature)[draw_below(dice(node), sizeof *signature)] ^= 4;
    }
    node_say(node, to, forge_message(message), true);
}

static void says_prepare(struct node *node, uint32_t to, struct wm_view bytes,
                         const struct peer_message *message)
{
    struct cose_statement statement;
    struct prepare_claims claims;
    bool ok = cose_header(message->prepare.statement.header, &statement) &&
              prepare_claims_get(statement.claims, &claims, NULL) == 0;
    WM_ASSERT(ok);
    if (liar_plays(node, TRICK_OTHER_SERVICE)) {
        claims.service[0] ^= draw_coin(dice(node));
        claims.cfg += draw_coin(dice(node));
        liar_tells(node, everybody(node),
                   forge_prepare(own_key(node), &claims, message->prepare.statement.payload));
    } else {
        struct preprepare_claims place = {
            .cfg = claims.cfg, .view = claims.view, .seqno = claims.seqno};
        memcpy(place.commitment, claims.commitment, sizeof place.commitment);
        open_early(node, &place);
        node_say(node, to, bytes, true);
    }
}

void liar_says(struct node *node, uint32_t to, struct wm_view bytes, bool after_sync)
{
    struct peer_message message;
    struct glance glance;
    glance_at(bytes, &glance);
    liar_learns(node->liar, &glance, bytes);
    if (peer_message_get(bytes, &message, NULL) != 0) {
        world_fail(node->world, "node %u: it sends what cannot be read", node->index);
        return;
    }
    if (liar_plays(node, TRICK_SELECTIVE)) {
        if (to == 0) {
            liar_tells(node, somebody(node), bytes);
        }
        return;
    }
    if (liar_plays(node, TRICK_NOISE)) {
        struct bytes *noisy = bytes_new(bytes);
        flip_bits(node, noisy->at, noisy->len);
        noisy->len -= draw_chance(dice(node), 100) ? draw_below(dice(node), noisy->len) : 0;
        node_say(node, to, bytes_view(noisy), after_sync);
        bytes_drop(noisy);
        return;
    }
    if (liar_plays(node, TRICK_BAD_SIGNATURE)) {
        says_spoiled(node, to, &message);
        return;
    }
    bool own = memcmp(glance.signer, own_key(node)->public_key, sizeof glance.signer) == 0;
    switch (message.kind) {
    case PEER_PREPREPARE:
        if (own) {
            says_preprepare(node, to, bytes);
            return;
        }
        break;
    case PEER_PREPARE:
        if (own) {
            says_prepare(node, to, bytes, &message);
            return;
        }
        break;
    case PEER_COMMIT:
        if (liar_plays(node, TRICK_WITHHOLD_NONCE)) {
            return;
        }
        if (liar_plays(node, TRICK_WRONG_NONCE)) {
            message.commit.nonce[0] ^= 1;
            node_say(node, to, forge_message(&message), after_sync);
            return;
        }
        break;
    case PEER_VIEW_CHANGE:
        if (own && liar_plays(node, TRICK_LOW_TOP)) {
            liar_view_change(node, glance.cfg, glance.view, everybody(node));
            return;
        }
        break;
    case PEER_NEW_VIEW:
        if (own) {
            liar_new_view(node, to, bytes);
            return;
        }
        break;
    case PEER_STATUS:
        if (liar_plays(node, TRICK_FALSE_STATUS)) {
            says_status(node, to, &message);
            return;
        }
        break;
    case PEER_ENTRIES:
        if (liar_plays(node, TRICK_FALSE_ENTRIES)) {
            says_entries(node, to, &message);
            return;
        }
        break;
    case PEER_NEWEST:
        if (liar_plays(node, TRICK_FALSE_NEWEST)) {
            message.newest.batch.header = message.newest.view.header = wm_view_of(NULL, 0);
            message.newest.challenge[0] ^= draw_chance(dice(node), 200);
            node_say(node, to, forge_message(&message), after_sync);
            return;
        }
        break;
    case PEER_REQUEST:
    case PEER_FETCH_REQUESTS:
    case PEER_FETCH_ENTRIES:
    case PEER_ASK_NEWEST:
    case PEER_FETCH_CHECKPOINT:
    case PEER_CHECKPOINT: break;
    }
    node_say(node, to, bytes, after_sync);
}

void liar_replies(struct node *node, struct reply *reply)
{
    if (liar_plays(node, TRICK_WRONG_NONCE)) {
        reply->nonce[0] ^= 1;
    } else if (liar_plays(node, TRICK_BAD_SIGNATURE)) {
        reply->signature[0] ^= 1;
    } else if (liar_plays(node, TRICK_WRONG_ROOT)) {
        reply->root[0] ^= 1;
    }
}
