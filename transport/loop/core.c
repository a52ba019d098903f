/* transport/loop/core.c: the core. It owns the node and writes the store.
 * Why: one thread at a time orders everything that replication decides, so
 * neither needs locks; whatever arrived while it worked is taken as one batch,
 * and leaves as one packet per peer.
 * Waking an idle thread costs more than the work of one publish. So when the
 * core is idle and nothing waits, a worker with submits or a link's thread with
 * a replication packet borrows it (core.own) and does the step itself; else it
 * leaves the work in the inbox. Gossip, timers and all that closes links stay
 * with the core's own thread.
 * (1) Every submit taken from the inbox is answered: by the node, at once when
 *     the node refuses it, or by WORKER_FAIL_PENDING when the node starts anew.
 * (2) WORKER_SERVING follows node_status().ready, false before anything that
 *     makes the store unfit for reading. */
#include "transport/loop/loop_impl.h"

#include <stdio.h>

enum {
    CORE_ITEMS_MAX = DUN_PENDING_MAX,
    CORE_BYTES_MAX = 256 << 20,
    CORE_STEP_BATCH = 1024, /* items between two flushes */
    CORE_POLL_MS = 20,      /* readiness is looked at this often */
    CORE_STATUS_MS = 200,
    CORE_TRIM_MS = 1000,
    DRAIN_CLIENTS_MS = 2000,
    DRAIN_PRIMARIES_MS = 3000,
    LEAVE_MS = 150, /* for the last packets to go out */
};
_Static_assert(DRAIN_PRIMARIES_MS + LEAVE_MS < LOOP_STOP_MS, "a stop must end in its time");

enum core_phase { CORE_RUNNING, CORE_DRAINING, CORE_LEAVING };

struct core {
    struct loop *l;
    uv_loop_t uv;
    uv_thread_t thread;
    struct inbox inbox;
    pthread_mutex_t own; /* whoever holds it is the core */
    uv_timer_t deadline, poll;
    struct node *node;
    struct node_config nc;
    struct node_status past; /* totals of earlier nodes: counters never go back */
    struct loop_replies *replies[LOOP_WORKERS_MAX]; /* being gathered */
    uint32_t replies_cap[LOOP_WORKERS_MAX];
    uint64_t started_ms, phase_ms, status_ms, trim_ms;
    uint32_t drained; /* workers without clients */
    enum core_phase phase;
    bool serving, ended;
};

struct inbox *core_inbox(struct core *c)
{
    return &c->inbox;
}

static void to_worker(struct core *c, uint32_t i, struct inbox_item item)
{
    /* Forced: what is sent this way is bounded by what was asked for. It fails only at the end. */
    dun_err e = inbox_force(worker_inbox(c->l->workers[i]), item);
    (void)e;
}

static void to_workers(struct core *c, uint32_t type, uint32_t arg)
{
    for (uint32_t i = 0; i < c->l->config.workers; i++)
        to_worker(c, i, (struct inbox_item){.type = type, .arg = arg});
}

static void set_serving(struct core *c, bool serving)
{
    if (c->serving == serving || c->phase != CORE_RUNNING) return;
    c->serving = serving;
    to_workers(c, WORKER_SERVING, serving);
}

/* ---- status ---- */

static void fill_members(const struct core *c, struct session_status *st)
{
    const struct swim *swim = node_swim(c->node);
    uint32_t n = swim_count(swim);
    for (uint32_t i = 0; i < n && st->member_count < SESSION_MEMBERS_MAX; i++) {
        struct swim_member m = swim_member_at(swim, i);
        struct session_member *o = &st->members[st->member_count++];
        struct dun_slice addr = node_meta_client_addr(m.meta);
        snprintf(o->name, sizeof o->name, "%s", m.name);
        snprintf(o->client_addr, sizeof o->client_addr, "%.*s", (int)addr.len,
                 addr.len == 0 ? "" : (const char *)addr.data);
        o->state = m.state;
        for (uint32_t v = 0; v < c->nc.voter_count; v++)
            if (strcmp(c->nc.voters[v], m.name) == 0) o->voter = true;
        o->boot = m.boot;
    }
}

static void add_totals(struct node_status *to, const struct node_status *n)
{
    to->view_changes += n->view_changes;
    to->transfers += n->transfers;
    to->snapshots_in += n->snapshots_in;
    to->snapshots_out += n->snapshots_out;
    to->reforms += n->reforms;
    to->ops_committed += n->ops_committed;
}

