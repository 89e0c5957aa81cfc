/* The queue, the faults, and the end of a run. */
#include "sim/bft_world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "sim/bft_check.h"
#include "sim/bft_liar.h"

#define LOOK_NS (20 * MS)
#define AGAIN_NS (500 * MS)       /* a client looks after what was asked for him */
#define AFTERMATH_NS (2 * SECOND) /* in which those who were lied to find each other */
#define EVENTS_MAX 400000u        /* of a run: more is a storm */

/* --- The queue: a binary heap by time, then by order --- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void world_push(struct world *world, uint64_t in_ns, enum event_kind kind, uint32_t to,
                uint64_t number, void *what)
{
    struct event event = {.at_ns = world->now_ns + in_ns,
                          .order = world->order++,
                          .number = number,
                          .what = what,
                          .kind = kind,
                          .to = to};
    switch (kind) {
    case EVENT_WORK:
    case EVENT_TIMER:
    case EVENT_TURN_END:
    case EVENT_JOURNAL_SYNCED:
    case EVENT_LEDGER_SYNCED:
    case EVENT_CHECKPOINT:
    case EVENT_DELIVER: event.life = world->nodes[to].life; break;
    case EVENT_BOOT:
    case EVENT_REQUEST:
    case EVENT_REPLY:
    case EVENT_CLIENT:
    case EVENT_FAULT:
    case EVENT_LIAR:
    case EVENT_HEAL:
    case EVENT_LOOK: break;
    }
    if (world->heap_count == world->heap_room) {
        world->heap_room = world->heap_room ? world->heap_room * 2 : 1024;
        world->heap = sim_grow(world->heap, world->heap_room, sizeof *world->heap);
    }
    uint32_t at = world->heap_count++;
    while (at > 0 && before(&event, &world->heap[(at - 1) / 2])) {
        world->heap[at] = world->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->heap[at] = event;
}

/* Takes one out of the heap, wherever it is. */
static struct event take_out(struct world *world, uint32_t at)
{
    struct event out = world->heap[at], last = world->heap[--world->heap_count];
    while (at > 0 && before(&last, &world->heap[(at - 1) / 2])) {
        world->heap[at] = world->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= world->heap_count) {
            break;
        }
        if (child + 1 < world->heap_count && before(&world->heap[child + 1], &world->heap[child])) {
            child++;
        }
        if (!before(&world->heap[child], &last)) {
            break;
        }
        world->heap[at] = world->heap[child];
        at = child;
    }
    if (at < world->heap_count) {
        world->heap[at] = last;
    }
    return out;
}

static void event_fini(struct event *event)
{
    switch (event->kind) {
    case EVENT_DELIVER: packet_drop(event->what); break;
    case EVENT_REPLY: reply_drop(event->what); break;
    case EVENT_REQUEST: {
        struct sim_request *request = event->what;
        bytes_drop(request->request);
        bytes_drop(request->arguments);
        free(request);
        break;
    }
    case EVENT_BOOT:
    case EVENT_WORK:
    case EVENT_TIMER:
    case EVENT_TURN_END:
    case EVENT_JOURNAL_SYNCED:
    case EVENT_LEDGER_SYNCED:
    case EVENT_CHECKPOINT:
    case EVENT_CLIENT:
    case EVENT_FAULT:
    case EVENT_LIAR:
    case EVENT_HEAL:
    case EVENT_LOOK: break;
    }
}

/* --- Failing and telling --- */

void world_fail(struct world *world, const char *format, ...)
{
    va_list arguments;
    if (world->failure[0]) {
        return;
    }
    int len = snprintf(world->failure, sizeof world->failure,
                       "at %" PRIu64 " us: ", world->now_ns / 1000);
    va_start(arguments, format);
    (void)vsnprintf(world->failure + len, sizeof world->failure - (size_t)len, format, arguments);
    va_end(arguments);
}

