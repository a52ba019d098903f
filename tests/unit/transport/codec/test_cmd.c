#include "codec_test.h"

#include "transport/codec/cmd.h"

static dun_err decode(const char *text, struct dun_buf *scratch, struct cmd *c)
{
    scratch->len = 0;
    return cmd_decode(S(text), scratch, c);
}

static void every_command_decodes(void **state)
{
    (void)state;
    struct dun_buf s = {0};
    struct cmd c;
    assert_int_equal(
        decode("{\"id\":1,\"connect\":{\"token\":\"t\\u0041\",\"name\":\"js\",\"data\":"
               "{\"a\":1.10},\"version\":\"\\n\",\"subs\":{},\"flag\":7}}",
               &s, &c),
        DUN_OK);
    assert_true(c.type == CMD_CONNECT && c.id == 1);
    ASSERT_SLICE(c.connect.token, "tA");
    ASSERT_SLICE(c.connect.version, "\n");
    ASSERT_SLICE(c.connect.data, "{\"a\":1.10}");
    assert_int_equal(
        decode("{\"id\":2,\"subscribe\":{\"channel\":\"c\",\"recover\":true,\"epoch\":\"e\","
               "\"offset\":18446744073709551615,\"flag\":3,\"positioned\":true,\"tf\":{\"k\":1}}}",
               &s, &c),
        DUN_OK);
    assert_true(c.type == CMD_SUBSCRIBE && c.subscribe.recover && c.subscribe.positioned);
    assert_true(c.subscribe.offset == UINT64_MAX && c.subscribe.flag == 3);
    ASSERT_SLICE(c.subscribe.tf, "{\"k\":1}");
    assert_int_equal(
        decode("{\"id\":3,\"history\":{\"channel\":\"c\",\"limit\":-1,\"reverse\":true,"
               "\"since\":{\"offset\":9,\"epoch\":\"e\"}}}",
               &s, &c),
        DUN_OK);
    assert_true(c.history.limit == -1 && c.history.has_since && c.history.since_offset == 9);
    ASSERT_SLICE(c.history.since_epoch, "e");
    assert_int_equal(decode("{\"id\":4,\"publish\":{\"channel\":\"c\",\"data\":null}}", &s, &c),
                     DUN_OK);
    ASSERT_SLICE(c.publish.data, "null");
    assert_int_equal(decode("{\"send\":{\"data\":[12345678901234567890]}}", &s, &c), DUN_OK);
    assert_true(c.type == CMD_SEND && c.id == 0);
    ASSERT_SLICE(c.send.data, "[12345678901234567890]");
    static const struct {
        const char *text;
        enum cmd_type type;
    } t[] = {{"{\"id\":5,\"unsubscribe\":{\"channel\":\"c\"}}", CMD_UNSUBSCRIBE},
             {"{\"id\":5,\"presence\":{\"channel\":\"c\"}}", CMD_PRESENCE},
             {"{\"id\":5,\"presence_stats\":{\"channel\":\"c\"}}", CMD_PRESENCE_STATS},
             {"{\"id\":5,\"ping\":{}}", CMD_PING},
             {"{\"id\":5,\"rpc\":{\"method\":\"m\"}}", CMD_RPC},
             {"{\"id\":5,\"refresh\":{\"token\":\"t\"}}", CMD_REFRESH},
             {"{\"id\":5,\"sub_refresh\":{\"channel\":\"c\",\"token\":\"t\"}}", CMD_SUB_REFRESH},
             {"{\"id\":5,\"connect\":null,\"rpc\":{}}", CMD_RPC},
             {"{}", CMD_PONG},
             {"{\"id\":0,\"new\":{}}", CMD_PONG}};
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        ROW(i, decode(t[i].text, &s, &c) == DUN_OK);
        ROW(i, c.type == t[i].type);
    }
    dun_buf_deinit(&s);
}

static void wrong_commands_are_refused(void **state)
{
    (void)state;
    static const char *const t[] = {
        "",
        "[]",
        "1",
        "{",
        "{\"id\":1}",
        "{\"id\":1,\"nope\":{}}",
        "{\"connect\":{}}",
        "{\"id\":-1,\"connect\":{}}",
        "{\"id\":\"1\",\"connect\":{}}",
        "{\"id\":1.0,\"ping\":{}}",
        "{\"id\":4294967296,\"ping\":{}}",
        "{\"id\":1,\"connect\":[]}",
        "{\"id\":1,\"connect\":1}",
        "{\"id\":1,\"connect\":{},\"publish\":{}}",
        "{\"id\":1,\"connect\":{\"token\":1}}",
        "{\"id\":1,\"subscribe\":{\"channel\":{}}}",
        "{\"id\":1,\"subscribe\":{\"offset\":-1}}",
        "{\"id\":1,\"subscribe\":{\"offset\":\"1\"}}",
        "{\"id\":1,\"subscribe\":{\"recover\":1}}",
        "{\"id\":1,\"history\":{\"limit\":2147483648}}",
        "{\"id\":1,\"history\":{\"since\":5}}",
        "{\"id\":1,\"history\":{\"since\":{\"offset\":1.5}}}",
        "{\"id\":1,\"subscribe\":{\"channel\":\"a\\u0000\"}}",
        "{\"id\":1,\"connect\":{\"subs\":[]}}",
    };
    struct dun_buf s = {0};
    struct cmd c;
    for (size_t i = 0; i < DUN_COUNT(t); i++)
        ROW(i, decode(t[i], &s, &c) == DUN_E_MALFORMED);
    dun_buf_deinit(&s);
}

