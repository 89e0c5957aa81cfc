/* wardmote.h: all of libwardmote's interface. Each header also stands alone.
 *
 *     error.h    codes, and sentences that go with them
 *     version.h  which Wardmote this is
 *     engine.h   modules, instances, calls, host functions, guest memory; compiling ahead of time
 *     wasi.h     what a WASI program is given of the machine
 *     run.h      one program from its file to its exit
 *     verify.h   is a proof genuine
 *
 * Compile with `pkg-config --cflags --libs wardmote`. */
#ifndef WARDMOTE_WARDMOTE_H
#define WARDMOTE_WARDMOTE_H

#include <wardmote/engine.h>
#include <wardmote/error.h>
#include <wardmote/run.h>
#include <wardmote/verify.h>
#include <wardmote/version.h>
#include <wardmote/wasi.h>

#endif
