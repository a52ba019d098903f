// A peer that leads a channel is stopped, not killed: nothing is closed, no connection breaks. The
// others must take over, and the peer must come back without harm when it wakes up.
import assert from 'node:assert/strict';
import { checkComplete } from './lib/check.mjs';
import { Record, disconnectAll, sdkClient } from './lib/client.mjs';
import { full, patience, pick, short } from './lib/env.mjs';
import { call, caughtUp } from './lib/http.mjs';
import { startCluster, story } from './lib/peers.mjs';
import { Publisher } from './lib/publisher.mjs';
import { until } from './lib/wait.mjs';

const TAKEOVER_MS = 3000;
const RATE = pick(50, 200);

/** With primaries spread over three peers, of 25 channels each peer leads some. */
const CHANNELS = Array.from({ length: 25 }, (_, i) => `lead-${i}`);

story('publishing resumes within 3 s when a primary is paused', async () => {
  const config =
    'client: {insecure: true}\nnamespaces:\n' +
    '  - {name: "", history_size: 20000, history_ttl: 600s, force_recovery: true}\n';
  const cluster = await startCluster({ config });
  const [frozen, ...others] = cluster.peers;
  const status = (await frozen.readyz()).json();
  assert.ok(status.groups_primary > 0, `${frozen.name} leads nothing: ${JSON.stringify(status)}`);

  // Two clients at the peer that will freeze, which can go elsewhere; one at each of the others.
  const clients = [
    sdkClient([frozen, ...others]),
    sdkClient([frozen, ...others]),
    ...others.map((peer) => sdkClient([peer, frozen])),
  ];
  const records = clients.flatMap((client) =>
    CHANNELS.map((channel) => new Record(client, channel, { recoverable: true })),
  );
  for (const client of clients) client.connect();
  await until('all clients are subscribed', 20_000, () => records.every((r) => r.subscribed));

  const publisher = new Publisher([...others, frozen], CHANNELS, { rate: RATE }).start();
  await until('every channel is published to', 20_000, () => publisher.acked > 2 * RATE);

  const at = performance.now();
  await frozen.pause();
  const seen = () => new Set(publisher.acks.filter((a) => a.at > at + 50).map((a) => a.channel));
  const takeoverOf = () =>
    Math.max(
      ...CHANNELS.map((c) => publisher.acks.find((a) => a.at > at + 50 && a.channel === c).at - at),
    );
  await until('all channels are published to again', 20_000, () => seen().size === CHANNELS.length);
  const takeoverMs = takeoverOf();
  console.log(
    `all ${CHANNELS.length} channels acknowledged again after ${takeoverMs.toFixed(0)} ms`,
  );
  const limit = full ? TAKEOVER_MS : short ? patience(TAKEOVER_MS) * 2 : TAKEOVER_MS * 2;
  assert.ok(takeoverMs <= limit, `took ${takeoverMs.toFixed(0)} ms, more than ${limit}`);

  // Its sockets still take requests: every third publish waits in them, is retried elsewhere with
  // its key, and is read by a primary that has been replaced when the peer wakes up.
  const before = publisher.acked;
  await until('publishing goes on meanwhile', 30_000, () => publisher.acked > before + 2 * RATE);
  const woken = performance.now();
  frozen.resume();
  await frozen.ready(30_000);
  console.log(`ready again ${(performance.now() - woken).toFixed(0)} ms after SIGCONT`);
  assert.ok(frozen.running, 'the peer that was paused must go on, not die');
  const more = publisher.acked;
  await until('publishing goes on after', 20_000, () => publisher.acked > more + 2 * RATE);
  await publisher.stop();
  await until('every subscriber has everything', 30_000, () =>
    records.every((r) => r.subscribed && r.got.length >= publisher.logs.get(r.channel).size),
  );
  checkComplete(publisher, records);
  for (const channel of CHANNELS) {
    await caughtUp(cluster.peers, channel, publisher.logs.get(channel).size);
    const tops = await Promise.all(cluster.peers.map((p) => call(p, 'history', { channel })));
    for (const top of tops) assert.deepEqual(top, tops[0]);
  }
  disconnectAll();
});
