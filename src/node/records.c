/* Records of calls.
 *
 *     open (loop's)  -- turn -->  closed (a queue)  -- seal -->  recent (memory) and the store
 *
 * In the store, numbers in keys big-endian so that they sort:
 *     records       second (8), first (4) ->  CBOR sequence of records: a part of the second's,
 *                                             from record `first` on
 *     roots         second (8)            ->  signed root
 *     records_meta  "head"                ->  the last signed root
 *                   "bytes"               ->  of all values of `records` (8)
 * All of one second is one commit, so `head` is always the root of what is there. */
#include "node/records.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crypto/hash.h"
#include "crypto/merkle.h"
#include "host/file.h"
#include "proof/receipt.h"
#include "proof/statement.h"

#define TABLE_RECORDS "records"
#define TABLE_ROOTS "roots"
#define TABLE_META "records_meta"
#define NS_PER_S 1000000000
#define SECOND_KEY_BYTES 8u
#define PART_KEY_BYTES 12u
/* Values in LMDB want one run of free pages each, so they are kept small. */
#define PART_BYTES (64u << 10)
#define PART_RECORDS_MAX 512u
#define SALTS 256u
/* Parts and roots removed at one sealing: more than one can add, at any rate of calls that the disk
 * bears. */
#define PRUNE_PARTS_MAX 2048u
#define PRUNE_ROOTS_MAX 64u

#define END_TEXT(name, text) [CALL_END_##name] = text,
static const char *const ends[CALL_ENDS] = {CALL_END_TABLE(END_TEXT)};
#undef END_TEXT

struct part {
    uint32_t first, count; /* of its records, in the second */
    uint32_t used;         /* bytes */
    uint32_t ends[PART_RECORDS_MAX];
    uint8_t bytes[PART_BYTES];
};

struct second {
    struct second *next;
    uint64_t second;
    int64_t clock_s; /* when it was opened; it ends when the clock shows another one */
    uint64_t lost;
    uint32_t count;
    uint32_t part_count, part_room;
    struct part **parts;
    merkle_hash *hashes; /* once sealed: the whole tree */
    size_t root_bytes;
    uint8_t root[COSE_SIGN1_BYTES_MAX]; /* signed */
};

struct records {
    struct records_config config;
    char node[RECORD_NAME_BYTES_MAX + 1];

    /* The loop's. */
    struct second *open;
    uint64_t last_second; /* the highest that was given out */
    uint64_t lost_now;    /* since a second was closed last */
    uint32_t salts_left;
    uint8_t salts[SALTS][RECORD_SALT_BYTES];

    /* Between the loop and others. */
    _Atomic uint64_t added, lost, pending_bytes, closed_count;
    _Atomic uint64_t sealed, highest; /* the last sealed second; the last opened one */

    pthread_mutex_t lock; /* of the two lists and the counters below it */
    struct second *closed, **closed_end;
    struct second *recent, **recent_end; /* the oldest first */
    uint64_t kept_second;                /* whose tree was made anew last */
    uint32_t kept_count;
    merkle_hash *kept_hashes;
    struct records_stats stats;

    pthread_mutex_t sealing; /* of what the sealing thread reads and writes: */
    uint64_t run, sequence, kept_bytes;
    uint8_t previous[RECORD_HASH_BYTES];
};

static void put_be64(uint8_t *out, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(out, &value, sizeof value);
}

static uint64_t get_be64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return __builtin_bswap64(value);
}

static void part_key(uint8_t key[PART_KEY_BYTES], uint64_t second, uint32_t first)
{
    uint32_t number = __builtin_bswap32(first);
    put_be64(key, second);
    memcpy(key + SECOND_KEY_BYTES, &number, sizeof number);
}

static uint32_t part_first(struct wm_view key)
{
    uint32_t number;
    memcpy(&number, key.ptr + SECOND_KEY_BYTES, sizeof number);
    return __builtin_bswap32(number);
}

/* --- Seconds --- */

static uint64_t second_bytes(const struct second *second)
{
    return sizeof *second + second->part_count * sizeof(struct part) +
           (second->hashes ? merkle_hashes(second->count) * sizeof(merkle_hash) : 0);
}

static void second_free(struct second *second)
{
    for (uint32_t i = 0; i < second->part_count; i++) {
        wm_free(second->parts[i]);
    }
    wm_free(second->parts);
    wm_free(second->hashes);
    wm_free(second);
}

