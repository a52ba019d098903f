/* tests/unit/cluster/test_swim_join.c: what a peer makes of packets under its own name. */
#include "base/assert.h"
#include "swim_one.h"

static void collect(void *ctx, enum dun_log_level level, const char *line)
{
    (void)level;
    uint32_t *strangers = ctx;
    if (strncmp(line, "swim_stranger ", 14) == 0) (*strangers)++;
}

/* "me" at "me:1", boot 100, still looking for its seed. */
static struct swim *newcomer(void)
{
    struct swim_config c = {.name = "me",
                            .addr = "me:1",
                            .seeds = {"seed:1"},
                            .seed_count = 1,
                            .boot = 100,
                            .prng_seed = 4};
    const struct swim_out *out;
    struct swim *s;
    assert_int_equal(swim_create(&s, &c), DUN_OK);
    swim_tick(s, 1000, &out);
    assert_int_equal(s->join, SWIM_JOIN_SEEKING);
    return s;
}

struct said {
    uint64_t boot;
    const char *addr;
    enum swim_packet_type type;
    uint32_t seq;
    bool joined;
};

/* A packet with our own name and no entries. */
static dun_err namesake(struct swim *s, struct said p, const struct swim_out **out)
{
    struct dun_buf b = {0};
    swim_wire_write(&b, &(struct swim_packet){.type = p.type,
                                              .from_addr = dun_slice_str(p.addr),
                                              .seq = p.seq,
                                              .target = dun_slice_str("me"),
                                              .target_addr = dun_slice_str("me:1"),
                                              .joined = p.joined});
    dun_err e = swim_recv(s, s->now_ms, "me", p.boot, dun_buf_view(&b), out);
    swim_check(s);
    dun_buf_deinit(&b);
    return e;
}

static uint32_t events(const struct swim_out *out, enum swim_event_type type)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < out->event_count; i++)
        count += out->events[i].type == type;
    return count;
}

static void a_newcomer_gives_way_only_to_who_holds_its_name(void **state)
{
    (void)state;
    static const struct {
        struct said p;
        dun_err err;
        bool conflict, outlived;
    } cases[] = {
        /* our own address: another life of this peer */
        {{99, "me:1", SWIM_PING, 1, false}, DUN_E_STALE, false, false},
        {{101, "me:1", SWIM_PING, 1, false}, DUN_OK, false, true},
        {{101, "me:1", SWIM_PUSH_PULL_REPLY, 1, true}, DUN_OK, false, true},
        /* another one: the settled stays, else the older */
        {{101, "it:1", SWIM_PUSH_PULL_REPLY, 1, true}, DUN_OK, true, false},
        {{99, "it:1", SWIM_PUSH_PULL_REPLY, 1, true}, DUN_OK, true, false},
        {{99, "it:1", SWIM_PUSH_PULL_REPLY, 1, false}, DUN_OK, true, false},
        {{101, "it:1", SWIM_PUSH_PULL_REPLY, 1, false}, DUN_OK, false, false},
        {{101, "it:1", SWIM_WHO_ACK, 1, false}, DUN_OK, false, false}, /* we did not ask */
        {{101, "it:1", SWIM_PUSH_PULL, 1, false}, DUN_OK, false, false},
        {{101, "it:1", SWIM_PUSH_PULL, 1, true}, DUN_OK, false, true},
        {{99, "it:1", SWIM_PUSH_PULL, 1, true}, DUN_OK, false, false},
        /* what counts for nothing under our name */
        {{99, "it:1", SWIM_PING, 1, false}, DUN_E_STALE, false, false},
        {{99, "it:1", SWIM_ACK, 1, false}, DUN_E_STALE, false, false},
        {{99, "it:1", SWIM_NACK, 1, false}, DUN_E_STALE, false, false},
        {{99, "it:1", SWIM_PING_REQ, 1, false}, DUN_E_STALE, false, false},
        {{99, "it:1", SWIM_GOSSIP, 1, false}, DUN_E_STALE, false, false},
        {{100, "it:1", SWIM_PING, 1, false}, DUN_OK, false, false},
        {{101, "it:1", SWIM_GOSSIP, 1, false}, DUN_OK, false, false},
    };
    for (size_t i = 0; i < DUN_COUNT(cases); i++) {
        struct swim *s = newcomer();
        const struct swim_out *out;
        assert_int_equal(namesake(s, cases[i].p, &out), cases[i].err);
        if (cases[i].err == DUN_OK) {
            assert_int_equal(events(out, SWIM_EV_CONFLICT), cases[i].conflict);
            assert_int_equal(events(out, SWIM_EV_OUTLIVED), cases[i].outlived);
        }
        assert_int_equal(s->join, cases[i].conflict ? SWIM_JOIN_CONFLICT : SWIM_JOIN_SEEKING);
        swim_destroy(s);
    }
}

