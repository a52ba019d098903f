/* transport/codec/json.c: one validating pass, then cheap readers.
 * (1) check is the only code that judges; it keeps one bit a level, so
 *     depth costs no stack.
 * (2) The readers skip by quotes and brackets only, yet never leave the slice,
 *     whatever it holds.
 * (3) A decoded string is never longer than its raw text: \uXXXX takes 6 bytes
 *     and gives at most 3, a pair takes 12 and gives 4. */
#include "transport/codec/json.h"

#include "base/assert.h"
#include "base/limits.h"
#include "transport/codec/utf8.h"

struct checker {
    const uint8_t *p, *end;
    uint64_t objects; /* bit d: the container at depth d + 1 is an object */
    unsigned depth, depth_max;
};

_Static_assert(DUN_JSON_REPLY_DEPTH_MAX <= 64, "checker.objects has one bit a level");

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static const uint8_t *skip_space(const uint8_t *p, const uint8_t *end)
{
    while (p < end && is_space(*p))
        p++;
    return p;
}

/* Value of four hex digits, or -1. */
static int32_t hex4(const uint8_t *p, const uint8_t *end)
{
    int32_t v = 0;
    if (end - p < 4) return -1;
    for (int i = 0; i < 4; i++) {
        uint8_t c = p[i];
        int32_t d;
        if (is_digit(c)) {
            d = c - '0';
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            d = (c | 0x20) - 'a' + 10;
        } else {
            return -1;
        }
        v = v * 16 + d;
    }
    return v;
}

/* ---- validation ---- */

/* p is behind a backslash. */
static bool check_escape(struct checker *c)
{
    if (c->p == c->end) return false;
    uint8_t kind = *c->p++;
    if (kind != 'u') return kind != 0 && strchr("\"\\/bfnrt", kind) != NULL;
    int32_t v = hex4(c->p, c->end);
    if (v < 0) return false;
    c->p += 4;
    if (v >= 0xdc00 && v <= 0xdfff) return false; /* low half without a high one */
    if (v < 0xd800 || v > 0xdbff) return true;
    if (c->end - c->p < 6 || c->p[0] != '\\' || c->p[1] != 'u') return false;
    int32_t low = hex4(c->p + 2, c->end);
    c->p += 6;
    return low >= 0xdc00 && low <= 0xdfff;
}

/* p is at the opening quote. */
static bool check_string(struct checker *c)
{
    if (c->p == c->end || *c->p != '"') return false;
    c->p++;
    while (c->p < c->end) {
        uint8_t ch = *c->p;
        if (ch == '"') {
            c->p++;
            return true;
        }
        if (ch < 0x20) return false;
        if (ch == '\\') {
            c->p++;
            if (!check_escape(c)) return false;
        } else if (ch < 0x80) {
            c->p++;
        } else {
            size_t n = utf8_char(c->p, (size_t)(c->end - c->p));
            if (n == 0) return false;
            c->p += n;
        }
    }
    return false;
}

static bool check_digits(struct checker *c)
{
    const uint8_t *from = c->p;
    while (c->p < c->end && is_digit(*c->p))
        c->p++;
    return c->p > from;
}

static bool check_number(struct checker *c)
{
    if (*c->p == '-') c->p++;
    if (c->p == c->end) return false;
    if (*c->p == '0') {
        c->p++; /* a digit behind it is left over and refused by the caller */
    } else if (!check_digits(c)) {
        return false;
    }
    if (c->p < c->end && *c->p == '.') {
        c->p++;
        if (!check_digits(c)) return false;
    }
    if (c->p < c->end && (*c->p | 0x20) == 'e') {
        c->p++;
        if (c->p < c->end && (*c->p == '+' || *c->p == '-')) c->p++;
        if (!check_digits(c)) return false;
    }
    return true;
}

static bool check_literal(struct checker *c, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0) return false;
    c->p += n;
    return true;
}

static bool check_scalar(struct checker *c)
{
    switch (*c->p) {
    case '"': return check_string(c);
    case 't': return check_literal(c, "true");
    case 'f': return check_literal(c, "false");
    case 'n': return check_literal(c, "null");
    default: return (*c->p == '-' || is_digit(*c->p)) && check_number(c);
    }
}

static bool in_object(const struct checker *c)
{
    return (c->objects >> (c->depth - 1)) & 1;
}

