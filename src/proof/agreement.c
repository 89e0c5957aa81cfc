/* Statements of replicas, one by one, from the signature upwards. */
#include "proof/agreement.h"

#include <string.h>

#include "base/assert.h"
#include "crypto/hash.h"
#include "proof/statement.h"

void agreement_name(struct wm_view header, const ledger_hash payload, ledger_hash out)
{
    struct statement_signed bytes;
    statement_signed_bytes(header, payload, &bytes);
    wm_sha256_once(wm_view_of(bytes.bytes, bytes.len), out);
}

void agreement_sign(const struct sign_key *key, bool tree, struct wm_view claims,
                    const ledger_hash payload, uint8_t header[COSE_PROTECTED_BYTES_MAX],
                    struct statement_parts *out)
{
    struct cose_statement statement;
    statement_sign(key, tree, claims, payload, header, &statement);
    out->header = statement.protected_header;
    memcpy(out->payload, payload, sizeof out->payload);
    memcpy(out->signature, statement.signature, sizeof out->signature);
}

/* Is the header, whose key must be this one, signed over the payload? */
static bool signed_by(struct wm_view header, const ledger_hash payload, const ledger_key key,
                      const uint8_t *signature)
{
    struct statement_signed bytes;
    statement_signed_bytes(header, payload, &bytes);
    return sign_verify(key, wm_view_of(bytes.bytes, bytes.len), signature);
}

static int header_of(struct wm_view header, bool tree, const char *what, struct cose_statement *out,
                     struct wm_diag *diag)
{
    if (!cose_header(header, out) || out->tree != tree) {
        return wm_diag_set(diag, WM_E_MALFORMED, "%s: its header is not one", what);
    }
    return 0;
}

static int same_service(const ledger_hash service, const ledger_hash named, const char *what,
                        struct wm_diag *diag)
{
    if (memcmp(service, named, sizeof(ledger_hash)) != 0) {
        return wm_diag_set(diag, WM_E_INVALID, "%s: it is of another service (%02x%02x%02x%02x...)",
                           what, named[0], named[1], named[2], named[3]);
    }
    return 0;
}

int agreement_preprepare(const ledger_hash service, const struct configuration *configuration,
                         struct wm_view header, const ledger_hash root, const uint8_t *signature,
                         struct preprepare_claims *claims, ledger_hash name, struct wm_diag *diag)
{
    struct cose_statement statement;
    int rc = header_of(header, true, "pre-prepare", &statement, diag);
    if (rc == 0) {
        rc = preprepare_claims_get(statement.claims, claims, diag);
    }
    if (rc == 0) {
        rc = same_service(service, claims->service, "pre-prepare", diag);
    }
    if (rc != 0) {
        return rc;
    }
    agreement_name(header, root, name);
    if (claims->cfg != configuration->number) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "pre-prepare of batch %llu: it is of configuration %llu, not %llu",
                           (unsigned long long)claims->seqno, (unsigned long long)claims->cfg,
                           (unsigned long long)configuration->number);
    }
    uint32_t primary = agreement_primary(claims->view, configuration->replica_count);
    const uint8_t *key = configuration->replicas[primary].key;
    if (memcmp(statement.key, key, sizeof(ledger_key)) != 0 ||
        (signature && !signed_by(header, root, key, signature))) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "pre-prepare of batch %llu: it is not signed by replica %u, the primary "
                           "of view %llu",
                           (unsigned long long)claims->seqno, configuration->replicas[primary].id,
                           (unsigned long long)claims->view);
    }
    return 0;
}

