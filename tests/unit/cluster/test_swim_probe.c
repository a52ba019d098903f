/* tests/unit/cluster/test_swim_probe.c: turns, buddies, nacks, local health. */
#include "swim_one.h"

#include "base/assert.h"

static void add(struct swim *s, const char *name)
{
    struct swim_node n = one_node(name, 5, 1, SWIM_ALIVE);
    one_tell(s, SWIM_GOSSIP, &n, true);
}

static void add_many(struct swim *s, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%u", i);
        add(s, name);
    }
}

static const struct swim_out *answer(struct swim *s, const char *from, enum swim_packet_type type,
                                     uint32_t seq)
{
    struct dun_buf b = {0};
    const struct swim_out *out;
    struct swim_packet p = {.type = type,
                            .seq = seq,
                            .from_addr = dun_slice_str("p:1"),
                            .target = dun_slice_str("x0"),
                            .target_addr = dun_slice_str("x0:1")};
    swim_wire_write(&b, &p);
    assert_int_equal(swim_recv(s, s->now_ms, from, 5, dun_buf_view(&b), &out), DUN_OK);
    swim_check(s);
    dun_buf_deinit(&b);
    return out;
}

/* Ticks until a packet of @type goes out; its contents, valid until the next step. */
static struct swim_packet next_packet(struct swim *s, enum swim_packet_type type, const char **to)
{
    const struct swim_out *out;
    for (int ticks = 0; ticks < 1000; ticks++) {
        swim_tick(s, swim_deadline_ms(s), &out);
        swim_check(s);
        for (uint32_t i = 0; i < out->packet_count; i++) {
            struct swim_packet p;
            assert_int_equal(swim_wire_read(out->packets[i].bytes, &p), DUN_OK);
            if (p.type != type) continue;
            *to = out->packets[i].to_name;
            return p;
        }
    }
    fail_msg("no such packet in 1000 ticks");
    return (struct swim_packet){.seq = 0};
}

static void each_round_pings_everyone_once_in_a_new_order(void **state)
{
    (void)state;
    enum { COUNT = 12, ROUNDS = 5 };
    struct swim *s = one_create();
    uint32_t order[ROUNDS][COUNT];
    add_many(s, COUNT);
    for (int round = 0; round < ROUNDS; round++) {
        bool seen[COUNT] = {false};
        for (int i = 0; i < COUNT; i++) {
            const char *to;
            struct swim_packet p = next_packet(s, SWIM_PING, &to);
            uint32_t who = (uint32_t)strtoul(to + 1, NULL, 10);
            assert_true(who < COUNT && !seen[who]);
            seen[who] = true;
            order[round][i] = who;
            char name[16];
            snprintf(name, sizeof name, "x%u", who);
            answer(s, name, SWIM_ACK, p.seq);
        }
        if (round > 0) assert_memory_not_equal(order[round], order[round - 1], sizeof order[0]);
    }
    assert_int_equal(s->live_count, COUNT + 1);
    assert_int_equal(swim_health(s), 0);
    swim_destroy(s);
}

static bool says(const struct swim_packet *p, const char *name, enum swim_state claim)
{
    struct dun_slice rest = p->entries;
    for (uint32_t i = 0; i < p->entry_count; i++) {
        struct swim_entry e = swim_wire_next_entry(&rest);
        if (dun_slice_is(e.name, name)) return i == 0 && e.claim.state == claim;
    }
    return false;
}

static void a_suspect_is_told_first_by_every_ping_to_it(void **state)
{
    (void)state;
    struct swim *s = one_create();
    add_many(s, 5);
    struct swim_node n = one_node("x3", 5, 1, SWIM_SUSPECT);
    one_tell(s, SWIM_GOSSIP, &n, false);
    uint32_t pings = 0;
    for (int i = 0; i < 10; i++) {
        const char *to;
        struct swim_packet p = next_packet(s, SWIM_PING, &to);
        if (strcmp(to, "x3") == 0) {
            assert_true(says(&p, "x3", SWIM_SUSPECT));
            pings++;
        }
        char name[16];
        snprintf(name, sizeof name, "%s", to);
        answer(s, name, SWIM_ACK, p.seq);
        if (!swim_up(swim_member_get(s, dun_slice_str("x3"))->claim.state)) break;
    }
    assert_true(pings > 0);
    swim_destroy(s);
}

