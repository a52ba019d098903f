/* The store against a trivial model, under random operations.
 * Two stores that differ in everything local apply the same operations: their logical state must
 * stay the same and be the model's; the first one, with room enough, must retain the model's
 * messages too. DUN_SEED=n replays a run; DUN_STEPS sets its length. */
#include "fixture.h"

#include <stdlib.h>

enum { CHANNELS = 40, KEYS = 60, LOG_MAX = 20000, ORIGINS = 3, REQUESTS = 20000, HISTORY = 10 };

struct model_channel {
    bool exists;
    uint64_t seq, epoch;
    uint32_t count, first; /* log entries of this life */
};

struct model_entry {
    int channel;
    uint64_t seq, value, time_ms;
    bool gone; /* with its channel */
};

struct model_key {
    bool known;
    uint64_t seq, epoch, time_ms;
};

struct model {
    uint64_t epoch, clock_ms;
    struct model_channel channels[CHANNELS];
    struct model_entry log[LOG_MAX];
    uint32_t log_count;
    struct model_key keys[CHANNELS][KEYS];
    uint64_t boots[ORIGINS], request_max[ORIGINS];
    bool applied[ORIGINS][REQUESTS];
};

struct run {
    struct dun_prng prng;
    struct model *m;
    struct store *a, *b;
    uint64_t now_ms, value;
};

/* Every third is without history, so that both kinds meet all operations. */
static const char *channel_name(int channel, char out[24])
{
    snprintf(out, 24, "%schan%d", channel % 3 == 0 ? "none:" : "", channel);
    return out;
}

static bool model_admits(struct model *m, const struct store_op *op)
{
    uint32_t o = op->origin;
    if (op->request == 0) return true;
    if (op->origin_boot < m->boots[o]) return false;
    if (op->origin_boot > m->boots[o]) {
        m->boots[o] = op->origin_boot;
        m->request_max[o] = 0;
        memset(m->applied[o], 0, sizeof m->applied[o]);
    }
    if (m->applied[o][op->request]) return false;
    if (op->request + DUN_REQUEST_WINDOW <= m->request_max[o]) return false;
    m->applied[o][op->request] = true;
    if (op->request > m->request_max[o]) m->request_max[o] = op->request;
    return true;
}

static void check_result(const struct store_result *r, dun_err err, bool duplicate, uint64_t seq,
                         uint64_t epoch)
{
    assert_int_equal(r->err, err);
    assert_int_equal(r->duplicate, duplicate);
    if (err != DUN_OK) return;
    assert_int_equal(r->seq, seq);
    assert_int_equal(r->epoch, epoch);
}

static struct store_result apply_both(struct run *r, const struct store_op *op)
{
    struct store_result x = fx_apply(r->a, 0, r->now_ms, op), y = fx_apply(r->b, 0, r->now_ms, op);
    assert_true(x.err == y.err && x.duplicate == y.duplicate && x.seq == y.seq);
    assert_true(x.epoch == y.epoch && (x.msg == NULL) == (y.msg == NULL));
    if (r->m->clock_ms < r->now_ms) r->m->clock_ms = r->now_ms;
    return x;
}

static void random_request(struct run *r, struct store_op *op)
{
    uint64_t max = 0;
    op->origin = (uint32_t)dun_prng_range(&r->prng, 0, ORIGINS - 1);
    op->origin_boot = r->m->boots[op->origin];
    max = r->m->request_max[op->origin];
    if (dun_prng_chance(&r->prng, 2000))
        op->origin_boot++;
    else if (dun_prng_chance(&r->prng, 2000) && op->origin_boot > 0)
        op->origin_boot--;
    switch (dun_prng_range(&r->prng, 0, 9)) {
    case 0: op->request = 0; break;
    case 1: op->request = dun_prng_range(&r->prng, 1, max + 1); break;
    case 2: op->request = max + dun_prng_range(&r->prng, 1, 20); break;
    default: op->request = max + 1;
    }
    if (op->request >= REQUESTS) op->request = 0;
}

