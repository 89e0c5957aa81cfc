/* One machine: a core, its application, its disk and its clock, as a node's loop runs them. */
#include <stdio.h>

#include "base/assert.h"
#include "crypto/hash.h"
#include "sim/bft_check.h"
#include "sim/bft_liar.h"
#include "sim/bft_world.h"
#include "sim/bft_wrap.h"

/* Committed batches that may not be durable in the ledger: after a crash the core takes back from
 * its journal what is this far ahead, and what was under way. */
#define LEDGER_BEHIND_MAX 16u
#define TICKS_AT_ONCE 64u /* without the clock moving: the core asks for time that has passed */

/* --- Replies --- */

void reply_drop(struct reply *reply)
{
    if (reply && --reply->holders == 0) {
        bytes_drop(reply->header);
        app_results_drop(reply->results);
        free(reply);
    }
}

static struct reply *reply_of(struct node *node, const struct bft_effect *effect)
{
    struct bft_share share;
    struct app_results *results = node->app->results(node->app, effect->seqno);
    if (!results || !bft_share(node->core, effect->view, effect->seqno, &share) ||
        !hash_equal(results->root, share.preprepare.payload)) {
        app_results_drop(results);
        return NULL;
    }
    struct reply *reply = sim_alloc(1, sizeof *reply);
    reply->holders = 1;
    reply->node = node->index;
    reply->view = effect->view;
    reply->seqno = effect->seqno;
    reply->position = share.position;
    reply->primary = share.primary;
    reply->header = bytes_new(share.preprepare.header);
    reply->results = results;
    memcpy(reply->root, share.preprepare.payload, sizeof reply->root);
    memcpy(reply->preprepare_signature, share.preprepare.signature, sizeof reply->signature);
    memcpy(reply->signature, share.signature, sizeof reply->signature);
    memcpy(reply->nonce, share.nonce, sizeof reply->nonce);
    return reply;
}

static void reply_send(struct node *node, struct reply *reply)
{
    struct world *world = node->world;
    uint32_t clients = 0;
    check_shared(world->check, node, reply);
    for (uint32_t i = 0; i < reply->results->count; i++) {
        uint32_t client = reply->results->items[i].client;
        if (client < world->plan.clients && !(clients >> client & 1)) {
            clients |= UINT32_C(1) << client;
            if (!draw_chance(&world->draw, world->calm ? 0 : world->plan.loss_pm)) {
                reply->holders++;
                world_push(world, net_delay(world), EVENT_REPLY, client, 0, reply);
            }
        }
    }
}

/* --- Clocks --- */

uint64_t node_clock(const struct node *node)
{
    uint64_t passed = node->world->now_ns - node->clock_set_ns;
    return node->clock_ns + passed * node->clock_pm / 1000;
}

static void set_timer(struct node *node)
{
    struct world *world = node->world;
    uint64_t deadline_ns = bft_deadline_ns(node->core), clock_ns = node_clock(node);
    uint64_t at_ns = UINT64_MAX;
    if (deadline_ns != UINT64_MAX) {
        uint64_t in_ns = deadline_ns > clock_ns ? deadline_ns - clock_ns : 0;
        in_ns = in_ns > 3600 * SECOND ? 3600 * SECOND : in_ns;
        at_ns = world->now_ns + (in_ns * 1000 + node->clock_pm - 1) / node->clock_pm;
    }
    if (at_ns == node->timer_ns) {
        return;
    }
    node->timer_ns = at_ns;
    if (at_ns != UINT64_MAX) {
        world_push(world, at_ns - world->now_ns, EVENT_TIMER, node->index, at_ns, NULL);
    }
}

/* --- What the application does with the machine --- */

static void start_ledger_sync(struct node *node)
{
    if (!node->ledger_syncing && node->disk.ledger_synced < node->disk.ledger_end) {
        node->ledger_syncing = true;
        uint64_t in_ns = node->world->plan.ledger_sync_ns;
        world_push(node->world, in_ns ? draw_below(&node->world->draw, 2 * in_ns) : 0,
                   EVENT_LEDGER_SYNCED, node->index, node->disk.ledger_end, NULL);
    }
}

static void host_committed(void *self, const struct app_commit *commit)
{
    struct node *node = self;
    disk_ledger_add(&node->disk, commit);
    check_committed(node->world->check, node, commit);
    if (node->disk.ledger_end - node->disk.ledger_synced >= LEDGER_BEHIND_MAX) {
        node->disk.ledger_synced = node->disk.ledger_end; /* the node waits for the disk */
    }
    start_ledger_sync(node);
}

