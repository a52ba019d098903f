/* transport/session/session_api.c: the HTTP server API, POST /api/{method}.
 * Source: protocol.md, section 17. */
#include "transport/session/session_impl.h"

#include "transport/codec/api.h"
#include "transport/codec/http.h"

struct outcome {
    dun_err err;
    uint64_t seq, epoch; /* seq 0: no history */
};

struct session_api_call {
    bool broadcast, transport;
    bool stats; /* presence_stats */
    uint32_t count, outstanding;
    struct outcome at[];
};

void session_api_destroy(struct session_api_call *call)
{
    dun_free(call);
}

static struct dun_buf *body_of(struct session *s)
{
    s->hub->body.len = 0;
    return &s->hub->body;
}

static void answer(struct session *s)
{
    session_http_answer(s, 200, "application/json", dun_buf_view(&s->hub->body), NULL);
    if (s->hub->body.cap > DUN_HTTP_BODY_MAX) dun_buf_deinit(&s->hub->body);
}

static void answer_error(struct session *s, enum cmd_error code, const char *detail, bool transport)
{
    struct dun_buf *b = body_of(s);
    api_write_error(b, code, detail, transport);
    session_http_answer(s, transport ? api_status(code) : 200, "application/json", dun_buf_view(b),
                        NULL);
}

/* ---- publish, broadcast ---- */

/* Of a publish: the namespace may be unknown. */
static enum cmd_error code_of(dun_err e)
{
    return e == DUN_E_UNKNOWN ? CMD_ERR_UNKNOWN_CHANNEL : session_error_of(e);
}

static void finish_call(struct session *s, const struct session_api_call *call)
{
    char epoch[SESSION_EPOCH_MAX];
    struct dun_buf *b = body_of(s);
    struct api_responses w;
    if (!call->broadcast) {
        const struct outcome *o = &call->at[0];
        if (o->err != DUN_OK) {
            answer_error(s, code_of(o->err), dun_err_text(o->err), call->transport);
            return;
        }
        session_epoch_text(o->epoch, epoch);
        api_write_publish(b, o->seq, dun_slice_str(epoch));
        answer(s);
        return;
    }
    api_responses_begin(b, &w);
    for (uint32_t i = 0; i < call->count; i++) {
        const struct outcome *o = &call->at[i];
        session_epoch_text(o->epoch, epoch);
        if (o->err == DUN_OK) {
            api_responses_item(b, &w, o->seq, dun_slice_str(epoch));
        } else {
            api_responses_error(b, &w, code_of(o->err));
        }
    }
    api_responses_end(b, &w);
    answer(s);
}

void session_api_replied(struct session *s, struct session_api_call *call, uint32_t tag,
                         const struct node_reply *r)
{
    struct outcome *o = &call->at[tag];
    DUN_ASSERT(tag < call->count && call->outstanding > 0);
    o->err = r->err;
    /* seq was 0 and stays so for a channel without history, which gives no positions. */
    o->epoch = r->epoch;
    o->seq = o->seq == UINT64_MAX ? 0 : r->seq;
    if (--call->outstanding == 0) finish_call(s, call);
}

static struct session_api_call *call_create(uint32_t count, bool broadcast, bool transport)
{
    struct session_api_call *call = dun_calloc(1, sizeof *call + count * sizeof(struct outcome));
    call->count = count;
    call->broadcast = broadcast;
    call->transport = transport;
    return call;
}

/* UNKNOWN (namespace) is the one error with a code of its own. */
static dun_err submit(struct session *s, struct session_api_call *call, uint32_t tag,
                      struct dun_slice channel, const struct api_publish *q)
{
    const struct store_namespace *ns = session_ns(s->hub, channel);
    if (ns == NULL) return DUN_E_UNKNOWN;
    if (!s->hub->serving) return DUN_E_UNREADY;
    struct session_publish p = {
        .channel = channel, .key = q->idempotency_key, .data = q->data, .tags = q->tags};
    dun_err e = session_submit(s, tag, &p);
    if (e != DUN_OK) return e;
    call->at[tag].seq = store_namespace_has_history(ns) ? 0 : UINT64_MAX;
    call->outstanding++;
    return DUN_OK;
}

