/* transport/session/session.c: input, output and deadlines of one connection.
 * Why: whatever the protocol, a connection keeps no buffer while nothing is
 * half-read or half-written, and no timer of its own.
 * (1) out_head..out_tail hold out_bytes unsent bytes, out_skip of the first
 *     blob are sent already, in out_count blobs.
 * (2) A session is in exactly one slot of the wheel, the one of due_s.
 * (3) hub->held_bytes is the sum of in.cap.
 * (4) hub->unread_bytes is the sum of out_bytes of the hub->blocked_count
 *     blocked sessions. Others' output is the turn's own and leaves with it. */
#include "transport/session/session_impl.h"

enum { CHUNK_BLOBS = 14, CHUNKS_FREE_MAX = 4096 };

struct session_chunk { /* a piece of the output queue */
    struct session_chunk *next;
    uint16_t first, end;
    struct dun_blob *at[CHUNK_BLOBS];
};

static struct session_chunk *chunk_take(struct session_hub *h)
{
    struct session_chunk *c = h->chunks;
    if (c != NULL) {
        h->chunks = c->next;
        h->chunk_count--;
    } else {
        c = dun_malloc(sizeof *c);
    }
    c->next = NULL;
    c->first = c->end = 0;
    return c;
}

static void chunk_give(struct session_hub *h, struct session_chunk *c)
{
    if (h->chunk_count >= CHUNKS_FREE_MAX) {
        dun_free(c);
        return;
    }
    c->next = h->chunks;
    h->chunks = c;
    h->chunk_count++;
}

void session_hub_free_chunks(struct session_hub *h)
{
    for (struct session_chunk *c; (c = h->chunks) != NULL;) {
        h->chunks = c->next;
        dun_free(c);
    }
    h->chunk_count = 0;
}

void session_mark_dirty(struct session *s)
{
    if (s->is_dirty) return;
    s->is_dirty = true;
    s->dirty_next = s->hub->dirty;
    s->hub->dirty = s;
}

struct session *session_hub_dirty(struct session_hub *h)
{
    struct session *s = h->dirty;
    if (s == NULL) return NULL;
    h->dirty = s->dirty_next;
    s->is_dirty = false;
    return s;
}

void session_out_add(struct session *s, struct dun_blob *blob)
{
    if (s->phase != SESSION_OPEN || blob->len == 0) {
        dun_blob_unref(blob);
        return;
    }
    struct session_chunk *c = s->out_tail;
    if (c == NULL || c->end == CHUNK_BLOBS) {
        c = chunk_take(s->hub);
        if (s->out_tail == NULL) {
            s->out_head = c;
        } else {
            s->out_tail->next = c;
        }
        s->out_tail = c;
    }
    c->at[c->end++] = blob;
    s->out_bytes += blob->len;
    s->out_count++;
    if (s->blocked) s->hub->unread_bytes += blob->len;
    session_mark_dirty(s);
}

void session_out_copy(struct session *s, struct dun_slice bytes)
{
    if (bytes.len > 0) session_out_add(s, dun_blob_copy(bytes.data, bytes.len));
}

uint32_t session_out_peek(const struct session *s, struct dun_slice *iov, uint32_t max)
{
    uint32_t n = 0;
    size_t skip = s->out_skip;
    for (const struct session_chunk *c = s->out_head; c != NULL; c = c->next) {
        for (uint16_t i = c->first; i < c->end; i++) {
            if (n == max) return n;
            iov[n++] = dun_slice(c->at[i]->data + skip, c->at[i]->len - skip);
            skip = 0;
        }
    }
    return n;
}

void session_out_consume(struct session *s, size_t bytes)
{
    DUN_ASSERT(bytes <= s->out_bytes);
    s->out_bytes -= (uint32_t)bytes;
    if (s->blocked) s->hub->unread_bytes -= bytes;
    while (bytes > 0) {
        struct session_chunk *c = s->out_head;
        struct dun_blob *b = c->at[c->first];
        size_t left = b->len - s->out_skip;
        if (bytes < left) {
            s->out_skip += (uint32_t)bytes;
            return;
        }
        bytes -= left;
        s->out_skip = 0;
        s->out_count--;
        dun_blob_unref(b);
        if (++c->first < c->end) continue;
        s->out_head = c->next;
        if (s->out_head == NULL) s->out_tail = NULL;
        chunk_give(s->hub, c);
    }
}

