/* View-changes and new-views as CBOR; doc/format/ledger.md. */
#include "wire/viewchange.h"

#include "wire/item.h"

#define VIEWCHANGE_ITEMS 7u
#define NEWVIEW_ITEMS 9u

void viewchange_claims_put(struct cbor_writer *writer, const struct viewchange_claims *claims)
{
    item_put_begin(writer, VIEWCHANGE_ITEMS, COSE_TYPE_VIEW_CHANGE);
    item_put_hash(writer, claims->service);
    cbor_put_uint(writer, claims->cfg);
    cbor_put_uint(writer, claims->view);
    cbor_put_uint(writer, claims->replica);
    if (claims->has_top) {
        cbor_put_array(writer, 3);
        cbor_put_uint(writer, claims->top_view);
        cbor_put_uint(writer, claims->top_seqno);
        item_put_hash(writer, claims->top);
    } else {
        cbor_put_null(writer);
    }
}

int viewchange_claims_get(struct wm_view claims, struct viewchange_claims *out,
                          struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(claims);
    bool ok = item_begin(&reader, VIEWCHANGE_ITEMS, COSE_TYPE_VIEW_CHANGE) &&
              item_hash(&reader, out->service) && item_number(&reader, &out->cfg) &&
              item_number(&reader, &out->view) && item_position(&reader, &out->replica);
    out->has_top = cbor_peek(&reader) == CBOR_ARRAY;
    ok = ok &&
         (out->has_top ? cbor_array_of(&reader, 3) && item_number(&reader, &out->top_view) &&
                             item_counted(&reader, &out->top_seqno) && item_hash(&reader, out->top)
                       : cbor_null(&reader));
    if (ok && out->has_top && out->top_view >= out->view) {
        cbor_fail(&reader, "its top is not of an earlier view than it asks for");
    }
    return cbor_end(&reader) ? 0 : cbor_diag(&reader, "view-change", diag);
}

void certificate_put(struct cbor_writer *writer, const struct certificate *certificate)
{
    if (!certificate->is_there) {
        cbor_put_null(writer);
        return;
    }
    cbor_put_array(writer, 2);
    item_put_parts(writer, &certificate->preprepare);
    cbor_put_array(writer, certificate->count);
    for (uint32_t i = 0; i < certificate->count; i++) {
        cbor_put_array(writer, 3);
        cbor_put_uint(writer, certificate->prepares[i].replica);
        item_put_hash(writer, certificate->prepares[i].commitment);
        item_put_signature(writer, certificate->prepares[i].signature);
    }
}

bool certificate_get(struct cbor_reader *reader, struct certificate *out)
{
    uint64_t count;
    out->count = 0;
    out->is_there = cbor_peek(reader) == CBOR_ARRAY;
    if (!out->is_there) {
        return cbor_null(reader);
    }
    if (!cbor_array_of(reader, 2) || !item_parts(reader, &out->preprepare) ||
        !cbor_array(reader, &count)) {
        return false;
    }
    if (count >= LEDGER_REPLICAS_MAX) {
        return cbor_fail(reader, "a certificate has too many prepares");
    }
    for (uint64_t i = 0; i < count; i++) {
        struct certificate_prepare *prepare = &out->prepares[i];
        if (!cbor_array_of(reader, 3) || !item_position(reader, &prepare->replica) ||
            !item_hash(reader, prepare->commitment) ||
            !item_signature(reader, prepare->signature)) {
            return false;
        }
        if (i > 0 && prepare->replica <= out->prepares[i - 1].replica) {
            return cbor_fail(reader, "prepares are not in the order of positions");
        }
    }
    out->count = (uint32_t)count;
    return true;
}

void viewchange_put(struct cbor_writer *writer, const struct viewchange *viewchange)
{
    cbor_put_array(writer, 3);
    cbor_put_bytes(writer, viewchange->header);
    item_put_signature(writer, viewchange->signature);
    cbor_put_raw(writer, viewchange->certificate);
}

bool viewchange_get(struct cbor_reader *reader, struct viewchange *out)
{
    struct certificate certificate;
    if (!cbor_array_of(reader, 3) || !item_header(reader, &out->header) ||
        !item_signature(reader, out->signature)) {
        return false;
    }
    const uint8_t *start = reader->cursor.at;
    if (!certificate_get(reader, &certificate)) {
        return false;
    }
    out->certificate = wm_view_of(start, (size_t)(reader->cursor.at - start));
    return true;
}

void viewchanges_put_head(struct cbor_writer *writer, uint64_t view, uint32_t count)
{
    cbor_put_array(writer, 3);
    cbor_put_uint(writer, ENTRY_VIEW_CHANGES);
    cbor_put_uint(writer, view);
    cbor_put_array(writer, count);
}

bool viewchanges_get_head(struct cbor_reader *reader, uint64_t *view, uint32_t *count)
{
    uint64_t items;
    *count = 0;
    if (!cbor_array_of(reader, 3) ||
        !cbor_uint_is(reader, ENTRY_VIEW_CHANGES, "it is an entry of another kind") ||
        !item_number(reader, view) || !cbor_array(reader, &items)) {
        return false;
    }
    if (items == 0 || items > LEDGER_REPLICAS_MAX) {
        return cbor_fail(reader, "there are no view-changes, or too many");
    }
    *count = (uint32_t)items;
    return true;
}

void newview_claims_put(struct cbor_writer *writer, const struct newview_claims *claims)
{
    item_put_begin(writer, NEWVIEW_ITEMS, COSE_TYPE_NEW_VIEW);
    item_put_hash(writer, claims->service);
    cbor_put_uint(writer, claims->cfg);
    cbor_put_uint(writer, claims->view);
    cbor_put_uint(writer, claims->ledger_size);
    item_put_hash(writer, claims->ledger_root);
    cbor_put_uint(writer, claims->base_seqno);
    cbor_put_uint(writer, claims->used);
}

int newview_claims_get(struct wm_view claims, struct newview_claims *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(claims);
    bool ok = item_begin(&reader, NEWVIEW_ITEMS, COSE_TYPE_NEW_VIEW) &&
              item_hash(&reader, out->service) && item_number(&reader, &out->cfg) &&
              item_number(&reader, &out->view) && item_counted(&reader, &out->ledger_size) &&
              item_hash(&reader, out->ledger_root) && item_number(&reader, &out->base_seqno) &&
              cbor_uint(&reader, &out->used) &&
              (out->used != 0 || cbor_fail(&reader, "it uses no view-changes"));
    return ok && cbor_end(&reader) ? 0 : cbor_diag(&reader, "new-view", diag);
}

void newview_entry_put(struct cbor_writer *writer, const struct newview_entry *entry)
{
    cbor_put_array(writer, 3);
    cbor_put_uint(writer, ENTRY_NEW_VIEW);
    cbor_put_bytes(writer, entry->header);
    item_put_signature(writer, entry->signature);
}

bool newview_entry_get(struct wm_view bytes, struct newview_entry *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    bool ok = cbor_array_of(&reader, 3) &&
              cbor_uint_is(&reader, ENTRY_NEW_VIEW, "it is an entry of another kind") &&
              item_header(&reader, &out->header) && item_signature(&reader, out->signature);
    if (!ok || !cbor_end(&reader)) {
        (void)cbor_diag(&reader, "new-view entry", diag);
        return false;
    }
    return true;
}
