/* store/snapshot.c: a group as bytes, and the digest of its logical state.
 * Why one file: both walk the same records with the same writers, so what the digest covers is
 * what a snapshot carries. Neither depends on this peer's hash key.
 *
 * Snapshot: [version, epoch, clock, origins, keys, channels, seal]
 *   origin   [origin, boot, max, bits, [seq, epoch, ...]]  positions of applied numbers, ascending
 *   key      [channel, key, seq, epoch, time]              oldest first
 *   channel  [name, epoch, seq, active, evicted, messages] longest idle first
 *   message  [epoch, time, data, tags, info]               contiguous up to the channel's head
 *   seal     8 bytes: unkeyed hash of all bytes before it. Against accidents; peer links
 *            authenticate against malice, and the reader believes nothing anyway. */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutation.h"
#include "store/mp.h"
#include "store/retention.h"

#include <sodium.h>

enum {
    SNAPSHOT_VERSION = 1,
    SNAPSHOT_ELEMENTS = 7,
    ORIGIN_ELEMENTS = 5,
    KEY_ELEMENTS = 5,
    CHANNEL_ELEMENTS = 6,
    MESSAGE_ELEMENTS = 5,
    SEAL_SIZE = crypto_shorthash_BYTES,
    SEAL_ENCODED_SIZE = 2 + SEAL_SIZE, /* bin 8: tag, length, bytes */
    BITS_SIZE = DUN_REQUEST_WINDOW / 8,
};

static uint64_t fixed_hash(const void *data, size_t len, uint8_t out[SEAL_SIZE])
{
    static const uint8_t fixed_key[crypto_shorthash_KEYBYTES];
    uint64_t h = 0;
    crypto_shorthash(out, data, len, fixed_key);
    for (size_t i = SEAL_SIZE; i-- != 0;)
        h = h << 8 | out[i];
    return h;
}

static void write_origin(struct dun_buf *b, uint32_t origin, const struct store_request *w)
{
    uint8_t bits[BITS_SIZE];
    uint32_t count = 0;
    for (size_t i = 0; i < sizeof bits; i++)
        bits[i] = (uint8_t)(w->bits[i / 8] >> (i % 8 * 8));
    mp_write_uint(b, origin);
    mp_write_uint(b, w->boot);
    mp_write_uint(b, w->max);
    mp_write_bytes(b, dun_slice(bits, sizeof bits));
    uint64_t first = store_request_first_result(w);
    for (uint64_t i = 0; i <= w->max - first; i++)
        count += store_request_has(w, first + i);
    mp_write_array(b, 2 * count);
    for (uint64_t i = 0; i <= w->max - first; i++) {
        if (!store_request_has(w, first + i)) continue;
        const struct store_request_result *p = &w->results[(first + i) % DUN_INFLIGHT_MAX];
        mp_write_uint(b, p->seq);
        mp_write_uint(b, p->epoch);
    }
}

static void write_key(struct dun_buf *b, const struct store_key *k)
{
    mp_write_bytes(b, store_key_channel(k));
    mp_write_bytes(b, store_key_key(k));
    mp_write_uint(b, k->seq);
    mp_write_uint(b, k->epoch);
    mp_write_uint(b, k->time_ms);
}

/* The logical part of a channel. */
static void write_channel(struct dun_buf *b, const struct store_group *g,
                          const struct store_channel *c)
{
    mp_write_bytes(b, store_channel_name(c));
    mp_write_uint(b, store_group_channel_epoch(g, c));
    mp_write_uint(b, c->seq);
    mp_write_uint(b, c->active_ms);
}

static void write_messages(struct dun_buf *b, const struct store_channel *c)
{
    mp_write_array(b, c->count);
    for (uint32_t i = 0; i < c->count; i++) {
        const struct store_msg *m = store_channel_at(c, i);
        mp_write_array(b, MESSAGE_ELEMENTS);
        mp_write_uint(b, m->epoch);
        mp_write_uint(b, m->time_ms);
        mp_write_bytes(b, m->data);
        mp_write_bytes(b, m->tags);
        mp_write_bytes(b, m->info);
    }
}

