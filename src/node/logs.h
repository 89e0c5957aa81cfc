/* logs.h: what calls write to their standard error, by function.
 *
 * Kept in memory, the newest LOGS_FUNCTION_BYTES of each function and at most LOGS_TENANT_BYTES of
 * a tenant (its functions that were quiet for longest lose theirs first) and LOGS_FUNCTIONS_MAX
 * functions; gone when the node ends, which a log that must last has to be sent elsewhere for.
 * Lines have numbers that rise without gaps within a function: who asks for `since` sees what was
 * lost. A line longer than LOGS_LINE_BYTES_MAX is cut. The text is a guest's: it is given out as
 * JSON strings, and control characters are for whoever prints it to escape.
 *
 * Threads: the loop thread. */
#ifndef WM_NODE_LOGS_H
#define WM_NODE_LOGS_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/view.h"

#define LOGS_FUNCTION_BYTES (UINT32_C(256) << 10)
#define LOGS_TENANT_BYTES (UINT32_C(4) << 20)
#define LOGS_FUNCTIONS_MAX 4096u
#define LOGS_LINE_BYTES_MAX 4096u
#define LOGS_LINES_MAX 10000u /* in one answer */

struct logs;
struct json_t;
WM_MUST_CHECK int logs_new(struct logs **out);
void logs_free(struct logs *logs);
/* `text`: one or more lines that a call wrote; the last need not be ended. `function` as in a call,
 * with alias or version or without. Without memory it is lost. */
void logs_add(struct logs *logs, const char *tenant, const char *function, uint64_t call,
              int64_t now_ns, struct wm_view text);
void logs_remove(struct logs *logs, const char *tenant, const char *function);
/* {"lines": [{"seq", "time_ns", "call", "text"}], "next": SEQ}; NULL: no memory. */
struct json_t *logs_show(struct logs *logs, const char *tenant, const char *function,
                         uint64_t since, uint32_t limit);

#endif
