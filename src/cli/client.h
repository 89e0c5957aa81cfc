/* client.h: what the commands against a node share (the program wardmote-client).
 *
 * One file per verb: client_fn.c (with client_put.c, client_call.c, client_trigger.c for the larger
 * ones), client_state.c, client_tenant.c, client_node.c. Each command is a struct cli_verb whose
 * name has two words or three ("fn put", "fn route add").
 *
 * What a node answers is hostile: it may be another's, and names and messages in it come from other
 * users. Output that was asked for as bytes (fn call, state get) is passed as it is; everything
 * else goes through cli/text.h. A token is never in an argument, a message, or an address. */
#ifndef WM_CLI_CLIENT_H
#define WM_CLI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/cli.h"

#define CLIENT_NAME_BYTES_MAX 64u /* of functions, tenants, routes */
#define CLIENT_TOKEN_BYTES_MAX 4096u

struct client_http; /* client_http.h */

struct client {
    /* As given on the command line; NULL: not given. */
    const char *node_option, *tenant, *token_file, *ca;
    bool plain; /* a token may go unencrypted to another machine */
    bool json;
    uint64_t retries;
    uint64_t wait_s; /* for an answer; 0: not given, the default from client_open on */
    /* As found by client_open. */
    char *url; /* "http://127.0.0.1:8080", without a slash at the end; of a socket "http://node" */
    char *socket; /* path; NULL: over TCP */
    char *place;  /* what messages call the node: "unix:PATH" or the URL */
    char *token;  /* NULL: none */
    struct client_http *http;
};

/* The options that all commands have: for .common of struct cli_verb. */
extern const struct cli_option client_options[];
#define CLIENT_OPTIONS 8u
#define CLIENT_COMMON .common = client_options, .common_count = CLIENT_OPTIONS

void client_init(struct client *client);
/* For take() functions: an option of client_options, or CLI_USAGE. */
int client_take(struct client *client, int id, const char *value);
/* Finds the node and the token. Nothing is sent. 0, or an exit status (the message is printed). */
WM_MUST_CHECK int client_open(struct client *client);
void client_close(struct client *client);

/* The arguments of commands without options of their own. */
#define CLIENT_WORDS_MAX 64u
struct client_words {
    struct client client;
    const struct cli_verb *verb;
    const char *word[CLIENT_WORDS_MAX];
    size_t count;
    bool yes; /* --yes, where the verb has it */
};
extern const struct cli_option client_yes[1];
#define CLIENT_YES 'y'
/* Parses, checks that there are `least` to `most` words, opens the client. -1: go on; else the
 * status to leave with (client closed). */
int client_words(struct client_words *words, const struct cli_verb *verb, int argc, char **argv,
                 size_t least, size_t most);
int client_words_take(void *words, int id, const char *value); /* for commands that add options */
/* The same, in two steps, for those. */
int client_words_check(const struct client_words *words, size_t least, size_t most);

/* A name of a function, tenant, route: the message is printed. */
WM_MUST_CHECK int client_check_name(const char *what, const char *name);
/* Asks on a terminal; without one the answer is yes, as scripts mean what they say. */
bool client_confirm(bool yes, const char *format, ...) WM_PRINTF(2, 3);

/* Bytes of a file, of standard input ("-") or of this process, to be sent; seekable, so that a
 * request can be repeated. */
struct client_body {
    const void *bytes; /* fd < 0 */
    int fd;
    uint64_t len;
    bool own_fd;
};
#define CLIENT_BODY_NONE ((struct client_body){NULL, -1, 0, false})
/* path "-": standard input. Pipes are read to their end first. At most `most` bytes. */
WM_MUST_CHECK int client_body_open(struct client_body *body, const char *path, uint64_t most);
void client_body_close(struct client_body *body);

/* A file that is there whole or not at all: written under another name, renamed by _keep. Devices
 * and pipes are written to as they are. */
struct client_file {
    char *path, *temporary; /* temporary NULL: written to as it is */
    int fd;
};
WM_MUST_CHECK int client_file_open(struct client_file *file, const char *path, unsigned mode);
WM_MUST_CHECK int client_file_keep(struct client_file *file);
void client_file_drop(struct client_file *file);
WM_MUST_CHECK int client_write_all(int fd, const void *bytes, size_t len); /* 0 or -errno */

/* The default data folder of a node of this user: $XDG_STATE_HOME/wardmote, for root
 * /var/lib/wardmote, else ~/.local/state/wardmote. False: there is no home. */
bool client_data_folder(char *out, size_t out_bytes);

/* Replaces a function's environment: "NAME=VALUE", or "NAME" with this process's value. */
WM_MUST_CHECK int client_put_env(struct client *client, const char *function,
                                 const char *const *variables, size_t count);
/* Gives a function a secret whose value is in a file or ("-") on standard input. */
WM_MUST_CHECK int client_put_secret(struct client *client, const char *function, const char *name,
                                    const char *path, bool exact);

/* Every command; NULL-terminated lists, one a verb. */
extern const struct cli_verb *const client_fn[], *const client_state[], *const client_tenant[],
                                                                            *const client_node[];
extern const struct cli_verb client_fn_put, client_fn_call, client_fn_result, client_fn_route_add,
    client_fn_route_list, client_fn_route_rm, client_fn_cron_add, client_fn_cron_list,
    client_node_token, client_fn_receipt_verify, client_fn_cron_rm;

#endif
