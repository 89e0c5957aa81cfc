/* image_file.c: images as files (doc/format/image.md gives them to the byte).
 *
 * The reader trusts nothing: a file may have been made to hurt. What it can say is bounded by the
 * object that it is read for (counts, limits, function indices), so a hostile image is at worst a
 * strange state of that guest, which the guest could have reached for itself. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/error.h"
#include "base/fault.h"
#include "crypto/hash.h"
#include "wasm/image.h"
#include "wasm/runtime.h"
#include "wasm/suspend.h"

#define MAGIC "WMIMG\r\n\x1a"
#define VERSION 1u
#define FLAG_SUSPENDED 1u
#define NO_FUNC 0u
#define BUFFER_BYTES 65536u

struct file_header {
    uint8_t magic[8];
    uint32_t version, header_bytes;
    uint8_t module_sha256[32];
    uint64_t total_bytes;
    uint64_t memory_bytes;
    uint32_t global_count, table_count, data_count, elem_count;
    uint32_t flags, suspend_addr;
    uint64_t run_count;
    uint8_t sha256[32]; /* of the whole file with these bytes zero */
};
_Static_assert(sizeof(struct file_header) == 128, "doc/format/image.md");

struct file_run {
    uint64_t offset, len;
};

/* --- A file position with a hash over everything that passed --- */

struct stream {
    int fd;
    uint64_t at;
    struct wm_sha256 hash;
    bool hashing;
    struct wm_diag *diag;
};

static int put(struct stream *stream, const void *bytes, uint64_t len)
{
    const uint8_t *from = bytes;
    if (stream->hashing) {
        wm_sha256_add(&stream->hash, wm_view_of(bytes, len));
    }
    while (len > 0) {
        errno = EIO;
        ssize_t done =
            wm_fault_here(WM_FAULT_IO) ? -1 : pwrite(stream->fd, from, len, (off_t)stream->at);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            int rc = done < 0 ? -errno : -EIO;
            return wm_diag_set(stream->diag, rc, "image: writing: %s", strerror(-rc));
        }
        from += done;
        stream->at += (uint64_t)done;
        len -= (uint64_t)done;
    }
    return 0;
}

static int get(struct stream *stream, void *out, uint64_t len)
{
    uint8_t *to = out;
    uint64_t wanted = len;
    while (wanted > 0) {
        errno = EIO;
        ssize_t done =
            wm_fault_here(WM_FAULT_IO) ? -1 : pread(stream->fd, to, wanted, (off_t)stream->at);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            int rc = -errno;
            return wm_diag_set(stream->diag, rc, "image: reading: %s", strerror(-rc));
        }
        if (done == 0) {
            return wm_diag_set(stream->diag, WM_E_MALFORMED,
                               "image: offset %llu: the file ends too early",
                               (unsigned long long)stream->at);
        }
        to += done;
        stream->at += (uint64_t)done;
        wanted -= (uint64_t)done;
    }
    wm_sha256_add(&stream->hash, wm_view_of(out, len));
    return 0;
}

static int malformed(const struct stream *stream, const char *why)
{
    return wm_diag_set(stream->diag, WM_E_MALFORMED, "image: before offset %llu: %s",
                       (unsigned long long)stream->at, why);
}

/* --- Writing --- */

/* The runs of pages that are not all zero, from `at` on: the next one, or false. */
static bool next_run(const struct wasm_image *image, uint64_t at, struct file_run *out)
{
    while (at < image->memory_bytes && wasm_image_page_is_zero(image->bytes + at)) {
        at += WASM_IMAGE_PAGE_BYTES;
    }
    uint64_t end = at;
    while (end < image->memory_bytes && !wasm_image_page_is_zero(image->bytes + end)) {
        end += WASM_IMAGE_PAGE_BYTES;
    }
    *out = (struct file_run){at, end - at};
    return end > at;
}

