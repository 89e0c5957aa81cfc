#include "spec/value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    uint8_t valtype;
} type_names[] = {{"i32", WASM_I32},
                  {"i64", WASM_I64},
                  {"f32", WASM_F32},
                  {"f64", WASM_F64},
                  {"v128", WASM_V128},
                  {"funcref", WASM_FUNCREF},
                  {"externref", WASM_EXTERNREF}};

static const struct lane {
    const char *name;
    unsigned bytes;
    bool is_float;
} lanes[] = {{"i8", 1, false},  {"i16", 2, false}, {"i32", 4, false},
             {"i64", 8, false}, {"f32", 4, true},  {"f64", 8, true}};

static const char *member(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static bool type_of(const json_t *json, uint8_t *out)
{
    const char *name = member(json, "type");
    for (size_t i = 0; name && i < sizeof type_names / sizeof type_names[0]; i++) {
        if (strcmp(name, type_names[i].name) == 0) {
            *out = type_names[i].valtype;
            return true;
        }
    }
    return false;
}

static const struct lane *lane_of(const json_t *json)
{
    const char *name = member(json, "lane_type");
    for (size_t i = 0; name && i < sizeof lanes / sizeof lanes[0]; i++) {
        if (strcmp(name, lanes[i].name) == 0) {
            return &lanes[i];
        }
    }
    return NULL;
}

static bool number(const char *text, uint64_t *out)
{
    char *end;
    if (!text || !*text) {
        return false;
    }
    errno = 0;
    *out = text[0] == '-' ? (uint64_t)strtoll(text, &end, 10) : strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

static bool read_v128(const json_t *json, union wasm_value *out)
{
    const struct lane *lane = lane_of(json);
    const json_t *values = json_object_get(json, "value");
    if (!lane || json_array_size(values) != 16 / lane->bytes) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(values); i++) {
        uint64_t bits;
        if (!number(json_string_value(json_array_get(values, i)), &bits)) {
            return false;
        }
        memcpy((uint8_t *)out + i * lane->bytes, &bits, lane->bytes);
    }
    return true;
}

bool spec_value_read(const json_t *json, uint8_t *valtype, union wasm_value *out)
{
    memset(out, 0, sizeof *out);
    if (!type_of(json, valtype)) {
        return false;
    }
    if (*valtype == WASM_V128) {
        return read_v128(json, out);
    }
    const char *text = member(json, "value");
    if (wasm_is_ref(*valtype) && text && strcmp(text, "null") == 0) {
        return true;
    }
    uint64_t bits;
    if (!number(text, &bits) || *valtype == WASM_FUNCREF) {
        return false;
    }
    /* The suite's tokens start at 0, ours at 1: 0 is null. */
    out->i64 = *valtype == WASM_EXTERNREF ? bits + 1 : bits;
    return true;
}

/* One number of `bytes` width against its expected text. */
static bool bits_fit(const char *expected, uint64_t got, unsigned bytes)
{
    uint64_t width = bytes == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * bytes)) - 1;
    uint64_t sign = UINT64_C(1) << (8 * bytes - 1);
    uint64_t quiet = bytes == 4 ? UINT64_C(0x7fc00000) : UINT64_C(0x7ff8000000000000);
    got &= width;
    if (expected && strcmp(expected, "nan:canonical") == 0) {
        return (got & ~sign) == quiet;
    }
    if (expected && strcmp(expected, "nan:arithmetic") == 0) {
        return (got & quiet) == quiet;
    }
    uint64_t bits;
    return number(expected, &bits) && got == (bits & width);
}

static bool v128_fits(const json_t *expected, const union wasm_value *got)
{
    const struct lane *lane = lane_of(expected);
    const json_t *values = json_object_get(expected, "value");
    if (!lane || json_array_size(values) != 16 / lane->bytes) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(values); i++) {
        uint64_t bits = 0;
        memcpy(&bits, (const uint8_t *)got + i * lane->bytes, lane->bytes);
        if (!bits_fit(json_string_value(json_array_get(values, i)), bits, lane->bytes)) {
            return false;
        }
    }
    return true;
}

bool spec_value_fits(const json_t *expected, uint8_t valtype, const union wasm_value *got)
{
    uint8_t wanted;
    if (!type_of(expected, &wanted) || wanted != valtype) {
        return false;
    }
    const char *text = member(expected, "value");
    switch (valtype) {
    case WASM_I32:
    case WASM_F32: return bits_fit(text, got->i32, 4);
    case WASM_I64:
    case WASM_F64: return bits_fit(text, got->i64, 8);
    case WASM_V128: return v128_fits(expected, got);
    case WASM_FUNCREF:
        return text ? strcmp(text, "null") == 0 && !got->funcref : got->funcref != NULL;
    case WASM_EXTERNREF: {
        union wasm_value token;
        if (!text) {
            return got->externref != 0;
        }
        return spec_value_read(expected, &wanted, &token) && token.externref == got->externref;
    }
    default: return false;
    }
}

const char *spec_value_text(uint8_t valtype, const union wasm_value *value, char *out,
                            size_t out_bytes)
{
    switch (valtype) {
    case WASM_I32: snprintf(out, out_bytes, "i32 %" PRIu32, value->i32); break;
    case WASM_F32: snprintf(out, out_bytes, "f32 0x%08" PRIx32, value->f32_bits); break;
    case WASM_I64: snprintf(out, out_bytes, "i64 %" PRIu64, value->i64); break;
    case WASM_F64: snprintf(out, out_bytes, "f64 0x%016" PRIx64, value->f64_bits); break;
    case WASM_V128:
        snprintf(out, out_bytes, "v128 0x%016" PRIx64 "%016" PRIx64, value->v128[1],
                 value->v128[0]);
        break;
    default: snprintf(out, out_bytes, "reference 0x%" PRIx64, value->i64); break;
    }
    return out;
}
