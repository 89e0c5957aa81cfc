/* Values on Redis.
 *
 * A value is two strings: "m" holds its size in decimal digits, "v" its bytes up to the last one
 * that was written (what lies beyond reads as zero). Writing goes in two turns on one connection:
 *
 *     WATCH m [lock]; GET m; [is the fence valid?]
 *     MULTI; [SET m; ZADD index]; SETRANGE v ... ; EXEC
 *
 * EXEC does nothing when what was watched has changed since: the value was made or removed, or the
 * lock was granted to somebody else. Concurrent writers of ranges do not disturb each other, for
 * they do not change m. That takes one round trip more than a script, but a script would have its
 * arguments copied into Lua and out again, which costs more than the trip for everything that is
 * large. */
#include "faaslet/tier_redis.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "faaslet/tier_check.h"
#include "faaslet/tier_leases.h"
#include "faaslet/tier_sets.h"

#define V(text) wm_view_str(text)
#define WRITE_TRIES 100
#define AGAIN 1 /* neither done nor failed: try once more */
#define READ_AHEAD_COUNT 64u
#define READ_AHEAD_BYTES (UINT64_C(4) << 20)
#define LIST_AT_ONCE 256u
#define ELEMENTS_AT_ONCE 32u

/* --- Scripts --- */

/* A lock is a hash: "t" the last token, "w" "UNTIL:OWNER" of a writer that waits, and for each
 * holder "o" and its owner: "MODE:TOKEN:UNTIL", MODE r or w, UNTIL in ms of the server's clock. "w"
 * is set anew only when it gets short: each change makes a holder's write, which watches the lock,
 * start again. */
#define LUA_NOW                   \
    "local T=redis.call('TIME') " \
    "local now=T[1]*1000+math.floor(T[2]/1000) "
#define LUA_TEXT_LOCK                                                                     \
    LUA_NOW                                                                               \
    "local o,mode,ttl,wait=ARGV[1],ARGV[2],tonumber(ARGV[3]),ARGV[4]=='1' "               \
    "local h=redis.call('HGETALL',KEYS[1]) "                                              \
    "local readers,writers,first,claim,claimer=0,0,-1,0,'' "                              \
    "for i=1,#h,2 do local f,v=h[i],h[i+1] "                                              \
    " if f=='w' then local c=string.find(v,':',1,true) "                                  \
    "  claim=tonumber(string.sub(v,1,c-1)) claimer=string.sub(v,c+1) "                    \
    " elseif f~='t' then local m,t,e=string.match(v,'^(%a):(%d+):(%d+)$') e=tonumber(e) " \
    "  if e<=now then redis.call('HDEL',KEYS[1],f) else "                                 \
    "   if f=='o'..o and m==mode then "                                                   \
    "    redis.call('HSET',KEYS[1],f,m..':'..t..':'..string.format('%.0f',now+ttl)) "     \
    "    return {1,t} end "                                                               \
    "   if m=='r' then readers=readers+1 else writers=writers+1 end "                     \
    "   if first<0 or e-now<first then first=e-now end end end end "                      \
    "local free "                                                                         \
    "if mode=='w' then free=readers+writers==0 "                                          \
    "else free=writers==0 and readers<1024 and (claim<=now or claimer==o) end "           \
    "if free then local t=redis.call('HINCRBY',KEYS[1],'t',1) "                           \
    " if mode=='w' then redis.call('HDEL',KEYS[1],'w') end "                              \
    " redis.call('HSET',KEYS[1],'o'..o,mode..':'..string.format('%.0f',t)..':'.."         \
    "string.format('%.0f',now+ttl)) "                                                     \
    " return {1,string.format('%.0f',t)} end "                                            \
    "if mode=='w' and wait then if claim<=now or (claimer==o and claim<now+100) then "    \
    " redis.call('HSET',KEYS[1],'w',string.format('%.0f',now+250)..':'..o) end "          \
    "elseif claimer==o then redis.call('HDEL',KEYS[1],'w') end "                          \
    "return {0,string.format('%.0f',first)}"
/* The holder's lease runs: its mode; else nil. ARGV: owner, token. */
#define LUA_HELD                                                                  \
    LUA_NOW                                                                       \
    "local v=redis.call('HGET',KEYS[1],'o'..ARGV[1]) if not v then return 0 end " \
    "local m,t,e=string.match(v,'^(%a):(%d+):(%d+)$') "                           \
    "if t~=ARGV[2] or tonumber(e)<=now then return 0 end "

enum script { SCRIPT_LOCK, SCRIPT_RENEW, SCRIPT_UNLOCK, SCRIPT_FENCE, SCRIPT_ADD, SCRIPT_MEMBERS };
static const char *const scripts[] = {
    [SCRIPT_LOCK] = LUA_TEXT_LOCK,
    [SCRIPT_RENEW] = LUA_HELD "redis.call('HSET',KEYS[1],'o'..ARGV[1],m..':'..t..':'.."
                              "string.format('%.0f',now+tonumber(ARGV[3]))) return 1",
    [SCRIPT_UNLOCK] = LUA_HELD "redis.call('HDEL',KEYS[1],'o'..ARGV[1]) return 1",
    /* Changes nothing: the key is being watched. */
    [SCRIPT_FENCE] =
        LUA_NOW "local h=redis.call('HGETALL',KEYS[1]) local last,held=nil,false "
                "for i=1,#h,2 do local f,v=h[i],h[i+1] if f=='t' then last=v elseif f~='w' then "
                " local m,t,e=string.match(v,'^(%a):(%d+):(%d+)$') "
                " if m=='w' and t==ARGV[1] and tonumber(e)>now then held=true end end end "
                "if held and last==ARGV[1] then return 1 end return 0",
    [SCRIPT_ADD] =
        LUA_NOW "redis.call('ZREMRANGEBYSCORE',KEYS[1],'-inf',string.format('%.0f',now)) "
                "if redis.call('ZCARD',KEYS[1])>=tonumber(ARGV[3]) and "
                " not redis.call('ZSCORE',KEYS[1],ARGV[1]) then return 0 end "
                "local ttl=tonumber(ARGV[2]) "
                "redis.call('ZADD',KEYS[1],string.format('%.0f',now+ttl),ARGV[1]) "
                "if redis.call('PTTL',KEYS[1])<ttl then redis.call('PEXPIRE',KEYS[1],ttl) end "
                "return 1",
    [SCRIPT_MEMBERS] =
        LUA_NOW "return redis.call('ZRANGEBYSCORE',KEYS[1],'('..string.format('%.0f',now),'+inf')",
};
#define SCRIPTS WM_COUNT_OF(scripts)
#define SHA_BYTES 40

