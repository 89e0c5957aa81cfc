#include "sim/bft_said.h"

#include "base/assert.h"

struct word { /* of one replica about one (cfg, view, seqno) */
    uint64_t cfg, view, seqno;
    ledger_hash name;
    bool used, opened;
};
struct left { /* a view-change, by the view that it asks for */
    uint64_t view;
    bool has_top;
    uint64_t top_view, top_seqno;
    ledger_hash statement;
};
struct begun { /* a new-view */
    uint64_t view;
    ledger_hash statement;
};
struct speaker {        /* an honest machine */
    struct word *words; /* open addressing */
    uint64_t word_count, word_room;
    struct left *left;
    struct begun *begun;
    uint32_t left_count, begun_count, left_room, begun_room;
};
struct vote { /* of all about one pre-prepare; name all zeroes: nonces, whatever they open */
    uint64_t cfg, view, seqno;
    ledger_hash name;
    bool used;
    uint64_t positions;
};
struct said {
    struct world *world;
    struct speaker speakers[NODES_MAX];
    struct vote *votes;
    uint64_t vote_count, vote_room;
};

static uint64_t mix(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t z = a * UINT64_C(0x9e3779b97f4a7c15) + b * UINT64_C(0xbf58476d1ce4e5b9) + c;
    z = (z ^ z >> 29) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 32;
}

static void contradicts(struct said *said, const struct node *node, const char *what,
                        const struct glance *glance)
{
    if (node->is_excused) {
        said->world->counts->excused_contradictions++;
        return;
    }
    world_fail(said->world, "node %u (replica %u), honest: %s at view %llu, batch %llu",
               node->index, node->id, what, (unsigned long long)glance->view,
               (unsigned long long)glance->seqno);
}

/* --- Tables --- */

static struct word *word_at(struct word *words, uint64_t room, uint64_t cfg, uint64_t view,
                            uint64_t seqno)
{
    for (uint64_t at = mix(cfg, view, seqno) & (room - 1);; at = (at + 1) & (room - 1)) {
        struct word *word = &words[at];
        if (!word->used || (word->cfg == cfg && word->view == view && word->seqno == seqno)) {
            return word;
        }
    }
}

static struct word *word_of(const struct speaker *speaker, uint64_t cfg, uint64_t view,
                            uint64_t seqno)
{
    if (speaker->word_room == 0) {
        return NULL;
    }
    struct word *word = word_at(speaker->words, speaker->word_room, cfg, view, seqno);
    return word->used ? word : NULL;
}

static struct word *word_add(struct speaker *speaker, uint64_t cfg, uint64_t view, uint64_t seqno)
{
    if (2 * speaker->word_count >= speaker->word_room) {
        struct word *old = speaker->words;
        uint64_t old_room = speaker->word_room;
        speaker->word_room = old_room ? 2 * old_room : 64;
        speaker->words = sim_alloc(speaker->word_room, sizeof *speaker->words);
        for (uint64_t i = 0; i < old_room; i++) {
            if (old[i].used) {
                *word_at(speaker->words, speaker->word_room, old[i].cfg, old[i].view,
                         old[i].seqno) = old[i];
            }
        }
        free(old);
    }
    struct word *word = word_at(speaker->words, speaker->word_room, cfg, view, seqno);
    WM_ASSERT(!word->used);
    *word = (struct word){.cfg = cfg, .view = view, .seqno = seqno, .used = true};
    speaker->word_count++;
    return word;
}

static struct vote *vote_at(struct vote *votes, uint64_t room, uint64_t cfg, uint64_t view,
                            uint64_t seqno, const ledger_hash name)
{
    for (uint64_t at = mix(cfg, view, seqno) & (room - 1);; at = (at + 1) & (room - 1)) {
        struct vote *vote = &votes[at];
        if (!vote->used || (vote->cfg == cfg && vote->view == view && vote->seqno == seqno &&
                            hash_equal(vote->name, name))) {
            return vote;
        }
    }
}

