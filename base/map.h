/* base/map.h: an intrusive chained hash map.
 * Why: channels, subscribers and idempotency keys are looked up by name, hold
 * their own memory, and need no allocation per entry. The caller hashes (keyed,
 * where the key comes from outside) and compares.
 * Iteration order depends on hashes only, so it replays. */
#ifndef DUN_BASE_MAP_H
#define DUN_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dun_map_node {
    struct dun_map_node *next;
    uint64_t hash;
};

struct dun_map {
    struct dun_map_node **buckets;
    size_t bucket_count; /* 0 or a power of two */
    size_t count;
};

typedef bool (*dun_map_eq)(const struct dun_map_node *node, const void *key);

/* Zero-initialise to start. deinit frees the buckets, not the nodes. */
void dun_map_deinit(struct dun_map *m);
struct dun_map_node *dun_map_find(const struct dun_map *m, uint64_t hash, dun_map_eq eq,
                                  const void *key);
void dun_map_insert(struct dun_map *m, struct dun_map_node *node, uint64_t hash); /* not yet in */
void dun_map_remove(struct dun_map *m, struct dun_map_node *node);                /* must be in */
/* First node (after == NULL) or the one behind @after; NULL at the end.
 * The map must not change between calls, but the returned node may be removed
 * once its successor has been fetched. */
struct dun_map_node *dun_map_next(const struct dun_map *m, const struct dun_map_node *after);

#define DUN_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
