/* store/retention.c: see the header.
 * Eviction takes from the list whose head is oldest. A heap finds it, with keys that are lower
 * bounds: removal at a list's head leaves its key as it is, and eviction corrects the top when it
 * gets there. So publishing and trimming do not touch the heap.
 * (1) A list with messages is in the heap.
 * (2) Its key is not above the time of its head (time never goes back within a group).
 * store_retention_check() asserts both. */
#include "store/retention.h"

#include "base/alloc.h"
#include "base/assert.h"

enum {
    EVICT_BATCH = 16,            /* messages from one list per hold of a guard */
    TRIM_BATCH = 1000,           /* likewise, so a reader waits for microseconds only */
    EVICT_SLACK_SHARE = 1024,    /* evict this part of the budget more than needed, ... */
    EVICT_SLACK_MAX = 64 * 1024, /* ... at most this, so not every publish evicts */
    SORT_BINS = 32,              /* 2^32 messages */
};

static void unlink_msg(struct store_fifo *f, struct store_msg *m)
{
    if (m->fifo_prev != NULL)
        m->fifo_prev->fifo_next = m->fifo_next;
    else
        f->head = m->fifo_next;
    if (m->fifo_next != NULL)
        m->fifo_next->fifo_prev = m->fifo_prev;
    else
        f->tail = m->fifo_prev;
    m->fifo_next = m->fifo_prev = NULL;
    m->owner = NULL;
}

void store_retention_add(struct store_group *g, struct store_channel *c, struct store_msg *m)
{
    DUN_ASSERT(c->ns != STORE_NS_NONE);
    DUN_ASSERT(m->owner == NULL);
    g->bytes -= store_channel_cost(c);
    store_channel_push(c, m);
    g->bytes += store_channel_cost(c) + store_msg_cost(m);
    g->messages++;
    struct store_fifo *f = &g->fifos[c->ns];
    m->owner = c;
    m->fifo_prev = f->tail;
    if (f->tail != NULL)
        f->tail->fifo_next = m;
    else
        f->head = m;
    f->tail = m;
}

void store_retention_pop(struct store_group *g, struct store_channel *c)
{
    struct store_msg *m = store_channel_pop(c);
    DUN_ASSERT(m->owner == c);
    unlink_msg(&g->fifos[c->ns], m);
    g->bytes -= store_msg_cost(m);
    g->messages--;
    c->evicted = false;
    store_msg_unref(m);
}

static void fit(struct store_group *g, struct store_channel *c)
{
    g->bytes -= store_channel_cost(c);
    store_channel_fit(c);
    g->bytes += store_channel_cost(c);
}

void store_retention_clear(struct store_group *g, struct store_channel *c)
{
    while (c->count != 0)
        store_retention_pop(g, c);
    fit(g, c);
}

/* Removes the oldest of a list, which is the oldest of its channel too. */
static void pop_head(struct store_group *g, struct store_fifo *f, bool evicted)
{
    struct store_channel *c = f->head->owner;
    DUN_ASSERT(store_channel_at(c, 0) == f->head);
    store_retention_pop(g, c);
    c->evicted = evicted;
    fit(g, c);
}

static struct store_msg *merge(struct store_msg *a, struct store_msg *b)
{
    struct store_msg *head = NULL, **link = &head;
    while (a != NULL && b != NULL) {
        struct store_msg **least = b->time_ms < a->time_ms ? &b : &a; /* stable: a first */
        *link = *least;
        link = &(*least)->fifo_next;
        *least = (*least)->fifo_next;
    }
    *link = a != NULL ? a : b;
    return head;
}

