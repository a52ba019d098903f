#include "codec_test.h"

#include "base/limits.h"
#include "transport/codec/json.h"
#include "transport/codec/json_obj.h"

static dun_err check(struct dun_slice text)
{
    uint8_t *p = exact(text);
    dun_err e = json_check(dun_slice(p, text.len));
    free(p);
    return e;
}

static const char *const good[] = {
    "0",
    "-0",
    "1.10",
    "12345678901234567890",
    "1e5",
    "-1.5E+10",
    "1E-2",
    "\"\"",
    "\"a\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\u00e9\\uD83D\\uDE00\"",
    "\"\xc3\xa9\"",
    "\"\x7f\"",
    "true",
    "false",
    "null",
    "[]",
    "{}",
    "[1,2,3]",
    " [ 1 , 2 ] ",
    "{\"a\":1}",
    "{ \"a\" : [ { } , [ ] ] , \"b\" : null }",
    "\t\r\n1\t\r\n",
    "[[[]],{}]",
    "{\"a\":1,\"a\":2}",
    "{\"\":0}",
    "\"\\u0000\"",
};

static const char *const bad[] = {
    "",
    " ",
    "nul",
    "nulll",
    "True",
    "+1",
    "-",
    "01",
    "-01",
    "1.",
    ".5",
    "1.e1",
    "1e",
    "1e+",
    "0x1",
    "1 2",
    "NaN",
    "Infinity",
    "'a'",
    "\"",
    "\"a",
    "\"\n\"",
    "\"\t\"",
    "\"\x01\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\\uD800\"",
    "\"\\uDC00\"",
    "\"\\uD800\\n\"",
    "\"\\uD800\\uD800\"",
    "\"\\uD83D\\u0041\"",
    "\"\\\"",
    "\"\xff\"",
    "\"\xc0\x80\"",
    "\"\xed\xa0\x80\"",
    "\"\xe2\x82\"",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    "{",
    "}",
    "{1:2}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{\"a\":1]",
    "{\"a\" 1}",
    "{a:1}",
    "{}{}",
    "[]]",
    "{\"a\":1}}",
    "\xef\xbb\xbf{}",
    "// c\n1",
    "[1]x",
    "\"a\"b",
    "\f1",
};

static void what_the_rfc_allows_is_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < DUN_COUNT(good); i++)
        ROW(i, check(S(good[i])) == DUN_OK);
}

static void what_the_rfc_forbids_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < DUN_COUNT(bad); i++)
        ROW(i, check(S(bad[i])) == DUN_E_MALFORMED);
    assert_int_equal(check(LIT("1\0")), DUN_E_MALFORMED);
    assert_int_equal(check(LIT("\"a\0b\"")), DUN_E_MALFORMED);
    assert_int_equal(check(LIT("\"a\\\0b\"")), DUN_E_MALFORMED);
}

static void no_proper_prefix_of_a_container_or_string_is_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < DUN_COUNT(good); i++) {
        struct dun_slice s = json_trim(S(good[i]));
        if (s.data[0] != '{' && s.data[0] != '[' && s.data[0] != '"') continue;
        for (size_t n = 0; n < s.len; n++)
            ROW(i, check(dun_slice(s.data, n)) == DUN_E_MALFORMED);
    }
}

static void depth_ends_at_the_limit(void **state)
{
    (void)state;
    char text[2 * (DUN_JSON_DEPTH_MAX + 1)];
    for (size_t depth = DUN_JSON_DEPTH_MAX - 1; depth <= DUN_JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        dun_err want = depth > DUN_JSON_DEPTH_MAX ? DUN_E_TOO_BIG : DUN_OK;
        assert_int_equal(check(dun_slice(text, 2 * depth)), want);
    }
    uint8_t *many = malloc(1 << 20);
    assert_non_null(many);
    memset(many, '[', 1 << 20);
    assert_int_equal(json_check(dun_slice(many, 1 << 20)), DUN_E_TOO_BIG);
    free(many);
}