void agreement_prepare_header(const ledger_hash service, const struct preprepare_claims *preprepare,
                              const ledger_hash name, uint32_t replica, const ledger_key key,
                              const ledger_hash commitment,
                              uint8_t header[COSE_PROTECTED_BYTES_MAX], struct wm_view *out)
{
    struct prepare_claims claims = {.cfg = preprepare->cfg,
                                    .view = preprepare->view,
                                    .seqno = preprepare->seqno,
                                    .replica = replica};
    uint8_t encoded[PREPARE_CLAIMS_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    memcpy(claims.service, service, sizeof claims.service);
    memcpy(claims.preprepare, name, sizeof claims.preprepare);
    memcpy(claims.commitment, commitment, sizeof claims.commitment);
    prepare_claims_put(&writer, &claims);
    WM_ASSERT(cbor_fits(&writer));
    struct cbor_writer around = cbor_writer_of(header, COSE_PROTECTED_BYTES_MAX);
    cose_put_protected(&around, key, true, wm_view_of(encoded, writer.len));
    WM_ASSERT(cbor_fits(&around));
    *out = wm_view_of(header, around.len);
}

bool agreement_prepared_by(const ledger_hash service, const struct configuration *configuration,
                           const struct preprepare_claims *preprepare, const ledger_hash name,
                           const ledger_hash root, uint32_t replica, const ledger_hash commitment,
                           const ledger_signature signature)
{
    uint8_t bytes[COSE_PROTECTED_BYTES_MAX];
    struct wm_view header;
    if (replica >= configuration->replica_count) {
        return false;
    }
    const uint8_t *key = configuration->replicas[replica].key;
    agreement_prepare_header(service, preprepare, name, replica, key, commitment, bytes, &header);
    return signed_by(header, root, key, signature);
}

int agreement_certificate(const ledger_hash service, const struct configuration *configuration,
                          const struct certificate *certificate, struct preprepare_claims *claims,
                          ledger_hash name, struct wm_diag *diag)
{
    const struct statement_parts *preprepare = &certificate->preprepare;
    int rc = agreement_preprepare(service, configuration, preprepare->header, preprepare->payload,
                                  preprepare->signature, claims, name, diag);
    if (rc != 0) {
        wm_diag_prefix(diag, "certificate");
        return rc;
    }
    uint32_t primary = agreement_primary(claims->view, configuration->replica_count);
    uint32_t wanted = ledger_quorum(configuration->replica_count) - 1;
    if (certificate->count != wanted) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "certificate of batch %llu: it has %u prepares, it takes %u",
                           (unsigned long long)claims->seqno, certificate->count, wanted);
    }
    for (uint32_t i = 0; i < certificate->count; i++) {
        const struct certificate_prepare *prepare = &certificate->prepares[i];
        bool ok = prepare->replica != primary &&
                  (i == 0 || prepare->replica > certificate->prepares[i - 1].replica) &&
                  agreement_prepared_by(service, configuration, claims, name, preprepare->payload,
                                        prepare->replica, prepare->commitment, prepare->signature);
        if (!ok) {
            return wm_diag_set(diag, WM_E_FORGED,
                               "certificate of batch %llu: the prepare at position %u is not one "
                               "of that replica",
                               (unsigned long long)claims->seqno, prepare->replica);
        }
    }
    return 0;
}

int agreement_quorum(const ledger_hash service, const struct configuration *configuration,
                     const struct quorum *quorum, const ledger_hash root,
                     struct preprepare_claims *claims, ledger_hash name, uint64_t *who,
                     struct wm_diag *diag)
{
    ledger_hash commitment;
    const uint8_t *over = quorum->has_root ? quorum->root : root;
    int rc = agreement_preprepare(service, configuration, quorum->header, over, quorum->signature,
                                  claims, name, diag);
    if (rc != 0) {
        wm_diag_prefix(diag, "quorum");
        return rc;
    }
    uint32_t primary = agreement_primary(claims->view, configuration->replica_count);
    *who = 0;
    if (quorum->has_primary_nonce) {
        wm_sha256_once(wm_view_of(quorum->primary_nonce, LEDGER_NONCE_BYTES), commitment);
        if (memcmp(commitment, claims->commitment, sizeof commitment) != 0) {
            return wm_diag_set(diag, WM_E_FORGED,
                               "quorum of batch %llu: the primary's nonce does not open its "
                               "commitment",
                               (unsigned long long)claims->seqno);
        }
        *who |= UINT64_C(1) << primary;
    }
    for (uint32_t i = 0; i < quorum->count; i++) {
        const struct quorum_share *share = &quorum->shares[i];
        wm_sha256_once(wm_view_of(share->nonce, LEDGER_NONCE_BYTES), commitment);
        bool ok = share->replica != primary &&
                  (i == 0 || share->replica > quorum->shares[i - 1].replica) &&
                  agreement_prepared_by(service, configuration, claims, name, over, share->replica,
                                        commitment, share->signature);
        if (!ok) {
            return wm_diag_set(diag, WM_E_FORGED,
                               "quorum of batch %llu: the share at position %u is not one of that "
                               "replica",
                               (unsigned long long)claims->seqno, share->replica);
        }
        *who |= UINT64_C(1) << share->replica;
    }
    uint32_t opened = (uint32_t)__builtin_popcountll(*who);
    if (opened < ledger_quorum(configuration->replica_count)) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "quorum of batch %llu: %u of %u replicas stand behind it, it takes %u",
                           (unsigned long long)claims->seqno, opened, configuration->replica_count,
                           ledger_quorum(configuration->replica_count));
    }
    return 0;
}

