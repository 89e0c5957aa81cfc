/* uri.h: what stands in a request line, taken apart: path, query, and names. Pure.
 *
 * Everything here is from strangers. Percent-encoding is undone segment by segment, after the path
 * was split, so that an encoded slash belongs to its name. A NUL, encoded or not, and a broken
 * escape are refused (WM_E_MALFORMED). Everything is decoded in place: texts are borrowed from the
 * line given. */
#ifndef WM_NODE_URI_H
#define WM_NODE_URI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/view.h"

#define URI_BYTES_MAX 8192u
#define URI_PARAMS_MAX 32u /* parameters of a query */

struct uri_param {
    const char *name, *value; /* NUL-terminated; value "" where there is no = */
};

/* Cuts "path?query" at the first question mark (and drops a fragment). False: it does not begin
 * with a slash, which the form "*" and absolute URIs do not. */
WM_MUST_CHECK bool uri_split(char *line, char **path, char **query);
/* Undoes percent-encoding in place; `plus`: a plus is a space (in queries). False: refused. */
WM_MUST_CHECK bool uri_decode(char *text, bool plus);
/* Cuts a query into parameters, decoded; the count, or a negative code. */
WM_MUST_CHECK int uri_params(char *query, struct uri_param out[URI_PARAMS_MAX]);

/* A name of the catalogue: 1 to 64 of a-z A-Z 0-9 - _ . that starts with a letter or digit. */
bool uri_name_ok(const char *text);
/* A decimal number without sign, and nothing else. */
WM_MUST_CHECK bool uri_number(const char *text, uint64_t max, uint64_t *out);

#endif
