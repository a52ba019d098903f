/* cmd/dunlind_sched.c: see dunlind_sched.h. The system calls are made by number, as Debian 12's C
 * library has no functions for them. */
#include "cmd/dunlind_sched.h"

#include <linux/sched.h>
#include <linux/sched/types.h>
#include <sys/syscall.h>
#include <unistd.h>

void sched_short_slices(void)
{
    struct sched_attr a = {0};
    if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) != 0) return;
    if (a.sched_policy != SCHED_NORMAL) return;
    a.sched_runtime = SCHED_SLICE_NS; /* the niceness stays, as it was read */
    (void)syscall(SYS_sched_setattr, 0, &a, 0);
}