static void print_line(const struct world *world, const struct trace_line *line)
{
    static const char *const kinds[] = {
        "unreadable",  "request",    "pre-prepare",    "prepare",          "commit",
        "view-change", "new-view",   "fetch-requests", "fetch-entries",    "entries",
        "status",      "ask-newest", "newest",         "fetch-checkpoint", "checkpoint"};
    printf("%10.3f ms  %u", (double)line->at_ns / 1e6, line->node);
    if (line->node < world->node_count) {
        printf("(replica %u)", world->nodes[line->node].id);
    }
    printf(" %s", line->text);
    if (strcmp(line->text, "says") == 0 || strcmp(line->text, "lost") == 0 ||
        strcmp(line->text, "hears") == 0) {
        printf(" %s v%" PRIu64 " s%" PRIu64 " %02x%02x%02x%02x",
               line->a < WM_COUNT_OF(kinds) ? kinds[line->a] : "?", line->b, line->c, line->name[0],
               line->name[1], line->name[2], line->name[3]);
    } else {
        printf(" %" PRIu64 " %" PRIu64 " %" PRIu64, line->a, line->b, line->c);
    }
    if (line->other != UINT32_MAX) {
        printf(" (with %u)", line->other);
    }
    printf("\n");
}

void world_trace(struct world *world, uint32_t node, uint32_t other, const char *text, uint64_t a,
                 uint64_t b, uint64_t c, const uint8_t *name)
{
    struct trace_line *line = &world->trace[world->trace_count++ % TRACE_LINES];
    *line = (struct trace_line){
        .at_ns = world->now_ns, .text = text, .node = node, .other = other, .a = a, .b = b, .c = c};
    if (name) {
        memcpy(line->name, name, sizeof line->name);
    }
    if (world->print_trace) {
        print_line(world, line);
    }
}

void world_print_trace(const struct world *world, uint32_t lines)
{
    uint64_t kept = world->trace_count < TRACE_LINES ? world->trace_count : TRACE_LINES;
    uint64_t count = lines < kept ? lines : kept;
    for (uint64_t i = world->trace_count - count; i < world->trace_count; i++) {
        print_line(world, &world->trace[i % TRACE_LINES]);
    }
}

void world_print_state(const struct world *world)
{
    static const char *const states[] = {"down", "up", "halted", "dead"};
    static const char *const modes[] = {"silent", "normal", "view-change", "learner", "halted"};
    uint32_t members = world_members(world);
    printf("N %u, P %u, liars %u%s, known to be committed: %" PRIu64 "\n", world->plan.replicas,
           world->plan.parameters.pipeline, world->plan.liars, world->plan.twins ? " (twins)" : "",
           check_end(world->check));
    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        const struct bft_status *status = &node->status;
        printf("node %u: replica %u%s%s%s, %s", i, node->id, members >> i & 1 ? ", member" : "",
               node->is_liar ? ", liar" : "", node->is_excused ? ", lost its disk" : "",
               states[node->state]);
        if (node->core) {
            printf(", %s: cfg %" PRIu64 ", view %" PRIu64 " (primary %u), head %" PRIu64
                   ", prepared %" PRIu64 ", committed %" PRIu64 ", %u requests",
                   modes[status->mode], status->cfg, status->view, status->primary,
                   status->head_seqno, status->prepared_seqno, status->committed_seqno,
                   status->pool_requests);
        }
        printf("\n");
    }
}

/* --- Nodes --- */

struct node *world_node_of(struct world *world, uint32_t id)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (world->nodes[i].id == id) {
            return &world->nodes[i];
        }
    }
    return NULL;
}

uint32_t world_up(const struct world *world)
{
    uint32_t up = 0;
    for (uint32_t i = 0; i < world->node_count; i++) {
        up |= (uint32_t)(world->nodes[i].state == NODE_UP) << i;
    }
    return up;
}

