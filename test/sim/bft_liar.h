/* bft_liar.h: replicas that lie.
 *
 * A liar is a machine with the real core, whose messages are changed, multiplied or kept back on
 * the way out, and which says things by itself, all with its own key only. Which tricks it plays,
 * and how often, the plan tells (bft_plan.h). Twins (two machines, one key, half of the world each)
 * lie by being two; nothing of theirs is changed unless tricks are asked for as well. */
#ifndef WM_TEST_SIM_BFT_LIAR_H
#define WM_TEST_SIM_BFT_LIAR_H

#include "sim/bft_world.h"

struct liar *liar_new(struct node *node);
void liar_free(struct liar *liar); /* NULL allowed */

/* What its core wants to say, to replica `to` or (0) to all. */
void liar_says(struct node *node, uint32_t to, struct wm_view bytes, bool after_sync);
/* The share that it is about to give clients. */
void liar_replies(struct node *node, struct reply *reply);
void liar_hears(struct node *node, const struct packet *packet);
void liar_hears_request(struct node *node, const struct sim_request *request);
/* By itself, now and then. */
void liar_acts(struct node *node);

#endif
