/* cmd/dunlin_bench_overload.c: does overload by some harm the others?
 * Moderate clients listen to a publisher with a steady rate, all watched by this process; the load
 * comes from a child (dunlin_bench_overload_load.c). Their latency, from the publisher's clock to
 * the reader's, is measured in turns without and with the load, so that both see the same machine,
 * and the memory of the servers is sampled all the while. */
#include "cmd/dunlin_bench_overload.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "cmd/dunlin_bench_overload_figures.h"
#include "transport/codec/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    WATCH_PIDS_MAX = 8,
    WATCH_TICK_MS = 1,
    WATCH_MEMORY_MS = 50,
    WATCH_SETUP_MS = 30 * 1000,
    WATCH_ANSWER_MS = 120 * 1000, /* the longest command of the load */
    WATCH_SETTLE_MS = 300,
};

struct watch {
    const struct overload_options *o;
    uv_loop_t loop;
    struct crowd fast, publisher;
    uv_timer_t tick, timer;
    uv_prepare_t prepare;
    uv_poll_t poll;
    int fd;
    pid_t child;
    int awake_fd; /* -1: processors may sleep */
    struct figures figures;
    uint64_t begun_ns, sent, acked, memory_ms;
    struct crowd_codes errors;
    uint64_t pids[WATCH_PIDS_MAX];
    uint32_t pid_count;
    uint64_t rss_before, rss_peak, rss_last; /* of the largest server */
    bool publishing, timed_out, answered;
    char line[OVERLOAD_LINE_MAX]; /* the child's last answer */
    size_t line_len;
    struct dun_buf report; /* of each command */
};

/* ---- memory ---- */

static uint64_t anonymous_bytes(uint64_t pid)
{
    char path[64], line[256];
    uint64_t kib = 0;
    (void)snprintf(path, sizeof path, "/proc/%" PRIu64 "/status", pid);
    FILE *f = fopen(path, "re");
    if (f == NULL) return 0;
    while (fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "RssAnon: %" SCNu64, &kib) == 1) break;
    (void)fclose(f);
    return kib * 1024;
}

static void sample_memory(struct watch *w)
{
    w->rss_last = 0;
    for (uint32_t i = 0; i < w->pid_count; i++) {
        uint64_t bytes = anonymous_bytes(w->pids[i]);
        if (bytes > w->rss_last) w->rss_last = bytes;
    }
    if (w->rss_last > w->rss_peak) w->rss_peak = w->rss_last;
}

/* ---- the watched ---- */

static void on_message(void *ctx, struct crowd_conn *c, uint64_t sent_ns, uint64_t n)
{
    struct watch *w = ctx;
    uint64_t now = crowd_now_ns();
    (void)c;
    (void)n;
    if (now >= sent_ns) figures_sample(&w->figures, (double)(now - sent_ns) / 1e6);
}

static void on_answer(void *ctx, struct crowd_conn *c, uint32_t id, uint32_t code)
{
    struct watch *w = ctx;
    (void)c;
    (void)id;
    w->acked++;
    if (code != 0) crowd_codes_add(&w->errors, code);
}

static void publish_one(struct watch *w)
{
    char channel[OVERLOAD_NAME_MAX + 16];
    struct dun_buf b = {0};
    (void)snprintf(channel, sizeof channel, "%s%" PRIu64, w->o->channel, w->sent % w->o->channels);
    dun_buf_printf(&b, "{\"t\":%" PRIu64 ",\"n\":%" PRIu64 ",\"x\":\"", crowd_now_ns(), w->sent);
    while (b.len + 2 < w->o->size)
        dun_buf_byte(&b, 'x');
    dun_buf_str(&b, "\"}");
    struct crowd_conn *c = &w->publisher.conns[w->sent % w->publisher.o.count];
    if (crowd_publish(c, dun_slice_str(channel), dun_buf_view(&b), (uint32_t)w->sent + 3))
        w->sent++;
    dun_buf_deinit(&b);
}

static void on_tick(uv_timer_t *t)
{
    struct watch *w = t->data;
    uint64_t now = crowd_now_ns();
    if (now / 1000000 - w->memory_ms >= WATCH_MEMORY_MS) {
        w->memory_ms = now / 1000000;
        sample_memory(w);
    }
    if (!w->publishing) return;
    uint64_t due = (now - w->begun_ns) * w->o->rate / 1000000000u;
    if (w->sent < due) publish_one(w); /* at most one a tick: a late one is not made up for */
    if (w->sent + 1 < due) w->begun_ns = now - (w->sent + 1) * 1000000000u / w->o->rate;
}

