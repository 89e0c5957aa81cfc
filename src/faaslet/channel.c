/* channel.c: two rings of slot numbers and one of reports, in a sealed memory file. */
#include "faaslet/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/fault.h"

#define IN_BYTES ((uint64_t)CALL_INPUT_BYTES_MAX + CHANNEL_TEXT_BYTES)
#define OUT_BYTES ((uint64_t)CALL_OUTPUT_BYTES_MAX + CHANNEL_TEXT_BYTES)
/* What a call may leave in its windows for the next one to find mapped. */
#define KEPT_BYTES (UINT64_C(64) << 10)
#define PAGE_BYTES UINT64_C(4096)

/* Positions only grow; a ring's index is the position modulo its size. Each side's words are on
 * cache lines of their own. */
struct ring_ends {
    _Alignas(64) _Atomic uint32_t head; /* read up to here */
    _Alignas(64) _Atomic uint32_t tail; /* written up to here */
};

_Static_assert((CHANNEL_SLOTS & (CHANNEL_SLOTS - 1)) == 0 &&
                   (CHANNEL_REPORTS & (CHANNEL_REPORTS - 1)) == 0,
               "positions wrap around at 2^32");

struct slot_record {
    union {
        struct channel_call call;
        struct channel_result result;
    };
};

struct shared {
    struct ring_ends submitted, completed, reported;
    _Alignas(64) _Atomic uint32_t doorbell;
    _Alignas(64) _Atomic uint32_t sleepers;
    _Alignas(64) _Atomic uint32_t submissions[CHANNEL_SLOTS];
    _Atomic uint32_t completions[CHANNEL_SLOTS];
    _Alignas(64) struct slot_record slots[CHANNEL_SLOTS];
    struct channel_report reports[CHANNEL_REPORTS];
};

#define SHARED_BYTES ((sizeof(struct shared) + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1))
#define TOTAL_BYTES (SHARED_BYTES + CHANNEL_SLOTS * (IN_BYTES + OUT_BYTES))

enum { SLOT_FREE, SLOT_TAKEN, SLOT_OUT, SLOT_BACK };

struct channel {
    struct shared *shared;
    uint8_t *windows;
    int fd;
    /* The node's. */
    bool unrung; /* submissions since the last ring */
    uint32_t free_count;
    uint32_t free[CHANNEL_SLOTS]; /* used last, given first: its windows are warm */
    uint8_t state[CHANNEL_SLOTS];
    uint32_t used_in[CHANNEL_SLOTS], used_out[CHANNEL_SLOTS];
    uint32_t submitted, completed, reported; /* our own positions, not to be read back */
    /* The worker's. */
    int event_fd;
    pthread_mutex_t lock; /* of completions and reports */
    uint32_t report_tail;
};

static int map(int fd, struct channel **out, struct wm_diag *diag)
{
    struct channel *channel = wm_alloc_zero(1, sizeof *channel);
    if (!channel) {
        return wm_diag_set(diag, -ENOMEM, "channel: %s", wm_error_text(-ENOMEM));
    }
    void *at = MAP_FAILED;
    errno = ENOMEM;
    if (!wm_fault_here(WM_FAULT_IO)) {
        at = mmap(NULL, TOTAL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    }
    if (at == MAP_FAILED) {
        int rc = -errno;
        wm_free(channel);
        return wm_diag_set(diag, rc, "channel: mapping: %s", wm_error_text(rc));
    }
    channel->shared = at;
    channel->windows = (uint8_t *)at + SHARED_BYTES;
    channel->fd = fd;
    channel->event_fd = -1;
    pthread_mutex_init(&channel->lock, NULL);
    *out = channel;
    return 0;
}

int channel_create(struct channel **out, int *fd, struct wm_diag *diag)
{
    errno = ENOMEM;
    int made = wm_fault_here(WM_FAULT_IO)
                   ? -1
                   : memfd_create("wardmote-channel", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0 || ftruncate(made, (off_t)TOTAL_BYTES) != 0 ||
        fcntl(made, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        int rc = -errno;
        if (made >= 0) {
            close(made);
        }
        return wm_diag_set(diag, rc, "channel: a memory file: %s", wm_error_text(rc));
    }
    int rc = map(made, out, diag);
    if (rc != 0) {
        close(made);
        return rc;
    }
    struct channel *channel = *out;
    for (uint32_t i = 0; i < CHANNEL_SLOTS; i++) {
        channel->free[i] = CHANNEL_SLOTS - 1 - i;
    }
    channel->free_count = CHANNEL_SLOTS;
    *fd = made;
    return 0;
}

int channel_attach(int fd, int event_fd, struct channel **out, struct wm_diag *diag)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_size != TOTAL_BYTES) {
        return wm_diag_set(diag, WM_E_MALFORMED, "channel: not of this version's size");
    }
    int rc = map(fd, out, diag);
    if (rc == 0) {
        (*out)->event_fd = event_fd;
    }
    return rc;
}