/* Merge sort; bins[i] holds 2^i messages that came before those of lower bins. */
static void sort(struct store_fifo *f)
{
    struct store_msg *bins[SORT_BINS] = {0}, *all = NULL;
    for (struct store_msg *m = f->head, *next; m != NULL; m = next) {
        next = m->fifo_next;
        m->fifo_next = NULL;
        size_t i = 0;
        for (; bins[i] != NULL; i++) {
            m = merge(bins[i], m);
            bins[i] = NULL;
        }
        DUN_ASSERT(i < SORT_BINS - 1);
        bins[i] = m;
    }
    for (size_t i = 0; i < SORT_BINS; i++)
        all = merge(bins[i], all);
    *f = (struct store_fifo){.head = all};
    for (struct store_msg *m = all; m != NULL; m = m->fifo_next) {
        m->fifo_prev = f->tail;
        f->tail = m;
    }
}

void store_retention_sort(struct store_group *g, uint32_t namespace_count)
{
    for (uint32_t i = 0; i < namespace_count; i++)
        sort(&g->fifos[i]);
}

void store_retention_init(struct store *s)
{
    size_t lists = (size_t)s->group_count * s->namespace_count;
    s->heap.ids = dun_calloc(lists, sizeof *s->heap.ids);
    s->heap.pos = dun_calloc(lists, sizeof *s->heap.pos);
    s->heap.keys = dun_calloc(lists, sizeof *s->heap.keys);
}

void store_retention_deinit(struct store *s)
{
    dun_free(s->heap.ids);
    dun_free(s->heap.pos);
    dun_free(s->heap.keys);
    s->heap = (struct store_heap){0};
}

static struct store_fifo *list_of(const struct store *s, uint32_t id)
{
    return &s->groups[id / s->namespace_count].fifos[id % s->namespace_count];
}

static void heap_put(struct store_heap *h, uint32_t i, uint32_t id)
{
    h->ids[i] = id;
    h->pos[id] = i + 1;
}

static void heap_up(struct store_heap *h, uint32_t i)
{
    uint32_t id = h->ids[i];
    while (i != 0) {
        uint32_t parent = (i - 1) / 2;
        if (h->keys[h->ids[parent]] <= h->keys[id]) break;
        heap_put(h, i, h->ids[parent]);
        i = parent;
    }
    heap_put(h, i, id);
}

static void heap_down(struct store_heap *h, uint32_t i)
{
    uint32_t id = h->ids[i];
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= h->count) break;
        if (child + 1 < h->count && h->keys[h->ids[child + 1]] < h->keys[h->ids[child]]) child++;
        if (h->keys[h->ids[child]] >= h->keys[id]) break;
        heap_put(h, i, h->ids[child]);
        i = child;
    }
    heap_put(h, i, id);
}

static void heap_add(struct store_heap *h, uint32_t id, uint64_t key)
{
    DUN_ASSERT(h->pos[id] == 0);
    h->keys[id] = key;
    heap_put(h, h->count, id);
    h->count++;
    heap_up(h, h->count - 1);
}

static void heap_remove(struct store_heap *h, uint32_t id)
{
    DUN_ASSERT(h->pos[id] != 0);
    uint32_t i = h->pos[id] - 1;
    h->pos[id] = 0;
    h->count--;
    if (i == h->count) return;
    uint32_t moved = h->ids[h->count];
    heap_put(h, i, moved);
    heap_up(h, i);
    heap_down(h, h->pos[moved] - 1);
}

void store_retention_note(struct store *s, uint32_t group, uint8_t ns)
{
    DUN_ASSERT(ns < s->namespace_count);
    uint32_t id = group * s->namespace_count + ns;
    if (s->heap.pos[id] == 0) heap_add(&s->heap, id, list_of(s, id)->head->time_ms);
}

void store_retention_replaced(struct store *s, uint32_t group)
{
    for (uint32_t ns = 0; ns < s->namespace_count; ns++) {
        uint32_t id = group * s->namespace_count + ns;
        if (s->heap.pos[id] != 0) heap_remove(&s->heap, id);
        const struct store_msg *head = list_of(s, id)->head;
        if (head != NULL) heap_add(&s->heap, id, head->time_ms);
    }
}

