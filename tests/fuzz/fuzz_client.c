/* tests/fuzz/fuzz_client.c: the C client and whatever a server tells it, whole and in pieces.
 * Claims: what the application sees and what is sent does not depend on how the
 * server's bytes arrive; each request is answered exactly once; numbers of one
 * subscription that do not follow each other are told as a gap.
 * Input: a mode byte, then what the server says. Mode modulo 3: 0 raw bytes after the
 * upgrade and a connect answer; 1 the same, each line a text frame; 2 raw from the first
 * byte. The rest of it: the size of the pieces. */
#include "tests/fuzz/fuzz.h"
#include "transport/client/client_session.h"

enum { NOW_MS = 1000, SUBS = 2, REQUESTS = 3, STREAM_MAX = 2048 };

struct app {
    struct client_session s;
    struct dun_prng prng;
    struct dun_buf trace; /* what the application saw */
    uint32_t answers[REQUESTS], asked;
    struct {
        bool known;   /* it has numbers */
        bool excused; /* a gap was told: the next message may have any */
        uint64_t seq; /* the highest so far, or where the subscription began */
    } at[SUBS];
};

static void note(struct app *a, const char *what, struct dun_slice text, uint64_t n)
{
    dun_buf_printf(&a->trace, "%s %llu ", what, (unsigned long long)n);
    dun_buf_slice(&a->trace, text);
    dun_buf_byte(&a->trace, '\n');
}

static size_t index_of(const struct client_sub *sub)
{
    size_t i = (size_t)(uintptr_t)sub->user;
    DUN_ASSERT(i < SUBS);
    return i;
}

static void on_connected(void *ctx, struct dun_slice id)
{
    note(ctx, "connected", id, 0);
}

static void on_subscribed(void *ctx, struct client_sub *sub, const struct client_subscribed *how)
{
    struct app *a = ctx;
    note(a, "subscribed", dun_slice_str(sub->at.epoch), sub->at.seq);
    note(a, how->recovered ? "recovered" : "-", dun_slice_str(sub->channel), how->recovered_count);
    a->at[index_of(sub)].known = sub->has_position;
    a->at[index_of(sub)].seq = sub->at.seq;
}

static void on_message(void *ctx, struct client_sub *sub, const struct client_message *m)
{
    struct app *a = ctx;
    size_t i = index_of(sub);
    note(a, m->recovered ? "message r" : "message", m->data, m->seq);
    note(a, "-", m->tags, m->time_ms);
    note(a, "-", m->info, i);
    if (m->seq == 0) return;
    if (a->at[i].known && !a->at[i].excused) DUN_ASSERT(m->seq == a->at[i].seq + 1);
    if (m->seq > a->at[i].seq) a->at[i].seq = m->seq;
    a->at[i].excused = false;
}

static void on_gap(void *ctx, struct client_sub *sub, const struct client_gap *g)
{
    struct app *a = ctx;
    note(a, "gap", g->reason, (uint64_t)g->kind);
    note(a, "-", dun_slice_str(sub->channel), g->from);
    note(a, "-", dun_slice_str(sub->channel), g->to);
    a->at[index_of(sub)].excused = true;
}

static void on_unsubscribed(void *ctx, struct client_sub *sub, uint32_t code,
                            struct dun_slice reason)
{
    note(ctx, sub->channel, reason, code);
}

static void on_answer(void *ctx, const struct client_answer *an)
{
    struct app *a = ctx;
    note(a, "answer", an->text, an->code);
    note(a, an->temporary ? "temporary" : "-", dun_slice_str(dun_err_text(an->e)), an->e == DUN_OK);
    DUN_ASSERT((an->e == DUN_OK) == (an->reply != NULL));
}

static void answered_0(void *ctx, const struct client_answer *an)
{
    ((struct app *)ctx)->answers[0]++;
    on_answer(ctx, an);
}

static void answered_1(void *ctx, const struct client_answer *an)
{
    ((struct app *)ctx)->answers[1]++;
    on_answer(ctx, an);
}

static void answered_2(void *ctx, const struct client_answer *an)
{
    ((struct app *)ctx)->answers[2]++;
    on_answer(ctx, an);
}

