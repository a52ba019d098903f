/* Claims of store/namespace.h. */
#include "fixture.h"

static void namespace_is_the_text_before_the_first_colon(void **state)
{
    (void)state;
    static const struct {
        const char *channel, *want;
    } t[] = {
        {"news", ""},
        {"chat:room", "chat"},
        {"chat:a:b", "chat"},
        {"$chat:room", "chat"},
        {"$news", ""},
        {":x", ""},
        {"chat:", "chat"},
        {"a$b:c", "a$b"},
        {"$$chat:x", "$chat"},
        {"", ""},
        {"$", ""},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct dun_slice got = store_namespace_of(dun_slice_str(t[i].channel));
        if (!dun_slice_is(got, t[i].want)) fail_msg("row %zu: %s", i, t[i].channel);
    }
}

static void find_gives_the_entry_or_null(void **state)
{
    (void)state;
    uint32_t n = DUN_COUNT(fx_namespaces);
    assert_ptr_equal(store_namespace_find(fx_namespaces, n, dun_slice_str("x")), &fx_namespaces[0]);
    assert_ptr_equal(store_namespace_find(fx_namespaces, n, dun_slice_str("$one:x")),
                     &fx_namespaces[1]);
    assert_null(store_namespace_find(fx_namespaces, n, dun_slice_str("on:x")));
    assert_null(store_namespace_find(fx_namespaces, n, dun_slice_str("onee:x")));
}

static void history_needs_a_size_and_an_age(void **state)
{
    (void)state;
    static const struct {
        uint32_t size;
        uint64_t ttl_ms;
        bool has;
    } t[] = {{0, 0, false}, {1, 0, false}, {0, 1, false}, {1, 1, true}};
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct store_namespace ns = {.history_size = t[i].size, .history_ttl_ms = t[i].ttl_ms};
        assert_int_equal(store_namespace_has_history(&ns), t[i].has);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(namespace_is_the_text_before_the_first_colon),
        cmocka_unit_test(find_gives_the_entry_or_null),
        cmocka_unit_test(history_needs_a_size_and_an_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
