#include "cli/client_table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/text.h"

#define GAP 2u
#define NARROWEST 6u /* a column is cut, but not to nothing */

void client_table_column(struct client_table *table, const char *head, bool right)
{
    WM_ASSERT(table->columns < CLIENT_COLUMNS_MAX && table->rows == 0);
    table->head[table->columns] = head;
    table->right[table->columns] = right;
    table->columns++;
}

void client_table_row(struct client_table *table, const char *const *cells, size_t count)
{
    WM_ASSERT(count == table->columns);
    if (table->rows == table->room && !table->failed) {
        size_t room = table->room ? table->room * 2 : 32;
        char **larger = wm_realloc(table->cells, room * table->columns, sizeof *larger);
        if (larger) {
            table->cells = larger;
            table->room = room;
        } else {
            table->failed = true;
        }
    }
    if (table->failed) {
        return;
    }
    char **row = &table->cells[table->rows++ * table->columns];
    for (size_t i = 0; i < count; i++) {
        row[i] = cells[i] ? cli_text_clean(cells[i], strlen(cells[i])) : NULL;
        table->failed = table->failed || (cells[i] && !row[i]);
    }
}

static const char *cell(const struct client_table *table, size_t row, size_t column)
{
    const char *text = table->cells[row * table->columns + column];
    return text ? text : "";
}

/* The widest columns give, until the line fits or nothing is left to give. */
static void shrink(size_t *widths, size_t count, size_t width)
{
    for (;;) {
        size_t total = 0, widest = 0;
        for (size_t i = 0; i < count; i++) {
            total += widths[i] + (widths[i] && total ? GAP : 0);
            widest = widths[i] > widths[widest] ? i : widest;
        }
        if (total <= width || widths[widest] <= NARROWEST) {
            return;
        }
        widths[widest]--;
    }
}

static void print_cell(FILE *out, const char *text, size_t width, bool right, bool last)
{
    size_t columns = cli_text_columns(text);
    size_t pad = columns < width ? width - columns : 0;
    if (right) {
        fprintf(out, "%*s", (int)pad, "");
    }
    if (columns <= width) {
        fputs(text, out);
    } else {
        size_t len = cli_text_fitting(text, width - 1);
        fwrite(text, 1, len, out);
        fputs("\xe2\x80\xa6", out); /* an ellipsis: one column */
    }
    if (!right && !last) {
        fprintf(out, "%*s", (int)pad, "");
    }
}

static void print_line(const struct client_table *table, FILE *out, const size_t *widths,
                       size_t row, bool heads)
{
    size_t last = 0;
    for (size_t i = 0; i < table->columns; i++) {
        last = widths[i] ? i : last;
    }
    for (size_t i = 0, shown = 0; i < table->columns; i++) {
        if (widths[i]) {
            fprintf(out, "%*s", shown++ ? (int)GAP : 0, "");
            print_cell(out, heads ? table->head[i] : cell(table, row, i), widths[i],
                       table->right[i], i == last);
        }
    }
    fputc('\n', out);
}

int client_table_print(const struct client_table *table, FILE *out, size_t width)
{
    size_t widths[CLIENT_COLUMNS_MAX] = {0};
    if (table->failed) {
        return -1;
    }
    for (size_t i = 0; i < table->columns; i++) {
        for (size_t row = 0; row < table->rows; row++) {
            size_t columns = cli_text_columns(cell(table, row, i));
            widths[i] = columns > widths[i] ? columns : widths[i];
        }
        size_t head = strlen(table->head[i]);
        widths[i] = widths[i] && head > widths[i] ? head : widths[i];
    }
    if (width) {
        shrink(widths, table->columns, width);
    }
    print_line(table, out, widths, 0, true);
    for (size_t row = 0; row < table->rows; row++) {
        print_line(table, out, widths, row, false);
    }
    return 0;
}

void client_table_free(struct client_table *table)
{
    for (size_t i = 0; i < table->rows * table->columns; i++) {
        free(table->cells[i]);
    }
    wm_free(table->cells);
    *table = (struct client_table){0};
}

size_t client_terminal_width(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO)) {
        return 0;
    }
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}
