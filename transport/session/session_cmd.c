/* transport/session/session_cmd.c: the commands of the Centrifuge protocol.
 * Source: protocol.md, sections 2 to 10, 12, 13.
 * Why all are decided at once: connect and subscribe need nothing from
 * elsewhere (tokens are verified here, positions come from this peer's log), so
 * commands batched behind them are simply worked on in order. Only a publish
 * waits for the cluster, and a subscribe that is ahead of this peer's log. */
#include "transport/session/session_ws.h"

static struct dun_buf *reply(struct session *s)
{
    struct dun_buf *b = &s->hub->replies;
    if (b->len > 0) dun_buf_byte(b, '\n');
    return b;
}

static void fail(struct session *s, uint32_t id, enum cmd_error code)
{
    cmd_write_error(reply(s), id, code);
}

static struct dun_blob *keep(struct dun_slice text)
{
    return text.len == 0 ? NULL : dun_blob_copy(text.data, text.len);
}

/* A question is short and its answer long, so what a client does not read bounds its questions. */
static bool unread(const struct session *s)
{
    return s->hub->replies.len + s->out_bytes > session_out_room(s, SESSION_OUT_MAX);
}

/* Messages in the answer to a subscribe; without any, the cursor brings them in its own time. So a
 * crowd that comes back at once does not keep the worker from the others. */
static uint32_t inline_max(const struct session *s)
{
    uint32_t left = s->hub->inline_left;
    if (unread(s)) return 0;
    return left < DUN_CLIENT_HISTORY_MAX ? left : DUN_CLIENT_HISTORY_MAX;
}

/* ---- connect, refresh ---- */

static dun_err verify(struct session *s, struct dun_slice token, enum jwt_kind kind,
                      struct jwt_claims *out)
{
    const struct session_options *o = s->hub->options;
    if (o->token_key_count == 0) return DUN_E_DENIED;
    /* Not hub->scratch: the token itself may live there. */
    return jwt_verify(token, kind, o->token_keys, o->token_key_count, s->hub->wall_ms / 1000,
                      &s->hub->body, out);
}

static uint32_t ttl_of(const struct session_hub *h, uint64_t expires_s)
{
    uint64_t now_s = h->wall_ms / 1000;
    uint64_t ttl = expires_s > now_s ? expires_s - now_s : 1;
    return ttl > UINT32_MAX ? UINT32_MAX : (uint32_t)ttl;
}

static uint32_t expiry_of(const struct session *s, const struct jwt_claims *claims)
{
    uint64_t at_s = jwt_expires_at_s(claims);
    if (s->hub->options->insecure) return 0;
    return at_s > UINT32_MAX ? UINT32_MAX : (uint32_t)at_s;
}

static void on_connect(struct session *s, const struct cmd *c)
{
    struct session_ws *ws = session_ws_of(s);
    struct session_hub *h = s->hub;
    const struct session_options *o = h->options;
    if (ws->connected) {
        session_close(s, CMD_CLOSE_BAD_REQUEST);
        return;
    }
    if (c->connect.token.len > 0) {
        struct jwt_claims claims;
        dun_err e = verify(s, c->connect.token, JWT_CONNECTION, &claims);
        if (e == DUN_E_EXPIRED) {
            ws->refused = true;
            fail(s, c->id, CMD_ERR_TOKEN_EXPIRED);
            session_arm(s, session_now_s(h) + SESSION_DEAD_S);
            return;
        }
        if (e != DUN_OK) {
            session_close(s, CMD_CLOSE_INVALID_TOKEN);
            return;
        }
        ws->user = keep(claims.sub);
        ws->info = keep(claims.info);
        ws->expires_s = expiry_of(s, &claims);
    } else if (!o->insecure) {
        session_close(s, CMD_CLOSE_BAD_REQUEST);
        return;
    }
    char uuid[SESSION_UUID_TEXT];
    session_ws_uuid(ws->id, uuid);
    struct cmd_connect_result r = {.client = dun_slice_str(uuid),
                                   .version = dun_slice_str(o->version),
                                   .ping_s = o->ping_s,
                                   .pong = true,
                                   .expires = ws->expires_s != 0};
    if (r.expires) r.ttl_s = ttl_of(h, ws->expires_s);
    ws->connected = true;
    ws->ping_at_s =
        (uint32_t)(session_now_s(h) + dun_prng_range(&h->prng, (o->ping_s + 1) / 2, o->ping_s));
    session_ws_arm(s);
    cmd_write_connect(reply(s), c->id, &r);
}

