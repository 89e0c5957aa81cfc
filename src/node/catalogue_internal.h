/* catalogue_internal.h: how the catalogue's files see it: entries, and changes of them.
 *
 * Everything kept is an entry: it lies in the map of its kind under its key, and in the store's
 * table of its kind as one JSON document. Entries are never changed in place (copy on write): a
 * change holds new entries, puts their documents into a batch, and swaps them in when that is on
 * the disk. So there is one way for all kinds, and nothing half done is ever seen. */
#ifndef WM_NODE_CATALOGUE_INTERNAL_H
#define WM_NODE_CATALOGUE_INTERNAL_H

#include "base/vec.h"
#include "node/catalogue.h"
#include "node/catalogue_sync.h"
#include "node/jsonx.h"
#include "node/map.h"

struct entry { /* the first member of each kind */
    enum entry_kind kind;
    uint32_t key_len;
    uint8_t key[ENTRY_KEY_BYTES_MAX];
};

struct tenant_entry {
    struct entry entry;
    struct tenant tenant;
};

struct token_entry {
    struct entry entry; /* key: SHA-256 of the token's text */
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1];
    char id[CATALOGUE_ID_BYTES + 1];
    enum role role;
    int64_t created_ns;
};

struct function_alias {
    char name[CATALOGUE_NAME_BYTES_MAX + 1];
    uint32_t version;
};

struct function_secret {
    char name[CATALOGUE_NAME_BYTES_MAX + 1];
    uint8_t *box; /* sealed */
    size_t len;
};

struct function_entry {
    struct entry entry; /* key: tenant, NUL, name */
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1];
    char name[CATALOGUE_NAME_BYTES_MAX + 1];
    uint32_t next_version;
    uint64_t env_revision;
    uint64_t since_ns; /* versions made before belong to a function that was removed */
    char **env;
    struct function_version *latest; /* borrowed from versions; NULL: no alias of that name */
    WM_VEC(struct function_version *) versions; /* one reference each, in order */
    WM_VEC(struct function_alias) aliases;
    WM_VEC(struct function_secret) secrets;
};

/* Of an item of a list that was removed: so that the lists of two nodes can be merged. */
struct item_removal {
    char name[CATALOGUE_NAME_BYTES_MAX + 1];
    uint64_t removed_ns;
};
typedef WM_VEC(struct item_removal) removal_list;
#define REMOVALS_MAX 256u

struct routes_entry { /* all routes of a tenant, the most exact first */
    struct entry entry;
    WM_VEC(struct route) routes;
    removal_list removals;
};

struct crons_entry {
    struct entry entry;
    WM_VEC(struct cron_trigger) crons;
    removal_list removals;
};

/* The revision of an entry, also of one that was removed. */
struct revision_slot {
    struct revision revision;
    uint32_t key_len;
    uint8_t key[1 + ENTRY_KEY_BYTES_MAX]; /* kind, then the entry's key: also in the store */
};
#define REVISIONS_TABLE "revisions"

struct catalogue {
    struct kv *kv;
    uint8_t key[32];
    struct map maps[ENTRY_KINDS];
    struct map revisions; /* of struct revision_slot */
    uint64_t last_ns;     /* the greatest time of any revision seen */
    char node[CATALOGUE_NAME_BYTES_MAX + 1];
    bool changing, defaults;
    void (*changed)(void *self, const struct catalogue_changed *changed);
    void *changed_self;
};

struct change_op {
    enum entry_kind kind;
    struct entry *next;         /* NULL: the one with this key is removed */
    struct revision_slot *slot; /* NULL: the revision is forgotten */
    bool foreign;
    uint32_t key_len;
    uint8_t key[ENTRY_KEY_BYTES_MAX];
};

struct catalogue_change {
    struct catalogue *catalogue;
    struct kv_batch *batch;
    WM_VEC(struct change_op) ops;
};

