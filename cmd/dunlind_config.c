/* cmd/dunlind_config.c: the table of keys, and what only the whole can tell. */
#include "cmd/dunlind_config.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"

#include <errno.h>
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum kind { TEXT, ADDRESS, LIST, BOOL, DURATION, SIZE, COUNT };

struct key {
    const char *name;
    enum kind kind;
    size_t offset;
    uint64_t min, max;     /* of the number; LIST: most entries */
    const char *zero_word; /* stands for 0 in a COUNT */
};

#define AT(member) offsetof(struct config, member)
static const struct key keys[] = {
    {"name", TEXT, AT(name), 1, DUN_NAME_MAX, NULL},
    {"voters", LIST, AT(voters), 1, DUN_VOTERS_MAX, NULL},
    {"join", LIST, AT(join), 0, DUN_SEEDS_MAX, NULL},
    {"cluster.key_file", TEXT, AT(key_file), 1, 4095, NULL},
    {"cluster.loss_timeout", DURATION, AT(loss_timeout_ms), 0, UINT32_MAX, NULL},
    {"client.listen", ADDRESS, AT(client_listen), 0, 0, NULL},
    {"client.advertise", ADDRESS, AT(client_advertise), 0, 0, NULL},
    {"client.allowed_origins", LIST, AT(origins), 0, CONFIG_LIST_MAX, NULL},
    {"client.insecure", BOOL, AT(insecure), 0, 0, NULL},
    {"client.ping_interval", DURATION, AT(ping_ms), DUN_PING_S_MIN * 1000, DUN_PING_S_MAX * 1000,
     NULL},
    {"client.pong_timeout", DURATION, AT(pong_ms), 1000, DUN_PING_S_MAX * 1000, NULL},
    {"gossip.listen", ADDRESS, AT(gossip_listen), 0, 0, NULL},
    {"gossip.advertise", ADDRESS, AT(gossip_advertise), 0, 0, NULL},
    {"replication.listen", ADDRESS, AT(replication_listen), 0, 0, NULL},
    {"replication.advertise", ADDRESS, AT(replication_advertise), 0, 0, NULL},
    {"replication.max_inflight", COUNT, AT(max_inflight), 1, DUN_INFLIGHT_MAX, NULL},
    {"api.key", TEXT, AT(api_key), 0, 1024, NULL},
    {"token.hmac_secret", TEXT, AT(token_secret), 1, 1024, NULL},
    {"store.max_memory", SIZE, AT(max_memory), 1 << 20, 1ull << 50, NULL},
    {"workers", COUNT, AT(workers), 0, CONFIG_WORKERS_MAX, "auto"},
};
#undef AT

#define AT(member) offsetof(struct store_namespace, member)
static const struct key ns_keys[] = {
    {"history_size", COUNT, AT(history_size), 0, DUN_HISTORY_SIZE_MAX, NULL},
    {"history_ttl", DURATION, AT(history_ttl_ms), 0, 1ull << 40, NULL},
    {"history_meta_ttl", DURATION, AT(history_meta_ttl_ms), 0, 1ull << 40, NULL},
    {"force_recovery", BOOL, AT(force_recovery), 0, 0, NULL},
    {"allow_recovery", BOOL, AT(allow_recovery), 0, 0, NULL},
    {"force_positioning", BOOL, AT(force_positioning), 0, 0, NULL},
    {"allow_positioning", BOOL, AT(allow_positioning), 0, 0, NULL},
    {"presence", BOOL, AT(presence), 0, 0, NULL},
    {"join_leave", BOOL, AT(join_leave), 0, 0, NULL},
    {"force_push_join_leave", BOOL, AT(force_push_join_leave), 0, 0, NULL},
    {"allow_subscribe_for_client", BOOL, AT(allow_subscribe_for_client), 0, 0, NULL},
    {"allow_subscribe_for_anonymous", BOOL, AT(allow_subscribe_for_anonymous), 0, 0, NULL},
    {"allow_publish_for_client", BOOL, AT(allow_publish_for_client), 0, 0, NULL},
    {"allow_publish_for_subscriber", BOOL, AT(allow_publish_for_subscriber), 0, 0, NULL},
    {"allow_publish_for_anonymous", BOOL, AT(allow_publish_for_anonymous), 0, 0, NULL},
    {"allow_history_for_client", BOOL, AT(allow_history_for_client), 0, 0, NULL},
    {"allow_history_for_subscriber", BOOL, AT(allow_history_for_subscriber), 0, 0, NULL},
    {"allow_history_for_anonymous", BOOL, AT(allow_history_for_anonymous), 0, 0, NULL},
    {"allow_presence_for_client", BOOL, AT(allow_presence_for_client), 0, 0, NULL},
    {"allow_presence_for_subscriber", BOOL, AT(allow_presence_for_subscriber), 0, 0, NULL},
    {"allow_presence_for_anonymous", BOOL, AT(allow_presence_for_anonymous), 0, 0, NULL},
};
#undef AT

