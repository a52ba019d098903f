/* transport/client/client_session.c: connection life, frames, requests, timers.
 * What the server's lines mean is client_session_reply.c's part. */
#include "transport/client/client_session.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "transport/codec/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Static_assert((CLIENT_INFLIGHT_MAX & (CLIENT_INFLIGHT_MAX - 1)) == 0, "ids wrap around");
_Static_assert(CLIENT_SUBS_MAX < CLIENT_INFLIGHT_MAX,
               "all subscriptions can be asked for at once beside connect");

static void state_set(struct client_session *s, enum client_state to)
{
    static const enum client_state before[] = {
        [CLIENT_IDLE] = CLIENT_IDLE, /* from any */
        [CLIENT_UPGRADING] = CLIENT_IDLE,
        [CLIENT_CONNECTING] = CLIENT_UPGRADING,
        [CLIENT_READY] = CLIENT_CONNECTING,
    };
    DUN_ASSERT(to == CLIENT_IDLE || s->state == before[to]);
    s->state = to;
}

void client_session_init(struct client_session *s, const struct client_handlers *h,
                         const char *token, struct dun_prng *prng)
{
    memset(s, 0, sizeof *s);
    s->handlers = *h;
    s->prng = prng;
    s->next_id = s->oldest_id = 1;
    if (token != NULL) s->token = dun_strdup(token);
}

static void free_removed(struct client_session *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->sub_count; i++) {
        if (s->subs[i]->removed) {
            dun_free(s->subs[i]);
        } else {
            s->subs[kept++] = s->subs[i];
        }
    }
    s->sub_count = kept;
}

static void enter(struct client_session *s, uint64_t now_ms)
{
    DUN_ASSERT(now_ms >= s->now_ms);
    s->now_ms = now_ms;
    s->depth++;
}

static void leave(struct client_session *s)
{
    DUN_ASSERT(s->depth > 0);
    if (--s->depth == 0) free_removed(s);
}

void client_session_deinit(struct client_session *s)
{
    DUN_ASSERT(s->depth == 0);
    for (uint32_t i = 0; i < s->sub_count; i++)
        dun_free(s->subs[i]);
    dun_buf_deinit(&s->out);
    dun_buf_deinit(&s->batch);
    dun_buf_deinit(&s->in);
    dun_buf_deinit(&s->message);
    dun_buf_deinit(&s->scratch);
    dun_free(s->token);
}

void client_session_end(struct client_session *s, bool terminal, int code, const char *fmt, ...)
{
    if (s->end.ended) return; /* the first reason is the true one */
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(s->end.text, sizeof s->end.text, fmt, args);
    va_end(args);
    s->end.ended = true;
    s->end.terminal = terminal;
    s->end.code = code;
}

void client_session_fail(struct client_session *s, const char *text)
{
    client_session_end(s, false, 0, "%s", text);
}

static void new_mask(struct client_session *s, uint8_t mask[4])
{
    uint64_t r = dun_prng_next(s->prng);
    memcpy(mask, &r, 4);
}

static void write_frame(struct client_session *s, enum ws_opcode opcode, struct dun_slice payload)
{
    uint8_t mask[4];
    new_mask(s, mask);
    ws_write(&s->out, opcode, payload, mask);
}

static void write_close(struct client_session *s, uint16_t code, const char *reason)
{
    uint8_t mask[4];
    new_mask(s, mask);
    ws_write_close(&s->out, code, dun_slice_str(reason), mask);
}

void client_session_flush(struct client_session *s)
{
    if (s->batch.len == 0) return;
    DUN_ASSERT(s->state == CLIENT_CONNECTING || s->state == CLIENT_READY);
    write_frame(s, WS_TEXT, dun_buf_view(&s->batch));
    s->batch.len = 0;
}

void client_session_bye(struct client_session *s)
{
    if (s->end.ended) return;
    if (s->state == CLIENT_CONNECTING || s->state == CLIENT_READY) {
        client_session_flush(s);
        write_close(s, WS_CLOSE_NORMAL, "");
    }
    client_session_end(s, true, 0, "closed by the application");
}

/* ---- requests ---- */

