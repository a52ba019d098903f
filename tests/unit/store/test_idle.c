/* Claims of store/store.h about forgetting idle channels. */
#include "fixture.h"

static void only_channels_idle_beyond_their_namespace_are_named(void **state)
{
    (void)state;
    struct store *s = fx_store();
    struct store_op op;
    fx_publish(s, 0, 1000, "short:a", "1"); /* 5 s */
    fx_publish(s, 0, 1000, "b", "1");       /* 100 s */
    fx_publish(s, 0, 1000, "one:c", "1");   /* 30 days */
    fx_publish(s, 0, 3000, "short:d", "1");
    assert_false(store_idle(s, 0, 6000, &op));
    assert_true(store_idle(s, 0, 6001, &op));
    assert_int_equal(op.type, STORE_OP_DROP);
    assert_int_equal(op.request, 0);
    assert_int_equal(op.drop.count, 1);
    assert_true(dun_slice_is(op.drop.channels[0], "short:a"));
    fx_apply(s, 0, 6001, &op);
    assert_int_equal(fx_position(s, 0, "short:a").seq, 0);
    assert_true(store_idle(s, 0, 101001, &op));
    assert_int_equal(op.drop.count, 2);
    fx_apply(s, 0, 101001, &op);
    assert_int_equal(fx_stats(s).channels, 1);
    assert_false(store_idle(s, 0, 200000, &op));
    assert_true(store_idle(s, 0, 1001 + 30ull * 24 * 3600 * 1000, &op));
    store_destroy(s);
}

static void a_publish_makes_a_channel_busy_again(void **state)
{
    (void)state;
    struct store *s = fx_store();
    struct store_op op;
    fx_publish(s, 0, 1000, "short:a", "1");
    fx_publish(s, 0, 1000, "short:b", "1");
    fx_publish(s, 0, 5000, "short:a", "2");
    assert_true(store_idle(s, 0, 6500, &op));
    assert_int_equal(op.drop.count, 1);
    assert_true(dun_slice_is(op.drop.channels[0], "short:b"));
    store_check(s, 0);
    store_destroy(s);
}

static void history_that_outlives_the_meta_ttl_keeps_its_channel(void **state)
{
    (void)state;
    static const struct store_namespace ns = {
        .history_size = 10, .history_ttl_ms = 50000, .history_meta_ttl_ms = 1000};
    struct store_config c = fx_config();
    c.namespaces = &ns;
    c.namespace_count = 1;
    struct store *s = fx_create(&c);
    struct store_op op;
    fx_publish(s, 0, 1000, "c", "1");
    assert_false(store_idle(s, 0, 51000, &op));
    assert_true(store_idle(s, 0, 51001, &op));
    store_destroy(s);
}

static void the_scan_goes_on_where_it_left_off_and_reaches_all(void **state)
{
    (void)state;
    enum { KEPT = 3000, IDLE = 2000 };
    struct store *s = fx_store();
    struct store_op op;
    char name[24];
    /* First many that stay for 30 days, so that a call that starts over would never get past. */
    for (int i = 0; i < KEPT; i++) {
        snprintf(name, sizeof name, "none:%d", i);
        fx_publish(s, 0, 1000, name, "1");
    }
    for (int i = 0; i < IDLE; i++) {
        snprintf(name, sizeof name, "short:%d", i);
        fx_publish(s, 0, 1000, name, "1");
    }
    int calls = 0;
    for (; fx_stats(s).channels > KEPT; calls++) {
        assert_true(calls < 40);
        if (store_idle(s, 0, 90000, &op)) fx_apply(s, 0, 90000, &op);
        store_check(s, 0);
    }
    assert_true(calls > 5);
    assert_int_equal(fx_position(s, 0, "none:0").seq, 1);
    store_destroy(s);
}

static void a_channel_that_moves_away_does_not_take_the_scan_along(void **state)
{
    (void)state;
    enum { SCANNED = 1024, IDLE = 10 };
    for (int drop = 0; drop < 2; drop++) {
        struct store *s = fx_store();
        struct store_op op;
        char name[24];
        for (int i = 0; i < SCANNED + IDLE; i++) {
            snprintf(name, sizeof name, i < SCANNED ? "none:%d" : "short:%d", i);
            fx_publish(s, 0, 1000, name, "1");
        }
        assert_false(store_idle(s, 0, 90000, &op)); /* stops at the first that is idle */
        snprintf(name, sizeof name, "short:%d", SCANNED);
        if (drop)
            fx_drop(s, 0, 90000, name);
        else
            fx_publish(s, 0, 90000, name, "1");
        assert_true(store_idle(s, 0, 90000, &op));
        assert_int_equal(op.drop.count, IDLE - 1);
        store_destroy(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_channels_idle_beyond_their_namespace_are_named),
        cmocka_unit_test(a_publish_makes_a_channel_busy_again),
        cmocka_unit_test(history_that_outlives_the_meta_ttl_keeps_its_channel),
        cmocka_unit_test(the_scan_goes_on_where_it_left_off_and_reaches_all),
        cmocka_unit_test(a_channel_that_moves_away_does_not_take_the_scan_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