struct entry_ops {
    const char *table;
    void (*free)(struct entry *entry);
    json_t *(*encode)(const struct entry *entry);
    /* NULL: malformed, or no memory. The key is set by the caller. */
    struct entry *(*decode)(struct wm_view key, const json_t *json);
    /* Is a decoded entry one that the functions of catalogue.h could have made? */
    bool (*ok)(const struct entry *entry);
};
extern const struct entry_ops entry_tenant_ops, entry_token_ops, entry_function_ops,
    entry_routes_ops, entry_crons_ops;

struct entry *entry_new(enum entry_kind kind, size_t bytes, struct wm_view key);
void entry_free(struct entry *entry); /* NULL: nothing */
struct wm_view entry_key(const struct entry *entry);
void *entry_find(const struct catalogue *catalogue, enum entry_kind kind, struct wm_view key);
/* tenant, NUL, name: a view into `out`. Names that are too long give a key that is not there. */
struct wm_view entry_pair(uint8_t out[ENTRY_KEY_BYTES_MAX], const char *tenant, const char *name,
                          size_t name_len);

/* A change of one entry: takes `next` over, also when it fails. */
WM_MUST_CHECK int change_put(struct catalogue *catalogue, struct entry *next,
                             struct catalogue_change **out, struct wm_diag *diag);
WM_MUST_CHECK int change_new(struct catalogue *catalogue, struct catalogue_change **out,
                             struct wm_diag *diag);
WM_MUST_CHECK int change_add(struct catalogue_change *change, struct entry *next);
WM_MUST_CHECK int change_add_removal(struct catalogue_change *change, const struct entry *entry);
void change_drop(struct catalogue_change *change);
/* The same with a revision of another node. */
WM_MUST_CHECK int change_add_foreign(struct catalogue_change *change, struct entry *next,
                                     const struct revision *revision);
/* Of two states that were merged into one: ours, and to be told to all. */
WM_MUST_CHECK int change_add_merged(struct catalogue_change *change, struct entry *next,
                                    const struct revision *a, const struct revision *b);
WM_MUST_CHECK int change_add_tombstone(struct catalogue_change *change, enum entry_kind kind,
                                       struct wm_view key, const struct revision *revision);
/* Forgets a revision: of an entry that is not there. */
WM_MUST_CHECK int change_add_forget(struct catalogue_change *change,
                                    const struct revision_slot *slot);

const struct entry_ops *entry_ops_of(enum entry_kind kind);
/* NULL: never heard of. */
const struct revision *revision_find(const struct catalogue *catalogue, enum entry_kind kind,
                                     struct wm_view key);
WM_MUST_CHECK int revisions_load(struct catalogue *catalogue, struct kv_reader *reader);
/* The time that the next change of ours would have. */
uint64_t revision_now(const struct catalogue *catalogue);

/* catalogue_function.c's, for catalogue_sync.c: a copy that shares the versions (NULL: no memory);
 * a version under another number and with the environment of another entry; what "latest" means,
 * after a change. */
struct function_entry *function_copy(const struct function_entry *from);
struct function_version *version_for(const struct function_version *from, uint32_t number,
                                     const struct function_entry *function);
void function_find_latest(struct function_entry *function);
bool function_make_room(struct function_entry *function);
WM_MUST_CHECK int function_reseal(struct catalogue *catalogue, struct function_entry *function,
                                  const uint8_t before[32], bool *changed);

/* NULL-terminated lists of strings. */
void strings_free(char **strings);
char **strings_copy(char *const *strings); /* NULL: no memory */
size_t strings_count(char *const *strings);
json_t *strings_encode(char *const *strings);
char **strings_decode(const json_t *json, size_t max);

WM_MUST_CHECK int need_tenant(struct catalogue *catalogue, const char *tenant,
                              struct wm_diag *diag);
WM_MUST_CHECK int need_name(const char *what, const char *name, struct wm_diag *diag);
/* "NAME", "NAME:ALIAS", "NAME@VERSION" by its form. */
bool function_ref_ok(const char *text);

#endif
