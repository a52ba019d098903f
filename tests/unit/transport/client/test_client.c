/* tests/unit/transport/client/test_client.c: the client on real sockets, with
 * fake servers that die on command. */
#include "transport/client/client.h"
#include "transport/client/client_http.h"

#include "tests/unit/transport/client/fake_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { DEADLINE_MS = 20 * 1000 };

struct fixture {
    uv_loop_t loop;
    struct fake_server servers[3];
    struct fake_log log;
    struct client *client;
    struct client_sub *sub;
    uint64_t received, out_of_order, gaps, recovered, retries, waits;
    uint32_t connects;
    int closed_code;
    bool closed, late, destroy_in_message, destroyed;
    char text[800];
    uv_timer_t deadline;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    uv_loop_init(&f->loop);
    uv_timer_init(&f->loop, &f->deadline);
    f->deadline.data = f;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->client != NULL && !f->destroyed) client_destroy(f->client, NULL, NULL);
    for (size_t i = 0; i < DUN_COUNT(f->servers); i++)
        fake_kill(&f->servers[i]);
    uv_close((uv_handle_t *)&f->deadline, NULL);
    while (uv_loop_alive(&f->loop))
        (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&f->loop);
    free(f);
    return rc; /* nothing may be left over */
}

static void on_deadline(uv_timer_t *t)
{
    struct fixture *f = t->data;
    f->late = true;
}

