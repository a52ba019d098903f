/* tests/unit/cluster/test_vsr_transfer.c: what is taken of an answer that does not fit the
 * question, and what is given to whom. */
#include "tests/unit/cluster/vsr_one.h"

static void an_answer_counts_only_from_the_peer_that_was_asked(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = one_recovering(o, 2);
    one_frame(o, WIRE_NEW_STATE, VSR_NORMAL, view);
    one_entries(o, 1, 2);
    assert_int_equal(one_recv(o, 2), DUN_OK);
    assert_int_equal(o->v.fetch.kind, VSR_FETCH_RECOVER);
    assert_int_equal(o->v.status, VSR_RECOVERING);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->v.status, VSR_NORMAL);
    assert_int_equal(o->v.log.head, 2);
    assert_int_equal(one_recv(o, 1), DUN_OK); /* a repeat, which nobody asked for */
    assert_int_equal(o->v.log.head, 2);
    one_destroy(o);
}

static void a_giver_that_stands_elsewhere_now_is_left(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 3; k++) {
        struct one *o = one_create(3);
        struct vsr_view view = one_recovering(o, 2);
        one_frame(o, WIRE_NEW_STATE, k == 0 ? VSR_VIEW_CHANGE : VSR_NORMAL, view);
        one_entries(o, 1, 2);
        if (k == 1) o->in.view.num++;
        if (k == 2) o->in.view.inc++;
        assert_int_equal(one_recv(o, 1), DUN_OK);
        assert_int_equal(o->v.fetch.kind, VSR_FETCH_NONE);
        assert_int_equal(o->v.status, VSR_RECOVERING);
        one_destroy(o);
    }
}

static void an_elect_takes_only_the_log_it_chose(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 4; k++) {
        struct one *o = one_create(3);
        struct vsr_view old = one_backup(o), view = one_view(o, old.num, 0);
        one_frame(o, WIRE_STATE, VSR_VIEW_CHANGE, view)->log_view = old;
        o->in.head = 1;
        assert_int_equal(one_recv(o, 2), DUN_OK);
        assert_int_equal(o->v.fetch.kind, VSR_FETCH_START);
        one_frame(o, WIRE_NEW_STATE, VSR_VIEW_CHANGE, view)->log_view = old;
        one_entries(o, 1, 1);
        if (k == 1) o->in.status = VSR_NORMAL;
        if (k == 2) o->in.log_view.num++;
        if (k == 3) o->in.view.num++;
        assert_int_equal(one_recv(o, 2), DUN_OK);
        assert_int_equal(o->v.fetch.kind, VSR_FETCH_NONE);
        assert_int_equal(vsr_is_primary(&o->v), k == 0);
        assert_int_equal(o->v.log.head, k == 0 ? 1 : 0);
        one_destroy(o);
    }
}

static void an_operation_that_does_not_decode_is_malformed(void **state)
{
    (void)state;
    static const uint8_t bad[] = {0x91, 0x63};
    struct one *o = one_create(3);
    struct vsr_view view = one_recovering(o, 1);
    one_frame(o, WIRE_NEW_STATE, VSR_NORMAL, view);
    one_entries(o, 1, 2);
    o->in.entries[1].op = dun_slice(bad, sizeof bad);
    assert_int_equal(one_recv(o, 1), DUN_E_MALFORMED);
    assert_int_equal(o->v.fetch.stage.head, 0);
    one_destroy(o);
}

static void a_giver_with_less_than_it_said_is_left(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = one_recovering(o, 5);
    one_frame(o, WIRE_NEW_STATE, VSR_NORMAL, view);
    one_entries(o, 1, 3);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(one_sent(o, 1, WIRE_GET_STATE), 1); /* goes on */
    assert_int_equal(o->out.first_op, 4);
    one_entries(o, 4, 0);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->v.fetch.kind, VSR_FETCH_NONE);
    assert_int_equal(o->v.status, VSR_RECOVERING);
    one_destroy(o);
}

