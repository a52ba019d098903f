/* transport/codec/cmd_write.c: encoding replies and pushes.
 * Every reply is {"id":N,"<name>":{...}}, every push {"push":{...}}; the part
 * in the middle has one writer, whichever envelope it is put in. */
#include "base/assert.h"
#include "transport/codec/cmd.h"
#include "transport/codec/json_obj.h"

/* ---- parts ---- */

void cmd_write_client_info(struct dun_buf *b, const struct cmd_client_info *info)
{
    struct json_obj o = json_obj_begin(b);
    json_obj_text_always(&o, "user", info->user);
    json_obj_text_always(&o, "client", info->client);
    json_obj_raw(&o, "conn_info", info->conn_info);
    json_obj_raw(&o, "chan_info", info->chan_info);
    json_obj_end(&o);
}

void cmd_write_publication(struct dun_buf *b, const struct cmd_publication *pub)
{
    DUN_ASSERT(pub->data.len > 0);
    struct json_obj o = json_obj_begin(b);
    json_obj_raw(&o, "data", pub->data);
    json_obj_raw(&o, "info", pub->info);
    json_obj_u64(&o, "offset", pub->offset);
    json_obj_raw(&o, "tags", pub->tags);
    json_obj_u64(&o, "time", pub->time_ms);
    json_obj_text(&o, "epoch", pub->epoch);
    json_obj_end(&o);
}

void cmd_write_publications(struct dun_buf *b, const struct cmd_publication *pubs, size_t count)
{
    dun_buf_byte(b, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) dun_buf_byte(b, ',');
        cmd_write_publication(b, &pubs[i]);
    }
    dun_buf_byte(b, ']');
}

void cmd_write_presence_map(struct dun_buf *b, const struct cmd_client_info *list, size_t count)
{
    dun_buf_byte(b, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) dun_buf_byte(b, ',');
        json_write_string(b, list[i].client);
        dun_buf_byte(b, ':');
        cmd_write_client_info(b, &list[i]);
    }
    dun_buf_byte(b, '}');
}

const char *cmd_gap_text(enum cmd_gap gap)
{
    switch (gap) {
    case CMD_GAP_EXPIRED: return "expired";
    case CMD_GAP_EVICTED: return "evicted";
    case CMD_GAP_EPOCH_CHANGED: return "epoch_changed";
    case CMD_GAP_OVER_LIMIT: return "over_limit";
    case CMD_GAP_NONE: break;
    }
    DUN_UNREACHABLE();
}

static void write_expiry(struct json_obj *o, bool expires, uint32_t ttl_s)
{
    if (!expires) return;
    json_obj_bool(o, "expires", true);
    json_obj_u64_always(o, "ttl", ttl_s); /* Python indexes it when it sees expires */
}

static void write_sub_result(struct dun_buf *b, const struct cmd_subscribe_result *r)
{
    DUN_ASSERT(r->publication_count == 0 || r->recovered);
    DUN_ASSERT(r->gap == CMD_GAP_NONE || !r->recovered);
    struct json_obj o = json_obj_begin(b);
    write_expiry(&o, r->expires, r->ttl_s);
    json_obj_bool(&o, "recoverable", r->recoverable);
    json_obj_text(&o, "epoch", r->epoch);
    if (r->publication_count > 0) {
        json_obj_key(&o, "publications");
        cmd_write_publications(b, r->publications, r->publication_count);
    }
    json_obj_bool(&o, "recovered", r->recovered);
    json_obj_u64(&o, "offset", r->offset);
    json_obj_bool(&o, "positioned", r->positioned);
    json_obj_raw(&o, "data", r->data);
    json_obj_bool(&o, "was_recovering", r->was_recovering);
    json_obj_bool(&o, "delta", r->delta);
    if (r->gap != CMD_GAP_NONE) {
        json_obj_key(&o, "gap");
        struct json_obj g = json_obj_begin(b);
        json_obj_u64_always(&g, "from", r->gap_from);
        json_obj_u64_always(&g, "to", r->gap_to);
        json_obj_text(&g, "reason", dun_slice_str(cmd_gap_text(r->gap)));
        json_obj_end(&g);
    }
    json_obj_end(&o);
}

