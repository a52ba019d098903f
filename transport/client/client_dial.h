/* transport/client/client_dial.h: from a host name to one connected socket.
 * Why: a name behind DNS round-robin has an address per peer; a dead one must
 * cost one connect timeout at the most, not the connection.
 * (1) All addresses of the name are tried, in random order, @avoid last.
 * (2) The callback runs exactly once, never from inside client_dial_start, and
 *     not at all after client_dial_cancel.
 * (3) The object frees itself after the callback or the cancel. */
#ifndef DUN_TRANSPORT_CLIENT_CLIENT_DIAL_H
#define DUN_TRANSPORT_CLIENT_CLIENT_DIAL_H

#include "base/err.h"
#include "base/prng.h"

#include <uv.h>

enum {
    CLIENT_ADDRS_MAX = 16,    /* addresses of one name that are tried */
    CLIENT_WHY_MAX = 400,     /* a sentence for people */
    CLIENT_CONNECT_MS = 2000, /* per address */
};

struct client_dial;

/* DUN_OK: @tcp is connected, on the heap, the callee's: uv_close it, then dun_free it.
 * Otherwise @tcp is NULL and @why says what was tried and what the system answered. */
typedef void (*client_dial_cb)(void *ctx, dun_err e, uv_tcp_t *tcp,
                               const struct sockaddr_storage *addr, const char *why);

struct client_dial_options {
    const char *host;
    uint16_t port;
    uint32_t connect_ms;                  /* per address; 0 = CLIENT_CONNECT_MS */
    const struct sockaddr_storage *avoid; /* tried last; NULL = none */
};

struct client_dial *client_dial_start(uv_loop_t *loop, const struct client_dial_options *o,
                                      struct dun_prng *p, client_dial_cb cb, void *ctx);
void client_dial_cancel(struct client_dial *d);

#endif
