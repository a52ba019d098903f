/* cluster/node.c: composes membership, the groups and the submits of one peer;
 * see the header. Data flow: packet -> peer checks -> group -> store -> out. */
#include "cluster/node_internal.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "cluster/placement.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void node_warn(struct node *n, uint64_t *last_ms, const char *fmt, ...)
{
    if (*last_ms != 0 && n->env.now_ms - *last_ms < NODE_WARN_MS) return;
    *last_ms = n->env.now_ms + 1;
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    dun_log(n->config.log, DUN_LOG_ERROR, "%s", line);
}

/* ---- effects of the groups ---- */

static struct node *node_of(struct vsr_env *env)
{
    return (struct node *)(void *)((char *)env - offsetof(struct node, env));
}

static void on_applied(struct vsr_env *env, uint32_t group, uint64_t op,
                       const struct store_result *r)
{
    struct node *n = node_of(env);
    if (r->msg != NULL) node_out_commit(n, group, op, r->msg);
    if (r->type != STORE_OP_PUBLISH) {
        n->out.resync[group] = true;
        n->out.resync_any = true;
    }
    node_submit_applied(n, group, r);
}

static void on_resync(struct vsr_env *env, uint32_t group)
{
    struct node *n = node_of(env);
    n->out.resync[group] = true;
    n->out.resync_any = true;
}

static void on_full(struct vsr_env *env, uint32_t voter)
{
    node_peer_flush(node_of(env), voter);
}

/* ---- creation ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static dun_err check_config(const struct node_config *c, char *why, size_t why_size)
{
    size_t name_len = c->name == NULL ? 0 : strlen(c->name);
    if (name_len == 0 || name_len > DUN_NAME_MAX) {
        snprintf(why, why_size, "name: must have 1 to %d bytes", DUN_NAME_MAX);
        return DUN_E_CONFIG;
    }
    if (c->voter_count == 0 || c->voter_count > DUN_VOTERS_MAX) {
        snprintf(why, why_size, "voters: must name 1 to %d peers, has %u", DUN_VOTERS_MAX,
                 c->voter_count);
        return DUN_E_CONFIG;
    }
    for (uint32_t i = 0; i < c->voter_count; i++) {
        size_t len = strlen(c->voters[i]);
        if (len == 0 || len > DUN_NAME_MAX) {
            snprintf(why, why_size, "voters: a name must have 1 to %d bytes", DUN_NAME_MAX);
            return DUN_E_CONFIG;
        }
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(c->voters[i], c->voters[j]) != 0) continue;
            snprintf(why, why_size, "voters: %s is listed twice", c->voters[i]);
            return DUN_E_CONFIG;
        }
    }
    if (c->group_count == 0 || c->group_count > DUN_GROUPS_MAX) {
        snprintf(why, why_size, "groups: must be 1 to %d, is %u", DUN_GROUPS_MAX, c->group_count);
        return DUN_E_CONFIG;
    }
    if (c->boot == 0) {
        snprintf(why, why_size, "boot: must be above 0; check the clock");
        return DUN_E_CONFIG;
    }
    return DUN_OK;
}

static void init_env(struct node *n, const char *const *names)
{
    struct vsr_env *env = &n->env;
    const struct node_config *c = &n->config;
    env->voter_count = c->voter_count;
    env->quorum = c->voter_count / 2 + 1;
    env->answers = c->voter_count - env->quorum + 1;
    env->self = node_peer_find(n, n->name);
    n->is_voter = env->self < c->voter_count;
    if (n->is_voter) env->boots[env->self] = c->boot;
    env->loss_timeout_ms = c->loss_timeout_ms;
    env->max_inflight = c->max_inflight;
    env->store = c->store;
    env->log = c->log;
    env->on_applied = on_applied;
    env->on_resync = on_resync;
    env->on_full = on_full;
    dun_prng_seed(&env->prng, c->prng_seed);
    if (!n->is_voter) return;
    n->groups = dun_calloc(c->group_count, sizeof *n->groups);
    n->queues = dun_calloc(c->group_count, sizeof *n->queues);
    for (uint32_t g = 0; g < c->group_count; g++) {
        vsr_init(&n->groups[g], env, names, g);
        n->queues[g].first = n->queues[g].next = 1; /* request 0 means "not deduplicated" */
    }
}

static dun_err init_swim(struct node *n)
{
    const struct node_config *c = &n->config;
    n->scratch.len = 0;
    node_peer_meta(n, &n->scratch);
    struct swim_config sc = {.name = n->name,
                             .addr = c->gossip_addr,
                             .seed_count = c->seed_count,
                             .meta = dun_buf_view(&n->scratch),
                             .boot = c->boot,
                             .prng_seed = dun_prng_next(&n->env.prng),
                             .log = c->log};
    memcpy(sc.seeds, c->seeds, sizeof sc.seeds);
    return swim_create(&n->swim, &sc);
}