static bool host_read(void *self, uint64_t seqno, void (*take)(void *, const struct bft_entries *),
                      void *taker)
{
    struct node *node = self;
    return disk_read(&node->disk, seqno, take, taker);
}

static void host_broken(void *self, const char *what)
{
    struct node *node = self;
    world_fail(node->world, "node %u: %s", node->index, what);
}

/* --- Starting and stopping --- */

void node_init(struct node *node, struct world *world, uint32_t index, uint32_t id)
{
    memset(node, 0, sizeof *node);
    node->world = world;
    node->index = index;
    node->id = id;
    node->side = 3;
    node->clock_pm = 1000;
    node->timer_ns = UINT64_MAX;
    node->step_ns = world->plan.step_ns;
    bft_effects_init(&node->effects);
    disk_init(&node->disk, &world->genesis_head, &world->genesis_state);
}

static void outbox_clear(struct node *node)
{
    for (uint32_t i = 0; i < node->outbox_count; i++) {
        packet_drop(node->outbox[i].packet);
        reply_drop(node->outbox[i].reply);
    }
    node->outbox_count = 0;
}

static void stop(struct node *node)
{
    int64_t before = wrap_held_bytes();
    bft_free(node->core);
    bft_effects_clear(&node->effects);
    node->core_bytes += (uint64_t)(wrap_held_bytes() - before);
    node->core = NULL;
    node->app->close(node->app);
    node->app = NULL;
    outbox_clear(node);
    while (node->inbox_count > 0) {
        packet_drop(node->inbox[(node->inbox_first + --node->inbox_count) % INBOX_MAX]);
    }
    node->turn_open = node->journal_syncing = node->ledger_syncing = false;
    node->timer_ns = UINT64_MAX;
    node->busy_until_ns = 0;
    node->life++;
}

void node_fini(struct node *node)
{
    if (node->core) {
        stop(node);
    }
    int64_t left = (int64_t)node->core_bytes;
    bft_effects_fini(&node->effects);
    disk_fini(&node->disk);
    if (node->has_backup) {
        disk_fini(&node->backup);
    }
    free(node->outbox);
    free(node->inbox);
    /* Rooms of the list of effects are kept between steps; a page of them is no leak. */
    if (left > 65536 && node->world->failure[0] == 0) {
        world_fail(node->world, "node %u: %lld bytes are left after bft_free", node->index,
                   (long long)left);
    }
}

void node_crash(struct node *node)
{
    struct world *world = node->world;
    if (!node->core) {
        return;
    }
    world_trace(world, node->index, UINT32_MAX, "stops", 0, 0, 0, NULL);
    stop(node);
    if (node->state != NODE_HALTED) {
        node->state = NODE_DOWN;
    }
    disk_crash(&node->disk, &world->draw);
    node->crash_at_effect = node->crash_at_sync = 0;
}

/* In the middle of something, as was planned; it comes back. */
static void crash_now(struct node *node)
{
    struct world *world = node->world;
    world->counts->faults[FAULT_CRASH_AT]++;
    node_crash(node);
    world_push(world, draw_below(&world->draw, world->plan.away_ns) + 1, EVENT_BOOT, node->index, 0,
               NULL);
}

static void take_effects(struct node *node);

static void look_at_core(struct node *node)
{
    struct bft_status status;
    bft_status(node->core, &status);
    check_status(node->world->check, node, &node->status, &status);
    node->status = status;
}

/* Hashes what a core is given, so that two runs can be told alike. */
static void remember(struct node *node, const struct bft_event *event)
{
    const struct wm_view bytes =
        event->kind == BFT_EVENT_REQUEST ? event->request.request : event->bytes;
    uint64_t hash = node->history ^ event->kind ^ (uint64_t)event->from << 8 ^ event->records << 16;
    if (event->kind == BFT_EVENT_TICK) {
        hash ^= node->world->now_ns << 4;
    }
    for (size_t i = 0; i < bytes.len; i++) { /* FNV-1a */
        hash = (hash ^ bytes.ptr[i]) * UINT64_C(0x100000001b3);
    }
    node->history = (hash ^ hash >> 31) * UINT64_C(0x9e3779b97f4a7c15);
}

static void feed(struct node *node, const struct bft_event *event)
{
    if (node->world->remembers) {
        remember(node, event);
    }
    int64_t before = wrap_held_bytes();
    bft_step(node->core, node_clock(node), event, &node->effects);
    node->core_bytes += (uint64_t)(wrap_held_bytes() - before);
}