static void on_prepare(uv_prepare_t *p)
{
    struct watch *w = p->data;
    crowd_flush(&w->publisher);
}

/* ---- the child ---- */

static void on_line(uv_poll_t *p, int status, int events)
{
    struct watch *w = p->data;
    (void)events;
    size_t room = sizeof w->line - w->line_len;
    ssize_t n = status == 0 && room > 0 ? read(w->fd, w->line + w->line_len, room) : 0;
    if (n <= 0) {
        (void)snprintf(w->line, sizeof w->line, "{\"error\":\"the load process ended\"}");
        w->answered = true;
        uv_poll_stop(p);
        return;
    }
    w->line_len += (size_t)n;
    if (w->line[w->line_len - 1] != '\n') return;
    w->line[w->line_len - 1] = '\0';
    w->answered = true;
}

static void on_timer(uv_timer_t *t)
{
    ((struct watch *)t->data)->timed_out = true;
}

/* Runs until @done or @ms are over; true if @done. */
static bool run_until(struct watch *w, bool (*done)(const struct watch *w), uint64_t ms)
{
    w->timed_out = false;
    uv_update_time(&w->loop);
    uv_timer_start(&w->timer, on_timer, ms, 0);
    while (!done(w) && !w->timed_out)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    uv_timer_stop(&w->timer);
    return done(w);
}

static bool never(const struct watch *w)
{
    (void)w;
    return false;
}

static bool all_up(const struct watch *w)
{
    return w->fast.live == w->fast.o.count && w->publisher.live == w->publisher.o.count;
}

static bool all_answered(const struct watch *w)
{
    return w->acked == w->sent;
}

static bool has_answer(const struct watch *w)
{
    return w->answered;
}

static void pass(struct watch *w, enum figures_phase phase, uint64_t ms)
{
    figures_phase(&w->figures, phase);
    (void)run_until(w, never, ms);
    figures_phase(&w->figures, FIGURES_NONE);
}

/* One command to the load, measured as @phase while it lasts. false: it went wrong. */
static bool command(struct watch *w, enum figures_phase phase, const char *name, uint64_t argument)
{
    char text[64];
    struct json_member error;
    int n = snprintf(text, sizeof text, "%s %" PRIu64, name, argument);
    w->answered = false;
    w->line_len = 0;
    if (write(w->fd, text, (size_t)n) != n) return false;
    figures_phase(&w->figures, phase);
    bool ok = run_until(w, has_answer, WATCH_ANSWER_MS);
    figures_phase(&w->figures, FIGURES_NONE);
    if (!ok) (void)snprintf(w->line, sizeof w->line, "{\"error\":\"no answer from the load\"}");
    dun_buf_printf(&w->report, "%s{\"command\":\"%s\",\"rss_mib\":%.1f,\"result\":%s}",
                   w->report.len == 0 ? "" : ",", name, (double)w->rss_last / (1 << 20), w->line);
    return json_find(dun_slice_str(w->line), "error", &error) && dun_slice_is(error.value, "\"\"");
}

static uint64_t number(const struct watch *w, const char *name)
{
    struct json_member m;
    uint64_t v = 0;
    if (!json_find(dun_slice_str(w->line), name, &m) || json_get_u64(m.value, &v) != DUN_OK)
        return 0;
    return v;
}

/* ---- the courses of events ---- */

static bool run_slow(struct watch *w)
{
    uint64_t ms = w->o->seconds * 1000;
    while (figures_round(&w->figures)) {
        pass(w, FIGURES_CALM, ms);
        if (!command(w, FIGURES_NONE, "open", 0) || !command(w, FIGURES_NONE, "stop", 0))
            return false;
        pass(w, FIGURES_NONE, WATCH_SETTLE_MS);
        pass(w, FIGURES_LOADED, ms);
        if (!command(w, FIGURES_AFTER, "resume", w->fast.conns[0].seq)) return false;
        if (!command(w, FIGURES_NONE, "drop", 0)) return false;
    }
    return true;
}

static bool run_storm(struct watch *w)
{
    if (!command(w, FIGURES_NONE, "open", 0) || !command(w, FIGURES_NONE, "capacity", 0))
        return false;
    uint64_t rate = number(w, "capacity_per_s") * w->o->factor / 100;
    while (figures_round(&w->figures)) {
        uint64_t begun_ms = crowd_now_ns() / 1000000;
        if (!command(w, FIGURES_LOADED, "storm", rate)) return false;
        uint64_t took_ms = crowd_now_ns() / 1000000 - begun_ms; /* the answers come late */
        pass(w, FIGURES_NONE, WATCH_SETTLE_MS);
        pass(w, FIGURES_CALM, took_ms);
    }
    return true;
}

