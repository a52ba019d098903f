/* transport/codec/api.c: decoding request bodies and writing answers of the
 * HTTP server API. What cannot be read is HTTP 400; what can be read but not
 * done is an error object, so a caller sees which of the two to mend. */
#include "transport/codec/api.h"

#include "base/assert.h"
#include "base/limits.h"
#include "transport/codec/json_obj.h"

#include <sodium.h>

struct body { /* every member that some method knows */
    struct dun_slice channel, data, b64data, tags, key, channels, since, since_epoch;
    uint64_t since_offset;
    int32_t limit;
    bool skip_history, reverse;
};

#define AT(member) offsetof(struct body, member)

static const struct json_field fields[] = {
    {"channel", JSON_FIELD_TEXT, AT(channel)},
    {"data", JSON_FIELD_RAW, AT(data)},
    {"b64data", JSON_FIELD_TEXT, AT(b64data)},
    {"tags", JSON_FIELD_OBJECT, AT(tags)},
    {"idempotency_key", JSON_FIELD_TEXT, AT(key)},
    {"channels", JSON_FIELD_ARRAY, AT(channels)},
    {"skip_history", JSON_FIELD_BOOL, AT(skip_history)},
    {"limit", JSON_FIELD_I32, AT(limit)},
    {"reverse", JSON_FIELD_BOOL, AT(reverse)},
    {"since", JSON_FIELD_OBJECT, AT(since)},
};

static const struct json_field since_fields[] = {
    {"offset", JSON_FIELD_U64, AT(since_offset)},
    {"epoch", JSON_FIELD_TEXT, AT(since_epoch)},
};

static dun_err unreadable(struct api_refusal *why, const char *detail)
{
    *why = (struct api_refusal){CMD_ERR_BAD_REQUEST, detail};
    return DUN_E_MALFORMED;
}

static dun_err refuse(struct api_refusal *why, const char *detail)
{
    *why = (struct api_refusal){CMD_ERR_BAD_REQUEST, detail};
    return DUN_E_DENIED;
}

static dun_err read_body(struct dun_slice text, struct dun_buf *scratch, struct body *out,
                         struct api_refusal *why)
{
    *out = (struct body){0};
    if (text.len == 0) text = dun_slice_str("{}");
    if (json_check_type(text, JSON_OBJECT) != DUN_OK) {
        return unreadable(why, "the body is not a JSON object");
    }
    dun_buf_reserve(scratch, text.len); /* no slice below moves any more */
    if (json_obj_read(text, fields, DUN_COUNT(fields), scratch, out) != DUN_OK) {
        return unreadable(why, "a member of the body has the wrong type");
    }
    if (out->since.len > 0 &&
        json_obj_read(out->since, since_fields, DUN_COUNT(since_fields), scratch, out) != DUN_OK) {
        return unreadable(why, "since must be {\"offset\": integer, \"epoch\": string}");
    }
    return DUN_OK;
}

static dun_err check_channel(struct dun_slice channel, struct api_refusal *why)
{
    if (channel.len == 0) return refuse(why, "channel is required");
    if (channel.len > DUN_CHANNEL_MAX) return refuse(why, "channel is longer than 255 bytes");
    return DUN_OK;
}

/* b64data, decoded in place of data. */
static dun_err take_b64data(struct body *body, struct dun_buf *scratch, struct api_refusal *why)
{
    size_t n = 0, room = body->b64data.len / 4 * 3 + 3;
    if (body->b64data.len == 0) return DUN_OK;
    DUN_ASSERT(scratch->cap - scratch->len >= room); /* see decode_publish */
    uint8_t *to = scratch->data + scratch->len;
    if (sodium_base642bin(to, room, (const char *)body->b64data.data, body->b64data.len, NULL, &n,
                          NULL, sodium_base64_VARIANT_ORIGINAL) != 0) {
        return refuse(why, "b64data is not padded standard base64");
    }
    body->data = dun_slice(to, n);
    scratch->len += n;
    if (json_check(body->data) != DUN_OK) return refuse(why, "b64data does not hold a JSON value");
    return DUN_OK;
}

static dun_err check_tags(struct dun_slice tags, struct api_refusal *why)
{
    struct json_iter it;
    struct json_member m;
    if (tags.len == 0) return DUN_OK;
    if (json_object(tags, &it) != DUN_OK) return unreadable(why, "tags is not an object");
    while (json_next_member(&it, &m)) {
        if (m.type != JSON_STRING) return unreadable(why, "a tag's value is not a string");
    }
    if (tags.len > DUN_TAGS_MAX) return refuse(why, "tags are over 4096 bytes");
    return DUN_OK;
}