static int put_body(struct stream *stream, const struct wasm_image *image)
{
    const struct wasm_object *object = image->object;
    int rc =
        put(stream, image->globals, WASM_OBJECT_COUNT(object, GLOBALS) * sizeof *image->globals);
    for (uint32_t i = 0; rc == 0 && i < WASM_OBJECT_COUNT(object, TABLES); i++) {
        rc = put(stream, &image->tables[i].size, sizeof image->tables[i].size);
        if (rc == 0) {
            rc = put(stream, image->tables[i].funcs,
                     image->tables[i].size * sizeof *image->tables[i].funcs);
        }
    }
    if (rc != 0 || (rc = put(stream, image->data_dropped, WASM_OBJECT_COUNT(object, DATAS))) != 0 ||
        (rc = put(stream, image->elem_dropped, WASM_OBJECT_COUNT(object, ELEMS))) != 0) {
        return rc;
    }
    struct file_run run;
    for (uint64_t at = 0; rc == 0 && next_run(image, at, &run); at = run.offset + run.len) {
        rc = put(stream, &run, sizeof run);
    }
    for (uint64_t at = 0; rc == 0 && next_run(image, at, &run); at = run.offset + run.len) {
        rc = put(stream, image->bytes + run.offset, run.len);
    }
    return rc;
}

int wasm_image_write(const struct wasm_image *image, int fd, struct wm_diag *diag)
{
    const struct wasm_object *object = image->object;
    struct file_header header = {.magic = MAGIC,
                                 .version = VERSION,
                                 .header_bytes = sizeof header,
                                 .memory_bytes = image->memory_bytes,
                                 .global_count = (uint32_t)WASM_OBJECT_COUNT(object, GLOBALS),
                                 .table_count = (uint32_t)WASM_OBJECT_COUNT(object, TABLES),
                                 .data_count = (uint32_t)WASM_OBJECT_COUNT(object, DATAS),
                                 .elem_count = (uint32_t)WASM_OBJECT_COUNT(object, ELEMS),
                                 .flags = image->suspended ? FLAG_SUSPENDED : 0,
                                 .suspend_addr = image->suspend_addr};
    memcpy(header.module_sha256, object->header->key.module_sha256, sizeof header.module_sha256);
    uint64_t total = sizeof header + header.global_count * sizeof *image->globals +
                     header.data_count + header.elem_count;
    for (uint32_t i = 0; i < header.table_count; i++) {
        total += sizeof(uint32_t) + image->tables[i].size * sizeof(uint32_t);
    }
    struct file_run run;
    for (uint64_t at = 0; next_run(image, at, &run); at = run.offset + run.len) {
        header.run_count++;
        total += sizeof run + run.len;
    }
    header.total_bytes = total;

    /* The hash is known at the end, so the header is written last; until then the file has none. */
    struct stream stream = {.fd = fd, .at = sizeof header, .hashing = true, .diag = diag};
    wm_sha256_init(&stream.hash);
    wm_sha256_add(&stream.hash, wm_view_of(&header, sizeof header));
    int rc = put_body(&stream, image);
    if (rc != 0) {
        return rc;
    }
    WM_ASSERT(stream.at == total);
    wm_sha256_end(&stream.hash, header.sha256);
    stream.hashing = false;
    stream.at = 0;
    return put(&stream, &header, sizeof header);
}

/* --- Reading --- */

