/* Executing batches. What one costs besides its procedure, for a request whose signature was
 * checked before: reading it, the hash of its arguments, the client's number, three hashes of what
 * it did, its leaf; and no memory that is not there already. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crypto/hash.h"
#include "ledger/executor_internal.h"
#include "proof/agreement.h"
#include "proof/client_window.h"
#include "proof/governance.h"

/* --- The state, as procedures see it --- */

static int state_get(void *self, struct wm_view key, struct wm_view *value)
{
    const struct executor *executor = self;
    return vmap_get(executor->state, key, value);
}

/* --- Configurations --- */

const struct configuration *executor_configuration(const struct executor *executor, uint64_t cfg)
{
    if (executor->configurations.count == 0) {
        return NULL;
    }
    uint64_t first = executor->configurations.items[0]->configuration.number;
    return cfg >= first && cfg - first < executor->configurations.count
               ? &executor->configurations.items[cfg - first]->configuration
               : NULL;
}

int executor_add_configuration(struct executor *executor, struct wm_view encoded,
                               struct wm_diag *diag)
{
    struct executor_configuration *added = wm_alloc(sizeof *added + encoded.len);
    if (!added) {
        return wm_diag_default(diag, -ENOMEM, "configuration");
    }
    memcpy(added->bytes, encoded.ptr, encoded.len);
    added->len = encoded.len;
    int rc = configuration_get(wm_view_of(added->bytes, added->len), &added->configuration, diag);
    if (rc == 0 && executor->configurations.count > 0 &&
        executor_configuration(executor, added->configuration.number - 1) !=
            &executor->configurations.items[executor->configurations.count - 1]->configuration) {
        rc = wm_diag_set(diag, WM_E_INVALID, "configuration %llu: it does not follow",
                         (unsigned long long)added->configuration.number);
    }
    if (rc == 0) {
        rc = wm_vec_push(&executor->configurations, added);
    }
    if (rc != 0) {
        wm_free(added);
    }
    return rc == 0 ? 0 : wm_diag_default(diag, rc, "configuration");
}

int executor_learn_configuration(struct executor *executor, struct wm_diag *diag)
{
    struct wm_view encoded;
    if (!vmap_get(executor->state, governance_configuration_key(), &encoded)) {
        return wm_diag_set(diag, WM_E_INVALID, "state: it has no configuration");
    }
    return executor_add_configuration(executor, encoded, diag);
}

static void drop_configuration(struct executor *executor)
{
    WM_ASSERT(executor->configurations.count > 1);
    wm_free(executor->configurations.items[--executor->configurations.count]);
}

size_t executor_committed_configurations(const struct executor *executor)
{
    size_t count = executor->configurations.count;
    for (uint64_t s = executor->head.seqno + 1; s <= executor->tip; s++) {
        count -= executor->slots[s % executor->slot_count].executed.reconfigures;
    }
    return count;
}

/* --- Life --- */

struct executor *executor_alloc(const struct executor_config *config, const ledger_hash service)
{
    struct executor *executor = wm_alloc_zero(1, sizeof *executor);
    if (!executor) {
        return NULL;
    }
    WM_ASSERT(config->keep <= EXECUTOR_KEEP_MAX);
    executor->config = *config;
    memcpy(executor->service, service, sizeof executor->service);
    wm_arena_init(&executor->scratch, 0);
    executor->slot_count = config->keep + IN_FLIGHT_MAX + 1;
    executor->slots = wm_alloc_zero(executor->slot_count, sizeof *executor->slots);
    if (!executor->slots) {
        executor_free(executor);
        return NULL;
    }
    return executor;
}

void executor_free(struct executor *executor)
{
    if (!executor) {
        return;
    }
    for (uint32_t i = 0; executor->slots && i < executor->slot_count; i++) {
        kept_fini(&executor->slots[i].kept);
    }
    wm_free(executor->slots);
    for (size_t i = 0; i < executor->configurations.count; i++) {
        wm_free(executor->configurations.items[i]);
    }
    wm_vec_fini(&executor->configurations);
    wm_arena_fini(&executor->scratch);
    if (executor->state) {
        vmap_free(executor->state);
    }
    wm_free(executor);
}

