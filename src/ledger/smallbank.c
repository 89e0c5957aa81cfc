/* SmallBank (Alomari, Cahill, Fekete, Röhm: The Cost of Serializability on Platforms That Use
 * Snapshot Isolation, ICDE 2008), in the form that ledgers are measured with: accounts are numbers,
 * and the two tables are two pairs of the state for each account, so that an operation touches what
 * it touches in the original.
 *
 *     "sb/c" ACCOUNT -> checking balance        ACCOUNT: 8 bytes, highest first
 *     "sb/s" ACCOUNT -> savings balance         a balance: a CBOR integer, of 64 bits
 *
 * An operation on an account that is not there is refused, as is one whose result does not fit. */
#include <string.h>

#include "ledger/builtin.h"
#include "wire/cbor.h"

#define KEY_BYTES 12u
#define LOAD_MAX 1000u /* accounts: one pair read and two written for each */

enum table { CHECKING = 'c', SAVINGS = 's' };

struct account_key {
    uint8_t bytes[KEY_BYTES];
};

static struct wm_view key_of(struct account_key *key, enum table table, uint64_t account)
{
    memcpy(key->bytes, "sb/", 3);
    key->bytes[3] = (uint8_t)table;
    for (uint32_t i = 0; i < 8; i++) {
        key->bytes[4 + i] = (uint8_t)(account >> (56 - 8 * i));
    }
    return wm_view_of(key->bytes, sizeof key->bytes);
}

/* DONE; REFUSED: no such account. When the state cannot tell, any code will do: the trace knows. */
static enum procedure_code get(struct procedure_call *call, enum table table, uint64_t account,
                               int64_t *balance)
{
    struct account_key key;
    struct wm_view value;
    if (procedure_get(call, key_of(&key, table, account), &value) != 1) {
        return PROCEDURE_REFUSED;
    }
    struct cbor_reader reader = cbor_reader_of(value);
    return cbor_int(&reader, balance) && cbor_end(&reader) ? PROCEDURE_DONE : PROCEDURE_REFUSED;
}

