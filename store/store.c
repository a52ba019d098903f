/* store/store.c: see the header. Creation, application of operations, and the readers. */
#include "store/store.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutation.h"
#include "store/retention.h"

#include <sodium.h>

static dun_err check_namespaces(const struct store_namespace *list, uint32_t count)
{
    bool has_default = false;
    if (count == 0 || count > DUN_NAMESPACES_MAX) return DUN_E_CONFIG;
    for (uint32_t i = 0; i < count; i++) {
        if (memchr(list[i].name, '\0', sizeof list[i].name) == NULL) return DUN_E_CONFIG;
        if (list[i].history_size > DUN_HISTORY_SIZE_MAX) return DUN_E_CONFIG;
        if (list[i].name[0] == '\0') has_default = true;
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(list[i].name, list[k].name) == 0) return DUN_E_CONFIG;
    }
    return has_default ? DUN_OK : DUN_E_CONFIG;
}

_Static_assert((int)DUN_NAMESPACES_MAX <= (int)STORE_NS_NONE,
               "a channel names its namespace in a byte");

dun_err store_create(struct store **out, const struct store_config *c)
{
    if (c->group_count == 0 || c->group_count > DUN_GROUPS_MAX) return DUN_E_CONFIG;
    dun_err e = check_namespaces(c->namespaces, c->namespace_count);
    if (e != DUN_OK) return e;
    struct store *s = dun_calloc(1, sizeof *s);
    s->group_count = c->group_count;
    s->namespace_count = c->namespace_count;
    s->namespaces = dun_calloc(c->namespace_count, sizeof *s->namespaces);
    memcpy(s->namespaces, c->namespaces, c->namespace_count * sizeof *s->namespaces);
    s->max_memory = c->max_memory;
    memcpy(s->hash_key, c->hash_key, sizeof s->hash_key);
    s->guard = c->guard;
    s->groups = dun_calloc(c->group_count, sizeof *s->groups);
    for (uint32_t i = 0; i < s->group_count; i++)
        store_group_init(&s->groups[i], s->namespace_count);
    store_retention_init(s);
    *out = s;
    return DUN_OK;
}

void store_destroy(struct store *s)
{
    if (s == NULL) return;
    store_msg_unref(s->last);
    for (uint32_t i = 0; i < s->group_count; i++)
        store_group_deinit(&s->groups[i]);
    store_retention_deinit(s);
    dun_free(s->groups);
    dun_free(s->namespaces);
    dun_free(s);
}

uint32_t store_group_of(struct dun_slice channel, uint32_t group_count)
{
    static const uint8_t fixed_key[crypto_shorthash_KEYBYTES]; /* zero: every peer must agree */
    uint8_t hash[crypto_shorthash_BYTES];
    uint64_t h = 0;
    DUN_ASSERT(group_count != 0);
    crypto_shorthash(hash, channel.data, channel.len, fixed_key);
    for (size_t i = sizeof hash; i-- != 0;)
        h = h << 8 | hash[i];
    return (uint32_t)(h % group_count);
}

const struct store_namespace *store_ns(const struct store *s, struct dun_slice channel)
{
    return store_namespace_find(s->namespaces, s->namespace_count, channel);
}

/* Gives @c a message, and keeps it if the namespace has history here. */
static void append(struct store *s, struct store_group *g, struct store_channel *c,
                   const struct store_op *op, struct dun_blob *body)
{
    struct store_msg *m = store_msg_create(op->publish.channel, body);
    m->prev_seq = c->seq;
    m->seq = ++c->seq;
    m->epoch = store_group_channel_epoch(g, c);
    m->time_ms = g->clock_ms;
    m->data = op->publish.data;
    m->tags = op->publish.tags;
    m->info = op->publish.info;
    c->active_ms = g->clock_ms;
    store_group_touch(g, c);
    s->last = m;

    uint32_t history_size = store_history_size(s, c);
    if (history_size == 0) return;
    if (c->count >= history_size) store_retention_pop(g, c);
    store_retention_add(g, c, store_msg_ref(m));
    store_retention_note(s, (uint32_t)(g - s->groups), c->ns);
}

static void apply_publish(struct store *s, struct store_group *g, const struct store_op *op,
                          struct dun_blob *body, struct store_result *out)
{
    struct dun_slice name = op->publish.channel, key = op->publish.key;
    uint64_t key_hash = 0;
    if (key.len != 0) {
        key_hash = store_idempotency_hash(s->hash_key, name, key);
        const struct store_key *known =
            store_idempotency_find(&g->keys, key_hash, name, key, g->clock_ms);
        if (known != NULL && !DUN_MUTATE(MUTATION_FORGET_IDEMPOTENCY)) {
            out->duplicate = true;
            out->seq = known->seq;
            out->epoch = known->epoch;
            return;
        }
        if (!store_idempotency_room(&g->keys, g->clock_ms)) {
            out->err = DUN_E_FULL;
            return;
        }
    }
    uint64_t hash = store_group_hash(s, name);
    struct store_channel *c = store_group_find(g, hash, name);
    if (c == NULL) {
        if (g->channels.count >= DUN_CHANNELS_PER_GROUP_MAX) {
            out->err = DUN_E_FULL;
            return;
        }
        c = store_group_add(s, g, hash, name);
        c->epoch = g->epoch;
    }
    append(s, g, c, op, body);
    out->msg = s->last;
    out->seq = out->msg->seq;
    out->epoch = out->msg->epoch;
    if (key.len != 0)
        store_idempotency_add(&g->keys, key_hash, name, key, out->seq, out->epoch, g->clock_ms);
}

