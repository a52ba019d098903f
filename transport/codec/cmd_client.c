/* transport/codec/cmd_client.c: commands out, replies and pushes in.
 * A server is not trusted either: what it sends is checked as strictly as a
 * client's commands, but unknown members and pushes are skipped, as a newer
 * server may well send some. */
#include "transport/codec/cmd_client.h"

#include "base/assert.h"
#include "transport/codec/json_obj.h"

/* ---- commands ---- */

struct command {
    struct json_obj outer, inner;
};

static struct command begin(struct dun_buf *b, uint32_t id, enum cmd_type type)
{
    DUN_ASSERT(id > 0);
    struct command c = {.outer = json_obj_begin(b)};
    json_obj_u64(&c.outer, "id", id);
    json_obj_key(&c.outer, cmd_type_name(type));
    c.inner = json_obj_begin(b);
    return c;
}

static void end(struct command *c)
{
    json_obj_end(&c->inner);
    json_obj_end(&c->outer);
}

void cmd_client_connect(struct dun_buf *b, uint32_t id, const struct cmd_connect *r)
{
    struct command c = begin(b, id, CMD_CONNECT);
    json_obj_text(&c.inner, "token", r->token);
    json_obj_raw(&c.inner, "data", r->data);
    json_obj_raw(&c.inner, "subs", r->subs);
    json_obj_text(&c.inner, "name", r->name);
    json_obj_text(&c.inner, "version", r->version);
    end(&c);
}

void cmd_client_subscribe(struct dun_buf *b, uint32_t id, const struct cmd_subscribe *r)
{
    struct command c = begin(b, id, CMD_SUBSCRIBE);
    json_obj_text(&c.inner, "channel", r->channel);
    json_obj_text(&c.inner, "token", r->token);
    json_obj_bool(&c.inner, "recover", r->recover);
    json_obj_text(&c.inner, "epoch", r->epoch);
    json_obj_u64(&c.inner, "offset", r->offset);
    json_obj_raw(&c.inner, "data", r->data);
    json_obj_bool(&c.inner, "positioned", r->positioned);
    json_obj_bool(&c.inner, "recoverable", r->recoverable);
    json_obj_bool(&c.inner, "join_leave", r->join_leave);
    json_obj_text(&c.inner, "delta", r->delta);
    json_obj_raw(&c.inner, "tf", r->tf);
    json_obj_i64(&c.inner, "flag", r->flag);
    json_obj_i64(&c.inner, "type", r->type);
    end(&c);
}

static void channel_command(struct dun_buf *b, uint32_t id, enum cmd_type type,
                            struct dun_slice channel)
{
    struct command c = begin(b, id, type);
    json_obj_text(&c.inner, "channel", channel);
    end(&c);
}

void cmd_client_unsubscribe(struct dun_buf *b, uint32_t id, struct dun_slice channel)
{
    channel_command(b, id, CMD_UNSUBSCRIBE, channel);
}

void cmd_client_presence(struct dun_buf *b, uint32_t id, struct dun_slice channel)
{
    channel_command(b, id, CMD_PRESENCE, channel);
}

void cmd_client_presence_stats(struct dun_buf *b, uint32_t id, struct dun_slice channel)
{
    channel_command(b, id, CMD_PRESENCE_STATS, channel);
}

void cmd_client_publish(struct dun_buf *b, uint32_t id, struct dun_slice channel,
                        struct dun_slice data)
{
    struct command c = begin(b, id, CMD_PUBLISH);
    json_obj_text(&c.inner, "channel", channel);
    json_obj_raw(&c.inner, "data", data);
    end(&c);
}

void cmd_client_history(struct dun_buf *b, uint32_t id, const struct cmd_history *r)
{
    struct command c = begin(b, id, CMD_HISTORY);
    json_obj_text(&c.inner, "channel", r->channel);
    json_obj_i64(&c.inner, "limit", r->limit);
    if (r->has_since) {
        json_obj_key(&c.inner, "since");
        struct json_obj s = json_obj_begin(b);
        json_obj_u64(&s, "offset", r->since_offset);
        json_obj_text(&s, "epoch", r->since_epoch);
        json_obj_end(&s);
    }
    json_obj_bool(&c.inner, "reverse", r->reverse);
    end(&c);
}

void cmd_client_rpc(struct dun_buf *b, uint32_t id, struct dun_slice method, struct dun_slice data)
{
    struct command c = begin(b, id, CMD_RPC);
    json_obj_text(&c.inner, "method", method);
    json_obj_raw(&c.inner, "data", data);
    end(&c);
}