static struct wm_view second_record(const struct second *second, uint32_t index)
{
    uint32_t low = 0, high = second->part_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (second->parts[middle]->first <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const struct part *part = second->parts[low];
    uint32_t at = index - part->first, start = at == 0 ? 0 : part->ends[at - 1];
    return wm_view_of(part->bytes + start, part->ends[at] - start);
}

/* --- The loop's side --- */

static bool reserve(struct records *records, uint64_t bytes)
{
    if (atomic_load_explicit(&records->pending_bytes, memory_order_relaxed) + bytes >
        records->config.pending_bytes_max) {
        return false;
    }
    atomic_fetch_add_explicit(&records->pending_bytes, bytes, memory_order_relaxed);
    return true;
}

static void close_second(struct records *records)
{
    struct second *second = records->open;
    records->open = NULL;
    second->lost = records->lost_now;
    records->lost_now = 0;
    pthread_mutex_lock(&records->lock);
    *records->closed_end = second;
    records->closed_end = &second->next;
    pthread_mutex_unlock(&records->lock);
    atomic_fetch_add_explicit(&records->closed_count, 1, memory_order_release);
}

static int open_second(struct records *records, int64_t clock_s)
{
    if (!reserve(records, sizeof(struct second))) {
        return WM_E_LIMIT;
    }
    struct second *second = wm_alloc_zero(1, sizeof *second);
    if (!second) {
        atomic_fetch_sub_explicit(&records->pending_bytes, sizeof *second, memory_order_relaxed);
        return -ENOMEM;
    }
    uint64_t now = clock_s > 0 ? (uint64_t)clock_s : 0;
    second->second = now > records->last_second ? now : records->last_second + 1;
    second->clock_s = clock_s;
    records->last_second = second->second;
    atomic_store_explicit(&records->highest, second->second, memory_order_release);
    records->open = second;
    return 0;
}

/* The part that has room for one more record. */
static int part_with_room(struct records *records, struct second *second, struct part **out)
{
    struct part *part = second->part_count ? second->parts[second->part_count - 1] : NULL;
    if (part && part->used <= PART_BYTES - RECORD_BYTES_MAX && part->count < PART_RECORDS_MAX) {
        *out = part;
        return 0;
    }
    if (second->part_count == second->part_room) {
        uint32_t room = second->part_room ? 2 * second->part_room : 4;
        struct part **grown = wm_realloc(second->parts, room, sizeof *grown);
        if (!grown) {
            return -ENOMEM;
        }
        second->parts = grown;
        second->part_room = room;
    }
    if (!reserve(records, sizeof *part)) {
        return WM_E_LIMIT;
    }
    part = wm_alloc(sizeof *part);
    if (!part) {
        atomic_fetch_sub_explicit(&records->pending_bytes, sizeof *part, memory_order_relaxed);
        return -ENOMEM;
    }
    part->first = second->count;
    part->count = part->used = 0;
    second->parts[second->part_count++] = part;
    *out = part;
    return 0;
}

static int lose(struct records *records, int rc)
{
    records->lost_now++;
    atomic_fetch_add_explicit(&records->lost, 1, memory_order_relaxed);
    return rc;
}

static const uint8_t *take_salt(struct records *records)
{
    if (records->salts_left == 0) {
        wm_random_bytes(records->salts[0], sizeof records->salts);
        records->salts_left = SALTS;
    }
    return records->salts[--records->salts_left];
}

static bool name_fits(struct wm_view name)
{
    return name.len >= 1 && name.len <= RECORD_NAME_BYTES_MAX;
}

int records_add(struct records *records, const struct records_call *call, int64_t now_ns,
                uint64_t *second, uint32_t *index)
{
    struct record record = {
        .call_id = call->id,
        .tenant = wm_view_str(call->tenant),
        .function = wm_view_str(call->function),
        .version = call->version,
        .has_image = call->image_sha256 != NULL,
        .has_output = call->output_sha256 != NULL,
        .end = wm_view_str(ends[call->end]),
        .return_code = call->return_code,
        .cold = call->cold,
        .start_ns = call->start_ns,
        .wall_ns = call->usage.wall_ns,
        .cpu_ns = call->usage.cpu_ns,
        .fuel = call->usage.fuel,
        .memory_peak_bytes = call->usage.memory_peak_bytes,
        .input_bytes = call->input_bytes,
        .output_bytes = call->output_bytes,
        .state_bytes_pulled = call->usage.state_bytes_pulled,
        .state_bytes_pushed = call->usage.state_bytes_pushed,
        .net_bytes_in = call->usage.net_bytes_in,
        .net_bytes_out = call->usage.net_bytes_out,
        .node = wm_view_str(records->node),
    };
    struct part *part;
    if (!name_fits(record.tenant) || !name_fits(record.function)) {
        return WM_E_USAGE;
    }
    (void)records_turn(records, now_ns);
    int rc = records->open ? 0 : open_second(records, now_ns / NS_PER_S);
    if (rc != 0 || (rc = part_with_room(records, records->open, &part)) != 0) {
        return lose(records, rc);
    }
    memcpy(record.salt, take_salt(records), sizeof record.salt);
    memcpy(record.module_sha256, call->module_sha256, sizeof record.module_sha256);
    memcpy(record.input_sha256, call->input_sha256, sizeof record.input_sha256);
    if (call->image_sha256) {
        memcpy(record.image_sha256, call->image_sha256, sizeof record.image_sha256);
    }
    if (call->output_sha256) {
        memcpy(record.output_sha256, call->output_sha256, sizeof record.output_sha256);
    }
    struct cbor_writer writer = cbor_writer_of(part->bytes + part->used, PART_BYTES - part->used);
    record_put(&writer, &record);
    WM_ASSERT(cbor_fits(&writer)); /* the names keep their limits */
    part->used += (uint32_t)writer.len;
    part->ends[part->count++] = part->used;
    *second = records->open->second;
    *index = records->open->count++;
    atomic_fetch_add_explicit(&records->added, 1, memory_order_relaxed);
    if (records->open->count == RECORD_SECOND_MAX) {
        close_second(records);
    }
    return 0;
}

bool records_turn(struct records *records, int64_t now_ns)
{
    if (records->open && records->open->clock_s != now_ns / NS_PER_S) {
        if (records->open->count) {
            close_second(records);
        } else { /* its first record found no room */
            records->open->clock_s = now_ns / NS_PER_S;
        }
    }
    return atomic_load_explicit(&records->closed_count, memory_order_acquire) != 0;
}

/* --- Sealing --- */

static int build_tree(struct second *second)
{
    second->hashes = wm_alloc(merkle_hashes(second->count) * sizeof *second->hashes);
    if (!second->hashes) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < second->part_count; i++) {
        const struct part *part = second->parts[i];
        for (uint32_t at = 0, start = 0; at < part->count; start = part->ends[at++]) {
            merkle_leaf(wm_view_of(part->bytes + start, part->ends[at] - start),
                        second->hashes[part->first + at]);
        }
    }
    merkle_build(second->hashes, second->count);
    return 0;
}

