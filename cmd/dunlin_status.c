/* cmd/dunlin_status.c: what each server says about itself, side by side.
 * Every server of --server is asked (no failover here): one that does not
 * answer is a line of the table, not an error of the tool. */
#include "cmd/dunlin_args.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "transport/client/client.h"
#include "transport/client/client_http.h"
#include "transport/codec/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct ask {
    struct client_servers server; /* only this one */
    struct dun_buf ready, info;
    int ready_status, info_status; /* HTTP; 0 = no answer */
    char why[CLIENT_WHY_MAX];
    int left; /* answers outstanding */
};

static void take(struct ask *a, const struct client_http_result *r, struct dun_buf *body,
                 int *status)
{
    a->left--;
    if (r->e != DUN_OK) {
        (void)snprintf(a->why, sizeof a->why, "%s", r->why);
        return;
    }
    *status = r->status;
    if (json_check_type(r->body, JSON_OBJECT) == DUN_OK) json_strip_newlines(body, r->body);
}

static void on_ready(void *ctx, const struct client_http_result *r)
{
    struct ask *a = ctx;
    take(a, r, &a->ready, &a->ready_status);
}

static void on_info(void *ctx, const struct client_http_result *r)
{
    struct ask *a = ctx;
    take(a, r, &a->info, &a->info_status);
}

