#include "sim/bft_check.h"

#include <stdio.h>

#include "base/assert.h"
#include "crypto/hash.h"
#include "sim/bft_said.h"
#include "sim/bft_truth.h"

#define EFFECTS_MAX 4096u                    /* of a step */
#define EFFECT_BYTES_MAX (32u * 1024 * 1024) /* likewise */
#define CORE_BYTES_MAX (24u * 1024 * 1024)   /* beside what bft_limits name */

struct check {
    struct world *world;
    struct truth truth;
    struct said *said;
    bool is_split; /* more than f liars, and honest ones have disagreed */
    struct {
        uint64_t next; /* seqno that it must commit next */
        bool in_step;  /* something was committed in this step; the newest: */
        uint64_t cfg, view, seqno;
        ledger_hash name;
    } nodes[NODES_MAX];
    struct configuration configuration; /* the one asked for last */
    uint64_t newest_receipt;            /* its batch's seqno */
    uint64_t receipts, disagreements, blamed[BLAME_GOVERNANCE + 1];
    uint64_t largest_core_bytes;
};

struct check *check_new(struct world *world)
{
    struct check *check = sim_alloc(1, sizeof *check);
    check->world = world;
    check->said = said_new(world);
    truth_init(&check->truth, &world->service, &world->genesis_state);
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        check->nodes[i].next = 1;
    }
    return check;
}

void check_free(struct check *check)
{
    said_free(check->said);
    truth_fini(&check->truth);
    free(check);
}

void check_count(const struct check *check, struct counts *counts)
{
    counts->batches += check->truth.count;
    counts->transactions += check->truth.transactions;
    counts->reconfigurations += check->truth.cfg;
    counts->receipts += check->receipts;
    counts->disagreements += check->disagreements;
    for (uint32_t i = 0; i <= BLAME_GOVERNANCE; i++) {
        counts->blamed[i] += check->blamed[i];
    }
    if (check->largest_core_bytes > counts->largest_core_bytes) {
        counts->largest_core_bytes = check->largest_core_bytes;
    }
}

static bool is_within(const struct check *check)
{
    return plan_within(&check->world->plan);
}

/* The configuration as the node knows it: its application is ours. */
static const struct configuration *configuration_at(const struct node *node, uint64_t cfg)
{
    return node->app ? node->app->calls.configuration(node->app->calls.self, cfg) : NULL;
}

static uint32_t position_of(const struct configuration *configuration, uint32_t id)
{
    uint32_t i = 0;
    while (configuration && i < configuration->replica_count &&
           configuration->replicas[i].id != id) {
        i++;
    }
    return configuration && i < configuration->replica_count ? i : UINT32_MAX;
}

/* Liars may have told each other, or hidden in a message, what was never said aloud: wherever
 * statements are counted from outside, theirs count as made. */
static uint64_t liars_in(const struct check *check, const struct configuration *configuration)
{
    uint64_t positions = 0;
    for (uint32_t i = 0; i < check->world->node_count; i++) {
        uint32_t position = check->world->nodes[i].is_liar
                                ? position_of(configuration, check->world->nodes[i].id)
                                : UINT32_MAX;
        positions |= position < 64 ? UINT64_C(1) << position : 0;
    }
    return positions;
}

/* --- The committed ledger --- */

const struct app_state *check_state(const struct check *check)
{
    return &check->truth.state;
}

uint64_t check_end(const struct check *check)
{
    return check->truth.count > check->newest_receipt ? check->truth.count : check->newest_receipt;
}

bool check_configuration(const struct check *check, uint64_t cfg, struct configuration *out)
{
    if (cfg >= check->truth.state.configurations) {
        return false;
    }
    app_configuration(&check->world->service, &check->truth.state, cfg, out);
    return true;
}

bool check_has(const struct check *check, const ledger_hash request)
{
    return truth_index_of(&check->truth, request) != 0;
}