static bool same_user(const struct session *s, const struct jwt_claims *claims)
{
    return dun_slice_eq(session_ws_user(s).user, claims->sub);
}

static void on_refresh(struct session *s, const struct cmd *c)
{
    struct session_ws *ws = session_ws_of(s);
    struct jwt_claims claims;
    if (c->refresh.token.len == 0) {
        session_close(s, CMD_CLOSE_BAD_REQUEST);
        return;
    }
    dun_err e = verify(s, c->refresh.token, JWT_CONNECTION, &claims);
    if (e == DUN_E_EXPIRED) {
        session_close(s, CMD_CLOSE_EXPIRED);
        return;
    }
    if (e != DUN_OK || !same_user(s, &claims)) {
        session_close(s, CMD_CLOSE_INVALID_TOKEN);
        return;
    }
    ws->expires_s = expiry_of(s, &claims);
    cmd_write_refresh(reply(s), c->id, CMD_REFRESH, ws->expires_s != 0,
                      ttl_of(s->hub, ws->expires_s));
}

/* ---- subscribe ---- */

/* What a subscription token grants. false: answered. */
static bool sub_token(struct session *s, uint32_t id, struct dun_slice token,
                      struct dun_slice channel, struct jwt_claims *claims)
{
    dun_err e = verify(s, token, JWT_SUBSCRIPTION, claims);
    if (e != DUN_OK) {
        fail(s, id, e == DUN_E_EXPIRED ? CMD_ERR_TOKEN_EXPIRED : CMD_ERR_PERMISSION_DENIED);
        return false;
    }
    char uuid[SESSION_UUID_TEXT];
    session_ws_uuid(session_ws_of(s)->id, uuid);
    if (!dun_slice_eq(claims->channel, channel) || !same_user(s, claims) ||
        (claims->has_client && !dun_slice_is(claims->client, uuid))) {
        session_close(s, CMD_CLOSE_INVALID_TOKEN);
        return false;
    }
    return true;
}

static bool may_history(const struct session *s, const struct store_namespace *ns,
                        struct dun_slice channel)
{
    struct session_user u = session_ws_user(s);
    return session_may(&u, SESSION_HISTORY, ns, channel, true);
}

static void place_options(const struct session *s, const struct cmd_subscribe *q,
                          struct session_sub *sub)
{
    const struct store_namespace *ns = sub->channel->ns;
    bool reads = may_history(s, ns, q->channel);
    sub->recoverable = sub->channel->history &&
                       (ns->force_recovery || (q->recoverable && (ns->allow_recovery || reads)));
    sub->positioned = sub->recoverable || ns->force_positioning ||
                      (q->positioned && (ns->allow_positioning || reads));
    sub->joins = ns->force_push_join_leave || (ns->join_leave && q->join_leave);
}

static void write_started(struct session *s, uint32_t id, struct session_sub *sub,
                          const struct session_resume *resume, bool was_recovering,
                          const struct session_start *st)
{
    char epoch[SESSION_EPOCH_MAX];
    session_epoch_text(st->epoch, epoch);
    struct cmd_subscribe_result r = {.recoverable = sub->recoverable,
                                     .positioned = sub->positioned,
                                     .was_recovering = was_recovering,
                                     .recovered = st->recovered,
                                     .expires = sub->expires_s != 0,
                                     .gap = st->gap.reason,
                                     .gap_from = st->gap.from,
                                     .gap_to = st->gap.to};
    if (r.expires) r.ttl_s = ttl_of(s->hub, sub->expires_s);
    if (sub->positioned) {
        r.epoch = dun_slice_str(epoch);
        r.offset = st->recovered ? resume->seq : st->top;
    }
    struct cmd_publication *pubs = dun_malloc((st->count + 1) * sizeof *pubs);
    for (uint32_t i = 0; i < st->count; i++)
        pubs[i] = session_publication(st->msgs[i], true);
    r.publications = pubs;
    r.publication_count = st->count;
    s->hub->inline_left -= st->count;
    cmd_write_subscribe(reply(s), id, &r);
    dun_free(pubs);
}

