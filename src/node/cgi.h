/* cgi.h: what a guest says about its HTTP answer, read with suspicion. Pure.
 *
 * Two forms. A Faaslet gives headers as "Name: value\n" lines. A command's output may begin with a
 * header block as in CGI (RFC 3875 section 6): it is taken for one only where its first line is
 * Status:, Content-Type: or Location:, and a blank line ends it within CGI_HEAD_BYTES_MAX; anything
 * else is all body. */
#ifndef WM_NODE_CGI_H
#define WM_NODE_CGI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

#define CGI_HEAD_BYTES_MAX 16384u
#define CGI_HEADERS_MAX 64u
#define CGI_NAME_BYTES_MAX 128u
#define CGI_VALUE_BYTES_MAX 4096u

struct cgi_header {
    char name[CGI_NAME_BYTES_MAX + 1];
    char value[CGI_VALUE_BYTES_MAX + 1];
};

/* The next header that may be passed on, from the front of *lines; false: no more. Lines with
 * names that are no tokens, with control characters, too long, or that are the server's own
 * business (Connection, Content-Length, Transfer-Encoding, Wardmote-*, ...) are left out. */
bool cgi_next(struct wm_view *lines, struct cgi_header *out);

struct cgi_answer {
    uint32_t status;      /* 0: not given */
    struct wm_view lines; /* for cgi_next; Status: is left out by it */
    struct wm_view body;
};
void cgi_parse(struct wm_view output, struct cgi_answer *out);

#endif
