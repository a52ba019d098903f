// Peers as processes of their own on free loopback ports; killed by pid, restarted on the same
// ports.
// (1) No child outlives the test: killed on exit, and by the kernel if we are killed ourselves.
// (2) When a test fails, each peer's last log lines are printed; DUN_E2E_LOGS=1 prints them always.
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { dunlind, full, short } from './env.mjs';
import { request } from './http.mjs';
import { until, within } from './wait.mjs';

const LOG_LINES_MAX = 2000;
const PRINTED_LINES = process.env.DUN_E2E_LOGS === '1' ? 1000 : 60;
const NOISE = / form group=/; // one line for each of 64 groups
const children = new Set();
const started = [];
let scratch;

function killAll() {
  for (const child of children) child.kill('SIGKILL');
}
process.on('exit', () => {
  killAll();
  if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

/** A directory for this test's files; removed at the end. */
export function scratchDir() {
  scratch ??= mkdtempSync(join(tmpdir(), 'dunlin-e2e-'));
  return scratch;
}

// Ports below the ephemeral range, so that no outgoing connection takes the port of a peer that is
// down for a moment; above 10080, the last port that fetch and browsers refuse to talk to in that
// range ("bad port"); each process begins elsewhere, so that tests may run beside each other.
const FIRST_PORT = 10_100;
let nextPort = FIRST_PORT + ((process.pid * 40) % 20_000);

function portFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

export async function freePort() {
  for (let tries = 0; tries < 20_000; tries++) {
    const port = nextPort++;
    if (nextPort >= 32_000) nextPort = FIRST_PORT;
    if (await portFree(port)) return port;
  }
  throw new Error('no free port');
}

/** A port for `dunlin dev --port`: it and those that follow from it (design 4.3) are free. */
export async function devPort(peers) {
  for (let tries = 0; tries < 1000; tries++) {
    const port = (await freePort()) + 60;
    nextPort += 70;
    const all = Array.from({ length: peers }, (_, i) => [
      port + i,
      port - 54 + 10 * i,
      port - 53 + 10 * i,
    ]);
    const free = await Promise.all(all.flat().map(portFree));
    if (free.every(Boolean)) return port;
  }
  throw new Error('no free range of ports');
}

const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((path) => existsSync(path));

/** A child process whose output is kept; dies with us. */
export function run(program, args, { env = {}, cwd } = {}) {
  const words = [program, ...args];
  const argv = setpriv === undefined ? words : [setpriv, '--pdeathsig', 'KILL', '--', ...words];
  const child = spawn(argv[0], argv.slice(1), {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const it = { child, pid: child.pid, stdout: '', stderr: '', lines: [], status: undefined };
  children.add(child);
  for (const name of ['stdout', 'stderr']) {
    let rest = '';
    child[name].setEncoding('utf8');
    child[name].on('data', (part) => {
      if (it[name].length < 4 << 20) it[name] += part;
      const lines = (rest + part).split('\n');
      rest = lines.pop();
      it.lines.push(...lines);
      if (it.lines.length > LOG_LINES_MAX) it.lines.splice(0, it.lines.length - LOG_LINES_MAX);
    });
  }
  it.exited = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      children.delete(child);
      it.status = code ?? signal;
      resolve(it);
    });
  });
  it.exited.catch(() => {});
  return it;
}

export class Peer {
  constructor(cluster, name, ports) {
    this.cluster = cluster;
    this.name = name;
    this.ports = ports;
    this.clientAddr = `127.0.0.1:${ports.client}`;
    this.gossipAddr = `127.0.0.1:${ports.gossip}`;
    this.replicationAddr = `127.0.0.1:${ports.replication}`;
    this.url = `http://${this.clientAddr}`;
    this.ws = `ws://${this.clientAddr}/connection/websocket`;
    this.log = [];
    this.process = undefined;
    this.extra = [];
    this.expectExit = false;
  }

  args() {
    const c = this.cluster;
    const list = ['--name', this.name, '--voters', (this.voters ?? c.voters).join(',')];
    list.push('--join', c.peers.map((p) => p.gossipAddr).join(','));
    list.push('--client', this.clientAddr, '--gossip', this.gossipAddr);
    list.push('--replication', this.replicationAddr);
    if (c.config !== undefined) list.push('--config', c.configFile(this));
    if (c.dev) list.push('--dev');
    return [...list, ...c.extra, ...this.extra];
  }

  start() {
    if (this.running) throw new Error(`${this.name} runs already`);
    this.expectExit = false;
    this.process = run(dunlind, this.args(), { env: this.cluster.env });
    this.process.lines = this.log; // one log over all lives of the peer
    this.log.push(`--- ${this.name} started, pid ${this.process.pid}`);
    const mine = this.process;
    mine.exited.then(() => {
      this.log.push(`--- ${this.name} pid ${mine.pid} ended: ${mine.status}`);
      if (!this.expectExit) this.cluster.surprises.push(`${this.name} ended: ${mine.status}`);
    });
    return this;
  }

  get running() {
    return this.process !== undefined && this.process.status === undefined;
  }

  signal(name) {
    if (!this.running) throw new Error(`${this.name} does not run`);
    process.kill(this.process.pid, name);
  }

  /** kill -9, and wait until it is gone. */
  async kill() {
    this.expectExit = true;
    this.signal('SIGKILL');
    await this.process.exited;
  }

