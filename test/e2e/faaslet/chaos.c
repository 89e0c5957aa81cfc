/* Does what its input says, for tests that end processes in the middle of it (test/e2e/chaos.py).
 *
 *     P KEY LEN SEQ    fills the value with numbered blocks and pushes it: "ok SEQ"
 *     R KEY            the value's blocks as the global copy has them: "LEN MIN MAX", or "torn N"
 *     A KEY SEQ        appends the number to the list: its index
 *     L KEY            the numbers of the list, one a line
 *     C KEY DELTA      adds to a counter: its value
 *     E TEXT           the text backwards, after as many milliseconds as it is long
 *     S MS             sleeps
 *     I KEY MS         the lock recipe: adds 1 under the global write lock, waiting MS between the
 *                      pull and the push: "VALUE TOKEN UNLOCK", the last one the unlock's result
 *     H KEY MS WHEN    the same, goes on after errors, and waits before the push (WHEN 0) or after
 *                      it (1), having added 1 to the counter "held": "VALUE TOKEN PUSH UNLOCK"
 *     X                traps
 *     M                the module's mark, which an upload makes its own */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <faaslet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOCK 4096u

struct block {
    uint32_t seq, idx, words[BLOCK / 4 - 3], sum;
};

static volatile const char mark[] = "@@MARK@@00000000000000000000000000000000";
static char input[8192];
static struct block blocks[64];

static int32_t say(const char *format, long long value)
{
    char text[128];
    int len = snprintf(text, sizeof text, format, value);
    faaslet_output(text, (uint32_t)len);
    return value < 0 ? 1 : 0;
}

static uint32_t sum_of(const struct block *block)
{
    uint32_t sum = block->seq * 2654435761u ^ block->idx;
    for (size_t i = 0; i < sizeof block->words / 4; i++) {
        sum = sum * 31 + block->words[i];
    }
    return sum;
}

static int32_t push(const char *key, uint32_t len, uint32_t seq)
{
    uint32_t key_len = (uint32_t)strlen(key), count = len / BLOCK;
    if (count > sizeof blocks / sizeof blocks[0]) {
        return say("too long %lld", -1);
    }
    for (uint32_t i = 0; i < count; i++) {
        blocks[i].seq = seq;
        blocks[i].idx = i;
        for (uint32_t j = 0; j < sizeof blocks[i].words / 4; j++) {
            blocks[i].words[j] = seq * 40503u + i * 7919u + j;
        }
        blocks[i].sum = sum_of(&blocks[i]);
    }
    int32_t rc = faaslet_state_write(key, key_len, 0, blocks, count * BLOCK);
    if (rc != 0) {
        return say("write %lld", rc);
    }
    rc = faaslet_state_push(key, key_len, 0, 0);
    return rc != 0 ? say("push %lld", rc) : say("ok %lld", seq);
}

static int32_t read_blocks(const char *key)
{
    uint32_t key_len = (uint32_t)strlen(key), min = UINT32_MAX, max = 0;
    int32_t rc = faaslet_state_pull(key, key_len, 0, 0);
    int32_t len = rc != 0 ? rc : faaslet_state_read(key, key_len, 0, blocks, sizeof blocks);
    if (len < 0) {
        return say("read %lld", len);
    }
    for (uint32_t i = 0; i < (uint32_t)len / BLOCK; i++) {
        if (blocks[i].idx != i || blocks[i].sum != sum_of(&blocks[i])) {
            return say("torn %lld", i);
        }
        min = blocks[i].seq < min ? blocks[i].seq : min;
        max = blocks[i].seq > max ? blocks[i].seq : max;
    }
    char text[64];
    faaslet_output(text, (uint32_t)snprintf(text, sizeof text, "%d %u %u", (int)len, min, max));
    return 0;
}

