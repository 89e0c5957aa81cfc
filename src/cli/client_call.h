/* client_call.h: what `fn call` and the receipt of a call share. */
#ifndef WM_CLI_CLIENT_CALL_H
#define WM_CLI_CLIENT_CALL_H

#include "cli/client.h"

/* Waits until the call's second is signed, and writes its record with the path to the signed root
 * to the file. */
WM_MUST_CHECK int client_fetch_receipt(struct client *client, const char *call, const char *path);

#endif
