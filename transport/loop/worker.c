/* transport/loop/worker.c: one loop thread with its own listener and clients.
 * Why: nothing on the hot path is shared but immutable messages. A turn takes
 * what arrived, lets lagging cursors catch up, then writes once per connection.
 * (1) Output leaves only in turn(), so all that one turn produced for a
 *     connection is one gathered write.
 * (2) A connection with a write under way is blocked: its cursors wait.
 * (3) The read buffer is the worker's; a connection owns none.
 * (4) However many events the loop has at once (thousands of clients that come
 *     back), commits and output wait for TURN_MS of them at most. Other threads
 *     have their turn as often, and after GIVE_WAY_US between two batches.
 * (5) A crowd does not slow down those inside: who connects is taken a slice at
 *     a time (slice.h), and so are the first ARRIVAL_INPUTS of each, in the order
 *     in which they came, those first who are further. So is the catching up of
 *     lagging cursors. */
#include "transport/loop/loop_impl.h"
#include "transport/loop/slice.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

enum {
    WORKER_ITEMS_MAX = 1 << 16,
    WORKER_BYTES_MAX = 64 << 20, /* see loop_config.worker_inbox_bytes */
    READ_BUFFER = 64 * 1024,
    SUBMITS_START = 64,
    LISTEN_BACKLOG = 4096,
    TURN_MS = 1, /* of events, then what arrived meanwhile has its turn */
    /* Slices, see slice.h. Small ones, as those of several workers may follow one another. */
    ARRIVALS_STEPS = 8,
    ARRIVALS_LEAST_US = 1000,
    ARRIVALS_SHARE = 8,
    ARRIVALS_WAIT_MS = 4,
    ARRIVAL_INPUTS = 3, /* of a WebSocket: the handshake, connect, subscribe */
    CATCH_UP_SHARE = 8,
    CATCH_UP_WAIT_MS = 8,
    CATCH_UP_PATIENCE_MS = 5000, /* then without rest: else they might never catch up */
    GIVE_WAY_US = 300,
    GIVE_WAY_WEIGHT = 16,
    TICK_MS = 1000,
    DRAIN_STEP_MS = 50, /* clients are spread over DRAIN_STEPS of these */
    DRAIN_STEPS = 20
};

struct worker {
    struct loop *l;
    struct loop_counters *counters;
    uint32_t index, conn_max, conn_count, arrival_count;
    uv_loop_t uv;
    uv_thread_t thread;
    struct inbox inbox;
    atomic_bool overflow; /* batches were lost; a comparison of all cursors is queued */
    uv_tcp_t listener;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t spin;              /* active while there is more to do at once */
    uv_timer_t tick, drain, nap; /* nap: ends when what had to wait may go on */
    struct session_hub hub;
    struct conn *conns;
    struct conn *arrivals, **arrivals_end; /* they may read when it is their turn */
    struct slice arriving, catching_up;
    struct inbox_item *submits; /* of this turn; at most DUN_PENDING_MAX */
    uint32_t submit_count, submit_cap;
    uint32_t drain_each;
    uint64_t refused_log_ms;
    uint64_t turn_ns; /* the end of the last turn */
    uint64_t woke_ns; /* the loop's last waking */
    uint64_t ran_ns;  /* since when it has not given way to other threads */
    bool door_waits;  /* libuv holds who connected until we take it */
    bool draining, stopping, drained, listening;
    uint8_t read[READ_BUFFER];
};

struct conn {
    uv_tcp_t tcp;
    struct session session;
    struct worker *worker;
    struct conn *next, **link;
    struct conn *arrivals_next, **arrivals_link; /* NULL: it does not wait there */
    uv_write_t *write;                           /* under way; NULL = none */
    uint32_t write_bytes;
    bool called; /* it is its turn to read */
    bool reading, closing, shut;
};

static struct conn *conn_of(struct session *s)
{
    return DUN_CONTAINER(s, struct conn, session);
}

static void set_time(struct worker *w)
{
    session_hub_time(&w->hub, loop_mono_ms(), loop_wall_ms());
}

/* ---- connections ---- */

/* Ends its waiting for a turn to read. */
static void arrival_leave(struct conn *c)
{
    struct worker *w = c->worker;
    if (c->arrivals_link == NULL) return;
    *c->arrivals_link = c->arrivals_next;
    if (c->arrivals_next != NULL) c->arrivals_next->arrivals_link = c->arrivals_link;
    if (w->arrivals_end == &c->arrivals_next) w->arrivals_end = c->arrivals_link;
    c->arrivals_link = NULL;
    w->arrival_count--;
}