void check_booted(struct check *check, const struct node *node)
{
    check->nodes[node->index].next = node->disk.ledger_synced + 1;
    check->nodes[node->index].in_step = false;
}

void check_installed(struct check *check, const struct node *node, uint64_t seqno)
{
    const struct stored *stored = disk_stored(&node->disk, seqno);
    const struct truth_batch *batch = truth_batch(&check->truth, seqno);
    WM_ASSERT(stored);
    if (!check->is_split && (!batch || !hash_equal(batch->name, stored->head.name))) {
        world_fail(check->world, "node %u: it was given another checkpoint than the ledger's",
                   node->index);
    }
}

void check_committed(struct check *check, const struct node *node, const struct app_commit *commit)
{
    struct world *world = check->world;
    const struct bft_entries *entries = commit->entries;
    uint64_t seqno = entries->seqno;
    ledger_hash digest;
    if (node->is_liar) {
        return;
    }
    if (seqno != check->nodes[node->index].next) {
        world_fail(world, "node %u: commits batch %llu where %llu follows", node->index,
                   (unsigned long long)seqno, (unsigned long long)check->nodes[node->index].next);
        return;
    }
    check->nodes[node->index].next++;
    check->nodes[node->index].in_step = true;
    check->nodes[node->index].cfg = entries->cfg;
    check->nodes[node->index].view = entries->view;
    check->nodes[node->index].seqno = seqno;
    memcpy(check->nodes[node->index].name, commit->head->name, sizeof(ledger_hash));
    if (check->is_split) {
        return;
    }
    const struct truth_batch *batch = truth_batch(&check->truth, seqno);
    if (!batch) {
        if (!truth_add(&check->truth, entries)) {
            world_fail(world, "node %u: batch %llu is committed against the rules: %s", node->index,
                       (unsigned long long)seqno, check->truth.why);
        }
        return;
    }
    truth_digest(entries, digest);
    if (!hash_equal(digest, batch->digest)) {
        if (is_within(check)) {
            world_fail(world,
                       "node %u: batch %llu is committed with other entries than elsewhere%s",
                       node->index, (unsigned long long)seqno,
                       hash_equal(batch->name, commit->head->name) ? " (of the same name)" : "");
        } else {
            check->is_split = true;
            check->disagreements++;
        }
    }
}

/* --- Words --- */

static bool is_own(const struct node *node, const struct glance *glance)
{
    return memcmp(glance->signer, key_of_replica(node->id)->public_key, sizeof(ledger_key)) == 0;
}

static bool is_committed(const struct check *check, const struct glance *glance)
{
    const struct truth_batch *batch = truth_batch(&check->truth, glance->seqno);
    return batch && hash_equal(batch->name, glance->name);
}

/* Its own nonce, which stands in the evidence that it sends as a primary. */
static void said_in_evidence(struct check *check, const struct node *node,
                             const struct packet *packet)
{
    struct peer_message *message = sim_alloc(1, sizeof *message);
    struct evidence *evidence = sim_alloc(1, sizeof *evidence);
    struct glance place = {.kind = PEER_COMMIT, .view = packet->glance.view};
    if (peer_message_get(bytes_view(packet->bytes), message, NULL) == 0 &&
        message->preprepare.evidence.len > 0 &&
        evidence_get(message->preprepare.evidence, evidence, NULL)) {
        place.seqno = evidence->seqno;
        /* It is of this configuration, or of the one before. */
        for (place.cfg = packet->glance.cfg;; place.cfg--) {
            const struct configuration *configuration = configuration_at(node, place.cfg);
            uint32_t position = position_of(configuration, node->id);
            if (position != UINT32_MAX && (evidence->bitmap >> position & 1) &&
                said_signed(check->said, node, place.cfg, place.view, place.seqno)) {
                said_nonce(check->said, node, &place, position, liars_in(check, configuration),
                           ledger_quorum(configuration->replica_count));
                break;
            }
            if (place.cfg == 0 || place.cfg + 1 == packet->glance.cfg) {
                break;
            }
        }
    }
    free(evidence);
    free(message);
}

