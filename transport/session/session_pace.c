/* transport/session/session_pace.c: how many publishes may be in flight when commits are slow.
 * Why: more publishes than the cluster can commit would make everybody's wait, and to refuse them
 * each must be read first. So while there are too many, those who have some in flight are read from
 * later, and TCP slows them down; who publishes now and then never waits.
 * A hub has a window, as congestion control has: publishes beyond it are not read. It follows the
 * time of the commits: smaller by the factor that they are too slow, else slowly larger as long as
 * somebody could use more (AIMD: Chiu, Jain 1989). What "too slow" means follows the quickest
 * commit of late of the same group, as in LEDBAT (RFC 6817): peers may be far apart, and those of
 * one group farther than those of another. What is left of the window is shared by dynamic
 * thresholds (Choudhury, Hahne 1998): a client may have a part of it in flight.
 * Several who are held go on together, with a rest between: what comes in groups costs less, and
 * in the rest the processors have time for the others. A group costs much the same however small it
 * is, so a window smaller than a burst is made of time: a burst, and a rest so much longer. All
 * workers' rests end on one clock, so that what they release together travels together.
 * (1) A held session is in hub->held, and its input waits until session_hub_pace(). Something of it
 *     or of others is in flight then, will be answered, and after answers that is called; or they
 *     rest, and session_hub_rest_ms() says until when.
 * (2) Who has nothing in flight and is not held may publish, whatever the others do; so may who has
 *     little in flight and says only a few at once, as the sparse flows of FQ-CoDel (RFC 8290).
 *     Only who sends on is held, and is moderate again only after having had no more to say.
 * (3) Those who are held have equal parts of what is released, so who wants little gets it at once.
 */
#include "transport/session/session_impl.h"

enum {
    PACE_ONE = 256, /* of session_pace.window and .wait */
    PACE_WINDOW_MIN = 4 * PACE_ONE,
    PACE_WINDOW_START = 32 * PACE_ONE,
    PACE_WINDOW_MAX = DUN_PENDING_MAX * PACE_ONE,
    PACE_BURST = 8,        /* publishes released together at the least */
    PACE_SHARE = 2,        /* a client may have this part of what is left */
    PACE_MODERATE = 4,     /* of one client, in flight and in one go: never held, */
    PACE_MODERATE_MS = 10, /* if it said nothing for so long before */
    PACE_ADJUST_MS = 20,
    PACE_STEP = PACE_ONE / 8, /* at an adjustment */
    PACE_CUT_MS = 100,        /* between two; what one does is not seen before */
    PACE_CALM_MS = 2000,      /* if the last one is so long ago, there may be much more room */
    PACE_WAIT_MS = 2,         /* commits may take this long, or */
    PACE_WAIT_FACTOR = 3,     /* so many times the quickest of late */
    PACE_WAIT_MOST = 4,       /* times that; a straggler counts no more */
    PACE_FLOOR_MS = 10000,    /* "of late": the last one or two of these */
    PACE_REST_MS = 16,
};

/* ---- how long commits may take ---- */

static void forget_floors(uint32_t *floors)
{
    for (uint32_t g = 0; g < DUN_GROUPS_MAX; g++)
        floors[g] = UINT32_MAX;
}

