/* What costs nothing but itself: the floor under every other figure. */
#include "ledger/builtin.h"

static enum procedure_code run_empty(void *self, struct procedure_call *call,
                                     struct wm_view *result)
{
    (void)self;
    (void)result;
    return call->arguments.len == 0 ? PROCEDURE_DONE : PROCEDURE_ARGUMENTS;
}

static enum procedure_code run_echo(void *self, struct procedure_call *call, struct wm_view *result)
{
    (void)self;
    *result = call->arguments;
    return PROCEDURE_DONE;
}

const struct builtin echo_builtins[] = {{"empty", 1, run_empty}, {"echo", 1, run_echo}, {0}};
