/* Claims of store/store.h about what stays: by count, age and memory. */
#include "fixture.h"

/* A guard that checks its own use and counts. */
struct watch {
    struct store *s;
    int depth;
    uint32_t group;
    uint64_t holds, messages_before, most_dropped;
};

static void watch_begin(void *ctx, uint32_t group)
{
    struct watch *w = ctx;
    assert_int_equal(w->depth, 0);
    w->depth++;
    w->group = group;
    w->holds++;
    w->messages_before = w->s == NULL ? 0 : fx_stats(w->s).messages;
}

static void watch_end(void *ctx, uint32_t group)
{
    struct watch *w = ctx;
    assert_int_equal(w->depth, 1);
    assert_int_equal(w->group, group);
    w->depth--;
    if (w->s == NULL) return;
    uint64_t now = fx_stats(w->s).messages;
    uint64_t dropped = now < w->messages_before ? w->messages_before - now : 0;
    if (dropped > w->most_dropped) w->most_dropped = dropped;
}

static void count_keeps_the_newest(void **state)
{
    (void)state;
    static const struct {
        const char *channel;
        int publish;
        uint64_t first_seq;
    } t[] = {{"c", 10, 1}, {"c2", 11, 2}, {"one:c", 1, 1}, {"one:d", 30, 30}, {"none:c", 3, 4}};
    struct store *s = fx_store();
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        for (int n = 0; n < t[i].publish; n++)
            fx_publish(s, 0, 1000, t[i].channel, "1");
        struct store_position p = fx_position(s, 0, t[i].channel);
        if (p.first_seq != t[i].first_seq) fail_msg("row %zu: %" PRIu64, i, p.first_seq);
        assert_false(p.evicted);
        store_check(s, 0);
    }
    store_destroy(s);
}

static void age_drops_per_namespace_and_changes_no_position(void **state)
{
    (void)state;
    struct store *s = fx_store();
    fx_publish(s, 0, 1000, "short:c", "1");
    fx_publish(s, 0, 1500, "short:c", "2");
    fx_publish(s, 0, 1000, "c", "1");
    uint64_t digest = store_digest(s, 0);
    store_trim(s, 1999);
    assert_int_equal(fx_position(s, 0, "short:c").first_seq, 1);
    store_trim(s, 2000);
    assert_int_equal(fx_position(s, 0, "short:c").first_seq, 2);
    store_trim(s, 0); /* a clock that jumps back drops nothing */
    assert_int_equal(fx_read(s, 0, "short:c", 1, 10), 1);
    store_trim(s, 2500);
    struct store_position p = fx_position(s, 0, "short:c");
    assert_int_equal(p.first_seq, 3);
    assert_int_equal(p.seq, 2);
    assert_false(p.evicted);
    assert_int_equal(fx_position(s, 0, "c").first_seq, 1);
    assert_int_equal(fx_stats(s).expired, 2);
    assert_true(store_digest(s, 0) == digest);
    store_check(s, 0);
    store_destroy(s);
}

static void trimming_holds_a_guard_for_a_thousand_messages_at_most(void **state)
{
    (void)state;
    struct watch w = {0};
    struct store_config c = fx_config();
    c.guard = (struct store_guard){watch_begin, watch_end, &w};
    struct store *s = fx_create(&c);
    for (int i = 0; i < 5500; i++)
        fx_publish(s, 2, 1000, "long:c", "1");
    assert_int_equal(w.holds, 5500);
    store_trim(s, 1001);
    assert_int_equal(w.holds, 5500); /* nothing to do: no reader is held up */
    w.s = s;
    store_trim(s, 10000000);
    assert_int_equal(w.holds, 5506);
    assert_int_equal(w.group, 2);
    assert_int_equal(w.most_dropped, 1000);
    assert_int_equal(fx_stats(s).messages, 0);
    store_check(s, 2);
    store_destroy(s);
}

static void memory_pressure_takes_the_oldest_of_all_groups(void **state)
{
    (void)state;
    struct store_config c = fx_config();
    struct watch w = {0};
    c.guard = (struct store_guard){watch_begin, watch_end, &w};
    c.max_memory = 100000;
    struct store *s = fx_create(&c);
    char data[402], name[16];
    memset(data, '1', sizeof data - 1);
    data[sizeof data - 1] = '\0';
    fx_publish(s, 0, 1, "long:old", data);
    fx_publish(s, 1, 2, "c", data);
    w.s = s;
    for (uint64_t i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "long:%d", (int)(i % 7));
        fx_publish(s, (uint32_t)(i % 4), 10 + i, name, data);
        assert_true(fx_stats(s).bytes <= c.max_memory);
        assert_true(fx_stats(s).bytes + 2000 > c.max_memory || fx_stats(s).evicted == 0);
    }
    assert_true(w.most_dropped <= 16);
    assert_true(fx_position(s, 0, "long:old").evicted);
    assert_true(fx_position(s, 1, "c").evicted);
    assert_int_equal(fx_position(s, 1, "c").first_seq, 2);
    assert_int_equal(fx_read(s, 0, "long:old", 0, 1), DUN_E_GONE);
    struct store_position newest = fx_position(s, 3, "long:5"); /* 999 % 7 */
    assert_true(newest.first_seq <= newest.seq);
    /* What is left is young: at most a batch's worth out of order. */
    uint64_t kept = fx_stats(s).messages;
    for (uint32_t g = 0; g < 4; g++) {
        for (int k = 0; k < 7; k++) {
            struct store_msg *m = NULL;
            uint32_t n = 0;
            snprintf(name, sizeof name, "long:%d", k);
            struct store_position p = fx_position(s, g, name);
            assert_int_equal(store_read(s, g, dun_slice_str(name), p.first_seq - 1, &m, 1, &n),
                             DUN_OK);
            if (n == 0) continue;
            assert_true(m->time_ms + kept + 4 * 16 >= 1009);
            store_msg_unref(m);
        }
    }
    fx_check(s, 4);
    store_destroy(s);
}

