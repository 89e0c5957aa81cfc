/* report.c: from where the guest stood to a backtrace of wasm functions.
 *
 * Walks the guest's stack by the object's unwind records. The stack's bytes are the guest's own
 * return addresses and registers, and at an asynchronous interrupt a record may not fit the exact
 * instruction, so nothing read is believed: every address must lie in the stack, above the one
 * before, and every program counter in an object of the store. */
#include <stdio.h>
#include <string.h>

#include "wasm/runtime.h"

/* Steps that are not frames of functions (thunks) end somewhere too. */
#define STEPS_MAX (WASM_BACKTRACE_MAX + 64)

struct walk {
    const struct wasm_store *store;
    struct wasm_trap_report *report;
    uint32_t steps;
};

WM_NO_SANITIZE_ADDRESS static bool load(const struct wasm_store *store, uintptr_t at,
                                        uintptr_t *out)
{
    if (at < wasm_store_stack_low(store) || at > wasm_store_stack_top(store) - sizeof *out ||
        at % sizeof *out != 0) {
        return false;
    }
    *out = *(const volatile uintptr_t *)at;
    return true;
}

static void walk_from(struct walk *walk, struct wasm_stand at)
{
    struct wasm_trap_report *report = walk->report;
    for (bool exact = at.exact;; exact = false) {
        /* A return address may lie behind the end of a function that ends in a call. */
        uintptr_t pc = exact ? at.pc : at.pc - 1;
        const struct wasm_range *range = wasm_ranges_find(&walk->store->code, pc);
        if (!range) {
            return; /* the host, or the way in */
        }
        const struct wasm_object *object = range->owner;
        uint64_t offset = pc - range->start;
        uint32_t func_idx = wasm_object_func_at(object, offset);
        if (func_idx != UINT32_MAX) {
            if (report->frame_count == WASM_BACKTRACE_MAX) {
                report->truncated = true;
                return;
            }
            report->frames[report->frame_count++] =
                (struct wasm_frame){object, func_idx, (uint32_t)offset};
        }
        const struct wasm_object_unwind *unwind = wasm_object_unwind_at(object, offset);
        if (!unwind || unwind->cfa == UINT32_MAX || ++walk->steps > STEPS_MAX) {
            return;
        }
        uintptr_t base = unwind->cfa & 0x80000000u ? at.fp : at.sp;
        uintptr_t cfa = base + (unwind->cfa & 0x7fffffffu);
        uintptr_t fp = at.fp, pc_up;
        if (cfa <= at.sp || cfa > wasm_store_stack_top(walk->store) ||
            !load(walk->store, cfa - 8, &pc_up) ||
            (unwind->rbp_offset != 0 &&
             !load(walk->store, cfa + (uintptr_t)(intptr_t)unwind->rbp_offset, &fp))) {
            return;
        }
        at = (struct wasm_stand){pc_up, cfa, fp, false};
    }
}

void wasm_report_fill(struct wasm_store *store, enum wasm_trap trap, const struct wasm_stand *outer,
                      uint32_t outer_count)
{
    struct wasm_running *running = &store->running;
    struct wasm_trap_report *report = &store->report;
    report->trap = trap;
    report->fault_addr = trap == WASM_TRAP_MEMORY_BOUNDS ? running->fault_addr : UINT64_MAX;
    report->frame_count = 0;
    report->truncated = false;
    struct walk walk = {store, report, 0};
    walk_from(&walk,
              (struct wasm_stand){running->pc, running->sp, running->fp, running->exact != 0});
    for (uint32_t i = 0; i < outer_count && !report->truncated; i++) {
        walk.steps = report->frame_count;
        walk_from(&walk, outer[i]);
    }
    running->exact = 0;
    running->fault_addr = UINT64_MAX;
}

/* The wasm offset of an instruction where the object keeps them, else of its function's body. */
static uint32_t wasm_offset_of(const struct wasm_frame *frame)
{
    const struct wasm_object_line *lines = frame->object->at.LINES;
    uint64_t low = 0, high = WASM_OBJECT_COUNT(frame->object, LINES);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (lines[middle].code_offset <= frame->code_offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low > 0 && lines[low - 1].wasm_offset != 0 &&
        lines[low - 1].code_offset >= frame->object->at.FUNCS[frame->func_idx].code_offset) {
        return lines[low - 1].wasm_offset;
    }
    return frame->object->at.FUNCS[frame->func_idx].wasm_offset;
}

int wasm_report_format(const struct wasm_trap_report *report, char *out, size_t out_bytes)
{
    size_t total = 0;
    for (uint32_t i = 0; i < report->frame_count; i++) {
        const struct wasm_frame *frame = &report->frames[i];
        struct wm_view view =
            wasm_object_view(frame->object, frame->object->at.FUNCS[frame->func_idx].name);
        char name[128], place[160], line[320];
        uint32_t number;
        if (view.len) {
            wm_diag_quote(name, sizeof name, view.ptr, view.len);
        } else {
            snprintf(name, sizeof name, "func[%u]", frame->func_idx);
        }
        if (wasm_object_source_at(frame->object, frame->code_offset, &view, &number)) {
            char file[128];
            snprintf(place, sizeof place, "%s:%u",
                     wm_diag_quote(file, sizeof file, view.ptr, view.len), number);
        } else {
            snprintf(place, sizeof place, "wasm offset 0x%x", wasm_offset_of(frame));
        }
        int len = snprintf(line, sizeof line, "  at %s (%s)\n", name, place);
        if (total < out_bytes) {
            snprintf(out + total, out_bytes - total, "%s", line);
        }
        total += (size_t)len;
    }
    if (report->truncated) {
        static const char more[] = "  ...\n";
        if (total < out_bytes) {
            snprintf(out + total, out_bytes - total, "%s", more);
        }
        total += sizeof more - 1;
    }
    if (total == 0 && out_bytes > 0) {
        out[0] = '\0';
    }
    return (int)total;
}
