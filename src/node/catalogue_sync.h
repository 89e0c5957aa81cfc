/* catalogue_sync.h: the catalogue as one of several copies: revisions, and entries of other nodes.
 *
 * Each entry has a revision: when it was changed, by a clock that never goes back (the wall clock,
 * or one more than the greatest time seen of any node), and on which node. Of two states of an
 * entry the one with the greater revision stays: all nodes that have seen both agree. A removal is
 * a state too: its revision stays as a tombstone for TOMBSTONE_NS. Revisions lie in the store
 * (table `revisions`, doc/format/node.md) and are committed with the entries.
 *
 * Versions of a function are more than a state of it: an upload that was acknowledged on any node
 * is kept. When two states of a function meet, the winner's aliases, environment and secrets stay,
 * and the versions of both. Of two with one number the one that was uploaded later gets the next
 * free number; aliases follow their version. The result has a revision of its own where it is
 * neither of the two. Routes and cron triggers of a tenant are merged by name in the same way, each
 * with a time of its own. For all else (a tenant's quota; aliases, environment and secrets of one
 * function) one of two changes that were made at the same time, on nodes that had not heard of each
 * other's, is lost.
 *
 * Trust: entries of other nodes are read as if they were hostile: catalogue_import_add takes none
 * that this node would not have made itself.
 *
 * Threads: as each function says. */
#ifndef WM_NODE_CATALOGUE_SYNC_H
#define WM_NODE_CATALOGUE_SYNC_H

#include "base/view.h"
#include "node/catalogue.h"

#define TOMBSTONE_NS (INT64_C(7) * 24 * 3600 * 1000000000)
/* A revision this far ahead of our clock is refused until our clock is there: else one wrong clock
 * would win for ever. */
#define REVISION_AHEAD_NS (INT64_C(3600) * 1000000000)
#define REVISION_BYTES_MAX (9 + CATALOGUE_NAME_BYTES_MAX)
#define ENTRY_TEXT_BYTES_MAX (16u << 20) /* of one entry's document */

enum entry_kind {
    ENTRY_TENANT,
    ENTRY_TOKEN,
    ENTRY_FUNCTION,
    ENTRY_ROUTES,
    ENTRY_CRONS,
    ENTRY_KINDS
};

#define ENTRY_KEY_BYTES_MAX (2 * CATALOGUE_NAME_BYTES_MAX + 2)

struct revision {
    uint64_t time_ns; /* 0: none known */
    bool removed;
    char node[CATALOGUE_NAME_BYTES_MAX + 1];
};

/* By time, then by node. Pure. */
int revision_compare(const struct revision *a, const struct revision *b);
/* As kept in the store: u64 time, u8 removed, the node's name. Pure. */
size_t revision_encode(const struct revision *revision, uint8_t out[REVISION_BYTES_MAX]);
WM_MUST_CHECK bool revision_decode(struct wm_view bytes, struct revision *out);
/* The time of a change made at `now_ns` by one who has seen `last`. Pure. */
uint64_t revision_next(uint64_t last, int64_t now_ns);

/* Under which name this node makes changes; "" until then. Loop thread. */
void catalogue_set_node(struct catalogue *catalogue, const char *name);
/* While on, changes are given the least revision there is: what a new node has by default must not
 * undo what others have decided. Loop thread. */
void catalogue_defaults(struct catalogue *catalogue, bool on);

/* Called by catalogue_change_apply for each entry that is another one now, after all of the change
 * are seen. Views are good during the call, which must not begin a change. */
struct catalogue_changed {
    enum entry_kind kind;
    struct wm_view key;
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1]; /* "": of a token */
    bool foreign;                              /* as another node made it */
};
void catalogue_on_change(struct catalogue *catalogue,
                         void (*changed)(void *self, const struct catalogue_changed *changed),
                         void *self);

/* Reading what is committed; any thread. */
struct kv_reader;
/* The revision of an entry, and its document where it is not removed; views until the reader ends.
 * WM_E_NOT_FOUND: never heard of. */
WM_MUST_CHECK int catalogue_export(struct kv_reader *reader, enum entry_kind kind,
                                   struct wm_view key, struct revision *revision,
                                   struct wm_view *text);
/* All revisions of a kind whose keys come after `after` (empty: all), by key, until `emit` returns
 * false. Tombstones older than TOMBSTONE_NS at `now_ns` are left out. */
typedef bool catalogue_revision_fn(void *self, struct wm_view key, const struct revision *revision);
WM_MUST_CHECK int catalogue_each_revision(struct kv_reader *reader, enum entry_kind kind,
                                          struct wm_view after, int64_t now_ns,
                                          catalogue_revision_fn *emit, void *self);

/* Entries of other nodes on their way in. */
struct catalogue_import;
struct catalogue_import *catalogue_import_new(void); /* NULL: no memory */
void catalogue_import_free(struct catalogue_import *import);
/* Any thread. Decodes and checks: WM_E_MALFORMED with what is wrong; nothing is added then.
 * `text`: the document; not looked at where the revision is a removal. */
WM_MUST_CHECK int catalogue_import_add(struct catalogue_import *import, unsigned kind,
                                       struct wm_view key, const struct revision *revision,
                                       struct wm_view text, struct wm_diag *diag);
/* A change of all that is newer than, or has something that is missing in, what is here; *out NULL:
 * there is nothing of that kind. Empties the import. Loop thread; see catalogue.h on changes. */
WM_MUST_CHECK int catalogue_import_change(struct catalogue *catalogue,
                                          struct catalogue_import *import, int64_t now_ns,
                                          struct catalogue_change **out, struct wm_diag *diag);
/* A change that forgets tombstones which are old enough; *out NULL: there are none. Loop thread. */
WM_MUST_CHECK int catalogue_forget(struct catalogue *catalogue, int64_t now_ns,
                                   struct catalogue_change **out, struct wm_diag *diag);

/* Seals all secrets that open under `before` anew under the catalogue's own key, when a node begins
 * to share its key with others; *out NULL: there are none. Loop thread. */
WM_MUST_CHECK int catalogue_reseal(struct catalogue *catalogue, const uint8_t before[32],
                                   struct catalogue_change **out, struct wm_diag *diag);

/* Calls `each` for every version of a function. Loop thread. */
void catalogue_each_version(struct catalogue *catalogue, struct wm_view key,
                            void (*each)(void *self, const struct function_version *version),
                            void *self);

#endif
