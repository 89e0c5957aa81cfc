/* A tree of sets by name (tsearch: balanced, so that nobody can make it slow by the choice of
 * names), each a sorted array of members. */
#include "faaslet/tier_sets.h"

#include <errno.h>
#include <search.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/vec.h"

struct member {
    int64_t expires_ms;
    uint16_t len;
    uint8_t bytes[];
};

struct set {
    struct wm_view name; /* first, for compare_sets; bytes of its own */
    WM_VEC(struct member *) members;
    struct set *next, *previous;
};

struct sets {
    void *tree;
    struct set *all;
    uint32_t members;
};

static int compare(struct wm_view a, struct wm_view b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_sets(const void *a, const void *b)
{
    return compare(*(const struct wm_view *)a, *(const struct wm_view *)b);
}

int sets_new(struct sets **out)
{
    *out = wm_alloc_zero(1, sizeof **out);
    return *out ? 0 : -ENOMEM;
}

static void free_set(struct sets *sets, struct set *set)
{
    tdelete(&set->name, &sets->tree, compare_sets);
    if (set->previous) {
        set->previous->next = set->next;
    } else {
        sets->all = set->next;
    }
    if (set->next) {
        set->next->previous = set->previous;
    }
    for (size_t i = 0; i < set->members.count; i++) {
        wm_free(set->members.items[i]);
    }
    sets->members -= (uint32_t)set->members.count;
    wm_vec_fini(&set->members);
    wm_free((void *)(uintptr_t)set->name.ptr);
    wm_free(set);
}

void sets_free(struct sets *sets)
{
    if (sets) {
        while (sets->all) {
            free_set(sets, sets->all);
        }
        wm_free(sets);
    }
}

static struct set *find(struct sets *sets, struct wm_view name)
{
    struct set **found = tfind(&name, &sets->tree, compare_sets);
    return found ? *found : NULL;
}

/* Drops what has expired; an empty set goes with its last member (NULL then). */
static struct set *tidy(struct sets *sets, struct set *set, int64_t now_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->members.count; i++) {
        struct member *member = set->members.items[i];
        if (member->expires_ms > now_ms) {
            set->members.items[kept++] = member;
        } else {
            wm_free(member);
        }
    }
    sets->members -= (uint32_t)(set->members.count - kept);
    set->members.count = kept;
    if (kept == 0) {
        free_set(sets, set);
        return NULL;
    }
    return set;
}

static struct set *make(struct sets *sets, struct wm_view name)
{
    struct set *set = wm_alloc_zero(1, sizeof *set);
    uint8_t *bytes = wm_alloc(name.len);
    if (!set || !bytes) {
        wm_free(set);
        wm_free(bytes);
        return NULL;
    }
    memcpy(bytes, name.ptr, name.len);
    set->name = wm_view_of(bytes, name.len);
    if (!tsearch(set, &sets->tree, compare_sets)) {
        wm_free(set);
        wm_free(bytes);
        return NULL;
    }
    set->next = sets->all;
    if (sets->all) {
        sets->all->previous = set;
    }
    sets->all = set;
    return set;
}

/* Where the member is, or would be. */
static size_t place_of(const struct set *set, struct wm_view member, bool *there)
{
    size_t low = 0, high = set->members.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct member *other = set->members.items[middle];
        int order = compare(member, wm_view_of(other->bytes, other->len));
        if (order == 0) {
            *there = true;
            return middle;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    *there = false;
    return low;
}

static void tidy_all(struct sets *sets, int64_t now_ms)
{
    for (struct set *set = sets->all, *next; set; set = next) {
        next = set->next;
        tidy(sets, set, now_ms);
    }
}

int sets_add(struct sets *sets, struct wm_view name, struct wm_view member, int64_t expires_ms,
             int64_t now_ms)
{
    bool there = false;
    struct set *set = find(sets, name);
    size_t place = set ? place_of(set, member, &there) : 0;
    if (there) {
        set->members.items[place]->expires_ms = expires_ms;
        return 0;
    }
    if (sets->members >= SETS_MEMBERS_MAX) {
        tidy_all(sets, now_ms);
        set = find(sets, name);
    } else if (set && set->members.count >= SETS_MEMBERS_OF_ONE_MAX) {
        set = tidy(sets, set, now_ms);
    }
    if (sets->members >= SETS_MEMBERS_MAX ||
        (set && set->members.count >= SETS_MEMBERS_OF_ONE_MAX)) {
        return WM_E_LIMIT;
    }
    struct member *added = wm_alloc(sizeof *added + member.len);
    set = !added ? NULL : set ? set : make(sets, name);
    if (!set || wm_vec_reserve_one(&set->members) != 0) {
        if (set && set->members.count == 0) {
            free_set(sets, set);
        }
        wm_free(added);
        return -ENOMEM;
    }
    added->expires_ms = expires_ms;
    added->len = (uint16_t)member.len;
    memcpy(added->bytes, member.ptr, member.len);
    place = place_of(set, member, &there);
    memmove(set->members.items + place + 1, set->members.items + place,
            (set->members.count - place) * sizeof *set->members.items);
    set->members.items[place] = added;
    set->members.count++;
    sets->members++;
    return 0;
}

void sets_remove(struct sets *sets, struct wm_view name, struct wm_view member)
{
    bool there = false;
    struct set *set = find(sets, name);
    size_t place = set ? place_of(set, member, &there) : 0;
    if (!there) {
        return;
    }
    wm_free(set->members.items[place]);
    set->members.count--;
    sets->members--;
    memmove(set->members.items + place, set->members.items + place + 1,
            (set->members.count - place) * sizeof *set->members.items);
    if (set->members.count == 0) {
        free_set(sets, set);
    }
}

int sets_members(struct sets *sets, struct wm_view name, int64_t now_ms, uint8_t **out, size_t *len)
{
    struct set *set = find(sets, name);
    set = set ? tidy(sets, set, now_ms) : NULL;
    *len = 0;
    for (size_t i = 0; set && i < set->members.count; i++) {
        *len += 2u + set->members.items[i]->len;
    }
    uint8_t *at = *out = wm_alloc(*len);
    if (!at) {
        return -ENOMEM;
    }
    for (size_t i = 0; set && i < set->members.count; i++) {
        const struct member *member = set->members.items[i];
        memcpy(at, &member->len, 2);
        memcpy(at + 2, member->bytes, member->len);
        at += 2 + member->len;
    }
    return 0;
}
