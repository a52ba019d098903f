/* transport/session/session_http.c: HTTP/1.1 requests, one after another.
 * Why: every connection begins here; a WebSocket or an event stream takes it
 * over. Pipelined requests are answered in order: while one waits for the
 * cluster, the next stay unread. */
#include "transport/session/session_impl.h"

#include "transport/codec/http.h"

enum {
    KEEP_ALIVE_S = 60,
    FINISH_WAIT_S = 2,
    PIPELINED_MAX = 64 * 1024 /* of requests behind one that waits; each answer moves them */
};

struct session_http {
    struct http_reader reader;
    bool busy, keep_alive, head_only;
    struct session_api_call *call; /* what the answer waits for */
};

static struct session_http *http_of(struct session *s)
{
    DUN_ASSERT(s->proto == &session_http);
    if (s->state == NULL) s->state = dun_calloc(1, sizeof(struct session_http));
    return s->state;
}

void session_http_answer(struct session *s, int status, const char *content_type,
                         struct dun_slice body, const char *extra_headers)
{
    struct session_http *http = http_of(s);
    struct dun_buf b = {0};
    if (s->hub->stopping) http->keep_alive = false; /* the next request goes to another peer */
    http_write_response(&b, status, content_type, body, extra_headers, http->keep_alive,
                        http->head_only);
    session_out_copy(s, dun_buf_view(&b));
    dun_buf_deinit(&b);
    http->busy = false;
    if (http->call != NULL) session_api_destroy(http->call);
    http->call = NULL;
    if (!http->keep_alive) {
        session_finish(s, FINISH_WAIT_S);
    } else {
        session_arm(s, session_now_s(s->hub) + KEEP_ALIVE_S);
    }
}

struct session_api_call *session_http_call(struct session *s)
{
    return http_of(s)->call;
}

void session_http_wait(struct session *s, struct session_api_call *call)
{
    struct session_http *http = http_of(s);
    http->call = call;
    http->busy = true;
    session_arm(s, session_now_s(s->hub) + KEEP_ALIVE_S);
}

static void plain(struct session *s, int status, const char *text, const char *extra_headers)
{
    session_http_answer(s, status, "text/plain; charset=utf-8", dun_slice_str(text), extra_headers);
}

static void route_events(struct session *s, const struct http_request *req, struct dun_slice rest)
{
    struct dun_slice segment, channel;
    s->hub->scratch.len = 0;
    if (!http_next_segment(&rest, &segment) || rest.len > 0 ||
        http_decode_segment(segment, &s->hub->scratch, &channel) != DUN_OK) {
        plain(s, 404, "use /events/{channel}, percent-encoded\n", NULL);
        return;
    }
    session_sse_begin(s, req, channel);
}

static void route_api(struct session *s, const struct http_request *req, struct dun_slice rest)
{
    struct dun_slice method;
    if (!http_next_segment(&rest, &method) || rest.len > 0) {
        plain(s, 404, "use /api/{method}\n", NULL);
    } else if (!dun_slice_is(req->method, "POST")) {
        plain(s, 405, "", "Allow: POST\r\n");
    } else {
        session_api_request(s, req, method);
    }
}

/* Operators and balancers are answered even then. */
static bool refuse_surplus(struct session *s, const struct http_request *req)
{
    static const char events[] = "/events/";
    struct dun_slice p = req->path;
    bool stays = dun_slice_is(p, "/connection/websocket") ||
                 (p.len >= sizeof events - 1 && memcmp(p.data, events, sizeof events - 1) == 0);
    if (!s->surplus) return false;
    http_of(s)->keep_alive = false;
    if (stays)
        plain(s, 503, "this peer has all the connections it may have; try another\n",
              "Retry-After: 5\r\n");
    return stays;
}

static void route(struct session *s, const struct http_request *req)
{
    struct dun_slice rest = req->path, first;
    if (refuse_surplus(s, req)) return;
    if (dun_slice_is(req->path, "/connection/websocket")) {
        session_ws_upgrade(s, req);
        return;
    }
    if (!http_next_segment(&rest, &first)) {
        plain(s, 400, "bad path\n", NULL);
    } else if (dun_slice_is(first, "events") && rest.len > 0) {
        route_events(s, req, rest);
    } else if (dun_slice_is(first, "api") && rest.len > 0) {
        route_api(s, req, rest);
    } else if (!dun_slice_is(req->method, "GET") && !req->head_only) {
        plain(s, 405, "", "Allow: GET, HEAD\r\n");
    } else {
        session_pages(s, req);
    }
}

static size_t http_input(struct session *s, uint8_t *data, size_t len)
{
    size_t used = 0;
    while (s->phase == SESSION_OPEN && used < len && !session_out_full(s) &&
           !session_pace_holds(s)) {
        struct session_http *http = http_of(s);
        struct http_request req;
        size_t n;
        if (http->busy) break;
        dun_err e = http_read(&http->reader, data + used, len - used, &req, &n);
        if (e == DUN_E_MORE) {
            if (http->reader.expect_continue) {
                session_out_copy(s, dun_slice_str(HTTP_CONTINUE_LINE));
                http->reader.expect_continue = false;
            }
            break;
        }
        if (e != DUN_OK) {
            int status = http->reader.status;
            http->keep_alive = http->head_only = false;
            plain(s, status, http_reason(status), NULL);
            break;
        }
        used += n;
        http->keep_alive = req.keep_alive;
        http->head_only = req.head_only;
        route(s, &req);
        if (s->proto != &session_http) break;
    }
    return used;
}

static bool http_wants_read(const struct session *s)
{
    const struct session_http *http = s->state;
    return http == NULL || !http->busy || s->in.len < PIPELINED_MAX;
}

static void http_timer(struct session *s)
{
    /* A head or body that does not come, or an idle connection. */
    session_finish(s, FINISH_WAIT_S);
}

static void http_close(struct session *s, enum cmd_close why)
{
    (void)why;
    session_finish(s, FINISH_WAIT_S);
}

static void http_replied(struct session *s, uint32_t tag, const struct node_reply *r)
{
    struct session_http *http = http_of(s);
    DUN_ASSERT(http->call != NULL);
    session_api_replied(s, http->call, tag, r);
    if (!http->busy) session_resume(s);
}

static void http_encode_message(const struct store_msg *m, bool history, struct dun_buf *out)
{
    (void)m;
    (void)history;
    (void)out;
    DUN_UNREACHABLE(); /* it has no subscriptions */
}

static void http_lost(struct session *s, struct session_sub *sub, const struct session_gap *gap)
{
    (void)s;
    (void)sub;
    (void)gap;
    DUN_UNREACHABLE();
}

static void http_started(struct session *s, struct session_sub *sub)
{
    (void)s;
    (void)sub;
    DUN_UNREACHABLE();
}

static void http_deinit(struct session *s)
{
    struct session_http *http = s->state;
    if (http != NULL && http->call != NULL) session_api_destroy(http->call);
    dun_free(http);
    s->state = NULL;
}

const struct session_proto session_http = {.name = "http",
                                           .encoding = SESSION_ENC_NONE,
                                           .input = http_input,
                                           .wants_read = http_wants_read,
                                           .timer = http_timer,
                                           .close = http_close,
                                           .encode = http_encode_message,
                                           .lost = http_lost,
                                           .started = http_started,
                                           .replied = http_replied,
                                           .deinit = http_deinit};
