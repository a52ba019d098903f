/* cmd/dunlin_bench_recover.c: what clients and publishers notice when a peer dies.
 * Subscribers with the full client library begin at the servers in turns. There are several
 * channels, so that the killed peer was the primary of some, each with a publisher that
 * sends one message after the other through HTTP, with idempotency keys. Then one peer is
 * killed with SIGKILL. Measured: the longest time a channel had no acknowledged publish, how
 * long each of the peer's subscribers took to be subscribed again, and whether any message
 * was lost, repeated or out of order. */
#include "cmd/dunlin_args.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "cmd/dunlin_bench_pool.h"
#include "transport/client/client_http.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECOVER_CLIENTS_MAX = 2000, /* each has buffers of its own, about 130 KiB */
    RECOVER_BEFORE_MS = 1000,
    RECOVER_SETUP_MS = 30 * 1000,
    RECOVER_SETTLE_MS = 20 * 1000, /* for the last message to arrive everywhere */
    RECOVER_PACE_MS = 10,          /* between an answer and the next publish */
    RECOVER_FEEDS = 16,            /* channels: every peer is the primary of some, nearly surely */
};

struct recover;

struct recover_feed {
    struct recover *all;
    char channel[DUN_CHANNEL_MAX + 8];
    uint64_t last_seq;
    double last_ack_s;
    bool in_flight;
    uv_timer_t pace;
};

struct recover_client {
    struct recover *all;
    struct recover_feed *feed;
    struct client *client;
    struct client_sub *sub;
    uint64_t first, last, received, wrong; /* seq; count; out of order */
    bool up, was_lost;
    double resumed_s; /* after the kill; 0 = not yet */
};

struct recover {
    uv_loop_t loop;
    struct dunlin_server s;
    struct client_servers servers;
    struct dun_prng prng;
    struct recover_client *clients;
    uint64_t count, pid, after_ms;
    const char *channel;
    uint32_t up;
    struct recover_feed feeds[RECOVER_FEEDS];
    bool publishing, failed;
    uint64_t acked, attempts;
    double killed_s, gap_s;
    uv_timer_t timer;
    bool timer_over;
    char error[CLIENT_URL_MAX + CLIENT_WHY_MAX];
};

static void publish_next(struct recover_feed *f);

static void fail(struct recover *r, const char *text)
{
    if (r->failed) return;
    r->failed = true;
    (void)snprintf(r->error, sizeof r->error, "%s", text);
}

/* ---- subscribers ---- */

static void on_subscribed(void *ctx, struct client_sub *sub, const struct client_subscribed *how)
{
    struct recover_client *c = ctx;
    (void)sub;
    (void)how;
    if (!c->up) c->all->up++;
    c->up = true;
    if (c->was_lost && c->resumed_s <= 0) c->resumed_s = bench_seconds() - c->all->killed_s;
}

static void on_retrying(void *ctx, uint64_t wait_ms, const char *text)
{
    struct recover_client *c = ctx;
    (void)wait_ms;
    if (c->up) c->all->up--;
    c->up = false;
    if (c->all->killed_s > 0) {
        c->was_lost = true;
    } else {
        fail(c->all, text);
    }
}

static void on_message(void *ctx, struct client_sub *sub, const struct client_message *m)
{
    struct recover_client *c = ctx;
    (void)sub;
    if (c->first == 0) {
        c->first = m->seq;
    } else if (m->seq != c->last + 1) {
        c->wrong++;
    }
    c->last = m->seq;
    c->received++;
}

static void on_unsubscribed(void *ctx, struct client_sub *sub, uint32_t code,
                            struct dun_slice reason)
{
    struct recover_client *c = ctx;
    char text[200];
    (void)sub;
    (void)snprintf(text, sizeof text, "a subscription ended: %u %.*s", code,
                   (int)(reason.len < 150 ? reason.len : 150), (const char *)reason.data);
    fail(c->all, text);
}

static void on_closed(void *ctx, int code, const char *text)
{
    struct recover_client *c = ctx;
    (void)code;
    fail(c->all, text);
}

/* ---- the publisher ---- */

