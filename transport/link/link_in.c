/* transport/link/link_in.c: the listening side of a plane.
 * Why one receive at a time: NNG may finish two receives of one connection on
 * two threads, and then a sender's packets change places. Opening a packet is
 * cheaper than carrying it, so one is enough. */
#include "base/alloc.h"
#include "base/assert.h"
#include "transport/link/link_err.h"
#include "transport/link/link_impl.h"

#include <arpa/inet.h>
#include <nng/protocol/pipeline0/pull.h>
#include <stdio.h>

static bool peer_eq(const struct dun_map_node *node, const void *key)
{
    return strcmp(DUN_CONTAINER(node, struct link_peer, node)->name, key) == 0;
}

/* A sender dropped here could be replayed: its packets of the past boot, by one
 * who recorded them and after a thousand others were heard since. VR and SWIM
 * bear that, their frames carry the recipient's boot and incarnations. */
static void peers_evict(struct link_in *in)
{
    struct link_peer *oldest = NULL;
    for (struct dun_map_node *n = dun_map_next(&in->peers, NULL); n != NULL;
         n = dun_map_next(&in->peers, n)) {
        struct link_peer *p = DUN_CONTAINER(n, struct link_peer, node);
        if (oldest == NULL || p->used < oldest->used) oldest = p;
    }
    DUN_ASSERT(oldest != NULL);
    dun_map_remove(&in->peers, &oldest->node);
    dun_free(oldest);
}

static struct link_peer *peer_get(struct link_in *in, const char *name)
{
    uint64_t hash = link_hash(in->link, 0, name);
    struct dun_map_node *n = dun_map_find(&in->peers, hash, peer_eq, name);
    struct link_peer *p;
    if (n != NULL) {
        p = DUN_CONTAINER(n, struct link_peer, node);
    } else {
        if (in->peers.count >= LINK_WINDOWS_MAX) peers_evict(in);
        p = dun_calloc(1, sizeof *p);
        strcpy(p->name, name);
        dun_map_insert(&in->peers, &p->node, hash);
    }
    p->used = ++in->tick;
    return p;
}

static void pipe_addr(nng_pipe pipe, char *out, size_t size)
{
    nng_sockaddr sa = {0};
    char ip[INET6_ADDRSTRLEN] = "";
    snprintf(out, size, "an unknown address");
    if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &sa) != 0) return;
    if (sa.s_family == NNG_AF_INET && inet_ntop(AF_INET, &sa.s_in.sa_addr, ip, sizeof ip) != NULL)
        snprintf(out, size, "%s:%u", ip, (unsigned)ntohs(sa.s_in.sa_port));
    if (sa.s_family == NNG_AF_INET6 && inet_ntop(AF_INET6, sa.s_in6.sa_addr, ip, sizeof ip) != NULL)
        snprintf(out, size, "[%s]:%u", ip, (unsigned)ntohs(sa.s_in6.sa_port));
}

static bool pipe_is_loopback(nng_pipe pipe)
{
    nng_sockaddr sa = {0};
    if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &sa) != 0) return false;
    if (sa.s_family == NNG_AF_INET) return (ntohl(sa.s_in.sa_addr) >> 24) == 127;
    if (sa.s_family != NNG_AF_INET6) return false;
    struct in6_addr bin;
    memcpy(&bin, sa.s_in6.sa_addr, sizeof bin);
    return IN6_IS_ADDR_LOOPBACK(&bin);
}

static void note(struct link_in *in, enum link_note kind, nng_pipe pipe, const char *from)
{
    struct link *l = in->link;
    uint64_t count;
    if (!link_note_due(&l->notes, kind, link_now_ms(), &count)) return;
    static const struct {
        enum dun_log_level level;
        const char *event, *before, *after;
    } text[LINK_NOTES] = {
        [LINK_NOTE_KEY] = {DUN_LOG_WARN, "seal_refused", "cluster key differs: packet",
                           "does not open with any of our keys; give all peers the same "
                           "cluster.key_file"},
        [LINK_NOTE_PLAIN] = {DUN_LOG_WARN, "seal_refused", "packet",
                             "is not sealed but we have a cluster key; give all peers the same "
                             "cluster.key_file"},
        [LINK_NOTE_SEALED] = {DUN_LOG_WARN, "seal_refused", "packet",
                              "is sealed but we have no cluster key; give all peers the same "
                              "cluster.key_file"},
        [LINK_NOTE_MALFORMED] = {DUN_LOG_WARN, "packet_malformed", "packet",
                                 "is not a Dunlin peer packet; check what connects to this port"},
        [LINK_NOTE_REPLAY] = {DUN_LOG_WARN, "packet_replayed", "packet",
                              "was seen before or is of an earlier life of that peer; if it goes "
                              "on, two peers may have the same name or a clock went back"},
        [LINK_NOTE_NAME] = {DUN_LOG_WARN, "packet_misdirected", "packet",
                            "is for a peer of another name; check the advertised addresses"},
        [LINK_NOTE_CROWD] = {DUN_LOG_WARN, "connection_refused", "connection",
                             "is one too many or from outside this host"},
    };
    char addr[INET6_ADDRSTRLEN + 16];
    pipe_addr(pipe, addr, sizeof addr);
    dun_log(l->log, text[kind].level, "%s plane=%s count=%llu why=\"%s from %s at %s %s\"",
            text[kind].event, link_plane_name(in->plane), (unsigned long long)count,
            text[kind].before, from, addr, text[kind].after);
}