struct remote {
    struct redis *redis;
    char shas[SCRIPTS][SHA_BYTES]; /* of the scripts' texts: the same on every server */
    atomic_uint_fast64_t reads, writes, bytes_read, bytes_written, locks, errors;
};

static int count_error(struct remote *tier, int err)
{
    if (err && err != WM_E_NOT_FOUND) {
        atomic_fetch_add_explicit(&tier->errors, 1, memory_order_relaxed);
    }
    return err;
}

/* --- Names --- */

struct name {
    size_t len;
    char bytes[16 + TIER_TENANT_BYTES_MAX + TIER_KEY_BYTES_MAX];
};

/* wm:KIND:BYTES OF THE TENANT:TENANT:KEY */
static struct name name_of(char kind, struct tier_key key)
{
    struct name name;
    name.len = (size_t)snprintf(name.bytes, sizeof name.bytes, "wm:%c:%zu:", kind, key.tenant.len);
    memcpy(name.bytes + name.len, key.tenant.ptr, key.tenant.len);
    name.len += key.tenant.len;
    name.bytes[name.len++] = ':';
    if (key.key.len > 0) {
        memcpy(name.bytes + name.len, key.key.ptr, key.key.len);
        name.len += key.key.len;
    }
    return name;
}

static struct wm_view view(const struct name *name)
{
    return wm_view_of(name->bytes, name->len);
}

struct digits {
    char text[24];
};

static struct wm_view decimal(struct digits *digits, uint64_t value)
{
    int len = snprintf(digits->text, sizeof digits->text, "%llu", (unsigned long long)value);
    return wm_view_of(digits->text, (size_t)len);
}

static bool parse_decimal(struct wm_view text, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || i >= 19) {
            return false;
        }
        *out = *out * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return text.len > 0;
}

/* --- Asking --- */

static int load_scripts(struct remote *tier, struct redis_conn *conn, struct wm_diag *diag)
{
    for (size_t i = 0; i < SCRIPTS; i++) {
        const struct wm_view args[] = {V("SCRIPT"), V("LOAD"), V(scripts[i])};
        struct redis_value value;
        int err = redis_ask(conn, args, 3, &value, diag);
        if (err) {
            return err;
        }
        if (value.kind != REDIS_TEXT || value.text.len != SHA_BYTES) {
            return redis_failed(conn, &value, diag);
        }
        /* Later loads find the same; other threads are reading it. */
        if (memcmp(tier->shas[i], value.text.ptr, SHA_BYTES) != 0) {
            memcpy(tier->shas[i], value.text.ptr, SHA_BYTES);
        }
    }
    return 0;
}

static bool no_script(const struct redis_value *value)
{
    return value->kind == REDIS_ERROR && value->text.len >= 8 &&
           memcmp(value->text.ptr, "NOSCRIPT", 8) == 0;
}

/* Runs a script on one key, loading it anew where the server has been restarted. */
static int run_script(struct remote *tier, struct redis_conn *conn, enum script script,
                      struct wm_view name, const struct wm_view *args, uint32_t count,
                      struct redis_value *out, struct wm_diag *diag)
{
    struct wm_view all[12] = {V("EVALSHA"), wm_view_of(tier->shas[script], SHA_BYTES), V("1"),
                              name};
    WM_ASSERT(4 + count <= WM_COUNT_OF(all));
    for (uint32_t i = 0; i < count; i++) {
        all[4 + i] = args[i];
    }
    for (int tries = 0;; tries++) {
        int err = redis_send(conn, all, 4 + count, diag);
        err = err ? err : redis_receive(conn, out, diag);
        if (err) {
            return err;
        }
        if (!no_script(out) || tries > 0) {
            return out->kind == REDIS_ERROR ? redis_failed(conn, out, diag) : 0;
        }
        err = load_scripts(tier, conn, diag);
        if (err) {
            return err;
        }
    }
}

static int send_args(struct redis_conn *conn, struct wm_diag *diag, uint32_t count, ...)
{
    struct wm_view args[12];
    va_list list;
    va_start(list, count);
    for (uint32_t i = 0; i < count; i++) {
        args[i] = va_arg(list, struct wm_view);
    }
    va_end(list);
    return redis_send(conn, args, count, diag);
}

/* A reply that must be an integer. */
static int take_integer(struct redis_conn *conn, int64_t *out, struct wm_diag *diag)
{
    struct redis_value value;
    int err = redis_receive(conn, &value, diag);
    if (err) {
        return err;
    }
    *out = value.integer;
    return value.kind == REDIS_INTEGER ? 0 : redis_failed(conn, &value, diag);
}

