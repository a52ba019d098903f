/* transport/client/client_servers.h: which server to try next.
 * Why: the client is the load balancer. It spreads itself over the servers by
 * weight, and after a loss goes to another one at once, not back to the dead one.
 * (1) A round offers each server at most once; the one just lost comes last.
 * (2) Weight 0 marks a reserve: offered only after all others of the round.
 * (3) Chance comes from the passed generator only. */
#ifndef DUN_TRANSPORT_CLIENT_CLIENT_SERVERS_H
#define DUN_TRANSPORT_CLIENT_CLIENT_SERVERS_H

#include "base/err.h"
#include "base/prng.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CLIENT_SERVERS_MAX = 32,
    CLIENT_HOST_MAX = 253, /* a DNS name, bytes */
    CLIENT_PATH_MAX = 255, /* of the URL, bytes */
    CLIENT_URL_MAX = 600,  /* scheme, host, port and path */
    CLIENT_WEIGHT_MAX = 1000,
    CLIENT_NONE = -1,
};

struct client_server {
    char url[CLIENT_URL_MAX + 1]; /* as given, without the weight; for messages to people */
    char host[CLIENT_HOST_MAX + 1];
    char path[CLIENT_PATH_MAX + 1]; /* "" or "/prefix", without a slash at the end */
    uint32_t weight;
    uint16_t port;
    bool tried; /* offered in this round */
};

struct client_servers {
    struct client_server list[CLIENT_SERVERS_MAX];
    uint32_t count;
    int32_t last; /* index offered last, or CLIENT_NONE */
    int32_t lost; /* index that was in use before this round: offered last in it */
};

/* Parses "URL[=WEIGHT],…"; URL is http://HOST[:PORT][/PATH], ws://… or HOST[:PORT]; the port
 * defaults to 8000 without a scheme and 80 with one. An IPv6 address stands in brackets.
 * Weight 0..CLIENT_WEIGHT_MAX, 1 if absent.
 * Errors: DUN_E_USAGE; @why then says what is wrong with which word. */
dun_err client_servers_parse(struct client_servers *s, const char *text, char *why,
                             size_t why_len) DUN_MUST_USE;

/* Offers the next server (count > 0). Starts a new round by itself when all were offered. */
const struct client_server *client_servers_next(struct client_servers *s, struct dun_prng *p);

/* "HOST:PORT" as the Host header wants it. */
void client_servers_host(const struct client_server *server, char out[CLIENT_HOST_MAX + 16]);

/* The server offered last works: the next loss starts a fresh round. */
void client_servers_good(struct client_servers *s);

/* True when each server has been offered in this round. */
bool client_servers_round_over(const struct client_servers *s);

#endif
