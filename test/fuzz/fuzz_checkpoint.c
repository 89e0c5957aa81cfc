/* fuzz_checkpoint.c: a checkpoint with changes, or of any bytes. What is taken for one must have
 * the root that its pre-prepare names, and be written again as it was.
 *
 * The first byte: 0: the rest is the head; 1: the rest is the first piece after the true head;
 * else: the true one, changed in places of four bytes each: item, offset (the low byte first), what
 * to flip there. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/checkpoint.h"
#include "ledger/ledger_fake.h"

#define ITEMS_MAX 8u

struct items {
    uint32_t count;
    size_t lens[ITEMS_MAX];
    uint8_t *bytes[ITEMS_MAX];
};

static struct fake_ledger ledger;
static struct items truth;

static int take_item(void *self, struct wm_view item)
{
    struct items *items = self;
    if (items->count == ITEMS_MAX) {
        abort();
    }
    items->bytes[items->count] = malloc(item.len);
    memcpy(items->bytes[items->count], item.ptr, item.len);
    items->lens[items->count++] = item.len;
    return 0;
}

static void drop_items(struct items *items)
{
    for (uint32_t i = 0; i < items->count; i++) {
        free(items->bytes[i]);
    }
}

static void write_items(struct executor *executor, struct items *out)
{
    struct checkpoint *checkpoint;
    *out = (struct items){0};
    if (checkpoint_begin(executor, &checkpoint) != 0 ||
        checkpoint_write(checkpoint, take_item, out) != 0) {
        abort();
    }
    checkpoint_end(executor, checkpoint);
}

static void start(void)
{
    struct fake_arguments arguments;
    fake_start(&ledger, &(struct fake_options){0});
    for (uint64_t i = 0; i < 3; i++) {
        fake_ask(&ledger, 0, "smallbank.load",
                 fake_array(&arguments, "uui", i * 10, UINT64_C(10), INT64_C(100)));
        (void)fake_batch(&ledger);
    }
    write_items(ledger.executor, &truth);
}

static void try_items(const struct items *items)
{
    struct executor_config config = fake_config(&ledger);
    struct checkpoint_reader *reader;
    struct preprepare_entry entry;
    struct preprepare_claims claims;
    struct executor *executor;
    config.state_bytes_max = 64 << 20;
    if (checkpoint_open(&config, ledger.genesis, wm_view_of(items->bytes[0], items->lens[0]),
                        &reader, NULL) != 0) {
        return;
    }
    for (uint32_t i = 1; i < items->count; i++) {
        if (checkpoint_feed(reader, wm_view_of(items->bytes[i], items->lens[i]), NULL) != 0) {
            checkpoint_drop(reader);
            return;
        }
    }
    checkpoint_preprepare(reader, &entry, &claims);
    if (checkpoint_close(reader, &executor, NULL) != 0) {
        return;
    }
    struct items again;
    write_items(executor, &again);
    bool same = again.count == items->count &&
                memcmp(executor_head(executor)->state_root, claims.state_root, 32) == 0;
    for (uint32_t i = 0; same && i < items->count; i++) {
        same = again.lens[i] == items->lens[i] &&
               memcmp(again.bytes[i], items->bytes[i], items->lens[i]) == 0;
    }
    if (!same) {
        abort();
    }
    drop_items(&again);
    executor_free(executor);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct items items = {0};
    uint8_t mode;
    struct wm_view rest;
    if (truth.count == 0) {
        start();
    }
    struct wm_cursor input = wm_cursor_of(wm_view_of(bytes, len));
    if (!wm_cursor_u8(&input, &mode) || !wm_cursor_bytes(&input, len - 1, &rest)) {
        return 0;
    }
    for (uint32_t i = 0; i < truth.count; i++) {
        struct wm_view item = wm_view_of(truth.bytes[i], truth.lens[i]);
        (void)take_item(&items, mode == i ? rest : item);
    }
    for (size_t at = 0; mode >= truth.count && at + 4 <= rest.len; at += 4) {
        uint32_t which = rest.ptr[at] % items.count;
        size_t offset = (rest.ptr[at + 1] | (size_t)rest.ptr[at + 2] << 8) % items.lens[which];
        items.bytes[which][offset] ^= rest.ptr[at + 3];
    }
    try_items(&items);
    drop_items(&items);
    return 0;
}
