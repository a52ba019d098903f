/* transport/session/session_hub.c: one worker's channels and who listens.
 * Why: a committed message is looked up once and offered to each subscriber;
 * whoever cannot take it now is served from the log in turn.
 * (1) A channel is in the table while it has a subscriber.
 * (2) A session is in the lagging queue only if a cursor of its is behind and
 *     it is not blocked. */
#include "transport/session/session_impl.h"

#include <sodium.h>

enum {
    PUMP_BUDGET = 32, /* messages and PUMP_UNITs of bytes that are encoded from the logs before
                           other work gets a turn, and once more as many inside answers */
};

void session_hub_init(struct session_hub *h, const struct session_options *options,
                      const struct store *store, const struct session_ops *ops, uint8_t worker,
                      uint64_t prng_seed)
{
    _Static_assert(sizeof h->hash_key == crypto_shorthash_KEYBYTES, "");
    *h = (struct session_hub){.options = options, .store = store, .ops = *ops, .worker = worker};
    h->lagging_end = &h->lagging;
    h->inline_left = PUMP_BUDGET;
    session_pace_init(&h->pace);
    h->held_end = &h->held;
    dun_prng_seed(&h->prng, prng_seed);
    for (size_t i = 0; i < sizeof h->hash_key; i += sizeof(uint64_t)) {
        uint64_t v = dun_prng_next(&h->prng);
        memcpy(h->hash_key + i, &v, sizeof v);
    }
}

void session_hub_deinit(struct session_hub *h)
{
    DUN_ASSERT(h->session_count == 0);
    DUN_ASSERT(h->channels.count == 0);
    dun_map_deinit(&h->channels);
    dun_free(h->pending);
    dun_buf_deinit(&h->replies);
    dun_buf_deinit(&h->encode);
    dun_buf_deinit(&h->scratch);
    dun_buf_deinit(&h->body);
    session_hub_free_chunks(h);
    session_presence_deinit(h);
}

void session_hub_time(struct session_hub *h, uint64_t now_ms, uint64_t wall_ms)
{
    if (h->wheel_s == 0) h->wheel_s = now_ms / 1000;
    h->now_ms = now_ms;
    h->wall_ms = wall_ms;
}

/* ---- channels ---- */

static uint64_t hash_of(const struct session_hub *h, struct dun_slice channel)
{
    uint8_t out[crypto_shorthash_BYTES];
    uint64_t v;
    crypto_shorthash(out, channel.data, channel.len, h->hash_key);
    memcpy(&v, out, sizeof v);
    return v;
}

static bool channel_eq(const struct dun_map_node *node, const void *key)
{
    const struct session_channel *c = DUN_CONTAINER(node, struct session_channel, node);
    return dun_slice_eq(session_channel_name(c), *(const struct dun_slice *)key);
}

static struct session_channel *find(const struct session_hub *h, struct dun_slice channel,
                                    uint64_t hash)
{
    struct dun_map_node *n = dun_map_find(&h->channels, hash, channel_eq, &channel);
    return n == NULL ? NULL : DUN_CONTAINER(n, struct session_channel, node);
}

struct session_channel *session_hub_find(const struct session_hub *h, struct dun_slice channel)
{
    if (h->channels.count == 0) return NULL;
    return find(h, channel, hash_of(h, channel));
}

struct session_channel *session_hub_channel(struct session_hub *h, struct dun_slice channel,
                                            const struct store_namespace *ns)
{
    uint64_t hash = hash_of(h, channel);
    struct session_channel *c = find(h, channel, hash);
    if (c != NULL) return c;
    c = dun_malloc(sizeof *c + channel.len);
    *c = (struct session_channel){.ns = ns,
                                  .group = store_group_of(channel, h->options->group_count),
                                  .name_len = (uint32_t)channel.len,
                                  .history = store_namespace_has_history(ns)};
    memcpy(c->name, channel.data, channel.len);
    dun_map_insert(&h->channels, &c->node, hash);
    return c;
}

void session_hub_release(struct session_hub *h, struct session_channel *c)
{
    if (c->subs != NULL) return;
    DUN_ASSERT(c->sub_count == 0);
    dun_map_remove(&h->channels, &c->node);
    dun_free(c);
}

/* ---- delivery ---- */

static void deliver(struct session_hub *h, const struct store_msg *m)
{
    struct session_channel *c = session_hub_find(h, dun_slice(m->channel, m->channel_len));
    if (c == NULL) return;
    struct dun_blob *blobs[SESSION_ENC_COUNT] = {0};
    for (struct session_sub *sub = c->subs, *next; sub != NULL; sub = next) {
        next = sub->peer_next; /* an offer may end this subscription, never another */
        if (sub->parked != NULL) {
            session_sub_unpark(sub);
        } else {
            session_sub_offer(sub, m, blobs);
        }
    }
    for (size_t i = 0; i < DUN_COUNT(blobs); i++)
        dun_blob_unref(blobs[i]);
}

