/* transport/codec/cmd.c: decoding commands. One table a request; the envelope
 * picks the table. */
#include "transport/codec/cmd.h"

#include "base/assert.h"
#include "transport/codec/json_obj.h"

static const char *const names[CMD_TYPE_COUNT] = {
    [CMD_CONNECT] = "connect",
    [CMD_SUBSCRIBE] = "subscribe",
    [CMD_UNSUBSCRIBE] = "unsubscribe",
    [CMD_PUBLISH] = "publish",
    [CMD_PRESENCE] = "presence",
    [CMD_PRESENCE_STATS] = "presence_stats",
    [CMD_HISTORY] = "history",
    [CMD_PING] = "ping",
    [CMD_SEND] = "send",
    [CMD_RPC] = "rpc",
    [CMD_REFRESH] = "refresh",
    [CMD_SUB_REFRESH] = "sub_refresh",
};

#define AT(type, member) offsetof(struct type, member)

static const struct json_field connect_fields[] = {
    {"token", JSON_FIELD_TEXT, AT(cmd_connect, token)},
    {"name", JSON_FIELD_TEXT, AT(cmd_connect, name)},
    {"version", JSON_FIELD_TEXT, AT(cmd_connect, version)},
    {"data", JSON_FIELD_RAW, AT(cmd_connect, data)},
    {"subs", JSON_FIELD_OBJECT, AT(cmd_connect, subs)},
};

static const struct json_field subscribe_fields[] = {
    {"channel", JSON_FIELD_TEXT, AT(cmd_subscribe, channel)},
    {"token", JSON_FIELD_TEXT, AT(cmd_subscribe, token)},
    {"data", JSON_FIELD_RAW, AT(cmd_subscribe, data)},
    {"epoch", JSON_FIELD_TEXT, AT(cmd_subscribe, epoch)},
    {"offset", JSON_FIELD_U64, AT(cmd_subscribe, offset)},
    {"recover", JSON_FIELD_BOOL, AT(cmd_subscribe, recover)},
    {"positioned", JSON_FIELD_BOOL, AT(cmd_subscribe, positioned)},
    {"recoverable", JSON_FIELD_BOOL, AT(cmd_subscribe, recoverable)},
    {"join_leave", JSON_FIELD_BOOL, AT(cmd_subscribe, join_leave)},
    {"flag", JSON_FIELD_I64, AT(cmd_subscribe, flag)},
    {"type", JSON_FIELD_I64, AT(cmd_subscribe, type)},
    {"delta", JSON_FIELD_TEXT, AT(cmd_subscribe, delta)},
    {"tf", JSON_FIELD_OBJECT, AT(cmd_subscribe, tf)},
};

static const struct json_field channel_fields[] = {
    {"channel", JSON_FIELD_TEXT, AT(cmd_channel, channel)},
};

static const struct json_field publish_fields[] = {
    {"channel", JSON_FIELD_TEXT, AT(cmd_publish, channel)},
    {"data", JSON_FIELD_RAW, AT(cmd_publish, data)},
};

static const struct json_field history_fields[] = {
    {"channel", JSON_FIELD_TEXT, AT(cmd_history, channel)},
    {"limit", JSON_FIELD_I32, AT(cmd_history, limit)},
    {"reverse", JSON_FIELD_BOOL, AT(cmd_history, reverse)},
};

static const struct json_field since_fields[] = {
    {"offset", JSON_FIELD_U64, AT(cmd_history, since_offset)},
    {"epoch", JSON_FIELD_TEXT, AT(cmd_history, since_epoch)},
};

static const struct json_field send_fields[] = {
    {"data", JSON_FIELD_RAW, AT(cmd_send, data)},
};

static const struct json_field rpc_fields[] = {
    {"method", JSON_FIELD_TEXT, AT(cmd_rpc, method)},
    {"data", JSON_FIELD_RAW, AT(cmd_rpc, data)},
};

static const struct json_field refresh_fields[] = {
    {"channel", JSON_FIELD_TEXT, AT(cmd_refresh, channel)},
    {"token", JSON_FIELD_TEXT, AT(cmd_refresh, token)},
};