/* @final: do not wait for this peer's log any longer. */
static void start(struct session *s, struct session_sub *sub, uint32_t id,
                  const struct session_resume *resume, bool was_recovering, int64_t flag,
                  bool final)
{
    struct session_start st;
    session_sub_start(sub, resume, &st);
    if (st.ahead && !final) {
        if (sub->parked == NULL) session_sub_park(sub, id, resume, flag);
        return;
    }
    bool refuse = resume->recover && !st.recovered && (flag & CMD_FLAG_ERROR_UNRECOVERED) != 0;
    if (refuse) {
        session_sub_destroy(sub);
        fail(s, id, CMD_ERR_UNRECOVERABLE_POSITION);
    } else {
        dun_free(sub->parked);
        sub->parked = NULL;
        write_started(s, id, sub, resume, was_recovering, &st);
        session_ws_flush(s); /* the answer comes before the client's own join */
        session_presence_joined(sub);
    }
    session_start_deinit(&st);
}

static void start_parked(struct session *s, struct session_sub *sub, bool final)
{
    struct session_parked p = *sub->parked; /* start may free it */
    struct session_resume r = {
        .recover = true,
        .epoch = dun_slice_str(p.epoch),
        .seq = p.seq,
        .inline_max = inline_max(s),
    };
    start(s, sub, p.id, &r, true, p.flag, final);
}

void session_cmd_started(struct session *s, struct session_sub *sub)
{
    start_parked(s, sub, s->hub->now_ms >= sub->parked->until_ms);
    session_ws_flush(s);
}

static enum cmd_error check_subscribe(const struct session *s, const struct cmd_subscribe *q,
                                      const struct store_namespace *ns)
{
    if (q->channel.len > DUN_CHANNEL_MAX || q->tf.len > 0) return CMD_ERR_BAD_REQUEST;
    if (q->type != 0) return CMD_ERR_NOT_AVAILABLE;
    if (ns == NULL) return CMD_ERR_UNKNOWN_CHANNEL;
    if (session_sub_find(s, q->channel) != NULL) return CMD_ERR_ALREADY_SUBSCRIBED;
    if (s->sub_count >= DUN_CLIENT_CHANNELS_MAX) return CMD_ERR_LIMIT_EXCEEDED;
    return 0;
}

static void on_subscribe(struct session *s, const struct cmd *c)
{
    const struct cmd_subscribe *q = &c->subscribe;
    if (q->channel.len == 0 || (q->delta.len > 0 && !dun_slice_is(q->delta, "fossil"))) {
        session_close(s, CMD_CLOSE_BAD_REQUEST);
        return;
    }
    const struct store_namespace *ns = session_ns(s->hub, q->channel);
    enum cmd_error code = check_subscribe(s, q, ns);
    struct session_user user = session_ws_user(s);
    struct jwt_claims claims = {0};
    if (code != 0) {
        fail(s, c->id, code);
        return;
    }
    if (q->token.len > 0) {
        if (!sub_token(s, c->id, q->token, q->channel, &claims)) return;
    } else if (!session_may(&user, SESSION_SUBSCRIBE, ns, q->channel, false)) {
        fail(s, c->id, CMD_ERR_PERMISSION_DENIED);
        return;
    }
    struct session_sub *sub = session_sub_create(s, q->channel, ns);
    place_options(s, q, sub);
    if (q->token.len > 0) {
        sub->expires_s = expiry_of(s, &claims);
        sub->chan_info = keep(claims.info);
    }
    struct session_resume r = {
        .recover = q->recover && sub->recoverable,
        .epoch = q->epoch,
        .seq = q->offset,
        .inline_max = inline_max(s),
    };
    bool waits = q->epoch.len > 0; /* without an epoch nothing says that our log will get there */
    start(s, sub, c->id, &r, q->recover, q->flag, !waits);
}

