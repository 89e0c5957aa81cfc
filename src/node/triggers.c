/* One list of triggers with their next time, made anew whenever the catalogue's crons change. */
#include "node/triggers.h"

#include <errno.h>
#include <string.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/vec.h"
#include "host/file.h"
#include "node/calls.h"
#include "node/catalogue.h"
#include "node/log.h"
#include "node/logs.h"
#include "node/metrics.h"
#include "node/node.h"
#if __has_include("node/cron.h")
#include "node/cron.h"
#define HAVE_CRON 1
#else
struct cron {
    int unused;
};
#define HAVE_CRON 0
#endif

#define NS_PER_S INT64_C(1000000000)
#define TICK_MS 1000u

struct trigger {
    struct triggers *triggers;
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1];
    char name[CATALOGUE_NAME_BYTES_MAX + 1];
    char function[2 * CATALOGUE_NAME_BYTES_MAX + 2];
    char *input;
    struct cron cron;
    int64_t next_s;
    bool running, removed;
};

struct triggers {
    struct node *node;
    uv_timer_t timer;
    bool open;
    WM_VEC(struct trigger *) list;
};

int triggers_check(const char *schedule, struct wm_diag *diag)
{
#if HAVE_CRON
    struct cron cron;
    return cron_parse(wm_view_str(schedule), &cron, diag);
#else
    (void)schedule;
    return wm_diag_set(diag, WM_E_MISSING, "cron: this node is built without cron triggers");
#endif
}

static void trigger_free(struct trigger *trigger)
{
    wm_free(trigger->input);
    wm_free(trigger);
}

static int64_t next_of(const struct cron *cron, int64_t after_s)
{
#if HAVE_CRON
    return cron_next(cron, after_s);
#else
    (void)cron;
    (void)after_s;
    return INT64_MAX;
#endif
}

static void call_done(void *self, uint64_t id, const struct call_result *result)
{
    struct trigger *trigger = self;
    struct node *node = trigger->triggers->node;
    metrics_call(node->metrics, trigger->tenant, trigger->function, result->end, result->cold,
                 result->usage.wall_ns);
    if (result->end != CALL_END_OK) {
        char text[256];
        int len = snprintf(text, sizeof text, "cron %s: %s: %s", trigger->name,
                           call_end_text(result->end), result->message ? result->message : "");
        size_t used = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
        logs_add(node->logs, trigger->tenant, trigger->function, id, host_realtime_ns(),
                 wm_view_of(text, used));
    }
    trigger->running = false;
    if (trigger->removed) {
        trigger_free(trigger);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct triggers *triggers = timer->data;
    int64_t now_s = host_realtime_ns() / NS_PER_S;
    if (triggers->node->state != NODE_RUNNING) {
        return;
    }
    for (size_t i = 0; i < triggers->list.count; i++) {
        struct trigger *trigger = triggers->list.items[i];
        if (trigger->next_s > now_s) {
            continue;
        }
        trigger->next_s = next_of(&trigger->cron, now_s);
        /* With other nodes, one of them calls it. */
        const struct node_hooks *hooks = &triggers->node->hooks;
        if (trigger->running ||
            (hooks->owns && !hooks->owns(hooks->self, trigger->tenant, trigger->name))) {
            continue;
        }
        trigger->running = true;
        metrics_add(triggers->node->metrics, METRICS_CRON, 1);
        (void)node_calls_start(triggers->node, &(struct call_request){
                                                   .tenant = trigger->tenant,
                                                   .function = trigger->function,
                                                   .input = wm_view_str(trigger->input),
                                                   .func_idx = UINT32_MAX,
                                                   .done = call_done,
                                                   .self = trigger,
                                               });
    }
}

static void clear(struct triggers *triggers)
{
    for (size_t i = 0; i < triggers->list.count; i++) {
        struct trigger *trigger = triggers->list.items[i];
        if (trigger->running) {
            trigger->removed = true; /* its call frees it */
        } else {
            trigger_free(trigger);
        }
    }
    wm_vec_fini(&triggers->list);
}

static void add(void *self, const char *tenant, const struct cron_trigger *from)
{
    struct triggers *triggers = self;
    struct trigger *trigger = wm_alloc_zero(1, sizeof *trigger);
    if (!trigger) {
        return;
    }
    trigger->triggers = triggers;
    memcpy(trigger->tenant, tenant, strlen(tenant) + 1);
    memcpy(trigger->name, from->name, sizeof trigger->name);
    memcpy(trigger->function, from->function, sizeof trigger->function);
    trigger->input = wm_strdup(from->input);
#if HAVE_CRON
    int err = cron_parse(wm_view_str(from->schedule), &trigger->cron, NULL);
#else
    int err = WM_E_MISSING;
#endif
    trigger->next_s = next_of(&trigger->cron, host_realtime_ns() / NS_PER_S);
    if (err || !trigger->input || wm_vec_push(&triggers->list, trigger) != 0) {
        log_line(LOG_ERROR, "cron", "tenant=%s trigger=%s error=not-scheduled", tenant, from->name);
        trigger_free(trigger);
    }
}

void triggers_changed(struct triggers *triggers)
{
    clear(triggers);
    catalogue_each_cron(triggers->node->catalogue, add, triggers);
}

int triggers_open(struct node *node, struct triggers **out, struct wm_diag *diag)
{
    struct triggers *triggers = wm_alloc_zero(1, sizeof *triggers);
    if (!triggers) {
        return wm_diag_default(diag, -ENOMEM, "cron");
    }
    triggers->node = node;
    (void)uv_timer_init(node->loop, &triggers->timer);
    triggers->timer.data = triggers;
    triggers->open = true;
    (void)uv_timer_start(&triggers->timer, on_timer, TICK_MS, TICK_MS);
    triggers_changed(triggers);
    *out = triggers;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct triggers *triggers = uv_handle_get_data(handle);
    triggers->open = false;
}

void triggers_close(struct triggers *triggers)
{
    if (!triggers) {
        return;
    }
    uv_close((uv_handle_t *)&triggers->timer, on_closed);
    while (triggers->open) {
        (void)uv_run(triggers->node->loop, UV_RUN_ONCE);
    }
    clear(triggers);
    wm_free(triggers);
}
