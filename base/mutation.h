/* base/mutation.h: seeded faults that show that the simulator finds faults.
 * Why: a checker that never fails proves nothing. Each name below breaks one
 * rule the guarantees rest on; tests/sim must find every one of them.
 * Normal builds: DUN_MUTATE() is the constant 0 and the branch vanishes. Only
 * the simulator compiles cluster/ and store/ a second time with
 * DUN_SIM_MUTATIONS, where one fault can be switched on per process. A coverage
 * build measures the code that ships, so there they are off for good. */
#ifndef DUN_BASE_MUTATION_H
#define DUN_BASE_MUTATION_H

/* X(constant, name, what it breaks) */
#define DUN_MUTATION_MAP(X)                                                                    \
    X(QUORUM_F, quorum_f, "f copies commit, not f + 1")                                        \
    X(VOTE_QUORUM_F, vote_quorum_f, "f votes start a view, not f + 1")                         \
    X(CHOOSE_LOG_BY_HEAD, choose_log_by_head, "a new view takes the longest log, however old") \
    X(IGNORE_BOOTS, ignore_boots, "votes of a peer's earlier life count in a quorum")          \
    X(ACK_BEFORE_COMMIT, ack_before_commit, "a publish is answered when it is prepared")       \
    X(DELIVER_UNCOMMITTED, deliver_uncommitted, "operations are delivered when prepared")      \
    X(FORGET_IDEMPOTENCY, forget_idempotency, "a known idempotency key publishes again")       \
    X(FORGET_REQUESTS, forget_requests, "an internal retry is applied again")                  \
    X(RECOVER_FROM_ONE, recover_from_one, "one answer ends a recovery, not f + 1")             \
    X(ACCEPT_OLD_VIEW, accept_old_view, "messages of an older view are taken as current")      \
    X(REFORM_KEEPS_EPOCH, reform_keeps_epoch, "re-forming after a loss keeps the epoch")       \
    X(SKIP_STAGING, skip_staging, "state is taken over before it has arrived whole")           \
    X(SNAPSHOT_DROPS_KEYS, snapshot_drops_keys, "a snapshot forgets the idempotency keys")

#define X(constant, name, text) MUTATION_##constant,
enum dun_mutation_id { MUTATION_NONE, DUN_MUTATION_MAP(X) MUTATION_COUNT };
#undef X

#if defined(DUN_SIM_MUTATIONS) && !defined(DUN_COVERAGE)
extern int dun_mutation; /* set once by tests/sim before the first step */
#define DUN_MUTATE(m) (dun_mutation == (int)(m))
#else
#define DUN_MUTATE(m) 0
#endif

#endif
