/* cmd/dunlin_args.c: see the header. */
#include "cmd/dunlin_args.h"

#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int dunlin_fail(int status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("dunlin: ", stderr);
    (void)vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    return status;
}

static void print_help(const struct dunlin_args *a)
{
    printf("Usage: dunlin %s\n\n%s\n\n", a->usage, a->summary);
    for (uint32_t i = 0; i < a->opt_count; i++) {
        const struct dunlin_opt *o = &a->opts[i];
        char left[64];
        (void)snprintf(left, sizeof left, "--%s%s%s", o->name, o->value_name != NULL ? " " : "",
                       o->value_name != NULL ? o->value_name : "");
        printf("  %-28s %s\n", left, o->help);
    }
    printf("  %-28s %s\n", "-h, --help", "this text");
    if (a->more != NULL) printf("\n%s\n", a->more);
}

static int complain(const struct dunlin_args *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static int complain(const struct dunlin_args *a, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    int name = (int)strcspn(a->usage, " [");
    if (strncmp(a->usage, "bench ", 6) == 0) name = 6 + (int)strcspn(a->usage + 6, " [");
    fprintf(stderr, "dunlin: %s\nUsage: dunlin %s\nSee dunlin %.*s --help.\n", text, a->usage, name,
            a->usage);
    return EXIT_USAGE;
}

static const struct dunlin_opt *find(const struct dunlin_args *a, const char *name, size_t len)
{
    for (uint32_t i = 0; i < a->opt_count; i++)
        if (strlen(a->opts[i].name) == len && memcmp(a->opts[i].name, name, len) == 0)
            return &a->opts[i];
    return NULL;
}

static bool take_number(const struct dunlin_opt *o, const char *value)
{
    char *end = NULL;
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || value[digits] != '\0' || digits > 19) return false;
    unsigned long long n = strtoull(value, &end, 10);
    DUN_ASSERT(*end == '\0');
    if (n < o->min || n > o->max) return false;
    *(uint64_t *)o->out = n;
    return true;
}

/* Takes argv[*at] and, if it needs one, its value. */
static bool take_option(const struct dunlin_args *a, int argc, char **argv, int *at, int *status)
{
    const char *word = argv[*at], *equals = strchr(word, '=');
    size_t len = equals != NULL ? (size_t)(equals - word) : strlen(word);
    const struct dunlin_opt *o = find(a, word + 2, len - 2);
    if (o == NULL) {
        *status = complain(a, "unknown option \"%.*s\"", (int)len, word);
        return false;
    }
    if (o->kind == OPT_FLAG) {
        if (equals != NULL) {
            *status = complain(a, "option --%s takes no value, but got \"%s\"", o->name, word);
            return false;
        }
        *(bool *)o->out = true;
        return true;
    }
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (value == NULL && *at + 1 < argc) value = argv[++*at];
    if (value == NULL) {
        *status =
            complain(a, "option --%s needs a value: --%s %s", o->name, o->name, o->value_name);
        return false;
    }
    if (o->kind == OPT_TEXT) {
        *(const char **)o->out = value;
        return true;
    }
    if (take_number(o, value)) return true;
    *status = complain(a, "option --%s: \"%s\" is not a number from %llu to %llu", o->name, value,
                       (unsigned long long)o->min, (unsigned long long)o->max);
    return false;
}

bool dunlin_args(const struct dunlin_args *a, int argc, char **argv, struct dunlin_parsed *out,
                 int *status)
{
    DUN_ASSERT(a->words_max <= DUNLIN_WORDS_MAX);
    memset(out, 0, sizeof *out);
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!only_words && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            print_help(a);
            *status = EXIT_FINE;
            return false;
        }
        if (!only_words && strcmp(word, "--") == 0) {
            if (a->takes_rest) {
                out->rest = argv + i + 1;
                out->rest_count = argc - i - 1;
                break;
            }
            only_words = true;
        } else if (!only_words && strncmp(word, "--", 2) == 0) {
            if (!take_option(a, argc, argv, &i, status)) return false;
        } else if (!only_words && word[0] == '-' && word[1] != '\0' &&
                   (word[1] < '0' || word[1] > '9')) {
            *status = complain(a, "unknown option \"%s\"", word);
            return false;
        } else if (out->word_count == a->words_max) {
            *status = complain(a, "one argument too many: \"%s\"", word);
            return false;
        } else {
            out->words[out->word_count++] = word;
        }
    }
    if (out->word_count >= a->words_min) return true;
    *status = complain(a, "%s",
                       a->words_min - out->word_count == 1 ? "an argument is missing"
                                                           : "arguments are missing");
    return false;
}