static int check_header(const struct stream *stream, const struct file_header *header,
                        const struct wasm_object *object)
{
    const struct wasm_object_header *of = object->header;
    if (memcmp(header->magic, MAGIC, sizeof header->magic) != 0) {
        return malformed(stream, "this is not an image");
    }
    if (header->version != VERSION || header->header_bytes != sizeof *header) {
        return wm_diag_set(stream->diag, WM_E_UNSUPPORTED,
                           "image: version %u; this program reads version %u", header->version,
                           VERSION);
    }
    if (memcmp(header->module_sha256, of->key.module_sha256, sizeof header->module_sha256) != 0) {
        return wm_diag_set(stream->diag, WM_E_STALE,
                           "image: it was taken of another module; take it anew");
    }
    if ((of->memory_flags & 2) || of->imported_tables != 0) {
        return wm_diag_set(stream->diag, WM_E_UNSUPPORTED,
                           "image: the module imports its memory or a table");
    }
    if (header->global_count != WASM_OBJECT_COUNT(object, GLOBALS) ||
        header->table_count != WASM_OBJECT_COUNT(object, TABLES) ||
        header->data_count != WASM_OBJECT_COUNT(object, DATAS) ||
        header->elem_count != WASM_OBJECT_COUNT(object, ELEMS)) {
        return malformed(stream, "the counts are not the module's");
    }
    uint64_t pages = header->memory_bytes / WASM_PAGE_BYTES;
    bool has_memory = of->memory_flags & 1;
    if (header->memory_bytes % WASM_PAGE_BYTES != 0 || pages > WASM_PAGES_MAX ||
        (has_memory ? pages < of->memory_min || pages > of->memory_max : pages != 0)) {
        return malformed(stream, "the size of the memory is not one that the module allows");
    }
    if ((header->flags & ~FLAG_SUSPENDED) != 0 ||
        (header->flags & FLAG_SUSPENDED
             ? header->suspend_addr == 0 || header->suspend_addr % 16 != 0 ||
                   !wm_range_fits(header->suspend_addr, 16, header->memory_bytes)
             : header->suspend_addr != 0)) {
        return malformed(stream, "impossible flags");
    }
    if ((header->flags & FLAG_SUSPENDED) && !wasm_suspendable(object)) {
        return malformed(stream, "a module that cannot be suspended was");
    }
    if (header->run_count > header->memory_bytes / WASM_IMAGE_PAGE_BYTES) {
        return malformed(stream, "more runs of pages than pages");
    }
    return 0;
}

static bool func_fits(const struct wasm_object *object, uint64_t func)
{
    return func == NO_FUNC || func <= WASM_OBJECT_COUNT(object, FUNCS);
}

/* Code that calls through a closed table hands on its own context: an imported function would take
 * that for its binding. */
static bool elem_fits(const struct wasm_object *object, const struct wasm_object_table *table,
                      uint32_t func)
{
    return func == NO_FUNC || (table->elem_type == WASM_FUNCREF && func_fits(object, func) &&
                               !(table->closed && func <= object->header->imported_funcs));
}

static int get_globals(struct stream *stream, struct wasm_image *image)
{
    const struct wasm_object *object = image->object;
    uint64_t count = WASM_OBJECT_COUNT(object, GLOBALS);
    int rc = get(stream, image->globals, count * sizeof *image->globals);
    for (uint64_t i = 0; rc == 0 && i < count; i++) {
        const struct wasm_object_global *global = &object->at.GLOBALS[i];
        union wasm_value *value = &image->globals[i];
        bool right = true;
        if (global->valtype == WASM_FUNCREF) {
            right = func_fits(object, value->i64) && value->v128[1] == 0;
        } else if (global->valtype == WASM_EXTERNREF) {
            right = value->i64 == 0 && value->v128[1] == 0;
        }
        if (!right || (i < object->header->imported_globals && global->is_mutable)) {
            return malformed(stream, "a global has a value that no image holds");
        }
    }
    return rc;
}

static int get_tables(struct stream *stream, struct wasm_image *image)
{
    const struct wasm_object *object = image->object;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < WASM_OBJECT_COUNT(object, TABLES); i++) {
        const struct wasm_object_table *record = &object->at.TABLES[i];
        uint32_t size;
        rc = get(stream, &size, sizeof size);
        if (rc != 0) {
            return rc;
        }
        if (size < record->min || size > record->max || size > WASM_TABLE_ELEMS_MAX) {
            return malformed(stream, "the size of a table is not one that the module allows");
        }
        rc = wasm_image_set_table(image, i, size);
        if (rc != 0) {
            return wm_diag_set(stream->diag, rc, "image: %s", wm_error_text(rc));
        }
        uint32_t *funcs = image->tables[i].funcs;
        rc = get(stream, funcs, size * sizeof *funcs);
        for (uint32_t at = 0; rc == 0 && at < size; at++) {
            if (!elem_fits(object, record, funcs[at])) {
                return malformed(stream, "a table refers to a function that is not there");
            }
        }
    }
    return rc;
}

