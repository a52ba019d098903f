/* tests/unit/cluster/test_vsr_normal.c: which frames a group refuses, and what a primary does
 * with more than fits. */
#include "tests/unit/cluster/vsr_one.h"

static void numbers_no_cluster_reaches_are_malformed(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = one_backup(o);
    const uint64_t huge = (uint64_t)1 << 56;
    struct wire_frame *f = &o->in;
    uint64_t *const fields[] = {&f->head,    &f->commit,  &f->first_op,
                                &f->base_op, &f->snap_op, &f->view.num};
    for (size_t k = 0; k < DUN_COUNT(fields); k++) {
        one_frame(o, WIRE_STATE, VSR_NORMAL, view);
        *fields[k] = huge;
        assert_int_equal(one_recv(o, 1), DUN_E_MALFORMED);
    }
    one_frame(o, WIRE_STATE, VSR_NORMAL, view)->view.inc = (uint64_t)1 << 63;
    assert_int_equal(one_recv(o, 1), DUN_E_MALFORMED);
    one_frame(o, WIRE_STATE, VSR_STATUS_COUNT, view);
    assert_int_equal(one_recv(o, 1), DUN_E_MALFORMED);
    assert_int_equal(vsr_view_cmp(o->v.view, view), 0);
    one_destroy(o);
}

static void a_prepare_counts_only_from_the_primary_of_our_view(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = one_backup(o);
    const struct {
        uint32_t from;
        struct vsr_view view;
    } wrong[] = {{2, view},
                 {1, {view.inc, view.num - 1}},
                 {1, {view.inc, view.num + 1}},
                 {1, {view.inc - 1, view.num}},
                 {1, {view.inc + 1, view.num}}};
    for (size_t k = 0; k < DUN_COUNT(wrong); k++) {
        one_frame(o, WIRE_PREPARE, VSR_NORMAL, wrong[k].view);
        one_entries(o, 1, 1);
        assert_int_equal(one_recv(o, wrong[k].from), DUN_OK);
        assert_int_equal(o->v.log.head, 0);
        one_frame(o, WIRE_COMMIT, VSR_NORMAL, wrong[k].view)->commit = 1;
        assert_int_equal(one_recv(o, wrong[k].from), DUN_OK);
        assert_int_equal(o->applied, 0);
        assert_int_equal(o->v.fetch.kind, VSR_FETCH_NONE);
    }
    one_frame(o, WIRE_PREPARE_OK, VSR_NORMAL, view)->head = 1; /* we are not the primary */
    assert_int_equal(one_recv(o, 2), DUN_OK);
    one_frame(o, WIRE_PREPARE, VSR_NORMAL, view);
    one_entries(o, 1, 1);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->applied, 1);

    struct vsr_view ours = one_elected(o, view.num);
    one_frame(o, WIRE_PREPARE, VSR_NORMAL, ours); /* nobody else may in our view */
    one_entries(o, 2, 1);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->v.log.head, 1);
    one_destroy(o);
}

static void a_prepare_of_nonsense_is_malformed(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = one_backup(o);
    one_frame(o, WIRE_PREPARE, VSR_NORMAL, view);
    one_entries(o, 0, 1); /* there is no operation 0 */
    assert_int_equal(one_recv(o, 1), DUN_E_MALFORMED);
    one_entries(o, 1, 1);
    o->in.entries[0].op.len--;
    assert_int_equal(one_recv(o, 1), DUN_E_MALFORMED);
    assert_int_equal(o->v.log.head, 0);
    one_destroy(o);
}

static void a_hole_before_a_prepare_is_fetched(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = one_backup(o);
    for (uint32_t k = 0; k < 2; k++) { /* the second one finds the fetch under way */
        one_frame(o, WIRE_PREPARE, VSR_NORMAL, view);
        one_entries(o, 3, 2);
        assert_int_equal(one_recv(o, 1), DUN_OK);
        assert_int_equal(one_sent(o, 1, WIRE_GET_STATE), k == 0 ? 1 : 0);
    }
    assert_int_equal(o->v.fetch.kind, VSR_FETCH_APPEND);
    one_frame(o, WIRE_NEW_STATE, VSR_NORMAL, view);
    one_entries(o, 1, 4);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->v.log.head, 4);
    assert_int_equal(o->applied, 4);
    one_destroy(o);
}

