/* One library OS: thin, checked ways to its backend. */
#include "libos/libos.h"

#include "libos/errno.h"

void libos_init(struct libos *os, const struct libos_backend *backend)
{
    *os = (struct libos){.backend = backend};
}

void *libos_alloc(struct libos *os, size_t bytes)
{
    void *ptr = os->backend->resize(os->backend->self, NULL, 0, bytes ? bytes : 1);
    if (ptr) {
        __builtin_memset(ptr, 0, bytes);
    }
    return ptr;
}

void *libos_resize(struct libos *os, void *old, size_t old_bytes, size_t new_bytes)
{
    return os->backend->resize(os->backend->self, old, old_bytes, new_bytes ? new_bytes : 1);
}

void libos_free(struct libos *os, void *ptr, size_t bytes)
{
    if (ptr) {
        os->backend->resize(os->backend->self, ptr, bytes ? bytes : 1, 0);
    }
}

int libos_clock_read(struct libos *os, unsigned clock, uint64_t *ns)
{
    if (clock >= LIBOS_CLOCKS) {
        return -LIBOS_EINVAL;
    }
    return os->backend->clock_read(os->backend->self, (enum libos_clock)clock, ns);
}

int libos_clock_resolution(struct libos *os, unsigned clock, uint64_t *ns)
{
    if (clock >= LIBOS_CLOCKS) {
        return -LIBOS_EINVAL;
    }
    return os->backend->clock_resolution(os->backend->self, (enum libos_clock)clock, ns);
}

int64_t libos_now(struct libos *os)
{
    uint64_t ns;
    if (libos_clock_read(os, LIBOS_CLOCK_REALTIME, &ns) != 0 || ns > INT64_MAX) {
        return 0;
    }
    return (int64_t)ns;
}

int libos_random(struct libos *os, void *out, size_t len)
{
    return len ? os->backend->random(os->backend->self, out, len) : 0;
}

void libos_yield(struct libos *os)
{
    os->backend->yield(os->backend->self);
}
