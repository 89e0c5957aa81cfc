#include "common/seglog_sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u
#define FILES 256u
#define OPEN 64u
#define OUT_OF_MEMORY 2

struct content {
    uint8_t *bytes; /* of `room`, zero beyond len */
    uint64_t len, room;
};

struct file {
    char name[128]; /* empty: no such file */
    bool settled;   /* the name lasts */
    struct content disk, cache;
    uint8_t *dirty; /* one for each sector of the larger one's room */
    uint64_t sectors;
    unsigned opened; /* descriptors */
    bool read_only;
    bool doubtful; /* `before` is its name on the disk until the folder is synced */
    char before[128];
};

struct sim {
    uint64_t random, operations, fail_at, off_at, room;
    int fail_code;
    bool off;
    struct file *files[FILES];
    struct file *open[OPEN];
};

uint64_t sim_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static bool chance(struct sim *sim, unsigned percent)
{
    return sim_random(&sim->random) % 100 < percent;
}

static void *must(void *memory)
{
    if (!memory) {
        fprintf(stderr, "seglog_sim: out of memory\n");
        exit(OUT_OF_MEMORY);
    }
    return memory;
}

/* --- Content --- */

static void resize(struct content *content, uint64_t len)
{
    if (len > content->room) {
        uint64_t room = (len + SECTOR - 1) / SECTOR * SECTOR;
        room = room < 2 * content->room ? 2 * content->room : room;
        content->bytes = must(realloc(content->bytes, room));
        memset(content->bytes + content->room, 0, room - content->room);
        content->room = room;
    }
    if (len < content->len) {
        memset(content->bytes + len, 0, content->len - len);
    }
    content->len = len;
}

/* One sector of the cache goes to the disk. The size does not, by that alone. */
static void write_back(struct file *file, uint64_t sector)
{
    uint64_t at = sector * SECTOR, len = file->disk.len;
    if (file->cache.room < at + SECTOR) {
        resize(&file->cache, file->cache.len); /* nothing there: zeroes */
        return;
    }
    if (file->disk.len < at + SECTOR) {
        resize(&file->disk, at + SECTOR);
        file->disk.len = len;
    }
    memcpy(file->disk.bytes + at, file->cache.bytes + at, SECTOR);
}

static void mark_dirty(struct sim *sim, struct file *file, uint64_t offset, uint64_t len)
{
    uint64_t end = (offset + len + SECTOR - 1) / SECTOR;
    if (end > file->sectors) {
        file->dirty = must(realloc(file->dirty, end));
        memset(file->dirty + file->sectors, 0, end - file->sectors);
        file->sectors = end;
    }
    for (uint64_t i = offset / SECTOR; i < end; i++) {
        /* What an earlier write left there reaches the disk first, sometimes. */
        if (file->dirty[i] && chance(sim, 20)) {
            write_back(file, i);
        }
        file->dirty[i] = 1;
    }
}

static void change(struct sim *sim, struct file *file, uint64_t offset, const uint8_t *bytes,
                   uint64_t len)
{
    if (len == 0) {
        return;
    }
    mark_dirty(sim, file, offset, len);
    if (offset + len > file->cache.len) {
        resize(&file->cache, offset + len);
    }
    if (bytes) {
        memcpy(file->cache.bytes + offset, bytes, len);
    } else {
        memset(file->cache.bytes + offset, 0, len);
    }
}

static void all_to_disk(struct file *file)
{
    for (uint64_t i = 0; i < file->sectors; i++) {
        if (file->dirty[i]) {
            write_back(file, i);
            file->dirty[i] = 0;
        }
    }
    resize(&file->disk, file->cache.len);
}

/* Of what is dirty, some. */
static void some_to_disk(struct sim *sim, struct file *file)
{
    unsigned percent = (unsigned)(sim_random(&sim->random) % 101);
    for (uint64_t i = 0; i < file->sectors; i++) {
        if (file->dirty[i] && chance(sim, percent)) {
            write_back(file, i);
        }
    }
    if (chance(sim, 50)) {
        resize(&file->disk, file->cache.len);
    }
}

static void drop(struct sim *sim, unsigned index)
{
    struct file *file = sim->files[index];
    free(file->disk.bytes);
    free(file->cache.bytes);
    free(file->dirty);
    free(file);
    sim->files[index] = NULL;
}

