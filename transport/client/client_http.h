/* transport/client/client_http.h: HTTP requests to whichever server answers.
 * Why: a publish through the HTTP API must survive the death of the peer that
 * took it. So a request is tried on another server until it has a definite
 * answer; publishes carry an idempotency key, so that a retry counts once.
 * (1) Retried: no connection, no or a broken answer, status 5xx, and (when
 *     asked) an API error that is temporary. All else is an answer.
 * (2) The callback runs exactly once, from the loop, never inside start; not
 *     after client_http_cancel.
 * (3) Only requests that may be repeated are given max_ms > 0. */
#ifndef DUN_TRANSPORT_CLIENT_CLIENT_HTTP_H
#define DUN_TRANSPORT_CLIENT_CLIENT_HTTP_H

#include "base/buf.h"
#include "transport/client/client_dial.h"
#include "transport/client/client_servers.h"

enum {
    CLIENT_HTTP_ANSWER_MS = 8000,    /* one attempt; a publish may wait for a failover */
    CLIENT_HTTP_BODY_MAX = 32 << 20, /* of an answer: a long history */
    CLIENT_KEY_LEN = 32,             /* hex digits of a generated idempotency key */
};

struct client_http_options {
    const struct client_servers *servers; /* copied */
    const char *method;                   /* "GET" */
    const char *path;                     /* "/api/publish"; the server's own prefix goes before */
    struct dun_slice body;                /* copied; JSON when not empty */
    const char *api_key;                  /* NULL = none */
    uint32_t connect_ms;                  /* per address; 0 = CLIENT_CONNECT_MS */
    uint32_t answer_ms;                   /* one attempt; 0 = CLIENT_HTTP_ANSWER_MS */
    uint32_t max_ms;                      /* all attempts; 0 = one attempt only */
};

struct client_http_result {
    dun_err e;             /* DUN_OK: some server answered, whatever the status */
    int status;            /* HTTP status */
    struct dun_slice body; /* borrowed */
    const char *url;       /* the server asked last */
    uint32_t server_index; /* its place in the list */
    uint32_t attempts;
    const char *why; /* when e != DUN_OK: what was tried and what happened */
};

struct client_http;
typedef void (*client_http_cb)(void *ctx, const struct client_http_result *r);

struct client_http *client_http_start(uv_loop_t *loop, const struct client_http_options *o,
                                      struct dun_prng *p, client_http_cb cb, void *ctx);
void client_http_cancel(struct client_http *h);

/* Runs the loop until the request is answered. For tools with nothing else to do:
 * @loop must hold no other work. *body gets the answer's body (the caller deinits it); in
 * @r body borrows from it and why from @why. */
void client_http_run(uv_loop_t *loop, const struct client_http_options *o, struct dun_prng *p,
                     struct client_http_result *r, struct dun_buf *body, char why[CLIENT_WHY_MAX]);

/* The body of a publish for POST /api/publish. @data: JSON. @key: idempotency key, "" = none. */
void client_publish_body(struct dun_buf *b, struct dun_slice channel, struct dun_slice data,
                         const char *key);
/* A fresh random idempotency key; NUL-terminated. */
void client_publish_key(char out[CLIENT_KEY_LEN + 1]);

#endif
