/* client_url.h: the path and query of a request, from pieces that may be anything.
 *
 * Every byte of a piece that is not a letter, a digit, or one of - _ . ~ is percent-encoded, a
 * slash too; the segments "." and ".." as well, so that nothing on the way takes them for a folder.
 * Out of memory is kept and told once, by client_url_text. */
#ifndef WM_CLI_CLIENT_URL_H
#define WM_CLI_CLIENT_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_url {
    char *text;
    size_t len, room;
    bool query, failed;
};

/* `start` is ours: "/v1/functions". */
struct client_url client_url_begin(const char *start);
void client_url_raw(struct client_url *url, const char *ours); /* "/aliases" */
void client_url_segment(struct client_url *url, const char *piece);
void client_url_segment_bytes(struct client_url *url, const void *piece, size_t len);
void client_url_query(struct client_url *url, const char *name, const char *value);
void client_url_query_bytes(struct client_url *url, const char *name, const void *value,
                            size_t len);
void client_url_number(struct client_url *url, const char *name, uint64_t value);
/* NULL: memory ran out. Valid until client_url_free. */
const char *client_url_text(const struct client_url *url);
void client_url_free(struct client_url *url);

#endif
