/* tests/sim/sim_main.c: dunlin-sim: runs seeds and says which ones fail. Each
 * job is a process of its own, so an assertion inside a peer costs one seed. */
#include "sim.h"

#include "base/mutation.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 64, PROGRESS_S = 60, USAGE = 64 };

int dun_mutation;

static const struct {
    const char *name, *text;
} mutations[] = {{"none", "no fault"},
#define X(constant, name, text) {#name, text},
                 DUN_MUTATION_MAP(X)
#undef X
};

struct settings {
    uint64_t seeds, first, minutes;
    uint32_t jobs;
    struct sim_choice choice;
    double until_s;
    bool events, verbose, find, replay;
    const char *schedule;
};

struct record { /* what a job tells the parent */
    uint64_t seed;
    uint64_t hash;
    uint32_t state; /* 0 started, 1 passed, 2 failed */
    struct sim_cover cover;
};

_Static_assert(sizeof(struct record) <= 512, "a pipe takes so much at once (PIPE_BUF)");

static const char usage_text[] =
    "usage: dunlin-sim [--seeds N | --minutes M] [--seed S] [--voters 3|5|7|any]\n"
    "                  [--profile default|loss|any] [--swarm 1|2] [--jobs N]\n"
    "                  [--verbose] [--events] [--replay]\n"
    "                  [--mutate NAME] [--find] [--list-mutations]\n"
    "                  [--schedule NAME|all] [--list-schedules]\n"
    "Runs N seeds from S on; a failing one is printed with what it violated. --swarm 1: what a\n"
    "seed meant before clocks drifted, links flapped and so on (sim_options.c).\n"
    "--replay runs each seed twice and compares; --find ends well at the first violation.\n"
    "exit status: 0 clean, 1 violation, 64 bad usage\n";

static void print_line(const struct sim *s)
{
    printf("seed=%" PRIu64 " commit=%s voters=%u profile=%s groups=%u ops=%" PRIu64
           " publishes=%u faults=%u virtual_ms=%" PRIu64 " converged_ms=%" PRIu64 " events=%" PRIu64
           " digest=%016" PRIx64 "\n",
           s->o.seed, DUN_GIT_COMMIT, s->o.voters, s->o.loss_profile ? "loss" : "default",
           s->o.groups, s->commits, s->publish_count, s->fault_count, s->now_us / 1000,
           s->converged_ms, s->events, s->hash);
    if (s->failed)
        printf("seed=%" PRIu64 " VIOLATION at %" PRIu64 ".%03" PRIu64 " ms: %s\n", s->o.seed,
               s->now_us / 1000, s->now_us % 1000, s->violation);
    fflush(stdout);
}

static struct sim_cover run_cover; /* of the last run */

static bool run_once(const struct settings *set, uint64_t seed, bool quiet, uint64_t *hash)
{
    static struct sim s; /* large */
    struct sim_options o;
    sim_options_swarm(&o, seed, &set->choice);
    sim_init(&s, &o, set->events && !quiet);
    sim_run(&s);
    bool ok = !s.failed;
    *hash = s.hash;
    if (!quiet) run_cover = s.cover;
    if (!quiet && (set->verbose || (!ok && !set->find))) print_line(&s);
    if (!quiet && !ok && set->find && set->verbose) print_line(&s);
    sim_deinit(&s);
    return ok;
}

static bool run_seed(const struct settings *set, uint64_t seed, uint64_t *hash)
{
    bool ok = run_once(set, seed, false, hash);
    uint64_t again = 0;
    if (!ok && set->find && dun_mutation != 0) {
        int mutation = dun_mutation; /* the finding counts if it is the mutation's */
        dun_mutation = 0;
        ok = !run_once(set, seed, true, &again);
        dun_mutation = mutation;
    }
    if (!set->replay) return ok;
    bool ok_again = run_once(set, seed, true, &again);
    if (ok == ok_again && *hash == again) return ok;
    printf("seed=%" PRIu64 " REPLAY differs: digest=%016" PRIx64 " and %016" PRIx64 "\n", seed,
           *hash, again);
    fflush(stdout);
    return false;
}

static void tell(int fd, struct record r)
{
    if (write(fd, &r, sizeof r) != (ssize_t)sizeof r) _exit(2); /* the parent has gone */
}

/* For the end of a hunt and the speed only; a run knows virtual time alone. */
static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Seeds first + k * step below end. */
static void job(const struct settings *set, uint64_t seed, uint64_t end, uint64_t step, int fd)
{
    for (; seed < end && seconds() < set->until_s; seed += step) {
        tell(fd, (struct record){.seed = seed});
        uint64_t hash = 0;
        bool ok = run_seed(set, seed, &hash);
        tell(fd,
             (struct record){.seed = seed, .hash = hash, .state = ok ? 1 : 2, .cover = run_cover});
        if (!ok && set->find) break;
    }
}

struct worker {
    pid_t pid;
    int fd;
    uint64_t next, running;
    bool in_seed;
};

