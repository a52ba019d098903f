/* Claims of store/request.h. */
#include "fixture.h"

#include "store/request.h"

static struct store_request_result position;

static dun_err once(struct store_request *w, uint64_t boot, uint64_t request)
{
    dun_err e = store_request_check(w, boot, request, &position);
    if (e == DUN_OK)
        store_request_record(w, boot, request, (struct store_request_result){request * 2, boot});
    return e;
}

static void a_request_applies_once_and_its_repeat_reports_the_position(void **state)
{
    (void)state;
    struct store_request *w = dun_calloc(1, sizeof *w);
    assert_int_equal(once(w, 5, 1), DUN_OK);
    assert_int_equal(once(w, 5, 3), DUN_OK);
    assert_int_equal(once(w, 5, 2), DUN_OK);
    for (uint64_t r = 1; r <= 3; r++) {
        assert_int_equal(once(w, 5, r), DUN_E_STALE);
        assert_int_equal(position.seq, r * 2);
        assert_int_equal(position.epoch, 5);
    }
    dun_free(w);
}

static void positions_are_known_for_the_last_inflight_max(void **state)
{
    (void)state;
    struct store_request *w = dun_calloc(1, sizeof *w);
    for (uint64_t r = 1; r <= DUN_INFLIGHT_MAX + 1; r++)
        assert_int_equal(once(w, 1, r), DUN_OK);
    assert_int_equal(once(w, 1, 1), DUN_E_STALE);
    assert_int_equal(position.seq, 0);
    assert_int_equal(once(w, 1, 2), DUN_E_STALE);
    assert_int_equal(position.seq, 4);
    dun_free(w);
}

static void a_late_request_does_not_spoil_a_younger_ones_position(void **state)
{
    (void)state;
    struct store_request *w = dun_calloc(1, sizeof *w);
    assert_int_equal(once(w, 1, 10 + DUN_INFLIGHT_MAX), DUN_OK);
    assert_int_equal(once(w, 1, 10), DUN_OK); /* the same slot */
    assert_int_equal(once(w, 1, 10 + DUN_INFLIGHT_MAX), DUN_E_STALE);
    assert_int_equal(position.seq, 2 * (10 + DUN_INFLIGHT_MAX));
    assert_int_equal(once(w, 1, 10), DUN_E_STALE);
    assert_int_equal(position.seq, 0);
    dun_free(w);
}

static void below_the_window_everything_is_stale(void **state)
{
    (void)state;
    struct store_request *w = dun_calloc(1, sizeof *w);
    assert_int_equal(once(w, 1, DUN_REQUEST_WINDOW + 10), DUN_OK);
    assert_int_equal(once(w, 1, 10), DUN_E_STALE);
    assert_int_equal(once(w, 1, 11), DUN_OK);
    assert_int_equal(once(w, 1, UINT64_MAX), DUN_OK);
    assert_int_equal(once(w, 1, UINT64_MAX), DUN_E_STALE);
    assert_int_equal(once(w, 1, UINT64_MAX - DUN_REQUEST_WINDOW), DUN_E_STALE);
    assert_int_equal(once(w, 1, UINT64_MAX - DUN_REQUEST_WINDOW + 1), DUN_OK);
    dun_free(w);
}

static void a_newer_boot_starts_over_and_an_older_one_is_stale(void **state)
{
    (void)state;
    struct store_request *w = dun_calloc(1, sizeof *w);
    assert_int_equal(once(w, 5, 9), DUN_OK);
    assert_int_equal(once(w, 6, 9), DUN_OK);
    assert_int_equal(once(w, 6, 8), DUN_OK);
    assert_int_equal(once(w, 5, 10), DUN_E_STALE);
    assert_int_equal(position.seq, 0);
    dun_free(w);
}

static void the_window_agrees_with_a_plain_set(void **state)
{
    (void)state;
    enum { SPAN = 40000 };
    static bool seen[SPAN + 1];
    struct store_request *w = dun_calloc(1, sizeof *w);
    struct dun_prng prng;
    uint64_t max = 0, fresh = 0;
    dun_prng_seed(&prng, 11);
    for (uint64_t i = 1; i <= 60000; i++) {
        uint64_t reach = i * SPAN / 60000 + 1, low = reach > 5000 ? reach - 5000 : 1;
        uint64_t r = dun_prng_range(&prng, low, reach);
        bool want = !seen[r] && (r > max || max - r < DUN_REQUEST_WINDOW);
        assert_int_equal(once(w, 1, r), want ? DUN_OK : DUN_E_STALE);
        if (want) {
            seen[r] = true;
            fresh++;
            if (r > max) max = r;
        }
    }
    assert_true(fresh > 10000);
    dun_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_applies_once_and_its_repeat_reports_the_position),
        cmocka_unit_test(positions_are_known_for_the_last_inflight_max),
        cmocka_unit_test(a_late_request_does_not_spoil_a_younger_ones_position),
        cmocka_unit_test(below_the_window_everything_is_stale),
        cmocka_unit_test(a_newer_boot_starts_over_and_an_older_one_is_stale),
        cmocka_unit_test(the_window_agrees_with_a_plain_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
