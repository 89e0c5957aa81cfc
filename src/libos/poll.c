/* Waiting. One round asks every file; what the files know themselves needs no machine, the rest
 * goes to the backend in one call. A round that found nothing is repeated until the deadline: the
 * backend may wake for a signal, which counts only when the library OS' owner says so. */
#include "libos/poll.h"

static int count_ready(struct libos_poll_item *items, size_t count)
{
    int ready = 0;
    for (size_t i = 0; i < count; i++) {
        ready += items[i].ready != 0;
    }
    return ready;
}

static bool ask_files(struct libos_poll_item *items, size_t count)
{
    bool need_machine = false;
    for (size_t i = 0; i < count; i++) {
        struct libos_poll_item *item = &items[i];
        item->ready = 0;
        item->source = LIBOS_NO_SOURCE;
        if (item->file->ops->poll) {
            item->file->ops->poll(item->file, item);
        } else {
            item->ready = item->events & (LIBOS_POLL_IN | LIBOS_POLL_OUT);
        }
        need_machine |= item->source != LIBOS_NO_SOURCE;
    }
    return need_machine;
}

int libos_poll(struct libos *os, struct libos_poll_item *items, size_t count, uint64_t deadline_ns)
{
    for (;;) {
        bool need_machine = ask_files(items, count);
        bool found = count_ready(items, count) > 0;
        if (found && !need_machine) {
            return count_ready(items, count);
        }
        if (!found && libos_interrupted(os)) {
            return -LIBOS_EINTR;
        }
        int rc =
            os->backend->wait(os->backend->self, items, count, found ? LIBOS_AT_ONCE : deadline_ns);
        if (rc < 0 && rc != -LIBOS_EINTR) {
            return rc;
        }
        int ready = count_ready(items, count);
        if (ready > 0) {
            return ready;
        }
        if (rc == -LIBOS_EINTR && libos_interrupted(os)) {
            return -LIBOS_EINTR;
        }
        if (deadline_ns == LIBOS_AT_ONCE) {
            return 0;
        }
        uint64_t now;
        if (deadline_ns != LIBOS_NEVER) {
            int clock_rc = libos_clock_read(os, LIBOS_CLOCK_MONOTONIC, &now);
            if (clock_rc != 0) {
                return clock_rc;
            }
            if (now >= deadline_ns) {
                return 0;
            }
        }
    }
}

int libos_wait_for(struct libos_file *file, uint32_t events)
{
    struct libos_poll_item item = {.file = file, .events = events};
    int rc = libos_poll(file->os, &item, 1, LIBOS_NEVER);
    return rc < 0 ? rc : 0;
}
