// scripts/rolling-restart over a live cluster under load: every publish succeeds (its publisher may
// try again), every client comes back with nothing lost, repeated or out of order; and a peer that
// does not come back ends it before a second one is touched.
import assert from 'node:assert/strict';
import http from 'node:http';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkComplete } from './lib/check.mjs';
import { Record, disconnectAll, sdkClient } from './lib/client.mjs';
import { full, patience, pick } from './lib/env.mjs';
import { back, subscribeAll } from './lib/fleet.mjs';
import { eventStream } from './lib/http.mjs';
import { run, startCluster, story } from './lib/peers.mjs';
import { Publisher } from './lib/publisher.mjs';
import { sleep, spread, until, within } from './lib/wait.mjs';

const SCRIPT = resolve(
  join(dirname(fileURLToPath(import.meta.url)), '../../scripts/rolling-restart'),
);
const RATE = pick(100, 500, 1000);
const ROUNDS = full ? 2 : 1;
const CONFIG =
  'client: {insecure: true}\nnamespaces:\n' +
  '  - {name: "", history_size: 100000, history_ttl: 600s, force_recovery: true}\n';

const named = (peers) => peers.map((peer) => `${peer.name}=${peer.url}`);

/** Restarts peers on demand, as systemd would: GET /NAME. @restart says how. */
async function operator(cluster, restart) {
  const server = http.createServer((req, res) => {
    restart(cluster.get(req.url.slice(1))).then(
      () => res.end(),
      (error) => res.writeHead(500).end(`${error.message}\n`),
    );
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    command: `curl -fsS http://127.0.0.1:${server.address().port}/{name}`,
    close: () => server.close(),
  };
}

async function script(args, ms = 120_000) {
  const it = run(SCRIPT, args);
  return within(`rolling-restart ${args.join(' ')}`, ms, it.exited);
}

/** An EventSource that goes to the next peer when its stream ends, with its last event id. */
class Follower {
  constructor(peers, channel, at) {
    this.peers = peers;
    this.channel = channel;
    this.at = at;
    this.events = [];
    this.resumes = [];
    this.running = true;
    this.done = this.#run();
  }

  async #run() {
    let lost;
    while (this.running) {
      const url = `${this.peers[this.at % this.peers.length].url}/events/${this.channel}`;
      const stream = eventStream(url, { lastEventId: this.id });
      this.stream = stream;
      try {
        await stream.opened;
        await until('the stream begins', 3000, () => stream.id !== undefined);
        if (lost !== undefined) this.resumes.push(performance.now() - lost);
        this.live = true;
        lost = undefined;
        await stream.closed;
      } catch {
        stream.close();
      }
      this.live = false;
      lost ??= performance.now();
      this.events.push(...stream.events);
      this.id = stream.id ?? this.id;
      this.at++;
      if (this.running) await sleep(20);
    }
  }

  get count() {
    return this.events.length + (this.live ? this.stream.events.length : 0);
  }

  async stop() {
    this.running = false;
    this.stream.close();
    await this.done;
  }

  check(log) {
    assert.equal(this.events.length, log.size, `${this.channel} as events`);
    this.events.forEach((event, i) => {
      assert.equal(event.type, 'message', `${this.channel}: ${event.data}`);
      assert.equal(event.id.split(':')[1], `${i + 1}`);
      assert.equal(JSON.parse(event.data).id, log.get(i + 1));
    });
  }
}

/** An SDK client that publishes one message after another, each until it succeeds. It has no
 *  idempotency key: what was refused, or was not answered before the close, must not have been
 *  published. */
class Talker {
  constructor(peers, channel) {
    this.client = sdkClient(peers);
    this.record = new Record(this.client, channel, { recoverable: true });
    this.channel = channel;
    this.sent = 0;
    this.retries = 0;
    this.errors = new Map();
    this.running = true;
    this.client.connect();
    this.done = this.#run();
  }

  async #run() {
    while (this.running) {
      try {
        await this.client.publish(this.channel, { n: this.sent });
        this.sent++;
        await sleep(5);
      } catch (error) {
        const what = `${error.code} ${error.message}`;
        this.errors.set(what, (this.errors.get(what) ?? 0) + 1);
        this.retries++;
        await sleep(20);
      }
    }
  }

  async stop() {
    this.running = false;
    await this.done;
  }

  check() {
    const got = this.record.got.map(([, data]) => data.n);
    assert.deepEqual(
      got,
      Array.from({ length: this.sent }, (_, n) => n),
      `${this.channel}: each once, in order; errors ${JSON.stringify([...this.errors])}`,
    );
    assert.deepEqual(this.record.faults, []);
    for (const start of this.record.starts.slice(1)) assert.equal(start.recovered, true);
  }
}

