/* tests/unit/cluster/swim_net.h: a few peers on a network in virtual time.
 * Why: membership is a story between peers; here each story runs in
 * milliseconds, and the same seed tells it the same way.
 * Every step is followed by swim_check(). */
#ifndef DUN_TESTS_SWIM_NET_H
#define DUN_TESTS_SWIM_NET_H

#include "base/alloc.h"
#include "base/prng.h"
#include "cluster/swim_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NET_PEERS_MAX = 16, NET_EVENTS_MAX = 4096, NET_STEPS_MAX = 2000000 };

struct net_event {
    uint64_t at_ms;
    enum swim_event_type type;
    char name[DUN_NAME_MAX + 1];
    char addr[DUN_ADDR_MAX + 1];
    uint64_t boot;
};

struct net_peer {
    struct swim *swim; /* NULL: not running */
    char name[DUN_NAME_MAX + 1];
    char addr[DUN_ADDR_MAX + 1];
    uint64_t boot;
    bool paused;
    int side; /* peers on different sides do not hear each other */
    uint32_t event_count;
    struct net_event events[NET_EVENTS_MAX];
};

struct net_packet {
    struct net_packet *next;
    uint64_t at_ms;
    char from_name[DUN_NAME_MAX + 1];
    char to_addr[DUN_ADDR_MAX + 1];
    uint64_t from_boot;
    struct dun_buf bytes;
};

struct net {
    uint64_t now_ms;
    struct dun_prng prng;
    uint32_t loss_per_million;
    struct net_peer peers[NET_PEERS_MAX];
    uint32_t peer_count;
    struct net_packet *wire; /* by time */
    /* Sees each packet when it is sent; may be NULL. */
    void (*spy)(struct net *n, struct net_peer *from, const char *to_name, struct dun_slice bytes);
    void *spy_ctx;
};

static inline struct net *net_create(uint64_t seed)
{
    struct net *n = dun_calloc(1, sizeof *n);
    dun_prng_seed(&n->prng, seed);
    n->now_ms = 1000;
    return n;
}

static inline void net_destroy(struct net *n)
{
    for (uint32_t i = 0; i < n->peer_count; i++)
        swim_destroy(n->peers[i].swim);
    while (n->wire != NULL) {
        struct net_packet *p = n->wire;
        n->wire = p->next;
        dun_buf_deinit(&p->bytes);
        dun_free(p);
    }
    dun_free(n);
}

static inline struct net_peer *net_at(struct net *n, const char *addr)
{
    for (uint32_t i = 0; i < n->peer_count; i++)
        if (n->peers[i].swim != NULL && strcmp(n->peers[i].addr, addr) == 0) return &n->peers[i];
    return NULL;
}

static inline void net_put(struct net *n, struct net_packet *p)
{
    struct net_packet **at = &n->wire;
    while (*at != NULL && (*at)->at_ms <= p->at_ms)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
}

static inline void net_send(struct net *n, struct net_peer *from, const char *addr,
                            struct dun_slice bytes)
{
    const struct net_peer *to = net_at(n, addr);
    if (to == NULL || to->side != from->side) return;
    if (dun_prng_chance(&n->prng, n->loss_per_million)) return;
    struct net_packet *p = dun_calloc(1, sizeof *p);
    p->at_ms = n->now_ms + dun_prng_range(&n->prng, 0, 3);
    p->from_boot = from->boot;
    swim_copy(p->from_name, sizeof p->from_name, dun_slice_str(from->name));
    swim_copy(p->to_addr, sizeof p->to_addr, dun_slice_str(addr));
    dun_buf_slice(&p->bytes, bytes);
    net_put(n, p);
}

/* Carries out what a step asked for. */
static inline void net_do(struct net *n, struct net_peer *p, const struct swim_out *out)
{
    swim_check(p->swim);
    for (uint32_t i = 0; i < out->packet_count; i++) {
        if (n->spy != NULL) n->spy(n, p, out->packets[i].to_name, out->packets[i].bytes);
        net_send(n, p, out->packets[i].addr, out->packets[i].bytes);
    }
    for (uint32_t i = 0; i < out->event_count; i++) {
        assert_true(p->event_count < NET_EVENTS_MAX);
        struct net_event *e = &p->events[p->event_count++];
        const struct swim_member *m = &out->events[i].member;
        e->at_ms = n->now_ms;
        e->type = out->events[i].type;
        e->boot = m->boot;
        swim_copy(e->name, sizeof e->name, dun_slice_str(m->name));
        swim_copy(e->addr, sizeof e->addr, dun_slice_str(m->addr));
    }
}

static inline struct net_peer *net_start(struct net *n, uint32_t i, const struct swim_config *c)
{
    struct net_peer *p = &n->peers[i];
    assert_null(p->swim);
    *p = (struct net_peer){.boot = c->boot};
    swim_copy(p->name, sizeof p->name, dun_slice_str(c->name));
    swim_copy(p->addr, sizeof p->addr, dun_slice_str(c->addr));
    assert_int_equal(swim_create(&p->swim, c), DUN_OK);
    if (i >= n->peer_count) n->peer_count = i + 1;
    return p;
}

