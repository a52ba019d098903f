#include "codec_test.h"

#include "transport/codec/sha1.h"

static void hex(const uint8_t d[SHA1_BYTES], char out[41])
{
    for (size_t i = 0; i < SHA1_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", d[i]);
}

static void the_standard_s_examples_come_out(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } t[] = {
        {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        uint8_t d[SHA1_BYTES];
        char got[41];
        sha1(S(t[i].in), d);
        hex(d, got);
        assert_string_equal(got, t[i].want);
    }
}

static void a_million_letters_span_many_blocks(void **state)
{
    (void)state;
    uint8_t d[SHA1_BYTES], *p = malloc(1000000);
    char got[41];
    assert_non_null(p);
    memset(p, 'a', 1000000);
    sha1(dun_slice(p, 1000000), d);
    hex(d, got);
    free(p);
    assert_string_equal(got, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_standard_s_examples_come_out),
        cmocka_unit_test(a_million_letters_span_many_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