dun_err node_create(struct node **out, const struct node_config *c, char *why, size_t why_size)
{
    dun_err e = check_config(c, why, why_size);
    if (e != DUN_OK) return e;
    struct node *n = dun_calloc(1, sizeof *n);
    n->config = *c;
    if (n->config.max_inflight == 0 || n->config.max_inflight > DUN_INFLIGHT_MAX)
        n->config.max_inflight = DUN_INFLIGHT_MAX;
    if (n->config.submit_timeout_ms == 0) n->config.submit_timeout_ms = NODE_SUBMIT_TIMEOUT_MS;
    memcpy(n->name, c->name, strlen(c->name) + 1);
    const char *names[DUN_VOTERS_MAX];
    memcpy(names, c->voters, sizeof names);
    qsort(names, c->voter_count, sizeof *names, by_name);
    for (uint32_t i = 0; i < c->voter_count; i++)
        memcpy(n->voters[i].name, names[i], strlen(names[i]) + 1);
    n->cluster_hash = placement_cluster_hash(names, c->voter_count, c->group_count);
    init_env(n, names);
    e = init_swim(n);
    if (e != DUN_OK) {
        snprintf(why, why_size, "gossip: %s", dun_err_text(e));
        node_destroy(n);
        return e;
    }
    *out = n;
    return DUN_OK;
}

void node_destroy(struct node *n)
{
    if (n == NULL) return;
    for (uint32_t g = 0; n->groups != NULL && g < n->config.group_count; g++)
        vsr_deinit(&n->groups[g]);
    node_submit_deinit(n);
    dun_free(n->groups);
    for (uint32_t i = 0; i < DUN_VOTERS_MAX; i++)
        dun_buf_deinit(&n->env.frames[i]);
    if (n->swim != NULL) swim_destroy(n->swim);
    node_out_deinit(n);
    dun_buf_deinit(&n->scratch);
    dun_free(n);
}

/* ---- time ---- */

/* Primaries go back to their preferred peer, a few at a time (design 3.4); when we drain, to
 * whichever peer can have them. */
static uint32_t move_target(const struct node *n, const struct vsr *v)
{
    const struct vsr_env *env = &n->env;
    for (uint32_t k = 0; k < env->voter_count; k++) {
        uint32_t i = v->order[k];
        if (i == env->self) {
            if (!env->draining) break; /* we are the best there is */
            continue;
        }
        const struct vsr_peer *p = &v->peers[i];
        if (env->usable[i] && p->valid && p->status == VSR_NORMAL &&
            vsr_view_cmp(p->view, v->view) == 0 && v->log.head - p->head < env->max_inflight)
            return i;
    }
    return env->voter_count;
}

static void move_tick(struct node *n)
{
    struct vsr_env *env = &n->env;
    uint32_t moving = 0;
    for (uint32_t g = 0; g < n->config.group_count; g++)
        if (n->groups[g].status != VSR_NORMAL || n->groups[g].handover_to != env->voter_count)
            moving++;
    for (uint32_t g = 0; g < n->config.group_count && moving < NODE_MOVES_MAX; g++) {
        struct vsr *v = &n->groups[g];
        if (!vsr_is_primary(v)) continue;
        if (!env->draining && env->now_ms - v->entered_ms < v->handover_wait_ms) continue;
        uint32_t to = move_target(n, v);
        if (to == env->voter_count) continue;
        vsr_handover(v, to);
        moving++;
    }
}

static void idle_tick(struct node *n)
{
    for (uint32_t g = 0; g < n->config.group_count; g++) {
        struct vsr *v = &n->groups[g];
        struct store_op op;
        if (!vsr_is_primary(v) || v->log.head != v->commit) continue;
        if (!store_idle(n->config.store, g, n->env.wall_ms, &op)) continue;
        op.origin = n->env.self;
        op.origin_boot = n->env.boots[n->env.self];
        op.request = 0;
        n->scratch.len = 0;
        store_op_encode(&op, &n->scratch);
        struct dun_blob *b = dun_blob_copy(n->scratch.data, n->scratch.len);
        dun_err e = vsr_submit(v, b);
        if (e != DUN_OK) dun_log(n->config.log, DUN_LOG_DEBUG, "idle_drop_put_off group=%u", g);
        dun_blob_unref(b);
    }
}

static bool due(struct node *n, uint64_t *at_ms, uint64_t every_ms)
{
    if (n->env.now_ms < *at_ms) return false;
    *at_ms = n->env.now_ms + every_ms;
    return true;
}

