/* wordcount.c: the most frequent words of the files named, or of standard input.
 *
 *     wardmote build examples/wordcount.c -o wordcount.wasm
 *     wardmote run --dir-ro /usr/share/common-licenses::/texts wordcount.wasm /texts/GPL-3
 *
 * The program opens files as any C program does; it can only open what --dir gave it. */
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 64
#define SHOWN 10

struct word {
    char text[WORD_MAX];
    uint32_t count;
};

/* Open addressing; grown when three quarters are full, so a free place is always found. */
static struct word *table;
static size_t table_size, word_count;
static uint64_t total;

static struct word *find(struct word *in, size_t size, const char *text)
{
    uint32_t hash = 2166136261u;
    for (const char *c = text; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    }
    size_t at = hash % size;
    while (in[at].count > 0 && strcmp(in[at].text, text) != 0) {
        at = (at + 1) % size;
    }
    return &in[at];
}

static void grow(void)
{
    size_t size = table_size > 0 ? 2 * table_size : 1024;
    struct word *larger = calloc(size, sizeof *larger);
    if (larger == NULL) {
        fputs("wordcount: out of memory\n", stderr);
        exit(1);
    }
    for (size_t i = 0; i < table_size; i++) {
        if (table[i].count > 0) {
            *find(larger, size, table[i].text) = table[i];
        }
    }
    free(table);
    table = larger;
    table_size = size;
}

static void count(const char *text)
{
    if (4 * word_count >= 3 * table_size) {
        grow();
    }
    struct word *word = find(table, table_size, text);
    if (word->count++ == 0) {
        memcpy(word->text, text, strlen(text) + 1);
        word_count++;
    }
    total++;
}

static void read_words(FILE *file)
{
    char text[WORD_MAX];
    size_t len = 0;
    int c;
    while ((c = getc(file)) != EOF) {
        if (isalpha(c) && len < sizeof text - 1) {
            text[len++] = (char)tolower(c);
        } else if (len > 0) {
            text[len] = '\0';
            count(text);
            len = 0;
        }
    }
    if (len > 0) {
        text[len] = '\0';
        count(text);
    }
}

static int by_count(const void *a, const void *b)
{
    const struct word *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count) - (x->count > y->count)
                                : strcmp(x->text, y->text);
}

int main(int argc, char **argv)
{
    grow();
    if (argc < 2) {
        read_words(stdin);
    }
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        if (file == NULL) {
            fprintf(stderr, "wordcount: %s: %s\n", argv[i], strerror(errno));
            return 1;
        }
        read_words(file);
        fclose(file);
    }
    qsort(table, table_size, sizeof *table, by_count);
    printf("%llu words, %zu different\n", (unsigned long long)total, word_count);
    for (size_t i = 0; i < SHOWN && i < word_count; i++) {
        printf("%6u %s\n", table[i].count, table[i].text);
    }
    return 0;
}