uint32_t world_members(const struct world *world)
{
    uint32_t members = 0;
    const struct app_state *state = check_state(world->check);
    const uint8_t *ids = state->replicas[state->configurations - 1];
    for (uint32_t i = 0; i < world->node_count; i++) {
        for (uint32_t k = 0; k < APP_REPLICAS && ids[k]; k++) {
            members |= (uint32_t)(ids[k] == world->nodes[i].id) << i;
        }
    }
    return members;
}

static uint32_t faulty_count(const struct world *world)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        count += (node->is_liar && !(node->side == 2)) || node->is_excused;
    }
    return count;
}

static void add_node(struct world *world, uint32_t id, bool is_liar, uint8_t side)
{
    struct node *node = &world->nodes[world->node_count];
    WM_ASSERT(world->node_count < NODES_MAX);
    node_init(node, world, world->node_count, id);
    node->is_liar = is_liar;
    node->side = side;
    node->clock_ns = draw_below(&world->draw, 1000 * SECOND);
    if (world->plan.skew_pm) {
        node->clock_pm = (uint32_t)(1000 + draw_below(&world->draw, 2 * world->plan.skew_pm) -
                                    world->plan.skew_pm);
    }
    world->node_count++;
}

/* Liars are drawn; of twins, everybody else hears one, the other, or both. */
static void add_nodes(struct world *world)
{
    const struct plan *plan = &world->plan;
    uint64_t ids = ((UINT64_C(1) << plan->replicas) - 1) << 1;
    uint64_t liars = plan->liar_ids;
    for (uint32_t i = 0; plan->liar_ids == 0 && i < plan->liars; i++) {
        uint32_t id = draw_bit(&world->draw, ids & ~liars);
        liars |= UINT64_C(1) << id;
    }
    for (uint32_t id = 1; id <= plan->replicas + plan->spares; id++) {
        bool is_liar = liars >> id & 1;
        if (is_liar && plan->twins) {
            add_node(world, id, true, 1);
            add_node(world, id, true, 2);
        } else {
            uint8_t side =
                plan->twins ? (uint8_t)draw_between(&world->draw, 1, plan->apart ? 2 : 3) : 3;
            add_node(world, id, is_liar, side);
        }
    }
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        if (node->is_liar) {
            node->liar = liar_new(node);
        }
        world_push(world, draw_below(&world->draw, 5 * MS), EVENT_BOOT, i, 0, NULL);
    }
}

void world_init(struct world *world, const struct plan *plan, struct counts *counts)
{
    struct trace_line *trace = world->trace;
    bool print_trace = world->print_trace;
    memset(world, 0, sizeof *world);
    world->trace = trace ? trace : sim_alloc(TRACE_LINES, sizeof *trace);
    world->print_trace = print_trace;
    world->plan = *plan;
    world->draw.state = plan->seed;
    world->counts = counts;
    world->events_max = EVENTS_MAX;
    app_genesis(plan->replicas, &plan->parameters, &world->service, &world->genesis_state);
    bft_genesis_head(&world->genesis_head);
    app_state_root(&world->genesis_state, world->genesis_head.state_root);
    world->check = check_new(world);
    add_nodes(world);
    net_heal(world);
    for (uint32_t i = 0; i < plan->clients; i++) {
        client_init(&world->clients[i], plan, i);
        world_push(world, draw_below(&world->draw, 10 * MS), EVENT_CLIENT, i, 0, NULL);
    }
    if (plan->chaos_ns) {
        world_push(world, draw_below(&world->draw, 2 * plan->fault_ns), EVENT_FAULT, 0, 0, NULL);
    }
    world_push(world, plan->chaos_ns, EVENT_HEAL, 0, 0, NULL);
    world_push(world, LOOK_NS, EVENT_LOOK, 0, 0, NULL);
    counts->runs++;
}

