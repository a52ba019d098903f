// A rolling restart in good order, under load: SIGTERM drains, clients are told to go (3001),
// nothing is lost, and publishing through the others hardly pauses.
import assert from 'node:assert/strict';
import { checkComplete } from './lib/check.mjs';
import { disconnectAll } from './lib/client.mjs';
import { pick } from './lib/env.mjs';
import { back, subscribeAll } from './lib/fleet.mjs';
import { startCluster, story } from './lib/peers.mjs';
import { Publisher } from './lib/publisher.mjs';
import { connected } from './lib/raw.mjs';
import { spread, until, within } from './lib/wait.mjs';

const RATE = pick(100, 500);

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