static void vote_add(struct said *said, uint64_t cfg, uint64_t view, uint64_t seqno,
                     const ledger_hash name, uint32_t position)
{
    if (2 * said->vote_count >= said->vote_room) {
        struct vote *old = said->votes;
        uint64_t old_room = said->vote_room;
        said->vote_room = old_room ? 2 * old_room : 256;
        said->votes = sim_alloc(said->vote_room, sizeof *said->votes);
        for (uint64_t i = 0; i < old_room; i++) {
            if (old[i].used) {
                *vote_at(said->votes, said->vote_room, old[i].cfg, old[i].view, old[i].seqno,
                         old[i].name) = old[i];
            }
        }
        free(old);
    }
    struct vote *vote = vote_at(said->votes, said->vote_room, cfg, view, seqno, name);
    if (!vote->used) {
        *vote = (struct vote){.cfg = cfg, .view = view, .seqno = seqno, .used = true};
        memcpy(vote->name, name, sizeof vote->name);
        said->vote_count++;
    }
    if (position < 64) {
        vote->positions |= UINT64_C(1) << position;
    }
}

static const ledger_hash no_name;

uint64_t said_signers(const struct said *said, uint64_t cfg, uint64_t view, uint64_t seqno,
                      const ledger_hash name)
{
    return said->vote_room
               ? vote_at(said->votes, said->vote_room, cfg, view, seqno, name)->positions
               : 0;
}

uint64_t said_openers(const struct said *said, uint64_t cfg, uint64_t view, uint64_t seqno)
{
    return said_signers(said, cfg, view, seqno, no_name);
}

/* --- Statements --- */

static bool is_below(const struct left *left, uint64_t view, uint64_t seqno)
{
    return !left->has_top || left->top_view < view ||
           (left->top_view == view && left->top_seqno < seqno);
}

/* Has it asked for a later view by a top that is below this? What the top covers may be said again,
 * or for the first time by one that was stopped before. */
static bool is_left(const struct speaker *speaker, uint64_t view, uint64_t seqno)
{
    for (uint32_t i = 0; i < speaker->left_count; i++) {
        if (speaker->left[i].view > view && is_below(&speaker->left[i], view, seqno)) {
            return true;
        }
    }
    return false;
}

void said_batch(struct said *said, const struct node *node, const struct glance *glance,
                uint32_t position, bool committed)
{
    struct speaker *speaker = &said->speakers[node->index];
    vote_add(said, glance->cfg, glance->view, glance->seqno, glance->name, position);
    if (node->is_liar) {
        return;
    }
    struct word *word = word_of(speaker, glance->cfg, glance->view, glance->seqno);
    if (word) {
        if (!hash_equal(word->name, glance->name)) {
            contradicts(said, node, "it signs two pre-prepares", glance);
        }
        return;
    }
    if (!committed && is_left(speaker, glance->view, glance->seqno)) {
        contradicts(said, node, "it signs in a view that it has left", glance);
    }
    word = word_add(speaker, glance->cfg, glance->view, glance->seqno);
    memcpy(word->name, glance->name, sizeof word->name);
}

void said_nonce(struct said *said, const struct node *node, const struct glance *glance,
                uint32_t position, uint64_t liars, uint32_t quorum)
{
    struct speaker *speaker = &said->speakers[node->index];
    uint64_t cfg = glance->cfg, view = glance->view, seqno = glance->seqno;
    vote_add(said, cfg, view, seqno, no_name, position);
    if (node->is_liar) {
        return;
    }
    struct word *word = word_of(speaker, cfg, view, seqno);
    if (!word) {
        contradicts(said, node, "it opens a nonce for what it has not signed", glance);
        return;
    }
    if (word->opened) {
        return;
    }
    word->opened = true;
    uint64_t signers = said_signers(said, cfg, view, seqno, word->name) | liars;
    if ((uint32_t)__builtin_popcountll(signers) < quorum) {
        contradicts(said, node, "it opens a nonce before Q have signed", glance);
    }
    if (is_left(speaker, view, seqno)) {
        contradicts(said, node, "it opens a nonce in a view that it has left", glance);
    }
}