void world_fini(struct world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        node_fini(&world->nodes[i]);
        liar_free(world->nodes[i].liar);
    }
    for (uint32_t i = 0; i < world->heap_count; i++) {
        event_fini(&world->heap[i]);
    }
    for (uint32_t i = 0; i < world->plan.clients; i++) {
        client_fini(&world->clients[i]);
    }
    check_count(world->check, world->counts);
    check_free(world->check);
    free(world->heap);
    world->heap = NULL;
    world->counts->events += world->events;
}

/* --- Faults --- */

static uint32_t some_nodes(struct world *world)
{
    return (uint32_t)draw_below(&world->draw, UINT64_C(1) << world->node_count);
}

static uint64_t away(struct world *world)
{
    return draw_below(&world->draw, world->plan.away_ns) + 1;
}

/* May one more replica lose its disk? It then counts among the f. */
static bool may_excuse(const struct world *world, const struct node *node)
{
    uint32_t members = (uint32_t)__builtin_popcount(world_members(world));
    bool reconfiguring = world->clients[0].reconfigurations > 0 || !clients_done(world);
    return !node->is_liar && !world->plan.twins && world->plan.patience_ns &&
           (world->plan.reconfigurations == 0 || !reconfiguring) &&
           faulty_count(world) < ledger_faulty(members);
}

static bool lose_disk(struct world *world, struct node *node)
{
    if (!node->is_excused && !may_excuse(world, node)) {
        return false;
    }
    node_crash(node);
    disk_fini(&node->disk);
    disk_init(&node->disk, &world->genesis_head, &world->genesis_state);
    node->is_excused = true;
    world_push(world, away(world), EVENT_BOOT, node->index, 0, NULL);
    return true;
}

static bool restore_disk(struct world *world, struct node *node)
{
    if (!node->has_backup) {
        disk_copy(&node->disk, &node->backup);
        node->has_backup = true;
        return false; /* the old copy comes back another time */
    }
    if (!node->is_excused && !may_excuse(world, node)) {
        return false;
    }
    node_crash(node);
    disk_fini(&node->disk);
    node->disk = node->backup;
    node->has_backup = false;
    node->is_excused = true;
    world_push(world, away(world), EVENT_BOOT, node->index, 0, NULL);
    return true;
}

static bool disturb_links(struct world *world, enum fault_kind kind)
{
    uint32_t some = some_nodes(world);
    for (uint32_t i = 0; i < world->node_count; i++) {
        for (uint32_t k = 0; k < world->node_count; k++) {
            if ((some >> i & 1) && draw_coin(&world->draw)) {
                if (kind == FAULT_LOSS) {
                    world->links[i][k].loss_pm = (uint32_t)draw_below(&world->draw, 600);
                } else {
                    world->links[i][k].lag = (uint32_t)draw_between(&world->draw, 2, 30);
                }
            }
        }
    }
    return true;
}

static bool fault_of_node(struct world *world, enum fault_kind kind, struct node *node)
{
    struct draw *draw = &world->draw;
    switch (kind) {
    case FAULT_CRASH:
        node_crash(node);
        world_push(world, away(world), EVENT_BOOT, node->index, 0, NULL);
        return true;
    case FAULT_CRASH_AT:
        if (draw_coin(draw)) {
            node->crash_at_effect = draw_between(draw, 1, 40);
        } else {
            node->crash_at_sync = draw_between(draw, 1, 12);
        }
        return false; /* counted when it happens */
    case FAULT_ISOLATE: net_cut(world, UINT32_C(1) << node->index, UINT32_MAX, true); return true;
    case FAULT_SLOW: node->step_ns = draw_coin(draw) ? draw_below(draw, 20 * MS) : 0; return true;
    case FAULT_CLOCK:
        node->clock_ns =
            node_clock(node) + draw_below(draw, draw_coin(draw) ? 100 * MS : 20 * SECOND);
        node->clock_set_ns = world->now_ns;
        return true;
    case FAULT_TRIM: node_trim_journal(node); return true;
    case FAULT_PRUNE: node_prune(node); return true;
    case FAULT_WIPE: return lose_disk(world, node);
    case FAULT_RESTORE: return restore_disk(world, node);
    case FAULT_CRASH_ALL:
    case FAULT_PARTITION:
    case FAULT_ONE_WAY:
    case FAULT_HEAL:
    case FAULT_LOSS:
    case FAULT_LAG:
    case FAULT_COUNT: break;
    }
    return false;
}

