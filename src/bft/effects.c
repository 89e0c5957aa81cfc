/* Effects: a list whose bytes lie in an arena, so that the caller may keep them past the step. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "bft/internal.h"

void bft_effects_init(struct bft_effects *effects)
{
    memset(effects, 0, sizeof *effects);
    wm_arena_init(&effects->arena, 0);
}

void bft_effects_clear(struct bft_effects *effects)
{
    wm_arena_fini(&effects->arena);
    effects->count = 0;
}

void bft_effects_fini(struct bft_effects *effects)
{
    wm_arena_fini(&effects->arena);
    wm_free(effects->items);
    memset(effects, 0, sizeof *effects);
}

/* Room for one more effect with bytes of this length. */
static struct bft_effect *effect_add(struct bft_effects *effects, size_t len, uint8_t **bytes)
{
    *bytes = wm_arena_take(&effects->arena, 1, len);
    if (!*bytes) {
        return NULL;
    }
    if (effects->count == effects->room) {
        uint32_t room = effects->room ? effects->room * 2 : 16;
        struct bft_effect *grown = wm_realloc(effects->items, room, sizeof *grown);
        if (!grown) {
            return NULL;
        }
        effects->items = grown;
        effects->room = room;
    }
    return &effects->items[effects->count++];
}

/* A record that could not be kept must not be followed by what it allows to say: there is no memory
 * to go on with, and the replica stops as if its machine had. */
static void out_of_memory(struct bft *bft)
{
    halt(bft, -ENOMEM, "agreement: no memory is left for what has to be written down");
}

void emit(struct bft *bft, const struct bft_effect *effect)
{
    uint8_t *bytes;
    if (bft->halted) {
        return;
    }
    struct bft_effect *added = effect_add(bft->effects, effect->bytes.len, &bytes);
    if (!added) {
        if (effect->kind == BFT_PERSIST) {
            out_of_memory(bft);
        }
        return;
    }
    bft->records_given += effect->kind == BFT_PERSIST;
    *added = *effect;
    if (effect->bytes.len > 0) {
        memcpy(bytes, effect->bytes.ptr, effect->bytes.len);
    }
    added->bytes = wm_view_of(bytes, effect->bytes.len);
}

void say(struct bft *bft, uint32_t to, const struct peer_message *message, bool after_sync)
{
    uint8_t *bytes;
    if (bft->restoring || bft->halted) {
        return;
    }
    struct cbor_writer counter = cbor_writer_of(NULL, 0);
    peer_message_put(&counter, message);
    struct bft_effect *added = effect_add(bft->effects, counter.len, &bytes);
    if (!added) {
        return; /* as if it had been lost on the way */
    }
    struct cbor_writer writer = cbor_writer_of(bytes, counter.len);
    peer_message_put(&writer, message);
    *added = (struct bft_effect){.kind = to == NOWHERE ? BFT_BROADCAST : BFT_SEND,
                                 .after_sync = after_sync,
                                 .to = to,
                                 .bytes = wm_view_of(bytes, counter.len)};
}

void halt(struct bft *bft, int code, const char *format, ...)
{
    va_list arguments;
    char text[WM_DIAG_TEXT_BYTES];
    uint8_t *bytes;
    if (bft->halted) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)wm_diag_set(&bft->halt_diag, code, "%s", text);
    bft->halted = code;
    bft->mode = BFT_HALTED;
    struct bft_effect *added = effect_add(bft->effects, 0, &bytes);
    if (added) {
        *added = (struct bft_effect){.kind = BFT_HALT};
    }
}