/* A reply that is a size in decimal digits; WM_E_NOT_FOUND for nil. */
static int take_size(struct redis_conn *conn, struct tier_key key, uint64_t *out,
                     struct wm_diag *diag)
{
    struct redis_value value;
    int err = redis_receive(conn, &value, diag);
    if (err) {
        return err;
    }
    if (value.kind == REDIS_NIL) {
        return tier_fail(diag, WM_E_NOT_FOUND, key, "there is no such key");
    }
    if (value.kind != REDIS_TEXT) {
        return redis_failed(conn, &value, diag);
    }
    if (!parse_decimal(value.text, out)) {
        return tier_fail(diag, WM_E_MALFORMED, key, "its size on Redis is not a number");
    }
    return 0;
}

/* Checks the key and takes a connection. */
static int start(struct remote *tier, struct tier_key key, struct redis_conn **conn,
                 struct wm_diag *diag)
{
    int err = tier_check_key(key, diag);
    return count_error(tier, err ? err : redis_take(tier->redis, conn, diag));
}

static int finish(struct remote *tier, struct redis_conn *conn, int err)
{
    redis_put(conn);
    return count_error(tier, err);
}

/* --- Values --- */

static int op_size(void *self, struct tier_key key, uint64_t *bytes, struct wm_diag *diag)
{
    struct redis_conn *conn;
    int err = start(self, key, &conn, diag);
    if (err) {
        return err;
    }
    struct name name = name_of('m', key);
    err = send_args(conn, diag, 2, V("GET"), view(&name));
    err = err ? err : take_size(conn, key, bytes, diag);
    return finish(self, conn, err);
}

struct write {
    struct remote *tier;
    struct redis_conn *conn;
    struct tier_key key;
    uint64_t bytes, token;
    const struct tier_range *ranges;
    uint32_t count;
    struct name size_name, value_name, lock_name;
};

/* The first turn: 0, AGAIN (the script was not there; it is now), or why not. *made: there is no
 * value yet. */
static int watch(struct write *write, bool *made, struct wm_diag *diag)
{
    struct redis_conn *conn = write->conn;
    struct digits token;
    struct redis_value value;
    uint64_t present = 0;
    int64_t valid = 1;
    int err = write->token ? send_args(conn, diag, 3, V("WATCH"), view(&write->size_name),
                                       view(&write->lock_name))
                           : send_args(conn, diag, 2, V("WATCH"), view(&write->size_name));
    err = err ? err : send_args(conn, diag, 2, V("GET"), view(&write->size_name));
    if (!err && write->token) {
        err = send_args(conn, diag, 5, V("EVALSHA"),
                        wm_view_of(write->tier->shas[SCRIPT_FENCE], SHA_BYTES), V("1"),
                        view(&write->lock_name), decimal(&token, write->token));
    }
    err = err ? err : redis_receive(conn, &value, diag);
    if (!err && value.kind != REDIS_TEXT) {
        err = redis_failed(conn, &value, diag);
    }
    err = err ? err : take_size(conn, write->key, &present, NULL);
    *made = err == WM_E_NOT_FOUND;
    err = *made ? 0 : err;
    if (!err && write->token) {
        err = redis_receive(conn, &value, diag);
        if (!err && no_script(&value)) {
            err = load_scripts(write->tier, conn, diag);
            return err ? err : AGAIN;
        }
        valid = value.integer;
        if (!err && value.kind != REDIS_INTEGER) {
            err = redis_failed(conn, &value, diag);
        }
    }
    if (err) {
        return err;
    }
    if (valid != 1) {
        return tier_fail(diag, WM_E_STALE, write->key,
                         "the lock that this write relies on has expired or was granted anew");
    }
    if (!*made && present != write->bytes) {
        return tier_fail(diag, WM_E_INVALID, write->key, "it exists with another size");
    }
    return 0;
}

static int send_changes(struct write *write, bool made, uint32_t *queued, struct wm_diag *diag)
{
    struct redis_conn *conn = write->conn;
    struct digits digits;
    int err = send_args(conn, diag, 1, V("MULTI"));
    *queued = 0;
    if (!err && made) {
        struct tier_key index = {write->key.tenant, {0}};
        struct name index_name = name_of('i', index);
        err = send_args(conn, diag, 3, V("SET"), view(&write->size_name),
                        decimal(&digits, write->bytes));
        err = err ? err
                  : send_args(conn, diag, 4, V("ZADD"), view(&index_name), V("0"), write->key.key);
        *queued = 2;
    }
    for (uint32_t i = 0; !err && i < write->count; i++) {
        struct wm_view bytes = wm_view_of(write->ranges[i].bytes, write->ranges[i].len);
        if (bytes.len == 0) {
            continue;
        }
        /* SET takes the bytes over as they came; SETRANGE copies them. */
        err = bytes.len == write->bytes
                  ? send_args(conn, diag, 3, V("SET"), view(&write->value_name), bytes)
                  : send_args(conn, diag, 4, V("SETRANGE"), view(&write->value_name),
                              decimal(&digits, write->ranges[i].offset), bytes);
        ++*queued;
    }
    return err ? err : send_args(conn, diag, 1, V("EXEC"));
}

