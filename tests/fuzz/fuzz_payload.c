/* tests/fuzz/fuzz_payload.c: the promise that payloads arrive byte for byte.
 * Published through the HTTP API, through a WebSocket and by the C client's writer;
 * received by WebSocket and SSE subscribers, live and in recovery, and in both
 * histories. What comes out must be what went in, without raw CR and LF (which can
 * only stand between tokens) and without whitespace around it.
 * Input: the payload, if it is JSON; else bytes that fuzz_json_spell makes one of,
 * and every JSON text is taken. */
#include "tests/fuzz/fuzz_json_spell.h"
#include "tests/fuzz/fuzz_session.h"
#include "transport/codec/cmd_client.h"
#include "transport/codec/sse.h"

enum { ENVELOPE_DEPTH = 2 /* of a publish command */ };

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

/* Publications in the array, each compared; their number. */
static uint32_t check_publications(struct dun_slice array, struct dun_slice want)
{
    struct json_iter it;
    struct cmd_publication p;
    struct dun_buf scratch = {0};
    uint32_t count = 0;
    dun_err e = json_array(array, &it);
    DUN_ASSERT(e == DUN_OK);
    while ((e = cmd_client_next_publication(&it, &scratch, &p)) == DUN_OK) {
        DUN_ASSERT(dun_slice_eq(p.data, want));
        count++;
    }
    DUN_ASSERT(e == DUN_E_GONE);
    dun_buf_deinit(&scratch);
    return count;
}

static uint32_t check_reply(struct dun_slice line, struct dun_slice want)
{
    struct dun_buf scratch = {0};
    struct cmd_reply r;
    uint32_t count = 0;
    dun_err e = cmd_client_decode(line, &scratch, &r);
    DUN_ASSERT(e == DUN_OK && r.type != CMD_REPLY_ERROR);
    if (r.type == CMD_REPLY_PUB) {
        DUN_ASSERT(dun_slice_eq(r.publication.data, want));
        count = 1;
    } else if (r.type == CMD_REPLY_RESULT && r.result == CMD_HISTORY) {
        count = check_publications(r.history.publications, want);
    } else if (r.type == CMD_REPLY_RESULT && r.result == CMD_SUBSCRIBE) {
        count = check_publications(r.subscribe.publications, want);
    }
    dun_buf_deinit(&scratch);
    return count;
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
        while (cmd_next_line(&rest, &line))
            count += check_reply(line, want);
    }
    DUN_ASSERT(at == got->len);
    got->len = 0;
    return count;
}

static struct dun_slice http_body(struct fw *f, uint32_t i)
{
    struct dun_buf *got = &f->clients[i].got;
    dun_buf_byte(got, 0);
    const char *body = strstr((const char *)got->data, "\r\n\r\n");
    DUN_ASSERT(body != NULL);
    got->len--;
    return dun_slice(body + 4, got->len - (size_t)(body + 4 - (const char *)got->data));
}

