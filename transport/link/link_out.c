/* transport/link/link_out.c: the connections we dial, one per (plane, address).
 * NNG redials by itself. What it does not do for us:
 * (1) while unconnected only LINK_DOWN_QUEUE_MAX packets wait, and those that
 *     waited when a connection broke are dropped, so that a peer that returns
 *     is not flooded with the past: the queue's length follows the connection;
 * (2) a dial into a silent host is cut off after LINK_DIAL_MS_MAX, since the
 *     kernel's own retries grow to a minute and the host may be back long before;
 * (3) a connection that took nothing for LINK_STALL_MS_MAX is dialled anew, for
 *     the same reason.
 * (4) NNG 1.5.2 must not close a connection that is moving bytes: between two
 *     parts of one message its transport restarts the transfer on an operation
 *     already closed, nobody completes it, and NNG's one reaper thread, which
 *     every close and every redial of the process needs, waits for ever. So an
 *     endpoint is first retired (no more packets, none waiting), and closed
 *     LINK_QUIET_MS later. A connection the other side ends is not affected.
 * (5) A peer crashed once inside NNG 1.5.2, unlinking freed memory, 25 ms after a
 *     connection of its broke under traffic. Its issue 1653 (a PUSH connection
 *     freed while on its socket's list of ready ones) fits; it is not proven. So a
 *     socket serves one connection: once connected NNG is kept from dialling
 *     again, and after a break the next packet opens a new endpoint. */
#include "base/alloc.h"
#include "base/assert.h"
#include "transport/link/link_err.h"
#include "transport/link/link_impl.h"

#include <nng/protocol/pipeline0/push.h>

struct end_key {
    enum link_plane plane;
    const char *addr;
};

static bool end_eq(const struct dun_map_node *node, const void *key)
{
    const struct link_end *e = DUN_CONTAINER(node, struct link_end, node);
    const struct end_key *k = key;
    return e->plane == k->plane && strcmp(e->addr, k->addr) == 0;
}

static struct link_end *find(struct link *l, enum link_plane plane, const char *addr)
{
    struct end_key key = {plane, addr};
    struct dun_map_node *n =
        dun_map_find(&l->ends, link_hash(l, (uint8_t)plane, addr), end_eq, &key);
    return n == NULL ? NULL : DUN_CONTAINER(n, struct link_end, node);
}

static void queue_set(struct link_end *e, int len)
{
    int rv = nng_socket_set_int(e->sock, NNG_OPT_SENDBUF, len);
    (void)rv; /* fails only when the socket is being closed, and the queue with it */
}

static void redial_never(struct link_end *e)
{
    int rv = nng_dialer_set_ms(e->dialer, NNG_OPT_RECONNMAXT, LINK_NEVER_MS);
    if (rv == 0) rv = nng_dialer_set_ms(e->dialer, NNG_OPT_RECONNMINT, LINK_NEVER_MS);
    (void)rv; /* fails only when the socket is being closed */
}

/* NNG thread: touches only the atomics of the endpoint and its socket. NNG calls
 * ADD_POST and REM_POST of one connection in this order, and dials the next
 * connection after REM_POST has returned. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    struct link_end *e = arg;
    (void)pipe;
    if (ev == NNG_PIPE_EV_ADD_POST) {
        pthread_mutex_lock(&e->lock);
        if (!e->closing) queue_set(e, LINK_QUEUE_MAX);
        pthread_mutex_unlock(&e->lock);
        redial_never(e);
        atomic_store(&e->up, true);
    } else if (ev == NNG_PIPE_EV_REM_POST && atomic_exchange(&e->up, false)) {
        atomic_store(&e->spent, true);
        queue_set(e, 0); /* drops what waits */
        pthread_mutex_lock(&e->lock);
        if (!e->closing) {
            queue_set(e, LINK_DOWN_QUEUE_MAX);
            atomic_store(&e->dial_ms, link_now_ms());
            e->link->on_lost(e->link->ctx, e->plane, e->addr);
        }
        pthread_mutex_unlock(&e->lock);
    }
}

static dun_err dial(struct link_end *e, const char *url)
{
    int rv = nng_dialer_create(&e->dialer, e->sock, url);
    if (rv != 0) return link_err(rv);
    nng_dialer dialer = e->dialer;
    if ((rv = nng_dialer_set_ms(dialer, NNG_OPT_RECONNMINT, LINK_RECONNECT_MS_MIN)) != 0 ||
        (rv = nng_dialer_set_ms(dialer, NNG_OPT_RECONNMAXT, LINK_RECONNECT_MS_MAX)) != 0 ||
        (rv = nng_dialer_set_bool(dialer, NNG_OPT_TCP_NODELAY, true)) != 0 ||
        (rv = nng_dialer_set_bool(dialer, NNG_OPT_TCP_KEEPALIVE, true)) != 0 ||
        (rv = nng_dialer_start(dialer, NNG_FLAG_NONBLOCK)) != 0) {
        return link_err(rv);
    }
    atomic_store(&e->dial_ms, link_now_ms());
    return DUN_OK;
}

static void end_free(struct link_end *e)
{
    nng_close(e->sock); /* waits for its connections' callbacks */
    pthread_mutex_destroy(&e->lock);
    dun_free(e);
}

static void end_silence(struct link_end *e)
{
    pthread_mutex_lock(&e->lock); /* so that no on_lost is running once we return */
    e->closing = true;
    pthread_mutex_unlock(&e->lock);
}