void world_fault(struct world *world, enum fault_kind kind)
{
    bool happened = true;
    uint32_t up = world_up(world);
    switch (kind) {
    case FAULT_CRASH_ALL:
        for (uint32_t i = 0; i < world->node_count; i++) {
            node_crash(&world->nodes[i]);
            world_push(world, away(world), EVENT_BOOT, i, 0, NULL);
        }
        break;
    case FAULT_PARTITION: {
        uint32_t half = some_nodes(world);
        net_cut(world, half, ~half, true);
        break;
    }
    case FAULT_ONE_WAY: net_cut(world, some_nodes(world), some_nodes(world), false); break;
    case FAULT_HEAL: net_heal(world); break;
    case FAULT_LOSS:
    case FAULT_LAG: happened = disturb_links(world, kind); break;
    case FAULT_CRASH:
    case FAULT_CRASH_AT:
    case FAULT_ISOLATE:
    case FAULT_SLOW:
    case FAULT_CLOCK:
    case FAULT_TRIM:
    case FAULT_PRUNE:
    case FAULT_WIPE:
    case FAULT_RESTORE:
        if (!up) {
            return;
        }
        happened = fault_of_node(world, kind, &world->nodes[draw_bit(&world->draw, up)]);
        break;
    case FAULT_COUNT: return;
    }
    if (happened) {
        world->counts->faults[kind]++;
        world_trace(world, UINT32_MAX, UINT32_MAX, fault_text(kind), 0, 0, 0, NULL);
    }
}

static void next_fault(struct world *world)
{
    uint32_t total = 0;
    if (world->calm) {
        return;
    }
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        total += world->plan.weights[i];
    }
    if (total == 0) {
        return;
    }
    uint64_t at = draw_below(&world->draw, total);
    uint32_t kind = 0;
    for (; at >= world->plan.weights[kind]; kind++) {
        at -= world->plan.weights[kind];
    }
    world_fault(world, (enum fault_kind)kind);
    world_push(world, draw_below(&world->draw, 2 * world->plan.fault_ns) + 1, EVENT_FAULT, 0, 0,
               NULL);
}

/* Some replicas, no more than may fail, never come back. */
static void bury_some(struct world *world)
{
    uint32_t members = world_members(world);
    uint32_t faulty = faulty_count(world),
             most = ledger_faulty((uint32_t)__builtin_popcount(members));
    if (world->plan.twins || world->plan.reconfigurations > 0 || draw_coin(&world->draw)) {
        return;
    }
    for (; faulty < most; faulty++) {
        struct node *node = &world->nodes[draw_bit(&world->draw, members)];
        if (node_is_correct(node) && node->state != NODE_DEAD && node->state != NODE_HALTED) {
            node_crash(node);
            node->state = NODE_DEAD;
        }
    }
}

void world_calm(struct world *world)
{
    if (world->calm) {
        return;
    }
    world->calm = true;
    world->calm_since_ns = world->now_ns;
    world_trace(world, UINT32_MAX, UINT32_MAX, "the trouble is over", 0, 0, 0, NULL);
    net_heal(world);
    if (world->plan.patience_ns && world->plan.chaos_ns && plan_within(&world->plan)) {
        bury_some(world);
    }
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        node->step_ns = world->plan.step_ns;
        node->crash_at_effect = node->crash_at_sync = 0;
        if (node->state == NODE_DOWN && node->life > 0) {
            world_push(world, away(world), EVENT_BOOT, i, 0, NULL);
        }
    }
}

/* --- The end --- */

