/* Links, and what can be seen of a message from outside. */
#include "crypto/hash.h"
#include "proof/statement.h"
#include "sim/bft_check.h"
#include "sim/bft_liar.h"
#include "sim/bft_world.h"

/* --- Glances --- */

static void name_of(struct wm_view header, const ledger_hash payload, ledger_hash out)
{
    struct statement_signed bytes;
    statement_signed_bytes(header, payload, &bytes);
    wm_sha256_once(wm_view_of(bytes.bytes, bytes.len), out);
}

static bool glance_preprepare(const struct statement_parts *parts, struct glance *out)
{
    struct cose_statement statement;
    struct preprepare_claims claims;
    if (!cose_header(parts->header, &statement) ||
        preprepare_claims_get(statement.claims, &claims, NULL) != 0) {
        return false;
    }
    memcpy(out->signer, statement.key, sizeof out->signer);
    out->cfg = claims.cfg;
    out->view = claims.view;
    out->seqno = claims.seqno;
    memcpy(out->commitment, claims.commitment, sizeof out->commitment);
    name_of(parts->header, parts->payload, out->name);
    memcpy(out->statement, out->name, sizeof out->statement);
    out->has_name = true;
    return true;
}

static bool glance_prepare(const struct statement_parts *parts, struct glance *out)
{
    struct cose_statement statement;
    struct prepare_claims claims;
    if (!cose_header(parts->header, &statement) ||
        prepare_claims_get(statement.claims, &claims, NULL) != 0) {
        return false;
    }
    memcpy(out->signer, statement.key, sizeof out->signer);
    out->cfg = claims.cfg;
    out->view = claims.view;
    out->seqno = claims.seqno;
    out->position = claims.replica;
    memcpy(out->name, claims.preprepare, sizeof out->name);
    memcpy(out->commitment, claims.commitment, sizeof out->commitment);
    name_of(parts->header, parts->payload, out->statement);
    out->has_name = true;
    return true;
}

static bool glance_view_change(const struct viewchange *change, struct glance *out)
{
    struct cose_statement statement;
    struct viewchange_claims claims;
    ledger_hash payload;
    if (!cose_header(change->header, &statement) ||
        viewchange_claims_get(statement.claims, &claims, NULL) != 0) {
        return false;
    }
    memcpy(out->signer, statement.key, sizeof out->signer);
    out->cfg = claims.cfg;
    out->view = claims.view;
    out->position = claims.replica;
    out->has_top = claims.has_top;
    out->top_view = claims.top_view;
    out->top_seqno = claims.top_seqno;
    wm_sha256_once(change->certificate, payload);
    name_of(change->header, payload, out->statement);
    return true;
}

static bool glance_new_view(const struct peer_newview *message, struct glance *out)
{
    struct cose_statement statement;
    struct newview_claims claims;
    ledger_hash payload;
    if (!cose_header(message->entry.header, &statement) ||
        newview_claims_get(statement.claims, &claims, NULL) != 0) {
        return false;
    }
    memcpy(out->signer, statement.key, sizeof out->signer);
    out->cfg = claims.cfg;
    out->view = claims.view;
    out->seqno = claims.base_seqno;
    wm_sha256_once(message->viewchanges, payload);
    name_of(message->entry.header, payload, out->statement);
    return true;
}

void glance_at(struct wm_view bytes, struct glance *out)
{
    struct peer_message message;
    bool ok = true;
    memset(out, 0, sizeof *out);
    if (peer_message_get(bytes, &message, NULL) != 0) {
        return;
    }
    switch (message.kind) {
    case PEER_PREPREPARE: ok = glance_preprepare(&message.preprepare.statement, out); break;
    case PEER_PREPARE: ok = glance_prepare(&message.prepare.statement, out); break;
    case PEER_COMMIT:
        out->cfg = message.commit.cfg;
        out->view = message.commit.view;
        out->seqno = message.commit.seqno;
        out->position = message.commit.replica;
        out->has_nonce = true;
        memcpy(out->nonce, message.commit.nonce, sizeof out->nonce);
        break;
    case PEER_VIEW_CHANGE: ok = glance_view_change(&message.viewchange, out); break;
    case PEER_NEW_VIEW: ok = glance_new_view(&message.newview, out); break;
    case PEER_FETCH_ENTRIES: out->seqno = message.fetch_entries.from_seqno; break;
    case PEER_ENTRIES: out->seqno = message.entries.from_seqno; break;
    case PEER_STATUS:
        out->cfg = message.status.cfg;
        out->view = message.status.view;
        out->seqno = message.status.committed_seqno;
        break;
    case PEER_REQUEST:
    case PEER_FETCH_REQUESTS:
    case PEER_ASK_NEWEST:
    case PEER_NEWEST:
    case PEER_FETCH_CHECKPOINT:
    case PEER_CHECKPOINT: break;
    }
    out->kind = ok ? message.kind : 0;
}

