/* transport/session/session_presence.c: who is in a channel; joins and leaves.
 * Why scatter and gather: each worker knows its own clients and nothing is
 * replicated for it, so presence costs nothing until somebody asks, and a peer
 * that dies takes its clients out of it by itself.
 *
 * ASK goes to all workers of all peers, TELL comes back from each. An ask ends
 * when all workers of all live voters have told, or at its deadline with what
 * has arrived. Event streams have no identity and are not listed.
 * Messages are msgpack; what comes from a peer is hostile until parsed. */
#include "store/mp.h"
#include "transport/codec/utf8.h"
#include "transport/session/session_ws.h"

#include <stdlib.h>

enum message { PRESENCE_ASK = 1, PRESENCE_TELL, PRESENCE_JOIN, PRESENCE_LEAVE };

enum {
    ASKS_MAX = 1024,     /* under way in one worker */
    ASK_MS = 500,        /* looked at once a second */
    ENTRIES_MAX = 10000, /* clients in one answer; beyond it: limit exceeded */
    ENTRIES_BYTES_MAX = 8 << 20,
    TELL_SOFT_MAX = 8 * 1024, /* with one entry more it must fit into a cast */
    TEXT_MAX = DUN_TOKEN_MAX,
    JOIN_OUT_MAX = 256 * 1024 /* a client with more unsent bytes misses joins and leaves */
};
_Static_assert(TELL_SOFT_MAX + 3 * TEXT_MAX + 1024 <= DUN_PACKET_SOFT_MAX, "a TELL fits");

struct source {
    char name[DUN_NAME_MAX + 1];
    uint32_t want, got; /* workers; want 0: not heard yet */
};

struct ask {
    struct ask *next;
    struct session *s;
    uint32_t id, number;
    bool stats, over;
    uint64_t until_ms;
    uint32_t source_count, entry_count;
    struct dun_buf entries; /* user, client, conn_info, chan_info; as in TELL */
    struct source sources[SESSION_MEMBERS_MAX];
};

struct session_presence {
    struct ask *asks;
    uint32_t count, last_number;
};

/* ---- entries ---- */

static void write_entry(struct dun_buf *b, const struct cmd_client_info *info)
{
    mp_write_bytes(b, info->user);
    mp_write_bytes(b, info->client);
    mp_write_bytes(b, info->conn_info);
    mp_write_bytes(b, info->chan_info);
}

static struct cmd_client_info read_entry(struct mp_reader *r)
{
    struct cmd_client_info info;
    info.user = mp_read_bytes(r, TEXT_MAX);
    info.client = mp_read_bytes(r, SESSION_UUID_TEXT);
    info.conn_info = mp_read_bytes(r, TEXT_MAX);
    info.chan_info = mp_read_bytes(r, TEXT_MAX);
    /* It is written into answers as it is, so it must be what it claims to be. */
    if ((info.conn_info.len > 0 && json_check(info.conn_info) != DUN_OK) ||
        (info.chan_info.len > 0 && json_check(info.chan_info) != DUN_OK) ||
        !utf8_valid(info.user) || !utf8_valid(info.client))
        r->failed = true;
    return info;
}

static bool listed(const struct session_sub *sub)
{
    return sub->joined && sub->owner->proto == &session_ws;
}

static struct cmd_client_info info_of(const struct session_sub *sub, char uuid[SESSION_UUID_TEXT])
{
    struct cmd_client_info info = session_ws_info(sub->owner, uuid);
    info.chan_info = sub->chan_info == NULL ? dun_slice("", 0) : dun_blob_slice(sub->chan_info);
    return info;
}

static void cast(struct session_hub *h, const char *to_name, const struct dun_buf *b)
{
    dun_err e = h->ops.cast(h->ops.ctx, to_name, dun_buf_view(b));
    (void)e; /* casts may be lost; whoever waits has a deadline */
}

/* ---- joins and leaves ---- */

