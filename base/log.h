/* base/log.h: structured log lines, one event a line: time, level, event, then
 * key=value pairs. The sink is passed, never global, so cluster/ stays sans-I/O
 * and the simulator can read what a peer said. */
#ifndef DUN_BASE_LOG_H
#define DUN_BASE_LOG_H

enum dun_log_level { DUN_LOG_DEBUG, DUN_LOG_INFO, DUN_LOG_WARN, DUN_LOG_ERROR };

struct dun_log {
    void (*write)(void *ctx, enum dun_log_level level, const char *line); /* no newline */
    void *ctx;
    enum dun_log_level level_min;
};

/* @fmt starts with the event's name, then key=value pairs, e.g.
 * "view_change group=3 view=7 why=link_lost". @log NULL: nothing happens. */
void dun_log(const struct dun_log *log, enum dun_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Sink that writes to stderr with the wall-clock time; safe from any thread. */
extern const struct dun_log dun_log_stderr;

const char *dun_log_level_name(enum dun_log_level level);

#endif
