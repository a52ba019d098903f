/* Claims of transport/loop/inbox.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "transport/loop/inbox.h"

enum { SENDERS = 4, EACH = 20000 };

struct receiver {
    uv_loop_t loop;
    struct inbox inbox;
    uint32_t next[SENDERS]; /* expected from each */
    uint32_t total, wakes, disorder;
};

static void on_wake(uv_async_t *async)
{
    struct receiver *r = async->data;
    struct inbox_item *items;
    uint32_t n = inbox_take(&r->inbox, &items);
    r->wakes++;
    for (uint32_t i = 0; i < n; i++)
        if (items[i].arg != r->next[items[i].type]++) r->disorder++;
    r->total += n;
    if (r->total == SENDERS * EACH) inbox_close(&r->inbox);
}

struct sender {
    struct receiver *r;
    uint32_t type;
};

static void send_all(void *arg)
{
    const struct sender *s = arg;
    for (uint32_t i = 0; i < EACH; i++) {
        struct inbox_item item = {.type = s->type, .arg = i, .bytes = 10};
        while (inbox_push(&s->r->inbox, item) != DUN_OK)
            uv_sleep(0); /* full: the reader is slow */
    }
}

static void all_items_arrive_in_each_senders_order(void **state)
{
    (void)state;
    static struct receiver r;
    struct sender s[SENDERS];
    uv_thread_t threads[SENDERS];
    uv_loop_init(&r.loop);
    inbox_init(&r.inbox, &r.loop, on_wake, &r, 1000, 1 << 20);
    for (uint32_t i = 0; i < SENDERS; i++) {
        s[i] = (struct sender){&r, i};
        assert_int_equal(uv_thread_create(&threads[i], send_all, &s[i]), 0);
    }
    uv_run(&r.loop, UV_RUN_DEFAULT);
    for (uint32_t i = 0; i < SENDERS; i++)
        uv_thread_join(&threads[i]);
    assert_int_equal(r.total, SENDERS * EACH);
    assert_int_equal(r.disorder, 0);
    assert_true(r.wakes <= r.total);
    inbox_deinit(&r.inbox);
    assert_int_equal(uv_loop_close(&r.loop), 0);
}

static void on_nothing(uv_async_t *async)
{
    (void)async;
}

static void its_bounds_hold_but_for_what_is_forced(void **state)
{
    (void)state;
    struct receiver r = {0};
    struct inbox_item *items, item = {.bytes = 10};
    uv_loop_init(&r.loop);
    inbox_init(&r.inbox, &r.loop, on_nothing, &r, 3, 25);
    assert_int_equal(inbox_push(&r.inbox, item), DUN_OK);
    assert_int_equal(inbox_push(&r.inbox, item), DUN_OK);
    assert_int_equal(inbox_push(&r.inbox, item), DUN_E_FULL); /* bytes */
    item.bytes = 1;
    assert_int_equal(inbox_push(&r.inbox, item), DUN_OK);
    assert_int_equal(inbox_push(&r.inbox, item), DUN_E_FULL); /* items */
    assert_int_equal(inbox_force(&r.inbox, item), DUN_OK);
    assert_int_equal(inbox_take(&r.inbox, &items), 4);
    assert_int_equal(inbox_push(&r.inbox, item), DUN_OK);
    inbox_close(&r.inbox);
    assert_int_equal(inbox_push(&r.inbox, item), DUN_E_CLOSED);
    assert_int_equal(inbox_force(&r.inbox, item), DUN_E_CLOSED);
    assert_int_equal(inbox_take(&r.inbox, &items), 1);
    uv_run(&r.loop, UV_RUN_DEFAULT);
    inbox_deinit(&r.inbox);
    assert_int_equal(uv_loop_close(&r.loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_items_arrive_in_each_senders_order),
        cmocka_unit_test(its_bounds_hold_but_for_what_is_forced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
