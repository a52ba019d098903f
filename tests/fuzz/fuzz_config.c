/* tests/fuzz/fuzz_config.c: configuration files, and single values.
 * Claims: whatever the text, it is taken or refused with a reason; what is taken
 * is within bounds. Mode byte: 0 a file; 1 "key=value" lines. */
#include "cmd/dunlind_config.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static void check(const struct config *c)
{
    DUN_ASSERT(c->namespace_count <= DUN_NAMESPACES_MAX && c->key_count <= CONFIG_KEYS_MAX);
    DUN_ASSERT(c->voters.count <= CONFIG_LIST_MAX && c->join.count <= CONFIG_LIST_MAX);
    for (uint32_t i = 0; i < c->namespace_count; i++) {
        DUN_ASSERT(memchr(c->namespaces[i].name, 0, sizeof c->namespaces[i].name) != NULL);
        DUN_ASSERT(c->namespaces[i].history_size <= DUN_HISTORY_SIZE_MAX);
    }
}

static void finish(struct config *c)
{
    char text[CONFIG_WHY_MAX] = "";
    if (c->key_file != NULL) return; /* would read a file of the fuzzer's choice */
    if (config_finish(c, text, sizeof text) == DUN_OK) {
        DUN_ASSERT(c->voters.count >= 1 && c->voters.count <= DUN_VOTERS_MAX);
        check(c);
    } else {
        DUN_ASSERT(text[0] != '\0');
    }
}

static void read_file(struct config *c, struct dun_slice text)
{
    char path[64], why[CONFIG_WHY_MAX] = "";
    int fd = memfd_create("config", 0);
    DUN_ASSERT(fd >= 0);
    for (size_t at = 0; at < text.len;) {
        ssize_t n = write(fd, text.data + at, text.len - at);
        DUN_ASSERT(n > 0);
        at += (size_t)n;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (config_read_file(c, path, why, sizeof why) == DUN_OK) {
        check(c);
        finish(c);
    } else {
        DUN_ASSERT(why[0] != '\0' && strlen(why) < sizeof why);
    }
    close(fd);
}

static void set_values(struct config *c, struct dun_slice text)
{
    char why[CONFIG_WHY_MAX], line[512];
    while (text.len > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        size_t n = end == NULL ? text.len : (size_t)(end - text.data);
        snprintf(line, sizeof line, "%.*s", (int)(n < 500 ? n : 500), (const char *)text.data);
        text = dun_slice(text.data + n + (end != NULL), text.len - n - (end != NULL));
        uint64_t u;
        uint8_t key[CONFIG_KEY_BYTES];
        (void)!config_parse_duration(line, &u);
        (void)!config_parse_size(line, &u);
        (void)!config_parse_key(line, key);
        (void)config_address_ok(line);
        char *value = strchr(line, '=');
        if (value == NULL) continue;
        *value++ = '\0';
        why[0] = '\0';
        if (config_set(c, line, value, why, sizeof why) != DUN_OK) DUN_ASSERT(why[0] != '\0');
        check(c);
    }
    finish(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    struct config *c = dun_calloc(1, sizeof *c);
    config_init(c);
    if (fuzz_u8(&in) & 1) {
        set_values(c, fuzz_rest(&in));
    } else {
        read_file(c, fuzz_rest(&in));
    }
    config_deinit(c);
    dun_free(c);
    return 0;
}