static void write_connect_result(struct dun_buf *b, const struct cmd_connect_result *r)
{
    DUN_ASSERT(r->client.len > 0);
    struct json_obj o = json_obj_begin(b);
    json_obj_text(&o, "client", r->client);
    json_obj_text(&o, "version", r->version);
    write_expiry(&o, r->expires, r->ttl_s);
    json_obj_raw(&o, "data", r->data);
    if (r->sub_count > 0) {
        json_obj_key(&o, "subs");
        dun_buf_byte(b, '{');
        for (size_t i = 0; i < r->sub_count; i++) {
            if (i > 0) dun_buf_byte(b, ',');
            json_write_string(b, r->subs[i].channel);
            dun_buf_byte(b, ':');
            write_sub_result(b, &r->subs[i].result);
        }
        dun_buf_byte(b, '}');
    }
    json_obj_u64(&o, "ping", r->ping_s);
    json_obj_bool(&o, "pong", r->pong);
    json_obj_text(&o, "session", r->session);
    json_obj_text(&o, "node", r->node);
    json_obj_u64(&o, "time", r->time_ms);
    json_obj_end(&o);
}

/* ---- replies ---- */

/* {"id":N,"name": - the caller writes the member and closes with json_obj_end. */
static struct json_obj reply_begin(struct dun_buf *b, uint32_t id, const char *name)
{
    DUN_ASSERT(id > 0); /* 0 would read as a push */
    struct json_obj o = json_obj_begin(b);
    json_obj_u64(&o, "id", id);
    json_obj_key(&o, name);
    return o;
}

void cmd_write_connect(struct dun_buf *b, uint32_t id, const struct cmd_connect_result *r)
{
    struct json_obj o = reply_begin(b, id, "connect");
    write_connect_result(b, r);
    json_obj_end(&o);
}

void cmd_write_subscribe(struct dun_buf *b, uint32_t id, const struct cmd_subscribe_result *r)
{
    struct json_obj o = reply_begin(b, id, "subscribe");
    write_sub_result(b, r);
    json_obj_end(&o);
}

void cmd_write_history(struct dun_buf *b, uint32_t id, const struct cmd_history_result *r)
{
    struct json_obj o = reply_begin(b, id, "history");
    struct json_obj h = json_obj_begin(b);
    json_obj_key(&h, "publications");
    cmd_write_publications(b, r->publications, r->publication_count);
    json_obj_text_always(&h, "epoch", r->epoch);
    json_obj_u64_always(&h, "offset", r->offset);
    json_obj_end(&h);
    json_obj_end(&o);
}

void cmd_write_presence(struct dun_buf *b, uint32_t id, const struct cmd_client_info *list,
                        size_t count)
{
    struct json_obj o = reply_begin(b, id, "presence");
    struct json_obj p = json_obj_begin(b);
    json_obj_key(&p, "presence");
    cmd_write_presence_map(b, list, count);
    json_obj_end(&p);
    json_obj_end(&o);
}

void cmd_write_presence_stats(struct dun_buf *b, uint32_t id, uint32_t num_clients,
                              uint32_t num_users)
{
    struct json_obj o = reply_begin(b, id, "presence_stats");
    struct json_obj p = json_obj_begin(b);
    json_obj_u64_always(&p, "num_clients", num_clients);
    json_obj_u64_always(&p, "num_users", num_users);
    json_obj_end(&p);
    json_obj_end(&o);
}

void cmd_write_rpc(struct dun_buf *b, uint32_t id, struct dun_slice data)
{
    struct json_obj o = reply_begin(b, id, "rpc");
    struct json_obj r = json_obj_begin(b);
    json_obj_raw(&r, "data", data);
    json_obj_end(&r);
    json_obj_end(&o);
}

void cmd_write_refresh(struct dun_buf *b, uint32_t id, enum cmd_type type, bool expires,
                       uint32_t ttl_s)
{
    DUN_ASSERT(type == CMD_REFRESH || type == CMD_SUB_REFRESH);
    struct json_obj o = reply_begin(b, id, cmd_type_name(type));
    struct json_obj r = json_obj_begin(b);
    write_expiry(&r, expires, ttl_s);
    json_obj_end(&r);
    json_obj_end(&o);
}

void cmd_write_empty(struct dun_buf *b, uint32_t id, enum cmd_type type)
{
    struct json_obj o = reply_begin(b, id, cmd_type_name(type));
    dun_buf_str(b, "{}");
    json_obj_end(&o);
}