static void no_prefix_of_a_command_is_one(void **state)
{
    (void)state;
    struct dun_slice s = S("{\"id\":1,\"subscribe\":{\"channel\":\"a\\u00e9\",\"offset\":12}}");
    struct dun_buf scratch = {0};
    struct cmd c;
    for (size_t n = 0; n < s.len; n++) {
        uint8_t *p = exact(dun_slice(s.data, n));
        assert_int_equal(cmd_decode(dun_slice(p, n), &scratch, &c), DUN_E_MALFORMED);
        free(p);
    }
    dun_buf_deinit(&scratch);
}

static void many_escaped_strings_do_not_move_each_other(void **state)
{
    (void)state;
    struct dun_buf s = {0}, line = {0};
    struct cmd c;
    dun_buf_str(&line, "{\"id\":1,\"connect\":{\"token\":\"\\u0061");
    for (int i = 0; i < 3000; i++)
        dun_buf_byte(&line, 'x');
    dun_buf_str(&line, "\",\"name\":\"\\u0062");
    for (int i = 0; i < 3000; i++)
        dun_buf_byte(&line, 'y');
    dun_buf_str(&line, "\",\"version\":\"\\u0063\"}}");
    assert_int_equal(cmd_decode(dun_buf_view(&line), &s, &c), DUN_OK);
    assert_true(c.connect.token.len == 3001 && c.connect.token.data[0] == 'a');
    assert_true(c.connect.name.len == 3001 && c.connect.name.data[3000] == 'y');
    ASSERT_SLICE(c.connect.version, "c");
    dun_buf_deinit(&s);
    dun_buf_deinit(&line);
}

static void lines_are_split_and_blank_ones_skipped(void **state)
{
    (void)state;
    struct dun_slice rest = S("{\"id\":1}\n\r\n \n{}\r\n3"), line;
    assert_true(cmd_next_line(&rest, &line));
    ASSERT_SLICE(line, "{\"id\":1}");
    assert_true(cmd_next_line(&rest, &line));
    ASSERT_SLICE(line, "{}");
    assert_true(cmd_next_line(&rest, &line));
    ASSERT_SLICE(line, "3");
    assert_false(cmd_next_line(&rest, &line));
}

static void positions_of_server_side_subscriptions_are_walked(void **state)
{
    (void)state;
    struct dun_buf s = {0};
    struct json_iter it;
    struct cmd_subscribe sub;
    struct dun_slice subs = S("{\"\\u0061\":{\"recover\":true,\"offset\":5,\"epoch\":\"e\"},"
                              "\"b\":null,\"c\":1}");
    assert_int_equal(json_object(subs, &it), DUN_OK);
    assert_int_equal(cmd_next_sub(&it, &s, &sub), DUN_OK);
    ASSERT_SLICE(sub.channel, "a");
    assert_true(sub.recover && sub.offset == 5);
    assert_int_equal(cmd_next_sub(&it, &s, &sub), DUN_OK);
    ASSERT_SLICE(sub.channel, "b");
    assert_int_equal(cmd_next_sub(&it, &s, &sub), DUN_E_MALFORMED);
    assert_int_equal(json_object(S("{}"), &it), DUN_OK);
    assert_int_equal(cmd_next_sub(&it, &s, &sub), DUN_E_GONE);
    dun_buf_deinit(&s);
}

static void close_reasons_are_what_the_sdks_can_read(void **state)
{
    (void)state;
#define X(name, code, text)                                 \
    assert_string_equal(cmd_close_text(name), text);        \
    assert_in_range(strlen(text), 1, 123);                  \
    assert_int_equal(json_check(S(text)), DUN_E_MALFORMED); \
    assert_int_equal(cmd_close_terminal(code), (code) >= 3500);
    CMD_CLOSE_MAP(X)
#undef X
    assert_true(cmd_error_temporary(CMD_ERR_INTERNAL));
    assert_false(cmd_error_temporary(CMD_ERR_TOKEN_EXPIRED));
    assert_false(cmd_close_terminal(1000) || cmd_close_terminal(4000) || cmd_close_terminal(5000));
    assert_true(cmd_close_terminal(4500));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_decodes),
        cmocka_unit_test(wrong_commands_are_refused),
        cmocka_unit_test(no_prefix_of_a_command_is_one),
        cmocka_unit_test(many_escaped_strings_do_not_move_each_other),
        cmocka_unit_test(lines_are_split_and_blank_ones_skipped),
        cmocka_unit_test(positions_of_server_side_subscriptions_are_walked),
        cmocka_unit_test(close_reasons_are_what_the_sdks_can_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