static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < DUN_COUNT(keys); i++)
        if (strcmp(keys[i].name, name) == 0) return &keys[i];
    return NULL;
}

/* ---- one value ---- */

static dun_err bad(const struct key *k, const char *value, const char *want, char *why,
                   size_t why_size)
{
    bool secret = strcmp(k->name, "api.key") == 0 || strcmp(k->name, "token.hmac_secret") == 0;
    snprintf(why, why_size, "%s: \"%.80s\" %s", k->name, secret ? "..." : value, want);
    return DUN_E_CONFIG;
}

static dun_err set_text(void *at, const char *value)
{
    char **text = at;
    dun_free(*text);
    *text = dun_strdup(value);
    return DUN_OK;
}

static void clear_list(struct config_list *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        dun_free(l->at[i]);
    l->count = 0;
}

static dun_err set_items(const struct key *k, struct config_list *l, char *const *items,
                         uint32_t count, char *why, size_t why_size)
{
    if (count < k->min || count > k->max) {
        snprintf(why, why_size, "%s: %u entries; %llu to %llu are allowed", k->name, count,
                 (unsigned long long)k->min, (unsigned long long)k->max);
        return DUN_E_CONFIG;
    }
    for (uint32_t i = 0; i < count; i++)
        if (items[i] == NULL || items[i][0] == '\0')
            return bad(k, "", "is an empty entry; remove it", why, why_size);
    clear_list(l);
    for (uint32_t i = 0; i < count; i++)
        l->at[l->count++] = dun_strdup(items[i]);
    return DUN_OK;
}

static dun_err set_csv(const struct key *k, struct config_list *l, const char *value, char *why,
                       size_t why_size)
{
    char *items[CONFIG_LIST_MAX + 1];
    uint32_t count = 0;
    char *copy = dun_strdup(value), *rest = copy;
    while (rest != NULL && value[0] != '\0' && count <= CONFIG_LIST_MAX) {
        char *item = strsep(&rest, ",");
        while (*item == ' ')
            item++;
        for (size_t n = strlen(item); n > 0 && item[n - 1] == ' '; n--)
            item[n - 1] = '\0';
        items[count++] = item;
    }
    dun_err e = set_items(k, l, items, count, why, why_size);
    dun_free(copy);
    return e;
}