static void a_log_longer_than_a_window_is_given_up(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = one_recovering(o, DUN_LOG_SLOTS + 1);
    one_frame(o, WIRE_NEW_STATE, VSR_NORMAL, view);
    for (uint64_t op = 1; op < DUN_LOG_SLOTS; op += WIRE_ENTRIES_MAX) {
        assert_int_equal(o->v.fetch.stage.head, op - 1);
        one_entries(o, op, WIRE_ENTRIES_MAX);
        assert_int_equal(one_recv(o, 1), DUN_OK);
    }
    assert_int_equal(o->v.fetch.kind, VSR_FETCH_NONE);
    assert_int_equal(o->v.status, VSR_RECOVERING);
    one_destroy(o);
}

/* A chunk of a snapshot at operation 9. */
static void chunk(struct one *o, struct vsr_view view, uint64_t offset, uint64_t total,
                  struct dun_slice bytes)
{
    one_frame(o, WIRE_SNAPSHOT, VSR_NORMAL, view);
    o->in.snap_op = 9;
    o->in.offset = offset;
    o->in.total = total;
    o->in.bytes = bytes;
}

static void a_chunk_that_does_not_go_on_is_not_taken(void **state)
{
    (void)state;
    static const uint8_t bytes[8] = {0};
    static const struct {
        uint64_t snap_op, offset, total;
        size_t len;
    } chunks[] = {
        {9, 4, 9, 4},  /* another size than was said first */
        {9, 3, 8, 4},  /* a piece that we have */
        {9, 5, 8, 2},  /* a piece behind a hole */
        {9, 4, 8, 0},  /* nothing */
        {9, 4, 8, 5},  /* past the end */
        {10, 4, 8, 4}, /* another snapshot, from its middle */
        {0, 0, 8, 4},  /* of nothing */
    };
    struct one *o = one_create(3);
    struct vsr_view view = one_recovering(o, 9);
    chunk(o, view, 0, 8, dun_slice(bytes, 4));
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(one_sent(o, 1, WIRE_GET_STATE), 1);
    assert_int_equal(o->out.snap_op, 9);
    assert_int_equal(o->out.offset, 4);
    for (size_t k = 0; k < DUN_COUNT(chunks); k++) {
        chunk(o, view, chunks[k].offset, chunks[k].total, dun_slice(bytes, chunks[k].len));
        o->in.snap_op = chunks[k].snap_op;
        assert_int_equal(one_recv(o, 1), DUN_OK);
        assert_int_equal(o->v.fetch.snap.len, 4);
        assert_int_equal(one_sent(o, 1, WIRE_GET_STATE), 0);
    }
    one_frame(o, WIRE_NEW_STATE, VSR_NORMAL, view); /* answers what was asked before */
    one_entries(o, 1, 1);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->v.fetch.stage.head, 0);
    chunk(o, view, 0, 8, dun_slice(bytes, 4));
    assert_int_equal(one_recv(o, 2), DUN_OK); /* not the one that was asked */
    assert_int_equal(o->v.fetch.snap.len, 4);
    chunk(o, view, 0, 6, dun_slice(bytes, 6)); /* a newer one takes the place */
    o->in.snap_op = 10;
    o->in.total = 7;
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->v.fetch.snap_op, 10);
    assert_int_equal(o->v.fetch.snap.len, 6);
    one_destroy(o);
}

/* A backup of five that misses operations 1 and 2 of 5, and asks for them. */
static struct vsr_view backup_with_a_hole(struct one *o)
{
    struct vsr_view view = one_backup(o);
    one_frame(o, WIRE_PREPARE, VSR_NORMAL, view);
    one_entries(o, 3, 3);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->v.fetch.kind, VSR_FETCH_APPEND);
    return view;
}

/* Fills the hole after all, so that we acknowledge operations 1 to 5. */
static void late_prepare(struct one *o, struct vsr_view view)
{
    one_frame(o, WIRE_PREPARE, VSR_NORMAL, view);
    one_entries(o, 1, 5);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    vsr_flush(&o->v);
    assert_int_equal(one_sent(o, 1, WIRE_PREPARE_OK), 1);
    assert_int_equal(o->out.head, 5);
}

