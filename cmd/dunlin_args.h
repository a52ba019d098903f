/* cmd/dunlin_args.h: options of the tool, one table per subcommand.
 * Why: the same table parses, checks and explains, so --help cannot disagree
 * with what is accepted, and every refusal names the word it refuses. */
#ifndef DUN_CMD_DUNLIN_ARGS_H
#define DUN_CMD_DUNLIN_ARGS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Exit statuses, as sysexits.h has them. */
enum {
    EXIT_FINE = 0,
    EXIT_REFUSED = 1,      /* the server said no */
    EXIT_USAGE = 64,       /* bad option or argument */
    EXIT_UNAVAILABLE = 69, /* no server could be reached */
    EXIT_SYSTEM = 71,      /* this host cannot: port taken, file not writable */
};

enum dunlin_opt_kind { OPT_FLAG, OPT_TEXT, OPT_NUMBER };

struct dunlin_opt {
    const char *name; /* "peers" for --peers */
    enum dunlin_opt_kind kind;
    const char *value_name; /* in --help; NULL for a flag */
    const char *help;
    void *out;         /* bool *, const char ** or uint64_t * */
    uint64_t min, max; /* OPT_NUMBER: inclusive */
};

struct dunlin_args {
    const char *usage;   /* after "Usage: dunlin " */
    const char *summary; /* one or more lines */
    const char *more;    /* below the options; NULL = nothing */
    const struct dunlin_opt *opts;
    uint32_t opt_count;
    uint32_t words_min, words_max; /* positional arguments */
    bool takes_rest;               /* "--" and what follows is the caller's */
};

enum { DUNLIN_WORDS_MAX = 4 };

struct dunlin_parsed {
    const char *words[DUNLIN_WORDS_MAX];
    uint32_t word_count;
    char **rest; /* after "--" */
    int rest_count;
};

/* @argv[0] is the subcommand. Returns true to go on; otherwise *status is what
 * to exit with (help was printed, or a complaint). Options may stand anywhere;
 * "--name=value" works too. */
bool dunlin_args(const struct dunlin_args *a, int argc, char **argv, struct dunlin_parsed *out,
                 int *status);

/* "dunlin: @fmt" on stderr; returns @status. */
int dunlin_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What all commands that talk to servers take; put DUNLIN_SERVER_OPTS into the table. */
struct dunlin_server {
    const char *servers, *api_key, *token;
    bool json;
};
#define DUNLIN_SERVER_DEFAULT              \
    {                                      \
        .servers = "http://127.0.0.1:8000" \
    }
#define DUNLIN_SERVER_OPTS(s)                                                                \
    {                                                                                        \
        "server",                                                                            \
        OPT_TEXT,                                                                            \
        "URL[=WEIGHT],...",                                                                  \
        "servers to use (http://127.0.0.1:8000)",                                            \
        &(s).servers,                                                                        \
        0,                                                                                   \
        0},                                                                                  \
        {"api-key", OPT_TEXT, "KEY", "key of the HTTP API", &(s).api_key, 0, 0},             \
        {"token", OPT_TEXT, "JWT", "connection token (see dunlin token)", &(s).token, 0, 0}, \
    {                                                                                        \
        "json", OPT_FLAG, NULL, "print JSON", &(s).json, 0, 0                                \
    }

/* Subcommands: argv[0] is the name. Return the exit status. */
int dunlin_dev(int argc, char **argv);
int dunlin_pub(int argc, char **argv);
int dunlin_sub(int argc, char **argv);
int dunlin_status(int argc, char **argv);
int dunlin_bench(int argc, char **argv);
int dunlin_bench_fanout(int argc, char **argv);
int dunlin_bench_publish(int argc, char **argv);
int dunlin_bench_connections(int argc, char **argv);
int dunlin_bench_recover(int argc, char **argv);
int dunlin_bench_overload(int argc, char **argv);
int dunlin_token(int argc, char **argv);
int dunlin_keygen(int argc, char **argv);

#endif