static void push(struct session_hub *h, struct dun_slice channel, enum message type,
                 const struct cmd_client_info *info, const struct session *except)
{
    struct session_channel *c = session_hub_find(h, channel);
    struct dun_buf b = {0};
    struct dun_blob *blob = NULL;
    for (struct session_sub *sub = c == NULL ? NULL : c->subs; sub != NULL; sub = sub->peer_next) {
        struct session *s = sub->owner;
        if (!sub->joins || !listed(sub) || s == except || s->out_bytes > JOIN_OUT_MAX) continue;
        if (blob == NULL) {
            if (type == PRESENCE_JOIN) {
                cmd_write_join_push(&b, channel, info);
            } else {
                cmd_write_leave_push(&b, channel, info);
            }
            blob = session_ws_pack(dun_buf_view(&b));
        }
        session_out_add(s, dun_blob_ref(blob));
    }
    dun_blob_unref(blob);
    dun_buf_deinit(&b);
}

static void announce(struct session_sub *sub, enum message type)
{
    const struct store_namespace *ns = sub->channel->ns;
    struct session_hub *h = sub->owner->hub;
    char uuid[SESSION_UUID_TEXT];
    struct dun_buf b = {0};
    if (!ns->join_leave && !ns->force_push_join_leave) return;
    struct cmd_client_info info = info_of(sub, uuid);
    push(h, session_channel_name(sub->channel), type, &info,
         type == PRESENCE_LEAVE ? sub->owner : NULL);
    mp_write_array(&b, 6);
    mp_write_uint(&b, type);
    mp_write_bytes(&b, session_channel_name(sub->channel));
    write_entry(&b, &info);
    cast(h, NULL, &b);
    dun_buf_deinit(&b);
}

void session_presence_joined(struct session_sub *sub)
{
    DUN_ASSERT(!sub->joined);
    sub->joined = true;
    announce(sub, PRESENCE_JOIN);
}

void session_presence_left(struct session_sub *sub)
{
    if (!sub->joined) return;
    if (listed(sub)) announce(sub, PRESENCE_LEAVE);
    sub->joined = false;
}

/* ---- asking ---- */

static void ask_destroy(struct session_presence *p, struct ask *a)
{
    struct ask **link = &p->asks;
    while (*link != a)
        link = &(*link)->next;
    *link = a->next;
    p->count--;
    dun_buf_deinit(&a->entries);
    dun_free(a);
}

static int by_user(const void *a, const void *b)
{
    const struct cmd_client_info *x = a, *y = b;
    size_t n = x->user.len < y->user.len ? x->user.len : y->user.len;
    int d = n == 0 ? 0 : memcmp(x->user.data, y->user.data, n);
    if (d != 0) return d;
    return x->user.len < y->user.len ? -1 : x->user.len > y->user.len;
}

static uint32_t distinct_users(struct cmd_client_info *list, uint32_t count)
{
    uint32_t users = count > 0;
    qsort(list, count, sizeof *list, by_user);
    for (uint32_t i = 1; i < count; i++)
        users += by_user(&list[i - 1], &list[i]) != 0;
    return users;
}

static void finish(struct session_hub *h, struct ask *a)
{
    struct cmd_client_info *list = dun_malloc((a->entry_count + 1) * sizeof *list);
    struct mp_reader r = mp_reader(dun_buf_view(&a->entries));
    struct session *s = a->s;
    uint32_t count = a->entry_count;
    for (uint32_t i = 0; i < count; i++)
        list[i] = read_entry(&r);
    DUN_ASSERT(mp_at_end(&r)); /* it was checked when it came in */
    uint32_t users = a->stats ? distinct_users(list, count) : 0;
    enum cmd_error code = a->over ? CMD_ERR_LIMIT_EXCEEDED : 0;
    if (s->phase == SESSION_OPEN && s->proto == &session_ws) {
        session_cmd_presence(s, a->id, code, a->stats, list, count, users);
    } else if (s->phase == SESSION_OPEN) {
        session_api_presence(s, code, a->stats, list, count, users);
    }
    dun_free(list);
    ask_destroy(h->presence, a);
}

