/* base/map.c: see the header. Doubles at a load of one. */
#include "base/map.h"

#include "base/alloc.h"
#include "base/assert.h"

enum { MAP_BUCKETS_MIN = 16 };

void dun_map_deinit(struct dun_map *m)
{
    dun_free(m->buckets);
    *m = (struct dun_map){0};
}

static struct dun_map_node **bucket(const struct dun_map *m, uint64_t hash)
{
    return &m->buckets[hash & (m->bucket_count - 1)];
}

struct dun_map_node *dun_map_find(const struct dun_map *m, uint64_t hash, dun_map_eq eq,
                                  const void *key)
{
    if (m->count == 0) return NULL;
    for (struct dun_map_node *n = *bucket(m, hash); n != NULL; n = n->next)
        if (n->hash == hash && eq(n, key)) return n;
    return NULL;
}

static void grow(struct dun_map *m)
{
    struct dun_map old = *m;
    m->bucket_count = old.bucket_count == 0 ? MAP_BUCKETS_MIN : old.bucket_count * 2;
    m->buckets = dun_calloc(m->bucket_count, sizeof(struct dun_map_node *));
    for (size_t i = 0; i < old.bucket_count; i++) {
        for (struct dun_map_node *n = old.buckets[i], *next; n != NULL; n = next) {
            next = n->next;
            struct dun_map_node **b = bucket(m, n->hash);
            n->next = *b;
            *b = n;
        }
    }
    dun_free(old.buckets);
}

void dun_map_insert(struct dun_map *m, struct dun_map_node *node, uint64_t hash)
{
    if (m->count >= m->bucket_count) grow(m);
    node->hash = hash;
    struct dun_map_node **b = bucket(m, hash);
    node->next = *b;
    *b = node;
    m->count++;
}

void dun_map_remove(struct dun_map *m, struct dun_map_node *node)
{
    DUN_ASSERT(m->count > 0);
    struct dun_map_node **link = bucket(m, node->hash);
    while (*link != node) {
        DUN_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = node->next;
    node->next = NULL;
    m->count--;
}

struct dun_map_node *dun_map_next(const struct dun_map *m, const struct dun_map_node *after)
{
    size_t i = 0;
    if (after != NULL) {
        if (after->next != NULL) return after->next;
        i = (size_t)(after->hash & (m->bucket_count - 1)) + 1;
    }
    for (; i < m->bucket_count; i++)
        if (m->buckets[i] != NULL) return m->buckets[i];
    return NULL;
}
