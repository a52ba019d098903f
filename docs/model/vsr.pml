/* docs/model/vsr.pml: one replication group of three voters, for the model checker Spin.
 * Why: the rules of cluster/vsr_*.c and cluster/node_peer.c (boots) differ from the published
 * protocol in small ways (vsr.h lists them); here every schedule within a bound is tried.
 * README.md beside this file says what is left out and why each abstraction loses no behaviour.
 *
 * Bounds (-D): VIEWS views (so VIEWS - 1 view changes), OPS operations, CRASHES restarts.
 * The network has no bound: NET slots suffice for every message that can still matter, else
 * the assertion "net" fails.
 *
 * Faults that must be found (-D): NO_BOOTS, ONE_ANSWER, LOG_BY_HEAD, ONE_VOTE; with
 * -DAGREEMENT_ONLY by what is delivered, not already by what a view starts from. OWN_VIEW drops
 * a rule that safety does not need (README.md). WITNESS asserts that nothing gets through all the
 * restarts, view changes and operations; it must fail, too. */

#ifndef VIEWS
#define VIEWS 3
#endif
#ifndef OPS
#define OPS 2
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef NET
#define NET 12
#endif

/* ---- what a voter tells: its standing, which is also the only kind of message ----
 * bits: from 2, status 2, view 3, log_view 3, base 3, base_op 3, log 4, boots known 3 x 2.
 * Operations get ascending numbers when submitted and no log ever changes their order, so a log
 * is the set of its operations: bit k is operation k + 1. A voter's own boot is what it knows
 * of itself. */
#define RECOVERING 0
#define NORMAL 1
#define CHANGE 2

#define FROM(m) ((m) & 3)
#define STATUS(m) (((m) >> 2) & 3)
#define VIEW(m) (((m) >> 4) & 7)
#define LOG_VIEW(m) (((m) >> 7) & 7)
#define BASE(m) (((m) >> 10) & 7)
#define BASE_OP(m) (((m) >> 13) & 7)
#define LOG(m) (((m) >> 16) & 15)
#define BOOT(m, i) (((m) >> (20 + 2 * (i))) & 3)
#define BOOTS(m) ((m) & (63 << 20))
#define PACK(from, status, view, log_view, base, base_op, log) \
    ((from) | ((status) << 2) | ((view) << 4) | ((log_view) << 7) | ((base) << 10) | \
     ((base_op) << 13) | ((log) << 16))
#define BOOT_BITS(i, b) ((b) << (20 + 2 * (i)))

/* A fetch of a recovering voter (VSR_FETCH_RECOVER): 0 = none. */
#define FETCH(peer, view, target) (4 | (peer) | ((view) << 3) | ((target) << 6))
#define FETCH_PEER(f) ((f) & 3)
#define FETCH_VIEW(f) (((f) >> 3) & 7)
#define FETCH_TARGET(f) (((f) >> 6) & 7)

/* For printf: which operations a log has. */
#define SHOW(log) \
    ((log) & 1 -> '1' : '-'), ((log) & 2 -> '2' : '-'), ((log) & 4 -> '3' : '-')

#define PRIMARY(view) ((view) % 3)
#define HEAD(m) size[LOG(m)]
#define PREFIX(log, n) first[(log) * 5 + (n)]

int voter[3];      /* the present standing of each */
byte commit[3];    /* apart: no quorum of two depends on another's commit */
short fetch[3];
int net[NET];      /* earlier standings that somebody may still act on, descending, then 0 */
byte submitted, crashes;
byte committed[6]; /* by view: the longest log prefix anybody committed in it; 0: in any */
byte started[6];   /* by view: the log it started from, + 1; 0: it did not */
byte r, x, y;      /* arguments of a step; 0 between steps */

/* Not state: constant after init, or written before read in one d_step. */
hidden byte size[16];
hidden byte first[80];
hidden int src, dst, got, got2, new, old, push, tmp;
hidden byte keep;

