/* tests/fuzz/fuzz_json.c: the validator, and the readers over what it accepted.
 * Claims: readers stay inside the text and find every value that it holds valid;
 * a decoded string, written and decoded again, is the same. */
#include "tests/fuzz/fuzz.h"
#include "transport/codec/json.h"
#include "transport/codec/utf8.h"

static void check_string(struct dun_slice value)
{
    struct dun_buf scratch = {0}, again = {0}, b = {0};
    struct dun_slice text, text2;
    dun_err e = json_get_string(value, &scratch, &text);
    if (e == DUN_OK) {
        DUN_ASSERT(text.len + 2 <= value.len && utf8_valid(text));
        DUN_ASSERT(memchr(text.data, 0, text.len) == NULL);
        json_write_string(&b, text);
        DUN_ASSERT(json_check_type(dun_buf_view(&b), JSON_STRING) == DUN_OK);
        e = json_get_string(dun_buf_view(&b), &again, &text2);
        DUN_ASSERT(e == DUN_OK && dun_slice_eq(text, text2));
    }
    dun_buf_deinit(&b);
    dun_buf_deinit(&again);
    dun_buf_deinit(&scratch);
}

static void check_number(struct dun_slice value)
{
    uint64_t u = 0;
    uint32_t w = 0;
    int64_t i = 0;
    bool has_u = json_get_u64(value, &u) == DUN_OK;
    if (has_u) {
        struct dun_buf b = {0};
        dun_buf_u64(&b, u);
        DUN_ASSERT(dun_slice_eq(dun_buf_view(&b), value));
        dun_buf_deinit(&b);
    }
    if (json_get_u32(value, &w) == DUN_OK) DUN_ASSERT(has_u && u == w);
    if (json_get_i64(value, &i) == DUN_OK && i > 0) DUN_ASSERT(has_u && u == (uint64_t)i);
}

static size_t check_value(struct dun_slice value, struct dun_slice all, unsigned depth)
{
    struct json_iter it;
    struct json_member m, found;
    size_t count = 1;
    DUN_ASSERT(fuzz_within(value, all) && value.len > 0 && depth <= DUN_JSON_DEPTH_MAX);
    if (depth < 3) DUN_ASSERT(json_check_type(value, json_type_of(value)) == DUN_OK);
    switch (json_type_of(value)) {
    case JSON_NULL: DUN_ASSERT(dun_slice_is(value, "null")); break;
    case JSON_BOOL: {
        bool b;
        DUN_ASSERT(json_get_bool(value, &b) == DUN_OK && dun_slice_is(value, b ? "true" : "false"));
        break;
    }
    case JSON_NUMBER: check_number(value); break;
    case JSON_STRING: check_string(value); break;
    case JSON_ARRAY:
        DUN_ASSERT(json_array(value, &it) == DUN_OK && json_object(value, &it) != DUN_OK);
        (void)!json_array(value, &it);
        while (json_next_item(&it, &m))
            count += check_value(m.value, all, depth + 1);
        break;
    case JSON_OBJECT:
        DUN_ASSERT(json_array(value, &it) != DUN_OK && json_object(value, &it) == DUN_OK);
        while (json_next_member(&it, &m)) {
            struct dun_buf scratch = {0};
            struct dun_slice key;
            DUN_ASSERT(fuzz_within(m.key, all) && m.type == json_type_of(m.value));
            if (json_get_key(m.key, &scratch, &key) == DUN_OK) fuzz_read(key);
            if (json_key_is(m.key, "data")) DUN_ASSERT(json_find(value, "data", &found));
            dun_buf_deinit(&scratch);
            count += check_value(m.value, all, depth + 1);
        }
        break;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dun_slice s = fuzz_copy((struct dun_slice){data, size});
    dun_err e = json_check(s);
    DUN_ASSERT(e == DUN_OK || e == DUN_E_MALFORMED || e == DUN_E_TOO_BIG);
    if (e == DUN_OK) {
        struct dun_buf b = {0};
        struct dun_slice trimmed = json_trim(s);
        DUN_ASSERT(utf8_valid(s));
        size_t count = check_value(trimmed, s, 0);
        json_strip_newlines(&b, trimmed);
        struct dun_slice bare = dun_buf_view(&b);
        DUN_ASSERT(memchr(bare.data, '\n', bare.len) == NULL);
        DUN_ASSERT(memchr(bare.data, '\r', bare.len) == NULL);
        DUN_ASSERT(json_check(bare) == DUN_OK && check_value(bare, bare, 0) == count);
        dun_buf_deinit(&b);
    }
    fuzz_copy_free(s);
    return 0;
}