void cmd_client_refresh(struct dun_buf *b, uint32_t id, struct dun_slice token)
{
    struct command c = begin(b, id, CMD_REFRESH);
    json_obj_text(&c.inner, "token", token);
    end(&c);
}

void cmd_client_sub_refresh(struct dun_buf *b, uint32_t id, struct dun_slice channel,
                            struct dun_slice token)
{
    struct command c = begin(b, id, CMD_SUB_REFRESH);
    json_obj_text(&c.inner, "channel", channel);
    json_obj_text(&c.inner, "token", token);
    end(&c);
}

void cmd_client_pong(struct dun_buf *b)
{
    dun_buf_str(b, "{}");
}

/* ---- replies ---- */

#define AT(type, member) offsetof(struct type, member)
#define READ(value, fields, scratch, out) \
    json_obj_read((value), (fields), DUN_COUNT(fields), (scratch), (out))

static dun_err read_error(struct dun_slice v, struct dun_buf *scratch, struct cmd_reply_error *out)
{
    static const struct json_field fields[] = {
        {"code", JSON_FIELD_U32, AT(cmd_reply_error, code)},
        {"message", JSON_FIELD_TEXT, AT(cmd_reply_error, message)},
        {"reason", JSON_FIELD_TEXT, AT(cmd_reply_error, message)}, /* in pushes */
        {"temporary", JSON_FIELD_BOOL, AT(cmd_reply_error, temporary)},
    };
    return READ(v, fields, scratch, out);
}

static dun_err read_connect(struct dun_slice v, struct dun_buf *scratch,
                            struct cmd_reply_connect *out)
{
    static const struct json_field fields[] = {
        {"client", JSON_FIELD_TEXT, AT(cmd_reply_connect, client)},
        {"version", JSON_FIELD_TEXT, AT(cmd_reply_connect, version)},
        {"session", JSON_FIELD_TEXT, AT(cmd_reply_connect, session)},
        {"node", JSON_FIELD_TEXT, AT(cmd_reply_connect, node)},
        {"expires", JSON_FIELD_BOOL, AT(cmd_reply_connect, expires)},
        {"pong", JSON_FIELD_BOOL, AT(cmd_reply_connect, pong)},
        {"ttl", JSON_FIELD_U32, AT(cmd_reply_connect, ttl_s)},
        {"ping", JSON_FIELD_U32, AT(cmd_reply_connect, ping_s)},
        {"data", JSON_FIELD_RAW, AT(cmd_reply_connect, data)},
        {"subs", JSON_FIELD_OBJECT, AT(cmd_reply_connect, subs)},
    };
    out->subs = dun_slice_str("{}");
    return READ(v, fields, scratch, out);
}

static dun_err read_gap(struct dun_slice v, struct dun_buf *scratch,
                        struct cmd_reply_subscribe *out)
{
    static const struct json_field fields[] = {
        {"from", JSON_FIELD_U64, AT(cmd_reply_subscribe, gap_from)},
        {"to", JSON_FIELD_U64, AT(cmd_reply_subscribe, gap_to)},
        {"reason", JSON_FIELD_TEXT, AT(cmd_reply_subscribe, gap_reason)},
    };
    struct json_member m;
    if (!json_find(v, "gap", &m) || m.type == JSON_NULL) return DUN_OK;
    return READ(m.value, fields, scratch, out);
}

static dun_err read_subscribe(struct dun_slice v, struct dun_buf *scratch,
                              struct cmd_reply_subscribe *out)
{
    static const struct json_field fields[] = {
        {"recoverable", JSON_FIELD_BOOL, AT(cmd_reply_subscribe, recoverable)},
        {"positioned", JSON_FIELD_BOOL, AT(cmd_reply_subscribe, positioned)},
        {"was_recovering", JSON_FIELD_BOOL, AT(cmd_reply_subscribe, was_recovering)},
        {"recovered", JSON_FIELD_BOOL, AT(cmd_reply_subscribe, recovered)},
        {"expires", JSON_FIELD_BOOL, AT(cmd_reply_subscribe, expires)},
        {"ttl", JSON_FIELD_U32, AT(cmd_reply_subscribe, ttl_s)},
        {"epoch", JSON_FIELD_TEXT, AT(cmd_reply_subscribe, epoch)},
        {"offset", JSON_FIELD_U64, AT(cmd_reply_subscribe, offset)},
        {"data", JSON_FIELD_RAW, AT(cmd_reply_subscribe, data)},
        {"publications", JSON_FIELD_ARRAY, AT(cmd_reply_subscribe, publications)},
    };
    out->publications = dun_slice_str("[]");
    dun_err e = READ(v, fields, scratch, out);
    return e == DUN_OK ? read_gap(v, scratch, out) : e;
}