/* ---- which messages count ---- */

/* node_peer_packet(): sent to our present boot, by the newest boot we know of the sender. */
#define TO_US(m, i) (BOOT(m, i) == BOOT(voter[i], i))
#ifdef NO_BOOTS
#define CURRENT(m, i) TO_US(m, i) /* as published: an answer bears our nonce, nothing else does */
#else
#define CURRENT(m, i) (TO_US(m, i) && BOOT(m, FROM(m)) >= BOOT(voter[i], FROM(m)))
#endif

/* Entering a view: votes matter to its primary, who is NORMAL in it to the others. */
#define OPENS(m, i) ((STATUS(m) == NORMAL) != (PRIMARY(VIEW(m)) == (i)))

/* In the same view and both NORMAL: an acknowledgement, or something to append. */
#define FOLLOWS(m, i) \
    (STATUS(m) == NORMAL && \
     (PRIMARY(VIEW(m)) == (i) -> (HEAD(m) > commit[i] && HEAD(m) <= HEAD(voter[i])) \
                              : (PRIMARY(VIEW(m)) == FROM(m) && HEAD(m) > HEAD(voter[i]))))

/* Can it ever make a difference to @i, now or later? What cannot never will again: views and
 * boots only rise, but for a restart of @i, after which it is not addressed to @i. */
#define USEFUL(m, i) \
    (FROM(m) != (i) && STATUS(m) != RECOVERING && CURRENT(m, i) && \
     (STATUS(voter[i]) == RECOVERING -> (STATUS(m) == NORMAL || OPENS(m, i)) \
      : (VIEW(m) > VIEW(voter[i]) -> OPENS(m, i) \
         : (VIEW(m) == VIEW(voter[i]) && \
            (STATUS(voter[i]) == CHANGE -> OPENS(m, i) : FOLLOWS(m, i))))))
#define ALIVE(m) (USEFUL(m, (FROM(m) + 1) % 3) || USEFUL(m, (FROM(m) + 2) % 3))

#ifdef NO_BOOTS
#define SAME_BOOT(m, i) true
#else
#define SAME_BOOT(m, i) (BOOT(m, FROM(m)) == BOOT(voter[i], FROM(m)))
#endif

/* answers() of vsr_transfer.c. A newer boot of the peer would have stopped the fetch. */
#define ANSWERS(m, i) \
    (STATUS(m) == NORMAL && fetch[i] != 0 && FETCH_PEER(fetch[i]) == FROM(m) && \
     FETCH_VIEW(fetch[i]) == VIEW(m) && HEAD(m) >= FETCH_TARGET(fetch[i]) && SAME_BOOT(m, i))

#define STEP_FOR(m, i) \
    (USEFUL(m, i) && (STATUS(voter[i]) == RECOVERING -> ANSWERS(m, i) : VIEW(m) == VIEW(voter[i])))

/* For best_normal(): two answers that are both still good when the later one has come. */
#define ANSWER(m, i) (STATUS(voter[i]) == RECOVERING && STATUS(m) == NORMAL && USEFUL(m, i))
#ifdef NO_BOOTS
#define AGREE(a, b) (FROM(a) != FROM(b))
#else
#define AGREE(a, b) \
    (FROM(a) != FROM(b) && BOOT(a, FROM(a)) >= BOOT(b, FROM(a)) && \
     BOOT(b, FROM(b)) >= BOOT(a, FROM(b)))
#endif

/* What can be delivered: the present standing of each voter, or an earlier one. */
#define MESSAGE(j) ((j) < 3 -> voter[j] : net[(j) - 3])
#define V(j) voter[j]
#define N(j) net[j]

/* For WITNESS. */
#define COMPLETE(i) \
    (STATUS(voter[i]) == NORMAL && VIEW(voter[i]) == VIEWS && commit[i] == OPS)

/* ---- effects; each within a d_step ---- */

/* The standing of @i becomes @to; the one before stays in the network, and what nobody will act
 * on any more leaves it. */
