/* transport/codec/jwt.c: signature first, then claims.
 * Nothing of the payload is looked at before the signature holds; of the header
 * only `alg` and `crit` are. */
#include "transport/codec/jwt.h"

#include "base/assert.h"
#include "base/limits.h"
#include "transport/codec/json_obj.h"

#include <sodium.h>
#include <stdio.h>

enum { MAC_MAX = crypto_auth_hmacsha512_BYTES };

_Static_assert(MAC_MAX == 64, "HS512 signs with 64 bytes");

static const char *alg_name(enum jwt_alg alg)
{
    switch (alg) {
    case JWT_HS256: return "HS256";
    case JWT_HS512: return "HS512";
    }
    DUN_UNREACHABLE();
}

/* Returns the length of the code. */
static size_t mac(const struct jwt_key *key, struct dun_slice text, uint8_t out[MAC_MAX])
{
    DUN_ASSERT(key->secret.len > 0);
    if (key->alg == JWT_HS256) {
        crypto_auth_hmacsha256_state st;
        crypto_auth_hmacsha256_init(&st, key->secret.data, key->secret.len);
        crypto_auth_hmacsha256_update(&st, text.data, text.len);
        crypto_auth_hmacsha256_final(&st, out);
        sodium_memzero(&st, sizeof st);
        return crypto_auth_hmacsha256_BYTES;
    }
    crypto_auth_hmacsha512_state st;
    crypto_auth_hmacsha512_init(&st, key->secret.data, key->secret.len);
    crypto_auth_hmacsha512_update(&st, text.data, text.len);
    crypto_auth_hmacsha512_final(&st, out);
    sodium_memzero(&st, sizeof st);
    return crypto_auth_hmacsha512_BYTES;
}

/* Decode strict base64 behind what @scratch holds; room must be there. */
static dun_err unbase64(struct dun_slice text, int variant, struct dun_buf *scratch,
                        struct dun_slice *out)
{
    size_t n = 0, room = text.len / 4 * 3 + 3;
    DUN_ASSERT(scratch->cap - scratch->len >= room);
    uint8_t *to = scratch->data + scratch->len;
    if (text.len > 0 && sodium_base642bin(to, room, (const char *)text.data, text.len, NULL, &n,
                                          NULL, variant) != 0) {
        return DUN_E_MALFORMED;
    }
    scratch->len += n;
    *out = dun_slice(to, n);
    return DUN_OK;
}

struct parts {
    struct dun_slice header, payload, signature, signed_text;
};

static dun_err split(struct dun_slice token, struct parts *out)
{
    if (token.len == 0) return DUN_E_MALFORMED;
    const uint8_t *end = token.data + token.len;
    const uint8_t *a = memchr(token.data, '.', token.len);
    const uint8_t *b = a == NULL ? NULL : memchr(a + 1, '.', (size_t)(end - a - 1));
    if (b == NULL || memchr(b + 1, '.', (size_t)(end - b - 1)) != NULL) return DUN_E_MALFORMED;
    out->header = dun_slice(token.data, (size_t)(a - token.data));
    out->payload = dun_slice(a + 1, (size_t)(b - a - 1));
    out->signature = dun_slice(b + 1, (size_t)(end - b - 1));
    out->signed_text = dun_slice(token.data, (size_t)(b - token.data));
    if (out->header.len == 0 || out->payload.len == 0) return DUN_E_MALFORMED;
    return DUN_OK;
}

/* Does one of the keys that `alg` allows make this signature? */
static dun_err check_signature(const struct parts *p, struct dun_slice alg,
                               const struct jwt_key *keys, size_t key_count,
                               struct dun_buf *scratch)
{
    struct dun_slice given;
    dun_err e = unbase64(p->signature, sodium_base64_VARIANT_URLSAFE_NO_PADDING, scratch, &given);
    if (e != DUN_OK) return e;
    for (size_t i = 0; i < key_count; i++) {
        uint8_t want[MAC_MAX];
        if (!dun_slice_is(alg, alg_name(keys[i].alg))) continue;
        size_t n = mac(&keys[i], p->signed_text, want);
        if (given.len == n && sodium_memcmp(given.data, want, n) == 0) return DUN_OK;
    }
    return DUN_E_DENIED;
}