void store_snapshot(const struct store *s, uint32_t group, struct dun_buf *out)
{
    DUN_ASSERT(group < s->group_count);
    const struct store_group *g = &s->groups[group];
    size_t from = out->len;
    uint32_t origins = 0;
    dun_buf_reserve(out, (size_t)store_group_use(g).bytes);
    mp_write_array(out, SNAPSHOT_ELEMENTS);
    mp_write_uint(out, SNAPSHOT_VERSION);
    mp_write_uint(out, g->epoch);
    mp_write_uint(out, g->clock_ms);
    for (uint32_t i = 0; i < DUN_VOTERS_MAX; i++)
        origins += g->requests[i] != NULL;
    mp_write_array(out, origins);
    for (uint32_t i = 0; i < DUN_VOTERS_MAX; i++) {
        if (g->requests[i] == NULL) continue;
        mp_write_array(out, ORIGIN_ELEMENTS);
        write_origin(out, i, g->requests[i]);
    }
    bool drop_keys = DUN_MUTATE(MUTATION_SNAPSHOT_DROPS_KEYS);
    mp_write_array(out, drop_keys ? 0 : (uint32_t)g->keys.map.count);
    for (const struct store_key *k = drop_keys ? NULL : g->keys.head; k != NULL; k = k->next) {
        mp_write_array(out, KEY_ELEMENTS);
        write_key(out, k);
    }
    mp_write_array(out, (uint32_t)g->channels.count);
    for (const struct store_channel *c = g->channel_head; c != NULL; c = c->next) {
        mp_write_array(out, CHANNEL_ELEMENTS);
        write_channel(out, g, c);
        mp_write_bool(out, c->evicted);
        write_messages(out, c);
    }
    uint8_t seal[SEAL_SIZE];
    fixed_hash(out->data + from, out->len - from, seal);
    mp_write_bytes(out, dun_slice(seal, sizeof seal));
}

uint64_t store_digest(const struct store *s, uint32_t group)
{
    DUN_ASSERT(group < s->group_count);
    const struct store_group *g = &s->groups[group];
    uint8_t hash[SEAL_SIZE];
    uint64_t channels = 0, keys = 0, origins = 0;
    struct dun_buf b = {0};
    /* A sum, so that the order of the walk does not matter. */
    for (const struct store_channel *c = g->channel_head; c != NULL; c = c->next) {
        b.len = 0;
        write_channel(&b, g, c);
        channels += fixed_hash(b.data, b.len, hash);
    }
    for (const struct store_key *k = g->keys.head; k != NULL; k = k->next) {
        b.len = 0;
        write_key(&b, k);
        keys += fixed_hash(b.data, b.len, hash);
    }
    for (uint32_t i = 0; i < DUN_VOTERS_MAX; i++) {
        if (g->requests[i] == NULL) continue;
        b.len = 0;
        write_origin(&b, i, g->requests[i]);
        origins += fixed_hash(b.data, b.len, hash);
    }
    const uint64_t all[] = {g->epoch,          g->clock_ms, g->channels.count, channels, keys,
                            g->keys.map.count, origins};
    b.len = 0;
    for (size_t i = 0; i < DUN_COUNT(all); i++)
        mp_write_uint(&b, all[i]);
    uint64_t digest = fixed_hash(b.data, b.len, hash);
    dun_buf_deinit(&b);
    return digest;
}

/* Bits stand for numbers in the window only, the highest included. */
static bool bits_valid(const struct store_request *w)
{
    uint32_t set = 0, within = 0;
    for (size_t i = 0; i < DUN_COUNT(w->bits); i++)
        set += (uint32_t)__builtin_popcountll(w->bits[i]);
    uint64_t first = store_request_first(w);
    for (uint64_t i = 0; i <= w->max - first; i++)
        within += store_request_has(w, first + i);
    return set == within && store_request_has(w, w->max);
}

static dun_err read_origin(struct mp_reader *r, struct store_group *g)
{
    if (mp_read_array(r, ORIGIN_ELEMENTS) != ORIGIN_ELEMENTS) return DUN_E_MALFORMED;
    uint64_t origin = mp_read_uint(r), boot = mp_read_uint(r), max = mp_read_uint(r);
    struct dun_slice bits = mp_read_bytes(r, BITS_SIZE);
    uint32_t left = mp_read_array(r, 2 * DUN_INFLIGHT_MAX);
    if (!mp_ok(r) || origin >= DUN_VOTERS_MAX || g->requests[origin] != NULL || max == 0 ||
        bits.len != BITS_SIZE)
        return DUN_E_MALFORMED;
    struct store_request *w = dun_calloc(1, sizeof *w);
    g->requests[origin] = w;
    w->boot = boot;
    w->max = max;
    for (size_t i = 0; i < bits.len; i++)
        w->bits[i / 8] |= (uint64_t)bits.data[i] << (i % 8 * 8);
    if (!bits_valid(w)) return DUN_E_MALFORMED;
    uint64_t first = store_request_first_result(w);
    for (uint64_t i = 0; i <= max - first; i++) {
        if (!store_request_has(w, first + i)) continue;
        if (left < 2) return DUN_E_MALFORMED;
        left -= 2;
        struct store_request_result *p = &w->results[(first + i) % DUN_INFLIGHT_MAX];
        p->seq = mp_read_uint(r);
        p->epoch = mp_read_uint(r);
    }
    return mp_ok(r) && left == 0 ? DUN_OK : DUN_E_MALFORMED;
}