static void on_pace(uv_timer_t *t)
{
    publish_next(t->data);
}

static void on_published(void *ctx, const struct client_http_result *res)
{
    struct recover_feed *f = ctx;
    struct recover *r = f->all;
    struct json_member result, offset;
    double now = bench_seconds();
    char text[200];
    f->in_flight = false;
    r->attempts += res->attempts;
    if (res->e != DUN_OK) {
        fail(r, res->why);
        return;
    }
    if (json_check_type(res->body, JSON_OBJECT) != DUN_OK ||
        !json_find(res->body, "result", &result) || !json_find(result.value, "offset", &offset) ||
        json_get_u64(offset.value, &f->last_seq) != DUN_OK) {
        (void)snprintf(text, sizeof text, "a publish was answered with HTTP %d %.*s", res->status,
                       (int)(res->body.len < 120 ? res->body.len : 120),
                       (const char *)res->body.data);
        fail(r, text);
        return;
    }
    r->acked++;
    if (r->killed_s > 0) {
        double since = f->last_ack_s > r->killed_s ? f->last_ack_s : r->killed_s;
        if (now - since > r->gap_s) r->gap_s = now - since;
    }
    f->last_ack_s = now;
    if (r->publishing) uv_timer_start(&f->pace, on_pace, RECOVER_PACE_MS, 0);
}

static void publish_next(struct recover_feed *f)
{
    struct recover *r = f->all;
    char key[CLIENT_KEY_LEN + 1], data[64];
    struct dun_buf body = {0};
    client_publish_key(key);
    (void)snprintf(data, sizeof data, "{\"n\":%" PRIu64 "}", r->acked);
    client_publish_body(&body, dun_slice_str(f->channel), dun_slice_str(data), key);
    const struct client_http_options o = {.servers = &r->servers,
                                          .method = "POST",
                                          .path = "/api/publish",
                                          .body = dun_buf_view(&body),
                                          .api_key = r->s.api_key,
                                          .connect_ms = 500,
                                          .answer_ms = 5000,
                                          .max_ms = 20 * 1000};
    f->in_flight = true;
    (void)client_http_start(&r->loop, &o, &r->prng, on_published, f);
    dun_buf_deinit(&body);
}

/* ---- the course of events ---- */

static void on_timer(uv_timer_t *t)
{
    struct recover *r = t->data;
    r->timer_over = true;
}

static bool all_up(const struct recover *r)
{
    return r->up == r->count;
}

static bool all_read(const struct recover *r)
{
    for (uint64_t i = 0; i < r->count; i++)
        if (r->clients[i].last < r->clients[i].feed->last_seq) return false;
    for (int i = 0; i < RECOVER_FEEDS; i++)
        if (r->feeds[i].in_flight) return false;
    return true;
}

static bool never(const struct recover *r)
{
    (void)r;
    return false;
}

/* Runs the loop until @done, a failure, or @ms have passed; true if @done. */
static bool run_until(struct recover *r, bool (*done)(const struct recover *r), uint64_t ms)
{
    r->timer_over = false;
    uv_update_time(&r->loop);
    uv_timer_start(&r->timer, on_timer, ms, 0);
    while (!done(r) && !r->timer_over && !r->failed)
        (void)uv_run(&r->loop, UV_RUN_ONCE);
    uv_timer_stop(&r->timer);
    return done(r) && !r->failed;
}

/* The index of the server that client @i begins with: in turns, so that the peer to be killed has
 * its share even of few clients. Reserves are nobody's first. */
static uint32_t first_server(const struct client_servers *s, uint64_t i)
{
    uint32_t usable = 0;
    for (uint32_t k = 0; k < s->count; k++)
        usable += s->list[k].weight > 0;
    uint64_t rank = i % usable;
    for (uint32_t k = 0; k < s->count; k++)
        if (s->list[k].weight > 0 && rank-- == 0) return k;
    DUN_UNREACHABLE();
}

/* @out: the server list of a client that begins with @first and has the others in reserve. */
static void servers_from(struct dun_buf *out, const struct client_servers *s, uint32_t first)
{
    for (uint32_t k = 0; k < s->count; k++) {
        if (k > 0) dun_buf_byte(out, ',');
        dun_buf_str(out, s->list[k].url);
        dun_buf_str(out, k == first ? "=1" : "=0");
    }
    dun_buf_byte(out, '\0');
}