static void who_is_settled_gives_way_to_nobody(void **state)
{
    (void)state;
    static const struct said packets[] = {
        {101, "it:1", SWIM_PUSH_PULL_REPLY, 1, true},
        {99, "it:1", SWIM_PUSH_PULL_REPLY, 1, false},
        {101, "it:1", SWIM_WHO_ACK, 1, false},
    };
    struct swim *s = one_create();
    const struct swim_out *out;
    for (size_t i = 0; i < DUN_COUNT(packets); i++) {
        assert_int_equal(namesake(s, packets[i], &out), DUN_OK);
        assert_int_equal(out->event_count, 0);
        assert_int_equal(s->join, SWIM_JOIN_DONE);
    }
    swim_destroy(s);
}

static void only_our_own_question_to_a_seed_shows_it_to_be_ourselves(void **state)
{
    (void)state;
    static const struct {
        struct said p;
        bool self;
    } cases[] = {
        {{100, "me:1", SWIM_GOSSIP, 1, false}, false},
        {{100, "me:1", SWIM_PUSH_PULL, 0, false}, false}, /* asked of no seed */
        {{100, "me:1", SWIM_PUSH_PULL, 2, false}, false}, /* there is one seed */
        {{100, "it:1", SWIM_PUSH_PULL, 1, false}, true},  /* whatever address it came by */
        {{100, "me:1", SWIM_PUSH_PULL, 1, false}, true},
    };
    for (size_t i = 0; i < DUN_COUNT(cases); i++) {
        struct swim *s = newcomer();
        const struct swim_out *out;
        assert_int_equal(namesake(s, cases[i].p, &out), DUN_OK);
        assert_int_equal(out->event_count, 0);
        assert_int_equal(s->seeds[0].self, cases[i].self);
        swim_destroy(s);
    }
}

static void a_stranger_is_answered_always_and_logged_once(void **state)
{
    (void)state;
    uint32_t strangers = 0;
    const struct dun_log log = {.write = collect, .ctx = &strangers};
    struct swim_config c = {.name = "me", .addr = "me:1", .boot = 100, .prng_seed = 4, .log = &log};
    const struct swim_out *out;
    struct swim *s;
    assert_int_equal(swim_create(&s, &c), DUN_OK);
    swim_tick(s, 1000, &out);
    for (uint32_t k = 0; k < 3; k++) {
        uint64_t boot = k == 2 ? 51 : 50;
        assert_int_equal(namesake(s, (struct said){boot, "it:1", SWIM_WHO, k, false}, &out),
                         DUN_OK);
        assert_int_equal(out->packet_count, 1);
        struct swim_packet p;
        assert_int_equal(swim_wire_read(out->packets[0].bytes, &p), DUN_OK);
        assert_int_equal(p.type, SWIM_WHO_ACK);
        assert_int_equal(p.seq, k);
        assert_string_equal(out->packets[0].addr, "it:1");
        assert_int_equal(strangers, k == 2 ? 2 : 1); /* once for each of its boots */
    }
    swim_leave(s, s->now_ms, &out);
    assert_int_equal(namesake(s, (struct said){51, "it:1", SWIM_WHO, 1, false}, &out), DUN_OK);
    assert_int_equal(out->packet_count, 0); /* the name is free */
    swim_destroy(s);
}

/* The table of peer "p" shows our name alive at "old:1" with @boot. */
static void table_shows(struct swim *s, uint64_t boot, const struct swim_out **out)
{
    struct swim_node n = one_node("me", boot, 1, SWIM_ALIVE);
    snprintf(n.addr, sizeof n.addr, "old:1");
    *out = one_tell(s, SWIM_PUSH_PULL_REPLY, &n, true);
}

