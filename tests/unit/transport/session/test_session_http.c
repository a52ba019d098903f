/* Claims of transport/session about HTTP, the server API and event streams. */
#include "fixture.h"

static void request(struct fx_client *c, const char *head, const char *body, bool bytewise)
{
    struct dun_buf b = {0};
    dun_buf_str(&b, head);
    if (body != NULL) dun_buf_printf(&b, "Content-Length: %zu\r\n", strlen(body));
    dun_buf_str(&b, "Host: h\r\n\r\n");
    if (body != NULL) dun_buf_str(&b, body);
    if (bytewise) {
        fx_feed_bytewise(c, b.data, b.len);
    } else {
        fx_feed(c, b.data, b.len);
    }
    dun_buf_deinit(&b);
}

static void requests_have_their_status(void **state)
{
    (void)state;
    static const struct {
        const char *head, *body, *want;
    } t[] = {
        {"GET /healthz HTTP/1.1\r\n", NULL, "HTTP/1.1 200 "},
        {"GET /readyz HTTP/1.1\r\n", NULL, "{\"ready\":true,\"name\":\"n1\",\"boot\":"},
        {"GET /metrics HTTP/1.1\r\n", NULL, "\ndunlin_ready 1\n"},
        {"GET / HTTP/1.1\r\n", NULL, "Dunlin n1"},
        {"GET /nothing HTTP/1.1\r\n", NULL, "HTTP/1.1 404 "},
        {"PUT / HTTP/1.1\r\n", "x", "HTTP/1.1 405 "},
        {"GET /api/publish HTTP/1.1\r\n", NULL, "HTTP/1.1 405 "},
        {"POST /api/nothing HTTP/1.1\r\n", "{}", "HTTP/1.1 404 "},
        {"POST /api/publish HTTP/1.1\r\n", "{", "HTTP/1.1 400 "},
        {"POST /api/publish HTTP/1.1\r\n", "{\"channel\":\"a\"}", "\"code\":107"},
        {"POST /api/publish HTTP/1.1\r\n", "{\"channel\":\"x:a\",\"data\":1}", "\"code\":102"},
        {"POST /api/publish HTTP/1.1\r\nX-Centrifugo-Error-Mode: transport\r\n",
         "{\"channel\":\"x:a\",\"data\":1}", "HTTP/1.1 404 "},
        {"POST /api/history HTTP/1.1\r\n", "{\"channel\":\"a\"}",
         "{\"result\":{\"publications\":[],\"epoch\":\"abc\",\"offset\":0}}"},
        {"POST /api/history HTTP/1.1\r\n", "{\"channel\":\"bare:a\"}", "\"code\":108"},
        {"POST /api/presence HTTP/1.1\r\n", "{\"channel\":\"a\"}", "\"code\":108"},
        {"GET /connection/websocket HTTP/1.1\r\n", NULL, "HTTP/1.1 426 "},
        {"GET /events/x:a HTTP/1.1\r\n", NULL, "HTTP/1.1 404 "},
        {"POST /events/a HTTP/1.1\r\n", "", "HTTP/1.1 405 "},
        {"GET /events/%zz HTTP/1.1\r\n", NULL, "HTTP/1.1 404 "},
        {"GET /events/a%00b HTTP/1.1\r\n", NULL, "HTTP/1.1 404 "},
        {"GET /events/%ff HTTP/1.1\r\n", NULL, "HTTP/1.1 404 "},
        {"GET /events/a%0d%0aX%20y HTTP/1.1\r\n", NULL, "HTTP/1.1 200 "}, /* only a name */
        {"POST /api/publish HTTP/1.1\r\n", "{\"channel\":\"a\\u0000\",\"data\":1}",
         "HTTP/1.1 400 "},
        {"BROKEN\r\n", NULL, "HTTP/1.1 501 "},
        {"POST /api/publish HTTP/1.1\r\nContent-Length: 2000000\r\n", NULL, "HTTP/1.1 413 "},
    };
    struct fx *f = fx_create();
    for (int bytewise = 0; bytewise < 2; bytewise++) {
        for (size_t i = 0; i < DUN_COUNT(t); i++) {
            struct fx_client *c = fx_client(f);
            request(c, t[i].head, t[i].body, bytewise);
            const char *got = fx_http(c);
            if (strstr(got, t[i].want) == NULL) fail_msg("row %zu: got %s", i, got);
            fx_client_destroy(c);
        }
    }
    fx_destroy(f);
}