/* The second turn: 0, AGAIN (what was watched has changed), or why not. */
static int execute(struct write *write, bool made, struct wm_diag *diag)
{
    struct redis_conn *conn = write->conn;
    struct redis_value value;
    uint32_t queued;
    int err = send_changes(write, made, &queued, diag), refused = 0;
    for (uint32_t i = 0; !err && i < queued + 1; i++) { /* to MULTI, and to what is queued */
        err = redis_receive(conn, &value, diag);
        if (!err && value.kind != REDIS_TEXT && !refused) {
            refused = redis_failed(conn, &value, diag);
        }
    }
    err = err ? err : redis_receive(conn, &value, diag);
    if (err || refused) {
        return err ? err : refused;
    }
    if (value.kind == REDIS_NIL) {
        return AGAIN;
    }
    if (value.kind != REDIS_ARRAY || value.count != queued) {
        return redis_failed(conn, &value, diag);
    }
    for (size_t i = 0; i < value.count; i++) {
        struct redis_value item = redis_item(conn, i);
        if (item.kind == REDIS_ERROR) {
            return redis_failed(conn, &item, diag);
        }
    }
    return 0;
}

static int unwatch(struct redis_conn *conn, struct wm_diag *diag)
{
    const struct wm_view command = V("UNWATCH");
    struct redis_value value;
    return redis_ask(conn, &command, 1, &value, diag);
}

static int write_value(struct write *write, struct wm_diag *diag)
{
    for (unsigned tries = 0; tries < WRITE_TRIES; tries++) {
        bool made = false;
        int err = watch(write, &made, diag);
        if (!err && !made && write->count == 0) {
            err = unwatch(write->conn, diag);
        } else if (!err) {
            err = execute(write, made, diag);
        } else {
            struct wm_diag dropped;
            int undone = unwatch(write->conn, &dropped);
            err = err == AGAIN && undone ? wm_diag_default(diag, undone, "redis") : err;
        }
        if (err != AGAIN) {
            return err;
        }
        if (tries > 2) {
            struct timespec pause = {0, (long)(tries * 100000)};
            nanosleep(&pause, NULL);
        }
    }
    return tier_fail(diag, WM_E_BUSY, write->key, "it is made and removed all the time");
}

static int op_write(void *self, struct tier_key key, uint64_t bytes,
                    const struct tier_range *ranges, uint32_t count, uint64_t token,
                    struct wm_diag *diag)
{
    struct remote *tier = self;
    struct write write = {
        .tier = tier, .key = key, .bytes = bytes, .token = token, .ranges = ranges, .count = count};
    uint64_t total = 0;
    int err = tier_check_key(key, diag);
    err = err ? err : tier_check_size(key, bytes, diag);
    err = err ? err : tier_check_ranges(key, bytes, ranges, count, &total, diag);
    if (!err && bytes > TIER_REDIS_VALUE_BYTES_MAX) {
        err = tier_fail(diag, WM_E_LIMIT, key, "larger than a value on Redis may be (512 MiB)");
    }
    err = err ? err : redis_take(tier->redis, &write.conn, diag);
    if (err) {
        return count_error(tier, err);
    }
    write.size_name = name_of('m', key);
    write.value_name = name_of('v', key);
    write.lock_name = name_of('k', key);
    err = write_value(&write, diag);
    if (!err) {
        atomic_fetch_add_explicit(&tier->writes, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&tier->bytes_written, total, memory_order_relaxed);
    }
    return finish(tier, write.conn, err);
}

static int op_create(void *self, struct tier_key key, uint64_t bytes, struct wm_diag *diag)
{
    return op_write(self, key, bytes, NULL, 0, 0, diag);
}

/* Asks for ranges from *next on, as many as may be under way. */
static int ask_ranges(struct redis_conn *conn, const struct name *name,
                      const struct tier_range *ranges, uint32_t count, uint32_t *next,
                      uint32_t answered, uint64_t *under_way, struct wm_diag *diag)
{
    int err = 0;
    while (!err && *next < count && *next - answered < READ_AHEAD_COUNT &&
           (*under_way == 0 || *under_way + ranges[*next].len <= READ_AHEAD_BYTES)) {
        const struct tier_range *range = &ranges[(*next)++];
        struct digits from, to;
        if (range->len > 0) {
            err = send_args(conn, diag, 4, V("GETRANGE"), view(name), decimal(&from, range->offset),
                            decimal(&to, range->offset + range->len - 1));
        }
        *under_way += range->len;
    }
    return err;
}

static int read_ranges(struct redis_conn *conn, struct tier_key key,
                       const struct tier_range *ranges, uint32_t count, uint64_t *total,
                       struct wm_diag *diag)
{
    struct name size_name = name_of('m', key), name = name_of('v', key);
    uint64_t bytes = 0, under_way = 0;
    uint32_t next = 0;
    /* One large range, the usual case, goes with the question for the size; ranges that nobody has
     * checked must fit the limit of an answer. */
    bool at_once = count == 1 && ranges[0].len > 0 && ranges[0].len <= READ_AHEAD_BYTES &&
                   ranges[0].offset <= TIER_VALUE_BYTES_MAX;
    int err = send_args(conn, diag, 2, V("GET"), view(&size_name));
    if (!err && at_once) {
        err = ask_ranges(conn, &name, ranges, count, &next, 0, &under_way, diag);
    }
    err = err ? err : take_size(conn, key, &bytes, diag);
    err = err ? err : tier_check_ranges(key, bytes, ranges, count, total, diag);
    if (err && at_once) {
        struct redis_value value;
        int drained = redis_receive(conn, &value, NULL); /* so that the connection can be kept */
        return drained == -ETIMEDOUT ? drained : err;
    }
    for (uint32_t i = 0; !err && i < count; i++) {
        size_t got = 0;
        err = ask_ranges(conn, &name, ranges, count, &next, i, &under_way, diag);
        if (!err && ranges[i].len > 0) {
            err = redis_receive_into(conn, ranges[i].bytes, ranges[i].len, &got, diag);
        }
        under_way -= ranges[i].len;
        if (!err && got < ranges[i].len) { /* beyond what was ever written */
            memset(ranges[i].bytes + got, 0, ranges[i].len - got);
        }
    }
    return err;
}