static bool run_crowd(struct watch *w)
{
    while (figures_round(&w->figures)) {
        pass(w, FIGURES_CALM, w->o->seconds * 1000);
        if (!command(w, FIGURES_AFTER, "open", 0)) return false;
        if (!command(w, FIGURES_AFTER, "publish", 1)) return false;
        pass(w, FIGURES_LOADED, w->o->seconds * 1000);
        if (!command(w, FIGURES_NONE, "drop", 0)) return false;
        pass(w, FIGURES_NONE, WATCH_SETTLE_MS);
    }
    return true;
}

static bool run_reconnect(struct watch *w)
{
    if (!command(w, FIGURES_NONE, "publish", 1) || !command(w, FIGURES_NONE, "open", 0))
        return false;
    while (figures_round(&w->figures)) {
        if (!command(w, FIGURES_NONE, "drop", 0)) return false;
        if (!command(w, FIGURES_NONE, "publish", w->o->behind)) return false;
        pass(w, FIGURES_NONE, WATCH_SETTLE_MS);
        pass(w, FIGURES_CALM, w->o->seconds * 1000);
        if (!command(w, FIGURES_LOADED, "open", 0)) return false;
    }
    return true;
}

/* ---- figures ---- */

static void report(struct watch *w, bool ok)
{
    struct dun_buf codes = {0}, figures = {0};
    const double mib = 1 << 20, before = (double)w->rss_before / mib,
                 peak = (double)w->rss_peak / mib, last = (double)w->rss_last / mib;
    crowd_codes_json(&w->errors, &codes);
    figures_finish(&w->figures);
    if (w->o->server.json) {
        figures_json(&w->figures, &figures);
    } else {
        figures_text(&w->figures, &figures);
    }
    dun_buf_byte(&codes, '\0');
    dun_buf_byte(&figures, '\0');
    dun_buf_byte(&w->report, '\0');
    if (w->o->server.json) {
        printf("{\"ok\":%s,%s,\"rss_mib\":{\"before\":%.1f,\"peak\":%.1f,\"now\":%.1f}"
               ",\"published\":%" PRIu64 ",\"unanswered\":%" PRIu64
               ",\"errors\":%s,\"wrong\":%" PRIu64 ",\"error\":\"%s\",\"load\":[%s]}\n",
               ok ? "true" : "false", (const char *)figures.data, before, peak, last, w->sent,
               w->sent - w->acked, (const char *)codes.data,
               w->fast.wrong + w->publisher.wrong + w->fast.closes.count, ok ? "" : "see load",
               (const char *)w->report.data);
    } else {
        printf("%smemory of the largest server: %.1f MiB before, %.1f MiB at most, %.1f MiB now\n"
               "watched clients: %" PRIu64 " published, errors %s, %" PRIu64 " wrong\n%s\n",
               (const char *)figures.data, before, peak, last, w->sent, (const char *)codes.data,
               w->fast.wrong, (const char *)w->report.data);
    }
    dun_buf_deinit(&codes);
    dun_buf_deinit(&figures);
}

/* ---- life ---- */

/* A processor of a virtual machine that sleeps is given to others, and to get it back takes
 * milliseconds at times. A busy cluster wakes processors far more often than a calm one, so without
 * this their ratio is one of the hypervisor. Source: the kernel's PM QoS interface: while the file
 * is open with 0 in it, idle processors poll. */
static bool stay_awake(struct watch *w)
{
    const int32_t latency_us = 0;
    w->awake_fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
    return w->awake_fd >= 0 &&
           write(w->awake_fd, &latency_us, sizeof latency_us) == (ssize_t)sizeof latency_us;
}

static bool start_child(struct watch *w)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return false;
    w->child = fork();
    if (w->child == 0) {
        (void)close(fds[0]);
        overload_load(w->o, fds[1]);
    }
    (void)close(fds[1]);
    w->fd = fds[0];
    return w->child > 0;
}