void channel_close(struct channel *channel)
{
    if (channel) {
        munmap(channel->shared, TOTAL_BYTES);
        pthread_mutex_destroy(&channel->lock);
        wm_free(channel);
    }
}

static uint8_t *in_window(struct channel *channel, uint32_t slot)
{
    WM_ASSERT(slot < CHANNEL_SLOTS);
    return channel->windows + slot * (IN_BYTES + OUT_BYTES);
}

static uint8_t *out_window(struct channel *channel, uint32_t slot)
{
    return in_window(channel, slot) + IN_BYTES;
}

/* What the other side wrote last, or will read next, is in another core's cache, and each slot's
 * windows are on pages of their own. Fetching the next slot's lines while one is worked on hides
 * most of that, which is half a microsecond of a call that else takes two. Only the window's first
 * line: of longer texts the processor fetches the rest by itself. */
static void prefetch_record(const struct channel *channel, uint32_t slot)
{
    const char *record = (const char *)&channel->shared->slots[slot];
    __builtin_prefetch(record);
    __builtin_prefetch(record + 64);
}

/* --- The node's side --- */

uint32_t channel_take_slot(struct channel *channel)
{
    if (channel->free_count == 0) {
        return UINT32_MAX;
    }
    uint32_t slot = channel->free[--channel->free_count];
    WM_ASSERT(channel->state[slot] == SLOT_FREE);
    channel->state[slot] = SLOT_TAKEN;
    if (channel->free_count != 0) { /* most likely there is another call in this turn */
        uint32_t next = channel->free[channel->free_count - 1];
        __builtin_prefetch(in_window(channel, next), 1);
        __builtin_prefetch(&channel->shared->slots[next], 1);
    }
    return slot;
}

uint8_t *channel_input(struct channel *channel, uint32_t slot)
{
    return in_window(channel, slot);
}

uint8_t *channel_request_text(struct channel *channel, uint32_t slot)
{
    return in_window(channel, slot) + CALL_INPUT_BYTES_MAX;
}

void channel_submit(struct channel *channel, uint32_t slot, const struct channel_call *call)
{
    struct shared *shared = channel->shared;
    WM_ASSERT(channel->state[slot] == SLOT_TAKEN && call->input_len <= CALL_INPUT_BYTES_MAX &&
              call->request_len <= CHANNEL_TEXT_BYTES);
    channel->state[slot] = SLOT_OUT;
    channel->used_in[slot] = call->input_len;
    shared->slots[slot].call = *call;
    atomic_store_explicit(&shared->submissions[channel->submitted % CHANNEL_SLOTS], slot,
                          memory_order_relaxed);
    atomic_store_explicit(&shared->submitted.tail, ++channel->submitted, memory_order_release);
    channel->unrung = true;
}

