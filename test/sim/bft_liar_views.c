/* View-changes and new views that are not what they should be. */
#include "sim/bft_liar_internal.h"

#include "base/assert.h"
#include "crypto/hash.h"
#include "crypto/merkle.h"

/* --- Views --- */

/* A view-change with no top, or with a certificate that was heard some time. */
void liar_view_change(struct node *node, uint64_t cfg, uint64_t view, uint32_t to)
{
    static const uint8_t none[1] = {0xf6};
    struct wm_view certificate = wm_view_of(none, 1);
    struct viewchange_claims claims = {
        .cfg = cfg, .view = view, .replica = liar_position(node, cfg)};
    struct bytes *kept = node->liar->certificates[draw_below(dice(node), LIAR_CERTIFICATES)];
    struct certificate *read = sim_alloc(1, sizeof *read);
    struct cbor_reader reader = cbor_reader_of(bytes_view(kept));
    struct preprepare_claims of;
    struct cose_statement statement;
    memcpy(claims.service, node->world->service.hash, sizeof claims.service);
    if (kept && certificate_get(&reader, read) && read->is_there &&
        cose_header(read->preprepare.header, &statement) &&
        preprepare_claims_get(statement.claims, &of, NULL) == 0) {
        uint8_t bytes[COSE_SIGNED_BYTES_MAX];
        struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
        cose_put_signed(&writer, read->preprepare.header, read->preprepare.payload);
        claims.has_top = true;
        claims.top_view = of.view;
        claims.top_seqno = of.seqno;
        wm_sha256_once(wm_view_of(bytes, writer.len), claims.top);
        certificate = bytes_view(kept);
    }
    free(read);
    if (claims.replica != UINT32_MAX) {
        liar_tells(node, to, forge_view_change(own_key(node), &claims, certificate));
    }
}

static bool read_new_view(struct wm_view bytes, struct peer_newview *message,
                          struct newview_claims *claims)
{
    struct peer_message whole;
    struct cose_statement statement;
    if (peer_message_get(bytes, &whole, NULL) != 0 || whole.kind != PEER_NEW_VIEW ||
        !cose_header(whole.newview.entry.header, &statement) ||
        newview_claims_get(statement.claims, claims, NULL) != 0) {
        return false;
    }
    *message = whole.newview;
    return true;
}

/* The view-change entry with something wrong in it. */
static size_t spoil_view_changes(struct node *node, struct wm_view entry, uint64_t view,
                                 struct newview_claims *claims, uint8_t *out, size_t room)
{
    struct viewchange *changes = sim_alloc(LEDGER_REPLICAS_MAX + 1, sizeof *changes);
    struct cbor_reader reader = cbor_reader_of(entry);
    uint32_t count = 0;
    bool ok = viewchanges_get_head(&reader, &view, &count) && count > 0;
    for (uint32_t i = 0; ok && i < count; i++) {
        ok = viewchange_get(&reader, &changes[i]);
    }
    struct cbor_writer writer = cbor_writer_of(out, room);
    if (ok) {
        uint32_t at = (uint32_t)draw_below(dice(node), count);
        switch (draw_below(dice(node), 4)) {
        case 0: /* one too few */
            changes[at] = changes[--count];
            claims->used &= claims->used - 1;
            break;
        case 1: changes[at] = changes[(at + 1) % count]; break; /* one of them twice */
        case 2: changes[at].signature[7] ^= 1; break;
        default: /* another's view-change without its certificate */
            changes[at].certificate = wm_view_of("\xf6", 1);
            break;
        }
        viewchanges_put_head(&writer, view, count);
        for (uint32_t i = 0; i < count; i++) {
            viewchange_put(&writer, &changes[i]);
        }
        ok = cbor_fits(&writer);
    }
    free(changes);
    return ok ? writer.len : 0;
}

