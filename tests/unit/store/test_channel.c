/* Claims of store/channel.h. */
#include "fixture.h"

#include "store/channel.h"

static struct store_msg *message(uint64_t seq)
{
    struct dun_blob *b = dun_blob_copy("1", 1);
    struct store_msg *m = store_msg_create(dun_slice_str("c"), b);
    dun_blob_unref(b);
    m->seq = seq;
    return m;
}

static void push(struct store_channel *c)
{
    store_channel_push(c, message(++c->seq));
}

static void pop(struct store_channel *c, uint64_t want_seq)
{
    struct store_msg *m = store_channel_pop(c);
    assert_int_equal(m->seq, want_seq);
    store_msg_unref(m);
}

static void an_idle_channel_is_small_and_has_no_ring(void **state)
{
    (void)state;
    struct store_channel *c = store_channel_create(dun_slice_str("c"), 0);
    assert_true(store_channel_cost(c) <= 120);
    size_t idle = store_channel_cost(c);
    for (int i = 0; i < 100; i++)
        push(c);
    assert_int_equal(store_channel_cost(c) - idle, 128 * sizeof(void *) + 16);
    for (uint64_t seq = 1; seq <= 100; seq++) {
        pop(c, seq);
        store_channel_fit(c);
    }
    assert_null(c->ring);
    assert_int_equal(store_channel_cost(c), idle);
    store_channel_destroy(c);
}

static void the_ring_is_a_power_of_two_that_follows_its_use(void **state)
{
    (void)state;
    struct store_channel *c = store_channel_create(dun_slice_str("c"), 0);
    for (uint32_t n = 1; n <= 5000; n++) {
        push(c);
        assert_int_equal(c->ring_cap & (c->ring_cap - 1), 0);
        assert_true(c->ring_cap >= n && (c->ring_cap <= 4 || c->ring_cap < 2 * n));
    }
    while (c->count != 0) {
        pop(c, store_channel_first_seq(c));
        store_channel_fit(c);
        assert_true(c->count == 0 || c->ring_cap <= 4 || c->ring_cap < 4 * c->count);
    }
    store_channel_destroy(c);
}

static void a_sliding_window_keeps_its_order_and_its_ring(void **state)
{
    (void)state;
    struct store_channel *c = store_channel_create(dun_slice_str("c"), 0);
    for (int i = 0; i < 6; i++)
        push(c);
    struct store_msg **ring = c->ring;
    for (int i = 0; i < 100; i++) {
        pop(c, store_channel_first_seq(c));
        push(c);
        for (uint32_t k = 0; k < c->count; k++)
            assert_int_equal(store_channel_at(c, k)->seq, store_channel_first_seq(c) + k);
    }
    assert_ptr_equal(c->ring, ring);
    while (c->count != 0)
        pop(c, store_channel_first_seq(c));
    store_channel_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_channel_is_small_and_has_no_ring),
        cmocka_unit_test(the_ring_is_a_power_of_two_that_follows_its_use),
        cmocka_unit_test(a_sliding_window_keeps_its_order_and_its_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
