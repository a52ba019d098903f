/* transport/session/session_ws.c: WebSocket frames, pings and closes.
 * Source: RFC 6455; protocol.md, sections 1, 6, 8.
 * Why: between frames a client costs this struct and nothing else. */
#include "transport/session/session_ws.h"

#include "transport/codec/utf8.h"
#include "transport/codec/ws.h"

#include <sodium.h>

enum { CLOSE_WAIT_S = 5, REPLIES_SOFT_MAX = 64 * 1024 };

void session_ws_uuid(const uint8_t id[SESSION_UUID_BYTES], char out[SESSION_UUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;
    for (size_t i = 0; i < SESSION_UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) out[n++] = '-';
        out[n++] = digits[id[i] >> 4];
        out[n++] = digits[id[i] & 15];
    }
    out[n] = '\0';
}

static struct dun_slice blob_text(const struct dun_blob *b)
{
    return b == NULL ? dun_slice("", 0) : dun_blob_slice(b);
}

struct cmd_client_info session_ws_info(const struct session *s, char uuid[SESSION_UUID_TEXT])
{
    const struct session_ws *ws = session_ws_of(s);
    session_ws_uuid(ws->id, uuid);
    return (struct cmd_client_info){.user = blob_text(ws->user),
                                    .client = dun_slice_str(uuid),
                                    .conn_info = blob_text(ws->info)};
}

struct session_user session_ws_user(const struct session *s)
{
    return (struct session_user){blob_text(session_ws_of(s)->user), s->hub->options->insecure};
}

/* ---- out ---- */

static struct dun_blob *pack(enum ws_opcode opcode, struct dun_slice payload)
{
    uint8_t header[WS_HEADER_MAX];
    size_t n = ws_encode_header(header, opcode, true, payload.len, NULL);
    struct dun_blob *b = dun_blob_create(n + payload.len);
    memcpy(b->data, header, n);
    if (payload.len > 0) memcpy(b->data + n, payload.data, payload.len);
    return b;
}

struct dun_blob *session_ws_pack(struct dun_slice text)
{
    return pack(WS_TEXT, text);
}

static void frame(struct session *s, enum ws_opcode opcode, struct dun_slice payload)
{
    session_out_add(s, pack(opcode, payload));
}

void session_ws_flush(struct session *s)
{
    struct dun_buf *b = &s->hub->replies;
    if (b->len > 0) frame(s, WS_TEXT, dun_buf_view(b));
    b->len = 0;
    if (b->cap > 4 * REPLIES_SOFT_MAX) dun_buf_deinit(b);
}

void session_ws_push(struct session *s, const struct dun_buf *object)
{
    session_ws_flush(s); /* what was said before comes before */
    frame(s, WS_TEXT, dun_buf_view(object));
}

static void ws_encode(const struct store_msg *m, bool history, struct dun_buf *out)
{
    struct cmd_publication pub = session_publication(m, history);
    size_t start = out->len;
    uint8_t header[WS_HEADER_MAX];
    /* The header's length depends on the payload's, so leave room and close the gap. */
    dun_buf_reserve(out, WS_HEADER_MAX);
    out->len += WS_HEADER_MAX;
    cmd_write_pub_push(out, dun_slice(m->channel, m->channel_len), &pub);
    size_t n = ws_encode_header(header, WS_TEXT, true, out->len - start - WS_HEADER_MAX, NULL);
    size_t spare = WS_HEADER_MAX - n;
    memcpy(out->data + start + spare, header, n);
    memmove(out->data + start, out->data + start + spare, out->len - start - spare);
    out->len -= spare;
}

static void close_with(struct session *s, uint16_t code, const char *reason)
{
    struct dun_buf b = {0};
    session_ws_flush(s);
    ws_write_close(&b, code, dun_slice_str(reason), NULL);
    session_out_copy(s, dun_buf_view(&b));
    dun_buf_deinit(&b);
    session_finish(s, CLOSE_WAIT_S);
}

static void ws_close(struct session *s, enum cmd_close why)
{
    close_with(s, (uint16_t)why, cmd_close_text(why));
}

