#include "codec_test.h"

#include "base/limits.h"
#include "transport/codec/api.h"

static void a_publish_decodes(void **state)
{
    (void)state;
    struct dun_buf s = {0};
    struct api_publish p;
    struct api_refusal why;
    assert_int_equal(api_decode_publish(S("{\n \"channel\": \"a\\u0062\", \"data\": {\n\"n\":1.10},"
                                          "\"tags\":{\"k\":\"v\"},\"idempotency_key\":\"i\","
                                          "\"skip_history\":true,\"new\":1}"),
                                        &s, &p, &why),
                     DUN_OK);
    ASSERT_SLICE(p.channel, "ab");
    ASSERT_SLICE(p.data, "{\n\"n\":1.10}");
    ASSERT_SLICE(p.tags, "{\"k\":\"v\"}");
    ASSERT_SLICE(p.idempotency_key, "i");
    assert_true(p.skip_history);
    s.len = 0;
    assert_int_equal(api_decode_publish(S("{\"channel\":\"c\",\"b64data\":\"eyJhIjox\\u0066Q==\"}"),
                                        &s, &p, &why),
                     DUN_OK);
    ASSERT_SLICE(p.data, "{\"a\":1}");
    dun_buf_deinit(&s);
}

static void refusals_say_whether_the_body_was_readable(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        dun_err want;
    } t[] = {
        {"", DUN_E_DENIED},
        {"{}", DUN_E_DENIED},
        {"[]", DUN_E_MALFORMED},
        {"{", DUN_E_MALFORMED},
        {"{\"channel\":1,\"data\":1}", DUN_E_MALFORMED},
        {"{\"channel\":\"\",\"data\":1}", DUN_E_DENIED},
        {"{\"data\":1}", DUN_E_DENIED},
        {"{\"channel\":\"c\"}", DUN_E_DENIED},
        {"{\"channel\":\"c\",\"data\":1,\"tags\":[]}", DUN_E_MALFORMED},
        {"{\"channel\":\"c\",\"data\":1,\"tags\":{\"a\":1}}", DUN_E_MALFORMED},
        {"{\"channel\":\"c\",\"data\":1,\"skip_history\":\"yes\"}", DUN_E_MALFORMED},
        {"{\"channel\":\"c\",\"b64data\":\"e30\"}", DUN_E_DENIED},
        {"{\"channel\":\"c\",\"b64data\":\"Ag==\"}", DUN_E_DENIED},
        {"{\"channel\":\"c\",\"data\":null}", DUN_OK},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct dun_buf s = {0};
        struct api_publish p;
        struct api_refusal why = {0};
        uint8_t *body = exact(S(t[i].body));
        dun_err e = api_decode_publish(dun_slice(body, strlen(t[i].body)), &s, &p, &why);
        ROW(i, e == t[i].want);
        ROW(i, e == DUN_OK || (why.code == CMD_ERR_BAD_REQUEST && why.detail != NULL));
        free(body);
        dun_buf_deinit(&s);
    }
}

static void sizes_are_held_to_their_limits(void **state)
{
    (void)state;
    struct dun_buf b = {0}, s = {0};
    struct api_publish p;
    struct api_refusal why;
    for (size_t over = 0; over < 2; over++) {
        dun_err want = over ? DUN_E_DENIED : DUN_OK;
        b.len = s.len = 0;
        dun_buf_str(&b, "{\"channel\":\"");
        for (size_t i = 0; i < DUN_CHANNEL_MAX + over; i++)
            dun_buf_byte(&b, 'c');
        dun_buf_str(&b, "\",\"data\":1}");
        assert_int_equal(api_decode_publish(dun_buf_view(&b), &s, &p, &why), want);
        b.len = s.len = 0;
        dun_buf_str(&b, "{\"channel\":\"c\",\"data\":\"");
        for (size_t i = 0; i < DUN_PAYLOAD_MAX - 2 + over; i++)
            dun_buf_byte(&b, 'd');
        dun_buf_str(&b, "\"}");
        assert_int_equal(api_decode_publish(dun_buf_view(&b), &s, &p, &why), want);
        b.len = s.len = 0;
        dun_buf_str(&b, "{\"channel\":\"c\",\"data\":1,\"idempotency_key\":\"");
        for (size_t i = 0; i < DUN_KEY_MAX + over; i++)
            dun_buf_byte(&b, 'k');
        dun_buf_str(&b, "\"}");
        assert_int_equal(api_decode_publish(dun_buf_view(&b), &s, &p, &why), want);
    }
    dun_buf_deinit(&b);
    dun_buf_deinit(&s);
}

