/* transport/codec/cmd_codes.c: see the header. */
#include "transport/codec/cmd_codes.h"

#include "base/assert.h"

const char *cmd_error_text(enum cmd_error code)
{
    switch (code) {
#define X(name, value, text, temporary) \
    case name: return text;
        CMD_ERROR_MAP(X)
#undef X
    }
    DUN_UNREACHABLE();
}

bool cmd_error_temporary(enum cmd_error code)
{
    switch (code) {
#define X(name, value, text, temporary) \
    case name: return temporary;
        CMD_ERROR_MAP(X)
#undef X
    }
    DUN_UNREACHABLE();
}

const char *cmd_close_text(enum cmd_close code)
{
    switch (code) {
#define X(name, value, text) \
    case name: return text;
        CMD_CLOSE_MAP(X)
#undef X
    }
    DUN_UNREACHABLE();
}

const char *cmd_unsub_text(enum cmd_unsub code)
{
    switch (code) {
#define X(name, value, text) \
    case name: return text;
        CMD_UNSUB_MAP(X)
#undef X
    }
    DUN_UNREACHABLE();
}

bool cmd_close_terminal(int code)
{
    return (code >= 3500 && code <= 3999) || (code >= 4500 && code <= 4999);
}