/* ---- what clients leave unread ---- */

static void block(struct session *s, bool blocked)
{
    struct session_hub *h = s->hub;
    if (s->blocked == blocked) return;
    s->blocked = blocked;
    if (blocked) {
        h->unread_bytes += s->out_bytes;
        h->blocked_count++;
    } else {
        h->unread_bytes -= s->out_bytes;
        h->blocked_count--;
    }
}

static uint64_t shed_above(struct session_hub *h, uint64_t bytes, uint64_t excess)
{
    for (uint32_t i = 0; i < SESSION_WHEEL_SLOTS; i++) {
        for (struct session *s = h->wheel[i]; s != NULL && excess > 0; s = s->wheel_next) {
            if (!s->blocked || s->phase != SESSION_OPEN || s->out_bytes < bytes) continue;
            session_abort(s); /* a close frame would wait behind what it does not read */
            h->shed++;
            excess -= s->out_bytes < excess ? s->out_bytes : excess;
        }
    }
    return excess;
}

/* Each may have SESSION_UNREAD_MIN and one message unread, so thousands can have more than the
 * limit together: then those with the most are too slow. */
static void shed(struct session_hub *h)
{
    if (h->unread_bytes <= SESSION_UNREAD_MAX) return;
    uint64_t excess = h->unread_bytes - SESSION_UNREAD_MAX;
    uint64_t average = h->unread_bytes / h->blocked_count;
    for (uint64_t times = 4; times > 0 && excess > 0; times /= 2)
        excess = shed_above(h, times * average, excess);
}

/* ---- deadlines ---- */

static void wheel_remove(struct session *s)
{
    if (s->wheel_link == NULL) return;
    *s->wheel_link = s->wheel_next;
    if (s->wheel_next != NULL) s->wheel_next->wheel_link = s->wheel_link;
    s->wheel_link = NULL;
}

static void wheel_insert(struct session *s)
{
    struct session **slot = &s->hub->wheel[s->due_s % SESSION_WHEEL_SLOTS];
    s->wheel_next = *slot;
    if (*slot != NULL) (*slot)->wheel_link = &s->wheel_next;
    *slot = s;
    s->wheel_link = slot;
}

void session_arm(struct session *s, uint64_t at_s)
{
    uint64_t soonest = s->hub->wheel_s + 1;
    wheel_remove(s);
    s->due_s = (uint32_t)(at_s > soonest ? at_s : soonest);
    wheel_insert(s);
}

static void timer(struct session *s)
{
    if (s->phase == SESSION_OPEN) {
        s->proto->timer(s);
    } else {
        session_abort(s); /* the other side did not end its half in time */
    }
}

void session_hub_tick(struct session_hub *h)
{
    uint64_t now_s = session_now_s(h);
    session_presence_tick(h);
    shed(h);
    if (h->wheel_s + SESSION_WHEEL_SLOTS < now_s) h->wheel_s = now_s - SESSION_WHEEL_SLOTS;
    while (h->wheel_s < now_s) {
        h->wheel_s++;
        struct session **slot = &h->wheel[h->wheel_s % SESSION_WHEEL_SLOTS], *list = *slot;
        *slot = NULL;
        if (list != NULL) list->wheel_link = &list;
        for (struct session *s; (s = list) != NULL;) {
            wheel_remove(s);
            bool due = s->due_s <= h->wheel_s;
            if (due) s->due_s = (uint32_t)h->wheel_s + SESSION_WHEEL_SLOTS; /* if it forgets */
            wheel_insert(s);
            if (due) timer(s);
        }
    }
}

/* ---- life ---- */

void session_init(struct session *s, struct session_hub *h)
{
    *s = (struct session){.hub = h, .proto = &session_http, .phase = SESSION_OPEN};
    h->session_count++;
    session_arm(s, session_now_s(h) + h->options->stale_s);
}