static unsigned find(const struct sim *sim, const char *name)
{
    unsigned i = 0;
    while (i < FILES && !(sim->files[i] && strcmp(sim->files[i]->name, name) == 0)) {
        i++;
    }
    return i;
}

static bool needed(const struct file *file)
{
    return file->name[0] || file->opened > 0 || file->doubtful;
}

/* Its name is gone; the file, when nothing needs it. */
static void forget(struct sim *sim, unsigned index)
{
    sim->files[index]->name[0] = 0;
    if (!needed(sim->files[index])) {
        drop(sim, index);
    }
}

/* Before its name changes, and the change is not to last yet. */
static void doubt(struct sim *sim, unsigned index)
{
    struct file *file = sim->files[index];
    if (!file->doubtful) {
        file->doubtful = true;
        memcpy(file->before, file->name, sizeof file->before);
    }
}

/* Names are as they are (`back`: as they were), for good. */
static void settle(struct sim *sim, bool back)
{
    for (unsigned i = 0; i < FILES; i++) {
        struct file *file = sim->files[i];
        if (file && file->doubtful) {
            file->doubtful = false;
            if (back) {
                memcpy(file->name, file->before, sizeof file->name);
            }
            if (!needed(file)) {
                drop(sim, i);
            }
        }
    }
}

static uint64_t used(const struct sim *sim)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < FILES; i++) {
        sum += sim->files[i] && sim->files[i]->name[0] ? sim->files[i]->cache.len : 0;
    }
    return sum;
}

/* --- Operations --- */

enum fate { GO_ON, FAIL, POWER_GOES };

static enum fate fate(struct sim *sim)
{
    sim->operations++;
    if (!sim->off && sim->operations == sim->off_at) {
        sim->off = true;
        return POWER_GOES;
    }
    return sim->off || sim->operations == sim->fail_at ? FAIL : GO_ON;
}

static int code(const struct sim *sim)
{
    return sim->off ? -EIO : sim->fail_code;
}

static int sim_list(void *self, seglog_disk_name_fn *each, void *to)
{
    struct sim *sim = self;
    if (fate(sim) != GO_ON) {
        return code(sim);
    }
    settle(sim, false);
    for (unsigned i = 0; i < FILES; i++) {
        if (sim->files[i] && sim->files[i]->name[0] && !each(to, sim->files[i]->name)) {
            break;
        }
    }
    return 0;
}

static int create(struct sim *sim, const char *name, unsigned *index)
{
    unsigned old = find(sim, name);
    if (old < FILES) {
        forget(sim, old);
    }
    for (*index = 0; *index < FILES; ++*index) {
        if (!sim->files[*index]) {
            struct file *file = sim->files[*index] = must(calloc(1, sizeof *file));
            snprintf(file->name, sizeof file->name, "%s", name);
            return 0;
        }
    }
    return -ENFILE;
}

static int sim_open(void *self, const char *name, enum seglog_disk_open how, int *file,
                    uint64_t *bytes)
{
    struct sim *sim = self;
    unsigned index = find(sim, name);
    enum fate now = fate(sim);
    if (now != GO_ON) {
        if (now == POWER_GOES && how == SEGLOG_DISK_CREATE && chance(sim, 50)) {
            (void)create(sim, name, &index);
        }
        return code(sim);
    }
    if (how == SEGLOG_DISK_CREATE) {
        int err = create(sim, name, &index);
        if (err) {
            return err;
        }
    }
    if (index == FILES) {
        return -ENOENT;
    }
    if (how == SEGLOG_DISK_WRITE) {
        sim->files[index]->read_only = false;
    }
    for (int i = 0; i < (int)OPEN; i++) {
        if (!sim->open[i]) {
            sim->open[i] = sim->files[index];
            sim->open[i]->opened++;
            *file = i;
            *bytes = sim->open[i]->cache.len;
            return 0;
        }
    }
    return -EMFILE;
}

static void sim_close(void *self, int fd)
{
    struct sim *sim = self;
    struct file *file = sim->open[fd];
    sim->open[fd] = NULL;
    if (file && --file->opened == 0 && !needed(file)) {
        for (unsigned i = 0; i < FILES; i++) {
            if (sim->files[i] == file) {
                drop(sim, i);
            }
        }
    }
}