static void publish_status(struct core *c, const struct node_status *n)
{
    struct session_status st = {.node = *n};
    add_totals(&st.node, &c->past);
    st.ready = n->ready && c->phase == CORE_RUNNING;
    snprintf(st.reason, sizeof st.reason, "%s",
             c->phase == CORE_RUNNING ? n->reason : "this peer is stopping");
    store_stats(c->l->store, &st.store);
    if (c->l->config.link_stats != NULL) c->l->config.link_stats(c->l->config.ctx, &st.links);
    fill_members(c, &st);
    st.uptime_s = (loop_mono_ms() - c->started_ms) / 1000;
    pthread_mutex_lock(&c->l->status_lock);
    c->l->status = st;
    pthread_mutex_unlock(&c->l->status_lock);
    c->status_ms = loop_mono_ms();
}

static void look(struct core *c)
{
    struct node_status n;
    node_status(c->node, &n);
    if (n.ready != c->serving && c->phase == CORE_RUNNING) {
        dun_log(c->l->config.log, n.ready ? DUN_LOG_INFO : DUN_LOG_WARN, "%s name=%s%s%s",
                n.ready ? "ready" : "unready", c->nc.name,
                n.ready ? "" : " why=", n.ready ? "" : n.reason);
        publish_status(c, &n);
        set_serving(c, n.ready);
    } else if (loop_mono_ms() - c->status_ms >= CORE_STATUS_MS) {
        publish_status(c, &n);
    }
}

/* ---- effects ---- */

static void send_commits(struct core *c, const struct node_out *o)
{
    if (o->commit_count == 0) return;
    struct loop_batch *b = dun_malloc(sizeof *b + o->commit_count * sizeof(struct store_msg *));
    uint32_t workers = c->l->config.workers;
    size_t bytes = 0;
    b->count = 0;
    for (uint32_t i = 0; i < o->commit_count; i++) {
        if (o->commits[i].msg == NULL) continue;
        b->msgs[b->count++] = store_msg_ref(o->commits[i].msg);
        bytes += store_msg_cost(o->commits[i].msg);
    }
    atomic_init(&b->refs, workers + 1);
    for (uint32_t i = 0; i < workers; i++) {
        struct inbox_item item = {.type = WORKER_COMMITS, .ptr = b, .bytes = bytes};
        if (b->count > 0 && inbox_push(worker_inbox(c->l->workers[i]), item) == DUN_OK) continue;
        if (b->count > 0) worker_overflow(c->l->workers[i]);
        loop_batch_unref(b);
    }
    loop_batch_unref(b);
}

static void add_reply(struct core *c, const struct node_reply *r)
{
    uint32_t w = (uint32_t)(r->cookie >> 56);
    DUN_ASSERT(w < c->l->config.workers);
    struct loop_replies *list = c->replies[w];
    uint32_t count = list == NULL ? 0 : list->count;
    if (list == NULL || count == c->replies_cap[w]) {
        uint32_t cap = list == NULL ? 16 : c->replies_cap[w] * 2;
        list = dun_realloc(list, sizeof *list + cap * sizeof list->at[0]);
        list->count = count;
        c->replies[w] = list;
        c->replies_cap[w] = cap;
    }
    list->at[list->count++] = *r;
}

static void send_replies(struct core *c)
{
    for (uint32_t i = 0; i < c->l->config.workers; i++) {
        if (c->replies[i] == NULL) continue;
        struct inbox_item item = {.type = WORKER_REPLIES, .ptr = c->replies[i]};
        if (inbox_force(worker_inbox(c->l->workers[i]), item) != DUN_OK) dun_free(c->replies[i]);
        c->replies[i] = NULL;
    }
}

static void spread(struct core *c, const char *from_name, struct dun_slice bytes, uint32_t except)
{
    uint32_t workers = c->l->config.workers;
    struct loop_heard *m = dun_malloc(sizeof *m + bytes.len);
    atomic_init(&m->refs, workers + 1);
    snprintf(m->name, sizeof m->name, "%s", from_name);
    m->len = bytes.len;
    memcpy(m->bytes, bytes.data, bytes.len);
    for (uint32_t i = 0; i < workers; i++) {
        struct inbox_item item = {.type = WORKER_HEARD, .ptr = m, .bytes = bytes.len};
        if (i == except || inbox_push(worker_inbox(c->l->workers[i]), item) != DUN_OK)
            loop_heard_unref(m);
    }
    loop_heard_unref(m);
}

