/* error.h: the codes of everything that can fail.
 *
 * They are part of the public interface, so the one table of codes, names and texts lies there, and
 * struct wm_diag's layout with it. Inside the tree everybody includes this header; the public one
 * includes nothing of ours. */
#ifndef WM_BASE_ERROR_H
#define WM_BASE_ERROR_H

#include "../../include/wardmote/error.h"

#endif