/* The list with the oldest head. There must be a message. */
static uint32_t oldest(struct store *s)
{
    struct store_heap *h = &s->heap;
    for (;;) {
        DUN_ASSERT(h->count != 0);
        uint32_t id = h->ids[0];
        const struct store_msg *head = list_of(s, id)->head;
        if (head == NULL) {
            heap_remove(h, id);
        } else if (head->time_ms != h->keys[id]) {
            DUN_ASSERT(head->time_ms > h->keys[id]);
            h->keys[id] = head->time_ms;
            heap_down(h, 0);
        } else {
            return id;
        }
    }
}

void store_retention_evict(struct store *s)
{
    if (s->total.bytes <= s->max_memory) return;
    uint64_t slack = s->max_memory / EVICT_SLACK_SHARE;
    if (slack > EVICT_SLACK_MAX) slack = EVICT_SLACK_MAX;
    while (s->total.bytes > s->max_memory - slack && s->total.messages != 0) {
        uint32_t id = oldest(s), group = id / s->namespace_count;
        struct store_group *g = &s->groups[group];
        struct store_fifo *f = list_of(s, id);
        struct store_use before = store_group_enter(s, group);
        uint64_t over = s->total.bytes - (s->max_memory - slack), freed = 0;
        for (int n = 0; n < EVICT_BATCH && f->head != NULL && freed < over; n++) {
            pop_head(g, f, true);
            s->evicted++;
            freed = before.bytes - store_group_use(g).bytes;
        }
        store_group_leave(s, group, before);
    }
}

static bool too_old(const struct store_fifo *f, uint64_t ttl_ms, uint64_t now_ms)
{
    const struct store_msg *m = f->head;
    return m != NULL && now_ms >= m->time_ms && now_ms - m->time_ms >= ttl_ms;
}

void store_trim(struct store *s, uint64_t now_ms)
{
    for (uint32_t group = 0; group < s->group_count; group++) {
        struct store_group *g = &s->groups[group];
        for (uint32_t ns = 0; ns < s->namespace_count; ns++) {
            struct store_fifo *f = &g->fifos[ns];
            uint64_t ttl_ms = s->namespaces[ns].history_ttl_ms;
            while (too_old(f, ttl_ms, now_ms)) {
                struct store_use before = store_group_enter(s, group);
                for (int n = 0; n < TRIM_BATCH && too_old(f, ttl_ms, now_ms); n++) {
                    pop_head(g, f, false);
                    s->expired++;
                }
                store_group_leave(s, group, before);
            }
        }
    }
}

void store_retention_check(const struct store *s, uint32_t group)
{
    const struct store_group *g = &s->groups[group];
    uint64_t messages = 0;
    for (uint32_t ns = 0; ns < s->namespace_count; ns++) {
        const struct store_fifo *f = &g->fifos[ns];
        uint32_t id = group * s->namespace_count + ns;
        const struct store_msg *prev = NULL;
        for (const struct store_msg *m = f->head; m != NULL; prev = m, m = m->fifo_next) {
            DUN_ASSERT(m->fifo_prev == prev);
            DUN_ASSERT(m->owner->ns == ns);
            DUN_ASSERT(prev == NULL || prev->time_ms <= m->time_ms);
            messages++;
        }
        DUN_ASSERT(f->tail == prev);
        if (f->head == NULL) continue;
        DUN_ASSERT(s->heap.pos[id] != 0);
        uint32_t i = s->heap.pos[id] - 1;
        DUN_ASSERT(i < s->heap.count);
        DUN_ASSERT(s->heap.ids[i] == id);
        DUN_ASSERT(i == 0 || s->heap.keys[s->heap.ids[(i - 1) / 2]] <= s->heap.keys[id]);
        DUN_ASSERT(s->heap.keys[id] <= f->head->time_ms);
    }
    DUN_ASSERT(messages == g->messages);
}
