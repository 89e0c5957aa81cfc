/* The files of a replica that do not change while it runs, and evidence/. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "base/alloc.h"
#include "host/file.h"
#include "node/replica_internal.h"
#include "node/uri.h"

#define SETTINGS_BYTES_MAX 65536u

static int read_file(const struct replica_folder *folder, const char *name, bool secret,
                     uint64_t limit, uint8_t **bytes, size_t *len, struct wm_diag *diag)
{
    struct host_file_info info;
    int fd = host_file_open(folder->dir_fd, name);
    int rc = fd < 0 ? fd : host_file_info(fd, &info);
    if (rc == 0 && secret && (info.mode & 077)) {
        rc = wm_diag_set(diag, WM_E_DENIED,
                         "%s/%s: others than its owner may use this secret; make it mode 0600",
                         folder->path, name);
        host_file_close(fd);
        return rc;
    }
    rc = rc ? rc : host_file_read_all(fd, limit, bytes, len);
    host_file_close(fd);
    if (rc == -ENOENT) {
        return wm_diag_set(
            diag, WM_E_NOT_FOUND,
            "%s/%s: is missing; a replica's folder is made by `wardmote ledger init`", folder->path,
            name);
    }
    return rc ? wm_diag_set(diag, rc, "%s/%s: %s", folder->path, name, wm_error_text(rc)) : 0;
}

/* --- replica.yaml --- */

static int set_number(const char *text, uint64_t most, uint64_t *out)
{
    return uri_number(text, most, out) ? 0 : WM_E_INVALID;
}

static int set_address(const char *text, char out[REPLICA_ADDRESS_BYTES])
{
    return snprintf(out, REPLICA_ADDRESS_BYTES, "%s", text) < (int)REPLICA_ADDRESS_BYTES
               ? 0
               : WM_E_INVALID;
}

static int set(struct replica_folder *folder, const char *name, const char *text)
{
    uint64_t number = 0;
    int rc;
    if (strcmp(name, "id") == 0) {
        rc = set_number(text, UINT32_MAX, &number);
        folder->id = (uint32_t)number;
    } else if (strcmp(name, "peer-listen") == 0) {
        rc = set_address(text, folder->peer_listen);
    } else if (strcmp(name, "client-listen") == 0) {
        rc = set_address(text, folder->client_listen);
    } else if (strcmp(name, "requests") == 0) {
        rc = set_number(text, 1u << 24, &number);
        folder->limits.requests = (uint32_t)number;
    } else if (strcmp(name, "request-bytes") == 0) {
        rc = set_number(text, UINT64_MAX / 2, &folder->limits.request_bytes);
    } else if (strcmp(name, "requests-of-client") == 0) {
        rc = set_number(text, 1u << 24, &number);
        folder->limits.requests_of_client = (uint32_t)number;
    } else if (strcmp(name, "state-bytes") == 0) {
        rc = set_number(text, UINT64_MAX / 2, &folder->state_bytes_max);
    } else {
        rc = WM_E_UNSUPPORTED;
    }
    return rc;
}

/* A flat map of scalars. */
static int parse(struct replica_folder *folder, const uint8_t *bytes, size_t len,
                 struct wm_diag *diag)
{
    yaml_parser_t parser;
    char name[64] = "";
    bool has_name = false, has_id = false, end = false;
    int depth = 0, rc = 0;
    if (!yaml_parser_initialize(&parser)) {
        return wm_diag_default(diag, -ENOMEM, "replica.yaml");
    }
    yaml_parser_set_input_string(&parser, bytes, len);
    while (rc == 0 && !end) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            rc = wm_diag_set(diag, WM_E_MALFORMED, "%s/replica.yaml: line %zu: not YAML",
                             folder->path, parser.problem_mark.line + 1);
            break;
        }
        size_t line = event.start_mark.line + 1;
        const char *text =
            event.type == YAML_SCALAR_EVENT ? (const char *)event.data.scalar.value : "";
        if (event.type == YAML_STREAM_END_EVENT) {
            end = true;
        } else if (event.type == YAML_MAPPING_START_EVENT) {
            depth++;
        } else if (event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_ALIAS_EVENT) {
            depth = 2;
        } else if (event.type == YAML_SCALAR_EVENT && !has_name) {
            (void)snprintf(name, sizeof name, "%s", text);
            has_name = true;
        } else if (event.type == YAML_SCALAR_EVENT) {
            has_name = false;
            has_id = has_id || strcmp(name, "id") == 0;
            rc = set(folder, name, text);
            if (rc != 0) {
                char quoted[80];
                (void)wm_diag_quote(quoted, sizeof quoted, name, strlen(name));
                rc = wm_diag_set(diag, rc, "%s/replica.yaml: line %zu: %s: %s", folder->path, line,
                                 quoted,
                                 rc == WM_E_UNSUPPORTED ? "no such setting" : "no such value");
            }
        }
        yaml_event_delete(&event);
        if (rc == 0 && depth > 1) {
            rc = wm_diag_set(diag, WM_E_MALFORMED,
                             "%s/replica.yaml: line %zu: settings are NAME: VALUE, nothing else",
                             folder->path, line);
        }
    }
    yaml_parser_delete(&parser);
    if (rc == 0 && !has_id) {
        rc = wm_diag_set(diag, WM_E_MALFORMED, "%s/replica.yaml: names no id", folder->path);
    }
    return rc;
}

