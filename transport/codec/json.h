/* transport/codec/json.h: strict JSON (RFC 8259) over borrowed bytes.
 * Why: payloads must reach subscribers byte for byte (12345678901234567890 and
 * 1.10 stay as they are), so nothing is parsed into a tree or printed again.
 * Text is validated once by json_check; the readers below then run over the
 * validated bytes without checking again, and never read past them.
 * Depth is limited (DUN_JSON_DEPTH_MAX). Duplicate keys are legal; whoever
 * reads an object lets the LAST one win, as browsers and Go do. */
#ifndef DUN_TRANSPORT_CODEC_JSON_H
#define DUN_TRANSPORT_CODEC_JSON_H

#include "base/buf.h"
#include "base/err.h"

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* Is @text exactly one JSON value (whitespace around it allowed)?
 * Strict: UTF-8, no NUL or raw control character in strings, \u surrogates in
 * pairs only, no leading zeros, no trailing commas, no byte order mark.
 * Errors: DUN_E_MALFORMED; DUN_E_TOO_BIG nested deeper than the limit. */
DUN_MUST_USE dun_err json_check(struct dun_slice text);

/* json_check for what a server says: its envelope stands around what others sent,
 * so it may be deeper by that. */
DUN_MUST_USE dun_err json_check_reply(struct dun_slice text);

/* json_check, and the value must be of @type. */
DUN_MUST_USE dun_err json_check_type(struct dun_slice text, enum json_type type);

/* Everything below takes VALIDATED text: what json_check accepted, or a slice
 * handed out by the iterators. */

enum json_type json_type_of(struct dun_slice value);
struct dun_slice json_trim(struct dun_slice value); /* without whitespace around it */

struct json_iter {
    const uint8_t *p, *end;
};

struct json_member {
    struct dun_slice key;   /* between the quotes, still escaped; see json_key_is */
    struct dun_slice value; /* raw text, trimmed; a string keeps its quotes */
    enum json_type type;
};

/* Start on @value. Errors: DUN_E_MALFORMED it is not an object (an array). */
DUN_MUST_USE dun_err json_object(struct dun_slice value, struct json_iter *it);
DUN_MUST_USE dun_err json_array(struct dun_slice value, struct json_iter *it);
/* Next member (item) into *out; false at the end. An item has no key. */
bool json_next_member(struct json_iter *it, struct json_member *out);
bool json_next_item(struct json_iter *it, struct json_member *out);

/* Does the raw key, escapes decoded, equal the ASCII @name? */
bool json_key_is(struct dun_slice key, const char *name);
/* The last member of @object with that name; false if there is none or @object
 * is not an object. */
bool json_find(struct dun_slice object, const char *name, struct json_member *out);

/* Strict integers: digits only, so 1.0, 1e3, "1" and -0 (for u64) are
 * DUN_E_MALFORMED; out of range is DUN_E_MALFORMED too. *out only on DUN_OK. */
DUN_MUST_USE dun_err json_get_u64(struct dun_slice value, uint64_t *out);
DUN_MUST_USE dun_err json_get_u32(struct dun_slice value, uint32_t *out);
DUN_MUST_USE dun_err json_get_i64(struct dun_slice value, int64_t *out);
DUN_MUST_USE dun_err json_get_bool(struct dun_slice value, bool *out);

/* Decode a string. Without escapes *out borrows from @value; with escapes it
 * is decoded at the end of @scratch, never longer than the raw text. If
 * @scratch has no room it grows, and slices given out earlier dangle: whoever
 * decodes several strings reserves the length of the whole text first.
 * Errors: DUN_E_MALFORMED not a string, or it holds U+0000 (names and tokens
 * with a NUL are an attack, not a use). */
DUN_MUST_USE dun_err json_get_string(struct dun_slice value, struct dun_buf *scratch,
                                     struct dun_slice *out);
/* The same for a member's key (no quotes around it). */
DUN_MUST_USE dun_err json_get_key(struct dun_slice key, struct dun_buf *scratch,
                                  struct dun_slice *out);

/* Append @text (valid UTF-8; asserted) as a JSON string with its quotes. */
void json_write_string(struct dun_buf *b, struct dun_slice text);

/* Append the valid JSON @value without raw CR and LF, which can only be
 * whitespace between tokens there. All else stays byte for byte. */
void json_strip_newlines(struct dun_buf *b, struct dun_slice value);

#endif