static void begin(struct app *a)
{
    static const struct client_position since = {"e", 3};
    struct client_sub *sub;
    const struct client_handlers h = {.ctx = a,
                                      .connected = on_connected,
                                      .subscribed = on_subscribed,
                                      .message = on_message,
                                      .gap = on_gap,
                                      .unsubscribed = on_unsubscribed};
    dun_prng_seed(&a->prng, 1);
    client_session_init(&a->s, &h, NULL, &a->prng);
    dun_err e = client_session_subscribe(&a->s, "a", NULL, (void *)(uintptr_t)0, &sub);
    DUN_ASSERT(e == DUN_OK);
    e = client_session_subscribe(&a->s, "room", &since, (void *)(uintptr_t)1, &sub);
    DUN_ASSERT(e == DUN_OK);
    client_session_open(&a->s, NOW_MS, "h", "");
    client_session_flush(&a->s);
}

static void feed(struct app *a, struct dun_slice bytes, size_t piece)
{
    struct dun_slice all = fuzz_copy(bytes);
    for (size_t at = 0; at < bytes.len && !a->s.end.ended; at += piece) {
        size_t n = bytes.len - at < piece ? bytes.len - at : piece;
        fuzz_arrived(all, at + n);
        client_session_recv(&a->s, NOW_MS, all.data + at, n);
    }
    fuzz_copy_free(all);
}

/* A server that says what it should, up to the answer to connect; then requests wait. */
static void connect_well(struct app *a)
{
    static const client_answer_cb cb[REQUESTS] = {answered_0, answered_1, answered_2};
    const struct cmd_history history = {.channel = {(const uint8_t *)"a", 1}, .limit = 9};
    struct dun_buf b = {0};
    ws_write_accept(&b, dun_slice_str(a->s.key), NULL);
    ws_write(&b, WS_TEXT,
             dun_slice_str("{\"id\":1,\"connect\":{\"client\":\"c\",\"ping\":25,\"pong\":true}}"),
             NULL);
    feed(a, dun_buf_view(&b), b.len);
    DUN_ASSERT(a->s.state == CLIENT_READY);
    for (; a->asked < REQUESTS; a->asked++) {
        dun_err e = a->asked == 1 ? client_session_history(&a->s, NOW_MS, &history, cb[1], a)
                                  : client_session_publish(&a->s, NOW_MS, dun_slice_str("a"),
                                                           dun_slice_str("1"), cb[a->asked], a);
        DUN_ASSERT(e == DUN_OK);
    }
    client_session_flush(&a->s);
    dun_buf_deinit(&b);
}

static void run(uint8_t mode, struct dun_slice said, size_t piece, struct dun_buf *trace)
{
    struct app *a = dun_calloc(1, sizeof *a);
    struct dun_buf framed = {0};
    begin(a);
    if (mode != 2) connect_well(a);
    while (mode == 1 && said.len > 0) {
        const uint8_t *end = memchr(said.data, '\n', said.len);
        size_t n = end == NULL ? said.len : (size_t)(end - said.data);
        ws_write(&framed, WS_TEXT, dun_slice(said.data, n), NULL);
        n += end != NULL;
        said = dun_slice(said.data + n, said.len - n);
    }
    bool whole = piece == STREAM_MAX; /* frames make it longer than that */
    feed(a, mode == 1 ? dun_buf_view(&framed) : said, whole && mode == 1 ? framed.len : piece);
    client_session_flush(&a->s);
    note(a, "end", dun_slice_str(a->s.end.text), (uint64_t)a->s.end.code);
    note(a, "out", dun_buf_view(&a->s.out), a->s.end.terminal);
    client_session_lost(&a->s, NOW_MS);
    for (uint32_t i = 0; i < REQUESTS; i++)
        DUN_ASSERT(a->answers[i] == (i < a->asked));
    dun_buf_slice(trace, dun_buf_view(&a->trace));
    client_session_deinit(&a->s);
    dun_buf_deinit(&framed);
    dun_buf_deinit(&a->trace);
    dun_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t mode = fuzz_u8(&in);
    struct dun_slice said = fuzz_take(&in, STREAM_MAX);
    struct dun_buf whole = {0}, pieces = {0};
    if (said.len == 0) return 0;
    run(mode % 3, said, STREAM_MAX, &whole);
    run(mode % 3, said, 1u + mode / 3, &pieces);
    DUN_ASSERT(dun_slice_eq(dun_buf_view(&whole), dun_buf_view(&pieces)));
    dun_buf_deinit(&pieces);
    dun_buf_deinit(&whole);
    return 0;
}
