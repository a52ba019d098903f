/* cmd/dunlind_yaml.c: the configuration file.
 * Why everything is read as text: the table of keys checks a value the same way
 * wherever it comes from. libcyaml refuses unknown keys and wrong shapes; the
 * document is walked once more for the line of whatever is refused later. */
#include "cmd/dunlind_config.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

enum { FILE_MAX = 1 << 20, TEXT_MAX = 4096 };

#define NS_OPTIONS(X)                \
    X(history_size)                  \
    X(history_ttl)                   \
    X(history_meta_ttl)              \
    X(force_recovery)                \
    X(allow_recovery)                \
    X(force_positioning)             \
    X(allow_positioning)             \
    X(presence)                      \
    X(join_leave)                    \
    X(force_push_join_leave)         \
    X(allow_subscribe_for_client)    \
    X(allow_subscribe_for_anonymous) \
    X(allow_publish_for_client)      \
    X(allow_publish_for_subscriber)  \
    X(allow_publish_for_anonymous)   \
    X(allow_history_for_client)      \
    X(allow_history_for_subscriber)  \
    X(allow_history_for_anonymous)   \
    X(allow_presence_for_client)     \
    X(allow_presence_for_subscriber) \
    X(allow_presence_for_anonymous)

struct raw_namespace {
    char *name;
#define X(option) char *option;
    NS_OPTIONS(X)
#undef X
};

struct raw {
    char *name, *workers;
    char **voters, **join;
    unsigned voters_count, join_count, namespaces_count;
    struct {
        char *key_file, *loss_timeout;
    } cluster;
    struct raw_client {
        char *listen, *advertise, *insecure, *ping_interval, *pong_timeout;
        char **allowed_origins;
        unsigned allowed_origins_count;
    } client;
    struct {
        char *listen, *advertise;
    } gossip;
    struct {
        char *listen, *advertise, *max_inflight;
    } replication;
    struct {
        char *key;
    } api;
    struct {
        char *hmac_secret;
    } token;
    struct {
        char *max_memory;
    } store;
    struct raw_namespace *namespaces;
};

/* One type for all the small mappings, so that their fields need no names. */
#define TEXT_FIELD(type, key) \
    CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, key, 0, TEXT_MAX)
#define TEXT_AT(yaml_key, type, member)                                                         \
    CYAML_FIELD_STRING_PTR(yaml_key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, 0, \
                           TEXT_MAX)

static const cyaml_schema_value_t text_entry = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, TEXT_MAX)};

static const cyaml_schema_field_t cluster_fields[] = {
    TEXT_AT("key_file", __typeof__(((struct raw *)0)->cluster), key_file),
    TEXT_AT("loss_timeout", __typeof__(((struct raw *)0)->cluster), loss_timeout), CYAML_FIELD_END};
static const cyaml_schema_field_t client_fields[] = {
    TEXT_FIELD(struct raw_client, listen),
    TEXT_FIELD(struct raw_client, advertise),
    TEXT_FIELD(struct raw_client, insecure),
    TEXT_FIELD(struct raw_client, ping_interval),
    TEXT_FIELD(struct raw_client, pong_timeout),
    CYAML_FIELD_SEQUENCE("allowed_origins", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct raw_client, allowed_origins, &text_entry, 0, CYAML_UNLIMITED),
    CYAML_FIELD_END};
static const cyaml_schema_field_t gossip_fields[] = {
    TEXT_AT("listen", __typeof__(((struct raw *)0)->gossip), listen),
    TEXT_AT("advertise", __typeof__(((struct raw *)0)->gossip), advertise), CYAML_FIELD_END};
static const cyaml_schema_field_t replication_fields[] = {
    TEXT_AT("listen", __typeof__(((struct raw *)0)->replication), listen),
    TEXT_AT("advertise", __typeof__(((struct raw *)0)->replication), advertise),
    TEXT_AT("max_inflight", __typeof__(((struct raw *)0)->replication), max_inflight),
    CYAML_FIELD_END};
static const cyaml_schema_field_t api_fields[] = {
    TEXT_AT("key", __typeof__(((struct raw *)0)->api), key), CYAML_FIELD_END};
static const cyaml_schema_field_t token_fields[] = {
    TEXT_AT("hmac_secret", __typeof__(((struct raw *)0)->token), hmac_secret), CYAML_FIELD_END};