static void start_loop(struct watch *w)
{
    int rc = uv_loop_init(&w->loop);
    DUN_ASSERT(rc == 0);
    w->tick.data = w->timer.data = w->poll.data = w->prepare.data = w;
    uv_timer_init(&w->loop, &w->tick);
    uv_timer_init(&w->loop, &w->timer);
    uv_prepare_init(&w->loop, &w->prepare);
    rc = uv_poll_init(&w->loop, &w->poll, w->fd);
    DUN_ASSERT(rc == 0);
    uv_poll_start(&w->poll, UV_READABLE, on_line);
    uv_timer_start(&w->tick, on_tick, WATCH_TICK_MS, WATCH_TICK_MS);
    uv_prepare_start(&w->prepare, on_prepare);
}

static bool start_watch(struct watch *w)
{
    const struct overload_options *o = w->o;
    struct crowd_options c = {.servers = &o->servers,
                              .channel = o->channel,
                              .token = o->server.token,
                              .count = (uint32_t)o->watched,
                              .channels = (uint32_t)o->channels,
                              .connecting_max = 64,
                              .ctx = w,
                              .message = on_message,
                              .answer = on_answer};
    if (!crowd_init(&w->fast, &w->loop, &c)) return false;
    c.channel = NULL;
    c.count = o->servers.count;
    if (!crowd_init(&w->publisher, &w->loop, &c)) return false;
    crowd_open(&w->fast);
    crowd_open(&w->publisher);
    return run_until(w, all_up, WATCH_SETUP_MS);
}

static void stop(struct watch *w)
{
    crowd_drop(&w->fast);
    crowd_drop(&w->publisher);
    uv_close((uv_handle_t *)&w->tick, NULL);
    uv_close((uv_handle_t *)&w->timer, NULL);
    uv_close((uv_handle_t *)&w->prepare, NULL);
    uv_close((uv_handle_t *)&w->poll, NULL);
    while (uv_loop_alive(&w->loop))
        (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&w->loop);
    DUN_ASSERT(rc == 0);
    crowd_deinit(&w->fast);
    crowd_deinit(&w->publisher);
    dun_buf_deinit(&w->report);
    (void)close(w->fd); /* ends the child */
    (void)waitpid(w->child, NULL, 0);
}

static void measure(struct watch *w, bool *ok)
{
    sample_memory(w);
    w->rss_before = w->rss_peak = w->rss_last;
    w->begun_ns = crowd_now_ns();
    w->publishing = true;
    pass(w, FIGURES_NONE, WATCH_SETTLE_MS);
    switch (w->o->kind) {
    case OVERLOAD_SLOW: *ok = run_slow(w); break;
    case OVERLOAD_STORM: *ok = run_storm(w); break;
    case OVERLOAD_CROWD: *ok = run_crowd(w); break;
    case OVERLOAD_RECONNECT: *ok = run_reconnect(w); break;
    }
    w->publishing = false;
    (void)run_until(w, all_answered, WATCH_SETUP_MS);
}

static int run(struct watch *w)
{
    bool ok = false;
    int status;
    if (w->o->awake && !stay_awake(w))
        return dunlin_fail(EXIT_SYSTEM,
                           "bench overload: --awake: /dev/cpu_dma_latency: %s; be root, or leave "
                           "it out",
                           strerror(errno));
    if (!start_child(w)) return dunlin_fail(EXIT_SYSTEM, "bench overload: cannot fork");
    start_loop(w);
    if (start_watch(w)) {
        measure(w, &ok);
        report(w, ok);
        status = ok ? EXIT_FINE : EXIT_REFUSED;
    } else {
        status = dunlin_fail(EXIT_UNAVAILABLE, "bench overload: the watched clients are not up; %s",
                             w->fast.error[0] != '\0' ? w->fast.error : "is the server ready?");
    }
    stop(w);
    if (w->awake_fd >= 0) (void)close(w->awake_fd);
    return status;
}

static bool parse_pids(struct watch *w, const char *text)
{
    while (text != NULL && *text != '\0' && w->pid_count < WATCH_PIDS_MAX) {
        char *end;
        unsigned long long v = strtoull(text, &end, 10);
        if (end == text || (*end != '\0' && *end != ',') || anonymous_bytes(v) == 0) return false;
        w->pids[w->pid_count++] = v;
        text = *end == ',' ? end + 1 : end;
    }
    return text == NULL || *text == '\0';
}

static bool parse_kind(const char *word, enum overload_kind *out)
{
    static const char *const names[] = {"slow", "storm", "crowd", "reconnect"};
    for (size_t i = 0; i < DUN_COUNT(names); i++) {
        if (strcmp(word, names[i]) != 0) continue;
        *out = (enum overload_kind)i;
        return true;
    }
    return false;
}