/* --- Opening --- */

static int read_settings(struct replica_folder *folder, struct wm_diag *diag)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = read_file(folder, "replica.yaml", false, SETTINGS_BYTES_MAX, &bytes, &len, diag);
    rc = rc ? rc : parse(folder, bytes, len, diag);
    wm_free(bytes);
    return rc;
}

static int read_secrets(struct replica_folder *folder, struct wm_diag *diag)
{
    uint8_t *bytes = NULL, seed[SIGN_SEED_BYTES];
    size_t len = 0;
    int rc = read_file(folder, "replica.key", true, SIGN_PEM_BYTES + 1, &bytes, &len, diag);
    if (rc == 0 && !sign_seed_of_pem(wm_view_of(bytes, len), seed)) {
        rc = wm_diag_set(diag, WM_E_MALFORMED, "%s/replica.key: no Ed25519 key in PEM",
                         folder->path);
    }
    if (rc == 0) {
        sign_key_init(&folder->key, seed);
    }
    if (bytes) {
        sign_wipe(bytes, len);
        sign_wipe(seed, sizeof seed);
    }
    wm_free(bytes);
    bytes = NULL;
    rc = rc ? rc : read_file(folder, "nonce.secret", true, 33, &bytes, &len, diag);
    if (rc == 0 && len != sizeof folder->nonce_secret) {
        rc = wm_diag_set(diag, WM_E_MALFORMED, "%s/nonce.secret: not 32 bytes", folder->path);
    }
    if (rc == 0) {
        memcpy(folder->nonce_secret, bytes, len);
    }
    if (bytes) {
        sign_wipe(bytes, len);
    }
    wm_free(bytes);
    return rc;
}

int replica_folder_open(struct replica_folder *folder, const char *path, struct wm_diag *diag)
{
    *folder = (struct replica_folder){
        .dir_fd = -1,
        .peer_listen = "127.0.0.1:0",
        .client_listen = "127.0.0.1:0",
        .limits = {.requests = 65536,
                   .request_bytes = UINT64_C(256) << 20,
                   .requests_of_client = 4096,
                   .early_bytes = UINT64_C(16) << 20},
    };
    folder->path = wm_strdup(path);
    if (!folder->path) {
        return wm_diag_default(diag, -ENOMEM, path);
    }
    folder->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->dir_fd < 0) {
        int code = errno == ENOENT ? WM_E_NOT_FOUND : -errno;
        return wm_diag_set(diag, code, "%s: %s", path, wm_error_text(code));
    }
    int rc = read_file(folder, "genesis", false, GENESIS_BYTES_MAX, &folder->genesis,
                       &folder->genesis_len, diag);
    rc = rc ? rc : read_settings(folder, diag);
    rc = rc ? rc : read_secrets(folder, diag);
    for (uint32_t i = 0; rc == 0 && i < 2; i++) {
        const char *name = i == 0 ? "checkpoints" : "evidence";
        if (mkdirat(folder->dir_fd, name, 0700) != 0 && errno != EEXIST) {
            rc = wm_diag_set(diag, -errno, "%s/%s: %s", path, name, wm_error_text(-errno));
        }
    }
    return rc;
}

void replica_folder_close(struct replica_folder *folder)
{
    host_file_close(folder->dir_fd);
    folder->dir_fd = -1;
    sign_key_fini(&folder->key);
    sign_wipe(folder->nonce_secret, sizeof folder->nonce_secret);
    wm_free(folder->genesis);
    wm_free(folder->path);
    folder->genesis = NULL;
    folder->path = NULL;
}

void replica_folder_evidence(struct replica *replica, enum blame_kind kind, struct wm_view parts)
{
    /* Named by its content: the same conviction is written once. */
    ledger_hash hash;
    char name[128];
    const char *text = blame_kind_text(kind);
    wm_sha256_once(parts, hash);
    (void)snprintf(name, sizeof name, "evidence/%s-%02x%02x%02x%02x%02x%02x%02x%02x",
                   text ? text : "blame", hash[0], hash[1], hash[2], hash[3], hash[4], hash[5],
                   hash[6], hash[7]);
    int rc = host_file_create(replica->folder.dir_fd, name, parts, 0600, true, NULL);
    if (rc != -EEXIST) {
        replica_log_line(replica, "evidence %s%s%s", name, rc ? ": " : "",
                         rc ? wm_error_text(rc) : "");
    }
}
