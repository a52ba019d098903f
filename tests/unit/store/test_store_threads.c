/* Readers on other threads while the writer applies, trims, evicts and restores. Its worth is in
 * a build with -DDUN_SANITIZE=thread; without, it still checks that no read is torn. */
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>

enum { GROUPS = 4, READERS = 3, STEPS = 20000 };

struct shared {
    struct store *s;
    pthread_rwlock_t locks[GROUPS];
    atomic_bool stop;
    atomic_uint reads;
};

static void begin(void *ctx, uint32_t group)
{
    pthread_rwlock_wrlock(&((struct shared *)ctx)->locks[group]);
}

static void end(void *ctx, uint32_t group)
{
    pthread_rwlock_unlock(&((struct shared *)ctx)->locks[group]);
}

static const char *const channels[] = {"long:a", "b", "one:c", "none:d", "short:e"};

/* Every message of a read holds its own seq as data. cmocka is not for other threads: assert. */
static void read_once(struct shared *sh, uint32_t group, const char *channel)
{
    struct store_msg *m[32];
    uint32_t count = 0;
    char want[24];
    pthread_rwlock_rdlock(&sh->locks[group]);
    struct store_position p = store_position(sh->s, group, dun_slice_str(channel));
    dun_err e =
        store_read(sh->s, group, dun_slice_str(channel), p.first_seq - 1, m, DUN_COUNT(m), &count);
    (void)store_group_epoch(sh->s, group);
    DUN_ASSERT(store_ns(sh->s, dun_slice_str(channel)) != NULL);
    pthread_rwlock_unlock(&sh->locks[group]);
    DUN_ASSERT(e == DUN_OK);
    DUN_ASSERT(count == DUN_COUNT(m) || count == p.seq + 1 - p.first_seq);
    for (uint32_t i = 0; i < count; i++) {
        DUN_ASSERT(m[i]->seq == p.first_seq + i);
        snprintf(want, sizeof want, "%" PRIu64, m[i]->seq);
        DUN_ASSERT(dun_slice_is(m[i]->data, want));
        store_msg_unref(m[i]);
    }
    atomic_fetch_add(&sh->reads, 1);
}

static void *reader(void *arg)
{
    struct shared *sh = arg;
    for (uint32_t i = 0; !atomic_load(&sh->stop); i++)
        read_once(sh, i % GROUPS, channels[i / GROUPS % DUN_COUNT(channels)]);
    return NULL;
}

static void write_all(struct shared *sh)
{
    struct dun_prng prng;
    dun_prng_seed(&prng, 1);
    /* Goes on until the readers have had their share, whoever the scheduler favours. */
    for (uint64_t i = 0; i < STEPS || atomic_load(&sh->reads) < 1000; i++) {
        uint32_t group = (uint32_t)dun_prng_range(&prng, 0, GROUPS - 1);
        const char *channel = channels[dun_prng_range(&prng, 0, DUN_COUNT(channels) - 1)];
        char data[24];
        snprintf(data, sizeof data, "%" PRIu64, fx_position(sh->s, group, channel).seq + 1);
        fx_publish(sh->s, group, 1000 + i, channel, data);
        if (i % 500 == 0) store_trim(sh->s, 1000 + i);
        if (i % 700 == 0) fx_drop(sh->s, group, 1000 + i, channel);
        if (i % 900 == 0) fx_epoch(sh->s, group, 0);
        if (i % 1100 == 0) {
            struct dun_buf b = {0};
            store_snapshot(sh->s, group, &b);
            if (i % 3300 == 0) store_reset(sh->s, group);
            assert_int_equal(store_restore(sh->s, group, dun_buf_view(&b)), DUN_OK);
            dun_buf_deinit(&b);
        }
    }
}

static void readers_under_the_guard_see_whole_logs(void **state)
{
    (void)state;
    struct shared sh = {0};
    pthread_t threads[READERS];
    struct store_config c = fx_config();
    c.max_memory = 300000;
    c.guard = (struct store_guard){begin, end, &sh};
    for (int i = 0; i < GROUPS; i++)
        pthread_rwlock_init(&sh.locks[i], NULL);
    sh.s = fx_create(&c);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, &sh), 0);
    write_all(&sh);
    atomic_store(&sh.stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_true(fx_stats(sh.s).evicted > 0);
    fx_check(sh.s, GROUPS);
    store_destroy(sh.s);
    for (int i = 0; i < GROUPS; i++)
        pthread_rwlock_destroy(&sh.locks[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_under_the_guard_see_whole_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