static void metrics_are_as_prometheus_wants_them(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_client(f);
    request(c, "GET /metrics HTTP/1.1\r\n", NULL, false);
    const char *t = strstr(fx_http(c), "\r\n\r\n") + 4;
    uint32_t count = 0;
    for (; *t != '\0'; count++) {
        char name[64], same[64], again[64], type[16], help[128];
        unsigned long long value;
        int used = 0;
        assert_int_equal(sscanf(t, "# HELP %63s %127[^\n]\n# TYPE %63s %15s\n%63s %llu\n%n", name,
                                help, same, type, again, &value, &used),
                         6);
        assert_string_equal(name, same);
        assert_string_equal(name, again);
        assert_memory_equal(name, "dunlin_", 7);
        assert_int_equal(help[strlen(help) - 1], '.');
        bool total = strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0;
        assert_string_equal(type, total ? "counter" : "gauge");
        t += used;
    }
    assert_true(count > 20);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void a_head_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_client(f);
    char *big = dun_malloc(DUN_HTTP_HEADER_MAX + 1);
    memset(big, 'a', DUN_HTTP_HEADER_MAX);
    fx_feed(c, "GET / HTTP/1.1\r\nX: ", 19);
    fx_feed(c, big, DUN_HTTP_HEADER_MAX);
    fx_has(fx_http(c), "HTTP/1.1 431 ");
    assert_int_equal(c->s.phase, SESSION_FINISHING);
    dun_free(big);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_client(f);
    static const char all[] =
        "POST /api/publish HTTP/1.1\r\nHost: h\r\nContent-Length: 25\r\n\r\n"
        "{\"channel\":\"a\",\"data\":1}\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
        "POST /api/publish HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 37\r\n\r\n"
        "{\"channel\":\"bare:a\",\"data\":2.50    }\n";
    fx_feed(c, all, sizeof all - 1);
    assert_string_equal(fx_http(c), ""); /* the second waits for the first */
    assert_int_equal(f->submit_count, 1);
    assert_string_equal(f->submitted, "a||1");
    struct node_reply r = {.cookie = f->cookies[0], .seq = 7, .epoch = FX_EPOCH};
    session_hub_replied(&f->hub, &r);
    const char *t = fx_http(c);
    fx_has(t, "{\"result\":{\"offset\":7,\"epoch\":\"abc\"}}");
    fx_has(t, "{}\n");
    assert_int_equal(f->submit_count, 2);
    r = (struct node_reply){.cookie = f->cookies[1], .seq = 3, .epoch = FX_EPOCH};
    session_hub_replied(&f->hub, &r);
    fx_has(fx_http(c), "{\"result\":{}}"); /* no history, no position */
    assert_int_equal(c->s.phase, SESSION_FINISHING);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void a_stopping_peer_ends_each_connection_with_its_answer(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *waits = fx_client(f), *late = fx_client(f), *idle = fx_client(f);
    request(waits, "POST /api/publish HTTP/1.1\r\n", "{\"channel\":\"a\",\"data\":1}", false);
    f->hub.serving = false;
    f->hub.stopping = true;
    request(late, "POST /api/publish HTTP/1.1\r\n", "{\"channel\":\"a\",\"data\":2}", false);
    const char *t = fx_http(late);
    fx_has(t, "\"code\":100"); /* temporary, and not published */
    fx_has(t, "Connection: close\r\n");
    assert_int_equal(f->submit_count, 1);
    assert_int_equal(late->s.phase, SESSION_FINISHING);
    struct node_reply r = {.cookie = f->cookies[0], .seq = 7, .epoch = FX_EPOCH};
    session_hub_replied(&f->hub, &r);
    t = fx_http(waits);
    fx_has(t, "{\"result\":{\"offset\":7,\"epoch\":\"abc\"}}");
    fx_has(t, "Connection: close\r\n");
    assert_int_equal(waits->s.phase, SESSION_FINISHING);
    assert_int_equal(idle->s.phase, SESSION_OPEN); /* it may be asking just now */
    fx_client_destroy(waits);
    fx_client_destroy(late);
    fx_client_destroy(idle);
    fx_destroy(f);
}

static void skip_history_is_refused_and_nothing_published(void **state)
{
    (void)state;
    static const struct {
        const char *path, *body;
        uint32_t submits;
    } t[] = {
        {"publish", "{\"channel\":\"a\",\"data\":1,\"skip_history\":true}", 0},
        {"broadcast", "{\"channels\":[\"a\",\"b\"],\"data\":1,\"skip_history\":true}", 0},
        {"publish", "{\"channel\":\"a\",\"data\":1,\"skip_history\":false}", 1},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx *f = fx_create();
        struct fx_client *c = fx_client(f);
        char head[64];
        snprintf(head, sizeof head, "POST /api/%s HTTP/1.1\r\n", t[i].path);
        request(c, head, t[i].body, false);
        const char *got = fx_http(c);
        assert_int_equal(f->submit_count, t[i].submits);
        if (t[i].submits == 0) {
            fx_has(got, "\"code\":108");
            fx_has(got, "\"detail\":\"skip_history ");
        }
        fx_client_destroy(c);
        fx_destroy(f);
    }
}

static void a_broadcast_answers_for_each_channel(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_client(f);
    request(c, "POST /api/broadcast HTTP/1.1\r\n",
            "{\"channels\":[\"a\",\"x:b\",\"c\"],\"data\":{}}", false);
    assert_int_equal(f->submit_count, 2);
    struct node_reply r = {.cookie = f->cookies[1], .err = DUN_E_TIMEOUT};
    session_hub_replied(&f->hub, &r);
    assert_string_equal(fx_http(c), "");
    r = (struct node_reply){.cookie = f->cookies[0], .seq = 1, .epoch = FX_EPOCH};
    session_hub_replied(&f->hub, &r);
    const char *t = fx_http(c);
    const char *one = strstr(t, "{\"result\":{\"offset\":1,\"epoch\":\"abc\"}}"),
               *two = strstr(t, "\"code\":102"), *three = strstr(t, "\"code\":100");
    assert_true(one != NULL && two > one && three > two);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void the_api_wants_its_key(void **state)
{
    (void)state;
    static const struct {
        const char *header, *want;
    } t[] = {
        {"", "HTTP/1.1 401 "},
        {"X-API-Key: wrong\r\n", "HTTP/1.1 401 "},
        {"X-API-Key: k\r\n", "HTTP/1.1 200 "},
        {"Authorization: apikey k\r\n", "HTTP/1.1 200 "},
        {"X-API-Key: \r\n", "HTTP/1.1 401 "},
    };
    struct fx *f = fx_create();
    f->options.api_key = "k";
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx_client *c = fx_client(f);
        char head[128];
        snprintf(head, sizeof head, "POST /api/info HTTP/1.1\r\n%s", t[i].header);
        request(c, head, "{}", false);
        const char *got = fx_http(c);
        if (strstr(got, t[i].want) == NULL) fail_msg("row %zu: got %s", i, got);
        fx_client_destroy(c);
    }
    f->options.api_key = "";
    f->options.insecure = false;
    struct fx_client *c = fx_client(f);
    request(c, "POST /api/info HTTP/1.1\r\n", "{}", false);
    fx_has(fx_http(c), "HTTP/1.1 401 "); /* no key set is no open door */
    fx_client_destroy(c);
    fx_destroy(f);
}

static void an_unready_peer_says_so(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_client(f);
    session_hub_serving(&f->hub, false);
    request(c, "GET /readyz HTTP/1.1\r\n", NULL, false);
    const char *t = fx_http(c);
    fx_has(t, "HTTP/1.1 503 ");
    fx_has(t, "\"reason\":\"alone\"");
    request(c, "POST /api/publish HTTP/1.1\r\n", "{\"channel\":\"a\",\"data\":1}", false);
    t = fx_http(c);
    fx_has(t, "HTTP/1.1 200 ");
    fx_has(t, "\"code\":100");
    request(c, "GET /events/a HTTP/1.1\r\n", NULL, false);
    fx_has(fx_http(c), "HTTP/1.1 503 ");
    request(c, "GET /events/a HTTP/1.1\r\nAccept: text/event-stream\r\n", NULL, false);
    t = fx_http(c);
    fx_has(t, "HTTP/1.1 200 "); /* so that EventSource comes back */
    assert_int_equal(c->s.phase, SESSION_FINISHING);
    fx_client_destroy(c);
    assert_int_equal(f->hub.client_count, 0);
    fx_destroy(f);
}

static void origins_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *allowed, *origin, *want;
    } t[] = {
        {NULL, "https://evil.example", "HTTP/1.1 403 "},
        {NULL, "https://h", "HTTP/1.1 200 "},
        {"https://app.example", "https://app.example",
         "Access-Control-Allow-Origin: https://app.example"},
        {"https://app.example", "https://app.example.evil", "HTTP/1.1 403 "},
        {"*", "https://any.example", "HTTP/1.1 200 "},
    };
    struct fx *f = fx_create();
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx_client *c = fx_client(f);
        char head[160];
        f->options.origins[0] = t[i].allowed;
        f->options.origin_count = t[i].allowed != NULL;
        f->options.insecure = t[i].allowed != NULL; /* alone, it welcomes every origin */
        snprintf(head, sizeof head, "GET /events/open:a HTTP/1.1\r\nOrigin: %s\r\n", t[i].origin);
        request(c, head, NULL, false);
        const char *got = fx_http(c);
        bool want_ok = strstr(t[i].want, "403") == NULL;
        if (t[i].allowed == NULL && want_ok) {
            fx_has(got, "HTTP/1.1 401 "); /* the origin passed; a token is needed next */
        } else if (strstr(got, t[i].want) == NULL) {
            fail_msg("row %zu: got %s", i, got);
        }
        fx_client_destroy(c);
    }
    fx_destroy(f);
}

