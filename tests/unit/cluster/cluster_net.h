/* tests/unit/cluster/cluster_net.h: a few nodes on a perfect network with 1 ms
 * delay, in virtual time, for stories told step by step. The simulator has the
 * faulty network; this one is for reading. */
#ifndef DUN_TESTS_CLUSTER_NET_H
#define DUN_TESTS_CLUSTER_NET_H

#include "base/alloc.h"
#include "base/assert.h"
#include "cluster/node.h"

#include <stdio.h>

enum { NET_PEERS = 8, NET_PACKETS = 1 << 14, NET_REPLIES = 1 << 14 };

struct net_packet {
    uint64_t at_ms;
    uint32_t from, to;
    uint64_t from_boot;
    enum node_plane plane;
    struct dun_blob *bytes;
};

struct net {
    uint32_t count, groups;
    uint32_t voters; /* the first ones; the others are guests */
    const char *names[NET_PEERS];
    const struct dun_log *log;
    dun_err refusal; /* of packets, that the story expects */
    uint64_t now_ms;
    uint64_t boot[NET_PEERS], loss_timeout_ms;
    struct node *node[NET_PEERS]; /* NULL: down */
    struct store *store[NET_PEERS];
    bool cut[NET_PEERS][NET_PEERS]; /* [from][to] */
    struct net_packet packets[NET_PACKETS];
    uint32_t packet_count;
    struct node_reply replies[NET_REPLIES]; /* by cookie */
    bool replied[NET_REPLIES];
    uint64_t commits[NET_PEERS];
};

static const char *const net_names[NET_PEERS] = {"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"};
static const struct store_namespace net_ns = {
    .name = "", .history_size = 1000, .history_ttl_ms = 300000};

static inline void net_up(struct net *t, uint32_t i)
{
    struct store_config sc = {.group_count = t->groups,
                              .namespaces = &net_ns,
                              .namespace_count = 1,
                              .max_memory = 64 << 20};
    dun_err e = store_create(&t->store[i], &sc);
    DUN_ASSERT(e == DUN_OK);
    char gossip[32], replication[32], seed[NET_PEERS][32], why[256];
    snprintf(gossip, sizeof gossip, "10.0.0.%u:1", i);
    snprintf(replication, sizeof replication, "10.0.0.%u:2", i);
    t->boot[i] = t->boot[i] < t->now_ms + 1000 ? t->now_ms + 1000 : t->boot[i] + 1;
    struct node_config c = {.name = t->names[i],
                            .voter_count = t->voters,
                            .gossip_addr = gossip,
                            .replication_addr = replication,
                            .client_addr = "10.0.0.9:8000",
                            .version = "test",
                            .boot = t->boot[i],
                            .prng_seed = t->boot[i] * 31 + i,
                            .group_count = t->groups,
                            .store = t->store[i],
                            .loss_timeout_ms = t->loss_timeout_ms,
                            .log = t->log};
    for (uint32_t k = 0; k < t->count; k++) {
        if (k < t->voters) c.voters[k] = net_names[k];
        snprintf(seed[k], sizeof seed[k], "10.0.0.%u:1", k);
        c.seeds[c.seed_count++] = seed[k];
    }
    e = node_create(&t->node[i], &c, why, sizeof why);
    DUN_ASSERT(e == DUN_OK);
}

static inline void net_down(struct net *t, uint32_t i)
{
    node_destroy(t->node[i]);
    store_destroy(t->store[i]);
    t->node[i] = NULL;
    t->store[i] = NULL;
}

static inline struct net *net_create(uint32_t count, uint32_t groups, uint64_t loss_timeout_ms)
{
    struct net *t = dun_calloc(1, sizeof *t);
    t->count = t->voters = count;
    memcpy(t->names, net_names, sizeof t->names);
    t->groups = groups;
    t->now_ms = 1;
    t->loss_timeout_ms = loss_timeout_ms;
    return t;
}

static inline void net_destroy(struct net *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->node[i] != NULL) net_down(t, i);
    for (uint32_t k = 0; k < t->packet_count; k++)
        dun_blob_unref(t->packets[k].bytes);
    dun_free(t);
}