/* A key and its colon. */
static bool check_key(struct checker *c)
{
    c->p = skip_space(c->p, c->end);
    if (!check_string(c)) return false;
    c->p = skip_space(c->p, c->end);
    if (c->p == c->end || *c->p != ':') return false;
    c->p++;
    return true;
}

/* p is at a bracket. *empty: it was closed at once. */
static dun_err check_open(struct checker *c, bool *empty)
{
    bool object = *c->p++ == '{';
    if (c->depth == c->depth_max) return DUN_E_TOO_BIG;
    c->p = skip_space(c->p, c->end);
    *empty = c->p < c->end && *c->p == (object ? '}' : ']');
    if (*empty) {
        c->p++;
        return DUN_OK;
    }
    uint64_t bit = UINT64_C(1) << c->depth;
    c->objects = object ? c->objects | bit : c->objects & ~bit;
    c->depth++;
    return object && !check_key(c) ? DUN_E_MALFORMED : DUN_OK;
}

/* Behind a value: close containers. *more: a comma was read, a value follows. */
static dun_err check_close(struct checker *c, bool *more)
{
    *more = false;
    while (c->depth > 0) {
        c->p = skip_space(c->p, c->end);
        if (c->p == c->end) return DUN_E_MALFORMED;
        uint8_t ch = *c->p++;
        if (ch == ',') {
            *more = true;
            return in_object(c) && !check_key(c) ? DUN_E_MALFORMED : DUN_OK;
        }
        if (ch != (in_object(c) ? '}' : ']')) return DUN_E_MALFORMED;
        c->depth--;
    }
    return DUN_OK;
}

static dun_err check(struct dun_slice text, unsigned depth_max)
{
    if (text.len == 0) return DUN_E_MALFORMED;
    struct checker c = {.p = text.data, .end = text.data + text.len, .depth_max = depth_max};
    bool more = true;
    while (more) {
        c.p = skip_space(c.p, c.end);
        if (c.p == c.end) return DUN_E_MALFORMED;
        if (*c.p == '{' || *c.p == '[') {
            bool empty;
            dun_err e = check_open(&c, &empty);
            if (e != DUN_OK) return e;
            if (!empty) continue; /* its first value is next */
        } else if (!check_scalar(&c)) {
            return DUN_E_MALFORMED;
        }
        dun_err e = check_close(&c, &more);
        if (e != DUN_OK) return e;
    }
    DUN_ASSERT(c.depth == 0);
    return skip_space(c.p, c.end) == c.end ? DUN_OK : DUN_E_MALFORMED;
}

dun_err json_check(struct dun_slice text)
{
    return check(text, DUN_JSON_DEPTH_MAX);
}

dun_err json_check_reply(struct dun_slice text)
{
    return check(text, DUN_JSON_REPLY_DEPTH_MAX);
}

dun_err json_check_type(struct dun_slice text, enum json_type type)
{
    dun_err e = json_check(text);
    if (e != DUN_OK) return e;
    return json_type_of(text) == type ? DUN_OK : DUN_E_MALFORMED;
}

/* ---- readers over validated text ---- */

struct dun_slice json_trim(struct dun_slice value)
{
    if (value.len == 0) return value;
    const uint8_t *end = value.data + value.len, *p = skip_space(value.data, end);
    while (end > p && is_space(end[-1]))
        end--;
    return dun_slice(p, (size_t)(end - p));
}

enum json_type json_type_of(struct dun_slice value)
{
    value = json_trim(value);
    DUN_ASSERT(value.len > 0);
    switch (value.data[0]) {
    case '"': return JSON_STRING;
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case 't':
    case 'f': return JSON_BOOL;
    case 'n': return JSON_NULL;
    default: return JSON_NUMBER;
    }
}

/* p is behind an opening quote; returns the place of the closing one, or end. */
static const uint8_t *string_end(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p != '"') {
        if (*p == '\\' && end - p > 1) p++;
        p++;
    }
    return p;
}

