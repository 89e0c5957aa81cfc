/* Requests and transactions: limits and messages; the bytes are compared by ledger_vectors_test.c.
 */
#include "wire/request.h"

#include <stdio.h>
#include <string.h>

#include "base/test.h"

/* The longest request that there can be, with its procedure's name. */
static size_t largest(uint8_t out[REQUEST_BYTES_MAX], struct request_claims *claims)
{
    static const char name[] = "0123456789012345678901234567890123456789012345678901234567890123";
    uint8_t encoded[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct cose_statement statement = {.attached = true};
    struct cbor_writer inner = cbor_writer_of(encoded, sizeof encoded);
    struct cbor_writer around = cbor_writer_of(header, sizeof header);
    struct cbor_writer writer = cbor_writer_of(out, REQUEST_BYTES_MAX);
    *claims = (struct request_claims){.number = UINT64_MAX,
                                      .minimum_index = UINT64_C(1) << 48,
                                      .procedure = wm_view_str(name),
                                      .arguments_len = REQUEST_ARGUMENTS_BYTES_MAX};
    memset(claims->service, 0xa5, sizeof claims->service);
    memset(statement.key, 0x5a, sizeof statement.key);
    request_claims_put(&inner, claims);
    cose_put_protected(&around, statement.key, false, wm_view_of(encoded, inner.len));
    statement.protected_header = wm_view_of(header, around.len);
    cose_put_sign1(&writer, &statement);
    CHECK(cbor_fits(&inner) && cbor_fits(&around) && cbor_fits(&writer));
    return writer.len;
}

TEST(the_largest_request_is_read)
{
    uint8_t bytes[REQUEST_BYTES_MAX];
    struct request_claims claims;
    struct request request;
    size_t len = largest(bytes, &claims);
    REQUIRE(request_get(wm_view_of(bytes, len), &request, NULL) == 0);
    CHECK(request.bytes.ptr == bytes && request.bytes.len == len);
    CHECK(request.claims.number == claims.number);
    CHECK(request.claims.minimum_index == claims.minimum_index);
    CHECK_INT(request.claims.arguments_len, ==, claims.arguments_len);
    CHECK(wm_view_eq(request.claims.procedure, claims.procedure));
    CHECK(memcmp(request.claims.service, claims.service, sizeof claims.service) == 0);
    CHECK(request.statement.key[0] == 0x5a && request.statement.attached);
}

TEST(refusals_say_where_and_why)
{
    uint8_t bytes[REQUEST_BYTES_MAX + 1];
    struct request_claims claims;
    struct request request;
    struct wm_diag diag = WM_DIAG_INIT;
    size_t len = largest(bytes, &claims);
    /* 18([<< {1: -8, 4: h'...', -65537: [18, 1: the claims' third byte is the version. */
    size_t version = 0;
    while (memcmp(bytes + version, "\x87\x12\x01", 3) != 0) {
        version++;
    }
    version += 2;
    bytes[version] = 2;
    CHECK_INT(request_get(wm_view_of(bytes, len), &request, &diag), ==, WM_E_MALFORMED);
    char wanted[128];
    snprintf(wanted, sizeof wanted,
             "request: offset %zu: it is of a version that is not known here (2, not 1)", version);
    CHECK_STR(wm_diag_text(&diag), wanted);
    bytes[version] = 1;
    bytes[version - 1] = 20;
    CHECK_INT(request_get(wm_view_of(bytes, len), &request, &diag), ==, WM_E_MALFORMED);
    snprintf(wanted, sizeof wanted,
             "request: offset %zu: it is of another type than it must be (20, not 18)",
             version - 1);
    CHECK_STR(wm_diag_text(&diag), wanted);
    bytes[version - 1] = 18;
    CHECK_INT(request_get(wm_view_of(bytes, sizeof bytes), &request, &diag), ==, WM_E_MALFORMED);
    CHECK_STR(wm_diag_text(&diag), "request: offset 0: it is too long");
}

TEST(a_transaction_fits)
{
    uint8_t bytes[TRANSACTION_BYTES_MAX];
    static const ledger_hash request = {1};
    struct request_output output = {
        .code = UINT32_MAX, .result_len = REQUEST_RESULT_BYTES_MAX, .fuel_version = UINT32_MAX};
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    transaction_put(&writer, UINT64_MAX, request, &output);
    CHECK(cbor_fits(&writer));
    struct cbor_writer counter = cbor_writer_of(NULL, 0);
    transaction_put(&counter, UINT64_MAX, request, &output);
    CHECK_INT(counter.len, ==, writer.len);
}

TEST_MAIN(TEST_CASE(the_largest_request_is_read), TEST_CASE(refusals_say_where_and_why),
          TEST_CASE(a_transaction_fits))
