/* Claims of store/store.h about snapshots and digests. */
#include "fixture.h"

#include "store/mp.h"

#include <sodium.h>
#include <time.h>

static const char *const names[] = {"a", "b", "one:c", "none:d", "short:e", "long:f", "unheard:g"};

/* A group with some of everything. */
static void fill(struct store *s, uint32_t group)
{
    fx_epoch(s, group, 3);
    for (int i = 0; i < 60; i++) {
        struct store_op op;
        char key[8], data[32];
        snprintf(key, sizeof key, "k%d", i);
        snprintf(data, sizeof data, "{\"n\":%d}", i);
        fx_publish_op(&op, names[i % 7], data);
        op.origin = (uint32_t)(i % 3);
        op.origin_boot = 50 + op.origin;
        op.request = (uint64_t)(i * 7 % 60 + 1);
        if (i % 4 == 0) op.publish.key = dun_slice_str(key);
        if (i % 5 == 0) op.publish.tags = dun_slice_str("{\"t\":\"x\"}");
        if (i % 6 == 0) op.publish.info = dun_slice_str("{\"user\":\"u\"}");
        fx_apply(s, group, 1000 + (uint64_t)i * 10, &op);
        if (i == 20) fx_drop(s, group, 1205, "b");
        if (i == 40) fx_epoch(s, group, 9);
    }
}

static struct dun_buf snapshot(const struct store *s, uint32_t group)
{
    struct dun_buf b = {0};
    store_snapshot(s, group, &b);
    return b;
}

static bool same_bytes(const struct dun_buf *a, const struct dun_buf *b)
{
    return dun_slice_eq(dun_buf_view(a), dun_buf_view(b));
}

static void a_round_trip_keeps_state_and_messages(void **state)
{
    (void)state;
    struct store *a = fx_store(), *b = fx_store();
    fill(a, 0);
    fill(b, 1);
    fx_publish(b, 0, 99999, "old", "1"); /* to be replaced */
    struct dun_buf snap = snapshot(a, 0);
    assert_int_equal(store_restore(b, 0, dun_buf_view(&snap)), DUN_OK);
    fx_check(b, 4);
    assert_true(store_digest(a, 0) == store_digest(b, 0));
    assert_int_equal(fx_position(b, 0, "old").seq, 0);
    for (size_t i = 0; i < DUN_COUNT(names); i++) {
        struct store_position p = fx_position(a, 0, names[i]), q = fx_position(b, 0, names[i]);
        assert_memory_equal(&p, &q, sizeof p);
        struct store_msg *m[16], *n[16];
        uint32_t mc = 0, nc = 0;
        struct dun_slice name = dun_slice_str(names[i]);
        assert_int_equal(store_read(a, 0, name, p.first_seq - 1, m, 16, &mc), DUN_OK);
        assert_int_equal(store_read(b, 0, name, p.first_seq - 1, n, 16, &nc), DUN_OK);
        assert_int_equal(mc, nc);
        for (uint32_t k = 0; k < mc; k++) {
            assert_true(m[k]->seq == n[k]->seq && m[k]->prev_seq == n[k]->prev_seq);
            assert_true(m[k]->epoch == n[k]->epoch && m[k]->time_ms == n[k]->time_ms);
            assert_true(dun_slice_eq(m[k]->data, n[k]->data));
            assert_true(dun_slice_eq(m[k]->tags, n[k]->tags));
            assert_true(dun_slice_eq(m[k]->info, n[k]->info));
            store_msg_unref(m[k]);
            store_msg_unref(n[k]);
        }
    }
    struct dun_buf again = snapshot(b, 0);
    assert_true(same_bytes(&snap, &again));
    struct store_op idle[2]; /* the same channels in the same order */
    assert_true(store_idle(a, 0, 6531, &idle[0]) && store_idle(b, 0, 6531, &idle[1]));
    assert_int_equal(idle[0].drop.count, 1);
    assert_int_equal(idle[1].drop.count, 1);
    assert_false(store_idle(a, 0, 6530, &idle[0]) || store_idle(b, 0, 6530, &idle[1]));
    /* Both go on alike: a known key, a repeated request, a new publish. */
    assert_true(fx_publish_key(b, 0, 2000, "a", "k56").duplicate);
    assert_true(fx_publish_key(a, 0, 2000, "a", "k56").duplicate);
    assert_int_equal(fx_publish_request(b, 0, "a", 51, 8).err, DUN_E_STALE);
    assert_int_equal(fx_publish_request(a, 0, "a", 51, 8).err, DUN_E_STALE);
    assert_int_equal(fx_publish(a, 0, 2000, "b", "1").seq, fx_publish(b, 0, 2000, "b", "1").seq);
    assert_true(store_digest(a, 0) == store_digest(b, 0));
    dun_buf_deinit(&snap);
    dun_buf_deinit(&again);
    store_destroy(a);
    store_destroy(b);
}

