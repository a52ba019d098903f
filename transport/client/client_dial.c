/* transport/client/client_dial.c: resolve, shuffle, connect one after the other.
 * Lifetime: the object lives until its request (resolve or connect) and its two
 * handles have all been given back by the loop; `holds` counts them. */
#include "transport/client/client_dial.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <stdio.h>
#include <string.h>

struct client_dial {
    uv_loop_t *loop;
    uv_getaddrinfo_t resolve;
    uv_connect_t connect;
    uv_timer_t timer;
    uv_tcp_t *tcp; /* being connected, or NULL */
    struct sockaddr_storage addrs[CLIENT_ADDRS_MAX];
    struct sockaddr_storage avoid;
    bool has_avoid;
    uint32_t addr_count, at;
    uint32_t connect_ms;
    struct dun_prng *prng;
    client_dial_cb cb; /* NULL once called or cancelled */
    void *ctx;
    uint32_t holds;
    bool timed_out;
    char host[256];
    uint16_t port;
    char why[CLIENT_WHY_MAX];
};

static void connect_next(struct client_dial *d);

static void release(struct client_dial *d)
{
    DUN_ASSERT(d->holds > 0);
    if (--d->holds == 0) dun_free(d);
}

static void on_timer_closed(uv_handle_t *h)
{
    release(h->data);
}

static void on_tcp_closed(uv_handle_t *h)
{
    dun_free(h);
}

static void tcp_drop(struct client_dial *d)
{
    if (d->tcp == NULL) return;
    uv_close((uv_handle_t *)d->tcp, on_tcp_closed);
    d->tcp = NULL;
}

static void finish(struct client_dial *d, dun_err e)
{
    client_dial_cb cb = d->cb;
    uv_tcp_t *tcp = NULL;
    if (e == DUN_OK) {
        tcp = d->tcp;
        d->tcp = NULL;
    }
    tcp_drop(d);
    d->cb = NULL;
    uv_close((uv_handle_t *)&d->timer, on_timer_closed);
    if (cb != NULL) cb(d->ctx, e, tcp, e == DUN_OK ? &d->addrs[d->at] : NULL, d->why);
}

static uint16_t *port_of(struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET6) return &((struct sockaddr_in6 *)(void *)a)->sin6_port;
    return &((struct sockaddr_in *)(void *)a)->sin_port;
}

static void address_text(const struct sockaddr_storage *a, char *out, size_t len)
{
    char ip[INET6_ADDRSTRLEN] = "?";
    struct sockaddr_storage copy = *a;
    if (a->ss_family == AF_INET6) {
        uv_ip6_name((const struct sockaddr_in6 *)(const void *)a, ip, sizeof ip);
    } else {
        uv_ip4_name((const struct sockaddr_in *)(const void *)a, ip, sizeof ip);
    }
    (void)snprintf(out, len, a->ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip,
                   (unsigned)ntohs(*port_of(&copy)));
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    char x[64], y[64];
    address_text(a, x, sizeof x);
    address_text(b, y, sizeof y);
    return strcmp(x, y) == 0;
}

static void failed_here(struct client_dial *d, const char *text)
{
    char addr[64];
    size_t n = strlen(d->why);
    address_text(&d->addrs[d->at], addr, sizeof addr);
    (void)snprintf(d->why + n, sizeof d->why - n, "%s%s: %s", n > 0 ? "; " : "", addr, text);
    tcp_drop(d);
    d->at++;
    connect_next(d);
}

static void on_connect(uv_connect_t *req, int status)
{
    struct client_dial *d = req->data;
    if (d->cb == NULL) { /* cancelled; the timer is closing */
        release(d);
        return;
    }
    uv_timer_stop(&d->timer);
    d->holds--; /* the timer still holds one */
    DUN_ASSERT(d->holds > 0);
    if (status == 0) {
        finish(d, DUN_OK);
    } else if (d->timed_out) {
        failed_here(d, "no answer within the connect timeout");
    } else {
        failed_here(d, uv_strerror(status));
    }
}

static void on_connect_timeout(uv_timer_t *t)
{
    struct client_dial *d = t->data;
    d->timed_out = true;
    DUN_ASSERT(d->tcp != NULL);
    tcp_drop(d); /* on_connect follows with UV_ECANCELED */
}

