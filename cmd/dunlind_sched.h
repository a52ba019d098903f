/* cmd/dunlind_sched.h: how long a thread of ours runs before another may have the processor.
 * Why: a message passes a dozen threads of several processes, each of which needs moments, and
 * where processors are short it waits at each for whoever runs there. Linux lets a thread that
 * wakes go before one that runs if it asked for a shorter slice, or once the slice of the one that
 * runs is over. Ours are short, so none keeps another waiting for long: with three peers and their
 * clients on two processors, messages are a third quicker while thousands come back
 * (docs/overload.md). A short slice is no priority: the share of processor time is the same.
 * Source: sched_setattr(2), sched_runtime of SCHED_OTHER, since Linux 6.12; before that it is
 * ignored, and the schedulers before EEVDF (6.6) let those who wake go first by themselves. */
#ifndef DUN_CMD_DUNLIND_SCHED_H
#define DUN_CMD_DUNLIND_SCHED_H

#include <stdint.h>

enum { SCHED_SLICE_NS = 100 * 1000 }; /* the least that Linux grants */

/* For the caller and the threads it starts from now on. Where an administrator has chosen another
 * policy, or the system does not know or permit it, everything stays as it is. */
void sched_short_slices(void);

#endif