/* ---- event streams ---- */

static void a_stream_begins_with_a_position_and_goes_on(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_client(f);
    fx_publish(f, "a/b", "1");
    request(c, "GET /events/a%2Fb HTTP/1.1\r\n", NULL, true);
    const char *t = fx_http(c);
    fx_has(t, "Content-Type: text/event-stream\r\n");
    fx_has(t, "retry: 500\n");
    fx_has(t, "id: abc:1\n\n");
    fx_lacks(t, "data:");
    fx_publish(f, "a/b", "{\"x\":\n\r1}");
    assert_string_equal(fx_http(c), "id: abc:2\ndata: {\"x\":1}\n\n");
    for (int i = 0; i < 16; i++)
        fx_time(f, 1000);
    assert_string_equal(fx_http(c), ": ping\n\n");
    fx_client_destroy(c);
    fx_destroy(f);
}

static void a_stream_resumes_after_the_last_event_id(void **state)
{
    (void)state;
    static const struct {
        const char *head, *has, *lacks;
    } t[] = {
        {"GET /events/a HTTP/1.1\r\nLast-Event-ID: abc:3\r\n",
         "id: abc:4\ndata: 4\n\nid: abc:5\ndata: 5\n\n", "data: 3"},
        {"GET /events/a?last_event_id=abc%3A4 HTTP/1.1\r\n", "id: abc:5\ndata: 5\n\n", "data: 4"},
        {"GET /events/a?last_event_id=abc:0 HTTP/1.1\r\nLast-Event-ID: abc:5\r\n", "id: abc:5\n\n",
         "data:"},
        {"GET /events/a HTTP/1.1\r\nLast-Event-ID: abd:3\r\n",
         "id: abc:5\nevent: gap\ndata: "
         "{\"gap\":{\"from\":1,\"to\":5,\"reason\":\"epoch_changed\"}}",
         "data: 4"},
        {"GET /events/a HTTP/1.1\r\nLast-Event-ID: what\r\n", "event: gap\n", "data: 4"},
        {"GET /events/short:a HTTP/1.1\r\nLast-Event-ID: abc:1\r\n",
         "{\"gap\":{\"from\":2,\"to\":2,\"reason\":\"expired\"}}", "data: 3"},
        {"GET /events/short:a HTTP/1.1\r\nLast-Event-ID: abc:2\r\n", "id: abc:3\ndata: 3\n", "gap"},
    };
    struct fx *f = fx_create();
    fx_publish_many(f, "a", 1, 5);
    fx_publish_many(f, "short:a", 1, 5);
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx_client *c = fx_client(f);
        request(c, t[i].head, NULL, false);
        const char *got = fx_http(c);
        if (strstr(got, t[i].has) == NULL || strstr(got, t[i].lacks) != NULL)
            fail_msg("row %zu: got %s", i, got);
        fx_client_destroy(c);
    }
    fx_destroy(f);
}