static dun_err read_history(struct dun_slice v, struct dun_buf *scratch,
                            struct cmd_reply_history *out)
{
    static const struct json_field fields[] = {
        {"publications", JSON_FIELD_ARRAY, AT(cmd_reply_history, publications)},
        {"epoch", JSON_FIELD_TEXT, AT(cmd_reply_history, epoch)},
        {"offset", JSON_FIELD_U64, AT(cmd_reply_history, offset)},
    };
    out->publications = dun_slice_str("[]");
    return READ(v, fields, scratch, out);
}

static dun_err read_publication(struct dun_slice v, struct dun_buf *scratch,
                                struct cmd_publication *out)
{
    static const struct json_field fields[] = {
        {"data", JSON_FIELD_RAW, AT(cmd_publication, data)},
        {"tags", JSON_FIELD_OBJECT, AT(cmd_publication, tags)},
        {"info", JSON_FIELD_OBJECT, AT(cmd_publication, info)},
        {"offset", JSON_FIELD_U64, AT(cmd_publication, offset)},
        {"time", JSON_FIELD_U64, AT(cmd_publication, time_ms)},
        {"epoch", JSON_FIELD_TEXT, AT(cmd_publication, epoch)},
    };
    dun_err e = READ(v, fields, scratch, out);
    if (e == DUN_OK && out->data.len == 0) out->data = dun_slice_str("null");
    return e;
}

/* A join or leave push: {"info":{...}}. */
static dun_err read_info(struct dun_slice v, struct dun_buf *scratch, struct cmd_client_info *out)
{
    static const struct json_field fields[] = {
        {"user", JSON_FIELD_TEXT, AT(cmd_client_info, user)},
        {"client", JSON_FIELD_TEXT, AT(cmd_client_info, client)},
        {"conn_info", JSON_FIELD_RAW, AT(cmd_client_info, conn_info)},
        {"chan_info", JSON_FIELD_RAW, AT(cmd_client_info, chan_info)},
    };
    struct json_member m;
    if (!json_find(v, "info", &m)) return DUN_E_MALFORMED;
    return READ(m.value, fields, scratch, out);
}

/* One raw member of @v into *out; absent: empty. */
static dun_err read_raw(struct dun_slice v, const char *name, struct dun_slice *out)
{
    struct json_member m;
    if (json_type_of(v) != JSON_OBJECT) return DUN_E_MALFORMED;
    if (json_find(v, name, &m)) *out = m.value;
    return DUN_OK;
}

static dun_err read_stats(struct dun_slice v, struct cmd_reply *out)
{
    static const struct json_field fields[] = {
        {"num_clients", JSON_FIELD_U32, AT(cmd_reply, presence_stats.num_clients)},
        {"num_users", JSON_FIELD_U32, AT(cmd_reply, presence_stats.num_users)},
    };
    return READ(v, fields, NULL, out);
}

static dun_err read_refresh(struct dun_slice v, struct cmd_reply *out)
{
    static const struct json_field fields[] = {
        {"expires", JSON_FIELD_BOOL, AT(cmd_reply, refresh.expires)},
        {"ttl", JSON_FIELD_U32, AT(cmd_reply, refresh.ttl_s)},
    };
    return READ(v, fields, NULL, out);
}

static dun_err read_result(struct dun_slice v, struct dun_buf *scratch, struct cmd_reply *out)
{
    switch (out->result) {
    case CMD_CONNECT: return read_connect(v, scratch, &out->connect);
    case CMD_SUBSCRIBE: return read_subscribe(v, scratch, &out->subscribe);
    case CMD_HISTORY: return read_history(v, scratch, &out->history);
    case CMD_PRESENCE: return read_raw(v, "presence", &out->raw);
    case CMD_PRESENCE_STATS: return read_stats(v, out);
    case CMD_RPC: return read_raw(v, "data", &out->raw);
    case CMD_REFRESH:
    case CMD_SUB_REFRESH: return read_refresh(v, out);
    case CMD_UNSUBSCRIBE:
    case CMD_PUBLISH:
    case CMD_PING:
    case CMD_SEND: return json_type_of(v) == JSON_OBJECT ? DUN_OK : DUN_E_MALFORMED;
    case CMD_PONG:
    case CMD_TYPE_COUNT: break;
    }
    DUN_UNREACHABLE();
}