static int op_read(void *self, struct tier_key key, const struct tier_range *ranges, uint32_t count,
                   struct wm_diag *diag)
{
    struct remote *tier = self;
    struct redis_conn *conn;
    uint64_t total = 0;
    int err = start(self, key, &conn, diag);
    if (err) {
        return err;
    }
    err = read_ranges(conn, key, ranges, count, &total, diag);
    if (!err) {
        atomic_fetch_add_explicit(&tier->reads, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&tier->bytes_read, total, memory_order_relaxed);
    }
    return finish(self, conn, err);
}

/* A MULTI of commands that need not be looked at one by one. */
static int finish_multi(struct redis_conn *conn, uint32_t queued, struct wm_diag *diag)
{
    struct redis_value value;
    int err = send_args(conn, diag, 1, V("EXEC")), refused = 0;
    for (uint32_t i = 0; !err && i < queued + 2; i++) {
        err = redis_receive(conn, &value, diag);
        if (!err && value.kind == REDIS_ERROR && !refused) {
            refused = redis_failed(conn, &value, diag);
        }
    }
    return err ? err : refused;
}

static int op_remove(void *self, struct tier_key key, struct wm_diag *diag)
{
    struct redis_conn *conn;
    int err = start(self, key, &conn, diag);
    if (err) {
        return err;
    }
    struct tier_key index = {key.tenant, {0}};
    struct name m = name_of('m', key), v = name_of('v', key), l = name_of('l', key);
    struct name c = name_of('c', key), i = name_of('i', index);
    err = send_args(conn, diag, 1, V("MULTI"));
    err = err ? err : send_args(conn, diag, 5, V("UNLINK"), view(&m), view(&v), view(&l), view(&c));
    err = err ? err : send_args(conn, diag, 3, V("ZREM"), view(&i), key.key);
    err = err ? err : finish_multi(conn, 2, diag);
    return finish(self, conn, err);
}

/* --- Listing --- */

struct listed {
    size_t len;
    uint8_t bytes[TIER_KEY_BYTES_MAX];
};

static bool starts_with(struct wm_view text, struct wm_view start)
{
    return text.len >= start.len && (start.len == 0 || memcmp(text.ptr, start.ptr, start.len) == 0);
}

static bool comes_before(struct wm_view a, struct wm_view b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return order < 0 || (order == 0 && a.len < b.len);
}

/* One batch of the index from `from` on (including it where `inclusive`). */
static int list_batch(struct redis_conn *conn, struct wm_view index_name, struct wm_view from,
                      bool inclusive, struct listed *keys, uint32_t *count, struct wm_diag *diag)
{
    uint8_t start[1 + TIER_KEY_BYTES_MAX];
    struct redis_value value;
    struct digits digits;
    start[0] = inclusive ? '[' : '(';
    if (from.len > 0) {
        memcpy(start + 1, from.ptr, from.len);
    }
    int err =
        send_args(conn, diag, 7, V("ZRANGEBYLEX"), index_name, wm_view_of(start, 1 + from.len),
                  V("+"), V("LIMIT"), V("0"), decimal(&digits, LIST_AT_ONCE));
    err = err ? err : redis_receive(conn, &value, diag);
    if (err) {
        return err;
    }
    if (value.kind != REDIS_ARRAY || value.count > LIST_AT_ONCE) {
        return redis_failed(conn, &value, diag);
    }
    *count = 0;
    for (size_t i = 0; i < value.count; i++) {
        struct redis_value item = redis_item(conn, i);
        if (item.kind == REDIS_TEXT && item.text.len >= 1 && item.text.len <= TIER_KEY_BYTES_MAX) {
            struct listed *key = &keys[(*count)++];
            key->len = item.text.len;
            memcpy(key->bytes, item.text.ptr, key->len);
        }
    }
    return 0;
}

static int list_all(struct redis_conn *conn, struct wm_view tenant, struct wm_view prefix,
                    struct wm_view after, struct listed *keys, tier_emit_fn *emit, void *emit_self,
                    struct wm_diag *diag)
{
    struct tier_key index = {tenant, {0}};
    struct name index_name = name_of('i', index);
    struct listed last;
    bool inclusive = comes_before(after, prefix);
    struct wm_view from = inclusive ? prefix : after;
    for (;;) {
        uint32_t count = 0;
        int err = list_batch(conn, view(&index_name), from, inclusive, keys, &count, diag);
        for (uint32_t i = 0; !err && i < count; i++) {
            struct tier_key key = {tenant, wm_view_of(keys[i].bytes, keys[i].len)};
            struct name name = name_of('m', key);
            err = send_args(conn, diag, 2, V("GET"), view(&name));
        }
        bool stopped = false;
        for (uint32_t i = 0; !err && i < count; i++) {
            struct tier_key key = {tenant, wm_view_of(keys[i].bytes, keys[i].len)};
            uint64_t bytes = 0;
            struct wm_diag dropped;
            err = take_size(conn, key, &bytes, &dropped);
            if (err == WM_E_NOT_FOUND) {
                err = 0; /* removed meanwhile */
            } else if (!err && !stopped) {
                stopped = !starts_with(key.key, prefix) || !emit(emit_self, key.key, bytes);
            } else if (err && diag) {
                *diag = dropped;
            }
        }
        if (err || stopped || count < LIST_AT_ONCE) {
            return err;
        }
        last = keys[count - 1];
        from = wm_view_of(last.bytes, last.len);
        inclusive = false;
    }
}