/* One line for all groups that formed since the last tick. */
static void tell_forming(struct node *n)
{
    const struct vsr_env *env = &n->env;
    if (env->forms != n->forms_told)
        dun_log(n->config.log, DUN_LOG_INFO, "formed groups=%llu from=nothing",
                (unsigned long long)(env->forms - n->forms_told));
    if (env->reforms != n->reforms_told)
        dun_log(
            n->config.log, DUN_LOG_WARN,
            "reform groups=%llu why=\"a majority of voters lost its memory\" effect=\"what only "
            "they held is lost; channels have a new epoch, so clients are told\"",
            (unsigned long long)(env->reforms - n->reforms_told));
    n->forms_told = env->forms;
    n->reforms_told = env->reforms;
}

static void voters_tick(struct node *n)
{
    struct vsr_env *env = &n->env;
    node_peer_refresh(n);
    if (env->contact) n->contact_ms = env->now_ms;
    for (uint32_t i = 0; i < env->voter_count; i++) {
        struct node_voter *p = &n->voters[i];
        if (i == env->self || env->fresh[i] || p->addr[0] == '\0') continue;
        if (env->now_ms - p->hello_ms >= NODE_HELLO_MS) p->hello_due = true;
    }
    bool announce = due(n, &n->state_ms, NODE_STATE_MS);
    for (uint32_t g = 0; g < n->config.group_count; g++) {
        if (announce) vsr_announce(&n->groups[g]);
        vsr_tick(&n->groups[g]);
    }
    tell_forming(n);
    if (due(n, &n->move_ms, NODE_MOVE_TICK_MS)) move_tick(n);
    if (due(n, &n->idle_ms, NODE_IDLE_TICK_MS)) idle_tick(n);
    node_submit_tick(n);
}

static void flush(struct node *n)
{
    if (!n->is_voter) return;
    node_submit_flush(n);
    uint32_t normal = 0;
    for (uint32_t g = 0; g < n->config.group_count; g++) {
        vsr_flush(&n->groups[g]);
        if (n->groups[g].status == VSR_NORMAL) normal++;
    }
    if (normal == n->config.group_count && !n->recovered) {
        n->recovered = true;
        dun_log(n->config.log, DUN_LOG_INFO, "recovered groups=%u", normal);
    }
    node_peer_flush_all(n);
}

static bool busy(const struct node *n)
{
    if (n->pending_count != 0) return true;
    for (uint32_t g = 0; n->is_voter && g < n->config.group_count; g++) {
        const struct vsr *v = &n->groups[g];
        if (v->status != VSR_NORMAL || v->log.head != v->commit ||
            v->fetch.kind != VSR_FETCH_NONE || v->handover_to != n->env.voter_count)
            return true;
    }
    return false;
}

static void tick(struct node *n)
{
    const struct swim_out *so;
    swim_tick(n->swim, n->env.now_ms, &so);
    node_peer_swim(n, so);
    if (n->env.now_ms >= n->tick_ms && n->is_voter) {
        voters_tick(n);
        n->tick_ms = n->env.now_ms + (busy(n) ? NODE_TICK_MS : NODE_TICK_IDLE_MS);
    }
    flush(n);
}

uint64_t node_deadline_ms(const struct node *n)
{
    uint64_t swim = swim_deadline_ms(n->swim);
    if (!n->is_voter) return swim;
    uint64_t ours = n->tick_ms;
    if (n->pending_count != 0 && ours > n->env.now_ms + NODE_TICK_MS)
        ours = n->env.now_ms + NODE_TICK_MS;
    return swim < ours ? swim : ours;
}

/* ---- events ---- */

static dun_err recv_packet(struct node *n, const struct node_event *ev)
{
    if (ev->packet.plane == NODE_REPLICATION)
        return node_peer_packet(n, ev->packet.from_name, ev->packet.from_boot, ev->packet.bytes);
    const struct swim_out *so;
    dun_err e = swim_recv(n->swim, ev->now_ms, ev->packet.from_name, ev->packet.from_boot,
                          ev->packet.bytes, &so);
    if (e == DUN_OK) node_peer_swim(n, so);
    return e;
}

static void link_lost(struct node *n, const struct node_event *ev)
{
    if (ev->link.plane == NODE_GOSSIP) {
        const struct swim_out *so;
        swim_link_lost(n->swim, ev->now_ms, ev->link.addr, &so);
        node_peer_swim(n, so);
        return;
    }
    if (!n->is_voter) return;
    node_peer_link_lost(n, ev->link.addr);
    node_peer_refresh(n);
    for (uint32_t g = 0; g < n->config.group_count; g++)
        vsr_tick(&n->groups[g]);
}

static void cast(struct node *n, const struct node_event *ev)
{
    for (uint32_t i = 0; n->is_voter && i < n->env.voter_count; i++) {
        bool wanted = ev->cast.to_name == NULL || strcmp(ev->cast.to_name, n->voters[i].name) == 0;
        if (i == n->env.self || !wanted || !n->env.fresh[i]) continue;
        wire_write_cast(&n->env.frames[i], ev->cast.bytes);
        if (n->env.frames[i].len >= DUN_PACKET_SOFT_MAX) node_peer_flush(n, i);
    }
}

