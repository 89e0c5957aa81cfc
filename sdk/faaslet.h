/* faaslet.h: what a function running in Wardmote may ask of its host (C and C++).
 *
 * A function is a WebAssembly reactor built by `wardmote build --faaslet FILE.c -o NAME.wasm`:
 *
 *     #include <faaslet.h>
 *
 *     FAASLET_INIT                      (optional) runs once, at upload: what it leaves in memory
 * is {                                 frozen into the Proto-Faaslet, from which every call starts
 *         return load_tables();         not 0: the upload fails
 *     }
 *
 *     FAASLET_MAIN                      runs for each call, in memory as FAASLET_INIT left it
 *     {
 *         char name[64];
 *         int32_t len = faaslet_input(name, sizeof name);
 *         faaslet_output(name, len);
 *         return 0;                     the call's return code; not 0 is a failure
 *     }
 *
 * After each call the memory is put back: nothing that a call wrote into memory, files or
 * descriptors is seen by another call. What should stay goes into state (below).
 *
 * A program without this header, with a main() and built for wasm32-wasi, is a function too: its
 * standard input is the input, its standard output the output, its exit status the return code.
 *
 * Conventions. Functions that return int32_t or int64_t return a value >= 0, or minus an errno of
 * <errno.h> (-ENOENT: no such key or function; -EFAULT: a pointer outside of memory; -EFBIG,
 * -EDQUOT: over a limit; -EACCES: not permitted; -ETIMEDOUT; -EIO: the global tier failed;
 * -ESTALE: a lock was lost). Keys are 1 to FAASLET_KEY_MAX bytes, names 1 to FAASLET_NAME_MAX.
 * Offsets and lengths are in bytes. All data is bytes: no serialisation is imposed.
 *
 * Source of the interface: Shillaker and Pietzuch, Faasm (USENIX ATC 2020), table 2, and the
 * authors' header of 2020. */
#ifndef FAASLET_H
#define FAASLET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FAASLET_KEY_MAX 256u
#define FAASLET_NAME_MAX 64u
#define FAASLET_CHAINED_MAX 1024u /* calls that one call may have started (its fan-out) */

#define FAASLET_IMPORT(name) __attribute__((import_module("faaslet"), import_name(#name)))
#define FAASLET_EXPORT(name) __attribute__((export_name(#name), visibility("default")))

#define FAASLET_INIT                                                     \
    FAASLET_EXPORT(faaslet_init) int32_t faaslet_init_of_function(void); \
    int32_t faaslet_init_of_function(void)
#define FAASLET_MAIN                                                     \
    FAASLET_EXPORT(faaslet_main) int32_t faaslet_main_of_function(void); \
    int32_t faaslet_main_of_function(void)
/* Runs at the start of each call, before FAASLET_MAIN: the place to seed a random generator, which
 * FAASLET_INIT must not do, because all calls would then see the same numbers. */
#define FAASLET_RESTORED                                                      \
    FAASLET_EXPORT(faaslet_restored) void faaslet_restored_of_function(void); \
    void faaslet_restored_of_function(void)

/* --- The call --- */

/* Copies [offset, offset + len) of the input, as far as there is, and returns how much that was;
 * the size is faaslet_input_size(). */
FAASLET_IMPORT(input_size) uint32_t faaslet_input_size(void);
FAASLET_IMPORT(input_read)
int32_t faaslet_input_read(uint32_t offset, void *out, uint32_t len);
static inline int32_t faaslet_input(void *out, uint32_t len)
{
    return faaslet_input_read(0, out, len);
}
/* Replaces the output; faaslet_output_append adds to it. 0; -EFBIG: over the limit, unchanged. */
FAASLET_IMPORT(output_set) int32_t faaslet_output(const void *bytes, uint32_t len);
FAASLET_IMPORT(output_append)
int32_t faaslet_output_append(const void *bytes, uint32_t len);

/* Of a call that came by a route: `name` is "method", "path", "query" or "header:NAME" (NAME in any
 * case). Length of the value, of which at most len bytes were copied; -ENOENT. */
FAASLET_IMPORT(request_read)
int32_t faaslet_request(const char *name, uint32_t name_len, void *out, uint32_t len);
/* What the route answers: 200 and application/octet-stream unless said otherwise. */
FAASLET_IMPORT(response_status) int32_t faaslet_response_status(uint32_t status);
FAASLET_IMPORT(response_header)
int32_t faaslet_response_header(const char *name, uint32_t name_len, const char *value,
                                uint32_t value_len);
/* A secret of this function, set by its owner, never part of a Proto-Faaslet: not in FAASLET_INIT
 * (-EACCES). Length, of which at most len bytes were copied; -ENOENT. */
FAASLET_IMPORT(secret_read)
int32_t faaslet_secret(const char *name, uint32_t name_len, void *out, uint32_t len);
/* A line of the function's log (standard error goes there too). */
FAASLET_IMPORT(log) int32_t faaslet_log(const char *text, uint32_t len);

