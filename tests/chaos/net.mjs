// The network of a run: one namespace a peer and a client machine, joined by a bridge in the hub's
// namespace, which is ours too.
// (1) Only namespaces whose names begin with the run's prefix are touched; the caller deletes them.
// (2) Partitions and losses are rules of the bridge, so a packet vanishes on its way, as on a real
//     network: neither side is told. All rules are replaced in one transaction.
// (3) Queues (netem, tbf, chaos-hold) sit on the peer's own link: what the peer sends is shaped.
import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { binDir } from '../e2e/lib/env.mjs';
import { NETWORK } from './config.mjs';

const run = (program, args, input) =>
  execFileSync(program, args, { input, stdio: ['pipe', 'pipe', 'pipe'], encoding: 'utf8' });

const works = (...steps) => {
  try {
    for (const [program, args, input] of steps) run(program, args, input);
    return true;
  } catch {
    return false;
  }
};

const RULES = 'table bridge chaos';
const HOLD = join(binDir, 'chaos-hold');
const HOLD_DEVICE = 'held0';
const MACHINES = `${NETWORK}.0/25`; // narrower than the link's own route, so it is preferred

export class Net {
  constructor(prefix) {
    this.prefix = prefix;
    this.addresses = new Map(); // name -> address
    this.rules = new Map(); // owner -> lines
    this.shaped = new Set();
    this.duplicated = new Set();
    this.holding = new Map(); // name -> chaos-hold
  }

  /** What this kernel can do; tried in the hub, on its own loopback device. */
  probe() {
    const tc = (...queue) =>
      works(
        ['tc', ['qdisc', 'add', 'dev', 'lo', 'root', ...queue]],
        ['tc', ['qdisc', 'del', 'dev', 'lo', 'root']],
      );
    const nft = (table, chain) =>
      works(
        ['nft', ['-f', '-'], `${table} {\n${chain}\n}\n`],
        ['nft', ['-f', '-'], `delete ${table}\n`],
      );
    run('ip', ['link', 'set', 'lo', 'up']);
    const forward = 'chain c { type filter hook forward priority 0; policy accept;';
    return {
      netem: tc('netem', 'delay', '1ms'),
      tbf: tc('tbf', 'rate', '1mbit', 'burst', '16kb', 'latency', '100ms'),
      nft: nft(RULES, `${forward} iifname "p1" oifname "p2" drop; }`),
      random: nft(RULES, `${forward} iifname "p1" numgen random mod 1000 < 50 drop; }`),
      hold: works([HOLD, ['--probe', 'lo']]),
      dup: nft(
        'table ip chaosdup',
        'chain c { type filter hook output priority 0; policy accept; ' +
          'numgen random mod 1000 < 50 dup to ip daddr; }',
      ),
    };
  }

  start() {
    run('ip', ['link', 'add', 'br0', 'type', 'bridge']);
    run('ip', ['addr', 'add', `${NETWORK}.1/24`, 'dev', 'br0']);
    run('ip', ['link', 'set', 'br0', 'up']);
  }

  space(name) {
    return `${this.prefix}${name}`;
  }