/* Everybody who can be is where the committed ledger ends. */
static bool all_there(const struct world *world)
{
    uint32_t members = world_members(world);
    uint64_t end = check_end(world->check);
    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        if ((members >> i & 1) && node_is_correct(node) && node->state != NODE_DEAD &&
            (node->state != NODE_UP || node->status.committed_seqno < end)) {
            return false;
        }
    }
    return true;
}

static void look(struct world *world)
{
    if (world->plan.patience_ns == 0) {
        if (world->calm && world->now_ns - world->calm_since_ns > AFTERMATH_NS) {
            world->ended = true;
        }
    } else if (world->calm) {
        if (clients_done(world) && all_there(world)) {
            check_ended(world->check);
            world->ended = true;
        } else if (world->now_ns - world->calm_since_ns > world->plan.patience_ns) {
            world_fail(world, "liveness: %s after %" PRIu64 " ms of calm",
                       clients_done(world) ? "not all replicas are at the ledger's end"
                                           : "not all requests are answered",
                       world->plan.patience_ns / MS);
        } else if (clients_done(world) && draw_chance(&world->draw, 50)) {
            /* Somebody is behind: who has nothing to do lets him; with work, all must get there. */
            uint64_t arguments[2] = {0, 1};
            client_submit(world, 0, "add", wm_view_of(arguments, sizeof arguments));
            world_push(world, AGAIN_NS, EVENT_CLIENT, 0, 0, NULL);
        }
    }
    world_push(world, LOOK_NS, EVENT_LOOK, 0, 0, NULL);
}

/* --- Events --- */

static void hear(struct node *node, struct packet *packet)
{
    world_trace(node->world, node->index, packet->from, "hears", packet->glance.kind,
                packet->glance.view, packet->glance.seqno, packet->glance.name);
    node_message(node, packet);
    packet_drop(packet);
}

/* It is busy: the message waits. */
static void put_off(struct node *node, struct packet *packet)
{
    struct world *world = node->world;
    if (node->inbox_count == INBOX_MAX) {
        packet_drop(packet);
        return;
    }
    if (!node->inbox) {
        node->inbox = sim_alloc(INBOX_MAX, sizeof(struct packet *));
    }
    node->inbox[(node->inbox_first + node->inbox_count++) % INBOX_MAX] = packet;
    if (node->inbox_count == 1) {
        world_push(world, node->busy_until_ns - world->now_ns, EVENT_WORK, node->index, 0, NULL);
    }
}

static void work(struct node *node)
{
    struct world *world = node->world;
    struct packet *packet = node->inbox[node->inbox_first];
    uint32_t life = node->life;
    node->inbox_first = (node->inbox_first + 1) % INBOX_MAX;
    node->inbox_count--;
    hear(node, packet);
    if (node->core && node->life == life && node->inbox_count > 0) {
        uint64_t in_ns =
            node->busy_until_ns > world->now_ns ? node->busy_until_ns - world->now_ns : 0;
        world_push(world, in_ns, EVENT_WORK, node->index, 0, NULL);
    }
}

static void deliver(struct world *world, struct event *event)
{
    struct node *node = &world->nodes[event->to];
    struct packet *packet = event->what;
    /* A connection ends with a machine's life; what was on its way is lost, or was here before. */
    if (!node->core || (event->life != node->life && draw_coin(&world->draw))) {
        packet_drop(packet);
        return;
    }
    if (node->busy_until_ns > world->now_ns || node->inbox_count > 0) {
        put_off(node, packet);
        return;
    }
    hear(node, packet);
}

