/* code.c: a table of mapped objects by the file that they are. */
#include "faaslet/code.h"

#include <errno.h>
#include <pthread.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "host/file.h"

#define BUCKETS 256u

struct code {
    struct host_file_id id;
    struct wasm_object *object;
    uint64_t refs;
    struct code *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct code *buckets[BUCKETS];

static int open_new(int fd, const struct host_file_id *id, struct code **out, struct wm_diag *diag)
{
    struct code *code = wm_alloc_zero(1, sizeof *code);
    if (!code) {
        return wm_diag_default(diag, -ENOMEM, "object");
    }
    int rc = wasm_object_open(fd, &code->object, diag);
    if (rc != 0) {
        wm_free(code);
        return rc;
    }
    code->id = *id;
    *out = code;
    return 0;
}

int code_open(int fd, struct wasm_object **out, struct wm_diag *diag)
{
    struct host_file_info info = {0};
    int rc = host_file_info(fd, &info);
    if (rc != 0) {
        return wm_diag_default(diag, rc, "object: reading its size");
    }
    pthread_mutex_lock(&lock);
    struct code **bucket = &buckets[info.id.ino % BUCKETS], *code = *bucket;
    while (code && !host_file_id_equal(&code->id, &info.id)) {
        code = code->next;
    }
    if (!code) {
        rc = open_new(fd, &info.id, &code, diag);
        if (rc == 0) {
            code->next = *bucket;
            *bucket = code;
        }
    }
    if (rc == 0) {
        code->refs++;
        *out = code->object;
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

/* By the object alone: few are ever closed, and a lookup at each is cheap enough. */
static struct code **find(const struct wasm_object *object)
{
    for (uint32_t i = 0; i < BUCKETS; i++) {
        for (struct code **at = &buckets[i]; *at; at = &(*at)->next) {
            if ((*at)->object == object) {
                return at;
            }
        }
    }
    WM_UNREACHABLE();
}

void code_close(struct wasm_object *object)
{
    if (!object) {
        return;
    }
    pthread_mutex_lock(&lock);
    struct code **at = find(object), *code = *at;
    if (--code->refs == 0) {
        *at = code->next;
        wasm_object_close(code->object);
        wm_free(code);
    }
    pthread_mutex_unlock(&lock);
}
