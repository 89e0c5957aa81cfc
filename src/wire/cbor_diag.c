/* The one function of cbor.h that needs the C library; apart, so that freestanding programs can
 * link the rest. */
#include "base/diag.h"
#include "wire/cbor.h"

int cbor_diag(const struct cbor_reader *reader, const char *what, struct wm_diag *diag)
{
    if (reader->other) {
        return wm_diag_set(diag, WM_E_MALFORMED, "%s: offset %zu: %s (%llu, not %llu)", what,
                           reader->where, reader->why, (unsigned long long)reader->found,
                           (unsigned long long)reader->wanted);
    }
    return wm_diag_set(diag, WM_E_MALFORMED, "%s: offset %zu: %s", what, reader->where,
                       reader->why ? reader->why : "malformed");
}
