// The clients of a run, each kind on a machine of its own, and what they say.
// Events, whatever the kind: ack {channel, id, offset?, epoch?}; sub {who, channel, peer, epoch,
// offset, recovered}; pub {who, channel, epoch?, offset, id}; gap {who, channel, from, to};
// read {who, channel, peer, epoch, offset, after, limit, pubs}; down {who, why}; fault {text};
// end {}: nothing new will be published, nor read. All carry t, the machine's clock.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import { dunlin } from '../e2e/lib/env.mjs';
import { sleep } from '../e2e/lib/wait.mjs';
import { now } from './clock.mjs';
import { NETWORK } from './config.mjs';
import { API_HEADERS, API_KEY } from './peer.mjs';

const SDK_EACH = 4; // channels of one SDK client
const SDK_RATE = 5; // messages a second
const READERS = 2;
const READ_EVERY_MS = 40; // of each
const TOOL_EVERY_MS = 500; // between two `dunlin pub`
const TOOL_GIVE_UP_MS = 60_000;
const MACHINES = { publish: 21, sdk: 22, sse: 23, tool: 24, read: 25 }; // last byte of the address

export class Clients {
  /** @on: called with each event. */
  constructor(run, channels, rate, on) {
    this.run = run;
    this.channels = channels;
    this.rate = rate;
    this.on = on;
    this.children = new Set();
    this.stopping = false;
  }

  machines() {
    for (const [name, last] of Object.entries(MACHINES)) this.run.net.add(name, `${NETWORK}.${last}`);
  }

  #spawn(machine, words, stdin = 'ignore') {
    const [program, ...args] = this.run.net.words(machine, ...words);
    const child = spawn(program, args, { stdio: [stdin, 'pipe', 'pipe'] });
    this.children.add(child);
    child.done = new Promise((resolve) => {
      child.once('error', (error) => this.run.problem(`${machine}: ${error.message}`));
      child.once('close', (code, signal) => {
        this.children.delete(child);
        resolve(code ?? signal);
      });
    });
    return child;
  }

  #worker(machine, name, task) {
    const file = fileURLToPath(new URL(`worker_${name}.mjs`, import.meta.url));
    const peers = this.run.peers.map(({ name: n, url, ws }) => ({ name: n, url, ws }));
    const text = JSON.stringify({ peers, channels: this.channels, ...task });
    const child = this.#spawn(machine, [process.execPath, file, text], 'pipe');
    child.quiet = new Promise((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const event = JSON.parse(line);
        this.on(event);
        if (event.e === 'end') resolve();
      });
      child.once('close', resolve);
    });
    createInterface({ input: child.stderr }).on('line', (line) => this.run.note(name, line));
    child.done.then((status) => {
      if (!this.stopping)
        this.run.problem(`the ${name} clients ended: ${status}`);
    });
    return child;
  }

  subscribe() {
    const n = this.run.peers.length;
    const sdk = this.#worker('sdk', 'sdk', { count: 2 * n, each: SDK_EACH, rate: SDK_RATE });
    const sse = this.#worker('sse', 'sse', { count: Math.max(2 * n, this.channels.length) });
    const reading = { count: READERS, everyMs: READ_EVERY_MS, headers: API_HEADERS };
    this.movable = [sdk, sse];
    this.quietable = [sdk, this.#worker('read', 'read', reading)];
    for (let i = 0; i < n; i++) this.#toolSub(i);
    // Every subscription, so that the run can wait for all.
    this.expected = 2 * n * SDK_EACH + Math.max(2 * n, this.channels.length) + n;
  }

  /** Those that a fault drove away go back to the peer they began at. */
  home() {
    for (const child of this.movable) child.stdin.write('home\n');
  }

  publish() {
    const publishing = { rate: this.rate, headers: API_HEADERS };
    this.quietable.push(this.#worker('publish', 'publish', publishing));
    this.tool = this.#toolPubs();
  }

  /** Resolves when nobody publishes or reads any more; the subscribers stay. */
  async quiet() {
    this.stoppingTool = true;
    for (const child of this.quietable) child.stdin.write('quiet\n');
    await Promise.all([...this.quietable.map((child) => child.quiet), this.tool]);
  }

  stop() {
    this.stopping = true;
    for (const child of this.children) child.kill('SIGKILL');
  }

  #servers(first) {
    const { peers } = this.run;
    return peers.map((_, k) => peers[(first + k) % peers.length].url).join(',');
  }

  /** `dunlin sub`: messages on stdout, what happens to the connection on stderr. */
  #toolSub(i) {
    const who = `tool${i + 1}`;
    const channel = this.channels[i % this.channels.length];
    const words = [dunlin, 'sub', channel, '--json', '--server', this.#servers(i)];
    const child = this.#spawn('tool', words);
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { epoch, seq, data } = JSON.parse(line);
      this.on({ e: 'pub', t: now(), who, channel, epoch, offset: seq, id: data.id });
    });
    createInterface({ input: child.stderr }).on('line', (line) => {
      this.run.note(who, line);
      this.#toolSays(who, channel, line);
    });
    child.done.then((status) => {
      if (!this.stopping) this.run.problem(`${who} (dunlin sub) ended: ${status}`);
    });
  }

  #toolSays(who, channel, line) {
    const t = now();
    const at = /^(subscribed at|recovered \d+ messages after) (\S+):(\d+) (?:on|from) (\S+)$/;
    const sub = at.exec(line);
    if (sub !== null) {
      const [, verb, epoch, seq, url] = sub;
      const peer = this.run.peers.find((p) => url.startsWith(p.url))?.name;
      const recovered = verb !== 'subscribed at';
      // It says a gap in a line of its own; then stdout, which may be read later, goes on from there.
      this.on({ e: 'at', t, who, channel, peer, epoch, offset: Number(seq), recovered });
      return;
    }
    const gap = /^gap in .*?: (?:messages (\d+) to (\d+)|an unknown number)/.exec(line);
    if (gap !== null) {
      const from = gap[1] === undefined ? 0 : Number(gap[1]);
      const to = gap[2] === undefined ? Infinity : Number(gap[2]);
      this.on({ e: 'gap', t, who, channel, from, to });
      return;
    }
    this.on({ e: 'down', t, who, why: line });
  }

  /** `dunlin pub`, again and again with one key until it is acknowledged. */
  async #toolPubs() {
    for (let n = 0; !this.stoppingTool; n++) {
      await sleep(TOOL_EVERY_MS);
      const channel = this.channels[n % this.channels.length];
      const id = `tool-${n}`;
      const begun = now();
      while (!(await this.#toolPub(channel, id, n))) {
        if (this.stopping) return;
        if (now() - begun > TOOL_GIVE_UP_MS) {
          this.run.problem(`dunlin pub ${id}: not acknowledged within ${TOOL_GIVE_UP_MS} ms`);
          break;
        }
        await sleep(100);
      }
    }
  }

  async #toolPub(channel, id, n) {
    const words = [dunlin, 'pub', channel, JSON.stringify({ id }), '--key', id, '--json'];
    words.push('--server', this.#servers(n), '--api-key', API_KEY);
    const child = this.#spawn('tool', words);
    let text = '';
    child.stdout.on('data', (part) => {
      text += part;
    });
    createInterface({ input: child.stderr }).on('line', (line) => this.run.note('pub', line));
    if ((await child.done) !== 0) return false;
    const { epoch, seq, offset } = JSON.parse(text);
    this.on({ e: 'ack', t: now(), channel, id, offset: seq ?? offset, epoch });
    return true;
  }
}