static dun_err parse_count(const struct key *k, const char *value, uint64_t *out)
{
    uint64_t v = 0;
    if (k->zero_word != NULL && strcmp(value, k->zero_word) == 0) {
        *out = 0;
        return DUN_OK;
    }
    if (value[0] == '\0' || strlen(value) > 18) return DUN_E_CONFIG;
    for (const char *p = value; *p != '\0'; p++) {
        if (*p < '0' || *p > '9') return DUN_E_CONFIG;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    if (k->zero_word != NULL && v == 0) return DUN_E_CONFIG;
    *out = v;
    return DUN_OK;
}

static dun_err set_number(const struct key *k, void *at, const char *value, bool narrow, char *why,
                          size_t why_size)
{
    uint64_t v;
    dun_err e;
    const char *want;
    if (k->kind == DURATION) {
        e = config_parse_duration(value, &v);
        want = "is not a duration; write for instance 500ms, 30s, 5m or 1h";
    } else if (k->kind == SIZE) {
        e = config_parse_size(value, &v);
        want = "is not a size; write for instance 64KiB, 512MiB or 2GiB";
    } else {
        e = parse_count(k, value, &v);
        want = k->zero_word == NULL ? "is not a whole number" : "is neither a number nor auto";
    }
    if (e != DUN_OK) return bad(k, value, want, why, why_size);
    if (v < k->min || v > k->max) {
        char range[96];
        snprintf(range, sizeof range, "is out of range; %llu to %llu%s is allowed",
                 (unsigned long long)(k->zero_word == NULL ? k->min : 1),
                 (unsigned long long)k->max,
                 k->kind == DURATION ? " ms"
                 : k->kind == SIZE   ? " bytes"
                                     : "");
        return bad(k, value, range, why, why_size);
    }
    if (narrow) {
        *(uint32_t *)at = (uint32_t)v;
    } else {
        *(uint64_t *)at = v;
    }
    return DUN_OK;
}

/* @narrow: a COUNT is a uint32_t there. */
static dun_err set_value(const struct key *k, void *base, const char *value, bool narrow, char *why,
                         size_t why_size)
{
    void *at = (char *)base + k->offset;
    switch (k->kind) {
    case TEXT:
        if (strlen(value) < k->min) return bad(k, value, "is empty", why, why_size);
        if (strlen(value) > k->max) {
            char text[48];
            snprintf(text, sizeof text, "has more than %llu bytes", (unsigned long long)k->max);
            return bad(k, value, text, why, why_size);
        }
        return set_text(at, value);
    case ADDRESS:
        if (!config_address_ok(value))
            return bad(k, value, "is not an address; write HOST:PORT", why, why_size);
        return set_text(at, value);
    case LIST: return set_csv(k, at, value, why, why_size);
    case BOOL:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return bad(k, value, "is neither true nor false", why, why_size);
        *(bool *)at = value[0] == 't';
        return DUN_OK;
    case DURATION:
    case SIZE: return set_number(k, at, value, false, why, why_size);
    case COUNT: return set_number(k, at, value, narrow, why, why_size);
    }
    DUN_UNREACHABLE();
}

dun_err config_set_namespace(struct store_namespace *ns, const char *option, const char *value,
                             char *why, size_t why_size)
{
    for (size_t i = 0; i < DUN_COUNT(ns_keys); i++)
        if (strcmp(ns_keys[i].name, option) == 0)
            return set_value(&ns_keys[i], ns, value, true, why, why_size);
    snprintf(why, why_size, "%.80s: no namespace option has this name", option);
    return DUN_E_UNKNOWN;
}

static bool ns_name_ok(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    return strlen(name) <= DUN_NAME_MAX && strspn(name, allowed) == strlen(name);
}

struct store_namespace *config_namespace(struct config *c, const char *name)
{
    for (uint32_t i = 0; i < c->namespace_count; i++)
        if (strcmp(c->namespaces[i].name, name) == 0) return &c->namespaces[i];
    if (c->namespace_count == DUN_NAMESPACES_MAX || !ns_name_ok(name)) return NULL;
    struct store_namespace *ns = &c->namespaces[c->namespace_count++];
    *ns = (struct store_namespace){0};
    snprintf(ns->name, sizeof ns->name, "%s", name);
    return ns;
}

/* "namespaces.NAME.OPTION"; a name may hold dots, an option does not. */
static dun_err set_dotted_namespace(struct config *c, const char *key, const char *value, char *why,
                                    size_t why_size)
{
    const char *name = key + strlen("namespaces."), *dot = strrchr(name, '.');
    char copy[DUN_NAME_MAX + 1];
    if (dot == NULL || (size_t)(dot - name) > DUN_NAME_MAX) {
        snprintf(why, why_size, "%.80s: write namespaces.NAME.OPTION=VALUE", key);
        return DUN_E_UNKNOWN;
    }
    memcpy(copy, name, (size_t)(dot - name));
    copy[dot - name] = '\0';
    struct store_namespace *ns = config_namespace(c, copy);
    if (ns == NULL) {
        snprintf(why, why_size,
                 "namespaces: \"%s\" is not a name (letters, digits, '-', '_', '.') or there are "
                 "more than %d",
                 copy, DUN_NAMESPACES_MAX);
        return DUN_E_CONFIG;
    }
    return config_set_namespace(ns, dot + 1, value, why, why_size);
}

dun_err config_set(struct config *c, const char *key, const char *value, char *why, size_t why_size)
{
    const struct key *k = find_key(key);
    if (k != NULL) return set_value(k, c, value, false, why, why_size);
    if (strncmp(key, "namespaces.", 11) == 0)
        return set_dotted_namespace(c, key, value, why, why_size);
    snprintf(why, why_size, "%.80s: no key has this name; see docs/configuration.md", key);
    return DUN_E_UNKNOWN;
}

dun_err config_set_list(struct config *c, const char *key, char *const *items, uint32_t count,
                        char *why, size_t why_size)
{
    const struct key *k = find_key(key);
    DUN_ASSERT(k != NULL && k->kind == LIST);
    return set_items(k, (struct config_list *)(void *)((char *)c + k->offset), items, count, why,
                     why_size);
}

/* ---- environment ---- */

static const char *variable_of(const char *key, char out[64])
{
    size_t n = (size_t)snprintf(out, 64, "DUNLIN_%s", key);
    for (size_t i = 0; i < n; i++)
        out[i] =
            out[i] == '.' ? '_' : (char)(out[i] >= 'a' && out[i] <= 'z' ? out[i] - 32 : out[i]);
    return out;
}

dun_err config_read_environment(struct config *c, char *const *environ_, char *why, size_t why_size)
{
    for (size_t i = 0; environ_[i] != NULL; i++) {
        const char *eq = strchr(environ_[i], '=');
        if (eq == NULL || strncmp(environ_[i], "DUNLIN_", 7) != 0) continue;
        size_t n = (size_t)(eq - environ_[i]);
        for (size_t k = 0; k < DUN_COUNT(keys); k++) {
            char variable[64], inner[CONFIG_WHY_MAX];
            variable_of(keys[k].name, variable);
            if (strlen(variable) != n || memcmp(variable, environ_[i], n) != 0) continue;
            if (set_value(&keys[k], c, eq + 1, false, inner, sizeof inner) == DUN_OK) break;
            snprintf(why, why_size, "environment %s: %s", variable, inner);
            return DUN_E_CONFIG;
        }
    }
    return DUN_OK;
}

/* ---- life ---- */

void config_init(struct config *c)
{
    *c = (struct config){.loss_timeout_ms = 60000,
                         .ping_ms = DUN_PING_S_DEFAULT * 1000,
                         .max_inflight = DUN_INFLIGHT_MAX,
                         .max_memory = 512ull << 20};
}

void config_deinit(struct config *c)
{
    for (size_t i = 0; i < DUN_COUNT(keys); i++) {
        void *at = (char *)c + keys[i].offset;
        if (keys[i].kind == TEXT || keys[i].kind == ADDRESS) dun_free(*(char **)at);
        if (keys[i].kind == LIST) clear_list(at);
    }
    sodium_memzero(c, sizeof *c);
}

void config_set_dev(struct config *c)
{
    c->insecure = true;
    struct store_namespace *ns = config_namespace(c, "");
    if (ns == NULL) return;
    ns->history_size = 1000;
    ns->history_ttl_ms = 300 * 1000;
    ns->force_recovery = true;
    ns->presence = true;
}

/* ---- the whole ---- */

static dun_err read_key_file(struct config *c, char *why, size_t why_size)
{
    char line[256];
    uint32_t number = 0;
    dun_err e = DUN_OK;
    FILE *f = fopen(c->key_file, "re");
    if (f == NULL) {
        snprintf(why, why_size,
                 "cluster.key_file: cannot read %.200s: %s; make one with `dunlin "
                 "keygen --out FILE`",
                 c->key_file, strerror(errno));
        return DUN_E_CONFIG;
    }
    while (e == DUN_OK && fgets(line, sizeof line, f) != NULL) {
        number++;
        line[strcspn(line, " \t\r\n")] = '\0';
        if (line[0] == '\0' || line[0] == '#') continue;
        if (c->key_count == CONFIG_KEYS_MAX) {
            snprintf(why, why_size, "%.200s:%u: more than %d keys; remove old ones", c->key_file,
                     number, CONFIG_KEYS_MAX);
            e = DUN_E_CONFIG;
        } else if (config_parse_key(line, c->keys[c->key_count++]) != DUN_OK) {
            snprintf(why, why_size,
                     "%.200s:%u: not a key of 32 bytes (64 hex digits or base64); make one with "
                     "`dunlin keygen`",
                     c->key_file, number);
            e = DUN_E_CONFIG;
        }
    }
    fclose(f);
    sodium_memzero(line, sizeof line);
    if (e == DUN_OK && c->key_count == 0) {
        snprintf(why, why_size, "%.200s: holds no key; make one with `dunlin keygen`", c->key_file);
        e = DUN_E_CONFIG;
    }
    return e;
}

static bool peer_name_ok(const char *name)
{
    if (name[0] == '\0' || strlen(name) > DUN_NAME_MAX) return false;
    for (const char *p = name; *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || *p == ',' || *p == '"' || *p == '\\' || *p == 0x7f)
            return false;
    return true;
}

static dun_err check_voters(const struct config *c, char *why, size_t why_size)
{
    for (uint32_t i = 0; i < c->voters.count; i++) {
        if (!peer_name_ok(c->voters.at[i])) {
            snprintf(why, why_size,
                     "voters: \"%.80s\" is not a peer's name (1 to %d bytes, no "
                     "blanks or commas)",
                     c->voters.at[i], DUN_NAME_MAX);
            return DUN_E_CONFIG;
        }
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(c->voters.at[i], c->voters.at[k]) != 0) continue;
            snprintf(why, why_size, "voters: \"%.80s\" is named twice", c->voters.at[i]);
            return DUN_E_CONFIG;
        }
    }
    for (uint32_t i = 0; i < c->join.count; i++) {
        if (config_address_ok(c->join.at[i]) && c->join.at[i][0] != ':') continue;
        snprintf(why, why_size, "join: \"%.100s\" is not an address; write HOST:PORT",
                 c->join.at[i]);
        return DUN_E_CONFIG;
    }
    return DUN_OK;
}