dun_err node_step(struct node *n, const struct node_event *ev)
{
    DUN_ASSERT(ev->now_ms >= n->env.now_ms);
    n->env.now_ms = ev->now_ms;
    n->env.wall_ms = ev->wall_ms;
    if (n->started_ms == 0) n->started_ms = ev->now_ms + 1;
    switch (ev->type) {
    case NODE_EV_TICK: tick(n); return DUN_OK;
    case NODE_EV_FLUSH: flush(n); return DUN_OK;
    case NODE_EV_PACKET: return recv_packet(n, ev);
    case NODE_EV_SUBMIT: return node_submit(n, ev);
    case NODE_EV_LINK_LOST: link_lost(n, ev); return DUN_OK;
    case NODE_EV_CAST:
        if (ev->cast.bytes.len > DUN_PACKET_SOFT_MAX) return DUN_E_TOO_BIG;
        cast(n, ev);
        return DUN_OK;
    case NODE_EV_DRAIN: n->draining = n->env.draining = true; return DUN_OK;
    case NODE_EV_LEAVE: {
        const struct swim_out *so;
        swim_leave(n->swim, ev->now_ms, &so);
        node_peer_swim(n, so);
        n->left = true;
        return DUN_OK;
    }
    }
    DUN_UNREACHABLE();
}

/* ---- looking in ---- */

static void count_groups(const struct node *n, struct node_status *s, uint32_t *stuck)
{
    *stuck = 0;
    for (uint32_t g = 0; n->is_voter && g < n->config.group_count; g++) {
        const struct vsr *v = &n->groups[g];
        if (v->status == VSR_NORMAL)
            s->groups_normal++;
        else if (v->status == VSR_RECOVERING || n->env.now_ms - v->entered_ms > NODE_STUCK_MS)
            (*stuck)++;
        if (vsr_is_primary(v)) s->groups_primary++;
    }
}

void node_status(const struct node *n, struct node_status *s)
{
    const struct vsr_env *env = &n->env;
    *s = (struct node_status){.voter = n->is_voter,
                              .contact = n->is_voter && env->contact,
                              .boot = n->config.boot,
                              .voters = n->config.voter_count,
                              .groups = n->config.group_count,
                              .pending = n->pending_count,
                              .view_changes = env->view_changes,
                              .transfers = env->transfers,
                              .snapshots_in = env->snapshots_in,
                              .snapshots_out = env->snapshots_out,
                              .reforms = env->reforms,
                              .ops_committed = env->ops_committed};
    uint32_t stuck;
    count_groups(n, s, &stuck);
    for (uint32_t i = 0; n->is_voter && i < env->voter_count; i++)
        if (i == env->self || env->fresh[i]) s->voters_heard++;
    s->drained = n->draining && s->groups_primary == 0;
    if (!n->is_voter)
        snprintf(s->reason, sizeof s->reason, "%s is not in voters; it joined the gossip only",
                 n->name);
    else if (!s->contact)
        snprintf(s->reason, sizeof s->reason,
                 "no majority: %u of %u voters heard; check the other peers and the network",
                 s->voters_heard, s->voters);
    else if (!n->recovered || stuck != 0)
        snprintf(s->reason, sizeof s->reason, "recovering: %u of %u groups are up to date",
                 s->groups_normal, s->groups);
    else if (n->draining)
        snprintf(s->reason, sizeof s->reason, "draining: this peer is stopping");
    s->ready = s->reason[0] == '\0';
}

const struct swim *node_swim(const struct node *n)
{
    return n->swim;
}

void node_group(const struct node *n, uint32_t group, struct node_group *out)
{
    DUN_ASSERT(n->is_voter && group < n->config.group_count);
    const struct vsr *v = &n->groups[group];
    *out = (struct node_group){.status = v->status,
                               .incarnation = v->view.inc,
                               .view = v->view.num,
                               .op = v->log.head,
                               .commit = v->commit,
                               .primary = vsr_is_primary(v),
                               .log_incarnation = v->log_view.inc,
                               .log_view = v->log_view.num};
}

void node_check(const struct node *n)
{
    swim_check(n->swim);
    uint32_t waiting = 0;
    for (uint32_t g = 0; n->is_voter && g < n->config.group_count; g++) {
        vsr_check(&n->groups[g]);
        store_check(n->config.store, g);
        const struct node_queue *q = &n->queues[g];
        for (uint64_t r = q->first; r < q->next; r++)
            if (q->slots[r & (q->capacity - 1)].op != NULL) waiting++;
    }
    DUN_ASSERT(waiting == n->pending_count);
}
