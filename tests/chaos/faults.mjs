// The kinds of faults. Each harms the peers it is given, for a time, and takes all of it back.
// (1) A kind harms only what it is given: the schedule sees to it that this is a minority.
// (2) end() undoes what begin() did, whatever happened in between.
// @run: { net, peers, chance, note() }.

const others = (run, harmed) => run.peers.filter((peer) => !harmed.includes(peer));

/** Both ways between each of @left and each of @right. */
const between = (left, right) =>
  left.flatMap((a) =>
    right.flatMap((b) => [
      [a.port, b.port],
      [b.port, a.port],
    ]),
  );

const each = async (list, fn) => {
  for (const one of list) await fn(one);
};

/** Shapes what each harmed peer sends; @queue(chance) are the words of tc after "root". */
const shaping = (what, queue) => ({
  what,
  needs: 'netem',
  ms: [4000, 9000],
  begin(run, harmed, memo) {
    memo.how = queue(run.chance);
    return each(harmed, (peer) => run.net.shape(peer.port, ...memo.how.split(' ')));
  },
  end: (run, harmed) => each(harmed, (peer) => run.net.unshape(peer.port)),
});

/** Without netem: held by chaos-hold; @figures(chance): { delayMs, jitterMs, overtake }. */
const holding = (figures) => ({
  needs: 'hold',
  begin(run, harmed, memo) {
    const { delayMs, jitterMs, overtake } = figures(run.chance);
    memo.how = `by ${delayMs} +-${jitterMs} ms, ${overtake} % at once`;
    const seed = run.chance.range(0, 2 ** 31);
    return each(harmed, (peer) => run.net.hold(peer.port, { delayMs, jitterMs, overtake, seed }));
  },
  end: (run, harmed) =>
    each(harmed, async (peer) => run.note(`hold ${peer.name}`, await run.net.unhold(peer.port))),
});

const dropping = (what, members) => ({
  what,
  needs: 'nft',
  end: (run, harmed, memo) => run.net.heal(memo.owner),
  ...members,
});

export const FAULTS = {
  kill: {
    what: 'kill -9, and a new process after a while',
    ms: [300, 4000],
    begin: (run, harmed) => Promise.all(harmed.map((peer) => peer.kill())),
    end: (run, harmed) => each(harmed, (peer) => peer.start()),
  },
  pause: {
    what: 'SIGSTOP, then SIGCONT: no connection breaks',
    ms: [300, 8000],
    begin: (run, harmed) => each(harmed, (peer) => peer.pause()),
    end: (run, harmed) => each(harmed, (peer) => peer.resume()),
  },
  delay: {
    ...shaping('what a peer sends is late by 20 to 200 ms, and varies', (chance) => {
      const ms = chance.range(20, 200);
      return `netem delay ${ms}ms ${Math.ceil(ms / 3)}ms`;
    }),
    instead: {
      what: 'held by chaos-hold, as netem is missing',
      ...holding((chance) => {
        const delayMs = chance.range(20, 200);
        return { delayMs, jitterMs: Math.ceil(delayMs / 3), overtake: 0 };
      }),
    },
  },
  loss: {
    ...shaping('1 to 15 % of what a peer sends is lost', (chance) => {
      return `netem loss ${chance.range(1, 15)}%`;
    }),
    instead: {
      needs: 'random',
      what: 'lost by rules of the bridge, both ways, as netem is missing',
      begin(run, harmed, memo) {
        const thousandths = run.chance.range(10, 150);
        memo.how = `${thousandths / 10} % both ways`;
        const lose = (peer) => run.net.lose(`${memo.owner}-${peer.name}`, peer.port, thousandths);
        return each(harmed, lose);
      },
      end: (run, harmed, memo) =>
        each(harmed, (peer) => run.net.heal(`${memo.owner}-${peer.name}`)),
    },
  },
  duplicate: {
    ...shaping('5 to 40 % of what a peer sends comes twice', (chance) => {
      return `netem duplicate ${chance.range(5, 40)}%`;
    }),
    instead: {
      needs: 'dup',
      what: 'duplicated by a rule of the peer, as netem is missing',
      begin(run, harmed, memo) {
        const thousandths = run.chance.range(50, 400);
        memo.how = `${thousandths / 10} %`;
        return each(harmed, (peer) => run.net.duplicate(peer.port, thousandths));
      },
      end: (run, harmed) => each(harmed, (peer) => run.net.unduplicate(peer.port)),
    },
  },
  reorder: {
    ...shaping('what a peer sends overtakes itself', (chance) => {
      return `netem delay ${chance.range(10, 50)}ms reorder ${chance.range(25, 75)}% 50%`;
    }),
    instead: {
      what: 'held by chaos-hold, as netem is missing',
      ...holding((chance) => ({
        delayMs: chance.range(10, 50),
        jitterMs: 0,
        overtake: chance.range(25, 75),
      })),
    },
  },
  rate: {
    ...shaping('a peer sends no faster than 0.5 to 4 Mbit/s', (chance) => {
      return `netem rate ${chance.range(500, 4000)}kbit limit 1000`;
    }),
    instead: {
      ...shaping('limited by tbf, as netem is missing', (chance) => {
        return `tbf rate ${chance.range(500, 4000)}kbit burst 16kb latency 400ms`;
      }),
      needs: 'tbf',
    },
  },
  cut: dropping('full partition: peers see no others, clients see all', {
    ms: [6000, 10_000],
    minority: true,
    clientsReach: true,
    begin(run, harmed, memo) {
      // Several cut off together see each other, or not: both are a minority.
      const rest = others(run, harmed);
      const pairs = between(harmed, rest);
      memo.how = 'together';
      if (harmed.length > 1 && run.chance.next() < 0.25) {
        pairs.push(...between([harmed[0]], [harmed[1]]));
        memo.how = 'each alone';
      }
      run.net.drop(memo.owner, pairs);
    },
  }),
  isolate: dropping('peers see neither peers nor clients', {
    ms: [4000, 10_000],
    minority: true,
    begin(run, harmed, memo) {
      for (const peer of harmed) run.net.dropAll(`${memo.owner}-${peer.name}`, peer.port);
    },
    end: (run, harmed, memo) => each(harmed, (peer) => run.net.heal(`${memo.owner}-${peer.name}`)),
  }),
  deaf: dropping('one-way partition: a peer hears no others, they hear it', {
    ms: [4000, 9000],
    begin(run, harmed, memo) {
      const to = others(run, harmed);
      run.net.drop(
        memo.owner,
        harmed.flatMap((a) => to.map((b) => [b.port, a.port])),
      );
    },
  }),
  mute: dropping('one-way partition: a peer hears all others, none hears it', {
    ms: [4000, 9000],
    begin(run, harmed, memo) {
      const to = others(run, harmed);
      run.net.drop(
        memo.owner,
        harmed.flatMap((a) => to.map((b) => [a.port, b.port])),
      );
    },
  }),
  bridge: dropping('two sides see each other only through the peer between them', {
    ms: [4000, 9000],
    begin(run, harmed, memo) {
      const far = run.chance.shuffle(others(run, harmed)).slice(0, (run.peers.length - 1) / 2);
      memo.how = `from ${far.map((peer) => peer.name).join(' and ')}`;
      run.net.drop(memo.owner, between(harmed, far));
    },
  }),
};

/** The kind as this kernel can do it, or undefined. */
export function possible(kind, can) {
  const fault = FAULTS[kind];
  if (fault.needs === undefined || can[fault.needs]) return fault;
  const { instead } = fault;
  return instead !== undefined && can[instead.needs] ? { ...fault, ...instead } : undefined;
}
