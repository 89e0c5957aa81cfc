/* client_table.h: text in columns that fit the terminal.
 *
 * Cells are cleaned when they enter (cli/text.h). Out of memory is kept and told once, by
 * client_table_print. */
#ifndef WM_CLI_CLIENT_TABLE_H
#define WM_CLI_CLIENT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CLIENT_COLUMNS_MAX 16u

struct client_table {
    size_t columns, rows, room;
    const char *head[CLIENT_COLUMNS_MAX]; /* borrowed, ours */
    bool right[CLIENT_COLUMNS_MAX];       /* numbers stand at the right */
    char **cells;                         /* rows x columns */
    bool failed;
};

void client_table_column(struct client_table *table, const char *head, bool right);
/* `count` cells, of which NULL is empty. */
void client_table_row(struct client_table *table, const char *const *cells, size_t count);
/* Lines of at most `width` columns; 0: as wide as need be. Empty columns are left out. 0 or -1 (no
 * memory). */
int client_table_print(const struct client_table *table, FILE *out, size_t width);
void client_table_free(struct client_table *table);

/* Of the terminal that is standard output; 0: it is none. */
size_t client_terminal_width(void);

#endif
