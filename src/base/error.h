/* error.h: the codes of everything that can fail.
 *
 * A function that can fail returns int: 0, or a negative code. The kernel's causes keep their
 * negative errno (-1 to -4095); ours begin below -4096, so the two never meet and one int carries
 * both. The table below is the only place where a code gets its number, name and text.
 *
 * A code says what kind of failure it was; the sentence for a person is in struct wm_diag. */
#ifndef WM_BASE_ERROR_H
#define WM_BASE_ERROR_H

/* X(NAME, number, text). Numbers are part of the public interface: never reuse one. */
#define WM_ERROR_TABLE(X)                                                                          \
    X(MALFORMED, 4097, "malformed input")                                                          \
    X(INVALID, 4098, "well-formed input that breaks a rule")                                       \
    X(UNSUPPORTED, 4099, "a feature that is not supported")                                        \
    X(LIMIT, 4100, "a limit was reached")                                                          \
    X(FORGED, 4101, "authentication failed")                                                       \
    X(STALE, 4102, "out of date")                                                                  \
    X(DENIED, 4103, "not permitted")                                                               \
    X(UNLINKABLE, 4104, "an import could not be satisfied")                                        \
    X(TRAP, 4105, "the guest trapped")                                                             \
    X(EXITED, 4106, "the guest ended by itself")                                                   \
    X(MISSING, 4107, "this machine lacks something")                                               \
    X(USAGE, 4108, "the request itself is wrong")                                                  \
    X(COMPILER, 4109, "the compiler process failed")                                               \
    X(BUSY, 4110, "in use")                                                                        \
    X(NOT_FOUND, 4111, "no such object")

#define WM_ERROR_ENUM(name, number, text) WM_E_##name = -number,
enum wm_error { WM_OK = 0, WM_ERROR_TABLE(WM_ERROR_ENUM) };
#undef WM_ERROR_ENUM

/* "WM_E_LIMIT", "ENOENT", or "unknown". Borrowed, static. */
const char *wm_error_name(int code);
/* A short lower-case phrase without a full stop, for any code that this program can return,
 * errno included. Borrowed, static. */
const char *wm_error_text(int code);

#endif