static void start_clients(struct recover *r)
{
    struct dun_buf servers = {0};
    for (uint64_t i = 0; i < r->count && !r->failed; i++) {
        struct recover_client *c = &r->clients[i];
        char why[CLIENT_WHY_MAX];
        c->all = r;
        c->feed = &r->feeds[i % RECOVER_FEEDS];
        dun_buf_drop_front(&servers, servers.len);
        /* the second term: a channel's clients are not all at one server, whatever their number */
        servers_from(&servers, &r->servers, first_server(&r->servers, i + i / RECOVER_FEEDS));
        const struct client_options o = {.servers = (const char *)dun_buf_view(&servers).data,
                                         .token = r->s.token,
                                         .connect_ms = 500,
                                         .handlers = {.ctx = c,
                                                      .subscribed = on_subscribed,
                                                      .message = on_message,
                                                      .unsubscribed = on_unsubscribed},
                                         .retrying = on_retrying,
                                         .closed = on_closed};
        if (client_create(&r->loop, &o, &c->client, why, sizeof why) != DUN_OK) fail(r, why);
        if (!r->failed &&
            client_subscribe(c->client, c->feed->channel, NULL, NULL, &c->sub) != DUN_OK)
            fail(r, "the channel name is not allowed");
    }
    dun_buf_deinit(&servers);
}

static int run(struct recover *r)
{
    start_clients(r);
    if (!run_until(r, all_up, RECOVER_SETUP_MS))
        return dunlin_fail(EXIT_UNAVAILABLE, "bench recover: %s",
                           r->failed ? r->error : "not all subscribers were up after 30 s");
    r->publishing = true;
    for (int i = 0; i < RECOVER_FEEDS; i++)
        publish_next(&r->feeds[i]);
    (void)run_until(r, never, RECOVER_BEFORE_MS);
    if (!r->failed && kill((pid_t)r->pid, SIGKILL) != 0)
        return dunlin_fail(EXIT_USAGE, "bench recover: cannot kill process %" PRIu64 ": %s", r->pid,
                           strerror(errno));
    r->killed_s = bench_seconds();
    (void)run_until(r, never, r->after_ms);
    r->publishing = false;
    if (!run_until(r, all_read, RECOVER_SETTLE_MS) && r->failed)
        return dunlin_fail(EXIT_REFUSED, "bench recover: %s", r->error);
    return EXIT_FINE;
}

static void report(struct recover *r)
{
    double *ms = dun_calloc(r->count, sizeof *ms);
    uint64_t hit = 0, resumed = 0, wrong = 0, behind = 0;
    for (uint64_t i = 0; i < r->count; i++) {
        const struct recover_client *c = &r->clients[i];
        hit += c->was_lost;
        wrong += c->wrong;
        behind += c->last < c->feed->last_seq;
        if (c->resumed_s > 0) ms[resumed++] = c->resumed_s * 1000;
    }
    bench_sort(ms, resumed);
    double p50 = resumed > 0 ? bench_quantile(ms, resumed, 50) : 0;
    double p99 = resumed > 0 ? bench_quantile(ms, resumed, 99) : 0;
    if (r->s.json) {
        printf("{\"clients\":%" PRIu64 ",\"disconnected\":%" PRIu64 ",\"resumed\":%" PRIu64
               ",\"resumed_ms\":{\"p50\":%.0f,\"p99\":%.0f},\"publish_gap_ms\":%.0f,"
               "\"messages\":%" PRIu64 ",\"attempts\":%" PRIu64 ",\"out_of_order\":%" PRIu64
               ",\"behind\":%" PRIu64 "}\n",
               r->count, hit, resumed, p50, p99, r->gap_s * 1000, r->acked, r->attempts, wrong,
               behind);
    } else {
        printf("%" PRIu64 " of %" PRIu64 " subscribers lost their peer; %" PRIu64 " resumed\n"
               "resumed after the kill:   p50 %.0f ms, p99 %.0f ms\n"
               "longest time a channel had no acknowledged publish: %.0f ms\n"
               "messages: %" PRIu64 " acknowledged in %" PRIu64 " attempts; %" PRIu64
               " lost, repeated or out of order; %" PRIu64 " subscribers without the last one\n",
               hit, r->count, resumed, p50, p99, r->gap_s * 1000, r->acked, r->attempts, wrong,
               behind);
    }
    dun_free(ms);
}

