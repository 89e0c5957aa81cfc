/* Clients: what they ask for, whom they ask, and when they believe an answer. */
#include <stdio.h>

#include "base/assert.h"
#include "sim/bft_check.h"
#include "sim/bft_world.h"

#define AGAIN_NS (400 * MS) /* an unanswered request is sent again */

void client_init(struct client *client, const struct plan *plan, uint32_t number)
{
    memset(client, 0, sizeof *client);
    client->number = number;
    client->next_number = 1;
    if (number == 0) { /* who governs */
        client->notes = plan->notes;
        client->reconfigurations = plan->reconfigurations;
    }
}

void client_fini(struct client *client)
{
    for (uint32_t i = 0; i < client->asked_count; i++) {
        bytes_drop(client->asked[i].request.request);
        bytes_drop(client->asked[i].request.arguments);
    }
    for (uint32_t i = 0; i < client->gathering_count; i++) {
        reply_drop(client->gatherings[i].first);
    }
    free(client->asked);
    free(client->gatherings);
    memset(client, 0, sizeof *client);
}

/* --- Asking --- */

static void send_to(struct world *world, const struct sim_request *request, uint32_t nodes)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (!(nodes >> i & 1) || draw_chance(&world->draw, world->calm ? 0 : world->plan.loss_pm)) {
            continue;
        }
        struct sim_request *copy = sim_alloc(1, sizeof *copy);
        *copy = *request;
        bytes_get(copy->request);
        bytes_get(copy->arguments);
        world_push(world, net_delay(world), EVENT_REQUEST, i, 0, copy);
    }
}

static uint32_t whom(struct world *world)
{
    uint32_t all = (uint32_t)((UINT64_C(1) << world->node_count) - 1);
    if (!world->calm && draw_chance(&world->draw, world->plan.subset_pm)) {
        return all & (uint32_t)draw_u64(&world->draw);
    }
    return all;
}

static uint64_t minimum_index(struct world *world, const struct client *client)
{
    switch (draw_below(&world->draw, 4)) {
    case 0: return 0;
    case 1: { /* it was told of another's receipt */
        const struct client *other = &world->clients[draw_below(&world->draw, world->plan.clients)];
        return other->seen_index + 1;
    }
    default: return client->seen_index + 1;
    }
}

static struct asked *ask(struct world *world, struct client *client, uint64_t number,
                         uint64_t minimum, const char *procedure, struct wm_view arguments)
{
    if (client->asked_count == client->asked_room) {
        client->asked_room = client->asked_room ? 2 * client->asked_room : 16;
        client->asked = sim_grow(client->asked, client->asked_room, sizeof *client->asked);
    }
    struct asked *asked = &client->asked[client->asked_count++];
    *asked = (struct asked){
        .number = number, .minimum_index = minimum, .sent_ns = world->now_ns, .tries = 1};
    app_request(world->service.hash, client->number, number, minimum, procedure, arguments,
                &asked->request);
    world_trace(world, UINT32_MAX, client->number, "a client asks", number, minimum, 0,
                asked->request.hash);
    return asked;
}

void client_submit(struct world *world, uint32_t number, const char *procedure,
                   struct wm_view arguments)
{
    struct client *client = &world->clients[number];
    uint64_t minimum = minimum_index(world, client);
    struct asked *asked = ask(world, client, client->next_number++, minimum, procedure, arguments);
    send_to(world, &asked->request, whom(world));
}

/* Requests that nobody may execute, or that count once though they are two. */
static void submit_naughty(struct world *world, struct client *client)
{
    uint64_t arguments[2] = {draw_below(&world->draw, APP_CELLS), 1};
    struct wm_view view = wm_view_of(arguments, sizeof arguments);
    struct asked *asked;
    switch (draw_below(&world->draw, 4)) {
    case 0: /* a signature that is none */
        asked = ask(world, client, client->next_number++, 0, "add", view);
        asked->request.request->at[asked->request.request->len - 1] ^= 1;
        break;
    case 1: /* another service's */
        world->service.hash[0] ^= 1;
        asked = ask(world, client, client->next_number++, 0, "add", view);
        world->service.hash[0] ^= 1;
        break;
    case 2: { /* for the future, far or near */
        uint64_t near = client->seen_index + draw_between(&world->draw, 2, 9);
        asked = ask(world, client, client->next_number++,
                    draw_coin(&world->draw) ? UINT64_C(1) << 40 : near, "add", view);
        break;
    }
    default: /* a number twice, to other replicas first */
        asked = ask(world, client, client->next_number, 0, "add", view);
        asked->is_naughty = true;
        send_to(world, &asked->request, (uint32_t)draw_u64(&world->draw) | 1);
        arguments[1] = 2;
        asked = ask(world, client, client->next_number++, 0, "add", view);
        break;
    }
    asked->is_naughty = true;
    send_to(world, &asked->request, whom(world));
}

