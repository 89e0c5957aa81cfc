/* Names of ends, and default limits; see call.h. */
#include "base/assert.h"
#include "faaslet/call.h"

#define MIB (UINT64_C(1) << 20)

const char *call_end_text(enum call_end end)
{
    static const char *const texts[] = {
#define CALL_END_TEXT(name, text) text,
        CALL_END_TABLE(CALL_END_TEXT)
#undef CALL_END_TEXT
    };
    WM_ASSERT(end < CALL_ENDS);
    return texts[end];
}

void call_limits_default(struct call_limits *limits)
{
    limits->memory_bytes = limits->memory_bytes ? limits->memory_bytes : 256 * MIB;
    limits->output_bytes = limits->output_bytes ? limits->output_bytes : 6 * MIB;
    limits->files_bytes = limits->files_bytes ? limits->files_bytes : 64 * MIB;
    limits->timeout_ms = limits->timeout_ms ? limits->timeout_ms : 60000;
    limits->cpu_ms = limits->cpu_ms ? limits->cpu_ms : limits->timeout_ms;
    limits->depth = limits->depth ? limits->depth : 16;
    limits->chained = limits->chained ? limits->chained : 256;
}