static uint32_t check_sse(struct fw *f, uint32_t i, struct dun_slice want)
{
    struct dun_buf *got = &f->clients[i].got;
    struct sse_parser p;
    struct sse_event ev;
    uint32_t count = 0;
    struct dun_slice rest = http_body(f, i);
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

static void ask_api(struct fw *f, const char *path, struct dun_slice body)
{
    struct dun_buf b = {0};
    http_write_request(&b, "POST", dun_slice_str(path), dun_slice_str("h"), NULL, body);
    fw_feed(f, 2, dun_buf_view(&b));
    fw_commit(f);
    fw_turn(f);
    dun_buf_deinit(&b);
}

static void publish_http(struct fw *f, struct dun_slice payload)
{
    struct dun_buf body = {0};
    dun_buf_str(&body, "{\"channel\":\"a\",\"data\":");
    dun_buf_slice(&body, payload);
    dun_buf_str(&body, "}");
    ask_api(f, "/api/publish", dun_buf_view(&body));
    DUN_ASSERT(strncmp((const char *)http_body(f, 2).data, "{\"result\":", 10) == 0);
    f->clients[2].got.len = 0;
    dun_buf_deinit(&body);
}

static uint32_t check_api_history(struct fw *f, struct dun_slice want)
{
    struct json_member result, list;
    ask_api(f, "/api/history", dun_slice_str("{\"channel\":\"a\",\"limit\":9}"));
    struct dun_slice body = http_body(f, 2);
    DUN_ASSERT(json_check_reply(body) == DUN_OK && json_find(body, "result", &result));
    DUN_ASSERT(json_find(result.value, "publications", &list));
    uint32_t count = check_publications(list.value, want);
    f->clients[2].got.len = 0;
    return count;
}

/* As it is, where a line can hold it; else as the C client writes it. */
static void publish_ws(struct fw *f, struct dun_slice payload)
{
    struct dun_buf line = {0};
    if (memchr(payload.data, '\n', payload.len) == NULL) {
        dun_buf_str(&line, "{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":");
        dun_buf_slice(&line, payload);
        dun_buf_str(&line, "}}");
    } else {
        cmd_client_publish(&line, 3, dun_slice_str("a"), payload);
    }
    fw_feed_frame(f, 0, WS_TEXT, dun_buf_view(&line));
    fw_commit(f);
    fw_turn(f);
    dun_buf_deinit(&line);
}

/* All that was published, as those who come later get it. */
static void check_later(struct fw *f, struct dun_slice want, uint32_t count)
{
    fw_feed_text(f, 0, "{\"id\":4,\"history\":{\"channel\":\"a\",\"limit\":9}}");
    fw_turn(f);
    DUN_ASSERT(check_ws(f, 0, want) == count);
    fw_feed_text(f, 0, "{\"id\":5,\"unsubscribe\":{\"channel\":\"a\"}}");
    fw_feed_text(f, 0,
                 "{\"id\":6,\"subscribe\":{\"channel\":\"a\",\"recover\":true,"
                 "\"epoch\":\"abc\",\"offset\":0}}");
    fw_turn(f);
    DUN_ASSERT(check_ws(f, 0, want) == count);
    DUN_ASSERT(check_api_history(f, want) == count);
    fw_feed(f, 2, dun_slice_str("GET /events/a?last_event_id=abc:0 HTTP/1.1\r\nHost: h\r\n\r\n"));
    fw_turn(f);
    DUN_ASSERT(check_sse(f, 2, want) == count);
}

static void run(struct dun_slice payload)
{
    struct dun_buf want = {0};
    uint32_t count = 1;
    struct fw *f = fw_create(true);
    f->keep = true;
    expected(payload, &want);
    fw_websocket(f, 0);
    drop_head(f, 0);
    fw_feed_text(f, 0, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fw_feed(f, 1, dun_slice_str("GET /events/a?last_event_id=abc:0 HTTP/1.1\r\nHost: h\r\n\r\n"));
    fw_turn(f);
    publish_http(f, payload);
    if (payload.len < 60000) {
        publish_ws(f, payload);
        count++;
    }
    DUN_ASSERT(check_ws(f, 0, dun_buf_view(&want)) == count);
    DUN_ASSERT(check_sse(f, 1, dun_buf_view(&want)) == count);
    check_later(f, dun_buf_view(&want), count);
    dun_buf_deinit(&want);
    fw_destroy(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dun_slice payload = {data, size};
    struct dun_buf spelled = {0};
    if (size > DUN_PAYLOAD_MAX) return 0;
    if (json_check(payload) != DUN_OK) {
        struct fuzz_in in = {data, size};
        fuzz_json_spell(&in, &spelled, DUN_JSON_DEPTH_MAX - ENVELOPE_DEPTH);
        payload = dun_buf_view(&spelled);
        DUN_ASSERT(json_check(payload) == DUN_OK);
    }
    if (payload.len <= DUN_PAYLOAD_MAX &&
        fuzz_json_depth(payload) + ENVELOPE_DEPTH <= DUN_JSON_DEPTH_MAX)
        run(payload);
    dun_buf_deinit(&spelled);
    return 0;
}
