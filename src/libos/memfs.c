/* A file system in memory.
 *
 *   struct memfs   limits, usage, and a list of all nodes: freeing walks the list, so a guest that
 * nests directories a hundred thousand deep makes no recursion of ours struct node    a file (table
 * of chunks, NULL for holes), a directory, or a link's target struct dirent  a name in a directory,
 * in two orders: `slots`, by the sequence number it got when it was made (the readdir cookie,
 * stable while others come and go; removal leaves an empty slot until the array is compacted), and
 * hash chains for lookup struct open    an open file; holds its node and the file system
 *
 * Every byte taken is charged before it is taken and given back when released, so `used_bytes` is
 * exact and the limit holds whatever the guest does. A changing operation first reserves all it
 * needs, then commits: after the last check nothing fails. */
#include "libos/memfs.h"

#include "base/arith.h"
#include "base/assert.h"
#include "libos/path.h"
#include "libos/poll.h"

#define CHUNK LIBOS_MEMFS_CHUNK_BYTES
#define DEFAULT_BYTES (UINT64_C(64) << 20)
/* Keeps every offset far from overflow, also as a chunk number on a 32-bit machine. */
#define MAX_BYTES (UINT64_C(1) << 43)
#define DEFAULT_NODES UINT64_C(65536)
/* Sequence numbers of real entries; the cookies before them stand for `.` and `..`. */
#define FIRST_SEQ UINT64_C(3)

struct dirent {
    struct dirent *next; /* in its hash chain */
    struct node *node;
    uint64_t seq;
    uint32_t hash;
    uint32_t name_len;
    char name[];
};

struct slot {
    uint64_t seq;
    struct dirent *entry; /* NULL: removed */
};

struct node {
    struct node *newer, *older; /* all nodes of the file system */
    enum libos_kind kind;
    uint32_t links; /* names; a directory counts its one name, or 1 for the root */
    uint32_t opens;
    uint64_t ino;
    int64_t atime_ns, mtime_ns, ctime_ns;
    union {
        struct {
            uint64_t bytes;
            uint8_t **chunks;
            size_t chunk_room;
        } file;
        struct {
            struct node *parent; /* NULL: removed. The root is its own */
            struct slot *slots;
            size_t slot_count, slot_room;
            struct dirent **buckets;
            size_t bucket_count; /* a power of two, or 0 */
            size_t live_count;
            uint64_t next_seq;
        } dir;
        struct {
            char *target;
            size_t len;
        } link;
    };
};

struct memfs {
    struct libos *os;
    struct node *newest;
    struct node *root;
    uint64_t limit_bytes, used_bytes;
    uint64_t limit_nodes, used_nodes;
    uint64_t dev;
    uint64_t next_ino;
    uint64_t opens; /* open files; the file system goes with the last */
    bool sealed;
};

struct open {
    struct libos_file file;
    struct memfs *fs;
    struct node *node;
    uint64_t offset;
};

static struct open *open_of(struct libos_file *file)
{
    return (struct open *)file;
}

/* Charged memory. */

static void *take(struct memfs *fs, size_t bytes, int *rc)
{
    if (bytes > fs->limit_bytes - fs->used_bytes) {
        *rc = -LIBOS_ENOSPC;
        return NULL;
    }
    void *ptr = libos_alloc(fs->os, bytes);
    if (!ptr) {
        *rc = -LIBOS_ENOMEM;
        return NULL;
    }
    fs->used_bytes += bytes;
    return ptr;
}

static void give(struct memfs *fs, void *ptr, size_t bytes)
{
    if (ptr) {
        WM_ASSERT(fs->used_bytes >= bytes);
        fs->used_bytes -= bytes;
        libos_free(fs->os, ptr, bytes);
    }
}

/* A larger array, zeroed behind the old items. The old one stays on failure. */
static int enlarge(struct memfs *fs, void **items, size_t *room, size_t wanted, size_t item_bytes)
{
    int rc = 0;
    size_t new_bytes;
    if (!wm_mul_size(wanted, item_bytes, &new_bytes)) {
        return -LIBOS_ENOSPC;
    }
    void *larger = take(fs, new_bytes, &rc);
    if (!larger) {
        return rc;
    }
    if (*room) {
        __builtin_memcpy(larger, *items, *room * item_bytes);
        give(fs, *items, *room * item_bytes);
    }
    *items = larger;
    *room = wanted;
    return 0;
}

/* Nodes. */

static struct node *node_new(struct memfs *fs, enum libos_kind kind, int *rc)
{
    if (fs->used_nodes >= fs->limit_nodes) {
        *rc = -LIBOS_ENOSPC;
        return NULL;
    }
    struct node *node = take(fs, sizeof *node, rc);
    if (!node) {
        return NULL;
    }
    node->kind = kind;
    node->ino = fs->next_ino++;
    node->atime_ns = node->mtime_ns = node->ctime_ns = libos_now(fs->os);
    node->older = fs->newest;
    if (fs->newest) {
        fs->newest->newer = node;
    }
    fs->newest = node;
    fs->used_nodes++;
    if (kind == LIBOS_KIND_DIR) {
        node->dir.next_seq = FIRST_SEQ;
    }
    return node;
}