/* The certificate is that of the top which the claims name. */
static int top_of(const ledger_hash service, const struct agreement_configurations *configurations,
                  const struct viewchange_claims *claims, const struct certificate *certificate,
                  struct agreement_top *top, struct wm_diag *diag)
{
    struct cose_statement statement;
    struct preprepare_claims named;
    top->is_there = certificate->is_there;
    if (certificate->is_there != claims->has_top) {
        return wm_diag_set(diag, WM_E_INVALID, "top and certificate: only one of them is there");
    }
    if (!certificate->is_there) {
        return 0;
    }
    int rc = header_of(certificate->preprepare.header, true, "certificate", &statement, diag);
    if (rc == 0) {
        rc = preprepare_claims_get(statement.claims, &named, diag);
    }
    if (rc != 0) {
        return rc;
    }
    const struct configuration *configuration =
        configurations->get(configurations->self, named.cfg);
    if (!configuration) {
        return wm_diag_set(diag, WM_E_NOT_FOUND, "its certificate is of configuration %llu",
                           (unsigned long long)named.cfg);
    }
    rc = agreement_certificate(service, configuration, certificate, &top->claims, top->name, diag);
    if (rc != 0) {
        return rc;
    }
    if (top->claims.view != claims->top_view || top->claims.seqno != claims->top_seqno ||
        memcmp(top->name, claims->top, sizeof top->name) != 0 || top->claims.view >= claims->view) {
        return wm_diag_set(diag, WM_E_INVALID, "the certificate is not that of the top it names");
    }
    top->header = certificate->preprepare.header;
    memcpy(top->root, certificate->preprepare.payload, sizeof top->root);
    return 0;
}

int agreement_viewchange(const ledger_hash service,
                         const struct agreement_configurations *configurations,
                         const struct viewchange *viewchange, struct viewchange_claims *claims,
                         struct agreement_top *top, struct wm_diag *diag)
{
    struct cose_statement statement;
    struct viewchange_claims read;
    struct certificate certificate;
    struct agreement_top found = {0};
    ledger_hash payload;
    int rc = header_of(viewchange->header, false, "view-change", &statement, diag);
    if (rc == 0) {
        rc = viewchange_claims_get(statement.claims, &read, diag);
    }
    if (rc == 0) {
        rc = same_service(service, read.service, "view-change", diag);
    }
    if (rc != 0) {
        return rc;
    }
    const struct configuration *configuration = configurations->get(configurations->self, read.cfg);
    if (!configuration) {
        return wm_diag_set(diag, WM_E_NOT_FOUND, "view-change: it is of configuration %llu",
                           (unsigned long long)read.cfg);
    }
    wm_sha256_once(viewchange->certificate, payload);
    if (read.replica >= configuration->replica_count ||
        memcmp(statement.key, configuration->replicas[read.replica].key, sizeof(ledger_key)) != 0 ||
        !signed_by(viewchange->header, payload, statement.key, viewchange->signature)) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "view-change to view %llu: it is not signed by the replica at "
                           "position %u over this certificate",
                           (unsigned long long)read.view, read.replica);
    }
    struct cbor_reader reader = cbor_reader_of(viewchange->certificate);
    if (!certificate_get(&reader, &certificate) || !cbor_end(&reader)) {
        return cbor_diag(&reader, "certificate", diag);
    }
    rc = top_of(service, configurations, &read, &certificate, &found, diag);
    if (rc != 0) {
        wm_diag_prefix(diag, "view-change to view %llu of the replica at position %u",
                       (unsigned long long)read.view, read.replica);
        return rc;
    }
    *claims = read;
    *top = found;
    return 0;
}

bool agreement_top_above(const struct agreement_top *a, const struct agreement_top *b)
{
    if (!a->is_there || !b->is_there) {
        return a->is_there && !b->is_there;
    }
    return a->claims.view != b->claims.view ? a->claims.view > b->claims.view
                                            : a->claims.seqno > b->claims.seqno;
}

