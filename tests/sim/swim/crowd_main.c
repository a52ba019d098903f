/* tests/sim/swim/crowd_main.c: dunlin-sim-swim: measures SWIM at several sizes
 * and says whether its bounds hold. */
#include "crowd.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USAGE = 64, SIZES_MAX = 5 };

static const char usage_text[] =
    "usage: dunlin-sim-swim [--peers N] [--seconds N] [--crashes N] [--loss PPM] [--seed S]\n"
    "                       [--interval MS] [--timeout MS] [--suspicion-mult N]\n"
    "                       [--suspicion-max-mult N] [--json]\n"
    "Runs cluster/swim_*.c in virtual time and prints how fast a crash, a join and a\n"
    "leave are known, how often living members are accused, and the load.\n"
    "  --peers N       one size, 3 to 1000; default 3, 5, 10, 100 and 1000\n"
    "  --seconds N     length of the steady measurements at 1000 peers, 1 to 3600; smaller\n"
    "                  ones run longer, for as many member seconds; default 20\n"
    "  --crashes N     crashes and leaves measured, 1 to 1000; default 30\n"
    "  --loss PPM      packets lost in a million where loss is measured; default 50000\n"
    "  --seed S        decides everything; default 1\n"
    "  --interval, --timeout, --suspicion-mult, --suspicion-max-mult\n"
    "                  SWIM's own parameters; default 300, 100, 4, 2, as dunlind has them\n"
    "  --json          one object a size instead of the table\n"
    "exit status: 0 all bounds hold, 1 one is broken, 64 bad usage\n";

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = text == NULL ? 0 : strtoull(text, &end, 10);
    if (text == NULL || *text < '0' || *text > '9' || *end != '\0' || errno != 0 || v < min ||
        v > max)
        return false;
    *out = v;
    return true;
}

static bool option(struct crowd_options *o, const char *arg, const char *value)
{
    const struct {
        const char *name;
        uint32_t *to;
        uint64_t min, max;
    } options[] = {{"--peers", &o->peers, CROWD_PEERS_MIN, CROWD_PEERS_MAX},
                   {"--seconds", &o->seconds, 1, 3600},
                   {"--crashes", &o->crashes, 1, CROWD_SAMPLES_MAX},
                   {"--loss", &o->loss_ppm, 0, 500000},
                   {"--interval", &o->interval_ms, 30, 60000},
                   {"--timeout", &o->timeout_ms, 10, 60000},
                   {"--suspicion-mult", &o->suspicion_mult, 1, 100},
                   {"--suspicion-max-mult", &o->suspicion_max_mult, 1, 100}};
    uint64_t v = 0;
    if (strcmp(arg, "--seed") == 0) return number(value, 0, UINT64_MAX, &o->seed);
    for (size_t i = 0; i < DUN_COUNT(options); i++) {
        if (strcmp(arg, options[i].name) != 0) continue;
        if (!number(value, options[i].min, options[i].max, &v)) return false;
        *options[i].to = (uint32_t)v;
        return true;
    }
    return false;
}

static int measure(const struct crowd_options *o, bool json)
{
    static const uint32_t usual[SIZES_MAX] = {3, 5, 10, 100, 1000};
    struct crowd_result *results = dun_calloc(SIZES_MAX, sizeof *results);
    uint32_t count = o->peers == 0 ? SIZES_MAX : 1;
    bool ok = true;
    for (uint32_t i = 0; i < count; i++) {
        struct crowd_options one = *o;
        if (o->peers == 0) one.peers = usual[i];
        crowd_measure(&results[i], &one);
        if (json) crowd_print_json(&results[i]);
        ok &= crowd_bounds_hold(&results[i]);
    }
    if (!json) crowd_print_table(results, count);
    dun_free(results);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct crowd_options o = {.seconds = 20,
                              .crashes = 30,
                              .loss_ppm = 50000,
                              .seed = 1,
                              .interval_ms = 300,
                              .timeout_ms = 100,
                              .suspicion_mult = 4,
                              .suspicion_max_mult = 2};
    bool json = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage_text, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (option(&o, argv[i], i + 1 < argc ? argv[i + 1] : NULL)) {
            i++;
        } else {
            fprintf(stderr, "dunlin-sim-swim: bad option or value at '%s'\n%s", argv[i],
                    usage_text);
            return USAGE;
        }
    }
    if (o.timeout_ms >= o.interval_ms) {
        fprintf(stderr, "dunlin-sim-swim: --timeout must be below --interval\n%s", usage_text);
        return USAGE;
    }
    return measure(&o, json);
}