static void a_stream_that_the_log_left_behind_ends_with_a_gap(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_client(f);
    request(c, "GET /events/short:a HTTP/1.1\r\n", NULL, false);
    fx_http(c);
    session_set_blocked(&c->s, true);
    fx_publish_many(f, "short:a", 1, 9);
    session_set_blocked(&c->s, false);
    assert_string_equal(fx_http(c), "event: gap\ndata: {\"gap\":{\"from\":1,\"to\":6,\"reason\":"
                                    "\"expired\"}}\n\n");
    assert_int_equal(c->s.phase, SESSION_FINISHING);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void a_stream_resumed_ahead_of_the_log_waits(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_client(f);
    request(c, "GET /events/a HTTP/1.1\r\nLast-Event-ID: abc:2\r\n", NULL, false);
    fx_lacks(fx_http(c), "gap");
    fx_publish_many(f, "a", 1, 3);
    const char *t = fx_http(c);
    fx_has(t, "id: abc:3\ndata: 3\n");
    fx_lacks(t, "data: 2");
    fx_client_destroy(c);
    fx_destroy(f);
}

static void streams_need_a_token_where_it_is_not_insecure(void **state)
{
    (void)state;
    static const struct {
        const char *channel, *claims, *want;
    } t[] = {
        {"open:a", "{\"sub\":\"u\"}", "HTTP/1.1 200 "},
        {"a", "{\"sub\":\"u\"}", "HTTP/1.1 403 "},
        {"a", "{\"sub\":\"u\",\"channel\":\"a\"}", "HTTP/1.1 200 "},
        {"b", "{\"sub\":\"u\",\"channel\":\"a\"}", "HTTP/1.1 403 "},
        {"open:a", "{\"sub\":\"u\",\"exp\":1}", "HTTP/1.1 401 "},
    };
    struct fx *f = fx_create();
    struct jwt_key key = {JWT_HS256, dun_slice_str("secret")};
    f->options.insecure = false;
    f->options.token_keys[0] = key;
    f->options.token_key_count = 1;
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx_client *c = fx_client(f);
        struct dun_buf b = {0};
        dun_buf_printf(&b, "GET /events/%s?token=", t[i].channel);
        jwt_sign(&b, &key, dun_slice_str(t[i].claims));
        dun_buf_str(&b, " HTTP/1.1\r\n");
        dun_buf_byte(&b, 0);
        request(c, (const char *)b.data, NULL, false);
        const char *got = fx_http(c);
        if (strstr(got, t[i].want) == NULL) fail_msg("row %zu: got %s", i, got);
        dun_buf_deinit(&b);
        fx_client_destroy(c);
    }
    fx_destroy(f);
}