/* What publish and broadcast share, all but the channel. */
static dun_err decode_publish(struct dun_slice text, struct dun_buf *scratch, struct body *body,
                              struct api_publish *out, struct api_refusal *why)
{
    /* strings once, and base64 in a decoded string once more, with its slack */
    dun_buf_reserve(scratch, 2 * text.len + 8);
    dun_err e = read_body(text, scratch, body, why);
    if (e == DUN_OK) e = take_b64data(body, scratch, why);
    if (e == DUN_OK) e = check_tags(body->tags, why);
    if (e != DUN_OK) return e;
    if (body->data.len == 0) return refuse(why, "data is required");
    if (body->data.len > DUN_PAYLOAD_MAX) return refuse(why, "data is over 65536 bytes");
    if (body->key.len > DUN_KEY_MAX) return refuse(why, "idempotency_key is over 128 bytes");
    *out = (struct api_publish){.data = body->data,
                                .tags = body->tags,
                                .idempotency_key = body->key,
                                .skip_history = body->skip_history};
    return DUN_OK;
}

dun_err api_decode_publish(struct dun_slice body, struct dun_buf *scratch, struct api_publish *out,
                           struct api_refusal *why)
{
    struct body b;
    struct api_publish p;
    dun_err e = decode_publish(body, scratch, &b, &p, why);
    if (e == DUN_OK) e = check_channel(b.channel, why);
    if (e != DUN_OK) return e;
    *out = p;
    out->channel = b.channel;
    return DUN_OK;
}

bool api_next_channel(struct json_iter *it, struct dun_buf *scratch, struct dun_slice *channel)
{
    struct json_member m;
    if (!json_next_item(it, &m)) return false;
    dun_err e = json_get_string(m.value, scratch, channel);
    DUN_ASSERT(e == DUN_OK); /* checked by api_decode_broadcast */
    return true;
}

/* Every item is looked at here, decoded into room that is given back. */
static dun_err check_channels(struct dun_slice channels, struct dun_buf *scratch, size_t *count,
                              struct api_refusal *why)
{
    struct json_iter it;
    struct json_member m;
    *count = 0;
    if (channels.len == 0 || json_array(channels, &it) != DUN_OK) {
        return refuse(why, "channels is required");
    }
    while (json_next_item(&it, &m)) {
        struct dun_slice channel;
        size_t mark = scratch->len;
        if (json_get_string(m.value, scratch, &channel) != DUN_OK) {
            return unreadable(why, "channels is not an array of strings");
        }
        scratch->len = mark;
        dun_err e = check_channel(channel, why);
        if (e != DUN_OK) return e;
        if (++*count > DUN_API_CHANNELS_MAX) return refuse(why, "more than 4096 channels");
    }
    return *count == 0 ? refuse(why, "channels is empty") : DUN_OK;
}

dun_err api_decode_broadcast(struct dun_slice body, struct dun_buf *scratch,
                             struct api_broadcast *out, struct api_refusal *why)
{
    struct body b;
    struct api_broadcast r = {0};
    dun_err e = decode_publish(body, scratch, &b, &r.publish, why);
    if (e == DUN_OK) e = check_channels(b.channels, scratch, &r.channel_count, why);
    if (e != DUN_OK) return e;
    r.channels = b.channels;
    *out = r;
    return DUN_OK;
}

dun_err api_decode_history(struct dun_slice body, struct dun_buf *scratch, struct cmd_history *out,
                           struct api_refusal *why)
{
    struct body b;
    dun_err e = read_body(body, scratch, &b, why);
    if (e == DUN_OK) e = check_channel(b.channel, why);
    if (e != DUN_OK) return e;
    *out = (struct cmd_history){.channel = b.channel,
                                .limit = b.limit,
                                .has_since = b.since.len > 0,
                                .reverse = b.reverse,
                                .since_offset = b.since_offset,
                                .since_epoch = b.since_epoch};
    return DUN_OK;
}

dun_err api_decode_channel(struct dun_slice body, struct dun_buf *scratch, struct api_channel *out,
                           struct api_refusal *why)
{
    struct body b;
    dun_err e = read_body(body, scratch, &b, why);
    if (e == DUN_OK) e = check_channel(b.channel, why);
    if (e == DUN_OK) out->channel = b.channel;
    return e;
}

dun_err api_decode_empty(struct dun_slice body, struct api_refusal *why)
{
    if (body.len == 0 || json_check_type(body, JSON_OBJECT) == DUN_OK) return DUN_OK;
    return unreadable(why, "the body is not a JSON object");
}

/* ---- answers ---- */

static void write_position(struct dun_buf *b, uint64_t offset, struct dun_slice epoch)
{
    dun_buf_str(b, "{\"result\":");
    struct json_obj o = json_obj_begin(b);
    if (offset > 0) {
        json_obj_u64(&o, "offset", offset);
        json_obj_text(&o, "epoch", epoch);
    }
    json_obj_end(&o);
    dun_buf_byte(b, '}');
}

