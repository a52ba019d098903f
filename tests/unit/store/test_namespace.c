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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(namespace_is_the_text_before_the_first_colon),
        cmocka_unit_test(find_gives_the_entry_or_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