/* Adds a top to the largest ones, each named once. */
static void keep_largest(struct agreement_top *tops, uint32_t *count,
                         const struct agreement_top *top)
{
    if (*count > 0 && agreement_top_above(&tops[0], top)) {
        return;
    }
    if (*count > 0 && agreement_top_above(top, &tops[0])) {
        *count = 0;
    }
    for (uint32_t i = 0; i < *count; i++) {
        if (!top->is_there || memcmp(tops[i].name, top->name, sizeof top->name) == 0) {
            return;
        }
    }
    tops[(*count)++] = *top;
}

/* The position that a replica, by its key, has in the configuration; its count: none. */
static uint32_t position_of_key(const struct configuration *configuration, const ledger_key key)
{
    uint32_t i = 0;
    while (i < configuration->replica_count &&
           memcmp(configuration->replicas[i].key, key, sizeof(ledger_key)) != 0) {
        i++;
    }
    return i;
}

static int check_viewchanges(const ledger_hash service,
                             const struct agreement_configurations *configurations,
                             const struct configuration *configuration,
                             const struct newview_claims *claims, struct wm_view viewchanges,
                             struct agreement_top *tops, uint32_t *top_count, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(viewchanges);
    uint64_t view, seen = 0;
    uint32_t count;
    if (!viewchanges_get_head(&reader, &view, &count)) {
        return cbor_diag(&reader, "view-change entry", diag);
    }
    if (view != claims->view || count != ledger_quorum(configuration->replica_count)) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "it holds %u view-changes to view %llu; it takes %u to view %llu", count,
                           (unsigned long long)view, ledger_quorum(configuration->replica_count),
                           (unsigned long long)claims->view);
    }
    *top_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct viewchange viewchange;
        struct viewchange_claims one;
        struct agreement_top top;
        struct cose_statement statement;
        if (!viewchange_get(&reader, &viewchange)) {
            return cbor_diag(&reader, "view-change entry", diag);
        }
        int rc = agreement_viewchange(service, configurations, &viewchange, &one, &top, diag);
        if (rc != 0) {
            return rc;
        }
        /* It may have been made under the configuration before: its key tells who it is. */
        bool ok = cose_header(viewchange.header, &statement);
        WM_ASSERT(ok);
        uint32_t position = position_of_key(configuration, statement.key);
        if (one.view != claims->view || position >= configuration->replica_count ||
            (seen >> position) != 0) {
            return wm_diag_set(diag, WM_E_INVALID,
                               "a view-change in it is of another view, not of a replica of the "
                               "configuration, or out of order");
        }
        seen |= UINT64_C(1) << position;
        keep_largest(tops, top_count, &top);
    }
    if (!cbor_end(&reader)) {
        return cbor_diag(&reader, "view-change entry", diag);
    }
    uint64_t base = tops[0].is_there ? tops[0].claims.seqno : 0;
    if (seen != claims->used || base != claims->base_seqno) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "its view-changes continue batch %llu, and it says %llu",
                           (unsigned long long)base, (unsigned long long)claims->base_seqno);
    }
    return 0;
}

int agreement_newview(const ledger_hash service,
                      const struct agreement_configurations *configurations,
                      const struct configuration *configuration, const struct newview_entry *entry,
                      struct wm_view viewchanges, struct newview_claims *claims,
                      struct agreement_top *tops, uint32_t *top_count, struct wm_diag *diag)
{
    struct cose_statement statement;
    struct newview_claims read;
    ledger_hash payload;
    int rc = header_of(entry->header, false, "new-view", &statement, diag);
    if (rc == 0) {
        rc = newview_claims_get(statement.claims, &read, diag);
    }
    if (rc == 0) {
        rc = same_service(service, read.service, "new-view", diag);
    }
    if (rc != 0) {
        return rc;
    }
    uint32_t primary = agreement_primary(read.view, configuration->replica_count);
    wm_sha256_once(viewchanges, payload);
    if (read.cfg != configuration->number ||
        memcmp(statement.key, configuration->replicas[primary].key, sizeof(ledger_key)) != 0 ||
        !signed_by(entry->header, payload, statement.key, entry->signature)) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "new-view %llu: it is not signed by that view's primary in "
                           "configuration %llu over these view-changes",
                           (unsigned long long)read.view,
                           (unsigned long long)configuration->number);
    }
    rc = check_viewchanges(service, configurations, configuration, &read, viewchanges, tops,
                           top_count, diag);
    if (rc != 0) {
        wm_diag_prefix(diag, "new-view %llu", (unsigned long long)read.view);
        return rc;
    }
    *claims = read;
    return 0;
}
