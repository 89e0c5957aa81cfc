/* call.c: names of ends, default limits. */
#include "faaslet/call.h"

#include "base/arith.h"
#include "base/assert.h"

const char *call_end_text(enum call_end end)
{
#define CALL_END_CASE(name, text) \
    case CALL_END_##name: return text;
    switch (end) {
        CALL_END_TABLE(CALL_END_CASE)
    case CALL_ENDS: break;
    }
#undef CALL_END_CASE
    WM_UNREACHABLE();
}

void call_limits_default(struct call_limits *limits)
{
    const uint64_t mib = UINT64_C(1) << 20;
    limits->memory_bytes = limits->memory_bytes ? limits->memory_bytes : 256 * mib;
    limits->output_bytes = limits->output_bytes ? limits->output_bytes : 6 * mib;
    limits->output_bytes = wm_min_u64(limits->output_bytes, CALL_OUTPUT_BYTES_MAX);
    limits->files_bytes = limits->files_bytes ? limits->files_bytes : 64 * mib;
    limits->timeout_ms = limits->timeout_ms ? limits->timeout_ms : 60000;
    limits->cpu_ms = limits->cpu_ms ? limits->cpu_ms : limits->timeout_ms;
    limits->depth = limits->depth ? limits->depth : 16;
    limits->depth = limits->depth < CALL_DEPTH_MAX ? limits->depth : CALL_DEPTH_MAX;
    limits->chained = limits->chained ? limits->chained : 256;
    limits->chained = limits->chained < CALL_CHAINED_MAX ? limits->chained : CALL_CHAINED_MAX;
}
