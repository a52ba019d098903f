/* The intrusive map against a plain array that says what must be in it. */
#include "base/map.h"
#include "base/prng.h"
#include "tests/unit/dies.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MANY = 20000 };

struct item {
    uint32_t key;
    bool in;
    uint32_t seen;
    struct dun_map_node node;
};

static struct item items[MANY];

static struct item *item_of(struct dun_map_node *n)
{
    return n == NULL ? NULL : DUN_CONTAINER(n, struct item, node);
}

static bool key_eq(const struct dun_map_node *node, const void *key)
{
    const struct item *i = DUN_CONTAINER(node, const struct item, node);
    return i->key == *(const uint32_t *)key;
}

/* A hash with many collisions in full, and all of them in the low bits. */
static uint64_t poor_hash(uint32_t key)
{
    return (uint64_t)(key % 997) << 3;
}

static uint64_t good_hash(uint32_t key)
{
    return (key + 1) * 0x9e3779b97f4a7c15u;
}

static struct item *find(const struct dun_map *m, uint64_t (*hash)(uint32_t), uint32_t key)
{
    return item_of(dun_map_find(m, hash(key), key_eq, &key));
}

static void fill(struct dun_map *m, uint64_t (*hash)(uint32_t), uint32_t count)
{
    for (uint32_t k = 0; k < count; k++) {
        items[k] = (struct item){.key = k, .in = true};
        dun_map_insert(m, &items[k].node, hash(k));
    }
}

/* Every item that is in is found and iterated once; no other is. */
static void check_map(const struct dun_map *m, uint64_t (*hash)(uint32_t), uint32_t count)
{
    size_t in = 0, walked = 0;
    for (uint32_t k = 0; k < count; k++) {
        items[k].seen = 0;
        in += items[k].in;
        assert_ptr_equal(find(m, hash, k), items[k].in ? &items[k] : NULL);
    }
    assert_int_equal(m->count, in);
    for (struct dun_map_node *n = dun_map_next(m, NULL); n != NULL; n = dun_map_next(m, n)) {
        item_of(n)->seen++;
        assert_true(++walked <= in); /* a cycle would never end */
    }
    for (uint32_t k = 0; k < count; k++)
        assert_int_equal(items[k].seen, items[k].in);
}

static void an_empty_map_has_nothing(void **state)
{
    (void)state;
    struct dun_map m = {0};
    assert_null(find(&m, good_hash, 1));
    assert_null(dun_map_next(&m, NULL));
    dun_map_deinit(&m);
}

static void many_are_all_found(void **state)
{
    (void)state;
    static uint64_t (*const hashes[])(uint32_t) = {good_hash, poor_hash};
    for (size_t i = 0; i < 2; i++) {
        struct dun_map m = {0};
        fill(&m, hashes[i], MANY);
        check_map(&m, hashes[i], MANY);
        assert_null(find(&m, hashes[i], MANY));
        dun_map_deinit(&m);
    }
}

static void equal_hashes_are_told_apart_by_key(void **state)
{
    (void)state;
    struct dun_map m = {0};
    for (uint32_t k = 0; k < 100; k++) {
        items[k] = (struct item){.key = k, .in = true};
        dun_map_insert(&m, &items[k].node, 7);
    }
    for (uint32_t k = 0; k < 100; k++)
        assert_ptr_equal(item_of(dun_map_find(&m, 7, key_eq, &k)), &items[k]);
    dun_map_deinit(&m);
}

static void random_inserts_and_removals_agree_with_the_model(void **state)
{
    (void)state;
    struct dun_map m = {0};
    struct dun_prng p;
    dun_prng_seed(&p, 20240607);
    enum { KEYS = 500 };
    for (uint32_t k = 0; k < KEYS; k++)
        items[k] = (struct item){.key = k};
    for (int step = 0; step < 20000; step++) {
        struct item *i = &items[dun_prng_range(&p, 0, KEYS - 1)];
        if (i->in)
            dun_map_remove(&m, &i->node);
        else
            dun_map_insert(&m, &i->node, poor_hash(i->key));
        i->in = !i->in;
        if (step % 500 == 0) check_map(&m, poor_hash, KEYS);
    }
    check_map(&m, poor_hash, KEYS);
    dun_map_deinit(&m);
}