static void node_free(struct memfs *fs, struct node *node)
{
    if (node->kind == LIBOS_KIND_FILE) {
        for (size_t i = 0; i < node->file.chunk_room; i++) {
            give(fs, node->file.chunks[i], CHUNK);
        }
        give(fs, node->file.chunks, node->file.chunk_room * sizeof *node->file.chunks);
    } else if (node->kind == LIBOS_KIND_DIR) {
        for (size_t i = 0; i < node->dir.slot_count; i++) {
            struct dirent *entry = node->dir.slots[i].entry;
            if (entry) {
                give(fs, entry, sizeof *entry + entry->name_len);
            }
        }
        give(fs, node->dir.slots, node->dir.slot_room * sizeof *node->dir.slots);
        give(fs, node->dir.buckets, node->dir.bucket_count * sizeof(struct dirent *));
    } else {
        give(fs, node->link.target, node->link.len);
    }
    if (node->newer) {
        node->newer->older = node->older;
    } else {
        fs->newest = node->older;
    }
    if (node->older) {
        node->older->newer = node->newer;
    }
    fs->used_nodes--;
    give(fs, node, sizeof *node);
}

static void node_release(struct memfs *fs, struct node *node)
{
    if (node->links == 0 && node->opens == 0) {
        node_free(fs, node);
    }
}

/* Directories. */

/* FNV-1a. A guest that makes names collide slows down its own lookups in its own file system. */
static uint32_t hash_name(struct wm_view name)
{
    uint32_t hash = UINT32_C(2166136261);
    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ name.ptr[i]) * UINT32_C(16777619);
    }
    return hash;
}

static struct dirent *find_entry(const struct node *dir, struct wm_view name)
{
    if (dir->dir.bucket_count == 0) {
        return NULL;
    }
    uint32_t hash = hash_name(name);
    struct dirent *entry = dir->dir.buckets[hash & (dir->dir.bucket_count - 1)];
    while (entry &&
           !(entry->hash == hash && wm_view_eq(wm_view_of(entry->name, entry->name_len), name))) {
        entry = entry->next;
    }
    return entry;
}