static dun_err check_seconds(const char *key, uint64_t ms, char *why, size_t why_size)
{
    if (ms % 1000 == 0) return DUN_OK;
    snprintf(why, why_size, "%s: %llums is not whole seconds, in which clients are told", key,
             (unsigned long long)ms);
    return DUN_E_CONFIG;
}

static dun_err finish_ping(struct config *c, char *why, size_t why_size)
{
    if (c->pong_ms == 0) {
        c->pong_ms = DUN_PONG_S_DEFAULT * 1000;
        if (c->pong_ms >= c->ping_ms) c->pong_ms = (c->ping_ms - 1) / 1000 * 1000;
    }
    dun_err e = check_seconds("client.ping_interval", c->ping_ms, why, why_size);
    if (e == DUN_OK) e = check_seconds("client.pong_timeout", c->pong_ms, why, why_size);
    if (e != DUN_OK || c->pong_ms < c->ping_ms) return e;
    snprintf(why, why_size,
             "client.pong_timeout: %llus is not below client.ping_interval, %llus; lower it, or "
             "leave it out",
             (unsigned long long)c->pong_ms / 1000, (unsigned long long)c->ping_ms / 1000);
    return DUN_E_CONFIG;
}

static void set_default(char **text, const char *value)
{
    if (*text == NULL) *text = dun_strdup(value);
}

