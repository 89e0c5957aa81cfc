/* wardmote/error.h: the codes of everything that can fail, and the sentence that goes with one.
 *
 * A function that can fail returns int: 0, or a negative code. The kernel's causes keep their
 * negative errno (-1 to -4095); Wardmote's begin below -4096, so the two never meet and one int
 * carries both. The table below is the only place where a code gets its number, name and text;
 * numbers are never reused.
 *
 * A code says what kind of failure it was. The sentence for a person is in struct wm_diag, which
 * the caller puts on its own stack and passes as the last argument (NULL where it does not care).
 * Reporting never allocates and so never fails; text that does not fit is cut and ends in "...".
 *
 *     struct wm_diag diag = WM_DIAG_INIT;
 *     if (wm_engine_new(NULL, &engine, &diag) < 0) {
 *         fprintf(stderr, "%s\n", wm_diag_text(&diag));
 *     }
 */
#ifndef WARDMOTE_ERROR_H
#define WARDMOTE_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#define WM_EXPORT __attribute__((visibility("default")))
#define WM_MUST_CHECK __attribute__((warn_unused_result))

/* X(NAME, number, text) */
#define WM_ERROR_TABLE(X)                                    \
    X(MALFORMED, 4097, "malformed input")                    \
    X(INVALID, 4098, "well-formed input that breaks a rule") \
    X(UNSUPPORTED, 4099, "a feature that is not supported")  \
    X(LIMIT, 4100, "a limit was reached")                    \
    X(FORGED, 4101, "authentication failed")                 \
    X(STALE, 4102, "out of date")                            \
    X(DENIED, 4103, "not permitted")                         \
    X(UNLINKABLE, 4104, "an import could not be satisfied")  \
    X(TRAP, 4105, "the guest trapped")                       \
    X(EXITED, 4106, "the guest ended by itself")             \
    X(MISSING, 4107, "this machine lacks something")         \
    X(USAGE, 4108, "the request itself is wrong")            \
    X(COMPILER, 4109, "the compiler process failed")         \
    X(BUSY, 4110, "in use")                                  \
    X(NOT_FOUND, 4111, "no such object")

#define WM_ERROR_ENUM(name, number, text) WM_E_##name = -number,
enum wm_error { WM_OK = 0, WM_ERROR_TABLE(WM_ERROR_ENUM) };
#undef WM_ERROR_ENUM

/* "WM_E_LIMIT", "ENOENT", or "unknown". Borrowed, static. */
WM_EXPORT const char *wm_error_name(int code);
/* A short lower-case phrase without a full stop, for any code, errno included. Borrowed, static. */
WM_EXPORT const char *wm_error_text(int code);

#define WM_DIAG_TEXT_BYTES 248

struct wm_diag {
    int code;                      /* of enum wm_error or negative errno; 0 while nothing failed */
    char text[WM_DIAG_TEXT_BYTES]; /* "object: what failed: why"; "" while nothing failed */
};

#define WM_DIAG_INIT \
    {                \
        0,           \
        {            \
            0        \
        }            \
    }

/* The text, or the code's own text when nobody wrote one. Borrowed from diag. */
WM_EXPORT const char *wm_diag_text(const struct wm_diag *diag);

#ifdef __cplusplus
}
#endif

#endif
