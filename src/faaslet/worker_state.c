/* worker_state.c: the local tier of a worker, joined to its node. It ends with the process. */
#include "faaslet/worker_state.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/error.h"
#include "faaslet/tier_regions.h"

struct worker_state {
    struct tier_shares *shares;
    struct local_tier *local;
    struct state_way renewals;
};

static int share(void *self, struct tier *tier, uint32_t id, int memfd, const void *base,
                 uint64_t bytes)
{
    struct state_way *way = WM_CONTAINER_OF(tier, struct state_way, tier);
    (void)self;
    return tier_rpc_share(&way->client, id, memfd, base, bytes, NULL);
}

static int unshare(void *self, struct tier *tier, uint32_t id)
{
    struct state_way *way = WM_CONTAINER_OF(tier, struct state_way, tier);
    (void)self;
    return tier_rpc_unshare(&way->client, id, NULL);
}

int worker_state_new(int socket, uint64_t bytes_max, struct worker_state **out,
                     struct wm_diag *diag)
{
    static const struct local_tier_sharing sharing = {NULL, share, unshare};
    struct worker_state *state = wm_alloc_zero(1, sizeof *state);
    struct rpc_transport transport;
    struct rpc_client *rpc = NULL;
    if (!state) {
        return wm_diag_set(diag, -ENOMEM, "state: %s", wm_error_text(-ENOMEM));
    }
    int rc = tier_shares_new(&state->shares);
    rc = rc ? rc : rpc_socket_transport(socket, &transport);
    if (rc == 0) {
        rc = rpc_client_new(&transport, &rpc, diag);
    }
    if (rc == 0) {
        worker_state_way(state, rpc, &state->renewals);
        struct local_tier_config config = {
            .bytes_max = bytes_max, .renewals = &state->renewals.tier, .sharing = &sharing};
        rc = local_tier_new(&config, &state->local, diag);
    }
    if (rc != 0) {
        rpc_client_free(rpc);
        tier_shares_free(state->shares);
        wm_free(state);
        return wm_diag_default(diag, rc, "state");
    }
    *out = state;
    return 0;
}

struct local_tier *worker_state_local(struct worker_state *state)
{
    return state->local;
}

void worker_state_way(struct worker_state *state, struct rpc_client *rpc, struct state_way *out)
{
    tier_rpc_client_init(&out->client, rpc, state->shares, &out->tier);
}
