#include "codec_test.h"

#include "base/limits.h"
#include "transport/codec/cmd_client.h"

/* What one end writes, the other reads; the text in between is asserted too. */

static struct dun_buf b, s;

#define WROTE(text)                                             \
    do {                                                        \
        assert_int_equal(json_check(dun_buf_view(&b)), DUN_OK); \
        ASSERT_SLICE(dun_buf_view(&b), text);                   \
    } while (0)

static int clean(void **state)
{
    (void)state;
    dun_buf_deinit(&b);
    dun_buf_deinit(&s);
    return 0;
}

static void decode(struct cmd_reply *r)
{
    s.len = 0;
    assert_int_equal(cmd_client_decode(dun_buf_view(&b), &s, r), DUN_OK);
}

static void commands_reach_the_server_as_they_were_meant(void **state)
{
    (void)state;
    struct cmd c;
    struct cmd_subscribe sub = {
        .channel = S("a\"b"), .recover = true, .epoch = S("e"), .offset = 7, .flag = -1};
    cmd_client_subscribe(&b, 2, &sub);
    WROTE("{\"id\":2,\"subscribe\":{\"channel\":\"a\\\"b\",\"recover\":true,\"epoch\":\"e\","
          "\"offset\":7,\"flag\":-1}}");
    assert_int_equal(cmd_decode(dun_buf_view(&b), &s, &c), DUN_OK);
    ASSERT_SLICE(c.subscribe.channel, "a\"b");
    assert_true(c.subscribe.offset == 7 && c.subscribe.flag == -1);
    b.len = 0;
    struct cmd_connect con = {.token = S("t"), .name = S("c"), .data = S("[1,\n2]")};
    cmd_client_connect(&b, 1, &con);
    WROTE("{\"id\":1,\"connect\":{\"token\":\"t\",\"data\":[1,2],\"name\":\"c\"}}");
    b.len = 0;
    struct cmd_history h = {.channel = S("c"),
                            .limit = -1,
                            .has_since = true,
                            .since_offset = 3,
                            .since_epoch = S("e"),
                            .reverse = true};
    cmd_client_history(&b, 3, &h);
    assert_int_equal(cmd_decode(dun_buf_view(&b), &s, &c), DUN_OK);
    assert_true(c.history.limit == -1 && c.history.since_offset == 3 && c.history.reverse);
    b.len = 0;
    cmd_client_publish(&b, 4, S("c"), S("12345678901234567890"));
    WROTE("{\"id\":4,\"publish\":{\"channel\":\"c\",\"data\":12345678901234567890}}");
    b.len = 0;
    cmd_client_pong(&b);
    assert_int_equal(cmd_decode(dun_buf_view(&b), &s, &c), DUN_OK);
    assert_int_equal(c.type, CMD_PONG);
}

static void a_connect_result_has_what_sdks_index(void **state)
{
    (void)state;
    struct cmd_reply r;
    struct cmd_connect_sub subs[] = {{S("#u"), {.recoverable = true, .epoch = S("e")}}};
    struct cmd_connect_result c = {.client = S("id"),
                                   .version = S("1"),
                                   .ping_s = 25,
                                   .pong = true,
                                   .expires = true,
                                   .subs = subs,
                                   .sub_count = 1};
    cmd_write_connect(&b, 1, &c);
    WROTE("{\"id\":1,\"connect\":{\"client\":\"id\",\"version\":\"1\",\"expires\":true,\"ttl\":0,"
          "\"subs\":{\"#u\":{\"recoverable\":true,\"epoch\":\"e\"}},\"ping\":25,\"pong\":true}}");
    decode(&r);
    assert_true(r.type == CMD_REPLY_RESULT && r.result == CMD_CONNECT && r.connect.ping_s == 25);
    ASSERT_SLICE(r.connect.client, "id");
}