static void a_backup_holds_no_more_than_its_window(void **state)
{
    (void)state;
    struct one *o = one_create(5); /* a quorum of three: appending does not commit */
    struct vsr_view view = one_backup(o);
    for (uint64_t op = 1; op < DUN_LOG_SLOTS + DUN_INFLIGHT_MAX; op += DUN_INFLIGHT_MAX) {
        one_frame(o, WIRE_PREPARE, VSR_NORMAL, view);
        one_entries(o, op, DUN_INFLIGHT_MAX);
        assert_int_equal(one_recv(o, 1), DUN_OK);
    }
    assert_int_equal(o->v.log.head, DUN_LOG_SLOTS);
    assert_int_equal(o->applied, 0);
    o->env.frames[1].len = 0;
    vsr_flush(&o->v);
    assert_int_equal(one_sent(o, 1, WIRE_PREPARE_OK), 1);
    assert_int_equal(o->out.head, DUN_LOG_SLOTS); /* the rest is sent again, then acknowledged */
    one_frame(o, WIRE_COMMIT, VSR_NORMAL, view)->commit = 10;
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->applied, 10);
    one_destroy(o);
}

static void submit(struct one *o, dun_err expected)
{
    struct dun_blob *b = dun_blob_copy(o->op.data, o->op.len);
    assert_int_equal(vsr_submit(&o->v, b), expected);
    dun_blob_unref(b);
}

static void what_gathered_beyond_a_packet_goes_out_in_several(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = one_elected(o, one_backup(o).num);
    o->op.len = 0;
    one_write_op(&o->op, DUN_PAYLOAD_MAX / 2);
    for (uint32_t k = 0; k < 5; k++)
        submit(o, DUN_OK);
    vsr_flush(&o->v);
    assert_int_equal(o->packets[1], 2);
    assert_int_equal(o->packets[2], 2);
    assert_int_equal(one_sent(o, 1, WIRE_PREPARE), 1);
    assert_int_equal(o->out.first_op, 5);
    assert_int_equal(o->out.entry_count, 1);
    one_frame(o, WIRE_PREPARE_OK, VSR_NORMAL, view)->head = 6; /* more than there is */
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->applied, 0);
    one_frame(o, WIRE_PREPARE_OK, VSR_NORMAL, view)->head = 5;
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->applied, 5);
    one_destroy(o);
}

static void a_primary_takes_no_more_than_it_may_have_in_flight(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    submit(o, DUN_E_NOTPRIMARY);
    (void)one_elected(o, one_backup(o).num);
    o->env.max_inflight = 2;
    submit(o, DUN_OK);
    submit(o, DUN_OK);
    submit(o, DUN_E_OVERLOADED);
    o->env.contact = false;
    submit(o, DUN_E_NOTPRIMARY);
    one_destroy(o);
}

static void a_primary_takes_no_more_bytes_than_its_log_may_hold(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    (void)one_elected(o, one_backup(o).num);
    o->op.len = 0;
    one_write_op(&o->op, DUN_PAYLOAD_MAX);
    const uint64_t bytes_max = VSR_INFLIGHT_BYTES_MAX + DUN_LOG_BYTES_MAX;
    for (uint64_t bytes = 0; bytes <= bytes_max; bytes += o->op.len)
        submit(o, DUN_OK);
    submit(o, DUN_E_OVERLOADED);
    one_destroy(o);
}

static void a_handover_is_begun_once_and_only_by_the_primary(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = one_backup(o);
    vsr_handover(&o->v, 2);
    assert_int_equal(o->v.handover_to, 3);
    struct vsr_view ours = one_elected(o, view.num);
    submit(o, DUN_OK);
    vsr_handover(&o->v, 0);
    assert_int_equal(o->v.handover_to, 3);
    vsr_handover(&o->v, 1);
    vsr_handover(&o->v, 2);
    assert_int_equal(o->v.handover_to, 1); /* waits until 1 has everything */
    submit(o, DUN_E_NOTPRIMARY);
    one_frame(o, WIRE_PREPARE_OK, VSR_NORMAL, ours)->head = 1;
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->v.status, VSR_VIEW_CHANGE);
    assert_int_equal(vsr_primary(&o->v), 1);
    one_destroy(o);
}

