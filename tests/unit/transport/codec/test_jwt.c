#include "codec_test.h"

#include "base/limits.h"
#include "transport/codec/jwt.h"

#include <sodium.h>

enum { NOW = 1000 };

static const struct jwt_key *key256(void)
{
    static struct jwt_key k = {.alg = JWT_HS256};
    k.secret = S("secret");
    return &k;
}

/* Sign @claims, verify with @keys. */
static dun_err verify(const char *claims, enum jwt_kind kind, struct dun_buf *scratch,
                      struct jwt_claims *out)
{
    struct dun_buf t = {0};
    jwt_sign(&t, key256(), S(claims));
    scratch->len = 0;
    dun_err e = jwt_verify(dun_buf_view(&t), kind, key256(), 1, NOW, scratch, out);
    dun_buf_deinit(&t);
    return e;
}

static void the_well_known_example_verifies(void **state)
{
    (void)state;
    static const char token[] =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
        "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ."
        "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
    struct jwt_key k = {JWT_HS256, S("your-256-bit-secret")};
    struct dun_buf s = {0};
    struct jwt_claims c;
    assert_int_equal(jwt_verify(S(token), JWT_CONNECTION, &k, 1, NOW, &s, &c), DUN_OK);
    ASSERT_SLICE(c.sub, "1234567890");
    k.secret = S("your-256-bit-secreT");
    assert_int_equal(jwt_verify(S(token), JWT_CONNECTION, &k, 1, NOW, &s, &c), DUN_E_DENIED);
    dun_buf_deinit(&s);
}

static void claims_decide(void **state)
{
    (void)state;
    static const struct {
        const char *claims;
        enum jwt_kind kind;
        dun_err want;
    } t[] = {
        {"{}", JWT_CONNECTION, DUN_OK},
        {"{\"sub\":\"u\"}", JWT_CONNECTION, DUN_OK},
        {"{\"sub\":1}", JWT_CONNECTION, DUN_E_MALFORMED},
        {"{\"sub\":null}", JWT_CONNECTION, DUN_E_MALFORMED},
        {"{\"exp\":1001}", JWT_CONNECTION, DUN_OK},
        {"{\"exp\":1001.5}", JWT_CONNECTION, DUN_OK},
        {"{\"exp\":1000}", JWT_CONNECTION, DUN_E_EXPIRED},
        {"{\"exp\":0}", JWT_CONNECTION, DUN_E_EXPIRED},
        {"{\"exp\":\"1001\"}", JWT_CONNECTION, DUN_E_MALFORMED},
        {"{\"exp\":1e9}", JWT_CONNECTION, DUN_E_MALFORMED},
        {"{\"exp\":-1}", JWT_CONNECTION, DUN_E_MALFORMED},
        {"{\"nbf\":1000}", JWT_CONNECTION, DUN_OK},
        {"{\"nbf\":1001}", JWT_CONNECTION, DUN_E_EXPIRED},
        {"{\"channel\":\"c\"}", JWT_CONNECTION, DUN_E_DENIED},
        {"{\"channel\":\"\"}", JWT_CONNECTION, DUN_E_DENIED},
        {"{\"channel\":\"c\"}", JWT_SUBSCRIPTION, DUN_OK},
        {"{\"channel\":\"\"}", JWT_SUBSCRIPTION, DUN_E_DENIED},
        {"{\"sub\":\"u\"}", JWT_SUBSCRIPTION, DUN_E_DENIED},
        {"{\"channels\":[\"a\",1]}", JWT_CONNECTION, DUN_E_MALFORMED},
        {"{\"channels\":[\"a\",\"b\"]}", JWT_CONNECTION, DUN_OK},
        {"{\"subs\":{\"a\":1}}", JWT_CONNECTION, DUN_E_MALFORMED},
        {"{\"b64info\":\"e30=\"}", JWT_CONNECTION, DUN_OK},
        {"{\"b64info\":\"e30\"}", JWT_CONNECTION, DUN_E_MALFORMED},
        {"{\"b64info\":\"Ag==\"}", JWT_CONNECTION, DUN_E_MALFORMED}, /* not JSON */
    };
    struct dun_buf s = {0};
    struct jwt_claims c;
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        ROW(i, verify(t[i].claims, t[i].kind, &s, &c) == t[i].want);
    }
    dun_buf_deinit(&s);
}

static void claims_come_out(void **state)
{
    (void)state;
    struct dun_buf s = {0};
    struct jwt_claims c;
    assert_int_equal(verify("{\"sub\":\"\\u0075\\u0031\",\"exp\":2000,\"expire_at\":0,"
                            "\"info\":{\"n\":1.10},\"client\":\"x\",\"channel\":\"c\\n\","
                            "\"b64data\":\"WzFd\",\"meta\":5,\"iss\":\"i\",\"aud\":[\"a\"]}",
                            JWT_SUBSCRIPTION, &s, &c),
                     DUN_OK);
    ASSERT_SLICE(c.sub, "u1");
    ASSERT_SLICE(c.channel, "c\n");
    ASSERT_SLICE(c.info, "{\"n\":1.10}");
    ASSERT_SLICE(c.data, "[1]");
    ASSERT_SLICE(c.client, "x");
    ASSERT_SLICE(c.aud, "[\"a\"]");
    assert_true(c.has_expire_at && jwt_expires_at_s(&c) == 0 && c.exp_s == 2000);
    assert_int_equal(verify("{\"exp\":2000}", JWT_CONNECTION, &s, &c), DUN_OK);
    assert_true(jwt_expires_at_s(&c) == 2000 && !c.has_sub);
    dun_buf_deinit(&s);
}

