/* transport/session/session_sse.c: GET /events/{channel} as Server-Sent Events.
 * Why: a browser's EventSource resumes by itself with the last id it saw, and
 * the id is our position, so plain HTTP gets recovery on any peer.
 *
 * Events: `id: epoch:seq` and `data:` the payload as published. The stream
 * begins with an id alone, so that a client that was cut off before its first
 * message resumes too. `event: gap`, data {"gap":{"from","to","reason"}}: the
 * messages in between cannot be had. */
#include "transport/session/session_impl.h"

#include "transport/codec/http.h"
#include "transport/codec/sse.h"

enum { HEARTBEAT_S = 15, RETRY_MS = 500, FINISH_WAIT_S = 2, ID_MAX = SESSION_EPOCH_MAX + 21 };

static void sse_encode(const struct store_msg *m, bool history, struct dun_buf *out)
{
    char epoch[SESSION_EPOCH_MAX], id[ID_MAX];
    struct dun_slice data = m->data;
    struct dun_buf clean = {0};
    int n = 0;
    if (history) {
        session_epoch_text(m->epoch, epoch);
        n = snprintf(id, sizeof id, "%s:%llu", epoch, (unsigned long long)m->seq);
    }
    if (memchr(data.data, '\n', data.len) != NULL || memchr(data.data, '\r', data.len) != NULL) {
        json_strip_newlines(&clean, data);
        data = dun_buf_view(&clean);
    }
    sse_write_event(out, dun_slice(id, (size_t)n), dun_slice("", 0), data);
    dun_buf_deinit(&clean);
}

static void write_gap(struct dun_buf *b, struct dun_slice id, const struct session_gap *gap)
{
    struct dun_buf data = {0};
    dun_buf_printf(&data, "{\"gap\":{\"from\":%llu,\"to\":%llu,\"reason\":\"%s\"}}",
                   (unsigned long long)gap->from, (unsigned long long)gap->to,
                   cmd_gap_text(gap->reason));
    sse_write_event(b, id, dun_slice_str("gap"), dun_buf_view(&data));
    dun_buf_deinit(&data);
}

static void sse_close(struct session *s, enum cmd_close why)
{
    struct dun_buf b = {0};
    sse_write_comment(&b, dun_slice_str(cmd_close_text(why)));
    session_out_copy(s, dun_buf_view(&b));
    dun_buf_deinit(&b);
    session_finish(s, FINISH_WAIT_S);
}

static void sse_lost(struct session *s, struct session_sub *sub, const struct session_gap *gap)
{
    struct dun_buf b = {0};
    (void)sub;
    write_gap(&b, dun_slice("", 0), gap);
    session_out_copy(s, dun_buf_view(&b));
    dun_buf_deinit(&b);
    session_finish(s, FINISH_WAIT_S);
}

static size_t sse_input(struct session *s, uint8_t *data, size_t len)
{
    (void)s; /* the client has nothing more to say on this connection */
    (void)data;
    return len;
}

static void sse_timer(struct session *s)
{
    struct dun_buf b = {0};
    const struct session_sub *sub = s->subs;
    if (sub->parked != NULL) session_sub_unpark(s->subs);
    if (sub->expires_s != 0 &&
        s->hub->wall_ms / 1000 > (uint64_t)sub->expires_s + SESSION_EXPIRE_GRACE_S) {
        sse_close(s, CMD_CLOSE_EXPIRED);
        return;
    }
    if (!s->blocked) {
        sse_write_comment(&b, dun_slice_str("ping"));
        session_out_copy(s, dun_buf_view(&b));
        dun_buf_deinit(&b);
    }
    session_arm(s, session_now_s(s->hub) + HEARTBEAT_S);
}

static void write_position(struct session *s, const struct session_sub *sub,
                           const struct session_start *st)
{
    struct dun_buf b = {0};
    char epoch[SESSION_EPOCH_MAX], id[ID_MAX];
    session_epoch_text(st->epoch, epoch);
    snprintf(id, sizeof id, "%s:%llu", epoch, (unsigned long long)sub->seq);
    if (st->gap.reason != CMD_GAP_NONE) {
        write_gap(&b, dun_slice_str(id), &st->gap);
    } else if (sub->channel->history) {
        dun_buf_printf(&b, "id: %s\n\n", id); /* without data: sets the id, fires nothing */
    }
    session_out_copy(s, dun_buf_view(&b));
    dun_buf_deinit(&b);
}