/* The replicas of the next configuration: one more, one less, or another; at most f liars in it. */
static bool choose_replicas(struct world *world, uint8_t ids[1 + APP_REPLICAS], size_t *len)
{
    const struct app_state *state = check_state(world->check);
    bool used[KEYS_MAX] = {0};
    uint32_t count = 0, spare = 0, bad = 0;
    ids[0] = (uint8_t)state->configurations;
    for (uint64_t c = 0; c < state->configurations; c++) {
        for (uint32_t i = 0; i < APP_REPLICAS && state->replicas[c][i]; i++) {
            used[state->replicas[c][i]] = true;
        }
    }
    for (uint32_t id = 1; id <= world->plan.replicas + world->plan.spares; id++) {
        if (!used[id] && world_node_of(world, id)) {
            spare = id;
        }
    }
    const uint8_t *now = state->replicas[state->configurations - 1];
    while (count < APP_REPLICAS && now[count]) {
        count++;
    }
    uint32_t way = (uint32_t)draw_below(&world->draw, 3);
    uint32_t gone = way == 0 ? UINT32_MAX : (uint32_t)draw_below(&world->draw, count);
    if (way != 2 && (spare == 0 || count == APP_REPLICAS)) {
        return false;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i != gone) {
            ids[1 + kept++] = now[i];
        }
    }
    if (way != 2) {
        ids[1 + kept++] = (uint8_t)spare;
    }
    for (uint32_t i = 0; i < kept; i++) {
        bad += !node_is_correct(world_node_of(world, ids[1 + i]));
    }
    *len = 1 + kept;
    /* Ids ascend: spares are numbered above all others, and are taken from the largest. */
    for (uint32_t i = 1; i < kept; i++) {
        for (uint32_t k = i; k > 0 && ids[1 + k] < ids[k]; k--) {
            uint8_t swap = ids[k];
            ids[k] = ids[1 + k];
            ids[1 + k] = swap;
        }
    }
    return kept >= 4 && bad <= ledger_faulty(kept);
}

static bool govern(struct world *world, struct client *client)
{
    uint8_t ids[1 + APP_REPLICAS];
    size_t len;
    if (client->notes > 0 && draw_coin(&world->draw)) {
        client->notes--;
        client_submit(world, client->number, "note", wm_view_of(NULL, 0));
        return true;
    }
    if (client->reconfigurations > 0 && choose_replicas(world, ids, &len)) {
        client->reconfigurations--;
        client_submit(world, client->number, "replicas", wm_view_of(ids, len));
        return true;
    }
    client->reconfigurations -= client->reconfigurations > 0;
    return false;
}

static void submit_next(struct world *world, struct client *client)
{
    uint64_t arguments[2] = {draw_below(&world->draw, APP_CELLS + 1),
                             draw_below(&world->draw, 1000)};
    const char *procedure = draw_chance(&world->draw, 50) ? "refuse" : "add";
    if (draw_chance(&world->draw, world->plan.naughty_pm)) {
        submit_naughty(world, client);
    }
    if ((client->notes > 0 || client->reconfigurations > 0) && draw_coin(&world->draw) &&
        govern(world, client)) {
        return;
    }
    client->submitted++;
    client_submit(world, client->number, procedure, wm_view_of(arguments, sizeof arguments));
}

static uint32_t open_count(const struct client *client)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < client->asked_count; i++) {
        count += !client->asked[i].done && !client->asked[i].is_naughty;
    }
    return count;
}

static bool has_more(const struct world *world, const struct client *client)
{
    return client->submitted < world->plan.requests_each || client->notes > 0 ||
           client->reconfigurations > 0;
}

/* Shares may have been lost on the way; then it asks any replica for the receipt, which the ledger
 * holds by then (bft_truth.c has checked its evidence). */