void session_hub_deliver(struct session_hub *h, struct store_msg *const *msgs, uint32_t count)
{
    if (h->channels.count == 0) return;
    for (uint32_t i = 0; i < count; i++)
        deliver(h, msgs[i]);
}

static void compare_all(struct session_hub *h, struct session_channel *c)
{
    h->ops.log_lock(h->ops.ctx, c->group);
    struct store_position pos = store_position(h->store, c->group, session_channel_name(c));
    h->ops.log_unlock(h->ops.ctx, c->group);
    for (struct session_sub *sub = c->subs, *next; sub != NULL; sub = next) {
        next = sub->peer_next;
        if (sub->parked != NULL) {
            session_sub_unpark(sub);
        } else if (sub->epoch != pos.epoch || sub->seq != pos.seq) {
            sub->behind = true;
            session_hub_lag(sub->owner);
        }
    }
}

void session_hub_resync(struct session_hub *h, const bool groups[DUN_GROUPS_MAX])
{
    /* Unparking may end a subscription and with it the channel, so fetch the next one first. */
    for (struct dun_map_node *n = dun_map_next(&h->channels, NULL), *next; n != NULL; n = next) {
        next = dun_map_next(&h->channels, n);
        struct session_channel *c = DUN_CONTAINER(n, struct session_channel, node);
        if (groups[c->group]) compare_all(h, c);
    }
}

/* ---- catching up ---- */

void session_hub_lag(struct session *s)
{
    if (s->is_lagging || s->blocked || s->phase != SESSION_OPEN) return;
    s->is_lagging = true;
    s->lagging_next = NULL;
    *s->hub->lagging_end = s;
    s->hub->lagging_end = &s->lagging_next;
}

void session_hub_unlag(struct session *s)
{
    if (!s->is_lagging) return;
    struct session **link = &s->hub->lagging;
    while (*link != s)
        link = &(*link)->lagging_next;
    *link = s->lagging_next;
    if (s->hub->lagging_end == &s->lagging_next) s->hub->lagging_end = link;
    s->is_lagging = false;
}

/* One turn of a session: one read from the log for each of its cursors. */
static uint32_t serve(struct session *s, uint32_t budget)
{
    bool behind = false;
    for (struct session_sub *sub = s->subs, *next; sub != NULL; sub = next) {
        next = sub->next;
        if (!sub->behind) continue;
        if (budget == 0 || s->blocked || s->phase != SESSION_OPEN) {
            behind = true;
            break;
        }
        uint32_t share = budget < SESSION_PUMP_MAX ? budget : SESSION_PUMP_MAX;
        uint32_t spent = session_sub_catch_up(sub, share);
        budget -= spent < budget ? spent : budget;
    }
    for (struct session_sub *sub = s->subs; sub != NULL && !behind; sub = sub->next)
        behind = sub->behind;
    if (behind) session_hub_lag(s);
    return budget;
}

bool session_hub_pump(struct session_hub *h)
{
    uint32_t budget = PUMP_BUDGET;
    h->inline_left = PUMP_BUDGET;
    if (h->lagging == NULL) return false;
    /* Each at most once a call, so that output is flushed between. */
    struct session *last = DUN_CONTAINER(h->lagging_end, struct session, lagging_next);
    while (h->lagging != NULL && budget > 0) {
        struct session *s = h->lagging;
        session_hub_unlag(s);
        budget = serve(s, budget);
        if (s == last) break;
    }
    return h->lagging != NULL;
}

/* ---- all sessions ---- */

void session_hub_serving(struct session_hub *h, bool serving)
{
    h->serving = serving;
    if (serving) return;
    for (uint32_t i = 0; i < SESSION_WHEEL_SLOTS; i++) {
        for (struct session *s = h->wheel[i], *next; s != NULL; s = next) {
            next = s->wheel_next;
            if (s->proto->client) session_close(s, CMD_CLOSE_FORCE_RECONNECT);
        }
    }
}

bool session_hub_drain(struct session_hub *h, uint32_t max)
{
    bool left = false;
    for (uint32_t i = 0; i < SESSION_WHEEL_SLOTS; i++) {
        for (struct session *s = h->wheel[i], *next; s != NULL; s = next) {
            next = s->wheel_next;
            if (!s->proto->client || s->phase != SESSION_OPEN) continue;
            if (s->pending_count > 0) {
                left = true;
                continue;
            }
            if (max-- == 0) return true;
            session_close(s, CMD_CLOSE_SHUTDOWN);
        }
    }
    return left;
}