static const cyaml_schema_field_t store_fields[] = {
    TEXT_AT("max_memory", __typeof__(((struct raw *)0)->store), max_memory), CYAML_FIELD_END};
static const cyaml_schema_field_t namespace_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct raw_namespace, name, 0, TEXT_MAX),
#define X(option) TEXT_FIELD(struct raw_namespace, option),
    NS_OPTIONS(X)
#undef X
        CYAML_FIELD_END};
static const cyaml_schema_value_t namespace_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_namespace, namespace_fields)};
static const cyaml_schema_field_t top_fields[] = {
    TEXT_FIELD(struct raw, name),
    TEXT_FIELD(struct raw, workers),
    CYAML_FIELD_SEQUENCE("voters", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw, voters,
                         &text_entry, 0, CYAML_UNLIMITED),
    CYAML_FIELD_SEQUENCE("join", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw, join,
                         &text_entry, 0, CYAML_UNLIMITED),
    CYAML_FIELD_MAPPING("cluster", CYAML_FLAG_OPTIONAL, struct raw, cluster, cluster_fields),
    CYAML_FIELD_MAPPING("client", CYAML_FLAG_OPTIONAL, struct raw, client, client_fields),
    CYAML_FIELD_MAPPING("gossip", CYAML_FLAG_OPTIONAL, struct raw, gossip, gossip_fields),
    CYAML_FIELD_MAPPING("replication", CYAML_FLAG_OPTIONAL, struct raw, replication,
                        replication_fields),
    CYAML_FIELD_MAPPING("api", CYAML_FLAG_OPTIONAL, struct raw, api, api_fields),
    CYAML_FIELD_MAPPING("token", CYAML_FLAG_OPTIONAL, struct raw, token, token_fields),
    CYAML_FIELD_MAPPING("store", CYAML_FLAG_OPTIONAL, struct raw, store, store_fields),
    CYAML_FIELD_SEQUENCE("namespaces", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw,
                         namespaces, &namespace_entry, 0, CYAML_UNLIMITED),
    CYAML_FIELD_END};
static const cyaml_schema_value_t top_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw, top_fields)};

/* ---- what libcyaml says ---- */

struct said { /* its complaint, and the innermost place */
    char what[256];
    char place[128];
    unsigned line;
};

__attribute__((format(printf, 3, 0))) static void on_log(cyaml_log_t level, void *ctx,
                                                         const char *fmt, va_list args)
{
    struct said *s = ctx;
    char text[512];
    if (level < CYAML_LOG_ERROR) return;
    vsnprintf(text, sizeof text, fmt, args);
    text[strcspn(text, "\n")] = '\0';
    const char *p = strncmp(text, "Load: ", 6) == 0 ? text + 6 : text;
    const char *line = strstr(p, "line: ");
    if (line != NULL) {
        if (s->line == 0) sscanf(line, "line: %u", &s->line);
    } else if (s->what[0] == '\0' && strstr(p, "Backtrace") == NULL) {
        snprintf(s->what, sizeof s->what, "%.250s", p);
    }
}

static void *mem(void *ctx, void *p, size_t size)
{
    (void)ctx;
    if (size != 0) return dun_realloc(p, size);
    dun_free(p);
    return NULL;
}

/* ---- lines ---- */

static yaml_node_t *child(yaml_document_t *doc, yaml_node_t *node, const char *key, size_t len,
                          unsigned *line)
{
    if (node == NULL || node->type != YAML_MAPPING_NODE) return NULL;
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
         p++) {
        yaml_node_t *k = yaml_document_get_node(doc, p->key);
        if (k->type != YAML_SCALAR_NODE || k->data.scalar.length != len ||
            memcmp(k->data.scalar.value, key, len) != 0)
            continue;
        *line = (unsigned)k->start_mark.line + 1;
        return yaml_document_get_node(doc, p->value);
    }
    return NULL;
}

