/* poll_oneoff: waiting for descriptors and clocks.
 *
 * Subscriptions are copied once and turned into what the library OS waits for; a subscription that
 * cannot be waited for (a closed descriptor, a missing right) is an event with an error at once, as
 * the specification has it, not a failure of the call. */
#include "libos/poll.h"

#include "base/arith.h"
#include "wasi/call.h"

struct subscription {
    uint64_t userdata;
    uint64_t deadline_ns; /* CLOCK: on the monotonic clock */
    uint32_t item_idx;    /* FD_READ, FD_WRITE without error */
    uint8_t type;
    uint16_t error;
};

struct wait {
    struct subscription *subs;
    struct libos_poll_item *items;
    uint32_t sub_count;
    uint32_t item_count;
    uint64_t deadline_ns;
};

/* The moment on the monotonic clock at which a clock subscription is due. */
static int take_clock(struct libos *os, const uint8_t *raw, struct subscription *sub)
{
    uint32_t id = wasi_u32(raw + 16);
    uint64_t timeout = wasi_u64(raw + 24);
    bool absolute = wasi_u16(raw + 40) & WASI_SUBCLOCK_ABSTIME;
    uint64_t monotonic, now;
    if (id > WASI_CLOCK_MONOTONIC) {
        /* CPU clocks stand still while one waits for them. */
        sub->error = id <= WASI_CLOCK_THREAD_CPUTIME ? WASI_NOTSUP : WASI_INVAL;
        return 0;
    }
    int rc = libos_clock_read(os, LIBOS_CLOCK_MONOTONIC, &monotonic);
    if (rc == 0) {
        rc = libos_clock_read(os, id, &now);
    }
    if (rc != 0) {
        return rc;
    }
    uint64_t left = !absolute ? timeout : timeout > now ? timeout - now : 0;
    if (!wm_add_u64(monotonic, left, &sub->deadline_ns)) {
        sub->deadline_ns = LIBOS_NEVER;
    }
    return 0;
}

static void take_fd(struct wasi_call *call, const uint8_t *raw, struct wait *wait,
                    struct subscription *sub)
{
    bool reading = sub->type == WASI_EVENT_FD_READ;
    uint64_t rights =
        WASI_RIGHT_POLL_FD_READWRITE | (reading ? WASI_RIGHT_FD_READ : WASI_RIGHT_FD_WRITE);
    struct libos_fd *fd;
    sub->error = (uint16_t)wasi_fd(call, wasi_u32(raw + 16), rights, &fd);
    if (sub->error == WASI_SUCCESS) {
        sub->item_idx = wait->item_count;
        wait->items[wait->item_count++] = (struct libos_poll_item){
            .file = fd->file, .events = reading ? LIBOS_POLL_IN : LIBOS_POLL_OUT};
    }
}

static int take_subscriptions(struct wasi_call *call, const uint8_t *array, struct wait *wait)
{
    for (uint32_t i = 0; i < wait->sub_count; i++) {
        uint8_t raw[WASI_SUBSCRIPTION_BYTES];
        struct subscription *sub = &wait->subs[i];
        __builtin_memcpy(raw, array + i * WASI_SUBSCRIPTION_BYTES, sizeof raw);
        sub->userdata = wasi_u64(raw);
        sub->type = raw[8];
        if (sub->type == WASI_EVENT_CLOCK) {
            int rc = take_clock(call->wasi->os, raw, sub);
            if (rc != 0) {
                return rc;
            }
            if (sub->error == 0 && sub->deadline_ns < wait->deadline_ns) {
                wait->deadline_ns = sub->deadline_ns;
            }
        } else if (sub->type == WASI_EVENT_FD_READ || sub->type == WASI_EVENT_FD_WRITE) {
            take_fd(call, raw, wait, sub);
        } else {
            return WASI_INVAL;
        }
        if (sub->error != 0) {
            wait->deadline_ns = LIBOS_AT_ONCE;
        }
    }
    return 0;
}

static void put_event(uint8_t *out, const struct subscription *sub, uint16_t error, uint64_t nbytes,
                      uint16_t flags)
{
    __builtin_memset(out, 0, WASI_EVENT_BYTES);
    wasi_put_u64(out, sub->userdata);
    wasi_put_u16(out + 8, error);
    out[10] = sub->type;
    wasi_put_u64(out + 16, nbytes);
    wasi_put_u16(out + 24, flags);
}

static bool put_fd_event(uint8_t *out, const struct subscription *sub,
                         const struct libos_poll_item *item)
{
    if (!item->ready) {
        return false;
    }
    uint16_t error = item->ready & LIBOS_POLL_NVAL  ? WASI_BADF
                     : item->ready & LIBOS_POLL_ERR ? WASI_IO
                                                    : WASI_SUCCESS;
    uint64_t nbytes = sub->type == WASI_EVENT_FD_READ ? libos_file_readable_bytes(item->file) : 0;
    put_event(out, sub, error, nbytes, item->ready & LIBOS_POLL_HUP ? WASI_EVENT_HANGUP : 0);
    return true;
}

static uint32_t put_events(const struct wait *wait, uint64_t now, uint8_t *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < wait->sub_count; i++) {
        const struct subscription *sub = &wait->subs[i];
        uint8_t *at = out + count * WASI_EVENT_BYTES;
        if (sub->error != 0) {
            put_event(at, sub, sub->error, 0, 0);
            count++;
        } else if (sub->type != WASI_EVENT_CLOCK) {
            count += put_fd_event(at, sub, &wait->items[sub->item_idx]);
        } else if (sub->deadline_ns <= now) {
            put_event(at, sub, WASI_SUCCESS, 0, 0);
            count++;
        }
    }
    return count;
}

int wasi_poll_oneoff(struct wasi_call *call, const union wasm_value *args)
{
    struct libos *os = call->wasi->os;
    struct wait wait = {.sub_count = args[2].i32, .deadline_ns = LIBOS_NEVER};
    const uint8_t *in;
    uint8_t *out, *count;
    if (wait.sub_count == 0 || wait.sub_count > WASI_SUBSCRIPTIONS_MAX) {
        return WASI_INVAL;
    }
    int rc = wasi_view(call, args[0].i32, wait.sub_count * WASI_SUBSCRIPTION_BYTES, &in);
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[1].i32, wait.sub_count * WASI_EVENT_BYTES, &out);
    }
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[3].i32, 4, &count);
    }
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    size_t subs_bytes = wait.sub_count * sizeof *wait.subs;
    size_t items_bytes = wait.sub_count * sizeof *wait.items;
    wait.subs = libos_alloc(os, subs_bytes);
    wait.items = libos_alloc(os, items_bytes);
    if (!wait.subs || !wait.items) {
        rc = -LIBOS_ENOMEM;
        goto out;
    }
    rc = take_subscriptions(call, in, &wait);
    if (rc != 0) {
        goto out;
    }
    uint64_t now = 0;
    rc = libos_poll(os, wait.items, wait.item_count, wait.deadline_ns);
    if (rc >= 0) {
        rc = libos_clock_read(os, LIBOS_CLOCK_MONOTONIC, &now);
    }
    if (rc == 0) {
        wasi_put_u32(count, put_events(&wait, now, out));
    }
out:
    libos_free(os, wait.subs, subs_bytes);
    libos_free(os, wait.items, items_bytes);
    return rc;
}