/** Times from a lost connection to all subscriptions being up again. */
function timeResumes(clients) {
  const times = [];
  for (const it of clients) {
    let lost;
    it.client.on('connecting', () => (lost ??= performance.now()));
    for (const record of it.records)
      record.sub.on('subscribed', () => {
        if (lost === undefined || !back(it)) return;
        times.push(performance.now() - lost);
        lost = undefined;
      });
  }
  return times;
}

story('a rolling restart under load: no publish fails, nobody misses anything', async () => {
  const cluster = await startCluster({ config: CONFIG });
  const { peers } = cluster;
  const channels = Array.from({ length: 10 }, (_, i) => `roll-${i}`);
  const clients = subscribeAll(peers, channels, 12, 5);
  const followers = channels.slice(0, 6).map((channel, i) => new Follower(peers, channel, i));
  const talkers = peers.map(
    (_, i) => new Talker([...peers.slice(i), ...peers.slice(0, i)], `talk-${i}`),
  );
  const clientsUp = () =>
    clients.every(back) &&
    talkers.every((t) => t.record.subscribed) &&
    followers.every((f) => f.live);
  await until('all clients are subscribed', 20_000, clientsUp);
  const resumes = timeResumes(clients);
  const publisher = new Publisher(peers, channels, { rate: RATE }).start();
  await until('publishing has begun', 20_000, () => publisher.acked > RATE);

  const windows = [];
  const { command, close } = await operator(cluster, async (peer) => {
    const from = performance.now();
    assert.equal(await peer.terminate(), 0, `${peer.name} stops cleanly`);
    windows.push({ from, stopMs: performance.now() - from });
    peer.start();
  });
  const pids = peers.map((peer) => peer.process.pid);
  for (let round = 0; round < ROUNDS; round++) {
    const args = ['--restart', command, '--timeout', `${patience(30_000) / 1000}`];
    const it = await script([...args, ...named(peers)]);
    console.log(it.stdout.trimEnd());
    assert.equal(it.status, 0, it.stderr);
    assert.equal(it.stderr, '');
  }
  windows.forEach((w, i) => (w.to = windows[i + 1]?.from ?? performance.now()));
  assert.equal(windows.length, peers.length * ROUNDS);
  peers.forEach((peer, i) => assert.notEqual(peer.process.pid, pids[i]));
  await until('all clients are back', 20_000, clientsUp);
  const acked = publisher.acked;
  await until('publishing goes on', 20_000, () => publisher.acked > acked + RATE);
  close();

  for (const talker of talkers) await talker.stop();
  await publisher.stop();
  const sizeOf = (channel) =>
    publisher.logs.get(channel)?.size ?? talkers.find((t) => t.channel === channel).sent;
  await until('every subscriber has everything', 30_000, () => {
    const late = [
      ...clients.flatMap(({ records }) => records.map((r) => [r.owner, r, r.got.length])),
      ...followers.map((f) => [`events live=${f.live}`, f, f.count]),
      ...talkers.map((t) => ['talker', t.record, t.record.got.length]),
    ].filter(([, { channel }, count]) => count < sizeOf(channel));
    const lines = late.map(([who, r, count]) => {
      const starts = (r.starts ?? []).map((s) => [s.recovered, s.streamPosition?.offset]);
      return (
        `${who} of ${r.channel}: ${count} of ${sizeOf(r.channel)}, ${r.sub?.state}, ` +
        `starts ${JSON.stringify(starts)}, ${(r.faults ?? []).slice(0, 3).join('; ')}`
      );
    });
    if (lines.length > 0) throw new Error(lines.join('\n  '));
    return true;
  });
  for (const follower of followers) await follower.stop();
  checkComplete(
    publisher,
    clients.flatMap(({ records }) => records),
  );
  for (const follower of followers) follower.check(publisher.logs.get(follower.channel));
  for (const talker of talkers) talker.check();
  const sum = (of) => talkers.reduce((n, t) => n + t[of], 0);
  console.log(
    `${publisher.acked} messages over HTTP, ${publisher.retries} tried again; ` +
      `${sum('sent')} over WebSocket, ${sum('retries')} tried again\n` +
      `silence of a channel around a restart, ms: ` +
      `${spread(windows.flatMap(({ from, to }) => publisher.gaps(from, to).each))}\n` +
      `WebSocket clients back after, ms: ${spread(resumes)}\n` +
      `event streams back after, ms: ${spread(followers.flatMap((f) => f.resumes))}\n` +
      `stopping took, ms: ${spread(windows.map((w) => w.stopMs))}\n` +
      `of all this the test's own loop, late by up to: ${publisher.lagMaxMs.toFixed(0)} ms`,
  );
  disconnectAll();
});