inline become(i, to)
{
    push = voter[i];
    voter[i] = to;
    if
    :: push == to -> push = 0
    :: else
    fi;
    dst = 0;
    src = 0;
    do
    :: src < NET && net[src] != 0 ->
        tmp = net[src];
        if
        :: ALIVE(tmp) ->
            net[dst] = tmp;
            dst++;
            if
            :: tmp == push -> push = 0
            :: else
            fi
        :: else
        fi;
        src++
    :: else -> break
    od;
    do
    :: dst < src -> src--; net[src] = 0
    :: else -> break
    od;
    if
    :: push != 0 && ALIVE(push) ->
        assert(dst < NET); /* net */
        do
        :: dst > 0 && net[dst - 1] < push -> net[dst] = net[dst - 1]; dst--
        :: else -> break
        od;
        net[dst] = push
    :: else
    fi
#ifdef WITNESS
    ;
    assert(!(crashes == CRASHES && COMPLETE(0) && COMPLETE(1) && COMPLETE(2)))
#endif
}

/* node_peer_boot(): a newer boot of @j stops a fetch from its earlier life. */
inline learn(i, std, j, b)
{
    if
    :: j != i && (b) > BOOT(std, j) ->
        std = std + BOOT_BITS(j, (b) - BOOT(std, j));
#ifndef NO_BOOTS
        if
        :: fetch[i] != 0 && FETCH_PEER(fetch[i]) == j -> fetch[i] = 0
        :: else
        fi
#endif
    :: else
    fi
}

inline learn_all(i, std, msg)
{
    learn(i, std, 0, BOOT(msg, 0));
    learn(i, std, 1, BOOT(msg, 1));
    learn(i, std, 2, BOOT(msg, 2))
}

/* Is one of two logs the beginning of the other? */
#define SHORTER(a, b) (size[a] < size[b] -> size[a] : size[b])
inline check_one_line(a, b)
{
    dst = SHORTER(a, b);
    assert(PREFIX(a, dst) == PREFIX(b, dst))
}

/* Property 1, agreement: what anybody commits and what was ever committed are one line.
 * Property 2, durability: what is committed in a view is in the log every later view starts from,
 * be that view started before (here) or after (elect()). */
inline commit_to(i, std, to)
{
    tmp = PREFIX(LOG(std), to);
    if
    :: (to) > commit[i] ->
        printf("        %d commits up to op %d of log %c%c%c\n", i, to, SHOW(LOG(std)));
        commit[i] = to;
        check_one_line(tmp, committed[0]); /* agreement */
#ifndef AGREEMENT_ONLY
        src = VIEW(std) + 1;
        do
        :: src <= VIEWS ->
            assert(started[src] == 0 ||
                   PREFIX((started[src] + 15) % 16, size[tmp]) == tmp); /* durability */
            src++
        :: else -> break
        od;
#endif
        if
        :: size[tmp] > size[committed[0]] -> committed[0] = tmp
        :: else
        fi;
        if
        :: size[tmp] > size[committed[VIEW(std)]] && VIEW(std) < VIEWS -> committed[VIEW(std)] = tmp
        :: else
        fi
    :: else
    fi
}

/* What is kept of the own log is part of the log taken over. */
inline check_kept(own, other)
{
    assert(keep <= size[other]);
    assert(PREFIX(own, keep) == PREFIX(other, keep))
}