static void on_unsubscribe(struct session *s, const struct cmd *c)
{
    struct session_sub *sub = session_sub_find(s, c->unsubscribe.channel);
    if (sub != NULL && sub->parked != NULL) {
        start_parked(s, sub, true); /* its answer comes first */
        sub = session_sub_find(s, c->unsubscribe.channel);
    }
    if (sub != NULL) session_sub_destroy(sub);
    cmd_write_empty(reply(s), c->id, CMD_UNSUBSCRIBE);
}

static void on_sub_refresh(struct session *s, const struct cmd *c)
{
    struct session_sub *sub = session_sub_find(s, c->sub_refresh.channel);
    struct jwt_claims claims;
    if (sub == NULL) {
        fail(s, c->id, CMD_ERR_PERMISSION_DENIED);
        return;
    }
    dun_err e = verify(s, c->sub_refresh.token, JWT_SUBSCRIPTION, &claims);
    if (e == DUN_E_EXPIRED) {
        fail(s, c->id, CMD_ERR_TOKEN_EXPIRED);
        return;
    }
    if (e != DUN_OK || !dun_slice_eq(claims.channel, c->sub_refresh.channel) ||
        !same_user(s, &claims)) {
        session_close(s, CMD_CLOSE_INVALID_TOKEN);
        return;
    }
    sub->expires_s = expiry_of(s, &claims);
    cmd_write_refresh(reply(s), c->id, CMD_SUB_REFRESH, sub->expires_s != 0,
                      ttl_of(s->hub, sub->expires_s));
}

/* ---- publish, history, presence ---- */

static void on_publish(struct session *s, const struct cmd *c)
{
    const struct cmd_publish *q = &c->publish;
    const struct store_namespace *ns = session_ns(s->hub, q->channel);
    struct session_user user = session_ws_user(s);
    enum cmd_error code = 0;
    if (q->channel.len == 0 || q->channel.len > DUN_CHANNEL_MAX || q->data.len == 0 ||
        q->data.len > DUN_PAYLOAD_MAX) {
        code = CMD_ERR_BAD_REQUEST;
    } else if (ns == NULL) {
        code = CMD_ERR_UNKNOWN_CHANNEL;
    } else if (!session_may(&user, SESSION_PUBLISH, ns, q->channel,
                            session_sub_find(s, q->channel) != NULL)) {
        code = CMD_ERR_PERMISSION_DENIED;
    } else if (s->pending_count >= DUN_CLIENT_COMMANDS_MAX) {
        code = CMD_ERR_TOO_MANY_REQUESTS;
    } else if (!s->hub->serving) {
        code = CMD_ERR_INTERNAL;
    }
    if (code == 0) {
        char uuid[SESSION_UUID_TEXT];
        struct cmd_client_info info = session_ws_info(s, uuid);
        struct dun_buf *b = &s->hub->body;
        b->len = 0;
        cmd_write_client_info(b, &info);
        struct session_publish p = {
            .channel = q->channel, .data = q->data, .info = dun_buf_view(b)};
        dun_err e = session_submit(s, c->id, &p);
        if (e != DUN_OK) code = session_error_of(e);
    }
    if (code != 0) fail(s, c->id, code);
}

void session_cmd_replied(struct session *s, uint32_t id, const struct node_reply *r)
{
    if (r->err == DUN_OK) {
        cmd_write_empty(reply(s), id, CMD_PUBLISH);
    } else {
        fail(s, id, session_error_of(r->err));
    }
    session_ws_flush(s);
}

/* What reading a channel needs. 0: go on. */
static enum cmd_error check_read(struct session *s, struct dun_slice channel,
                                 enum session_right right)
{
    struct session_user user = session_ws_user(s);
    if (channel.len == 0 || channel.len > DUN_CHANNEL_MAX) return CMD_ERR_BAD_REQUEST;
    const struct store_namespace *ns = session_ns(s->hub, channel);
    if (ns == NULL) return CMD_ERR_UNKNOWN_CHANNEL;
    if (!session_may(&user, right, ns, channel, session_sub_find(s, channel) != NULL))
        return CMD_ERR_PERMISSION_DENIED;
    bool on = right == SESSION_HISTORY ? store_namespace_has_history(ns) : ns->presence;
    if (!on) return CMD_ERR_NOT_AVAILABLE;
    return unread(s) ? CMD_ERR_TOO_MANY_REQUESTS : 0;
}

