/* cmd/dunlin_bench_overload_figures.c: see dunlin_bench_overload_figures.h. */
#include "cmd/dunlin_bench_overload_figures.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "cmd/dunlin_bench_pool.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const names[] = {"", "calm", "loaded", "after"};

static double percent(uint64_t part, uint64_t all)
{
    return all == 0 ? 0 : 100 * (double)part / (double)all;
}

/* Since the machine's start; 0 where the system does not say. */
static struct processors processors_now(void)
{
    uint64_t t[8] = {0}; /* user, nice, system, idle, iowait, irq, softirq, steal */
    struct processors p = {0};
    FILE *f = fopen("/proc/stat", "re");
    if (f == NULL) return p;
    (void)!fscanf(f, "cpu");
    for (size_t i = 0; i < DUN_COUNT(t); i++)
        if (fscanf(f, "%" SCNu64, &t[i]) == 1) p.all += t[i];
    (void)fclose(f);
    p.idle = t[3] + t[4];
    p.stolen = t[7];
    return p;
}

static struct processors minus(struct processors a, struct processors b)
{
    return (struct processors){a.all - b.all, a.idle - b.idle, a.stolen - b.stolen};
}

void figures_init(struct figures *f, uint32_t rounds, uint32_t repeats)
{
    DUN_ASSERT(rounds <= FIGURES_ROUNDS_MAX && repeats <= FIGURES_ROUNDS_MAX);
    *f = (struct figures){.wanted = rounds, .repeats = repeats};
    f->rounds = dun_calloc(rounds + repeats, sizeof *f->rounds);
    f->begun = processors_now();
}

void figures_deinit(struct figures *f)
{
    for (int p = 0; p < FIGURES_PHASES; p++)
        dun_free(f->got[p].ms);
    dun_free(f->rounds);
}

void figures_phase(struct figures *f, enum figures_phase phase)
{
    struct processors now = processors_now(), d = minus(now, f->begun);
    struct processors *spent = &f->got[f->phase].spent;
    spent->all += d.all;
    spent->idle += d.idle;
    spent->stolen += d.stolen;
    f->begun = now;
    f->phase = phase;
}

void figures_sample(struct figures *f, double ms)
{
    struct samples *s = &f->got[f->phase];
    if (f->phase == FIGURES_NONE || s->count == FIGURES_SAMPLES_MAX) return;
    if (s->count == s->cap) {
        s->cap = s->cap == 0 ? 4096 : 2 * s->cap;
        s->ms = dun_realloc(s->ms, s->cap * sizeof *s->ms);
    }
    s->ms[s->count++] = ms;
}

static double at(const struct samples *s, unsigned q)
{
    return s->count == 0 ? 0 : bench_quantile(s->ms, s->count, q);
}

/* Of the round under way: its p99 and the share that was stolen. */
static void of_round(struct samples *s, double *p99, double *stolen)
{
    struct processors d = minus(s->spent, s->before);
    size_t count = s->count - s->round;
    if (count > 0) bench_sort(s->ms + s->round, count);
    *p99 = count == 0 ? 0 : bench_quantile(s->ms + s->round, count, 99);
    *stolen = percent(d.stolen, d.all);
}

static void end_round(struct figures *f)
{
    struct round *r = &f->rounds[f->round_count++];
    of_round(&f->got[FIGURES_CALM], &r->calm_p99, &r->calm_stolen);
    of_round(&f->got[FIGURES_LOADED], &r->loaded_p99, &r->loaded_stolen);
    r->counted = f->repeats == 0 || (r->calm_stolen <= FIGURES_STOLEN_PERCENT &&
                                     r->loaded_stolen <= FIGURES_STOLEN_PERCENT);
    if (r->counted) {
        f->counted++;
        return;
    }
    f->repeats--;
    for (int p = 0; p < FIGURES_PHASES; p++) {
        f->got[p].count = f->got[p].round;
        f->got[p].spent = f->got[p].before;
    }
}

bool figures_round(struct figures *f)
{
    if (f->in_round) end_round(f);
    f->in_round = f->counted < f->wanted;
    for (int p = 0; p < FIGURES_PHASES; p++) {
        f->got[p].round = f->got[p].count;
        f->got[p].before = f->got[p].spent;
    }
    return f->in_round;
}

void figures_finish(struct figures *f)
{
    for (int p = FIGURES_CALM; p < FIGURES_PHASES; p++)
        if (f->got[p].count > 0) bench_sort(f->got[p].ms, f->got[p].count);
}

double figures_ratio(const struct figures *f)
{
    double calm = at(&f->got[FIGURES_CALM], 99), loaded = at(&f->got[FIGURES_LOADED], 99);
    return calm > 0 ? loaded / calm : 0;
}

void figures_json(const struct figures *f, struct dun_buf *out)
{
    for (int p = FIGURES_CALM; p < FIGURES_PHASES; p++) {
        const struct samples *g = &f->got[p];
        dun_buf_printf(out,
                       "\"%s_ms\":{\"p50\":%.3f,\"p99\":%.3f,\"n\":%zu,\"idle_percent\":%.1f,"
                       "\"stolen_percent\":%.1f},",
                       names[p], at(g, 50), at(g, 99), g->count,
                       percent(g->spent.idle, g->spent.all),
                       percent(g->spent.stolen, g->spent.all));
    }
    dun_buf_printf(out, "\"ratio\":%.3f,\"rounds\":[", figures_ratio(f));
    for (uint32_t i = 0; i < f->round_count; i++) {
        const struct round *r = &f->rounds[i];
        dun_buf_printf(out,
                       "%s{\"calm_p99_ms\":%.3f,\"loaded_p99_ms\":%.3f,"
                       "\"calm_stolen_percent\":%.1f,\"loaded_stolen_percent\":%.1f,"
                       "\"counted\":%s}",
                       i == 0 ? "" : ",", r->calm_p99, r->loaded_p99, r->calm_stolen,
                       r->loaded_stolen, r->counted ? "true" : "false");
    }
    dun_buf_byte(out, ']');
}

void figures_text(const struct figures *f, struct dun_buf *out)
{
    for (uint32_t i = 0; i < f->round_count; i++) {
        const struct round *r = &f->rounds[i];
        dun_buf_printf(out,
                       "round %u p99 %.2f ms calm, %.2f ms loaded; %.1f %% and %.1f %% taken by "
                       "the hypervisor%s\n",
                       i + 1, r->calm_p99, r->loaded_p99, r->calm_stolen, r->loaded_stolen,
                       r->counted ? "" : "; not counted");
    }
    for (int p = FIGURES_CALM; p < FIGURES_PHASES; p++) {
        const struct samples *g = &f->got[p];
        dun_buf_printf(out,
                       "%-7s p50 %.2f ms, p99 %.2f ms, %zu deliveries; processors %.0f %% idle, "
                       "%.1f %% taken by the hypervisor\n",
                       names[p], at(g, 50), at(g, 99), g->count,
                       percent(g->spent.idle, g->spent.all),
                       percent(g->spent.stolen, g->spent.all));
    }
    dun_buf_printf(out, "ratio of p99, loaded to calm: %.2f\n", figures_ratio(f));
}
