/* transport/client/client_session_reply.c: what the server's lines mean. */
#include "transport/client/client_session.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

static void report_gap(struct client_session *s, struct client_sub *sub, enum client_gap_kind kind,
                       uint64_t from, uint64_t to, struct dun_slice reason)
{
    struct client_gap g = {kind, from, to, reason};
    if (s->handlers.gap != NULL) s->handlers.gap(s->handlers.ctx, sub, &g);
}

/* Hands one publication over and moves the position; (2) and (3) of the header. */
static void deliver(struct client_session *s, struct client_sub *sub,
                    const struct cmd_publication *pub, bool recovered)
{
    if (pub->offset != 0 && sub->has_position) {
        uint64_t want = sub->at.seq + 1;
        if (pub->offset > want) {
            report_gap(s, sub, CLIENT_GAP_SKIPPED, want, pub->offset - 1,
                       dun_slice_str("the server skipped them"));
        } else if (pub->offset < want) {
            report_gap(s, sub, CLIENT_GAP_REPEATED, pub->offset, sub->at.seq,
                       dun_slice_str("the server repeated itself"));
        }
        if (sub->removed) return; /* the handler unsubscribed */
        if (pub->offset > sub->at.seq) sub->at.seq = pub->offset;
    }
    struct client_message m = {.data = pub->data,
                               .tags = pub->tags,
                               .info = pub->info,
                               .seq = pub->offset,
                               .time_ms = pub->time_ms,
                               .recovered = recovered};
    if (s->handlers.message != NULL) s->handlers.message(s->handlers.ctx, sub, &m);
}

static void finish_sub(struct client_session *s, struct client_sub *sub, uint32_t code,
                       struct dun_slice reason)
{
    sub->state = CLIENT_SUB_WANTED;
    if (s->handlers.unsubscribed != NULL)
        s->handlers.unsubscribed(s->handlers.ctx, sub, code, reason);
    if (!sub->removed) client_session_drop_sub(s, sub);
}

static void bad_server(struct client_session *s, const char *what)
{
    client_session_end(s, false, 0, "it sent %s; is it a Dunlin or Centrifugo server?", what);
}

static bool epoch_take(struct client_sub *sub, struct dun_slice epoch)
{
    if (epoch.len > CLIENT_EPOCH_MAX) return false;
    if (epoch.len > 0) memcpy(sub->at.epoch, epoch.data, epoch.len);
    sub->at.epoch[epoch.len] = '\0';
    return true;
}

/* Walks the recovered publications; their number, for the application's notice. */
static uint64_t count_items(struct dun_slice list)
{
    struct json_iter it;
    struct json_member m;
    uint64_t n = 0;
    if (json_array(list, &it) != DUN_OK) return 0;
    while (json_next_item(&it, &m))
        n++;
    return n;
}

static void deliver_list(struct client_session *s, struct client_sub *sub, struct dun_slice list)
{
    struct json_iter it;
    dun_err e = json_array(list, &it);
    struct dun_buf scratch = {0}; /* s->scratch holds the reply that we walk */
    while (e == DUN_OK && !sub->removed && !s->end.ended) {
        struct cmd_publication pub;
        scratch.len = 0;
        e = cmd_client_next_publication(&it, &scratch, &pub);
        if (e == DUN_OK) deliver(s, sub, &pub, true);
    }
    dun_buf_deinit(&scratch);
    if (e == DUN_E_MALFORMED) bad_server(s, "a recovered publication that is none");
}

static void report_unrecovered(struct client_session *s, struct client_sub *sub,
                               const struct cmd_reply_subscribe *r, const char *epoch_before,
                               uint64_t seq_before)
{
    struct dun_slice reason = r->gap_reason;
    bool same = dun_slice_is(r->epoch, epoch_before);
    uint64_t from = r->gap_from, to = r->gap_to;
    if (reason.len == 0) {
        reason = dun_slice_str(same ? "over_limit or expired" : "epoch_changed");
        from = same ? seq_before + 1 : 1;
        to = same ? r->offset : 0;
    }
    report_gap(s, sub, CLIENT_GAP_UNRECOVERED, from, to, reason);
}

static void on_subscribed(struct client_session *s, struct client_sub *sub,
                          const struct cmd_reply_subscribe *r)
{
    struct client_position before = sub->at;
    bool asked = sub->has_position;
    if (sub->state != CLIENT_SUB_ASKED) return; /* a reply nobody waits for */
    sub->state = CLIENT_SUB_LIVE;
    client_backoff_up(&sub->backoff, s->now_ms);
    sub->has_position = r->recoverable || r->positioned;
    if (sub->has_position) {
        if (!epoch_take(sub, r->epoch)) {
            bad_server(s, "an epoch over 64 bytes");
            return;
        }
        sub->at.seq = r->offset;
    }
    struct client_subscribed how = {r->was_recovering, r->recovered, 0};
    if (r->recovered) how.recovered_count = count_items(r->publications);
    if (r->recovered && r->offset != before.seq && asked)
        report_gap(s, sub, r->offset > before.seq ? CLIENT_GAP_SKIPPED : CLIENT_GAP_REPEATED,
                   before.seq + 1, r->offset, dun_slice_str("it recovered from another position"));
    if (!sub->removed && s->handlers.subscribed != NULL)
        s->handlers.subscribed(s->handlers.ctx, sub, &how);
    if (!sub->removed && asked && !r->recovered)
        report_unrecovered(s, sub, r, before.epoch, before.seq);
    if (!sub->removed) deliver_list(s, sub, r->publications);
}