static int put_first(void *self, struct wm_view key, struct wm_view value)
{
    struct executor *executor = self;
    return vmap_put(executor->state, key, value);
}

int executor_new(const struct executor_config *config, struct wm_view genesis,
                 struct executor **out, struct wm_diag *diag)
{
    ledger_hash service;
    struct genesis *read = wm_alloc(sizeof *read); /* 20 KiB: not for a stack */
    struct executor *executor = NULL;
    wm_sha256_once(genesis, service);
    int rc = read ? genesis_get(genesis, read, diag) : -ENOMEM;
    if (rc == 0) {
        rc = governance_endorsed(&read->configuration, read->salt, diag);
    }
    if (rc == 0) {
        executor = executor_alloc(config, service);
        rc = executor && (executor->state = vmap_new(config->state_bytes_max)) ? 0 : -ENOMEM;
    }
    rc = rc == 0 ? governance_begin(read, put_first, executor) : rc;
    rc = rc == 0 ? vmap_mark(executor->state, 0) : rc;
    rc = rc == 0 ? executor_learn_configuration(executor, diag) : rc;
    wm_free(read);
    if (rc != 0) {
        executor_free(executor);
        return wm_diag_default(diag, rc, "genesis");
    }
    bft_genesis_head(&executor->head);
    vmap_root(executor->state, executor->head.state_root);
    *out = executor;
    return 0;
}

/* --- Signatures --- */

/* Checks those of the unchecked requests from `from` on, as many as fit a group. A request that
 * cannot be read counts as unsigned. */
static void check_signatures(struct executor *executor, const struct bft_batch *batch,
                             uint32_t from)
{
    struct sign_item items[SIGN_GROUP];
    uint32_t at[SIGN_GROUP], count = 0, i = from;
    for (; i < batch->count && count < SIGN_GROUP; i++) {
        struct request request;
        executor->valid[i] = batch->requests[i].checked;
        if (executor->valid[i] || request_get(batch->requests[i].request, &request, NULL) != 0) {
            continue;
        }
        uint8_t *key = executor->group[count].key, *signature = executor->group[count].signature;
        struct statement_signed *covered = &executor->group[count].covered;
        memcpy(key, request.statement.key, sizeof executor->group[count].key);
        memcpy(signature, request.statement.signature, sizeof executor->group[count].signature);
        statement_signed_bytes(request.statement.protected_header, request.statement.payload,
                               covered);
        items[count] = (struct sign_item){.public_key = key,
                                          .bytes = wm_view_of(covered->bytes, covered->len),
                                          .signature = signature};
        at[count++] = i;
    }
    sign_verify_batch(items, count);
    for (uint32_t k = 0; k < count; k++) {
        executor->valid[at[k]] = items[k].valid;
    }
    executor->checked_to = i;
}

static bool is_signed(struct executor *executor, const struct bft_batch *batch, uint32_t position)
{
    if (batch->requests[position].checked) {
        return true;
    }
    if (position >= executor->checked_to) {
        check_signatures(executor, batch, position);
    }
    return executor->valid[position];
}

/* --- One transaction --- */

static int refuse(struct executor *executor, const struct bft_batch *batch, uint32_t position,
                  const char *why)
{
    return wm_diag_set(&executor->why, WM_E_INVALID, "batch %llu: request %u: %s",
                       (unsigned long long)batch->seqno, position, why);
}