  async terminate(ms = 20_000) {
    this.expectExit = true;
    this.signal('SIGTERM');
    await within(`${this.name} stops on SIGTERM`, ms, this.process.exited);
    return this.process.status;
  }

  /** SIGSTOP, and wait until it took effect: on a busy machine its threads may go on for a while. */
  async pause() {
    this.signal('SIGSTOP');
    const tasks = `/proc/${this.process.pid}/task`;
    await until(`${this.name} is stopped`, 10_000, () =>
      readdirSync(tasks).every((id) => / T /.test(readFileSync(`${tasks}/${id}/stat`, 'utf8'))),
    );
  }

  resume() {
    this.signal('SIGCONT');
  }

  async readyz(timeoutMs = 2000) {
    return request(`${this.url}/readyz`, { timeoutMs, agent: false });
  }

  async ready(ms = 20_000) {
    await until(`${this.name} is ready`, ms, async () => {
      if (!this.running) throw new Error(`it ended: ${this.process?.status}`);
      const res = await this.readyz();
      if (res.status !== 200) throw new Error(`HTTP ${res.status} ${res.text}`);
      return true;
    });
    return this;
  }

  /** A line of its log that matches, now or within @ms. */
  async logged(pattern, ms = 5000) {
    return until(`${this.name} logs ${pattern}`, ms, () =>
      this.log.find((line) => pattern.test(line)),
    );
  }
}

export class Cluster {
  /** @config: YAML text, or a function of the peer; @dev: start with --dev. */
  constructor({ peers = 3, dev, config, extra = [], env = {} } = {}) {
    this.names = Array.from({ length: peers }, (_, i) => `n${i + 1}`);
    this.voters = this.names;
    this.config = config;
    this.dev = dev ?? config === undefined;
    this.extra = extra;
    this.env = env;
    this.peers = [];
    this.surprises = [];
    started.push(this);
  }

  configFile(peer) {
    const path = join(scratchDir(), `${peer.name}-${peer.ports.client}.yaml`);
    writeFileSync(path, typeof this.config === 'function' ? this.config(peer) : this.config);
    return path;
  }

  async plan() {
    for (const name of this.names) {
      const ports = { client: await freePort(), gossip: await freePort() };
      ports.replication = await freePort();
      this.peers.push(new Peer(this, name, ports));
    }
    return this;
  }

  async start(ms = 20_000) {
    if (this.peers.length === 0) await this.plan();
    for (const peer of this.peers) peer.start();
    await Promise.all(this.peers.map((peer) => peer.ready(ms)));
    return this;
  }

  get(name) {
    return this.peers.find((peer) => peer.name === name);
  }

  /** Stops all; in the short and the full run in good order, so that sanitizers have their say, and
   *  a bad exit status throws. */
  async stop() {
    if (!short && !full) return this.killAll();
    const running = this.peers.filter((peer) => peer.running);
    for (const peer of running) {
      peer.expectExit = true;
      peer.signal('SIGCONT');
      peer.signal('SIGTERM');
    }
    const all = Promise.all(running.map((peer) => peer.process.exited));
    await within('all peers stop on SIGTERM', 15_000, all);
    const bad = running.filter((peer) => peer.process.status !== 0);
    if (bad.length > 0)
      throw new Error(bad.map((p) => `${p.name} stopped with ${p.process.status}`).join('; '));
    return undefined;
  }

  async killAll() {
    for (const peer of this.peers) {
      peer.expectExit = true;
      if (peer.running) peer.signal('SIGKILL');
    }
    return Promise.all(this.peers.map((peer) => peer.process?.exited));
  }

  printLogs() {
    for (const peer of this.peers) {
      console.error(`\n==== ${peer.name} ${peer.clientAddr}: last log lines`);
      const lines = peer.log.filter((line) => !NOISE.test(line));
      console.error(lines.slice(-PRINTED_LINES).join('\n'));
    }
  }
}

export async function startCluster(options) {
  const cluster = new Cluster(options);
  try {
    return await cluster.start();
  } catch (error) {
    cluster.printLogs();
    await cluster.killAll();
    throw error;
  }
}

let failed = false;
let pending = 0;
const EXIT_MS = 1500;

/** A test whose failure shows what its peers said. The clusters it started end with it; after the
 *  last test everything does, and what a failed test left open does not keep the process. */
export function story(name, fn) {
  pending++;
  test(name, async (t) => {
    const shared = started.length;
    try {
      await fn(t);
      for (const cluster of started.slice(shared)) await cluster.stop();
      if (process.env.DUN_E2E_LOGS === '1') for (const cluster of started) cluster.printLogs();
      if (pending === 1) for (const cluster of started) await cluster.stop();
      const surprises = started.flatMap((c) => c.surprises.splice(0));
      if (surprises.length > 0) throw new Error(`a peer died: ${surprises.join('; ')}`);
    } catch (error) {
      const own = started.slice(shared);
      for (const cluster of own.length > 0 ? own : started) cluster.printLogs();
      console.error(`\n==== ${name}\n${error?.stack ?? error?.message ?? error}\n`);
      failed = true;
      throw error;
    } finally {
      for (const cluster of started.splice(shared)) await cluster.killAll();
      if (--pending === 0) await end();
    }
  });
}

async function end() {
  for (const cluster of started) await cluster.killAll();
  killAll();
  const timer = setTimeout(() => process.exit(failed ? 1 : 0), EXIT_MS);
  if (!failed) timer.unref();
}