/* Its own share in the quorum that comes with entries. */
static void said_in_entries(struct check *check, const struct node *node,
                            const struct packet *packet)
{
    struct peer_message *message = sim_alloc(1, sizeof *message);
    struct preprepare_claims claims;
    struct glance glance = {.kind = PEER_ENTRIES, .has_name = true};
    ledger_key key;
    const struct quorum *quorum = &message->entries.quorum;
    if (peer_message_get(bytes_view(packet->bytes), message, NULL) == 0 &&
        message->entries.has_quorum && truth_preprepare(quorum->header, &claims, key)) {
        const struct configuration *configuration = configuration_at(node, claims.cfg);
        uint32_t position = position_of(configuration, node->id);
        bool has = quorum->has_primary_nonce && configuration &&
                   position == claims.view % configuration->replica_count;
        for (uint32_t i = 0; i < quorum->count; i++) {
            has |= quorum->shares[i].replica == position;
        }
        glance.cfg = claims.cfg;
        glance.view = claims.view;
        glance.seqno = claims.seqno;
        truth_name(quorum->header, quorum->root, glance.name);
        if (has && position != UINT32_MAX) {
            said_batch(check->said, node, &glance, position, is_committed(check, &glance));
            said_nonce(check->said, node, &glance, position, liars_in(check, configuration),
                       ledger_quorum(configuration->replica_count));
        }
    }
    free(message);
}

void check_said(struct check *check, const struct node *node, const struct packet *packet)
{
    const struct glance *glance = &packet->glance;
    const struct configuration *configuration;
    switch (glance->kind) {
    case PEER_PREPREPARE:
    case PEER_PREPARE:
        if (is_own(node, glance)) {
            configuration = configuration_at(node, glance->cfg);
            said_batch(check->said, node, glance, position_of(configuration, node->id),
                       is_committed(check, glance));
        }
        if (glance->kind == PEER_PREPREPARE && is_own(node, glance) && !node->is_liar) {
            said_in_evidence(check, node, packet);
        }
        break;
    case PEER_COMMIT:
        configuration = configuration_at(node, glance->cfg);
        said_nonce(check->said, node, glance, position_of(configuration, node->id),
                   liars_in(check, configuration),
                   configuration ? ledger_quorum(configuration->replica_count) : UINT32_MAX);
        break;
    case PEER_VIEW_CHANGE:
        if (is_own(node, glance)) {
            said_view_change(check->said, node, glance);
        }
        break;
    case PEER_NEW_VIEW:
        if (is_own(node, glance)) {
            said_new_view(check->said, node, glance);
        }
        break;
    case PEER_ENTRIES:
        if (!node->is_liar) {
            said_in_entries(check, node, packet);
        }
        break;
    case 0:
        if (!node->is_liar) {
            world_fail(check->world, "node %u: it sends what cannot be read", node->index);
        }
        break;
    default: break;
    }
}

/* Has it heard from Q replicas of some configuration, itself counted, since it started? */
static bool was_told(const struct node *node)
{
    const struct configuration *configuration;
    for (uint64_t cfg = 0; (configuration = configuration_at(node, cfg)) != NULL; cfg++) {
        uint32_t count = 1;
        for (uint32_t i = 0; i < configuration->replica_count; i++) {
            count += (uint32_t)(node->told >> configuration->replicas[i].id & 1);
        }
        if (count >= ledger_quorum(configuration->replica_count)) {
            return true;
        }
    }
    return false;
}