static void a_name_known_elsewhere_is_asked_for_until_the_time_is_up(void **state)
{
    (void)state;
    struct swim *s = newcomer();
    const struct swim_out *out;
    table_shows(s, 50, &out);
    assert_int_equal(s->join, SWIM_JOIN_WHO);
    assert_int_equal(out->packet_count, 1);
    assert_string_equal(out->packets[0].addr, "old:1");
    swim_tick(s, s->now_ms + SWIM_WHO_RETRY_MS, &out);
    assert_int_equal(out->packet_count, 1);
    assert_int_equal(namesake(s, (struct said){50, "it:1", SWIM_WHO_ACK, 1, false}, &out), DUN_OK);
    assert_int_equal(s->join, SWIM_JOIN_WHO); /* not from where we asked */
    assert_int_equal(namesake(s, (struct said){100, "old:1", SWIM_WHO_ACK, 1, false}, &out),
                     DUN_OK);
    assert_int_equal(s->join, SWIM_JOIN_WHO); /* ourselves */
    swim_tick(s, s->now_ms + SWIM_WHO_TIMEOUT_MS, &out);
    assert_int_equal(s->join, SWIM_JOIN_DONE); /* our former life */
    swim_destroy(s);

    s = newcomer();
    table_shows(s, 50, &out);
    assert_int_equal(namesake(s, (struct said){50, "old:1", SWIM_WHO_ACK, 1, false}, &out), DUN_OK);
    assert_int_equal(events(out, SWIM_EV_CONFLICT), 1);
    table_shows(s, 200, &out);
    assert_int_equal(out->event_count, 0); /* it is over for us */
    assert_int_equal(s->join, SWIM_JOIN_CONFLICT);
    swim_destroy(s);
}

static void a_newer_life_heard_of_while_asking_outlives_us(void **state)
{
    (void)state;
    static const uint64_t boots[] = {50, 200, 150}; /* the highest counts */
    struct swim *s = newcomer();
    const struct swim_out *out;
    for (size_t i = 0; i < DUN_COUNT(boots); i++)
        table_shows(s, boots[i], &out);
    assert_int_equal(s->join, SWIM_JOIN_WHO);
    swim_tick(s, s->now_ms + SWIM_WHO_TIMEOUT_MS, &out);
    assert_int_equal(s->join, SWIM_JOIN_SEEKING);
    assert_int_equal(events(out, SWIM_EV_OUTLIVED), 1);
    assert_int_equal(out->events[0].member.boot, 200);
    table_shows(s, 200, &out);
    assert_int_equal(events(out, SWIM_EV_OUTLIVED), 0); /* said once for a boot */
    table_shows(s, 201, &out);
    assert_int_equal(events(out, SWIM_EV_OUTLIVED), 1);
    assert_int_equal(s->join, SWIM_JOIN_SEEKING);
    swim_destroy(s);
}

static void who_left_or_has_no_incarnation_left_does_not_refute(void **state)
{
    (void)state;
    const struct swim_out *out;
    struct swim *s = one_create();
    struct swim_node n = one_node("me", 100, SWIM_INCARNATION_MAX, SWIM_SUSPECT);
    out = one_tell(s, SWIM_GOSSIP, &n, true);
    assert_int_equal(events(out, SWIM_EV_OUTLIVED), 1); /* only a new boot has room above */
    assert_int_equal(s->self->claim.incarnation, 0);
    swim_destroy(s);

    s = one_create();
    swim_leave(s, s->now_ms, &out);
    n = one_node("me", 100, 3, SWIM_SUSPECT);
    (void)one_tell(s, SWIM_GOSSIP, &n, true);
    assert_int_equal(s->self->claim.incarnation, 0);
    swim_set_meta(s, s->now_ms, dun_slice_str("new"), &out);
    assert_int_equal(s->self->claim.incarnation, 0); /* nobody is told any more */
    swim_leave(s, s->now_ms, &out);
    assert_int_equal(out->packet_count, 0);
    assert_int_equal(s->self->claim.state, SWIM_LEFT);
    swim_destroy(s);
}

