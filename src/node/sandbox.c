/* sandbox.c: places for workers out of control groups and network namespaces. */
#include "node/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "crypto/hash.h"
#include "host/netns.h"
#include "node/log.h"

#define DEFAULT_PIDS 256u
#define DEFAULT_MEMORY (UINT64_C(2) << 30)
#define DEFAULT_RATE UINT64_C(100000000)
#define NAMESPACES_MAX 1024u

struct sandbox_place {
    struct sandbox *sandbox;
    struct host_cgroup group;
    bool has_group;
    const struct host_netns *linked; /* of the pool; NULL: local_fd, or none */
    int local_fd;
};

struct sandbox {
    struct host_cgroups cgroups;
    struct host_sandbox report;
    struct host_net *net; /* NULL: no namespaces with links here */
    bool local;           /* namespaces without */
};

/* A word of a to z and 0 to 9 that is this data folder's: what a dead node left is found again by
 * the next one on the same folder, and two nodes on one machine do not meet. */
static void prefix_of(const struct config *config, char out[HOST_NET_PREFIX_MAX + 1],
                      uint32_t *base)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    uint8_t hash[WM_SHA256_BYTES];
    wm_sha256_once(wm_view_str(config->data), hash);
    out[0] = 'w';
    for (int i = 1; i < 6; i++) {
        out[i] = letters[hash[i] % 32];
    }
    out[6] = 0;
    /* 10.200.0.0/13 holds 512 ranges of four namespaces' worth each and more; see netns.h. */
    *base = HOST_NET_BASE + ((uint32_t)hash[6] % 8 << 16);
}

static void say_what_is_missing(const struct host_sandbox *report)
{
    char line[2 * WM_DIAG_TEXT_BYTES + 64], quoted[LOG_TEXT_BYTES];
    for (int i = 0; i < HOST_SANDBOX_ITEMS; i++) {
        bool available = report->item[i].available;
        host_sandbox_line(report, (enum host_sandbox_item)i, line, sizeof line);
        log_line(available ? LOG_DEBUG : LOG_WARN, "isolation", "%s", log_text(quoted, line));
    }
}

int sandbox_open(const struct config *config, struct sandbox **out, struct wm_diag *diag)
{
    struct sandbox *sandbox = wm_alloc_zero(1, sizeof *sandbox);
    char prefix[HOST_NET_PREFIX_MAX + 1];
    uint32_t base;
    if (!sandbox) {
        return wm_diag_set(diag, -ENOMEM, "isolation: %s", wm_error_text(-ENOMEM));
    }
    prefix_of(config, prefix, &base);
    struct host_cgroup_options options = {.prefix = prefix};
    int rc = host_cgroups_open(&options, &sandbox->cgroups, diag);
    if (rc != 0) {
        wm_free(sandbox);
        return rc;
    }
    host_sandbox_probe(&sandbox->cgroups, &sandbox->report);
    say_what_is_missing(&sandbox->report);
    if (config->require_isolation) {
        rc = host_sandbox_require(&sandbox->report, diag);
    }
    if (rc == 0 && sandbox->report.item[HOST_SANDBOX_NETWORK].available) {
        struct wm_diag why = WM_DIAG_INIT;
        char quoted[LOG_TEXT_BYTES];
        struct host_net_options net = {.prefix = prefix,
                                       .base = base,
                                       .count = NAMESPACES_MAX / 4,
                                       .rate_bits = DEFAULT_RATE,
                                       .forward = true};
        sandbox->local = true;
        if (host_net_open(&net, &sandbox->net, &why) != 0) {
            sandbox->net = NULL;
            log_line(LOG_WARN, "isolation", "links=none why=%s",
                     log_text(quoted, wm_diag_text(&why)));
        }
    }
    if (rc != 0) {
        sandbox_close(sandbox);
        return rc;
    }
    *out = sandbox;
    return 0;
}

void sandbox_close(struct sandbox *sandbox)
{
    if (sandbox) {
        if (sandbox->net) {
            host_net_close(sandbox->net);
        }
        host_cgroups_close(&sandbox->cgroups);
        wm_free(sandbox);
    }
}

static void limits_of(const struct tenant *tenant, struct host_cgroup_limits *out)
{
    const struct tenant_quota *quota = &tenant->quota;
    *out = (struct host_cgroup_limits){
        .cpu_weight = quota->cpu_weight ? quota->cpu_weight : 100,
        .cpu_percent = quota->cpu_percent,
        .memory_bytes = quota->memory_bytes ? quota->memory_bytes : DEFAULT_MEMORY,
        .pids = DEFAULT_PIDS,
    };
}