static void on_history(struct session *s, const struct cmd *c)
{
    enum cmd_error code = check_read(s, c->history.channel, SESSION_HISTORY);
    struct session_history got;
    if (code == 0) {
        dun_err e = session_history_read(s->hub, &c->history, DUN_CLIENT_HISTORY_MAX, &got);
        if (e == DUN_OK) {
            struct cmd_history_result r = {.publications = got.pubs,
                                           .publication_count = got.count,
                                           .epoch = dun_slice_str(got.epoch_text),
                                           .offset = got.top};
            cmd_write_history(reply(s), c->id, &r);
            session_history_deinit(&got);
            return;
        }
        code = e == DUN_E_CONFLICT ? CMD_ERR_UNRECOVERABLE_POSITION : CMD_ERR_BAD_REQUEST;
    }
    fail(s, c->id, code);
}

static void on_presence(struct session *s, const struct cmd *c, bool stats)
{
    struct dun_slice channel = stats ? c->presence_stats.channel : c->presence.channel;
    enum cmd_error code = check_read(s, channel, SESSION_PRESENCE);
    if (code == 0) {
        dun_err e = session_presence_ask(s, c->id, stats, channel);
        if (e != DUN_OK) code = session_error_of(e);
    }
    if (code != 0) fail(s, c->id, code);
}

void session_cmd_presence(struct session *s, uint32_t id, enum cmd_error code, bool stats,
                          const struct cmd_client_info *list, uint32_t count, uint32_t users)
{
    if (code != 0) {
        fail(s, id, code);
    } else if (stats) {
        cmd_write_presence_stats(reply(s), id, count, users);
    } else {
        cmd_write_presence(reply(s), id, list, count);
    }
    if (!s->in_input) session_ws_flush(s); /* else with the other answers to this input */
}

/* ---- dispatch ---- */

static void dispatch(struct session *s, const struct cmd *c)
{
    if (!session_ws_of(s)->connected && c->type != CMD_CONNECT) {
        session_close(s, CMD_CLOSE_BAD_REQUEST);
        return;
    }
    switch (c->type) {
    case CMD_CONNECT: on_connect(s, c); return;
    case CMD_SUBSCRIBE: on_subscribe(s, c); return;
    case CMD_UNSUBSCRIBE: on_unsubscribe(s, c); return;
    case CMD_PUBLISH: on_publish(s, c); return;
    case CMD_PRESENCE: on_presence(s, c, false); return;
    case CMD_PRESENCE_STATS: on_presence(s, c, true); return;
    case CMD_HISTORY: on_history(s, c); return;
    case CMD_PING: session_close(s, CMD_CLOSE_BAD_REQUEST); return;
    case CMD_SEND: session_close(s, CMD_CLOSE_NOT_AVAILABLE); return;
    case CMD_RPC: fail(s, c->id, CMD_ERR_NOT_AVAILABLE); return;
    case CMD_REFRESH: on_refresh(s, c); return;
    case CMD_SUB_REFRESH: on_sub_refresh(s, c); return;
    case CMD_PONG: session_ws_of(s)->awaits_pong = false; return;
    case CMD_TYPE_COUNT: break;
    }
    DUN_UNREACHABLE();
}

void session_cmd_message(struct session *s, struct dun_slice text)
{
    struct session_hub *h = s->hub;
    struct dun_slice line;
    while (s->phase == SESSION_OPEN && !session_ws_of(s)->refused && cmd_next_line(&text, &line)) {
        struct cmd c;
        h->scratch.len = 0;
        if (cmd_decode(line, &h->scratch, &c) != DUN_OK) {
            session_close(s, CMD_CLOSE_BAD_REQUEST);
            return;
        }
        dispatch(s, &c);
    }
}
