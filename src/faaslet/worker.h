/* worker.h: the process that runs the functions of one trust class.
 *
 * `wardmote-worker` is started by the node with one descriptor, the control socket (as standard
 * input). It takes HELLO, makes its executors, confines itself (host/confine.h: from then on it can
 * neither open nor start anything, nor listen), says READY, and serves LOAD, SNAPSHOT, UNLOAD and
 * FORGET until the node closes the socket; then it ends, and everything in it.
 *
 * Proto-Faaslets are made here too: init functions are users' code. */
#ifndef WM_FAASLET_WORKER_H
#define WM_FAASLET_WORKER_H

#include "base/diag.h"

/* Serves on `control` until it closes. 0, or what failed. */
WM_MUST_CHECK int worker_main(int control, struct wm_diag *diag);

#endif
