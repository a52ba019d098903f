/* transport/codec/json_obj.h: objects with known members, read by a table and
 * written member by member.
 * Why: the client protocol, the server API and tokens are some thirty small
 * objects. One table reader gives them all the same strictness, one writer the
 * same rule on what is left out. */
#ifndef DUN_TRANSPORT_CODEC_JSON_OBJ_H
#define DUN_TRANSPORT_CODEC_JSON_OBJ_H

#include "transport/codec/json.h"

/* ---- reading ---- */

/* What a member must be, and the C type it goes to. */
enum json_field_kind {
    JSON_FIELD_TEXT,   /* string -> struct dun_slice, decoded */
    JSON_FIELD_RAW,    /* any value, null too -> struct dun_slice, raw text */
    JSON_FIELD_OBJECT, /* object -> struct dun_slice, raw text */
    JSON_FIELD_ARRAY,  /* array -> struct dun_slice, raw text */
    JSON_FIELD_BOOL,   /* -> bool */
    JSON_FIELD_U64,    /* -> uint64_t */
    JSON_FIELD_U32,    /* -> uint32_t */
    JSON_FIELD_I64,    /* -> int64_t */
    JSON_FIELD_I32,    /* -> int32_t */
};

struct json_field {
    const char *name;
    enum json_field_kind kind;
    size_t at; /* offsetof in the struct to fill */
};

/* Fill @out from the validated @object. Members not in the table are ignored,
 * null leaves a field alone (but for RAW), the last of duplicates wins.
 * @scratch as in json_get_string. Errors: DUN_E_MALFORMED, not an object, or a
 * member of the wrong type; *out may then be half filled. */
DUN_MUST_USE dun_err json_obj_read(struct dun_slice object, const struct json_field *fields,
                                   size_t count, struct dun_buf *scratch, void *out);

/* ---- writing ---- */

struct json_obj {
    struct dun_buf *b;
    bool any; /* a member was written: a comma is due */
};

struct json_obj json_obj_begin(struct dun_buf *b); /* writes '{' */
void json_obj_end(struct json_obj *o);             /* writes '}' */
/* Comma if due, the key and its colon; the caller writes the value. @name is
 * ASCII without anything to escape. */
void json_obj_key(struct json_obj *o, const char *name);
/* These leave the member out when it is empty, 0 or false. */
void json_obj_text(struct json_obj *o, const char *name, struct dun_slice text);
void json_obj_raw(struct json_obj *o, const char *name, struct dun_slice value); /* no CR, LF */
void json_obj_u64(struct json_obj *o, const char *name, uint64_t v);
void json_obj_i64(struct json_obj *o, const char *name, int64_t v);
void json_obj_bool(struct json_obj *o, const char *name, bool v);
/* These write it always. */
void json_obj_text_always(struct json_obj *o, const char *name, struct dun_slice text);
void json_obj_u64_always(struct json_obj *o, const char *name, uint64_t v);

#endif
