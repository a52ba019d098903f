/* Claims of transport/session/session_pace.c. */
#include "fixture.h"

enum {
    PACE_ONE = 256,
    REST_MS = 16,
    BURST = 8,
    MODERATE = 4, /* publishes at once that are never held */
    WINDOW_MIN = 4,
    TICKS_MAX = 2000,
    FAR_MS = 60,
    SLOW_MS = 100
};

static void publish(struct fx_client *c, uint32_t id)
{
    char text[96];
    snprintf(text, sizeof text, "{\"id\":%u,\"publish\":{\"channel\":\"a\",\"data\":1}}", id);
    fx_say(c, text);
}

static void commit_all(struct fx *f)
{
    for (uint32_t i = 0; i < f->submit_count; i++) {
        struct node_reply r = {.cookie = f->cookies[i], .epoch = FX_EPOCH, .seq = 1};
        session_hub_replied(&f->hub, &r);
    }
    f->submit_count = 0;
}

/* @c sends as much as it may, each commit takes @took_ms, for @ms; returns how many it sent. */
static uint32_t storm(struct fx_client *c, uint64_t ms, uint64_t took_ms)
{
    struct fx *f = c->f;
    uint32_t sent = 0;
    for (uint64_t end = f->now_ms + ms; f->now_ms < end;) {
        while (session_wants_read(&c->s) && c->s.pending_count < DUN_CLIENT_COMMANDS_MAX)
            publish(c, ++sent + 1);
        fx_time(f, took_ms);
        commit_all(f);
        session_hub_pace(&f->hub);
        (void)fx_text(c);
    }
    return sent;
}

static uint32_t window(const struct fx *f)
{
    return f->hub.pace.window / PACE_ONE;
}

static void a_client_that_publishes_too_much_is_read_from_later(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *greedy = fx_ws(f, true), *moderate = fx_ws(f, true);
    uint32_t sent = 0;
    while (session_wants_read(&greedy->s) && sent < 1000)
        publish(greedy, ++sent + 1);
    assert_in_range(sent, 2, window(f) / 2);
    assert_ptr_equal(f->hub.held, &greedy->s);
    assert_int_equal(f->submit_count, sent);
    publish(greedy, sent + 2); /* was on its way already */
    session_hub_pace(&f->hub);
    assert_int_equal(f->submit_count, sent);
    assert_true(session_wants_read(&moderate->s));
    publish(moderate, 2);
    assert_int_equal(f->submit_count, sent + 1);
    commit_all(f);
    session_hub_pace(&f->hub);
    assert_null(f->hub.held);
    assert_true(session_wants_read(&greedy->s));
    assert_int_equal(f->submit_count, 1); /* it was kept, not dropped */
    commit_all(f);
    assert_true(f->hub.paced > 0);
    fx_client_destroy(moderate);
    fx_client_destroy(greedy);
    fx_destroy(f);
}

static void many_greedy_ones_share_the_window_and_take_turns(void **state)
{
    (void)state;
    enum { GREEDY = 20, MORE = 60, ROUNDS = 6 };
    struct fx *f = fx_create();
    struct fx_client *c[GREEDY], *late;
    uint32_t first = 0;
    for (int i = 0; i < GREEDY; i++) {
        c[i] = fx_ws(f, true);
        for (uint32_t k = 0; k < MORE; k++)
            publish(c[i], k + 2);
        if (i == 0) first = f->submit_count;
        assert_false(session_wants_read(&c[i]->s));
    }
    assert_in_range(first, 2, window(f) / 2);
    assert_in_range(f->submit_count, window(f) / 2, window(f) + GREEDY * MODERATE);
    late = fx_ws(f, true); /* whoever publishes now and then need not wait for them */
    uint32_t before = f->submit_count;
    publish(late, 2);
    assert_int_equal(f->submit_count, before + 1);
    uint32_t sent[GREEDY] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        commit_all(f);
        fx_time(f, REST_MS);
        session_hub_pace(&f->hub);
        assert_in_range(f->submit_count, window(f) / 2, window(f) + GREEDY);
        for (int i = 0; i < GREEDY; i++)
            sent[i] += c[i]->s.pending_count;
    }
    for (int i = 0; i < GREEDY; i++)
        assert_true(sent[i] >= 2);
    fx_client_destroy(late);
    for (int i = 0; i < GREEDY; i++)
        fx_client_destroy(c[i]);
    assert_null(f->hub.held);
    assert_ptr_equal(f->hub.held_end, &f->hub.held);
    fx_destroy(f);
}