int dunlin_bench_overload(int argc, char **argv)
{
    struct overload_options o = {.server = DUNLIN_SERVER_DEFAULT,
                                 .channel = "bench",
                                 .watched = 200,
                                 .rate = 100,
                                 .channels = 4,
                                 .size = 200,
                                 .load = 100,
                                 .seconds = 3,
                                 .rounds = 3,
                                 .behind = 100,
                                 .factor = 300,
                                 .message_max = 8 << 20};
    const char *pids = NULL;
    const struct dunlin_opt opts[] = {
        DUNLIN_SERVER_OPTS(o.server),
        {"pid", OPT_TEXT, "PID,...", "the servers' processes, to sample their memory", &pids, 0, 0},
        {"channel", OPT_TEXT, "NAME", "to: NAME0, NAME1, ...; never used before (bench)",
         &o.channel, 0, 0},
        {"channels", OPT_NUMBER, "N", "how many (4)", &o.channels, 1, 1000},
        {"watched", OPT_NUMBER, "N", "moderate clients, whose latency is measured (200)",
         &o.watched, 1, CROWD_MAX},
        {"rate", OPT_NUMBER, "N", "messages a second to them (100)", &o.rate, 1, 1000},
        {"size", OPT_NUMBER, "BYTES", "of a message (200)", &o.size, 64, 60000},
        {"load", OPT_NUMBER, "N", "connections of the load (100)", &o.load, 1, CROWD_MAX},
        {"seconds", OPT_NUMBER, "S", "of one measurement (3)", &o.seconds, 1, 600},
        {"rounds", OPT_NUMBER, "N", "measurements without and with load, in turns (3)", &o.rounds,
         1, FIGURES_ROUNDS_MAX},
        {"repeats", OPT_NUMBER, "N",
         "of rounds in which a hypervisor took over 1 % of the "
         "processors: not counted, at most N (0)",
         &o.repeats, 0, FIGURES_ROUNDS_MAX},
        {"behind", OPT_NUMBER, "N", "reconnect: messages that each missed (100)", &o.behind, 1,
         100000},
        {"factor", OPT_NUMBER, "PERCENT", "storm: of the measured capacity (300)", &o.factor, 1,
         10000},
        {"idle", OPT_FLAG, NULL, "the load takes no processor time from the servers", &o.idle, 0,
         0},
        {"awake", OPT_FLAG, NULL,
         "the processors never sleep: on a virtual machine it is the "
         "hypervisor that is measured else",
         &o.awake, 0, 0},
    };
    const struct dunlin_args args = {
        .usage = "bench overload slow|storm|crowd|reconnect [OPTION]...",
        .summary = "Overloads a cluster and measures what the other clients notice.\n"
                   "  slow       --load clients stop reading, later read on\n"
                   "  storm      more publishes than the cluster can commit\n"
                   "  crowd      --load connections, then a message to all of them\n"
                   "  reconnect  --load clients come back at once, each --behind messages late",
        .opts = opts,
        .opt_count = DUN_COUNT(opts),
        .words_min = 1,
        .words_max = 1,
    };
    struct dunlin_parsed p;
    char why[CLIENT_WHY_MAX];
    int status;
    if (!dunlin_args(&args, argc, argv, &p, &status)) return status;
    if (!parse_kind(p.words[0], &o.kind))
        return dunlin_fail(EXIT_USAGE,
                           "bench overload: unknown kind \"%s\"; one of slow, storm, "
                           "crowd, reconnect",
                           p.words[0]);
    if (client_servers_parse(&o.servers, o.server.servers, why, sizeof why) != DUN_OK)
        return dunlin_fail(EXIT_USAGE, "bench overload: %s", why);
    if (strlen(o.channel) > OVERLOAD_NAME_MAX)
        return dunlin_fail(EXIT_USAGE, "bench overload: --channel is too long");
    if (o.kind == OVERLOAD_SLOW) o.channels = 1; /* the stopped ones among the watched */
    struct watch *w = dun_calloc(1, sizeof *w);
    w->o = &o;
    w->awake_fd = -1;
    figures_init(&w->figures, (uint32_t)o.rounds, (uint32_t)o.repeats);
    if (!parse_pids(w, pids)) {
        status = dunlin_fail(EXIT_USAGE, "bench overload: --pid: no such process in \"%s\"", pids);
    } else {
        status = run(w);
    }
    figures_deinit(&w->figures);
    dun_free(w);
    return status;
}