static void step_publish(struct run *r)
{
    struct model *m = r->m;
    struct store_op op;
    char name[24], data[24], key[8];
    int channel = (int)dun_prng_range(&r->prng, 0, CHANNELS - 1), k = -1;
    snprintf(data, sizeof data, "%" PRIu64, ++r->value);
    fx_publish_op(&op, channel_name(channel, name), data);
    random_request(r, &op);
    if (dun_prng_chance(&r->prng, 300000)) {
        k = (int)dun_prng_range(&r->prng, 0, KEYS - 1);
        snprintf(key, sizeof key, "k%d", k);
        op.publish.key = dun_slice_str(key);
    }
    struct store_result got = apply_both(r, &op);
    if (!model_admits(m, &op)) {
        check_result(&got, DUN_E_STALE, false, 0, 0);
        return;
    }
    struct model_key *mk = k < 0 ? NULL : &m->keys[channel][k];
    if (mk != NULL && mk->known && m->clock_ms - mk->time_ms < DUN_IDEMPOTENCY_TTL_MS) {
        check_result(&got, DUN_OK, true, mk->seq, mk->epoch);
        return;
    }
    struct model_channel *c = &m->channels[channel];
    if (!c->exists) *c = (struct model_channel){.exists = true, .epoch = m->epoch};
    c->seq++;
    check_result(&got, DUN_OK, false, c->seq, c->epoch);
    assert_true(dun_slice_is(got.msg->data, data));
    if (mk != NULL) *mk = (struct model_key){true, c->seq, c->epoch, m->clock_ms};
    assert_true(m->log_count < LOG_MAX);
    m->log[m->log_count++] = (struct model_entry){channel, c->seq, r->value, m->clock_ms, false};
}

static void step_drop(struct run *r)
{
    struct model *m = r->m;
    struct store_op op = {.type = STORE_OP_DROP};
    char names[4][24];
    op.drop.count = (uint32_t)dun_prng_range(&r->prng, 1, 4);
    random_request(r, &op);
    int chosen[4];
    for (uint32_t i = 0; i < op.drop.count; i++) {
        chosen[i] = (int)dun_prng_range(&r->prng, 0, CHANNELS - 1);
        op.drop.channels[i] = dun_slice_str(channel_name(chosen[i], names[i]));
    }
    struct store_result got = apply_both(r, &op);
    if (!model_admits(m, &op)) {
        check_result(&got, DUN_E_STALE, false, 0, 0);
        return;
    }
    m->epoch++;
    for (uint32_t i = 0; i < op.drop.count; i++) {
        m->channels[chosen[i]].exists = false;
        for (uint32_t k = 0; k < m->log_count; k++)
            if (m->log[k].channel == chosen[i]) m->log[k].gone = true;
    }
}

static void step_epoch(struct run *r)
{
    struct model *m = r->m;
    struct store_op op = {.type = STORE_OP_EPOCH};
    op.epoch.epoch = dun_prng_range(&r->prng, 0, m->epoch + 5);
    apply_both(r, &op);
    m->epoch = op.epoch.epoch > m->epoch + 1 ? op.epoch.epoch : m->epoch + 1;
    for (int i = 0; i < CHANNELS; i++)
        m->channels[i].epoch = m->epoch;
}