static int take_namespace(struct sandbox *sandbox, const struct tenant *tenant,
                          struct sandbox_place *place, struct wm_diag *diag)
{
    if (!sandbox->local) {
        return 0; /* said at the start */
    }
    if (tenant->allow && tenant->allow[0] && sandbox->net) {
        uint64_t rate = tenant->quota.net_bits_per_s ? tenant->quota.net_bits_per_s : DEFAULT_RATE;
        int rc = host_net_take(sandbox->net, &place->linked, diag);
        return rc ? rc : host_net_set_rate(sandbox->net, place->linked, rate, rate, diag);
    }
    place->local_fd = host_net_local(diag);
    return place->local_fd < 0 ? place->local_fd : 0;
}

int sandbox_take(struct sandbox *sandbox, const char *class, const struct tenant *tenant,
                 struct sandbox_place **out, struct wm_diag *diag)
{
    struct sandbox_place *place = wm_alloc_zero(1, sizeof *place);
    struct host_cgroup_limits limits;
    if (!place) {
        return wm_diag_set(diag, -ENOMEM, "isolation: %s", wm_error_text(-ENOMEM));
    }
    place->sandbox = sandbox;
    place->local_fd = -1;
    limits_of(tenant, &limits);
    int rc = 0;
    if (sandbox->cgroups.dir_count != 0) {
        rc = host_cgroup_make(&sandbox->cgroups, class, &limits, &place->group, diag);
        place->has_group = rc == 0;
    }
    rc = rc ? rc : take_namespace(sandbox, tenant, place, diag);
    if (rc != 0) {
        wm_diag_prefix(diag, "isolation of class %s", class);
        sandbox_put(sandbox, place);
        return rc;
    }
    *out = place;
    return 0;
}

void sandbox_put(struct sandbox *sandbox, struct sandbox_place *place)
{
    struct wm_diag diag = WM_DIAG_INIT;
    if (!place) {
        return;
    }
    if (place->has_group && host_cgroup_remove(&sandbox->cgroups, &place->group, &diag) != 0) {
        char quoted[LOG_TEXT_BYTES];
        log_limited(LOG_WARN, "isolation", "group=%s", log_text(quoted, wm_diag_text(&diag)));
    }
    if (place->linked) {
        host_net_put(sandbox->net, place->linked);
    }
    if (place->local_fd >= 0) {
        close(place->local_fd);
    }
    wm_free(place);
}

int sandbox_enter(struct sandbox_place *place, int pid, struct wm_diag *diag)
{
    return place->has_group ? host_cgroup_attach(&place->sandbox->cgroups, &place->group, pid, diag)
                            : 0;
}

int sandbox_netns(const struct sandbox_place *place)
{
    return place->linked ? place->linked->fd : place->local_fd >= 0 ? place->local_fd : 0;
}

bool sandbox_connects(const struct sandbox_place *place)
{
    return place->linked != NULL;
}

void sandbox_update(struct sandbox *sandbox, struct sandbox_place *place,
                    const struct tenant *tenant)
{
    struct host_cgroup_limits limits;
    struct wm_diag diag = WM_DIAG_INIT;
    int rc = 0;
    limits_of(tenant, &limits);
    if (place->has_group) {
        rc = host_cgroup_set(&sandbox->cgroups, &place->group, &limits, &diag);
    }
    if (rc == 0 && place->linked) {
        uint64_t rate = tenant->quota.net_bits_per_s ? tenant->quota.net_bits_per_s : DEFAULT_RATE;
        rc = host_net_set_rate(sandbox->net, place->linked, rate, rate, &diag);
    }
    if (rc != 0) {
        char quoted[LOG_TEXT_BYTES];
        log_line(LOG_WARN, "isolation", "tenant=%s event=quota why=%s", tenant->name,
                 log_text(quoted, wm_diag_text(&diag)));
    }
}

bool sandbox_usage(struct sandbox *sandbox, const struct sandbox_place *place,
                   struct host_cgroup_usage *out)
{
    return place->has_group && host_cgroup_usage(&sandbox->cgroups, &place->group, out) == 0;
}

const struct host_sandbox *sandbox_report(const struct sandbox *sandbox)
{
    return &sandbox->report;
}
