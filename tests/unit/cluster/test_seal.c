/* The envelope opens only if untouched, for its recipient, under a shared key, and once. */
#include "base/assert.h"
#include "cluster/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

static const uint8_t keys[SEAL_KEYS_MAX + 1][SEAL_KEY_BYTES] = {{1}, {2}, {3}, {4}, {5}};

static struct seal_header header(const char *to)
{
    struct seal_header h = {
        .plane = 1, .from = "n1", .boot = 0x0102030405060708, .counter = 77, .nonce = {9, 8, 7}};
    strcpy(h.to, to);
    return h;
}

static struct seal_keyring ring(uint32_t first, uint32_t count)
{
    struct seal_keyring k;
    seal_keyring_init(&k, keys + first, count);
    return k;
}

static struct dun_buf closed(const struct seal_keyring *k, const char *to, struct dun_slice payload)
{
    struct dun_buf b = {0};
    struct seal_header h = header(to);
    seal_close_buf(k, &h, payload, &b);
    assert_int_equal(b.len, seal_size(k, &h, payload.len));
    assert_true(b.len <= payload.len + SEAL_OVERHEAD_MAX);
    return b;
}

/* Opens an exact-size copy, so that a sanitizer sees a read behind the end. */
static dun_err open_copy(const struct seal_keyring *k, const char *name, struct dun_slice packet,
                         struct seal_header *h, struct dun_buf *out)
{
    uint8_t *copy = malloc(packet.len + (packet.len == 0));
    assert_non_null(copy);
    memcpy(copy, packet.data, packet.len);
    struct dun_slice payload;
    dun_err e = seal_open(k, name, copy, packet.len, h, &payload);
    struct dun_buf other = {0};
    struct seal_header h2;
    assert_int_equal(seal_open_buf(k, name, packet, &h2, &other), e);
    if (e == DUN_OK) {
        dun_buf_slice(out, payload);
        assert_true(dun_slice_eq(payload, dun_buf_view(&other)));
        assert_int_equal(h2.counter, h->counter);
    }
    dun_buf_deinit(&other);
    free(copy);
    return e;
}

static void a_packet_opens_as_it_was_closed(void **state)
{
    (void)state;
    static uint8_t big[DUN_PACKET_MAX];
    randombytes_buf(big, sizeof big);
    static const size_t sizes[] = {0, 1, 15, 16, 17, 64, 1400, 65536, DUN_PACKET_MAX};
    static const char *const to[] = {"", "n2"};
    for (uint32_t count = 0; count <= SEAL_KEYS_MAX; count++) {
        struct seal_keyring k = ring(0, count);
        for (size_t i = 0; i < DUN_COUNT(sizes) * 2; i++) {
            struct dun_slice payload = dun_slice(big, sizes[i / 2]);
            struct dun_buf b = closed(&k, to[i % 2], payload), got = {0};
            struct seal_header h, peeked;
            assert_int_equal(open_copy(&k, "n2", dun_buf_view(&b), &h, &got), DUN_OK);
            assert_true(dun_slice_eq(dun_buf_view(&got), payload));
            assert_int_equal(h.sealed, count != 0);
            assert_int_equal(h.plane, 1);
            assert_string_equal(h.from, "n1");
            assert_string_equal(h.to, to[i % 2]);
            assert_true(h.boot == 0x0102030405060708 && h.counter == 77);
            assert_int_equal(seal_peek(dun_buf_view(&b), &peeked), DUN_OK);
            assert_string_equal(peeked.from, "n1");
            dun_buf_deinit(&b);
            dun_buf_deinit(&got);
        }
    }
}

static void a_sealed_payload_is_not_readable(void **state)
{
    (void)state;
    struct seal_keyring k = ring(0, 1), none = ring(0, 0);
    struct dun_slice text = dun_slice_str("attack at dawn, attack at dawn");
    struct dun_buf b = closed(&k, "n2", text), plain = closed(&none, "n2", text);
    assert_null(memmem(b.data, b.len, text.data, text.len));
    assert_non_null(memmem(plain.data, plain.len, text.data, text.len));
    dun_buf_deinit(&b);
    dun_buf_deinit(&plain);
}