static void absurd_positions_resume_nowhere_and_say_so(void **state)
{
    (void)state;
    static const struct {
        const char *id, *want;
    } t[] = {
        {"abc:18446744073709551615", "event: gap"},
        {"abc:18446744073709551616", "event: gap"},
        {"abc:-1", "event: gap"},
        {"abc:1e3", "event: gap"},
        {"abc:", "event: gap"},
        {":", "event: gap"},
        {":1", "event: gap"},
        {"abc:1:2", "event: gap"},
        {"\xff\xfe:1", "event: gap"},
        {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffff:1", "event: gap"},
        {"abc:0", "data: 1"},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx *f = fx_create();
        struct fx_client *c = fx_client(f);
        char head[160];
        fx_publish_many(f, "a", 1, 3);
        snprintf(head, sizeof head, "GET /events/a HTTP/1.1\r\nLast-Event-ID: %s\r\n", t[i].id);
        request(c, head, NULL, false);
        for (int k = 0; k < 20; k++)
            fx_time(f, 1000);
        const char *got = fx_http(c);
        if (strstr(got, t[i].want) == NULL) fail_msg("row %zu: got %s", i, got);
        fx_publish(f, "a", "4"); /* and the stream goes on */
        fx_has(fx_http(c), "id: abc:4\ndata: 4");
        fx_client_destroy(c);
        fx_destroy(f);
    }
}

static void a_request_that_never_ends_is_cut_off(void **state)
{
    (void)state;
    static const char *const t[] = {"", "GET / HTTP/1.1\r\nX: ",
                                    "POST /api/info HTTP/1.1\r\nHost: h\r\n"
                                    "Content-Length: 1000000\r\n\r\n"};
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx *f = fx_create();
        struct fx_client *c = fx_client(f);
        fx_feed(c, t[i], strlen(t[i]));
        for (int k = 0; k < 14; k++) {
            fx_feed(c, "a", 1); /* a byte a second */
            fx_time(f, 1000);
        }
        assert_int_equal(c->s.phase, SESSION_ABORTED);
        fx_client_destroy(c);
        assert_int_equal(f->hub.held_bytes, 0);
        fx_destroy(f);
    }
}