static int sim_read(void *self, int fd, uint64_t offset, uint8_t *out, size_t len, size_t *got)
{
    struct sim *sim = self;
    struct file *file = sim->open[fd];
    *got = 0;
    if (fate(sim) != GO_ON) {
        return code(sim);
    }
    if (offset < file->cache.len) {
        uint64_t left = file->cache.len - offset;
        *got = left < len ? (size_t)left : len;
        memcpy(out, file->cache.bytes + offset, *got);
    }
    return 0;
}

/* NULL: zeroes. */
static int put(struct sim *sim, int fd, uint64_t offset, const uint8_t *bytes, uint64_t len)
{
    struct file *file = sim->open[fd];
    enum fate now = fate(sim);
    if (file->read_only) {
        return -EBADF;
    }
    if (now != GO_ON) {
        if (chance(sim, 70)) { /* a part of it */
            change(sim, file, offset, bytes, sim_random(&sim->random) % (len + 1));
        }
        return code(sim);
    }
    uint64_t more = offset + len > file->cache.len ? offset + len - file->cache.len : 0;
    if (sim->room > 0 && more > 0 && used(sim) + more > sim->room) {
        return -ENOSPC;
    }
    change(sim, file, offset, bytes, len);
    return 0;
}

static int sim_write(void *self, int fd, uint64_t offset, struct wm_view bytes)
{
    static const uint8_t nothing;
    return put(self, fd, offset, bytes.ptr ? bytes.ptr : &nothing, bytes.len);
}

static int sim_zero(void *self, int fd, uint64_t offset, uint64_t len)
{
    return put(self, fd, offset, NULL, len);
}

static int sim_sync(void *self, int fd)
{
    struct sim *sim = self;
    struct file *file = sim->open[fd];
    enum fate now = fate(sim);
    if (now == GO_ON) {
        all_to_disk(file);
        return 0;
    }
    if (now == POWER_GOES || !sim->off) {
        some_to_disk(sim, file);
    }
    if (!sim->off && file->sectors > 0) {
        memset(file->dirty, 0, file->sectors); /* told once; from now on it is taken for clean */
    }
    return code(sim);
}

static int sim_finish(void *self, int fd, uint64_t bytes)
{
    struct sim *sim = self;
    struct file *file = sim->open[fd];
    enum fate now = fate(sim);
    if (now == GO_ON || ((now == POWER_GOES || !sim->off) && chance(sim, 50))) {
        resize(&file->cache, bytes);
        file->read_only = true;
    }
    if (now == GO_ON) {
        all_to_disk(file);
        return 0;
    }
    if (now == POWER_GOES || !sim->off) {
        some_to_disk(sim, file);
    }
    return code(sim);
}

/* Whether a change of names is made, and what the log is told. */
static bool changes_names(struct sim *sim, enum fate now, bool undone)
{
    if (now == GO_ON) {
        settle(sim, false);
        return true;
    }
    return !undone && (now == POWER_GOES || !sim->off) && chance(sim, 50);
}

static int sim_rename(void *self, const char *from, const char *to)
{
    struct sim *sim = self;
    enum fate now = fate(sim);
    bool change = changes_names(sim, now, code(sim) == -ENOSPC);
    unsigned index = find(sim, from), old = find(sim, to);
    if (index < FILES && change) {
        if (now == FAIL) {
            doubt(sim, index);
        }
        if (old < FILES) {
            if (now == FAIL) {
                doubt(sim, old);
            }
            forget(sim, old);
        }
        snprintf(sim->files[index]->name, sizeof sim->files[index]->name, "%s", to);
        sim->files[index]->settled = true;
    }
    return now != GO_ON ? code(sim) : index < FILES ? 0 : -ENOENT;
}

static int sim_unlink(void *self, const char *name)
{
    struct sim *sim = self;
    enum fate now = fate(sim);
    bool change = changes_names(sim, now, false);
    unsigned index = find(sim, name);
    if (index < FILES && change) {
        if (now == FAIL) {
            doubt(sim, index);
        }
        forget(sim, index);
    }
    return now != GO_ON ? code(sim) : index < FILES ? 0 : -ENOENT;
}

static const struct seglog_disk_ops sim_ops = {
    .list = sim_list,
    .open = sim_open,
    .close = sim_close,
    .read = sim_read,
    .write = sim_write,
    .zero = sim_zero,
    .sync = sim_sync,
    .finish = sim_finish,
    .rename = sim_rename,
    .unlink = sim_unlink,
};