static void publish(struct session *s, const struct api_publish *q, bool transport)
{
    struct session_api_call *call = call_create(1, false, transport);
    dun_err e = submit(s, call, 0, q->channel, q);
    if (e == DUN_OK) {
        session_http_wait(s, call);
        return;
    }
    session_api_destroy(call);
    answer_error(s, code_of(e), dun_err_text(e), transport);
}

static void broadcast(struct session *s, const struct api_broadcast *q, bool transport)
{
    struct session_api_call *call = call_create((uint32_t)q->channel_count, true, transport);
    struct json_iter it;
    struct dun_slice channel;
    uint32_t i = 0;
    bool ok = json_array(q->channels, &it) == DUN_OK;
    DUN_ASSERT(ok);
    while (i < call->count && api_next_channel(&it, &s->hub->scratch, &channel)) {
        call->at[i].err = submit(s, call, i, channel, &q->publish);
        i++;
    }
    call->count = i;
    session_http_wait(s, call);
    if (call->outstanding == 0) finish_call(s, call);
}

/* Every publication is in the log that subscribers read from, so none can be left out of it. */
static bool refuse_options(struct session *s, const struct api_publish *q, bool transport)
{
    if (!q->skip_history) return false;
    answer_error(s, CMD_ERR_NOT_AVAILABLE,
                 "skip_history is not supported: publish into a namespace without history",
                 transport);
    return true;
}

/* ---- reading ---- */

/* 0: go on. */
static enum cmd_error check_read(const struct session *s, struct dun_slice channel, bool presence)
{
    const struct store_namespace *ns = session_ns(s->hub, channel);
    if (ns == NULL) return CMD_ERR_UNKNOWN_CHANNEL;
    bool on = presence ? ns->presence : store_namespace_has_history(ns);
    return on ? 0 : CMD_ERR_NOT_AVAILABLE;
}

static void history(struct session *s, const struct cmd_history *q, bool transport)
{
    enum cmd_error code = check_read(s, q->channel, false);
    struct session_history got;
    if (code == 0) {
        dun_err e = session_history_read(s->hub, q, DUN_HISTORY_SIZE_MAX, &got);
        if (e == DUN_OK) {
            struct cmd_history_result r = {.publications = got.pubs,
                                           .publication_count = got.count,
                                           .epoch = dun_slice_str(got.epoch_text),
                                           .offset = got.top};
            api_write_history(body_of(s), &r);
            session_history_deinit(&got);
            answer(s);
            return;
        }
        code = e == DUN_E_CONFLICT ? CMD_ERR_UNRECOVERABLE_POSITION : CMD_ERR_BAD_REQUEST;
    }
    answer_error(s, code, NULL, transport);
}

static void presence(struct session *s, struct dun_slice channel, bool stats, bool transport)
{
    enum cmd_error code = check_read(s, channel, true);
    if (code == 0) {
        struct session_api_call *call = call_create(0, false, transport);
        call->stats = stats;
        session_http_wait(s, call); /* before asking: the answer may come at once */
        dun_err e = session_presence_ask(s, 0, stats, channel);
        if (e == DUN_OK) return;
        code = session_error_of(e);
    }
    answer_error(s, code, NULL, transport);
}

void session_api_presence(struct session *s, enum cmd_error code, bool stats,
                          const struct cmd_client_info *list, uint32_t count, uint32_t users)
{
    struct dun_buf *b = body_of(s);
    if (code != 0) {
        answer_error(s, code, NULL, session_http_call(s)->transport);
    } else {
        if (stats) {
            api_write_presence_stats(b, count, users);
        } else {
            api_write_presence(b, list, count);
        }
        answer(s);
    }
    session_resume(s);
}

static void info(struct session *s)
{
    struct session_status st;
    struct api_node nodes[SESSION_MEMBERS_MAX];
    size_t count = 0;
    s->hub->ops.status(s->hub->ops.ctx, &st);
    for (uint32_t i = 0; i < st.member_count; i++) {
        const struct session_member *m = &st.members[i];
        if (m->state == SWIM_DEAD || m->state == SWIM_LEFT) continue;
        struct api_node *n = &nodes[count++];
        *n = (struct api_node){.uid = dun_slice_str(m->name), .name = dun_slice_str(m->name)};
        if (strcmp(m->name, s->hub->options->name) != 0) continue;
        n->version = dun_slice_str(s->hub->options->version);
        n->num_clients = st.clients;
        n->num_channels = st.channels;
        n->num_subs = st.subscriptions;
        n->uptime_s = st.uptime_s;
    }
    api_write_info(body_of(s), nodes, count);
    answer(s);
}

