#include "base/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"

/* Marks a text that vsnprintf had to cut. */
static void mark_cut(char *text, int wanted, size_t room)
{
    if (wanted >= 0 && (size_t)wanted >= room && room >= 4) {
        memcpy(text + room - 4, "...", 4);
    }
}

int wm_diag_set(struct wm_diag *diag, int code, const char *format, ...)
{
    if (!diag) {
        return code;
    }
    va_list args;
    diag->code = code;
    va_start(args, format);
    int wanted = vsnprintf(diag->text, sizeof diag->text, format, args);
    va_end(args);
    mark_cut(diag->text, wanted, sizeof diag->text);
    return code;
}

void wm_diag_prefix(struct wm_diag *diag, const char *format, ...)
{
    if (!diag) {
        return;
    }
    char old[WM_DIAG_TEXT_BYTES];
    memcpy(old, wm_diag_text(diag), strnlen(wm_diag_text(diag), sizeof old - 1) + 1);
    old[sizeof old - 1] = '\0';
    va_list args;
    va_start(args, format);
    int head = vsnprintf(diag->text, sizeof diag->text, format, args);
    va_end(args);
    if (head < 0 || (size_t)head >= sizeof diag->text) {
        mark_cut(diag->text, head, sizeof diag->text);
        return;
    }
    int tail = snprintf(diag->text + head, sizeof diag->text - (size_t)head, ": %s", old);
    mark_cut(diag->text + head, tail, sizeof diag->text - (size_t)head);
}

int wm_diag_default(struct wm_diag *diag, int code, const char *what)
{
    if (diag && diag->code == 0) {
        return wm_diag_set(diag, code, "%s: %s", what, wm_error_text(code));
    }
    return code;
}

const char *wm_diag_text(const struct wm_diag *diag)
{
    return diag->text[0] ? diag->text : wm_error_text(diag->code);
}

char *wm_diag_quote(char *out, size_t out_bytes, const void *text, size_t len)
{
    WM_ASSERT(out_bytes >= 8);
    static const char hex[] = "0123456789abcdef";
    const unsigned char *in = text;
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        bool plain = in[i] >= 0x20 && in[i] < 0x7f && in[i] != '\\';
        size_t need = plain ? 1 : 4;
        if (used + need + 4 > out_bytes) { /* room for "..." and the NUL */
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        if (plain) {
            out[used++] = (char)in[i];
        } else {
            out[used++] = '\\';
            out[used++] = 'x';
            out[used++] = hex[in[i] >> 4];
            out[used++] = hex[in[i] & 15];
        }
    }
    out[used] = '\0';
    return out;
}
