/* The descriptor table: an array that grows by doubling up to its limit. */
#include "libos/fds.h"

#include "base/assert.h"

void libos_fds_init(struct libos_fds *fds, struct libos *os, uint32_t limit)
{
    if (limit == 0) {
        limit = LIBOS_FDS_LIMIT;
    }
    *fds = (struct libos_fds){
        .os = os,
        .limit = limit < LIBOS_FDS_LIMIT_MAX ? limit : LIBOS_FDS_LIMIT_MAX,
    };
}

void libos_fds_fini(struct libos_fds *fds)
{
    for (uint32_t i = 0; i < fds->slot_count; i++) {
        libos_file_put(fds->slots[i].file);
    }
    libos_free(fds->os, fds->slots, fds->slot_count * sizeof *fds->slots);
    fds->slots = NULL;
    fds->slot_count = fds->lowest_free = fds->open_count = 0;
}

static int grow(struct libos_fds *fds)
{
    uint32_t wanted = fds->slot_count ? fds->slot_count * 2 : 16;
    if (wanted > fds->limit) {
        wanted = fds->limit;
    }
    if (wanted <= fds->slot_count) {
        return -LIBOS_EMFILE;
    }
    size_t old_bytes = fds->slot_count * sizeof *fds->slots;
    size_t new_bytes = wanted * sizeof *fds->slots;
    struct libos_fd *slots = libos_resize(fds->os, fds->slots, old_bytes, new_bytes);
    if (!slots) {
        return -LIBOS_ENOMEM;
    }
    __builtin_memset(slots + fds->slot_count, 0, new_bytes - old_bytes);
    fds->slots = slots;
    fds->slot_count = wanted;
    return 0;
}

int64_t libos_fds_insert(struct libos_fds *fds, const struct libos_fd *fd)
{
    WM_ASSERT(fd->file);
    struct libos_fd copy = *fd; /* it may lie in the array that grow moves */
    while (fds->lowest_free < fds->slot_count && fds->slots[fds->lowest_free].file) {
        fds->lowest_free++;
    }
    if (fds->lowest_free == fds->slot_count) {
        int rc = grow(fds);
        if (rc != 0) {
            return rc;
        }
    }
    fds->slots[fds->lowest_free] = copy;
    fds->changes++;
    fds->open_count++;
    return fds->lowest_free++;
}

struct libos_fd *libos_fds_at(struct libos_fds *fds, uint32_t number)
{
    return number < fds->slot_count && fds->slots[number].file ? &fds->slots[number] : NULL;
}

int libos_fds_close(struct libos_fds *fds, uint32_t number)
{
    struct libos_fd *fd = libos_fds_at(fds, number);
    if (!fd) {
        return -LIBOS_EBADF;
    }
    struct libos_file *file = fd->file;
    *fd = (struct libos_fd){0};
    fds->changes++;
    fds->open_count--;
    if (number < fds->lowest_free) {
        fds->lowest_free = number;
    }
    libos_file_put(file);
    return 0;
}

int64_t libos_fds_dup(struct libos_fds *fds, uint32_t number)
{
    struct libos_fd *fd = libos_fds_at(fds, number);
    if (!fd) {
        return -LIBOS_EBADF;
    }
    struct libos_file *file = fd->file;
    int64_t copy = libos_fds_insert(fds, fd);
    if (copy >= 0) {
        libos_file_get(file);
    }
    return copy;
}

int libos_fds_renumber(struct libos_fds *fds, uint32_t from, uint32_t to)
{
    struct libos_fd *source = libos_fds_at(fds, from);
    struct libos_fd *target = libos_fds_at(fds, to);
    if (!source || !target) {
        return -LIBOS_EBADF;
    }
    if (from == to) {
        return 0;
    }
    struct libos_file *closed = target->file;
    *target = *source;
    *source = (struct libos_fd){0};
    fds->changes++;
    fds->open_count--;
    if (from < fds->lowest_free) {
        fds->lowest_free = from;
    }
    libos_file_put(closed);
    return 0;
}