static const uint8_t *skip_value(const uint8_t *p, const uint8_t *end)
{
    size_t depth = 0;
    while (p < end) {
        uint8_t c = *p;
        if (c == '"') {
            p = string_end(p + 1, end);
            if (p < end) p++;
        } else if (c == '{' || c == '[') {
            depth++;
            p++;
        } else if (c == '}' || c == ']') {
            if (depth == 0) return p;
            depth--;
            p++;
        } else if (depth > 0) {
            p++;
            continue;
        } else if (c == ',' || is_space(c)) {
            return p;
        } else {
            p++;
            continue; /* inside a number or a word */
        }
        if (depth == 0) return p;
    }
    return end;
}

static dun_err iter_begin(struct dun_slice value, uint8_t open, struct json_iter *it)
{
    value = json_trim(value);
    if (value.len < 2 || value.data[0] != open) return DUN_E_MALFORMED;
    it->p = value.data + 1;
    it->end = value.data + value.len - 1;
    return DUN_OK;
}

dun_err json_object(struct dun_slice value, struct json_iter *it)
{
    return iter_begin(value, '{', it);
}

dun_err json_array(struct dun_slice value, struct json_iter *it)
{
    return iter_begin(value, '[', it);
}

bool json_next_item(struct json_iter *it, struct json_member *out)
{
    const uint8_t *p = skip_space(it->p, it->end);
    if (p < it->end && *p == ',') p = skip_space(p + 1, it->end);
    if (p == it->end) return false;
    const uint8_t *to = skip_value(p, it->end);
    if (to == p) return false;
    *out = (struct json_member){.value = {p, (size_t)(to - p)}};
    out->type = json_type_of(out->value);
    it->p = to;
    return true;
}

bool json_next_member(struct json_iter *it, struct json_member *out)
{
    const uint8_t *p = skip_space(it->p, it->end);
    if (p < it->end && *p == ',') p = skip_space(p + 1, it->end);
    if (p == it->end || *p != '"') return false;
    const uint8_t *key = p + 1;
    p = string_end(key, it->end);
    struct dun_slice name = {key, (size_t)(p - key)};
    if (p < it->end) p = skip_space(p + 1, it->end);
    if (p == it->end || *p != ':') return false;
    it->p = p + 1;
    if (!json_next_item(it, out)) return false;
    out->key = name;
    return true;
}

/* *p is behind a backslash; moves it behind the escape. Returns the bytes
 * written to out, 0 for what a validator would have refused. */
static size_t decode_escape(const uint8_t **p, const uint8_t *end, uint8_t out[4])
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (*p == end) return 0;
    uint8_t kind = *(*p)++;
    if (kind != 'u') {
        const char *at = kind == 0 ? NULL : strchr(from, kind);
        if (at == NULL) return 0;
        out[0] = (uint8_t)to[at - from];
        return 1;
    }
    int32_t v = hex4(*p, end);
    if (v < 0) return 0;
    *p += 4;
    uint32_t cp = (uint32_t)v;
    if (cp >= 0xd800 && cp <= 0xdfff) {
        if (end - *p < 6) return 0;
        int32_t low = hex4(*p + 2, end);
        *p += 6;
        if (cp > 0xdbff || low < 0xdc00 || low > 0xdfff) return 0;
        cp = 0x10000 + ((cp - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    }
    return utf8_encode(cp, out);
}

bool json_key_is(struct dun_slice key, const char *name)
{
    if (key.len == 0 || memchr(key.data, '\\', key.len) == NULL) return dun_slice_is(key, name);
    const uint8_t *p = key.data, *end = p + key.len;
    while (p < end && *name != 0) {
        uint8_t out[4];
        size_t n = 1;
        if (*p == '\\') {
            p++;
            n = decode_escape(&p, end, out);
        } else {
            out[0] = *p++;
        }
        if (n != 1 || out[0] != (uint8_t)*name++) return false;
    }
    return p == end && *name == 0;
}

bool json_find(struct dun_slice object, const char *name, struct json_member *out)
{
    struct json_iter it;
    struct json_member m;
    bool found = false;
    if (json_object(object, &it) != DUN_OK) return false;
    while (json_next_member(&it, &m)) {
        if (!json_key_is(m.key, name)) continue;
        *out = m;
        found = true;
    }
    return found;
}

dun_err json_get_u64(struct dun_slice value, uint64_t *out)
{
    uint64_t v = 0;
    if (value.len == 0) return DUN_E_MALFORMED;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.data[i])) return DUN_E_MALFORMED;
        uint64_t d = (uint64_t)(value.data[i] - '0');
        if (v > (UINT64_MAX - d) / 10) return DUN_E_MALFORMED;
        v = v * 10 + d;
    }
    *out = v;
    return DUN_OK;
}

