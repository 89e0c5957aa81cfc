/* version.c: what this build is, and what it found on this machine. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <wardmote/version.h>

#include "wasm/abi.h"
#include "wasm/compile.h"
#include "wasm/options.h"

const char *wm_version(void)
{
    return WARDMOTE_VERSION;
}