static dun_err read_key(struct mp_reader *r, const struct store *s, struct store_group *g)
{
    if (mp_read_array(r, KEY_ELEMENTS) != KEY_ELEMENTS) return DUN_E_MALFORMED;
    struct dun_slice channel = mp_read_bytes(r, DUN_CHANNEL_MAX);
    struct dun_slice key = mp_read_bytes(r, DUN_KEY_MAX);
    uint64_t seq = mp_read_uint(r), epoch = mp_read_uint(r), time_ms = mp_read_uint(r);
    uint64_t after_ms = g->keys.tail != NULL ? g->keys.tail->time_ms : 0;
    if (!mp_ok(r) || channel.len == 0 || key.len == 0 || seq == 0 || epoch > g->epoch ||
        time_ms > g->clock_ms || time_ms < after_ms)
        return DUN_E_MALFORMED;
    uint64_t hash = store_idempotency_hash(s->hash_key, channel, key);
    if (store_idempotency_has(&g->keys, hash, channel, key)) return DUN_E_MALFORMED;
    store_idempotency_add(&g->keys, hash, channel, key, seq, epoch, time_ms);
    return DUN_OK;
}

/* Makes the message with its own body: one body for all would live as long as the last of them. */
static struct store_msg *copy_message(struct dun_slice channel, struct dun_slice data,
                                      struct dun_slice tags, struct dun_slice info)
{
    struct dun_blob *body = dun_blob_create(data.len + tags.len + info.len);
    uint8_t *p = body->data;
    struct store_msg *m = store_msg_create(channel, body);
    dun_blob_unref(body);
    m->data = dun_slice(p, data.len);
    m->tags = dun_slice(p + data.len, tags.len);
    m->info = dun_slice(p + data.len + tags.len, info.len);
    memcpy(p, data.data, data.len);
    if (tags.len != 0) memcpy(p + data.len, tags.data, tags.len);
    if (info.len != 0) memcpy(p + data.len + tags.len, info.data, info.len);
    return m;
}

/* Reads all messages of @c and keeps as many as this peer's namespace asks for. */
static dun_err read_messages(struct mp_reader *r, const struct store *s, struct store_group *g,
                             struct store_channel *c)
{
    uint32_t count = mp_read_array(r, DUN_HISTORY_SIZE_MAX);
    uint32_t keep = store_history_size(s, c);
    if (!mp_ok(r) || count > c->seq) return DUN_E_MALFORMED;
    uint64_t seq = c->seq - count, last_ms = 0, last_epoch = 0;
    if (count > keep) c->evicted = false;
    for (uint32_t left = count; left != 0; left--) {
        if (mp_read_array(r, MESSAGE_ELEMENTS) != MESSAGE_ELEMENTS) return DUN_E_MALFORMED;
        uint64_t epoch = mp_read_uint(r), time_ms = mp_read_uint(r);
        struct dun_slice data = mp_read_bytes(r, DUN_PAYLOAD_MAX);
        struct dun_slice tags = mp_read_bytes(r, DUN_TAGS_MAX);
        struct dun_slice info = mp_read_bytes(r, DUN_INFO_MAX);
        seq++;
        if (!mp_ok(r) || data.len == 0 || time_ms < last_ms || time_ms > c->active_ms ||
            epoch < last_epoch || epoch > c->epoch)
            return DUN_E_MALFORMED;
        last_ms = time_ms;
        last_epoch = epoch;
        if (left > keep) continue;
        struct store_msg *m = copy_message(store_channel_name(c), data, tags, info);
        m->seq = seq;
        m->prev_seq = seq - 1;
        m->epoch = epoch;
        m->time_ms = time_ms;
        store_retention_add(g, c, m);
    }
    return DUN_OK;
}