/* Line of "a.b" or of "namespaces[2].a"; of its nearest known parent if it is not there. */
static unsigned line_of(yaml_document_t *doc, const char *path)
{
    yaml_node_t *node = yaml_document_get_root_node(doc);
    unsigned line = 1;
    while (node != NULL && *path != '\0') {
        size_t n = strcspn(path, ".[");
        node = child(doc, node, path, n, &line);
        path += n;
        if (*path == '[' && node != NULL && node->type == YAML_SEQUENCE_NODE) {
            unsigned index = 0;
            sscanf(path, "[%u]", &index);
            yaml_node_item_t *item = node->data.sequence.items.start + index;
            node = item < node->data.sequence.items.top ? yaml_document_get_node(doc, *item) : NULL;
            if (node != NULL) line = (unsigned)node->start_mark.line + 1;
            path += strcspn(path, "]") + 1;
        }
        if (*path == '.') path++;
    }
    return line;
}

/* Line of the key @name in any mapping. */
static unsigned line_of_key(yaml_document_t *doc, const char *name)
{
    unsigned line = 0;
    for (yaml_node_t *n = doc->nodes.start; n < doc->nodes.top && line == 0; n++)
        child(doc, n, name, strlen(name), &line);
    return line;
}

/* ---- from the file's shape to the keys ---- */

struct feed {
    struct config *c;
    yaml_document_t *doc;
    const char *path;
    char *why;
    size_t why_size;
    dun_err e;
};

static void feed_fail(struct feed *f, const char *at, const char *inner)
{
    snprintf(f->why, f->why_size, "%s:%u: %s", f->path, line_of(f->doc, at), inner);
    f->e = DUN_E_CONFIG;
}

static void feed(struct feed *f, const char *key, const char *value)
{
    char inner[CONFIG_WHY_MAX];
    if (f->e != DUN_OK || value == NULL) return;
    if (config_set(f->c, key, value, inner, sizeof inner) != DUN_OK) feed_fail(f, key, inner);
}

static void feed_list(struct feed *f, const char *key, char *const *items, unsigned count)
{
    char inner[CONFIG_WHY_MAX];
    if (f->e != DUN_OK || items == NULL) return;
    if (config_set_list(f->c, key, items, count, inner, sizeof inner) != DUN_OK)
        feed_fail(f, key, inner);
}

static void feed_namespace(struct feed *f, const struct raw *raw, unsigned index)
{
    const struct raw_namespace *r = &raw->namespaces[index];
    char at[96], inner[CONFIG_WHY_MAX];
    snprintf(at, sizeof at, "namespaces[%u].name", index);
    for (unsigned i = 0; i < index && f->e == DUN_OK; i++) {
        if (strcmp(raw->namespaces[i].name, r->name) != 0) continue;
        snprintf(inner, sizeof inner, "namespaces: \"%.63s\" is there twice; merge the two",
                 r->name);
        feed_fail(f, at, inner);
    }
    struct store_namespace *ns = f->e == DUN_OK ? config_namespace(f->c, r->name) : NULL;
    if (ns == NULL && f->e == DUN_OK) {
        snprintf(
            inner, sizeof inner,
            "namespaces: \"%.80s\" is not a name (up to %d letters, digits, '-', '_', '.'), or "
            "there are more than %d",
            r->name, DUN_NAME_MAX, DUN_NAMESPACES_MAX);
        feed_fail(f, at, inner);
    }
    const struct {
        const char *option, *value;
    } options[] = {
#define X(option) {#option, r->option},
        NS_OPTIONS(X)
#undef X
    };
    for (size_t i = 0; i < DUN_COUNT(options) && f->e == DUN_OK; i++) {
        if (options[i].value == NULL) continue;
        snprintf(at, sizeof at, "namespaces[%u].%s", index, options[i].option);
        if (config_set_namespace(ns, options[i].option, options[i].value, inner, sizeof inner) !=
            DUN_OK)
            feed_fail(f, at, inner);
    }
}

static dun_err feed_all(struct feed *f, const struct raw *r)
{
    feed(f, "name", r->name);
    feed(f, "workers", r->workers);
    feed_list(f, "voters", r->voters, r->voters_count);
    feed_list(f, "join", r->join, r->join_count);
    feed(f, "cluster.key_file", r->cluster.key_file);
    feed(f, "cluster.loss_timeout", r->cluster.loss_timeout);
    feed(f, "client.listen", r->client.listen);
    feed(f, "client.advertise", r->client.advertise);
    feed(f, "client.insecure", r->client.insecure);
    feed(f, "client.ping_interval", r->client.ping_interval);
    feed(f, "client.pong_timeout", r->client.pong_timeout);
    feed_list(f, "client.allowed_origins", r->client.allowed_origins,
              r->client.allowed_origins_count);
    feed(f, "gossip.listen", r->gossip.listen);
    feed(f, "gossip.advertise", r->gossip.advertise);
    feed(f, "replication.listen", r->replication.listen);
    feed(f, "replication.advertise", r->replication.advertise);
    feed(f, "replication.max_inflight", r->replication.max_inflight);
    feed(f, "api.key", r->api.key);
    feed(f, "token.hmac_secret", r->token.hmac_secret);
    feed(f, "store.max_memory", r->store.max_memory);
    for (unsigned i = 0; i < r->namespaces_count; i++)
        feed_namespace(f, r, i);
    return f->e;
}

