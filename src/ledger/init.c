/* A genesis from names and seeds. */
#include "ledger/init.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "proof/statement.h"

static struct wm_view endorse(const struct ledger_init *init, uint32_t i, const ledger_key key,
                              uint8_t out[ENDORSEMENT_BYTES_MAX])
{
    struct endorsement_claims claims = {.replica = i, .member = i};
    uint8_t encoded[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    struct cose_statement statement;
    struct sign_key member;
    memcpy(claims.salt, init->salt, sizeof claims.salt);
    endorsement_claims_put(&writer, &claims);
    sign_key_init(&member, init->seats[i].member_seed);
    statement_sign(&member, false, wm_view_of(encoded, writer.len), key, header, &statement);
    sign_key_fini(&member);
    statement.attached = false;
    writer = cbor_writer_of(out, ENDORSEMENT_BYTES_MAX);
    cose_put_sign1(&writer, &statement);
    WM_ASSERT(cbor_fits(&writer));
    return wm_view_of(out, writer.len);
}

static void public_of(const uint8_t seed[SIGN_SEED_BYTES], ledger_key out)
{
    struct sign_key key;
    sign_key_init(&key, seed);
    memcpy(out, key.public_key, sizeof key.public_key);
    sign_key_fini(&key);
}

int ledger_init(const struct ledger_init *init, uint8_t out[GENESIS_BYTES_MAX], size_t *len,
                struct wm_diag *diag)
{
    if (init->count == 0 || init->count > LEDGER_REPLICAS_MAX) {
        return wm_diag_set(diag, WM_E_INVALID, "ledger: 1 to %u replicas", LEDGER_REPLICAS_MAX);
    }
    struct genesis *genesis = wm_alloc_zero(1, sizeof *genesis);
    uint8_t(*endorsements)[ENDORSEMENT_BYTES_MAX] =
        wm_alloc_zero(init->count, sizeof *endorsements);
    if (!genesis || !endorsements) {
        wm_free(genesis);
        wm_free(endorsements);
        return wm_diag_default(diag, -ENOMEM, "genesis");
    }
    struct configuration *configuration = &genesis->configuration;
    genesis->name = init->name;
    genesis->time_s = init->time_s;
    memcpy(genesis->salt, init->salt, sizeof genesis->salt);
    configuration->parameters = init->parameters;
    configuration->rules = init->rules;
    configuration->member_count = configuration->replica_count = init->count;
    for (uint32_t i = 0; i < init->count; i++) {
        struct ledger_member *member = &configuration->members[i];
        struct ledger_replica *replica = &configuration->replicas[i];
        *member = (struct ledger_member){.id = i, .name = init->seats[i].member, .weight = 1};
        public_of(init->seats[i].member_seed, member->key);
        *replica = (struct ledger_replica){.id = i, .member = i, .address = init->seats[i].address};
        public_of(init->seats[i].replica_seed, replica->key);
        replica->endorsement = endorse(init, i, replica->key, endorsements[i]);
    }
    struct cbor_writer writer = cbor_writer_of(out, GENESIS_BYTES_MAX);
    genesis_put(&writer, genesis);
    int rc = cbor_fits(&writer) ? 0 : wm_diag_default(diag, WM_E_LIMIT, "genesis");
    /* What whoever opens it would refuse is better refused here. */
    rc = rc ? rc : genesis_get(wm_view_of(out, writer.len), genesis, diag);
    *len = writer.len;
    wm_free(endorsements);
    wm_free(genesis);
    return rc == WM_E_MALFORMED ? WM_E_INVALID : rc;
}