/* A free id and its slot, or 0 when the request CLIENT_INFLIGHT_MAX before is unanswered. */
static uint32_t request_new(struct client_session *s, enum cmd_type type, struct client_sub *sub,
                            client_answer_cb cb, void *ctx)
{
    struct client_request *r = &s->requests[s->next_id % CLIENT_INFLIGHT_MAX];
    if (r->id != 0) return 0;
    *r = (struct client_request){s->next_id, type, s->now_ms + CLIENT_REQUEST_MS, sub, cb, ctx};
    s->next_id = s->next_id == UINT32_MAX ? 1 : s->next_id + 1;
    return r->id;
}

bool client_session_take(struct client_session *s, uint32_t id, struct client_request *out)
{
    struct client_request *r = &s->requests[id % CLIENT_INFLIGHT_MAX];
    if (id == 0 || r->id != id) return false;
    *out = *r;
    r->id = 0;
    return true;
}

static void answer_all_closed(struct client_session *s)
{
    static const char text[] = "the connection was lost before the answer came";
    struct client_answer a = {.e = DUN_E_CLOSED, .text = dun_slice_str(text)};
    for (uint32_t i = 0; i < CLIENT_INFLIGHT_MAX; i++) {
        struct client_request r = s->requests[i];
        s->requests[i].id = 0;
        if (r.id != 0 && r.cb != NULL) r.cb(r.ctx, &a);
    }
    s->oldest_id = s->next_id;
}

/* Moves oldest_id over what has been answered; the request it stops at, or NULL. */
static struct client_request *request_oldest(struct client_session *s)
{
    while (s->oldest_id != s->next_id) {
        struct client_request *r = &s->requests[s->oldest_id % CLIENT_INFLIGHT_MAX];
        if (r->id == s->oldest_id) return r;
        s->oldest_id = s->oldest_id == UINT32_MAX ? 1 : s->oldest_id + 1;
    }
    return NULL;
}

/* The place where the next line of the batch goes. */
static struct dun_buf *line_begin(struct client_session *s, size_t size_about)
{
    if (s->batch.len > 0 && s->batch.len + size_about > CLIENT_BATCH_SOFT_MAX)
        client_session_flush(s);
    if (s->batch.len > 0) dun_buf_byte(&s->batch, '\n');
    return &s->batch;
}

void client_session_ask(struct client_session *s, struct client_sub *sub)
{
    DUN_ASSERT(sub->state == CLIENT_SUB_WANTED);
    uint32_t id = request_new(s, CMD_SUBSCRIBE, sub, NULL, NULL);
    if (id == 0) { /* only behind a full window of publishes; the tick tries again */
        sub->retry_ms = s->now_ms + 1;
        return;
    }
    /* A wish: what the namespace does not allow the server leaves out of its answer. */
    struct cmd_subscribe r = {.channel = dun_slice_str(sub->channel), .recoverable = true};
    if (sub->has_position) {
        r.recover = true;
        r.epoch = dun_slice_str(sub->at.epoch);
        r.offset = sub->at.seq;
    }
    cmd_client_subscribe(line_begin(s, sizeof *sub), id, &r);
    sub->state = CLIENT_SUB_ASKED;
    sub->retry_ms = 0;
}

dun_err client_session_publish(struct client_session *s, uint64_t now_ms, struct dun_slice channel,
                               struct dun_slice data, client_answer_cb cb, void *ctx)
{
    if (s->state != CLIENT_READY || s->end.ended) return DUN_E_CLOSED;
    if (channel.len + data.len + 64 > DUN_CLIENT_FRAME_MAX) return DUN_E_TOO_BIG;
    if (now_ms > s->now_ms) s->now_ms = now_ms;
    uint32_t id = request_new(s, CMD_PUBLISH, NULL, cb, ctx);
    if (id == 0) return DUN_E_FULL;
    cmd_client_publish(line_begin(s, channel.len + data.len + 64), id, channel, data);
    return DUN_OK;
}

dun_err client_session_history(struct client_session *s, uint64_t now_ms,
                               const struct cmd_history *what, client_answer_cb cb, void *ctx)
{
    if (s->state != CLIENT_READY || s->end.ended) return DUN_E_CLOSED;
    if (now_ms > s->now_ms) s->now_ms = now_ms;
    uint32_t id = request_new(s, CMD_HISTORY, NULL, cb, ctx);
    if (id == 0) return DUN_E_FULL;
    cmd_client_history(line_begin(s, 512), id, what);
    return DUN_OK;
}