/* --- Chained calls: functions of the same tenant --- */

/* Starts `name` ("NAME", "NAME:ALIAS" or "NAME@VERSION"); returns the call's id, > 0, at once. It
 * may go on when this call has ended, but never has longer than this call had. */
FAASLET_IMPORT(chain)
int64_t faaslet_chain(const char *name, uint32_t name_len, const void *input, uint32_t input_len);
/* The same for a function int32_t f(void) of this module, as its own call from the Proto-Faaslet
 * on: memory changed since is not seen there. Its index in the table is checked, as is its type. */
typedef int32_t faaslet_function(void);
FAASLET_IMPORT(chain_this)
int64_t faaslet_chain_this(faaslet_function *function, const void *input, uint32_t input_len);
/* Waits for the end of a call that this call has started. Its return code, 0 to 255 when it ended
 * by itself; or -ETIMEDOUT (timeout_ms; UINT32_MAX: no limit but the call's own), -ECHILD (no call
 * of this one), -ECANCELED (it trapped, or was over a limit), -EHOSTUNREACH (its node died, and the
 * function is not declared idempotent). May be asked again. */
FAASLET_IMPORT(await) int32_t faaslet_await(int64_t id, uint32_t timeout_ms);
/* Of an ended call: copies [offset, offset + len) of its output; its size. */
FAASLET_IMPORT(chained_output_size) int32_t faaslet_chained_output_size(int64_t id);
FAASLET_IMPORT(chained_output_read)
int32_t faaslet_chained_output(int64_t id, uint32_t offset, void *out, uint32_t len);

/* --- State: values named by keys, shared by all functions of a tenant ---
 *
 * A value has a global copy, which lasts, and on each node at most one local replica in memory that
 * all Faaslets of the tenant share. Reading pulls what is missing from the global copy; writing
 * changes the local replica alone, until it is pushed. Pushed ranges win in the order of their
 * arrival; without locks there is no other order. */

/* Size of the value: of the replica, else of the global copy. -ENOENT. */
FAASLET_IMPORT(state_size) int64_t faaslet_state_size(const char *key, uint32_t key_len);
/* A replica of `size` zero bytes where there is no such value yet (locally or globally), else
 * nothing: 0. -EINVAL: there is one of another size. */
FAASLET_IMPORT(state_create)
int32_t faaslet_state_create(const char *key, uint32_t key_len, uint32_t size);
/* The value, list and counter of that key; 0 also where there was nothing. Faaslets that have the
 * value mapped keep what they see. */
FAASLET_IMPORT(state_delete) int32_t faaslet_state_delete(const char *key, uint32_t key_len);

/* Maps [offset, offset + len) of the replica into this memory and returns its address; the same
 * bytes for every Faaslet of the tenant on this node, without a copy. The range is pulled first.
 * Writes through the pointer must be told by faaslet_state_dirty before a push; until then a pull,
 * also by another Faaslet, may undo them. The same range is mapped once for a call: asking again
 * costs little. len 0: to the end. NULL on an error, which faaslet_state_map_error tells.
 * No pull: whatever the replica has, for ranges that are written whole. Until they are told to be
 * dirty, or this call ends, nobody's reading undoes what is written there; chunks of 64 KiB that
 * the range covers in part are pulled all the same, because others may need the rest of them. */
#define FAASLET_MAP_READ_ONLY 1u /* a write traps */
#define FAASLET_MAP_NO_PULL 2u
FAASLET_IMPORT(state_map)
void *faaslet_state_map(const char *key, uint32_t key_len, uint32_t offset, uint32_t len,
                        uint32_t flags);
FAASLET_IMPORT(state_map_error) int32_t faaslet_state_map_error(void);
FAASLET_IMPORT(state_dirty)
int32_t faaslet_state_dirty(const char *key, uint32_t key_len, uint32_t offset, uint32_t len);

/* Copies from and to the replica. Read: bytes copied, fewer only at the end. Write: 0; makes a
 * value of offset + len bytes where there is none; -EINVAL beyond the end of one that is there. */
FAASLET_IMPORT(state_read)
int32_t faaslet_state_read(const char *key, uint32_t key_len, uint32_t offset, void *out,
                           uint32_t len);
FAASLET_IMPORT(state_write)
int32_t faaslet_state_write(const char *key, uint32_t key_len, uint32_t offset, const void *bytes,
                            uint32_t len);

/* Push: what is dirty of the whole value or of a range (len 0: to the end) becomes part of the
 * global copy; when it returns 0 the bytes last. Masked: what is not 0 in `mask`, another value of
 * the same size, seen as 32-bit (or with FAASLET_MASK_BYTES 8-bit) units; the mask is cleared. */