/* @c publishes until it is held; returns how often it could. */
static uint32_t publish_until_held(struct fx_client *c)
{
    uint32_t sent = 0;
    while (session_wants_read(&c->s) && sent < 1000)
        publish(c, ++sent + 1);
    publish(c, sent + 2); /* was on its way already */
    return sent;
}

static void several_that_are_held_rest_before_they_go_on(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *a = fx_ws(f, true), *b = fx_ws(f, true), *late = fx_ws(f, true);
    fx_time(f, 1000 * REST_MS - f->now_ms % REST_MS); /* rests end at its multiples */
    publish_until_held(a);
    publish_until_held(b);
    assert_int_equal(session_hub_rest_ms(&f->hub), 0); /* they wait for answers */
    commit_all(f);
    session_hub_pace(&f->hub);
    assert_null(f->hub.held);
    publish_until_held(a);
    publish_until_held(b);
    commit_all(f);
    fx_time(f, 1);
    session_hub_pace(&f->hub);
    assert_ptr_equal(f->hub.held, &a->s);
    assert_int_equal(f->submit_count, 0);
    assert_int_equal(session_hub_rest_ms(&f->hub), REST_MS - 1);
    publish(late, 2); /* the rest is for it */
    assert_int_equal(f->submit_count, 1);
    fx_time(f, REST_MS - 1);
    assert_int_equal(session_hub_rest_ms(&f->hub), 0);
    session_hub_pace(&f->hub);
    assert_null(f->hub.held);
    assert_int_equal(f->submit_count, 3);
    fx_client_destroy(late);
    fx_client_destroy(b);
    fx_client_destroy(a);
    fx_destroy(f);
}

static void a_small_window_is_made_of_time(void **state)
{
    (void)state;
    enum { WANT = 100 };
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true), *others[2] = {fx_ws(f, true), fx_ws(f, true)};
    (void)storm(c, 500, 1);
    (void)storm(c, 5000, SLOW_MS);
    assert_int_equal(window(f), WINDOW_MIN);
    for (int i = 0; i < 2; i++)
        for (uint32_t k = 0; k < WANT; k++)
            publish(others[i], k + 2);
    uint64_t from = f->now_ms + 1, rest = 0;
    for (uint32_t sent = 0; sent < 3 * BURST; fx_time(f, 1)) { /* answers come at once */
        commit_all(f);
        session_hub_pace(&f->hub);
        assert_true(f->submit_count <= BURST);
        if (f->submit_count >= BURST / 2) rest = session_hub_rest_ms(&f->hub);
        sent += f->submit_count;
    }
    const uint64_t whole = BURST * REST_MS / WINDOW_MIN;
    assert_in_range(f->now_ms - from, whole, 6 * whole);
    assert_in_range(rest, whole - REST_MS, whole);
    for (int i = 0; i < 2; i++)
        fx_client_destroy(others[i]);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void who_publishes_now_and_then_is_never_held(void **state)
{
    (void)state;
    enum { MODERATE_MS = 10 };
    struct fx *f = fx_create();
    struct fx_client *a = fx_ws(f, true), *b = fx_ws(f, true), *moderate = fx_ws(f, true);
    publish_until_held(a);
    publish_until_held(b);
    for (uint32_t i = 0; i < MODERATE; i++) { /* none is answered */
        assert_true(session_wants_read(&moderate->s));
        publish(moderate, i + 2);
        assert_int_equal(moderate->s.pending_count, i + 1);
        fx_time(f, MODERATE_MS);
    }
    assert_int_equal(moderate->s.pending_count, MODERATE);
    while (f->hub.pending_count < window(f)) { /* and then only if there is room */
        struct fx_client *other = fx_ws(f, true);
        publish(other, 2);
        fx_client_destroy(other); /* its publish is in flight all the same */
    }
    assert_false(session_wants_read(&moderate->s));
    fx_client_destroy(moderate);
    fx_client_destroy(b);
    fx_client_destroy(a);
    fx_destroy(f);
}