void session_pace_init(struct session_pace *p)
{
    *p = (struct session_pace){.window = PACE_WINDOW_START, .edge = PACE_WINDOW_MAX};
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

/* ---- the window ---- */

static void cut(struct session_pace *p, uint64_t now_ms)
{
    if (now_ms - p->cut_ms < PACE_CUT_MS) return;
    p->cut_ms = now_ms;
    p->edge = p->window - p->window / 4;
    uint64_t w = (uint64_t)p->window * PACE_ONE / p->wait;
    if (w < p->window / 2) w = p->window / 2;
    p->window = w < PACE_WINDOW_MIN ? PACE_WINDOW_MIN : (uint32_t)w;
}

static void grow(struct session_pace *p, uint64_t now_ms)
{
    if (p->window < p->edge) {
        p->window += p->window / 8;
    } else {
        p->window += PACE_STEP + (now_ms - p->cut_ms > PACE_CALM_MS ? p->window / 32 : 0);
    }
    if (p->window > PACE_WINDOW_MAX) p->window = PACE_WINDOW_MAX;
}

/* A window that nobody needs says nothing after a while. */
static void go_back(struct session_pace *p)
{
    if (p->window > PACE_WINDOW_START) {
        p->window -= (p->window - PACE_WINDOW_START + 7) / 8;
    } else {
        p->window += (PACE_WINDOW_START - p->window + 7) / 8;
    }
}

static void adjust(struct session_pace *p, uint64_t now_ms)
{
    uint32_t wait = (uint32_t)(p->took_ms * PACE_ONE / p->allowed_ms);
    p->wait = (3 * p->wait + wait) / 4;
    if (p->wait > PACE_ONE) {
        cut(p, now_ms);
    } else if (p->short_of) {
        grow(p, now_ms);
    } else {
        go_back(p);
    }
    p->took_ms = p->allowed_ms = 0;
    p->short_of = false;
}

void session_pace_committed(struct session_hub *h, uint32_t group, uint32_t took_ms)
{
    struct session_pace *p = &h->pace;
    note_floor(p, h->now_ms, group, took_ms);
    uint64_t allowed = allowed_ms(p, group), most = allowed * PACE_WAIT_MOST;
    p->took_ms += took_ms < most ? took_ms : most;
    p->allowed_ms += allowed;
    if (h->now_ms - p->adjusted_ms < PACE_ADJUST_MS) return;
    p->adjusted_ms = h->now_ms;
    adjust(p, h->now_ms);
}

/* ---- one client ---- */

/* How many may be in flight. */
static uint32_t room(const struct session_hub *h)
{
    uint32_t window = h->pace.window / PACE_ONE;
    return window < PACE_BURST ? PACE_BURST : window;
}

static bool was_silent(const struct session *s)
{
    return (uint32_t)s->hub->now_ms - s->published_ms >= PACE_MODERATE_MS;
}

void session_pace_published(struct session *s)
{
    bool going = s == s->hub->pace.going; /* its silence was the rest that it was held for */
    if (was_silent(s) && !going) s->at_once = 0;
    if (s->at_once < PACE_MODERATE) s->at_once++;
    s->published_ms = (uint32_t)s->hub->now_ms;
}

/* May it publish once more? */
static bool has_room(const struct session *s)
{
    const struct session_hub *h = s->hub;
    const uint32_t most = room(h);
    if (s->pending_count == 0) return true;
    if (s == h->pace.going) {
        if (s->pending_count >= h->pace.going_most) return false;
    } else if (s->pending_count < PACE_MODERATE) {
        if (s->at_once < PACE_MODERATE || was_silent(s)) return true;
    }
    return h->pending_count < most && s->pending_count <= (most - h->pending_count) / PACE_SHARE;
}

bool session_pace_holds(struct session *s)
{
    struct session_hub *h = s->hub;
    if (s->held_link != NULL) return true;
    if (has_room(s)) return false;
    h->pace.short_of = true;
    h->paced++;
    s->at_once = PACE_MODERATE;
    s->held_next = NULL;
    s->held_link = h->held_end;
    *h->held_end = s;
    h->held_end = &s->held_next;
    return true;
}

bool session_pace_reads(struct session *s)
{
    return s->pending_count < PACE_MODERATE ? s->held_link == NULL : !session_pace_holds(s);
}

void session_pace_release(struct session *s)
{
    struct session_hub *h = s->hub;
    if (s->held_link == NULL) return;
    *s->held_link = s->held_next;
    if (s->held_next != NULL) {
        s->held_next->held_link = s->held_link;
    } else {
        h->held_end = s->held_link;
    }
    s->held_link = NULL;
    s->held_s = (uint32_t)session_now_s(h);
}

bool session_pace_held(const struct session *s)
{
    return s->held_link != NULL || (uint32_t)session_now_s(s->hub) - s->held_s <= 1;
}

/* ---- those who are held ---- */

/* From one release to the next, in ms; its end is rounded down to a whole PACE_REST_MS. */
static uint64_t rest(const struct session_hub *h)
{
    const uint32_t burst = PACE_BURST * PACE_ONE;
    if (h->pace.window < burst) return (uint64_t)PACE_REST_MS * burst / h->pace.window;
    bool several = h->held != NULL && h->held->held_next != NULL;
    return several ? PACE_REST_MS : 0;
}

uint64_t session_hub_rest_ms(const struct session_hub *h)
{
    uint64_t from = h->pace.released_ms / PACE_REST_MS, to = from + rest(h) / PACE_REST_MS;
    uint64_t end = to * PACE_REST_MS;
    return h->held != NULL && h->now_ms < end ? end - h->now_ms : 0;
}

static void go_on(struct session *s, uint32_t more)
{
    struct session_pace *p = &s->hub->pace;
    p->released_ms = s->hub->now_ms;
    p->going = s;
    p->going_most = s->pending_count + more;
    session_pace_release(s);
    session_resume(s);
    p->going = NULL;
}

void session_hub_pace(struct session_hub *h)
{
    const uint32_t most = room(h);
    if (h->held == NULL || h->pending_count >= most || session_hub_rest_ms(h) > 0) return;
    uint32_t left = 0; /* who is held again comes behind them */
    for (const struct session *s = h->held; s != NULL; s = s->held_next)
        left++;
    for (; left > 0 && h->held != NULL && h->pending_count < most; left--) {
        uint32_t part = (most - h->pending_count) / left;
        go_on(h->held, part > 0 ? part : 1);
    }
}