/* vsr_votes_count() .. vsr_view_start(): with a quorum of two, one vote is enough. */
inline elect(i, vote)
{
    if
#ifdef LOG_BY_HEAD
    :: HEAD(vote) > HEAD(old) ->
#else
    :: LOG_VIEW(vote) > LOG_VIEW(old) ||
       (LOG_VIEW(vote) == LOG_VIEW(old) && HEAD(vote) > HEAD(old)) ->
#endif
        if
        :: LOG_VIEW(vote) == LOG_VIEW(old) -> keep = HEAD(old)
        :: else -> keep = commit[i]
        fi;
        check_kept(LOG(old), LOG(vote));
        new = PACK(i, NORMAL, VIEW(old), VIEW(old), LOG_VIEW(vote), HEAD(vote), LOG(vote))
    :: else ->
        new = PACK(i, NORMAL, VIEW(old), VIEW(old), LOG_VIEW(old), HEAD(old), LOG(old))
    fi;
    printf("step %d starts view %d from the vote of %d (its log_view %d, log %c%c%c); log %c%c%c\n",
           i, VIEW(old), FROM(vote), LOG_VIEW(vote), SHOW(LOG(vote)), SHOW(LOG(new)));
#ifndef AGREEMENT_ONLY
    src = 1;
    do
    :: src < VIEW(old) ->
        assert(PREFIX(LOG(new), size[committed[src]]) == committed[src]); /* durability */
        src++
    :: else -> break
    od;
    assert(started[VIEW(old)] == 0); /* a view starts once */
#endif
    started[VIEW(old)] = LOG(new) + 1
}

/* vsr_view_join(): cut to the view's starting log when that is known to be ours, else the log of
 * a voter in the view, after the part of ours that is known to be in it. */
inline join(i, msg)
{
    if
    :: BASE(msg) == LOG_VIEW(old) ->
#ifndef AGREEMENT_ONLY
        assert(commit[i] <= BASE_OP(msg));
#endif
        keep = (HEAD(old) < BASE_OP(msg) -> HEAD(old) : BASE_OP(msg))
    :: else -> keep = commit[i]
    fi;
    if
    :: BASE(msg) == LOG_VIEW(old) && commit[i] > BASE_OP(msg) ->
        keep = 0; /* VSR_FETCH_WHOLE: drop what was committed; never, if durability holds */
        commit[i] = 0
    :: else
    fi;
    check_kept(LOG(old), LOG(msg));
    if
    :: BASE(msg) != 0 && keep == BASE_OP(msg) && commit[i] <= keep ->
        new = PACK(i, NORMAL, VIEW(old), VIEW(old), BASE(msg), BASE_OP(msg), PREFIX(LOG(old), keep))
    :: else -> new = PACK(i, NORMAL, VIEW(old), VIEW(old), 0, 0, LOG(msg))
    fi;
    printf("step %d joins view %d told by %d; log %c%c%c\n", i, VIEW(old), FROM(msg),
           SHOW(LOG(new)));
    commit_to(i, new, HEAD(new))
}

/* vsr_recv_prepare(), VSR_FETCH_APPEND: the first that is missing, or all; with a quorum of two
 * what a backup appends is committed. */
inline append(i, msg)
{
    got2 = (y == 0 -> HEAD(msg) : HEAD(old) + 1);
    keep = HEAD(old);
    check_kept(LOG(old), LOG(msg));
    new = PACK(i, NORMAL, VIEW(old), VIEW(old), BASE(old), BASE_OP(old), PREFIX(LOG(msg), got2));
    printf("step %d appends up to op %d in view %d from %d\n", i, got2, VIEW(old), FROM(msg));
    commit_to(i, new, HEAD(new))
}

inline receive()
{
    got = MESSAGE(x);
    old = voter[r];
    new = old;
    if
    :: STATUS(old) == RECOVERING ->
        new = PACK(r, NORMAL, VIEW(got), VIEW(got), 0, 0, LOG(got));
        fetch[r] = 0;
        printf("step %d is back: NORMAL in view %d with the log of %d, %c%c%c\n", r, VIEW(got),
               FROM(got), SHOW(LOG(got)));
        commit_to(r, new, HEAD(new))
    :: STATUS(old) == CHANGE && STATUS(got) == CHANGE -> elect(r, got)
    :: STATUS(old) == CHANGE && STATUS(got) == NORMAL -> join(r, got)
    :: STATUS(old) == NORMAL && PRIMARY(VIEW(old)) != r ->
        append(r, got)
    :: else ->
        new = old - BOOTS(old);
        printf("step %d hears that %d holds up to op %d in view %d\n", r, FROM(got), HEAD(got),
               VIEW(old));
        commit_to(r, old, HEAD(got))
    fi;
    new = new | BOOTS(old);
    learn_all(r, new, got);
    become(r, new)
}