/* A member that holds our former life for dead asks us for our table before we asked anyone. */
static void a_table_we_did_not_ask_for_does_not_settle_us(void **state)
{
    (void)state;
    struct swim *s = newcomer();
    const struct swim_out *out;
    struct swim_packet p;
    struct swim_node n = one_node("x", 5, 1, SWIM_ALIVE);
    out = one_tell(s, SWIM_PUSH_PULL, &n, true);
    assert_int_equal(s->join, SWIM_JOIN_SEEKING);
    assert_int_equal(out->packet_count, 2); /* our question, and the answer to its own */
    for (uint32_t i = 0; i < out->packet_count; i++) {
        assert_int_equal(swim_wire_read(out->packets[i].bytes, &p), DUN_OK);
        assert_int_equal(p.type, i == 0 ? SWIM_PUSH_PULL : SWIM_PUSH_PULL_REPLY);
        assert_false(p.joined);
        assert_string_equal(out->packets[i].addr, "p:1");
    }
    out = one_tell(s, SWIM_PUSH_PULL, &n, true);
    assert_int_equal(out->packet_count, 1); /* asked at most once a SWIM_ASK_MS */
    (void)one_tell(s, SWIM_PUSH_PULL_REPLY, &n, true);
    assert_int_equal(s->join, SWIM_JOIN_DONE);
    swim_destroy(s);
}

/* Of a table of many packets the question of a member holds one. */
static void a_newcomer_that_is_asked_first_learns_the_whole_table(void **state)
{
    (void)state;
    struct net *n = net_create(1);
    struct net_peer *old = net_start_default(n, 0, 1, 5);
    const struct swim_out *out;
    swim_tick(old->swim, n->now_ms, &out);
    for (uint32_t i = 2; i < DUN_PEERS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%04u", i);
        struct swim_node x = one_node(name, 1, 0, SWIM_ALIVE);
        x.meta_len = 120;
        (void)one_tell(old->swim, SWIM_GOSSIP, &x, true);
    }
    struct net_peer *late = net_start_default(n, 1, 1, 6);
    swim_pushpull_ask(old->swim, late->addr, late->name, 0);
    swim_tick(old->swim, n->now_ms, &out);
    uint32_t asked = 0;
    for (uint32_t i = 0; i < out->packet_count; i++) {
        if (strcmp(out->packets[i].addr, late->addr) != 0) continue;
        const struct swim_out *late_out;
        asked++;
        assert_int_equal(swim_recv(late->swim, n->now_ms, old->name, old->boot,
                                   out->packets[i].bytes, &late_out),
                         DUN_OK);
        net_do(n, late, late_out);
    }
    assert_int_equal(asked, 1);
    assert_true(swim_count(late->swim) < DUN_PEERS_MAX);
    net_run(n, 50);
    assert_true(swim_joined(late->swim));
    assert_int_equal(swim_count(late->swim), DUN_PEERS_MAX);
    net_destroy(n);
}

static void packets_over_the_bound_are_dropped(void **state)
{
    (void)state;
    struct swim *s = one_create();
    for (uint32_t i = 0; i <= SWIM_PACKETS_QUEUED_MAX; i++) {
        struct dun_buf b = {0};
        dun_buf_slice(&b, dun_slice_str("x"));
        swim_out_packet(s, "it:1", "it", b);
    }
    assert_int_equal(s->packets_queued, SWIM_PACKETS_QUEUED_MAX);
    uint32_t given = 0;
    const struct swim_out *out;
    for (uint64_t now = 1000; s->packets_queued > 0; now = swim_deadline_ms(s)) {
        assert_int_equal(now, 1000); /* the rest is due at once */
        swim_tick(s, now, &out);
        given += out->packet_count;
    }
    assert_int_equal(given, SWIM_PACKETS_QUEUED_MAX);
    swim_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_newcomer_gives_way_only_to_who_holds_its_name),
        cmocka_unit_test(who_is_settled_gives_way_to_nobody),
        cmocka_unit_test(only_our_own_question_to_a_seed_shows_it_to_be_ourselves),
        cmocka_unit_test(a_stranger_is_answered_always_and_logged_once),
        cmocka_unit_test(a_name_known_elsewhere_is_asked_for_until_the_time_is_up),
        cmocka_unit_test(a_newer_life_heard_of_while_asking_outlives_us),
        cmocka_unit_test(who_left_or_has_no_incarnation_left_does_not_refute),
        cmocka_unit_test(a_table_we_did_not_ask_for_does_not_settle_us),
        cmocka_unit_test(a_newcomer_that_is_asked_first_learns_the_whole_table),
        cmocka_unit_test(packets_over_the_bound_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