static dun_err check_header(struct dun_slice raw, struct dun_buf *scratch, struct dun_slice *alg)
{
    struct dun_slice header;
    struct json_member m;
    dun_err e = unbase64(raw, sodium_base64_VARIANT_URLSAFE_NO_PADDING, scratch, &header);
    if (e != DUN_OK) return e;
    if (json_check_type(header, JSON_OBJECT) != DUN_OK) return DUN_E_MALFORMED;
    if (!json_find(header, "alg", &m)) return DUN_E_MALFORMED;
    if (json_find(header, "crit", &(struct json_member){0})) return DUN_E_DENIED; /* RFC 7515 */
    return json_get_string(m.value, scratch, alg);
}

/* ---- claims ---- */

struct raw_claims { /* what needs a second look before it goes out */
    struct jwt_claims c;
    struct dun_slice exp, nbf, expire_at, sub, b64info, b64data, channel;
};

#define AT(member) offsetof(struct raw_claims, member)

static const struct json_field fields[] = {
    {"sub", JSON_FIELD_RAW, AT(sub)},
    {"channel", JSON_FIELD_RAW, AT(channel)},
    {"client", JSON_FIELD_TEXT, AT(c.client)},
    {"exp", JSON_FIELD_RAW, AT(exp)},
    {"nbf", JSON_FIELD_RAW, AT(nbf)},
    {"expire_at", JSON_FIELD_RAW, AT(expire_at)},
    {"info", JSON_FIELD_RAW, AT(c.info)},
    {"b64info", JSON_FIELD_TEXT, AT(b64info)},
    {"data", JSON_FIELD_RAW, AT(c.data)},
    {"b64data", JSON_FIELD_TEXT, AT(b64data)},
    {"channels", JSON_FIELD_ARRAY, AT(c.channels)},
    {"subs", JSON_FIELD_OBJECT, AT(c.subs)},
    {"override", JSON_FIELD_OBJECT, AT(c.override)},
    {"meta", JSON_FIELD_RAW, AT(c.meta)},
    {"iss", JSON_FIELD_TEXT, AT(c.iss)},
    {"aud", JSON_FIELD_RAW, AT(c.aud)},
};

/* A NumericDate (RFC 7519, section 2): seconds, perhaps with a fraction, which
 * is cut off. Absent or null: 0. */
static dun_err read_date(struct dun_slice value, uint64_t *out)
{
    if (value.len == 0 || dun_slice_is(value, "null")) return DUN_OK;
    const uint8_t *dot = memchr(value.data, '.', value.len);
    if (dot != NULL) {
        if (memchr(value.data, 'e', value.len) != NULL) return DUN_E_MALFORMED;
        if (memchr(value.data, 'E', value.len) != NULL) return DUN_E_MALFORMED;
        value.len = (size_t)(dot - value.data);
    }
    return json_get_u64(value, out);
}

static dun_err take_base64(struct dun_slice text, struct dun_buf *scratch, struct dun_slice *out)
{
    if (text.len == 0) return DUN_OK;
    dun_err e = unbase64(text, sodium_base64_VARIANT_ORIGINAL, scratch, out);
    return e == DUN_OK ? json_check(*out) : e;
}

/* Every item of the array (member of the object) must be of @type. */
static dun_err check_items(struct dun_slice list, enum json_type type)
{
    struct json_iter it;
    struct json_member m;
    if (list.len == 0) return DUN_OK;
    bool object = json_type_of(list) == JSON_OBJECT;
    dun_err e = object ? json_object(list, &it) : json_array(list, &it);
    if (e != DUN_OK) return e;
    while (object ? json_next_member(&it, &m) : json_next_item(&it, &m)) {
        if (m.type != type) return DUN_E_MALFORMED;
    }
    return DUN_OK;
}