/* best_normal(), vsr_recover_try(). */
inline decide()
{
    got = MESSAGE(x);
    got2 = MESSAGE(y);
    new = voter[r];
    learn_all(r, new, got);
    learn_all(r, new, got2);
    if
    :: VIEW(got2) > VIEW(got) || (VIEW(got2) == VIEW(got) && HEAD(got2) > HEAD(got)) ||
       (VIEW(got2) == VIEW(got) && HEAD(got2) == HEAD(got) && FROM(got2) < FROM(got)) -> got = got2
    :: else
    fi;
#ifdef OWN_VIEW
    fetch[r] = FETCH(FROM(got), VIEW(got), HEAD(got));
#else
    if
    :: PRIMARY(VIEW(got)) != r -> fetch[r] = FETCH(FROM(got), VIEW(got), HEAD(got))
    :: else
    fi;
#endif
    printf("step %d has its answers; best is %d in view %d\n", r, FROM(got), VIEW(got));
    become(r, new)
}

#define CRASH(i) \
    d_step { \
        crashes < CRASHES -> \
        crashes++; \
        new = PACK(i, RECOVERING, 0, 0, 0, 0, 0) | BOOT_BITS(i, BOOT(voter[i], i) + 1); \
        commit[i] = 0; \
        fetch[i] = 0; \
        printf("step %d crashes and restarts with boot %d and no memory\n", i, BOOT(new, i)); \
        become(i, new) \
    }
#define SUBMIT(i) \
    d_step { \
        submitted < OPS && STATUS(voter[i]) == NORMAL && PRIMARY(VIEW(voter[i])) == i -> \
        new = voter[i] | (1 << (16 + submitted)); \
        submitted++; \
        printf("step %d, primary of view %d, takes operation %d\n", i, VIEW(new), submitted); \
        become(i, new) \
    }
/* vsr_view_change(): on any doubt, or told of a higher view, or handing over. */
#define DOUBT(i, to) \
    d_step { \
        STATUS(voter[i]) != RECOVERING && to > VIEW(voter[i]) -> \
        new = PACK(i, CHANGE, to, LOG_VIEW(voter[i]), 0, 0, LOG(voter[i])) | BOOTS(voter[i]); \
        printf("step %d leaves view %d and votes for view %d; log_view %d\n", i, VIEW(voter[i]), \
               to, LOG_VIEW(new)); \
        become(i, new) \
    }
/* The gossip, or the header of any packet. */
#define HEAR(i, j) \
    d_step { \
        BOOT(voter[i], j) < BOOT(voter[j], j) -> \
        new = voter[i]; \
        learn(i, new, j, BOOT(voter[i], j) + 1); \
        printf("step %d hears of boot %d of %d\n", i, BOOT(new, j), j); \
        become(i, new) \
    }
#define ALONE(i) \
    d_step { \
        STATUS(voter[i]) == CHANGE && PRIMARY(VIEW(voter[i])) == i -> \
        old = voter[i]; \
        elect(i, old); \
        new = new | BOOTS(old); \
        become(i, new) \
    }
#define DOUBTS(i) \
    :: DOUBT(i, 2) \
    MORE_VIEWS(i)
