#include "faaslet/key_lock.h"

#include "base/assert.h"
#include "faaslet/pause.h"

int key_lock_init(struct key_lock *lock)
{
    *lock = (struct key_lock){0};
    int rc = pthread_mutex_init(&lock->mutex, NULL);
    if (rc != 0) {
        return -rc;
    }
    rc = pause_cond_init(&lock->changed);
    if (rc != 0) {
        pthread_mutex_destroy(&lock->mutex);
    }
    return rc;
}

void key_lock_fini(struct key_lock *lock)
{
    WM_ASSERT(!lock->writer && lock->readers == 0);
    pthread_mutex_destroy(&lock->mutex);
    pthread_cond_destroy(&lock->changed);
}

static bool is_free(const struct key_lock *lock, bool write)
{
    return write ? !lock->writer && lock->readers == 0
                 : !lock->writer && lock->writers_waiting == 0;
}

int key_lock_take(struct key_lock *lock, bool write, uint32_t timeout_ms, bool (*stop)(void *self),
                  void *stop_self)
{
    int rc = 0;
    int64_t until_ns = timeout_ms == UINT32_MAX
                           ? PAUSE_FOREVER
                           : pause_clock_ns() + (int64_t)timeout_ms * INT64_C(1000000);
    pthread_mutex_lock(&lock->mutex);
    lock->writers_waiting += write;
    while (rc == 0 && !is_free(lock, write)) {
        rc = pause_wait(&lock->changed, &lock->mutex, until_ns, stop, stop_self);
    }
    lock->writers_waiting -= write;
    if (rc == 0) {
        lock->writer = write;
        lock->readers += !write;
    } else if (write) {
        pthread_cond_broadcast(&lock->changed); /* readers that waited behind this writer */
    }
    pthread_mutex_unlock(&lock->mutex);
    return rc;
}

void key_lock_release(struct key_lock *lock, bool write)
{
    pthread_mutex_lock(&lock->mutex);
    WM_ASSERT(write ? lock->writer : lock->readers > 0);
    if (write) {
        lock->writer = false;
    } else {
        lock->readers--;
    }
    pthread_cond_broadcast(&lock->changed);
    pthread_mutex_unlock(&lock->mutex);
}
