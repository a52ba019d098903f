/* transport/session/session_sub.c: a subscription is a cursor (design 3.2).
 * Why: the channel log is the queue of every subscriber, so one that falls
 * behind costs nothing but its place, and resuming after a reconnect and
 * catching up after slowness are the same read.
 * (1) seq is the last message that was handed to the client's output, in epoch.
 * (2) The cursor is placed after the subscription is registered, by this
 *     peer's own log; what is committed meanwhile is dropped as past.
 * (3) A channel without history has no log; its messages wait in the output up
 *     to session_out_room(), then the client is too slow (3008).
 *
 * Known nuisance: a channel that nobody published to yet has its group's epoch,
 * and dropping idle channels of the group raises that, so its subscribers are
 * told that continuity is lost (2500, the client subscribes again) though they
 * missed nothing. Positions cannot tell this from a channel that was published
 * to and dropped again while this worker was behind, nor, if the clock stood
 * back, from a re-forming. So we rather say it once too often. */
#include "transport/session/session_impl.h"

enum {
    OUT_SOFT_MAX = 256 * 1024,    /* unsent bytes above which a cursor waits */
    INLINE_BYTES_MAX = 512 * 1024 /* of recovered messages inside one answer */
};

void session_epoch_text(uint64_t epoch, char out[SESSION_EPOCH_MAX])
{
    static const char digits[] = "0123456789abcdef";
    char reversed[SESSION_EPOCH_MAX];
    size_t n = 0;
    do {
        reversed[n++] = digits[epoch & 15];
        epoch >>= 4;
    } while (epoch != 0);
    for (size_t i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    out[n] = '\0';
}

bool session_epoch_is(struct dun_slice text, uint64_t epoch)
{
    char want[SESSION_EPOCH_MAX];
    session_epoch_text(epoch, want);
    return dun_slice_is(text, want);
}

struct cmd_publication session_publication(const struct store_msg *m, bool history)
{
    return (struct cmd_publication){.data = m->data,
                                    .tags = m->tags,
                                    .info = m->info,
                                    .offset = history ? m->seq : 0,
                                    .time_ms = m->time_ms};
}

struct session_sub *session_sub_find(const struct session *s, struct dun_slice channel)
{
    for (struct session_sub *sub = s->subs; sub != NULL; sub = sub->next)
        if (dun_slice_eq(session_channel_name(sub->channel), channel)) return sub;
    return NULL;
}

struct session_sub *session_sub_create(struct session *s, struct dun_slice channel,
                                       const struct store_namespace *ns)
{
    struct session_hub *h = s->hub;
    struct session_sub *sub = dun_calloc(1, sizeof *sub);
    struct session_channel *c = session_hub_channel(h, channel, ns);
    sub->owner = s;
    sub->channel = c;
    sub->next = s->subs;
    s->subs = sub;
    s->sub_count++;
    sub->peer_next = c->subs;
    sub->peer_link = &c->subs;
    if (c->subs != NULL) c->subs->peer_link = &sub->peer_next;
    c->subs = sub;
    c->sub_count++;
    h->sub_count++;
    return sub;
}

void session_sub_destroy(struct session_sub *sub)
{
    struct session *s = sub->owner;
    session_presence_left(sub);
    struct session_sub **link = &s->subs;
    while (*link != sub)
        link = &(*link)->next;
    *link = sub->next;
    s->sub_count--;
    *sub->peer_link = sub->peer_next;
    if (sub->peer_next != NULL) sub->peer_next->peer_link = sub->peer_link;
    sub->channel->sub_count--;
    s->hub->sub_count--;
    session_hub_release(s->hub, sub->channel);
    dun_free(sub->parked);
    dun_blob_unref(sub->chan_info);
    dun_free(sub);
}

/* ---- placing ---- */

void session_start_deinit(struct session_start *st)
{
    for (uint32_t i = 0; i < st->count; i++)
        store_msg_unref(st->msgs[i]);
    dun_free(st->msgs);
    st->msgs = NULL;
    st->count = 0;
}

/* One answer holds a bounded number of bytes; the cursor brings the rest. */
static void keep_bytes_max(struct session_start *st)
{
    size_t bytes = 0;
    uint32_t keep = 0;
    while (keep < st->count && (keep == 0 || bytes <= INLINE_BYTES_MAX))
        bytes += store_msg_cost(st->msgs[keep++]);
    for (uint32_t i = keep; i < st->count; i++)
        store_msg_unref(st->msgs[i]);
    st->count = keep;
}

static void recover(struct session_hub *h, const struct session_channel *c,
                    const struct session_resume *r, const struct store_position *pos,
                    struct session_start *out)
{
    if (r->epoch.len > 0 && !session_epoch_is(r->epoch, pos->epoch)) {
        out->gap = (struct session_gap){CMD_GAP_EPOCH_CHANGED, 1, pos->seq};
        return;
    }
    if (r->seq > pos->seq) {
        out->gap = (struct session_gap){CMD_GAP_EPOCH_CHANGED, pos->seq + 1, r->seq};
        out->ahead = true;
        return;
    }
    out->recovered = true;
    if (r->seq == pos->seq || r->inline_max == 0) {
        if (r->seq + 1 >= pos->first_seq) return;
    } else {
        out->msgs = dun_malloc(r->inline_max * sizeof(struct store_msg *));
        if (store_read(h->store, c->group, session_channel_name(c), r->seq, out->msgs,
                       r->inline_max, &out->count) == DUN_OK)
            return;
    }
    out->count = 0;
    out->recovered = false;
    out->gap = (struct session_gap){pos->evicted ? CMD_GAP_EVICTED : CMD_GAP_EXPIRED, r->seq + 1,
                                    pos->first_seq - 1};
}

void session_sub_start(struct session_sub *sub, const struct session_resume *r,
                       struct session_start *out)
{
    struct session_hub *h = sub->owner->hub;
    const struct session_channel *c = sub->channel;
    *out = (struct session_start){0};
    h->ops.log_lock(h->ops.ctx, c->group);
    struct store_position pos = store_position(h->store, c->group, session_channel_name(c));
    if (r->recover) recover(h, c, r, &pos, out);
    h->ops.log_unlock(h->ops.ctx, c->group);
    keep_bytes_max(out);
    out->epoch = pos.epoch;
    out->top = pos.seq;
    sub->epoch = pos.epoch;
    sub->seq = pos.seq;
    sub->behind = false;
    if (!out->recovered) return;
    sub->seq = out->count > 0 ? out->msgs[out->count - 1]->seq : r->seq;
    sub->behind = sub->seq < pos.seq;
    if (sub->behind) session_hub_lag(sub->owner);
}

void session_sub_park(struct session_sub *sub, uint32_t id, const struct session_resume *r,
                      int64_t flag)
{
    struct session *s = sub->owner;
    DUN_ASSERT(sub->parked == NULL && r->epoch.len < SESSION_EPOCH_MAX);
    struct session_parked *p = dun_calloc(1, sizeof *p);
    p->id = id;
    p->until_ms = s->hub->now_ms + SESSION_SUB_PARK_MS;
    p->seq = r->seq;
    p->flag = flag;
    memcpy(p->epoch, r->epoch.data, r->epoch.len);
    sub->parked = p;
    uint64_t at_s = (p->until_ms + 999) / 1000;
    if (at_s < s->due_s) session_arm(s, at_s);
}

void session_sub_unpark(struct session_sub *sub)
{
    if (sub->owner->phase == SESSION_OPEN) sub->owner->proto->started(sub->owner, sub);
}

/* ---- live ---- */

static void send(struct session_sub *sub, const struct store_msg *m, struct dun_blob **blob)
{
    struct session *s = sub->owner;
    struct session_hub *h = s->hub;
    if (*blob == NULL) {
        h->encode.len = 0;
        s->proto->encode(m, sub->channel->history, &h->encode);
        *blob = dun_blob_copy(h->encode.data, h->encode.len);
        h->encoded++;
    }
    session_out_add(s, dun_blob_ref(*blob));
    sub->seq = m->seq;
    sub->epoch = m->epoch;
    h->delivered++;
}

static bool tracked(const struct session_sub *sub)
{
    return sub->positioned || sub->channel->history;
}

static void too_slow(struct session *s)
{
    if (s->phase != SESSION_OPEN) return;
    s->hub->shed++;
    session_close(s, CMD_CLOSE_SLOW);
}

void session_sub_offer(struct session_sub *sub, const struct store_msg *m,
                       struct dun_blob *blobs[SESSION_ENC_COUNT])
{
    struct session *s = sub->owner;
    if (sub->behind || (m->epoch == sub->epoch && m->seq <= sub->seq)) return;
    struct dun_blob **blob = &blobs[s->proto->encoding];
    if (!tracked(sub)) {
        if (s->blocked && s->out_bytes > session_out_room(s, SESSION_OUT_MAX)) {
            too_slow(s);
        } else {
            send(sub, m, blob);
        }
        return;
    }
    bool next = m->epoch == sub->epoch && m->prev_seq == sub->seq;
    uint32_t max = sub->channel->history ? OUT_SOFT_MAX : SESSION_OUT_MAX;
    bool room = s->out_bytes < session_out_room(s, max) && (!s->blocked || !sub->channel->history);
    if (next && room) {
        send(sub, m, blob);
        return;
    }
    sub->behind = true;
    session_hub_lag(s);
}

/* The log cannot serve the cursor. */
static void lose(struct session_sub *sub, const struct store_position *pos)
{
    struct session *s = sub->owner;
    bool moved = pos->epoch != sub->epoch;
    if (!sub->positioned) {
        if (!moved) {
            too_slow(s);
            return;
        }
        sub->epoch = pos->epoch; /* nothing was promised across epochs */
        sub->seq = pos->seq;
        sub->behind = false;
        return;
    }
    struct session_gap gap = {pos->evicted ? CMD_GAP_EVICTED : CMD_GAP_EXPIRED, sub->seq + 1,
                              pos->first_seq - 1};
    if (moved) gap = (struct session_gap){CMD_GAP_EPOCH_CHANGED, 1, pos->seq};
    s->proto->lost(s, sub, &gap);
}

uint32_t session_sub_catch_up(struct session_sub *sub, uint32_t max)
{
    struct session *s = sub->owner;
    struct session_hub *h = s->hub;
    struct session_channel *c = sub->channel;
    struct store_msg *msgs[SESSION_PUMP_MAX];
    uint32_t count = 0, spent = 1;
    dun_err e = DUN_OK;
    if (max > SESSION_PUMP_MAX) max = SESSION_PUMP_MAX;
    h->ops.log_lock(h->ops.ctx, c->group);
    struct store_position pos = store_position(h->store, c->group, session_channel_name(c));
    if (pos.epoch == sub->epoch && pos.seq > sub->seq)
        e = store_read(h->store, c->group, session_channel_name(c), sub->seq, msgs, max, &count);
    h->ops.log_unlock(h->ops.ctx, c->group);
    if (pos.epoch != sub->epoch || e != DUN_OK) {
        lose(sub, &pos);
        return spent;
    }
    for (uint32_t i = 0; i < count && s->out_bytes < session_out_room(s, OUT_SOFT_MAX); i++) {
        struct dun_blob *blob = NULL;
        send(sub, msgs[i], &blob);
        spent += 1 + (uint32_t)(blob->len / SESSION_PUMP_UNIT);
        dun_blob_unref(blob);
        h->caught_up++;
    }
    for (uint32_t k = 0; k < count; k++)
        store_msg_unref(msgs[k]);
    sub->behind = sub->seq < pos.seq;
    return spent;
}