static inline void net_perform(struct net *t, uint32_t i)
{
    const struct node_out *o = node_out(t->node[i]);
    for (uint32_t k = 0; k < o->packet_count; k++) {
        unsigned to, plane;
        if (sscanf(o->packets[k].addr, "10.0.0.%u:%u", &to, &plane) != 2 || to >= t->count)
            continue;
        DUN_ASSERT(t->packet_count < NET_PACKETS);
        t->packets[t->packet_count++] =
            (struct net_packet){t->now_ms + 1,
                                i,
                                to,
                                t->boot[i],
                                o->packets[k].plane,
                                dun_blob_copy(o->packets[k].bytes.data, o->packets[k].bytes.len)};
    }
    for (uint32_t k = 0; k < o->reply_count; k++) {
        t->replies[o->replies[k].cookie] = o->replies[k];
        t->replied[o->replies[k].cookie] = true;
    }
    t->commits[i] += o->commit_count;
    node_out_clear(t->node[i]);
}

static inline dun_err net_event(struct net *t, uint32_t i, struct node_event ev)
{
    ev.now_ms = t->now_ms;
    ev.wall_ms = 1700000000000u + t->now_ms;
    return node_step(t->node[i], &ev);
}

static inline void net_deliver(struct net *t)
{
    for (uint32_t k = 0; k < t->packet_count; k++) {
        struct net_packet p = t->packets[k];
        if (p.at_ms > t->now_ms || p.bytes == NULL) continue;
        if (t->node[p.to] != NULL && !t->cut[p.from][p.to]) {
            struct node_event ev = {.type = NODE_EV_PACKET};
            ev.packet.plane = p.plane;
            ev.packet.from_name = t->names[p.from];
            ev.packet.from_boot = p.from_boot;
            ev.packet.bytes = dun_blob_slice(p.bytes);
            dun_err e = net_event(t, p.to, ev);
            DUN_ASSERT(e == DUN_OK || e == DUN_E_STALE || e == t->refusal);
        }
        dun_blob_unref(p.bytes);
        t->packets[k].bytes = NULL;
    }
    uint32_t kept = 0;
    for (uint32_t k = 0; k < t->packet_count; k++)
        if (t->packets[k].bytes != NULL) t->packets[kept++] = t->packets[k];
    t->packet_count = kept;
}

static inline void net_run(struct net *t, uint64_t ms)
{
    for (uint64_t end = t->now_ms + ms; t->now_ms < end; t->now_ms++) {
        net_deliver(t);
        for (uint32_t i = 0; i < t->count; i++) {
            if (t->node[i] == NULL) continue;
            bool tick = node_deadline_ms(t->node[i]) <= t->now_ms;
            dun_err e =
                net_event(t, i, (struct node_event){.type = tick ? NODE_EV_TICK : NODE_EV_FLUSH});
            DUN_ASSERT(e == DUN_OK);
            node_check(t->node[i]);
            net_perform(t, i);
        }
    }
}

static inline bool net_ready(const struct net *t, uint32_t i)
{
    struct node_status s;
    node_status(t->node[i], &s);
    return s.ready && s.groups_normal == s.groups;
}

/* Runs until all voters that are up are ready. */
static inline bool net_until_ready(struct net *t, uint64_t ms)
{
    for (uint64_t end = t->now_ms + ms; t->now_ms < end;) {
        bool all = true;
        for (uint32_t i = 0; i < t->voters; i++)
            if (t->node[i] != NULL && !net_ready(t, i)) all = false;
        if (all) return true;
        net_run(t, 10);
    }
    return false;
}

static inline dun_err net_publish(struct net *t, uint32_t i, uint64_t cookie, const char *channel,
                                  const char *key, const char *data)
{
    struct node_event ev = {.type = NODE_EV_SUBMIT};
    ev.submit.cookie = cookie;
    ev.submit.channel = dun_slice_str(channel);
    ev.submit.key = dun_slice_str(key);
    ev.submit.data = dun_slice_str(data);
    t->replied[cookie] = false;
    return net_event(t, i, ev);
}

static inline bool net_until_reply(struct net *t, uint64_t cookie, uint64_t ms)
{
    for (uint64_t end = t->now_ms + ms; t->now_ms < end && !t->replied[cookie];)
        net_run(t, 1);
    return t->replied[cookie];
}

static inline struct store_position net_position(const struct net *t, uint32_t i,
                                                 const char *channel)
{
    struct dun_slice c = dun_slice_str(channel);
    return store_position(t->store[i], store_group_of(c, t->groups), c);
}

/* The up voter that leads @group; voters: none. */
static inline uint32_t net_primary(const struct net *t, uint32_t group)
{
    for (uint32_t i = 0; i < t->voters; i++) {
        struct node_group g;
        if (t->node[i] == NULL) continue;
        node_group(t->node[i], group, &g);
        if (g.primary) return i;
    }
    return t->voters;
}

#endif
