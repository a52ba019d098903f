/* tests/fuzz/fuzz_jwt.c: tokens, as they come and as claims with a right signature.
 * Claims: no bytes without our signature are let in; what is let in keeps the
 * promises of jwt.h. Mode byte: 0 a raw token; 1 claims, which are signed. */
#include "tests/fuzz/fuzz.h"

#include "transport/codec/json.h"
#include "transport/codec/jwt.h"
#include <sodium.h>

enum { NOW_S = 1700000000 };

static const struct jwt_key keys[] = {
    {JWT_HS256, {(const uint8_t *)"first secret", 12}},
    {JWT_HS512, {(const uint8_t *)"second secret", 13}},
};

static void check_claims(const struct jwt_claims *c, enum jwt_kind kind)
{
    struct json_iter it;
    struct json_member m;
    fuzz_read(c->sub);
    fuzz_read(c->iss);
    DUN_ASSERT(c->exp_s == 0 || c->exp_s > NOW_S);
    DUN_ASSERT(c->nbf_s <= NOW_S);
    DUN_ASSERT((c->channel.len > 0) == (kind == JWT_SUBSCRIPTION));
    if (c->info.len > 0) DUN_ASSERT(json_check(c->info) == DUN_OK);
    if (c->data.len > 0) DUN_ASSERT(json_check(c->data) == DUN_OK);
    if (c->channels.len > 0) {
        DUN_ASSERT(json_array(c->channels, &it) == DUN_OK);
        while (json_next_item(&it, &m))
            DUN_ASSERT(m.type == JSON_STRING);
    }
    if (c->subs.len > 0) {
        DUN_ASSERT(json_object(c->subs, &it) == DUN_OK);
        while (json_next_member(&it, &m))
            DUN_ASSERT(m.type == JSON_OBJECT);
    }
    (void)jwt_expires_at_s(c);
}

static dun_err verify(struct dun_slice token, enum jwt_kind kind)
{
    struct dun_buf scratch = {0};
    struct jwt_claims c;
    struct dun_slice copy = fuzz_copy(token);
    dun_err e = jwt_verify(copy, kind, keys, DUN_COUNT(keys), NOW_S, &scratch, &c);
    fuzz_copy_free(copy); /* the claims borrow from scratch only */
    if (e == DUN_OK) check_claims(&c, kind);
    dun_buf_deinit(&scratch);
    return e;
}

static void try_signed(struct dun_slice claims, const struct jwt_key *key, size_t flip)
{
    struct dun_buf b = {0};
    if (json_check_type(claims, JSON_OBJECT) != DUN_OK) return;
    jwt_sign(&b, key, claims);
    dun_err e = verify(dun_buf_view(&b), JWT_CONNECTION);
    dun_err f = verify(dun_buf_view(&b), JWT_SUBSCRIPTION);
    DUN_ASSERT(e != DUN_OK || f != DUN_OK); /* one token serves one purpose */
    b.data[flip % b.len] ^= 1;
    DUN_ASSERT(verify(dun_buf_view(&b), JWT_CONNECTION) != DUN_OK);
    dun_buf_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    DUN_ASSERT(sodium_init() >= 0);
    uint8_t mode = fuzz_u8(&in);
    if (mode & 1) {
        size_t flip = fuzz_u16(&in);
        try_signed(fuzz_rest(&in), &keys[mode >> 1 & 1], flip);
    } else {
        struct dun_slice token = fuzz_rest(&in);
        (void)verify(token, JWT_CONNECTION);
        (void)verify(token, JWT_SUBSCRIPTION);
    }
    return 0;
}
