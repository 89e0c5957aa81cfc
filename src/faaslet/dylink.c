/* The section lies in front of all others, so only the start of the module is looked at. */
#include "faaslet/dylink.h"

#include "base/error.h"

#define SECTION "dylink.0"
#define PREFACE_BYTES 8u /* magic and version, which the validator looks at */
#define MEM_INFO 1u
#define NEEDED 2u
#define ALIGN_LOG2_MAX 16u /* libraries begin at a page */

static bool take_u32(struct wm_cursor *cursor, uint32_t *out)
{
    uint64_t value;
    if (wm_cursor_uleb(cursor, 32, &value) != WM_LEB_OK) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool take_part(struct wm_cursor *cursor, struct wm_view *out)
{
    uint32_t len;
    return take_u32(cursor, &len) && wm_cursor_bytes(cursor, len, out);
}

static int malformed(struct wm_diag *diag)
{
    return wm_diag_set(diag, WM_E_MALFORMED,
                       "library: its section \"" SECTION "\" is damaged; link it again");
}

static int read_memory(struct wm_view part, struct dylink *out, struct wm_diag *diag)
{
    struct wm_cursor cursor = wm_cursor_of(part);
    uint32_t memory_align, table_align;
    if (!take_u32(&cursor, &out->memory_bytes) || !take_u32(&cursor, &memory_align) ||
        !take_u32(&cursor, &out->table_elems) || !take_u32(&cursor, &table_align) ||
        !wm_cursor_done(&cursor)) {
        return malformed(diag);
    }
    if (memory_align > ALIGN_LOG2_MAX || table_align > 0) {
        return wm_diag_set(
            diag, WM_E_UNSUPPORTED,
            "library: its data is aligned to 2^%u bytes, its table to 2^%u elements; "
            "at most 2^16 and 2^0 are possible",
            memory_align, table_align);
    }
    return 0;
}

static int read_needed(struct wm_view part, struct wm_diag *diag)
{
    struct wm_cursor cursor = wm_cursor_of(part);
    uint32_t count;
    if (!take_u32(&cursor, &count)) {
        return malformed(diag);
    }
    return count == 0
               ? 0
               : wm_diag_set(diag, WM_E_UNSUPPORTED,
                             "library: it needs %u other libraries; link them into it", count);
}

int dylink_parse(struct wm_view module, struct dylink *out, struct wm_diag *diag)
{
    struct wm_cursor cursor = wm_cursor_of(module);
    struct wm_view preface, section, name, part;
    uint8_t kind;
    bool has_memory = false;
    if (!wm_cursor_bytes(&cursor, PREFACE_BYTES, &preface) || !wm_cursor_u8(&cursor, &kind) ||
        kind != 0 || !take_part(&cursor, &section)) {
        section = wm_view_of("", 0);
    }
    cursor = wm_cursor_of(section);
    if (!take_part(&cursor, &name) || !wm_view_eq_str(name, SECTION)) {
        return wm_diag_set(diag, WM_E_NOT_FOUND,
                           "library: it is not one: it does not begin with the section \"" SECTION
                           "\"; build it with `wardmote build --shared`");
    }
    *out = (struct dylink){0};
    while (!wm_cursor_done(&cursor)) {
        if (!wm_cursor_u8(&cursor, &kind) || !take_part(&cursor, &part)) {
            return malformed(diag);
        }
        int rc = 0;
        if (kind == MEM_INFO) {
            rc = has_memory ? malformed(diag) : read_memory(part, out, diag);
            has_memory = true;
        } else if (kind == NEEDED) {
            rc = read_needed(part, diag);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}