static void arrival_wait(struct conn *c)
{
    struct worker *w = c->worker;
    c->arrivals_next = NULL;
    c->arrivals_link = w->arrivals_end;
    *w->arrivals_end = c;
    w->arrivals_end = &c->arrivals_next;
    w->arrival_count++;
}

/* Whether it may read now. One that arrives takes a step, if none is before it. */
static bool may_read(struct conn *c)
{
    struct worker *w = c->worker;
    if (c->session.inputs >= ARRIVAL_INPUTS || c->called) return true;
    return w->arrivals == NULL && slice_step(&w->arriving, uv_hrtime());
}

static void on_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    struct worker *w = c->worker;
    *c->link = c->next;
    if (c->next != NULL) c->next->link = c->link;
    w->conn_count--;
    set_time(w);
    session_deinit(&c->session);
    dun_free(c);
}

static void conn_close(struct conn *c)
{
    if (c->closing) return;
    c->closing = true;
    arrival_leave(c);
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct conn *c = h->data;
    (void)suggested;
    *buf = uv_buf_init((char *)c->worker->read, may_read(c) ? READ_BUFFER : 0);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);
static void event_done(struct worker *w);

static void update_read(struct conn *c)
{
    bool want = !c->closing && c->arrivals_link == NULL && session_wants_read(&c->session);
    if (want == c->reading) return;
    c->reading = want;
    if (want) {
        if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0) conn_close(c);
    } else if (!c->closing) {
        uv_read_stop((uv_stream_t *)&c->tcp);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = stream->data;
    if (n == 0) return;
    if (n == UV_ENOBUFS) { /* on_alloc gave none */
        arrival_wait(c);
        update_read(c);
        return;
    }
    if (n < 0) {
        conn_close(c);
        return;
    }
    c->called = false;
    set_time(c->worker);
    session_receive(&c->session, (uint8_t *)buf->base, (size_t)n);
    update_read(c);
    event_done(c->worker);
}

static void conn_service(struct conn *c);

static void on_written(uv_write_t *req, int status)
{
    struct conn *c = req->data;
    c->write = NULL;
    dun_free(req);
    if (c->closing) return;
    if (status != 0) {
        conn_close(c);
        return;
    }
    set_time(c->worker);
    session_out_consume(&c->session, c->write_bytes);
    session_set_blocked(&c->session, false);
    conn_service(c);
}

static uint32_t gather(const struct conn *c, uv_buf_t *bufs, size_t *total)
{
    struct dun_slice iov[SESSION_IOV_MAX];
    uint32_t n = session_out_peek(&c->session, iov, SESSION_IOV_MAX);
    *total = 0;
    for (uint32_t i = 0; i < n; i++) {
        bufs[i] = uv_buf_init((char *)(uintptr_t)iov[i].data, (unsigned)iov[i].len);
        *total += iov[i].len;
    }
    return n;
}

/* The socket is full: libuv holds the pieces until it is not. */
static void wait_writable(struct conn *c)
{
    uv_buf_t bufs[SESSION_IOV_MAX];
    size_t total;
    uint32_t n = gather(c, bufs, &total);
    c->write = dun_malloc(sizeof *c->write);
    c->write->data = c;
    c->write_bytes = (uint32_t)total;
    session_set_blocked(&c->session, true);
    if (uv_write(c->write, (uv_stream_t *)&c->tcp, bufs, n, on_written) == 0) return;
    dun_free(c->write);
    c->write = NULL;
    conn_close(c);
}

/* True: all is written. */
static bool flush(struct conn *c)
{
    while (c->session.out_bytes > 0) {
        uv_buf_t bufs[SESSION_IOV_MAX];
        size_t total;
        uint32_t n = gather(c, bufs, &total);
        int r = uv_try_write((uv_stream_t *)&c->tcp, bufs, n);
        if (r < 0 && r != UV_EAGAIN) {
            conn_close(c);
            return false;
        }
        if (r > 0) session_out_consume(&c->session, (size_t)r);
        if (r < 0 || (size_t)r < total) {
            wait_writable(c);
            return false;
        }
    }
    return true;
}

