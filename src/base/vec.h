/* vec.h: a growing array of any type.
 *
 *     WM_VEC(struct thing) things = {0};
 *     if (wm_vec_push(&things, thing) != 0) ...out of memory, things unchanged...
 *     for (size_t i = 0; i < things.count; i++) use(things.items[i]);
 *     wm_vec_fini(&things);
 *
 * Pointers into items are valid until the next push. */
#ifndef WM_BASE_VEC_H
#define WM_BASE_VEC_H

#include <errno.h>
#include <stddef.h>

#include "base/alloc.h"

#define WM_VEC(type)  \
    struct {          \
        type *items;  \
        size_t count; \
        size_t room;  \
    }

/* Room for one more item: 0 or -ENOMEM. */
#define wm_vec_reserve_one(vec) \
    ((vec)->count < (vec)->room \
         ? 0                    \
         : wm_vec_grow((void **)&(vec)->items, &(vec)->room, sizeof *(vec)->items))

#define wm_vec_push(vec, ...) \
    (wm_vec_reserve_one(vec) == 0 ? ((vec)->items[(vec)->count++] = (__VA_ARGS__), 0) : -ENOMEM)

#define wm_vec_fini(vec)                \
    do {                                \
        wm_free((vec)->items);          \
        (vec)->items = NULL;            \
        (vec)->count = (vec)->room = 0; \
    } while (0)

static inline int wm_vec_grow(void **items, size_t *room, size_t len)
{
    size_t wanted = *room ? *room * 2 : 8;
    void *grown = wm_realloc(*items, wanted, len);
    if (!grown) {
        return -ENOMEM;
    }
    *items = grown;
    *room = wanted;
    return 0;
}

#endif