static void who_is_dead_to_us_is_told_when_it_pings(void **state)
{
    (void)state;
    struct swim *s = one_create();
    add_many(s, 2);
    struct swim_node n = one_node("x1", 5, 1, SWIM_DEAD);
    one_tell(s, SWIM_GOSSIP, &n, false);
    struct dun_buf b = {0};
    const struct swim_out *out;
    struct swim_packet p;
    one_packet(&b, SWIM_PING, "x1:1", NULL, 0, false);
    assert_int_equal(swim_recv(s, s->now_ms, "x1", 5, dun_buf_view(&b), &out), DUN_OK);
    assert_int_equal(swim_wire_read(out->packets[0].bytes, &p), DUN_OK);
    assert_int_equal(p.type, SWIM_ACK);
    assert_true(says(&p, "x1", SWIM_DEAD));
    dun_buf_deinit(&b);
    swim_destroy(s);
}

static void who_holds_old_news_of_us_is_told_ours_with_the_answer(void **state)
{
    (void)state;
    static const struct {
        uint64_t boot;
        enum swim_state said;
        bool told;
    } t[] = {{100, SWIM_SUSPECT, true},
             {100, SWIM_DEAD, true},
             {99, SWIM_ALIVE, true},
             {100, SWIM_ALIVE, false}};
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct swim *s = one_create();
        struct swim_node n = one_node("me", 100, 0, SWIM_SUSPECT);
        struct swim_packet p;
        add_many(s, 2);
        one_tell(s, SWIM_GOSSIP, &n, true); /* refuted: we are at incarnation 1 */
        while (s->self->tx_left > 0) {      /* and have told it as often as we may */
            const struct swim_out *out;
            swim_tick(s, swim_deadline_ms(s), &out);
        }
        n = one_node("me", t[i].boot, 0, t[i].said);
        const struct swim_out *out = one_tell(s, SWIM_PING, &n, true);
        assert_int_equal(swim_wire_read(out->packets[0].bytes, &p), DUN_OK);
        assert_int_equal(p.type, SWIM_ACK);
        assert_int_equal(says(&p, "me", SWIM_ALIVE), t[i].told);
        swim_destroy(s);
    }
}

/* A probe that nobody answers but with @nacks nacks; the health after it. */
static uint32_t health_after(uint32_t nacks)
{
    struct swim *s = one_create();
    const struct swim_out *out;
    add_many(s, 5);
    const char *to;
    uint32_t seq = next_packet(s, SWIM_PING, &to).seq;
    next_packet(s, SWIM_PING_REQ, &to);
    for (uint32_t i = 0; i < nacks; i++)
        answer(s, "p", SWIM_NACK, seq);
    for (uint32_t suspects = 0; suspects == 0;) {
        swim_tick(s, swim_deadline_ms(s), &out);
        for (uint32_t i = 0; i < out->event_count; i++)
            suspects += out->events[i].type == SWIM_EV_SUSPECT;
    }
    uint32_t health = swim_health(s);
    swim_destroy(s);
    return health;
}

static void missing_nacks_make_us_doubt_ourselves(void **state)
{
    (void)state;
    assert_int_equal(health_after(0), 3);
    assert_int_equal(health_after(1), 2);
    assert_int_equal(health_after(3), 0);
    assert_int_equal(health_after(9), 0); /* more than were asked for count no more */
}