/* The one piece of a snapshot of operations 1 to 3. */
static void snapshot_of_three(struct one *o, struct vsr_view view, struct dun_buf *bytes)
{
    struct one *giver = one_create(5);
    struct vsr_view of = one_backup(giver);
    one_frame(giver, WIRE_PREPARE, VSR_NORMAL, of)->commit = 3;
    one_entries(giver, 1, 3);
    assert_int_equal(one_recv(giver, 1), DUN_OK);
    assert_int_equal(giver->v.commit, 3);
    store_snapshot(giver->store, 0, bytes);
    one_destroy(giver);
    chunk(o, view, 0, bytes->len, dun_buf_view(bytes));
    o->in.snap_op = 3;
    o->in.head = 5;
    o->in.commit = 3;
}

static void what_was_acknowledged_outlives_a_snapshot_that_comes_late(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 2; k++) {
        struct one *o = one_create(5);
        struct dun_buf bytes = {0};
        struct vsr_view view = backup_with_a_hole(o);
        if (k == 0) late_prepare(o, view);
        snapshot_of_three(o, view, &bytes);
        assert_int_equal(one_recv(o, 1), DUN_OK);
        if (k == 1) { /* the snapshot is here, and the log after it is asked for */
            assert_int_equal(one_sent(o, 1, WIRE_GET_STATE), 1);
            assert_int_equal(o->out.first_op, 4);
            late_prepare(o, view);
            one_frame(o, WIRE_NEW_STATE, VSR_NORMAL, view)->commit = 3;
            one_entries(o, 4, 2);
            assert_int_equal(one_recv(o, 1), DUN_OK);
        }
        assert_int_equal(o->v.fetch.kind, VSR_FETCH_NONE);
        assert_int_equal(o->v.log.head, 5);
        assert_int_equal(o->v.log.first, 1);
        assert_int_equal(o->resyncs, 0);
        one_frame(o, WIRE_COMMIT, VSR_NORMAL, view)->commit = 5;
        assert_int_equal(one_recv(o, 1), DUN_OK);
        assert_int_equal(o->applied, 5);
        dun_buf_deinit(&bytes);
        one_destroy(o);
    }
}

static void a_snapshot_ahead_of_the_log_is_taken_over(void **state)
{
    (void)state;
    struct one *o = one_create(5);
    struct dun_buf bytes = {0};
    struct vsr_view view = backup_with_a_hole(o);
    snapshot_of_three(o, view, &bytes);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    one_frame(o, WIRE_NEW_STATE, VSR_NORMAL, view)->commit = 3;
    one_entries(o, 4, 2);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->resyncs, 1);
    assert_int_equal(o->v.commit, 3);
    assert_int_equal(o->v.log.first, 4);
    assert_int_equal(o->v.log.head, 5);
    dun_buf_deinit(&bytes);
    one_destroy(o);
}

static void a_snapshot_of_no_size_or_a_huge_one_is_malformed(void **state)
{
    (void)state;
    static const uint64_t totals[] = {0, (uint64_t)VSR_SNAPSHOT_BYTES_MAX + 1};
    struct one *o = one_create(3);
    struct vsr_view view = one_recovering(o, 9);
    for (size_t k = 0; k < DUN_COUNT(totals); k++) {
        chunk(o, view, 0, totals[k], dun_slice("x", 1));
        assert_int_equal(one_recv(o, 1), DUN_E_MALFORMED);
        assert_int_equal(o->v.fetch.snap.len, 0);
    }
    one_destroy(o);
}

static void a_snapshot_that_does_not_restore_is_reported_and_changes_nothing(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = one_recovering(o, 9);
    uint64_t digest = store_digest(o->store, 0);
    chunk(o, view, 0, 5, dun_slice("wrong", 5));
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->errors, 1);
    assert_int_equal(o->v.fetch.kind, VSR_FETCH_NONE);
    assert_int_equal(o->v.status, VSR_RECOVERING);
    assert_int_equal(o->resyncs, 0);
    assert_int_equal(store_digest(o->store, 0), digest);
    one_destroy(o);
}