/* Rules whose breach makes the batch invalid. */
static int read_request(struct executor *executor, const struct bft_batch *batch, uint32_t position,
                        struct request *out)
{
    const struct bft_request *from = &batch->requests[position];
    ledger_hash arguments;
    if (request_get(from->request, out, NULL) != 0) {
        return refuse(executor, batch, position, "it is not a request");
    }
    if (memcmp(out->claims.service, executor->service, sizeof executor->service) != 0) {
        return refuse(executor, batch, position, "it is for another service");
    }
    wm_sha256_once(from->arguments, arguments);
    if (out->claims.arguments_len != from->arguments.len ||
        memcmp(out->statement.payload, arguments, sizeof arguments) != 0) {
        return refuse(executor, batch, position, "its arguments are not those that were signed");
    }
    if (out->claims.minimum_index > batch->first_index + position) {
        return refuse(executor, batch, position, "its minimum index is larger than its index");
    }
    if (!is_signed(executor, batch, position)) {
        return refuse(executor, batch, position, "its signature is false");
    }
    return 0;
}

static int apply_writes(struct executor *executor, const struct procedure_done *done)
{
    int rc = 0;
    for (uint32_t i = 0; i < done->write_count && rc == 0; i++) {
        const struct procedure_write *write = &done->writes[i];
        rc = write->removed ? vmap_remove(executor->state, write->key)
                            : vmap_put(executor->state, write->key, write->value);
    }
    return rc;
}

/* Executes the request at `position`, and keeps what came of it. */
static int execute_one(struct executor *executor, struct executor_slot *slot,
                       const struct bft_batch *batch, uint32_t position)
{
    const struct bft_request *from = &batch->requests[position];
    const struct procedure_state state = {executor, state_get};
    uint8_t window_key[CLIENT_WINDOW_KEY_BYTES], window[CLIENT_WINDOW_BYTES];
    struct request request __attribute__((uninitialized));
    struct procedure_done done;
    int rc = read_request(executor, batch, position, &request);
    if (rc != 0) {
        return rc;
    }
    client_window_key(request.statement.key, window_key);
    struct wm_view key = wm_view_of(window_key, sizeof window_key), used;
    if (!vmap_get(executor->state, key, &used)) {
        used = wm_view_of(NULL, 0);
    }
    bool duplicate = !client_window_use(used, request.claims.number, window);
    rc = procedure_execute(executor->config.procedures, &state, &request, from->hash,
                           from->arguments, batch->first_index + position, duplicate,
                           &executor->scratch, &done);
    if (rc == 0 && !duplicate) {
        rc = vmap_put(executor->state, key, wm_view_of(window, sizeof window));
    }
    rc = rc == 0 ? apply_writes(executor, &done) : rc;
    if (rc == 0) {
        struct transaction_item item = {.request = from->request,
                                        .has_arguments = true,
                                        .arguments = from->arguments,
                                        .output = done.output,
                                        .has_result = true,
                                        .result = done.result};
        rc = kept_add(&slot->kept, from->hash, &item);
    }
    if (rc == 0 && governance_is_link(&request.claims, &done.output)) {
        struct wm_view encoded;
        slot->executed.governance = true;
        slot->executed.reconfigures = governance_made(&done, &encoded);
    }
    wm_arena_reset(&executor->scratch);
    return rc == 0 ? 0 : wm_diag_default(&executor->why, rc, "batch");
}

/* --- Batches --- */

static struct executor_slot *slot_of(const struct executor *executor, uint64_t seqno)
{
    return &executor->slots[seqno % executor->slot_count];
}

static int execute_all(struct executor *executor, struct executor_slot *slot,
                       const struct bft_batch *batch)
{
    int rc = kept_begin(&slot->kept, batch->cfg, batch->view, batch->seqno, batch->first_index,
                        batch->count);
    executor->checked_to = 0;
    for (uint32_t i = 0; i < batch->count && rc == 0 && !slot->executed.governance; i++) {
        rc = execute_one(executor, slot, batch, i);
    }
    if (rc == 0 && slot->executed.reconfigures) {
        rc = executor_learn_configuration(executor, &executor->why);
        slot->executed.reconfigures = rc == 0;
    }
    if (rc == 0) {
        rc = vmap_mark(executor->state, batch->seqno);
    }
    return rc;
}