static void on_shut(uv_shutdown_t *req, int status)
{
    (void)status; /* the deadline closes it in any case */
    dun_free(req);
}

static void shut(struct conn *c)
{
    if (c->shut) return;
    c->shut = true;
    uv_shutdown_t *req = dun_malloc(sizeof *req);
    if (uv_shutdown(req, (uv_stream_t *)&c->tcp, on_shut) == 0) return;
    dun_free(req);
    conn_close(c);
}

static void conn_service(struct conn *c)
{
    struct session *s = &c->session;
    if (c->closing) return;
    if (s->phase == SESSION_ABORTED) {
        conn_close(c);
        return;
    }
    if (c->write == NULL) {
        bool full = session_out_full(s);
        bool all = flush(c);
        if (all && full) session_set_blocked(s, false); /* held input may go on */
        if (all && s->phase == SESSION_FINISHING && s->out_bytes == 0) shut(c);
    }
    update_read(c);
}

static void refuse_log(struct worker *w, const char *why)
{
    uint64_t now = loop_mono_ms();
    if (now - w->refused_log_ms < 1000) return;
    w->refused_log_ms = now;
    dun_log(w->l->config.log, DUN_LOG_WARN, "connection_refused why=%s open=%u", why,
            w->conn_count);
}

static void on_refused_closed(uv_handle_t *h)
{
    dun_free(h);
}

static void take_arrival(struct worker *w, uv_stream_t *listener)
{
    bool surplus = w->conn_count >= w->conn_max;
    if (surplus) refuse_log(w, "too many connections; raise the limit on open files");
    if (w->conn_count >= w->conn_max + WORKER_SURPLUS_MAX) {
        uv_tcp_t *tcp = dun_malloc(sizeof *tcp);
        uv_tcp_init(&w->uv, tcp);
        int e = uv_accept(listener, (uv_stream_t *)tcp);
        (void)e;
        uv_close((uv_handle_t *)tcp, on_refused_closed);
        return;
    }
    struct conn *c = dun_calloc(1, sizeof *c);
    set_time(w);
    uv_tcp_init(&w->uv, &c->tcp);
    c->tcp.data = c;
    c->worker = w;
    c->next = w->conns;
    c->link = &w->conns;
    if (w->conns != NULL) w->conns->link = &c->next;
    w->conns = c;
    w->conn_count++;
    session_init(&c->session, &w->hub);
    c->session.surplus = surplus;
    atomic_fetch_add_explicit(&w->counters->accepted, 1, memory_order_relaxed);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0) {
        conn_close(c);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    update_read(c);
    event_done(w);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct worker *w = listener->data;
    if (status != 0) {
        refuse_log(w, uv_strerror(status));
    } else if (w->arrivals == NULL && slice_step(&w->arriving, uv_hrtime())) {
        take_arrival(w, listener);
    } else {
        w->door_waits = true; /* libuv listens no further before this one is taken */
    }
}

/* Those who wait: first to read, then to come in. */
static void admit(struct worker *w)
{
    while (w->arrivals != NULL && slice_step(&w->arriving, uv_hrtime())) {
        struct conn *c = w->arrivals;
        arrival_leave(c);
        c->called = true;
        update_read(c);
    }
    if (w->arrivals != NULL || !w->door_waits || !slice_step(&w->arriving, uv_hrtime())) return;
    w->door_waits = false;
    take_arrival(w, (uv_stream_t *)&w->listener);
}

/* ---- a turn ---- */

static void count(struct worker *w)
{
    struct loop_counters *n = w->counters;
    const struct session_hub *h = &w->hub;
    atomic_store_explicit(&n->clients, h->client_count, memory_order_relaxed);
    atomic_store_explicit(&n->subscriptions, h->sub_count, memory_order_relaxed);
    atomic_store_explicit(&n->channels, h->channels.count, memory_order_relaxed);
    atomic_store_explicit(&n->published, h->published, memory_order_relaxed);
    atomic_store_explicit(&n->publish_errors, h->publish_errors, memory_order_relaxed);
    atomic_store_explicit(&n->delivered, h->delivered, memory_order_relaxed);
    atomic_store_explicit(&n->arriving, w->arrival_count, memory_order_relaxed);
    atomic_store_explicit(&n->paced, h->paced, memory_order_relaxed);
    atomic_store_explicit(&n->unread_bytes, h->unread_bytes, memory_order_relaxed);
    atomic_store_explicit(&n->shed, h->shed, memory_order_relaxed);
}