static void nodes_may_be_removed_while_iterating(void **state)
{
    (void)state;
    struct dun_map m = {0};
    fill(&m, poor_hash, 5000);
    uint32_t visits = 0;
    for (struct dun_map_node *n = dun_map_next(&m, NULL), *next; n != NULL; n = next) {
        next = dun_map_next(&m, n);
        visits++;
        struct item *i = item_of(n);
        if (i->key % 3 != 0) {
            dun_map_remove(&m, n);
            i->in = false;
            memset(&i->node, 0xee, sizeof i->node); /* as its owner may free it */
        }
    }
    assert_int_equal(visits, 5000);
    check_map(&m, poor_hash, 5000);
    dun_map_deinit(&m);
}

static void all_may_be_removed_while_iterating(void **state)
{
    (void)state;
    struct dun_map m = {0};
    fill(&m, good_hash, 1000);
    for (struct dun_map_node *n = dun_map_next(&m, NULL), *next; n != NULL; n = next) {
        next = dun_map_next(&m, n);
        dun_map_remove(&m, n);
    }
    assert_int_equal(m.count, 0);
    assert_null(dun_map_next(&m, NULL));
    dun_map_deinit(&m);
}

static void the_same_history_iterates_in_the_same_order(void **state)
{
    (void)state;
    static uint32_t order[2][3000];
    for (int round = 0; round < 2; round++) {
        struct dun_map m = {0};
        void *shift = malloc(round ? 4096 : 16); /* addresses differ; the order must not */
        struct item *own = calloc(3000, sizeof *own);
        assert_non_null(shift);
        assert_non_null(own);
        for (uint32_t k = 0; k < 3000; k++) {
            own[k].key = k;
            dun_map_insert(&m, &own[k].node, good_hash(k));
        }
        size_t at = 0;
        for (struct dun_map_node *n = dun_map_next(&m, NULL); n != NULL; n = dun_map_next(&m, n))
            order[round][at++] = item_of(n)->key;
        assert_int_equal(at, 3000);
        dun_map_deinit(&m);
        free(own);
        free(shift);
    }
    assert_memory_equal(order[0], order[1], sizeof order[0]);
}

static void remove_a_stranger(void *arg)
{
    struct dun_map *m = arg;
    struct dun_map_node stranger = {.hash = good_hash(3)};
    dun_map_remove(m, &stranger);
}

static void removing_what_is_not_in_is_caught(void **state)
{
    (void)state;
    struct dun_map m = {0};
    assert_true(dies(remove_a_stranger, &m, "assertion failed"));
    fill(&m, good_hash, 100);
    assert_true(dies(remove_a_stranger, &m, "assertion failed"));
    dun_map_deinit(&m);
}

static void deinit_makes_it_new(void **state)
{
    (void)state;
    struct dun_map m = {0};
    fill(&m, good_hash, 100);
    dun_map_deinit(&m);
    assert_int_equal(m.count, 0);
    assert_null(find(&m, good_hash, 5));
    fill(&m, good_hash, 10);
    check_map(&m, good_hash, 10);
    dun_map_deinit(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_has_nothing),
        cmocka_unit_test(many_are_all_found),
        cmocka_unit_test(equal_hashes_are_told_apart_by_key),
        cmocka_unit_test(random_inserts_and_removals_agree_with_the_model),
        cmocka_unit_test(nodes_may_be_removed_while_iterating),
        cmocka_unit_test(all_may_be_removed_while_iterating),
        cmocka_unit_test(the_same_history_iterates_in_the_same_order),
        cmocka_unit_test(removing_what_is_not_in_is_caught),
        cmocka_unit_test(deinit_makes_it_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