static void retire(struct link_end *e)
{
    struct link *l = e->link;
    dun_map_remove(&l->ends, &e->node);
    end_silence(e);
    queue_set(e, 0);
    e->retired_ms = link_now_ms();
    e->next_retired = NULL;
    *l->retired_tail = e;
    l->retired_tail = &e->next_retired;
    l->retired_count++;
}

static struct link_end *retired_pop(struct link *l)
{
    struct link_end *e = l->retired;
    l->retired = e->next_retired;
    if (l->retired == NULL) l->retired_tail = &l->retired;
    l->retired_count--;
    return e;
}

static void reap(struct link *l)
{
    while (l->retired != NULL && link_now_ms() - l->retired->retired_ms >= LINK_QUIET_MS)
        end_free(retired_pop(l));
}

/* The map is at its bound rarely (a thousand peers on both planes), so a scan will do. */
static void evict(struct link *l)
{
    struct link_end *oldest = NULL;
    for (struct dun_map_node *n = dun_map_next(&l->ends, NULL); n != NULL;
         n = dun_map_next(&l->ends, n)) {
        struct link_end *e = DUN_CONTAINER(n, struct link_end, node);
        if (oldest == NULL || e->used < oldest->used) oldest = e;
    }
    DUN_ASSERT(oldest != NULL);
    retire(oldest);
}

static dun_err end_open(struct link *l, enum link_plane plane, const char *addr,
                        struct link_end **out)
{
    struct link_addr parsed;
    dun_err err = link_addr_parse(addr, false, &parsed);
    if (err != DUN_OK) return err;
    if (l->keyring.count == 0 && !link_addr_is_loopback(&parsed)) return DUN_E_DENIED;
    if (l->retired_count >= LINK_ENDPOINTS_MAX) return DUN_E_FULL; /* for LINK_QUIET_MS */
    if (l->ends.count >= LINK_ENDPOINTS_MAX) evict(l);

    struct link_end *e = dun_calloc(1, sizeof *e);
    e->link = l;
    e->plane = plane;
    int rc = pthread_mutex_init(&e->lock, NULL);
    DUN_ASSERT(rc == 0);
    strcpy(e->addr, addr); /* parsed, so it is not too long */
    char url[LINK_URL_MAX + 1];
    link_addr_url(&parsed, url);
    int rv = nng_push0_open(&e->sock);
    if (rv != 0) {
        err = link_err(rv);
        goto fail;
    }
    if ((rv = nng_socket_set_int(e->sock, NNG_OPT_SENDBUF, LINK_DOWN_QUEUE_MAX)) != 0 ||
        (rv = nng_pipe_notify(e->sock, NNG_PIPE_EV_ADD_POST, on_pipe, e)) != 0 ||
        (rv = nng_pipe_notify(e->sock, NNG_PIPE_EV_REM_POST, on_pipe, e)) != 0) {
        err = link_err(rv);
        goto fail_sock;
    }
    err = dial(e, url);
    if (err != DUN_OK) goto fail_sock;
    dun_map_insert(&l->ends, &e->node, link_hash(l, (uint8_t)plane, addr));
    *out = e;
    return DUN_OK;
fail_sock:
    nng_close(e->sock);
fail:
    pthread_mutex_destroy(&e->lock);
    dun_free(e);
    DUN_ASSERT(err != DUN_OK);
    return err;
}

/* (2) and (3) */
static bool stuck(const struct link_end *e)
{
    if (!atomic_load(&e->up)) return link_now_ms() - atomic_load(&e->dial_ms) >= LINK_DIAL_MS_MAX;
    return e->full_ms != 0 && link_now_ms() - e->full_ms >= LINK_STALL_MS_MAX;
}

dun_err link_out_get(struct link *l, enum link_plane plane, const char *addr, struct link_end **out)
{
    /* Replication is also sent from NNG's own threads, where a close would wait for itself; gossip
     * goes out several times a second and only from the core's thread. */
    if (l->retired != NULL && plane == LINK_GOSSIP) reap(l);
    struct link_end *e = find(l, plane, addr);
    if (e != NULL && (atomic_load(&e->spent) || stuck(e))) {
        retire(e);
        e = NULL;
    }
    if (e == NULL) {
        dun_err err = end_open(l, plane, addr, &e);
        if (err != DUN_OK) return err;
    }
    e->used = ++l->tick;
    *out = e;
    return DUN_OK;
}

dun_err link_out_send(struct link_end *e, nng_msg *msg)
{
    dun_err err = link_err(nng_sendmsg(e->sock, msg, NNG_FLAG_NONBLOCK));
    if (err == DUN_OK) {
        e->full_ms = 0;
        return DUN_OK;
    }
    nng_msg_free(msg);
    if (err == DUN_E_FULL && e->full_ms == 0) e->full_ms = link_now_ms();
    return err;
}

void link_out_forget(struct link *l, enum link_plane plane, const char *addr)
{
    reap(l);
    struct link_end *e = find(l, plane, addr);
    if (e != NULL) retire(e);
}

void link_out_stop(struct link *l)
{
    for (struct dun_map_node *n = dun_map_next(&l->ends, NULL); n != NULL;
         n = dun_map_next(&l->ends, n))
        end_silence(DUN_CONTAINER(n, struct link_end, node));
}

void link_out_close_all(struct link *l)
{
    struct dun_map_node *n;
    while ((n = dun_map_next(&l->ends, NULL)) != NULL) {
        dun_map_remove(&l->ends, n);
        end_free(DUN_CONTAINER(n, struct link_end, node));
    }
    while (l->retired != NULL)
        end_free(retired_pop(l));
    dun_map_deinit(&l->ends);
}
