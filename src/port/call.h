/* call.h: kernel calls that tests can make fail.
 *
 *     int fd = PORT_CALL(openat(...));
 *     if (fd < 0) return -errno;
 *
 * Each use is one n-th I/O operation of base/fault.h; an injected failure is EIO. */
#ifndef WM_PORT_CALL_H
#define WM_PORT_CALL_H

#include <errno.h>

#include "base/fault.h"

#define PORT_CALL(call) (wm_fault_here(WM_FAULT_IO) ? (errno = EIO, -1) : (call))

#endif
