#include "base/error.h"

#include <string.h>

const char *wm_error_name(int code)
{
    switch (code) {
    case WM_OK: return "WM_OK";
#define WM_ERROR_NAME(name, number, text) \
    case -number: return "WM_E_" #name;
        WM_ERROR_TABLE(WM_ERROR_NAME)
#undef WM_ERROR_NAME
    default: break;
    }
    const char *name = code < 0 && code > -4096 ? strerrorname_np(-code) : NULL;
    return name ? name : "unknown";
}

const char *wm_error_text(int code)
{
    switch (code) {
    case WM_OK: return "no error";
#define WM_ERROR_TEXT(name, number, text) \
    case -number: return text;
        WM_ERROR_TABLE(WM_ERROR_TEXT)
#undef WM_ERROR_TEXT
    default: break;
    }
    const char *text = code < 0 && code > -4096 ? strerrordesc_np(-code) : NULL;
    return text ? text : "unknown error";
}
