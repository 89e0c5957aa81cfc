/* fuzz_procedures.c: built-in procedures with any bytes as arguments, on a small state. Two
 * executors must come to the same roots, and what failed must have written nothing.
 *
 * The input is a list of calls: which procedure, which client, length of the arguments (two bytes,
 * the low one first), the arguments. All are one batch, which is taken back afterwards. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"
#include "ledger/ledger_fake.h"

#define CALLS_MAX 64u

static struct fake_ledger ledgers[2];

static void start(struct fake_ledger *ledger)
{
    static const uint8_t id[16] = "0123456789abcdef", root[32] = {1};
    struct fake_arguments arguments;
    fake_start(ledger, &(struct fake_options){.unsigned_requests = true});
    fake_ask(ledger, 0, "smallbank.load",
             fake_array(&arguments, "uui", UINT64_C(0), UINT64_C(8), INT64_C(100)));
    fake_ask(ledger, 0, "register.claim",
             fake_array(&arguments, "bubn", wm_view_of(id, sizeof id), UINT64_C(0),
                        wm_view_of(root, sizeof root)));
    fake_ask(ledger, 0, "kv.put",
             fake_array(&arguments, "bb", wm_view_str("public/a"), wm_view_str("1")));
    fake_ask(ledger, 1, "kv.put", fake_array(&arguments, "bb", wm_view_str("a"), wm_view_str("2")));
    (void)fake_batch(ledger);
}

static void ask(struct fake_ledger *ledger, struct wm_cursor input)
{
    uint8_t which, who, low, high;
    for (uint32_t i = 0;
         i < CALLS_MAX && wm_cursor_u8(&input, &which) && wm_cursor_u8(&input, &who) &&
         wm_cursor_u8(&input, &low) && wm_cursor_u8(&input, &high);
         i++) {
        size_t len = low | (size_t)high << 8;
        struct wm_view arguments;
        len = len < wm_cursor_left(&input) ? len : wm_cursor_left(&input);
        if (!wm_cursor_bytes(&input, len, &arguments)) {
            abort();
        }
        const char *name = table_name(&ledger->table, which % table_count(&ledger->table));
        /* Numbers are not kept over inputs: the batch is taken back. */
        (void)fake_ask_as(ledger, who % (FAKE_CLIENTS + 4), name, arguments, 1000 + i, 0);
    }
}

static void check_outputs(const struct fake_ledger *ledger, const struct bft_executed *executed)
{
    static const uint8_t nothing[1];
    ledger_hash empty;
    wm_sha256_once(wm_view_of(nothing, 0), empty);
    const struct kept_batch *batch =
        executor_batch(ledger->executor, executor_tip(ledger->executor));
    if (!batch || batch->count != executed->taken) {
        abort();
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        struct transaction_item item;
        kept_item(batch, i, &item);
        if (item.output.code != PROCEDURE_DONE &&
            memcmp(item.output.writes, empty, sizeof empty) != 0) {
            abort();
        }
        if (item.output.result_len != item.result.len ||
            item.output.result_len > REQUEST_RESULT_BYTES_MAX) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct bft_executed executed[2];
    for (uint32_t i = 0; i < 2; i++) {
        struct fake_ledger *ledger = &ledgers[i];
        if (!ledger->executor) {
            start(ledger);
        }
        ask(ledger, wm_cursor_of(wm_view_of(bytes, len)));
        if (fake_execute(ledger, &executed[i]) != 0) {
            abort();
        }
        check_outputs(ledger, &executed[i]);
    }
    if (executed[0].taken != executed[1].taken ||
        memcmp(executed[0].root, executed[1].root, sizeof(ledger_hash)) != 0 ||
        memcmp(executed[0].state_root, executed[1].state_root, sizeof(ledger_hash)) != 0) {
        abort();
    }
    for (uint32_t i = 0; i < 2; i++) {
        executor_undo_to(ledgers[i].executor, 1);
        fake_drop_requests(&ledgers[i]);
    }
    return 0;
}
