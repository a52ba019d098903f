// kill -9 of each peer in turn under load: nothing acknowledged is lost, repeated or reordered, and
// every client comes back by itself with its position recovered.
import assert from 'node:assert/strict';
import { checkComplete } from './lib/check.mjs';
import { disconnectAll } from './lib/client.mjs';
import { back, subscribeAll } from './lib/fleet.mjs';
import { full, pick, short } from './lib/env.mjs';
import { call, caughtUp } from './lib/http.mjs';
import { startCluster, story } from './lib/peers.mjs';
import { Publisher } from './lib/publisher.mjs';
import { quantile, spread, until } from './lib/wait.mjs';

const KILLS = pick(2, 3, 10);
const RATE = pick(150, 1000);
const SUBSCRIBERS = pick(9, 20);
const CHANNELS = 10;
const CHANNELS_EACH = 5;
const GAP_MS = 500; // publishing, p99
const RESUME_MS = 2000; // clients, 99 %
const LOOSE = 5; // a shared machine may be that much slower; the full run is exact

/** kill -9, wait for the clients' return, restart. Resolves with the figures. */
async function killOne(peer, clients, publisher) {
  const struck = clients.filter(({ client }) => client.sockets.server === peer.ws);
  const starts = new Map(
    struck.flatMap(({ records }) => records.map((record) => [record, record.starts.length])),
  );
  const at = performance.now();
  await peer.kill();
  await until(`the ${struck.length} clients of ${peer.name} resume`, 20_000, () =>
    struck.every((one) => back(one) && one.records.every((r) => r.starts.length > starts.get(r))),
  );
  const resumes = struck.map(({ records }) =>
    Math.max(...records.map((r) => r.starts[starts.get(r)].at - at)),
  );
  const acked = publisher.acked;
  await until('publishing goes on', 20_000, () => publisher.acked > acked + RATE / 2);
  const watched = performance.now();
  const restarted = performance.now();
  peer.start();
  await peer.ready(60_000);
  const readyMs = performance.now() - restarted;
  const settled = publisher.acked;
  await until('publishing goes on', 20_000, () => publisher.acked > settled + RATE / 2);
  const end = performance.now();
  return { peer: peer.name, struck: struck.length, resumes, at, watched, restarted, end, readyMs };
}

function print(round, i) {
  console.log(
    `kill ${i + 1} of ${round.peer}: no ack for ${round.gaps.any.toFixed(0)} ms, in the worst ` +
      `channel ${round.gaps.worst.toFixed(0)} ms; ${round.struck} clients resumed in ms: ` +
      `${spread(round.resumes)}; ready again after ${round.readyMs.toFixed(0)} ms, its return ` +
      `paused the worst channel for ${round.after.worst.toFixed(0)} ms`,
  );
}

story('killed peers lose, repeat and reorder nothing', async () => {
  const namespaces =
    'namespaces:\n  - {name: "", history_size: 20000, history_ttl: 600s, force_recovery: true}\n';
  const config = `client: {insecure: true}\nstore: {max_memory: 256MiB}\n${namespaces}`;
  const cluster = await startCluster({ config });
  const channels = Array.from({ length: CHANNELS }, (_, i) => `price-${i}`);
  const clients = subscribeAll(cluster.peers, channels, SUBSCRIBERS, CHANNELS_EACH);
  await until('all clients are subscribed', 20_000, () => clients.every(back));

  const publisher = new Publisher(cluster.peers, channels, { rate: RATE }).start();
  await until('publishing has begun', 30_000, () => publisher.acked > 2 * RATE);
  const warm = publisher.latencies.length;
  await until('and calm', 30_000, () => publisher.latencies.length > warm + RATE);
  const calm = spread(publisher.latencies.slice(warm), 1);

  const begun = { at: performance.now(), acked: publisher.acked };
  const rounds = [];
  for (let i = 0; i < KILLS; i++) {
    rounds.push(await killOne(cluster.peers[i % 3], clients, publisher));
  }
  const seconds = (performance.now() - begun.at) / 1000;
  const rate = (publisher.acked - begun.acked) / seconds;
  await publisher.stop();
  await until('every subscriber has everything', 30_000, () =>
    clients.every(({ records }) =>
      records.every((r) => r.got.length >= publisher.logs.get(r.channel).size),
    ),
  );
  checkComplete(
    publisher,
    clients.flatMap(({ records }) => records),
  );
  for (const channel of channels) {
    await caughtUp(cluster.peers, channel, publisher.logs.get(channel).size);
    for (const peer of cluster.peers) {
      const { offset, epoch } = await call(peer, 'history', { channel });
      assert.equal(offset, publisher.logs.get(channel).size, `${channel} at ${peer.name}`);
      assert.equal(epoch, [...publisher.epochs.get(channel)][0], `${channel} at ${peer.name}`);
    }
  }

  for (const [i, round] of rounds.entries()) {
    round.gaps = publisher.gaps(round.at, round.watched);
    round.after = publisher.gaps(round.restarted, round.end);
    print(round, i);
  }
  const gaps = rounds.map((round) => round.gaps.worst);
  const resumes = rounds.flatMap((round) => round.resumes);
  const deliveries = clients.reduce(
    (sum, { records }) => sum + records.reduce((n, r) => n + r.got.length, 0),
    0,
  );
  console.log(
    `messages acknowledged: ${publisher.acked} (${publisher.retries} retries), ` +
      `delivered: ${deliveries}, ` +
      `kills: ${KILLS}, acknowledged a second: ${rate.toFixed(0)}\n` +
      `publish latency in calm, ms: ${calm}; over all: ${spread(publisher.latencies, 1)}\n` +
      `publishing gap after a kill, any channel, ms: ${spread(rounds.map((r) => r.gaps.any))}\n` +
      `publishing gap after a kill, worst channel, ms: ${spread(gaps)}\n` +
      `publishing gap when the peer returns, worst channel, ms: ` +
      `${spread(rounds.map((r) => r.after.worst))}\n` +
      `clients resumed after a kill, ms: ${spread(resumes)}\n` +
      `peer ready after restart, ms: ${spread(rounds.map((r) => r.readyMs))}\n` +
      `(the test's own event loop stood still for up to ${publisher.lagMaxMs.toFixed(0)} ms)`,
  );
  assert.ok(resumes.length > 0, 'no client was ever struck');
  if (!short) {
    const slack = full ? 1 : LOOSE;
    assert.ok(quantile(gaps, 0.99) <= GAP_MS * slack, `publishing gap over ${GAP_MS * slack} ms`);
    assert.ok(
      quantile(resumes, 0.99) <= RESUME_MS * slack,
      `clients took over ${RESUME_MS * slack} ms to resume`,
    );
  }
  disconnectAll();
});
