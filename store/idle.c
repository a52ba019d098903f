/* store/idle.c: which channels to forget. Only a primary asks, and proposes the answer as a
 * DROP operation; so the namespaces of one peer may decide here. */
#include "base/assert.h"
#include "store/group.h"

enum { IDLE_SCAN_MAX = 1024 }; /* channels looked at in one call */

static const uint64_t IDLE_DEFAULT_MS = 30ull * 24 * 3600 * 1000;
static const size_t CROWDED = DUN_CHANNELS_PER_GROUP_MAX - DUN_CHANNELS_PER_GROUP_MAX / 8;

/* History must be gone before its channel may be. */
static uint64_t meta_ttl_ms(const struct store_namespace *ns)
{
    uint64_t ttl_ms = ns->history_meta_ttl_ms != 0 ? ns->history_meta_ttl_ms : IDLE_DEFAULT_MS;
    return ttl_ms > ns->history_ttl_ms ? ttl_ms : ns->history_ttl_ms;
}

static bool idle_for(const struct store_channel *c, uint64_t ttl_ms, uint64_t now_ms)
{
    return now_ms > c->active_ms && now_ms - c->active_ms > ttl_ms;
}

static void put(struct store_op *out, const struct store_channel *c)
{
    DUN_ASSERT(out->drop.count < STORE_DROP_MAX);
    out->drop.channels[out->drop.count++] = store_channel_name(c);
}

static void scan(const struct store *s, struct store_group *g, uint64_t now_ms,
                 struct store_op *out)
{
    uint64_t least_ms = IDLE_DEFAULT_MS;
    for (uint32_t i = 0; i < s->namespace_count; i++)
        if (meta_ttl_ms(&s->namespaces[i]) < least_ms) least_ms = meta_ttl_ms(&s->namespaces[i]);

    struct store_channel *c = g->idle_cursor != NULL ? g->idle_cursor : g->channel_head;
    for (int n = 0; c != NULL && n < IDLE_SCAN_MAX && out->drop.count < STORE_DROP_MAX; n++) {
        if (!idle_for(c, least_ms, now_ms)) {
            c = NULL; /* all behind it are younger still */
            break;
        }
        uint64_t ttl_ms =
            c->ns == STORE_NS_NONE ? IDLE_DEFAULT_MS : meta_ttl_ms(&s->namespaces[c->ns]);
        if (idle_for(c, ttl_ms, now_ms)) put(out, c);
        c = c->next;
    }
    g->idle_cursor = c;
}

bool store_idle(struct store *s, uint32_t group, uint64_t now_ms, struct store_op *out)
{
    DUN_ASSERT(group < s->group_count);
    struct store_group *g = &s->groups[group];
    out->type = STORE_OP_DROP;
    out->origin = 0;
    out->origin_boot = out->request = 0;
    out->drop.count = 0;
    if (g->channels.count > CROWDED) {
        size_t excess = g->channels.count - CROWDED;
        for (const struct store_channel *c = g->channel_head;
             out->drop.count < STORE_DROP_MAX && out->drop.count < excess; c = c->next)
            put(out, c);
    } else {
        scan(s, g, now_ms, out);
    }
    return out->drop.count != 0;
}