/* ---- subscriptions ---- */

dun_err client_session_subscribe(struct client_session *s, const char *channel,
                                 const struct client_position *since, void *user,
                                 struct client_sub **out)
{
    size_t len = strlen(channel);
    if (len == 0 || !utf8_valid(dun_slice(channel, len))) return DUN_E_MALFORMED;
    if (len > DUN_CHANNEL_MAX) return DUN_E_TOO_BIG;
    for (uint32_t i = 0; i < s->sub_count; i++)
        if (!s->subs[i]->removed && strcmp(s->subs[i]->channel, channel) == 0)
            return DUN_E_CONFLICT;
    if (s->sub_count == CLIENT_SUBS_MAX) return DUN_E_FULL;
    struct client_sub *sub = dun_calloc(1, sizeof *sub);
    memcpy(sub->channel, channel, len + 1);
    sub->backoff.ms_min = CLIENT_BACKOFF_MS_MIN;
    sub->backoff.ms_max = CLIENT_BACKOFF_MS_MAX;
    sub->user = user;
    if (since != NULL) {
        sub->at = *since;
        sub->has_position = true;
    }
    s->subs[s->sub_count++] = sub;
    if (s->state == CLIENT_READY && !s->end.ended) client_session_ask(s, sub);
    *out = sub;
    return DUN_OK;
}

/* Takes @sub out of every table; its memory goes when no entry is on the stack. */
void client_session_drop_sub(struct client_session *s, struct client_sub *sub)
{
    for (uint32_t i = 0; i < CLIENT_INFLIGHT_MAX; i++)
        if (s->requests[i].sub == sub) s->requests[i].sub = NULL;
    sub->removed = true;
    if (s->depth == 0) free_removed(s);
}

void client_session_unsubscribe(struct client_session *s, struct client_sub *sub)
{
    if (s->state == CLIENT_READY && !s->end.ended && sub->state != CLIENT_SUB_WANTED) {
        uint32_t id = request_new(s, CMD_UNSUBSCRIBE, NULL, NULL, NULL);
        if (id == 0) { /* rare: a new connection forgets the subscription as well */
            client_session_fail(s, "too many requests in flight to unsubscribe");
        } else {
            cmd_client_unsubscribe(line_begin(s, sizeof *sub), id, dun_slice_str(sub->channel));
        }
    }
    client_session_drop_sub(s, sub);
}

/* ---- the connection ---- */

void client_session_open(struct client_session *s, uint64_t now_ms, const char *host,
                         const char *path)
{
    DUN_ASSERT(s->state == CLIENT_IDLE);
    enter(s, now_ms);
    memset(&s->end, 0, sizeof s->end);
    memset(&s->http, 0, sizeof s->http);
    s->out.len = s->batch.len = s->in.len = s->message.len = 0;
    s->in_message = false;
    s->ping_ms = 0;
    s->handshake_ms = now_ms + CLIENT_HANDSHAKE_MS;
    uint64_t random[2] = {dun_prng_next(s->prng), dun_prng_next(s->prng)};
    ws_make_key((const uint8_t *)random, s->key);
    char target[512];
    (void)snprintf(target, sizeof target, "%s/connection/websocket", path);
    ws_write_request(&s->out, dun_slice_str(host), dun_slice_str(target), s->key, NULL, NULL);
    state_set(s, CLIENT_UPGRADING);
    leave(s);
}

/* The server has agreed to WebSocket: connect and all subscriptions in one message. */
static void say_connect(struct client_session *s)
{
    struct cmd_connect c = {.name = dun_slice_str("dunlin"), .version = dun_slice_str(DUN_VERSION)};
    if (s->token != NULL) c.token = dun_slice_str(s->token);
    state_set(s, CLIENT_CONNECTING);
    s->connect_id = request_new(s, CMD_CONNECT, NULL, NULL, NULL);
    DUN_ASSERT(s->connect_id != 0); /* client_session_lost emptied the table */
    cmd_client_connect(line_begin(s, 0), s->connect_id, &c);
    for (uint32_t i = 0; i < s->sub_count; i++) {
        struct client_sub *sub = s->subs[i];
        DUN_ASSERT(sub->removed || sub->state == CLIENT_SUB_WANTED);
        if (!sub->removed) client_session_ask(s, sub);
    }
    client_session_flush(s);
}