int executor_execute(struct executor *executor, const struct bft_batch *batch,
                     struct bft_executed *executed)
{
    struct executor_slot *slot = slot_of(executor, batch->seqno);
    executor->why = (struct wm_diag)WM_DIAG_INIT;
    WM_ASSERT(batch->seqno == executor->tip + 1);
    if (batch->count > LEDGER_BATCH_MAX) {
        return wm_diag_set(&executor->why, WM_E_INVALID, "batch %llu: %u requests are too many",
                           (unsigned long long)batch->seqno, batch->count);
    }
    if (executor->tip - executor->head.seqno == IN_FLIGHT_MAX) {
        return wm_diag_set(&executor->why, WM_E_LIMIT,
                           "batch %llu: %u batches before it are not committed",
                           (unsigned long long)batch->seqno, IN_FLIGHT_MAX);
    }
    slot->executed = (struct bft_executed){0};
    int rc = execute_all(executor, slot, batch);
    if (rc != 0) {
        if (slot->executed.reconfigures) {
            drop_configuration(executor);
        }
        slot->kept.seqno = 0;
        vmap_undo_to(executor->state, executor->tip);
        return wm_diag_default(&executor->why, rc, "batch");
    }
    kept_end(&slot->kept);
    slot->executed.taken = slot->kept.count;
    memcpy(slot->executed.root, slot->kept.root, sizeof slot->executed.root);
    if (!executor->config.no_state_roots) {
        vmap_root(executor->state, slot->executed.state_root);
    }
    executor->tip = batch->seqno;
    *executed = slot->executed;
    return 0;
}

void executor_undo_to(struct executor *executor, uint64_t seqno)
{
    WM_ASSERT(seqno >= executor->head.seqno && seqno <= executor->tip);
    for (; executor->tip > seqno; executor->tip--) {
        struct executor_slot *slot = slot_of(executor, executor->tip);
        if (slot->executed.reconfigures) {
            drop_configuration(executor);
        }
        slot->kept.seqno = 0;
    }
    vmap_undo_to(executor->state, seqno);
}

/* The end of the ledger with a batch. Entries come from agreement, or were checked: what cannot be
 * read in them is our own mistake. */
static void advance_head(struct executor *executor, const struct executor_slot *slot,
                         const struct bft_entries *entries)
{
    struct bft_head *head = &executor->head;
    const struct configuration *left = executor_configuration(executor, head->cfg);
    const struct configuration *configuration = executor_configuration(executor, entries->cfg);
    struct preprepare_entry entry;
    struct cose_statement statement;
    struct preprepare_claims claims;
    struct bft_next next;
    ledger_hash name;
    WM_ASSERT(left && configuration);
    bft_head_next(head, left, &next);
    bool ok = preprepare_entry_get(entries->preprepare, &entry, NULL) &&
              cose_header(entry.header, &statement) &&
              preprepare_claims_get(statement.claims, &claims, NULL) == 0;
    WM_ASSERT(ok && claims.seqno == next.seqno);
    WM_ASSERT(memcmp(entry.root, slot->executed.root, sizeof entry.root) == 0);
    if (entries->new_view.len > 0) {
        ok = bft_head_entry(head, entries->view_changes) && bft_head_entry(head, entries->new_view);
    }
    if (entries->evidence.len > 0) {
        ok = ok && bft_head_entry(head, entries->evidence);
    }
    WM_ASSERT(ok); /* LEDGER_SEQNO_MAX comes first */
    executor->before_preprepare = head->ledger;
    WM_ASSERT(entries->preprepare.len <= sizeof executor->preprepare);
    memcpy(executor->preprepare, entries->preprepare.ptr, entries->preprepare.len);
    executor->preprepare_len = entries->preprepare.len;
    agreement_name(entry.header, entry.root, name);
    bft_head_add(head, &next, &claims, entry.header, entry.root, name, &slot->executed,
                 configuration->parameters.checkpoint_interval);
}

