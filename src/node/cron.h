/* cron.h: cron expressions of five fields, in UTC: when a function is to be called next.
 *
 *     minute 0-59   hour 0-23   day of month 1-31   month 1-12, jan-dec   weekday 0-7, sun-sat
 *
 * Fields are separated by blanks. A field is a list of parts with commas between; a part is a star,
 * a number or name, or a range `a-b`; a star or a range may be followed by a step: `8-18/2`.
 * Weekday 7 is Sunday, like 0. Names are of three letters, in any case. Or the whole is one of
 * @hourly,
 * @daily (@midnight), @weekly, @monthly, @yearly (@annually).
 *
 * As in POSIX cron, where both day fields are restricted, a day matches when either does; a field
 * that begins with `*` does not restrict (Vixie's reading, which matters for steps: then both must
 * match).
 *
 * UTC has no daylight saving: every minute comes once. Leap seconds are not counted (POSIX time).
 *
 * Pure; any thread. The expression is untrusted: anything else than the above is refused with the
 * field and the reason in diag, and so is what never comes (30 February). */
#ifndef WM_NODE_CRON_H
#define WM_NODE_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"

#define CRON_BYTES_MAX 256u
#define CRON_NEVER INT64_MAX
#define CRON_SECONDS_MAX (INT64_C(1) << 40) /* times beyond it, either side, have no next */

struct cron { /* bit n: the value n matches */
    uint64_t minutes;
    uint32_t hours, days, months;
    uint8_t weekdays;              /* 0 is Sunday */
    bool days_open, weekdays_open; /* the field began with `*` */
};

/* WM_E_INVALID, WM_E_LIMIT (too long). *out is written only on success. */
WM_MUST_CHECK int cron_parse(struct wm_view expression, struct cron *out, struct wm_diag *diag);
/* The first whole minute after `after_seconds` (since 1970) that matches, in seconds; CRON_NEVER
 * only beyond CRON_SECONDS_MAX, for a parsed expression. */
int64_t cron_next(const struct cron *cron, int64_t after_seconds);
/* Whether the minute that holds `seconds` matches. */
bool cron_matches(const struct cron *cron, int64_t seconds);

#endif