static void every_key_of_a_rotation_and_only_its_algorithm_counts(void **state)
{
    (void)state;
    struct jwt_key keys[] = {{JWT_HS512, S("new")}, {JWT_HS256, S("old")}};
    struct dun_buf t = {0}, s = {0};
    struct jwt_claims c;
    for (size_t i = 0; i < 2; i++) {
        t.len = s.len = 0;
        jwt_sign(&t, &keys[i], S("{\"sub\":\"u\"}"));
        assert_int_equal(jwt_verify(dun_buf_view(&t), JWT_CONNECTION, keys, 2, NOW, &s, &c),
                         DUN_OK);
        assert_int_equal(jwt_verify(dun_buf_view(&t), JWT_CONNECTION, &keys[1 - i], 1, NOW, &s, &c),
                         DUN_E_DENIED);
        struct jwt_key other = {keys[1 - i].alg, keys[i].secret}; /* right secret, wrong alg */
        assert_int_equal(jwt_verify(dun_buf_view(&t), JWT_CONNECTION, &other, 1, NOW, &s, &c),
                         DUN_E_DENIED);
    }
    assert_int_equal(jwt_verify(dun_buf_view(&t), JWT_CONNECTION, keys, 0, NOW, &s, &c),
                     DUN_E_DENIED);
    dun_buf_deinit(&t);
    dun_buf_deinit(&s);
}

static void tampering_and_truncation_never_verify(void **state)
{
    (void)state;
    struct dun_buf t = {0}, s = {0};
    struct jwt_claims c;
    jwt_sign(&t, key256(), S("{\"sub\":\"user\"}"));
    for (size_t n = 0; n < t.len; n++) {
        uint8_t *p = exact(dun_slice(t.data, n));
        s.len = 0;
        assert_int_not_equal(jwt_verify(dun_slice(p, n), JWT_CONNECTION, key256(), 1, NOW, &s, &c),
                             DUN_OK);
        free(p);
    }
    for (size_t i = 0; i < t.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            t.data[i] ^= (uint8_t)(1u << bit);
            s.len = 0;
            assert_int_not_equal(
                jwt_verify(dun_buf_view(&t), JWT_CONNECTION, key256(), 1, NOW, &s, &c), DUN_OK);
            t.data[i] ^= (uint8_t)(1u << bit);
        }
    }
    dun_buf_deinit(&t);
    dun_buf_deinit(&s);
}

static void hostile_tokens_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *token;
        dun_err want;
    } t[] = {
        {"", DUN_E_MALFORMED},
        {"..", DUN_E_MALFORMED},
        {"a.b", DUN_E_MALFORMED},
        {"a.b.c.d", DUN_E_MALFORMED},
        {"eyJhbGciOiJub25lIn0.e30.", DUN_E_DENIED},  /* alg none */
        {"eyJhbGciOiJIUzI1NiJ9.e30.", DUN_E_DENIED}, /* no signature */
        {"eyJhbGciOiJIUzI1NiJ9.e30.====", DUN_E_MALFORMED},
        {"eyJhbGciOjF9.e30.AA", DUN_E_MALFORMED},                        /* alg 1 */
        {"e30.e30.AA", DUN_E_MALFORMED},                                 /* no alg */
        {"W10.e30.AA", DUN_E_MALFORMED},                                 /* header is an array */
        {"eyJhbGciOiJIUzI1NiIsImNyaXQiOlsieCJdfQ.e30.AA", DUN_E_DENIED}, /* crit */
    };
    struct dun_buf s = {0}, big = {0};
    struct jwt_claims c;
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        s.len = 0;
        ROW(i, jwt_verify(S(t[i].token), JWT_CONNECTION, key256(), 1, NOW, &s, &c) == t[i].want);
    }
    while (big.len <= DUN_TOKEN_MAX)
        dun_buf_byte(&big, 'a');
    assert_int_equal(jwt_verify(dun_buf_view(&big), JWT_CONNECTION, key256(), 1, NOW, &s, &c),
                     DUN_E_TOO_BIG);
    dun_buf_deinit(&s);
    dun_buf_deinit(&big);
}

int main(void)
{
    if (sodium_init() < 0) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_well_known_example_verifies),
        cmocka_unit_test(claims_decide),
        cmocka_unit_test(claims_come_out),
        cmocka_unit_test(every_key_of_a_rotation_and_only_its_algorithm_counts),
        cmocka_unit_test(tampering_and_truncation_never_verify),
        cmocka_unit_test(hostile_tokens_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