void session_deinit(struct session *s)
{
    struct session_hub *h = s->hub;
    session_pending_drop(s);
    session_presence_forget(s);
    if (s->proto->client) h->client_count--;
    s->proto->deinit(s);
    while (s->subs != NULL)
        session_sub_destroy(s->subs);
    session_hub_unlag(s);
    session_pace_release(s);
    wheel_remove(s);
    if (s->is_dirty) {
        struct session **link = &h->dirty;
        while (*link != s)
            link = &(*link)->dirty_next;
        *link = s->dirty_next;
    }
    session_out_consume(s, s->out_bytes);
    block(s, false);
    h->held_bytes -= s->in.cap;
    dun_buf_deinit(&s->in);
    DUN_ASSERT(s->out_head == NULL && h->session_count > 0);
    h->session_count--;
}

void session_finish(struct session *s, uint32_t wait_s)
{
    if (s->phase != SESSION_OPEN) return;
    s->phase = SESSION_FINISHING;
    while (s->subs != NULL)
        session_sub_destroy(s->subs);
    session_hub_unlag(s);
    session_arm(s, session_now_s(s->hub) + wait_s);
    session_mark_dirty(s);
}

void session_abort(struct session *s)
{
    if (s->phase == SESSION_ABORTED) return;
    s->phase = SESSION_ABORTED;
    session_mark_dirty(s);
}

void session_close(struct session *s, enum cmd_close why)
{
    if (s->phase == SESSION_OPEN) s->proto->close(s, why);
}

bool session_wants_read(struct session *s)
{
    if (s->phase != SESSION_OPEN) return s->phase == SESSION_FINISHING;
    if (session_out_full(s) || !session_pace_reads(s)) return false;
    return s->proto->wants_read == NULL || s->proto->wants_read(s);
}

void session_set_blocked(struct session *s, bool blocked)
{
    block(s, blocked);
    if (blocked || s->phase != SESSION_OPEN) return;
    for (struct session_sub *sub = s->subs; sub != NULL; sub = sub->next)
        if (sub->behind) session_hub_lag(s);
    if (s->in.len > 0) session_resume(s);
}

static size_t input_steps(struct session *s, uint8_t *data, size_t len)
{
    size_t used = 0;
    for (;;) {
        const struct session_proto *proto = s->proto;
        used += proto->input(s, data + used, len - used);
        DUN_ASSERT(used <= len);
        if (s->proto == proto) return used;
        if (s->proto->client) s->hub->client_count++; /* session_deinit counts it out */
        if (s->phase != SESSION_OPEN) return used;
    }
}

static size_t input_all(struct session *s, uint8_t *data, size_t len)
{
    DUN_ASSERT(!s->in_input);
    s->in_input = true;
    size_t used = input_steps(s, data, len);
    s->in_input = false;
    if (used > 0 && s->inputs < UINT8_MAX) s->inputs++;
    return used;
}

static void receive(struct session *s, uint8_t *data, size_t len)
{
    if (s->in.len > 0) {
        dun_buf_add(&s->in, data, len);
        /* Protocols reach the input only through these arguments. */
        size_t used = input_all(s, s->in.data, s->in.len);
        dun_buf_drop_front(&s->in, used);
        if (s->in.len == 0 || s->phase != SESSION_OPEN) dun_buf_deinit(&s->in);
        return;
    }
    size_t used = input_all(s, data, len);
    if (used < len && s->phase == SESSION_OPEN) dun_buf_add(&s->in, data + used, len - used);
}

void session_receive(struct session *s, uint8_t *data, size_t len)
{
    struct session_hub *h = s->hub;
    if (s->phase != SESSION_OPEN) return; /* it is told to go; what it says is of no use */
    h->held_bytes -= s->in.cap;
    receive(s, data, len);
    h->held_bytes += s->in.cap;
    if (h->held_bytes > SESSION_HELD_MAX && s->in.cap > 0) session_abort(s);
}

void session_resume(struct session *s)
{
    if (s->in_input) return; /* an answer that came at once; the input goes on by itself */
    if (s->phase == SESSION_OPEN && s->in.len > 0) session_receive(s, NULL, 0);
    session_mark_dirty(s); /* wants_read may have changed */
}