static void start(struct session *s, struct session_sub *sub, const struct session_resume *r,
                  bool final)
{
    struct session_start st;
    session_sub_start(sub, r, &st);
    if (st.ahead && !final) {
        if (sub->parked == NULL) session_sub_park(sub, 0, r, 0);
    } else {
        dun_free(sub->parked);
        sub->parked = NULL;
        write_position(s, sub, &st);
    }
    session_start_deinit(&st);
}

static void sse_started(struct session *s, struct session_sub *sub)
{
    struct session_parked p = *sub->parked;
    struct session_resume r = {.recover = true, .epoch = dun_slice_str(p.epoch), .seq = p.seq};
    start(s, sub, &r, s->hub->now_ms >= p.until_ms);
}

/* ---- the request ---- */

static void refuse(struct session *s, int status, const char *text)
{
    session_http_answer(s, status, "text/plain; charset=utf-8", dun_slice_str(text), NULL);
}

/* "epoch:seq"; what does not parse resumes nowhere and is told so. */
static void parse_id(struct dun_slice id, struct session_resume *r)
{
    const uint8_t *colon = memchr(id.data, ':', id.len);
    r->recover = true;
    r->epoch = dun_slice("?", 1);
    if (colon == NULL) return;
    size_t n = (size_t)(colon - id.data);
    struct dun_slice digits = dun_slice(colon + 1, id.len - n - 1);
    if (n == 0 || json_check_type(digits, JSON_NUMBER) != DUN_OK) return;
    if (json_get_u64(json_trim(digits), &r->seq) != DUN_OK) return;
    r->epoch = dun_slice(id.data, n);
}

/* The position asked for, if any. */
static void resume_of(const struct http_request *req, struct dun_buf *scratch,
                      struct session_resume *r)
{
    struct dun_slice id;
    *r = (struct session_resume){0};
    if (http_find(&req->headers, "Last-Event-ID", &id) && id.len > 0) {
        parse_id(id, r);
    } else if (http_query(req->query, "last_event_id", scratch, &id) == DUN_OK && id.len > 0) {
        parse_id(id, r);
    }
}

static bool token_of(const struct http_request *req, struct dun_buf *scratch,
                     struct dun_slice *token)
{
    struct dun_slice v;
    if (http_find(&req->headers, "Authorization", &v) && v.len > 7 &&
        http_same(dun_slice(v.data, 7), "Bearer ")) {
        *token = dun_slice(v.data + 7, v.len - 7);
        return true;
    }
    return http_query(req->query, "token", scratch, token) == DUN_OK && token->len > 0;
}

/* 0: welcome; else the HTTP status. A connection token says who asks; a subscription token for
 * this channel grants it. */
static int check_access(struct session *s, const struct http_request *req, struct dun_slice channel,
                        const struct store_namespace *ns, struct dun_buf *scratch,
                        uint64_t *expires_s)
{
    const struct session_options *o = s->hub->options;
    struct session_user user = {.user = {(const uint8_t *)"", 0}, .insecure = o->insecure};
    struct dun_slice token;
    struct jwt_claims claims;
    uint64_t now_s = s->hub->wall_ms / 1000;
    if (!token_of(req, scratch, &token))
        return !o->insecure                                                ? 401
               : session_may(&user, SESSION_SUBSCRIBE, ns, channel, false) ? 0
                                                                           : 403;
    if (o->token_key_count == 0) return 401;
    struct dun_buf *b = &s->hub->body;
    dun_err e =
        jwt_verify(token, JWT_CONNECTION, o->token_keys, o->token_key_count, now_s, b, &claims);
    if (e == DUN_OK) {
        user.user = claims.sub;
        if (!o->insecure) *expires_s = jwt_expires_at_s(&claims);
        return session_may(&user, SESSION_SUBSCRIBE, ns, channel, false) ? 0 : 403;
    }
    e = jwt_verify(token, JWT_SUBSCRIPTION, o->token_keys, o->token_key_count, now_s, b, &claims);
    if (e != DUN_OK) return 401;
    if (!o->insecure) *expires_s = jwt_expires_at_s(&claims);
    return dun_slice_eq(claims.channel, channel) ? 0 : 403;
}