static void a_broadcast_s_channels_are_walked(void **state)
{
    (void)state;
    struct dun_buf s = {0};
    struct api_broadcast r;
    struct api_refusal why;
    struct json_iter it;
    struct dun_slice a, c;
    assert_int_equal(api_decode_broadcast(S("{\"channels\":[\"\\u0061\",\"\\u0062\"],\"data\":1}"),
                                          &s, &r, &why),
                     DUN_OK);
    assert_int_equal(r.channel_count, 2);
    assert_int_equal(json_array(r.channels, &it), DUN_OK);
    assert_true(api_next_channel(&it, &s, &a));
    assert_true(api_next_channel(&it, &s, &c));
    ASSERT_SLICE(a, "a");
    ASSERT_SLICE(c, "b");
    assert_false(api_next_channel(&it, &s, &c));
    assert_int_equal(api_decode_broadcast(S("{\"channels\":[],\"data\":1}"), &s, &r, &why),
                     DUN_E_DENIED);
    assert_int_equal(api_decode_broadcast(S("{\"channels\":[1],\"data\":1}"), &s, &r, &why),
                     DUN_E_MALFORMED);
    assert_int_equal(api_decode_broadcast(S("{\"channels\":[\"\"],\"data\":1}"), &s, &r, &why),
                     DUN_E_DENIED);
    dun_buf_deinit(&s);
}

static void history_and_the_small_ones_decode(void **state)
{
    (void)state;
    struct dun_buf s = {0};
    struct cmd_history h;
    struct api_channel c;
    struct api_refusal why;
    assert_int_equal(api_decode_history(S("{\"channel\":\"c\",\"limit\":10,\"reverse\":true,"
                                          "\"since\":{\"offset\":3,\"epoch\":\"e\"}}"),
                                        &s, &h, &why),
                     DUN_OK);
    assert_true(h.limit == 10 && h.has_since && h.since_offset == 3 && h.reverse);
    ASSERT_SLICE(h.since_epoch, "e");
    assert_int_equal(
        api_decode_history(S("{\"channel\":\"c\",\"since\":{\"offset\":-3}}"), &s, &h, &why),
        DUN_E_MALFORMED);
    assert_int_equal(api_decode_channel(S("{\"channel\":\"c\"}"), &s, &c, &why), DUN_OK);
    assert_int_equal(api_decode_channel(S("{}"), &s, &c, &why), DUN_E_DENIED);
    assert_int_equal(api_decode_empty(S(""), &why), DUN_OK);
    assert_int_equal(api_decode_empty(S("{}"), &why), DUN_OK);
    assert_int_equal(api_decode_empty(S("1"), &why), DUN_E_MALFORMED);
    dun_buf_deinit(&s);
}

static void answers_have_the_protocol_s_shape(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    struct api_responses w;
    api_write_publish(&b, 5, S("e"));
    ASSERT_SLICE(dun_buf_view(&b), "{\"result\":{\"offset\":5,\"epoch\":\"e\"}}");
    b.len = 0;
    api_write_publish(&b, 0, S(""));
    ASSERT_SLICE(dun_buf_view(&b), "{\"result\":{}}");
    b.len = 0;
    api_responses_begin(&b, &w);
    api_responses_item(&b, &w, 1, S("e"));
    api_responses_error(&b, &w, CMD_ERR_UNKNOWN_CHANNEL);
    api_responses_end(&b, &w);
    ASSERT_SLICE(dun_buf_view(&b), "{\"result\":{\"responses\":[{\"result\":{\"offset\":1,"
                                   "\"epoch\":\"e\"}},{\"error\":{\"code\":102,"
                                   "\"message\":\"unknown channel\"}}]}}");
    b.len = 0;
    api_write_error(&b, CMD_ERR_BAD_REQUEST, "channel is required", false);
    ASSERT_SLICE(dun_buf_view(&b), "{\"error\":{\"code\":107,\"message\":\"bad request\","
                                   "\"detail\":\"channel is required\"}}");
    b.len = 0;
    api_write_error(&b, CMD_ERR_CONCURRENT_PAGINATION, NULL, true);
    ASSERT_SLICE(dun_buf_view(&b), "{\"code\":113,\"message\":\"conflict\"}");
    b.len = 0;
    api_write_history(&b, &(struct cmd_history_result){.epoch = S("e"), .offset = 2});
    ASSERT_SLICE(dun_buf_view(&b),
                 "{\"result\":{\"publications\":[],\"epoch\":\"e\",\"offset\":2}}");
    b.len = 0;
    struct api_node n = {.uid = S("u"), .name = S("n1"), .version = S("1"), .num_clients = 3};
    api_write_info(&b, &n, 1);
    ASSERT_SLICE(dun_buf_view(&b),
                 "{\"result\":{\"nodes\":[{\"uid\":\"u\",\"name\":\"n1\",\"version\":\"1\","
                 "\"num_clients\":3,\"num_users\":0,\"num_channels\":0,\"num_subs\":0,"
                 "\"uptime\":0}]}}");
    dun_buf_deinit(&b);
    static const struct {
        enum cmd_error code;
        int want;
    } t[] = {{100, 500}, {102, 404}, {104, 404}, {107, 400}, {108, 400}, {112, 416}, {113, 409}};
    for (size_t i = 0; i < DUN_COUNT(t); i++)
        ROW(i, api_status(t[i].code) == t[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publish_decodes),
        cmocka_unit_test(refusals_say_whether_the_body_was_readable),
        cmocka_unit_test(sizes_are_held_to_their_limits),
        cmocka_unit_test(a_broadcast_s_channels_are_walked),
        cmocka_unit_test(history_and_the_small_ones_decode),
        cmocka_unit_test(answers_have_the_protocol_s_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