void said_view_change(struct said *said, const struct node *node, const struct glance *glance)
{
    struct speaker *speaker = &said->speakers[node->index];
    if (node->is_liar) {
        return;
    }
    for (uint32_t i = 0; i < speaker->left_count; i++) {
        if (speaker->left[i].view == glance->view) {
            if (!hash_equal(speaker->left[i].statement, glance->statement)) {
                contradicts(said, node, "it asks for one view twice, differently", glance);
            }
            return;
        }
    }
    struct left now = {.view = glance->view,
                       .has_top = glance->has_top,
                       .top_view = glance->top_view,
                       .top_seqno = glance->top_seqno};
    memcpy(now.statement, glance->statement, sizeof now.statement);
    for (uint64_t i = 0; i < speaker->word_room; i++) {
        const struct word *word = &speaker->words[i];
        if (word->used && word->opened && word->view < glance->view &&
            is_below(&now, word->view, word->seqno)) {
            contradicts(said, node, "it names a top below a nonce that it opened", glance);
        }
    }
    if (speaker->left_count == speaker->left_room) {
        speaker->left_room = speaker->left_room ? 2 * speaker->left_room : 8;
        speaker->left = sim_grow(speaker->left, speaker->left_room, sizeof *speaker->left);
    }
    speaker->left[speaker->left_count++] = now;
}

void said_new_view(struct said *said, const struct node *node, const struct glance *glance)
{
    struct speaker *speaker = &said->speakers[node->index];
    if (node->is_liar) {
        return;
    }
    for (uint32_t i = 0; i < speaker->begun_count; i++) {
        if (speaker->begun[i].view == glance->view) {
            if (!hash_equal(speaker->begun[i].statement, glance->statement)) {
                contradicts(said, node, "it begins one view twice, differently", glance);
            }
            return;
        }
    }
    for (uint32_t i = 0; i < speaker->left_count; i++) {
        if (speaker->left[i].view > glance->view) {
            contradicts(said, node, "it begins a view that it has left", glance);
        }
    }
    if (speaker->begun_count == speaker->begun_room) {
        speaker->begun_room = speaker->begun_room ? 2 * speaker->begun_room : 8;
        speaker->begun = sim_grow(speaker->begun, speaker->begun_room, sizeof *speaker->begun);
    }
    struct begun *begun = &speaker->begun[speaker->begun_count++];
    begun->view = glance->view;
    memcpy(begun->statement, glance->statement, sizeof begun->statement);
}

bool said_signed(const struct said *said, const struct node *node, uint64_t cfg, uint64_t view,
                 uint64_t seqno)
{
    return word_of(&said->speakers[node->index], cfg, view, seqno) != NULL;
}

bool said_before(const struct said *said, const struct node *node, const struct glance *glance)
{
    const struct speaker *speaker = &said->speakers[node->index];
    const struct word *word = word_of(speaker, glance->cfg, glance->view, glance->seqno);
    switch (glance->kind) {
    case PEER_PREPREPARE:
    case PEER_PREPARE: return word && hash_equal(word->name, glance->name);
    case PEER_COMMIT: return word && word->opened;
    case PEER_VIEW_CHANGE:
        for (uint32_t i = 0; i < speaker->left_count; i++) {
            if (hash_equal(speaker->left[i].statement, glance->statement)) {
                return true;
            }
        }
        return false;
    case PEER_NEW_VIEW:
        for (uint32_t i = 0; i < speaker->begun_count; i++) {
            if (hash_equal(speaker->begun[i].statement, glance->statement)) {
                return true;
            }
        }
        return false;
    default: return true; /* nothing that binds it */
    }
}

struct said *said_new(struct world *world)
{
    struct said *said = sim_alloc(1, sizeof *said);
    said->world = world;
    return said;
}

void said_free(struct said *said)
{
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        free(said->speakers[i].words);
        free(said->speakers[i].left);
        free(said->speakers[i].begun);
    }
    free(said->votes);
    free(said);
}