/* Peer @i is named "n<i>" at "h<i>:1" and knows the first @seeds addresses. */
static inline struct net_peer *net_start_default(struct net *n, uint32_t i, uint32_t seeds,
                                                 uint64_t boot)
{
    static const char *const addrs[] = {"h0:1",  "h1:1",  "h2:1",  "h3:1", "h4:1",  "h5:1",
                                        "h6:1",  "h7:1",  "h8:1",  "h9:1", "h10:1", "h11:1",
                                        "h12:1", "h13:1", "h14:1", "h15:1"};
    char name[16];
    snprintf(name, sizeof name, "n%u", i);
    struct swim_config c = {.name = name,
                            .addr = addrs[i],
                            .seed_count = seeds,
                            .boot = boot,
                            .prng_seed = dun_prng_next(&n->prng)};
    for (uint32_t k = 0; k < seeds; k++)
        c.seeds[k] = addrs[k];
    return net_start(n, i, &c);
}

static inline void net_kill(struct net *n, uint32_t i)
{
    swim_destroy(n->peers[i].swim);
    n->peers[i].swim = NULL;
}

static inline void net_deliver(struct net *n, struct net_packet *p)
{
    struct net_peer *to = net_at(n, p->to_addr);
    if (to != NULL && to->paused) {
        p->at_ms = n->now_ms + 10; /* waits in its socket */
        net_put(n, p);
        return;
    }
    if (to != NULL) {
        const struct swim_out *out;
        dun_err e = swim_recv(to->swim, n->now_ms, p->from_name, p->from_boot,
                              dun_buf_view(&p->bytes), &out);
        assert_true(e == DUN_OK || e == DUN_E_STALE);
        net_do(n, to, out);
    }
    dun_buf_deinit(&p->bytes);
    dun_free(p);
}

/* One step of whatever is due next; false when that is after @end_ms. */
static inline bool net_step(struct net *n, uint64_t end_ms)
{
    struct net_peer *due = NULL;
    uint64_t at = UINT64_MAX;
    for (uint32_t i = 0; i < n->peer_count; i++) {
        struct net_peer *p = &n->peers[i];
        if (p->swim == NULL || p->paused) continue;
        if (swim_deadline_ms(p->swim) >= at) continue;
        at = swim_deadline_ms(p->swim);
        due = p;
    }
    bool packet = n->wire != NULL && n->wire->at_ms <= at;
    if (packet) at = n->wire->at_ms;
    if (at > end_ms) {
        n->now_ms = end_ms;
        return false;
    }
    if (at > n->now_ms) n->now_ms = at;
    if (packet) {
        struct net_packet *p = n->wire;
        n->wire = p->next;
        net_deliver(n, p);
    } else {
        const struct swim_out *out;
        swim_tick(due->swim, n->now_ms, &out);
        net_do(n, due, out);
    }
    return true;
}

static inline void net_run(struct net *n, uint64_t ms)
{
    uint64_t end = n->now_ms + ms;
    uint32_t steps = 0;
    while (net_step(n, end))
        assert_true(++steps < NET_STEPS_MAX); /* no busy loop */
}

/* Runs until @pred holds; false when it does not within @ms. */
static inline bool net_until(struct net *n, bool (*pred)(struct net *n, void *arg), void *arg,
                             uint64_t ms)
{
    uint64_t end = n->now_ms + ms;
    for (uint32_t steps = 0; !pred(n, arg); steps++) {
        assert_true(steps < NET_STEPS_MAX);
        if (!net_step(n, end)) return false;
    }
    return true;
}

static inline bool net_sees(struct net *n, uint32_t i, const char *name, enum swim_state state)
{
    struct swim_member m;
    return n->peers[i].swim != NULL && swim_find(n->peers[i].swim, name, &m) && m.state == state;
}

/* Every running peer sees every running peer alive. */
static inline bool net_all_alive(struct net *n, void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < n->peer_count; i++)
        for (uint32_t k = 0; k < n->peer_count; k++)
            if (n->peers[i].swim != NULL && n->peers[k].swim != NULL &&
                !net_sees(n, i, n->peers[k].name, SWIM_ALIVE))
                return false;
    return true;
}

static inline uint32_t net_count(struct net *n, uint32_t i, enum swim_event_type type,
                                 const char *name)
{
    uint32_t count = 0;
    for (uint32_t k = 0; k < n->peers[i].event_count; k++) {
        const struct net_event *e = &n->peers[i].events[k];
        count += e->type == type && (name == NULL || strcmp(e->name, name) == 0);
    }
    return count;
}

/* The last such event, or NULL. */
static inline const struct net_event *net_last(struct net *n, uint32_t i, enum swim_event_type type,
                                               const char *name)
{
    for (uint32_t k = n->peers[i].event_count; k-- > 0;) {
        const struct net_event *e = &n->peers[i].events[k];
        if (e->type == type && strcmp(e->name, name) == 0) return e;
    }
    return NULL;
}

#endif
