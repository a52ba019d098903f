// A rolling restart in good order, under load: SIGTERM drains, clients are told to go (3001),
// nothing is lost, and publishing through the others hardly pauses.
import assert from 'node:assert/strict';
import http from 'node:http';
import { checkComplete } from './lib/check.mjs';
import { disconnectAll } from './lib/client.mjs';
import { patience, pick } from './lib/env.mjs';
import { back, subscribeAll } from './lib/fleet.mjs';
import { api, request } from './lib/http.mjs';
import { startCluster, story } from './lib/peers.mjs';
import { Publisher } from './lib/publisher.mjs';
import { connected } from './lib/raw.mjs';
import { spread, until, within } from './lib/wait.mjs';

const RATE = pick(100, 500);
const DRAIN_MAX_MS = 3200; // what transport/loop/core.c allows itself

story('a rolling restart loses, repeats and reorders nothing', async () => {
  const config =
    'client: {insecure: true}\nnamespaces:\n' +
    '  - {name: "", history_size: 20000, history_ttl: 600s, force_recovery: true}\n';
  const cluster = await startCluster({ config });
  const channels = Array.from({ length: 10 }, (_, i) => `roll-${i}`);
  const clients = subscribeAll(cluster.peers, channels, 9, 5);
  await until('all clients are subscribed', 20_000, () => clients.every(back));
  const publisher = new Publisher(cluster.peers, channels, { rate: RATE }).start();
  await until('publishing has begun', 20_000, () => publisher.acked > RATE);

  const windows = [];
  for (const peer of cluster.peers) {
    const raw = await connected(peer);
    const from = performance.now();
    const status = await peer.terminate();
    const stopMs = performance.now() - from;
    assert.equal(status, 0, `${peer.name} stops cleanly`);
    const end = await within('its client is told', 5000, raw.closed);
    assert.equal(end.code, 3001, `closed with ${end.code} ${end.reason}`);
    await until('its clients resume elsewhere', 20_000, () => clients.every(back));
    peer.start();
    await peer.ready(30_000);
    const acked = publisher.acked;
    await until('publishing goes on', 20_000, () => publisher.acked > acked + RATE / 2);
    windows.push({ name: peer.name, from, to: performance.now(), stopMs });
  }
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
  const gaps = windows.map(({ from, to }) => publisher.gaps(from, to).worst);
  console.log(
    `${publisher.acked} messages, ${publisher.retries} tried again\n` +
      `stopping took, ms: ${spread(windows.map((w) => w.stopMs))}\n` +
      `silence of the worst channel, ms: ${spread(gaps)}`,
  );
  disconnectAll();
});

/** A cluster whose n1 cannot hand anything over, and keep-alive connections to n1. */
async function stuck() {
  const cluster = await startCluster();
  const [peer, ...others] = cluster.peers;
  const agents = [0, 1].map(() => new http.Agent({ keepAlive: true, maxSockets: 1 }));
  for (const agent of agents)
    assert.equal((await request(`${peer.url}/readyz`, { agent })).status, 200);
  await Promise.all(others.map((other) => other.pause()));
  return { peer, others, agents };
}

story('a drain that cannot end is bounded, and tells who asks meanwhile', async () => {
  const { peer, others, agents } = await stuck();
  const raw = await connected(peer);
  const from = performance.now();
  const stopped = peer.terminate();
  await peer.logged(/stopping name=n1/);
  await until('new connections are refused', 5000, async () => {
    const refused = await request(`${peer.url}/healthz`, { agent: false }).catch((e) => e);
    return refused.code === 'ECONNREFUSED';
  });
  const ready = await request(`${peer.url}/readyz`, { agent: agents[0] });
  assert.equal(ready.status, 503);
  assert.match(ready.json().reason, /stopping/);
  assert.equal(ready.headers.connection, 'close');
  const publish = await api(peer, 'publish', { channel: 'a', data: 1 }, { agent: agents[1] });
  assert.equal(publish.json().error.code, 100);
  assert.equal(publish.headers.connection, 'close');
  assert.equal((await raw.end()).code, 3001);
  assert.equal(await stopped, 0);
  const ms = performance.now() - from;
  console.log(`stopped after ${ms.toFixed(0)} ms`);
  assert.ok(ms < patience(2 * DRAIN_MAX_MS), `stopped after ${ms.toFixed(0)} ms`);
  for (const other of others) other.resume();
});

story('a second SIGTERM ends a drain at once', async () => {
  const { peer, others } = await stuck();
  const stopped = peer.terminate();
  await peer.logged(/stopping name=n1/);
  const at = performance.now();
  peer.signal('SIGTERM');
  assert.equal(await stopped, 'SIGTERM');
  const ms = performance.now() - at;
  console.log(`gone ${ms.toFixed(0)} ms after the second SIGTERM`);
  assert.ok(ms < patience(1000), `gone after ${ms.toFixed(0)} ms`);
  for (const other of others) other.resume();
});
