/* The calendar is the proleptic Gregorian one, which repeats every 400 years (146,097 days, a
 * multiple of seven): what does not match within 400 years never does. */
#include "node/cron.h"

#include <string.h>

#define DAY_SECONDS 86400
#define YEARS_OF_CYCLE 400

enum field { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const struct {
    const char *name;
    uint32_t min, max;
    const char *names; /* three letters each, for min, min + 1... */
} fields[FIELDS] = {
    [MINUTE] = {"minute", 0, 59, ""},
    [HOUR] = {"hour", 0, 23, ""},
    [DAY] = {"day of month", 1, 31, ""},
    [MONTH] = {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    [WEEKDAY] = {"weekday", 0, 7, "sunmontuewedthufrisat"},
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static int wrong(struct wm_diag *diag, enum field field, struct wm_view text, const char *reason)
{
    char quoted[64];
    return wm_diag_set(diag, WM_E_INVALID, "cron expression: %s: \"%s\": %s", fields[field].name,
                       wm_diag_quote(quoted, sizeof quoted, text.ptr, text.len), reason);
}

/* A number or a name, and what follows it left in the cursor. NULL: fine; else the reason. */
static const char *read_value(struct wm_cursor *cursor, enum field field, uint32_t *out)
{
    uint32_t value = 0;
    uint32_t digits = 0;
    while (!wm_cursor_done(cursor) && *cursor->at >= '0' && *cursor->at <= '9') {
        if (++digits > 4) {
            return "a number out of range";
        }
        value = value * 10 + (uint32_t)(*cursor->at++ - '0');
    }
    if (digits > 0) {
        if (value < fields[field].min || value > fields[field].max) {
            return "a number out of range";
        }
        *out = value;
        return NULL;
    }
    if (wm_cursor_done(cursor) || *cursor->at == ',' || *cursor->at == '-' || *cursor->at == '/') {
        return "a number is missing";
    }
    struct wm_view word;
    const char *unknown = "not a number, a range, a list or a name of this field";
    if (!wm_cursor_bytes(cursor, 3, &word)) {
        return unknown;
    }
    for (uint32_t i = 0; fields[field].names[3 * i]; i++) {
        const char *name = fields[field].names + 3 * i;
        if (lower(word.ptr[0]) == (uint8_t)name[0] && lower(word.ptr[1]) == (uint8_t)name[1] &&
            lower(word.ptr[2]) == (uint8_t)name[2]) {
            *out = fields[field].min + i;
            return NULL;
        }
    }
    return unknown;
}

static bool accept(struct wm_cursor *cursor, char c)
{
    if (!wm_cursor_done(cursor) && *cursor->at == (uint8_t)c) {
        cursor->at++;
        return true;
    }
    return false;
}

static const char *read_part(struct wm_cursor *cursor, enum field field, uint64_t *bits)
{
    uint32_t first, last, step = 1;
    bool ranged = true;
    if (accept(cursor, '*')) {
        first = fields[field].min;
        last = fields[field].max - (field == WEEKDAY);
    } else {
        const char *reason = read_value(cursor, field, &first);
        if (reason) {
            return reason;
        }
        last = first;
        ranged = accept(cursor, '-');
        if (ranged) {
            reason = read_value(cursor, field, &last);
            if (reason) {
                return reason;
            }
            if (last < first) {
                return "a range that ends before it begins";
            }
        }
    }
    if (accept(cursor, '/')) {
        if (!ranged) {
            return "a step needs a range or * before it";
        }
        uint32_t digits = 0;
        step = 0;
        while (!wm_cursor_done(cursor) && *cursor->at >= '0' && *cursor->at <= '9' && digits < 4) {
            step = step * 10 + (uint32_t)(*cursor->at++ - '0');
            digits++;
        }
        if (step == 0 || step > fields[field].max) {
            return "a step must be at least 1 and lie within the field";
        }
    }
    for (uint32_t value = first; value <= last; value += step) {
        *bits |= UINT64_C(1) << value;
    }
    return NULL;
}

static int read_field(struct wm_view text, enum field field, uint64_t *bits, struct wm_diag *diag)
{
    struct wm_cursor cursor = wm_cursor_of(text);
    *bits = 0;
    do {
        const char *reason = read_part(&cursor, field, bits);
        if (reason) {
            return wrong(diag, field, text, reason);
        }
    } while (accept(&cursor, ','));
    if (!wm_cursor_done(&cursor)) {
        return wrong(diag, field, text, "something is left over after a value");
    }
    return 0;
}

static const struct {
    const char *name, *meaning;
} nicknames[] = {
    {"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
    {"@weekly", "0 0 * * 0"},   {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
};

static struct wm_view trimmed(struct wm_view text)
{
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text = wm_view_of(text.ptr + 1, text.len - 1);
    }
    while (text.len > 0 && is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

int cron_parse(struct wm_view expression, struct cron *out, struct wm_diag *diag)
{
    if (expression.len > CRON_BYTES_MAX) {
        return wm_diag_set(diag, WM_E_LIMIT,
                           "cron expression: %zu characters; at most %u are accepted",
                           expression.len, CRON_BYTES_MAX);
    }
    struct wm_view text = trimmed(expression);
    if (text.len > 0 && text.ptr[0] == '@') {
        bool found = false;
        for (size_t i = 0; i < WM_COUNT_OF(nicknames) && !found; i++) {
            if (wm_view_eq_str(text, nicknames[i].name)) {
                text = wm_view_str(nicknames[i].meaning);
                found = true;
            }
        }
        if (!found) {
            char quoted[64];
            return wm_diag_set(diag, WM_E_INVALID,
                               "cron expression: \"%s\" is not one of @hourly, @daily, @midnight, "
                               "@weekly, @monthly, @yearly, @annually",
                               wm_diag_quote(quoted, sizeof quoted, text.ptr, text.len));
        }
    }
    uint64_t bits[FIELDS];
    bool open[FIELDS];
    size_t at = 0;
    for (int field = 0; field < FIELDS; field++) {
        while (at < text.len && is_blank(text.ptr[at])) {
            at++;
        }
        size_t start = at;
        while (at < text.len && !is_blank(text.ptr[at])) {
            at++;
        }
        if (at == start) {
            return wm_diag_set(diag, WM_E_INVALID,
                               "cron expression: %s: the field is missing; there are five: minute, "
                               "hour, day of month, month, weekday",
                               fields[field].name);
        }
        struct wm_view part = wm_view_of(text.ptr + start, at - start);
        int rc = read_field(part, (enum field)field, &bits[field], diag);
        if (rc != 0) {
            return rc;
        }
        open[field] = part.ptr[0] == '*';
    }
    if (at != text.len) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "cron expression: more than five fields; seconds and years are not "
                           "supported");
    }
    struct cron cron = {
        .minutes = bits[MINUTE],
        .hours = (uint32_t)bits[HOUR],
        .days = (uint32_t)bits[DAY],
        .months = (uint32_t)bits[MONTH],
        .weekdays = (uint8_t)((bits[WEEKDAY] | bits[WEEKDAY] >> 7) & 0x7f),
        .days_open = open[DAY],
        .weekdays_open = open[WEEKDAY],
    };
    if (cron_next(&cron, 0) == CRON_NEVER) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "cron expression: day of month: no such day comes in the given months");
    }
    *out = cron;
    return 0;
}

static bool leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static uint32_t days_in(int64_t year, uint32_t month)
{
    static const uint8_t days[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && leap(year) ? 29 : days[month];
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Days from 1970-01-01 to the first of January of `year`. */
static int64_t days_before(int64_t year)
{
    int64_t y = year - 1;
    return y * 365 + floor_div(y, 4) - floor_div(y, 100) + floor_div(y, 400) - 719162;
}

struct date {
    int64_t year;
    uint32_t month, day;
    uint32_t weekday;
};

static struct date date_of(int64_t days)
{
    struct date date = {.year = 1970 + floor_div(days * 400, 146097), .month = 1};
    while (days_before(date.year) > days) {
        date.year--;
    }
    while (days_before(date.year + 1) <= days) {
        date.year++;
    }
    int64_t left = days - days_before(date.year);
    while (left >= days_in(date.year, date.month)) {
        left -= days_in(date.year, date.month++);
    }
    date.day = (uint32_t)left + 1;
    date.weekday = (uint32_t)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
    return date;
}

static bool day_matches(const struct cron *cron, const struct date *date)
{
    bool day = cron->days >> date->day & 1;
    bool weekday = cron->weekdays >> date->weekday & 1;
    bool either = !cron->days_open && !cron->weekdays_open;
    return (cron->months >> date->month & 1) && (either ? day || weekday : day && weekday);
}

bool cron_matches(const struct cron *cron, int64_t seconds)
{
    if (seconds > CRON_SECONDS_MAX || seconds < -CRON_SECONDS_MAX) {
        return false;
    }
    int64_t days = floor_div(seconds, DAY_SECONDS);
    uint32_t minute = (uint32_t)((seconds - days * DAY_SECONDS) / 60);
    struct date date = date_of(days);
    return day_matches(cron, &date) && (cron->hours >> minute / 60 & 1) &&
           (cron->minutes >> minute % 60 & 1);
}

int64_t cron_next(const struct cron *cron, int64_t after_seconds)
{
    if (after_seconds > CRON_SECONDS_MAX || after_seconds < -CRON_SECONDS_MAX) {
        return CRON_NEVER;
    }
    int64_t minutes = floor_div(after_seconds, 60) + 1;
    int64_t days = floor_div(minutes, 24 * 60);
    uint32_t from = (uint32_t)(minutes - days * 24 * 60); /* of the first day only */
    struct date date = date_of(days);
    int64_t last_year = date.year + YEARS_OF_CYCLE;
    while (date.year <= last_year) {
        if (!(cron->months >> date.month & 1)) {
            uint32_t skipped = days_in(date.year, date.month) - date.day + 1;
            days += skipped;
            date.weekday = (date.weekday + skipped) % 7;
            date.day = 1;
            date.month++;
            from = 0;
        } else {
            if (day_matches(cron, &date)) {
                for (uint32_t minute = from; minute < 24 * 60; minute++) {
                    if (!(cron->hours >> minute / 60 & 1)) {
                        minute += 59 - minute % 60;
                    } else if (cron->minutes >> minute % 60 & 1) {
                        return days * DAY_SECONDS + (int64_t)minute * 60;
                    }
                }
            }
            from = 0;
            days++;
            date.weekday = (date.weekday + 1) % 7;
            if (++date.day > days_in(date.year, date.month)) {
                date.day = 1;
                date.month++;
            }
        }
        if (date.month > 12) {
            date.month = 1;
            date.year++;
        }
    }
    return CRON_NEVER;
}