static void a_head_without_end_is_refused_at_the_limit_byte_by_byte(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_client(f);
    uint32_t fed = 0;
    fx_feed(c, "GET / HTTP/1.1\r\nX: ", 19);
    while (c->s.phase == SESSION_OPEN && fed < 10000000) {
        fx_feed(c, "a", 1);
        fed++;
    }
    assert_true(fed <= DUN_HTTP_HEADER_MAX);
    fx_has(fx_http(c), "HTTP/1.1 431 ");
    fx_client_destroy(c);
    fx_destroy(f);
}

static void half_read_bodies_of_all_clients_together_are_bounded(void **state)
{
    (void)state;
    enum { CLIENTS = 400, BODY = 1000000 };
    static const char head[] =
        "POST /api/info HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n";
    static struct fx_client *c[CLIENTS];
    struct fx *f = fx_create();
    uint8_t *zeros = dun_calloc(1, BODY);
    uint32_t aborted = 0;
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = fx_client(f);
        fx_feed(c[i], head, sizeof head - 1);
        fx_feed(c[i], zeros, BODY - 1);
        aborted += c[i]->s.phase == SESSION_ABORTED;
    }
    assert_true(aborted > 0 && aborted < CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        fx_client_destroy(c[i]);
    assert_int_equal(f->hub.held_bytes, 0);
    dun_free(zeros);
    fx_destroy(f);
}

static void idle_connections_are_closed(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_client(f), *d = fx_client(f);
    fx_feed(c, "GET / HT", 8);
    request(d, "GET /healthz HTTP/1.1\r\n", NULL, false);
    fx_http(d);
    for (int i = 0; i < 12; i++)
        fx_time(f, 1000);
    assert_int_not_equal(c->s.phase, SESSION_OPEN);
    assert_int_equal(d->s.phase, SESSION_OPEN); /* keep-alive is patient, but not for ever */
    for (int i = 0; i < 60; i++)
        fx_time(f, 1000);
    assert_int_not_equal(d->s.phase, SESSION_OPEN);
    fx_client_destroy(c);
    fx_client_destroy(d);
    fx_destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_have_their_status),
        cmocka_unit_test(metrics_are_as_prometheus_wants_them),
        cmocka_unit_test(a_head_over_the_limit_is_refused),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_stopping_peer_ends_each_connection_with_its_answer),
        cmocka_unit_test(skip_history_is_refused_and_nothing_published),
        cmocka_unit_test(a_broadcast_answers_for_each_channel),
        cmocka_unit_test(the_api_wants_its_key),
        cmocka_unit_test(an_unready_peer_says_so),
        cmocka_unit_test(origins_are_checked),
        cmocka_unit_test(a_stream_begins_with_a_position_and_goes_on),
        cmocka_unit_test(a_stream_resumes_after_the_last_event_id),
        cmocka_unit_test(a_stream_that_the_log_left_behind_ends_with_a_gap),
        cmocka_unit_test(a_stream_resumed_ahead_of_the_log_waits),
        cmocka_unit_test(streams_need_a_token_where_it_is_not_insecure),
        cmocka_unit_test(absurd_positions_resume_nowhere_and_say_so),
        cmocka_unit_test(a_request_that_never_ends_is_cut_off),
        cmocka_unit_test(a_head_without_end_is_refused_at_the_limit_byte_by_byte),
        cmocka_unit_test(half_read_bodies_of_all_clients_together_are_bounded),
        cmocka_unit_test(idle_connections_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