static void a_few_at_once_are_moderate_too(void **state)
{
    (void)state;
    enum { EVERY_MS = 40 };
    struct fx *f = fx_create();
    struct fx_client *a = fx_ws(f, true), *b = fx_ws(f, true), *few = fx_ws(f, true);
    for (uint32_t id = 2; id < 100;) {
        publish_until_held(a);
        publish_until_held(b);
        assert_true(f->hub.pending_count >= BURST / 2);
        for (uint32_t i = 0; i < MODERATE; i++) {
            assert_true(session_wants_read(&few->s));
            publish(few, id++);
            assert_int_equal(few->s.pending_count, i + 1);
        }
        commit_all(f);
        fx_time(f, EVERY_MS);
        session_hub_pace(&f->hub);
    }
    fx_client_destroy(few);
    fx_client_destroy(b);
    fx_client_destroy(a);
    fx_destroy(f);
}

static void the_rest_of_a_greedy_one_is_no_pause(void **state)
{
    (void)state;
    enum { GREEDY = 2 * BURST, REST = 2 * REST_MS, ROUNDS = 10 };
    struct fx *f = fx_create();
    struct fx_client *c[GREEDY];
    for (uint32_t i = 0; i < GREEDY; i++) {
        c[i] = fx_ws(f, true);
        publish_until_held(c[i]);
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        commit_all(f);
        f->hub.pace.window = WINDOW_MIN * PACE_ONE;
        fx_time(f, REST); /* longer than what makes others moderate again */
        session_hub_pace(&f->hub);
        for (uint32_t i = 0; i < GREEDY; i++)
            if (session_wants_read(&c[i]->s)) publish_until_held(c[i]);
        assert_int_equal(f->hub.pending_count, BURST);
    }
    for (uint32_t i = 0; i < GREEDY; i++)
        fx_client_destroy(c[i]);
    fx_destroy(f);
}

static void what_is_released_is_for_all_in_equal_parts(void **state)
{
    (void)state;
    enum { GREEDY = 4, MORE = 60, FEW = MODERATE + 2 };
    struct fx *f = fx_create();
    struct fx_client *c[GREEDY], *few = fx_ws(f, true);
    for (int i = 0; i < GREEDY; i++) {
        c[i] = fx_ws(f, true);
        for (uint32_t k = 0; k < MORE; k++)
            publish(c[i], k + 2);
    }
    for (uint32_t k = 0; k < FEW; k++)
        publish(few, k + 2);
    assert_non_null(few->s.held_link); /* as the last */
    assert_ptr_equal(f->hub.held_end, &few->s.held_next);
    commit_all(f);
    fx_time(f, REST_MS);
    session_hub_pace(&f->hub);
    assert_null(few->s.held_link); /* it has said all that it wanted to */
    for (int i = 0; i < GREEDY; i++)
        assert_in_range(c[i]->s.pending_count, 2, window(f) / GREEDY);
    fx_client_destroy(few);
    for (int i = 0; i < GREEDY; i++)
        fx_client_destroy(c[i]);
    fx_destroy(f);
}

static void one_that_is_held_alone_goes_on_at_the_answer(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    for (int i = 0; i < 3; i++) {
        publish_until_held(c);
        assert_ptr_equal(f->hub.held, &c->s);
        commit_all(f);
        assert_int_equal(session_hub_rest_ms(&f->hub), 0);
        session_hub_pace(&f->hub);
        assert_null(f->hub.held);
        assert_int_equal(f->submit_count, 1);
    }
    fx_client_destroy(c);
    fx_destroy(f);
}