#define UNTIL(f, condition)                                           \
    do {                                                              \
        (f)->late = false;                                            \
        uv_timer_start(&(f)->deadline, on_deadline, DEADLINE_MS, 0);  \
        while (!(condition) && !(f)->late)                            \
            (void)uv_run(&(f)->loop, UV_RUN_ONCE);                    \
        uv_timer_stop(&(f)->deadline);                                \
        if (!(condition)) fail_msg("waited in vain for " #condition); \
    } while (0)

static void on_connected(void *ctx, struct dun_slice id)
{
    struct fixture *f = ctx;
    (void)id;
    f->connects++;
}

static void on_message(void *ctx, struct client_sub *sub, const struct client_message *m)
{
    struct fixture *f = ctx;
    (void)sub;
    if (m->seq != f->received + 1) f->out_of_order++;
    f->received++;
    f->recovered += m->recovered;
    if (!f->destroy_in_message || f->destroyed) return;
    f->destroyed = true;
    client_destroy(f->client, NULL, NULL);
}

static void on_gap(void *ctx, struct client_sub *sub, const struct client_gap *g)
{
    struct fixture *f = ctx;
    (void)sub;
    (void)g;
    f->gaps++;
}

static void on_retrying(void *ctx, uint64_t wait_ms, const char *text)
{
    struct fixture *f = ctx;
    f->retries++;
    f->waits += wait_ms > 0;
    (void)snprintf(f->text, sizeof f->text, "%s", text);
}

static void on_closed(void *ctx, int code, const char *text)
{
    struct fixture *f = ctx;
    f->closed = true;
    f->closed_code = code;
    (void)snprintf(f->text, sizeof f->text, "%s", text);
}

static void start_servers(struct fixture *f, uint32_t count, char *list, size_t len)
{
    list[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        size_t n = strlen(list);
        fake_start(&f->servers[i], &f->loop, &f->log, 0);
        (void)snprintf(list + n, len - n, "%shttp://127.0.0.1:%u", i > 0 ? "," : "",
                       f->servers[i].port);
    }
}

static void start_client(struct fixture *f, const char *list)
{
    char why[256];
    const struct client_options o = {
        .servers = list,
        .backoff_ms_min = 20,
        .backoff_ms_max = 50,
        .handlers = {.ctx = f, .connected = on_connected, .message = on_message, .gap = on_gap},
        .retrying = on_retrying,
        .closed = on_closed};
    assert_int_equal(client_create(&f->loop, &o, &f->client, why, sizeof why), DUN_OK);
    assert_int_equal(client_subscribe(f->client, "c", NULL, NULL, &f->sub), DUN_OK);
}

/* The server that has the client. */
static struct fake_server *holder(struct fixture *f)
{
    for (size_t i = 0; i < DUN_COUNT(f->servers); i++)
        for (uint32_t k = 0; k < f->servers[i].conn_count; k++)
            if (f->servers[i].conns[k]->subscribed) return &f->servers[i];
    return NULL;
}

static void each_death_of_a_server_is_survived_without_loss_or_repeat(void **state)
{
    struct fixture *f = *state;
    char list[200];
    start_servers(f, 3, list, sizeof list);
    start_client(f, list);
    for (int round = 0; round < 10; round++) {
        UNTIL(f, holder(f) != NULL);
        fake_publish(f->servers, 3);
        UNTIL(f, f->received == f->log.top);
        struct fake_server *dead = holder(f);
        uint16_t port = dead->port;
        fake_publish(f->servers, 3); /* may or may not reach it before the end */
        fake_kill(dead);
        fake_publish(f->servers, 3);
        UNTIL(f, f->received == f->log.top && holder(f) != NULL);
        assert_ptr_not_equal(holder(f), dead);
        while (uv_is_active((uv_handle_t *)&dead->listener))
            (void)uv_run(&f->loop, UV_RUN_NOWAIT);
        (void)uv_run(&f->loop, UV_RUN_NOWAIT); /* its close callbacks */
        fake_start(dead, &f->loop, &f->log, port);
    }
    assert_int_equal(f->out_of_order, 0);
    assert_int_equal(f->gaps, 0);
    assert_true(f->recovered >= 10);
}

static void all_addresses_of_a_name_are_tried(void **state)
{
    struct fixture *f = *state;
    char list[200];
    start_servers(f, 1, list, sizeof list); /* on 127.0.0.1 only; localhost may be ::1 as well */
    (void)snprintf(list, sizeof list, "http://localhost:%u", f->servers[0].port);
    for (int i = 0; i < 8; i++) {
        start_client(f, list);
        UNTIL(f, holder(f) != NULL);
        client_destroy(f->client, NULL, NULL);
        f->client = NULL;
        UNTIL(f, holder(f) == NULL);
    }
    assert_int_equal(f->retries, 0);
}

static void on_tick(uv_timer_t *t)
{
    (void)t; /* wakes the loop, so that UNTIL looks again */
}

static void the_first_reconnect_is_immediate(void **state)
{
    struct fixture *f = *state;
    char list[200];
    start_servers(f, 2, list, sizeof list);
    start_client(f, list);
    UNTIL(f, holder(f) != NULL);
    struct fake_server *dead = holder(f);
    fake_kill(dead);
    UNTIL(f, holder(f) != NULL && holder(f) != dead);
    assert_int_equal(f->retries, 1);
    assert_int_equal(f->waits, 0);
    uint64_t lasted = uv_now(&f->loop) + CLIENT_LASTED_MS + 1;
    uv_timer_t clock;
    uv_timer_init(&f->loop, &clock);
    uv_timer_start(&clock, on_tick, 20, 20);
    UNTIL(f, uv_now(&f->loop) > lasted);
    uv_close((uv_handle_t *)&clock, NULL);
    uint64_t retries = f->retries;
    fake_kill(holder(f));
    UNTIL(f, f->retries > retries);
    assert_int_equal(f->waits, 0); /* it had lasted, so the next loss is a first one again */
}

static void when_all_are_dead_it_waits_and_comes_back(void **state)
{
    struct fixture *f = *state;
    char list[200];
    start_servers(f, 1, list, sizeof list);
    uint16_t port = f->servers[0].port;
    start_client(f, list);
    UNTIL(f, holder(f) != NULL);
    fake_kill(&f->servers[0]);
    UNTIL(f, f->waits >= 3);
    assert_non_null(strstr(f->text, "refused"));
    assert_non_null(strstr(f->text, "127.0.0.1"));
    fake_start(&f->servers[0], &f->loop, &f->log, port);
    UNTIL(f, holder(f) != NULL);
}

static void a_close_from_3500_on_is_final(void **state)
{
    struct fixture *f = *state;
    char list[200];
    start_servers(f, 2, list, sizeof list);
    f->servers[0].close_connects = f->servers[1].close_connects = 3500;
    start_client(f, list);
    UNTIL(f, f->closed);
    assert_int_equal(f->closed_code, 3500);
    assert_int_equal(f->servers[0].connects + f->servers[1].connects, 1);
}

static void a_close_below_3500_moves_on_and_does_not_spin(void **state)
{
    struct fixture *f = *state;
    char list[200];
    start_servers(f, 2, list, sizeof list);
    f->servers[0].close_connects = 3001;
    for (size_t i = 0; i < 10; i++) { /* until chance has asked the first one too */
        start_client(f, list);
        UNTIL(f, holder(f) != NULL);
        assert_ptr_equal(holder(f), &f->servers[1]);
        if (f->servers[0].connects > 0) break;
        client_destroy(f->client, NULL, NULL);
        f->client = NULL;
        UNTIL(f, holder(f) == NULL);
    }
    assert_false(f->closed);
    fake_kill(&f->servers[1]);
    uint32_t before = f->servers[0].connects;
    uint64_t waits = f->waits;
    UNTIL(f, f->servers[0].connects >= before + 3);
    assert_true(f->waits >= waits + 2);
}

static void answered(void *ctx, const struct client_answer *a)
{
    struct fixture *f = ctx;
    assert_int_equal(a->e, DUN_OK);
    f->received++;
}

static void publishes_are_answered(void **state)
{
    struct fixture *f = *state;
    char list[200];
    start_servers(f, 1, list, sizeof list);
    start_client(f, list);
    struct dun_slice c = dun_slice_str("x"), d = dun_slice_str("1");
    assert_int_equal(client_publish(f->client, c, d, answered, f), DUN_E_CLOSED);
    UNTIL(f, client_ready(f->client));
    for (int i = 0; i < 100; i++)
        assert_int_equal(client_publish(f->client, c, d, answered, f), DUN_OK);
    UNTIL(f, f->received == 100);
    assert_int_equal(f->log.top, 100);
}

static void a_handler_may_destroy_the_client(void **state)
{
    struct fixture *f = *state;
    char list[200];
    f->destroy_in_message = true;
    start_servers(f, 1, list, sizeof list);
    start_client(f, list);
    UNTIL(f, holder(f) != NULL);
    fake_publish(f->servers, 1);
    fake_publish(f->servers, 1);
    UNTIL(f, f->destroyed && holder(f) == NULL);
    assert_int_equal(f->received, 1);
}

static void destroying_while_dialling_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    start_client(f, "http://127.0.0.1:1");
    client_destroy(f->client, NULL, NULL);
    f->client = NULL; /* teardown checks that the loop is empty */
    start_client(f, "http://host.invalid:1");
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

/* ---- HTTP ---- */

struct http_run {
    bool done;
    dun_err e;
    int status;
    uint32_t attempts;
    char why[CLIENT_WHY_MAX];
};

static void on_http(void *ctx, const struct client_http_result *r)
{
    struct http_run *h = ctx;
    h->done = true;
    h->e = r->e;
    h->status = r->status;
    h->attempts = r->attempts;
    if (r->why != NULL) (void)snprintf(h->why, sizeof h->why, "%s", r->why);
}

static void http_publish(struct fixture *f, const char *list, uint32_t max_ms, struct http_run *h)
{
    struct client_servers servers;
    struct dun_prng p;
    struct dun_buf body = {0};
    char why[256], key[CLIENT_KEY_LEN + 1];
    memset(h, 0, sizeof *h);
    assert_int_equal(client_servers_parse(&servers, list, why, sizeof why), DUN_OK);
    client_seed(&p);
    client_publish_key(key);
    client_publish_body(&body, dun_slice_str("c"), dun_slice_str("{\"a\":1}"), key);
    const struct client_http_options o = {.servers = &servers,
                                          .method = "POST",
                                          .path = "/api/publish",
                                          .body = dun_buf_view(&body),
                                          .max_ms = max_ms};
    (void)client_http_start(&f->loop, &o, &p, on_http, h);
    UNTIL(f, h->done);
    dun_buf_deinit(&body);
}

static void a_retried_publish_counts_once(void **state)
{
    struct fixture *f = *state;
    struct http_run h;
    char list[200];
    start_servers(f, 2, list, sizeof list);
    f->servers[0].http_status = -1; /* takes the message and dies before the answer */
    uint32_t retried = 0;
    for (uint64_t i = 1; i <= 20; i++) {
        http_publish(f, list, 5000, &h);
        assert_int_equal(h.e, DUN_OK);
        assert_int_equal(h.status, 200);
        assert_int_equal(f->log.top, i);
        retried += h.attempts > 1;
    }
    assert_true(retried > 0);
    assert_int_equal(f->log.repeats, retried);
}

static void server_errors_are_retried_and_client_errors_are_not(void **state)
{
    struct fixture *f = *state;
    struct http_run h;
    char list[200];
    start_servers(f, 2, list, sizeof list);
    f->servers[0].http_status = 503;
    for (int i = 0; i < 10; i++) {
        http_publish(f, list, 5000, &h);
        assert_int_equal(h.status, 200);
    }
    assert_true(f->servers[0].http_requests > 0);
    f->servers[0].http_status = f->servers[1].http_status = 401;
    http_publish(f, list, 5000, &h);
    assert_int_equal(h.status, 401);
    assert_int_equal(h.attempts, 1);
}

static void no_server_at_all_is_said_within_the_time(void **state)
{
    struct fixture *f = *state;
    struct http_run h;
    http_publish(f, "http://127.0.0.1:1", 200, &h);
    assert_int_equal(h.e, DUN_E_IO);
    assert_non_null(strstr(h.why, "http://127.0.0.1:1"));
    assert_true(h.attempts > 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_death_of_a_server_is_survived_without_loss_or_repeat),
        T(all_addresses_of_a_name_are_tried),
        T(the_first_reconnect_is_immediate),
        T(when_all_are_dead_it_waits_and_comes_back),
        T(a_close_from_3500_on_is_final),
        T(a_close_below_3500_moves_on_and_does_not_spin),
        T(publishes_are_answered),
        T(a_handler_may_destroy_the_client),
        T(destroying_while_dialling_leaves_nothing),
        T(a_retried_publish_counts_once),
        T(server_errors_are_retried_and_client_errors_are_not),
        T(no_server_at_all_is_said_within_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