static void on_subscribe_error(struct client_session *s, struct client_sub *sub,
                               const struct cmd_reply_error *error)
{
    sub->state = CLIENT_SUB_WANTED;
    if (error->temporary) {
        uint64_t wait = client_backoff_lost(&sub->backoff, s->now_ms, s->prng);
        sub->retry_ms = s->now_ms + (wait > 0 ? wait : CLIENT_BACKOFF_MS_MIN);
        return;
    }
    finish_sub(s, sub, error->code, error->message);
}

static void on_connected(struct client_session *s, const struct cmd_reply_connect *r)
{
    if (r->client.len == 0) {
        bad_server(s, "a connect answer without a client id");
        return;
    }
    DUN_ASSERT(s->state == CLIENT_CONNECTING);
    s->state = CLIENT_READY;
    s->ping_ms = r->ping_s > UINT32_MAX / 1000 ? UINT32_MAX : r->ping_s * 1000;
    s->pong = r->pong;
    if (s->handlers.connected != NULL) s->handlers.connected(s->handlers.ctx, r->client);
}

static void on_connect_error(struct client_session *s, const struct cmd_reply_error *error)
{
    const char *hint = "";
    if (error->code == CMD_ERR_TOKEN_EXPIRED) hint = "; make a new token";
    client_session_end(s, !error->temporary, (int)error->code,
                       "the server refused to connect: %u \"%.*s\"%s", error->code,
                       (int)error->message.len, (const char *)error->message.data, hint);
}

static void on_answer(struct client_session *s, const struct cmd_reply *reply)
{
    struct client_request r;
    bool failed = reply->type == CMD_REPLY_ERROR;
    if (!client_session_take(s, reply->id, &r)) return; /* timed out before, or never asked */
    if (!failed && reply->result != r.type) {
        static const char text[] = "the answer is of another kind than the request";
        struct client_answer a = {.e = DUN_E_CLOSED, .text = dun_slice_str(text)};
        bad_server(s, "an answer of another kind than the request");
        if (r.cb != NULL) r.cb(r.ctx, &a);
        return;
    }
    if (r.type == CMD_CONNECT) {
        if (failed) {
            on_connect_error(s, &reply->error);
        } else {
            on_connected(s, &reply->connect);
        }
    } else if (r.type == CMD_SUBSCRIBE && r.sub != NULL) {
        if (failed) {
            on_subscribe_error(s, r.sub, &reply->error);
        } else {
            on_subscribed(s, r.sub, &reply->subscribe);
        }
    } else if (r.cb != NULL) {
        struct client_answer a = {.e = failed ? DUN_E_DENIED : DUN_OK};
        if (failed) {
            a.code = reply->error.code;
            a.temporary = reply->error.temporary;
            a.text = reply->error.message;
        } else {
            a.reply = reply;
        }
        r.cb(r.ctx, &a);
    }
}

static struct client_sub *find_sub(struct client_session *s, struct dun_slice channel)
{
    for (uint32_t i = 0; i < s->sub_count; i++)
        if (!s->subs[i]->removed && dun_slice_is(channel, s->subs[i]->channel)) return s->subs[i];
    return NULL;
}

static void on_unsubscribe(struct client_session *s, struct client_sub *sub,
                           const struct cmd_reply_error *why)
{
    if (sub->state != CLIENT_SUB_LIVE) return;
    if (why->code < CMD_UNSUB_INSUFFICIENT) {
        finish_sub(s, sub, why->code, why->message);
        return;
    }
    sub->state = CLIENT_SUB_WANTED;
    if (why->code == CMD_UNSUB_INVALIDATED)
        (void)snprintf(sub->at.epoch, sizeof sub->at.epoch, "_");
    client_session_ask(s, sub);
}

static void on_push(struct client_session *s, const struct cmd_reply *reply)
{
    struct client_sub *sub = find_sub(s, reply->channel);
    if (reply->type == CMD_REPLY_DISCONNECT) {
        client_session_end(s, cmd_close_terminal((int)reply->error.code), (int)reply->error.code,
                           "the server closed it with %u \"%.*s\"", reply->error.code,
                           (int)reply->error.message.len, (const char *)reply->error.message.data);
    } else if (sub != NULL && reply->type == CMD_REPLY_PUB) {
        if (sub->state == CLIENT_SUB_LIVE) deliver(s, sub, &reply->publication, false);
    } else if (sub != NULL && reply->type == CMD_REPLY_UNSUBSCRIBE) {
        on_unsubscribe(s, sub, &reply->error);
    }
}

static void on_line(struct client_session *s, struct dun_slice line)
{
    struct cmd_reply reply;
    s->scratch.len = 0;
    if (cmd_client_decode(line, &s->scratch, &reply) != DUN_OK) {
        bad_server(s, "a line that is not a reply");
        return;
    }
    switch (reply.type) {
    case CMD_REPLY_PING:
        if (s->pong) {
            if (s->batch.len > 0) dun_buf_byte(&s->batch, '\n');
            cmd_client_pong(&s->batch);
        }
        return;
    case CMD_REPLY_ERROR:
    case CMD_REPLY_RESULT: on_answer(s, &reply); return;
    case CMD_REPLY_PUB:
    case CMD_REPLY_UNSUBSCRIBE:
    case CMD_REPLY_DISCONNECT: on_push(s, &reply); return;
    case CMD_REPLY_JOIN:
    case CMD_REPLY_LEAVE:
    case CMD_REPLY_SUBSCRIBE:
    case CMD_REPLY_MESSAGE:
    case CMD_REPLY_OTHER: return; /* nothing here uses them */
    }
    DUN_UNREACHABLE();
}

void client_session_message(struct client_session *s, struct dun_slice text)
{
    struct dun_slice line;
    while (!s->end.ended && cmd_next_line(&text, &line))
        on_line(s, line);
}