static bool spawn(struct worker *w, const struct settings *set, uint64_t end)
{
    int fds[2];
    if (pipe(fds) != 0) return false;
    fflush(stdout);
    w->pid = fork();
    if (w->pid < 0) return false;
    if (w->pid == 0) {
        close(fds[0]);
        if (set->find && !set->verbose && freopen("/dev/null", "w", stderr) == NULL) _exit(2);
        job(set, w->next, end, set->jobs, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    w->fd = fds[0];
    w->in_seed = false;
    return true;
}

struct totals {
    uint64_t passed, failed, first_found;
    struct sim_cover cover;                /* sums */
    uint64_t cover_seeds[SIM_COVER_COUNT]; /* seeds in which it happened at all */
};

static void count(struct totals *t, uint64_t seed, bool ok, const struct sim_cover *c)
{
    for (uint32_t i = 0; i < SIM_COVER_COUNT; i++) {
        t->cover.counts[i] += c->counts[i];
        t->cover_seeds[i] += c->counts[i] != 0;
    }
    if (ok)
        t->passed++;
    else
        t->failed++;
    if (!ok && (t->first_found == 0 || seed < t->first_found)) t->first_found = seed;
}

/* One record, or the end of the job: then what it was at has failed, and a new
 * job goes on behind it. false: nothing more to come from it. */
static bool worker_read(struct worker *w, const struct settings *set, uint64_t end,
                        struct totals *t)
{
    struct record r;
    ssize_t n = read(w->fd, &r, sizeof r);
    if (n == (ssize_t)sizeof r) {
        w->in_seed = r.state == 0;
        w->running = r.seed;
        if (r.state != 0) {
            w->next = r.seed + set->jobs;
            count(t, r.seed, r.state == 1, &r.cover);
        }
        return true;
    }
    int status = 0;
    close(w->fd);
    waitpid(w->pid, &status, 0);
    if (!w->in_seed) return false;
    count(t, w->running, false, &(struct sim_cover){{0}});
    if (!set->find)
        printf("seed=%" PRIu64 " commit=%s VIOLATION: the peers' code ended the process (%s %d)\n",
               w->running, DUN_GIT_COMMIT, WIFSIGNALED(status) ? "signal" : "status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    w->next = w->running + set->jobs;
    return !set->find && w->next < end && spawn(w, set, end);
}

static void print_totals(const struct settings *set, const struct totals *t, double spent_s)
{
    uint64_t all = t->passed + t->failed;
    for (uint32_t i = 0; all > 1 && i < SIM_COVER_COUNT; i++)
        printf("  %-20s %10" PRIu64 "  in %5.1f %% of the seeds\n", sim_cover_names[i],
               t->cover.counts[i], 100.0 * (double)t->cover_seeds[i] / (double)all);
    if (all > 1)
        printf("seeds from %" PRIu64 ", %.0f s, %.1f seeds/s, %u jobs\n", set->first, spent_s,
               (double)all / spent_s, set->jobs);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", t->passed, t->failed);
    if (t->failed == 0 || all == 1) return;
    printf("first failure: dunlin-sim --swarm %u --seed %" PRIu64, set->choice.swarm,
           t->first_found);
    if (set->choice.voters != 0) printf(" --voters %u", set->choice.voters);
    if (set->choice.loss_profile >= 0)
        printf(" --profile %s", set->choice.loss_profile != 0 ? "loss" : "default");
    printf(" --events\n");
}

static void print_progress(const struct totals *t, double spent_s)
{
    uint64_t all = t->passed + t->failed;
    fprintf(stderr, "%.0f min: %" PRIu64 " seeds, %" PRIu64 " failed, %.1f seeds/s\n", spent_s / 60,
            all, t->failed, (double)all / spent_s);
}

static int run_all(const struct settings *set)
{
    double begun_s = seconds(), told_s = begun_s;
    struct worker workers[JOBS_MAX] = {0};
    struct pollfd fds[JOBS_MAX];
    struct totals t = {0};
    uint64_t end = set->first + set->seeds;
    uint32_t alive = 0;
    for (uint32_t i = 0; i < set->jobs; i++) {
        workers[i].next = set->first + i;
        fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
        if (workers[i].next >= end) continue;
        if (!spawn(&workers[i], set, end)) {
            fprintf(stderr, "dunlin-sim: cannot start a job; use fewer --jobs\n");
            return 1;
        }
        fds[i].fd = workers[i].fd;
        alive++;
    }
    while (alive > 0 && !(set->find && t.failed > 0)) {
        if (poll(fds, set->jobs, -1) < 0 && errno != EINTR) return 1;
        if (seconds() - told_s >= PROGRESS_S) {
            told_s = seconds();
            print_progress(&t, told_s - begun_s);
        }
        for (uint32_t i = 0; i < set->jobs; i++) {
            if (fds[i].fd < 0 || (fds[i].revents & (POLLIN | POLLHUP)) == 0) continue;
            bool more = worker_read(&workers[i], set, end, &t);
            fds[i].fd = more ? workers[i].fd : -1;
            alive -= !more;
        }
    }
    if (set->find) {
        for (uint32_t i = 0; i < set->jobs; i++)
            if (fds[i].fd >= 0) kill(workers[i].pid, SIGKILL); /* our own jobs */
        printf("mutation=%s %s", mutations[dun_mutation].name,
               t.failed > 0 ? "found" : "NOT FOUND");
        if (t.failed > 0) printf(" seed=%" PRIu64, t.first_found);
        printf(" after %" PRIu64 " seeds\n", t.passed + t.failed);
        return t.failed > 0 ? 0 : 1;
    }
    print_totals(set, &t, seconds() - begun_s);
    return t.failed > 0 ? 1 : 0;
}

static int run_schedules(const struct settings *set)
{
    uint32_t passed = 0, failed = 0;
    for (uint32_t i = 0; i < sim_schedule_count; i++) {
        const struct sim_schedule *k = &sim_schedules[i];
        if (strcmp(set->schedule, "all") != 0 && strcmp(set->schedule, k->name) != 0) continue;
        bool ok = k->run(set->events);
        printf("%s %s\n", ok ? "ok" : "FAILED", k->name);
        fflush(stdout);
        passed += ok;
        failed += !ok;
    }
    if (passed + failed == 0) {
        fprintf(stderr, "dunlin-sim: no schedule '%s'; see --list-schedules\n", set->schedule);
        return USAGE;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0 ? 1 : 0;
}

static int list(const char *what)
{
    for (size_t i = 1; strcmp(what, "--list-mutations") == 0 && i < DUN_COUNT(mutations); i++)
        printf("%-22s %s\n", mutations[i].name, mutations[i].text);
    for (uint32_t i = 0; strcmp(what, "--list-schedules") == 0 && i < sim_schedule_count; i++)
        printf("%s\n", sim_schedules[i].name);
    return 0;
}

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = text == NULL ? 0 : strtoull(text, &end, 10);
    if (text == NULL || *text < '0' || *text > '9' || *end != '\0' || errno != 0 || v < min ||
        v > max)
        return false;
    *out = v;
    return true;
}

static bool flag(struct settings *set, const char *arg)
{
    bool *flags[] = {&set->events, &set->verbose, &set->find, &set->replay};
    static const char *const names[] = {"--events", "--verbose", "--find", "--replay"};
    for (size_t i = 0; i < DUN_COUNT(names); i++)
        if (strcmp(arg, names[i]) == 0) return *flags[i] = true;
    return false;
}

static bool option(struct settings *set, const char *arg, const char *value)
{
    uint64_t v = 0;
    if (value == NULL) return false;
    if (strcmp(arg, "--seeds") == 0) return number(value, 1, 1u << 30, &set->seeds);
    if (strcmp(arg, "--seed") == 0) return number(value, 1, UINT64_MAX / 2, &set->first);
    if (strcmp(arg, "--schedule") == 0) return (set->schedule = value) != NULL;
    if (strcmp(arg, "--minutes") == 0) return number(value, 1, 1u << 20, &set->minutes);
    if (strcmp(arg, "--swarm") == 0 && number(value, 1, SIM_SWARMS, &v))
        return (set->choice.swarm = (uint32_t)v) != 0;
    if (strcmp(arg, "--voters") == 0 && strcmp(value, "any") == 0) return true;
    if (strcmp(arg, "--voters") == 0 && number(value, 3, SIM_VOTERS_MAX, &v) && v % 2 == 1)
        return (set->choice.voters = (uint32_t)v) != 0;
    if (strcmp(arg, "--jobs") == 0 && number(value, 1, JOBS_MAX, &v))
        return (set->jobs = (uint32_t)v) != 0;
    if (strcmp(arg, "--profile") == 0) {
        set->choice.loss_profile = strcmp(value, "any") == 0 ? -1 : strcmp(value, "loss") == 0;
        return set->choice.loss_profile != 0 || strcmp(value, "default") == 0;
    }
    if (strcmp(arg, "--mutate") == 0)
        for (size_t i = 0; i < DUN_COUNT(mutations); i++)
            if (strcmp(value, mutations[i].name) == 0) {
                dun_mutation = (int)i;
                return true;
            }
    return false;
}

int main(int argc, char **argv)
{
    struct settings set = {.seeds = 1,
                           .first = 1,
                           .jobs = 1,
                           .choice = {.swarm = SIM_SWARMS, .loss_profile = -1},
                           .until_s = INFINITY};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list-mutations") == 0 || strcmp(argv[i], "--list-schedules") == 0)
            return list(argv[i]);
        if (flag(&set, argv[i])) continue;
        if (option(&set, argv[i], i + 1 < argc ? argv[i + 1] : NULL)) {
            i++;
            continue;
        }
        fprintf(stderr, "dunlin-sim: bad option or value at '%s'\n%s", argv[i], usage_text);
        return USAGE;
    }
    if (set.schedule != NULL) return run_schedules(&set);
    if (set.minutes != 0) {
        set.seeds = UINT64_MAX / 2;
        set.until_s = seconds() + 60.0 * (double)set.minutes;
    }
    return run_all(&set);
}
