/* transport/loop/slice.c: see slice.h. */
#include "transport/loop/slice.h"

static uint64_t period_ns(const struct slice *s)
{
    uint64_t most = (uint64_t)s->wait_ms * 1000000, least = (uint64_t)s->least_us * 1000;
    uint64_t period = s->worked_ns < most / s->share ? s->worked_ns * s->share : most;
    return period < least ? least : period;
}

bool slice_step(struct slice *s, uint64_t now_ns)
{
    if (now_ns - s->begun_ns >= period_ns(s)) {
        s->begun_ns = now_ns;
        s->worked_ns = 0;
        s->left = s->steps;
    }
    if (s->left == 0) return slice_impatient(s, now_ns);
    s->left--;
    return true;
}

void slice_worked(struct slice *s, uint64_t ns)
{
    s->worked_ns += ns;
}

void slice_left(struct slice *s, bool any, uint64_t now_ns)
{
    if (!any) {
        s->undone_ns = 0;
    } else if (s->undone_ns == 0) {
        s->undone_ns = now_ns;
    }
}

bool slice_impatient(const struct slice *s, uint64_t now_ns)
{
    return s->patience_ms != 0 && s->undone_ns != 0 &&
           now_ns - s->undone_ns > (uint64_t)s->patience_ms * 1000000;
}
