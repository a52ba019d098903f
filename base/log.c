/* base/log.c: see the header. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 2048 };

const char *dun_log_level_name(enum dun_log_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    return names[level];
}

void dun_log(const struct dun_log *log, enum dun_log_level level, const char *fmt, ...)
{
    if (log == NULL || level < log->level_min) return;
    char line[LOG_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    for (char *c = line; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20) *c = ' '; /* outside text cannot forge a line */
    log->write(log->ctx, level, line);
}

static void write_stderr(void *ctx, enum dun_log_level level, const char *line)
{
    (void)ctx;
    struct timespec ts;
    struct tm tm;
    char out[LOG_LINE_MAX + 64];
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    int n = snprintf(out, sizeof out, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s %s\n",
                     tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                     ts.tv_nsec / 1000000, dun_log_level_name(level), line);
    if (n > (int)sizeof out - 1) n = (int)sizeof out - 1;
    ssize_t written = write(STDERR_FILENO, out, (size_t)n); /* one write keeps lines whole */
    (void)written;
}

const struct dun_log dun_log_stderr = {.write = write_stderr, .level_min = DUN_LOG_INFO};
