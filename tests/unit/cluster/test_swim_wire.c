/* tests/unit/cluster/test_swim_wire.c: packets as bytes, and bytes that are none. */
#include "swim_one.h"

#include "base/assert.h"
#include "store/mp.h"

static const enum swim_packet_type types[] = {SWIM_PING,
                                              SWIM_ACK,
                                              SWIM_NACK,
                                              SWIM_PING_REQ,
                                              SWIM_GOSSIP,
                                              SWIM_PUSH_PULL,
                                              SWIM_PUSH_PULL_REPLY,
                                              SWIM_WHO,
                                              SWIM_WHO_ACK};

static void sample(struct dun_buf *b, enum swim_packet_type type)
{
    struct swim_node nodes[4] = {
        one_node("x", UINT64_MAX, SWIM_INCARNATION_MAX, SWIM_ALIVE),
        one_node("y", 5, 1, SWIM_SUSPECT),
        one_node("z", 0, 300, SWIM_DEAD),
        one_node("w", 1, 0, SWIM_LEFT),
    };
    nodes[0].meta_len = 20;
    one_packet(b, type, "p:1", nodes, 4, true);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < DUN_COUNT(types); i++) {
        struct dun_buf b = {0};
        struct swim_packet p;
        sample(&b, types[i]);
        assert_int_equal(swim_wire_read(dun_buf_view(&b), &p), DUN_OK);
        assert_int_equal(p.type, types[i]);
        assert_true(dun_slice_is(p.from_addr, "p:1"));
        if (types[i] != SWIM_GOSSIP) assert_int_equal(p.seq, 77);
        bool ping = types[i] == SWIM_PING || types[i] == SWIM_PING_REQ;
        assert_int_equal(dun_slice_is(p.target, "me"), ping);
        if (p.entry_count > 0) {
            struct dun_slice rest = p.entries;
            assert_int_equal(p.entry_count, 4);
            struct swim_entry e = swim_wire_next_entry(&rest);
            assert_true(dun_slice_is(e.name, "x") && dun_slice_is(e.addr, "x:1") && e.full);
            assert_int_equal(e.claim.boot, UINT64_MAX);
            assert_int_equal(e.meta.len, 20);
            e = swim_wire_next_entry(&rest);
            assert_true(dun_slice_is(e.name, "y") && dun_slice_is(e.origin, "accuser"));
            assert_int_equal(e.claim.state, SWIM_SUSPECT);
            e = swim_wire_next_entry(&rest);
            assert_int_equal(e.claim.incarnation, 300);
            e = swim_wire_next_entry(&rest);
            assert_int_equal(e.claim.state, SWIM_LEFT);
            assert_int_equal(rest.len, 0);
        }
        dun_buf_deinit(&b);
    }
}

/* @bytes in memory of exactly their size, so a sanitizer sees a read beyond. */
static dun_err recv_exact(struct swim *s, const char *from, const void *bytes, size_t len)
{
    uint8_t *copy = dun_malloc(len == 0 ? 1 : len);
    const struct swim_out *out;
    if (len != 0) memcpy(copy, bytes, len);
    dun_err e = swim_recv(s, s->now_ms, from, 1, dun_slice(copy, len), &out);
    if (e == DUN_E_MALFORMED) {
        assert_int_equal(out->packet_count, 0);
        assert_int_equal(out->event_count, 0);
    }
    swim_check(s);
    dun_free(copy);
    return e;
}

static void every_truncation_and_every_extra_byte_is_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < DUN_COUNT(types); i++) {
        struct swim *s = one_create();
        struct dun_buf b = {0};
        sample(&b, types[i]);
        for (size_t len = 0; len < b.len; len++)
            assert_int_equal(recv_exact(s, "p", b.data, len), DUN_E_MALFORMED);
        assert_int_equal(swim_count(s), 1);
        dun_buf_byte(&b, 0);
        assert_int_equal(recv_exact(s, "p", b.data, b.len), DUN_E_MALFORMED);
        assert_int_equal(recv_exact(s, "p", b.data, b.len - 1), DUN_OK);
        dun_buf_deinit(&b);
        swim_destroy(s);
    }
}

