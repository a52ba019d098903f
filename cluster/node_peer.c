/* cluster/node_peer.c: the other voters: their addresses, boots and packets.
 * Why apart from vsr: what makes a packet count (sender's and recipient's boot,
 * the same voters) is decided once here, before any group sees a frame.
 * (1) A frame reaches a group only if it comes from the newest boot known of its
 *     sender and was sent to our present boot.
 * (2) A newer boot of a voter discards all it said before, in every group. */
#include "cluster/node_internal.h"

#include "base/assert.h"

#include <stdio.h>

uint32_t node_peer_find(const struct node *n, const char *name)
{
    for (uint32_t i = 0; i < n->config.voter_count; i++)
        if (strcmp(n->voters[i].name, name) == 0) return i;
    return n->config.voter_count;
}

void node_peer_boot(struct node *n, uint32_t voter, uint64_t boot)
{
    struct vsr_env *env = &n->env;
    if (boot <= env->boots[voter]) return;
    if (n->is_voter && voter == env->self) {
        n->out.outlived_boot = boot;
        return;
    }
    env->boots[voter] = boot;
    if (!n->is_voter) return;
    struct node_voter *p = &n->voters[voter];
    p->heard_ms = 0;
    p->hello_due = true;
    p->contact = false;
    env->fresh[voter] = env->usable[voter] = false;
    env->frames[voter].len = 0; /* written for its earlier life */
    for (uint32_t g = 0; g < n->config.group_count; g++)
        vsr_peer_reset(&n->groups[g], voter);
}

void node_peer_refresh(struct node *n)
{
    struct vsr_env *env = &n->env;
    uint32_t heard = 1;
    for (uint32_t i = 0; i < env->voter_count; i++) {
        const struct node_voter *p = &n->voters[i];
        if (i == env->self) continue;
        uint64_t patience = p->suspect ? NODE_SUSPECT_MS : NODE_FRESH_MS;
        uint64_t silent = env->now_ms - p->heard_ms;
        env->fresh[i] = p->heard_ms != 0 && silent < NODE_FRESH_MS;
        env->usable[i] = env->fresh[i] && silent < patience && !p->link_lost && p->contact;
        if (p->heard_ms != 0 && silent < NODE_CONTACT_MS) heard++;
    }
    env->contact = heard >= env->quorum;
}

void node_peer_link_lost(struct node *n, const char *addr)
{
    for (uint32_t i = 0; i < n->config.voter_count; i++) {
        struct node_voter *p = &n->voters[i];
        if (i == n->env.self || strcmp(p->addr, addr) != 0) continue;
        p->link_lost = true;
        p->lost_ms = n->env.now_ms;
        p->hello_due = true;
        dun_log(n->config.log, DUN_LOG_INFO, "link_lost peer=%s addr=%s", p->name, addr);
    }
}

static void write_header(struct node *n, struct dun_buf *b, uint32_t voter)
{
    const struct vsr_env *env = &n->env;
    struct wire_header h = {.cluster = n->cluster_hash,
                            .flags = env->contact ? WIRE_FLAG_CONTACT : 0,
                            .to_boot = env->boots[voter],
                            .order = ++n->packet_order};
    memcpy(h.boots, env->boots, sizeof h.boots);
    b->len = 0;
    wire_write_header(b, &h, env->voter_count);
}

void node_peer_flush(struct node *n, uint32_t voter)
{
    struct dun_buf *frames = &n->env.frames[voter];
    const struct node_voter *p = &n->voters[voter];
    if (frames->len == 0) return;
    if (p->addr[0] != '\0' && swim_joined(n->swim)) {
        write_header(n, &n->scratch, voter);
        node_out_packet(n, NODE_REPLICATION, p->addr, p->name, dun_buf_view(&n->scratch),
                        dun_buf_view(frames));
    }
    frames->len = 0;
}

void node_peer_flush_all(struct node *n)
{
    if (!n->is_voter) return;
    for (uint32_t i = 0; i < n->env.voter_count; i++) {
        struct node_voter *p = &n->voters[i];
        if (i == n->env.self) continue;
        if (p->hello_due && n->env.now_ms - p->hello_ms >= NODE_TICK_MS) {
            p->hello_due = false;
            p->hello_ms = n->env.now_ms;
            wire_write_hello(&n->env.frames[i]);
        }
        node_peer_flush(n, i);
    }
}

/* ---- incoming ---- */