dun_err json_get_u32(struct dun_slice value, uint32_t *out)
{
    uint64_t v;
    dun_err e = json_get_u64(value, &v);
    if (e != DUN_OK || v > UINT32_MAX) return DUN_E_MALFORMED;
    *out = (uint32_t)v;
    return DUN_OK;
}

dun_err json_get_i64(struct dun_slice value, int64_t *out)
{
    bool negative = value.len > 0 && value.data[0] == '-';
    uint64_t v, max = negative ? UINT64_C(1) << 63 : INT64_MAX;
    if (negative) value = dun_slice(value.data + 1, value.len - 1);
    if (json_get_u64(value, &v) != DUN_OK || v > max) return DUN_E_MALFORMED;
    /* -(2^63) has no positive counterpart, so go by way of v - 1 */
    *out = !negative || v == 0 ? (int64_t)v : -(int64_t)(v - 1) - 1;
    return DUN_OK;
}

dun_err json_get_bool(struct dun_slice value, bool *out)
{
    bool yes = dun_slice_is(value, "true");
    if (!yes && !dun_slice_is(value, "false")) return DUN_E_MALFORMED;
    *out = yes;
    return DUN_OK;
}

dun_err json_get_key(struct dun_slice key, struct dun_buf *scratch, struct dun_slice *out)
{
    if (key.len == 0 || memchr(key.data, '\\', key.len) == NULL) {
        *out = key;
        return DUN_OK;
    }
    dun_buf_reserve(scratch, key.len);
    size_t from = scratch->len;
    const uint8_t *p = key.data, *end = p + key.len;
    while (p < end) {
        const uint8_t *plain = p;
        while (p < end && *p != '\\')
            p++;
        dun_buf_add(scratch, plain, (size_t)(p - plain));
        if (p == end) break;
        p++;
        uint8_t ch[4];
        size_t n = decode_escape(&p, end, ch);
        if (n == 0 || ch[0] == 0) {
            scratch->len = from;
            return DUN_E_MALFORMED;
        }
        dun_buf_add(scratch, ch, n);
    }
    DUN_ASSERT(scratch->len - from <= key.len);
    *out = dun_slice(scratch->data + from, scratch->len - from);
    return DUN_OK;
}

dun_err json_get_string(struct dun_slice value, struct dun_buf *scratch, struct dun_slice *out)
{
    if (value.len < 2 || value.data[0] != '"') return DUN_E_MALFORMED;
    return json_get_key(dun_slice(value.data + 1, value.len - 2), scratch, out);
}

/* ---- writers ---- */

void json_write_string(struct dun_buf *b, struct dun_slice text)
{
    static const char hex[] = "0123456789abcdef";
    DUN_ASSERT(utf8_valid(text));
    dun_buf_reserve(b, text.len + 2);
    dun_buf_byte(b, '"');
    size_t from = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        dun_buf_add(b, text.data + from, i - from);
        from = i + 1;
        dun_buf_byte(b, '\\');
        switch (c) {
        case '"':
        case '\\': dun_buf_byte(b, c); break;
        case '\n': dun_buf_byte(b, 'n'); break;
        case '\r': dun_buf_byte(b, 'r'); break;
        case '\t': dun_buf_byte(b, 't'); break;
        default:
            dun_buf_str(b, "u00");
            dun_buf_byte(b, (uint8_t)hex[c >> 4]);
            dun_buf_byte(b, (uint8_t)hex[c & 15]);
        }
    }
    if (text.len > from) dun_buf_add(b, text.data + from, text.len - from);
    dun_buf_byte(b, '"');
}

void json_strip_newlines(struct dun_buf *b, struct dun_slice value)
{
    size_t from = 0;
    if (value.len == 0) return;
    dun_buf_reserve(b, value.len);
    if (memchr(value.data, '\n', value.len) != NULL ||
        memchr(value.data, '\r', value.len) != NULL) {
        for (size_t i = 0; i < value.len; i++) {
            if (value.data[i] != '\n' && value.data[i] != '\r') continue;
            dun_buf_add(b, value.data + from, i - from);
            from = i + 1;
        }
    }
    dun_buf_add(b, value.data + from, value.len - from);
}