static void members_come_raw_and_in_order(void **state)
{
    (void)state;
    struct json_iter it;
    struct json_member m;
    static const struct {
        const char *key, *value;
        enum json_type type;
    } want[] = {
        {"a", "12345678901234567890", JSON_NUMBER},
        {"b\\n", "1.10", JSON_NUMBER},
        {"c", "[1, {\"x\":\"]}\"}]", JSON_ARRAY},
        {"d", "{\"e\" : \"\\\"}\"}", JSON_OBJECT},
        {"f", "\"q\\\\\"", JSON_STRING},
        {"g", "null", JSON_NULL},
        {"h", "true", JSON_BOOL},
    };
    struct dun_slice text = S(" { \"a\" : 12345678901234567890 , \"b\\n\":1.10,"
                              "\"c\":[1, {\"x\":\"]}\"}],\"d\":{\"e\" : \"\\\"}\"},"
                              "\"f\":\"q\\\\\",\"g\":null\n,\"h\":true } ");
    assert_int_equal(json_check(text), DUN_OK);
    assert_int_equal(json_object(text, &it), DUN_OK);
    for (size_t i = 0; i < DUN_COUNT(want); i++) {
        ROW(i, json_next_member(&it, &m));
        ROW(i, dun_slice_is(m.key, want[i].key));
        ASSERT_SLICE(m.value, want[i].value);
        ROW(i, m.type == want[i].type);
    }
    assert_false(json_next_member(&it, &m));
    assert_int_equal(json_array(text, &it), DUN_E_MALFORMED);
}

static void items_come_raw_and_in_order(void **state)
{
    (void)state;
    struct json_iter it;
    struct json_member m;
    assert_int_equal(json_array(S("[ 1.10,\"a,b\" , [2] ]"), &it), DUN_OK);
    assert_true(json_next_item(&it, &m));
    ASSERT_SLICE(m.value, "1.10");
    assert_true(json_next_item(&it, &m));
    ASSERT_SLICE(m.value, "\"a,b\"");
    assert_true(json_next_item(&it, &m));
    ASSERT_SLICE(m.value, "[2]");
    assert_false(json_next_item(&it, &m));
    assert_int_equal(json_array(S("[]"), &it), DUN_OK);
    assert_false(json_next_item(&it, &m));
    assert_int_equal(json_object(S("[]"), &it), DUN_E_MALFORMED);
}

static void readers_stay_inside_even_unvalidated_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < DUN_COUNT(bad) + DUN_COUNT(good); i++) {
        struct dun_slice s = S(i < DUN_COUNT(bad) ? bad[i] : good[i - DUN_COUNT(bad)]);
        for (size_t n = 0; n <= s.len; n++) {
            uint8_t *p = exact(dun_slice(s.data, n));
            struct json_iter it;
            struct json_member m;
            unsigned steps = 0;
            if (json_object(dun_slice(p, n), &it) == DUN_OK) {
                while (json_next_member(&it, &m))
                    ROW(i, ++steps < 100);
            }
            if (json_array(dun_slice(p, n), &it) == DUN_OK) {
                while (json_next_item(&it, &m))
                    ROW(i, ++steps < 200);
            }
            free(p);
        }
    }
}

static void keys_compare_decoded(void **state)
{
    (void)state;
    assert_true(json_key_is(S("channel"), "channel"));
    assert_true(json_key_is(S("ch\\u0061nnel"), "channel"));
    assert_true(json_key_is(S("\\u0063\\u0068"), "ch"));
    assert_false(json_key_is(S("ch\\u0061nnels"), "channel"));
    assert_false(json_key_is(S("ch\\u0061nne"), "channel"));
    assert_false(json_key_is(S("channe\\"), "channel"));
    assert_false(json_key_is(S("\\u00e9"), "\xc3"));
    assert_false(json_key_is(S(""), "a"));
    assert_true(json_key_is(S(""), ""));
}

static void the_last_duplicate_wins(void **state)
{
    (void)state;
    struct json_member m;
    assert_true(json_find(S("{\"a\":1,\"b\":2,\"\\u0061\":3}"), "a", &m));
    ASSERT_SLICE(m.value, "3");
    assert_false(json_find(S("{\"a\":{\"b\":1}}"), "b", &m));
    assert_false(json_find(S("[1]"), "a", &m));
}

static void integers_are_strict_and_checked(void **state)
{
    (void)state;
    uint64_t u;
    int64_t i;
    uint32_t w;
    static const char *const no[] = {"",
                                     "1.0",
                                     "1e3",
                                     "\"1\"",
                                     "-0",
                                     "-1",
                                     "18446744073709551616",
                                     "99999999999999999999999",
                                     "null",
                                     "1 ",
                                     "+1"};
    for (size_t k = 0; k < DUN_COUNT(no); k++)
        ROW(k, json_get_u64(S(no[k]), &u) == DUN_E_MALFORMED);
    assert_int_equal(json_get_u64(S("18446744073709551615"), &u), DUN_OK);
    assert_true(u == UINT64_MAX);
    assert_int_equal(json_get_i64(S("9223372036854775807"), &i), DUN_OK);
    assert_true(i == INT64_MAX);
    assert_int_equal(json_get_i64(S("-9223372036854775808"), &i), DUN_OK);
    assert_true(i == INT64_MIN);
    assert_int_equal(json_get_i64(S("-0"), &i), DUN_OK);
    assert_true(i == 0);
    assert_int_equal(json_get_i64(S("9223372036854775808"), &i), DUN_E_MALFORMED);
    assert_int_equal(json_get_i64(S("-9223372036854775809"), &i), DUN_E_MALFORMED);
    assert_int_equal(json_get_i64(S("--1"), &i), DUN_E_MALFORMED);
    assert_int_equal(json_get_i64(S("-"), &i), DUN_E_MALFORMED);
    assert_int_equal(json_get_u32(S("4294967295"), &w), DUN_OK);
    assert_int_equal(json_get_u32(S("4294967296"), &w), DUN_E_MALFORMED);
}