static void a_changed_byte_never_breaks_an_invariant(void **state)
{
    (void)state;
    uint32_t refused = 0;
    for (size_t i = 0; i < DUN_COUNT(types); i++) {
        struct dun_buf b = {0};
        sample(&b, types[i]);
        for (size_t at = 0; at < b.len; at++) {
            for (int value = 0; value < 256; value += 5) {
                struct swim *s = one_create();
                uint8_t was = b.data[at];
                b.data[at] = (uint8_t)value;
                refused += recv_exact(s, "p", b.data, b.len) == DUN_E_MALFORMED;
                b.data[at] = was;
                swim_destroy(s);
            }
        }
        dun_buf_deinit(&b);
    }
    assert_true(refused > 1000);
}

/* An entry out of parts that may be wrong. */
static void bad_entry(struct dun_buf *b, uint32_t fields, const char *name, uint64_t incarnation,
                      uint64_t state, const char *origin, const char *addr, size_t meta)
{
    static const uint8_t zeros[2 * DUN_META_MAX];
    mp_write_array(b, 3);
    mp_write_uint(b, SWIM_GOSSIP);
    mp_write_bytes(b, dun_slice_str("p:1"));
    mp_write_array(b, 1);
    mp_write_array(b, fields);
    mp_write_bytes(b, dun_slice_str(name));
    mp_write_uint(b, 5);
    mp_write_uint(b, incarnation);
    mp_write_uint(b, state);
    mp_write_bytes(b, dun_slice_str(origin));
    if (fields < 7) return;
    mp_write_bytes(b, dun_slice_str(addr));
    mp_write_bytes(b, dun_slice(zeros, meta));
}

static void entries_out_of_bounds_are_malformed(void **state)
{
    (void)state;
    static char long_name[DUN_NAME_MAX + 2], long_addr[DUN_ADDR_MAX + 2];
    memset(long_name, 'n', sizeof long_name - 1);
    memset(long_addr, 'a', sizeof long_addr - 1);
    static const struct {
        uint32_t fields;
        const char *name;
        uint64_t incarnation, state;
        const char *origin, *addr;
        size_t meta;
        dun_err want;
    } t[] = {
        {7, "x", 1, SWIM_ALIVE, "", "x:1", DUN_META_MAX, DUN_OK},
        {7, "x", 1, SWIM_SUSPECT, "o", "x:1", 0, DUN_OK},
        {5, "x", 1, SWIM_DEAD, "", "", 0, DUN_OK},
        {7, "", 1, SWIM_ALIVE, "", "x:1", 0, DUN_E_MALFORMED},
        {7, "a b", 1, SWIM_ALIVE, "", "x:1", 0, DUN_E_MALFORMED},
        {7, "a\n", 1, SWIM_ALIVE, "", "x:1", 0, DUN_E_MALFORMED},
        {7, "\xc3\xa9", 1, SWIM_ALIVE, "", "x:1", 0, DUN_E_MALFORMED},
        {7, long_name, 1, SWIM_ALIVE, "", "x:1", 0, DUN_E_MALFORMED},
        {7, "x", 1, SWIM_ALIVE, "", "", 0, DUN_E_MALFORMED},
        {7, "x", 1, SWIM_ALIVE, "", "x 1", 0, DUN_E_MALFORMED},
        {7, "x", 1, SWIM_ALIVE, "", long_addr, 0, DUN_E_MALFORMED},
        {7, "x", 1, SWIM_ALIVE, "", "x:1", DUN_META_MAX + 1, DUN_E_MALFORMED},
        {7, "x", 1, SWIM_ALIVE, "o", "x:1", 0, DUN_E_MALFORMED},
        {7, "x", 1, SWIM_SUSPECT, "", "x:1", 0, DUN_E_MALFORMED},
        {7, "x", 1, SWIM_SUSPECT, "a b", "x:1", 0, DUN_E_MALFORMED},
        {7, "x", 1, SWIM_LEFT + 1, "", "x:1", 0, DUN_E_MALFORMED},
        {7, "x", 1, UINT64_MAX, "", "x:1", 0, DUN_E_MALFORMED},
        {7, "x", SWIM_INCARNATION_MAX + UINT64_C(1), SWIM_DEAD, "", "x:1", 0, DUN_E_MALFORMED},
        {5, "x", 1, SWIM_ALIVE, "", "", 0, DUN_E_MALFORMED},
        {6, "x", 1, SWIM_DEAD, "", "", 0, DUN_E_MALFORMED},
        {8, "x", 1, SWIM_DEAD, "", "x:1", 0, DUN_E_MALFORMED},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct swim *s = one_create();
        struct dun_buf b = {0};
        bad_entry(&b, t[i].fields, t[i].name, t[i].incarnation, t[i].state, t[i].origin, t[i].addr,
                  t[i].meta);
        assert_int_equal(recv_exact(s, "p", b.data, b.len), t[i].want);
        dun_buf_deinit(&b);
        swim_destroy(s);
    }
}