static void a_large_budget_is_kept_full(void **state)
{
    (void)state;
    enum { BYTES = 32 * 1024, BUDGET = 128 << 20, SLACK = 64 * 1024 };
    struct store_config c = fx_config();
    c.max_memory = BUDGET;
    struct store *s = fx_create(&c);
    char data[BYTES + 1] = "";
    memset(data, '1', BYTES);
    struct store_stats st;
    for (uint32_t n = 0; n < BUDGET / BYTES + 100; n++)
        fx_publish(s, 0, 1000, "long:c", data);
    store_stats(s, &st);
    assert_true(st.evicted > 0);
    assert_true(st.bytes <= BUDGET);
    assert_true(st.bytes > BUDGET - SLACK - 2 * BYTES);
    store_check(s, 0);
    store_destroy(s);
}

static void a_budget_below_channels_and_keys_leaves_no_message_and_refuses_none(void **state)
{
    (void)state;
    struct store_config c = fx_config(), plenty = fx_config();
    c.max_memory = 2000;
    struct store *s = fx_create(&c), *other = fx_create(&plenty);
    char name[16];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "c%d", i);
        struct store_result r = fx_publish_key(s, 0, 1000, name, name);
        assert_int_equal(r.err, DUN_OK);
        assert_int_equal(r.seq, 1);
        assert_true(dun_slice_is(r.msg->data, "1")); /* still delivered */
        fx_publish_key(other, 0, 1000, name, name);
        store_check(s, 0);
    }
    assert_true(store_digest(s, 0) == store_digest(other, 0));
    struct store_stats stats = fx_stats(s);
    assert_int_equal(stats.messages, 0);
    assert_true(stats.over_bytes == stats.bytes - c.max_memory && stats.over_bytes > 0);
    assert_int_equal(fx_stats(other).over_bytes, 0);
    store_destroy(s);
    store_destroy(other);
}

static void evicted_tells_the_newest_missing_ones_reason(void **state)
{
    (void)state;
    struct store_config c = fx_config();
    struct store *probe = fx_create(&c);
    for (int i = 0; i < 8; i++)
        fx_publish(probe, 0, 1000, "c", "1");
    c.max_memory = fx_stats(probe).bytes; /* room for 8, and 10 by count */
    store_destroy(probe);
    struct store *s = fx_create(&c);
    for (int i = 0; i < 9; i++)
        fx_publish(s, 0, 1000, "c", "1");
    assert_true(fx_position(s, 0, "c").evicted);
    store_trim(s, 1000000);
    assert_false(fx_position(s, 0, "c").evicted);
    assert_int_equal(fx_position(s, 0, "c").first_seq, 10);
    store_destroy(s);
}

static void cost_returns_to_zero(void **state)
{
    (void)state;
    struct store *s = fx_store();
    static const char *const names[] = {"a", "one:b", "none:c", "short:d", "long:e", "unheard:f"};
    char key[16];
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "%d", i);
        fx_publish_key(s, (uint32_t)(i % 4), 1000, names[i % 6], i % 3 == 0 ? key : "");
    }
    fx_check(s, 4);
    for (uint32_t g = 0; g < 4; g++)
        store_reset(s, g);
    struct store_stats stats = fx_stats(s);
    assert_int_equal(stats.bytes, 0);
    assert_int_equal(stats.messages, 0);
    assert_int_equal(stats.channels, 0);
    assert_int_equal(stats.keys, 0);
    fx_check(s, 4);
    /* A younger clock after a reset is no trouble for eviction. */
    fx_publish(s, 0, 5, "a", "1");
    fx_check(s, 4);
    fx_drop(s, 0, 6, "a");
    assert_int_equal(fx_stats(s).bytes, 0);
    store_destroy(s);
}

static void groups_that_come_and_go_do_not_confuse_eviction(void **state)
{
    (void)state;
    struct store_config c = fx_config();
    c.group_count = 32;
    c.max_memory = 40000;
    struct store *s = fx_create(&c);
    struct dun_prng prng;
    dun_prng_seed(&prng, 2);
    static const char *const names[] = {"a", "long:b", "short:c"};
    for (uint64_t i = 0; i < 20000; i++) {
        uint32_t group = (uint32_t)dun_prng_range(&prng, 0, 31);
        if (dun_prng_chance(&prng, 50000))
            store_reset(s, group);
        else
            fx_publish(s, group, dun_prng_range(&prng, 1, 100) + i, names[i % 3], "1");
        if (i % 20 == 0) fx_check(s, 32);
    }
    assert_true(fx_stats(s).evicted > 1000);
    store_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(count_keeps_the_newest),
        cmocka_unit_test(age_drops_per_namespace_and_changes_no_position),
        cmocka_unit_test(trimming_holds_a_guard_for_a_thousand_messages_at_most),
        cmocka_unit_test(memory_pressure_takes_the_oldest_of_all_groups),
        cmocka_unit_test(a_large_budget_is_kept_full),
        cmocka_unit_test(a_budget_below_channels_and_keys_leaves_no_message_and_refuses_none),
        cmocka_unit_test(evicted_tells_the_newest_missing_ones_reason),
        cmocka_unit_test(cost_returns_to_zero),
        cmocka_unit_test(groups_that_come_and_go_do_not_confuse_eviction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
