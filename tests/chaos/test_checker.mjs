// The checker must find what it is there to find. Run by `scripts/chaos --self-test`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Checker, RULES } from './checker.mjs';
import { Chance, quantiles } from './clock.mjs';
import { Minority } from './minority.mjs';
import { sleep } from '../e2e/lib/wait.mjs';

const CH = 'price';
const E = 'e1';
const at = (epoch, offset, recovered = false) => ({ epoch, offset, recovered });
const pub = (offset, id = `m${offset}`, epoch = E) => ({ epoch, offset, id });

/** What a reader at @peer gets of messages @from to @to, when the channel ends at @offset. */
const read = (peer, from, to, offset = to, epoch = E) => ({
  peer,
  epoch,
  offset,
  after: from - 1,
  limit: 100,
  pubs: Array.from({ length: to - from + 1 }, (_, i) => ({ offset: from + i, id: `m${from + i}` })),
});

/** Messages 1..n acknowledged; a and b subscribed from 0 on, and a has all. */
function calm(n) {
  const c = new Checker();
  for (const who of ['a', 'b']) c.subscribed(who, CH, at(E, 0));
  for (let o = 1; o <= n; o++) {
    c.ack(CH, `m${o}`, o, E);
    c.delivered('a', CH, pub(o));
  }
  return c;
}

const give = (c, ...offsets) => offsets.forEach((o) => c.delivered('b', CH, pub(o)));

function verdict(c) {
  c.finish();
  return [c.lost, c.duplicated, c.reordered];
}

const STORIES = [
  ['nothing is wrong', (c) => give(c, 1, 2, 3, 4, 5), [0, 0, 0]],
  ['a step over one message is a loss', (c) => give(c, 1, 2, 4, 5), [1, 0, 0]],
  ['a missing end is a loss', (c) => give(c, 1, 2, 3), [2, 0, 0]],
  ['a subscriber that got nothing lost all', () => {}, [5, 0, 0]],
  ['a repeat is a duplicate', (c) => give(c, 1, 2, 2, 3, 4, 5), [0, 1, 0]],
  ['what comes late is out of order, and was stepped over', (c) => give(c, 1, 3, 2, 4, 5), [1, 0, 1]],
  [
    'a gap that was told of is none',
    (c) => {
      give(c, 1, 2);
      c.subscribed('b', CH, at(E, 4, false));
      give(c, 5);
    },
    [0, 0, 0],
  ],
  [
    'a gap told of on another channel of events, before or after, is none',
    (c) => {
      give(c, 1, 2, 5);
      c.gap('b', CH, { from: 3, to: 4 });
    },
    [0, 0, 0],
  ],
  [
    'a recovery that left something out is a loss',
    (c) => {
      give(c, 1, 2);
      c.subscribed('b', CH, at(E, 4, true));
      give(c, 5);
    },
    [2, 0, 0],
  ],
  [
    'a subscription that begins again further back went back',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.subscribed('b', CH, at(E, 3, false));
    },
    [0, 0, 1],
  ],
  [
    'two messages in one place are two orders',
    (c) => {
      give(c, 1, 2, 3, 4);
      c.delivered('b', CH, pub(5, 'other'));
    },
    [0, 0, 1],
  ],
  [
    'one message in two places is a duplicate',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      for (const who of ['a', 'b']) c.delivered(who, CH, pub(6, 'm2'));
    },
    [0, 1, 0],
  ],
  [
    'one message in two epochs is a duplicate',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.subscribed('b', CH, at('e2', 0, false));
      c.delivered('b', CH, pub(1, 'm5', 'e2'));
    },
    [0, 1, 0],
  ],
  [
    'another epoch without a word is a loss',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.delivered('b', CH, pub(1, 'x', 'e2'));
    },
    [1, 0, 0],
  ],
  [
    'recovered across epochs is a lie',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.subscribed('b', CH, at('e2', 5, true));
    },
    [1, 0, 0],
  ],
  [
    'an acknowledged message that nobody saw is lost, gaps told or not',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.ack(CH, 'm6', 6, E);
      for (const who of ['a', 'b']) c.subscribed(who, CH, at(E, 6, false));
    },
    [1, 0, 0],
  ],
  [
    'an acknowledgement without a place counts too',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.ackUnplaced(CH, 'm3');
      c.ackUnplaced(CH, 'm9');
      c.ackUnplaced('elsewhere', 'm10');
    },
    [2, 0, 0],
  ],
  [
    'two acknowledgements of one place are two orders',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.ack(CH, 'm7', 5, E);
      c.ack(CH, 'm5', 5, E);
    },
    [0, 0, 2],
  ],
  [
    'another message than the acknowledged one is two orders',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.ack(CH, 'm6', 6, E);
      for (const who of ['a', 'b']) c.delivered(who, CH, pub(6, 'other'));
    },
    [0, 0, 1],
  ],
  [
    'what was never acknowledged may come or not',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.delivered('a', CH, pub(6));
    },
    [0, 0, 0],
  ],
  [
    'an epoch that was left does not come again',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      for (const who of ['a', 'b']) {
        c.subscribed(who, CH, at('e2', 0, false));
        c.subscribed(who, CH, at(E, 5, false));
      }
    },
    [0, 0, 2],
  ],
  [
    'readers at several peers, one of them behind, see what all see',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.read('r', CH, read('n1', 1, 5));
      c.read('r', CH, read('n2', 1, 3));
      c.read('r', CH, read('n2', 2, 5));
      assert.equal(c.staleReads, 1);
      assert.equal(c.stalest, 2);
    },
    [0, 0, 0],
  ],
  [
    'the end of a channel went back at a peer',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.read('r', CH, read('n1', 1, 5));
      c.read('r', CH, read('n1', 1, 4));
    },
    [1, 0, 0],
  ],
  [
    'an epoch went back at a peer',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.read('r', CH, read('n1', 1, 5));
      c.read('r', CH, read('n1', 1, 0, 0, 'e2'));
      c.read('r', CH, read('n1', 1, 5));
    },
    [0, 0, 1],
  ],
  [
    'a message that was read is gone from the middle',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      const all = read('n1', 1, 5);
      c.read('r', CH, { ...all, pubs: all.pubs.filter((pub) => pub.offset !== 3) });
    },
    [3, 0, 0], // two in wrong places, and one too few
  ],
  [
    'a message that was read is gone from the end',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.read('r', CH, read('n1', 1, 3, 5));
    },
    [2, 0, 0],
  ],
  [
    'a reader got another message than the subscribers',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      const all = read('n1', 1, 5);
      all.pubs[1].id = 'other';
      c.read('r', CH, all);
    },
    [0, 0, 1],
  ],
  [
    'the subscribers got another message than a reader before',
    (c) => {
      const all = read('n1', 6, 6);
      all.pubs[0].id = 'other';
      give(c, 1, 2, 3, 4, 5);
      c.read('r', CH, all);
      for (const who of ['a', 'b']) c.delivered(who, CH, pub(6));
    },
    [0, 0, 1],
  ],
  [
    'what was read comes to the subscribers too, acknowledged or not',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.read('r', CH, read('n1', 6, 6));
      c.delivered('a', CH, pub(6));
    },
    [1, 0, 0],
  ],
];