struct packet *packet_new(uint32_t from, struct wm_view message)
{
    struct packet *packet = sim_alloc(1, sizeof *packet);
    packet->holders = 1;
    packet->from = from;
    packet->bytes = bytes_new(message);
    glance_at(message, &packet->glance);
    return packet;
}

struct packet *packet_get(struct packet *packet)
{
    packet->holders++;
    return packet;
}

void packet_drop(struct packet *packet)
{
    if (packet && --packet->holders == 0) {
        bytes_drop(packet->bytes);
        free(packet);
    }
}

/* --- Links --- */

uint64_t net_delay(struct world *world)
{
    const struct plan *plan = &world->plan;
    uint64_t delay =
        plan->delay_ns + (plan->spread_ns ? draw_below(&world->draw, plan->spread_ns) : 0);
    /* A long tail: what makes late messages meet another view. */
    if (plan->spread_ns && draw_chance(&world->draw, 50)) {
        delay += draw_below(&world->draw, 10 * plan->spread_ns);
    }
    return delay;
}

static void send_one(struct node *from, struct node *to, struct packet *packet)
{
    struct world *world = from->world;
    const struct link *link = &world->links[from->index][to->index];
    bool apart = (node_is_twin(from) || node_is_twin(to) || (world->plan.apart && !world->calm)) &&
                 !(from->side & to->side);
    if (from->id == to->id || apart) {
        return;
    }
    if ((world->let_pass && !world->let_pass(world->let_pass_self, packet, to->index)) ||
        link->cut || draw_chance(&world->draw, link->loss_pm)) {
        world_trace(world, from->index, to->index, "lost", packet->glance.kind, packet->glance.view,
                    packet->glance.seqno, packet->glance.name);
        return;
    }
    uint32_t copies =
        world->plan.twice_pm && draw_chance(&world->draw, world->plan.twice_pm) ? 2 : 1;
    while (copies-- > 0) {
        uint64_t delay = net_delay(world) * (link->lag ? link->lag : 1);
        world->counts->messages++;
        world_push(world, delay, EVENT_DELIVER, to->index, 0, packet_get(packet));
    }
}

/* Ids of the replicas that a broadcast of this node goes to, as bits. */
static uint64_t audience(const struct node *node)
{
    uint64_t ids = 0;
    const struct bft_app *app = &node->app->calls;
    for (uint64_t cfg = node->status.cfg; cfg <= node->status.cfg + 1; cfg++) {
        const struct configuration *configuration = app->configuration(app->self, cfg);
        for (uint32_t i = 0; configuration && i < configuration->replica_count; i++) {
            ids |= UINT64_C(1) << configuration->replicas[i].id;
        }
    }
    return ids;
}

void net_send(struct node *from, uint32_t to, struct packet *packet)
{
    struct world *world = from->world;
    world_trace(world, from->index, to ? to : UINT32_MAX, "says", packet->glance.kind,
                packet->glance.view, packet->glance.seqno, packet->glance.name);
    check_said(world->check, from, packet);
    uint64_t ids = to ? UINT64_C(1) << to % 64 : audience(from);
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (ids >> world->nodes[i].id & 1) {
            send_one(from, &world->nodes[i], packet);
        }
    }
}

void net_heal(struct world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        for (uint32_t k = 0; k < world->node_count; k++) {
            world->links[i][k] =
                (struct link){.loss_pm = world->calm ? 0 : world->plan.loss_pm, .lag = 1};
        }
    }
}

void net_cut(struct world *world, uint32_t from, uint32_t to, bool both)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        for (uint32_t k = 0; k < world->node_count; k++) {
            bool there = (from >> i & 1) && (to >> k & 1), back = (from >> k & 1) && (to >> i & 1);
            if (there || (both && back)) {
                world->links[i][k].cut = true;
            }
        }
    }
}