static void on_spin(uv_idle_t *spin)
{
    (void)spin; /* its only work is to keep the loop from sleeping */
}

static void on_nap(uv_timer_t *t)
{
    (void)t; /* likewise: the turn that follows goes on with what waits */
}

/* A turn in @ms at the latest. */
static void nap(struct worker *w, uint64_t ms)
{
    uint64_t due = uv_timer_get_due_in(&w->nap);
    if (uv_is_active((uv_handle_t *)&w->nap) && due <= ms) return;
    uv_timer_start(&w->nap, on_nap, ms, 0);
}

/* Held clients go on when an answer comes, or when their rest is over. True: at once, since no
 * answer will come: their publishes were all refused. */
static bool wake_held(struct worker *w)
{
    uint64_t rest = session_hub_rest_ms(&w->hub);
    if (rest > 0 && !w->stopping) nap(w, rest);
    return rest == 0 && w->hub.held != NULL && w->hub.pending_count == 0;
}

/* The turn's publishes: done here when the core is idle, else left in its inbox. */
static void hand_over(struct worker *w)
{
    struct inbox_item *items = w->submits;
    uint32_t count = w->submit_count;
    w->submit_count = 0;
    if (count == 0 || core_submits(w->l->core, items, count)) return;
    w->submits = NULL; /* an answer lets held input go on, and that may publish */
    w->submit_cap = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct loop_submit *s = items[i].ptr;
        if (inbox_push(core_inbox(w->l->core), items[i]) == DUN_OK) continue;
        struct node_reply r = {.cookie = s->cookie, .err = DUN_E_OVERLOADED};
        dun_free(s);
        session_hub_replied(&w->hub, &r);
    }
    dun_free(items);
}

static void turn(struct worker *w)
{
    set_time(w);
    session_hub_pace(&w->hub);
    hand_over(w);
    for (struct session *s; (s = session_hub_dirty(&w->hub)) != NULL;)
        conn_service(conn_of(s));
    /* Held input went on, or will. */
    if (wake_held(w) || w->submit_count > 0 || slice_impatient(&w->catching_up, uv_hrtime())) {
        uv_idle_start(&w->spin, on_spin);
    } else {
        uv_idle_stop(&w->spin);
    }
    count(w);
    w->turn_ns = uv_hrtime();
}

/* Threads that sleep most of the time (the core, links, other peers of this host) need the
 * processor for moments only, and would wait for it until our share is used up. How long they take
 * says how short processors are: then a crowd must wait for longer. */
static void give_way(struct worker *w)
{
    uint64_t now = uv_hrtime();
    if (now - w->ran_ns < (uint64_t)GIVE_WAY_US * 1000) return;
    sched_yield();
    w->ran_ns = uv_hrtime();
    slice_worked(&w->arriving, GIVE_WAY_WEIGHT * (w->ran_ns - now));
    slice_worked(&w->catching_up, GIVE_WAY_WEIGHT * (w->ran_ns - now));
}

static void catch_up(struct worker *w)
{
    uint64_t now = uv_hrtime();
    if (slice_step(&w->catching_up, now)) session_hub_pump(&w->hub);
    slice_left(&w->catching_up, w->hub.lagging != NULL, now);
}

static void on_prepare(uv_prepare_t *p)
{
    struct worker *w = p->data;
    set_time(w);
    admit(w);
    catch_up(w);
    turn(w);
    if (!w->stopping && (w->hub.lagging != NULL || w->arrivals != NULL || w->door_waits)) nap(w, 1);
    uint64_t worked_ns = w->turn_ns - w->woke_ns;
    slice_worked(&w->arriving, worked_ns);
    slice_worked(&w->catching_up, worked_ns);
    give_way(w);
}

static void on_check(uv_check_t *c)
{
    struct worker *w = c->data;
    w->woke_ns = w->ran_ns = uv_hrtime();
    turn(w);
}

static void on_tick(uv_timer_t *t)
{
    struct worker *w = t->data;
    set_time(w);
    session_hub_tick(&w->hub);
}

/* ---- stop ---- */

static void stop_listening(struct worker *w)
{
    if (!w->listening) return;
    w->listening = w->door_waits = false;
    uv_close((uv_handle_t *)&w->listener, NULL);
}

