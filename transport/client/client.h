/* transport/client/client.h: a client of the cluster on a libuv loop.
 * Why: what makes the cluster highly available is on this side too: a weighted
 * list of servers, another server at once after a loss, and the saved position
 * of each subscription, so that the next server continues where the last ended.
 * (1) All calls and handlers run on the loop's thread.
 * (2) `closed` is the last call of all; after it only client_destroy's callback.
 * (3) Commands given during one loop iteration leave in one write. */
#ifndef DUN_TRANSPORT_CLIENT_CLIENT_H
#define DUN_TRANSPORT_CLIENT_CLIENT_H

#include "transport/client/client_dial.h"
#include "transport/client/client_servers.h"
#include "transport/client/client_session.h"

struct client;

struct client_options {
    const char *servers;                     /* see client_servers_parse */
    const char *token;                       /* connection JWT; NULL = anonymous */
    uint32_t connect_ms;                     /* per address; 0 = CLIENT_CONNECT_MS */
    uint32_t backoff_ms_min, backoff_ms_max; /* 0 = CLIENT_BACKOFF_MS_MIN, _MAX */
    struct client_handlers handlers;
    /* May be NULL; same ctx as the handlers. A connection or attempt is over and the next
     * comes in @wait_ms. @text names the server and says why. */
    void (*retrying)(void *ctx, uint64_t wait_ms, const char *text);
    /* Will not come back: the server said so (code 3500-3999, refused connect). */
    void (*closed)(void *ctx, int code, const char *text);
};

/* Starts connecting. Errors: DUN_E_USAGE bad server list, @why says which word. */
dun_err client_create(uv_loop_t *loop, const struct client_options *o, struct client **out,
                      char *why, size_t why_len) DUN_MUST_USE;
/* Says goodbye and frees; @done (may be NULL) runs when the loop holds nothing of it any more.
 * Open requests are answered with DUN_E_CLOSED first. May be called from handlers. */
void client_destroy(struct client *c, void (*done)(void *ctx), void *ctx);

/* As the functions of client_session.h. */
dun_err client_subscribe(struct client *c, const char *channel, const struct client_position *since,
                         void *user, struct client_sub **out) DUN_MUST_USE;
void client_unsubscribe(struct client *c, struct client_sub *sub);
dun_err client_publish(struct client *c, struct dun_slice channel, struct dun_slice data,
                       client_answer_cb cb, void *ctx) DUN_MUST_USE;
dun_err client_history(struct client *c, const struct cmd_history *what, client_answer_cb cb,
                       void *ctx) DUN_MUST_USE;

bool client_ready(const struct client *c);
const char *client_url(const struct client *c); /* the server in use or being tried; "" before */

/* A generator seeded from the system's chance. */
void client_seed(struct dun_prng *p);

#endif