static void an_empty_group_survives_the_round_trip(void **state)
{
    (void)state;
    struct store *s = fx_store();
    uint64_t empty = store_digest(s, 0);
    struct dun_buf snap = snapshot(s, 0);
    fill(s, 0);
    assert_true(store_digest(s, 0) != empty);
    assert_int_equal(store_restore(s, 0, dun_buf_view(&snap)), DUN_OK);
    assert_true(store_digest(s, 0) == empty);
    assert_int_equal(fx_stats(s).bytes, 0);
    fill(s, 0);
    store_reset(s, 0);
    assert_true(store_digest(s, 0) == empty);
    dun_buf_deinit(&snap);
    store_destroy(s);
}

static void digest_and_snapshot_do_not_depend_on_the_hash_key(void **state)
{
    (void)state;
    struct store_config c = fx_config(), d = fx_config();
    d.hash_key[0] = 99;
    struct store *a = fx_create(&c), *b = fx_create(&d);
    fill(a, 0);
    fill(b, 0);
    struct dun_buf x = snapshot(a, 0), y = snapshot(b, 0);
    assert_true(store_digest(a, 0) == store_digest(b, 0));
    assert_true(same_bytes(&x, &y));
    dun_buf_deinit(&x);
    dun_buf_deinit(&y);
    store_destroy(a);
    store_destroy(b);
}

static void the_digest_sees_each_part_of_the_state(void **state)
{
    (void)state;
    uint64_t seen[16];
    for (uint32_t change = 0; change < 9; change++) {
        struct store *s = fx_store();
        fill(s, 0);
        switch (change) {
        case 1: fx_publish(s, 0, 1590, "a", "1"); break;
        case 2: fx_publish(s, 0, 1591, "none:d", "1"); break;
        case 3: fx_epoch(s, 0, 0); break;
        case 4: fx_drop(s, 0, 0, "nobody"); break;
        case 5: fx_drop(s, 0, 0, "a"); break;
        case 6: fx_publish_key(s, 0, 1590, "a", "new"); break;
        case 7: fx_publish_request(s, 0, "a", 51, 1000); break;
        case 8: fx_publish_request(s, 0, "a", 52, 1000); break;
        default: break;
        }
        seen[change] = store_digest(s, 0);
        for (uint32_t i = 0; i < change; i++)
            if (seen[i] == seen[change]) fail_msg("%u and %u", i, change);
        store_destroy(s);
    }
}

static void a_peer_keeps_of_a_snapshot_what_its_namespaces_ask_for(void **state)
{
    (void)state;
    static const struct store_namespace ns[] = {
        {.name = "", .history_size = 3, .history_ttl_ms = 60000},
        {.name = "unheard", .history_size = 3, .history_ttl_ms = 60000}};
    struct store_config c = fx_config();
    c.namespaces = ns;
    c.namespace_count = DUN_COUNT(ns);
    struct store *a = fx_store(), *b = fx_create(&c);
    fill(a, 0);
    struct dun_buf snap = snapshot(a, 0);
    assert_int_equal(store_restore(b, 0, dun_buf_view(&snap)), DUN_OK);
    struct store_position p = fx_position(b, 0, "a"), q = fx_position(b, 0, "long:f");
    assert_int_equal(p.first_seq, p.seq - 2);
    assert_int_equal(q.first_seq, q.seq + 1);
    assert_int_equal(fx_position(b, 0, "unheard:g").seq, fx_position(a, 0, "unheard:g").seq);
    assert_true(store_digest(a, 0) == store_digest(b, 0));
    fx_check(b, 4);
    dun_buf_deinit(&snap);
    store_destroy(a);
    store_destroy(b);
}

