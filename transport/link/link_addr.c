/* transport/link/link_addr.c: see the header. */
#include "transport/link/link_addr.h"

#include "base/assert.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { PORT_TEXT_MAX = 5 };

static bool parse_port(const char *s, uint16_t *out)
{
    size_t len = strnlen(s, PORT_TEXT_MAX + 1);
    uint32_t v = 0;
    if (len == 0 || len > PORT_TEXT_MAX) return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9') return false;
        v = v * 10 + (uint32_t)(s[i] - '0');
    }
    if (v > UINT16_MAX) return false;
    *out = (uint16_t)v;
    return true;
}

static bool host_ok(const char *host)
{
    for (const char *c = host; *c != '\0'; c++) {
        bool ok = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                  (*c >= '0' && *c <= '9') || *c == '.' || *c == '-' || *c == '_';
        if (!ok) return false;
    }
    return true;
}

dun_err link_addr_parse(const char *text, bool listen, struct link_addr *out)
{
    struct link_addr a = {0};
    if (strnlen(text, DUN_ADDR_MAX + 1) > DUN_ADDR_MAX) return DUN_E_CONFIG;
    const char *colon = strrchr(text, ':'), *host = text;
    if (colon == NULL || !parse_port(colon + 1, &a.port)) return DUN_E_CONFIG;
    size_t len = (size_t)(colon - text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        a.v6 = true;
        host++;
        len -= 2;
    }
    memcpy(a.host, host, len);
    if (a.v6) {
        struct in6_addr bin;
        if (inet_pton(AF_INET6, a.host, &bin) != 1) return DUN_E_CONFIG;
    } else if (listen && (len == 0 || strcmp(a.host, "*") == 0)) {
        strcpy(a.host, "0.0.0.0");
    } else if (len == 0 || !host_ok(a.host)) {
        return DUN_E_CONFIG;
    }
    if (!listen && a.port == 0) return DUN_E_CONFIG;
    *out = a;
    return DUN_OK;
}

bool link_addr_is_loopback(const struct link_addr *a)
{
    if (a->v6) {
        struct in6_addr bin;
        return inet_pton(AF_INET6, a->host, &bin) == 1 && IN6_IS_ADDR_LOOPBACK(&bin);
    }
    struct in_addr bin;
    if (inet_pton(AF_INET, a->host, &bin) == 1) return (ntohl(bin.s_addr) >> 24) == 127;
    return strcasecmp(a->host, "localhost") == 0;
}

static void format(const struct link_addr *a, const char *scheme, char *out, size_t size)
{
    int n =
        snprintf(out, size, a->v6 ? "%s[%s]:%u" : "%s%s:%u", scheme, a->host, (unsigned)a->port);
    DUN_ASSERT(n > 0 && (size_t)n < size);
}

void link_addr_url(const struct link_addr *a, char *out)
{
    format(a, "tcp://", out, LINK_URL_MAX + 1);
}

void link_addr_text(const struct link_addr *a, char *out)
{
    format(a, "", out, DUN_ADDR_MAX + 1);
}