static void on_drain(uv_timer_t *t)
{
    struct worker *w = t->data;
    set_time(w);
    if (session_hub_drain(&w->hub, w->drain_each) || w->hub.pending_count > 0 || w->drained) return;
    w->drained = true;
    struct inbox_item item = {.type = CORE_DRAINED};
    dun_err e = inbox_force(core_inbox(w->l->core), item);
    (void)e; /* the core has a deadline */
}

static void begin_drain(struct worker *w)
{
    w->draining = true;
    stop_listening(w);
    w->hub.serving = false; /* no new clients; those here are spread over time */
    w->hub.stopping = true;
    w->drain_each = w->hub.client_count / DRAIN_STEPS + 1;
    uv_timer_start(&w->drain, on_drain, 0, DRAIN_STEP_MS);
}

/* What can still be said goes out: answers, then closes, as far as the sockets take them. */
static void say_goodbye(struct worker *w)
{
    set_time(w);
    session_hub_fail_pending(&w->hub, DUN_E_TIMEOUT);
    while (session_hub_drain(&w->hub, UINT32_MAX))
        DUN_ASSERT(w->hub.pending_count == 0);
    turn(w);
}

static void end(struct worker *w)
{
    w->stopping = true;
    stop_listening(w);
    w->hub.serving = false;
    say_goodbye(w);
    uv_close((uv_handle_t *)&w->prepare, NULL);
    uv_close((uv_handle_t *)&w->check, NULL);
    uv_close((uv_handle_t *)&w->spin, NULL);
    uv_close((uv_handle_t *)&w->tick, NULL);
    uv_close((uv_handle_t *)&w->drain, NULL);
    uv_close((uv_handle_t *)&w->nap, NULL);
    inbox_close(&w->inbox);
    for (struct conn *c = w->conns; c != NULL; c = c->next)
        conn_close(c);
}

/* ---- inbox ---- */

static void drop(struct inbox_item *item)
{
    switch ((enum worker_item)item->type) {
    case WORKER_COMMITS: loop_batch_unref(item->ptr); return;
    case WORKER_HEARD: loop_heard_unref(item->ptr); return;
    case WORKER_REPLIES:
    case WORKER_RESYNC: dun_free(item->ptr); return;
    case WORKER_SERVING:
    case WORKER_FAIL_PENDING:
    case WORKER_DRAIN:
    case WORKER_STOP: return;
    }
    DUN_UNREACHABLE();
}

static void on_replies(struct worker *w, const struct loop_replies *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        session_hub_replied(&w->hub, &r->at[i]);
}

static void on_resync(struct worker *w, const struct loop_groups *groups)
{
    struct loop_groups all;
    if (groups != NULL) {
        session_hub_resync(&w->hub, groups->at);
        return;
    }
    dun_log(w->l->config.log, DUN_LOG_WARN, "worker_overflow worker=%u resync=all", w->index);
    /* Cleared before the logs are read: a batch lost from here on asks for another comparison, and
     * one lost before is in the logs. */
    atomic_store(&w->overflow, false);
    memset(all.at, true, sizeof all.at);
    session_hub_resync(&w->hub, all.at);
}

static void handle(struct worker *w, struct inbox_item *item)
{
    const struct loop_batch *b = item->ptr;
    const struct loop_heard *m = item->ptr;
    switch ((enum worker_item)item->type) {
    case WORKER_COMMITS: session_hub_deliver(&w->hub, b->msgs, b->count); return;
    case WORKER_REPLIES: on_replies(w, item->ptr); return;
    case WORKER_RESYNC: on_resync(w, item->ptr); return;
    case WORKER_SERVING:
        if (!w->draining) session_hub_serving(&w->hub, item->arg != 0);
        return;
    case WORKER_FAIL_PENDING: session_hub_fail_pending(&w->hub, (dun_err)(-(int)item->arg)); return;
    case WORKER_HEARD: session_hub_heard(&w->hub, m->name, dun_slice(m->bytes, m->len)); return;
    case WORKER_DRAIN: begin_drain(w); return;
    case WORKER_STOP: end(w); return;
    }
    DUN_UNREACHABLE();
}

