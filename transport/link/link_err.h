/* transport/link/link_err.h: NNG's codes become ours here and nowhere else. */
#ifndef DUN_TRANSPORT_LINK_ERR_H
#define DUN_TRANSPORT_LINK_ERR_H

#include "base/err.h"

dun_err link_err(int nng_code) DUN_MUST_USE;
/* NNG's own words, for the end of a message; never NULL. */
const char *link_err_text(int nng_code);

#endif
