/* transport/client/client_servers.c: weighted choice without repeating a server in a round. */
#include "transport/client/client_servers.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

enum { PORT_BARE = 8000, PORT_HTTP = 80 };

static dun_err refuse(char *why, size_t why_len, const char *word, size_t len, const char *text)
{
    (void)snprintf(why, why_len, "server \"%.*s\": %s", (int)(len < 200 ? len : 200), word, text);
    return DUN_E_USAGE;
}

static bool parse_number(const char *text, size_t len, uint32_t max, uint32_t *out)
{
    uint32_t v = 0;
    if (len == 0 || len > 6) return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        v = v * 10 + (uint32_t)(text[i] - '0');
    }
    if (v > max) return false;
    *out = v;
    return true;
}

/* Splits "HOST[:PORT]" or "[V6][:PORT]"; the text for people, or NULL when it is right. */
static const char *parse_host_port(struct client_server *server, const char *text, size_t len)
{
    const char *host = text, *end = text + len, *port = NULL;
    size_t host_len;
    if (len > 0 && text[0] == '[') {
        const char *close = memchr(text, ']', len);
        if (close == NULL) return "a bracket is not closed; write [::1]:8000";
        host = text + 1;
        host_len = (size_t)(close - host);
        if (close + 1 < end) {
            if (close[1] != ':') return "after the bracket comes :PORT";
            port = close + 2;
        }
    } else {
        const char *colon = memchr(text, ':', len);
        if (colon != NULL && memchr(colon + 1, ':', (size_t)(end - colon - 1)) != NULL)
            return "an IPv6 address stands in brackets; write [::1]:8000";
        host_len = colon != NULL ? (size_t)(colon - text) : len;
        if (colon != NULL) port = colon + 1;
    }
    if (host_len == 0) return "the host is missing; write http://HOST:PORT";
    if (host_len > CLIENT_HOST_MAX) return "the host name is longer than 253 bytes";
    for (size_t i = 0; i < host_len; i++)
        if ((unsigned char)host[i] <= ' ' || host[i] == '@' || host[i] == 0x7f)
            return "the host has a character that no host name has";
    memcpy(server->host, host, host_len);
    server->host[host_len] = '\0';
    if (port != NULL) {
        uint32_t v;
        if (!parse_number(port, (size_t)(end - port), 65535, &v) || v == 0)
            return "the port must be a number from 1 to 65535";
        server->port = (uint16_t)v;
    }
    return NULL;
}

static const char *parse_url(struct client_server *server, const char *text, size_t len)
{
    if (len > CLIENT_URL_MAX) return "longer than 600 bytes";
    memcpy(server->url, text, len);
    server->url[len] = '\0';
    server->port = PORT_BARE;
    const char *scheme = strstr(server->url, "://"), *rest = server->url;
    if (scheme != NULL) {
        size_t n = (size_t)(scheme - server->url);
        bool plain =
            (n == 4 && memcmp(rest, "http", 4) == 0) || (n == 2 && memcmp(rest, "ws", 2) == 0);
        bool tls =
            (n == 5 && memcmp(rest, "https", 5) == 0) || (n == 3 && memcmp(rest, "wss", 3) == 0);
        if (tls) return "this client has no TLS; use http:// inside the private network";
        if (!plain) return "the scheme must be http or ws; write http://HOST:PORT";
        server->port = PORT_HTTP;
        rest = scheme + 3;
    }
    const char *slash = strchr(rest, '/');
    size_t authority = slash != NULL ? (size_t)(slash - rest) : strlen(rest);
    if (slash != NULL) {
        size_t n = strlen(slash);
        while (n > 0 && slash[n - 1] == '/')
            n--;
        if (n > CLIENT_PATH_MAX) return "the path is longer than 255 bytes";
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)slash[i] <= ' ' || slash[i] == 0x7f)
                return "the path has a blank or control character";
        memcpy(server->path, slash, n);
    }
    return parse_host_port(server, rest, authority);
}

dun_err client_servers_parse(struct client_servers *s, const char *text, char *why, size_t why_len)
{
    struct client_servers out = {.last = CLIENT_NONE, .lost = CLIENT_NONE};
    bool usable = false;
    for (const char *p = text;;) {
        size_t len = strcspn(p, ","), url_len = len;
        if (len == 0) return refuse(why, why_len, text, strlen(text), "an entry is empty");
        if (out.count == CLIENT_SERVERS_MAX)
            return refuse(why, why_len, p, len, "more than 32 servers; leave some out");
        struct client_server *server = &out.list[out.count++];
        server->weight = 1;
        const char *equals = memchr(p, '=', len);
        if (equals != NULL) {
            url_len = (size_t)(equals - p);
            if (!parse_number(equals + 1, len - url_len - 1, CLIENT_WEIGHT_MAX, &server->weight))
                return refuse(why, why_len, p, len, "the weight must be a number from 0 to 1000");
        }
        const char *wrong = parse_url(server, p, url_len);
        if (wrong != NULL) return refuse(why, why_len, p, len, wrong);
        usable = usable || server->weight > 0;
        if (p[len] == '\0') break;
        p += len + 1;
    }
    if (!usable)
        return refuse(why, why_len, text, strlen(text),
                      "all weights are 0; give at least one server a weight of 1");
    *s = out;
    return DUN_OK;
}

bool client_servers_round_over(const struct client_servers *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (!s->list[i].tried) return false;
    return true;
}

/* One of the untried servers but @avoid, by weight; reserves only if nothing else is left. */
static int32_t choose(const struct client_servers *s, struct dun_prng *p, int32_t avoid)
{
    uint64_t total = 0;
    uint32_t reserves = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->list[i].tried || (int32_t)i == avoid) continue;
        total += s->list[i].weight;
        if (s->list[i].weight == 0) reserves++;
    }
    if (total == 0 && reserves == 0) return CLIENT_NONE;
    uint64_t ticket = dun_prng_range(p, 0, total != 0 ? total - 1 : reserves - 1);
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->list[i].tried || (int32_t)i == avoid) continue;
        uint64_t share = total != 0 ? s->list[i].weight : 1;
        if (ticket < share) return (int32_t)i;
        ticket -= share;
    }
    DUN_UNREACHABLE();
}

const struct client_server *client_servers_next(struct client_servers *s, struct dun_prng *p)
{
    DUN_ASSERT(s->count > 0);
    if (client_servers_round_over(s)) client_servers_good(s);
    int32_t i = choose(s, p, s->lost);
    if (i == CLIENT_NONE) i = choose(s, p, CLIENT_NONE);
    DUN_ASSERT(i != CLIENT_NONE);
    s->list[i].tried = true;
    s->last = i;
    return &s->list[i];
}

void client_servers_host(const struct client_server *server, char out[CLIENT_HOST_MAX + 16])
{
    bool v6 = strchr(server->host, ':') != NULL;
    (void)snprintf(out, CLIENT_HOST_MAX + 16, v6 ? "[%s]:%u" : "%s:%u", server->host,
                   (unsigned)server->port);
}

void client_servers_good(struct client_servers *s)
{
    s->lost = s->last;
    for (uint32_t i = 0; i < s->count; i++)
        s->list[i].tried = false;
}