static dun_err read_claims(struct dun_slice payload, struct dun_buf *scratch, struct raw_claims *r)
{
    dun_err e = json_check_type(payload, JSON_OBJECT);
    if (e == DUN_OK) e = json_obj_read(payload, fields, DUN_COUNT(fields), scratch, r);
    r->c.has_sub = r->sub.len > 0;
    r->c.has_client = r->c.client.len > 0;
    r->c.has_expire_at = r->expire_at.len > 0 && !dun_slice_is(r->expire_at, "null");
    if (e == DUN_OK && r->c.has_sub) e = json_get_string(r->sub, scratch, &r->c.sub);
    if (e == DUN_OK && r->channel.len > 0) e = json_get_string(r->channel, scratch, &r->c.channel);
    if (e == DUN_OK) e = read_date(r->exp, &r->c.exp_s);
    if (e == DUN_OK) e = read_date(r->nbf, &r->c.nbf_s);
    if (e == DUN_OK) e = read_date(r->expire_at, &r->c.expire_at_s);
    if (e == DUN_OK) e = take_base64(r->b64info, scratch, &r->c.info);
    if (e == DUN_OK) e = take_base64(r->b64data, scratch, &r->c.data);
    if (e == DUN_OK) e = check_items(r->c.channels, JSON_STRING);
    if (e == DUN_OK) e = check_items(r->c.subs, JSON_OBJECT);
    return e == DUN_OK ? DUN_OK : DUN_E_MALFORMED;
}

/* An `exp` of 0 is as good as expired; only its absence means "never". */
static bool in_time(const struct raw_claims *r, uint64_t now_s)
{
    bool has_exp = r->exp.len > 0 && !dun_slice_is(r->exp, "null");
    return (!has_exp || r->c.exp_s > now_s) && r->c.nbf_s <= now_s;
}

dun_err jwt_verify(struct dun_slice token, enum jwt_kind kind, const struct jwt_key *keys,
                   size_t key_count, uint64_t now_s, struct dun_buf *scratch,
                   struct jwt_claims *out)
{
    struct parts p;
    struct dun_slice alg, payload;
    struct raw_claims r = {0};
    if (token.len > DUN_TOKEN_MAX) return DUN_E_TOO_BIG;
    dun_err e = split(token, &p);
    if (e != DUN_OK) return e;
    /* header and signature, payload, its decoded strings, their decoded base64 */
    dun_buf_reserve(scratch, 4 * token.len + 64);
    e = check_header(p.header, scratch, &alg);
    if (e == DUN_OK) e = check_signature(&p, alg, keys, key_count, scratch);
    if (e != DUN_OK) return e;
    e = unbase64(p.payload, sodium_base64_VARIANT_URLSAFE_NO_PADDING, scratch, &payload);
    if (e == DUN_OK) e = read_claims(payload, scratch, &r);
    if (e != DUN_OK) return e;
    if (kind == JWT_CONNECTION && r.channel.len > 0) return DUN_E_DENIED;
    if (kind == JWT_SUBSCRIPTION && r.c.channel.len == 0) return DUN_E_DENIED;
    if (!in_time(&r, now_s)) return DUN_E_EXPIRED;
    *out = r.c;
    return DUN_OK;
}

uint64_t jwt_expires_at_s(const struct jwt_claims *c)
{
    return c->has_expire_at ? c->expire_at_s : c->exp_s;
}

static void add_base64(struct dun_buf *b, struct dun_slice in)
{
    size_t room = sodium_base64_encoded_len(in.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    dun_buf_reserve(b, room);
    char *to = (char *)b->data + b->len;
    sodium_bin2base64(to, room, in.data, in.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    b->len += strlen(to);
}

void jwt_sign(struct dun_buf *b, const struct jwt_key *key, struct dun_slice claims)
{
    char header[48];
    uint8_t code[MAC_MAX];
    DUN_ASSERT(json_check_type(claims, JSON_OBJECT) == DUN_OK);
    int n = snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", alg_name(key->alg));
    DUN_ASSERT(n > 0 && (size_t)n < sizeof header);
    size_t from = b->len;
    add_base64(b, dun_slice(header, (size_t)n));
    dun_buf_byte(b, '.');
    add_base64(b, claims);
    size_t len = mac(key, dun_slice(b->data + from, b->len - from), code);
    dun_buf_byte(b, '.');
    add_base64(b, dun_slice(code, len));
}
