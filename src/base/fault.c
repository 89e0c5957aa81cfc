#include "base/fault.h"

#include "base/compiler.h"

static _Thread_local uint64_t countdown[WM_FAULT_KINDS]; /* 0: disarmed */
static _Thread_local bool fired[WM_FAULT_KINDS];

void wm_fault_arm(enum wm_fault_kind kind, uint64_t n)
{
    countdown[kind] = n;
    fired[kind] = false;
}

bool wm_fault_fired(enum wm_fault_kind kind)
{
    return fired[kind];
}

bool wm_fault_here(enum wm_fault_kind kind)
{
    if (WM_LIKELY(countdown[kind] == 0)) {
        return false;
    }
    if (--countdown[kind] == 0) {
        fired[kind] = true;
        return true;
    }
    return false;
}

bool wm_fault_next(enum wm_fault_kind kind, uint64_t *n)
{
    bool again = *n == 0 || fired[kind];
    wm_fault_arm(kind, again ? ++*n : 0);
    return again;
}
