/* transport/codec/json_obj.c: see the header. */
#include "transport/codec/json_obj.h"

#include "base/assert.h"

static dun_err read_raw(const struct json_member *m, enum json_type want, struct dun_slice *out)
{
    if (m->type != want) return DUN_E_MALFORMED;
    *out = m->value;
    return DUN_OK;
}

static dun_err read_i32(struct dun_slice value, int32_t *out)
{
    int64_t v;
    dun_err e = json_get_i64(value, &v);
    if (e != DUN_OK || v < INT32_MIN || v > INT32_MAX) return DUN_E_MALFORMED;
    *out = (int32_t)v;
    return DUN_OK;
}

static dun_err read_field(const struct json_field *f, const struct json_member *m,
                          struct dun_buf *scratch, void *at)
{
    switch (f->kind) {
    case JSON_FIELD_TEXT: return json_get_string(m->value, scratch, at);
    case JSON_FIELD_RAW: *(struct dun_slice *)at = m->value; return DUN_OK;
    case JSON_FIELD_OBJECT: return read_raw(m, JSON_OBJECT, at);
    case JSON_FIELD_ARRAY: return read_raw(m, JSON_ARRAY, at);
    case JSON_FIELD_BOOL: return json_get_bool(m->value, at);
    case JSON_FIELD_U64: return json_get_u64(m->value, at);
    case JSON_FIELD_U32: return json_get_u32(m->value, at);
    case JSON_FIELD_I64: return json_get_i64(m->value, at);
    case JSON_FIELD_I32: return read_i32(m->value, at);
    }
    DUN_UNREACHABLE();
}

dun_err json_obj_read(struct dun_slice object, const struct json_field *fields, size_t count,
                      struct dun_buf *scratch, void *out)
{
    struct json_iter it;
    struct json_member m;
    dun_err e = json_object(object, &it);
    if (e != DUN_OK) return e;
    while (json_next_member(&it, &m)) {
        size_t i = 0;
        while (i < count && !json_key_is(m.key, fields[i].name))
            i++;
        if (i == count || (m.type == JSON_NULL && fields[i].kind != JSON_FIELD_RAW)) continue;
        e = read_field(&fields[i], &m, scratch, (char *)out + fields[i].at);
        if (e != DUN_OK) return e;
    }
    return DUN_OK;
}

struct json_obj json_obj_begin(struct dun_buf *b)
{
    dun_buf_byte(b, '{');
    return (struct json_obj){.b = b};
}

void json_obj_end(struct json_obj *o)
{
    dun_buf_byte(o->b, '}');
}

void json_obj_key(struct json_obj *o, const char *name)
{
    if (o->any) dun_buf_byte(o->b, ',');
    o->any = true;
    dun_buf_byte(o->b, '"');
    dun_buf_str(o->b, name);
    dun_buf_str(o->b, "\":");
}

void json_obj_text_always(struct json_obj *o, const char *name, struct dun_slice text)
{
    json_obj_key(o, name);
    json_write_string(o->b, text);
}

void json_obj_text(struct json_obj *o, const char *name, struct dun_slice text)
{
    if (text.len > 0) json_obj_text_always(o, name, text);
}

void json_obj_raw(struct json_obj *o, const char *name, struct dun_slice value)
{
    if (value.len == 0) return;
    json_obj_key(o, name);
    json_strip_newlines(o->b, value);
}

void json_obj_u64_always(struct json_obj *o, const char *name, uint64_t v)
{
    json_obj_key(o, name);
    dun_buf_u64(o->b, v);
}

void json_obj_u64(struct json_obj *o, const char *name, uint64_t v)
{
    if (v != 0) json_obj_u64_always(o, name, v);
}

void json_obj_i64(struct json_obj *o, const char *name, int64_t v)
{
    if (v == 0) return;
    json_obj_key(o, name);
    if (v < 0) dun_buf_byte(o->b, '-');
    dun_buf_u64(o->b, v < 0 ? UINT64_C(0) - (uint64_t)v : (uint64_t)v);
}

void json_obj_bool(struct json_obj *o, const char *name, bool v)
{
    if (!v) return;
    json_obj_key(o, name);
    dun_buf_str(o->b, "true");
}