static void restored_history_is_evicted_to_the_budget_oldest_first(void **state)
{
    (void)state;
    struct store_config c = fx_config();
    c.max_memory = 20000;
    struct store *a = fx_store(), *b = fx_create(&c);
    char name[16];
    for (uint64_t i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "long:%d", (int)(i * 7 % 10));
        fx_publish(a, 0, 1000 + i, name, "1");
    }
    struct dun_buf snap = snapshot(a, 0);
    assert_int_equal(store_restore(b, 0, dun_buf_view(&snap)), DUN_OK);
    fx_check(b, 4);
    uint64_t kept = fx_stats(b).messages;
    assert_in_range(kept, 20, 200);
    for (int k = 0; k < 10; k++) { /* an even share: the order of publish, not of channels */
        snprintf(name, sizeof name, "long:%d", k);
        struct store_position p = fx_position(b, 0, name);
        assert_in_range(p.seq - p.first_seq + 1, kept / 10, kept / 10 + 1);
        assert_true(p.evicted);
    }
    dun_buf_deinit(&snap);
    store_destroy(a);
    store_destroy(b);
}

static void why_a_message_is_missing_survives_unless_count_took_more(void **state)
{
    (void)state;
    static const struct store_namespace ns = {.history_size = 2, .history_ttl_ms = 60000};
    struct store_config tight = fx_config(), few = fx_config();
    tight.max_memory = 1500;
    few.namespaces = &ns;
    few.namespace_count = 1;
    struct store *a = fx_create(&tight), *b = fx_store(), *c = fx_create(&few);
    for (int i = 0; i < 20; i++)
        fx_publish(a, 0, 1000, "c", "1");
    struct store_position p = fx_position(a, 0, "c");
    assert_true(p.evicted);
    assert_in_range(p.seq - p.first_seq + 1, 3, 9);
    struct dun_buf snap = snapshot(a, 0);
    assert_int_equal(store_restore(b, 0, dun_buf_view(&snap)), DUN_OK);
    assert_int_equal(store_restore(c, 0, dun_buf_view(&snap)), DUN_OK);
    assert_true(fx_position(b, 0, "c").evicted);
    assert_false(fx_position(c, 0, "c").evicted);
    dun_buf_deinit(&snap);
    store_destroy(a);
    store_destroy(b);
    store_destroy(c);
}

static void a_damaged_snapshot_changes_nothing(void **state)
{
    (void)state;
    struct store *a = fx_store(), *b = fx_store();
    fill(a, 0);
    fx_publish(b, 0, 500, "mine", "1");
    uint64_t digest = store_digest(b, 0);
    uint64_t bytes = fx_stats(b).bytes;
    struct dun_buf snap = snapshot(a, 0);
    for (size_t n = 0; n < snap.len; n++) {
        uint8_t *exact = dun_malloc(n + 1);
        memcpy(exact, snap.data, n);
        if (n != 0) exact = dun_realloc(exact, n);
        assert_int_equal(store_restore(b, 0, dun_slice(exact, n)), DUN_E_MALFORMED);
        dun_free(exact);
    }
    struct dun_prng prng;
    dun_prng_seed(&prng, 3);
    for (int i = 0; i < 5000; i++) {
        size_t at = (size_t)dun_prng_range(&prng, 0, snap.len - 1);
        uint8_t flip = (uint8_t)dun_prng_range(&prng, 1, 255);
        snap.data[at] ^= flip;
        if (store_restore(b, 0, dun_buf_view(&snap)) == DUN_OK) fail_msg("byte %zu", at);
        snap.data[at] ^= flip;
    }
    assert_true(store_digest(b, 0) == digest);
    assert_int_equal(fx_stats(b).bytes, bytes);
    assert_int_equal(fx_read(b, 0, "mine", 0, 10), 1);
    fx_check(b, 4);
    assert_int_equal(store_restore(b, 0, dun_buf_view(&snap)), DUN_OK);
    dun_buf_deinit(&snap);
    store_destroy(a);
    store_destroy(b);
}

static void seal(struct dun_buf *b)
{
    static const uint8_t key[crypto_shorthash_KEYBYTES];
    crypto_shorthash(b->data + b->len - crypto_shorthash_BYTES, b->data,
                     b->len - crypto_shorthash_BYTES - 2, key);
}

