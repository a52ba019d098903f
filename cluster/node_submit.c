/* cluster/node_submit.c: publishes of local clients, until they are applied here.
 * Why: the primary may be another peer and may change before the operation
 * commits. So a submit waits at the peer its client is connected to, is sent to
 * whoever leads the group, again and again, and is answered when this very peer
 * applies it. Sending twice is harmless: the store applies a (origin, boot,
 * request) once.
 * (1) At most max_inflight submits of a group and DUN_PENDING_MAX in all wait.
 * (2) Every accepted submit is answered once: applied, refused or timed out. */
#include "cluster/node_internal.h"

#include "base/alloc.h"
#include "base/assert.h"

static struct node_pending *slot(const struct node_queue *q, uint64_t request)
{
    return &q->slots[request & (q->capacity - 1)];
}

static void queue_grow(struct node_queue *q)
{
    struct node_queue old = *q;
    q->capacity = old.capacity == 0 ? 16 : old.capacity * 2;
    q->slots = dun_calloc(q->capacity, sizeof *q->slots);
    for (uint64_t r = old.first; r < old.next; r++)
        *slot(q, r) = *slot(&old, r);
    dun_free(old.slots);
}

static struct node_pending *find(struct node *n, uint32_t group, uint64_t request)
{
    struct node_queue *q = &n->queues[group];
    if (request < q->first || request >= q->next) return NULL;
    struct node_pending *p = slot(q, request);
    return p->op != NULL ? p : NULL;
}

static void answer(struct node *n, uint32_t group, struct node_pending *p, struct node_reply reply)
{
    struct node_queue *q = &n->queues[group];
    reply.cookie = p->cookie;
    node_out_reply(n, &reply);
    dun_blob_unref(p->op);
    p->op = NULL;
    DUN_ASSERT(n->pending_count > 0);
    n->pending_count--;
    while (q->first < q->next && slot(q, q->first)->op == NULL)
        q->first++;
}

/* The primary had no room. An earlier copy may be in some log still: then only time tells. */
static void overloaded(struct node *n, uint32_t group, struct node_pending *p)
{
    if (p->sends <= 1)
        answer(n, group, p, (struct node_reply){.err = DUN_E_OVERLOADED});
    else
        p->sent_ms = n->env.now_ms;
}

/* Hands one waiting submit to the group's primary, if there is one to be had. */
static void dispatch(struct node *n, uint32_t group, struct node_pending *p)
{
    struct vsr *v = &n->groups[group];
    if (v->status != VSR_NORMAL) return;
    uint32_t primary = vsr_primary(v);
    if (primary == n->env.self) {
        if (p->sent_ms != 0 && vsr_view_cmp(p->sent_view, v->view) == 0) return; /* in our log */
        uint64_t cookie = p->cookie;
        p->sent_view = v->view;
        p->sends++;
        p->sent_ms = n->env.now_ms;
        if (p->sent_ms == 0) p->sent_ms = 1;
        dun_err e = vsr_submit(v, p->op);
        if (e == DUN_OK || p->op == NULL || p->cookie != cookie) return;
        if (e == DUN_E_OVERLOADED)
            overloaded(n, group, p);
        else
            p->sent_ms = 0;
        return;
    }
    if (n->env.boots[primary] == 0) return;
    struct wire_frame f;
    f.group = group;
    f.bytes = dun_blob_slice(p->op);
    wire_write_forward(vsr_frames(v, primary), &f);
    vsr_sent(v, primary);
    p->sends++;
    p->sent_ms = n->env.now_ms;
}

static dun_err check(const struct node *n, const struct node_event *ev)
{
    if (ev->submit.channel.len == 0) return DUN_E_MALFORMED;
    if (ev->submit.channel.len > DUN_CHANNEL_MAX || ev->submit.key.len > DUN_KEY_MAX ||
        ev->submit.data.len > DUN_PAYLOAD_MAX || ev->submit.tags.len > DUN_TAGS_MAX ||
        ev->submit.info.len > DUN_INFO_MAX)
        return DUN_E_TOO_BIG;
    if (!n->is_voter || !n->recovered || n->draining || !n->env.contact) return DUN_E_UNREADY;
    if (n->pending_count >= DUN_PENDING_MAX) return DUN_E_OVERLOADED;
    return DUN_OK;
}

dun_err node_submit(struct node *n, const struct node_event *ev)
{
    dun_err e = check(n, ev);
    if (e != DUN_OK) return e;
    uint32_t group = store_group_of(ev->submit.channel, n->config.group_count);
    struct node_queue *q = &n->queues[group];
    if (q->next - q->first >= n->env.max_inflight) return DUN_E_OVERLOADED;
    struct store_op op = {.type = STORE_OP_PUBLISH,
                          .origin = n->env.self,
                          .origin_boot = n->env.boots[n->env.self],
                          .request = q->next};
    op.publish.channel = ev->submit.channel;
    op.publish.key = ev->submit.key;
    op.publish.data = ev->submit.data;
    op.publish.tags = ev->submit.tags;
    op.publish.info = ev->submit.info;
    n->scratch.len = 0;
    store_op_encode(&op, &n->scratch);
    if (q->next - q->first == q->capacity) queue_grow(q);
    struct node_pending *p = slot(q, q->next);
    *p = (struct node_pending){.cookie = ev->submit.cookie,
                               .request = q->next,
                               .deadline_ms = ev->now_ms + n->config.submit_timeout_ms,
                               .op = dun_blob_copy(n->scratch.data, n->scratch.len)};
    q->next++;
    n->pending_count++;
    dispatch(n, group, p);
    return DUN_OK;
}

