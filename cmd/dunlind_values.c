/* cmd/dunlind_values.c: durations, sizes, keys and addresses as people write them. */
#include "cmd/dunlind_config.h"

#include <sodium.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Digits and one of the units; a bare 0 needs none. */
static dun_err parse_with_unit(const char *text, const struct unit *units, size_t count,
                               uint64_t *out)
{
    uint64_t v = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (v > (UINT64_MAX >> 4) / 10) return DUN_E_CONFIG;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    if (p == text) return DUN_E_CONFIG;
    if (*p == '\0' && v == 0) {
        *out = 0;
        return DUN_OK;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(p, units[i].name) != 0) continue;
        if (v > (UINT64_MAX >> 1) / units[i].factor) return DUN_E_CONFIG;
        *out = v * units[i].factor;
        return DUN_OK;
    }
    return DUN_E_CONFIG;
}

dun_err config_parse_duration(const char *text, uint64_t *ms)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    return parse_with_unit(text, units, sizeof units / sizeof units[0], ms);
}

dun_err config_parse_size(const char *text, uint64_t *bytes)
{
    static const struct unit units[] = {
        {"B", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}};
    return parse_with_unit(text, units, sizeof units / sizeof units[0], bytes);
}

dun_err config_parse_key(const char *line, uint8_t out[CONFIG_KEY_BYTES])
{
    uint8_t bytes[CONFIG_KEY_BYTES + 1];
    size_t n = 0;
    const char *end = NULL;
    size_t len = strlen(line);
    bool hex = sodium_hex2bin(bytes, sizeof bytes, line, len, NULL, &n, &end) == 0 &&
               *end == '\0' && n == CONFIG_KEY_BYTES;
    bool base64 = !hex &&
                  sodium_base642bin(bytes, sizeof bytes, line, len, NULL, &n, &end,
                                    sodium_base64_VARIANT_ORIGINAL) == 0 &&
                  *end == '\0' && n == CONFIG_KEY_BYTES;
    if (hex || base64) memcpy(out, bytes, CONFIG_KEY_BYTES);
    sodium_memzero(bytes, sizeof bytes);
    return hex || base64 ? DUN_OK : DUN_E_CONFIG;
}

bool config_address_ok(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || strlen(text) > DUN_ADDR_MAX) return false;
    size_t host = (size_t)(colon - text);
    bool brackets = host >= 2 && text[0] == '[' && colon[-1] == ']';
    if (!brackets && memchr(text, ':', host) != NULL) return false; /* IPv6 needs brackets */
    for (size_t i = 0; i < host; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == '/') return false;
    uint32_t port = 0;
    const char *p = colon + 1;
    for (; *p >= '0' && *p <= '9' && port <= 65535; p++)
        port = port * 10 + (uint32_t)(*p - '0');
    return p > colon + 1 && *p == '\0' && port <= 65535;
}
