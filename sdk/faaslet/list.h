/* list.h: a list that only grows, kept in the global tier alone.
 *
 * Elements are bytes, at most 1 MiB each. An append is atomic among all nodes and lasts when it
 * returns; each costs a round trip to the key's master, and so does each read. There is no replica,
 * so nothing is to be pulled or pushed.
 *
 * Errors: as in faaslet.h, < 0. A reply that was lost may leave an append done though it failed:
 * elements that must not come twice carry a number of their own. */
#ifndef FAASLET_LIST_H
#define FAASLET_LIST_H

#include <errno.h>
#include <faaslet.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ddo_list {
    char key[FAASLET_KEY_MAX];
    uint32_t key_len;
};

/* Asks nobody: a list that is not there is empty. */
static inline int32_t ddo_list_open(struct ddo_list *list, const char *key)
{
    size_t key_len = strlen(key);
    if (key_len == 0 || key_len > FAASLET_KEY_MAX) {
        return -EINVAL;
    }
    memcpy(list->key, key, key_len);
    list->key_len = (uint32_t)key_len;
    return 0;
}

/* The index of the new element. */
static inline int64_t ddo_list_append(const struct ddo_list *list, const void *bytes, uint32_t len)
{
    return faaslet_state_append(list->key, list->key_len, bytes, len);
}

static inline int64_t ddo_list_count(const struct ddo_list *list)
{
    return faaslet_state_appended_count(list->key, list->key_len);
}

/* The length of element `index`, of which at most len bytes were copied; -ENOENT. */
static inline int32_t ddo_list_get(const struct ddo_list *list, uint64_t index, void *out,
                                   uint32_t len)
{
    return faaslet_state_appended(list->key, list->key_len, index, out, len);
}

static inline int32_t ddo_list_clear(const struct ddo_list *list)
{
    return faaslet_state_clear_appended(list->key, list->key_len);
}

#ifdef __cplusplus
}
#endif

#endif