/* ---- the file ---- */

static dun_err slurp(const char *path, char **text, size_t *len, char *why, size_t why_size)
{
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        snprintf(why, why_size, "%s: cannot be read: %s", path, strerror(errno));
        return DUN_E_CONFIG;
    }
    *text = dun_malloc(FILE_MAX + 1);
    *len = fread(*text, 1, FILE_MAX + 1, f);
    fclose(f);
    if (*len <= FILE_MAX) return DUN_OK;
    snprintf(why, why_size, "%s: is larger than %d bytes; is it the right file?", path, FILE_MAX);
    dun_free(*text);
    return DUN_E_CONFIG;
}

/* libcyaml's complaint in our words. */
static void explain(const struct said *s, yaml_document_t *doc, const char *path, char *why,
                    size_t why_size)
{
    const char unknown[] = "Unexpected key: ", missing[] = "Missing required mapping field: ";
    if (strncmp(s->what, unknown, sizeof unknown - 1) == 0) {
        const char *key = s->what + sizeof unknown - 1;
        unsigned line = line_of_key(doc, key);
        snprintf(why, why_size,
                 "%s:%u: unknown key \"%s\"; is it misspelt, or at the wrong level? See "
                 "docs/configuration.md",
                 path, line != 0 ? line : s->line, key);
    } else if (strncmp(s->what, missing, sizeof missing - 1) == 0) {
        snprintf(why, why_size, "%s:%u: the key \"%s\" is missing here", path, s->line,
                 s->what + sizeof missing - 1);
    } else {
        snprintf(why, why_size, "%s:%u: a value has the wrong form: %s", path, s->line, s->what);
    }
}

static dun_err load(struct config *c, const char *path, yaml_document_t *doc, const char *text,
                    size_t len, char *why, size_t why_size)
{
    struct said said = {0};
    struct raw *raw = NULL;
    const cyaml_config_t cfg = {.log_fn = on_log,
                                .log_ctx = &said,
                                .log_level = CYAML_LOG_ERROR,
                                .mem_fn = mem,
                                .flags = CYAML_CFG_DEFAULT};
    cyaml_err_t r =
        cyaml_load_data((const uint8_t *)text, len, &cfg, &top_schema, (cyaml_data_t **)&raw, NULL);
    if (r != CYAML_OK) {
        if (said.what[0] == '\0') snprintf(said.what, sizeof said.what, "%s", cyaml_strerror(r));
        explain(&said, doc, path, why, why_size);
        return DUN_E_CONFIG;
    }
    struct feed f = {c, doc, path, why, why_size, DUN_OK};
    dun_err e = feed_all(&f, raw);
    cyaml_free(&cfg, &top_schema, raw, 0);
    return e;
}

dun_err config_read_file(struct config *c, const char *path, char *why, size_t why_size)
{
    char *text;
    size_t len;
    yaml_parser_t parser;
    yaml_document_t doc;
    dun_err e = slurp(path, &text, &len, why, why_size);
    if (e != DUN_OK) return e;
    if (!yaml_parser_initialize(&parser)) DUN_UNREACHABLE();
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    if (!yaml_parser_load(&parser, &doc)) {
        snprintf(why, why_size, "%s:%zu: this is not YAML: %s", path, parser.problem_mark.line + 1,
                 parser.problem != NULL ? parser.problem : "cannot be read");
        e = DUN_E_CONFIG;
    } else {
        /* An empty file sets nothing. */
        if (yaml_document_get_root_node(&doc) != NULL)
            e = load(c, path, &doc, text, len, why, why_size);
        yaml_document_delete(&doc);
    }
    yaml_parser_delete(&parser);
    dun_free(text);
    return e;
}
