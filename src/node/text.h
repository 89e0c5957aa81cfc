/* text.h: a text that grows. After a failed addition it is `failed`, and stays so: check once, at
 * the end. One thread. */
#ifndef WM_NODE_TEXT_H
#define WM_NODE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

struct text {
    char *at; /* NUL-terminated where it is not NULL; from wm_alloc */
    size_t len, room;
    bool failed;
};

static inline bool text_room(struct text *text, size_t more)
{
    if (!text->failed && text->len + more + 1 > text->room) {
        size_t room = (text->len + more + 1) * 2;
        char *grown = wm_realloc(text->at, room, 1);
        if (!grown) {
            text->failed = true;
            return false;
        }
        text->at = grown;
        text->room = room;
    }
    return !text->failed;
}

static inline void text_add(struct text *text, const char *bytes, size_t len)
{
    if (text_room(text, len)) {
        memcpy(text->at + text->len, bytes, len);
        text->len += len;
        text->at[text->len] = 0;
    }
}

static inline void text_str(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

WM_PRINTF(2, 3) static inline void text_format(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    if (len >= 0 && text_room(text, (size_t)len)) {
        (void)vsnprintf(text->at + text->len, (size_t)len + 1, format, again);
        text->len += (size_t)len;
    } else {
        text->failed = true;
    }
    va_end(again);
    va_end(args);
}

static inline void text_fini(struct text *text)
{
    wm_free(text->at);
    *text = (struct text){0};
}

#endif