static const struct {
    const struct json_field *fields;
    size_t count;
} tables[CMD_TYPE_COUNT] = {
    [CMD_CONNECT] = {connect_fields, DUN_COUNT(connect_fields)},
    [CMD_SUBSCRIBE] = {subscribe_fields, DUN_COUNT(subscribe_fields)},
    [CMD_UNSUBSCRIBE] = {channel_fields, DUN_COUNT(channel_fields)},
    [CMD_PUBLISH] = {publish_fields, DUN_COUNT(publish_fields)},
    [CMD_PRESENCE] = {channel_fields, DUN_COUNT(channel_fields)},
    [CMD_PRESENCE_STATS] = {channel_fields, DUN_COUNT(channel_fields)},
    [CMD_HISTORY] = {history_fields, DUN_COUNT(history_fields)},
    [CMD_SEND] = {send_fields, DUN_COUNT(send_fields)},
    [CMD_RPC] = {rpc_fields, DUN_COUNT(rpc_fields)},
    [CMD_REFRESH] = {refresh_fields, DUN_COUNT(refresh_fields)},
    [CMD_SUB_REFRESH] = {refresh_fields, DUN_COUNT(refresh_fields)},
};

const char *cmd_type_name(enum cmd_type type)
{
    DUN_ASSERT((unsigned)type < CMD_PONG);
    return names[type];
}

bool cmd_type_of_key(struct dun_slice key, enum cmd_type *type)
{
    for (unsigned i = 0; i < CMD_PONG; i++) {
        if (!json_key_is(key, names[i])) continue;
        *type = (enum cmd_type)i;
        return true;
    }
    return false;
}

bool cmd_next_line(struct dun_slice *rest, struct dun_slice *line)
{
    while (rest->len > 0) {
        const uint8_t *lf = memchr(rest->data, '\n', rest->len);
        size_t n = lf != NULL ? (size_t)(lf - rest->data) : rest->len;
        size_t step = lf != NULL ? n + 1 : n;
        *line = json_trim(dun_slice(rest->data, n));
        *rest = dun_slice(rest->data + step, rest->len - step);
        if (line->len > 0) return true;
    }
    return false;
}

/* `since` is an object in an object, so it has a table of its own. */
static dun_err read_since(struct dun_slice request, struct dun_buf *scratch,
                          struct cmd_history *out)
{
    struct json_member m;
    if (!json_find(request, "since", &m) || m.type == JSON_NULL) return DUN_OK;
    out->has_since = true;
    return json_obj_read(m.value, since_fields, DUN_COUNT(since_fields), scratch, out);
}

static dun_err read_request(struct dun_slice request, struct dun_buf *scratch, struct cmd *out)
{
    if (json_type_of(request) != JSON_OBJECT) return DUN_E_MALFORMED;
    void *to = &out->connect; /* all members of the union start at the same place */
    dun_err e =
        json_obj_read(request, tables[out->type].fields, tables[out->type].count, scratch, to);
    if (e == DUN_OK && out->type == CMD_HISTORY) e = read_since(request, scratch, &out->history);
    return e;
}

dun_err cmd_decode(struct dun_slice line, struct dun_buf *scratch, struct cmd *out)
{
    struct json_iter it;
    struct json_member m, request = {0};
    struct cmd c = {.type = CMD_PONG};
    dun_err e = json_check(line);
    if (e == DUN_OK) e = json_object(line, &it);
    if (e != DUN_OK) return e;
    dun_buf_reserve(scratch, line.len); /* no slice below moves any more */
    while (json_next_member(&it, &m)) {
        enum cmd_type type;
        if (m.type == JSON_NULL) continue;
        if (json_key_is(m.key, "id")) {
            e = json_get_u32(m.value, &c.id);
            if (e != DUN_OK) return e;
        } else if (cmd_type_of_key(m.key, &type)) {
            if (c.type != CMD_PONG && c.type != type) return DUN_E_MALFORMED; /* two commands */
            c.type = type;
            request = m;
        }
    }
    if (c.type == CMD_PONG) {
        if (c.id != 0) return DUN_E_MALFORMED; /* nothing we know */
    } else {
        if (c.id == 0 && c.type != CMD_SEND) return DUN_E_MALFORMED;
        e = read_request(request.value, scratch, &c);
        if (e != DUN_OK) return e;
    }
    *out = c;
    return DUN_OK;
}

dun_err cmd_next_sub(struct json_iter *it, struct dun_buf *scratch, struct cmd_subscribe *out)
{
    struct json_member m;
    struct cmd_subscribe s = {0};
    if (!json_next_member(it, &m)) return DUN_E_GONE;
    if (m.type != JSON_NULL) {
        dun_err e =
            json_obj_read(m.value, subscribe_fields, DUN_COUNT(subscribe_fields), scratch, &s);
        if (e != DUN_OK) return e;
    }
    dun_err e = json_get_key(m.key, scratch, &s.channel); /* the key names it, not a member */
    if (e != DUN_OK) return e;
    *out = s;
    return DUN_OK;
}