void node_nonce_secret(const struct node *node, uint8_t secret[32])
{
    uint8_t text[2] = {(uint8_t)node->id, node_is_twin(node) ? node->side : 0};
    wm_sha256_once(wm_view_of(text, sizeof text), secret);
}

/* A checkpoint is every C-th batch: others can have the newest that is durable here. */
static uint64_t checkpoint_of(const struct node *node)
{
    const uint32_t interval = node->world->plan.parameters.checkpoint_interval;
    uint64_t seqno = node->disk.ledger_synced / interval * interval;
    const struct stored *stored = disk_stored(&node->disk, seqno);
    return stored && !stored->pruned ? seqno : 0;
}

void node_boot(struct node *node)
{
    struct world *world = node->world;
    if (node->state != NODE_DOWN) {
        return;
    }
    struct app_state state;
    struct app_host host = {node, host_committed, host_read, host_broken};
    struct bft_config *config = sim_alloc(1, sizeof *config);
    struct wm_diag diag = WM_DIAG_INIT;
    disk_end(&node->disk, &config->head, &state);
    node->app = app_open(&world->service, &state, &config->head, &host);
    memcpy(config->service, world->service.hash, sizeof config->service);
    config->replica = node->id;
    config->key = key_of_replica(node->id);
    node_nonce_secret(node, config->nonce_secret);
    config->timing = world->plan.timing;
    config->limits = world->plan.limits;
    config->app = node->app->calls;
    world_trace(world, node->index, UINT32_MAX, "starts", config->head.seqno,
                node->disk.journal_end - node->disk.journal_first, 0, NULL);
    int64_t before = wrap_held_bytes();
    node->core_bytes = 0;
    int rc = bft_new(config, node_clock(node), &node->core, &diag);
    node->core_bytes += (uint64_t)(wrap_held_bytes() - before);
    free(config);
    if (rc != 0) {
        world_fail(world, "node %u: bft_new: %s", node->index, wm_diag_text(&diag));
        node->app->close(node->app);
        node->app = NULL;
        return;
    }
    node->state = NODE_UP;
    node->behind = false;
    node->told = 0;
    memset(&node->status, 0, sizeof node->status);
    check_booted(world->check, node);
    bft_set_checkpoint(node->core, checkpoint_of(node));
    for (uint64_t i = node->disk.journal_first; i < node->disk.journal_end; i++) {
        struct bft_event record = {
            .kind = BFT_EVENT_RECORD,
            .bytes = bytes_view(node->disk.records[i - node->disk.journal_first])};
        feed(node, &record);
    }
    struct bft_event start = {.kind = BFT_EVENT_START};
    node->journal_begun = node->disk.journal_end;
    node_step(node, &start);
}

/* --- Effects --- */

static void depart(struct node *node, const struct waiting *waiting)
{
    if (waiting->packet) {
        net_send(node, waiting->to, waiting->packet);
    } else {
        reply_send(node, waiting->reply);
    }
}

static void leave_when_durable(struct node *node, const struct waiting *waiting, bool after_sync)
{
    if (!after_sync || node->disk.journal_synced >= waiting->journal_end) {
        depart(node, waiting);
        packet_drop(waiting->packet);
        reply_drop(waiting->reply);
        return;
    }
    if (node->outbox_count == node->outbox_room) {
        node->outbox_room = node->outbox_room ? 2 * node->outbox_room : 16;
        node->outbox = sim_grow(node->outbox, node->outbox_room, sizeof *node->outbox);
    }
    node->outbox[node->outbox_count++] = *waiting;
}

void node_say(struct node *node, uint32_t to, struct wm_view bytes, bool after_sync)
{
    struct waiting waiting = {
        .journal_end = node->disk.journal_end, .to = to, .packet = packet_new(node->index, bytes)};
    bool durable = node->disk.journal_synced == node->disk.journal_end;
    check_uncovered(node->world->check, node, waiting.packet, after_sync || durable);
    leave_when_durable(node, &waiting, after_sync);
}

