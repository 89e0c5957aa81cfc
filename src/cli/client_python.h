/* client_python.h: what `wardmote fn put FILE.py` sends: an interpreter, and a script for it.
 *
 * The interpreter is CPython as a module that can be frozen at its first read of input. It is
 * fetched and prepared once, by sdk/python/get, and kept in the user's cache folder. The script
 * travels as arguments of the function behind the module, with sdk/python/bootstrap.py before it.
 */
#ifndef WM_CLI_CLIENT_PYTHON_H
#define WM_CLI_CLIENT_PYTHON_H

#include "cli/client_http.h"

#define CLIENT_MODULE_BYTES_MAX (UINT64_C(1) << 30)
#define CLIENT_SCRIPT_BYTES_MAX 32768u

/* The body of an upload: the interpreter (`given`, else $WARDMOTE_PYTHON, else an installed one,
 * else the one in the cache folder, which is made where it is missing), and behind it *args_bytes
 * bytes of arguments that have it load `script`. 0 or an exit status. */
WM_MUST_CHECK int client_python_body(const char *script, const char *given,
                                     struct client_body *body, uint64_t *args_bytes);

#endif
