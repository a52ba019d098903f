/* Claims of store/store.h about applying and reading. */
#include "fixture.h"

static void a_bad_configuration_is_refused(void **state)
{
    (void)state;
    static const struct store_namespace no_default[] = {{.name = "a"}};
    static const struct store_namespace twice[] = {{.name = ""}, {.name = "a"}, {.name = "a"}};
    static const struct store_namespace too_long[] = {
        {.name = "", .history_size = DUN_HISTORY_SIZE_MAX + 1}};
    const struct store_config t[] = {
        {.group_count = 0, .namespaces = fx_namespaces, .namespace_count = 1},
        {.group_count = DUN_GROUPS_MAX + 1, .namespaces = fx_namespaces, .namespace_count = 1},
        {.group_count = 1, .namespaces = fx_namespaces, .namespace_count = 0},
        {.group_count = 1, .namespaces = no_default, .namespace_count = 1},
        {.group_count = 1, .namespaces = twice, .namespace_count = 3},
        {.group_count = 1, .namespaces = too_long, .namespace_count = 1},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct store *s = NULL;
        if (store_create(&s, &t[i]) != DUN_E_CONFIG) fail_msg("row %zu", i);
        assert_null(s);
    }
}

static void the_group_of_a_channel_is_fixed(void **state)
{
    (void)state;
    /* SipHash-2-4 with a zero key, by an independent program; another value would split a cluster
     * of mixed versions. */
    uint32_t news = store_group_of(dun_slice_str("news"), 64);
    assert_int_equal(news, 26);
    uint32_t hits[64] = {0};
    for (int i = 0; i < 6400; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        hits[store_group_of(dun_slice_str(name), 64)]++;
    }
    for (int i = 0; i < 64; i++)
        assert_in_range(hits[i], 50, 160);
}

static void seq_is_dense_and_prev_seq_links(void **state)
{
    (void)state;
    struct store *s = fx_store();
    fx_epoch(s, 1, 3);
    for (uint64_t i = 1; i <= 25; i++) {
        struct store_result r = fx_publish(s, 1, 1000 + i, "c", "{\"a\":1}");
        assert_int_equal(r.err, DUN_OK);
        assert_int_equal(r.seq, i);
        assert_int_equal(r.epoch, 3);
        assert_int_equal(r.msg->seq, i);
        assert_int_equal(r.msg->prev_seq, i - 1);
        assert_int_equal(r.msg->time_ms, 1000 + i);
        assert_true(dun_slice_is(r.msg->data, "{\"a\":1}"));
    }
    struct store_position p = fx_position(s, 1, "c");
    assert_int_equal(p.seq, 25);
    assert_int_equal(p.first_seq, 16);
    assert_false(p.evicted);
    assert_int_equal(fx_position(s, 0, "c").seq, 0); /* another group */
    store_destroy(s);
}

static void the_result_outlives_its_retention(void **state)
{
    (void)state;
    struct store *s = fx_store();
    struct store_result r = fx_publish(s, 0, 1000, "none:c", "42");
    assert_true(dun_slice_is(r.msg->data, "42"));
    assert_int_equal(fx_stats(s).messages, 0);
    r = fx_publish(s, 0, 1000, "unheard:c", "43"); /* a namespace this peer does not know */
    assert_true(dun_slice_is(r.msg->data, "43"));
    assert_int_equal(r.seq, 1);
    assert_int_equal(fx_stats(s).messages, 0);
    assert_int_equal(fx_position(s, 0, "unheard:c").first_seq, 2);
    store_check(s, 0);
    store_destroy(s);
}

static void read_gives_what_follows_or_gone(void **state)
{
    (void)state;
    struct store *s = fx_store();
    for (int i = 0; i < 15; i++)
        fx_publish(s, 0, 1000, "c", "1"); /* keeps 6..15 */
    static const struct {
        uint64_t after;
        uint32_t max;
        int want;
    } t[] = {{0, 100, DUN_E_GONE},
             {4, 100, DUN_E_GONE},
             {5, 100, 10},
             {5, 3, 3},
             {5, 0, 0},
             {12, 100, 3},
             {14, 100, 1},
             {15, 100, 0},
             {99, 100, 0},
             {UINT64_MAX, 100, 0}};
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        int got = fx_read(s, 0, "c", t[i].after, t[i].max);
        if (got != t[i].want) fail_msg("row %zu: %d, want %d", i, got, t[i].want);
    }
    assert_int_equal(fx_read(s, 0, "nobody", 0, 10), 0);
    store_destroy(s);
}

