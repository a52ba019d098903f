// The checker must find what it is there to find. Run by `scripts/chaos --self-test`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Checker } from './checker.mjs';
import { Chance, quantiles } from './clock.mjs';

const CH = 'price';
const E = 'e1';
const at = (epoch, offset, recovered = false) => ({ epoch, offset, recovered });
const pub = (offset, id = `m${offset}`, epoch = E) => ({ epoch, offset, id });

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
    'what was never acknowledged may come or not',
    (c) => {
      give(c, 1, 2, 3, 4, 5);
      c.delivered('a', CH, pub(6));
    },
    [0, 0, 0],
  ],
];

for (const [name, play, want] of STORIES) {
  test(name, () => {
    const c = calm(5);
    play(c);
    assert.deepEqual(verdict(c), want, c.problems.join('\n'));
    const found = want.some((n) => n > 0);
    assert.equal(c.problems.length > 0, found, 'each finding has its line');
  });
}

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