/* An empty batch on top of a new view that continues `head`, with its nonce. */
static void say_first_of_view(struct node *node, const struct bft_head *head,
                              const struct newview_claims *view, const struct merkle *tree)
{
    struct forged_preprepare what = {0};
    struct preprepare_claims *claims = &what.claims;
    const uint64_t interval = node->world->plan.parameters.checkpoint_interval;
    ledger_nonce nonce;
    memcpy(claims->service, node->world->service.hash, sizeof claims->service);
    claims->cfg = view->cfg;
    claims->view = view->view;
    claims->seqno = head->seqno + 1;
    claims->first_index = head->next_index;
    claims->ledger_size = tree->count;
    merkle_root(tree, claims->ledger_root);
    memcpy(claims->state_root, head->state_root, sizeof claims->state_root);
    claims->governance = head->governance;
    for (uint32_t i = 0; i < 2; i++) {
        if (head->checkpoints[i].seqno > 0 &&
            head->checkpoints[i].seqno + interval <= claims->seqno) {
            claims->checkpoint_seqno = head->checkpoints[i].seqno;
            memcpy(claims->checkpoint_root, head->checkpoints[i].state_root, sizeof(ledger_hash));
        }
    }
    wm_sha256_once(wm_view_of(NULL, 0), what.root);
    liar_core_nonce(node, claims, nonce);
    wm_sha256_once(wm_view_of(nonce, sizeof nonce), claims->commitment);
    liar_tells(node, everybody(node), forge_preprepare(own_key(node), &what));
    liar_tells(node, everybody(node),
               forge_commit(claims->cfg, claims->view, claims->seqno,
                            liar_position(node, claims->cfg), nonce));
}

/* A new view that goes back to the end of what it knows to be committed, and a batch in it. */
static bool say_low_new_view(struct node *node, struct wm_view bytes)
{
    struct peer_newview message;
    struct newview_claims claims;
    if (!read_new_view(bytes, &message, &claims) || claims.base_seqno == 0) {
        return false;
    }
    const struct bft_head *head = liar_head_below(node, claims.base_seqno - 1);
    struct merkle tree = head->ledger;
    if (head->reconfigured_at != 0 || !liar_tree_add(&tree, message.viewchanges)) {
        return false;
    }
    claims.base_seqno = head->seqno;
    claims.ledger_size = tree.count;
    merkle_root(&tree, claims.ledger_root);
    struct bytes *changes = bytes_new(message.viewchanges);
    struct wm_view forged = forge_new_view(own_key(node), &claims, bytes_view(changes));
    struct peer_newview made;
    struct newview_claims ignored;
    liar_tells(node, everybody(node), forged);
    bool ok =
        read_new_view(forge_new_view(own_key(node), &claims, bytes_view(changes)), &made, &ignored);
    uint8_t entry[NEWVIEW_ENTRY_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(entry, sizeof entry);
    newview_entry_put(&writer, &made.entry);
    if (ok && liar_tree_add(&tree, wm_view_of(entry, writer.len))) {
        say_first_of_view(node, head, &claims, &tree);
    }
    bytes_drop(changes);
    return true;
}

void liar_new_view(struct node *node, uint32_t to, struct wm_view bytes)
{
    struct peer_newview message;
    struct newview_claims claims;
    bool ok = read_new_view(bytes, &message, &claims);
    WM_ASSERT(ok);
    if (liar_plays(node, TRICK_LOW_NEW_VIEW) && say_low_new_view(node, bytes)) {
        return;
    }
    if (!liar_plays(node, TRICK_BAD_NEW_VIEW)) {
        node_say(node, to, bytes, true);
        return;
    }
    size_t room = message.viewchanges.len + 4096;
    uint8_t *entry = sim_alloc(1, room);
    size_t len = 0;
    switch (draw_below(dice(node), 5)) {
    case 0: claims.base_seqno += draw_between(dice(node), 1, 2); break;
    case 1: claims.ledger_root[1] ^= 1; break;
    case 2: claims.used ^= 3; break;
    default:
        len = spoil_view_changes(node, message.viewchanges, claims.view, &claims, entry, room);
        break;
    }
    if (len == 0) {
        memcpy(entry, message.viewchanges.ptr, message.viewchanges.len);
        len = message.viewchanges.len;
    }
    liar_tells(node, draw_coin(dice(node)) ? everybody(node) : somebody(node),
               forge_new_view(own_key(node), &claims, wm_view_of(entry, len)));
    free(entry);
}