/* A backup with @count operations, of which the first are no longer in the log. */
static struct vsr_view long_backup(struct one *o, uint64_t count)
{
    struct vsr_view view = one_backup(o);
    for (uint64_t op = 1; op <= count; op += DUN_INFLIGHT_MAX) {
        one_frame(o, WIRE_PREPARE, VSR_NORMAL, view);
        one_entries(o, op, DUN_INFLIGHT_MAX);
        assert_int_equal(one_recv(o, 1), DUN_OK);
    }
    assert_int_equal(o->v.commit, count);
    assert_true(o->v.log.first > 1);
    return view;
}

static void ask(struct one *o, struct vsr_view view, uint64_t first_op, uint64_t snap_op,
                uint64_t offset)
{
    one_frame(o, WIRE_GET_STATE, VSR_NORMAL, view);
    o->in.first_op = first_op;
    o->in.snap_op = snap_op;
    o->in.offset = offset;
    assert_int_equal(one_recv(o, 2), DUN_OK);
}

static void the_log_is_given_a_packet_at_a_time(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = long_backup(o, DUN_LOG_SLOTS);
    uint64_t head = o->v.log.head;
    ask(o, view, o->v.log.first, 0, 0);
    assert_int_equal(one_sent(o, 2, WIRE_NEW_STATE), 1);
    assert_int_equal(o->out.entry_count, WIRE_ENTRIES_MAX);
    ask(o, view, head, 0, 0);
    assert_int_equal(one_sent(o, 2, WIRE_NEW_STATE), 1);
    assert_int_equal(o->out.entry_count, 1);
    ask(o, view, head + 1, 0, 0);
    assert_int_equal(one_sent(o, 2, WIRE_NEW_STATE), 1);
    assert_int_equal(o->out.entry_count, 0);

    o->op.len = 0;
    one_write_op(&o->op, DUN_PAYLOAD_MAX);
    one_frame(o, WIRE_PREPARE, VSR_NORMAL, view);
    one_entries(o, head + 1, 3);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    uint32_t packets = o->packets[2];
    ask(o, view, head + 1, 0, 0);
    assert_int_equal(o->packets[2], packets + 1); /* one operation fills it */
    one_destroy(o);
}

static void a_question_that_does_not_fit_is_answered_with_where_we_stand(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = one_recovering(o, 1), other = {view.inc, view.num + 1};
    o->v.state_due = false;
    ask(o, view, 1, 0, 0); /* we have nothing ourselves */
    assert_true(o->v.state_due);
    one_destroy(o);

    o = one_create(3);
    view = one_backup(o);
    o->v.state_due = false;
    ask(o, view, 0, 0, 0); /* there is no operation 0 */
    assert_false(o->v.state_due);
    assert_int_equal(o->env.frames[2].len, 0);
    ask(o, other, 1, 0, 0);
    assert_true(o->v.state_due);
    assert_int_equal(o->env.frames[2].len, 0);
    one_destroy(o);
}

static void snapshots_served_at_a_time_are_bounded_and_let_go(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = long_backup(o, DUN_LOG_SLOTS);
    o->env.snapshots_serving = DUN_SNAPSHOTS_OUT_MAX; /* other groups' */
    ask(o, view, 1, 0, 0);
    assert_int_equal(one_sent(o, 2, WIRE_SNAPSHOT), 0);
    o->env.snapshots_serving--;
    ask(o, view, 1, 0, 0);
    assert_int_equal(one_sent(o, 2, WIRE_SNAPSHOT), 1);
    assert_int_equal(o->out.snap_op, DUN_LOG_SLOTS);
    assert_int_equal(o->env.snapshots_serving, DUN_SNAPSHOTS_OUT_MAX);
    uint64_t total = o->out.total;
    ask(o, view, 1, DUN_LOG_SLOTS, 1); /* goes on where it says */
    assert_int_equal(one_sent(o, 2, WIRE_SNAPSHOT), 1);
    assert_int_equal(o->out.offset, 1);
    ask(o, view, 1, DUN_LOG_SLOTS, total + 1); /* past the end: from the start */
    assert_int_equal(one_sent(o, 2, WIRE_SNAPSHOT), 1);
    assert_int_equal(o->out.offset, 0);
    o->env.now_ms += VSR_SNAPSHOT_KEEP_MS + 1;
    vsr_tick(&o->v);
    assert_int_equal(o->env.snapshots_serving, DUN_SNAPSHOTS_OUT_MAX - 1);
    assert_int_equal(o->v.snap_out.len, 0);
    one_destroy(o);
}