static void take_effect(struct node *node, const struct bft_effect *effect)
{
    struct world *world = node->world;
    switch (effect->kind) {
    case BFT_PERSIST: disk_journal_add(&node->disk, effect->bytes); break;
    case BFT_SEND:
    case BFT_BROADCAST: {
        uint32_t to = effect->kind == BFT_SEND ? effect->to : 0;
        if (node->liar) {
            liar_says(node, to, effect->bytes, effect->after_sync);
        } else {
            node_say(node, to, effect->bytes, effect->after_sync);
        }
        break;
    }
    case BFT_REPLY: {
        struct waiting waiting = {.journal_end = node->disk.journal_end,
                                  .reply = reply_of(node, effect)};
        if (waiting.reply) {
            if (node->liar) {
                liar_replies(node, waiting.reply);
            }
            leave_when_durable(node, &waiting, effect->after_sync);
        } else {
            check_no_share(world->check, node, effect);
        }
        break;
    }
    case BFT_COMMITTED:
        world_trace(world, node->index, UINT32_MAX, "commits", 0, effect->view, effect->seqno,
                    NULL);
        check_quorum(world->check, node, effect->seqno);
        break;
    case BFT_VIEW:
        world_trace(world, node->index, UINT32_MAX, "is in or asks for view", 0, effect->view, 0,
                    NULL);
        world->counts->views++;
        break;
    case BFT_ALARM: check_alarm(world->check, node, effect); break;
    case BFT_BEHIND:
        world_trace(world, node->index, UINT32_MAX, "is behind", 0, 0, effect->seqno, NULL);
        if (!node->behind) {
            node->behind = true;
            world_push(world, net_delay(world) * 4, EVENT_CHECKPOINT, node->index, 0, NULL);
        }
        break;
    case BFT_HALT: {
        struct wm_diag diag = WM_DIAG_INIT;
        int code = bft_halted(node->core, &diag);
        node->state = NODE_HALTED;
        world->counts->halted++;
        world_trace(world, node->index, UINT32_MAX, "halts", (uint64_t)(int64_t)-code, 0, 0, NULL);
        check_halted(world->check, node, code, wm_diag_text(&diag));
        break;
    }
    }
}

static void start_journal_sync(struct node *node)
{
    struct world *world = node->world;
    if (node->journal_syncing || node->disk.journal_synced == node->disk.journal_end) {
        return;
    }
    node->journal_syncing = true;
    if (world->plan.sync_ns == 0) {
        node_journal_synced(node, node->disk.journal_end);
    } else {
        world_push(world, draw_below(&world->draw, 2 * world->plan.sync_ns), EVENT_JOURNAL_SYNCED,
                   node->index, node->disk.journal_end, NULL);
    }
}

static void take_effects(struct node *node)
{
    check_effects(node->world->check, node);
    for (uint32_t i = 0; i < node->effects.count; i++) {
        node->effects_done++;
        if (node->crash_at_effect && --node->crash_at_effect == 0) {
            crash_now(node);
            return;
        }
        take_effect(node, &node->effects.items[i]);
    }
    int64_t before = wrap_held_bytes();
    bft_effects_clear(&node->effects);
    node->core_bytes += (uint64_t)(wrap_held_bytes() - before);
    check_memory(node->world->check, node);
    if (node->state == NODE_HALTED) {
        node_crash(node);
        return;
    }
    start_journal_sync(node);
}

void node_step(struct node *node, const struct bft_event *event)
{
    struct world *world = node->world;
    feed(node, event);
    look_at_core(node);
    node->busy_until_ns = world->now_ns + node->step_ns;
    if (world->plan.turn_ns == 0 && !node->turn_open) {
        take_effects(node);
    } else if (!node->turn_open) {
        node->turn_open = true;
        world_push(world, draw_below(&world->draw, world->plan.turn_ns), EVENT_TURN_END,
                   node->index, 0, NULL);
    }
    if (node->core) {
        set_timer(node);
    }
}

void node_turn_end(struct node *node)
{
    node->turn_open = false;
    take_effects(node);
}

void node_journal_synced(struct node *node, uint64_t end)
{
    /* Two places to stop at: nothing of it is durable, and all of it is but nothing has left. */
    node->syncs_done++;
    if (node->crash_at_sync && --node->crash_at_sync == 0) {
        crash_now(node);
        return;
    }
    node->disk.journal_synced = end;
    node->syncs_done++;
    if (node->crash_at_sync && --node->crash_at_sync == 0) {
        crash_now(node);
        return;
    }
    node->journal_syncing = false;
    (void)disk_journal_trim(&node->disk, &node->world->draw);
    uint32_t gone = 0;
    while (gone < node->outbox_count && node->outbox[gone].journal_end <= end) {
        struct waiting waiting = node->outbox[gone++];
        depart(node, &waiting);
        packet_drop(waiting.packet);
        reply_drop(waiting.reply);
    }
    node->outbox_count -= gone;
    if (gone > 0) {
        memmove(node->outbox, node->outbox + gone, node->outbox_count * sizeof *node->outbox);
    }
    struct bft_event event = {.kind = BFT_EVENT_SYNCED, .records = end - node->journal_begun};
    node_step(node, &event);
    if (node->core) {
        start_journal_sync(node);
    }
}

