/* client_python.h: what `wardmote fn put FILE.py` sends: an interpreter, and a script for it.
 *
 * The interpreter is CPython as a module that can be frozen at its first read of input. It is
 * fetched and prepared once, by sdk/python/get, and kept in the user's cache folder. The script
 * travels as arguments of the function, with sdk/python/bootstrap.py before it. */
#ifndef WM_CLI_CLIENT_PYTHON_H
#define WM_CLI_CLIENT_PYTHON_H

#include "cli/client_http.h"

#define CLIENT_MODULE_BYTES_MAX (UINT64_C(1) << 30)
#define CLIENT_SCRIPT_BYTES_MAX 16384u /* it has to fit into a request's first line */

/* Opens the interpreter: `given`, else $WARDMOTE_PYTHON, else an installed one, else the one in the
 * cache folder, which is made where it is missing. `script`: for messages. 0 or an exit status. */
WM_MUST_CHECK int client_python_open(const char *script, const char *given,
                                     struct client_body *body);
/* Adds the arguments that have the interpreter load `script`. 0 or an exit status. */
WM_MUST_CHECK int client_python_args(const char *script, struct client_url *url);

#endif