void cmd_write_error_as(struct dun_buf *b, uint32_t id, enum cmd_error code, bool temporary)
{
    struct json_obj o = reply_begin(b, id, "error");
    struct json_obj r = json_obj_begin(b);
    json_obj_u64(&r, "code", (uint64_t)code);
    json_obj_text(&r, "message", dun_slice_str(cmd_error_text(code)));
    json_obj_bool(&r, "temporary", temporary);
    json_obj_end(&r);
    json_obj_end(&o);
}

void cmd_write_error(struct dun_buf *b, uint32_t id, enum cmd_error code)
{
    cmd_write_error_as(b, id, code, cmd_error_temporary(code));
}

void cmd_write_ping(struct dun_buf *b)
{
    dun_buf_str(b, "{}");
}

/* ---- pushes ---- */

static const char push_open[] = "{\"push\":";

/* {"push":{"channel":"...","name": - closed by push_end. Empty channel: none. */
static struct json_obj push_begin(struct dun_buf *b, struct dun_slice channel, const char *name)
{
    dun_buf_str(b, push_open);
    struct json_obj o = json_obj_begin(b);
    json_obj_text(&o, "channel", channel);
    json_obj_key(&o, name);
    return o;
}

static void push_end(struct json_obj *o)
{
    json_obj_end(o);
    dun_buf_byte(o->b, '}');
}

struct dun_slice cmd_push_bare(struct dun_slice push)
{
    size_t n = sizeof push_open - 1;
    DUN_ASSERT(push.len > n + 1);
    DUN_ASSERT(memcmp(push.data, push_open, n) == 0);
    return dun_slice(push.data + n, push.len - n - 1);
}

void cmd_write_pub_push(struct dun_buf *b, struct dun_slice channel,
                        const struct cmd_publication *pub)
{
    dun_buf_reserve(b, channel.len + pub->data.len + pub->tags.len + pub->info.len + 160);
    struct json_obj o = push_begin(b, channel, "pub");
    cmd_write_publication(b, pub);
    push_end(&o);
}

static void write_info_push(struct dun_buf *b, struct dun_slice channel, const char *name,
                            const struct cmd_client_info *info)
{
    struct json_obj o = push_begin(b, channel, name);
    struct json_obj j = json_obj_begin(b);
    json_obj_key(&j, "info");
    cmd_write_client_info(b, info);
    json_obj_end(&j);
    push_end(&o);
}

void cmd_write_join_push(struct dun_buf *b, struct dun_slice channel,
                         const struct cmd_client_info *info)
{
    write_info_push(b, channel, "join", info);
}

void cmd_write_leave_push(struct dun_buf *b, struct dun_slice channel,
                          const struct cmd_client_info *info)
{
    write_info_push(b, channel, "leave", info);
}

static void write_code_push(struct dun_buf *b, struct dun_slice channel, const char *name,
                            unsigned code, const char *reason)
{
    struct json_obj o = push_begin(b, channel, name);
    struct json_obj u = json_obj_begin(b);
    json_obj_u64(&u, "code", code);
    json_obj_text(&u, "reason", dun_slice_str(reason));
    json_obj_end(&u);
    push_end(&o);
}

void cmd_write_unsubscribe_push(struct dun_buf *b, struct dun_slice channel, enum cmd_unsub code)
{
    write_code_push(b, channel, "unsubscribe", (unsigned)code, cmd_unsub_text(code));
}

void cmd_write_disconnect_push(struct dun_buf *b, enum cmd_close code)
{
    write_code_push(b, (struct dun_slice){0}, "disconnect", (unsigned)code, cmd_close_text(code));
}

void cmd_write_subscribe_push(struct dun_buf *b, struct dun_slice channel,
                              const struct cmd_subscribe_result *r)
{
    struct json_obj o = push_begin(b, channel, "subscribe");
    struct json_obj s = json_obj_begin(b);
    json_obj_bool(&s, "recoverable", r->recoverable);
    json_obj_text(&s, "epoch", r->epoch);
    json_obj_u64(&s, "offset", r->offset);
    json_obj_bool(&s, "positioned", r->positioned);
    json_obj_raw(&s, "data", r->data);
    json_obj_end(&s);
    push_end(&o);
}

void cmd_write_connect_push(struct dun_buf *b, const struct cmd_connect_result *r)
{
    struct json_obj o = push_begin(b, (struct dun_slice){0}, "connect");
    write_connect_result(b, r);
    push_end(&o);
}
