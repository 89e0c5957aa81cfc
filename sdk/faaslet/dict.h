/* dict.h: a dictionary that is written rarely and read often, filled as it is used.
 *
 * Each entry is a value of its own, DICT/NAME, so a node holds the entries that its functions have
 * asked for and no others. Reading gives a pointer into the node's replica: the first to ask pulls
 * it, later ones, of any function of the tenant, copy and pull nothing. What another node puts
 * anew is seen after ddo_dict_refresh, or once the node has given the entry up.
 *
 * Sizes: DICT and NAME together at most FAASLET_KEY_MAX - 1 bytes; an entry 1 byte to 2 GiB. Each
 * entry that is read takes 64 KiB or more of the function's memory, and a call can map 1,024 of
 * them: for many small ones ddo_dict_copy copies instead.
 *
 * Errors: as in faaslet.h, < 0; -ENOENT. */
#ifndef FAASLET_DICT_H
#define FAASLET_DICT_H

#include <errno.h>
#include <faaslet.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ddo_dict {
    char key[FAASLET_KEY_MAX]; /* "DICT/", and the name that is worked on behind it */
    uint32_t prefix_len;
};

static inline int32_t ddo_dict_open(struct ddo_dict *dict, const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len + 2 > FAASLET_KEY_MAX) {
        return -EINVAL;
    }
    memcpy(dict->key, name, len);
    dict->key[len] = '/';
    dict->prefix_len = (uint32_t)len + 1;
    return 0;
}

/* Puts the entry's name behind the dictionary's: the length of both, or 0: it does not fit. */
static inline uint32_t ddo_dict_key(struct ddo_dict *dict, const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > FAASLET_KEY_MAX - dict->prefix_len) {
        return 0;
    }
    memcpy(dict->key + dict->prefix_len, name, len);
    return dict->prefix_len + (uint32_t)len;
}

/* The entry, read-only, good until the call ends, and its length; NULL: *len is the error. */
static inline const void *ddo_dict_get(struct ddo_dict *dict, const char *name, int64_t *len)
{
    uint32_t key_len = ddo_dict_key(dict, name);
    *len = key_len ? faaslet_state_size(dict->key, key_len) : -EINVAL;
    if (*len < 0) {
        return NULL;
    }
    const void *at = faaslet_state_map(dict->key, key_len, 0, 0, FAASLET_MAP_READ_ONLY);
    if (!at) {
        *len = faaslet_state_map_error();
    }
    return at;
}

/* Bytes copied, at most `room`. */
static inline int32_t ddo_dict_copy(struct ddo_dict *dict, const char *name, void *out,
                                    uint32_t room)
{
    uint32_t key_len = ddo_dict_key(dict, name);
    return key_len ? faaslet_state_read(dict->key, key_len, 0, out, room) : -EINVAL;
}

/* Puts an entry in place of one of any size; it lasts when this returns 0. Pointers that were got
 * before keep showing the old one. Where an entry is put again, between the old one's removal and
 * the new one's push others may find none. */
static inline int32_t ddo_dict_put(struct ddo_dict *dict, const char *name, const void *bytes,
                                   uint32_t len)
{
    uint32_t key_len = ddo_dict_key(dict, name);
    if (key_len == 0 || len == 0) {
        return -EINVAL;
    }
    int32_t rc = faaslet_state_delete(dict->key, key_len);
    if (rc < 0) {
        return rc;
    }
    rc = faaslet_state_write(dict->key, key_len, 0, bytes, len);
    return rc < 0 ? rc : faaslet_state_push(dict->key, key_len, 0, 0);
}

/* The node's copy becomes what the global tier has. Of another size or gone: -EINVAL, -ENOENT, and
 * the next to read the entry sees that. */
static inline int32_t ddo_dict_refresh(struct ddo_dict *dict, const char *name)
{
    uint32_t key_len = ddo_dict_key(dict, name);
    return key_len ? faaslet_state_pull(dict->key, key_len, 0, 0) : -EINVAL;
}

static inline int32_t ddo_dict_remove(struct ddo_dict *dict, const char *name)
{
    uint32_t key_len = ddo_dict_key(dict, name);
    return key_len ? faaslet_state_delete(dict->key, key_len) : -EINVAL;
}

#ifdef __cplusplus
}
#endif

#endif