static const struct {
    const char *name;
    enum cmd_reply_type type;
} push_names[] = {
    {"pub", CMD_REPLY_PUB},
    {"join", CMD_REPLY_JOIN},
    {"leave", CMD_REPLY_LEAVE},
    {"unsubscribe", CMD_REPLY_UNSUBSCRIBE},
    {"subscribe", CMD_REPLY_SUBSCRIBE},
    {"message", CMD_REPLY_MESSAGE},
    {"disconnect", CMD_REPLY_DISCONNECT},
};

static dun_err read_push_body(struct dun_slice v, struct dun_buf *scratch, struct cmd_reply *out)
{
    switch (out->type) {
    case CMD_REPLY_PUB: return read_publication(v, scratch, &out->publication);
    case CMD_REPLY_JOIN:
    case CMD_REPLY_LEAVE: return read_info(v, scratch, &out->info);
    case CMD_REPLY_UNSUBSCRIBE:
    case CMD_REPLY_DISCONNECT: return read_error(v, scratch, &out->error);
    case CMD_REPLY_SUBSCRIBE: return read_subscribe(v, scratch, &out->subscribe);
    case CMD_REPLY_MESSAGE: return read_raw(v, "data", &out->raw);
    case CMD_REPLY_OTHER: return DUN_OK;
    case CMD_REPLY_PING:
    case CMD_REPLY_ERROR:
    case CMD_REPLY_RESULT: break;
    }
    DUN_UNREACHABLE();
}

static dun_err read_push(struct dun_slice push, struct dun_buf *scratch, struct cmd_reply *out)
{
    struct json_iter it;
    struct json_member m;
    struct dun_slice body = {0};
    dun_err e = json_object(push, &it);
    if (e != DUN_OK) return e;
    out->type = CMD_REPLY_OTHER;
    while (json_next_member(&it, &m)) {
        if (m.type == JSON_NULL) continue;
        if (json_key_is(m.key, "channel")) {
            e = json_get_string(m.value, scratch, &out->channel);
            if (e != DUN_OK) return e;
        }
        for (size_t i = 0; i < DUN_COUNT(push_names); i++) {
            if (!json_key_is(m.key, push_names[i].name)) continue;
            out->type = push_names[i].type;
            body = m.value;
        }
    }
    return read_push_body(body, scratch, out);
}

dun_err cmd_client_decode(struct dun_slice line, struct dun_buf *scratch, struct cmd_reply *out)
{
    struct json_iter it;
    struct json_member m;
    struct cmd_reply r = {.type = CMD_REPLY_PING, .result = CMD_PONG};
    struct dun_slice error = {0}, push = {0}, result = {0};
    dun_err e = json_check_reply(line);
    if (e == DUN_OK) e = json_object(line, &it);
    if (e != DUN_OK) return e;
    dun_buf_reserve(scratch, line.len);
    while (json_next_member(&it, &m)) {
        enum cmd_type type;
        if (m.type == JSON_NULL) continue;
        if (json_key_is(m.key, "id")) {
            e = json_get_u32(m.value, &r.id);
            if (e != DUN_OK) return e;
        } else if (json_key_is(m.key, "error")) {
            error = m.value;
        } else if (json_key_is(m.key, "push")) {
            push = m.value;
        } else if (cmd_type_of_key(m.key, &type)) {
            r.result = type;
            result = m.value;
        }
    }
    if (r.id > 0) { /* id first, as the JavaScript SDK does */
        r.type = error.len > 0 ? CMD_REPLY_ERROR : CMD_REPLY_RESULT;
        if (error.len > 0) {
            e = read_error(error, scratch, &r.error);
        } else {
            e = result.len > 0 ? read_result(result, scratch, &r) : DUN_E_MALFORMED;
        }
    } else if (push.len > 0) {
        e = read_push(push, scratch, &r);
    }
    if (e == DUN_OK) *out = r;
    return e;
}

dun_err cmd_client_next_publication(struct json_iter *it, struct dun_buf *scratch,
                                    struct cmd_publication *out)
{
    struct json_member m;
    struct cmd_publication p = {0};
    if (!json_next_item(it, &m)) return DUN_E_GONE;
    dun_err e = read_publication(m.value, scratch, &p);
    if (e == DUN_OK) *out = p;
    return e;
}