static void connect_next(struct client_dial *d)
{
    if (d->at == d->addr_count) {
        finish(d, DUN_E_IO);
        return;
    }
    d->timed_out = false;
    d->tcp = dun_calloc(1, sizeof *d->tcp);
    int status = uv_tcp_init(d->loop, d->tcp);
    DUN_ASSERT(status == 0);
    d->connect.data = d;
    status = uv_tcp_connect(&d->connect, d->tcp,
                            (const struct sockaddr *)(const void *)&d->addrs[d->at], on_connect);
    if (status != 0) {
        failed_here(d, uv_strerror(status)); /* at most CLIENT_ADDRS_MAX deep */
        return;
    }
    d->holds++;
    uv_timer_start(&d->timer, on_connect_timeout, d->connect_ms, 0);
}

static void take_addresses(struct client_dial *d, const struct addrinfo *list)
{
    for (const struct addrinfo *a = list; a != NULL && d->addr_count < CLIENT_ADDRS_MAX;
         a = a->ai_next) {
        if (a->ai_family != AF_INET && a->ai_family != AF_INET6) continue;
        struct sockaddr_storage *to = &d->addrs[d->addr_count++];
        memset(to, 0, sizeof *to);
        memcpy(to, a->ai_addr, a->ai_addrlen);
        *port_of(to) = htons(d->port);
    }
    for (uint32_t i = d->addr_count; i > 1; i--) {
        uint32_t j = (uint32_t)dun_prng_range(d->prng, 0, i - 1);
        struct sockaddr_storage t = d->addrs[i - 1];
        d->addrs[i - 1] = d->addrs[j];
        d->addrs[j] = t;
    }
    for (uint32_t i = 0; d->has_avoid && i + 1 < d->addr_count; i++) {
        if (!same_address(&d->addrs[i], &d->avoid)) continue;
        struct sockaddr_storage t = d->addrs[d->addr_count - 1];
        d->addrs[d->addr_count - 1] = d->addrs[i];
        d->addrs[i] = t;
        break;
    }
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct client_dial *d = req->data;
    if (d->cb == NULL) {
        uv_freeaddrinfo(list);
        release(d);
        return;
    }
    d->holds--;
    DUN_ASSERT(d->holds > 0);
    if (status == 0) take_addresses(d, list);
    uv_freeaddrinfo(list);
    if (d->addr_count == 0) {
        (void)snprintf(d->why, sizeof d->why, "the name \"%s\" has no address (%s)", d->host,
                       status != 0 ? uv_strerror(status) : "empty answer");
        finish(d, DUN_E_IO);
        return;
    }
    connect_next(d);
}

static void on_bad_name(uv_timer_t *t)
{
    finish(t->data, DUN_E_IO);
}

struct client_dial *client_dial_start(uv_loop_t *loop, const struct client_dial_options *o,
                                      struct dun_prng *p, client_dial_cb cb, void *ctx)
{
    struct client_dial *d = dun_calloc(1, sizeof *d);
    DUN_ASSERT(cb != NULL);
    d->loop = loop;
    d->prng = p;
    d->cb = cb;
    d->ctx = ctx;
    d->port = o->port;
    d->connect_ms = o->connect_ms != 0 ? o->connect_ms : CLIENT_CONNECT_MS;
    if (o->avoid != NULL) {
        d->avoid = *o->avoid;
        d->has_avoid = true;
    }
    (void)snprintf(d->host, sizeof d->host, "%s", o->host);
    int status = uv_timer_init(loop, &d->timer);
    DUN_ASSERT(status == 0);
    d->timer.data = d;
    d->resolve.data = d;
    d->holds = 2; /* the timer and the resolve request */
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    status = uv_getaddrinfo(loop, &d->resolve, on_resolved, d->host, NULL, &hints);
    if (status != 0) { /* not a name at all; told from the loop, as rule (2) says */
        d->holds--;
        (void)snprintf(d->why, sizeof d->why, "\"%s\" is not a host name (%s)", d->host,
                       uv_strerror(status));
        uv_timer_start(&d->timer, on_bad_name, 0, 0);
    }
    return d;
}

void client_dial_cancel(struct client_dial *d)
{
    DUN_ASSERT(d->cb != NULL);
    d->cb = NULL;
    tcp_drop(d);
    (void)uv_cancel((uv_req_t *)&d->resolve); /* no effect when it is done or running */
    uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}