static int whole_run(struct recover *r)
{
    int rc = uv_loop_init(&r->loop);
    DUN_ASSERT(rc == 0);
    for (int i = 0; i < RECOVER_FEEDS; i++) {
        struct recover_feed *f = &r->feeds[i];
        f->all = r;
        (void)snprintf(f->channel, sizeof f->channel, "%s%d", r->channel, i);
        (void)uv_timer_init(&r->loop, &f->pace);
        f->pace.data = f;
    }
    (void)uv_timer_init(&r->loop, &r->timer);
    r->timer.data = r;
    r->clients = dun_calloc(r->count, sizeof *r->clients);
    client_seed(&r->prng);
    int status = run(r);
    if (status == EXIT_FINE) report(r);
    r->publishing = false;
    for (uint64_t i = 0; i < r->count; i++)
        if (r->clients[i].client != NULL) client_destroy(r->clients[i].client, NULL, NULL);
    for (int i = 0; i < RECOVER_FEEDS; i++)
        uv_close((uv_handle_t *)&r->feeds[i].pace, NULL);
    uv_close((uv_handle_t *)&r->timer, NULL);
    while (uv_loop_alive(&r->loop))
        (void)uv_run(&r->loop, UV_RUN_DEFAULT);
    rc = uv_loop_close(&r->loop);
    DUN_ASSERT(rc == 0);
    dun_free(r->clients);
    return status;
}

int dunlin_bench_recover(int argc, char **argv)
{
    struct recover *r = dun_calloc(1, sizeof *r);
    r->s = (struct dunlin_server)DUNLIN_SERVER_DEFAULT;
    r->count = 300;
    r->after_ms = 5000;
    r->channel = "bench";
    const struct dunlin_opt opts[] = {
        DUNLIN_SERVER_OPTS(r->s),
        {"pid", OPT_NUMBER, "PID", "the peer to kill with SIGKILL; required", &r->pid, 2, 1u << 30},
        {"clients", OPT_NUMBER, "N", "subscribers (300)", &r->count, 1, RECOVER_CLIENTS_MAX},
        {"after", OPT_NUMBER, "MS", "go on publishing that long after the kill (5000)",
         &r->after_ms, 100, 600 * 1000},
        {"channel", OPT_TEXT, "NAME", "where to: NAME0, NAME1, ... (bench)", &r->channel, 0, 0},
    };
    const struct dunlin_args args = {
        .usage = "bench recover --pid PID --server URL,URL,URL [OPTION]...",
        .summary = "Kills a peer while clients listen and one publishes, and measures the gap.",
        .opts = opts,
        .opt_count = DUN_COUNT(opts),
    };
    struct dunlin_parsed p;
    char why[CLIENT_WHY_MAX];
    int status;
    if (dunlin_args(&args, argc, argv, &p, &status)) {
        if (client_servers_parse(&r->servers, r->s.servers, why, sizeof why) != DUN_OK) {
            status = dunlin_fail(EXIT_USAGE, "bench recover: %s", why);
        } else if (r->pid == 0) {
            status = dunlin_fail(EXIT_USAGE, "bench recover: --pid PID is missing; dunlin dev "
                                             "prints the pid of each peer");
        } else if (strlen(r->channel) + 4 > DUN_CHANNEL_MAX) {
            status = dunlin_fail(EXIT_USAGE, "bench recover: --channel is too long");
        } else if (r->servers.count < 2) {
            status = dunlin_fail(EXIT_USAGE, "bench recover: --server must name at least two "
                                             "servers, or there is nobody to go on with");
        } else {
            status = whole_run(r);
        }
    }
    dun_free(r);
    return status;
}