static int32_t list(const char *key)
{
    uint32_t key_len = (uint32_t)strlen(key);
    int64_t count = faaslet_state_appended_count(key, key_len);
    if (count < 0) {
        return say("count %lld", count);
    }
    for (int64_t i = 0; i < count; i++) {
        char text[32];
        int32_t len = faaslet_state_appended(key, key_len, (uint64_t)i, text, sizeof text - 1);
        if (len < 0) {
            return say("appended %lld", len);
        }
        text[len] = '\n';
        faaslet_output_append(text, (uint32_t)len + 1);
    }
    return 0;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static int32_t backwards(char *text)
{
    size_t len = strlen(text);
    pause_ms((long)len);
    for (size_t i = 0; i < len / 2; i++) {
        char c = text[i];
        text[i] = text[len - 1 - i];
        text[len - 1 - i] = c;
    }
    faaslet_output(text, (uint32_t)len);
    return 0;
}

/* The lock recipe up to the write; 0, or what the call is to return. */
static int32_t lock_and_add(const char *key, long ms, int64_t *token, uint64_t *value)
{
    uint32_t key_len = (uint32_t)strlen(key);
    *token = faaslet_state_lock_global(key, key_len, FAASLET_LOCK_WRITE, 8000);
    if (*token <= 0) {
        return say("lock %lld", *token);
    }
    int32_t rc = faaslet_state_pull(key, key_len, 0, 0);
    if (rc == -ENOENT) { /* what a replica has then was never pushed: it counts for nothing */
        *value = 0;
    } else if (rc != 0 ||
               faaslet_state_read(key, key_len, 0, value, sizeof *value) != sizeof *value) {
        return say("pull %lld", rc < 0 ? rc : -1);
    }
    pause_ms(ms);
    ++*value;
    rc = faaslet_state_write(key, key_len, 0, value, sizeof *value);
    return rc < 0 ? say("write %lld", rc) : 0;
}

static int32_t increment(const char *key, long ms)
{
    uint32_t key_len = (uint32_t)strlen(key);
    uint64_t value = 0;
    int64_t token;
    int32_t rc = lock_and_add(key, ms, &token, &value);
    if (rc != 0) {
        return rc;
    }
    rc = faaslet_state_push(key, key_len, 0, 0);
    if (rc != 0) {
        return say("push %lld", rc);
    }
    rc = faaslet_state_unlock_global(key, key_len);
    char text[64];
    faaslet_output(text, (uint32_t)snprintf(text, sizeof text, "%llu %lld %d",
                                            (unsigned long long)value, (long long)token, rc));
    return 0;
}

static int32_t hold(const char *key, long ms, bool late)
{
    uint32_t key_len = (uint32_t)strlen(key);
    uint64_t value = 0;
    int64_t token, count;
    int32_t rc = lock_and_add(key, 0, &token, &value), push = 0;
    if (rc != 0) {
        return rc;
    }
    if (late) {
        push = faaslet_state_push(key, key_len, 0, 0);
    }
    rc = faaslet_state_add("held", 4, 1, &count);
    if (rc != 0) {
        return say("add %lld", rc);
    }
    pause_ms(ms);
    if (!late) {
        push = faaslet_state_push(key, key_len, 0, 0);
    }
    rc = faaslet_state_unlock_global(key, key_len);
    char text[64];
    faaslet_output(text, (uint32_t)snprintf(text, sizeof text, "%llu %lld %d %d",
                                            (unsigned long long)value, (long long)token, push, rc));
    return 0;
}

FAASLET_MAIN
{
    int32_t len = faaslet_input(input, sizeof input - 1);
    char key[128] = "";
    long a = 0, b = 0;
    if (len < 1) {
        return 2;
    }
    input[len] = 0;
    sscanf(input + 1, " %127s %ld %ld", key, &a, &b);
    uint32_t key_len = (uint32_t)strlen(key);
    switch (input[0]) {
    case 'P': return push(key, (uint32_t)a, (uint32_t)b);
    case 'R': return read_blocks(key);
    case 'A': {
        char text[32];
        return say("%lld", faaslet_state_append(key, key_len, text,
                                                (uint32_t)snprintf(text, sizeof text, "%ld", a)));
    }
    case 'L': return list(key);
    case 'C': {
        int64_t value = 0;
        int32_t rc = faaslet_state_add(key, key_len, a, &value);
        return rc < 0 ? say("add %lld", rc) : say("%lld", value);
    }
    case 'I': return increment(key, a);
    case 'H': return hold(key, a, b != 0);
    case 'E': return len > 2 ? backwards(input + 2) : 0;
    case 'S': pause_ms(atol(key)); return 0;
    case 'X': __builtin_trap();
    case 'M': {
        char text[sizeof mark];
        for (size_t i = 0; i < sizeof mark; i++) {
            text[i] = mark[i];
        }
        faaslet_output(text, sizeof mark - 1);
        return 0;
    }
    default: return 2;
    }
}