static void strings_decode_and_borrow_when_they_can(void **state)
{
    (void)state;
    struct dun_buf scratch = {0};
    struct dun_slice out, plain = S("\"plain \xc3\xa9\"");
    assert_int_equal(json_get_string(plain, &scratch, &out), DUN_OK);
    assert_ptr_equal(out.data, plain.data + 1);
    assert_int_equal(scratch.len, 0);
    assert_int_equal(
        json_get_string(S("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00z\""), &scratch, &out),
        DUN_OK);
    ASSERT_SLICE(out, "a\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80z");
    size_t len = scratch.len;
    assert_int_equal(json_get_string(S("\"ab\\u0000\""), &scratch, &out), DUN_E_MALFORMED);
    assert_int_equal(scratch.len, len); /* nothing half decoded stays */
    assert_int_equal(json_get_string(S("12"), &scratch, &out), DUN_E_MALFORMED);
    dun_buf_deinit(&scratch);
}

static void written_strings_are_valid_and_read_back(void **state)
{
    (void)state;
    struct dun_buf b = {0}, scratch = {0};
    struct dun_slice out;
    char all[129];
    for (int c = 1; c < 128; c++)
        all[c - 1] = (char)c;
    all[127] = '\xc3', all[128] = '\xa9';
    json_write_string(&b, dun_slice(all, sizeof all));
    assert_int_equal(json_check(dun_buf_view(&b)), DUN_OK);
    assert_int_equal(json_get_string(dun_buf_view(&b), &scratch, &out), DUN_OK);
    assert_true(dun_slice_eq(out, dun_slice(all, sizeof all)));
    b.len = 0;
    json_write_string(&b, LIT("a\0\x1f\n\"\\/"));
    ASSERT_SLICE(dun_buf_view(&b), "\"a\\u0000\\u001f\\n\\\"\\\\/\"");
    dun_buf_deinit(&b);
    dun_buf_deinit(&scratch);
}

static void only_newlines_are_stripped(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    json_strip_newlines(&b, S("{\r\n\t\"a\": 1.10,\n \"b\":\"x\\n\"}\n"));
    ASSERT_SLICE(dun_buf_view(&b), "{\t\"a\": 1.10, \"b\":\"x\\n\"}");
    b.len = 0;
    json_strip_newlines(&b, S("[12345678901234567890]"));
    ASSERT_SLICE(dun_buf_view(&b), "[12345678901234567890]");
    dun_buf_deinit(&b);
}

static void objects_write_commas_and_leave_zeros_out(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    struct json_obj o = json_obj_begin(&b);
    json_obj_text(&o, "a", S(""));
    json_obj_u64(&o, "b", 0);
    json_obj_bool(&o, "c", false);
    json_obj_raw(&o, "d", S(""));
    json_obj_i64(&o, "e", INT64_MIN);
    json_obj_u64_always(&o, "f", 0);
    json_obj_text_always(&o, "g", S(""));
    json_obj_raw(&o, "h", S("[1,\n2]"));
    json_obj_bool(&o, "i", true);
    json_obj_end(&o);
    ASSERT_SLICE(dun_buf_view(&b),
                 "{\"e\":-9223372036854775808,\"f\":0,\"g\":\"\",\"h\":[1,2],\"i\":true}");
    dun_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_rfc_allows_is_accepted),
        cmocka_unit_test(what_the_rfc_forbids_is_refused),
        cmocka_unit_test(no_proper_prefix_of_a_container_or_string_is_valid),
        cmocka_unit_test(depth_ends_at_the_limit),
        cmocka_unit_test(members_come_raw_and_in_order),
        cmocka_unit_test(items_come_raw_and_in_order),
        cmocka_unit_test(readers_stay_inside_even_unvalidated_text),
        cmocka_unit_test(keys_compare_decoded),
        cmocka_unit_test(the_last_duplicate_wins),
        cmocka_unit_test(integers_are_strict_and_checked),
        cmocka_unit_test(strings_decode_and_borrow_when_they_can),
        cmocka_unit_test(written_strings_are_valid_and_read_back),
        cmocka_unit_test(only_newlines_are_stripped),
        cmocka_unit_test(objects_write_commas_and_leave_zeros_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
