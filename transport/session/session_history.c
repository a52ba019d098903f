/* transport/session/session_history.c: reading a channel's log for a history command.
 * Why: a reply may be far larger than its question, so its bytes are bounded,
 * and the writer must not wait for the whole of it, so the log is read in steps
 * of SESSION_PUMP_MAX messages, each under a lock of its own.
 * (1) What is read is contiguous and of one epoch: a step that finds another
 *     epoch, or that the log was trimmed past the place, ends the reading.
 * (2) Epoch and top are those of the first step. */
#include "transport/session/session_impl.h"

enum { PUBLICATION_BYTES = 96 /* names, offset and time around a publication's own bytes */ };

struct reading {
    const struct session_hub *hub;
    const struct cmd_history *q;
    struct session_history *out;
    uint64_t at; /* read so far: forward up to here, in reverse down to behind here */
    uint64_t left;
    size_t bytes;
    uint32_t group, cap;
    bool started;
};

void session_history_deinit(struct session_history *o)
{
    for (uint32_t i = 0; i < o->count; i++)
        store_msg_unref(o->msgs[i]);
    dun_free(o->msgs);
    dun_free(o->pubs);
    o->count = 0;
}

/* Where to begin, and how many at most. */
static void begin(struct reading *r, const struct store_position *pos, uint32_t max)
{
    const struct cmd_history *q = r->q;
    uint64_t oldest = pos->first_seq - 1; /* reading after it gives everything */
    uint64_t from = oldest, to = pos->seq;
    if (q->has_since && !q->reverse && q->since_offset > from) from = q->since_offset;
    if (q->has_since && q->reverse && q->since_offset - 1 < to) to = q->since_offset - 1;
    r->at = q->reverse ? to : from;
    r->left = from < to ? to - from : 0;
    uint32_t limit = q->limit < 0 || (uint32_t)q->limit > max ? max : (uint32_t)q->limit;
    if (r->left > limit) r->left = limit;
    r->out->epoch = pos->epoch;
    r->out->top = pos->seq;
    r->started = true;
}

/* Reads the next ones into @msgs, in the order of the log. Under the lock. */
static uint32_t read_some(struct reading *r, const struct store_position *pos,
                          struct store_msg *msgs[SESSION_PUMP_MAX])
{
    uint64_t n = r->left < SESSION_PUMP_MAX ? r->left : SESSION_PUMP_MAX, after = r->at;
    uint32_t count = 0;
    uint64_t oldest = pos->first_seq - 1;
    if (n == 0 || pos->epoch != r->out->epoch) return 0;
    if (r->q->reverse) {
        if (r->at <= oldest) return 0;
        if (n > r->at - oldest) n = r->at - oldest;
        after = r->at - n;
    }
    if (store_read(r->hub->store, r->group, r->q->channel, after, msgs, (uint32_t)n, &count) !=
        DUN_OK)
        return 0;
    return count;
}

/* false: the reply is full, and @m dropped. */
static bool take(struct reading *r, struct store_msg *m)
{
    struct session_history *o = r->out;
    size_t bytes = PUBLICATION_BYTES + m->data.len + m->tags.len + m->info.len;
    if (o->count > 0 && r->bytes + bytes > DUN_HISTORY_REPLY_BYTES_MAX) {
        store_msg_unref(m);
        return false;
    }
    if (o->count == r->cap) {
        r->cap = r->cap == 0 ? SESSION_PUMP_MAX : 2 * r->cap;
        o->msgs = dun_realloc(o->msgs, r->cap * sizeof(struct store_msg *));
    }
    o->msgs[o->count++] = m;
    r->bytes += bytes;
    r->at = r->q->reverse ? m->seq - 1 : m->seq;
    r->left--;
    return true;
}

/* One step. false: there is no more to read. */
static dun_err step(struct reading *r, uint32_t max, bool *more)
{
    const struct session_ops *ops = &r->hub->ops;
    const struct cmd_history *q = r->q;
    struct store_msg *msgs[SESSION_PUMP_MAX];
    dun_err e = DUN_OK;
    uint32_t count = 0;
    ops->log_lock(ops->ctx, r->group);
    struct store_position pos = store_position(r->hub->store, r->group, q->channel);
    if (q->has_since && q->since_epoch.len > 0 && !r->started &&
        !session_epoch_is(q->since_epoch, pos.epoch)) {
        e = DUN_E_CONFLICT;
    } else {
        if (!r->started) begin(r, &pos, max);
        count = read_some(r, &pos, msgs);
    }
    ops->log_unlock(ops->ctx, r->group);
    *more = count > 0;
    for (uint32_t i = 0; i < count; i++) {
        struct store_msg *m = msgs[q->reverse ? count - 1 - i : i];
        if (!*more) {
            store_msg_unref(m);
        } else {
            *more = take(r, m);
        }
    }
    return e;
}

dun_err session_history_read(struct session_hub *h, const struct cmd_history *q, uint32_t max,
                             struct session_history *out)
{
    struct reading r = {
        .hub = h, .q = q, .out = out, .group = store_group_of(q->channel, h->options->group_count)};
    bool more = true;
    *out = (struct session_history){0};
    if (q->reverse && q->has_since && q->since_offset == 0) return DUN_E_MALFORMED;
    while (more) {
        dun_err e = step(&r, max, &more);
        if (e != DUN_OK) return e; /* only the first step can fail */
    }
    session_epoch_text(out->epoch, out->epoch_text);
    out->pubs = dun_malloc((out->count + 1) * sizeof *out->pubs);
    for (uint32_t i = 0; i < out->count; i++)
        out->pubs[i] = session_publication(out->msgs[i], true);
    return DUN_OK;
}