static int get_dropped(struct stream *stream, uint8_t *dropped, uint64_t count)
{
    int rc = get(stream, dropped, count);
    for (uint64_t i = 0; rc == 0 && i < count; i++) {
        if (dropped[i] > 1) {
            return malformed(stream, "a segment is neither dropped nor kept");
        }
    }
    return rc;
}

static int get_memory(struct stream *stream, struct wasm_image *image, uint64_t run_count)
{
    struct file_run *runs = wm_alloc_zero(run_count, sizeof *runs);
    uint8_t *buffer = wm_alloc(BUFFER_BYTES);
    uint64_t end = 0;
    int rc = runs && buffer
                 ? wasm_image_begin_memory(image, image->memory_bytes, stream->diag)
                 : wm_diag_set(stream->diag, -ENOMEM, "image: %s", wm_error_text(-ENOMEM));
    if (rc == 0) {
        rc = get(stream, runs, run_count * sizeof *runs);
    }
    for (uint64_t i = 0; rc == 0 && i < run_count; i++) {
        if (runs[i].offset < end || runs[i].len == 0 ||
            runs[i].offset % WASM_IMAGE_PAGE_BYTES != 0 ||
            runs[i].len % WASM_IMAGE_PAGE_BYTES != 0 ||
            !wm_range_fits(runs[i].offset, runs[i].len, image->memory_bytes)) {
            rc = malformed(stream, "runs of pages overlap or lie outside the memory");
            break;
        }
        end = runs[i].offset + runs[i].len;
    }
    for (uint64_t i = 0; rc == 0 && i < run_count; i++) {
        for (uint64_t at = runs[i].offset; rc == 0 && at < runs[i].offset + runs[i].len;) {
            uint64_t part = wm_min_u64(BUFFER_BYTES, runs[i].offset + runs[i].len - at);
            rc = get(stream, buffer, part);
            if (rc == 0) {
                rc = wasm_image_write_memory(image, at, buffer, part, stream->diag);
            }
            at += part;
        }
    }
    wm_free(runs);
    wm_free(buffer);
    return rc;
}

int wasm_image_read(int fd, const struct wasm_object *object, struct wasm_image **out,
                    struct wm_diag *diag)
{
    struct stream stream = {.fd = fd, .diag = diag};
    struct file_header header, unsigned_header;
    wm_sha256_init(&stream.hash);
    int rc = get(&stream, &header, sizeof header);
    if (rc != 0 || (rc = check_header(&stream, &header, object)) != 0) {
        return rc;
    }
    /* Hash it as the writer did: with its own place empty. */
    unsigned_header = header;
    memset(unsigned_header.sha256, 0, sizeof unsigned_header.sha256);
    wm_sha256_init(&stream.hash);
    wm_sha256_add(&stream.hash, wm_view_of(&unsigned_header, sizeof unsigned_header));

    struct wasm_image *image;
    rc = wasm_image_new(object, &image, diag);
    if (rc != 0) {
        return rc;
    }
    image->memory_bytes = header.memory_bytes;
    image->suspended = header.flags & FLAG_SUSPENDED;
    image->suspend_addr = header.suspend_addr;
    if ((rc = get_globals(&stream, image)) != 0 || (rc = get_tables(&stream, image)) != 0 ||
        (rc = get_dropped(&stream, image->data_dropped, header.data_count)) != 0 ||
        (rc = get_dropped(&stream, image->elem_dropped, header.elem_count)) != 0 ||
        (rc = get_memory(&stream, image, header.run_count)) != 0) {
        wasm_image_put(image);
        return rc;
    }
    uint8_t sha256[WM_SHA256_BYTES];
    wm_sha256_end(&stream.hash, sha256);
    if (stream.at != header.total_bytes) {
        rc = malformed(&stream, "its length is not what its header says");
    } else if (!wm_bytes_equal(sha256, header.sha256, sizeof sha256)) {
        rc = wm_diag_set(diag, WM_E_MALFORMED,
                         "image: its content has changed since it was written");
    } else {
        rc = wasm_image_end_memory(image, diag);
    }
    if (rc != 0) {
        wasm_image_put(image);
        return rc;
    }
    *out = image;
    return 0;
}