static void a_read_message_lives_as_long_as_its_reference(void **state)
{
    (void)state;
    struct store *s = fx_store();
    struct store_msg *m = NULL;
    uint32_t count = 0;
    fx_publish(s, 0, 1000, "c", "\"kept\"");
    assert_int_equal(store_read(s, 0, dun_slice_str("c"), 0, &m, 1, &count), DUN_OK);
    assert_int_equal(count, 1);
    store_destroy(s);
    assert_true(dun_slice_is(m->data, "\"kept\""));
    store_msg_unref(m);
}

static void drop_starts_a_new_life_under_a_new_epoch(void **state)
{
    (void)state;
    struct store *s = fx_store();
    fx_epoch(s, 0, 5);
    fx_publish(s, 0, 1000, "c", "1");
    fx_publish(s, 0, 1000, "d", "1");
    assert_int_equal(fx_drop(s, 0, 1001, "c").epoch, 6);
    assert_int_equal(fx_position(s, 0, "c").seq, 0);
    assert_int_equal(fx_position(s, 0, "c").first_seq, 1);
    assert_int_equal(fx_position(s, 0, "c").epoch, 6);
    assert_int_equal(fx_position(s, 0, "d").epoch, 5); /* its life goes on */
    struct store_result r = fx_publish(s, 0, 1002, "c", "1");
    assert_int_equal(r.seq, 1);
    assert_int_equal(r.epoch, 6);
    assert_int_equal(fx_drop(s, 0, 1003, "nobody").epoch, 7);
    assert_int_equal(store_group_epoch(s, 0), 7);
    assert_int_equal(store_group_epoch(s, 1), 0);
    store_check(s, 0);
    store_destroy(s);
}

static void one_drop_moves_the_epoch_once(void **state)
{
    (void)state;
    struct store *s = fx_store();
    struct store_op op = {.type = STORE_OP_DROP};
    op.drop.count = 3;
    op.drop.channels[0] = op.drop.channels[2] = dun_slice_str("a");
    op.drop.channels[1] = dun_slice_str("b");
    fx_publish(s, 0, 1, "a", "1");
    fx_publish(s, 0, 1, "b", "1");
    fx_apply(s, 0, 2, &op);
    assert_int_equal(store_group_epoch(s, 0), 1);
    assert_int_equal(fx_stats(s).channels, 0);
    store_destroy(s);
}

static void epoch_moves_every_channel_and_keeps_seq_and_messages(void **state)
{
    (void)state;
    struct store *s = fx_store();
    fx_epoch(s, 0, 5);
    fx_publish(s, 0, 1000, "c", "1");
    fx_publish(s, 0, 1000, "c", "2");
    assert_int_equal(fx_epoch(s, 0, 9).epoch, 9);
    assert_int_equal(fx_epoch(s, 0, 2).epoch, 10); /* never back */
    struct store_position p = fx_position(s, 0, "c");
    assert_int_equal(p.epoch, 10);
    assert_int_equal(p.seq, 2);
    assert_int_equal(p.first_seq, 1);
    struct store_result r = fx_publish(s, 0, 1001, "c", "3");
    assert_int_equal(r.seq, 3);
    assert_int_equal(r.epoch, 10);
    assert_int_equal(fx_read(s, 0, "c", 0, 10), 3);
    store_check(s, 0);
    store_destroy(s);
}

