/* key_lock.h: the local reader-writer lock of one key.
 *
 * Held by calls, not by threads: whoever ends a call releases what it held, on any thread, also
 * when the call trapped in the middle. So it is a count under a mutex; who holds it is written down
 * by the call's session (state.h), which also refuses to take one twice.
 *
 * Writers that wait keep later readers out, so they are not starved. Two calls that wait for each
 * other's locks end by their timeouts.
 *
 * Threads: any. */
#ifndef WM_FAASLET_KEY_LOCK_H
#define WM_FAASLET_KEY_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct key_lock {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint32_t readers, writers_waiting;
    bool writer;
};

WM_MUST_CHECK int key_lock_init(struct key_lock *lock);
void key_lock_fini(struct key_lock *lock); /* nobody holds it */
/* 0; -ETIMEDOUT after timeout_ms (UINT32_MAX: never); -EINTR when `stop` (may be NULL), asked every
 * few milliseconds, says so. */
WM_MUST_CHECK int key_lock_take(struct key_lock *lock, bool write, uint32_t timeout_ms,
                                bool (*stop)(void *self), void *stop_self);
void key_lock_release(struct key_lock *lock, bool write);

#endif