static void ws_lost(struct session *s, struct session_sub *sub, const struct session_gap *gap)
{
    struct dun_buf b = {0};
    (void)gap; /* the client resubscribes with its position; that answer tells the gap */
    cmd_write_unsubscribe_push(&b, session_channel_name(sub->channel), CMD_UNSUB_INSUFFICIENT);
    session_sub_destroy(sub);
    session_ws_push(s, &b);
    dun_buf_deinit(&b);
}

/* ---- in ---- */

static void on_close_frame(struct session *s, struct dun_slice payload)
{
    uint16_t code;
    struct dun_slice reason;
    if (ws_parse_close(payload, &code, &reason) != DUN_OK) {
        close_with(s, WS_CLOSE_PROTOCOL, "bad close frame");
        return;
    }
    close_with(s, code == WS_CLOSE_NONE ? WS_CLOSE_NORMAL : code, "");
}

static void on_data(struct session *s, const struct ws_frame *f)
{
    struct session_ws *ws = session_ws_of(s);
    bool first = f->opcode != WS_CONTINUATION;
    if (first == ws->in_message) {
        close_with(s, WS_CLOSE_PROTOCOL, "fragments out of order");
        return;
    }
    if (f->fin && first) {
        session_cmd_message(s, f->payload);
        return;
    }
    if (ws->fragment.len + f->payload.len > DUN_CLIENT_FRAME_MAX) {
        close_with(s, WS_CLOSE_TOO_BIG, "message too big");
        return;
    }
    dun_buf_slice(&ws->fragment, f->payload);
    ws->in_message = !f->fin;
    if (!f->fin) return;
    struct dun_buf whole = ws->fragment;
    ws->fragment = (struct dun_buf){0};
    session_cmd_message(s, dun_buf_view(&whole));
    dun_buf_deinit(&whole);
}

static void on_frame(struct session *s, const struct ws_frame *f)
{
    switch (f->opcode) {
    case WS_TEXT:
    case WS_BINARY:
    case WS_CONTINUATION: on_data(s, f); return;
    case WS_PING:
        session_ws_flush(s);
        frame(s, WS_PONG, f->payload);
        return;
    case WS_PONG: return;
    case WS_CLOSE: on_close_frame(s, f->payload); return;
    }
    DUN_UNREACHABLE();
}

static size_t ws_input(struct session *s, uint8_t *data, size_t len)
{
    size_t used = 0;
    while (s->phase == SESSION_OPEN && used < len && !session_out_full(s) &&
           !session_pace_holds(s)) {
        struct ws_frame f;
        size_t n;
        dun_err e = ws_decode(data + used, len - used, WS_SERVER, DUN_CLIENT_FRAME_MAX, &f, &n);
        if (e == DUN_E_MORE) break;
        if (e == DUN_E_TOO_BIG) {
            close_with(s, WS_CLOSE_TOO_BIG, "message too big");
        } else if (e != DUN_OK) {
            close_with(s, WS_CLOSE_PROTOCOL, "malformed frame");
        } else {
            ws_mask(data + used + (n - f.payload.len), f.payload.len, f.mask, 0);
            used += n;
            on_frame(s, &f);
            if (s->hub->replies.len > REPLIES_SOFT_MAX) session_ws_flush(s);
        }
    }
    if (s->phase == SESSION_OPEN) {
        session_ws_flush(s);
    } else {
        s->hub->replies.len = 0; /* nothing of this client may reach another */
    }
    return used;
}

/* ---- time ---- */

void session_ws_arm(struct session *s)
{
    const struct session_ws *ws = session_ws_of(s);
    uint64_t at_s = ws->ping_at_s;
    if (ws->awaits_pong && ws->pong_due_s < at_s) at_s = ws->pong_due_s;
    for (const struct session_sub *sub = s->subs; sub != NULL; sub = sub->next)
        if (sub->parked != NULL && sub->parked->until_ms / 1000 + 1 < at_s)
            at_s = sub->parked->until_ms / 1000 + 1;
    session_arm(s, at_s);
}

static void expire_subs(struct session *s, uint64_t wall_s)
{
    for (struct session_sub *sub = s->subs, *next; sub != NULL; sub = next) {
        next = sub->next;
        if (sub->parked != NULL) {
            session_sub_unpark(sub);
        } else if (sub->expires_s != 0 && wall_s > sub->expires_s + SESSION_EXPIRE_GRACE_S) {
            struct dun_buf b = {0};
            cmd_write_unsubscribe_push(&b, session_channel_name(sub->channel), CMD_UNSUB_EXPIRED);
            session_sub_destroy(sub);
            session_ws_push(s, &b);
            dun_buf_deinit(&b);
        }
    }
}