FAASLET_IMPORT(state_push)
int32_t faaslet_state_push(const char *key, uint32_t key_len, uint32_t offset, uint32_t len);
#define FAASLET_MASK_BYTES 1u
FAASLET_IMPORT(state_push_masked)
int32_t faaslet_state_push_masked(const char *key, uint32_t key_len, const char *mask,
                                  uint32_t mask_len, uint32_t flags);
/* Pull: the range of the global copy replaces that of the replica, whatever was written there.
 * -ENOENT: there is no global copy; what the replica has, if there is one, was never pushed. */
FAASLET_IMPORT(state_pull)
int32_t faaslet_state_pull(const char *key, uint32_t key_len, uint32_t offset, uint32_t len);

/* Lists kept in the global tier alone. Append: the index of the new element. Read: element `index`,
 * its length, of which at most len bytes were copied; -ENOENT beyond the last. Count. */
FAASLET_IMPORT(state_append)
int64_t faaslet_state_append(const char *key, uint32_t key_len, const void *bytes, uint32_t len);
FAASLET_IMPORT(state_appended)
int32_t faaslet_state_appended(const char *key, uint32_t key_len, uint64_t index, void *out,
                               uint32_t len);
FAASLET_IMPORT(state_appended_count)
int64_t faaslet_state_appended_count(const char *key, uint32_t key_len);
FAASLET_IMPORT(state_clear_appended)
int32_t faaslet_state_clear_appended(const char *key, uint32_t key_len);
/* Adds to a 64-bit counter of the global tier, which starts at 0; 0 and the new value in *out. */
FAASLET_IMPORT(state_add)
int32_t faaslet_state_add(const char *key, uint32_t key_len, int64_t delta, int64_t *out);

/* Locks. Local ones order the Faaslets of this node, global ones all of them. A lock belongs to the
 * call and ends with it. Local: 0; -ETIMEDOUT; -EDEADLK: held by this call already. Unlock of what
 * this call does not hold: -EINVAL. */
#define FAASLET_LOCK_READ 0u
#define FAASLET_LOCK_WRITE 1u
FAASLET_IMPORT(state_lock)
int32_t faaslet_state_lock(const char *key, uint32_t key_len, uint32_t mode, uint32_t timeout_ms);
FAASLET_IMPORT(state_unlock) int32_t faaslet_state_unlock(const char *key, uint32_t key_len);
/* Global: a fencing token > 0, larger than all before it for this key. The host renews the lock
 * while the call runs; when it could not, the lock is lost, and pushes of the key by this call and
 * the unlock fail with -ESTALE: nothing goes on silently. (A push that was under way may end with
 * -EIO instead: nobody can tell then what became of it. The unlock says whose lock it was.) */
FAASLET_IMPORT(state_lock_global)
int64_t faaslet_state_lock_global(const char *key, uint32_t key_len, uint32_t mode,
                                  uint32_t timeout_ms);
FAASLET_IMPORT(state_unlock_global)
int32_t faaslet_state_unlock_global(const char *key, uint32_t key_len);

/* --- Modules loaded at run time: validated and compiled on upload, named by path --- */

/* A module that was uploaded as a library of this tenant. A handle >= 2; -ENOENT. */
FAASLET_IMPORT(dl_open) int32_t faaslet_dlopen(const char *path, uint32_t path_len);
/* Index in the table of a function, or with FAASLET_DL_DATA the address of an object; -ENOENT. */
#define FAASLET_DL_DATA 1u
FAASLET_IMPORT(dl_sym)
int64_t faaslet_dlsym(int32_t handle, const char *name, uint32_t name_len, uint32_t flags);
FAASLET_IMPORT(dl_close) int32_t faaslet_dlclose(int32_t handle);

/* --- Outbound HTTP, to the hosts on the tenant's allow-list --- */

/* Method and URL as text; headers as "Name: value\n..." ; waits for the whole answer. A handle >=
 * 0; -EACCES: not on the list; -EHOSTUNREACH, -ETIMEDOUT, -EFBIG. */
FAASLET_IMPORT(http_fetch)
int32_t faaslet_http(const char *request, uint32_t request_len, const char *headers,
                     uint32_t headers_len, const void *body, uint32_t body_len);
FAASLET_IMPORT(http_status) int32_t faaslet_http_status(int32_t handle);
FAASLET_IMPORT(http_body_size) int32_t faaslet_http_body_size(int32_t handle);
FAASLET_IMPORT(http_body_read)
int32_t faaslet_http_body(int32_t handle, uint32_t offset, void *out, uint32_t len);
FAASLET_IMPORT(http_header)
int32_t faaslet_http_header(int32_t handle, const char *name, uint32_t name_len, void *out,
                            uint32_t len);

/* Files, time and randomness come with WASI: a folder tree that all calls read, whose changes only
 * the call itself sees; clock_gettime; getentropy. Sockets: <sys/socket.h> and <netdb.h> of
 * sdk/posix, as a client only. */

#ifdef __cplusplus
}
#endif

#endif
