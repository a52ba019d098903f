/* transport/session/session_pace.c: how many publishes a client may send when commits are slow.
 * Why: more publishes than the cluster can commit would make everybody's wait, and to refuse them
 * each must be read first. So a client whose publishes are too many is read from less often, and
 * TCP slows it down; those who send less than that never notice.
 * Each client may send `quota` publishes a tick, the same for all (max-min fairness). The quota
 * follows the time that commits take: down by the factor that they are too slow, up by an eighth
 * while they are quick and somebody could use more (AIMD: Chiu, Jain 1989). What "too slow" means
 * follows the quickest commit of late of the same group, as in LEDBAT (RFC 6817): peers may be far
 * apart, and those of one group farther than those of another.
 * (1) A held session is in hub->held, and its input waits until session_hub_pace().
 * (2) Whatever goes wrong, a client may send PACE_QUOTA_MIN publishes a tick.
 * (3) A session's debt is at most PACE_DEBT_TICKS, so one large broadcast holds it that long. */
#include "transport/session/session_impl.h"

enum {
    PACE_QUOTA_MIN = 1,
    PACE_QUOTA_START = 16,
    PACE_QUOTA_MAX = DUN_CLIENT_COMMANDS_MAX,
    PACE_DEBT_TICKS = 4,
    PACE_ADJUST_MS = 20,
    PACE_WAIT_MS = 4,      /* commits may take this long, or */
    PACE_WAIT_FACTOR = 3,  /* so many times the quickest of late */
    PACE_CUT_MAX = 4,      /* at one adjustment */
    PACE_FLOOR_MS = 10000, /* "of late": the last one or two of these */
};

/* ---- how long commits may take ---- */

static void forget_floors(uint32_t *floors)
{
    for (uint32_t g = 0; g < DUN_GROUPS_MAX; g++)
        floors[g] = UINT32_MAX;
}

void session_pace_init(struct session_pace *p)
{
    *p = (struct session_pace){.quota = PACE_QUOTA_START};
    forget_floors(p->floor_ms);
    forget_floors(p->floor_next_ms);
}

static void note_floor(struct session_pace *p, uint64_t now_ms, uint32_t group, uint32_t took_ms)
{
    if (now_ms - p->floor_at_ms >= PACE_FLOOR_MS) {
        p->floor_at_ms = now_ms;
        memcpy(p->floor_ms, p->floor_next_ms, sizeof p->floor_ms);
        forget_floors(p->floor_next_ms);
    }
    if (took_ms < p->floor_next_ms[group]) p->floor_next_ms[group] = took_ms;
}

static uint64_t allowed_ms(const struct session_pace *p, uint32_t group)
{
    uint32_t a = p->floor_ms[group], b = p->floor_next_ms[group];
    uint64_t ms = (uint64_t)(a < b ? a : b) * PACE_WAIT_FACTOR;
    return ms < PACE_WAIT_MS ? PACE_WAIT_MS : ms;
}

/* ---- the quota ---- */

static void adjust(struct session_pace *p)
{
    uint64_t q = p->quota;
    if (p->took_ms > p->allowed_ms) {
        bool far = p->took_ms > p->allowed_ms * PACE_CUT_MAX;
        q = far ? q / PACE_CUT_MAX : q * p->allowed_ms / p->took_ms;
        if (q < PACE_QUOTA_MIN) q = PACE_QUOTA_MIN;
    } else if (p->short_of) {
        q += q / 8 + 1;
        if (q > PACE_QUOTA_MAX) q = PACE_QUOTA_MAX;
    } else if (q > PACE_QUOTA_START) {
        q -= (q - PACE_QUOTA_START + 7) / 8; /* unused for long, it says nothing any more */
    } else if (q < PACE_QUOTA_START) {
        q++;
    }
    p->quota = (uint32_t)q;
    p->took_ms = p->allowed_ms = 0;
    p->short_of = false;
}

void session_pace_committed(struct session_hub *h, uint32_t group, uint32_t took_ms)
{
    struct session_pace *p = &h->pace;
    note_floor(p, h->now_ms, group, took_ms);
    p->took_ms += took_ms;
    p->allowed_ms += allowed_ms(p, group);
    if (h->now_ms - p->adjusted_ms < PACE_ADJUST_MS) return;
    p->adjusted_ms = h->now_ms;
    adjust(p);
}

/* ---- one client ---- */

static void refill(struct session *s)
{
    int64_t quota = s->hub->pace.quota;
    uint32_t tick = (uint32_t)(s->hub->now_ms / SESSION_PACE_MS);
    int64_t credit = s->pace_credit + quota * (int64_t)(tick - s->pace_tick);
    s->pace_credit = (int32_t)(credit < quota ? credit : quota);
    s->pace_tick = tick;
}

void session_pace_begin(struct session *s)
{
    s->pace_tick = (uint32_t)(s->hub->now_ms / SESSION_PACE_MS);
    s->pace_credit = (int32_t)s->hub->pace.quota;
}

void session_pace_spend(struct session *s)
{
    refill(s);
    int32_t least = -(int32_t)s->hub->pace.quota * PACE_DEBT_TICKS;
    if (s->pace_credit > least) s->pace_credit--;
}

bool session_pace_holds(struct session *s)
{
    struct session_hub *h = s->hub;
    if (s->held_link != NULL) return true;
    if (s->pace_credit > 0) return false; /* no need to look at the time */
    refill(s);
    if (s->pace_credit > 0) return false;
    h->pace.short_of = true;
    h->paced++;
    s->held_next = h->held;
    s->held_link = &h->held;
    if (h->held != NULL) h->held->held_link = &s->held_next;
    h->held = s;
    return true;
}

void session_pace_release(struct session *s)
{
    if (s->held_link == NULL) return;
    *s->held_link = s->held_next;
    if (s->held_next != NULL) s->held_next->held_link = s->held_link;
    s->held_link = NULL;
    s->held_s = (uint32_t)session_now_s(s->hub);
}

bool session_pace_held(const struct session *s)
{
    return s->held_link != NULL || (uint32_t)session_now_s(s->hub) - s->held_s <= 1;
}

void session_hub_pace(struct session_hub *h)
{
    struct session *list = h->held;
    h->held = NULL; /* who is held again goes into a new list */
    if (list != NULL) list->held_link = &list;
    for (struct session *s; (s = list) != NULL;) {
        session_pace_release(s);
        session_resume(s);
    }
}