static dun_err read_channel(struct mp_reader *r, const struct store *s, struct store_group *g)
{
    if (mp_read_array(r, CHANNEL_ELEMENTS) != CHANNEL_ELEMENTS) return DUN_E_MALFORMED;
    struct dun_slice name = mp_read_bytes(r, DUN_CHANNEL_MAX);
    uint64_t epoch = mp_read_uint(r), seq = mp_read_uint(r), active_ms = mp_read_uint(r);
    bool evicted = mp_read_bool(r);
    uint64_t after_ms = g->channel_tail != NULL ? g->channel_tail->active_ms : 0;
    if (!mp_ok(r) || name.len == 0 || seq == 0 || epoch > g->epoch || active_ms > g->clock_ms ||
        active_ms < after_ms)
        return DUN_E_MALFORMED;
    uint64_t hash = store_group_hash(s, name);
    if (store_group_find(g, hash, name) != NULL) return DUN_E_MALFORMED;
    struct store_channel *c = store_group_add(s, g, hash, name);
    c->epoch = epoch;
    c->seq = seq;
    c->active_ms = active_ms;
    c->evicted = evicted;
    return read_messages(r, s, g, c);
}

static dun_err read_group(struct mp_reader *r, const struct store *s, struct store_group *g)
{
    dun_err e = DUN_OK;
    if (mp_read_array(r, SNAPSHOT_ELEMENTS) != SNAPSHOT_ELEMENTS) return DUN_E_MALFORMED;
    if (mp_read_uint(r) != SNAPSHOT_VERSION) return DUN_E_MALFORMED;
    g->epoch = mp_read_uint(r);
    g->clock_ms = mp_read_uint(r);
    uint32_t origins = mp_read_array(r, DUN_VOTERS_MAX);
    for (uint32_t i = 0; i < origins && e == DUN_OK; i++)
        e = read_origin(r, g);
    if (e != DUN_OK) return e;
    uint32_t keys = mp_read_array(r, UINT32_MAX);
    if (keys > DUN_IDEMPOTENCY_PER_GROUP_MAX) return DUN_E_TOO_BIG;
    for (uint32_t i = 0; i < keys && e == DUN_OK; i++)
        e = read_key(r, s, g);
    if (e != DUN_OK) return e;
    uint32_t channels = mp_read_array(r, UINT32_MAX);
    if (channels > DUN_CHANNELS_PER_GROUP_MAX) return DUN_E_TOO_BIG;
    for (uint32_t i = 0; i < channels && e == DUN_OK; i++)
        e = read_channel(r, s, g);
    if (e != DUN_OK) return e;
    mp_read_bytes(r, SEAL_SIZE); /* verified before; here only for the end to be right */
    return mp_at_end(r) ? DUN_OK : DUN_E_MALFORMED;
}

static bool seal_matches(struct dun_slice snapshot)
{
    uint8_t seal[SEAL_SIZE];
    if (snapshot.len < SEAL_ENCODED_SIZE) return false;
    fixed_hash(snapshot.data, snapshot.len - SEAL_ENCODED_SIZE, seal);
    return memcmp(seal, snapshot.data + snapshot.len - SEAL_SIZE, SEAL_SIZE) == 0;
}

/* Swaps @fresh in and frees what was there, outside of the guard. */
static void replace(struct store *s, uint32_t group, struct store_group *fresh)
{
    struct store_group old = s->groups[group];
    store_msg_unref(s->last);
    s->last = NULL;
    struct store_use before = store_group_enter(s, group);
    s->groups[group] = *fresh;
    store_group_leave(s, group, before);
    store_retention_replaced(s, group);
    store_group_deinit(&old);
    store_retention_evict(s);
}

dun_err store_restore(struct store *s, uint32_t group, struct dun_slice snapshot)
{
    DUN_ASSERT(group < s->group_count);
    if (!seal_matches(snapshot)) return DUN_E_MALFORMED;
    struct store_group fresh;
    store_group_init(&fresh, s->namespace_count);
    struct mp_reader r = mp_reader(snapshot);
    dun_err e = read_group(&r, s, &fresh);
    if (e != DUN_OK) {
        store_group_deinit(&fresh);
        return e;
    }
    store_retention_sort(&fresh, s->namespace_count);
    replace(s, group, &fresh);
    return DUN_OK;
}

void store_reset(struct store *s, uint32_t group)
{
    DUN_ASSERT(group < s->group_count);
    struct store_group fresh;
    store_group_init(&fresh, s->namespace_count);
    replace(s, group, &fresh);
}