/* @e of seal_open. The sender's name is what the packet claims. */
static void refuse(struct link_in *in, dun_err e, nng_msg *msg)
{
    struct link *l = in->link;
    struct seal_header h = {.from = "?"};
    dun_err peeked = seal_peek(dun_slice(nng_msg_body(msg), nng_msg_len(msg)), &h);
    (void)peeked; /* then the name stays "?" */
    nng_pipe pipe = nng_msg_get_pipe(msg);
    if (e == DUN_E_FORGED) {
        link_count(&l->stats.refused_seal, 1);
        note(in, LINK_NOTE_KEY, pipe, h.from);
    } else if (e == DUN_E_DENIED) {
        link_count(&l->stats.refused_seal, 1);
        note(in, h.sealed ? LINK_NOTE_SEALED : LINK_NOTE_PLAIN, pipe, h.from);
    } else if (e == DUN_E_UNKNOWN) {
        link_count(&l->stats.refused_name, 1);
        note(in, LINK_NOTE_NAME, pipe, h.from);
    } else {
        link_count(&l->stats.refused_malformed, 1);
        note(in, LINK_NOTE_MALFORMED, pipe, h.from);
    }
}

static void accept_packet(struct link_in *in, nng_msg *msg)
{
    struct link *l = in->link;
    struct seal_header h;
    struct dun_slice payload;
    dun_err e = seal_open(&l->keyring, l->name, nng_msg_body(msg), nng_msg_len(msg), &h, &payload);
    if (e == DUN_OK && (h.plane != in->plane || payload.len > DUN_PACKET_MAX)) e = DUN_E_MALFORMED;
    if (e != DUN_OK) {
        refuse(in, e, msg);
        return;
    }
    struct link_peer *p = peer_get(in, h.from);
    if (h.boot > p->window.boot) p->before = p->window;
    struct seal_window *w = h.boot == p->before.boot ? &p->before : &p->window;
    if (seal_window_take(w, h.boot, h.counter) != DUN_OK) {
        link_count(&l->stats.refused_replay, 1);
        note(in, LINK_NOTE_REPLAY, nng_msg_get_pipe(msg), h.from);
        return;
    }
    link_count(&l->stats.received_packets, 1);
    link_count(&l->stats.received_bytes, payload.len);
    l->on_packet(l->ctx, in->plane, h.from, h.boot, payload);
}

static void on_recv(void *arg) /* NNG thread; never two at a time */
{
    struct link_in *in = arg;
    int rv = nng_aio_result(in->aio);
    if (link_err(rv) == DUN_E_CLOSED) return;
    if (rv == 0) {
        nng_msg *msg = nng_aio_get_msg(in->aio);
        nng_aio_set_msg(in->aio, NULL);
        accept_packet(in, msg);
        nng_msg_free(msg);
    }
    nng_recv_aio(in->sock, in->aio);
}

/* NNG thread. Let in at most LINK_INBOUND_MAX; connections that have not yet
 * said they speak NNG's protocol are not counted, NNG ends those after 10 s.
 * Refused before the first receive: see link_out.c (4). */
static void on_pipe(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    struct link_in *in = arg;
    uint32_t id = (uint32_t)nng_pipe_id(pipe);
    bool refused =
        ev == NNG_PIPE_EV_ADD_PRE && in->link->keyring.count == 0 && !pipe_is_loopback(pipe);
    pthread_mutex_lock(&in->pipes_lock);
    if (ev == NNG_PIPE_EV_ADD_PRE) {
        if (in->pipe_count == LINK_INBOUND_MAX) refused = true;
        if (!refused) in->pipes[in->pipe_count++] = id;
    } else {
        for (uint32_t i = 0; i < in->pipe_count; i++) {
            if (in->pipes[i] != id) continue;
            in->pipes[i] = in->pipes[--in->pipe_count];
            break;
        }
    }
    pthread_mutex_unlock(&in->pipes_lock);
    if (!refused) return;
    note(in, LINK_NOTE_CROWD, pipe, "?");
    nng_pipe_close(pipe);
}