static int op_list(void *self, struct wm_view tenant, struct wm_view prefix, struct wm_view after,
                   tier_emit_fn *emit, void *emit_self, struct wm_diag *diag)
{
    struct remote *tier = self;
    struct redis_conn *conn;
    if (tenant.len == 0 || tenant.len > TIER_TENANT_BYTES_MAX || prefix.len > TIER_KEY_BYTES_MAX ||
        after.len > TIER_KEY_BYTES_MAX) {
        return wm_diag_set(diag, WM_E_INVALID, "state: listing: a name or prefix is too long");
    }
    struct listed *keys = wm_alloc_zero(LIST_AT_ONCE, sizeof *keys);
    int err = keys ? redis_take(tier->redis, &conn, diag)
                   : wm_diag_set(diag, -ENOMEM, "state: listing: no memory");
    if (!err) {
        err = list_all(conn, tenant, prefix, after, keys, emit, emit_self, diag);
        redis_put(conn);
    }
    wm_free(keys);
    return count_error(tier, err);
}

/* --- Lists and counters --- */

static int op_append(void *self, struct tier_key key, struct wm_view element, uint64_t *index,
                     struct wm_diag *diag)
{
    struct redis_conn *conn;
    int64_t count = 0;
    if (element.len > TIER_ELEMENT_BYTES_MAX) {
        return tier_fail(diag, WM_E_LIMIT, key, "an element of a list has at most 1 MiB");
    }
    int err = start(self, key, &conn, diag);
    if (err) {
        return err;
    }
    struct name name = name_of('l', key);
    err = send_args(conn, diag, 3, V("RPUSH"), view(&name), element);
    err = err ? err : take_integer(conn, &count, diag);
    *index = (uint64_t)(count - 1);
    return finish(self, conn, err);
}

static int op_appended(void *self, struct tier_key key, uint64_t first, uint64_t count,
                       tier_emit_fn *emit, void *emit_self, struct wm_diag *diag)
{
    struct redis_conn *conn;
    int err = start(self, key, &conn, diag);
    if (err) {
        return err;
    }
    struct name name = name_of('l', key);
    bool more = true;
    while (!err && more && count > 0 && first < INT64_MAX / 2) {
        struct redis_value value = {0};
        struct digits from, to;
        uint64_t wanted = wm_min_u64(count, ELEMENTS_AT_ONCE);
        err = send_args(conn, diag, 4, V("LRANGE"), view(&name), decimal(&from, first),
                        decimal(&to, first + wanted - 1));
        err = err ? err : redis_receive(conn, &value, diag);
        if (!err && (value.kind != REDIS_ARRAY || value.count > wanted)) {
            err = redis_failed(conn, &value, diag);
        }
        for (size_t i = 0; !err && more && i < value.count; i++) {
            more = emit(emit_self, redis_item(conn, i).text, first + i);
        }
        more = more && value.count == wanted;
        first += wanted;
        count -= wanted;
    }
    return finish(self, conn, err);
}

static int op_appended_count(void *self, struct tier_key key, uint64_t *count, struct wm_diag *diag)
{
    struct redis_conn *conn;
    int64_t present = 0;
    int err = start(self, key, &conn, diag);
    if (err) {
        return err;
    }
    struct name name = name_of('l', key);
    err = send_args(conn, diag, 2, V("LLEN"), view(&name));
    err = err ? err : take_integer(conn, &present, diag);
    *count = (uint64_t)present;
    return finish(self, conn, err);
}

static int op_clear_appended(void *self, struct tier_key key, struct wm_diag *diag)
{
    struct redis_conn *conn;
    int64_t removed;
    int err = start(self, key, &conn, diag);
    if (err) {
        return err;
    }
    struct name name = name_of('l', key);
    err = send_args(conn, diag, 2, V("UNLINK"), view(&name));
    err = err ? err : take_integer(conn, &removed, diag);
    return finish(self, conn, err);
}

static int op_add(void *self, struct tier_key key, int64_t delta, int64_t *now,
                  struct wm_diag *diag)
{
    struct redis_conn *conn;
    struct redis_value value = {0};
    char digits[24], text[24] = "0";
    int err = start(self, key, &conn, diag);
    if (err) {
        return err;
    }
    struct name name = name_of('c', key);
    int len = snprintf(digits, sizeof digits, "%lld", (long long)delta);
    err = delta
              ? send_args(conn, diag, 3, V("INCRBY"), view(&name), wm_view_of(digits, (size_t)len))
              : send_args(conn, diag, 2, V("GET"), view(&name));
    err = err ? err : redis_receive(conn, &value, diag);
    if (!err && value.kind == REDIS_INTEGER) {
        *now = value.integer;
    } else if (!err && delta == 0 && value.kind == REDIS_NIL) {
        *now = 0;
    } else if (!err && delta == 0 && value.kind == REDIS_TEXT && value.text.len < sizeof text) {
        memcpy(text, value.text.ptr, value.text.len);
        *now = strtoll(text, NULL, 10);
    } else if (!err && value.kind == REDIS_ERROR &&
               memmem(value.text.ptr, value.text.len, "overflow", 8)) {
        err = tier_fail(diag, -ERANGE, key, "the counter would leave the range of 64 bits");
    } else if (!err) {
        err = redis_failed(conn, &value, diag);
    }
    return finish(self, conn, err);
}

