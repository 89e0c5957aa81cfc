/* typeid.c: a hash table of types under one lock.
 *
 * Ids index `entries` (id - 1); a free entry is NULL and chained through `next_free`. Entries are
 * allocated singly, so that a type's bytes never move while its id is held. */
#include "wasm/typeid.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

struct entry {
    uint32_t hash;
    uint32_t next; /* id in the same bucket; 0: last */
    uint64_t refs;
    uint32_t param_count, result_count;
    uint8_t types[]; /* parameters, then results */
};

static struct {
    pthread_mutex_t lock;
    struct entry **entries;
    uint32_t *next_free; /* by index; 0: last */
    uint32_t count, room;
    uint32_t first_free;
    uint32_t held;
    uint32_t *buckets;
    uint32_t bucket_count; /* a power of two */
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint32_t hash_of(const struct wasm_functype *type)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    hash = (hash ^ type->param_count) * 16777619u;
    for (uint32_t i = 0; i < type->param_count; i++) {
        hash = (hash ^ type->params[i]) * 16777619u;
    }
    for (uint32_t i = 0; i < type->result_count; i++) {
        hash = (hash ^ type->results[i]) * 16777619u;
    }
    return hash;
}

static bool same(const struct entry *entry, const struct wasm_functype *type)
{
    return entry->param_count == type->param_count && entry->result_count == type->result_count &&
           (type->param_count == 0 || memcmp(entry->types, type->params, type->param_count) == 0) &&
           (type->result_count == 0 ||
            memcmp(entry->types + type->param_count, type->results, type->result_count) == 0);
}

static bool rehash(uint32_t bucket_count)
{
    uint32_t *buckets = wm_alloc_zero(bucket_count, sizeof *buckets);
    if (!buckets) {
        return false;
    }
    for (uint32_t i = 0; i < registry.count; i++) {
        struct entry *entry = registry.entries[i];
        if (entry) {
            uint32_t *bucket = &buckets[entry->hash & (bucket_count - 1)];
            entry->next = *bucket;
            *bucket = i + 1;
        }
    }
    wm_free(registry.buckets);
    registry.buckets = buckets;
    registry.bucket_count = bucket_count;
    return true;
}

/* Room for one more entry and a table that is not too full. */
static bool reserve_one(void)
{
    if (registry.first_free == 0 && registry.count == registry.room) {
        uint32_t room = registry.room ? registry.room * 2 : 64;
        struct entry **entries = wm_realloc(registry.entries, room, sizeof(struct entry *));
        if (!entries) {
            return false;
        }
        registry.entries = entries;
        uint32_t *next_free = wm_realloc(registry.next_free, room, sizeof *next_free);
        if (!next_free) {
            return false;
        }
        registry.next_free = next_free;
        registry.room = room;
    }
    return registry.held < registry.bucket_count ||
           rehash(registry.bucket_count ? registry.bucket_count * 2 : 64);
}

uint32_t wasm_typeid_take(const struct wasm_functype *type)
{
    uint32_t hash = hash_of(type), id = 0;
    pthread_mutex_lock(&registry.lock);
    if (registry.bucket_count) {
        id = registry.buckets[hash & (registry.bucket_count - 1)];
        while (id &&
               !(registry.entries[id - 1]->hash == hash && same(registry.entries[id - 1], type))) {
            id = registry.entries[id - 1]->next;
        }
    }
    if (id) {
        registry.entries[id - 1]->refs++;
    } else if (reserve_one()) {
        struct entry *entry =
            wm_alloc(sizeof *entry + (size_t)type->param_count + type->result_count);
        if (entry) {
            uint32_t index = registry.first_free ? registry.first_free - 1 : registry.count++;
            if (registry.first_free) {
                registry.first_free = registry.next_free[index];
            }
            id = index + 1;
            uint32_t *bucket = &registry.buckets[hash & (registry.bucket_count - 1)];
            *entry = (struct entry){.hash = hash,
                                    .next = *bucket,
                                    .refs = 1,
                                    .param_count = type->param_count,
                                    .result_count = type->result_count};
            if (type->param_count) {
                memcpy(entry->types, type->params, type->param_count);
            }
            if (type->result_count) {
                memcpy(entry->types + type->param_count, type->results, type->result_count);
            }
            *bucket = id;
            registry.entries[index] = entry;
            registry.held++;
        }
    }
    pthread_mutex_unlock(&registry.lock);
    return id;
}

static struct entry *held(uint32_t id)
{
    WM_ASSERT(id != 0 && id <= registry.count && registry.entries[id - 1]);
    return registry.entries[id - 1];
}

void wasm_typeid_ref(uint32_t id)
{
    pthread_mutex_lock(&registry.lock);
    held(id)->refs++;
    pthread_mutex_unlock(&registry.lock);
}

void wasm_typeid_put(uint32_t id)
{
    pthread_mutex_lock(&registry.lock);
    struct entry *entry = held(id);
    if (--entry->refs == 0) {
        uint32_t *link = &registry.buckets[entry->hash & (registry.bucket_count - 1)];
        while (*link != id) {
            link = &registry.entries[*link - 1]->next;
        }
        *link = entry->next;
        registry.entries[id - 1] = NULL;
        registry.next_free[id - 1] = registry.first_free;
        registry.first_free = id;
        registry.held--;
        wm_free(entry);
    }
    pthread_mutex_unlock(&registry.lock);
}

struct wasm_functype wasm_typeid_type(uint32_t id)
{
    pthread_mutex_lock(&registry.lock);
    const struct entry *entry = held(id);
    struct wasm_functype type = {entry->param_count, entry->result_count, entry->types,
                                 entry->types + entry->param_count};
    pthread_mutex_unlock(&registry.lock);
    return type;
}

uint32_t wasm_typeid_count(void)
{
    pthread_mutex_lock(&registry.lock);
    uint32_t count = registry.held;
    pthread_mutex_unlock(&registry.lock);
    return count;
}