static bool complete(const struct ask *a)
{
    for (uint32_t i = 0; i < a->source_count; i++)
        if (a->sources[i].want == 0 || a->sources[i].got < a->sources[i].want) return false;
    return true;
}

static void add_entry(struct ask *a, const struct cmd_client_info *info)
{
    if (a->entry_count >= ENTRIES_MAX || a->entries.len > ENTRIES_BYTES_MAX) {
        a->over = true;
        return;
    }
    write_entry(&a->entries, info);
    a->entry_count++;
}

static void add_own(struct session_hub *h, struct ask *a, struct dun_slice channel)
{
    struct session_channel *c = session_hub_find(h, channel);
    char uuid[SESSION_UUID_TEXT];
    for (struct session_sub *sub = c == NULL ? NULL : c->subs; sub != NULL; sub = sub->peer_next) {
        if (!listed(sub)) continue;
        struct cmd_client_info info = info_of(sub, uuid);
        add_entry(a, &info);
    }
}

static struct source *add_source(struct ask *a, const char *name)
{
    struct source *o = &a->sources[a->source_count++];
    *o = (struct source){0};
    snprintf(o->name, sizeof o->name, "%s", name);
    return o;
}

/* Who has to tell: the other workers here, and every live voter. */
static void fill_sources(struct session_hub *h, struct ask *a)
{
    struct session_status st;
    uint32_t here = h->options->worker_count;
    if (here > 1) add_source(a, h->options->name)->want = here - 1;
    h->ops.status(h->ops.ctx, &st);
    for (uint32_t i = 0; i < st.member_count && a->source_count < SESSION_MEMBERS_MAX; i++) {
        const struct session_member *m = &st.members[i];
        bool live = m->state == SWIM_ALIVE || m->state == SWIM_SUSPECT;
        if (m->voter && live && strcmp(m->name, h->options->name) != 0) add_source(a, m->name);
    }
}

dun_err session_presence_ask(struct session *s, uint32_t id, bool stats, struct dun_slice channel)
{
    struct session_hub *h = s->hub;
    if (h->presence == NULL) h->presence = dun_calloc(1, sizeof *h->presence);
    struct session_presence *p = h->presence;
    if (p->count >= ASKS_MAX) return DUN_E_OVERLOADED;
    struct ask *a = dun_calloc(1, sizeof *a);
    a->s = s;
    a->id = id;
    a->stats = stats;
    a->number = ++p->last_number;
    a->until_ms = h->now_ms + ASK_MS;
    a->next = p->asks;
    p->asks = a;
    p->count++;
    fill_sources(h, a);
    add_own(h, a, channel);
    if (a->source_count == 0) {
        finish(h, a);
        return DUN_OK;
    }
    struct dun_buf b = {0};
    mp_write_array(&b, 4);
    mp_write_uint(&b, PRESENCE_ASK);
    mp_write_uint(&b, h->worker);
    mp_write_uint(&b, a->number);
    mp_write_bytes(&b, channel);
    cast(h, NULL, &b);
    dun_buf_deinit(&b);
    return DUN_OK;
}

void session_presence_tick(struct session_hub *h)
{
    if (h->presence == NULL) return;
    for (struct ask *a = h->presence->asks, *next; a != NULL; a = next) {
        next = a->next; /* finishing one ends no other: each is of its own request */
        if (h->now_ms >= a->until_ms) finish(h, a);
    }
}

void session_presence_forget(struct session *s)
{
    if (s->hub->presence == NULL) return;
    for (struct ask *a = s->hub->presence->asks, *next; a != NULL; a = next) {
        next = a->next;
        if (a->s == s) ask_destroy(s->hub->presence, a);
    }
}