static void a_handover_to_a_peer_that_lags_or_goes_is_given_up(void **state)
{
    (void)state;
    for (uint32_t gone = 0; gone < 2; gone++) {
        struct one *o = one_create(3);
        (void)one_elected(o, one_backup(o).num);
        submit(o, DUN_OK);
        vsr_handover(&o->v, 1);
        assert_int_equal(o->v.handover_to, 1);
        if (gone == 1)
            o->env.usable[1] = false;
        else
            o->env.now_ms += VSR_HANDOVER_MS + 1;
        vsr_tick(&o->v);
        assert_int_equal(o->v.handover_to, 3);
        assert_true(vsr_is_primary(&o->v));
        one_destroy(o);
    }
}

static void a_group_that_came_back_waits_longer_until_it_stood_for_long(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = one_elected(o, one_backup(o).num);
    assert_int_equal(o->v.handover_wait_ms, VSR_HANDOVER_WAIT_MS);
    for (uint64_t wait = 2 * VSR_HANDOVER_WAIT_MS;; wait *= 2) {
        vsr_handover(&o->v, 1); /* an empty log: at once */
        assert_int_equal(o->v.status, VSR_VIEW_CHANGE);
        view = one_elected(o, o->v.view.num);
        if (wait > VSR_HANDOVER_WAIT_MS_MAX) break;
        assert_int_equal(o->v.handover_wait_ms, wait);
    }
    assert_int_equal(o->v.handover_wait_ms, VSR_HANDOVER_WAIT_MS_MAX);
    o->env.now_ms += VSR_HANDOVER_FORGET_MS;
    vsr_tick(&o->v);
    assert_int_equal(o->v.handover_wait_ms, VSR_HANDOVER_WAIT_MS_MAX);
    o->env.now_ms++;
    vsr_tick(&o->v);
    assert_int_equal(o->v.handover_wait_ms, VSR_HANDOVER_WAIT_MS);
    assert_int_equal(vsr_view_cmp(o->v.view, view), 0);
    one_destroy(o);
}

static uint64_t submit_at(struct one *o, uint64_t now_ms, uint64_t wall_ms)
{
    o->env.now_ms = now_ms;
    o->env.wall_ms = wall_ms;
    struct dun_blob *op = dun_blob_copy(o->op.data, o->op.len);
    assert_int_equal(vsr_submit(&o->v, op), DUN_OK);
    dun_blob_unref(op);
    return vsr_log_at(&o->v.log, o->v.log.head)->time_ms;
}

static void behind_the_logs_time_a_primary_goes_on_at_half_the_pace(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    const uint64_t now = o->env.now_ms, wall = o->env.wall_ms, ahead = wall + 1000000;
    one_backup(o);
    o->env.wall_ms = ahead; /* of the primary that wrote the entry */
    one_frame(o, WIRE_PREPARE, VSR_NORMAL, o->v.view);
    one_entries(o, 1, 1);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    one_elected(o, o->v.view.num);
    assert_int_equal(submit_at(o, now, wall), ahead);
    for (uint64_t ms = 1; ms <= 100; ms++)
        assert_int_equal(submit_at(o, now + ms, wall + ms), ahead + ms / 2);
    assert_int_equal(submit_at(o, now + 1000, wall - 5000), ahead + 500);
    assert_int_equal(submit_at(o, now + 1001, ahead + 501), ahead + 501);
    assert_int_equal(submit_at(o, now + 1002, ahead + 502), ahead + 502);
    one_destroy(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_no_cluster_reaches_are_malformed),
        cmocka_unit_test(a_prepare_counts_only_from_the_primary_of_our_view),
        cmocka_unit_test(a_prepare_of_nonsense_is_malformed),
        cmocka_unit_test(a_hole_before_a_prepare_is_fetched),
        cmocka_unit_test(a_backup_holds_no_more_than_its_window),
        cmocka_unit_test(what_gathered_beyond_a_packet_goes_out_in_several),
        cmocka_unit_test(a_primary_takes_no_more_than_it_may_have_in_flight),
        cmocka_unit_test(a_primary_takes_no_more_bytes_than_its_log_may_hold),
        cmocka_unit_test(a_handover_is_begun_once_and_only_by_the_primary),
        cmocka_unit_test(a_handover_to_a_peer_that_lags_or_goes_is_given_up),
        cmocka_unit_test(a_group_that_came_back_waits_longer_until_it_stood_for_long),
        cmocka_unit_test(behind_the_logs_time_a_primary_goes_on_at_half_the_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