static void no_changed_bit_survives(void **state)
{
    (void)state;
    struct seal_keyring k = ring(0, 2);
    struct dun_buf b = closed(&k, "n2", dun_slice_str("payload")), got = {0};
    struct seal_header h;
    for (size_t i = 0; i < b.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            b.data[i] ^= (uint8_t)(1 << bit);
            dun_err e = open_copy(&k, "n2", dun_buf_view(&b), &h, &got);
            assert_true(e == DUN_E_MALFORMED || e == DUN_E_FORGED || e == DUN_E_UNKNOWN ||
                        e == DUN_E_DENIED);
            if (i >= 57 + 4) assert_int_equal(e, DUN_E_FORGED);
            b.data[i] ^= (uint8_t)(1 << bit);
        }
    }
    assert_int_equal(open_copy(&k, "n2", dun_buf_view(&b), &h, &got), DUN_OK);
    dun_buf_deinit(&b);
    dun_buf_deinit(&got);
}

static void no_prefix_and_no_longer_packet_opens(void **state)
{
    (void)state;
    for (uint32_t count = 0; count <= 1; count++) {
        struct seal_keyring k = ring(0, count);
        struct dun_buf b = closed(&k, "n2", dun_slice_str("payload")), got = {0};
        struct seal_header h;
        size_t full = b.len, head = 57 + 4;
        for (size_t len = 0; len < full; len++) {
            dun_err e = open_copy(&k, "n2", dun_slice(b.data, len), &h, &got);
            if (len < head + (count != 0 ? SEAL_TAG_BYTES : 0))
                assert_int_equal(e, DUN_E_MALFORMED);
            else if (count != 0)
                assert_int_equal(e, DUN_E_FORGED);
        }
        dun_buf_byte(&b, 0);
        if (count != 0)
            assert_int_equal(open_copy(&k, "n2", dun_buf_view(&b), &h, &got), DUN_E_FORGED);
        dun_buf_deinit(&b);
        dun_buf_deinit(&got);
    }
}

static void a_refused_packet_leaves_no_output(void **state)
{
    (void)state;
    struct seal_keyring k = ring(0, 1), other = ring(1, 1);
    struct dun_buf b = closed(&k, "n2", dun_slice_str("secret")), got = {0};
    struct seal_header h = {.counter = 5};
    dun_buf_str(&got, "kept");
    assert_int_equal(seal_open_buf(&other, "n2", dun_buf_view(&b), &h, &got), DUN_E_FORGED);
    assert_true(dun_slice_is(dun_buf_view(&got), "kept"));
    assert_int_equal(h.counter, 5);
    dun_buf_deinit(&b);
    dun_buf_deinit(&got);
}

static void a_packet_opens_at_its_recipient_only(void **state)
{
    (void)state;
    static const struct {
        const char *to, *our_name;
        dun_err want;
    } t[] = {{"n2", "n2", DUN_OK},         {"", "n2", DUN_OK},
             {"n2", "n3", DUN_E_UNKNOWN},  {"n2", "n22", DUN_E_UNKNOWN},
             {"n22", "n2", DUN_E_UNKNOWN}, {"N2", "n2", DUN_E_UNKNOWN}};
    for (uint32_t count = 0; count <= 1; count++) {
        struct seal_keyring k = ring(0, count);
        for (size_t i = 0; i < DUN_COUNT(t); i++) {
            struct dun_buf b = closed(&k, t[i].to, dun_slice_str("x")), got = {0};
            struct seal_header h;
            assert_int_equal(open_copy(&k, t[i].our_name, dun_buf_view(&b), &h, &got), t[i].want);
            dun_buf_deinit(&b);
            dun_buf_deinit(&got);
        }
    }
}