void check_uncovered(struct check *check, const struct node *node, const struct packet *packet,
                     bool covered)
{
    const struct glance *glance = &packet->glance;
    if (glance->kind == PEER_ENTRIES && !covered && !node->is_liar) {
        /* They hold shares, its own among them. */
        world_fail(check->world, "node %u: it sends entries without a sync", node->index);
    }
    bool binds = glance->kind == PEER_PREPREPARE || glance->kind == PEER_PREPARE ||
                 glance->kind == PEER_COMMIT || glance->kind == PEER_VIEW_CHANGE ||
                 glance->kind == PEER_NEW_VIEW;
    if (node->is_liar || !binds || (glance->kind != PEER_COMMIT && !is_own(node, glance))) {
        return;
    }
    bool is_new = !said_before(check->said, node, glance);
    if (node->status.mode == BFT_SILENT || (is_new && !was_told(node))) {
        world_fail(check->world, "node %u: it speaks before it has asked what it said",
                   node->index);
    }
    if (covered || !is_new) {
        return;
    }
    world_fail(check->world, "node %u: it sends message kind %u of batch %llu without a sync",
               node->index, glance->kind, (unsigned long long)glance->seqno);
}

/* --- Shares and receipts --- */

bool check_share(const struct check *check, const struct reply *reply, ledger_hash name)
{
    struct preprepare_claims claims;
    struct configuration configuration;
    ledger_key key;
    ledger_hash commitment;
    struct wm_view header = bytes_view(reply->header);
    if (!truth_preprepare(header, &claims, key) ||
        !hash_equal(claims.service, check->world->service.hash) ||
        !check_configuration(check, claims.cfg, &configuration)) {
        return false;
    }
    uint32_t primary = (uint32_t)(claims.view % configuration.replica_count);
    truth_name(header, reply->root, name);
    if (memcmp(key, configuration.replicas[primary].key, sizeof key) != 0 ||
        !truth_signed(header, reply->root, key, reply->preprepare_signature)) {
        return false;
    }
    if (reply->primary) {
        return reply->position == primary && truth_opens(reply->nonce, claims.commitment) &&
               memcmp(reply->signature, reply->preprepare_signature, sizeof reply->signature) == 0;
    }
    wm_sha256_once(wm_view_of(reply->nonce, sizeof reply->nonce), commitment);
    return reply->position != primary &&
           truth_prepared(&check->world->service, &configuration, header, reply->root,
                          reply->position, commitment, reply->signature);
}

void check_shared(struct check *check, const struct node *node, const struct reply *reply)
{
    struct preprepare_claims claims;
    struct glance glance = {.kind = PEER_PREPARE, .has_name = true};
    ledger_key key;
    if (!truth_preprepare(bytes_view(reply->header), &claims, key)) {
        if (!node->is_liar) {
            world_fail(check->world, "node %u: a share cannot be read", node->index);
        }
        return;
    }
    glance.cfg = claims.cfg;
    glance.view = claims.view;
    glance.seqno = claims.seqno;
    truth_name(bytes_view(reply->header), reply->root, glance.name);
    const struct configuration *configuration = configuration_at(node, claims.cfg);
    uint32_t position = position_of(configuration, node->id);
    if (!node->is_liar && (!configuration || position != reply->position)) {
        world_fail(check->world, "node %u: a share is of position %u", node->index,
                   reply->position);
        return;
    }
    said_batch(check->said, node, &glance, position, is_committed(check, &glance));
    said_nonce(check->said, node, &glance, position, liars_in(check, configuration),
               configuration ? ledger_quorum(configuration->replica_count) : UINT32_MAX);
    ledger_hash name;
    struct configuration known;
    if (!node->is_liar && check_configuration(check, claims.cfg, &known) &&
        !check_share(check, reply, name)) {
        world_fail(check->world, "node %u: its share in batch %llu is not genuine", node->index,
                   (unsigned long long)claims.seqno);
    }
}

void check_no_share(struct check *check, const struct node *node, const struct bft_effect *effect)
{
    /* Where effects wait for the end of a turn, a view change may have come between. */
    if (check->world->plan.turn_ns == 0 && !node->is_liar) {
        world_fail(check->world, "node %u: has no share in batch %llu, which it says is prepared",
                   node->index, (unsigned long long)effect->seqno);
    }
}

