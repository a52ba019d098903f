/* tests/fuzz/fuzz_resume.c: resume tokens (Last-Event-ID, last_event_id) of SSE.
 * Claim: whatever the token, the stream is the log after the position it names,
 * without gap or repeat, or it begins with a gap event.
 * Input: a mode byte, the token. */
#include "tests/fuzz/fuzz_session.h"
#include "transport/codec/sse.h"

enum { MESSAGES = 5 };

static bool usable(struct dun_slice token)
{
    for (size_t i = 0; i < token.len; i++)
        if (token.data[i] < 0x20 || token.data[i] == 0x7f) return false;
    return true;
}

/* What a client counts from: our own token's number, when it is exactly ours. */
static bool expect_from(struct dun_slice token, uint64_t *seq)
{
    char text[16];
    for (uint64_t n = 0; n <= MESSAGES; n++) {
        snprintf(text, sizeof text, "%x:%u", FW_EPOCH, (unsigned)n);
        *seq = n;
        if (dun_slice_is(token, text)) return true;
    }
    return false;
}

static void check_stream(struct dun_slice stream, bool known, uint64_t seq)
{
    struct sse_parser p;
    struct sse_event ev;
    uint64_t last = 0;
    bool gap = false, any = false;
    sse_init(&p, DUN_PAYLOAD_MAX);
    while (stream.len > 0) {
        size_t used;
        if (sse_next(&p, stream.data, stream.len, &used, &ev) != DUN_OK) break;
        stream = dun_slice(stream.data + used, stream.len - used);
        if (dun_slice_is(ev.event, "gap")) {
            gap = true;
            continue;
        }
        char id[64];
        unsigned epoch;
        unsigned long long n;
        snprintf(id, sizeof id, "%.*s", (int)ev.id.len, (const char *)ev.id.data);
        DUN_ASSERT(sscanf(id, "%x:%llu", &epoch, &n) == 2 && epoch == FW_EPOCH);
        if (any) DUN_ASSERT(n == last + 1);
        if (!any && known && !gap) DUN_ASSERT(n == seq + 1);
        last = n;
        any = true;
    }
    DUN_ASSERT(last == MESSAGES + 1); /* the newest always comes */
    if (known) DUN_ASSERT(!gap);
    sse_deinit(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t mode = fuzz_u8(&in);
    struct dun_slice token = fuzz_take(&in, 2000);
    struct dun_buf b = {0};
    uint64_t seq = 0;
    struct fw *f = fw_create(true);
    f->keep = true;
    for (int i = 0; i < MESSAGES; i++)
        fw_publish(f, "a", dun_slice_str("1"), true);
    dun_buf_str(&b, "GET /events/a");
    if (mode & 1) {
        dun_buf_str(&b, "?last_event_id=");
        http_encode(&b, token);
    }
    dun_buf_str(&b, " HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n");
    if (!(mode & 1) && usable(token)) {
        dun_buf_str(&b, "Last-Event-ID: ");
        dun_buf_slice(&b, token);
        dun_buf_str(&b, "\r\n");
    }
    dun_buf_str(&b, "\r\n");
    fw_feed(f, 0, dun_buf_view(&b));
    fw_turn(f);
    fw_time(f, 4000); /* a position ahead of the log is waited for */
    fw_turn(f);
    fw_publish(f, "a", dun_slice_str("2"), true);
    fw_turn(f);
    dun_buf_byte(&f->clients[0].got, 0);
    const char *got = (const char *)f->clients[0].got.data;
    const char *body = strstr(got, "\r\n\r\n");
    if (strncmp(got, "HTTP/1.1 200", 12) == 0) {
        DUN_ASSERT(body != NULL);
        bool known = expect_from(token, &seq);
        check_stream(dun_slice_str(body + 4), known, seq);
    }
    dun_buf_deinit(&b);
    fw_destroy(f);
    return 0;
}
