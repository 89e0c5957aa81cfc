/* What this machine offers. Root and cpu accounting are not required: without the first, Landlock
 * and the filter still hold a worker; without the second, only numbers are missing. A quota is
 * not required either, since weights keep a tenant from starving the others. */
#include "host/sandbox.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/confine.h"
#include "host/netns.h"

static const struct {
    const char *name;
    bool required;
} table[HOST_SANDBOX_ITEMS] = {
    [HOST_SANDBOX_ROOT] = {"rights of the node", false},
    [HOST_SANDBOX_WEIGHT] = {"cpu weight", true},
    [HOST_SANDBOX_QUOTA] = {"cpu quota", false},
    [HOST_SANDBOX_MEMORY] = {"memory limit", true},
    [HOST_SANDBOX_PIDS] = {"process limit", true},
    [HOST_SANDBOX_ACCOUNT] = {"cpu accounting", false},
    [HOST_SANDBOX_NETWORK] = {"network namespaces", true},
    [HOST_SANDBOX_SECCOMP] = {"system call filter", true},
    [HOST_SANDBOX_LANDLOCK] = {"path restriction", true},
};

static void yes(struct host_sandbox *out, enum host_sandbox_item item, const char *how)
{
    out->item[item].available = true;
    snprintf(out->item[item].reason, sizeof out->item[item].reason, "%s", how);
}

/* `text` is "reason: advice", as all sentences of this folder. */
static void no(struct host_sandbox *out, enum host_sandbox_item item, const char *text)
{
    const char *at = text, *last = NULL;
    while ((at = strstr(at, ": ")) != NULL) {
        last = at;
        at += 2;
    }
    size_t len = last ? (size_t)(last - text) : strlen(text);
    snprintf(out->item[item].reason, sizeof out->item[item].reason, "%.*s", (int)len, text);
    snprintf(out->item[item].advice, sizeof out->item[item].advice, "%s", last ? last + 2 : "");
}

static void probe_cgroups(const struct host_cgroups *cgroups, struct host_sandbox *out)
{
    static const enum host_cgroup_part parts[HOST_SANDBOX_ITEMS] = {
        [HOST_SANDBOX_WEIGHT] = HOST_CGROUP_WEIGHT,   [HOST_SANDBOX_QUOTA] = HOST_CGROUP_QUOTA,
        [HOST_SANDBOX_MEMORY] = HOST_CGROUP_MEMORY,   [HOST_SANDBOX_PIDS] = HOST_CGROUP_PIDS,
        [HOST_SANDBOX_ACCOUNT] = HOST_CGROUP_ACCOUNT,
    };
    for (unsigned i = HOST_SANDBOX_WEIGHT; i <= HOST_SANDBOX_ACCOUNT; i++) {
        enum host_sandbox_item item = (enum host_sandbox_item)i;
        char how[32];
        if (host_cgroups_has(cgroups, parts[item])) {
            int version = cgroups->dir[cgroups->part[parts[item]].dir].version;
            snprintf(how, sizeof how, "cgroup v%d", version);
            yes(out, item, how);
        } else {
            no(out, item, cgroups->part[parts[item]].why);
        }
    }
}

void host_sandbox_probe(const struct host_cgroups *cgroups, struct host_sandbox *out)
{
    struct wm_diag diag = WM_DIAG_INIT;
    *out = (struct host_sandbox){0};
    for (unsigned i = 0; i < HOST_SANDBOX_ITEMS; i++) {
        out->item[i].name = table[i].name;
        out->item[i].required = table[i].required;
    }
    if (geteuid() == 0) {
        yes(out, HOST_SANDBOX_ROOT, "root; its workers have no capabilities");
    } else {
        no(out, HOST_SANDBOX_ROOT,
           "the node is not root, so what needs root is left out: start it as root");
    }
    if (cgroups) {
        probe_cgroups(cgroups, out);
    } else {
        struct host_cgroups own;
        char prefix[32];
        snprintf(prefix, sizeof prefix, "probe-%d", (int)getpid());
        const struct host_cgroup_options options = {.prefix = prefix};
        if (host_cgroups_open(&options, &own, &diag) == 0) {
            probe_cgroups(&own, out);
            host_cgroups_close(&own);
        }
    }
    if (host_net_probe(&diag) == 0) {
        yes(out, HOST_SANDBOX_NETWORK, "veth pairs, shaped by htb");
    } else {
        no(out, HOST_SANDBOX_NETWORK, diag.text);
    }
    if (host_confine_has_seccomp()) {
        yes(out, HOST_SANDBOX_SECCOMP, "seccomp");
    } else {
        no(out, HOST_SANDBOX_SECCOMP,
           "this kernel has no seccomp filters: use one with CONFIG_SECCOMP_FILTER");
    }
    if (host_confine_has_landlock()) {
        yes(out, HOST_SANDBOX_LANDLOCK, "Landlock");
    } else {
        no(out, HOST_SANDBOX_LANDLOCK,
           "this kernel has no Landlock: use Linux 5.13 or newer with 'landlock' in its lsm= list");
    }
}

const char *host_sandbox_line(const struct host_sandbox *sandbox, enum host_sandbox_item item,
                              char *line, size_t line_bytes)
{
    if (sandbox->item[item].available) {
        snprintf(line, line_bytes, "%s: %s", sandbox->item[item].name, sandbox->item[item].reason);
    } else {
        snprintf(line, line_bytes, "%s: not available: %s: %s", sandbox->item[item].name,
                 sandbox->item[item].reason, sandbox->item[item].advice);
    }
    return line;
}

int host_sandbox_require(const struct host_sandbox *sandbox, struct wm_diag *diag)
{
    char names[160] = "";
    size_t len = 0;
    for (unsigned i = 0; i < HOST_SANDBOX_ITEMS; i++) {
        if (sandbox->item[i].required && !sandbox->item[i].available && len < sizeof names) {
            len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", len ? ", " : "",
                                    sandbox->item[i].name);
        }
    }
    return len == 0 ? 0
                    : wm_diag_set(diag, WM_E_MISSING,
                                  "isolation is required and this machine lacks: %s: do what the "
                                  "lines above say, or start without --require-isolation",
                                  names);
}
