/* transport/link/link_err.c: see the header. */
#include "transport/link/link_err.h"

#include <nng/nng.h>

dun_err link_err(int nng_code)
{
    switch (nng_code) {
    case 0: return DUN_OK;
    case NNG_EAGAIN:
    case NNG_ETIMEDOUT: /* a non-blocking send that would have waited */
    case NNG_ENOMEM: return DUN_E_FULL;
    case NNG_EADDRINUSE: return DUN_E_IN_USE;
    case NNG_EADDRINVAL: return DUN_E_CONFIG;
    case NNG_EMSGSIZE: return DUN_E_TOO_BIG;
    case NNG_ECLOSED:
    case NNG_ECANCELED: return DUN_E_CLOSED;
    default: return DUN_E_IO;
    }
}

const char *link_err_text(int nng_code)
{
    return nng_strerror(nng_code);
}
