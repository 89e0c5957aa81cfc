/* machine.h: the backend of the library OS on plain Linux.
 *
 * Memory from base/alloc.h, clocks from the vDSO, randomness from getrandom(2) at each request
 * (nothing is kept, so a copied process never repeats a key), waiting by ppoll(2), which every
 * signal ends.
 *
 * Whoever interrupts a guest that may be waiting here must do so with a signal whose handler is
 * installed without SA_RESTART, and repeat it until it is obeyed: a signal that arrives just before
 * the wait starts is not seen by it. store.h's timer does.
 *
 * Threads: any; the backend has no state. */
#ifndef WM_PORT_MACHINE_H
#define WM_PORT_MACHINE_H

#include "libos/backend.h"

/* Also sees to it that a guest cannot end the process by writing to a closed pipe or over a file
 * size limit: SIGPIPE and SIGXFSZ are set to be ignored where they still had their default action.
 * A program that has a handler keeps it: pipes, and sockets that were given as standard streams,
 * raise SIGPIPE then; sockets that the guest accepted never do. */
const struct libos_backend *port_machine(void);

#endif