void session_presence_deinit(struct session_hub *h)
{
    DUN_ASSERT(h->presence == NULL || h->presence->asks == NULL);
    dun_free(h->presence);
}

/* ---- telling ---- */

static void tell(struct session_hub *h, const char *to_name, uint64_t worker, uint64_t number,
                 bool last, uint32_t count, const struct dun_buf *entries)
{
    struct dun_buf b = {0};
    mp_write_array(&b, 6 + 4 * count);
    mp_write_uint(&b, PRESENCE_TELL);
    mp_write_uint(&b, worker);
    mp_write_uint(&b, number);
    mp_write_uint(&b, h->options->worker_count);
    mp_write_bool(&b, last);
    mp_write_uint(&b, count);
    dun_buf_slice(&b, dun_buf_view(entries));
    cast(h, to_name, &b);
    dun_buf_deinit(&b);
}

static void on_ask(struct session_hub *h, const char *from_name, struct mp_reader *r)
{
    uint64_t worker = mp_read_uint(r), number = mp_read_uint(r);
    struct dun_slice channel = mp_read_bytes(r, DUN_CHANNEL_MAX);
    if (!mp_at_end(r)) return;
    struct session_channel *c = session_hub_find(h, channel);
    struct dun_buf entries = {0};
    uint32_t count = 0, total = 0;
    char uuid[SESSION_UUID_TEXT];
    for (struct session_sub *sub = c == NULL ? NULL : c->subs; sub != NULL && total <= ENTRIES_MAX;
         sub = sub->peer_next) {
        if (!listed(sub)) continue;
        struct cmd_client_info info = info_of(sub, uuid);
        write_entry(&entries, &info);
        count++;
        total++;
        if (entries.len < TELL_SOFT_MAX) continue;
        tell(h, from_name, worker, number, false, count, &entries);
        entries.len = count = 0;
    }
    tell(h, from_name, worker, number, true, count, &entries);
    dun_buf_deinit(&entries);
}

static void on_tell(struct session_hub *h, const char *from_name, struct mp_reader *r)
{
    uint64_t worker = mp_read_uint(r), number = mp_read_uint(r), want = mp_read_uint(r);
    bool last = mp_read_bool(r);
    uint64_t count = mp_read_uint(r);
    if (!mp_ok(r) || worker != h->worker || h->presence == NULL || want == 0 || want > 256 ||
        count > ENTRIES_MAX)
        return;
    struct ask *a = h->presence->asks;
    while (a != NULL && a->number != number)
        a = a->next;
    if (a == NULL) return; /* answered at its deadline */
    for (uint64_t i = 0; i < count; i++) {
        struct cmd_client_info info = read_entry(r);
        if (!mp_ok(r)) return;
        add_entry(a, &info);
    }
    bool here = strcmp(from_name, h->options->name) == 0;
    for (uint32_t i = 0; i < a->source_count; i++) {
        struct source *o = &a->sources[i];
        if (strcmp(o->name, from_name) != 0) continue;
        o->want = (uint32_t)want - here;
        o->got += last;
    }
    if (complete(a)) finish(h, a);
}

static void on_announcement(struct session_hub *h, enum message type, struct mp_reader *r)
{
    struct dun_slice channel = mp_read_bytes(r, DUN_CHANNEL_MAX);
    struct cmd_client_info info = read_entry(r);
    if (mp_at_end(r)) push(h, channel, type, &info, NULL);
}

void session_hub_heard(struct session_hub *h, const char *from_name, struct dun_slice bytes)
{
    struct mp_reader r = mp_reader(bytes);
    mp_read_array(&r, 6 + 4 * ENTRIES_MAX);
    uint64_t type = mp_read_uint(&r);
    if (type == PRESENCE_ASK) on_ask(h, from_name, &r);
    if (type == PRESENCE_TELL) on_tell(h, from_name, &r);
    if (type == PRESENCE_JOIN || type == PRESENCE_LEAVE) on_announcement(h, (enum message)type, &r);
}