static void recovery_round_trips(void **state)
{
    (void)state;
    struct cmd_reply r;
    struct json_iter it;
    struct cmd_publication p;
    struct cmd_publication pubs[] = {{.data = S("{\r\n\"n\":1.10}"), .offset = 6, .time_ms = 99},
                                     {.data = S("null"),
                                      .offset = 7,
                                      .tags = S("{\"k\":\"v\"}"),
                                      .info = S("{\"user\":\"u\",\"client\":\"c\"}")}};
    struct cmd_subscribe_result ok = {.recoverable = true,
                                      .positioned = true,
                                      .epoch = S("e"),
                                      .offset = 5,
                                      .was_recovering = true,
                                      .recovered = true,
                                      .publications = pubs,
                                      .publication_count = 2};
    cmd_write_subscribe(&b, 2, &ok);
    WROTE("{\"id\":2,\"subscribe\":{\"recoverable\":true,\"epoch\":\"e\",\"publications\":["
          "{\"data\":{\"n\":1.10},\"offset\":6,\"time\":99},"
          "{\"data\":null,\"info\":{\"user\":\"u\",\"client\":\"c\"},\"offset\":7,"
          "\"tags\":{\"k\":\"v\"}}],\"recovered\":true,\"offset\":5,\"positioned\":true,"
          "\"was_recovering\":true}}");
    decode(&r);
    assert_true(r.subscribe.recovered && r.subscribe.offset == 5);
    assert_int_equal(json_array(r.subscribe.publications, &it), DUN_OK);
    assert_int_equal(cmd_client_next_publication(&it, &s, &p), DUN_OK);
    ASSERT_SLICE(p.data, "{\"n\":1.10}");
    assert_int_equal(cmd_client_next_publication(&it, &s, &p), DUN_OK);
    assert_true(p.offset == 7);
    ASSERT_SLICE(p.tags, "{\"k\":\"v\"}");
    assert_int_equal(cmd_client_next_publication(&it, &s, &p), DUN_E_GONE);

    b.len = 0;
    struct cmd_subscribe_result lost = {.recoverable = true,
                                        .epoch = S("e2"),
                                        .offset = 9,
                                        .was_recovering = true,
                                        .gap = CMD_GAP_EPOCH_CHANGED,
                                        .gap_from = 1,
                                        .gap_to = 9};
    cmd_write_subscribe(&b, 3, &lost);
    WROTE("{\"id\":3,\"subscribe\":{\"recoverable\":true,\"epoch\":\"e2\",\"offset\":9,"
          "\"was_recovering\":true,\"gap\":{\"from\":1,\"to\":9,\"reason\":\"epoch_changed\"}}}");
    decode(&r);
    assert_true(!r.subscribe.recovered && r.subscribe.gap_from == 1 && r.subscribe.gap_to == 9);
    ASSERT_SLICE(r.subscribe.gap_reason, "epoch_changed");
}

static void empty_results_are_present(void **state)
{
    (void)state;
    struct cmd_reply r;
    cmd_write_empty(&b, 7, CMD_PUBLISH);
    WROTE("{\"id\":7,\"publish\":{}}");
    decode(&r);
    assert_true(r.id == 7 && r.type == CMD_REPLY_RESULT && r.result == CMD_PUBLISH);
    b.len = 0;
    cmd_write_history(&b, 8, &(struct cmd_history_result){0});
    WROTE("{\"id\":8,\"history\":{\"publications\":[],\"epoch\":\"\",\"offset\":0}}");
    b.len = 0;
    cmd_write_presence(&b, 9, NULL, 0);
    WROTE("{\"id\":9,\"presence\":{\"presence\":{}}}");
    b.len = 0;
    struct cmd_client_info info = {.client = S("c"), .conn_info = S("[1]")};
    cmd_write_presence(&b, 9, &info, 1);
    WROTE("{\"id\":9,\"presence\":{\"presence\":{\"c\":{\"user\":\"\",\"client\":\"c\","
          "\"conn_info\":[1]}}}}");
    b.len = 0;
    cmd_write_presence_stats(&b, 9, 0, 0);
    WROTE("{\"id\":9,\"presence_stats\":{\"num_clients\":0,\"num_users\":0}}");
    b.len = 0;
    cmd_write_refresh(&b, 9, CMD_REFRESH, true, 60);
    WROTE("{\"id\":9,\"refresh\":{\"expires\":true,\"ttl\":60}}");
    decode(&r);
    assert_true(r.refresh.expires && r.refresh.ttl_s == 60);
    b.len = 0;
    cmd_write_rpc(&b, 9, S(""));
    WROTE("{\"id\":9,\"rpc\":{}}");
}

static void errors_carry_code_text_and_flag(void **state)
{
    (void)state;
    struct cmd_reply r;
    cmd_write_error(&b, 4, CMD_ERR_INTERNAL);
    WROTE("{\"id\":4,\"error\":{\"code\":100,\"message\":\"internal server error\","
          "\"temporary\":true}}");
    decode(&r);
    assert_true(r.type == CMD_REPLY_ERROR && r.error.code == 100 && r.error.temporary);
    b.len = 0;
    cmd_write_error(&b, 4, CMD_ERR_NOT_AVAILABLE);
    WROTE("{\"id\":4,\"error\":{\"code\":108,\"message\":\"not available\"}}");
}