static void frame_for_group(struct node *n, uint32_t from, struct wire_frame *f, dun_err *e)
{
    if (f->group >= n->config.group_count) {
        *e = DUN_E_MALFORMED;
        return;
    }
    switch (f->type) {
    case WIRE_FORWARD: node_submit_forwarded(n, from, f->group, f->bytes); return;
    case WIRE_REFUSE: node_submit_refused(n, f->group, f->request, (dun_err)f->err); return;
    case WIRE_STATE:
    case WIRE_PREPARE:
    case WIRE_PREPARE_OK:
    case WIRE_COMMIT:
    case WIRE_GET_STATE:
    case WIRE_NEW_STATE:
    case WIRE_SNAPSHOT: *e = vsr_recv(&n->groups[f->group], from, f); return;
    case WIRE_HELLO:
    case WIRE_CAST: break;
    }
    DUN_UNREACHABLE();
}

static dun_err frames(struct node *n, uint32_t from, uint64_t order, struct mp_reader *r)
{
    for (;;) {
        struct wire_frame *f = &n->frame;
        dun_err e = wire_read_frame(r, f);
        if (e == DUN_E_MORE) return DUN_OK;
        if (e != DUN_OK) return e;
        f->order = order;
        if (f->type == WIRE_HELLO) {
            for (uint32_t g = 0; g < n->config.group_count; g++)
                vsr_announce(&n->groups[g]);
        } else if (f->type == WIRE_CAST) {
            node_out_aux(n, n->voters[from].name, f->bytes);
        } else {
            frame_for_group(n, from, f, &e);
        }
        if (e != DUN_OK) return e;
    }
}

dun_err node_peer_packet(struct node *n, const char *from_name, uint64_t from_boot,
                         struct dun_slice bytes)
{
    struct vsr_env *env = &n->env;
    uint32_t from = node_peer_find(n, from_name);
    if (!n->is_voter || from == n->config.voter_count || from == env->self) return DUN_E_DENIED;
    struct node_voter *p = &n->voters[from];
    struct mp_reader r = mp_reader(bytes);
    struct wire_header h;
    dun_err e = wire_read_header(&r, env->voter_count, &h);
    if (e != DUN_OK) return e;
    if (h.cluster != n->cluster_hash) {
        node_warn(n, &p->warned_ms,
                  "cluster_mismatch peer=%s problem=\"it has other voters or another number of "
                  "groups\" remedy=\"give all peers the same voters list\"",
                  from_name);
        return DUN_E_CONFLICT;
    }
    if (h.boots[from] != from_boot) return DUN_E_MALFORMED;
    bool ignore = DUN_MUTATE(MUTATION_IGNORE_BOOTS);
    if (from_boot < env->boots[from] && !ignore) return DUN_E_STALE;
    for (uint32_t i = 0; i < env->voter_count; i++)
        node_peer_boot(n, i, h.boots[i]);
    if (h.to_boot != env->boots[env->self] && !ignore) {
        p->hello_due = true; /* it does not know our boot: the header of any packet tells */
        return DUN_OK;
    }
    p->heard_ms = env->now_ms == 0 ? 1 : env->now_ms;
    /* What was under way when the link broke does not show that the peer lives. */
    if (n->env.now_ms - p->lost_ms > NODE_LINK_ECHO_MS) p->link_lost = false;
    p->contact = (h.flags & WIRE_FLAG_CONTACT) != 0;
    node_peer_refresh(n);
    return frames(n, from, h.order, &r);
}

/* ---- membership ---- */

enum {
    META_VERSION = 1,
    /* What is left of the metadata: version, two addresses, software version, hash, lengths. */
    META_VOTERS_MAX = DUN_META_MAX - (1 + 2 * (2 + DUN_ADDR_MAX) + 2 + DUN_NAME_MAX + 1 +
                                      (int)sizeof(uint64_t) + 2)
};

void node_peer_meta(const struct node *n, struct dun_buf *out)
{
    char voters[META_VOTERS_MAX];
    size_t len = 0;
    for (uint32_t i = 0; i < n->config.voter_count; i++) {
        const char *name = n->voters[i].name;
        size_t part = strlen(name);
        if (len + part + 1 > sizeof voters) break; /* for people to read; may be cut */
        if (len != 0) voters[len++] = ',';
        memcpy(voters + len, name, part);
        len += part;
    }
    mp_write_uint(out, META_VERSION);
    mp_write_bytes(out, dun_slice_str(n->config.replication_addr));
    mp_write_bytes(out, dun_slice_str(n->config.client_addr));
    mp_write_bytes(out, dun_slice_str(n->config.version));
    mp_write_uint(out, n->cluster_hash);
    mp_write_bytes(out, dun_slice(voters, len));
}