void check_receipt(struct check *check, const struct app_result *result, uint64_t minimum_index)
{
    check->receipts++;
    if (is_within(check) && result->index < minimum_index) {
        world_fail(check->world, "a receipt for index %llu is below the request's minimum %llu",
                   (unsigned long long)result->index, (unsigned long long)minimum_index);
    }
}

void check_gathered(struct check *check, const struct gathering *gathering)
{
    struct preprepare_claims claims;
    struct configuration configuration;
    struct quorum *quorum = sim_alloc(1, sizeof *quorum);
    ledger_key key;
    bool ok = truth_preprepare(bytes_view(gathering->first->header), &claims, key) &&
              check_configuration(check, claims.cfg, &configuration);
    WM_ASSERT(ok); /* its shares were checked */
    quorum->header = bytes_view(gathering->first->header);
    quorum->has_root = true;
    memcpy(quorum->root, gathering->first->root, sizeof quorum->root);
    memcpy(quorum->signature, gathering->first->preprepare_signature, sizeof quorum->signature);
    for (uint32_t position = 0; position < APP_REPLICAS; position++) {
        const struct share *share = &gathering->shares[position];
        if (!(gathering->have >> position & 1)) {
            continue;
        }
        if (share->primary) {
            quorum->has_primary_nonce = true;
            memcpy(quorum->primary_nonce, share->nonce, sizeof share->nonce);
        } else {
            struct quorum_share *out = &quorum->shares[quorum->count++];
            out->replica = position;
            memcpy(out->signature, share->signature, sizeof out->signature);
            memcpy(out->nonce, share->nonce, sizeof out->nonce);
        }
    }
    const char *why = truth_quorum(&check->world->service, &configuration, quorum);
    free(quorum);
    if (why) {
        world_fail(check->world, "a client's receipt of batch %llu: %s",
                   (unsigned long long)claims.seqno, why);
    }
    if (!is_within(check)) {
        return;
    }
    /* It may be ahead of all ledgers: what remains is checked at the end. */
    if (claims.seqno > check->newest_receipt) {
        check->newest_receipt = claims.seqno;
    }
    const struct truth_batch *batch = truth_batch(&check->truth, claims.seqno);
    if (batch && !hash_equal(batch->name, gathering->name)) {
        world_fail(check->world, "a client's receipt is of a batch %llu that is not in the ledger",
                   (unsigned long long)claims.seqno);
    }
}

bool check_request(const struct sim_request *request)
{
    struct request read;
    return request_get(bytes_view(request->request), &read, NULL) == 0 &&
           truth_signed(read.statement.protected_header, read.statement.payload, read.statement.key,
                        read.statement.signature);
}

void check_quorum(struct check *check, const struct node *node, uint64_t seqno)
{
    const struct truth_batch *batch = truth_batch(&check->truth, seqno);
    struct configuration configuration;
    struct quorum *quorum;
    ledger_hash name;
    if (node->is_liar || check->is_split) {
        return;
    }
    quorum = sim_alloc(1, sizeof *quorum);
    if (bft_quorum(node->core, seqno, quorum)) {
        const char *why = "its batch is not committed";
        truth_name(quorum->header, quorum->root, name);
        if (batch && hash_equal(batch->name, name) &&
            check_configuration(check, batch->cfg, &configuration)) {
            why = truth_quorum(&check->world->service, &configuration, quorum);
        }
        if (why) {
            world_fail(check->world, "node %u: the quorum of batch %llu: %s", node->index,
                       (unsigned long long)seqno, why);
        }
    }
    free(quorum);
}

/* --- Blame --- */

static bool is_blamable(const struct check *check, const ledger_key key)
{
    for (uint32_t i = 0; i < check->world->node_count; i++) {
        const struct node *node = &check->world->nodes[i];
        if (memcmp(key_of_replica(node->id)->public_key, key, sizeof(ledger_key)) == 0 &&
            !node_is_correct(node)) {
            return true;
        }
    }
    return false;
}

/* What a statement says about a batch, whether it is a pre-prepare or a prepare. */
struct accused {
    uint64_t cfg, view, seqno;
    ledger_hash name; /* of the pre-prepare */
    ledger_key key;
};