static void ask_all(struct ask *asks, uint32_t count, const struct dunlin_server *s)
{
    uv_loop_t loop;
    struct dun_prng prng;
    int rc = uv_loop_init(&loop);
    DUN_ASSERT(rc == 0);
    client_seed(&prng);
    for (uint32_t i = 0; i < count; i++) {
        struct client_http_options o = {.servers = &asks[i].server,
                                        .method = "GET",
                                        .path = "/readyz",
                                        .api_key = s->api_key,
                                        .answer_ms = 3000};
        asks[i].left = 2;
        (void)client_http_start(&loop, &o, &prng, on_ready, &asks[i]);
        o.method = "POST";
        o.path = "/api/info";
        o.body = dun_slice_str("{}");
        (void)client_http_start(&loop, &o, &prng, on_info, &asks[i]);
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    rc = uv_loop_close(&loop);
    DUN_ASSERT(rc == 0);
    for (uint32_t i = 0; i < count; i++)
        DUN_ASSERT(asks[i].left == 0);
}

static void print_text(struct dun_slice value)
{
    if (value.len >= 2 && value.data[0] == '"') value = dun_slice(value.data + 1, value.len - 2);
    printf("%.*s", (int)(value.len < 60 ? value.len : 60), (const char *)value.data);
}

/* "ready", or why not. */
static void print_state(const struct ask *a)
{
    struct json_member reason;
    if (a->ready_status == 0) {
        printf("unreachable\n    %s\n", a->why);
        return;
    }
    printf("%s", a->ready_status == 200 ? "ready" : "NOT READY");
    if (a->ready_status != 200 && a->ready.len > 0 &&
        json_find(dun_buf_view(&a->ready), "reason", &reason)) {
        fputs(" (", stdout);
        print_text(reason.value);
        fputs(")", stdout);
    } else if (a->ready_status != 200) {
        printf(" (HTTP %d)", a->ready_status);
    }
    fputc('\n', stdout);
}

static bool nodes_of(const struct ask *a, struct json_iter *it)
{
    struct json_member result, nodes;
    struct dun_slice text = dun_buf_view(&a->info);
    return text.len > 0 && json_find(text, "result", &result) &&
           json_find(result.value, "nodes", &nodes) && json_array(nodes.value, it) == DUN_OK;
}

static void print_nodes(const struct ask *a)
{
    static const char *const columns[] = {"name",     "version",      "num_clients", "num_users",
                                          "num_subs", "num_channels", "uptime"};
    struct json_iter it;
    struct json_member node, m;
    if (a->info_status == 401) {
        puts("    /api/info wants --api-key");
        return;
    }
    if (!nodes_of(a, &it)) return;
    while (json_next_item(&it, &node)) {
        fputs("   ", stdout);
        for (size_t i = 0; i < DUN_COUNT(columns); i++) {
            if (!json_find(node.value, columns[i], &m)) continue;
            printf(" %s=", columns[i]);
            print_text(m.value);
        }
        fputc('\n', stdout);
    }
}

static void print_json(const struct ask *asks, uint32_t count)
{
    struct dun_buf b = {0};
    dun_buf_str(&b, "{\"servers\":[");
    for (uint32_t i = 0; i < count; i++) {
        const struct ask *a = &asks[i];
        if (i > 0) dun_buf_byte(&b, ',');
        dun_buf_str(&b, "{\"url\":");
        json_write_string(&b, dun_slice_str(a->server.list[0].url));
        dun_buf_printf(&b, ",\"reachable\":%s,\"ready\":%s",
                       a->ready_status != 0 ? "true" : "false",
                       a->ready_status == 200 ? "true" : "false");
        if (a->ready.len > 0) {
            dun_buf_str(&b, ",\"readyz\":");
            dun_buf_slice(&b, dun_buf_view(&a->ready));
        }
        if (a->info.len > 0) {
            dun_buf_str(&b, ",\"info\":");
            dun_buf_slice(&b, dun_buf_view(&a->info));
        }
        if (a->ready_status == 0) {
            dun_buf_str(&b, ",\"error\":");
            json_write_string(&b, dun_slice_str(a->why));
        }
        dun_buf_byte(&b, '}');
    }
    printf("%.*s]}\n", (int)b.len, (const char *)b.data);
    dun_buf_deinit(&b);
}

int dunlin_status(int argc, char **argv)
{
    struct dunlin_server s = DUNLIN_SERVER_DEFAULT;
    const struct dunlin_opt opts[] = {DUNLIN_SERVER_OPTS(s)};
    const struct dunlin_args args = {
        .usage = "status [OPTION]...",
        .summary = "Asks every server of --server for /readyz and /api/info.\n"
                   "Exit status: 0 all are ready, 1 some are not, 69 none answered.",
        .opts = opts,
        .opt_count = DUN_COUNT(opts),
    };
    struct dunlin_parsed p;
    int status;
    if (!dunlin_args(&args, argc, argv, &p, &status)) return status;
    struct client_servers servers;
    char why[CLIENT_WHY_MAX];
    if (client_servers_parse(&servers, s.servers, why, sizeof why) != DUN_OK)
        return dunlin_fail(EXIT_USAGE, "status: %s", why);
    struct ask *asks = dun_calloc(servers.count, sizeof *asks);
    uint32_t ready = 0, reachable = 0;
    for (uint32_t i = 0; i < servers.count; i++) {
        asks[i].server.count = 1;
        asks[i].server.last = asks[i].server.lost = CLIENT_NONE;
        asks[i].server.list[0] = servers.list[i];
    }
    ask_all(asks, servers.count, &s);
    for (uint32_t i = 0; i < servers.count; i++) {
        ready += asks[i].ready_status == 200;
        reachable += asks[i].ready_status != 0;
        if (s.json) continue;
        printf("%-32s ", asks[i].server.list[0].url);
        print_state(&asks[i]);
        print_nodes(&asks[i]);
    }
    if (s.json) print_json(asks, servers.count);
    for (uint32_t i = 0; i < servers.count; i++) {
        dun_buf_deinit(&asks[i].ready);
        dun_buf_deinit(&asks[i].info);
    }
    dun_free(asks);
    if (reachable == 0)
        return dunlin_fail(EXIT_UNAVAILABLE,
                           "status: no server answered. Start one (dunlin dev), or name another: "
                           "--server URL,URL");
    return ready == servers.count ? EXIT_FINE : EXIT_REFUSED;
}