static void write_error_object(struct dun_buf *b, enum cmd_error code, const char *detail)
{
    /* two texts differ from the client protocol's */
    const char *text = cmd_error_text(code);
    if (code == CMD_ERR_METHOD_NOT_FOUND) text = "not found";
    if (code == CMD_ERR_CONCURRENT_PAGINATION) text = "conflict";
    struct json_obj o = json_obj_begin(b);
    json_obj_u64(&o, "code", (uint64_t)code);
    json_obj_text(&o, "message", dun_slice_str(text));
    if (detail != NULL) json_obj_text(&o, "detail", dun_slice_str(detail));
    json_obj_end(&o);
}

void api_write_error(struct dun_buf *b, enum cmd_error code, const char *detail, bool transport)
{
    if (!transport) dun_buf_str(b, "{\"error\":");
    write_error_object(b, code, detail);
    if (!transport) dun_buf_byte(b, '}');
}

int api_status(enum cmd_error code)
{
    switch (code) {
    case CMD_ERR_UNKNOWN_CHANNEL:
    case CMD_ERR_METHOD_NOT_FOUND: return 404;
    case CMD_ERR_BAD_REQUEST:
    case CMD_ERR_NOT_AVAILABLE: return 400;
    case CMD_ERR_UNRECOVERABLE_POSITION: return 416;
    case CMD_ERR_CONCURRENT_PAGINATION: return 409;
    case CMD_ERR_INTERNAL:
    case CMD_ERR_UNAUTHORIZED:
    case CMD_ERR_PERMISSION_DENIED:
    case CMD_ERR_ALREADY_SUBSCRIBED:
    case CMD_ERR_LIMIT_EXCEEDED:
    case CMD_ERR_TOKEN_EXPIRED:
    case CMD_ERR_EXPIRED:
    case CMD_ERR_TOO_MANY_REQUESTS: return 500;
    }
    DUN_UNREACHABLE();
}

void api_write_publish(struct dun_buf *b, uint64_t offset, struct dun_slice epoch)
{
    write_position(b, offset, epoch);
}

void api_responses_begin(struct dun_buf *b, struct api_responses *w)
{
    w->count = 0;
    dun_buf_str(b, "{\"result\":{\"responses\":[");
}

void api_responses_item(struct dun_buf *b, struct api_responses *w, uint64_t offset,
                        struct dun_slice epoch)
{
    if (w->count++ > 0) dun_buf_byte(b, ',');
    write_position(b, offset, epoch);
}

void api_responses_error(struct dun_buf *b, struct api_responses *w, enum cmd_error code)
{
    if (w->count++ > 0) dun_buf_byte(b, ',');
    api_write_error(b, code, NULL, false);
}

void api_responses_end(struct dun_buf *b, struct api_responses *w)
{
    DUN_ASSERT(w->count > 0);
    dun_buf_str(b, "]}}");
}

void api_write_history(struct dun_buf *b, const struct cmd_history_result *r)
{
    dun_buf_str(b, "{\"result\":");
    struct json_obj o = json_obj_begin(b);
    json_obj_key(&o, "publications");
    cmd_write_publications(b, r->publications, r->publication_count);
    json_obj_text_always(&o, "epoch", r->epoch);
    json_obj_u64_always(&o, "offset", r->offset);
    json_obj_end(&o);
    dun_buf_byte(b, '}');
}

void api_write_presence(struct dun_buf *b, const struct cmd_client_info *list, size_t count)
{
    dun_buf_str(b, "{\"result\":{\"presence\":");
    cmd_write_presence_map(b, list, count);
    dun_buf_str(b, "}}");
}

void api_write_presence_stats(struct dun_buf *b, uint32_t num_clients, uint32_t num_users)
{
    dun_buf_str(b, "{\"result\":");
    struct json_obj o = json_obj_begin(b);
    json_obj_u64_always(&o, "num_clients", num_clients);
    json_obj_u64_always(&o, "num_users", num_users);
    json_obj_end(&o);
    dun_buf_byte(b, '}');
}

void api_write_empty(struct dun_buf *b)
{
    dun_buf_str(b, "{\"result\":{}}");
}

void api_write_info(struct dun_buf *b, const struct api_node *nodes, size_t count)
{
    dun_buf_str(b, "{\"result\":{\"nodes\":[");
    for (size_t i = 0; i < count; i++) {
        const struct api_node *n = &nodes[i];
        if (i > 0) dun_buf_byte(b, ',');
        struct json_obj o = json_obj_begin(b);
        json_obj_text_always(&o, "uid", n->uid);
        json_obj_text_always(&o, "name", n->name);
        json_obj_text_always(&o, "version", n->version);
        json_obj_u64_always(&o, "num_clients", n->num_clients);
        json_obj_u64_always(&o, "num_users", n->num_users);
        json_obj_u64_always(&o, "num_channels", n->num_channels);
        json_obj_u64_always(&o, "num_subs", n->num_subs);
        json_obj_u64_always(&o, "uptime", n->uptime_s);
        json_obj_end(&o);
    }
    dun_buf_str(b, "]}}");
}