static bool accused_get(struct cbor_reader *reader, struct accused *out)
{
    struct wm_view header;
    struct cose_statement statement;
    struct preprepare_claims preprepare;
    struct prepare_claims prepare;
    ledger_hash payload;
    ledger_signature signature;
    if (!cbor_array_of(reader, 3) || !cbor_bytes(reader, &header) ||
        !cbor_bytes_of(reader, payload, sizeof payload) ||
        !cbor_bytes_of(reader, signature, sizeof signature) || !cose_header(header, &statement) ||
        !truth_signed(header, payload, statement.key, signature)) {
        return false;
    }
    memcpy(out->key, statement.key, sizeof out->key);
    if (preprepare_claims_get(statement.claims, &preprepare, NULL) == 0) {
        out->cfg = preprepare.cfg;
        out->view = preprepare.view;
        out->seqno = preprepare.seqno;
        truth_name(header, payload, out->name);
        return true;
    }
    if (prepare_claims_get(statement.claims, &prepare, NULL) != 0) {
        return false;
    }
    out->cfg = prepare.cfg;
    out->view = prepare.view;
    out->seqno = prepare.seqno;
    memcpy(out->name, prepare.preprepare, sizeof out->name);
    return true;
}

void check_alarm(struct check *check, const struct node *node, const struct bft_effect *effect)
{
    struct world *world = check->world;
    struct cbor_reader reader = cbor_reader_of(effect->bytes);
    struct accused a, b;
    world_trace(world, node->index, UINT32_MAX, "blames somebody", effect->blame, effect->view,
                effect->seqno, NULL);
    if (effect->blame != BLAME_EQUIVOCATION) {
        world_fail(world, "node %u: an alarm of a kind that is not checked here", node->index);
        return;
    }
    check->blamed[effect->blame]++;
    if (!accused_get(&reader, &a) || !accused_get(&reader, &b) || !cbor_end(&reader)) {
        world_fail(world, "node %u: an alarm that cannot be read", node->index);
    } else if (memcmp(a.key, b.key, sizeof a.key) != 0 || a.cfg != b.cfg || a.view != b.view ||
               a.seqno != b.seqno || hash_equal(a.name, b.name)) {
        world_fail(world,
                   "node %u: an alarm about two statements that do not contradict each other",
                   node->index);
    } else if (!is_blamable(check, a.key)) {
        world_fail(world, "node %u: an alarm that convicts an honest replica", node->index);
    }
}

void check_halted(struct check *check, const struct node *node, int code, const char *text)
{
    bool may = node->is_liar || (node->is_excused && code == WM_E_STALE) ||
               (!is_within(check) && code == WM_E_FORGED);
    if (!may) {
        world_fail(check->world, "node %u halts: %s", node->index, text);
    }
}

/* --- Bounds --- */

/* What was committed in the step that ends here: its newest batch has a quorum of its own. */
static void check_step_commits(struct check *check, const struct node *node)
{
    if (!check->nodes[node->index].in_step) {
        return;
    }
    check->nodes[node->index].in_step = false;
    uint64_t cfg = check->nodes[node->index].cfg, view = check->nodes[node->index].view,
             seqno = check->nodes[node->index].seqno;
    const struct configuration *configuration = configuration_at(node, cfg);
    uint32_t position = position_of(configuration, node->id);
    uint64_t positions =
        (said_signers(check->said, cfg, view, seqno, check->nodes[node->index].name) &
         said_openers(check->said, cfg, view, seqno)) |
        liars_in(check, configuration);
    if (node->life > 0 &&
        position < 64) { /* what it opened before it was stopped, nobody may know */
        positions |= UINT64_C(1) << position;
    }
    if (configuration &&
        (uint32_t)__builtin_popcountll(positions) < ledger_quorum(configuration->replica_count)) {
        world_fail(check->world,
                   "node %u: commits batch %llu of view %llu, signed by %llx and opened by %llx",
                   node->index, (unsigned long long)seqno, (unsigned long long)view,
                   (unsigned long long)said_signers(check->said, cfg, view, seqno,
                                                    check->nodes[node->index].name),
                   (unsigned long long)said_openers(check->said, cfg, view, seqno));
    }
}

