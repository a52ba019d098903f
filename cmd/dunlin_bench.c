/* cmd/dunlin_bench.c: chooses the bench. */
#include "cmd/dunlin_args.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *help;
    int (*run)(int argc, char **argv);
} benches[] = {
    {"fanout", "deliveries per second to many subscribers, against raw send()",
     dunlin_bench_fanout},
    {"publish", "acknowledged publishes, rate and latency, against a raw round trip",
     dunlin_bench_publish},
    {"connections", "memory of the server per idle connection", dunlin_bench_connections},
    {"recover", "what is noticed when a peer is killed", dunlin_bench_recover},
    {"overload", "what the other clients notice of an overload", dunlin_bench_overload},
};

static void print_usage(FILE *to)
{
    fputs("Usage: dunlin bench NAME [OPTION]...\n\n", to);
    for (size_t i = 0; i < DUN_COUNT(benches); i++)
        fprintf(to, "  %-12s %s\n", benches[i].name, benches[i].help);
    fputs("\ndunlin bench NAME --help tells more. A running server is needed: dunlin dev.\n", to);
}

int dunlin_bench(int argc, char **argv)
{
    if (argc < 2) {
        fputs("dunlin: bench: which one?\n", stderr);
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
        return EXIT_FINE;
    }
    for (size_t i = 0; i < DUN_COUNT(benches); i++)
        if (strcmp(argv[1], benches[i].name) == 0) return benches[i].run(argc - 1, argv + 1);
    fprintf(stderr, "dunlin: unknown bench \"%s\"\n", argv[1]);
    print_usage(stderr);
    return EXIT_USAGE;
}
