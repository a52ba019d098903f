/* base/err.c: texts of the error table. */
#include "base/err.h"

const char *dun_err_text(dun_err e)
{
    switch (e) {
#define X(name, value, text) \
    case name: return text;
        DUN_ERR_MAP(X)
#undef X
    }
    return "unknown error";
}