static void on_inbox(uv_async_t *async)
{
    struct worker *w = async->data;
    struct inbox_item *items;
    set_time(w);
    uint32_t n = inbox_take(&w->inbox, &items);
    for (uint32_t i = 0; i < n; i++) {
        if (!w->stopping) handle(w, &items[i]);
        drop(&items[i]);
    }
}

/* libuv calls back for up to 1024 events, and accepts all who wait, before anyone else is asked. */
static void event_done(struct worker *w)
{
    if (uv_hrtime() - w->turn_ns < (uint64_t)TURN_MS * 1000000) return;
    on_inbox(&w->inbox.async);
    if (w->stopping) return;
    turn(w);
    give_way(w);
}

void worker_overflow(struct worker *w)
{
    if (atomic_exchange(&w->overflow, true)) return; /* the comparison to come covers this one */
    struct inbox_item item = {.type = WORKER_RESYNC};
    dun_err e = inbox_force(&w->inbox, item);
    (void)e; /* it is ending */
}

struct inbox *worker_inbox(struct worker *w)
{
    return &w->inbox;
}

/* ---- what sessions ask for ---- */

static void ops_lock(void *ctx, uint32_t group)
{
    struct worker *w = ctx;
    pthread_rwlock_rdlock(&w->l->locks[group]);
}

static void ops_unlock(void *ctx, uint32_t group)
{
    struct worker *w = ctx;
    pthread_rwlock_unlock(&w->l->locks[group]);
}

static uint8_t *put(uint8_t *p, struct dun_slice s)
{
    if (s.len > 0) memcpy(p, s.data, s.len);
    return p + s.len;
}

static dun_err ops_submit(void *ctx, uint64_t cookie, const struct session_publish *p)
{
    struct worker *w = ctx;
    size_t len = p->channel.len + p->key.len + p->data.len + p->tags.len + p->info.len;
    if (w->submit_count == DUN_PENDING_MAX) return DUN_E_OVERLOADED;
    if (w->submit_count == w->submit_cap) {
        w->submit_cap = w->submit_cap == 0 ? SUBMITS_START : w->submit_cap * 2;
        w->submits = dun_realloc(w->submits, w->submit_cap * sizeof *w->submits);
    }
    struct loop_submit *s = dun_malloc(sizeof *s + len);
    s->cookie = cookie;
    s->channel = (uint32_t)p->channel.len;
    s->key = (uint32_t)p->key.len;
    s->data = (uint32_t)p->data.len;
    s->tags = (uint32_t)p->tags.len;
    s->info = (uint32_t)p->info.len;
    uint8_t *at = put(put(put(s->bytes, p->channel), p->key), p->data);
    put(put(at, p->tags), p->info);
    w->submits[w->submit_count++] =
        (struct inbox_item){.type = CORE_SUBMIT, .ptr = s, .bytes = sizeof *s + len};
    return DUN_OK;
}

static void ops_status(void *ctx, struct session_status *out)
{
    struct loop *l = ((struct worker *)ctx)->l;
    pthread_mutex_lock(&l->status_lock);
    *out = l->status;
    pthread_mutex_unlock(&l->status_lock);
    for (uint32_t i = 0; i < l->config.workers; i++) {
        struct loop_counters *n = &l->counters[i];
        out->clients += atomic_load_explicit(&n->clients, memory_order_relaxed);
        out->subscriptions += atomic_load_explicit(&n->subscriptions, memory_order_relaxed);
        out->channels += atomic_load_explicit(&n->channels, memory_order_relaxed);
        out->published += atomic_load_explicit(&n->published, memory_order_relaxed);
        out->publish_errors += atomic_load_explicit(&n->publish_errors, memory_order_relaxed);
        out->delivered += atomic_load_explicit(&n->delivered, memory_order_relaxed);
        out->arriving += atomic_load_explicit(&n->arriving, memory_order_relaxed);
        out->paced += atomic_load_explicit(&n->paced, memory_order_relaxed);
        out->unread_bytes += atomic_load_explicit(&n->unread_bytes, memory_order_relaxed);
        out->shed += atomic_load_explicit(&n->shed, memory_order_relaxed);
        out->accepted += atomic_load_explicit(&n->accepted, memory_order_relaxed);
    }
}