static size_t recv_upgrade(struct client_session *s)
{
    struct http_response res;
    size_t used = 0;
    dun_err e = http_read_response(&s->http, s->in.data, s->in.len, false, &res, &used);
    if (e == DUN_E_MORE) return 0;
    if (e != DUN_OK) {
        client_session_end(s, false, 0, "it does not speak HTTP; is this the client port?");
        return 0;
    }
    if (ws_check_response(&res, s->key) == DUN_OK) {
        say_connect(s);
        return used;
    }
    const char *hint = "";
    if (res.status == 503) hint = " (the peer is not ready, or is shutting down)";
    if (res.status == 404) hint = " (no /connection/websocket there; is it the client port?)";
    if (res.status == 403) hint = " (origin or address not allowed)";
    client_session_end(s, false, res.status, "it answered the WebSocket upgrade with HTTP %d%s",
                       res.status, hint);
    return 0;
}

static void recv_close(struct client_session *s, struct dun_slice payload)
{
    uint16_t code = WS_CLOSE_NONE;
    struct dun_slice reason = {NULL, 0};
    if (ws_parse_close(payload, &code, &reason) != DUN_OK) code = WS_CLOSE_PROTOCOL;
    write_close(s, code == WS_CLOSE_NONE ? WS_CLOSE_NORMAL : code, "");
    if (code == CMD_CLOSE_STATE_INVALIDATED) {
        for (uint32_t i = 0; i < s->sub_count; i++) /* matches no stream: a sure "not recovered" */
            (void)snprintf(s->subs[i]->at.epoch, sizeof s->subs[i]->at.epoch, "_");
    }
    client_session_end(s, cmd_close_terminal(code), code, "the server closed it with %u \"%.*s\"",
                       code, (int)reason.len, (const char *)reason.data);
}

static void recv_text(struct client_session *s, const struct ws_frame *f)
{
    bool start = f->opcode != WS_CONTINUATION;
    if (start == s->in_message || f->opcode == WS_BINARY) {
        write_close(s, WS_CLOSE_PROTOCOL, "unexpected frame");
        client_session_end(s, false, WS_CLOSE_PROTOCOL, "it sent an unexpected WebSocket frame");
        return;
    }
    if (start && f->fin) {
        client_session_message(s, f->payload);
        return;
    }
    if (s->message.len + f->payload.len > CLIENT_MESSAGE_MAX) {
        write_close(s, WS_CLOSE_TOO_BIG, "message too big");
        client_session_end(s, false, WS_CLOSE_TOO_BIG, "it sent a message over 32 MiB");
        return;
    }
    dun_buf_slice(&s->message, f->payload);
    s->in_message = !f->fin;
    if (!f->fin) return;
    client_session_message(s, dun_buf_view(&s->message));
    s->message.len = 0;
}

static void recv_frame(struct client_session *s, const struct ws_frame *f)
{
    switch (f->opcode) {
    case WS_TEXT:
    case WS_BINARY:
    case WS_CONTINUATION: recv_text(s, f); return;
    case WS_CLOSE: recv_close(s, f->payload); return;
    case WS_PING: write_frame(s, WS_PONG, f->payload); return;
    case WS_PONG: return;
    }
    DUN_UNREACHABLE(); /* ws_decode gives no other */
}