/* --- Locks --- */

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* One try: 0, WM_E_BUSY (*first_ms until a holder expires, -1: unknown), or why not. */
static int try_lock(struct remote *tier, struct tier_key key, struct tier_lock *lock,
                    uint32_t ttl_ms, bool wait, int64_t *first_ms, struct wm_diag *diag)
{
    struct redis_conn *conn;
    struct redis_value value;
    struct digits ttl;
    struct name name = name_of('k', key);
    int err = redis_take(tier->redis, &conn, diag);
    if (err) {
        return err;
    }
    const struct wm_view args[] = {wm_view_of(lock->owner, sizeof lock->owner),
                                   V(lock->mode == TIER_LOCK_WRITE ? "w" : "r"),
                                   decimal(&ttl, ttl_ms), V(wait ? "1" : "0")};
    err = run_script(tier, conn, SCRIPT_LOCK, view(&name), args, 4, &value, diag);
    if (!err) {
        struct redis_value granted = redis_item(conn, 0), number = redis_item(conn, 1);
        uint64_t parsed = 0;
        if (value.kind != REDIS_ARRAY || granted.kind != REDIS_INTEGER ||
            number.kind != REDIS_TEXT) {
            err = redis_failed(conn, &value, diag);
        } else if (granted.integer == 0) {
            *first_ms = parse_decimal(number.text, &parsed) ? (int64_t)parsed : -1;
            err = WM_E_BUSY;
        } else if (!parse_decimal(number.text, &lock->token) || lock->token == 0) {
            err = redis_failed(conn, &value, diag);
        }
    }
    redis_put(conn);
    return err;
}

static int op_lock(void *self, struct tier_key key, struct tier_lock *lock, uint32_t ttl_ms,
                   uint32_t wait_ms, struct wm_diag *diag)
{
    struct remote *tier = self;
    int err = tier_check_key(key, diag);
    err = err ? err : tier_check_ttl(key, ttl_ms, diag);
    if (!err && lock->mode != TIER_LOCK_READ && lock->mode != TIER_LOCK_WRITE) {
        err = tier_fail(diag, WM_E_INVALID, key, "a lock is for reading or for writing");
    }
    if (err) {
        return err;
    }
    int64_t deadline = monotonic_ms() + wait_ms, pause = 1;
    for (;;) {
        int64_t first_ms = -1, left = deadline - monotonic_ms();
        err = try_lock(tier, key, lock, ttl_ms, left > 0, &first_ms, diag);
        if (err != WM_E_BUSY) {
            break;
        }
        if (left <= 0) {
            err = tier_fail(diag, err, key, "its lock was not free in time");
            break;
        }
        int64_t ms = pause < left ? pause : left;
        ms = first_ms >= 0 && first_ms + 1 < ms ? first_ms + 1 : ms;
        struct timespec wait = {ms / 1000, ms % 1000 * 1000000};
        nanosleep(&wait, NULL);
        pause = pause < 32 ? pause * 2 : 32;
    }
    if (!err) {
        atomic_fetch_add_explicit(&tier->locks, 1, memory_order_relaxed);
    }
    return count_error(tier, err);
}

/* Renew and unlock: a script that answers 1, or 0 where the lock is lost. */
static int ask_holder(struct remote *tier, struct tier_key key, const struct tier_lock *lock,
                      enum script script, uint32_t ttl_ms, struct wm_diag *diag)
{
    struct redis_conn *conn;
    struct redis_value value;
    struct digits token, ttl;
    int err = start(tier, key, &conn, diag);
    if (err) {
        return err;
    }
    struct name name = name_of('k', key);
    const struct wm_view args[] = {wm_view_of(lock->owner, sizeof lock->owner),
                                   decimal(&token, lock->token), decimal(&ttl, ttl_ms)};
    err = run_script(tier, conn, script, view(&name), args, 3, &value, diag);
    if (!err && value.kind != REDIS_INTEGER) {
        err = redis_failed(conn, &value, diag);
    } else if (!err && value.integer != 1) {
        err = tier_fail(diag, WM_E_STALE, key, "the lock has expired: somebody else may hold it");
    }
    return finish(tier, conn, err);
}

static int op_renew(void *self, struct tier_key key, const struct tier_lock *lock, uint32_t ttl_ms,
                    struct wm_diag *diag)
{
    int err = tier_check_ttl(key, ttl_ms, diag);
    return err ? err : ask_holder(self, key, lock, SCRIPT_RENEW, ttl_ms, diag);
}

static int op_unlock(void *self, struct tier_key key, const struct tier_lock *lock,
                     struct wm_diag *diag)
{
    return ask_holder(self, key, lock, SCRIPT_UNLOCK, 0, diag);
}

/* --- Sets --- */

static int op_set_add(void *self, struct tier_key key, struct wm_view member, uint32_t ttl_ms,
                      struct wm_diag *diag)
{
    struct redis_conn *conn;
    struct redis_value value;
    struct digits ttl, most;
    int err = tier_check_member(key, member, diag);
    err = err ? err : tier_check_ttl(key, ttl_ms, diag);
    err = err ? err : start(self, key, &conn, diag);
    if (err) {
        return err;
    }
    struct name name = name_of('s', key);
    const struct wm_view args[] = {member, decimal(&ttl, ttl_ms),
                                   decimal(&most, SETS_MEMBERS_OF_ONE_MAX)};
    err = run_script(self, conn, SCRIPT_ADD, view(&name), args, 3, &value, diag);
    if (!err && value.integer != 1) {
        err = tier_fail(diag, WM_E_LIMIT, key, "the set has as many members as one may have");
    }
    return finish(self, conn, err);
}