story('it stops at the first peer that does not come back', async () => {
  const cluster = await startCluster({ config: CONFIG });
  const { peers } = cluster;
  const publisher = new Publisher(peers, ['a', 'b', 'c'], { rate: 50 }).start();
  const pids = () => peers.map((peer) => peer.process.pid);
  const { command, close } = await operator(cluster, async (peer) => {
    await peer.terminate();
    if (peer.name !== 'n2') peer.start();
  });
  const [, , third] = pids();
  const args = ['--restart', command, ...named(peers)];
  const began = pids();

  const dry = await script(['--dry-run', ...args]);
  assert.equal(dry.status, 0, dry.stderr);
  assert.match(dry.stdout, /n1: would run: .*\/n1/);
  const useless = await script(['--restart', 'true', '--timeout', '2', ...named(peers)]);
  assert.equal(useless.status, 1);
  assert.match(useless.stderr, /stopped at n1.*\n.*n1 was not restarted/);
  const failing = await script(['--restart', 'exit 5', '--only', 'n3', ...named(peers)]);
  assert.equal(failing.status, 1);
  assert.match(failing.stderr, /stopped at n3: the command failed with status 5/);
  assert.deepEqual(pids(), began);

  const one = await script(['--only', 'n1', ...args]);
  assert.equal(one.status, 0, one.stderr);
  assert.match(one.stdout, /n1: is back after/);
  const it = await script(['--timeout', '10', '--only', 'n2', '--only', 'n3', ...args]);
  assert.equal(it.status, 1, it.stdout);
  assert.match(it.stderr, /stopped at n2: .*\n.*n2 does not answer/);
  assert.match(it.stderr, /Not touched: n3/);
  assert.equal(pids()[2], third);
  const acked = publisher.acked;
  await until('the others go on', 20_000, () => publisher.acked > acked + 100);

  const again = await script(args);
  assert.equal(again.status, 69, again.stdout);
  assert.match(again.stderr, /n2 does not answer[^]*Nothing was touched/);
  peers[1].start();
  await peers[1].ready(30_000);
  const only = await script(['--restart', command, '--only', 'n3', ...named(peers)]);
  assert.equal(only.status, 0, only.stderr);
  assert.notEqual(pids()[2], third);
  await publisher.stop();
  close();
});

story('it names what is wrong with its arguments', async () => {
  const url = 'http://127.0.0.1:9';
  for (const [args, status, said] of [
    [['--help'], 0, /Usage/],
    [[], 64, /Name the peers/],
    [['n1'], 64, /"n1" is not NAME=URL/],
    [['n1=10.0.0.1:8000'], 64, /write http:\/\/HOST:PORT/],
    [[`n1=${url}`, `n1=${url}1`], 64, /n1 is named twice/],
    [[`n1=${url}`, `n2=${url}`], 64, /is given twice/],
    [['--timeout', '0', `n1=${url}`], 64, /--timeout/],
    [['--only', 'n9', `n1=${url}`], 64, /n9 is not among the peers/],
    [['--restart'], 64, /--restart needs a value/],
    [['--nonsense'], 64, /Unknown option: --nonsense/],
  ]) {
    const it = await script(args);
    assert.equal(it.status, status, it.stderr);
    assert.match(it.stdout + it.stderr, said);
  }
  const cluster = await startCluster({ config: CONFIG });
  const two = await script(named(cluster.peers.slice(0, 2)));
  assert.equal(two.status, 64);
  assert.match(two.stderr, /has 3 voters and 2 are named/);
  const [one, other, third] = cluster.peers;
  const swapped = await script([`n1=${other.url}`, `n2=${one.url}`, `n3=${third.url}`]);
  assert.equal(swapped.status, 69);
  assert.match(swapped.stderr, /is another peer: n2/);
});