static bool looks_up(struct world *world, const struct asked *asked)
{
    return asked->tries > 1 && check_has(world->check, asked->request.hash);
}

void client_act(struct world *world, uint32_t number)
{
    struct client *client = &world->clients[number];
    for (uint32_t i = 0; i < client->asked_count; i++) {
        struct asked *asked = &client->asked[i];
        if (asked->done || asked->is_naughty || world->now_ns - asked->sent_ns < AGAIN_NS) {
            continue;
        }
        asked->tries++;
        asked->sent_ns = world->now_ns;
        if (looks_up(world, asked)) {
            asked->done = true;
            client->answered++;
        } else {
            send_to(world, &asked->request, whom(world));
        }
    }
    /* What is left when the trouble is over is asked for at once. */
    if (has_more(world, client) && open_count(client) < world->plan.window) {
        submit_next(world, client);
    }
    if (has_more(world, client) || open_count(client) > 0) {
        world_push(world, draw_below(&world->draw, 2 * world->plan.think_ns) + MS, EVENT_CLIENT,
                   number, 0, NULL);
    }
}

bool clients_done(const struct world *world)
{
    for (uint32_t i = 0; i < world->plan.clients; i++) {
        if (has_more(world, &world->clients[i]) || open_count(&world->clients[i]) > 0) {
            return false;
        }
    }
    return true;
}

/* --- Answers --- */

static struct gathering *gathering_of(struct client *client, const ledger_hash name,
                                      const struct reply *reply)
{
    for (uint32_t i = 0; i < client->gathering_count; i++) {
        if (hash_equal(client->gatherings[i].name, name)) {
            return &client->gatherings[i];
        }
    }
    if (client->gathering_count == client->gathering_room) {
        client->gathering_room = client->gathering_room ? 2 * client->gathering_room : 16;
        client->gatherings =
            sim_grow(client->gatherings, client->gathering_room, sizeof *client->gatherings);
    }
    struct gathering *gathering = &client->gatherings[client->gathering_count++];
    memset(gathering, 0, sizeof *gathering);
    memcpy(gathering->name, name, sizeof gathering->name);
    gathering->first = (struct reply *)reply;
    gathering->first->holders++;
    return gathering;
}

static void believe(struct world *world, struct client *client, const struct gathering *gathering,
                    const struct reply *reply)
{
    for (uint32_t i = 0; i < reply->results->count; i++) {
        const struct app_result *result = &reply->results->items[i];
        for (uint32_t k = 0; k < client->asked_count && result->client == client->number; k++) {
            struct asked *asked = &client->asked[k];
            if (asked->done || !hash_equal(asked->request.hash, result->request)) {
                continue;
            }
            check_receipt(world->check, result, asked->minimum_index);
            asked->done = true;
            client->answered++;
            if (result->index > client->seen_index) {
                client->seen_index = result->index;
            }
            world_trace(world, UINT32_MAX, client->number, "a client has a receipt", asked->number,
                        result->index, reply->seqno, gathering->name);
        }
    }
}

void client_reply(struct world *world, uint32_t number, const struct reply *reply)
{
    struct client *client = &world->clients[number];
    struct configuration configuration;
    ledger_hash name;
    struct cose_statement statement;
    struct preprepare_claims claims;
    if (!check_share(world->check, reply, name) || reply->position >= APP_REPLICAS ||
        !hash_equal(reply->results->root, reply->root) ||
        !cose_header(bytes_view(reply->header), &statement) ||
        preprepare_claims_get(statement.claims, &claims, NULL) != 0 ||
        !check_configuration(world->check, claims.cfg, &configuration)) {
        return;
    }
    struct gathering *gathering = gathering_of(client, name, reply);
    struct share *share = &gathering->shares[reply->position];
    gathering->have |= UINT64_C(1) << reply->position;
    share->replica = reply->position;
    share->primary = reply->primary;
    memcpy(share->signature, reply->signature, sizeof share->signature);
    memcpy(share->nonce, reply->nonce, sizeof share->nonce);
    if ((uint32_t)__builtin_popcountll(gathering->have) >=
        ledger_quorum(configuration.replica_count)) {
        check_gathered(world->check, gathering);
        believe(world, client, gathering, reply);
    }
}