static void a_window_that_is_full_when_the_rest_is_over_costs_no_second_rest(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *a = fx_ws(f, true), *b = fx_ws(f, true), *others[64];
    uint32_t n = 0;
    publish_until_held(a);
    publish_until_held(b);
    while (f->hub.pending_count < window(f)) {
        assert_true(n < 64);
        others[n] = fx_ws(f, true);
        publish(others[n++], 2);
    }
    fx_time(f, REST_MS);
    session_hub_pace(&f->hub);
    assert_non_null(f->hub.held);
    commit_all(f);
    session_hub_pace(&f->hub);
    assert_null(f->hub.held);
    while (n > 0)
        fx_client_destroy(others[--n]);
    fx_client_destroy(b);
    fx_client_destroy(a);
    fx_destroy(f);
}

static void slow_commits_slow_the_greedy_down_and_quick_ones_let_them_go(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    uint32_t start = window(f);
    uint32_t quick = storm(c, 2000, 1);
    assert_true(window(f) > 8 * start);
    uint32_t slow = storm(c, 5000, SLOW_MS);
    assert_int_equal(window(f), WINDOW_MIN);
    assert_true(slow < quick / 20);
    assert_true(slow >= 5000 / SLOW_MS); /* never stopped */
    for (uint32_t ms = 0; ms < 20000 && window(f) <= 8 * start; ms += 100)
        (void)storm(c, 100, 1);
    assert_true(window(f) > 8 * start);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void what_is_slow_depends_on_how_far_the_peers_are(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    uint32_t start = window(f);
    (void)storm(c, 5000, FAR_MS);
    assert_true(window(f) > start);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void answer_one(struct fx *f, uint64_t cookie)
{
    struct node_reply r = {.cookie = cookie, .epoch = FX_EPOCH, .seq = 1};
    session_hub_replied(&f->hub, &r);
}

static void one_group_may_be_farther_than_another(void **state)
{
    (void)state;
    enum { NEAR_MS = 5, BEHIND = 20, ROUNDS = 400, ONCE_MAX = 32 };
    struct fx *f = fx_create();
    struct fx_client *near = fx_ws(f, true), *far = fx_ws(f, true);
    uint64_t flying[BEHIND][ONCE_MAX]; /* in the far group, each for BEHIND * NEAR_MS */
    uint32_t counts[BEHIND] = {0};
    uint32_t start = window(f);
    assert_int_not_equal(store_group_of(dun_slice_str("a"), FX_GROUPS),
                         store_group_of(dun_slice_str("b"), FX_GROUPS));
    for (uint32_t i = 0; i < ROUNDS; i++) {
        session_hub_pace(&f->hub);
        uint64_t *near_one = &f->cookies[f->submit_count];
        publish(near, 2);
        fx_say(far, "{\"id\":3,\"publish\":{\"channel\":\"b\",\"data\":1}}");
        fx_time(f, NEAR_MS);
        answer_one(f, *near_one);
        *near_one = f->cookies[--f->submit_count]; /* the others are of the far group */
        uint32_t *count = &counts[i % BEHIND];
        for (uint32_t k = 0; k < *count; k++)
            answer_one(f, flying[i % BEHIND][k]);
        *count = f->submit_count;
        assert_true(*count <= ONCE_MAX);
        memcpy(flying[i % BEHIND], f->cookies, *count * sizeof f->cookies[0]);
        f->submit_count = 0;
        (void)fx_text(near);
        (void)fx_text(far);
    }
    assert_true(window(f) >= start); /* neither is slow */
    assert_int_equal(far->s.pending_count, BEHIND);
    assert_true(session_wants_read(&far->s));
    fx_client_destroy(near);
    fx_client_destroy(far);
    fx_destroy(f);
}

static void a_window_that_nobody_needs_goes_back(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    uint32_t start = window(f);
    (void)storm(c, 2000, 1);
    assert_true(window(f) > 8 * start);
    for (int i = 0; i < TICKS_MAX && window(f) > start; i++) {
        publish(c, 2);
        fx_time(f, 2);
        commit_all(f);
        fx_time(f, 20);
        session_hub_pace(&f->hub);
    }
    assert_int_equal(window(f), start);
    (void)storm(c, 5000, SLOW_MS);
    assert_true(window(f) < start);
    for (int i = 0; i < TICKS_MAX && window(f) < start; i++) {
        publish(c, 2);
        fx_time(f, 20);
        commit_all(f);
        session_hub_pace(&f->hub);
    }
    assert_int_equal(window(f), start);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void after_a_broadcast_the_client_waits_for_its_commits(void **state)
{
    (void)state;
    enum { CHANNELS = 400 };
    struct fx *f = fx_create();
    struct fx_client *c = fx_client(f);
    struct dun_buf body = {0}, all = {0};
    dun_buf_str(&body, "{\"data\":1,\"channels\":[\"c0\"");
    for (int i = 1; i < CHANNELS; i++)
        dun_buf_printf(&body, ",\"c%d\"", i);
    dun_buf_str(&body, "]}");
    dun_buf_printf(&all, "POST /api/broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                   body.len);
    dun_buf_slice(&all, dun_buf_view(&body));
    fx_feed(c, all.data, all.len);
    assert_int_equal(f->submit_count, CHANNELS);
    assert_false(session_wants_read(&c->s));
    commit_all(f);
    session_hub_pace(&f->hub);
    assert_true(session_wants_read(&c->s));
    dun_buf_deinit(&body);
    dun_buf_deinit(&all);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void a_held_client_may_leave_and_is_not_asked_for_a_pong(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *a = fx_ws(f, true), *b = fx_ws(f, true);
    for (uint64_t s = 0; s < 40; s++) { /* pinged, and its pong is behind what we do not read */
        fx_time(f, 1000);
        while (session_wants_read(&a->s))
            publish(a, 2);
        commit_all(f);
    }
    assert_int_equal(a->s.phase, SESSION_OPEN);
    assert_int_not_equal(b->s.phase, SESSION_OPEN); /* that one was heard, and said nothing */
    assert_ptr_equal(f->hub.held, &a->s);
    fx_client_destroy(a);
    assert_null(f->hub.held);
    fx_client_destroy(b);
    fx_destroy(f);
}

static void who_reads_nothing_is_asked_for_a_pong_all_the_same(void **state)
{
    (void)state;
    enum { BIG = 60000, ASKS_MAX = 100 };
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    char *big = dun_malloc(BIG + 1);
    memset(big, '7', BIG);
    big[BIG] = '\0';
    for (int i = 0; i < 10; i++)
        fx_publish(f, "a", big);
    session_set_blocked(&c->s, true);
    for (int i = 0; i < ASKS_MAX && session_wants_read(&c->s); i++)
        fx_say(c, "{\"id\":2,\"history\":{\"channel\":\"a\",\"limit\":10}}");
    assert_false(session_wants_read(&c->s)); /* not for publishing, but for what it leaves unread */
    for (int s = 0; s < 40; s++)
        fx_time(f, 1000);
    assert_int_not_equal(c->s.phase, SESSION_OPEN);
    dun_free(big);
    fx_client_destroy(c);
    fx_destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_publishes_too_much_is_read_from_later),
        cmocka_unit_test(many_greedy_ones_share_the_window_and_take_turns),
        cmocka_unit_test(several_that_are_held_rest_before_they_go_on),
        cmocka_unit_test(a_small_window_is_made_of_time),
        cmocka_unit_test(who_publishes_now_and_then_is_never_held),
        cmocka_unit_test(a_few_at_once_are_moderate_too),
        cmocka_unit_test(the_rest_of_a_greedy_one_is_no_pause),
        cmocka_unit_test(what_is_released_is_for_all_in_equal_parts),
        cmocka_unit_test(one_that_is_held_alone_goes_on_at_the_answer),
        cmocka_unit_test(a_window_that_is_full_when_the_rest_is_over_costs_no_second_rest),
        cmocka_unit_test(slow_commits_slow_the_greedy_down_and_quick_ones_let_them_go),
        cmocka_unit_test(what_is_slow_depends_on_how_far_the_peers_are),
        cmocka_unit_test(one_group_may_be_farther_than_another),
        cmocka_unit_test(a_window_that_nobody_needs_goes_back),
        cmocka_unit_test(after_a_broadcast_the_client_waits_for_its_commits),
        cmocka_unit_test(who_reads_nothing_is_asked_for_a_pong_all_the_same),
        cmocka_unit_test(a_held_client_may_leave_and_is_not_asked_for_a_pong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