static dun_err ops_cast(void *ctx, const char *to_name, struct dun_slice bytes)
{
    struct worker *w = ctx;
    struct loop_heard *m = dun_malloc(sizeof *m + bytes.len);
    atomic_init(&m->refs, 1);
    snprintf(m->name, sizeof m->name, "%s", to_name == NULL ? "" : to_name);
    m->len = bytes.len;
    memcpy(m->bytes, bytes.data, bytes.len);
    struct inbox_item item = {
        .type = CORE_CAST, .arg = w->index, .ptr = m, .bytes = sizeof *m + bytes.len};
    if (inbox_push(core_inbox(w->l->core), item) == DUN_OK) return DUN_OK;
    loop_heard_unref(m);
    return DUN_E_OVERLOADED;
}

/* ---- life ---- */

static void run(void *arg)
{
    struct worker *w = arg;
    uv_run(&w->uv, UV_RUN_DEFAULT);
}

struct worker *worker_create(struct loop *l, uint32_t index, int fd, uint32_t conn_max)
{
    struct worker *w = dun_calloc(1, sizeof *w);
    struct session_ops ops = {.ctx = w,
                              .log_lock = ops_lock,
                              .log_unlock = ops_unlock,
                              .submit = ops_submit,
                              .status = ops_status,
                              .cast = ops_cast};
    w->l = l;
    w->index = index;
    w->conn_max = conn_max;
    w->counters = &l->counters[index];
    w->arrivals_end = &w->arrivals;
    w->arriving = (struct slice){.steps = ARRIVALS_STEPS,
                                 .share = ARRIVALS_SHARE,
                                 .wait_ms = ARRIVALS_WAIT_MS,
                                 .least_us = ARRIVALS_LEAST_US};
    w->catching_up = (struct slice){.steps = 1,
                                    .share = CATCH_UP_SHARE,
                                    .wait_ms = CATCH_UP_WAIT_MS,
                                    .patience_ms = CATCH_UP_PATIENCE_MS};
    int e = uv_loop_init(&w->uv);
    DUN_ASSERT(e == 0);
    uint64_t bytes = l->config.worker_inbox_bytes;
    inbox_init(&w->inbox, &w->uv, on_inbox, w, WORKER_ITEMS_MAX,
               bytes == 0 ? WORKER_BYTES_MAX : (size_t)bytes);
    uv_prepare_init(&w->uv, &w->prepare);
    uv_check_init(&w->uv, &w->check);
    uv_idle_init(&w->uv, &w->spin);
    uv_timer_init(&w->uv, &w->tick);
    uv_timer_init(&w->uv, &w->drain);
    uv_timer_init(&w->uv, &w->nap);
    uv_tcp_init(&w->uv, &w->listener);
    w->prepare.data = w->check.data = w->spin.data = w->tick.data = w->drain.data =
        w->listener.data = w;
    e = uv_tcp_open(&w->listener, fd);
    DUN_ASSERT(e == 0);
    w->listening = true;
    session_hub_init(&w->hub, &l->config.session, l->store, &ops, (uint8_t)index, loop_random());
    session_hub_time(&w->hub, loop_mono_ms(), loop_wall_ms());
    return w;
}

void worker_start(struct worker *w)
{
    int e = uv_listen((uv_stream_t *)&w->listener, LISTEN_BACKLOG, on_connection);
    if (e != 0)
        dun_log(w->l->config.log, DUN_LOG_ERROR, "listen_failed addr=%s why=%s", w->l->client_addr,
                uv_strerror(e));
    uv_prepare_start(&w->prepare, on_prepare);
    uv_check_start(&w->check, on_check);
    uv_timer_start(&w->tick, on_tick, TICK_MS, TICK_MS);
    e = uv_thread_create(&w->thread, run, w);
    DUN_ASSERT(e == 0);
}

void worker_join(struct worker *w)
{
    uv_thread_join(&w->thread);
}

void worker_destroy(struct worker *w)
{
    struct inbox_item *items;
    if (!w->stopping) { /* never started */
        end(w);
        uv_run(&w->uv, UV_RUN_DEFAULT);
    }
    uint32_t n = inbox_take(&w->inbox, &items);
    for (uint32_t i = 0; i < n; i++)
        drop(&items[i]);
    inbox_deinit(&w->inbox);
    for (uint32_t i = 0; i < w->submit_count; i++)
        dun_free(w->submits[i].ptr);
    dun_free(w->submits);
    session_hub_deinit(&w->hub);
    int e = uv_loop_close(&w->uv);
    DUN_ASSERT(e == 0);
    dun_free(w);
}