void executor_commit(struct executor *executor, const struct bft_entries *entries)
{
    struct executor_slot *slot = slot_of(executor, entries->seqno);
    WM_ASSERT(entries->seqno == executor->head.seqno + 1 && entries->seqno <= executor->tip);
    WM_ASSERT(slot->kept.seqno == entries->seqno);
    advance_head(executor, slot, entries);
    vmap_drop_before(executor->state, entries->seqno);
    if (executor->config.committed) {
        executor->config.committed(executor->config.self, entries);
    }
    if (entries->seqno > executor->config.keep) {
        kept_trim(&slot_of(executor, entries->seqno - executor->config.keep)->kept);
    }
}

/* --- Looking --- */

const uint8_t *executor_service(const struct executor *executor)
{
    return executor->service;
}

const struct wm_diag *executor_why(const struct executor *executor)
{
    return &executor->why;
}

const struct bft_head *executor_head(const struct executor *executor)
{
    return &executor->head;
}

uint64_t executor_tip(const struct executor *executor)
{
    return executor->tip;
}

const struct vmap *executor_state(const struct executor *executor)
{
    return executor->state;
}

/* The oldest batch that is kept. */
static uint64_t oldest_kept(const struct executor *executor)
{
    uint64_t head = executor->head.seqno, keep = executor->config.keep;
    return head > keep ? head - keep + 1 : 1;
}

const struct kept_batch *executor_batch(const struct executor *executor, uint64_t seqno)
{
    if (seqno < oldest_kept(executor) || seqno > executor->tip) {
        return NULL;
    }
    const struct executor_slot *slot = slot_of(executor, seqno);
    return slot->kept.seqno == seqno ? &slot->kept : NULL;
}

const struct kept_batch *executor_batch_of(const struct executor *executor, uint64_t index)
{
    uint64_t low = oldest_kept(executor), high = executor->tip;
    while (low <= high) {
        uint64_t middle = low + (high - low) / 2;
        const struct kept_batch *batch = executor_batch(executor, middle);
        if (!batch || index >= batch->first_index + batch->count) {
            low = middle + 1; /* not here: from before this executor */
        } else if (index < batch->first_index) {
            high = middle - 1;
        } else {
            return batch;
        }
    }
    return NULL;
}

const struct kept_batch *executor_batch_with(const struct executor *executor,
                                             const ledger_hash request, uint32_t *position)
{
    for (uint64_t s = executor->tip; s >= oldest_kept(executor); s--) {
        const struct kept_batch *batch = executor_batch(executor, s);
        for (uint32_t i = 0; batch && i < batch->count; i++) {
            if (memcmp(batch->requests[i], request, sizeof(ledger_hash)) == 0) {
                *position = i;
                return batch;
            }
        }
    }
    return NULL;
}

/* --- The application under agreement --- */

static int app_execute(void *self, const struct bft_batch *batch, struct bft_executed *executed)
{
    return executor_execute(self, batch, executed);
}

static bool app_check(void *self, const struct bft_request *request)
{
    struct request parsed;
    (void)self;
    return request_get(request->request, &parsed, NULL) == 0 &&
           statement_verify(&parsed.statement, parsed.statement.payload, NULL, "request", NULL) ==
               0;
}

static struct wm_view app_transactions(void *self, uint64_t seqno)
{
    const struct kept_batch *batch = executor_batch(self, seqno);
    WM_ASSERT(batch);
    return kept_entry(batch);
}

static void app_undo_to(void *self, uint64_t seqno)
{
    executor_undo_to(self, seqno);
}

static void app_commit(void *self, const struct bft_entries *entries)
{
    executor_commit(self, entries);
}

static bool app_read(void *self, uint64_t seqno, void (*take)(void *, const struct bft_entries *),
                     void *taker)
{
    const struct executor *executor = self;
    return executor->config.read &&
           executor->config.read(executor->config.self, seqno, take, taker);
}

static const struct configuration *app_configuration(void *self, uint64_t cfg)
{
    return executor_configuration(self, cfg);
}

struct bft_app executor_app(struct executor *executor)
{
    return (struct bft_app){
        .self = executor,
        .execute = app_execute,
        .check = app_check,
        .transactions = app_transactions,
        .undo_to = app_undo_to,
        .commit = app_commit,
        .read = app_read,
        .configuration = app_configuration,
    };
}
