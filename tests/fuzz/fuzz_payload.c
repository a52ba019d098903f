/* tests/fuzz/fuzz_payload.c: the promise that payloads arrive byte for byte.
 * Published through the HTTP API and through a WebSocket; received by WebSocket
 * and SSE subscribers, in history and in recovery. What comes out must be what
 * went in, without raw CR and LF (which can only stand between tokens) and
 * without whitespace around it. Input: the payload. */
#include "tests/fuzz/fuzz_session.h"
#include "transport/codec/cmd_client.h"
#include "transport/codec/sse.h"

/* On its own terms, not with the code under test. */
static void expected(struct dun_slice payload, struct dun_buf *out)
{
    while (payload.len > 0 && strchr(" \t\r\n", payload.data[0]) != NULL)
        payload = dun_slice(payload.data + 1, payload.len - 1);
    while (payload.len > 0 && strchr(" \t\r\n", payload.data[payload.len - 1]) != NULL)
        payload.len--;
    for (size_t i = 0; i < payload.len; i++)
        if (payload.data[i] != '\r' && payload.data[i] != '\n') dun_buf_byte(out, payload.data[i]);
}

/* Publications that client @i was sent, each compared; their number. */
static uint32_t check_ws(struct fw *f, uint32_t i, struct dun_slice want)
{
    struct dun_buf *got = &f->clients[i].got;
    struct ws_frame fr;
    size_t used, at = 0;
    uint32_t count = 0;
    while (ws_decode(got->data + at, got->len - at, WS_CLIENT, 64 << 20, &fr, &used) == DUN_OK) {
        struct dun_slice rest = fr.payload, line;
        at += used;
        DUN_ASSERT(fr.opcode == WS_TEXT);
        while (cmd_next_line(&rest, &line)) {
            struct dun_buf scratch = {0};
            struct cmd_reply r;
            dun_err e = cmd_client_decode(line, &scratch, &r);
            DUN_ASSERT(e == DUN_OK && r.type != CMD_REPLY_ERROR);
            if (r.type == CMD_REPLY_PUB) {
                DUN_ASSERT(dun_slice_eq(r.publication.data, want));
                count++;
            } else if (r.type == CMD_REPLY_RESULT && r.result == CMD_HISTORY) {
                struct json_iter it;
                struct cmd_publication p;
                e = json_array(r.history.publications, &it);
                DUN_ASSERT(e == DUN_OK);
                while (cmd_client_next_publication(&it, &scratch, &p) == DUN_OK) {
                    DUN_ASSERT(dun_slice_eq(p.data, want));
                    count++;
                }
            }
            dun_buf_deinit(&scratch);
        }
    }
    DUN_ASSERT(at == got->len);
    got->len = 0;
    return count;
}

static uint32_t check_sse(struct fw *f, uint32_t i, struct dun_slice want)
{
    struct dun_buf *got = &f->clients[i].got;
    struct sse_parser p;
    struct sse_event ev;
    uint32_t count = 0;
    dun_buf_byte(got, 0);
    const char *body = strstr((const char *)got->data, "\r\n\r\n");
    DUN_ASSERT(body != NULL);
    struct dun_slice rest =
        dun_slice(body + 4, got->len - 1 - (size_t)(body + 4 - (const char *)got->data));
    sse_init(&p, 2 * DUN_PAYLOAD_MAX);
    for (size_t used; rest.len > 0; rest = dun_slice(rest.data + used, rest.len - used)) {
        if (sse_next(&p, rest.data, rest.len, &used, &ev) != DUN_OK) break;
        DUN_ASSERT(ev.event.len == 0 && dun_slice_eq(ev.data, want));
        count++;
    }
    sse_deinit(&p);
    got->len = 0;
    return count;
}

static void drop_head(struct fw *f, uint32_t i)
{
    fw_turn(f);
    f->clients[i].got.len = 0;
}

static bool answered_well(struct fw *f, uint32_t i)
{
    dun_buf_byte(&f->clients[i].got, 0);
    bool ok = strstr((const char *)f->clients[i].got.data, "{\"result\":") != NULL;
    f->clients[i].got.len = 0;
    return ok;
}

static void publish_http(struct fw *f, struct dun_slice payload)
{
    struct dun_buf b = {0}, body = {0};
    dun_buf_str(&body, "{\"channel\":\"a\",\"data\":");
    dun_buf_slice(&body, payload);
    dun_buf_str(&body, "}");
    http_write_request(&b, "POST", dun_slice_str("/api/publish"), dun_slice_str("h"), NULL,
                       dun_buf_view(&body));
    fw_feed(f, 2, dun_buf_view(&b));
    fw_commit(f);
    fw_turn(f);
    DUN_ASSERT(answered_well(f, 2));
    dun_buf_deinit(&body);
    dun_buf_deinit(&b);
}

static void run(struct dun_slice payload)
{
    struct dun_buf want = {0}, line = {0};
    uint32_t count = 0;
    struct fw *f = fw_create(true);
    f->keep = true;
    expected(payload, &want);
    fw_websocket(f, 0);
    drop_head(f, 0);
    fw_feed_text(f, 0, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fw_feed(f, 1, dun_slice_str("GET /events/a?last_event_id=abc:0 HTTP/1.1\r\nHost: h\r\n\r\n"));
    fw_turn(f);
    publish_http(f, payload);
    count++;
    if (memchr(payload.data, '\n', payload.len) == NULL && payload.len < 60000) {
        dun_buf_str(&line, "{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":");
        dun_buf_slice(&line, payload);
        dun_buf_str(&line, "}}");
        fw_feed_frame(f, 0, WS_TEXT, dun_buf_view(&line));
        fw_commit(f);
        fw_turn(f);
        count++;
    }
    uint32_t pushed = check_ws(f, 0, dun_buf_view(&want));
    DUN_ASSERT(pushed == count);
    DUN_ASSERT(check_sse(f, 1, dun_buf_view(&want)) == count);
    fw_feed_text(f, 0, "{\"id\":4,\"history\":{\"channel\":\"a\",\"limit\":9}}");
    fw_turn(f);
    DUN_ASSERT(check_ws(f, 0, dun_buf_view(&want)) == count);
    dun_buf_deinit(&line);
    dun_buf_deinit(&want);
    fw_destroy(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dun_slice payload = {data, size};
    if (size > DUN_PAYLOAD_MAX || json_check(payload) != DUN_OK) return 0;
    /* In an object it is one level deeper, and two in a push. */
    size_t depth = 0;
    for (size_t i = 0; i < size; i++)
        depth += data[i] == '[' || data[i] == '{';
    if (depth + 4 <= DUN_JSON_DEPTH_MAX) run(payload);
    return 0;
}