static void a_snapshot_of_a_history_that_is_given_up_is_not_served_on(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = long_backup(o, DUN_LOG_SLOTS);
    ask(o, view, 1, 0, 0);
    assert_int_equal(one_sent(o, 2, WIRE_SNAPSHOT), 1);
    vsr_recover(&o->v, "test");
    assert_int_equal(o->v.snap_out.len, 0);
    assert_int_equal(o->env.snapshots_serving, 0);
    one_destroy(o);
}

static void while_a_snapshot_is_served_the_log_after_it_is_kept(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = long_backup(o, DUN_LOG_SLOTS);
    ask(o, view, 1, 0, 0);
    uint64_t snap_op = o->v.snap_out_op;
    o->op.len = 0;
    one_write_op(&o->op, DUN_PAYLOAD_MAX);
    for (int end = 0; end < 2; end++) {
        for (uint64_t bytes = 0; bytes <= DUN_LOG_BYTES_MAX; bytes += o->op.len) {
            one_frame(o, WIRE_PREPARE, VSR_NORMAL, view);
            one_entries(o, o->v.log.head + 1, 1);
            assert_int_equal(one_recv(o, 1), DUN_OK);
        }
        assert_true(end == 0 ? o->v.log.first <= snap_op + 1 : o->v.log.first > snap_op + 1);
        assert_true(o->v.log.bytes <= (end == 0 ? VSR_SERVING_BYTES_MAX : DUN_LOG_BYTES_MAX));
        vsr_snapshot_drop(&o->v); /* nobody asked for long */
    }
    one_destroy(o);
}

static void a_silent_giver_is_asked_again_and_then_left(void **state)
{
    (void)state;
    for (uint32_t gone = 0; gone < 2; gone++) {
        struct one *o = one_create(3);
        (void)one_recovering(o, 1);
        o->v.peers[2].valid = false; /* or we begin again at once */
        uint32_t asked = 0;
        for (uint32_t k = 0; k <= VSR_FETCH_TRIES_MAX && o->v.fetch.kind != VSR_FETCH_NONE; k++) {
            o->env.frames[1].len = 0;
            o->env.now_ms += VSR_FETCH_MS;
            if (gone == 1) o->env.fresh[1] = false;
            vsr_tick(&o->v);
            asked += one_sent(o, 1, WIRE_GET_STATE);
        }
        assert_int_equal(asked, gone == 1 ? 0 : VSR_FETCH_TRIES_MAX);
        assert_int_equal(o->v.fetch.kind, VSR_FETCH_NONE);
        one_destroy(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_counts_only_from_the_peer_that_was_asked),
        cmocka_unit_test(a_giver_that_stands_elsewhere_now_is_left),
        cmocka_unit_test(an_elect_takes_only_the_log_it_chose),
        cmocka_unit_test(an_operation_that_does_not_decode_is_malformed),
        cmocka_unit_test(a_giver_with_less_than_it_said_is_left),
        cmocka_unit_test(a_log_longer_than_a_window_is_given_up),
        cmocka_unit_test(a_chunk_that_does_not_go_on_is_not_taken),
        cmocka_unit_test(what_was_acknowledged_outlives_a_snapshot_that_comes_late),
        cmocka_unit_test(a_snapshot_ahead_of_the_log_is_taken_over),
        cmocka_unit_test(a_snapshot_of_no_size_or_a_huge_one_is_malformed),
        cmocka_unit_test(a_snapshot_that_does_not_restore_is_reported_and_changes_nothing),
        cmocka_unit_test(the_log_is_given_a_packet_at_a_time),
        cmocka_unit_test(a_question_that_does_not_fit_is_answered_with_where_we_stand),
        cmocka_unit_test(a_snapshot_of_a_history_that_is_given_up_is_not_served_on),
        cmocka_unit_test(while_a_snapshot_is_served_the_log_after_it_is_kept),
        cmocka_unit_test(snapshots_served_at_a_time_are_bounded_and_let_go),
        cmocka_unit_test(a_silent_giver_is_asked_again_and_then_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