static void send_resync(struct core *c, const struct node_out *o)
{
    for (uint32_t i = 0; i < c->l->config.workers; i++) {
        struct loop_groups *g = dun_malloc(sizeof *g);
        memcpy(g->at, o->resync, sizeof g->at);
        struct inbox_item item = {.type = WORKER_RESYNC, .ptr = g};
        if (inbox_force(worker_inbox(c->l->workers[i]), item) != DUN_OK) dun_free(g);
    }
}

static void begin_again(struct core *c, uint64_t outlived_boot);

static void perform(struct core *c)
{
    const struct loop_config *lc = &c->l->config;
    const struct node_out *o = node_out(c->node);
    for (uint32_t i = 0; i < o->packet_count; i++)
        lc->send(lc->ctx, o->packets[i].plane, o->packets[i].addr, o->packets[i].to_name,
                 o->packets[i].bytes);
    send_commits(c, o);
    for (uint32_t i = 0; i < o->reply_count; i++)
        add_reply(c, &o->replies[i]);
    send_replies(c);
    for (uint32_t i = 0; i < o->aux_count; i++)
        spread(c, o->auxes[i].from_name, o->auxes[i].bytes, UINT32_MAX);
    for (uint32_t i = 0; i < o->forgotten_count; i++)
        lc->forget(lc->ctx, o->forgotten[i]);
    if (o->resync_any) send_resync(c, o);
    if (o->conflict[0] != '\0') lc->fatal(lc->ctx, o->conflict);
    uint64_t outlived = o->outlived_boot;
    node_out_clear(c->node);
    if (outlived != 0) begin_again(c, outlived);
}

static dun_err step(struct core *c, struct node_event *ev)
{
    ev->now_ms = loop_mono_ms();
    ev->wall_ms = loop_wall_ms();
    return node_step(c->node, ev);
}

static void on_deadline(uv_timer_t *t);

static void arm(struct core *c)
{
    uint64_t now = loop_mono_ms(), at = node_deadline_ms(c->node);
    uv_update_time(&c->uv);
    uv_timer_start(&c->deadline, on_deadline, at > now ? at - now : 0, 0);
}

static void step_and_perform_here(struct core *c, enum node_event_type type)
{
    struct node_event ev = {.type = type};
    dun_err e = step(c, &ev);
    if (e != DUN_OK)
        dun_log(c->l->config.log, DUN_LOG_WARN, "step_failed type=%d why=%s", (int)type,
                dun_err_text(e));
    perform(c);
}

/* The core's own thread only. */
static void step_and_perform(struct core *c, enum node_event_type type)
{
    step_and_perform_here(c, type);
    arm(c);
}

static void on_deadline(uv_timer_t *t)
{
    struct core *c = t->data;
    pthread_mutex_lock(&c->own);
    step_and_perform(c, NODE_EV_TICK);
    pthread_mutex_unlock(&c->own);
}

/* Others have seen a later life of ours: ours is a stale copy, so nothing of it may count. */
static void begin_again(struct core *c, uint64_t outlived_boot)
{
    const struct loop_config *lc = &c->l->config;
    char why[256];
    struct node_status n;
    node_status(c->node, &n);
    n.ready = false;
    snprintf(n.reason, sizeof n.reason, "starting again under a new boot id");
    publish_status(c, &n);
    add_totals(&c->past, &n);
    set_serving(c, false);
    to_workers(c, WORKER_FAIL_PENDING, (uint32_t)-DUN_E_TIMEOUT);
    node_destroy(c->node);
    for (uint32_t g = 0; g < lc->group_count; g++)
        store_reset(c->l->store, g);
    uint64_t wall = loop_wall_ms();
    c->nc.boot = wall > outlived_boot ? wall : outlived_boot + 1;
    dun_log(lc->log, DUN_LOG_WARN, "boot_outlived name=%s known=%llu new=%llu", c->nc.name,
            (unsigned long long)outlived_boot, (unsigned long long)c->nc.boot);
    lc->set_boot(lc->ctx, c->nc.boot);
    dun_err e = node_create(&c->node, &c->nc, why, sizeof why);
    DUN_ASSERT(e == DUN_OK); /* the same configuration was accepted before */
}

/* ---- inbox ---- */

static void on_submit(struct core *c, struct loop_submit *s)
{
    struct node_event ev = {.type = NODE_EV_SUBMIT};
    const uint8_t *p = s->bytes;
    ev.submit.cookie = s->cookie;
    ev.submit.channel = dun_slice(p, s->channel);
    ev.submit.key = dun_slice(p += s->channel, s->key);
    ev.submit.data = dun_slice(p += s->key, s->data);
    ev.submit.tags = dun_slice(p += s->data, s->tags);
    ev.submit.info = dun_slice(p + s->tags, s->info);
    dun_err e = step(c, &ev);
    if (e != DUN_OK) {
        struct node_reply r = {.cookie = s->cookie, .err = e};
        add_reply(c, &r);
    }
}