void node_ledger_synced(struct node *node, uint64_t end)
{
    node->ledger_syncing = false;
    if (end > node->disk.ledger_synced) {
        node->disk.ledger_synced = end;
    }
    (void)disk_journal_trim(&node->disk, &node->world->draw);
    bft_set_checkpoint(node->core, checkpoint_of(node));
    start_ledger_sync(node);
}

/* --- Events --- */

void node_request(struct node *node, const struct sim_request *request)
{
    struct bft_event event = {.kind = BFT_EVENT_REQUEST};
    event.request.request = bytes_view(request->request);
    event.request.arguments = bytes_view(request->arguments);
    /* A node checks signatures on arrival, on other cores than this one; or leaves it. */
    event.request.checked = draw_coin(&node->world->draw) && check_request(request);
    if (node->liar) {
        liar_hears_request(node, request);
    }
    node_step(node, &event);
}

void node_message(struct node *node, struct packet *packet)
{
    struct bft_event event = {.kind = BFT_EVENT_MESSAGE,
                              .bytes = bytes_view(packet->bytes),
                              .from = node->world->nodes[packet->from].id};
    if (node->liar) {
        liar_hears(node, packet);
    }
    if (packet->glance.kind == PEER_NEWEST) {
        node->told |= UINT64_C(1) << event.from % 64;
    }
    node_step(node, &event);
}

void node_timer(struct node *node, uint64_t number)
{
    struct world *world = node->world;
    struct bft_event event = {.kind = BFT_EVENT_TICK};
    if (number != node->timer_ns) {
        return; /* it was moved */
    }
    node->timer_ns = UINT64_MAX;
    node_step(node, &event);
    node->ticks_at_once = node->timer_ns == world->now_ns ? node->ticks_at_once + 1 : 0;
    if (node->ticks_at_once > TICKS_AT_ONCE) {
        world_fail(world, "node %u: its deadline stays in the past after a tick", node->index);
    }
}

/* --- Operators --- */

void node_trim_journal(struct node *node)
{
    struct disk *disk = &node->disk;
    if (disk->replacing || node->turn_open) {
        return;
    }
    uint64_t below = disk->journal_end;
    int64_t before = wrap_held_bytes();
    bft_checkpoint_journal(node->core, &node->effects);
    node->core_bytes += (uint64_t)(wrap_held_bytes() - before);
    disk->replaced_seqno = node->status.committed_seqno;
    disk->replaced_below = below;
    take_effects(node);
    if (node->core && disk->journal_end > below) {
        disk->replacing = true;
        disk->replaced_until = disk->journal_end;
        (void)disk_journal_trim(disk, &node->world->draw);
    }
}

void node_prune(struct node *node)
{
    /* The newest checkpoint stays, with the 2P batches that whoever starts from it needs. */
    const uint64_t kept = 2 * node->world->plan.parameters.pipeline +
                          draw_below(&node->world->draw, 2 * node->world->plan.parameters.pipeline);
    uint64_t checkpoint = checkpoint_of(node);
    if (checkpoint > kept) {
        disk_ledger_prune(&node->disk, checkpoint - kept + 1);
    }
}

void node_install_checkpoint(struct node *node)
{
    struct world *world = node->world;
    if (!node->behind || !node->core) {
        return;
    }
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct node *from = &world->nodes[(node->index + i) % world->node_count];
        uint64_t seqno = checkpoint_of(from);
        if (from->state != NODE_UP || !node_is_correct(from) ||
            seqno <= node->status.committed_seqno) {
            continue;
        }
        world_trace(world, node->index, i, "installs a checkpoint", 0, 0, seqno, NULL);
        world->counts->checkpoints_installed++;
        /* An orderly stop: its journal is written out. */
        node->disk.journal_synced = node->disk.journal_end;
        stop(node);
        node->state = NODE_DOWN;
        disk_crash(&node->disk, &world->draw);
        disk_install(&node->disk, &from->disk, seqno);
        check_installed(world->check, node, seqno);
        node_boot(node);
        return;
    }
    world_push(world, 50 * MS, EVENT_CHECKPOINT, node->index, 0, NULL);
}