#if VIEWS == 2
#define MORE_VIEWS(i)
#elif VIEWS == 3
#define MORE_VIEWS(i) :: DOUBT(i, 3)
#elif VIEWS == 4
#define MORE_VIEWS(i) :: DOUBT(i, 3) :: DOUBT(i, 4)
#elif VIEWS == 5
#define MORE_VIEWS(i) :: DOUBT(i, 3) :: DOUBT(i, 4) :: DOUBT(i, 5)
#endif
#define DELIVER(i, j, msg) :: atomic { STEP_FOR(msg, i) -> r = i; x = j; goto deliver }
#define FIRST(i, j, msg) :: atomic { ANSWER(msg, i) -> r = i; x = j; goto second }
#ifdef ONE_ANSWER
#define SECOND_NONE :: y = x
#else
#define SECOND_NONE
#endif
#define SECOND(j, msg) :: x < j && ANSWER(msg, r) && AGREE(MESSAGE(x), msg) -> y = j

#if NET != 12
#error "the lists below name 12 slots"
#endif
#define EACH(F, i) \
    F(i, 0, V(0)) F(i, 1, V(1)) F(i, 2, V(2)) \
    F(i, 3, N(0)) F(i, 4, N(1)) F(i, 5, N(2)) F(i, 6, N(3)) \
    F(i, 7, N(4)) F(i, 8, N(5)) F(i, 9, N(6)) F(i, 10, N(7)) \
    F(i, 11, N(8)) F(i, 12, N(9)) F(i, 13, N(10)) F(i, 14, N(11))

active proctype group()
{
    d_step {
        src = 0;
        do
        :: src < 16 ->
            size[src] = (src & 1) + ((src >> 1) & 1) + ((src >> 2) & 1) + ((src >> 3) & 1);
            dst = 0;
            new = 0;
            tmp = 0;
            do
            :: dst <= 4 ->
                /* tmp: the dst lowest operations of src */
                first[src * 5 + dst] = tmp;
                do
                :: new < 4 && !((src >> new) & 1) -> new++
                :: else -> break
                od;
                if
                :: new < 4 -> tmp = tmp | (1 << new); new++
                :: else
                fi;
                dst++
            :: else -> break
            od;
            src++
        :: else -> break
        od;
        voter[0] = PACK(0, NORMAL, 1, 1, 0, 0, 0);
        voter[1] = PACK(1, NORMAL, 1, 1, 0, 0, 0);
        voter[2] = PACK(2, NORMAL, 1, 1, 0, 0, 0)
    }
more:
    do
    :: SUBMIT(0)
    :: SUBMIT(1)
    :: SUBMIT(2)
    EACH(DELIVER, 0)
    EACH(DELIVER, 1)
    EACH(DELIVER, 2)
    DOUBTS(0)
    DOUBTS(1)
    DOUBTS(2)
    :: CRASH(0)
    :: CRASH(1)
    :: CRASH(2)
    :: HEAR(0, 1)
    :: HEAR(0, 2)
    :: HEAR(1, 0)
    :: HEAR(1, 2)
    :: HEAR(2, 0)
    :: HEAR(2, 1)
    EACH(FIRST, 0)
    EACH(FIRST, 1)
    EACH(FIRST, 2)
#ifdef ONE_VOTE
    :: ALONE(0)
    :: ALONE(1)
    :: ALONE(2)
#endif
    od;
deliver:
    atomic {
        if
        :: y = 0
        :: STATUS(voter[r]) == NORMAL && PRIMARY(VIEW(voter[r])) != r &&
           HEAD(MESSAGE(x)) > HEAD(voter[r]) + 1 -> y = 1
        fi;
        d_step { receive(); r = 0; x = 0; y = 0 }
        goto more
    }
second:
    atomic {
        if
        SECOND(1, V(1))
        SECOND(2, V(2))
        SECOND(3, N(0))
        SECOND(4, N(1))
        SECOND(5, N(2))
        SECOND(6, N(3))
        SECOND(7, N(4))
        SECOND(8, N(5))
        SECOND(9, N(6))
        SECOND(10, N(7))
        SECOND(11, N(8))
        SECOND(12, N(9))
        SECOND(13, N(10))
        SECOND(14, N(11))
        SECOND_NONE
        :: else -> r = 0; x = 0; goto more
        fi;
        d_step { decide(); r = 0; x = 0; y = 0 }
        goto more
    }
}