static void on_packet(struct core *c, enum node_plane plane, const char *from_name,
                      uint64_t from_boot, struct dun_slice bytes)
{
    struct node_event ev = {.type = NODE_EV_PACKET};
    ev.packet.plane = plane;
    ev.packet.from_name = from_name;
    ev.packet.from_boot = from_boot;
    ev.packet.bytes = bytes;
    dun_err e = step(c, &ev);
    if (e != DUN_OK && e != DUN_E_STALE)
        dun_log(c->l->config.log, DUN_LOG_DEBUG, "packet_refused from=%s why=%s", from_name,
                dun_err_text(e));
}

static void on_cast(struct core *c, const struct loop_heard *m, uint32_t worker)
{
    struct node_event ev = {.type = NODE_EV_CAST};
    bool all = m->name[0] == '\0', here = strcmp(m->name, c->nc.name) == 0;
    ev.cast.to_name = all ? NULL : m->name;
    ev.cast.bytes = dun_slice(m->bytes, m->len);
    if (!here) {
        dun_err e = step(c, &ev);
        (void)e; /* whoever asked has a deadline */
    }
    if (all || here) spread(c, c->nc.name, ev.cast.bytes, worker);
}

static void begin_drain(struct core *c)
{
    struct node_event ev = {.type = NODE_EV_DRAIN};
    struct node_status n;
    if (c->phase != CORE_RUNNING) return;
    dun_log(c->l->config.log, DUN_LOG_INFO, "stopping name=%s", c->nc.name);
    c->phase = CORE_DRAINING;
    c->phase_ms = loop_mono_ms();
    to_workers(c, WORKER_DRAIN, 0);
    dun_err e = step(c, &ev);
    (void)e; /* it is bounded by time */
    node_status(c->node, &n);
    publish_status(c, &n);
}

static void handle(struct core *c, struct inbox_item *item)
{
    struct node_event ev = {.type = NODE_EV_LINK_LOST};
    switch ((enum core_item)item->type) {
    case CORE_SUBMIT:
        on_submit(c, item->ptr);
        dun_free(item->ptr);
        return;
    case CORE_CAST:
        on_cast(c, item->ptr, item->arg);
        loop_heard_unref(item->ptr);
        return;
    case CORE_PACKET: {
        struct loop_packet *p = item->ptr;
        on_packet(c, p->plane, p->from_name, p->from_boot, dun_slice(p->bytes, p->len));
        dun_free(p);
        return;
    }
    case CORE_LOST: {
        struct loop_packet *p = item->ptr;
        ev.link.plane = p->plane;
        ev.link.addr = p->from_name;
        dun_err e = step(c, &ev);
        (void)e; /* a hint */
        dun_free(p);
        return;
    }
    case CORE_DRAIN: begin_drain(c); return;
    case CORE_DRAINED: c->drained++; return;
    }
    DUN_UNREACHABLE();
}

static void on_inbox(uv_async_t *async)
{
    struct core *c = async->data;
    struct inbox_item *items;
    pthread_mutex_lock(&c->own);
    uint32_t n = inbox_take(&c->inbox, &items);
    for (uint32_t i = 0; i < n; i++) {
        handle(c, &items[i]);
        if ((i + 1) % CORE_STEP_BATCH == 0) step_and_perform(c, NODE_EV_FLUSH);
    }
    step_and_perform(c, NODE_EV_FLUSH);
    pthread_mutex_unlock(&c->own);
}

/* ---- borrowed ---- */

/* True: this thread is the core until it gives @c->own back. What waits in the inbox goes first. */
static bool borrow(struct core *c)
{
    if (pthread_mutex_trylock(&c->own) != 0) return false;
    if (c->node != NULL && !c->ended && inbox_empty(&c->inbox)) return true;
    pthread_mutex_unlock(&c->own);
    return false;
}

bool core_packet(struct core *c, const char *from_name, uint64_t from_boot, struct dun_slice bytes)
{
    if (!borrow(c)) return false;
    on_packet(c, NODE_REPLICATION, from_name, from_boot, bytes);
    step_and_perform_here(c, NODE_EV_FLUSH);
    pthread_mutex_unlock(&c->own);
    return true;
}

bool core_submits(struct core *c, struct inbox_item *items, uint32_t count)
{
    if (!borrow(c)) return false;
    for (uint32_t i = 0; i < count; i++)
        handle(c, &items[i]);
    step_and_perform_here(c, NODE_EV_FLUSH);
    pthread_mutex_unlock(&c->own);
    return true;
}

