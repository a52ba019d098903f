/* tests/unit/cluster/test_vsr_form.c: who goes along into an incarnation that another began, and
 * by what it knows of the others. */
#include "tests/unit/cluster/vsr_one.h"

static void who_went_on_alone_is_followed_only_if_too_few_are_left(void **state)
{
    (void)state;
    static const struct {
        bool other_heard, our_state;
        bool followed;
    } cases[] = {
        {true, true, false},   /* with the other one we carry on, and it recovers from us */
        {false, true, true},   /* alone we cannot */
        {false, false, false}, /* it has nothing of this incarnation */
    };
    for (size_t i = 0; i < DUN_COUNT(cases); i++) {
        struct one *o = one_create(3);
        struct vsr_view view = one_backup(o), to = one_view(o, 0, 2);
        to.inc++;
        o->env.fresh[1] = cases[i].other_heard;
        one_frame(o, WIRE_STATE, VSR_VIEW_CHANGE, to)->log_view = view;
        if (!cases[i].our_state) o->in.log_view.inc--;
        assert_int_equal(one_recv(o, 2), DUN_OK);
        assert_int_equal(o->v.status, cases[i].followed ? VSR_VIEW_CHANGE : VSR_NORMAL);
        assert_int_equal(vsr_view_cmp(o->v.view, cases[i].followed ? to : view), 0);
        one_destroy(o);
    }
}

/* With a clock that is behind, our boot is below the incarnation that our earlier life was in. */
static void an_incarnation_that_was_there_before_us_is_not_consented_to(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view to = one_view(o, 0, 1);
    to.inc = (uint64_t)(ONE_BOOT + 1) << 18;
    for (uint32_t i = 1; i <= 2; i++) {
        one_frame(o, WIRE_STATE, i == 1 ? VSR_VIEW_CHANGE : VSR_RECOVERING, to);
        if (i == 2) o->in.view = (struct vsr_view){0, 0};
        assert_int_equal(one_recv(o, i), DUN_OK);
    }
    vsr_form_tick(&o->v);
    for (uint32_t k = 0; k < 3; k++) { /* all are heard for long enough */
        o->env.now_ms += VSR_FORM_SETTLE_MS;
        one_frame(o, WIRE_STATE, VSR_RECOVERING, (struct vsr_view){0, 0});
        assert_int_equal(one_recv(o, 2), DUN_OK);
        one_frame(o, WIRE_STATE, VSR_VIEW_CHANGE, to);
        assert_int_equal(one_recv(o, 1), DUN_OK);
        assert_int_equal(o->v.status, VSR_RECOVERING);
    }
    to.inc++; /* proposed while we live */
    one_frame(o, WIRE_STATE, VSR_VIEW_CHANGE, to);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->v.status, VSR_VIEW_CHANGE);
    assert_int_equal(vsr_view_cmp(o->v.view, to), 0);
    one_destroy(o);
}

/* What a peer was before it joined us comes late: it did not lose its memory since. */
static void a_state_that_was_overtaken_says_nothing(void **state)
{
    (void)state;
    struct one *o = one_create(3);
    struct vsr_view view = one_backup(o);
    one_frame(o, WIRE_STATE, VSR_NORMAL, view)->order = 8;
    o->in.head = 3;
    assert_int_equal(one_recv(o, 2), DUN_OK);
    for (uint64_t order = 7; order <= 8; order++) { /* of one packet are the frames of all groups */
        one_frame(o, WIRE_STATE, VSR_RECOVERING, (struct vsr_view){0, 0})->order = order;
        assert_int_equal(one_recv(o, 2), DUN_OK);
        assert_int_equal(o->v.peers[2].status, order == 8 ? VSR_RECOVERING : VSR_NORMAL);
        assert_int_equal(o->v.peers[2].head, order == 8 ? 0 : 3);
    }
    vsr_peer_reset(&o->v, 2); /* it was started again, and counts anew */
    one_frame(o, WIRE_STATE, VSR_NORMAL, view)->order = 1;
    assert_int_equal(one_recv(o, 2), DUN_OK);
    assert_int_equal(o->v.peers[2].status, VSR_NORMAL);
    one_destroy(o);
}

/* The primary of the new incarnation may be the only one that remembers. If it told the others, and
 * was left behind with some of them, the next view would go on without what they believe in. */
static void
what_was_committed_before_counts_once_a_quorum_of_the_new_incarnation_holds_it(void **state)
{
    (void)state;
    struct one *o = one_create(5);
    struct vsr_view view = one_recovering(o, 2), to = one_view(o, 0, 0);
    one_frame(o, WIRE_NEW_STATE, VSR_NORMAL, view)->commit = 2;
    one_entries(o, 1, 2);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(vsr_sure_commit(&o->v), 2);
    to.inc++;
    vsr_view_change(&o->v, to, "form");
    for (uint32_t i = 1; i < 5; i++) {
        one_frame(o, WIRE_STATE, VSR_VIEW_CHANGE, to);
        assert_int_equal(one_recv(o, i), DUN_OK);
    }
    assert_true(vsr_is_primary(&o->v));
    assert_int_equal(o->v.log.head, 3); /* and the new epoch */
    assert_int_equal(o->v.commit, 2);
    vsr_flush(&o->v);
    assert_int_equal(one_sent(o, 1, WIRE_STATE), 1);
    assert_int_equal(o->out.commit, 0);
    assert_int_equal(one_sent(o, 1, WIRE_PREPARE), 1);
    assert_int_equal(o->out.commit, 0);
    for (uint32_t i = 1; i < 3; i++) {
        assert_int_equal(vsr_sure_commit(&o->v), 0);
        one_frame(o, WIRE_PREPARE_OK, VSR_NORMAL, to)->head = 3;
        assert_int_equal(one_recv(o, i), DUN_OK);
    }
    assert_int_equal(vsr_sure_commit(&o->v), 3);
    vsr_flush(&o->v);
    assert_int_equal(one_sent(o, 4, WIRE_COMMIT), 1);
    assert_int_equal(o->out.commit, 3);
    one_destroy(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_went_on_alone_is_followed_only_if_too_few_are_left),
        cmocka_unit_test(an_incarnation_that_was_there_before_us_is_not_consented_to),
        cmocka_unit_test(a_state_that_was_overtaken_says_nothing),
        cmocka_unit_test(
            what_was_committed_before_counts_once_a_quorum_of_the_new_incarnation_holds_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