static void a_repeated_request_does_nothing_and_reports_the_position(void **state)
{
    (void)state;
    struct store *s = fx_store();
    struct store_result r = fx_publish_request(s, 0, "c", 100, 1);
    assert_int_equal(r.err, DUN_OK);
    assert_int_equal(r.request, 1);
    fx_publish_request(s, 0, "c", 100, 2);
    r = fx_publish_request(s, 0, "c", 100, 1);
    assert_int_equal(r.err, DUN_E_STALE);
    assert_int_equal(r.seq, 1);
    assert_null(r.msg);
    assert_int_equal(fx_publish_request(s, 0, "c", 99, 50).err, DUN_E_STALE);
    assert_int_equal(fx_publish_request(s, 0, "c", 101, 1).seq, 3);
    assert_int_equal(fx_publish_request(s, 0, "c", 101, 0).seq, 4); /* 0: always applied */
    assert_int_equal(fx_publish_request(s, 0, "c", 101, 0).seq, 5);
    assert_int_equal(fx_publish_request(s, 1, "c", 100, 1).seq, 1); /* a window a group */
    store_destroy(s);
}

static void the_request_is_looked_at_before_the_key(void **state)
{
    (void)state;
    struct store *s = fx_store();
    struct store_op op;
    fx_publish_op(&op, "c", "1");
    op.publish.key = dun_slice_str("k");
    op.request = 1;
    assert_int_equal(fx_apply(s, 0, 1000, &op).seq, 1);
    struct store_result r = fx_apply(s, 0, 1001, &op);
    assert_int_equal(r.err, DUN_E_STALE);
    assert_false(r.duplicate);
    op.request = 2;
    r = fx_apply(s, 0, 1002, &op);
    assert_int_equal(r.err, DUN_OK);
    assert_true(r.duplicate);
    r = fx_apply(s, 0, 1003, &op); /* a duplicate counts as applied, with the first position */
    assert_int_equal(r.err, DUN_E_STALE);
    assert_int_equal(r.seq, 1);
    store_destroy(s);
}

static void a_full_group_refuses_new_channels_only_and_remembers_it(void **state)
{
    (void)state;
    struct store *s = fx_store();
    struct store_op op, idle;
    char name[24] = "none:";
    fx_publish_op(&op, name, "1");
    for (uint32_t i = 0; i < DUN_CHANNELS_PER_GROUP_MAX; i++) {
        int n = snprintf(name, sizeof name, "none:%" PRIu32, i);
        op.publish.channel = dun_slice(name, (size_t)n);
        struct store_result r = fx_apply(s, 0, i, &op);
        if (r.err != DUN_OK) fail_msg("channel %" PRIu32, i);
    }
    struct store_result r = fx_publish_request(s, 0, "new", 1, 1);
    assert_int_equal(r.err, DUN_E_FULL);
    assert_null(r.msg);
    assert_int_equal(fx_publish(s, 0, 1, "none:0", "1").seq, 2);
    assert_true(store_idle(s, 0, 0, &idle)); /* crowded: the longest idle go, however young */
    assert_int_equal(idle.drop.count, STORE_DROP_MAX);
    assert_true(dun_slice_is(idle.drop.channels[0], "none:1"));
    assert_true(dun_slice_is(idle.drop.channels[255], "none:256"));
    fx_apply(s, 0, 1, &idle);
    r = fx_publish_request(s, 0, "new", 1, 1); /* its origin was told that it failed */
    assert_int_equal(r.err, DUN_E_STALE);
    assert_int_equal(r.seq, 0);
    assert_int_equal(fx_publish_request(s, 0, "new", 1, 2).err, DUN_OK);
    store_check(s, 0);
    store_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bad_configuration_is_refused),
        cmocka_unit_test(the_group_of_a_channel_is_fixed),
        cmocka_unit_test(seq_is_dense_and_prev_seq_links),
        cmocka_unit_test(the_result_outlives_its_retention),
        cmocka_unit_test(read_gives_what_follows_or_gone),
        cmocka_unit_test(a_read_message_lives_as_long_as_its_reference),
        cmocka_unit_test(drop_starts_a_new_life_under_a_new_epoch),
        cmocka_unit_test(one_drop_moves_the_epoch_once),
        cmocka_unit_test(epoch_moves_every_channel_and_keeps_seq_and_messages),
        cmocka_unit_test(a_repeated_request_does_nothing_and_reports_the_position),
        cmocka_unit_test(the_request_is_looked_at_before_the_key),
        cmocka_unit_test(a_full_group_refuses_new_channels_only_and_remembers_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
