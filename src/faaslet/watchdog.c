/* watchdog.c: one thread that ends calls which are over their time.
 *
 * A timer for each call would cost it two system calls; this looks at all of them every
 * WATCHDOG_PERIOD_NS while anything runs, and sleeps otherwise. A call that is to end is told again
 * at each look until it has ended, so that a signal that came at a bad moment is never the last. */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "faaslet/executor_internal.h"
#include "host/file.h"

#define IDLE_LOOKS 100u

static int64_t cpu_of(pthread_t thread)
{
    clockid_t clock;
    struct timespec now;
    if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &now) != 0) {
        return 0;
    }
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* True while the executor has a call. */
static bool look_at(struct executor *executor, int64_t now_ns, bool stopping)
{
    pthread_mutex_lock(&executor->lock);
    uint32_t count = executor->running_count;
    int64_t cpu_ns = count != 0 ? cpu_of(executor->id) : 0;
    bool kill = stopping;
    for (uint32_t i = 0; i < count; i++) {
        struct running *running = &executor->running[i];
        if (running->cpu_at_ns < 0) {
            running->cpu_at_ns = cpu_ns;
        }
        if (executors_take_cancelled(executor->executors, running->call_id)) {
            running->deadline_ns = 0; /* while it was on its way from the channel to here */
        }
        kill = kill || now_ns >= running->deadline_ns ||
               cpu_ns - running->cpu_at_ns >= running->cpu_limit_ns;
        /* What was called by one that must end has to end as well. */
        if (kill) {
            wasm_store_kill(running->store);
        }
    }
    pthread_mutex_unlock(&executor->lock);
    return count != 0;
}

static void *watchdog_main(void *arg)
{
    struct executors *executors = arg;
    uint32_t idle = 0;
    for (;;) {
        bool stopping = atomic_load(&executors->stopping), any = false;
        int64_t now_ns = host_monotonic_ns();
        uint32_t threads = atomic_load(&executors->thread_count);
        for (uint32_t i = 0; i < threads; i++) {
            any = look_at(executors->items[i], now_ns, stopping) || any;
            executor_pay_wake(executors->items[i]); /* its present call takes long */
        }
        if (stopping) {
            return NULL;
        }
        /* A first chained call that is not awaited yet, or calls behind one that takes longer than
         * those before it did. */
        if (atomic_load(&executors->queued) != 0 ||
            channel_pending(executors->config.channel) != 0) {
            channel_wake(executors->config.channel, 1);
            any = true;
        }
        atomic_store(&executors->realtime_offset_ns, host_realtime_ns() - now_ns);
        idle = any ? 0 : idle + 1;
        if (idle < IDLE_LOOKS) {
            nanosleep(&(struct timespec){.tv_nsec = WATCHDOG_PERIOD_NS}, NULL);
            continue;
        }
        /* An executor notes its call and then looks whether we sleep; we say that we sleep and then
         * look for calls. */
        atomic_store(&executors->watchdog_asleep, 1);
        for (uint32_t i = 0; i < threads; i++) {
            any = look_at(executors->items[i], now_ns, false) || any;
        }
        if (!any && !atomic_load(&executors->stopping)) {
            syscall(SYS_futex, &executors->watchdog_asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
        }
        atomic_store(&executors->watchdog_asleep, 0);
        idle = 0;
    }
}

int watchdog_start(struct executors *executors)
{
    int rc = -pthread_create(&executors->watchdog, NULL, watchdog_main, executors);
    executors->watching = rc == 0;
    return rc;
}

void watchdog_stop(struct executors *executors)
{
    if (executors->watching) {
        atomic_store(&executors->watchdog_asleep, 0);
        syscall(SYS_futex, &executors->watchdog_asleep, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
        pthread_join(executors->watchdog, NULL);
    }
    uint32_t threads = atomic_load(&executors->thread_count);
    for (uint32_t i = 0; i < threads; i++) {
        struct executor *executor = executors->items[i];
        struct timespec until;
        do {
            (void)look_at(executor, host_monotonic_ns(), true);
            channel_wake(executors->config.channel, INT_MAX);
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += WATCHDOG_PERIOD_NS;
            until.tv_sec += until.tv_nsec / 1000000000;
            until.tv_nsec %= 1000000000;
        } while (pthread_timedjoin_np(executor->id, NULL, &until) != 0);
    }
}
