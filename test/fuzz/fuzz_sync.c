/* fuzz_sync.c: messages of other nodes about catalogues and files; what is a record goes on into
 * the decoders of entries. The first byte chooses. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/sync_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void records(struct wm_view body)
{
    struct wm_cursor cursor = wm_cursor_of(body);
    struct sync_record record;
    struct wm_diag diag = WM_DIAG_INIT;
    struct catalogue_import *import = catalogue_import_new();
    while (import && sync_record_next(&cursor, &record)) {
        uint8_t *again = malloc(sync_record_bytes(&record));
        struct sync_record read;
        struct wm_cursor back;
        if (!again) {
            break;
        }
        sync_record_put(&record, again);
        back = wm_cursor_of(wm_view_of(again, sync_record_bytes(&record)));
        if (!sync_record_next(&back, &read) || !wm_cursor_done(&back) ||
            !wm_view_eq(read.key, record.key) || !wm_view_eq(read.text, record.text) ||
            revision_compare(&read.revision, &record.revision) != 0) {
            abort();
        }
        free(again);
        (void)!catalogue_import_add(import, record.kind, record.key, &record.revision, record.text,
                                    &diag);
    }
    catalogue_import_free(import);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct wm_view body = wm_view_of(bytes + (len != 0), len - (len != 0)), key;
    struct wm_cursor cursor = wm_cursor_of(body);
    struct sync_digest digests[ENTRY_KINDS];
    struct sync_file_request request;
    struct sync_file_reply reply;
    struct revision revision;
    enum entry_kind kind;
    switch (len ? bytes[0] % 6 : 0) {
    case 0: records(body); break;
    case 1:
        while (sync_key_next(&cursor, &kind, &key)) {
        }
        break;
    case 2: (void)!sync_digests_get(body, digests); break;
    case 3: (void)!sync_file_request_get(body, &request); break;
    case 4:
        if (sync_file_reply_get(body, 7, &reply) && reply.found && reply.part.len > reply.bytes) {
            abort();
        }
        break;
    default: (void)!revision_decode(body, &revision); break;
    }
    return 0;
}
