/* wordcount.c: counts the words of all texts that it was ever given: a function with state.
 *
 *     wardmote fn put examples/functions/wordcount.c
 *     wardmote fn call wordcount 'the cat and the dog'       the 2, and 1, cat 1, dog 1
 *     wardmote fn call wordcount 'the end'                   the 3, ...
 *     wardmote state get words | head -c 64
 *
 * The counts are one value, an array, which lasts. A global lock makes the calls on all nodes take
 * turns: pull what is there, count, push. */
#include <ctype.h>
#include <errno.h>
#include <faaslet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY "words", 5
#define WORDS_MAX 1024
#define SHOWN 10

struct word {
    char text[28]; /* empty: the end */
    uint32_t count;
};

static struct word words[WORDS_MAX];

static void count(const char *text)
{
    size_t i = 0;
    while (i < WORDS_MAX && words[i].text[0] && strcmp(words[i].text, text) != 0) {
        i++;
    }
    if (i < WORDS_MAX) {
        snprintf(words[i].text, sizeof words[i].text, "%s", text);
        words[i].count++;
    }
}

static void count_input(void)
{
    char piece[4096], word[sizeof words->text] = "";
    size_t len = 0;
    int32_t got;
    for (uint32_t at = 0; (got = faaslet_input_read(at, piece, sizeof piece)) > 0;
         at += (uint32_t)got) {
        for (int32_t i = 0; i < got; i++) {
            int c = (unsigned char)piece[i];
            if (isalpha(c) && len < sizeof word - 1) {
                word[len++] = (char)tolower(c);
            } else if (!isalpha(c) && len > 0) {
                word[len] = 0;
                count(word);
                len = 0;
            }
        }
    }
    if (len > 0) {
        word[len] = 0;
        count(word);
    }
}

static int by_count(const void *a, const void *b)
{
    const struct word *first = a, *second = b;
    return first->count != second->count ? (first->count < second->count ? 1 : -1)
                                         : strcmp(first->text, second->text);
}

FAASLET_MAIN
{
    int64_t token = faaslet_state_lock_global(KEY, FAASLET_LOCK_WRITE, 10000);
    if (token < 0) {
        return 1;
    }
    if (faaslet_state_pull(KEY, 0, 0) == 0) { /* else there is no such value yet */
        faaslet_state_read(KEY, 0, words, sizeof words);
    }
    count_input();
    int failed = faaslet_state_write(KEY, 0, words, sizeof words) != 0 ||
                 faaslet_state_push(KEY, 0, 0) != 0 || faaslet_state_unlock_global(KEY) != 0;
    qsort(words, WORDS_MAX, sizeof words[0], by_count);
    for (int i = 0; i < SHOWN && words[i].text[0]; i++) {
        char line[64];
        int len = snprintf(line, sizeof line, "%s %u\n", words[i].text, (unsigned)words[i].count);
        faaslet_output_append(line, (uint32_t)len);
    }
    return failed;
}
