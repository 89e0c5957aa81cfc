/* bft_liar_internal.h: what the files of the liar share.
 *
 *     bft_liar.c        what it hears, and what it says by itself
 *     bft_liar_says.c   what becomes of what its core wants to say
 *     bft_liar_views.c  view-changes and new views */
#ifndef WM_TEST_SIM_BFT_LIAR_INTERNAL_H
#define WM_TEST_SIM_BFT_LIAR_INTERNAL_H

#include "sim/bft_forge.h"
#include "sim/bft_liar.h"

#define LIAR_HEARD 48u
#define LIAR_TREES 64u
#define LIAR_CERTIFICATES 12u

struct liar {
    struct node *node;
    struct bytes *heard[LIAR_HEARD]; /* messages, for later */
    uint32_t heard_next;
    struct bytes *certificates[LIAR_CERTIFICATES]; /* encoded, from view-changes */
    uint32_t certificates_next;
    /* The ledger's tree after a batch that was proposed, as far as it could be followed. */
    struct {
        uint64_t seqno, view;
        struct merkle tree;
    } trees[LIAR_TREES];
    /* View-change entries of the newest new view that was seen. */
    struct bytes *view_changes, *new_view;
    uint64_t entered_view;
    struct sim_request early; /* a request whose time has not come */
    bool has_early;
    uint64_t view; /* largest that was heard of */
    uint32_t requests_forged;
};

static inline struct draw *dice(struct node *node)
{
    return &node->world->draw;
}
static inline const struct sign_key *own_key(const struct node *node)
{
    return key_of_replica(node->id);
}
static inline uint32_t everybody(const struct node *node) /* machines, as bits */
{
    return (uint32_t)((UINT64_C(1) << node->world->node_count) - 1);
}
static inline uint32_t somebody(struct node *node)
{
    return everybody(node) & (uint32_t)draw_u64(dice(node));
}

/* Does it play this trick now? */
bool liar_plays(struct node *node, enum trick_kind trick);
/* The configuration as its application knows it; NULL. */
const struct configuration *liar_configuration(const struct node *node, uint64_t cfg);
uint32_t liar_position(const struct node *node, uint64_t cfg); /* UINT32_MAX: none */
void liar_tells(struct node *node, uint32_t nodes, struct wm_view bytes);
/* A nonce of its own for a pre-prepare; and the one that its core has for a place. */
void liar_nonce(const struct node *node, const ledger_hash name, ledger_nonce out);
void liar_core_nonce(const struct node *node, const struct preprepare_claims *claims,
                     ledger_nonce out);
/* The tree right before the evidence of this proposal, as far as it could be followed. */
bool liar_tree_before(const struct liar *liar, const struct forged_preprepare *what,
                      struct merkle *out);
bool liar_tree_add(struct merkle *tree, struct wm_view entry);
/* The committed ledger's end, as seen from this liar's disk, at or below seqno. */
const struct bft_head *liar_head_below(const struct node *node, uint64_t seqno);
/* Remembers what may be of use. */
void liar_learns(struct liar *liar, const struct glance *glance, struct wm_view bytes);

/* A view-change with no top, or with a certificate that was heard some time. */
void liar_view_change(struct node *node, uint64_t cfg, uint64_t view, uint32_t to);
void liar_new_view(struct node *node, uint32_t to, struct wm_view bytes);

#endif
