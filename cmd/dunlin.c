/* cmd/dunlin.c: the tool's entry; each subcommand is a file cmd/dunlin_*.c. */
#include "base/assert.h"
#include "cmd/dunlin_args.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *help;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"dev", "a local cluster in the foreground", dunlin_dev},
    {"pub", "publish one message", dunlin_pub},
    {"sub", "print a channel's messages as they come", dunlin_sub},
    {"status", "what the servers say about themselves", dunlin_status},
    {"bench", "measure: fanout, publish, connections, recover", dunlin_bench},
    {"token", "make a JWT for a client", dunlin_token},
    {"keygen", "make a key that seals the traffic between peers", dunlin_keygen},
};

static void print_usage(FILE *to)
{
    fputs("Usage: dunlin COMMAND [OPTION]...\n\n", to);
    for (size_t i = 0; i < DUN_COUNT(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fputs("\ndunlin COMMAND --help tells more. dunlin --version prints the version.\n"
          "Exit status: 0 fine, 1 the server refused, 64 bad usage, 69 no server could be\n"
          "reached, 71 this host cannot (a port is taken, a file cannot be written).\n",
          to);
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN); /* a lost peer or pipe is a return value */
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return EXIT_FINE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("dunlin %s (%s)\n", DUN_VERSION, DUN_GIT_COMMIT);
        return EXIT_FINE;
    }
    for (size_t i = 0; i < DUN_COUNT(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "dunlin: unknown command \"%s\"\n", argv[1]);
    print_usage(stderr);
    return EXIT_USAGE;
}