static enum procedure_code put(struct procedure_call *call, enum table table, uint64_t account,
                               int64_t balance)
{
    struct account_key key;
    uint8_t bytes[CBOR_HEAD_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    cbor_put_int(&writer, balance);
    int rc = procedure_put(call, key_of(&key, table, account), wm_view_of(bytes, writer.len));
    return rc == 0 ? PROCEDURE_DONE : PROCEDURE_LIMIT;
}

/* Adds to a balance that was read. */
static enum procedure_code put_sum(struct procedure_call *call, enum table table, uint64_t account,
                                   int64_t balance, int64_t more)
{
    int64_t sum;
    return __builtin_add_overflow(balance, more, &sum) ? PROCEDURE_REFUSED
                                                       : put(call, table, account, sum);
}

/* Arguments are an array of numbers, the first `unsigned_count` of which are not negative. */
static bool arguments(const struct procedure_call *call, uint32_t unsigned_count, int64_t *numbers,
                      uint32_t count)
{
    struct cbor_reader reader = cbor_reader_of(call->arguments);
    bool ok = cbor_array_of(&reader, count);
    for (uint32_t i = 0; ok && i < count; i++) {
        ok = cbor_int(&reader, &numbers[i]) && (i >= unsigned_count || numbers[i] >= 0);
    }
    return ok && cbor_end(&reader);
}

/* [account, checking, savings] */
static enum procedure_code run_create_account(void *self, struct procedure_call *call,
                                              struct wm_view *result)
{
    (void)self;
    (void)result;
    int64_t numbers[3], balance;
    if (!arguments(call, 1, numbers, 3)) {
        return PROCEDURE_ARGUMENTS;
    }
    uint64_t account = (uint64_t)numbers[0];
    if (get(call, CHECKING, account, &balance) == PROCEDURE_DONE) {
        return PROCEDURE_REFUSED;
    }
    enum procedure_code code = put(call, CHECKING, account, numbers[1]);
    return code == PROCEDURE_DONE ? put(call, SAVINGS, account, numbers[2]) : code;
}

/* [first, count, balance]: accounts first to first + count - 1, with this in each table. */
static enum procedure_code run_load(void *self, struct procedure_call *call, struct wm_view *result)
{
    (void)self;
    (void)result;
    int64_t numbers[3], balance;
    if (!arguments(call, 2, numbers, 3) || numbers[1] < 1 || numbers[1] > LOAD_MAX) {
        return PROCEDURE_ARGUMENTS;
    }
    enum procedure_code code = PROCEDURE_DONE;
    for (int64_t i = 0; i < numbers[1] && code == PROCEDURE_DONE; i++) {
        uint64_t account = (uint64_t)numbers[0] + (uint64_t)i;
        if (get(call, CHECKING, account, &balance) == PROCEDURE_DONE) {
            return PROCEDURE_REFUSED;
        }
        code = put(call, CHECKING, account, numbers[2]);
        if (code == PROCEDURE_DONE) {
            code = put(call, SAVINGS, account, numbers[2]);
        }
    }
    return code;
}

/* [account] -> the sum of both balances */
static enum procedure_code run_balance(void *self, struct procedure_call *call,
                                       struct wm_view *result)
{
    (void)self;
    int64_t account, checking, savings, sum;
    if (!arguments(call, 1, &account, 1)) {
        return PROCEDURE_ARGUMENTS;
    }
    if (get(call, SAVINGS, (uint64_t)account, &savings) != PROCEDURE_DONE ||
        get(call, CHECKING, (uint64_t)account, &checking) != PROCEDURE_DONE ||
        __builtin_add_overflow(savings, checking, &sum)) {
        return PROCEDURE_REFUSED;
    }
    uint8_t bytes[CBOR_HEAD_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    cbor_put_int(&writer, sum);
    return builtin_result(call, wm_view_of(bytes, writer.len), result) ? PROCEDURE_DONE
                                                                       : PROCEDURE_LIMIT;
}

/* [account, amount] */
static enum procedure_code run_deposit_checking(void *self, struct procedure_call *call,
                                                struct wm_view *result)
{
    (void)self;
    (void)result;
    int64_t numbers[2], checking;
    if (!arguments(call, 2, numbers, 2)) {
        return PROCEDURE_ARGUMENTS;
    }
    uint64_t account = (uint64_t)numbers[0];
    enum procedure_code code = get(call, CHECKING, account, &checking);
    return code == PROCEDURE_DONE ? put_sum(call, CHECKING, account, checking, numbers[1]) : code;
}

/* [account, amount]: an amount below 0 is taken out, as far as there is so much. */
static enum procedure_code run_transact_savings(void *self, struct procedure_call *call,
                                                struct wm_view *result)
{
    (void)self;
    (void)result;
    int64_t numbers[2], savings, sum;
    if (!arguments(call, 1, numbers, 2)) {
        return PROCEDURE_ARGUMENTS;
    }
    uint64_t account = (uint64_t)numbers[0];
    if (get(call, SAVINGS, account, &savings) != PROCEDURE_DONE ||
        __builtin_add_overflow(savings, numbers[1], &sum) || sum < 0) {
        return PROCEDURE_REFUSED;
    }
    return put(call, SAVINGS, account, sum);
}

/* [from, to]: all that `from` has, to the checking balance of `to`. */
static enum procedure_code run_amalgamate(void *self, struct procedure_call *call,
                                          struct wm_view *result)
{
    (void)self;
    (void)result;
    int64_t numbers[2], savings, checking, all, target;
    if (!arguments(call, 2, numbers, 2) || numbers[0] == numbers[1]) {
        return PROCEDURE_ARGUMENTS;
    }
    uint64_t from = (uint64_t)numbers[0], to = (uint64_t)numbers[1];
    if (get(call, SAVINGS, from, &savings) != PROCEDURE_DONE ||
        get(call, CHECKING, from, &checking) != PROCEDURE_DONE ||
        get(call, CHECKING, to, &target) != PROCEDURE_DONE ||
        __builtin_add_overflow(savings, checking, &all)) {
        return PROCEDURE_REFUSED;
    }
    enum procedure_code code = put_sum(call, CHECKING, to, target, all);
    if (code == PROCEDURE_DONE) {
        code = put(call, SAVINGS, from, 0);
    }
    return code == PROCEDURE_DONE ? put(call, CHECKING, from, 0) : code;
}

/* [account, amount]: with a penalty of 1 where both balances together are not enough. */
static enum procedure_code run_write_check(void *self, struct procedure_call *call,
                                           struct wm_view *result)
{
    (void)self;
    (void)result;
    int64_t numbers[2], savings, checking, sum;
    if (!arguments(call, 2, numbers, 2)) {
        return PROCEDURE_ARGUMENTS;
    }
    uint64_t account = (uint64_t)numbers[0];
    if (get(call, SAVINGS, account, &savings) != PROCEDURE_DONE ||
        get(call, CHECKING, account, &checking) != PROCEDURE_DONE ||
        __builtin_add_overflow(savings, checking, &sum)) {
        return PROCEDURE_REFUSED;
    }
    /* -amount - 1 fits for every amount of 0 and more. */
    return put_sum(call, CHECKING, account, checking, -numbers[1] - (sum < numbers[1]));
}

/* [from, to, amount]: between checking balances. */
static enum procedure_code run_send_payment(void *self, struct procedure_call *call,
                                            struct wm_view *result)
{
    (void)self;
    (void)result;
    int64_t numbers[3], source, target;
    if (!arguments(call, 3, numbers, 3) || numbers[0] == numbers[1]) {
        return PROCEDURE_ARGUMENTS;
    }
    uint64_t from = (uint64_t)numbers[0], to = (uint64_t)numbers[1];
    if (get(call, CHECKING, from, &source) != PROCEDURE_DONE ||
        get(call, CHECKING, to, &target) != PROCEDURE_DONE || source < numbers[2]) {
        return PROCEDURE_REFUSED;
    }
    enum procedure_code code = put_sum(call, CHECKING, to, target, numbers[2]);
    return code == PROCEDURE_DONE ? put(call, CHECKING, from, source - numbers[2]) : code;
}

const struct builtin smallbank_builtins[] = {
    {"smallbank.create_account", 1, run_create_account},
    {"smallbank.load", 1, run_load},
    {"smallbank.balance", 1, run_balance},
    {"smallbank.deposit_checking", 1, run_deposit_checking},
    {"smallbank.transact_savings", 1, run_transact_savings},
    {"smallbank.amalgamate", 1, run_amalgamate},
    {"smallbank.write_check", 1, run_write_check},
    {"smallbank.send_payment", 1, run_send_payment},
    {0},
};