/* Behind a right seal the reader must still find what is wrong, or else restore a sound group. */
static void damage_under_a_right_seal_is_found_or_harmless(void **state)
{
    (void)state;
    struct store *a = fx_store(), *b = fx_store();
    int refused = 0, restored = 0;
    fill(a, 0);
    struct dun_buf snap = snapshot(a, 0);
    struct dun_prng prng;
    dun_prng_seed(&prng, 5);
    for (int i = 0; i < 20000; i++) {
        struct dun_buf bad = {0};
        dun_buf_slice(&bad, dun_buf_view(&snap));
        if (i % 8 == 0) { /* take some out or double some */
            size_t at = (size_t)dun_prng_range(&prng, 0, bad.len - 100);
            size_t n = (size_t)dun_prng_range(&prng, 1, 64);
            memmove(bad.data + at, bad.data + at + n, bad.len - at - n);
            bad.len -= n;
        } else {
            size_t at = (size_t)dun_prng_range(&prng, 0, bad.len - 1);
            bad.data[at] ^= (uint8_t)(1u << dun_prng_range(&prng, 0, 7));
        }
        seal(&bad);
        uint64_t digest = store_digest(b, 0);
        if (store_restore(b, 0, dun_buf_view(&bad)) == DUN_OK) {
            restored++;
            struct dun_buf out = snapshot(b, 0);
            dun_buf_deinit(&out);
        } else {
            refused++;
            assert_true(store_digest(b, 0) == digest);
        }
        store_check(b, 0);
        dun_buf_deinit(&bad);
    }
    assert_true(refused > 1000 && restored > 100);
    dun_buf_deinit(&snap);
    store_destroy(a);
    store_destroy(b);
}

/* What a hand-made snapshot says; see sound[]. */
enum part {
    VERSION,
    EPOCH,
    CLOCK,
    ORIGIN2,
    BOOT,
    MAX,
    BITS_FIRST,
    BITS_LAST,
    RESULTS,
    KEY2_CHANNEL,
    KEY_SEQ,
    KEY_EPOCH,
    KEY_TIME,
    KEY2_TIME,
    NAME2,
    NAME_LEN,
    CH_EPOCH,
    CH_SEQ,
    CH_ACTIVE,
    CH2_ACTIVE,
    MSG_EPOCH,
    MSG2_EPOCH,
    MSG_TIME,
    MSG2_TIME,
    DATA_LEN,
    CHANNELS_SAID,
    KEYS_SAID,
    TAIL,
    PARTS
};

static const uint64_t sound[PARTS] = {
    [VERSION] = 1,        [EPOCH] = 9,         [CLOCK] = 1000,
    [ORIGIN2] = 1,        [BOOT] = 5,          [MAX] = 8,
    [BITS_FIRST] = 0x06,  [BITS_LAST] = 0x01,  [RESULTS] = 6,
    [KEY2_CHANNEL] = 'd', [KEY_SEQ] = 1,       [KEY_EPOCH] = 9,
    [KEY_TIME] = 500,     [KEY2_TIME] = 600,   [NAME2] = 'd',
    [NAME_LEN] = 1,       [CH_EPOCH] = 9,      [CH_SEQ] = 2,
    [CH_ACTIVE] = 700,    [CH2_ACTIVE] = 800,  [MSG_EPOCH] = 3,
    [MSG2_EPOCH] = 9,     [MSG_TIME] = 500,    [MSG2_TIME] = 700,
    [DATA_LEN] = 1,       [CHANNELS_SAID] = 2, [KEYS_SAID] = 2,
    [TAIL] = 0,
};

static void put_origin(struct dun_buf *b, uint64_t origin, const uint64_t v[PARTS])
{
    uint8_t bits[DUN_REQUEST_WINDOW / 8] = {(uint8_t)v[BITS_FIRST], (uint8_t)v[BITS_LAST]};
    mp_write_array(b, 5);
    mp_write_uint(b, origin);
    mp_write_uint(b, v[BOOT]);
    mp_write_uint(b, v[MAX]);
    mp_write_bytes(b, dun_slice(bits, sizeof bits));
    mp_write_array(b, (uint32_t)v[RESULTS]);
    for (uint64_t i = 0; i < v[RESULTS]; i++)
        mp_write_uint(b, 1);
}

static void put_key(struct dun_buf *b, char channel, uint64_t time_ms, const uint64_t v[PARTS])
{
    mp_write_array(b, 5);
    mp_write_bytes(b, dun_slice(&channel, 1));
    mp_write_bytes(b, dun_slice("k", 1));
    mp_write_uint(b, v[KEY_SEQ]);
    mp_write_uint(b, v[KEY_EPOCH]);
    mp_write_uint(b, time_ms);
}