static void a_bad_sender_name_or_packet_type_is_malformed(void **state)
{
    (void)state;
    struct swim *s = one_create();
    struct dun_buf b = {0};
    char long_name[DUN_NAME_MAX + 2] = {0};
    memset(long_name, 'n', sizeof long_name - 1);
    sample(&b, SWIM_PING);
    assert_int_equal(recv_exact(s, "", b.data, b.len), DUN_E_MALFORMED);
    assert_int_equal(recv_exact(s, "a b", b.data, b.len), DUN_E_MALFORMED);
    assert_int_equal(recv_exact(s, long_name, b.data, b.len), DUN_E_MALFORMED);
    assert_int_equal(b.data[1], SWIM_PING);
    b.data[1] = 0;
    assert_int_equal(recv_exact(s, "p", b.data, b.len), DUN_E_MALFORMED);
    b.data[1] = SWIM_WHO_ACK + 1;
    assert_int_equal(recv_exact(s, "p", b.data, b.len), DUN_E_MALFORMED);
    dun_buf_deinit(&b);
    swim_destroy(s);
}

static void a_bad_configuration_is_refused(void **state)
{
    (void)state;
    char long_name[DUN_NAME_MAX + 2] = {0}, long_addr[DUN_ADDR_MAX + 2] = {0};
    memset(long_name, 'n', sizeof long_name - 1);
    memset(long_addr, 'h', sizeof long_addr - 1);
    const struct swim_config good = {.name = "me", .addr = "me:1", .boot = 1};
    struct swim_config c[16];
    size_t n = 0;
    for (size_t i = 0; i < DUN_COUNT(c); i++)
        c[i] = good;
    c[n++].name = NULL;
    c[n++].name = "";
    c[n++].name = long_name;
    c[n++].addr = NULL;
    c[n++].addr = "";
    c[n++].addr = long_addr;
    c[n++].seed_count = DUN_SEEDS_MAX + 1;
    c[n++].seed_count = 1; /* without a seed */
    c[n].seed_count = 1, c[n++].seeds[0] = "a b";
    c[n++].meta.len = DUN_META_MAX + 1;
    c[n++].probe_interval_ms = SWIM_TIMING_MS_MAX + 1;
    c[n++].probe_timeout_ms = UINT32_MAX;
    c[n++].suspicion_mult = SWIM_MULT_MAX + 1;
    c[n++].suspicion_max_mult = UINT32_MAX;
    c[n++].retransmit_mult = UINT32_MAX;
    c[n].seeds[0] = "h:1", c[n].seeds[1] = "", c[n++].seed_count = 2;
    assert_int_equal(n, DUN_COUNT(c));
    struct swim *s;
    for (size_t i = 0; i < n; i++)
        if (swim_create(&s, &c[i]) != DUN_E_CONFIG) fail_msg("row %zu", i);
    assert_int_equal(swim_create(&s, &good), DUN_OK);
    swim_destroy(s);
}

static void timing_that_is_given_is_taken_and_indirect_probes_are_bounded(void **state)
{
    (void)state;
    struct swim_config c = {.name = "me",
                            .addr = "me:1",
                            .boot = 1,
                            .probe_interval_ms = SWIM_TIMING_MS_MAX,
                            .probe_timeout_ms = 7,
                            .indirect_count = SWIM_INDIRECT_MAX + 1,
                            .suspicion_mult = SWIM_MULT_MAX};
    struct swim *s;
    assert_int_equal(swim_create(&s, &c), DUN_OK);
    assert_int_equal(s->config.probe_interval_ms, SWIM_TIMING_MS_MAX);
    assert_int_equal(s->config.probe_timeout_ms, 7);
    assert_int_equal(s->config.indirect_count, SWIM_INDIRECT_MAX);
    assert_int_equal(s->config.suspicion_mult, SWIM_MULT_MAX);
    swim_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(every_truncation_and_every_extra_byte_is_malformed),
        cmocka_unit_test(a_changed_byte_never_breaks_an_invariant),
        cmocka_unit_test(entries_out_of_bounds_are_malformed),
        cmocka_unit_test(a_bad_sender_name_or_packet_type_is_malformed),
        cmocka_unit_test(a_bad_configuration_is_refused),
        cmocka_unit_test(timing_that_is_given_is_taken_and_indirect_probes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