/* In any configuration that the node knows: the bitmap does not tell which one is meant. */
static bool was_liar_at(const struct check *check, const struct node *node, uint32_t position)
{
    const struct configuration *configuration;
    for (uint64_t cfg = 0; (configuration = configuration_at(node, cfg)) != NULL; cfg++) {
        if (position < configuration->replica_count &&
            is_blamable(check, configuration->replicas[position].key)) {
            return true;
        }
    }
    return false;
}

void check_status(struct check *check, const struct node *node, const struct bft_status *before,
                  const struct bft_status *now)
{
    struct world *world = check->world;
    if (node->is_liar || now->mode == BFT_HALTED) {
        return;
    }
    if (now->committed_seqno > now->head_seqno || now->committed_seqno < before->committed_seqno ||
        now->view < before->view || now->committed_seqno + 1 != check->nodes[node->index].next) {
        world_fail(
            world,
            "node %u: its status: view %llu after %llu, committed %llu after %llu, head %llu",
            node->index, (unsigned long long)now->view, (unsigned long long)before->view,
            (unsigned long long)now->committed_seqno, (unsigned long long)before->committed_seqno,
            (unsigned long long)now->head_seqno);
    }
    uint64_t fresh = now->suspicions & ~before->suspicions;
    for (; fresh; fresh &= fresh - 1) {
        uint32_t position = (uint32_t)__builtin_ctzll(fresh);
        if (is_within(check) && !was_liar_at(check, node, position)) {
            world_fail(world, "node %u: it suspects position %u, where nobody lies", node->index,
                       position);
        }
    }
    check_step_commits(check, node);
}

void check_effects(struct check *check, const struct node *node)
{
    if (node->effects.count > EFFECTS_MAX || node->effects.arena.total_bytes > EFFECT_BYTES_MAX) {
        world_fail(check->world, "node %u: %u effects of %zu bytes at once", node->index,
                   node->effects.count, node->effects.arena.total_bytes);
    }
}

void check_memory(struct check *check, const struct node *node)
{
    const struct bft_limits *limits = &check->world->plan.limits;
    uint64_t most =
        CORE_BYTES_MAX + 2 * limits->request_bytes + check->world->node_count * limits->early_bytes;
    if (node->core_bytes > check->largest_core_bytes) {
        check->largest_core_bytes = node->core_bytes;
    }
    if (node->core_bytes > most) {
        world_fail(check->world, "node %u: its core holds %llu bytes", node->index,
                   (unsigned long long)node->core_bytes);
    }
}

/* --- The end --- */

static void check_last_receipts(struct check *check)
{
    for (uint32_t i = 0; i < check->world->plan.clients; i++) {
        const struct client *client = &check->world->clients[i];
        for (uint32_t k = 0; k < client->gathering_count; k++) {
            const struct gathering *gathering = &client->gatherings[k];
            struct preprepare_claims claims;
            struct configuration configuration;
            ledger_key key;
            if (!truth_preprepare(bytes_view(gathering->first->header), &claims, key) ||
                !check_configuration(check, claims.cfg, &configuration) ||
                (uint32_t)__builtin_popcountll(gathering->have) <
                    ledger_quorum(configuration.replica_count)) {
                continue;
            }
            const struct truth_batch *batch = truth_batch(&check->truth, claims.seqno);
            if (!batch || !hash_equal(batch->name, gathering->name)) {
                world_fail(check->world,
                           "a client's receipt is of batch %llu, which is not in the "
                           "ledger at the end",
                           (unsigned long long)claims.seqno);
            }
        }
    }
}

void check_ended(struct check *check)
{
    if (is_within(check)) {
        check_last_receipts(check);
    }
}
