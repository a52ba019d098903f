/* cmd/dunlin_bench_overload_figures.h: what the overload bench measured, in phases and rounds.
 * Why rounds: a hypervisor takes processors away for seconds at a time, and a latency measured then
 * is its. A round in which it took more than FIGURES_STOLEN_PERCENT of a phase is printed but not
 * counted, and measured again as often as that is allowed; beyond that, rounds count as they are.
 * The rule looks at the processors' time only, never at a latency.
 * How busy the processors were, and what share of them was taken, is told with each phase. */
#ifndef DUN_CMD_DUNLIN_BENCH_OVERLOAD_FIGURES_H
#define DUN_CMD_DUNLIN_BENCH_OVERLOAD_FIGURES_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FIGURES_STOLEN_PERCENT = 1, FIGURES_ROUNDS_MAX = 1000, FIGURES_SAMPLES_MAX = 8 << 20 };

enum figures_phase {
    FIGURES_NONE, /* nothing is measured */
    FIGURES_CALM,
    FIGURES_LOADED,
    FIGURES_AFTER, /* what the load left behind */
    FIGURES_PHASES
};

/* Clock ticks of all processors; /proc/stat has them. */
struct processors {
    uint64_t all, idle, stolen; /* stolen: by the hypervisor */
};

struct samples {
    double *ms;
    size_t count, cap, round;        /* round: where the round under way begins */
    struct processors spent, before; /* in this phase, and before the round under way */
};

struct round {
    double calm_p99, loaded_p99, calm_stolen, loaded_stolen; /* ms, percent */
    bool counted;
};

struct figures {
    enum figures_phase phase;
    struct samples got[FIGURES_PHASES];
    struct processors begun; /* when the phase began */
    struct round *rounds;
    uint32_t wanted, round_count, counted, repeats; /* repeats: still allowed */
    bool in_round;
};

/* @rounds are to be counted, at most FIGURES_ROUNDS_MAX; up to @repeats others are not. */
void figures_init(struct figures *f, uint32_t rounds, uint32_t repeats);
void figures_deinit(struct figures *f);
/* From now on samples and processor time belong to @phase. */
void figures_phase(struct figures *f, enum figures_phase phase);
void figures_sample(struct figures *f, double ms);
/* Ends the round under way, if there is one, and begins the next. false: all are measured. */
bool figures_round(struct figures *f);
/* Of all rounds that count; 0: there is none. */
double figures_ratio(const struct figures *f);
/* Call once, before the two below: sorts. */
void figures_finish(struct figures *f);
/* Members of an object: calm_ms, loaded_ms, after_ms, ratio, rounds. */
void figures_json(const struct figures *f, struct dun_buf *out);
/* Lines. */
void figures_text(const struct figures *f, struct dun_buf *out);

#endif
