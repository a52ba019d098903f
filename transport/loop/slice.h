/* transport/loop/slice.h: work that must not keep a worker from its other clients.
 * Why: what a crowd causes (its arrival, what each of it missed) is as much as the crowd is large,
 * and a message for those inside must not wait behind all of it. So it is done a slice at a time,
 * and the next slice begins when the worker had time left over, but never later than @wait_ms: a
 * crowd comes in slowly where there is much else to do, and comes in. Work that new work is added
 * to as quickly as it is done would never end so: after @patience_ms it is done without rests. No
 * clock: the caller says what time it is. */
#ifndef DUN_TRANSPORT_SLICE_H
#define DUN_TRANSPORT_SLICE_H

#include <stdbool.h>
#include <stdint.h>

struct slice {
    uint32_t steps;    /* of one slice */
    uint32_t share;    /* of the time since a slice began, the worker may have worked 1 / share, of
                          whatever kind, when the next one begins */
    uint32_t wait_ms;  /* at most from one beginning to the next */
    uint32_t least_us; /* at least: work is counted late */
    uint32_t patience_ms; /* 0: any */
    uint32_t left;        /* steps */
    uint64_t begun_ns;
    uint64_t worked_ns; /* the worker, since then */
    uint64_t undone_ns; /* since when there is work left; 0: there is none */
};

/* May one more step be done? Takes it, and begins a new slice if it is time. */
bool slice_step(struct slice *s, uint64_t now_ns);
/* The worker worked for @ns. */
void slice_worked(struct slice *s, uint64_t ns);
/* Whether work is left. */
void slice_left(struct slice *s, bool any, uint64_t now_ns);
/* Work has been left for so long that it is done without rests now. */
bool slice_impatient(const struct slice *s, uint64_t now_ns);

#endif
