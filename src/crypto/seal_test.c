/* Boxes open under their own key and name, and under no other. */
#include "crypto/seal.h"

#include <string.h>

#include "base/error.h"
#include "base/test.h"

#define TEXT "a secret"

static const uint8_t key[WM_SEAL_KEY_BYTES] = {1, 2, 3};

TEST(opens_what_was_sealed)
{
    uint8_t box[sizeof TEXT + WM_SEAL_EXTRA_BYTES], again[sizeof box], text[sizeof TEXT];
    struct wm_view name = wm_view_str("tenant/function/NAME");
    wm_seal(key, name, wm_view_of(TEXT, sizeof TEXT), box);
    wm_seal(key, name, wm_view_of(TEXT, sizeof TEXT), again);
    CHECK(memcmp(box, again, sizeof box) != 0);
    CHECK(memmem(box, sizeof box, TEXT, 4) == NULL);
    CHECK_INT(wm_unseal(key, name, wm_view_of(box, sizeof box), text), ==, 0);
    CHECK(memcmp(text, TEXT, sizeof TEXT) == 0);
}

TEST(refuses_anything_else)
{
    uint8_t box[sizeof TEXT + WM_SEAL_EXTRA_BYTES], text[sizeof TEXT];
    uint8_t other[WM_SEAL_KEY_BYTES] = {1, 2, 4};
    struct wm_view name = wm_view_str("a");
    wm_seal(key, name, wm_view_of(TEXT, sizeof TEXT), box);
    CHECK_INT(wm_unseal(other, name, wm_view_of(box, sizeof box), text), ==, WM_E_FORGED);
    CHECK_INT(wm_unseal(key, wm_view_str("b"), wm_view_of(box, sizeof box), text), ==, WM_E_FORGED);
    CHECK_INT(wm_unseal(key, name, wm_view_of(box, 10), text), ==, WM_E_FORGED);
    for (size_t i = 0; i < sizeof box; i++) {
        box[i] ^= 1;
        CHECK_INT(wm_unseal(key, name, wm_view_of(box, sizeof box), text), ==, WM_E_FORGED);
        box[i] ^= 1;
    }
}

TEST(seals_nothing)
{
    uint8_t box[WM_SEAL_EXTRA_BYTES], text[1];
    wm_seal(key, wm_view_str("a"), wm_view_of(NULL, 0), box);
    CHECK_INT(wm_unseal(key, wm_view_str("a"), wm_view_of(box, sizeof box), text), ==, 0);
}

TEST_MAIN(TEST_CASE(opens_what_was_sealed), TEST_CASE(refuses_anything_else),
          TEST_CASE(seals_nothing))
