/* Claims of store/idempotency.h, seen through the store where its rules meet others. */
#include "fixture.h"

#include "store/idempotency.h"

static void a_known_key_answers_with_the_first_position(void **state)
{
    (void)state;
    struct store *s = fx_store();
    fx_epoch(s, 0, 7);
    struct store_result first = fx_publish_key(s, 0, 1000, "c", "k");
    assert_false(first.duplicate);
    assert_int_equal(first.seq, 1);
    fx_publish(s, 0, 1001, "c", "2");
    fx_epoch(s, 0, 9);
    struct store_result again = fx_publish_key(s, 0, 1002, "c", "k");
    assert_int_equal(again.err, DUN_OK);
    assert_true(again.duplicate);
    assert_int_equal(again.seq, 1);
    assert_int_equal(again.epoch, 7);
    assert_null(again.msg);
    assert_int_equal(fx_position(s, 0, "c").seq, 2);
    store_destroy(s);
}

static void a_key_belongs_to_its_channel(void **state)
{
    (void)state;
    struct store *s = fx_store();
    assert_false(fx_publish_key(s, 0, 1000, "ab", "c").duplicate);
    assert_false(fx_publish_key(s, 0, 1000, "a", "bc").duplicate);
    assert_false(fx_publish_key(s, 0, 1000, "ab", "d").duplicate);
    assert_true(fx_publish_key(s, 0, 1000, "a", "bc").duplicate);
    assert_false(fx_publish_key(s, 1, 1000, "a", "bc").duplicate); /* and to its group */
    store_destroy(s);
}

static void a_key_expires_by_the_time_of_operations(void **state)
{
    (void)state;
    struct store *s = fx_store();
    fx_publish_key(s, 0, 1000, "c", "k");
    assert_true(fx_publish_key(s, 0, 1000 + DUN_IDEMPOTENCY_TTL_MS - 1, "c", "k").duplicate);
    struct store_result r = fx_publish_key(s, 0, 1000 + DUN_IDEMPOTENCY_TTL_MS, "c", "k");
    assert_false(r.duplicate);
    assert_int_equal(r.seq, 2);
    store_destroy(s);
}

static void an_expired_key_is_not_found_before_it_is_removed(void **state)
{
    (void)state;
    struct store *s = fx_store();
    char key[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "%d", i);
        fx_publish_key(s, 0, 1000, "c", key);
    }
    assert_false(fx_publish_key(s, 0, 1000 + DUN_IDEMPOTENCY_TTL_MS, "c", "900").duplicate);
    assert_int_equal(fx_stats(s).keys, 1000 - 901 + 1);
    store_check(s, 0);
    store_destroy(s);
}

static void keys_outlive_a_dropped_channel(void **state)
{
    (void)state;
    struct store *s = fx_store();
    fx_publish_key(s, 0, 1000, "c", "k");
    fx_drop(s, 0, 1001, "c");
    struct store_result r = fx_publish_key(s, 0, 1002, "c", "k");
    assert_true(r.duplicate);
    assert_int_equal(r.epoch, 0);
    assert_int_equal(fx_position(s, 0, "c").seq, 0);
    store_destroy(s);
}

static void a_full_table_forgets_the_oldest_but_none_that_is_young(void **state)
{
    (void)state;
    struct store *s = fx_store();
    char key[16];
    for (int i = 0; i < DUN_IDEMPOTENCY_PER_GROUP_MAX; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_int_equal(fx_publish_key(s, 0, i < 2 ? 1000 : 2000, "none:c", key).err, DUN_OK);
    }
    uint64_t now = 1000 + DUN_IDEMPOTENCY_KEEP_MS;
    assert_int_equal(fx_publish_key(s, 0, now - 1, "none:c", "a").err, DUN_E_FULL);
    assert_int_equal(fx_publish_key(s, 0, now, "none:c", "b").err, DUN_OK);
    assert_int_equal(fx_publish_key(s, 0, now, "none:c", "c").err, DUN_OK);
    assert_int_equal(fx_publish_key(s, 0, now, "none:c", "d").err, DUN_E_FULL);
    assert_true(fx_publish_key(s, 0, now, "none:c", "2").duplicate);
    assert_int_equal(fx_publish_key(s, 0, now + 1000, "none:c", "0").err, DUN_OK);
    assert_false(fx_publish_key(s, 0, now + 1000, "none:c", "1").duplicate); /* forgotten */
    assert_int_equal(fx_stats(s).keys, DUN_IDEMPOTENCY_PER_GROUP_MAX);
    store_check(s, 0);
    store_destroy(s);
}

static void a_full_table_refuses_until_keys_expire(void **state)
{
    (void)state;
    struct store *s = fx_store();
    char key[16];
    for (int i = 0; i < DUN_IDEMPOTENCY_PER_GROUP_MAX; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_int_equal(fx_publish_key(s, 0, 1000, "none:c", key).err, DUN_OK);
    }
    struct store_result r = fx_publish_key(s, 0, 1001, "none:new", "one more");
    assert_int_equal(r.err, DUN_E_FULL);
    assert_null(r.msg);
    assert_int_equal(fx_position(s, 0, "none:new").seq, 0);
    assert_true(fx_publish_key(s, 0, 1001, "none:c", "5").duplicate);
    assert_int_equal(fx_publish(s, 0, 1001, "none:new", "1").err, DUN_OK); /* without a key */
    store_check(s, 0);
    uint64_t later = 1000 + DUN_IDEMPOTENCY_TTL_MS;
    assert_int_equal(fx_publish_key(s, 0, later, "none:new", "one more").err, DUN_OK);
    for (int i = 0; i < DUN_IDEMPOTENCY_PER_GROUP_MAX / 64; i++)
        fx_publish(s, 0, later, "none:new", "1");
    assert_int_equal(fx_stats(s).keys, 1);
    store_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_key_answers_with_the_first_position),
        cmocka_unit_test(a_key_belongs_to_its_channel),
        cmocka_unit_test(a_key_expires_by_the_time_of_operations),
        cmocka_unit_test(an_expired_key_is_not_found_before_it_is_removed),
        cmocka_unit_test(keys_outlive_a_dropped_channel),
        cmocka_unit_test(a_full_table_forgets_the_oldest_but_none_that_is_young),
        cmocka_unit_test(a_full_table_refuses_until_keys_expire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