void client_session_recv(struct client_session *s, uint64_t now_ms, const uint8_t *data, size_t len)
{
    DUN_ASSERT(s->state != CLIENT_IDLE);
    enter(s, now_ms);
    s->heard_ms = now_ms;
    dun_buf_add(&s->in, data, len);
    size_t at = 0;
    if (s->state == CLIENT_UPGRADING) at = recv_upgrade(s);
    while (!s->end.ended && s->state != CLIENT_UPGRADING) {
        struct ws_frame f;
        size_t used = 0;
        dun_err e =
            ws_decode(s->in.data + at, s->in.len - at, WS_CLIENT, CLIENT_MESSAGE_MAX, &f, &used);
        if (e == DUN_E_MORE) break;
        if (e != DUN_OK) {
            write_close(s, e == DUN_E_TOO_BIG ? WS_CLOSE_TOO_BIG : WS_CLOSE_PROTOCOL, "bad frame");
            client_session_end(s, false, WS_CLOSE_PROTOCOL, "it sent a bad WebSocket frame (%s)",
                               dun_err_text(e));
            break;
        }
        at += used;
        recv_frame(s, &f);
    }
    dun_buf_drop_front(&s->in, at);
    (void)request_oldest(s); /* keeps the walk of client_session_deadline_ms short */
    leave(s);
}

void client_session_lost(struct client_session *s, uint64_t now_ms)
{
    enter(s, now_ms);
    client_session_fail(s, "the connection was lost");
    s->batch.len = 0;
    s->out.len = 0;
    state_set(s, CLIENT_IDLE);
    for (uint32_t i = 0; i < s->sub_count; i++)
        s->subs[i]->state = CLIENT_SUB_WANTED;
    answer_all_closed(s);
    leave(s);
}

/* ---- time ---- */

static uint64_t silence_ms(const struct client_session *s)
{
    uint64_t grace = s->ping_ms < CLIENT_PING_GRACE_MS ? s->ping_ms : CLIENT_PING_GRACE_MS;
    return s->ping_ms == 0 ? UINT64_MAX : s->heard_ms + s->ping_ms + grace;
}

static void tick_request(struct client_session *s, const struct client_request *r)
{
    if (r->type == CMD_CONNECT || r->type == CMD_SUBSCRIBE || r->type == CMD_UNSUBSCRIBE) {
        client_session_end(s, false, 0, "no answer to %s within 5 seconds", cmd_type_name(r->type));
        return;
    }
    static const char text[] = "no answer within 5 seconds; the outcome is unknown";
    struct client_answer a = {.e = DUN_E_TIMEOUT, .text = dun_slice_str(text)};
    if (r->cb != NULL) r->cb(r->ctx, &a);
}

void client_session_tick(struct client_session *s, uint64_t now_ms)
{
    enter(s, now_ms);
    if (s->state != CLIENT_IDLE && s->state != CLIENT_READY && now_ms >= s->handshake_ms)
        client_session_fail(s, "no WebSocket and connect answer within 5 seconds");
    if (s->state == CLIENT_READY && now_ms >= silence_ms(s))
        client_session_fail(s, "no ping in time; the server or the way to it is dead");
    for (struct client_request *r; !s->end.ended && (r = request_oldest(s)) != NULL;) {
        if (now_ms < r->deadline_ms) break;
        struct client_request copy;
        bool taken = client_session_take(s, r->id, &copy);
        DUN_ASSERT(taken);
        tick_request(s, &copy);
    }
    for (uint32_t i = 0; s->state == CLIENT_READY && !s->end.ended && i < s->sub_count; i++) {
        struct client_sub *sub = s->subs[i];
        if (!sub->removed && sub->state == CLIENT_SUB_WANTED && now_ms >= sub->retry_ms)
            client_session_ask(s, sub);
    }
    leave(s);
}

uint64_t client_session_deadline_ms(const struct client_session *s)
{
    uint64_t at = UINT64_MAX;
    if (s->state == CLIENT_IDLE || s->end.ended) return at;
    if (s->state != CLIENT_READY) return s->handshake_ms;
    at = silence_ms(s);
    for (uint32_t id = s->oldest_id; id != s->next_id; id = id == UINT32_MAX ? 1 : id + 1) {
        const struct client_request *r = &s->requests[id % CLIENT_INFLIGHT_MAX];
        if (r->id != id) continue;
        if (r->deadline_ms < at) at = r->deadline_ms;
        break; /* deadlines grow with the ids */
    }
    for (uint32_t i = 0; i < s->sub_count; i++) {
        const struct client_sub *sub = s->subs[i];
        if (!sub->removed && sub->state == CLIENT_SUB_WANTED && sub->retry_ms < at)
            at = sub->retry_ms;
    }
    return at;
}