struct meta {
    struct dun_slice replication, client, version, voters;
    uint64_t cluster_hash;
};

static bool read_meta(struct dun_slice bytes, struct meta *m)
{
    struct mp_reader r = mp_reader(bytes);
    if (mp_read_uint(&r) != META_VERSION) return false;
    m->replication = mp_read_bytes(&r, DUN_ADDR_MAX);
    m->client = mp_read_bytes(&r, DUN_ADDR_MAX);
    m->version = mp_read_bytes(&r, DUN_NAME_MAX);
    m->cluster_hash = mp_read_uint(&r);
    m->voters = mp_read_bytes(&r, DUN_META_MAX);
    return mp_ok(&r);
}

struct dun_slice node_meta_client_addr(struct dun_slice bytes)
{
    struct meta m;
    return read_meta(bytes, &m) ? m.client : dun_slice("", 0);
}

static void learn_member(struct node *n, const struct swim_member *m)
{
    uint32_t i = node_peer_find(n, m->name);
    struct meta meta;
    if (!read_meta(m->meta, &meta) || memchr(meta.replication.data, 0, meta.replication.len))
        return;
    static const char mine[] = "give all peers the same voters list and number of groups";
    if (meta.cluster_hash != n->cluster_hash)
        dun_log(n->config.log, DUN_LOG_ERROR,
                "cluster_mismatch peer=%s its_voters=%.*s remedy=\"%s\"", m->name,
                (int)meta.voters.len, (const char *)meta.voters.data, mine);
    if (i == n->config.voter_count || (n->is_voter && i == n->env.self)) return;
    struct node_voter *p = &n->voters[i];
    memcpy(p->addr, meta.replication.data, meta.replication.len);
    p->addr[meta.replication.len] = '\0';
    p->hello_due = true;
    node_peer_boot(n, i, m->boot);
}

static void swim_event(struct node *n, enum swim_event_type type, const struct swim_member *m)
{
    uint32_t i = node_peer_find(n, m->name);
    bool voter = i < n->config.voter_count;
    switch (type) {
    case SWIM_EV_JOINED:
    case SWIM_EV_UPDATED:
        dun_log(n->config.log, DUN_LOG_INFO, "peer_%s peer=%s addr=%s boot=%llu",
                type == SWIM_EV_JOINED ? "joined" : "updated", m->name, m->addr,
                (unsigned long long)m->boot);
        if (voter) n->voters[i].suspect = false;
        learn_member(n, m);
        return;
    case SWIM_EV_ALIVE:
        if (voter) n->voters[i].suspect = false;
        return;
    case SWIM_EV_SUSPECT:
        if (voter) n->voters[i].suspect = true;
        return;
    case SWIM_EV_DEAD:
    case SWIM_EV_LEFT:
        dun_log(n->config.log, DUN_LOG_INFO, "peer_%s peer=%s",
                type == SWIM_EV_DEAD ? "dead" : "left", m->name);
        node_out_forget(n, m->addr);
        if (!voter) return;
        n->voters[i].suspect = true;
        if (n->voters[i].addr[0] != '\0') node_out_forget(n, n->voters[i].addr);
        if (type == SWIM_EV_LEFT) n->voters[i].link_lost = true;
        return;
    case SWIM_EV_CONFLICT:
        snprintf(n->out.conflict, sizeof n->out.conflict,
                 "the name %s is taken by a live peer at %s; give each peer its own --name",
                 m->name, m->addr);
        return;
    case SWIM_EV_OUTLIVED:
        if (m->boot > n->out.outlived_boot) n->out.outlived_boot = m->boot;
        return;
    }
    DUN_UNREACHABLE();
}

void node_peer_swim(struct node *n, const struct swim_out *so)
{
    for (uint32_t i = 0; i < so->packet_count; i++)
        node_out_packet(n, NODE_GOSSIP, so->packets[i].addr, so->packets[i].to_name,
                        so->packets[i].bytes, dun_slice("", 0));
    for (uint32_t i = 0; i < so->event_count; i++)
        swim_event(n, so->events[i].type, &so->events[i].member);
}