static void poor_health_slows_probing_and_is_bounded(void **state)
{
    (void)state;
    struct swim *s = one_create();
    const char *to;
    add_many(s, 3);
    swim_probe_health(s, 100);
    assert_int_equal(swim_health(s), SWIM_HEALTH_MAX);
    struct swim_packet p = next_packet(s, SWIM_PING, &to);
    uint64_t at = s->now_ms;
    char name[16];
    snprintf(name, sizeof name, "%s", to);
    answer(s, name, SWIM_ACK, p.seq);
    assert_int_equal(swim_health(s), SWIM_HEALTH_MAX - 1);
    next_packet(s, SWIM_PING, &to);
    assert_int_equal(s->now_ms - at, 300 * (SWIM_HEALTH_MAX + 1));
    swim_probe_health(s, -100);
    assert_int_equal(swim_health(s), 0);
    swim_destroy(s);
}

static void a_relay_forwards_the_ack_or_says_nack_and_is_bounded(void **state)
{
    (void)state;
    struct swim *s = one_create();
    struct swim_packet p;
    const char *to;
    const struct swim_out *out = answer(s, "p", SWIM_PING_REQ, 41);
    assert_int_equal(out->packet_count, 1);
    assert_string_equal(out->packets[0].addr, "x0:1");
    assert_int_equal(swim_wire_read(out->packets[0].bytes, &p), DUN_OK);
    assert_int_equal(p.type, SWIM_PING);
    uint32_t seq = p.seq;
    assert_int_equal(answer(s, "other", SWIM_ACK, seq)->packet_count, 0); /* not the target */
    out = answer(s, "x0", SWIM_ACK, seq);
    assert_int_equal(out->packet_count, 1);
    assert_int_equal(swim_wire_read(out->packets[0].bytes, &p), DUN_OK);
    assert_int_equal(p.type, SWIM_ACK);
    assert_int_equal(p.seq, 41);
    assert_string_equal(out->packets[0].addr, "p:1");
    assert_int_equal(answer(s, "x0", SWIM_ACK, seq)->packet_count, 0); /* once */

    answer(s, "p", SWIM_PING_REQ, 42);
    uint64_t at = s->now_ms;
    assert_int_equal(next_packet(s, SWIM_NACK, &to).seq, 42);
    assert_int_equal(s->now_ms - at, 80); /* before the asker's own timeout */

    uint32_t pings = 0;
    for (uint32_t i = 0; i < 2 * SWIM_RELAYS_MAX; i++)
        pings += answer(s, "p", SWIM_PING_REQ, i)->packet_count;
    assert_int_equal(pings, SWIM_RELAYS_MAX - 1); /* the nacked one still waits */
    swim_destroy(s);
}

static void a_tick_that_comes_late_blames_nobody(void **state)
{
    (void)state;
    struct swim *s = one_create();
    const struct swim_out *out;
    const char *to;
    add_many(s, 4);
    struct swim_node n = one_node("x1", 5, 1, SWIM_SUSPECT);
    one_tell(s, SWIM_GOSSIP, &n, false);
    next_packet(s, SWIM_PING, &to);
    swim_tick(s, s->now_ms + 60000, &out); /* stopped for a minute */
    assert_int_equal(out->event_count, 0);
    assert_int_equal(swim_health(s), 1);
    swim_check(s);
    swim_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_round_pings_everyone_once_in_a_new_order),
        cmocka_unit_test(a_suspect_is_told_first_by_every_ping_to_it),
        cmocka_unit_test(who_is_dead_to_us_is_told_when_it_pings),
        cmocka_unit_test(who_holds_old_news_of_us_is_told_ours_with_the_answer),
        cmocka_unit_test(missing_nacks_make_us_doubt_ourselves),
        cmocka_unit_test(poor_health_slows_probing_and_is_bounded),
        cmocka_unit_test(a_relay_forwards_the_ack_or_says_nack_and_is_bounded),
        cmocka_unit_test(a_tick_that_comes_late_blames_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