static int op_set_remove(void *self, struct tier_key key, struct wm_view member,
                         struct wm_diag *diag)
{
    struct redis_conn *conn;
    int64_t removed;
    int err = tier_check_member(key, member, diag);
    err = err ? err : start(self, key, &conn, diag);
    if (err) {
        return err;
    }
    struct name name = name_of('s', key);
    err = send_args(conn, diag, 3, V("ZREM"), view(&name), member);
    err = err ? err : take_integer(conn, &removed, diag);
    return finish(self, conn, err);
}

static int compare_views(const void *a, const void *b)
{
    const struct wm_view *one = a, *other = b;
    return comes_before(*one, *other) ? -1 : comes_before(*other, *one) ? 1 : 0;
}

static int op_set_members(void *self, struct tier_key key, tier_emit_fn *emit, void *emit_self,
                          struct wm_diag *diag)
{
    struct redis_conn *conn;
    struct redis_value value;
    int err = start(self, key, &conn, diag);
    if (err) {
        return err;
    }
    struct name name = name_of('s', key);
    err = run_script(self, conn, SCRIPT_MEMBERS, view(&name), NULL, 0, &value, diag);
    if (!err && value.kind != REDIS_ARRAY) {
        err = redis_failed(conn, &value, diag);
    }
    struct wm_view *members = err ? NULL : wm_alloc_zero(value.count + 1, sizeof *members);
    if (!err && !members) {
        err = tier_fail(diag, -ENOMEM, key, "no memory");
    }
    if (!err) {
        for (size_t i = 0; i < value.count; i++) {
            members[i] = redis_item(conn, i).text;
        }
        qsort(members, value.count, sizeof *members, compare_views);
        for (size_t i = 0; i < value.count && emit(emit_self, members[i], 0); i++) {
        }
    }
    wm_free(members);
    return finish(self, conn, err);
}

/* --- The object --- */

static void op_close(void *self)
{
    struct remote *tier = self;
    redis_close(tier->redis);
    wm_free(tier);
}

static const struct tier_ops ops = {
    .size = op_size,
    .create = op_create,
    .read = op_read,
    .write = op_write,
    .remove = op_remove,
    .list = op_list,
    .append = op_append,
    .appended = op_appended,
    .appended_count = op_appended_count,
    .clear_appended = op_clear_appended,
    .add = op_add,
    .lock = op_lock,
    .renew = op_renew,
    .unlock = op_unlock,
    .set_add = op_set_add,
    .set_remove = op_set_remove,
    .set_members = op_set_members,
    .close = op_close,
};

/* The value of a setting, as text; empty where the server does not tell (a managed one may not). */
static void setting(struct redis_conn *conn, const char *name, char out[64])
{
    struct redis_value value;
    struct wm_diag dropped;
    const struct wm_view args[] = {V("CONFIG"), V("GET"), V(name)};
    out[0] = 0;
    if (redis_ask(conn, args, 3, &value, &dropped) == 0 && value.kind == REDIS_ARRAY &&
        value.count == 2) {
        struct redis_value item = redis_item(conn, 1);
        snprintf(out, 64, "%.*s", (int)(item.text.len < 63 ? item.text.len : 63),
                 (const char *)item.text.ptr);
    }
}

static void warn(struct redis_conn *conn, const char *address, struct wm_diag *warning)
{
    char append[64], save[64], evict[64];
    setting(conn, "appendonly", append);
    setting(conn, "save", save);
    setting(conn, "maxmemory-policy", evict);
    *warning = (struct wm_diag)WM_DIAG_INIT;
    if (strcmp(append, "yes") == 0) {
        if (evict[0] && strcmp(evict, "noeviction") != 0 && strncmp(evict, "volatile", 8) != 0) {
            wm_diag_set(warning, WM_E_MISSING,
                        "redis: %s removes keys when its memory is full (maxmemory-policy %s): "
                        "state would vanish; set it to noeviction",
                        address, evict);
        }
    } else if (!append[0]) {
        wm_diag_set(warning, WM_E_MISSING,
                    "redis: %s does not tell whether it is persistent; state lasts only as long "
                    "as it keeps it (it needs appendonly yes)",
                    address);
    } else if (save[0]) {
        wm_diag_set(warning, WM_E_MISSING,
                    "redis: %s keeps snapshots only: when it ends, what was written since the last "
                    "one is lost, though it was acknowledged; set appendonly yes",
                    address);
    } else {
        wm_diag_set(warning, WM_E_MISSING,
                    "redis: %s has persistence switched off: all state is lost when it ends; set "
                    "appendonly yes",
                    address);
    }
}

int tier_redis_open(const struct redis_config *config, struct tier *out, struct wm_diag *warning,
                    struct wm_diag *diag)
{
    struct remote *tier = wm_alloc_zero(1, sizeof *tier);
    struct redis_conn *conn;
    if (!tier) {
        return wm_diag_default(diag, -ENOMEM, "redis");
    }
    int err = redis_open(config, &tier->redis, diag);
    err = err ? err : redis_take(tier->redis, &conn, diag);
    if (!err) {
        err = load_scripts(tier, conn, diag);
        if (!err && warning) {
            warn(conn, config->address, warning);
        }
        redis_put(conn);
    }
    if (err) {
        op_close(tier);
        return err;
    }
    *out = (struct tier){&ops, tier};
    return 0;
}

void tier_redis_stats(const struct tier *tier, struct tier_stats *out)
{
    struct remote *remote = tier->self;
    WM_ASSERT(tier->ops == &ops);
    *out = (struct tier_stats){
        .reads = atomic_load(&remote->reads),
        .writes = atomic_load(&remote->writes),
        .bytes_read = atomic_load(&remote->bytes_read),
        .bytes_written = atomic_load(&remote->bytes_written),
        .locks = atomic_load(&remote->locks),
        .errors = atomic_load(&remote->errors),
    };
}