static void ws_timer(struct session *s)
{
    struct session_ws *ws = session_ws_of(s);
    struct session_hub *h = s->hub;
    uint64_t now_s = session_now_s(h), wall_s = h->wall_ms / 1000;
    if (!ws->connected) {
        session_close(s, CMD_CLOSE_STALE);
        return;
    }
    if (ws->awaits_pong && now_s >= ws->pong_due_s && session_pace_held(s)) {
        ws->pong_due_s = (uint32_t)now_s + 1; /* it may wait behind what we do not read yet */
    } else if (ws->awaits_pong && now_s >= ws->pong_due_s) {
        session_close(s, CMD_CLOSE_NO_PONG);
        return;
    }
    if (ws->expires_s != 0 && wall_s > ws->expires_s + SESSION_EXPIRE_GRACE_S) {
        session_close(s, CMD_CLOSE_EXPIRED);
        return;
    }
    expire_subs(s, wall_s);
    if (now_s >= ws->ping_at_s) {
        frame(s, WS_TEXT, dun_slice("{}", 2));
        ws->awaits_pong = true;
        ws->pong_due_s = (uint32_t)(now_s + h->options->pong_s);
        ws->ping_at_s = (uint32_t)(now_s + h->options->ping_s);
    }
    session_ws_arm(s);
}

/* ---- life ---- */

static void refuse(struct session *s, int status, const char *text, const char *headers)
{
    session_http_answer(s, status, "text/plain; charset=utf-8", dun_slice_str(text), headers);
}

bool session_ws_upgrade(struct session *s, const struct http_request *req)
{
    struct session_hub *h = s->hub;
    struct dun_slice key, origin = {0}, host = {0};
    dun_err e = ws_check_request(req, &key);
    if (e == DUN_E_STALE || e == DUN_E_UNKNOWN) {
        refuse(s, 426, "this path speaks WebSocket, version 13\n",
               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
        return false;
    }
    if (e != DUN_OK) {
        refuse(s, 400, "malformed WebSocket handshake\n", NULL);
        return false;
    }
    http_find(&req->headers, "Origin", &origin);
    http_find(&req->headers, "Host", &host);
    if (!session_origin_ok(h->options, origin, host)) {
        refuse(s, 403, "origin not allowed; see client.allowed_origins\n", NULL);
        return false;
    }
    if (!h->serving) {
        refuse(s, 503, "this peer is not ready; try another\n", "Retry-After: 1\r\n");
        return false;
    }
    struct dun_buf b = {0};
    ws_write_accept(&b, key, ws_offers(req, "centrifuge-json") ? "centrifuge-json" : NULL);
    session_out_copy(s, dun_buf_view(&b));
    dun_buf_deinit(&b);
    struct session_ws *ws = dun_calloc(1, sizeof *ws);
    randombytes_buf(ws->id, sizeof ws->id);
    ws->id[6] = (uint8_t)((ws->id[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
    ws->id[8] = (uint8_t)((ws->id[8] & 0x3f) | 0x80);
    s->proto->deinit(s);
    s->proto = &session_ws;
    s->state = ws;
    session_arm(s, session_now_s(h) + h->options->stale_s);
    return true;
}

static void ws_deinit(struct session *s)
{
    struct session_ws *ws = session_ws_of(s);
    while (s->subs != NULL)
        session_sub_destroy(s->subs); /* leaves need to know who we are */
    dun_blob_unref(ws->user);
    dun_blob_unref(ws->info);
    dun_buf_deinit(&ws->fragment);
    dun_free(ws);
    s->state = NULL;
}

const struct session_proto session_ws = {.name = "websocket",
                                         .encoding = SESSION_ENC_WS_JSON,
                                         .client = true,
                                         .input = ws_input,
                                         .timer = ws_timer,
                                         .close = ws_close,
                                         .encode = ws_encode,
                                         .lost = ws_lost,
                                         .started = session_cmd_started,
                                         .replied = session_cmd_replied,
                                         .deinit = ws_deinit};