/* Pure: what the second's root is, given the chain so far. Also what the next one will name. */
static void sign_root(const struct records *records, struct second *second,
                      uint8_t signed_sha256[RECORD_HASH_BYTES])
{
    struct record_root root = {.node = wm_view_str(records->node),
                               .run = records->run,
                               .sequence = records->sequence,
                               .second = second->second,
                               .tree_size = second->count,
                               .lost = second->lost};
    const uint8_t *hash = second->hashes[merkle_hashes(second->count) - 1];
    uint8_t claims[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct cose_statement statement;
    struct statement_signed covered;
    memcpy(root.previous, records->previous, sizeof root.previous);
    struct cbor_writer writer = cbor_writer_of(claims, sizeof claims);
    record_root_put(&writer, &root);
    WM_ASSERT(cbor_fits(&writer));
    statement_sign(records->config.key, true, wm_view_of(claims, writer.len), hash, header,
                   &statement);
    statement_signed_bytes(statement.protected_header, hash, &covered);
    wm_sha256_once(wm_view_of(covered.bytes, covered.len), signed_sha256);
    writer = cbor_writer_of(second->root, sizeof second->root);
    cose_put_sign1(&writer, &statement);
    WM_ASSERT(cbor_fits(&writer));
    second->root_bytes = writer.len;
}

struct prune {
    struct kv_batch *batch;
    const char *table;
    uint64_t before;     /* seconds */
    uint64_t bytes_over; /* remove as many at least, whatever their age */
    uint64_t bytes;      /* removed so far */
    uint32_t left;
    int rc;
};

static bool prune_one(void *self, struct wm_view key, struct wm_view value)
{
    struct prune *prune = self;
    if (key.len < SECOND_KEY_BYTES || prune->left == 0 ||
        (get_be64(key.ptr) >= prune->before && prune->bytes >= prune->bytes_over)) {
        return false;
    }
    prune->rc = kv_remove(prune->batch, prune->table, key);
    prune->bytes += value.len;
    prune->left--;
    return prune->rc == 0;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* Adds removals of what is too old to the batch. *bytes: of the records among it. */
static int prune(struct records *records, const struct second *second, uint64_t bytes_after,
                 struct kv_batch *batch, uint64_t *bytes)
{
    const struct records_config *config = &records->config;
    struct prune parts = {.batch = batch,
                          .table = TABLE_RECORDS,
                          .before = minus(second->second, config->keep_s),
                          .bytes_over = minus(bytes_after, config->keep_bytes),
                          .left = PRUNE_PARTS_MAX};
    struct prune roots = {.batch = batch,
                          .table = TABLE_ROOTS,
                          .before = minus(second->second, config->keep_roots_s),
                          .left = PRUNE_ROOTS_MAX};
    struct kv_reader *reader;
    struct wm_view all = {NULL, 0};
    int rc = kv_read_begin(config->kv, &reader, NULL);
    if (rc != 0) {
        return rc;
    }
    rc = kv_scan(reader, TABLE_RECORDS, all, all, prune_one, &parts);
    if (rc == 0) {
        rc = kv_scan(reader, TABLE_ROOTS, all, all, prune_one, &roots);
    }
    kv_read_end(reader);
    *bytes = parts.bytes;
    return rc != 0 ? rc : parts.rc != 0 ? parts.rc : roots.rc;
}

static int fill_batch(struct records *records, const struct second *second, struct kv_batch *batch,
                      uint64_t *added, uint64_t *pruned)
{
    uint8_t key[PART_KEY_BYTES], total[8];
    struct wm_view root = wm_view_of(second->root, second->root_bytes);
    int rc = 0;
    *added = 0;
    for (uint32_t i = 0; rc == 0 && i < second->part_count; i++) {
        part_key(key, second->second, second->parts[i]->first);
        rc = kv_put(batch, TABLE_RECORDS, wm_view_of(key, sizeof key),
                    wm_view_of(second->parts[i]->bytes, second->parts[i]->used));
        *added += second->parts[i]->used;
    }
    if (rc == 0) {
        rc = kv_put(batch, TABLE_ROOTS, wm_view_of(key, SECOND_KEY_BYTES), root);
    }
    if (rc == 0) {
        rc = kv_put(batch, TABLE_META, wm_view_str("head"), root);
    }
    if (rc == 0) {
        rc = prune(records, second, records->kept_bytes + *added, batch, pruned);
    }
    if (rc == 0) {
        put_be64(total, records->kept_bytes + *added - *pruned);
        rc = kv_put(batch, TABLE_META, wm_view_str("bytes"), wm_view_of(total, sizeof total));
    }
    return rc;
}

/* Makes the second durable; on failure it is as it was. */
static int seal_second(struct records *records, struct second *second, struct wm_diag *diag)
{
    uint8_t signed_sha256[RECORD_HASH_BYTES];
    uint64_t added = 0, pruned = 0;
    struct kv_batch *batch;
    int rc = build_tree(second);
    if (rc != 0) {
        return wm_diag_default(diag, rc, "records");
    }
    sign_root(records, second, signed_sha256);
    rc = kv_batch_new(records->config.kv, &batch);
    if (rc == 0) {
        rc = fill_batch(records, second, batch, &added, &pruned);
        if (rc == 0) {
            rc = kv_commit(batch, diag);
        } else {
            kv_batch_drop(batch);
        }
    }
    if (rc != 0) {
        wm_free(second->hashes);
        second->hashes = NULL;
        wm_diag_default(diag, rc, "records");
        wm_diag_prefix(diag, "second %llu: keeping its records",
                       (unsigned long long)second->second);
        return rc;
    }
    memcpy(records->previous, signed_sha256, sizeof records->previous);
    records->sequence++;
    records->kept_bytes += added - pruned;
    pthread_mutex_lock(&records->lock);
    records->stats.pruned_bytes += pruned;
    records->stats.kept_bytes = records->kept_bytes;
    records->stats.sequence = records->sequence;
    pthread_mutex_unlock(&records->lock);
    return 0;
}

static void free_list(struct second *second)
{
    while (second) {
        struct second *next = second->next;
        second_free(second);
        second = next;
    }
}

/* From the closed ones to the recent ones; older recent ones make room. */
static void keep_recent(struct records *records, struct second *second)
{
    uint64_t pending = sizeof *second + second->part_count * sizeof(struct part);
    struct second *evicted = NULL, **evicted_end = &evicted;
    pthread_mutex_lock(&records->lock);
    records->closed = second->next;
    if (!records->closed) {
        records->closed_end = &records->closed;
    }
    second->next = NULL;
    *records->recent_end = second;
    records->recent_end = &second->next;
    records->stats.recent_bytes += second_bytes(second);
    records->stats.seconds_sealed++;
    while (records->recent && records->stats.recent_bytes > records->config.recent_bytes_max) {
        struct second *oldest = records->recent;
        records->recent = oldest->next;
        records->stats.recent_bytes -= second_bytes(oldest);
        oldest->next = NULL;
        *evicted_end = oldest;
        evicted_end = &oldest->next;
    }
    if (!records->recent) {
        records->recent_end = &records->recent;
    }
    pthread_mutex_unlock(&records->lock);
    free_list(evicted);
    atomic_fetch_sub_explicit(&records->pending_bytes, pending, memory_order_relaxed);
    atomic_fetch_sub_explicit(&records->closed_count, 1, memory_order_release);
}

int records_seal(struct records *records, struct wm_diag *diag)
{
    int rc = 0;
    pthread_mutex_lock(&records->sealing);
    int64_t from = host_monotonic_ns();
    for (;;) {
        pthread_mutex_lock(&records->lock);
        struct second *second = records->closed; /* only we remove the first one */
        pthread_mutex_unlock(&records->lock);
        if (!second || (rc = seal_second(records, second, diag)) != 0) {
            break;
        }
        uint64_t number = second->second;
        keep_recent(records, second);
        atomic_store_explicit(&records->sealed, number, memory_order_release);
    }
    pthread_mutex_lock(&records->lock);
    records->stats.seal_ns += (uint64_t)(host_monotonic_ns() - from);
    records->stats.seal_failures += rc != 0;
    pthread_mutex_unlock(&records->lock);
    pthread_mutex_unlock(&records->sealing);
    return rc;
}

uint64_t records_sealed(const struct records *records)
{
    return atomic_load_explicit(&records->sealed, memory_order_acquire);
}

/* --- Open and close --- */

static int read_head(struct records *records, struct wm_diag *diag)
{
    struct kv_reader *reader;
    struct wm_view value;
    struct signed_root head;
    int rc = kv_read_begin(records->config.kv, &reader, diag);
    if (rc != 0) {
        return rc;
    }
    rc = kv_get(reader, TABLE_META, wm_view_str("head"), &value);
    if (rc == WM_E_NOT_FOUND) { /* the first run of all */
        kv_read_end(reader);
        return 0;
    }
    /* By whatever key: a node that lost its own goes on with the chain under a new one. */
    if (rc == 0) {
        rc = signed_root_verify(value, NULL, &head, diag);
    }
    if (rc == 0) {
        records->run = head.root.run + 1;
        records->sequence = head.root.sequence + 1;
        records->last_second = head.root.second;
        memcpy(records->previous, head.signed_sha256, sizeof records->previous);
        atomic_store_explicit(&records->sealed, head.root.second, memory_order_relaxed);
        atomic_store_explicit(&records->highest, head.root.second, memory_order_relaxed);
        rc = kv_get(reader, TABLE_META, wm_view_str("bytes"), &value);
    }
    if (rc == 0 && value.len != 8) {
        rc = WM_E_MALFORMED;
    }
    if (rc == 0) {
        records->kept_bytes = get_be64(value.ptr);
    } else {
        wm_diag_default(diag, rc, "their number of bytes");
        wm_diag_prefix(diag, "records: the last root in the store");
    }
    kv_read_end(reader);
    return rc;
}

int records_open(const struct records_config *config, struct records **out, struct wm_diag *diag)
{
    if (!name_fits(wm_view_str(config->node))) {
        return wm_diag_set(diag, WM_E_USAGE, "records: the node's name is empty or too long");
    }
    struct records *records = wm_alloc_zero(1, sizeof *records);
    if (!records) {
        return wm_diag_default(diag, -ENOMEM, "records");
    }
    struct records_config *own = &records->config;
    *own = *config;
    own->keep_s = own->keep_s ? own->keep_s : UINT64_C(7) * 86400;
    own->keep_bytes = own->keep_bytes ? own->keep_bytes : UINT64_C(4) << 30;
    own->keep_roots_s = own->keep_roots_s ? own->keep_roots_s : UINT64_C(90) * 86400;
    own->pending_bytes_max = own->pending_bytes_max ? own->pending_bytes_max : UINT64_C(256) << 20;
    own->recent_bytes_max = own->recent_bytes_max ? own->recent_bytes_max : UINT64_C(64) << 20;
    memcpy(records->node, config->node, strlen(config->node));
    own->node = records->node;
    records->closed_end = &records->closed;
    records->recent_end = &records->recent;
    int rc = read_head(records, diag);
    if (rc != 0) {
        wm_free(records);
        return rc;
    }
    records->stats.kept_bytes = records->kept_bytes;
    records->stats.run = records->run;
    records->stats.sequence = records->sequence;
    int lock_rc =
        pthread_mutex_init(&records->lock, NULL) | pthread_mutex_init(&records->sealing, NULL);
    WM_ASSERT(lock_rc == 0); /* glibc's have nothing that could fail */
    *out = records;
    return 0;
}

int records_close(struct records *records, struct wm_diag *diag)
{
    if (!records) {
        return 0;
    }
    if (records->open && records->open->count) {
        close_second(records);
    }
    int rc = records_seal(records, diag);
    free_list(records->closed);
    free_list(records->recent);
    free_list(records->open);
    wm_free(records->kept_hashes);
    pthread_mutex_destroy(&records->lock);
    pthread_mutex_destroy(&records->sealing);
    wm_free(records);
    return rc;
}

/* --- Receipts --- */

/* Root and path of a leaf, as a receipt. */
static int put_receipt(struct wm_view signed_root, struct wm_view record, const merkle_hash *hashes,
                       uint32_t count, uint32_t index, uint8_t *out, size_t *len)
{
    struct record_receipt receipt = {.record = record};
    struct cbor_reader reader = cbor_reader_of(signed_root);
    merkle_hash leaf;
    merkle_leaf(record, leaf);
    if (!wm_bytes_equal(leaf, hashes[index], sizeof leaf)) {
        return WM_E_MALFORMED;
    }
    if (!cose_sign1(&reader, &receipt.root) || !cbor_end(&reader) ||
        !wm_bytes_equal(receipt.root.payload, hashes[merkle_hashes(count) - 1],
                        COSE_PAYLOAD_BYTES)) {
        return WM_E_MALFORMED;
    }
    receipt.root.attached = false;
    receipt.root.included = true;
    receipt.root.inclusion.tree_size = count;
    receipt.root.inclusion.index = index;
    receipt.root.inclusion.path_len =
        merkle_path(hashes, count, index, receipt.root.inclusion.path);
    struct cbor_writer writer = cbor_writer_of(out, RECEIPT_BYTES_MAX);
    record_receipt_put(&writer, &receipt);
    WM_ASSERT(cbor_fits(&writer));
    *len = writer.len;
    return 0;
}

static int recent_receipt(struct records *records, uint64_t number, uint32_t index, uint8_t *out,
                          size_t *len)
{
    int rc = WM_E_BUSY; /* not here */
    pthread_mutex_lock(&records->lock);
    const struct second *second = records->recent;
    while (second && second->second != number) {
        second = second->next;
    }
    if (second) {
        rc = index >= second->count
                 ? WM_E_NOT_FOUND
                 : put_receipt(wm_view_of(second->root, second->root_bytes),
                               second_record(second, index), (const merkle_hash *)second->hashes,
                               second->count, index, out, len);
    }
    pthread_mutex_unlock(&records->lock);
    return rc;
}

/* Walks the parts of one second as the store has them. */
struct walk {
    records_emit *emit;
    void *self;
    uint64_t second; /* the one that `count` is of */
    uint64_t to;
    uint32_t count;
    int rc;
};

static bool walk_part(void *self, struct wm_view key, struct wm_view value)
{
    struct walk *walk = self;
    struct cbor_reader reader = cbor_reader_of(value);
    struct wm_view record;
    if (key.len != PART_KEY_BYTES) {
        walk->rc = WM_E_MALFORMED;
        return false;
    }
    uint64_t second = get_be64(key.ptr);
    if (second > walk->to) {
        return false;
    }
    if (second != walk->second) {
        walk->second = second;
        walk->count = 0;
    }
    while (!wm_cursor_done(&reader.cursor)) {
        if (!cbor_skip(&reader, &record)) {
            walk->rc = WM_E_MALFORMED;
            return false;
        }
        if (!walk->emit(walk->self, second, walk->count++, record)) {
            return false;
        }
    }
    return true;
}

struct rebuild {
    merkle_hash *hashes;
    uint32_t room, count;
};

static bool rebuild_one(void *self, uint64_t second, uint32_t index, struct wm_view record)
{
    struct rebuild *rebuild = self;
    (void)second;
    if (index >= rebuild->room) {
        return false;
    }
    merkle_leaf(record, rebuild->hashes[index]);
    rebuild->count++;
    return true;
}

/* The tree of a second, from all its records in the store. */
static int rebuild_tree(struct kv_reader *reader, uint64_t number, uint32_t count,
                        merkle_hash **out)
{
    uint8_t key[SECOND_KEY_BYTES];
    struct rebuild rebuild = {.room = count};
    struct walk walk = {.emit = rebuild_one, .self = &rebuild, .to = number};
    rebuild.hashes = wm_alloc(merkle_hashes(count) * sizeof *rebuild.hashes);
    if (!rebuild.hashes) {
        return -ENOMEM;
    }
    put_be64(key, number);
    int rc = kv_scan(reader, TABLE_RECORDS, wm_view_of(key, sizeof key), wm_view_of(NULL, 0),
                     walk_part, &walk);
    rc = rc != 0 ? rc : walk.rc;
    if (rc == 0 && rebuild.count != count) {
        rc = WM_E_NOT_FOUND; /* pruned, or being pruned */
    }
    if (rc != 0) {
        wm_free(rebuild.hashes);
        return rc;
    }
    merkle_build(rebuild.hashes, count);
    *out = rebuild.hashes;
    return 0;
}

struct find {
    uint32_t index, first;
    struct wm_view part;
};

static bool find_part(void *self, struct wm_view key, struct wm_view value)
{
    struct find *find = self;
    if (key.len != PART_KEY_BYTES || part_first(key) > find->index) {
        return false;
    }
    find->first = part_first(key);
    find->part = value;
    return true;
}

/* One record of the store; only the part that it is in is looked at. */
static int find_record(struct kv_reader *reader, uint64_t number, uint32_t index,
                       struct wm_view *out)
{
    uint8_t key[SECOND_KEY_BYTES];
    struct find find = {.index = index};
    put_be64(key, number);
    int rc = kv_scan(reader, TABLE_RECORDS, wm_view_of(key, sizeof key), wm_view_of(NULL, 0),
                     find_part, &find);
    if (rc != 0) {
        return rc;
    }
    struct cbor_reader part = cbor_reader_of(find.part);
    for (uint32_t at = find.first; at <= index; at++) {
        if (wm_cursor_done(&part.cursor)) {
            return WM_E_NOT_FOUND; /* pruned, or being pruned */
        }
        if (!cbor_skip(&part, out)) {
            return WM_E_MALFORMED;
        }
    }
    return 0;
}

/* The store's. The tree that was made last is kept: whoever fetches one receipt of an old second
 * often wants more of them. */
static int stored_receipt(struct records *records, struct kv_reader *reader, uint64_t number,
                          uint32_t index, uint8_t *out, size_t *len)
{
    uint8_t key[SECOND_KEY_BYTES];
    struct wm_view root_bytes, record;
    struct signed_root root;
    merkle_hash *hashes, *old;
    put_be64(key, number);
    int rc = kv_get(reader, TABLE_ROOTS, wm_view_of(key, sizeof key), &root_bytes);
    if (rc != 0 || (rc = signed_root_verify(root_bytes, NULL, &root, NULL)) != 0) {
        return rc;
    }
    uint32_t count = (uint32_t)root.root.tree_size;
    if (index >= count) {
        return WM_E_NOT_FOUND;
    }
    rc = find_record(reader, number, index, &record);
    if (rc != 0) {
        return rc;
    }
    pthread_mutex_lock(&records->lock);
    bool kept =
        records->kept_hashes && records->kept_second == number && records->kept_count == count;
    if (kept) {
        rc = put_receipt(root_bytes, record, (const merkle_hash *)records->kept_hashes, count,
                         index, out, len);
    }
    pthread_mutex_unlock(&records->lock);
    if (kept) {
        return rc;
    }
    rc = rebuild_tree(reader, number, count, &hashes);
    if (rc != 0) {
        return rc;
    }
    rc = put_receipt(root_bytes, record, (const merkle_hash *)hashes, count, index, out, len);
    old = hashes;
    if (rc == 0 && merkle_hashes(count) * sizeof *hashes <= records->config.recent_bytes_max) {
        pthread_mutex_lock(&records->lock);
        old = records->kept_hashes;
        records->kept_hashes = hashes;
        records->kept_second = number;
        records->kept_count = count;
        pthread_mutex_unlock(&records->lock);
    }
    wm_free(old);
    return rc;
}

int records_receipt(struct records *records, uint64_t second, uint32_t index,
                    uint8_t out[RECEIPT_BYTES_MAX], size_t *len, struct wm_diag *diag)
{
    unsigned long long shown = second;
    struct kv_reader *reader;
    if (second > records_sealed(records)) {
        return second <= atomic_load_explicit(&records->highest, memory_order_acquire)
                   ? wm_diag_set(diag, WM_E_BUSY,
                                 "second %llu: is not sealed yet; ask again in a moment", shown)
                   : wm_diag_set(diag, WM_E_NOT_FOUND, "second %llu: no call was recorded in it",
                                 shown);
    }
    int rc = recent_receipt(records, second, index, out, len);
    if (rc == WM_E_BUSY) {
        rc = kv_read_begin(records->config.kv, &reader, diag);
        if (rc != 0) {
            return rc;
        }
        rc = stored_receipt(records, reader, second, index, out, len);
        kv_read_end(reader);
    }
    if (rc == 0) {
        pthread_mutex_lock(&records->lock);
        records->stats.receipts++;
        pthread_mutex_unlock(&records->lock);
        return 0;
    }
    if (rc == WM_E_NOT_FOUND) {
        return wm_diag_set(
            diag, rc,
            "record %u of second %llu: there is none: it was never made, or is older "
            "than this node keeps records",
            index, shown);
    }
    if (rc == WM_E_MALFORMED || rc == WM_E_FORGED) {
        return wm_diag_set(diag, rc,
                           "second %llu: its records in the store are not those that its root was "
                           "signed over: the store is damaged",
                           shown);
    }
    return wm_diag_default(diag, rc, "records");
}

struct roots_walk {
    records_emit_root *emit;
    void *self;
};

static bool walk_root(void *self, struct wm_view key, struct wm_view value)
{
    struct roots_walk *walk = self;
    return key.len == SECOND_KEY_BYTES && walk->emit(walk->self, get_be64(key.ptr), value);
}

int records_roots(struct records *records, uint64_t from, records_emit_root *emit, void *self,
                  struct wm_diag *diag)
{
    uint8_t key[SECOND_KEY_BYTES];
    struct roots_walk walk = {emit, self};
    struct kv_reader *reader;
    struct wm_view none = {NULL, 0};
    int rc = kv_read_begin(records->config.kv, &reader, diag);
    if (rc != 0) {
        return rc;
    }
    put_be64(key, from);
    rc = kv_scan(reader, TABLE_ROOTS, none, wm_view_of(key, sizeof key), walk_root, &walk);
    kv_read_end(reader);
    return rc == 0 ? 0 : wm_diag_default(diag, rc, "records");
}

int records_scan(struct records *records, uint64_t from, uint64_t to, records_emit *emit,
                 void *self, struct wm_diag *diag)
{
    uint8_t key[SECOND_KEY_BYTES];
    struct walk walk = {.emit = emit, .self = self, .to = to};
    struct kv_reader *reader;
    struct wm_view none = {NULL, 0};
    int rc = kv_read_begin(records->config.kv, &reader, diag);
    if (rc != 0) {
        return rc;
    }
    put_be64(key, from);
    rc = kv_scan(reader, TABLE_RECORDS, none, wm_view_of(key, sizeof key), walk_part, &walk);
    kv_read_end(reader);
    rc = rc != 0 ? rc : walk.rc;
    return rc == 0 ? 0
                   : wm_diag_set(diag, rc, "records: reading second %llu: %s",
                                 (unsigned long long)walk.second, wm_error_text(rc));
}

void records_stats(struct records *records, struct records_stats *out)
{
    pthread_mutex_lock(&records->lock);
    *out = records->stats;
    pthread_mutex_unlock(&records->lock);
    out->added = atomic_load_explicit(&records->added, memory_order_relaxed);
    out->lost = atomic_load_explicit(&records->lost, memory_order_relaxed);
    out->pending_bytes = atomic_load_explicit(&records->pending_bytes, memory_order_relaxed);
}
