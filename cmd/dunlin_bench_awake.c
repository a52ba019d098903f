/* cmd/dunlin_bench_awake.c: a child of the lowest priority on each processor. */
#include "cmd/dunlin_bench_awake.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void __attribute__((noreturn)) spin(size_t cpu)
{
    const struct sched_param none = {0};
    cpu_set_t one;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0 ||
        sched_setscheduler(0, SCHED_IDLE, &none) != 0)
        _exit(1); /* rather none than one that is in the way */
    for (volatile uint64_t n = 0;; n++) {
    }
}

void bench_awake_start(struct bench_awake *a)
{
    cpu_set_t ours;
    if (sched_getaffinity(0, sizeof ours, &ours) != 0) return;
    for (size_t cpu = 0; cpu < CPU_SETSIZE && a->count < BENCH_AWAKE_MAX; cpu++) {
        if (!CPU_ISSET(cpu, &ours)) continue;
        pid_t pid = fork();
        if (pid == 0) spin(cpu);
        if (pid > 0) a->pids[a->count++] = pid;
    }
}

void bench_awake_stop(struct bench_awake *a)
{
    for (uint32_t i = 0; i < a->count; i++) {
        (void)kill(a->pids[i], SIGKILL);
        (void)waitpid(a->pids[i], NULL, 0);
    }
    a->count = 0;
}
