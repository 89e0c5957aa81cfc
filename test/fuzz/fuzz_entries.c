/* fuzz_entries.c: the entries of a batch, changed, read by who trusts nobody. What goes through
 * must come to the state that the true ones come to.
 *
 * The first byte: which of the five entries the rest is instead; 5 and more: the true ones, changed
 * in places of four bytes each: entry, offset (the low byte first), what to flip there. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/entries_replay.h"
#include "ledger/kept.h"
#include "ledger/ledger_fake.h"
#include "ledger/receipts.h"

#define ENTRIES 5u
#define BEFORE 4u /* batches before the one that is tried */

static struct fake_ledger ledger;
static struct executor *executor;
static struct entries_replay *run;

static void start(void)
{
    struct fake_arguments arguments;
    struct executor_config config;
    fake_start(&ledger, &(struct fake_options){0});
    config = fake_config(&ledger);
    for (uint64_t i = 0; i <= BEFORE; i++) {
        fake_ask(&ledger, 0, "smallbank.create_account",
                 fake_array(&arguments, "uii", i, INT64_C(1), INT64_C(2)));
        fake_ask(&ledger, 1, "echo", wm_view_str("any"));
        if (i == BEFORE) {
            fake_view_change(&ledger);
        }
        (void)fake_batch(&ledger);
    }
    if (executor_new(&config, ledger.genesis, &executor, NULL) != 0) {
        abort();
    }
}

/* Again from the start of the batch that is tried. */
static void rewind_to(void)
{
    struct executor_config config = fake_config(&ledger);
    if (run) {
        entries_replay_free(run);
        executor_free(executor);
        if (executor_new(&config, ledger.genesis, &executor, NULL) != 0) {
            abort();
        }
    }
    if (entries_replay_new(executor, true, &run) != 0) {
        abort();
    }
    for (uint64_t s = 1; s <= BEFORE; s++) {
        if (entries_replay_step(run, fake_entries(&ledger, s), NULL, NULL) != 0) {
            abort();
        }
    }
    entries_replay_free(run);
    if (entries_replay_new(executor, false, &run) != 0) {
        abort();
    }
    for (uint64_t s = 1; s <= BEFORE; s++) {
        if (entries_replay_before(run, fake_entries(&ledger, s), NULL) != 0) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    uint8_t mode;
    struct wm_view rest;
    struct wm_cursor input = wm_cursor_of(wm_view_of(bytes, len));
    if (!executor) {
        start();
        rewind_to();
    }
    if (!wm_cursor_u8(&input, &mode) || !wm_cursor_bytes(&input, len - 1, &rest)) {
        return 0;
    }
    struct bft_entries entries = *fake_entries(&ledger, BEFORE + 1);
    struct wm_view *const views[ENTRIES] = {&entries.view_changes, &entries.new_view,
                                            &entries.evidence, &entries.preprepare,
                                            &entries.transactions};
    uint8_t *copies[ENTRIES];
    for (uint32_t i = 0; i < ENTRIES; i++) {
        struct wm_view from = mode == i ? rest : *views[i];
        copies[i] = malloc(from.len + 1);
        if (from.len > 0) {
            memcpy(copies[i], from.ptr, from.len);
        }
        *views[i] = wm_view_of(copies[i], from.len);
    }
    for (size_t at = 0; mode >= ENTRIES && at + 4 <= rest.len; at += 4) {
        uint32_t which = rest.ptr[at] % ENTRIES;
        size_t offset = rest.ptr[at + 1] | (size_t)rest.ptr[at + 2] << 8;
        if (views[which]->len > 0) {
            copies[which][offset % views[which]->len] ^= rest.ptr[at + 3];
        }
    }
    struct kept_batch batch;
    struct quorum quorum;
    struct preprepare_claims claims = {
        .seqno = BEFORE + 1, .count = 2, .first_index = 2 * BEFORE + 1};
    kept_init(&batch);
    if (kept_read(&batch, &claims, entries.transactions, NULL) == 0 &&
        !wm_view_eq(kept_entry(&batch), entries.transactions)) {
        abort();
    }
    kept_fini(&batch);
    (void)!receipt_quorum(entries.preprepare, entries.evidence, 4, &quorum, NULL);

    struct entries_difference difference;
    struct wm_diag diag = WM_DIAG_INIT;
    if (entries_replay_step(run, &entries, &difference, &diag) == 0) {
        /* What the pre-prepare says besides is bound by evidence, P batches later. */
        const struct bft_head *head = executor_head(executor);
        const struct bft_head *wanted = executor_head(ledger.executor);
        if (memcmp(head->state_root, wanted->state_root, sizeof head->state_root) != 0 ||
            head->next_index != wanted->next_index || head->governance != wanted->governance) {
            abort();
        }
        rewind_to();
    } else if (diag.code == 0 || executor_head(executor)->seqno != BEFORE ||
               executor_tip(executor) != BEFORE) {
        abort();
    }
    for (uint32_t i = 0; i < ENTRIES; i++) {
        free(copies[i]);
    }
    return 0;
}