/* --- The test's side --- */

struct sim *sim_new(uint64_t seed, struct seglog_disk *disk)
{
    struct sim *sim = must(calloc(1, sizeof *sim));
    sim->random = seed;
    *disk = (struct seglog_disk){&sim_ops, sim};
    return sim;
}

void sim_free(struct sim *sim)
{
    for (unsigned i = 0; i < FILES; i++) {
        if (sim->files[i]) {
            drop(sim, i);
        }
    }
    free(sim);
}

void sim_fail(struct sim *sim, uint64_t n, int result)
{
    sim->fail_at = n > 0 ? sim->operations + n : 0;
    sim->fail_code = result;
}

void sim_power_off_at(struct sim *sim, uint64_t n)
{
    sim->off_at = n > 0 ? sim->operations + n : 0;
}

bool sim_is_off(const struct sim *sim)
{
    return sim->off;
}

bool sim_failed(const struct sim *sim)
{
    return sim->off || (sim->fail_at > 0 && sim->operations >= sim->fail_at);
}

uint64_t sim_operations(const struct sim *sim)
{
    return sim->operations;
}

void sim_room(struct sim *sim, uint64_t bytes)
{
    sim->room = bytes;
}

void sim_crash(struct sim *sim)
{
    memset(sim->open, 0, sizeof sim->open);
    for (unsigned i = 0; i < FILES; i++) {
        if (sim->files[i]) {
            sim->files[i]->opened = 0;
        }
    }
    settle(sim, chance(sim, 50));
    for (unsigned i = 0; i < FILES; i++) {
        struct file *file = sim->files[i];
        if (!file) {
            continue;
        }
        if (!file->name[0] || (!file->settled && chance(sim, 50))) {
            drop(sim, i);
            continue;
        }
        some_to_disk(sim, file);
        /* What is on the disk is what there is. */
        resize(&file->cache, 0);
        resize(&file->cache, file->disk.len);
        if (file->disk.len > 0) {
            memcpy(file->cache.bytes, file->disk.bytes, file->disk.len);
        }
        uint64_t kept = file->disk.len;
        file->disk.len = file->disk.room; /* forget what lay beyond the end, too */
        resize(&file->disk, kept);
        if (file->sectors > 0) {
            memset(file->dirty, 0, file->sectors);
        }
        file->settled = true;
    }
    sim->off = false;
    sim->off_at = sim->fail_at = 0;
}

struct wm_view sim_file(const struct sim *sim, const char *name)
{
    unsigned index = find(sim, name);
    return index < FILES
               ? wm_view_of(sim->files[index]->cache.bytes, (size_t)sim->files[index]->cache.len)
               : wm_view_of(NULL, 0);
}

const char *sim_name(const struct sim *sim, unsigned n)
{
    const char *last = "";
    for (unsigned k = 0;; k++) {
        const char *best = NULL;
        for (unsigned i = 0; i < FILES; i++) {
            const char *name = sim->files[i] ? sim->files[i]->name : "";
            if (strcmp(name, last) > 0 && (!best || strcmp(name, best) < 0)) {
                best = name;
            }
        }
        if (!best || k == n) {
            return best;
        }
        last = best;
    }
}

static void put_both(struct content *content, uint64_t offset, struct wm_view bytes)
{
    if (offset + bytes.len > content->len) {
        resize(content, offset + bytes.len);
    }
    if (bytes.len > 0) {
        memcpy(content->bytes + offset, bytes.ptr, bytes.len);
    }
}

void sim_put(struct sim *sim, const char *name, uint64_t offset, struct wm_view bytes)
{
    unsigned index = find(sim, name);
    if (index == FILES && create(sim, name, &index) != 0) {
        return;
    }
    sim->files[index]->settled = true;
    put_both(&sim->files[index]->disk, offset, bytes);
    put_both(&sim->files[index]->cache, offset, bytes);
}

void sim_flip(struct sim *sim, const char *name, uint64_t offset, uint8_t bits)
{
    struct file *file = sim->files[find(sim, name)];
    if (offset < file->disk.len) {
        file->disk.bytes[offset] ^= bits;
    }
    if (offset < file->cache.len) {
        file->cache.bytes[offset] ^= bits;
    }
}

void sim_remove(struct sim *sim, const char *name)
{
    unsigned index = find(sim, name);
    if (index < FILES) {
        forget(sim, index);
    }
}