static void apply_drop(const struct store *s, struct store_group *g, const struct store_op *op,
                       struct store_result *out)
{
    for (uint32_t i = 0; i < op->drop.count; i++) {
        struct dun_slice name = op->drop.channels[i];
        struct store_channel *c = store_group_find(g, store_group_hash(s, name), name);
        if (c != NULL) store_group_remove(g, c);
    }
    out->epoch = ++g->epoch;
}

static void apply_epoch(struct store_group *g, const struct store_op *op, struct store_result *out)
{
    g->epoch++;
    if (g->epoch < op->epoch.epoch) g->epoch = op->epoch.epoch;
    out->epoch = g->epoch_floor = g->epoch;
}

static void apply_new(struct store *s, struct store_group *g, const struct store_op *op,
                      struct dun_blob *body, struct store_result *out)
{
    switch (op->type) {
    case STORE_OP_PUBLISH: apply_publish(s, g, op, body, out); return;
    case STORE_OP_DROP: apply_drop(s, g, op, out); return;
    case STORE_OP_EPOCH: apply_epoch(g, op, out); return;
    }
    DUN_UNREACHABLE();
}

/* Applies @op unless its origin's request window has it. Failures count as applied too: a
 * repeat must not succeed behind the origin's back. */
static void apply_once(struct store *s, struct store_group *g, const struct store_op *op,
                       struct dun_blob *body, struct store_result *out)
{
    if (op->request == 0) {
        apply_new(s, g, op, body, out);
        return;
    }
    struct store_request **w = &g->requests[op->origin];
    if (*w == NULL) *w = dun_calloc(1, sizeof **w);
    struct store_request_result position;
    out->err = store_request_check(*w, op->origin_boot, op->request, &position);
    if (out->err != DUN_OK && DUN_MUTATE(MUTATION_FORGET_REQUESTS)) {
        out->err = DUN_OK;
        apply_new(s, g, op, body, out);
        return;
    }
    if (out->err != DUN_OK) {
        out->seq = position.seq;
        out->epoch = position.epoch;
        return;
    }
    apply_new(s, g, op, body, out);
    position = (struct store_request_result){out->seq, out->epoch};
    store_request_record(*w, op->origin_boot, op->request, position);
}

void store_apply(struct store *s, uint32_t group, uint64_t time_ms, struct dun_blob *op,
                 struct store_result *out)
{
    struct store_op decoded;
    dun_err e = store_op_decode(dun_blob_slice(op), &decoded);
    DUN_ASSERT(e == DUN_OK);
    DUN_ASSERT(group < s->group_count);
    struct store_group *g = &s->groups[group];
    *out = (struct store_result){.type = decoded.type,
                                 .origin = decoded.origin,
                                 .origin_boot = decoded.origin_boot,
                                 .request = decoded.request};
    store_msg_unref(s->last);
    s->last = NULL;

    struct store_use before = store_group_enter(s, group);
    if (g->clock_ms < time_ms) g->clock_ms = time_ms;
    store_idempotency_expire(&g->keys, g->clock_ms);
    apply_once(s, g, &decoded, op, out);
    store_group_leave(s, group, before);
    store_retention_evict(s);
}

struct store_position store_position(const struct store *s, uint32_t group,
                                     struct dun_slice channel)
{
    DUN_ASSERT(group < s->group_count);
    const struct store_group *g = &s->groups[group];
    const struct store_channel *c = store_group_find(g, store_group_hash(s, channel), channel);
    if (c == NULL) return (struct store_position){.epoch = g->epoch, .first_seq = 1};
    return (struct store_position){.epoch = store_group_channel_epoch(g, c),
                                   .seq = c->seq,
                                   .first_seq = store_channel_first_seq(c),
                                   .evicted = c->evicted};
}

dun_err store_read(const struct store *s, uint32_t group, struct dun_slice channel,
                   uint64_t after_seq, struct store_msg **out, uint32_t max, uint32_t *count)
{
    DUN_ASSERT(group < s->group_count);
    const struct store_group *g = &s->groups[group];
    const struct store_channel *c = store_group_find(g, store_group_hash(s, channel), channel);
    *count = 0;
    if (c == NULL || after_seq >= c->seq) return DUN_OK;
    uint64_t first_seq = store_channel_first_seq(c);
    if (after_seq + 1 < first_seq) return DUN_E_GONE;
    uint32_t from = (uint32_t)(after_seq + 1 - first_seq);
    for (uint32_t i = from; i < c->count && *count < max; i++)
        out[(*count)++] = store_msg_ref(store_channel_at(c, i));
    return DUN_OK;
}

uint64_t store_group_epoch(const struct store *s, uint32_t group)
{
    DUN_ASSERT(group < s->group_count);
    return s->groups[group].epoch;
}

uint64_t store_group_clock(const struct store *s, uint32_t group)
{
    DUN_ASSERT(group < s->group_count);
    return s->groups[group].clock_ms;
}

void store_stats(const struct store *s, struct store_stats *out)
{
    *out = (struct store_stats){.channels = s->total.channels,
                                .messages = s->total.messages,
                                .bytes = s->total.bytes,
                                .keys = s->total.keys,
                                .evicted = s->evicted,
                                .expired = s->expired};
    if (s->total.bytes > s->max_memory) out->over_bytes = s->total.bytes - s->max_memory;
}
