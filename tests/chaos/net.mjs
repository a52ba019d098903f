// The network of a run: one namespace a peer and a client machine, joined by a bridge in the hub's
// namespace, which is ours too.
// (1) Only namespaces whose names begin with the run's prefix are touched; the caller deletes them.
// (2) Partitions and losses are rules of the bridge, so a packet vanishes on its way, as on a real
//     network: neither side is told. All rules are replaced in one transaction.
// (3) Queues (netem, tbf) sit on the peer's own link: what the peer sends is shaped.
import { execFileSync } from 'node:child_process';
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

export class Net {
  constructor(prefix) {
    this.prefix = prefix;
    this.rules = new Map(); // owner -> lines
    this.shaped = new Set();
    this.duplicated = new Set();
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
}