static void rotation_opens_with_any_key_of_the_ring(void **state)
{
    (void)state;
    /* {first, count} of the sealer's and the opener's keys */
    static const struct {
        uint32_t sf, sc, of, oc;
        dun_err want;
    } t[] = {
        {0, 1, 0, 1, DUN_OK},       {0, 1, 0, 2, DUN_OK},       {1, 1, 0, 2, DUN_OK},
        {3, 1, 0, 4, DUN_OK},       {0, 4, 0, 1, DUN_OK}, /* seals with its first */
        {0, 1, 1, 1, DUN_E_FORGED}, {0, 2, 1, 1, DUN_E_FORGED}, {4, 1, 0, 4, DUN_E_FORGED},
        {0, 1, 0, 0, DUN_E_DENIED}, {0, 0, 0, 1, DUN_E_DENIED}, {0, 0, 0, 0, DUN_OK},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct seal_keyring s = ring(t[i].sf, t[i].sc), o = ring(t[i].of, t[i].oc);
        struct dun_buf b = closed(&s, "n2", dun_slice_str("x")), got = {0};
        struct seal_header h;
        assert_int_equal(open_copy(&o, "n2", dun_buf_view(&b), &h, &got), t[i].want);
        dun_buf_deinit(&b);
        dun_buf_deinit(&got);
    }
}

static void a_wiped_keyring_holds_no_key(void **state)
{
    (void)state;
    struct seal_keyring k = ring(0, 4);
    static const struct seal_keyring zero;
    seal_keyring_deinit(&k);
    assert_memory_equal(&k, &zero, sizeof k);
}

static void headers_that_mean_nothing_are_malformed(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
    } t[] = {
        {0, 'd'}, {4, 0},     {4, 2},    {5, 2},     {5, 255},   {7, 0},  {7, 64},
        {8, 64},  {9, 1},     {16, 1},   {33, 1},    {56, 1},    {57, 0}, {57, ' '},
        {57, 10}, {58, 0x7f}, {59, '"'}, {60, '\\'}, {60, 0x80},
    };
    struct seal_keyring none = ring(0, 0);
    struct dun_buf b = closed(&none, "n2", dun_slice_str("x"));
    struct seal_header h;
    assert_int_equal(seal_peek(dun_buf_view(&b), &h), DUN_OK);
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        uint8_t was = b.data[t[i].at];
        b.data[t[i].at] = t[i].value;
        assert_int_equal(seal_peek(dun_buf_view(&b), &h), DUN_E_MALFORMED);
        b.data[t[i].at] = was;
    }
    dun_buf_deinit(&b);
}

static void names_are_short_and_printable(void **state)
{
    (void)state;
    char max[DUN_NAME_MAX + 2];
    memset(max, 'a', sizeof max);
    max[DUN_NAME_MAX + 1] = '\0';
    assert_false(seal_name_ok(max));
    max[DUN_NAME_MAX] = '\0';
    assert_true(seal_name_ok(max));
    static const struct {
        const char *name;
        bool want;
    } t[] = {{"n1", true},   {"a.b-c_d:7", true}, {"", false},    {"a b", false},
             {"a\n", false}, {"a\"b", false},     {"a\\", false}, {"\xc3\xa9", false}};
    for (size_t i = 0; i < DUN_COUNT(t); i++)
        assert_int_equal(seal_name_ok(t[i].name), t[i].want);

    struct seal_keyring k = ring(0, 1);
    struct seal_header h = header(""), got;
    strcpy(h.from, max);
    strcpy(h.to, max);
    struct dun_buf b = {0}, out = {0};
    seal_close_buf(&k, &h, dun_slice_str("x"), &b);
    assert_int_equal(b.len, SEAL_OVERHEAD_MAX + 1);
    assert_int_equal(open_copy(&k, max, dun_buf_view(&b), &got, &out), DUN_OK);
    dun_buf_deinit(&b);
    dun_buf_deinit(&out);
}