/* ---- time, stop ---- */

static void end(struct core *c)
{
    to_workers(c, WORKER_STOP, 0);
    uv_close((uv_handle_t *)&c->deadline, NULL);
    uv_close((uv_handle_t *)&c->poll, NULL);
    inbox_close(&c->inbox);
    c->ended = true;
}

static void poll_owned(struct core *c)
{
    uint64_t now = loop_mono_ms();
    if (node_deadline_ms(c->node) <= now)
        step_and_perform(c, NODE_EV_TICK); /* borrowers do not arm */
    if (now - c->trim_ms >= CORE_TRIM_MS) {
        c->trim_ms = now;
        store_trim(c->l->store, loop_wall_ms());
    }
    look(c);
    if (c->phase == CORE_DRAINING) {
        struct node_status n;
        uint64_t spent = now - c->phase_ms;
        node_status(c->node, &n);
        bool clients = c->drained == c->l->config.workers || spent >= DRAIN_CLIENTS_MS;
        bool primaries = n.drained || n.voters <= 1 || spent >= DRAIN_PRIMARIES_MS;
        if (!clients || !primaries) return;
        c->phase = CORE_LEAVING;
        c->phase_ms = now;
        step_and_perform(c, NODE_EV_LEAVE);
        step_and_perform(c, NODE_EV_FLUSH);
    } else if (c->phase == CORE_LEAVING && now - c->phase_ms >= LEAVE_MS) {
        end(c);
    }
}

static void on_poll(uv_timer_t *t)
{
    struct core *c = t->data;
    pthread_mutex_lock(&c->own);
    poll_owned(c);
    pthread_mutex_unlock(&c->own);
}

static void run(void *arg)
{
    struct core *c = arg;
    uv_run(&c->uv, UV_RUN_DEFAULT);
}

struct core *core_create(struct loop *l)
{
    struct core *c = dun_calloc(1, sizeof *c);
    c->l = l;
    pthread_mutex_init(&c->own, NULL);
    int e = uv_loop_init(&c->uv);
    DUN_ASSERT(e == 0);
    inbox_init(&c->inbox, &c->uv, on_inbox, c, CORE_ITEMS_MAX, CORE_BYTES_MAX);
    uv_timer_init(&c->uv, &c->deadline);
    uv_timer_init(&c->uv, &c->poll);
    c->deadline.data = c->poll.data = c;
    c->started_ms = c->trim_ms = loop_mono_ms();
    return c;
}

dun_err core_start(struct core *c, const struct node_config *node, uint64_t boot, char *why,
                   size_t why_size)
{
    c->nc = *node;
    c->nc.store = c->l->store;
    c->nc.log = c->l->config.log;
    c->nc.group_count = c->l->config.group_count;
    c->nc.boot = boot;
    pthread_mutex_lock(&c->own);
    dun_err e = node_create(&c->node, &c->nc, why, why_size);
    pthread_mutex_unlock(&c->own);
    if (e != DUN_OK) return e;
    uv_timer_start(&c->deadline, on_deadline, 0, 0);
    uv_timer_start(&c->poll, on_poll, CORE_POLL_MS, CORE_POLL_MS);
    int r = uv_thread_create(&c->thread, run, c);
    DUN_ASSERT(r == 0);
    return DUN_OK;
}

void core_join(struct core *c)
{
    uv_thread_join(&c->thread);
}

static void drop(struct inbox_item *item)
{
    if (item->type == CORE_CAST) {
        loop_heard_unref(item->ptr);
    } else {
        dun_free(item->ptr);
    }
}

void core_destroy(struct core *c)
{
    struct inbox_item *items;
    if (c->node == NULL) { /* never started */
        uv_close((uv_handle_t *)&c->deadline, NULL);
        uv_close((uv_handle_t *)&c->poll, NULL);
        inbox_close(&c->inbox);
        uv_run(&c->uv, UV_RUN_DEFAULT);
    } else {
        node_destroy(c->node);
    }
    uint32_t n = inbox_take(&c->inbox, &items);
    for (uint32_t i = 0; i < n; i++)
        drop(&items[i]);
    inbox_deinit(&c->inbox);
    for (uint32_t i = 0; i < LOOP_WORKERS_MAX; i++)
        dun_free(c->replies[i]);
    int e = uv_loop_close(&c->uv);
    DUN_ASSERT(e == 0);
    pthread_mutex_destroy(&c->own);
    dun_free(c);
}
