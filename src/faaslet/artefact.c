/* Signed files. artefact.h has the idea, doc/format/proto.md the bytes. */
#include "faaslet/artefact.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/fault.h"
#include "host/file.h"
#include "proof/statement.h"

#define CLAIMS_ITEMS 10u
#define BUFFER_BYTES (256u << 10)
#define PART_NAME_BYTES 32u

/* --- Manifests --- */

static void put_claims(struct cbor_writer *writer, const struct artefact *artefact)
{
    const struct artefact_use *use = &artefact->use;
    cbor_put_array(writer, CLAIMS_ITEMS);
    cbor_put_uint(writer, COSE_TYPE_ARTEFACT);
    cbor_put_uint(writer, ARTEFACT_VERSION);
    cbor_put_uint(writer, use->kind);
    cbor_put_bytes(writer, wm_view_of(use->module_sha256, sizeof use->module_sha256));
    cbor_put_bytes(writer, wm_view_of(use->function_sha256, sizeof use->function_sha256));
    cbor_put_uint(writer, use->format);
    cbor_put_uint(writer, use->abi);
    cbor_put_uint(writer, artefact->file_bytes);
    cbor_put_uint(writer, artefact->made_s);
    cbor_put_text(writer, wm_view_str(artefact->node));
}

void artefact_manifest(const struct artefact *artefact, const struct sign_key *key,
                       uint8_t out[ARTEFACT_MANIFEST_BYTES_MAX], size_t *len)
{
    uint8_t claims[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct cose_statement statement;
    struct cbor_writer writer = cbor_writer_of(claims, sizeof claims);
    put_claims(&writer, artefact);
    WM_ASSERT(cbor_fits(&writer));
    statement_sign(key, false, wm_view_of(claims, writer.len), artefact->sha256, header,
                   &statement);
    writer = cbor_writer_of(out, ARTEFACT_MANIFEST_BYTES_MAX);
    cose_put_sign1(&writer, &statement);
    WM_ASSERT(cbor_fits(&writer));
    *len = writer.len;
}

static int get_claims(struct wm_view claims, struct artefact *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(claims);
    struct artefact_use *use = &out->use;
    struct wm_view node;
    uint64_t kind;
    bool ok =
        cbor_array_of(&reader, CLAIMS_ITEMS) &&
        cbor_uint_is(&reader, COSE_TYPE_ARTEFACT, "this is not an artefact's manifest (type 4)") &&
        cbor_uint_is(&reader, ARTEFACT_VERSION, "a manifest of another version than 1") &&
        cbor_uint(&reader, &kind) &&
        (kind == ARTEFACT_IMAGE || kind == ARTEFACT_OBJECT ||
         cbor_fail(&reader, "an unknown kind of artefact")) &&
        cbor_bytes_of(&reader, use->module_sha256, sizeof use->module_sha256) &&
        cbor_bytes_of(&reader, use->function_sha256, sizeof use->function_sha256) &&
        cbor_uint32(&reader, &use->format) && cbor_uint32(&reader, &use->abi) &&
        cbor_uint(&reader, &out->file_bytes) && cbor_uint(&reader, &out->made_s) &&
        cbor_text(&reader, &node) &&
        (out->file_bytes <= ARTEFACT_FILE_BYTES_MAX ||
         cbor_fail(&reader, "a file larger than any may be")) &&
        ((node.len >= 1 && node.len <= ARTEFACT_NODE_BYTES_MAX && !memchr(node.ptr, 0, node.len)) ||
         cbor_fail(&reader, "a name is empty or too long"));
    if (!ok || !cbor_end(&reader)) {
        return cbor_diag(&reader, "manifest", diag);
    }
    use->kind = (enum artefact_kind)kind;
    memcpy(out->node, node.ptr, node.len);
    out->node[node.len] = 0;
    return 0;
}

int artefact_check(struct wm_view manifest, const struct artefact_trust *trust,
                   struct artefact *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(manifest);
    struct cose_statement statement;
    struct artefact artefact = {0};
    bool ok = cose_sign1(&reader, &statement) &&
              ((statement.attached && !statement.tree) ||
               cbor_fail(&reader, "a manifest has a payload, the hash of its file"));
    if (!ok || !cbor_end(&reader)) {
        return cbor_diag(&reader, "manifest", diag);
    }
    int rc = get_claims(statement.claims, &artefact, diag);
    if (rc == 0) {
        rc = statement_verify(&statement, statement.payload, NULL, "manifest", diag);
    }
    if (rc != 0) {
        return rc;
    }
    bool trusted = false;
    for (size_t i = 0; i < trust->count; i++) {
        trusted |= wm_bytes_equal(trust->keys[i], statement.key, sizeof statement.key);
    }
    if (!trusted) {
        char text[SIGN_PUBLIC_TEXT_BYTES];
        sign_public_to_text(statement.key, text);
        return wm_diag_set(diag, WM_E_DENIED,
                           "manifest: signed by key %s, which this node does not trust", text);
    }
    memcpy(artefact.sha256, statement.payload, sizeof artefact.sha256);
    memcpy(artefact.key, statement.key, sizeof artefact.key);
    *out = artefact;
    return 0;
}

int artefact_fits(const struct artefact *artefact, const struct artefact_use *use,
                  struct wm_diag *diag)
{
    const struct artefact_use *is = &artefact->use;
    const char *other = NULL;
    if (is->kind != use->kind) {
        other = use->kind == ARTEFACT_IMAGE ? "it is machine code, not an image"
                                            : "it is an image, not machine code";
    } else if (is->format != use->format) {
        other = "its format is of another version; make it anew";
    } else if (is->abi != use->abi) {
        other = "it was made by an engine of another version; make it anew";
    } else if (memcmp(is->module_sha256, use->module_sha256, sizeof is->module_sha256) != 0) {
        other = "it is of another module";
    } else if (memcmp(is->function_sha256, use->function_sha256, sizeof is->function_sha256) != 0) {
        other = "it is of the same module, but of another function or initialised otherwise";
    }
    return other ? wm_diag_set(diag, WM_E_STALE, "manifest: %s", other) : 0;
}

/* --- Files --- */

void artefact_file_name(const struct artefact *artefact, char out[ARTEFACT_FILE_NAME_BYTES])
{
    for (size_t i = 0; i < WM_SHA256_BYTES; i++) {
        snprintf(out + 2 * i, 3, "%02x", artefact->sha256[i]);
    }
    snprintf(out + 2 * WM_SHA256_BYTES, 8, "%s",
             artefact->use.kind == ARTEFACT_IMAGE ? ".image" : ".object");
}

static int failed(struct wm_diag *diag, int rc, const char *name, const char *what)
{
    return wm_diag_set(diag, rc, "artefact %s: %s: %s", name, what, wm_error_text(rc));
}

static ssize_t read_some(int fd, uint8_t *buffer, size_t room, uint64_t offset)
{
    ssize_t got;
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    do {
        got = pread(fd, buffer, room, (off_t)offset);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

/* Hashes from_fd from its start to its end, and writes what it reads to to_fd (-1: nowhere). */
static int hash_file(int from_fd, int to_fd, uint8_t sha256[WM_SHA256_BYTES], uint64_t *bytes)
{
    struct wm_sha256 hash;
    uint8_t *buffer = wm_alloc(BUFFER_BYTES);
    int rc = buffer ? 0 : -ENOMEM;
    *bytes = 0;
    wm_sha256_init(&hash);
    while (rc == 0) {
        ssize_t got = read_some(from_fd, buffer, BUFFER_BYTES, *bytes);
        if (got <= 0) {
            rc = (int)got;
            break;
        }
        struct wm_view piece = wm_view_of(buffer, (size_t)got);
        wm_sha256_add(&hash, piece);
        *bytes += piece.len;
        if (*bytes > ARTEFACT_FILE_BYTES_MAX) {
            rc = WM_E_LIMIT;
        } else if (to_fd >= 0) {
            rc = host_file_write_all(to_fd, piece);
        }
    }
    wm_sha256_end(&hash, sha256);
    wm_free(buffer);
    return rc;
}

static int check_file(const struct artefact *artefact, const uint8_t sha256[WM_SHA256_BYTES],
                      uint64_t bytes, const char *name, struct wm_diag *diag)
{
    if (bytes != artefact->file_bytes ||
        !wm_bytes_equal(sha256, artefact->sha256, WM_SHA256_BYTES)) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "artefact %s: the file is not the one that was signed: %llu bytes, "
                           "signed were %llu%s",
                           name, (unsigned long long)bytes,
                           (unsigned long long)artefact->file_bytes,
                           bytes == artefact->file_bytes ? "; their hash differs" : "");
    }
    return 0;
}

/* A copy of the file under a passing name, on the disk; hashed. */
static int copy_in(int dir_fd, int file_fd, char part[PART_NAME_BYTES],
                   uint8_t sha256[WM_SHA256_BYTES], uint64_t *bytes)
{
    uint8_t random[8];
    wm_random_bytes(random, sizeof random);
    memcpy(part, ".part-", 7);
    for (size_t i = 0; i < sizeof random; i++) {
        snprintf(part + 6 + 2 * i, 3, "%02x", random[i]);
    }
    int fd = wm_fault_here(WM_FAULT_IO)
                 ? (errno = EIO, -1)
                 : openat(dir_fd, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return -errno;
    }
    int rc = hash_file(file_fd, fd, sha256, bytes);
    if (rc == 0 && (wm_fault_here(WM_FAULT_IO) ? (errno = EIO, -1) : fsync(fd)) != 0) {
        rc = -errno;
    }
    if (close(fd) != 0 && rc == 0) {
        rc = -errno;
    }
    if (rc != 0) {
        (void)unlinkat(dir_fd, part, 0);
    }
    return rc;
}

/* From its passing name to its own, and the manifest after it; on the disk when this returns. */
static int put_in_place(int dir_fd, const char *name, const char *part,
                        const struct artefact *artefact, struct wm_view manifest)
{
    char file_name[ARTEFACT_FILE_NAME_BYTES];
    artefact_file_name(artefact, file_name);
    if ((wm_fault_here(WM_FAULT_IO) ? (errno = EIO, -1)
                                    : renameat(dir_fd, part, dir_fd, file_name)) != 0) {
        int rc = -errno;
        (void)unlinkat(dir_fd, part, 0);
        return rc;
    }
    int rc = host_file_replace(dir_fd, name, manifest, 0600, true, NULL);
    if (rc == 0 && (wm_fault_here(WM_FAULT_IO) ? (errno = EIO, -1) : fsync(dir_fd)) != 0) {
        rc = -errno;
    }
    return rc;
}

int artefact_put(int dir_fd, const char *name, int file_fd, const struct sign_key *key,
                 struct artefact *artefact, struct wm_diag *diag)
{
    uint8_t manifest[ARTEFACT_MANIFEST_BYTES_MAX];
    char part[PART_NAME_BYTES];
    size_t len;
    int rc = copy_in(dir_fd, file_fd, part, artefact->sha256, &artefact->file_bytes);
    if (rc == 0) {
        memcpy(artefact->key, key->public_key, sizeof artefact->key);
        artefact_manifest(artefact, key, manifest, &len);
        rc = put_in_place(dir_fd, name, part, artefact, wm_view_of(manifest, len));
    }
    return rc == 0 ? 0 : failed(diag, rc, name, "storing it");
}

int artefact_take(int dir_fd, const char *name, int file_fd, struct wm_view manifest,
                  const struct artefact_use *use, const struct artefact_trust *trust,
                  struct artefact *out, struct wm_diag *diag)
{
    struct artefact artefact;
    uint8_t sha256[WM_SHA256_BYTES];
    char part[PART_NAME_BYTES];
    uint64_t bytes;
    int rc = artefact_check(manifest, trust, &artefact, diag);
    if (rc != 0 || (rc = artefact_fits(&artefact, use, diag)) != 0) {
        wm_diag_prefix(diag, "artefact %s", name);
        return rc;
    }
    rc = copy_in(dir_fd, file_fd, part, sha256, &bytes);
    if (rc != 0) {
        return failed(diag, rc, name, "storing it");
    }
    rc = check_file(&artefact, sha256, bytes, name, diag);
    if (rc != 0) {
        (void)unlinkat(dir_fd, part, 0);
        return rc;
    }
    rc = put_in_place(dir_fd, name, part, &artefact, manifest);
    if (rc != 0) {
        return failed(diag, rc, name, "storing it");
    }
    *out = artefact;
    return 0;
}

static int read_manifest(int dir_fd, const char *name, uint8_t out[ARTEFACT_MANIFEST_BYTES_MAX],
                         size_t *len)
{
    uint8_t *bytes;
    int fd = host_file_open(dir_fd, name);
    if (fd < 0) {
        return fd == -ENOENT ? WM_E_NOT_FOUND : fd;
    }
    int rc = host_file_read_all(fd, ARTEFACT_MANIFEST_BYTES_MAX, &bytes, len);
    host_file_close(fd);
    if (rc == 0) {
        memcpy(out, bytes, *len);
        wm_free(bytes);
    }
    return rc;
}

int artefact_open(int dir_fd, const char *name, const struct artefact_use *use,
                  const struct artefact_trust *trust, struct artefact *out,
                  uint8_t manifest[ARTEFACT_MANIFEST_BYTES_MAX], size_t *manifest_len,
                  struct wm_diag *diag)
{
    uint8_t own[ARTEFACT_MANIFEST_BYTES_MAX], sha256[WM_SHA256_BYTES];
    char file_name[ARTEFACT_FILE_NAME_BYTES];
    struct artefact artefact;
    uint64_t bytes;
    size_t len;
    int rc = read_manifest(dir_fd, name, own, &len);
    if (rc != 0) {
        return failed(diag, rc, name, "reading its manifest");
    }
    rc = artefact_check(wm_view_of(own, len), trust, &artefact, diag);
    if (rc != 0 || (rc = artefact_fits(&artefact, use, diag)) != 0) {
        wm_diag_prefix(diag, "artefact %s", name);
        return rc;
    }
    artefact_file_name(&artefact, file_name);
    int fd = host_file_open(dir_fd, file_name);
    if (fd < 0) {
        return failed(diag, fd == -ENOENT ? WM_E_NOT_FOUND : fd, name, "opening its file");
    }
    rc = hash_file(fd, -1, sha256, &bytes);
    rc = rc != 0 ? failed(diag, rc, name, "reading its file")
                 : check_file(&artefact, sha256, bytes, name, diag);
    if (rc != 0) {
        host_file_close(fd);
        return rc;
    }
    *out = artefact;
    if (manifest) {
        memcpy(manifest, own, len);
        *manifest_len = len;
    }
    return fd;
}