static dun_err parse_listen(struct link_in *in, const char *listen, struct link_addr *a, char *why,
                            size_t why_size)
{
    const char *plane = link_plane_name(in->plane);
    if (listen == NULL || link_addr_parse(listen, true, a) != DUN_OK) {
        snprintf(why, why_size,
                 "%s.listen %.*s is not an address: write HOST:PORT, [IPV6]:PORT or :PORT", plane,
                 DUN_ADDR_MAX, listen == NULL ? "(none)" : listen);
        return DUN_E_CONFIG;
    }
    if (in->link->keyring.count == 0 && !link_addr_is_loopback(a)) {
        snprintf(why, why_size,
                 "%s.listen %s is reachable from outside but there is no cluster key: make one "
                 "with `dunlin keygen` and set cluster.key_file on all peers, or listen on "
                 "127.0.0.1",
                 plane, listen);
        return DUN_E_CONFIG;
    }
    return DUN_OK;
}

static dun_err listen_failed(const struct link_in *in, const char *listen, int rv, char *why,
                             size_t why_size)
{
    const char *plane = link_plane_name(in->plane);
    dun_err e = link_err(rv);
    if (e == DUN_E_IN_USE)
        snprintf(why, why_size,
                 "%s address %s is already in use: stop what listens there (`ss -ltnp` shows it) "
                 "or set %s.listen to another port",
                 plane, listen, plane);
    else if (e == DUN_E_CONFIG)
        snprintf(why, why_size,
                 "%s address %s is not one of this host's: set %s.listen to an address that "
                 "`ip addr` shows",
                 plane, listen, plane);
    else
        snprintf(why, why_size, "cannot listen on %s address %s: %s; set %s.listen", plane, listen,
                 link_err_text(rv), plane);
    return e == DUN_E_IN_USE || e == DUN_E_CONFIG ? e : DUN_E_IO;
}

static int listener_start(struct link_in *in, struct link_addr *a)
{
    char url[LINK_URL_MAX + 1];
    nng_listener listener;
    int rv, port = 0;
    link_addr_url(a, url);
    if ((rv = nng_pipe_notify(in->sock, NNG_PIPE_EV_ADD_PRE, on_pipe, in)) != 0 ||
        (rv = nng_pipe_notify(in->sock, NNG_PIPE_EV_REM_POST, on_pipe, in)) != 0 ||
        (rv = nng_listener_create(&listener, in->sock, url)) != 0 ||
        (rv = nng_listener_set_size(listener, NNG_OPT_RECVMAXSZ, LINK_MESSAGE_MAX)) != 0 ||
        (rv = nng_listener_set_bool(listener, NNG_OPT_TCP_NODELAY, true)) != 0 ||
        (rv = nng_listener_set_bool(listener, NNG_OPT_TCP_KEEPALIVE, true)) != 0 ||
        (rv = nng_listener_start(listener, 0)) != 0 ||
        (rv = nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port)) != 0)
        return rv;
    DUN_ASSERT(port > 0 && port <= UINT16_MAX);
    a->port = (uint16_t)port;
    return 0;
}

dun_err link_in_open(struct link_in *in, struct link *l, enum link_plane plane, const char *listen,
                     char *why, size_t why_size)
{
    in->link = l;
    in->plane = plane;
    struct link_addr a;
    dun_err e = parse_listen(in, listen, &a, why, why_size);
    if (e != DUN_OK) return e;
    int rv = nng_pull0_open(&in->sock);
    if (rv != 0) return listen_failed(in, listen, rv, why, why_size);
    rv = nng_aio_alloc(&in->aio, on_recv, in);
    if (rv != 0) {
        nng_close(in->sock);
        return listen_failed(in, listen, rv, why, why_size);
    }
    int rc = pthread_mutex_init(&in->pipes_lock, NULL);
    DUN_ASSERT(rc == 0);
    in->open = true;
    rv = listener_start(in, &a);
    if (rv != 0) {
        link_in_stop(in);
        link_in_close(in);
        return listen_failed(in, listen, rv, why, why_size);
    }
    link_addr_text(&a, in->addr);
    nng_recv_aio(in->sock, in->aio);
    return DUN_OK;
}

void link_in_stop(struct link_in *in)
{
    /* Waits for the callback, which cannot start another receive. Each connection
     * then reads the message it is at, and no more. */
    if (in->open) nng_aio_stop(in->aio);
}

void link_in_close(struct link_in *in)
{
    if (!in->open) return;
    in->open = false;
    nng_close(in->sock);
    nng_aio_free(in->aio);
    struct dun_map_node *n;
    while ((n = dun_map_next(&in->peers, NULL)) != NULL) {
        dun_map_remove(&in->peers, n);
        dun_free(DUN_CONTAINER(n, struct link_peer, node));
    }
    dun_map_deinit(&in->peers);
    pthread_mutex_destroy(&in->pipes_lock);
}