static void write_head(struct session *s, struct dun_slice origin)
{
    struct dun_buf b = {0}, extra = {0};
    dun_buf_str(&extra, "Cache-Control: no-cache, no-store\r\nX-Accel-Buffering: no\r\n");
    if (origin.len > 0) {
        dun_buf_str(&extra, "Access-Control-Allow-Origin: ");
        dun_buf_slice(&extra, origin);
        dun_buf_str(&extra, "\r\nVary: Origin\r\n");
    }
    dun_buf_byte(&extra, 0);
    http_write_stream_head(&b, 200, "text/event-stream", (const char *)extra.data);
    sse_write_retry(&b, RETRY_MS);
    session_out_copy(s, dun_buf_view(&b));
    dun_buf_deinit(&extra);
    dun_buf_deinit(&b);
}

static bool is_event_source(const struct http_request *req)
{
    return http_has_token(&req->headers, "Accept", "text/event-stream");
}

/* false: answered with an error. */
static bool admit(struct session *s, const struct http_request *req, struct dun_slice channel,
                  const struct store_namespace *ns, struct dun_buf *scratch,
                  struct dun_slice *origin, uint64_t *expires_s)
{
    struct dun_slice host = {0};
    http_find(&req->headers, "Origin", origin);
    http_find(&req->headers, "Host", &host);
    if (!dun_slice_is(req->method, "GET")) {
        session_http_answer(s, 405, NULL, dun_slice("", 0), "Allow: GET\r\n");
        return false;
    }
    if (!session_origin_ok(s->hub->options, *origin, host)) {
        refuse(s, 403, "origin not allowed; see client.allowed_origins\n");
        return false;
    }
    if (channel.len == 0 || channel.len > DUN_CHANNEL_MAX || ns == NULL) {
        refuse(s, ns == NULL ? 404 : 400,
               ns == NULL ? "unknown channel: its namespace is not configured\n"
                          : "the channel's name must have 1 to 255 bytes\n");
        return false;
    }
    int status = check_access(s, req, channel, ns, scratch, expires_s);
    if (status != 0) {
        refuse(s, status,
               status == 401 ? "a valid token is needed: ?token=... or Authorization: "
                               "Bearer ...\n"
                             : "permission denied\n");
        return false;
    }
    /* An EventSource gives up for good after an error status, so it gets an empty stream. */
    if (!s->hub->serving && !is_event_source(req)) {
        session_http_answer(s, 503, "text/plain; charset=utf-8",
                            dun_slice_str("this peer is not ready; try another\n"),
                            "Retry-After: 1\r\n");
        return false;
    }
    return true;
}

void session_sse_begin(struct session *s, const struct http_request *req, struct dun_slice channel)
{
    const struct store_namespace *ns = session_ns(s->hub, channel);
    struct dun_slice origin = {0};
    struct session_resume r;
    uint64_t expires_s = 0;
    struct dun_buf scratch = {0}; /* the channel's name may live in the hub's */
    dun_buf_reserve(&scratch, 2 * req->query.len + 1);
    if (!admit(s, req, channel, ns, &scratch, &origin, &expires_s)) {
        dun_buf_deinit(&scratch);
        return;
    }
    resume_of(req, &scratch, &r);
    write_head(s, origin);
    s->proto->deinit(s);
    s->proto = &session_sse;
    if (!s->hub->serving) {
        session_finish(s, FINISH_WAIT_S);
        dun_buf_deinit(&scratch);
        return;
    }
    struct session_sub *sub = session_sub_create(s, channel, ns);
    sub->recoverable = sub->positioned = sub->channel->history;
    sub->expires_s = expires_s > UINT32_MAX ? UINT32_MAX : (uint32_t)expires_s;
    r.recover = r.recover && sub->recoverable;
    session_arm(s, session_now_s(s->hub) + HEARTBEAT_S);
    start(s, sub, &r, false);
    dun_buf_deinit(&scratch);
}

static void sse_replied(struct session *s, uint32_t tag, const struct node_reply *r)
{
    (void)s;
    (void)tag;
    (void)r;
    DUN_UNREACHABLE(); /* it publishes nothing */
}

static void stream_deinit(struct session *s)
{
    DUN_ASSERT(s->state == NULL);
}

const struct session_proto session_sse = {.name = "sse",
                                          .encoding = SESSION_ENC_SSE,
                                          .client = true,
                                          .input = sse_input,
                                          .timer = sse_timer,
                                          .close = sse_close,
                                          .encode = sse_encode,
                                          .lost = sse_lost,
                                          .started = sse_started,
                                          .replied = sse_replied,
                                          .deinit = stream_deinit};
