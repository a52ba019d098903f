/* cmd/dunlin_token.c: connection and subscription tokens for tests and scripts.
 * In production the application's backend makes them (protocol.md, section 12). */
#include "cmd/dunlin_args.h"

#include "base/assert.h"
#include "transport/codec/json.h"
#include "transport/codec/jwt.h"
#include "transport/codec/utf8.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

int dunlin_token(int argc, char **argv)
{
    const char *secret = NULL, *user = "", *channel = NULL;
    uint64_t exp_s = 3600;
    bool json = false;
    const struct dunlin_opt opts[] = {
        {"secret", OPT_TEXT, "TEXT", "the server's token.hmac_secret; required", &secret, 0, 0},
        {"user", OPT_TEXT, "ID", "user id; empty = anonymous", &user, 0, 0},
        {"channel", OPT_TEXT, "NAME", "make a subscription token for this channel", &channel, 0, 0},
        {"exp", OPT_NUMBER, "SECONDS", "valid that long (3600); 0 = for ever", &exp_s, 0,
         100ull * 366 * 86400},
        {"json", OPT_FLAG, NULL, "print JSON", &json, 0, 0},
    };
    const struct dunlin_args args = {
        .usage = "token --secret TEXT [OPTION]...",
        .summary = "Makes a JWT signed with HS256.",
        .opts = opts,
        .opt_count = DUN_COUNT(opts),
    };
    struct dunlin_parsed p;
    int status;
    if (!dunlin_args(&args, argc, argv, &p, &status)) return status;
    if (secret == NULL || secret[0] == '\0')
        return dunlin_fail(EXIT_USAGE, "token: --secret is missing; it is the server's "
                                       "token.hmac_secret");
    if (!utf8_valid(dun_slice_str(user)) ||
        (channel != NULL && !utf8_valid(dun_slice_str(channel))))
        return dunlin_fail(EXIT_USAGE, "token: --user and --channel must be UTF-8");
    struct dun_buf claims = {0}, token = {0};
    dun_buf_str(&claims, "{\"sub\":");
    json_write_string(&claims, dun_slice_str(user));
    if (channel != NULL) {
        dun_buf_str(&claims, ",\"channel\":");
        json_write_string(&claims, dun_slice_str(channel));
    }
    uint64_t now = (uint64_t)time(NULL);
    if (exp_s > 0) {
        dun_buf_str(&claims, ",\"exp\":");
        dun_buf_u64(&claims, now + exp_s);
    }
    dun_buf_byte(&claims, '}');
    const struct jwt_key key = {JWT_HS256, dun_slice_str(secret)};
    jwt_sign(&token, &key, dun_buf_view(&claims));
    printf(json ? "{\"token\":\"%.*s\"}\n" : "%.*s\n", (int)token.len, (const char *)token.data);
    dun_buf_deinit(&claims);
    dun_buf_deinit(&token);
    return EXIT_FINE;
}