static void handle(struct world *world, struct event *event)
{
    struct node *node = &world->nodes[event->to < NODES_MAX ? event->to : 0];
    bool lives = node->core && node->life == event->life;
    switch (event->kind) {
    case EVENT_BOOT: node_boot(node); break;
    case EVENT_DELIVER: deliver(world, event); break;
    case EVENT_REQUEST:
        if (node->core) {
            node_request(node, event->what);
        }
        event_fini(event);
        break;
    case EVENT_REPLY:
        client_reply(world, event->to, event->what);
        event_fini(event);
        break;
    case EVENT_WORK:
        if (lives) {
            work(node);
        }
        break;
    case EVENT_TIMER:
        if (lives) {
            node_timer(node, event->number);
        }
        break;
    case EVENT_TURN_END:
        if (lives) {
            node_turn_end(node);
        }
        break;
    case EVENT_JOURNAL_SYNCED:
        if (lives) {
            node_journal_synced(node, event->number);
        }
        break;
    case EVENT_LEDGER_SYNCED:
        if (lives) {
            node_ledger_synced(node, event->number);
        }
        break;
    case EVENT_CHECKPOINT:
        if (lives) {
            node_install_checkpoint(node);
        }
        break;
    case EVENT_CLIENT: client_act(world, event->to); break;
    case EVENT_FAULT: next_fault(world); break;
    case EVENT_LIAR: liar_acts(node); break;
    case EVENT_HEAL: world_calm(world); break;
    case EVENT_LOOK: look(world); break;
    }
}

static bool happen(struct world *world, struct event *event)
{
    /* Out of its turn, an event comes late or early, but time does not go back. */
    world->now_ns = event->at_ns > world->now_ns ? event->at_ns : world->now_ns;
    if (++world->events > world->events_max) {
        world_fail(world, "storm: more than %" PRIu64 " events", world->events_max);
        event_fini(event);
        return false;
    }
    handle(world, event);
    return !world->failure[0];
}

bool world_step(struct world *world)
{
    struct event event = take_out(world, 0);
    return happen(world, &event);
}

bool world_take(struct world *world, uint32_t place)
{
    struct event event = take_out(world, place);
    return happen(world, &event);
}

static bool is_choice(const struct world *world, const struct event *event)
{
    const struct node *node = &world->nodes[event->to < NODES_MAX ? event->to : 0];
    switch (event->kind) {
    case EVENT_DELIVER:
    case EVENT_REQUEST: return node->core != NULL;
    case EVENT_TIMER:
        return node->core && node->life == event->life && node->timer_ns == event->number;
    case EVENT_BOOT:
    case EVENT_REPLY:
    case EVENT_WORK:
    case EVENT_TURN_END:
    case EVENT_JOURNAL_SYNCED:
    case EVENT_LEDGER_SYNCED:
    case EVENT_CHECKPOINT:
    case EVENT_CLIENT:
    case EVENT_FAULT:
    case EVENT_LIAR:
    case EVENT_HEAL:
    case EVENT_LOOK: break;
    }
    return false;
}

uint32_t world_choices(struct world *world, uint32_t *places, uint32_t room)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->heap_count; i++) {
        if (!is_choice(world, &world->heap[i]) || count == room) {
            continue;
        }
        uint32_t at = count++;
        for (; at > 0 && world->heap[places[at - 1]].order > world->heap[i].order; at--) {
            places[at] = places[at - 1];
        }
        places[at] = i;
    }
    return count;
}

bool world_run(struct world *world)
{
    while (!world->ended && world_step(world)) {
    }
    return !world->failure[0];
}

bool world_run_for(struct world *world, uint64_t ns)
{
    uint64_t until_ns = world->now_ns + ns;
    while (!world->failure[0] && world->heap[0].at_ns <= until_ns && world_step(world)) {
    }
    if (!world->failure[0]) {
        world->now_ns = until_ns;
    }
    return !world->failure[0];
}

bool world_run_calm(struct world *world, uint64_t ns)
{
    uint64_t until_ns = world->now_ns + ns;
    world_calm(world);
    world->calm_since_ns = world->now_ns;
    world->plan.patience_ns = ns;
    world->ended = false;
    while (!world->ended && !world->failure[0] && world->now_ns <= until_ns + ns &&
           world_step(world)) {
    }
    return world->ended && !world->failure[0];
}