static void put_channel(struct dun_buf *b, char name, uint64_t active_ms, const uint64_t v[PARTS])
{
    mp_write_array(b, 6);
    mp_write_bytes(b, dun_slice(&name, (size_t)v[NAME_LEN]));
    mp_write_uint(b, v[CH_EPOCH]);
    mp_write_uint(b, v[CH_SEQ]);
    mp_write_uint(b, active_ms);
    mp_write_bool(b, false);
    mp_write_array(b, 2);
    for (int i = 0; i < 2; i++) {
        mp_write_array(b, 5);
        mp_write_uint(b, v[i == 0 ? MSG_EPOCH : MSG2_EPOCH]);
        mp_write_uint(b, v[i == 0 ? MSG_TIME : MSG2_TIME]);
        mp_write_bytes(b, dun_slice("1", (size_t)v[DATA_LEN]));
        mp_write_bytes(b, dun_slice("", 0));
        mp_write_bytes(b, dun_slice("", 0));
    }
}

static struct dun_buf make_snapshot(const uint64_t v[PARTS])
{
    struct dun_buf b = {0};
    mp_write_array(&b, 7);
    for (int i = VERSION; i <= CLOCK; i++)
        mp_write_uint(&b, v[i]);
    mp_write_array(&b, 2);
    put_origin(&b, 0, v);
    put_origin(&b, v[ORIGIN2], v);
    mp_write_array(&b, (uint32_t)v[KEYS_SAID]);
    put_key(&b, 'c', v[KEY_TIME], v);
    put_key(&b, (char)v[KEY2_CHANNEL], v[KEY2_TIME], v);
    mp_write_array(&b, (uint32_t)v[CHANNELS_SAID]);
    put_channel(&b, 'c', v[CH_ACTIVE], v);
    put_channel(&b, (char)v[NAME2], v[CH2_ACTIVE], v);
    for (uint64_t i = 0; i < v[TAIL]; i++)
        mp_write_uint(&b, 0);
    uint8_t place[crypto_shorthash_BYTES] = {0};
    mp_write_bytes(&b, dun_slice(place, sizeof place));
    seal(&b);
    return b;
}

static void each_rule_of_a_snapshot_is_checked(void **state)
{
    (void)state;
    static const struct {
        enum part part;
        uint64_t value;
        dun_err want;
    } t[] = {
        {VERSION, 1, DUN_OK},
        {VERSION, 2, DUN_E_MALFORMED},
        {EPOCH, 8, DUN_E_MALFORMED},
        {CLOCK, 799, DUN_E_MALFORMED},
        {CLOCK, 800, DUN_OK},
        {ORIGIN2, 0, DUN_E_MALFORMED},
        {ORIGIN2, 6, DUN_OK},
        {ORIGIN2, DUN_VOTERS_MAX, DUN_E_MALFORMED},
        {MAX, 0, DUN_E_MALFORMED},
        {MAX, 7, DUN_E_MALFORMED},
        {MAX, 9, DUN_E_MALFORMED},
        {BITS_FIRST, 0x07, DUN_E_MALFORMED},
        {BITS_FIRST, 0x0e, DUN_E_MALFORMED},
        {BITS_LAST, 0x03, DUN_E_MALFORMED},
        {RESULTS, 5, DUN_E_MALFORMED},
        {RESULTS, 7, DUN_E_MALFORMED},
        {RESULTS, 4, DUN_E_MALFORMED},
        {RESULTS, 8, DUN_E_MALFORMED},
        {KEY2_CHANNEL, 'c', DUN_E_MALFORMED},
        {KEY_SEQ, 0, DUN_E_MALFORMED},
        {KEY_EPOCH, 10, DUN_E_MALFORMED},
        {KEY_TIME, 601, DUN_E_MALFORMED},
        {KEY2_TIME, 1001, DUN_E_MALFORMED},
        {KEY2_TIME, 1000, DUN_OK},
        {NAME2, 'c', DUN_E_MALFORMED},
        {NAME_LEN, 0, DUN_E_MALFORMED},
        {CH_EPOCH, 10, DUN_E_MALFORMED},
        {CH_EPOCH, 8, DUN_E_MALFORMED},
        {CH_SEQ, 1, DUN_E_MALFORMED},
        {CH_SEQ, 0, DUN_E_MALFORMED},
        {CH_ACTIVE, 801, DUN_E_MALFORMED},
        {CH_ACTIVE, 699, DUN_E_MALFORMED},
        {CH2_ACTIVE, 1001, DUN_E_MALFORMED},
        {MSG_EPOCH, 9, DUN_OK},
        {MSG2_EPOCH, 2, DUN_E_MALFORMED},
        {MSG2_EPOCH, 10, DUN_E_MALFORMED},
        {MSG2_TIME, 499, DUN_E_MALFORMED},
        {MSG2_TIME, 701, DUN_E_MALFORMED},
        {DATA_LEN, 0, DUN_E_MALFORMED},
        {TAIL, 1, DUN_E_MALFORMED},
        {KEYS_SAID, DUN_IDEMPOTENCY_PER_GROUP_MAX + 1, DUN_E_TOO_BIG},
        {CHANNELS_SAID, DUN_CHANNELS_PER_GROUP_MAX + 1, DUN_E_TOO_BIG},
        {CHANNELS_SAID, DUN_CHANNELS_PER_GROUP_MAX, DUN_E_MALFORMED},
    };
    struct store *s = fx_store();
    fx_publish(s, 0, 77, "mine", "1");
    uint64_t mine = store_digest(s, 0);
    struct dun_buf before = snapshot(s, 0);
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        uint64_t v[PARTS];
        memcpy(v, sound, sizeof v);
        v[t[i].part] = t[i].value;
        struct dun_buf b = make_snapshot(v);
        dun_err e = store_restore(s, 0, dun_buf_view(&b));
        if (e != t[i].want) fail_msg("row %zu: %d, want %d", i, e, t[i].want);
        if (e == DUN_OK)
            assert_int_equal(fx_stats(s).messages, 4);
        else
            assert_true(store_digest(s, 0) == mine);
        store_check(s, 0);
        assert_int_equal(store_restore(s, 0, dun_buf_view(&before)), DUN_OK);
        dun_buf_deinit(&b);
    }
    dun_buf_deinit(&before);
    store_destroy(s);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Prints its figures; the bounds are loose enough for a sanitizer on a busy machine. */