/* The first slot whose sequence number is at least `seq`. */
static size_t find_slot(const struct node *dir, uint64_t seq)
{
    size_t low = 0, high = dir->dir.slot_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (dir->dir.slots[middle].seq < seq) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void compact(struct node *dir)
{
    size_t kept = 0;
    for (size_t i = 0; i < dir->dir.slot_count; i++) {
        if (dir->dir.slots[i].entry) {
            dir->dir.slots[kept++] = dir->dir.slots[i];
        }
    }
    dir->dir.slot_count = kept;
}

/* Makes sure that one more entry can be linked in without memory. */
static int reserve_entry(struct memfs *fs, struct node *dir)
{
    if (dir->dir.slot_count == dir->dir.slot_room) {
        if (dir->dir.live_count < dir->dir.slot_count / 2) {
            compact(dir);
        } else {
            size_t room = dir->dir.slot_room ? dir->dir.slot_room * 2 : 4;
            int rc = enlarge(fs, (void **)&dir->dir.slots, &dir->dir.slot_room, room,
                             sizeof *dir->dir.slots);
            if (rc != 0) {
                return rc;
            }
        }
    }
    if (dir->dir.live_count < dir->dir.bucket_count) {
        return 0;
    }
    int rc = 0;
    size_t count = dir->dir.bucket_count ? dir->dir.bucket_count * 2 : 4;
    struct dirent **buckets = take(fs, count * sizeof(struct dirent *), &rc);
    if (!buckets) {
        return rc;
    }
    for (size_t i = 0; i < dir->dir.slot_count; i++) {
        struct dirent *entry = dir->dir.slots[i].entry;
        if (entry) {
            entry->next = buckets[entry->hash & (count - 1)];
            buckets[entry->hash & (count - 1)] = entry;
        }
    }
    give(fs, dir->dir.buckets, dir->dir.bucket_count * sizeof(struct dirent *));
    dir->dir.buckets = buckets;
    dir->dir.bucket_count = count;
    return 0;
}

/* An entry in hand, with room in the directory: link_entry cannot fail after this. */
static struct dirent *prepare_entry(struct memfs *fs, struct node *dir, struct wm_view name,
                                    int *rc)
{
    *rc = reserve_entry(fs, dir);
    if (*rc != 0) {
        return NULL;
    }
    struct dirent *entry = take(fs, sizeof *entry + name.len, rc);
    if (entry) {
        entry->name_len = (uint32_t)name.len;
        entry->hash = hash_name(name);
        __builtin_memcpy(entry->name, name.ptr, name.len);
    }
    return entry;
}

static void touch(struct memfs *fs, struct node *node, bool content)
{
    node->ctime_ns = libos_now(fs->os);
    if (content) {
        node->mtime_ns = node->ctime_ns;
    }
}

static void link_entry(struct memfs *fs, struct node *dir, struct dirent *entry, struct node *node)
{
    struct dirent **bucket = &dir->dir.buckets[entry->hash & (dir->dir.bucket_count - 1)];
    entry->node = node;
    entry->seq = dir->dir.next_seq++;
    entry->next = *bucket;
    *bucket = entry;
    dir->dir.slots[dir->dir.slot_count++] = (struct slot){entry->seq, entry};
    dir->dir.live_count++;
    node->links++;
    if (node->kind == LIBOS_KIND_DIR) {
        node->dir.parent = dir;
    }
    touch(fs, dir, true);
    touch(fs, node, false);
}

/* Takes the name away; the node stays for node_release. */
static void unlink_entry(struct memfs *fs, struct node *dir, struct dirent *entry)
{
    struct dirent **at = &dir->dir.buckets[entry->hash & (dir->dir.bucket_count - 1)];
    while (*at != entry) {
        at = &(*at)->next;
    }
    *at = entry->next;
    size_t slot = find_slot(dir, entry->seq);
    WM_ASSERT(slot < dir->dir.slot_count && dir->dir.slots[slot].entry == entry);
    dir->dir.slots[slot].entry = NULL;
    dir->dir.live_count--;
    entry->node->links--;
    if (entry->node->kind == LIBOS_KIND_DIR) {
        entry->node->dir.parent = NULL;
    }
    touch(fs, dir, true);
    touch(fs, entry->node, false);
    give(fs, entry, sizeof *entry + entry->name_len);
}

static void *tree_lookup(void *dir, struct wm_view name)
{
    struct dirent *entry = find_entry(dir, name);
    return entry ? entry->node : NULL;
}

static void *tree_parent(void *dir)
{
    return ((struct node *)dir)->dir.parent;
}

static enum libos_kind tree_kind(void *node)
{
    return ((struct node *)node)->kind;
}

static struct wm_view tree_target(void *node)
{
    return wm_view_of(((struct node *)node)->link.target, ((struct node *)node)->link.len);
}

static const struct libos_tree tree = {tree_lookup, tree_parent, tree_kind, tree_target};

static int walk(struct libos_file *dir, const char *path, enum libos_follow follow,
                struct libos_walk *out)
{
    return libos_path_walk(&tree, open_of(dir)->node, path, follow, out);
}

static struct wm_view last_name(const struct libos_walk *found)
{
    return wm_view_of(found->name, found->name_len);
}

/* May a name be made where the walk ended? */
static int check_new_name(const struct memfs *fs, const struct libos_walk *found)
{
    const struct node *dir = found->dir;
    if (found->node || found->last != LIBOS_LAST_NAME) {
        return -LIBOS_EEXIST;
    }
    if (fs->sealed) {
        return -LIBOS_EROFS;
    }
    return dir->dir.parent ? 0 : -LIBOS_ENOENT; /* no new names in a removed directory */
}

/* Files. */

static int read_chunks(const struct node *node, uint64_t offset, uint8_t *to, size_t len)
{
    while (len > 0) {
        size_t within = (size_t)(offset % CHUNK);
        size_t part = CHUNK - within < len ? CHUNK - within : len;
        size_t chunk = (size_t)(offset / CHUNK);
        if (chunk < node->file.chunk_room && node->file.chunks[chunk]) {
            __builtin_memcpy(to, node->file.chunks[chunk] + within, part);
        } else {
            __builtin_memset(to, 0, part);
        }
        to += part;
        offset += part;
        len -= part;
    }
    return 0;
}

/* Memory for [offset, offset + len), all of which lies below the byte limit. Returns how much of it
 * from the front is there; *rc says why not all. */
static size_t back_range(struct memfs *fs, struct node *node, uint64_t offset, size_t len, int *rc)
{
    size_t last = (size_t)((offset + len - 1) / CHUNK);
    if (last >= node->file.chunk_room) {
        size_t room = node->file.chunk_room ? node->file.chunk_room * 2 : 4;
        room = room > last ? room : last + 1;
        *rc = enlarge(fs, (void **)&node->file.chunks, &node->file.chunk_room, room,
                      sizeof *node->file.chunks);
        if (*rc != 0) {
            /* Perhaps the present table reaches part of the way. */
            uint64_t reach = (uint64_t)node->file.chunk_room * CHUNK;
            if (offset >= reach) {
                return 0;
            }
            len = (size_t)(reach - offset);
            last = node->file.chunk_room - 1;
        }
    }
    for (size_t chunk = (size_t)(offset / CHUNK); chunk <= last; chunk++) {
        if (!node->file.chunks[chunk]) {
            node->file.chunks[chunk] = take(fs, CHUNK, rc);
            if (!node->file.chunks[chunk]) {
                uint64_t reach = (uint64_t)chunk * CHUNK;
                return reach > offset ? (size_t)(reach - offset) : 0;
            }
        }
    }
    return len;
}

static int64_t file_read_at(struct open *open, const struct libos_iov *iov, size_t count,
                            uint64_t offset)
{
    const struct node *node = open->node;
    int64_t done = 0;
    for (size_t i = 0; i < count && offset < node->file.bytes; i++) {
        uint64_t left = node->file.bytes - offset;
        size_t part = iov[i].len < left ? iov[i].len : (size_t)left;
        read_chunks(node, offset, iov[i].ptr, part);
        offset += part;
        done += (int64_t)part;
    }
    return done;
}

static int64_t file_write_at(struct open *open, const struct libos_iov *iov, size_t count,
                             uint64_t offset)
{
    struct memfs *fs = open->fs;
    struct node *node = open->node;
    int64_t done = 0;
    int rc = 0;
    if (fs->sealed) {
        return -LIBOS_EROFS;
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        size_t len = iov[i].len;
        if (len == 0) {
            continue;
        }
        if (offset >= fs->limit_bytes) {
            rc = -LIBOS_EFBIG;
            break;
        }
        if (len > fs->limit_bytes - offset) {
            len = (size_t)(fs->limit_bytes - offset);
            rc = -LIBOS_EFBIG;
        }
        len = back_range(fs, node, offset, len, &rc);
        const uint8_t *from = iov[i].ptr;
        for (size_t left = len; left > 0;) {
            size_t within = (size_t)(offset % CHUNK);
            size_t part = CHUNK - within < left ? CHUNK - within : left;
            __builtin_memcpy(node->file.chunks[offset / CHUNK] + within, from, part);
            from += part;
            offset += part;
            left -= part;
        }
        done += (int64_t)len;
    }
    if (done > 0) {
        if (offset > node->file.bytes) {
            node->file.bytes = offset;
        }
        touch(fs, node, true);
        return done;
    }
    return rc;
}

static int64_t mem_read(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    struct open *open = open_of(file);
    int64_t done = file_read_at(open, iov, count, open->offset);
    open->offset += (uint64_t)done; /* never negative: reading memory cannot fail */
    return done;
}

static int64_t mem_write(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    struct open *open = open_of(file);
    if (file->flags & LIBOS_APPEND) {
        open->offset = open->node->file.bytes;
    }
    int64_t done = file_write_at(open, iov, count, open->offset);
    if (done > 0) {
        open->offset += (uint64_t)done;
    }
    return done;
}

static int64_t mem_pread(struct libos_file *file, const struct libos_iov *iov, size_t count,
                         uint64_t offset)
{
    return file_read_at(open_of(file), iov, count, offset);
}

/* With LIBOS_APPEND Linux appends whatever the offset says; so do we, as hostfs has no choice. */
static int64_t mem_pwrite(struct libos_file *file, const struct libos_iov *iov, size_t count,
                          uint64_t offset)
{
    struct open *open = open_of(file);
    return file_write_at(open, iov, count,
                         file->flags & LIBOS_APPEND ? open->node->file.bytes : offset);
}

static int64_t mem_seek(struct libos_file *file, int64_t offset, enum libos_whence whence)
{
    struct open *open = open_of(file);
    int64_t base = 0;
    if (whence == LIBOS_SEEK_CUR) {
        base = (int64_t)open->offset;
    } else if (whence == LIBOS_SEEK_END) {
        base = (int64_t)open->node->file.bytes;
    }
    int64_t target;
    if (__builtin_add_overflow(base, offset, &target)) {
        return -LIBOS_EOVERFLOW;
    }
    if (target < 0) {
        return -LIBOS_EINVAL;
    }
    open->offset = (uint64_t)target;
    return target;
}

static void stat_node(const struct memfs *fs, const struct node *node, struct libos_stat *out)
{
    *out = (struct libos_stat){
        .dev = fs->dev,
        .ino = node->ino,
        .kind = node->kind,
        .mode = node->kind == LIBOS_KIND_FILE  ? 0644
                : node->kind == LIBOS_KIND_DIR ? 0755
                                               : 0777,
        .links = node->links,
        .atime_ns = node->atime_ns,
        .mtime_ns = node->mtime_ns,
        .ctime_ns = node->ctime_ns,
    };
    if (node->kind == LIBOS_KIND_FILE) {
        out->bytes = node->file.bytes;
    } else if (node->kind == LIBOS_KIND_SYMLINK) {
        out->bytes = node->link.len;
    }
}

static int mem_stat(struct libos_file *file, struct libos_stat *out)
{
    stat_node(open_of(file)->fs, open_of(file)->node, out);
    return 0;
}

static int set_node_times(struct memfs *fs, struct node *node, const struct libos_times *times)
{
    if (fs->sealed) {
        return -LIBOS_EROFS;
    }
    int64_t now = libos_now(fs->os);
    if (times->atime_ns != LIBOS_TIME_OMIT) {
        node->atime_ns = times->atime_ns == LIBOS_TIME_NOW ? now : times->atime_ns;
    }
    if (times->mtime_ns != LIBOS_TIME_OMIT) {
        node->mtime_ns = times->mtime_ns == LIBOS_TIME_NOW ? now : times->mtime_ns;
    }
    node->ctime_ns = now;
    return 0;
}

static int mem_set_times(struct libos_file *file, const struct libos_times *times)
{
    return set_node_times(open_of(file)->fs, open_of(file)->node, times);
}

/* Releases the chunks behind the new end and clears the rest of the last one, so that bytes once
 * cut off never come back when the file grows again. */
static void cut(struct memfs *fs, struct node *node, uint64_t bytes)
{
    size_t keep = (size_t)(bytes / CHUNK + (bytes % CHUNK != 0));
    for (size_t i = keep; i < node->file.chunk_room; i++) {
        give(fs, node->file.chunks[i], CHUNK);
        node->file.chunks[i] = NULL;
    }
    if (bytes % CHUNK != 0 && keep <= node->file.chunk_room && node->file.chunks[keep - 1]) {
        __builtin_memset(node->file.chunks[keep - 1] + bytes % CHUNK, 0, CHUNK - bytes % CHUNK);
    }
    if (bytes == 0) {
        give(fs, node->file.chunks, node->file.chunk_room * sizeof *node->file.chunks);
        node->file.chunks = NULL;
        node->file.chunk_room = 0;
    }
}

static int resize_node(struct memfs *fs, struct node *node, uint64_t bytes)
{
    if (fs->sealed) {
        return -LIBOS_EROFS;
    }
    if (bytes > fs->limit_bytes) {
        return -LIBOS_EFBIG;
    }
    if (bytes < node->file.bytes) {
        cut(fs, node, bytes);
    }
    node->file.bytes = bytes;
    touch(fs, node, true);
    return 0;
}

static int mem_truncate(struct libos_file *file, uint64_t bytes)
{
    return resize_node(open_of(file)->fs, open_of(file)->node, bytes);
}

static int mem_allocate(struct libos_file *file, uint64_t offset, uint64_t len)
{
    struct memfs *fs = open_of(file)->fs;
    struct node *node = open_of(file)->node;
    int rc = 0;
    if (fs->sealed) {
        return -LIBOS_EROFS;
    }
    if (offset + len > fs->limit_bytes) {
        return -LIBOS_ENOSPC;
    }
    if (back_range(fs, node, offset, (size_t)len, &rc) < len) {
        return rc;
    }
    if (offset + len > node->file.bytes) {
        node->file.bytes = offset + len;
    }
    touch(fs, node, false);
    return 0;
}

static uint64_t mem_readable_bytes(struct libos_file *file)
{
    const struct open *open = open_of(file);
    return open->offset < open->node->file.bytes ? open->node->file.bytes - open->offset : 0;
}

static void mem_close(struct libos_file *file)
{
    struct open *open = open_of(file);
    struct memfs *fs = open->fs;
    struct libos *os = file->os;
    open->node->opens--;
    node_release(fs, open->node);
    libos_free(os, open, sizeof *open);
    if (--fs->opens == 0) {
        while (fs->newest) {
            node_free(fs, fs->newest);
        }
        WM_ASSERT(fs->used_bytes == 0 && fs->used_nodes == 0);
        libos_free(os, fs, sizeof *fs);
    }
}

/* The tree. */

static const struct libos_file_ops mem_file_ops;
static const struct libos_file_ops mem_dir_ops;

static int open_node(struct memfs *fs, struct node *node, uint32_t flags, struct libos_file **out)
{
    struct open *open = libos_alloc(fs->os, sizeof *open);
    if (!open) {
        return -LIBOS_ENOMEM;
    }
    libos_file_init(&open->file, fs->os,
                    node->kind == LIBOS_KIND_DIR ? &mem_dir_ops : &mem_file_ops, node->kind, flags);
    open->fs = fs;
    open->node = node;
    node->opens++;
    fs->opens++;
    *out = &open->file;
    return 0;
}

static int create_file(struct memfs *fs, const struct libos_walk *found, uint32_t flags,
                       struct libos_file **out)
{
    int rc = check_new_name(fs, found);
    if (rc != 0) {
        return rc;
    }
    struct dirent *entry = prepare_entry(fs, found->dir, last_name(found), &rc);
    if (!entry) {
        return rc;
    }
    struct node *node = node_new(fs, LIBOS_KIND_FILE, &rc);
    if (node) {
        rc = open_node(fs, node, flags, out);
        if (rc == 0) {
            link_entry(fs, found->dir, entry, node);
            return 0;
        }
        node_free(fs, node);
    }
    give(fs, entry, sizeof *entry + entry->name_len);
    return rc;
}

static int mem_open(struct libos_file *dir, const char *path, uint32_t flags,
                    struct libos_file **out)
{
    struct memfs *fs = open_of(dir)->fs;
    struct libos_walk found;
    bool exclusive = (flags & LIBOS_CREATE) && (flags & LIBOS_EXCLUSIVE);
    bool follow = !(flags & LIBOS_NOFOLLOW) && !exclusive;
    enum libos_follow last = follow ? LIBOS_FOLLOW_LAST : LIBOS_FOLLOW_SLASH;
    if (flags & LIBOS_CREATE) {
        last = follow ? LIBOS_FOLLOW_CREATE : LIBOS_FOLLOW_NEVER;
    }
    int rc = walk(dir, path, last, &found);
    if (rc != 0) {
        return rc;
    }
    if ((flags & LIBOS_CREATE) && found.slash && found.last == LIBOS_LAST_NAME) {
        return -LIBOS_EISDIR;
    }
    if (!found.node) {
        return flags & LIBOS_CREATE ? create_file(fs, &found, flags, out) : -LIBOS_ENOENT;
    }
    if (exclusive) {
        return -LIBOS_EEXIST;
    }
    struct node *node = found.node;
    if (node->kind == LIBOS_KIND_SYMLINK) {
        return flags & LIBOS_DIRECTORY ? -LIBOS_ENOTDIR : -LIBOS_ELOOP;
    }
    if (node->kind == LIBOS_KIND_DIR) {
        if (flags & (LIBOS_WRITE | LIBOS_CREATE | LIBOS_TRUNCATE)) {
            return -LIBOS_EISDIR;
        }
    } else {
        if (flags & LIBOS_DIRECTORY) {
            return -LIBOS_ENOTDIR;
        }
        if (fs->sealed && (flags & (LIBOS_WRITE | LIBOS_TRUNCATE))) {
            return -LIBOS_EROFS;
        }
    }
    rc = open_node(fs, node, flags, out);
    if (rc == 0 && (flags & LIBOS_TRUNCATE)) {
        rc = resize_node(fs, node, 0);
        WM_ASSERT(rc == 0); /* to nothing, and not sealed: seen above */
    }
    return rc;
}

static int walk_existing(struct libos_file *dir, const char *path, enum libos_follow follow,
                         struct libos_walk *out)
{
    int rc = walk(dir, path, follow, out);
    return rc == 0 && !out->node ? -LIBOS_ENOENT : rc;
}

static int mem_stat_at(struct libos_file *dir, const char *path, bool follow,
                       struct libos_stat *out)
{
    struct libos_walk found;
    int rc = walk_existing(dir, path, follow ? LIBOS_FOLLOW_LAST : LIBOS_FOLLOW_SLASH, &found);
    if (rc == 0) {
        stat_node(open_of(dir)->fs, found.node, out);
    }
    return rc;
}

static int mem_set_times_at(struct libos_file *dir, const char *path, bool follow,
                            const struct libos_times *times)
{
    struct libos_walk found;
    int rc = walk_existing(dir, path, follow ? LIBOS_FOLLOW_LAST : LIBOS_FOLLOW_SLASH, &found);
    return rc != 0 ? rc : set_node_times(open_of(dir)->fs, found.node, times);
}

static int make_node(struct memfs *fs, const struct libos_walk *found, enum libos_kind kind,
                     struct wm_view target)
{
    int rc = check_new_name(fs, found);
    if (rc != 0) {
        return rc;
    }
    struct dirent *entry = prepare_entry(fs, found->dir, last_name(found), &rc);
    if (!entry) {
        return rc;
    }
    struct node *node = node_new(fs, kind, &rc);
    if (node && kind == LIBOS_KIND_SYMLINK) {
        node->link.target = take(fs, target.len, &rc);
        if (node->link.target) {
            node->link.len = target.len;
            __builtin_memcpy(node->link.target, target.ptr, target.len);
        } else {
            node_free(fs, node);
            node = NULL;
        }
    }
    if (!node) {
        give(fs, entry, sizeof *entry + entry->name_len);
        return rc;
    }
    link_entry(fs, found->dir, entry, node);
    return 0;
}

static int mem_mkdir(struct libos_file *dir, const char *path)
{
    struct libos_walk found;
    int rc = walk(dir, path, LIBOS_FOLLOW_NEVER, &found);
    return rc != 0 ? rc : make_node(open_of(dir)->fs, &found, LIBOS_KIND_DIR, wm_view_of("", 0));
}

static int mem_symlink(struct libos_file *dir, const char *target, const char *path)
{
    struct libos_walk found;
    int rc = walk(dir, path, LIBOS_FOLLOW_NEVER, &found);
    if (rc != 0) {
        return rc;
    }
    if (!found.node && found.slash) {
        return -LIBOS_ENOENT;
    }
    return make_node(open_of(dir)->fs, &found, LIBOS_KIND_SYMLINK, wm_view_str(target));
}

/* Of a directory that may go: it is empty, and not one that the path cannot name away. */
static int check_removable_dir(const struct libos_walk *found)
{
    const struct node *node = found->node;
    if (found->last == LIBOS_LAST_DOT) {
        return -LIBOS_EINVAL;
    }
    if (node->kind != LIBOS_KIND_DIR) {
        return -LIBOS_ENOTDIR;
    }
    return found->last == LIBOS_LAST_DOTDOT || node->dir.live_count > 0 ? -LIBOS_ENOTEMPTY : 0;
}

static int mem_remove(struct libos_file *dir, const char *path, bool is_dir)
{
    struct memfs *fs = open_of(dir)->fs;
    struct libos_walk found;
    int rc = walk_existing(dir, path, LIBOS_FOLLOW_NEVER, &found);
    if (rc != 0) {
        return rc;
    }
    struct node *node = found.node;
    if (is_dir) {
        rc = check_removable_dir(&found);
    } else if (node->kind == LIBOS_KIND_DIR) {
        rc = -LIBOS_EISDIR;
    } else if (found.slash) {
        rc = -LIBOS_ENOTDIR;
    }
    if (rc == 0 && fs->sealed) {
        rc = -LIBOS_EROFS;
    }
    if (rc != 0) {
        return rc;
    }
    unlink_entry(fs, found.dir, find_entry(found.dir, last_name(&found)));
    node_release(fs, node);
    return 0;
}

static bool lies_within(const struct node *dir, const struct node *ancestor)
{
    for (;;) {
        if (dir == ancestor) {
            return true;
        }
        const struct node *parent = dir->dir.parent;
        if (!parent || parent == dir) {
            return false;
        }
        dir = parent;
    }
}

static int check_rename(const struct memfs *fs, const struct libos_walk *from,
                        const struct libos_walk *to)
{
    const struct node *moved = from->node;
    const struct node *target = to->node;
    const struct node *to_dir = to->dir;
    if (from->last != LIBOS_LAST_NAME || to->last != LIBOS_LAST_NAME) {
        return -LIBOS_EBUSY;
    }
    if (!moved) {
        return -LIBOS_ENOENT;
    }
    if (fs->sealed) {
        return -LIBOS_EROFS;
    }
    if (moved->kind != LIBOS_KIND_DIR && (from->slash || to->slash)) {
        return -LIBOS_ENOTDIR;
    }
    if (moved->kind == LIBOS_KIND_DIR && lies_within(to_dir, moved)) {
        return -LIBOS_EINVAL;
    }
    if (target && target->kind == LIBOS_KIND_DIR && target != moved &&
        lies_within(from->dir, target)) {
        return -LIBOS_ENOTEMPTY; /* whatever is moved onto a directory that it is in */
    }
    if (moved->kind == LIBOS_KIND_DIR) {
        if (target && target->kind != LIBOS_KIND_DIR) {
            return -LIBOS_ENOTDIR;
        }
        if (target && target != moved && target->dir.live_count > 0) {
            return -LIBOS_ENOTEMPTY;
        }
    } else {
        if (target && target->kind == LIBOS_KIND_DIR) {
            return -LIBOS_EISDIR;
        }
    }
    return to_dir->dir.parent ? 0 : -LIBOS_ENOENT;
}

static int mem_rename(struct libos_file *dir, const char *path, struct libos_file *new_dir,
                      const char *new_path)
{
    struct memfs *fs = open_of(dir)->fs;
    struct libos_walk from, to;
    if (open_of(new_dir)->fs != fs) {
        return -LIBOS_EXDEV;
    }
    int rc = walk(dir, path, LIBOS_FOLLOW_NEVER, &from);
    if (rc == 0) {
        rc = walk(new_dir, new_path, LIBOS_FOLLOW_NEVER, &to);
    }
    if (rc == 0) {
        rc = check_rename(fs, &from, &to);
    }
    if (rc != 0) {
        return rc;
    }
    struct node *moved = from.node;
    struct node *target = to.node;
    if (target == moved) {
        return 0; /* two names of one file: POSIX has both stay */
    }
    struct dirent *entry = prepare_entry(fs, to.dir, last_name(&to), &rc);
    if (!entry) {
        return rc;
    }
    if (target) {
        unlink_entry(fs, to.dir, find_entry(to.dir, last_name(&to)));
        node_release(fs, target);
    }
    /* The old name first: a directory's parent pointer must end at the new place. */
    unlink_entry(fs, from.dir, find_entry(from.dir, last_name(&from)));
    link_entry(fs, to.dir, entry, moved);
    return 0;
}

static int mem_link(struct libos_file *dir, const char *path, struct libos_file *new_dir,
                    const char *new_path)
{
    struct memfs *fs = open_of(dir)->fs;
    struct libos_walk from, to;
    if (open_of(new_dir)->fs != fs) {
        return -LIBOS_EXDEV;
    }
    int rc = walk_existing(dir, path, LIBOS_FOLLOW_SLASH, &from);
    if (rc == 0) {
        rc = walk(new_dir, new_path, LIBOS_FOLLOW_NEVER, &to);
    }
    if (rc != 0) {
        return rc;
    }
    struct node *node = from.node;
    if (!to.node && to.slash) {
        return -LIBOS_ENOENT;
    }
    rc = check_new_name(fs, &to);
    if (rc == 0 && node->kind == LIBOS_KIND_DIR) {
        rc = -LIBOS_EPERM;
    }
    if (rc == 0 && node->links == UINT32_MAX) {
        rc = -LIBOS_EMLINK;
    }
    if (rc != 0) {
        return rc;
    }
    struct dirent *entry = prepare_entry(fs, to.dir, last_name(&to), &rc);
    if (entry) {
        link_entry(fs, to.dir, entry, node);
    }
    return rc;
}

static int64_t mem_readlink(struct libos_file *dir, const char *path, char *out, size_t out_bytes)
{
    struct libos_walk found;
    int rc = walk_existing(dir, path, LIBOS_FOLLOW_SLASH, &found);
    if (rc != 0) {
        return rc;
    }
    const struct node *node = found.node;
    if (node->kind != LIBOS_KIND_SYMLINK) {
        return -LIBOS_EINVAL;
    }
    size_t part = node->link.len < out_bytes ? node->link.len : out_bytes;
    __builtin_memcpy(out, node->link.target, part);
    return (int64_t)node->link.len;
}

static int mem_readdir(struct libos_file *dir, uint64_t cookie, libos_dirent_fn *emit, void *arg)
{
    const struct node *node = open_of(dir)->node;
    const struct node *parent = node->dir.parent;
    if (!parent) {
        return 0; /* removed: as Linux, no entries at all */
    }
    if (cookie < 1) {
        struct libos_dirent self = {".", 1, node->ino, LIBOS_KIND_DIR, 1};
        if (!emit(arg, &self)) {
            return 0;
        }
    }
    if (cookie < 2) {
        /* Above the directory one holds is nothing one may know of. */
        struct libos_dirent above = {"..", 2, node->ino, LIBOS_KIND_DIR, 2};
        if (!emit(arg, &above)) {
            return 0;
        }
    }
    uint64_t seq = cookie < FIRST_SEQ ? FIRST_SEQ : cookie == UINT64_MAX ? cookie : cookie + 1;
    for (size_t i = find_slot(node, seq); i < node->dir.slot_count; i++) {
        const struct dirent *entry = node->dir.slots[i].entry;
        if (entry) {
            struct libos_dirent item = {entry->name, entry->name_len, entry->node->ino,
                                        entry->node->kind, entry->seq};
            if (!emit(arg, &item)) {
                return 0;
            }
        }
    }
    return 0;
}

static const struct libos_dir_ops mem_tree_ops = {
    .open = mem_open,
    .stat = mem_stat_at,
    .set_times = mem_set_times_at,
    .mkdir = mem_mkdir,
    .remove = mem_remove,
    .rename = mem_rename,
    .link = mem_link,
    .symlink = mem_symlink,
    .readlink = mem_readlink,
    .readdir = mem_readdir,
};

static const struct libos_file_ops mem_dir_ops = {
    .close = mem_close,
    .stat = mem_stat,
    .set_times = mem_set_times,
    .dir = &mem_tree_ops,
};

static const struct libos_file_ops mem_file_ops = {
    .close = mem_close,
    .read = mem_read,
    .write = mem_write,
    .pread = mem_pread,
    .pwrite = mem_pwrite,
    .seek = mem_seek,
    .stat = mem_stat,
    .set_times = mem_set_times,
    .truncate = mem_truncate,
    .allocate = mem_allocate,
    .readable_bytes = mem_readable_bytes,
};

int libos_memfs_new(struct libos *os, const struct libos_memfs_limits *limits,
                    struct libos_file **root)
{
    int rc = 0;
    struct memfs *fs = libos_alloc(os, sizeof *fs);
    if (!fs) {
        return -LIBOS_ENOMEM;
    }
    fs->os = os;
    fs->limit_bytes = limits && limits->bytes ? limits->bytes : DEFAULT_BYTES;
    if (fs->limit_bytes > MAX_BYTES) {
        fs->limit_bytes = MAX_BYTES;
    }
    fs->limit_nodes = limits && limits->nodes ? limits->nodes : DEFAULT_NODES;
    fs->dev = ++os->last_dev;
    fs->next_ino = 2; /* as most file systems have it for the root */
    fs->root = node_new(fs, LIBOS_KIND_DIR, &rc);
    if (!fs->root) {
        libos_free(os, fs, sizeof *fs);
        return rc;
    }
    fs->root->links = 1;
    fs->root->dir.parent = fs->root;
    rc = open_node(fs, fs->root, LIBOS_READ, root);
    if (rc != 0) {
        node_free(fs, fs->root);
        libos_free(os, fs, sizeof *fs);
    }
    return rc;
}

static struct memfs *fs_of(struct libos_file *file)
{
    WM_ASSERT(file->ops == &mem_dir_ops || file->ops == &mem_file_ops);
    return open_of(file)->fs;
}

void libos_memfs_seal(struct libos_file *file)
{
    fs_of(file)->sealed = true;
}

void libos_memfs_usage(struct libos_file *file, struct libos_memfs_limits *used)
{
    used->bytes = fs_of(file)->used_bytes;
    used->nodes = fs_of(file)->used_nodes;
}