const found = new Set();

for (const [name, play, want] of STORIES) {
  test(name, () => {
    const c = calm(5);
    play(c);
    assert.deepEqual(verdict(c), want, c.problems.join('\n'));
    for (const rule of c.broken) found.add(rule);
    const wanted = want.some((n) => n > 0);
    assert.equal(c.problems.length > 0, wanted, 'each finding has its line');
  });
}

test('every rule has been broken above', () => {
  assert.deepEqual([...found].sort(), Object.keys(RULES).sort());
});

const REFUSED = { error: { code: 100, message: 'internal server error' } };

/** Watches a peer that answers as told; what was found broken. */
async function watch({ ready = 503, answer = REFUSED, lateMs = 0, here = [], forMs = 1000 }) {
  const broken = [];
  const options = { slackMs: 0 };
  const run = { options, roundLagMs: 0, problem: (text) => broken.push(text) };
  const peer = {
    name: 'n1',
    readyStatus: async () => ready,
    publish: async () => {
      await sleep(lateMs, undefined, { ref: false });
      if (answer === null) throw new Error('no answer');
      return { json: () => answer, text: JSON.stringify(answer) };
    },
  };
  const minority = new Minority(run, peer);
  await sleep(forMs);
  await minority.stop(here);
  return broken.join('\n');
}

const CUT_OFF = [
  ['refuses at once', {}, /^$/],
  ['acknowledges', { answer: { result: {} } }, /acknowledged a publish/],
  ['gives no answer', { answer: null }, /gave no answer/],
  ['refuses for good', { answer: { error: { code: 102 } } }, /refused with/],
  ['refuses too late', { lateMs: 2100, forMs: 3000 }, /took 2\d+.* ms and more to refuse/],
  ['has not answered after 2 s', { lateMs: 60_000, forMs: 2500 }, /took 2\d+.* to refuse/],
  ['never refuses', { lateMs: 60_000 }, /refused no publish/],
  ['says it is ready', { ready: 200 }, /never said 503/],
  ['keeps clients', { here: ['sdk1'] }, /kept its clients sdk1/],
];

test('a peer that is cut off', { concurrency: true }, async (t) => {
  const all = CUT_OFF.map(([name, story, want]) =>
    t.test(name, async () => assert.match(await watch(story), want)),
  );
  await Promise.all(all);
});

test('a seed decides', () => {
  const draw = (seed) => {
    const chance = new Chance(seed);
    return [chance.range(1, 6), chance.next(), chance.shuffle([1, 2, 3, 4, 5, 6])];
  };
  assert.deepEqual(draw(7), draw(7));
  assert.notDeepEqual(draw(7), draw(8));
});

test('quantiles', () => {
  assert.deepEqual(quantiles([]), { p50: null, p90: null, p99: null, max: null });
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  assert.deepEqual(quantiles(hundred), { p50: 50, p90: 90, p99: 99, max: 100 });
});