static void a_hundred_thousand_messages_move_fast(void **state)
{
    (void)state;
    enum { MESSAGES = 100000, CHANNELS = 1000 };
    struct store *a = fx_store(), *b = fx_store();
    char data[257];
    memset(data, '7', 256);
    data[256] = '\0';
    struct dun_blob **ops = dun_calloc(MESSAGES, sizeof(struct dun_blob *));
    for (int i = 0; i < MESSAGES; i++) {
        struct store_op op;
        char name[16];
        snprintf(name, sizeof name, "long:%d", i % CHANNELS);
        fx_publish_op(&op, name, data);
        ops[i] = fx_blob(&op);
    }
    double t0 = seconds();
    for (int i = 0; i < MESSAGES; i++) {
        struct store_result r;
        store_apply(a, 0, 1000 + (uint64_t)i / 100, ops[i], &r);
        dun_blob_unref(ops[i]);
    }
    double t1 = seconds();
    struct dun_buf snap = snapshot(a, 0);
    double t2 = seconds();
    assert_int_equal(store_restore(b, 0, dun_buf_view(&snap)), DUN_OK);
    double t3 = seconds();
    print_message("apply %.0f ns, snapshot %.0f ms of %zu bytes, restore %.0f ms\n",
                  (t1 - t0) / MESSAGES * 1e9, (t2 - t1) * 1e3, snap.len, (t3 - t2) * 1e3);
    assert_int_equal(fx_stats(b).messages, MESSAGES);
    assert_true(store_digest(a, 0) == store_digest(b, 0));
    assert_true(t3 - t1 < 20);
    store_check(b, 0);
    dun_free(ops);
    dun_buf_deinit(&snap);
    store_destroy(a);
    store_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_trip_keeps_state_and_messages),
        cmocka_unit_test(an_empty_group_survives_the_round_trip),
        cmocka_unit_test(digest_and_snapshot_do_not_depend_on_the_hash_key),
        cmocka_unit_test(the_digest_sees_each_part_of_the_state),
        cmocka_unit_test(a_peer_keeps_of_a_snapshot_what_its_namespaces_ask_for),
        cmocka_unit_test(restored_history_is_evicted_to_the_budget_oldest_first),
        cmocka_unit_test(why_a_message_is_missing_survives_unless_count_took_more),
        cmocka_unit_test(a_damaged_snapshot_changes_nothing),
        cmocka_unit_test(damage_under_a_right_seal_is_found_or_harmless),
        cmocka_unit_test(each_rule_of_a_snapshot_is_checked),
        cmocka_unit_test(a_hundred_thousand_messages_move_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
