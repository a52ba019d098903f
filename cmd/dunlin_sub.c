/* cmd/dunlin_sub.c: print a channel's messages until told to stop.
 * Messages go to stdout, one line each; what happens to the connection goes to
 * stderr, so a pipe gets data only. */
#include "cmd/dunlin_args.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "transport/client/client.h"
#include "transport/codec/utf8.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sub_tool {
    struct client *client;
    struct client_sub *sub;
    const char *channel;
    bool json, quiet, destroyed, ever_up, hinted;
    uint64_t count_max, count; /* count_max 0 = no end */
    int status;
    uv_signal_t signals[2];
    struct dun_buf line;
};

static void stop(struct sub_tool *t, int status)
{
    if (t->destroyed) return;
    t->destroyed = true;
    t->status = status;
    client_destroy(t->client, NULL, NULL);
    for (size_t i = 0; i < DUN_COUNT(t->signals); i++)
        uv_close((uv_handle_t *)&t->signals[i], NULL);
}

static void on_signal(uv_signal_t *s, int number)
{
    (void)number;
    stop(s->data, EXIT_FINE);
}

static void on_message(void *ctx, struct client_sub *sub, const struct client_message *m)
{
    struct sub_tool *t = ctx;
    struct dun_buf *b = &t->line;
    if (t->destroyed) return;
    b->len = 0;
    if (t->json) {
        dun_buf_str(b, "{\"channel\":");
        json_write_string(b, dun_slice_str(t->channel));
        dun_buf_str(b, ",\"epoch\":");
        json_write_string(b, dun_slice_str(sub->at.epoch));
        dun_buf_printf(b, ",\"seq\":%" PRIu64 ",\"time\":%" PRIu64, m->seq, m->time_ms);
        if (m->recovered) dun_buf_str(b, ",\"recovered\":true");
        if (m->tags.len > 0) {
            dun_buf_str(b, ",\"tags\":");
            dun_buf_slice(b, m->tags);
        }
        dun_buf_str(b, ",\"data\":");
        json_strip_newlines(b, m->data);
        dun_buf_byte(b, '}');
    } else {
        dun_buf_printf(b, "%" PRIu64 " ", m->seq);
        json_strip_newlines(b, m->data);
    }
    dun_buf_byte(b, '\n');
    size_t n = fwrite(b->data, 1, b->len, stdout);
    if (n != b->len || fflush(stdout) != 0) {
        stop(t, EXIT_FINE); /* the reader of our pipe has gone */
        return;
    }
    if (++t->count == t->count_max) stop(t, EXIT_FINE);
}

static void on_subscribed(void *ctx, struct client_sub *sub, const struct client_subscribed *how)
{
    struct sub_tool *t = ctx;
    t->ever_up = true;
    if (t->quiet) return;
    if (how->recovered) {
        fprintf(stderr, "recovered %" PRIu64 " messages after %s:%" PRIu64 " from %s\n",
                how->recovered_count, sub->at.epoch, sub->at.seq, client_url(t->client));
    } else {
        fprintf(stderr, "subscribed at %s:%" PRIu64 " on %s\n",
                sub->at.epoch[0] != '\0' ? sub->at.epoch : "-", sub->at.seq, client_url(t->client));
    }
}

static void on_gap(void *ctx, struct client_sub *sub, const struct client_gap *g)
{
    static const char *const kinds[] = {
        [CLIENT_GAP_UNRECOVERED] = "not recovered",
        [CLIENT_GAP_SKIPPED] = "out of order: skipped",
        [CLIENT_GAP_REPEATED] = "out of order: repeated",
    };
    struct sub_tool *t = ctx;
    fprintf(stderr, "gap in %s (%s): ", t->channel, kinds[g->kind]);
    if (g->from <= g->to) {
        fprintf(stderr, "messages %" PRIu64 " to %" PRIu64, g->from, g->to);
    } else {
        fputs("an unknown number of messages", stderr);
    }
    fprintf(stderr, ", reason %.*s; now at %s:%" PRIu64 "\n", (int)g->reason.len,
            (const char *)g->reason.data, sub->at.epoch, sub->at.seq);
}

static void on_unsubscribed(void *ctx, struct client_sub *sub, uint32_t code,
                            struct dun_slice reason)
{
    struct sub_tool *t = ctx;
    const char *hint = "";
    (void)sub;
    if (code == CMD_ERR_UNKNOWN_CHANNEL)
        hint = "; is the part before ':' a namespace in the server's configuration?";
    if (code == CMD_ERR_PERMISSION_DENIED) hint = "; the channel may need a --token";
    t->status =
        dunlin_fail(EXIT_REFUSED, "sub: %s ended the subscription: %u %.*s%s",
                    client_url(t->client), code, (int)reason.len, (const char *)reason.data, hint);
    stop(t, t->status);
}