void node_submit_applied(struct node *n, uint32_t group, const struct store_result *r)
{
    if (r->request == 0 || r->origin != n->env.self || r->origin_boot != n->env.boots[n->env.self])
        return;
    struct node_pending *p = find(n, group, r->request);
    if (p == NULL) return;
    /* STALE: applied before, through a snapshot or an earlier copy; its position may be known. */
    dun_err err = r->err == DUN_E_STALE ? DUN_OK : r->err;
    answer(n, group, p,
           (struct node_reply){
               .err = err, .duplicate = r->duplicate, .seq = r->seq, .epoch = r->epoch});
}

void node_submit_refused(struct node *n, uint32_t group, uint64_t request, dun_err err)
{
    struct node_pending *p = find(n, group, request);
    if (p == NULL) return;
    if (err == DUN_E_OVERLOADED)
        overloaded(n, group, p);
    else
        p->sent_ms = 0; /* not the primary (any more): the next tick tries the one we know then */
}

void node_submit_forwarded(struct node *n, uint32_t from, uint32_t group, struct dun_slice bytes)
{
    struct store_op op;
    struct vsr *v = &n->groups[group];
    if (store_op_decode(bytes, &op) != DUN_OK || op.type != STORE_OP_PUBLISH || op.origin != from ||
        store_group_of(op.publish.channel, n->config.group_count) != group)
        return; /* a peer that sends this is broken; its client times out */
    struct dun_blob *blob = dun_blob_copy(bytes.data, bytes.len);
    dun_err e = vsr_submit(v, blob);
    dun_blob_unref(blob);
    uint64_t *taken = &n->queues[group].taken[from];
    if (e == DUN_OK && op.request > *taken) *taken = op.request;
    /* A copy of one that was taken: refusing it would deny what may yet commit. */
    if (e == DUN_OK || op.request <= *taken) return;
    struct wire_frame f;
    f.group = group;
    f.request = op.request;
    f.err = e;
    wire_write_refuse(vsr_frames(v, from), &f);
    vsr_sent(v, from);
}

/* Is the group led anew since its submits were last sent? */
static bool new_view(const struct node *n, uint32_t group)
{
    const struct vsr *v = &n->groups[group];
    return v->status == VSR_NORMAL && vsr_view_cmp(v->view, n->queues[group].view) != 0;
}

static void queue_tick(struct node *n, uint32_t group)
{
    struct node_queue *q = &n->queues[group];
    const struct vsr *v = &n->groups[group];
    uint64_t now = n->env.now_ms;
    bool anew = new_view(n, group);
    /* We lag, so the answer cannot be here yet. More copies would only move the log on further,
     * past what we fetch, and so for ever. */
    bool lags = v->fetch.kind != VSR_FETCH_NONE;
    for (uint64_t r = q->first; r < q->next; r++) {
        struct node_pending *p = slot(q, r);
        if (p->op == NULL) continue;
        if (now >= p->deadline_ms) {
            answer(n, group, p, (struct node_reply){.err = DUN_E_TIMEOUT});
            continue;
        }
        if (!n->env.contact) {
            answer(n, group, p, (struct node_reply){.err = DUN_E_UNREADY});
            continue;
        }
        if (anew) p->sent_ms = 0;
        if (p->sent_ms == 0 || (!lags && now - p->sent_ms >= NODE_RETRY_MS)) dispatch(n, group, p);
    }
    if (anew) q->view = v->view;
}

void node_submit_tick(struct node *n)
{
    if (n->pending_count == 0) return;
    for (uint32_t g = 0; g < n->config.group_count; g++)
        if (n->queues[g].first != n->queues[g].next) queue_tick(n, g);
}

void node_submit_flush(struct node *n)
{
    if (n->pending_count == 0) return;
    for (uint32_t g = 0; g < n->config.group_count; g++) {
        const struct node_queue *q = &n->queues[g];
        if (q->first != q->next && new_view(n, g)) queue_tick(n, g);
    }
}

void node_submit_deinit(struct node *n)
{
    for (uint32_t g = 0; n->queues != NULL && g < n->config.group_count; g++) {
        struct node_queue *q = &n->queues[g];
        for (uint64_t r = q->first; r < q->next; r++)
            dun_blob_unref(slot(q, r)->op);
        dun_free(q->slots);
    }
    dun_free(n->queues);
}
