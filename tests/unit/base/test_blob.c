/* Blobs: shared bytes that live exactly as long as someone holds them. */
#include "base/blob.h"
#include "tests/unit/dies.h"

#include <pthread.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { THREADS = 4, ROUNDS = 20000 };

static void a_copy_does_not_share_the_source(void **state)
{
    (void)state;
    char source[] = "abc";
    struct dun_blob *b = dun_blob_copy(source, 3);
    source[0] = 'x';
    assert_int_equal(b->len, 3);
    assert_memory_equal(b->data, "abc", 3);
    dun_blob_unref(b);
}

static void an_empty_blob_is_a_blob(void **state)
{
    (void)state;
    struct dun_blob *b = dun_blob_copy(NULL, 0);
    assert_int_equal(b->len, 0);
    assert_int_equal(dun_blob_slice(b).len, 0);
    dun_blob_unref(b);
}

static void a_slice_borrows_the_bytes(void **state)
{
    (void)state;
    struct dun_blob *b = dun_blob_copy("hello", 5);
    assert_true(dun_slice_is(dun_blob_slice(b), "hello"));
    assert_ptr_equal(dun_blob_slice(b).data, b->data);
    dun_blob_unref(b);
}

static void it_lives_until_the_last_reference_goes(void **state)
{
    (void)state;
    struct dun_blob *b = dun_blob_copy("x", 1);
    assert_ptr_equal(dun_blob_ref(b), b);
    assert_int_equal(atomic_load(&b->refs), 2);
    dun_blob_unref(b);
    assert_int_equal(atomic_load(&b->refs), 1);
    assert_int_equal(b->data[0], 'x'); /* a freed blob would be found by the address sanitizer */
    dun_blob_unref(b);
}

static void unref_of_nothing_is_fine(void **state)
{
    (void)state;
    dun_blob_unref(NULL);
}

static void ref_a_dead_one(void *arg)
{
    struct dun_blob *b = arg;
    atomic_store(&b->refs, 0);
    dun_blob_ref(b);
}

static void unref_a_dead_one(void *arg)
{
    struct dun_blob *b = arg;
    atomic_store(&b->refs, 0);
    dun_blob_unref(b);
}

static void use_after_the_last_unref_is_caught(void **state)
{
    (void)state;
    struct dun_blob *b = dun_blob_copy("x", 1);
    assert_true(dies(ref_a_dead_one, b, "assertion failed"));
    assert_true(dies(unref_a_dead_one, b, "assertion failed"));
    dun_blob_unref(b);
}

struct shared {
    struct dun_blob *blob;
    atomic_uint sum_wrong;
};

/* Takes and drops references, reads, and in the end drops the one it was given. */
static void *hold_and_drop(void *arg)
{
    struct shared *s = arg;
    struct dun_blob *mine = s->blob;
    for (int i = 0; i < ROUNDS; i++) {
        struct dun_blob *b = dun_blob_ref(mine);
        if (b->len != 64 || b->data[i % 64] != 0x5a) atomic_fetch_add(&s->sum_wrong, 1);
        dun_blob_unref(b);
    }
    dun_blob_unref(mine);
    return NULL;
}

static void threads_may_ref_and_unref_at_once(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct shared s = {.blob = dun_blob_create(64)};
    memset(s.blob->data, 0x5a, 64);
    for (int i = 0; i < THREADS; i++) {
        dun_blob_ref(s.blob);
        assert_int_equal(pthread_create(&threads[i], NULL, hold_and_drop, &s), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&s.sum_wrong), 0);
    assert_int_equal(atomic_load(&s.blob->refs), 1);
    dun_blob_unref(s.blob);
}

static void the_last_thread_frees(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct shared s = {.blob = dun_blob_create(64)};
    memset(s.blob->data, 0x5a, 64);
    for (int i = 1; i < THREADS; i++)
        dun_blob_ref(s.blob);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hold_and_drop, &s), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&s.sum_wrong), 0); /* a leak is the leak sanitizer's to find */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_does_not_share_the_source),
        cmocka_unit_test(an_empty_blob_is_a_blob),
        cmocka_unit_test(a_slice_borrows_the_bytes),
        cmocka_unit_test(it_lives_until_the_last_reference_goes),
        cmocka_unit_test(unref_of_nothing_is_fine),
        cmocka_unit_test(use_after_the_last_unref_is_caught),
        cmocka_unit_test(threads_may_ref_and_unref_at_once),
        cmocka_unit_test(the_last_thread_frees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