static void on_retrying(void *ctx, uint64_t wait_ms, const char *text)
{
    struct sub_tool *t = ctx;
    if (t->quiet) return;
    if (wait_ms == 0) {
        fprintf(stderr, "%s; trying the next server\n", text);
    } else {
        fprintf(stderr, "%s; next attempt in %" PRIu64 " ms\n", text, wait_ms);
    }
    if (t->ever_up || t->hinted || wait_ms == 0) return;
    t->hinted = true;
    fputs("Is a server running there? Start one with dunlin dev, or name others with "
          "--server URL,URL. Ctrl-C ends this.\n",
          stderr);
}

static void on_closed(void *ctx, int code, const char *text)
{
    struct sub_tool *t = ctx;
    (void)code;
    stop(t, dunlin_fail(EXIT_REFUSED, "sub: %s", text));
}

/* "EPOCH:SEQ"; the epoch may hold colons itself. */
static bool parse_since(const char *text, struct client_position *out)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || (size_t)(colon - text) > CLIENT_EPOCH_MAX) return false;
    size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 19 || colon[1 + digits] != '\0') return false;
    memcpy(out->epoch, text, (size_t)(colon - text));
    out->epoch[colon - text] = '\0';
    out->seq = strtoull(colon + 1, NULL, 10);
    return utf8_valid(dun_slice_str(out->epoch));
}

static int run(struct sub_tool *t, const struct client_options *o,
               const struct client_position *since)
{
    uv_loop_t loop;
    char why[CLIENT_WHY_MAX];
    int rc = uv_loop_init(&loop);
    DUN_ASSERT(rc == 0);
    dun_err e = client_create(&loop, o, &t->client, why, sizeof why);
    if (e != DUN_OK) {
        (void)uv_loop_close(&loop);
        return dunlin_fail(EXIT_USAGE, "sub: %s", why);
    }
    static const int numbers[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < DUN_COUNT(numbers); i++) {
        (void)uv_signal_init(&loop, &t->signals[i]);
        t->signals[i].data = t;
        (void)uv_signal_start(&t->signals[i], on_signal, numbers[i]);
    }
    e = client_subscribe(t->client, t->channel, since, NULL, &t->sub);
    if (e != DUN_OK)
        stop(t,
             dunlin_fail(EXIT_USAGE, "sub: the channel \"%.60s\" must have 1 to %d bytes of UTF-8",
                         t->channel, DUN_CHANNEL_MAX));
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    rc = uv_loop_close(&loop);
    DUN_ASSERT(rc == 0);
    dun_buf_deinit(&t->line);
    return t->status;
}

int dunlin_sub(int argc, char **argv)
{
    struct dunlin_server s = DUNLIN_SERVER_DEFAULT;
    struct sub_tool t = {.status = EXIT_FINE};
    const char *since_text = NULL;
    const struct dunlin_opt opts[] = {
        DUNLIN_SERVER_OPTS(s),
        {"since", OPT_TEXT, "EPOCH:SEQ", "first the messages after that one", &since_text, 0, 0},
        {"count", OPT_NUMBER, "N", "stop after N messages", &t.count_max, 1, UINT64_MAX / 2},
        {"quiet", OPT_FLAG, NULL, "no notices about the connection", &t.quiet, 0, 0},
    };
    const struct dunlin_args args = {
        .usage = "sub CHANNEL [OPTION]...",
        .summary =
            "Prints one line per message, \"SEQ DATA\", until Ctrl-C. When the server dies it\n"
            "goes on with another one where it stopped.",
        .opts = opts,
        .opt_count = DUN_COUNT(opts),
        .words_min = 1,
        .words_max = 1,
    };
    struct dunlin_parsed p;
    struct client_position since;
    int status;
    if (!dunlin_args(&args, argc, argv, &p, &status)) return status;
    if (since_text != NULL && !parse_since(since_text, &since))
        return dunlin_fail(
            EXIT_USAGE, "sub: --since \"%s\" must be EPOCH:SEQ, as --json prints them", since_text);
    t.channel = p.words[0];
    t.json = s.json;
    const struct client_options o = {.servers = s.servers,
                                     .token = s.token,
                                     .handlers = {.ctx = &t,
                                                  .subscribed = on_subscribed,
                                                  .message = on_message,
                                                  .gap = on_gap,
                                                  .unsubscribed = on_unsubscribed},
                                     .retrying = on_retrying,
                                     .closed = on_closed};
    return run(&t, &o, since_text != NULL ? &since : NULL);
}
