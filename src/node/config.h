/* config.h: what the node was told: its command line and its YAML file, as one checked struct.
 *
 * Every setting has one name: `--tls-cert FILE` on the command line is `tls-cert: FILE` in the
 * file. The command line wins over the file. Unknown settings are refused with the line and what
 * was perhaps meant; so are values out of range, settings given twice in the file, and anything
 * that is not a flat map. Lists are given as YAML lists, by repeating the flag, or with commas.
 *
 * The file is its operator's, but is decoded as if it were not: at most CONFIG_FILE_BYTES_MAX, no
 * aliases, a fuzz target. One thread. */
#ifndef WM_NODE_CONFIG_H
#define WM_NODE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/diag.h"
#include "base/view.h"
#include "node/log.h"

#define CONFIG_FILE_BYTES_MAX (1u << 20)
#define CONFIG_LIST_MAX 64u
#define CONFIG_LISTEN_MAX 4u

struct config_list {
    char *items[CONFIG_LIST_MAX];
    uint32_t count;
};

struct config {
    char *data;                /* folder of everything that lasts; default: of this user */
    bool data_is_default;      /* where clients look without being told (config_check) */
    char *name;                /* of this node among its peers; default: the machine's */
    struct config_list listen; /* ADDR:PORT; default 127.0.0.1:8300 */
    char *tls_cert, *tls_key;  /* PEM files; both or none */
    bool plain_http;           /* allow HTTP without TLS off loopback */
    bool require_isolation;
    uint32_t threads;         /* executor threads of a worker; 0: the processors */
    char *tier;               /* "embedded" or "redis:ADDR" */
    struct config_list peers; /* NAME=HOST:PORT of all nodes (cluster.h) */
    char *peer_listen;
    char *cluster_key; /* FILE */
    char *log;         /* level */
    uint32_t connections, connections_per_address;
    uint64_t body_bytes; /* of request bodies in memory, all together */
    uint32_t idle_s, header_s, drain_s;
    uint32_t keep_s; /* results of asynchronous calls */
    uint64_t store_bytes;
};

void config_init(struct config *config); /* the defaults that need no memory */
void config_fini(struct config *config);
/* Settings of a file's content over those that `config` has; `shown` is its name in messages. */
WM_MUST_CHECK int config_parse(struct config *config, struct wm_view yaml, const char *shown,
                               struct wm_diag *diag);
enum config_action { CONFIG_RUN, CONFIG_PRINT, CONFIG_HELP, CONFIG_VERSION };
/* The command line, and the file that it names. */
WM_MUST_CHECK int config_args(struct config *config, int argc, char **argv,
                              enum config_action *action, struct wm_diag *diag);
/* Fills in defaults, makes `data` a whole path, and checks what concerns several settings. Last. */
WM_MUST_CHECK int config_check(struct config *config, struct wm_diag *diag);
void config_print(const struct config *config, FILE *out); /* as YAML */
void config_help(FILE *out);

/* "ADDR:PORT", "[ADDR]:PORT" or ":PORT"; host of at least 64 bytes. Any address is "". */
WM_MUST_CHECK int config_split_address(const char *text, char host[64], uint16_t *port);
bool config_is_loopback(const char *host);

#endif