  /** A machine @name with @address, on the bridge's port @name. */
  add(name, address) {
    const space = this.space(name);
    this.addresses.set(name, address);
    run('ip', ['netns', 'add', space]);
    run('ip', ['link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space]);
    run('ip', ['link', 'set', name, 'master', 'br0', 'up']);
    run('ip', ['-n', space, 'addr', 'add', `${address}/24`, 'dev', 'eth0']);
    run('ip', ['-n', space, 'link', 'set', 'eth0', 'up']);
    run('ip', ['-n', space, 'link', 'set', 'lo', 'up']);
  }

  /** The words that run a program on machine @name; it ends with us. */
  words(name, ...words) {
    const net = `--net=/run/netns/${this.space(name)}`;
    return ['nsenter', net, 'setpriv', '--pdeathsig', 'KILL', '--', ...words];
  }

  #apply() {
    const lines = [...this.rules.values()].flat();
    const text =
      `${RULES} {}\ndelete ${RULES}\n` +
      (lines.length === 0
        ? ''
        : `${RULES} {\nchain c {\ntype filter hook forward priority 0; policy accept;\n` +
          `${lines.join('\n')}\n}\n}\n`);
    run('nft', ['-f', '-'], text);
  }

  /** @pairs: [from, to] of ports; what goes that way is dropped until heal(owner). */
  drop(owner, pairs) {
    this.rules.set(
      owner,
      pairs.map(([from, to]) => `iifname "${from}" oifname "${to}" drop`),
    );
    this.#apply();
  }

  /** Everything from and to port @name is dropped. */
  dropAll(owner, name) {
    this.rules.set(owner, [`iifname "${name}" drop`, `oifname "${name}" drop`]);
    this.#apply();
  }

  /** Of what @name sends and gets, @thousandths are dropped: loss without netem. */
  lose(owner, name, thousandths) {
    this.rules.set(
      owner,
      ['iifname', 'oifname'].map(
        (side) => `${side} "${name}" numgen random mod 1000 < ${thousandths} drop`,
      ),
    );
    this.#apply();
  }

  heal(owner) {
    if (this.rules.delete(owner)) this.#apply();
  }

  shape(name, ...queue) {
    const space = this.space(name);
    run('tc', ['-n', space, 'qdisc', 'replace', 'dev', 'eth0', 'root', ...queue]);
    this.shaped.add(name);
  }

  unshape(name) {
    if (!this.shaped.delete(name)) return;
    run('tc', ['-n', this.space(name), 'qdisc', 'del', 'dev', 'eth0', 'root']);
  }

  /** Of what @name sends, @thousandths go twice: duplication without netem. */
  duplicate(name, thousandths) {
    const text =
      'table ip chaosdup {\nchain c {\ntype filter hook output priority 0; policy accept;\n' +
      `ip daddr ${NETWORK}.0/24 numgen random mod 1000 < ${thousandths} dup to ip daddr\n}\n}\n`;
    run('nsenter', [`--net=/run/netns/${this.space(name)}`, 'nft', '-f', '-'], text);
    this.duplicated.add(name);
  }

  unduplicate(name) {
    if (!this.duplicated.delete(name)) return;
    const args = [`--net=/run/netns/${this.space(name)}`, 'nft', 'delete', 'table', 'ip'];
    run('nsenter', [...args, 'chaosdup']);
  }

  /** What @name sends is held by chaos-hold for @delayMs, +-@jitterMs, but for @overtake percent. */
  async hold(name, { delayMs, jitterMs, overtake, seed }) {
    const space = this.space(name);
    const figures = [delayMs, jitterMs, overtake, seed].map(String);
    const [program, ...args] = this.words(name, HOLD, HOLD_DEVICE, 'eth0', ...figures);
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.holding.set(name, child);
    let said = '';
    child.stderr.on('data', (part) => {
      said += part;
    });
    child.done = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        if (code === 0) resolve(said.trim());
        else reject(new Error(`chaos-hold at ${name} ended with ${code ?? signal}: ${said}`));
      });
    });
    child.done.catch(() => {}); // for whoever waits
    const ready = new Promise((resolve) => createInterface(child.stdout).once('line', resolve));
    await Promise.race([ready, child.done]);
    // What comes in still comes by eth0, though the way back is now another.
    const loose = 'for i in all eth0; do echo 0 >/proc/sys/net/ipv4/conf/$i/rp_filter; done';
    run('nsenter', [`--net=/run/netns/${space}`, 'sh', '-c', loose]);
    run('ip', ['-n', space, 'link', 'set', HOLD_DEVICE, 'up']);
    run('ip', ['-n', space, 'route', 'add', MACHINES, 'dev', HOLD_DEVICE, 'src', this.addresses.get(name)]);
  }

  /** Resolves, when all that was held has been sent, to what chaos-hold says of it. */
  async unhold(name) {
    const child = this.holding.get(name);
    if (child === undefined) return undefined;
    this.holding.delete(name);
    const route = ['route', 'del', MACHINES, 'dev', HOLD_DEVICE];
    if (child.exitCode === null) run('ip', ['-n', this.space(name), ...route]);
    child.kill('SIGTERM');
    const said = await child.done;
    if (/^held 0 /.test(said)) throw new Error(`nothing that ${name} sent was held`);
    return said;
  }
}