/* ---- the request ---- */

static bool key_ok(struct session *s, const struct http_request *req)
{
    const struct session_options *o = s->hub->options;
    struct dun_slice given;
    if (o->api_key[0] == '\0') return o->insecure;
    if (http_find(&req->headers, "X-API-Key", &given))
        return session_equal_secret(given, o->api_key);
    if (http_find(&req->headers, "Authorization", &given))
        return given.len > 7 && http_same(dun_slice(given.data, 7), "apikey ") &&
               session_equal_secret(dun_slice(given.data + 7, given.len - 7), o->api_key);
    s->hub->scratch.len = 0;
    return http_query(req->query, "api_key", &s->hub->scratch, &given) == DUN_OK &&
           session_equal_secret(given, o->api_key);
}

enum method { PUBLISH, BROADCAST, HISTORY, PRESENCE, PRESENCE_STATS, INFO, METHOD_COUNT };

static enum method method_of(struct dun_slice name)
{
    static const char *const names[] = {"publish",  "broadcast",      "history",
                                        "presence", "presence_stats", "info"};
    for (size_t i = 0; i < DUN_COUNT(names); i++)
        if (dun_slice_is(name, names[i])) return (enum method)i;
    return METHOD_COUNT;
}

/* DUN_OK: done or under way. */
static dun_err run(struct session *s, enum method m, struct dun_slice body, bool transport,
                   struct api_refusal *why)
{
    struct dun_buf *scratch = &s->hub->scratch;
    union {
        struct api_publish publish;
        struct api_broadcast broadcast;
        struct cmd_history history;
        struct api_channel channel;
    } q;
    dun_err e = DUN_OK;
    switch (m) {
    case PUBLISH:
        e = api_decode_publish(body, scratch, &q.publish, why);
        if (e == DUN_OK && !refuse_options(s, &q.publish, transport))
            publish(s, &q.publish, transport);
        return e;
    case BROADCAST:
        e = api_decode_broadcast(body, scratch, &q.broadcast, why);
        if (e == DUN_OK && !refuse_options(s, &q.broadcast.publish, transport))
            broadcast(s, &q.broadcast, transport);
        return e;
    case HISTORY:
        e = api_decode_history(body, scratch, &q.history, why);
        if (e == DUN_OK) history(s, &q.history, transport);
        return e;
    case PRESENCE:
    case PRESENCE_STATS:
        e = api_decode_channel(body, scratch, &q.channel, why);
        if (e == DUN_OK) presence(s, q.channel.channel, m == PRESENCE_STATS, transport);
        return e;
    case INFO:
        e = api_decode_empty(body, why);
        if (e == DUN_OK) info(s);
        return e;
    case METHOD_COUNT: break;
    }
    DUN_UNREACHABLE();
}

void session_api_request(struct session *s, const struct http_request *req, struct dun_slice method)
{
    struct dun_slice mode;
    struct api_refusal why = {0};
    bool transport =
        http_find(&req->headers, "X-Centrifugo-Error-Mode", &mode) && http_same(mode, "transport");
    if (!key_ok(s, req)) {
        session_http_answer(s, 401, NULL, dun_slice("", 0), NULL);
        return;
    }
    enum method m = method_of(method);
    if (m == METHOD_COUNT) {
        session_http_answer(s, 404, "text/plain; charset=utf-8",
                            dun_slice_str("unknown API method\n"), NULL);
        return;
    }
    s->hub->scratch.len = 0;
    dun_err e = run(s, m, req->body, transport, &why);
    if (e == DUN_E_DENIED) {
        answer_error(s, why.code, why.detail, transport);
    } else if (e != DUN_OK) {
        struct dun_buf *b = body_of(s);
        dun_buf_printf(b, "Bad Request: %s\n", why.detail == NULL ? "not JSON" : why.detail);
        session_http_answer(s, 400, "text/plain; charset=utf-8", dun_buf_view(b), NULL);
    }
}