/* Positions of both stores, and the messages of the one with room. */
static void compare(const struct run *r)
{
    const struct model *m = r->m;
    for (int i = 0; i < CHANNELS; i++) {
        const struct model_channel *c = &m->channels[i];
        char name[24];
        struct dun_slice slice = dun_slice_str(channel_name(i, name));
        struct store_position p = store_position(r->a, 0, slice),
                              q = store_position(r->b, 0, slice);
        assert_int_equal(p.seq, c->exists ? c->seq : 0);
        assert_int_equal(p.epoch, c->exists ? c->epoch : m->epoch);
        assert_true(p.seq == q.seq && p.epoch == q.epoch);
        struct store_msg *got[HISTORY];
        uint32_t count = 0, left = 0;
        assert_int_equal(store_read(r->a, 0, slice, p.first_seq - 1, got, HISTORY, &count), DUN_OK);
        left = count;
        for (uint32_t k = m->log_count; k-- != 0;) {
            const struct model_entry *e = &m->log[k];
            if (e->channel != i || e->gone || i % 3 == 0 || e->seq + HISTORY <= p.seq ||
                r->now_ms - e->time_ms >= fx_namespaces[0].history_ttl_ms)
                continue;
            char data[24];
            assert_true(left-- != 0);
            snprintf(data, sizeof data, "%" PRIu64, e->value);
            assert_int_equal(got[left]->seq, e->seq);
            assert_true(dun_slice_is(got[left]->data, data));
        }
        assert_int_equal(left, 0);
        for (uint32_t k = 0; k < count; k++)
            store_msg_unref(got[k]);
    }
    assert_int_equal(store_group_epoch(r->a, 0), m->epoch);
    assert_true(store_digest(r->a, 0) == store_digest(r->b, 0));
    store_check(r->a, 0);
    store_check(r->b, 0);
}

static void step_snapshot(struct run *r, struct store *s)
{
    struct dun_buf b = {0};
    uint64_t digest = store_digest(s, 0), messages = fx_stats(s).messages;
    store_snapshot(s, 0, &b);
    if (dun_prng_chance(&r->prng, 500000)) store_reset(s, 0);
    assert_int_equal(store_restore(s, 0, dun_buf_view(&b)), DUN_OK);
    assert_true(store_digest(s, 0) == digest);
    if (s == r->a) assert_int_equal(fx_stats(s).messages, messages);
    dun_buf_deinit(&b);
}

static void run_one(uint64_t seed, uint32_t steps)
{
    static const struct store_namespace other[] = {
        {.name = "", .history_size = 4, .history_ttl_ms = 5000},
        {.name = "none", .history_size = 2, .history_ttl_ms = 500}};
    struct store_config c = fx_config(), d = fx_config();
    d.namespaces = other;
    d.namespace_count = DUN_COUNT(other);
    d.hash_key[5] = 77;
    d.max_memory = 12000;
    struct run r = {.m = dun_calloc(1, sizeof *r.m), .a = fx_create(&c), .b = fx_create(&d)};
    r.now_ms = 1000;
    dun_prng_seed(&r.prng, seed);
    for (uint32_t i = 0; i < steps; i++) {
        uint64_t dice = dun_prng_range(&r.prng, 0, 999);
        if (dice < 900)
            step_publish(&r);
        else if (dice < 910)
            step_drop(&r);
        else if (dice < 913)
            step_epoch(&r);
        else if (dice < 920)
            step_snapshot(&r, dice < 916 ? r.a : r.b);
        else if (dice < 990)
            r.now_ms += dun_prng_range(&r.prng, 0, 2000);
        else if (dice == 990)
            r.now_ms += DUN_IDEMPOTENCY_TTL_MS / 2;
        if (i % 50 != 0) continue;
        store_trim(r.a, r.now_ms);
        store_trim(r.b, r.now_ms);
        compare(&r);
    }
    assert_true(fx_stats(r.b).evicted > 0);
    store_destroy(r.a);
    store_destroy(r.b);
    dun_free(r.m);
}

static void the_store_agrees_with_the_model(void **state)
{
    (void)state;
    const char *seed_text = getenv("DUN_SEED"), *steps_text = getenv("DUN_STEPS");
    uint32_t steps = steps_text == NULL ? 6000 : (uint32_t)strtoul(steps_text, NULL, 10);
    if (steps > LOG_MAX) steps = LOG_MAX;
    uint64_t first = seed_text == NULL ? 1 : strtoull(seed_text, NULL, 10);
    uint64_t last = seed_text == NULL ? 10 : first;
    for (uint64_t seed = first; seed <= last; seed++) {
        print_message("DUN_SEED=%" PRIu64 " DUN_STEPS=%" PRIu32 "\n", seed, steps);
        run_one(seed, steps);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_store_agrees_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