static void the_window_takes_each_counter_once(void **state)
{
    (void)state;
    static const struct {
        uint64_t boot, counter;
        dun_err want;
    } t[] = {
        {5, 1, DUN_OK},
        {5, 1, DUN_E_REPLAY},
        {5, 3, DUN_OK},
        {5, 2, DUN_OK}, /* late, but new */
        {5, 2, DUN_E_REPLAY},
        {5, 3, DUN_E_REPLAY},
        {5, 0, DUN_OK},
        {5, 1023, DUN_OK},
        {5, 0, DUN_E_REPLAY},
        {5, 1024, DUN_OK}, /* shares a bit with 0, which fell out */
        {5, 0, DUN_E_REPLAY},
        {5, 4, DUN_OK},
        {5, 5000, DUN_OK},
        {5, 1024, DUN_E_REPLAY}, /* too old to tell */
        {5, 5000 - 1024, DUN_E_REPLAY},
        {5, 5000 - 1023, DUN_OK},
        {5, 5000 - 1023, DUN_E_REPLAY},
        {4, 6000, DUN_E_STALE},
        {6, 1, DUN_OK}, /* a new life starts anew */
        {5, 6000, DUN_E_STALE},
        {6, 1, DUN_E_REPLAY},
        {6, UINT64_MAX, DUN_OK},
        {6, UINT64_MAX, DUN_E_REPLAY},
        {6, UINT64_MAX - 1, DUN_OK},
        {6, 2, DUN_E_REPLAY},
        {UINT64_MAX, 0, DUN_OK},
        {UINT64_MAX, 0, DUN_E_REPLAY},
    };
    struct seal_window w = {0};
    for (size_t i = 0; i < DUN_COUNT(t); i++)
        assert_int_equal(seal_window_take(&w, t[i].boot, t[i].counter), t[i].want);
}

/* Against the obvious model: a set of all counters seen. */
static void the_window_agrees_with_a_set(void **state)
{
    (void)state;
    enum { SPAN = 6000 };
    static bool seen[SPAN];
    static const uint8_t seed[randombytes_SEEDBYTES] = {42};
    static uint32_t chance[SPAN * 4];
    randombytes_buf_deterministic(chance, sizeof chance, seed);
    struct seal_window w = {.boot = 1};
    uint64_t top = 0, base = 0;
    for (size_t i = 0; i < DUN_COUNT(chance); i++) {
        if (i % 4 == 0 && base < SPAN - 1) base++;
        uint64_t back = chance[i] % (i % 8 == 0 ? 2048 : 40);
        uint64_t c = base > back ? base - back : 0;
        bool fresh = !seen[c] && (c > top || top - c < SEAL_WINDOW_BITS);
        assert_int_equal(seal_window_take(&w, 1, c), fresh ? DUN_OK : DUN_E_REPLAY);
        if (!fresh) continue;
        seen[c] = true;
        if (c > top) top = c;
    }
    assert_true(top > 5000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_opens_as_it_was_closed),
        cmocka_unit_test(a_sealed_payload_is_not_readable),
        cmocka_unit_test(no_changed_bit_survives),
        cmocka_unit_test(no_prefix_and_no_longer_packet_opens),
        cmocka_unit_test(a_refused_packet_leaves_no_output),
        cmocka_unit_test(a_packet_opens_at_its_recipient_only),
        cmocka_unit_test(rotation_opens_with_any_key_of_the_ring),
        cmocka_unit_test(a_wiped_keyring_holds_no_key),
        cmocka_unit_test(headers_that_mean_nothing_are_malformed),
        cmocka_unit_test(names_are_short_and_printable),
        cmocka_unit_test(the_window_takes_each_counter_once),
        cmocka_unit_test(the_window_agrees_with_a_set),
    };
    if (sodium_init() < 0) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
