/* cmd/dunlin_pub.c: publish one message through whichever server answers.
 * The idempotency key is made once, before the first attempt, so however many
 * servers are asked, the message counts once. */
#include "cmd/dunlin_args.h"

#include "base/assert.h"
#include "base/limits.h"
#include "transport/client/client.h"
#include "transport/client/client_http.h"
#include "transport/codec/utf8.h"

#include <stdio.h>
#include <string.h>

/* The data as JSON in @b. */
static int take_data(const char *data, bool text, struct dun_buf *b)
{
    struct dun_slice raw = dun_slice_str(data);
    if (!utf8_valid(raw)) return dunlin_fail(EXIT_USAGE, "pub: DATA is not UTF-8");
    if (text) {
        json_write_string(b, raw);
    } else if (json_check(raw) != DUN_OK) {
        return dunlin_fail(EXIT_USAGE,
                           "pub: DATA is not valid JSON: %.60s\n"
                           "        To send it as a text, add --text.",
                           data);
    } else {
        json_strip_newlines(b, raw);
    }
    if (b->len > DUN_PAYLOAD_MAX)
        return dunlin_fail(EXIT_USAGE, "pub: DATA has %zu bytes, at most %d are allowed", b->len,
                           DUN_PAYLOAD_MAX);
    return EXIT_FINE;
}

static struct dun_slice member_text(struct dun_slice object, const char *name)
{
    struct json_member m;
    return json_find(object, name, &m) ? m.value : dun_slice_str("null");
}

static int report(const struct client_http_result *r, const struct dunlin_server *s,
                  const char *key)
{
    struct json_member m;
    if (r->e != DUN_OK)
        return dunlin_fail(
            EXIT_UNAVAILABLE,
            "pub: no server took the message; %s\n"
            "        Is it running (dunlin status)? Other servers: --server URL,URL.",
            r->why);
    if (r->status == 401)
        return dunlin_fail(EXIT_REFUSED, "pub: %s wants an API key, or another one: --api-key KEY",
                           r->url);
    if (json_check_type(r->body, JSON_OBJECT) != DUN_OK)
        return dunlin_fail(EXIT_REFUSED, "pub: %s answered HTTP %d: %.*s", r->url, r->status,
                           (int)(r->body.len < 200 ? r->body.len : 200),
                           (const char *)r->body.data);
    if (!json_find(r->body, "result", &m)) {
        struct dun_slice error = json_find(r->body, "error", &m) ? m.value : r->body;
        return dunlin_fail(EXIT_REFUSED, "pub: %s refused (HTTP %d): %.*s", r->url, r->status,
                           (int)error.len, (const char *)error.data);
    }
    struct dun_slice seq = member_text(m.value, "offset"), epoch = member_text(m.value, "epoch");
    if (s->json) {
        printf("{\"epoch\":%.*s,\"seq\":%.*s,\"idempotency_key\":\"%s\",\"server\":\"%s\","
               "\"attempts\":%u}\n",
               (int)epoch.len, (const char *)epoch.data, (int)seq.len, (const char *)seq.data, key,
               r->url, r->attempts);
    } else {
        if (epoch.data[0] == '"')
            epoch = dun_slice(epoch.data + 1, epoch.len - 2); /* for --since */
        printf("seq=%.*s epoch=%.*s\n", (int)seq.len, (const char *)seq.data, (int)epoch.len,
               (const char *)epoch.data);
    }
    return EXIT_FINE;
}

static int publish(const struct client_servers *servers, const struct dunlin_server *s,
                   const char *channel, struct dun_slice data, const char *key, uint64_t max_ms)
{
    struct dun_buf body = {0}, answer = {0};
    struct client_http_result r;
    struct dun_prng prng;
    char why[CLIENT_WHY_MAX];
    uv_loop_t loop;
    client_publish_body(&body, dun_slice_str(channel), data, key);
    const struct client_http_options o = {.servers = servers,
                                          .method = "POST",
                                          .path = "/api/publish",
                                          .body = dun_buf_view(&body),
                                          .api_key = s->api_key,
                                          .max_ms = (uint32_t)max_ms};
    client_seed(&prng);
    int rc = uv_loop_init(&loop);
    DUN_ASSERT(rc == 0);
    client_http_run(&loop, &o, &prng, &r, &answer, why);
    rc = uv_loop_close(&loop);
    DUN_ASSERT(rc == 0);
    int status = report(&r, s, key);
    dun_buf_deinit(&body);
    dun_buf_deinit(&answer);
    return status;
}

int dunlin_pub(int argc, char **argv)
{
    struct dunlin_server s = DUNLIN_SERVER_DEFAULT;
    const char *key_given = NULL;
    bool text = false;
    uint64_t max_ms = 10000;
    const struct dunlin_opt opts[] = {
        DUNLIN_SERVER_OPTS(s),
        {"text", OPT_FLAG, NULL, "DATA is a text, not JSON", &text, 0, 0},
        {"key", OPT_TEXT, "KEY", "idempotency key (a random one)", &key_given, 0, 0},
        {"timeout", OPT_NUMBER, "MS", "give up after that long (10000)", &max_ms, 1, 3600 * 1000},
    };
    const struct dunlin_args args = {
        .usage = "pub CHANNEL DATA [OPTION]...",
        .summary =
            "Publishes DATA, a JSON value, and prints the place it got in the channel. If a\n"
            "server does not answer, the next one is asked; the message still counts once.",
        .opts = opts,
        .opt_count = DUN_COUNT(opts),
        .words_min = 2,
        .words_max = 2,
    };
    struct dunlin_parsed p;
    int status;
    if (!dunlin_args(&args, argc, argv, &p, &status)) return status;
    const char *channel = p.words[0];
    if (channel[0] == '\0' || strlen(channel) > DUN_CHANNEL_MAX ||
        !utf8_valid(dun_slice_str(channel)))
        return dunlin_fail(EXIT_USAGE,
                           "pub: the channel \"%.60s\" must have 1 to %d bytes of UTF-8", channel,
                           DUN_CHANNEL_MAX);
    if (key_given != NULL && (key_given[0] == '\0' || strlen(key_given) > DUN_KEY_MAX ||
                              !utf8_valid(dun_slice_str(key_given))))
        return dunlin_fail(EXIT_USAGE, "pub: --key \"%.60s\" must have 1 to %d bytes of UTF-8",
                           key_given, DUN_KEY_MAX);
    struct client_servers servers;
    char why[CLIENT_WHY_MAX], key[CLIENT_KEY_LEN + 1];
    if (client_servers_parse(&servers, s.servers, why, sizeof why) != DUN_OK)
        return dunlin_fail(EXIT_USAGE, "pub: %s", why);
    struct dun_buf data = {0};
    status = take_data(p.words[1], text, &data);
    client_publish_key(key);
    if (status == EXIT_FINE)
        status = publish(&servers, &s, channel, dun_buf_view(&data),
                         key_given != NULL ? key_given : key, max_ms);
    dun_buf_deinit(&data);
    return status;
}