static void pushes_round_trip(void **state)
{
    (void)state;
    struct cmd_reply r;
    struct cmd_publication p = {.data = S("\"x\\n\""), .offset = 1, .epoch = S("e")};
    struct cmd_client_info info = {.user = S("u"), .client = S("c")};
    cmd_write_pub_push(&b, S("ch"), &p);
    WROTE("{\"push\":{\"channel\":\"ch\",\"pub\":{\"data\":\"x\\n\",\"offset\":1,"
          "\"epoch\":\"e\"}}}");
    ASSERT_SLICE(cmd_push_bare(dun_buf_view(&b)), "{\"channel\":\"ch\",\"pub\":{\"data\":\"x\\n\","
                                                  "\"offset\":1,\"epoch\":\"e\"}}");
    decode(&r);
    assert_int_equal(r.type, CMD_REPLY_PUB);
    ASSERT_SLICE(r.channel, "ch");
    ASSERT_SLICE(r.publication.data, "\"x\\n\"");
    b.len = 0;
    cmd_write_join_push(&b, S("ch"), &info);
    WROTE("{\"push\":{\"channel\":\"ch\",\"join\":{\"info\":{\"user\":\"u\",\"client\":\"c\"}}}}");
    decode(&r);
    assert_int_equal(r.type, CMD_REPLY_JOIN);
    ASSERT_SLICE(r.info.user, "u");
    b.len = 0;
    cmd_write_leave_push(&b, S("ch"), &info);
    decode(&r);
    assert_int_equal(r.type, CMD_REPLY_LEAVE);
    b.len = 0;
    cmd_write_unsubscribe_push(&b, S("ch"), CMD_UNSUB_INSUFFICIENT);
    WROTE("{\"push\":{\"channel\":\"ch\",\"unsubscribe\":{\"code\":2500,"
          "\"reason\":\"insufficient state\"}}}");
    decode(&r);
    assert_true(r.type == CMD_REPLY_UNSUBSCRIBE && r.error.code == 2500);
    b.len = 0;
    cmd_write_disconnect_push(&b, CMD_CLOSE_SHUTDOWN);
    WROTE("{\"push\":{\"disconnect\":{\"code\":3001,\"reason\":\"shutdown\"}}}");
    decode(&r);
    assert_int_equal(r.type, CMD_REPLY_DISCONNECT);
    b.len = 0;
    dun_buf_str(&b, "{\"push\":{\"channel\":\"c\",\"novel\":{}}}");
    decode(&r);
    assert_int_equal(r.type, CMD_REPLY_OTHER);
    b.len = 0;
    cmd_write_ping(&b);
    decode(&r);
    assert_int_equal(r.type, CMD_REPLY_PING);
}

static void a_server_that_sends_nonsense_is_refused(void **state)
{
    (void)state;
    static const char *const t[] = {"",
                                    "[]",
                                    "{\"id\":1}",
                                    "{\"id\":1,\"connect\":[]}",
                                    "{\"id\":1,\"error\":5}",
                                    "{\"id\":1,\"history\":{\"offset\":1.5}}",
                                    "{\"push\":[]}",
                                    "{\"push\":{\"channel\":1,\"pub\":{}}}",
                                    "{\"push\":{\"join\":{}}}",
                                    "{\"id\":1,\"subscribe\":{\"gap\":1}}",
                                    "{\"push\":{\"pub\":{\"offset\":\"1\"}}}"};
    struct cmd_reply r;
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        ROW(i, cmd_client_decode(S(t[i]), &s, &r) == DUN_E_MALFORMED);
    }
}

/* Else one deep payload in a history breaks every client that recovers it, again and again. */
static void the_deepest_payload_that_is_taken_can_be_read_in_every_reply(void **state)
{
    (void)state;
    enum { DEPTH = DUN_JSON_DEPTH_MAX };
    char deep[2 * DEPTH];
    struct cmd_reply r;
    memset(deep, '[', DEPTH);
    memset(deep + DEPTH, ']', DEPTH);
    struct dun_slice value = dun_slice(deep, sizeof deep);
    assert_int_equal(json_check(value), DUN_OK); /* alone, as b64data is */
    char info[sizeof deep + 64];
    int n = snprintf(info, sizeof info, "{\"user\":\"\",\"client\":\"\",\"conn_info\":%.*s}",
                     2 * DEPTH, deep);
    struct cmd_publication pub = {.data = value, .info = dun_slice(info, (size_t)n)};
    struct cmd_connect_sub sub = {.channel = S("c"),
                                  .result = {.was_recovering = true,
                                             .recovered = true,
                                             .publications = &pub,
                                             .publication_count = 1}};
    struct cmd_connect_result c = {
        .client = S("id"), .version = S("1"), .subs = &sub, .sub_count = 1};
    struct cmd_client_info who = {.conn_info = value};
    cmd_write_connect(&b, 1, &c);
    decode(&r);
    assert_int_equal(r.result, CMD_CONNECT);
    b.len = 0;
    cmd_write_pub_push(&b, S("c"), &pub);
    decode(&r);
    assert_true(dun_slice_eq(r.publication.data, value));
    b.len = 0;
    cmd_write_presence(&b, 1, &who, 1);
    decode(&r);
    assert_int_equal(r.result, CMD_PRESENCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(commands_reach_the_server_as_they_were_meant, clean),
        cmocka_unit_test_teardown(a_connect_result_has_what_sdks_index, clean),
        cmocka_unit_test_teardown(recovery_round_trips, clean),
        cmocka_unit_test_teardown(empty_results_are_present, clean),
        cmocka_unit_test_teardown(errors_carry_code_text_and_flag, clean),
        cmocka_unit_test_teardown(pushes_round_trip, clean),
        cmocka_unit_test_teardown(the_deepest_payload_that_is_taken_can_be_read_in_every_reply,
                                  clean),
        cmocka_unit_test_teardown(a_server_that_sends_nonsense_is_refused, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