static void futex_wake(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

static void ring(struct shared *shared, int count)
{
    /* An executor first says that it sleeps and then looks for work; here work was written first,
     * and then we look for sleepers: one of the two sees the other. */
    atomic_fetch_add(&shared->doorbell, 1);
    if (atomic_load(&shared->sleepers) != 0) {
        futex_wake(&shared->doorbell, count);
    }
}

void channel_ring(struct channel *channel)
{
    /* One is enough: it wakes others where there is work for them (executor.c). */
    if (channel->unrung) {
        ring(channel->shared, 1);
        channel->unrung = false;
    }
}

/* Gives back what a large call took: the memory of windows is this machine's, not the tenant's. */
static void punch(struct channel *channel, uint8_t *window, uint64_t used)
{
    if (used > KEPT_BYTES) {
        uint64_t offset = (uint64_t)(window - (uint8_t *)channel->shared);
        (void)!fallocate(channel->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         (off_t)(offset + KEPT_BYTES),
                         (off_t)(((used + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1)) - KEPT_BYTES));
    }
}

/* Out of memory that the worker may be writing to. The fence keeps the compiler from looking there
 * again for what it knows to be in the copy. */
static void copy_out(void *to, const void *from, size_t len)
{
    memcpy(to, from, len);
    atomic_signal_fence(memory_order_seq_cst);
}

int channel_next_completion(struct channel *channel, uint32_t *slot, struct channel_result *result,
                            struct channel_views *views)
{
    struct shared *shared = channel->shared;
    uint32_t tail = atomic_load_explicit(&shared->completed.tail, memory_order_acquire);
    if (tail == channel->completed) {
        /* Tell that all was seen, then look once more; see channel_complete. */
        atomic_store(&shared->completed.head, channel->completed);
        tail = atomic_load(&shared->completed.tail);
        if (tail == channel->completed) {
            return 0;
        }
    }
    if (tail - channel->completed > CHANNEL_SLOTS) {
        return WM_E_MALFORMED;
    }
    /* Read once: what was checked is what is used, whatever the worker writes meanwhile. */
    uint32_t number = atomic_load_explicit(&shared->completions[channel->completed % CHANNEL_SLOTS],
                                           memory_order_relaxed);
    channel->completed++;
    if (number >= CHANNEL_SLOTS || channel->state[number] != SLOT_OUT) {
        return WM_E_MALFORMED;
    }
    if (tail != channel->completed) {
        uint32_t next = __atomic_load_n(&shared->completions[channel->completed % CHANNEL_SLOTS],
                                        __ATOMIC_RELAXED);
        if (next < CHANNEL_SLOTS) {
            prefetch_record(channel, next);
            __builtin_prefetch(out_window(channel, next));
        }
    }
    copy_out(result, &shared->slots[number].result, sizeof *result);
    if (result->end >= CALL_ENDS || result->output_len > CALL_OUTPUT_BYTES_MAX ||
        result->headers_len > CHANNEL_TEXT_BYTES ||
        result->message_len > CHANNEL_TEXT_BYTES - result->headers_len ||
        result->backtrace_len > CHANNEL_TEXT_BYTES - result->headers_len - result->message_len) {
        return WM_E_MALFORMED;
    }
    channel->state[number] = SLOT_BACK;
    channel->used_out[number] = result->output_len;
    *slot = number;
    const uint8_t *out = out_window(channel, number), *text = out + CALL_OUTPUT_BYTES_MAX;
    views->output = wm_view_of(out, result->output_len);
    views->headers = wm_view_of(text, result->headers_len);
    views->message = wm_view_of(text + result->headers_len, result->message_len);
    views->backtrace =
        wm_view_of(text + result->headers_len + result->message_len, result->backtrace_len);
    return 1;
}

int channel_next_report(struct channel *channel, struct channel_report *report)
{
    struct shared *shared = channel->shared;
    uint32_t tail = atomic_load_explicit(&shared->reported.tail, memory_order_acquire);
    if (tail == channel->reported) {
        return 0;
    }
    if (tail - channel->reported > CHANNEL_REPORTS) {
        return WM_E_MALFORMED;
    }
    copy_out(report, &shared->reports[channel->reported % CHANNEL_REPORTS], sizeof *report);
    channel->reported++;
    atomic_store_explicit(&shared->reported.head, channel->reported, memory_order_release);
    return report->result.end < CALL_ENDS ? 1 : WM_E_MALFORMED;
}

void channel_free_slot(struct channel *channel, uint32_t slot)
{
    WM_ASSERT(channel->state[slot] == SLOT_BACK || channel->state[slot] == SLOT_TAKEN);
    if (channel->state[slot] == SLOT_BACK) {
        punch(channel, in_window(channel, slot), channel->used_in[slot]);
        punch(channel, out_window(channel, slot), channel->used_out[slot]);
    }
    channel->state[slot] = SLOT_FREE;
    channel->free[channel->free_count++] = slot;
}

/* --- The worker's side --- */

bool channel_take(struct channel *channel, uint32_t *slot, struct channel_call *call)
{
    struct shared *shared = channel->shared;
    uint32_t head = atomic_load_explicit(&shared->submitted.head, memory_order_relaxed);
    for (;;) {
        if (head == atomic_load_explicit(&shared->submitted.tail, memory_order_acquire)) {
            return false;
        }
        uint32_t number =
            atomic_load_explicit(&shared->submissions[head % CHANNEL_SLOTS], memory_order_relaxed);
        /* What was read is right if nobody took it meanwhile: a place is written again only after
         * head has passed it. */
        if (atomic_compare_exchange_weak_explicit(&shared->submitted.head, &head, head + 1,
                                                  memory_order_acq_rel, memory_order_relaxed)) {
            *slot = number;
            *call = shared->slots[number].call;
            if (head + 1 != atomic_load_explicit(&shared->submitted.tail, memory_order_acquire)) {
                uint32_t next = shared->submissions[(head + 1) % CHANNEL_SLOTS];
                prefetch_record(channel, next);
                __builtin_prefetch(in_window(channel, next));
                __builtin_prefetch(out_window(channel, next), 1);
            }
            return true;
        }
    }
}

uint32_t channel_pending(struct channel *channel)
{
    struct shared *shared = channel->shared;
    return atomic_load_explicit(&shared->submitted.tail, memory_order_relaxed) -
           atomic_load_explicit(&shared->submitted.head, memory_order_relaxed);
}

bool channel_has_sleepers(struct channel *channel)
{
    return atomic_load_explicit(&channel->shared->sleepers, memory_order_relaxed) != 0;
}

uint32_t channel_doorbell(struct channel *channel)
{
    return atomic_load(&channel->shared->doorbell);
}

void channel_wait(struct channel *channel, uint32_t seen)
{
    struct shared *shared = channel->shared;
    atomic_fetch_add(&shared->sleepers, 1);
    if (atomic_load(&shared->submitted.head) == atomic_load(&shared->submitted.tail)) {
        syscall(SYS_futex, &shared->doorbell, FUTEX_WAIT, seen, NULL, NULL, 0);
    }
    atomic_fetch_sub(&shared->sleepers, 1);
}

void channel_wake(struct channel *channel, int count)
{
    ring(channel->shared, count);
}

struct wm_view channel_input_view(struct channel *channel, uint32_t slot, uint32_t len)
{
    return wm_view_of(in_window(channel, slot), len);
}

struct wm_view channel_request_view(struct channel *channel, uint32_t slot, uint32_t len)
{
    return wm_view_of(in_window(channel, slot) + CALL_INPUT_BYTES_MAX, len);
}

uint8_t *channel_output(struct channel *channel, uint32_t slot)
{
    return out_window(channel, slot);
}

uint8_t *channel_result_text(struct channel *channel, uint32_t slot)
{
    return out_window(channel, slot) + CALL_OUTPUT_BYTES_MAX;
}

void channel_wake_node(struct channel *channel)
{
    uint64_t one = 1;
    while (write(channel->event_fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

bool channel_complete(struct channel *channel, uint32_t slot, const struct channel_result *result)
{
    struct shared *shared = channel->shared;
    shared->slots[slot].result = *result;
    pthread_mutex_lock(&channel->lock);
    uint32_t tail = atomic_load_explicit(&shared->completed.tail, memory_order_relaxed);
    atomic_store_explicit(&shared->completions[tail % CHANNEL_SLOTS], slot, memory_order_relaxed);
    /* Sequentially consistent on both sides: either the node, which says what it has seen and then
     * looks at the tail, finds this one, or we find that it had seen everything before. */
    atomic_store(&shared->completed.tail, tail + 1);
    bool asleep = atomic_load(&shared->completed.head) == tail;
    pthread_mutex_unlock(&channel->lock);
    return asleep;
}

void channel_report(struct channel *channel, const struct channel_report *report)
{
    struct shared *shared = channel->shared;
    for (;;) {
        pthread_mutex_lock(&channel->lock);
        uint32_t used = channel->report_tail -
                        atomic_load_explicit(&shared->reported.head, memory_order_acquire);
        if (used < CHANNEL_REPORTS) {
            break;
        }
        pthread_mutex_unlock(&channel->lock);
        channel_wake_node(channel);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    shared->reports[channel->report_tail % CHANNEL_REPORTS] = *report;
    bool half = channel->report_tail % (CHANNEL_REPORTS / 2) == 0;
    atomic_store_explicit(&shared->reported.tail, ++channel->report_tail, memory_order_release);
    pthread_mutex_unlock(&channel->lock);
    if (half) {
        channel_wake_node(channel);
    }
}