dun_err config_finish(struct config *c, char *why, size_t why_size)
{
    char host[DUN_NAME_MAX + 1] = "";
    if (c->name == NULL && gethostname(host, sizeof host - 1) == 0) set_default(&c->name, host);
    if (c->name == NULL || !peer_name_ok(c->name)) {
        snprintf(why, why_size,
                 "name: \"%.80s\" is not a peer's name (1 to %d bytes, no blanks or "
                 "commas); give one with --name",
                 c->name == NULL ? "" : c->name, DUN_NAME_MAX);
        return DUN_E_CONFIG;
    }
    if (c->voters.count == 0) c->voters.at[c->voters.count++] = dun_strdup(c->name);
    dun_err e = check_voters(c, why, why_size);
    if (e == DUN_OK) e = finish_ping(c, why, why_size);
    if (e == DUN_OK && c->key_file != NULL) e = read_key_file(c, why, why_size);
    if (e != DUN_OK) return e;
    if (config_namespace(c, "") == NULL) {
        snprintf(why, why_size, "namespaces: no room for the default namespace; remove one");
        return DUN_E_CONFIG;
    }
    set_default(&c->client_listen, "0.0.0.0:8000");
    /* Without a key peers may talk over loopback only. */
    set_default(&c->gossip_listen, c->key_count > 0 ? "0.0.0.0:7946" : "127.0.0.1:7946");
    set_default(&c->replication_listen, c->key_count > 0 ? "0.0.0.0:7947" : "127.0.0.1:7947");
    return DUN_OK;
}
