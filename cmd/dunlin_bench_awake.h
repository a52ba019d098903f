/* cmd/dunlin_bench_awake.h: keeps the processors from going to sleep while something is measured.
 * Why: a processor of a virtual machine that has nothing to do is given to others, and to get it
 * back takes milliseconds at times (steal in /proc/stat). A busy cluster wakes processors far more
 * often than a calm one, so without this their ratio is one of the hypervisor. What runs here has
 * the lowest priority there is (SCHED_IDLE): it gives way to whatever else wants to run. */
#ifndef DUN_CMD_DUNLIN_BENCH_AWAKE_H
#define DUN_CMD_DUNLIN_BENCH_AWAKE_H

#include <stdint.h>
#include <sys/types.h>

enum { BENCH_AWAKE_MAX = 256 }; /* processors; the rest may sleep */

/* Zero-initialise it. */
struct bench_awake {
    pid_t pids[BENCH_AWAKE_MAX];
    uint32_t count;
};

/* One child for each processor that this process may use; they die with it. Where none can be made
 * the processors sleep as ever. */
void bench_awake_start(struct bench_awake *a);
/* Fine if never started. */
void bench_awake_stop(struct bench_awake *a);

#endif
