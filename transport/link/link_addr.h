/* transport/link/link_addr.h: "host:port" as people write it.
 * Forms: host:port, 1.2.3.4:port, [v6]:port, and to listen on also :port and
 * *:port (every IPv4 address; [::]:port is every IPv6 one). Names are resolved
 * by NNG at each dial, so a peer that moves is found again. */
#ifndef DUN_TRANSPORT_LINK_ADDR_H
#define DUN_TRANSPORT_LINK_ADDR_H

#include "base/err.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

enum { LINK_URL_MAX = DUN_ADDR_MAX + 16 };

struct link_addr {
    char host[DUN_ADDR_MAX + 1]; /* without brackets */
    bool v6;                     /* a literal, to be written in brackets */
    uint16_t port;
};

/* To dial (@listen false) a host and a port other than 0 are needed.
 * Errors: DUN_E_CONFIG. */
dun_err link_addr_parse(const char *text, bool listen, struct link_addr *out) DUN_MUST_USE;
/* 127.0.0.0/8, ::1 or "localhost". Other names are not looked up: no. */
bool link_addr_is_loopback(const struct link_addr *a);
/* @out >= LINK_URL_MAX + 1 bytes. */
void link_addr_url(const struct link_addr *a, char *out);
/* @out >= DUN_ADDR_MAX + 1 bytes. */
void link_addr_text(const struct link_addr *a, char *out);

#endif
