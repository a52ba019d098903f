// A run: cluster, clients, faults, judgement. Started by scripts/chaos inside the hub's namespace.
// (1) At most f of 2f+1 peers are harmed at once; one counts as harmed until /readyz says 200 again.
// (2) A fault begins only when every peer is ready and every channel is published to.
// (3) The verdict is the checker's, from what clients saw; what else was promised is in "broken".
import { execFileSync } from 'node:child_process';
import { createWriteStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { dunlin } from '../e2e/lib/env.mjs';
import { call, caughtUp, eventStream } from '../e2e/lib/http.mjs';
import { sleep, until } from '../e2e/lib/wait.mjs';
import { Checker } from './checker.mjs';
import { Clients } from './clients.mjs';
import { Chance, now } from './clock.mjs';
import { FAULTS, possible } from './faults.mjs';
import { Minority } from './minority.mjs';
import { Net } from './net.mjs';
import { API_HEADERS, Peer } from './peer.mjs';
import { recordOf } from './record.mjs';
import { Report } from './report.mjs';

const CHANNELS = Array.from({ length: 8 }, (_, i) => `price-${i + 1}`);
const READY_MS = 60_000;
const GOES_ON_MS = 30_000;
const HEARD_MS = 45_000; // an SDK that hears nothing gives up its server after 35 s
const SETTLE_MS = 90_000; // longer than a client needs to notice that a silent peer is gone
const STEADY_POLLS = 3; // answers of 200 in a row, as one may come before a peer knows it slept
const FRESH_MESSAGES = 300; // read back at each peer at the end

class Run {
  constructor(options) {
    this.options = options;
    this.dir = options.dir;
    this.net = new Net(options.prefix);
    this.chance = new Chance(options.seed);
    this.peers = [];
    this.broken = [];
    this.checker = new Checker();
    this.report = new Report(CHANNELS, options.json);
    this.notes = createWriteStream(join(options.dir, 'run.log'));
    this.lagMs = 0; // the longest our own loop stood still since the faults began
    this.roundLagMs = 0; // and in this round: what part of a figure may be ours
    this.bag = [];
    this.faults = 0;
    this.faultMs = 0; // from the first fault to the end of the last round
    this.lastHarmed = new Set(); // names
    this.ends = new Map(); // channel -> the offset of its last message
  }

  problem(text) {
    this.broken.push(text);
    this.note('broken', text);
    if (!this.options.json) console.log(`BROKEN ${text}`);
  }

  note(who, line) {
    this.notes.write(`${now().toFixed(0)} ${who}: ${line}\n`);
  }

  watchLag() {
    let last = now();
    setInterval(() => {
      this.roundLagMs = Math.max(this.roundLagMs, now() - last - 20);
      this.lagMs = Math.max(this.lagMs, this.roundLagMs);
      last = now();
    }, 20).unref();
  }

  /** What clients say goes to the judge and to the stop-watch. */
  event(event) {
    const { e, t, who, channel } = event;
    if (e === 'ack') {
      if (event.offset === undefined) this.checker.ackUnplaced(channel, event.id);
      else this.checker.ack(channel, event.id, event.offset, event.epoch);
      this.report.acked(channel, t);
    } else if (e === 'pub') {
      this.checker.delivered(who, channel, event);
      this.report.delivered(who, channel, t);
    } else if (e === 'sub') {
      this.checker.subscribed(who, channel, event);
      this.report.up(who, channel, event.peer, t);
    } else if (e === 'at') {
      if (!this.report.knows(who)) this.checker.subscribed(who, channel, event);
      this.report.up(who, channel, event.peer, t);
    } else if (e === 'read') this.checker.read(who, channel, event);
    else if (e === 'gap') this.checker.gap(who, channel, event);
    else if (e === 'down') this.report.down(who);
    else if (e === 'fault') this.problem(event.text);
    if (e !== 'pub' && e !== 'ack' && e !== 'read') this.note('client', JSON.stringify(event));
  }

  async start() {
    this.net.start();
    execFileSync(dunlin, ['keygen', '--out', join(this.dir, 'cluster.key')], { stdio: 'ignore' });
    for (let i = 0; i < this.options.peers; i++) this.peers.push(new Peer(this, i));
    for (const peer of this.peers) {
      this.net.add(peer.port, peer.address);
      peer.configure(this.peers);
    }
    for (const peer of this.peers) peer.start();
    await this.allReady();
    this.clients = new Clients(this, CHANNELS, this.options.rate, (event) => this.event(event));
    this.clients.machines();
    this.clients.subscribe();
    await until('all clients are subscribed', GOES_ON_MS, () =>
      this.report.subscriptions() >= this.clients.expected,
    );
    this.clients.publish();
    await this.goesOn();
  }

  /** Every peer said 200 several times in a row. */
  async allReady() {
    await Promise.all(
      this.peers.map((peer) => {
        let good = 0;
        return until(
          `${peer.name} is ready`,
          READY_MS,
          async () => {
            const status = await peer.readyStatus();
            good = status === 200 ? good + 1 : 0;
            if (status !== 200) throw new Error(`/readyz ${status}`);
            return good >= STEADY_POLLS;
          },
          { every: 100 },
        );
      }),
    );
  }

  /** Every channel has a new acknowledgement. */
  async goesOn() {
    const from = now();
    await until('every channel is published to', GOES_ON_MS, () => this.report.ackedSince(from));
  }

  /** Every subscription has a message that came after @from. */
  async heard(from) {
    await until('every subscription goes on', HEARD_MS, () => {
      const silent = this.report.silentSince(from);
      if (silent.length === 0) return true;
      throw new Error(`nothing since the fault: ${silent.join(', ')}`);
    });
  }

  nextKind() {
    if (this.bag.length === 0) this.bag = this.chance.shuffle(this.options.kinds);
    return this.bag.pop();
  }

  /** One or two faults that together harm at most f peers. */
  plan() {
    const f = (this.peers.length - 1) / 2;
    // Peers that were spared come first: their clients have not been driven away yet.
    const shuffled = this.chance.shuffle(this.peers);
    const struck = (peer) => Number(this.lastHarmed.has(peer.name));
    const peers = shuffled.sort((a, b) => struck(a) - struck(b));
    const kind = this.nextKind();
    const count = this.chance.range(1, f);
    if (count === f && f > 1 && this.chance.next() < 0.4) {
      const first = { kind, harmed: peers.slice(0, 1), lateMs: 0 };
      const lateMs = this.chance.range(0, 2000);
      return [first, { kind: this.nextKind(), harmed: peers.slice(1, 2), lateMs }];
    }
    return [{ kind, harmed: peers.slice(0, count), lateMs: 0 }];
  }

  async one({ kind, harmed, lateMs }, alone) {
    const fault = possible(kind, this.options.can);
    const number = ++this.faults;
    const memo = { owner: `f${number}` };
    const slackMs = fault.minority ? this.options.slackMs : 0; // time to refuse, and to be left
    const ms = this.chance.range(...fault.ms) + slackMs;
    await sleep(lateMs);
    const names = harmed.map((peer) => peer.name);
    this.report.strike(kind, names);
    let watches = [];
    try {
      await fault.begin(this, harmed, memo);
      const text = [kind, names.join(' '), memo.how, `for ${ms} ms`].filter(Boolean).join(' ');
      this.note('fault', text);
      for (const peer of harmed) peer.note(`--- fault: ${text}`);
      this.report.text(`fault ${number}: ${text}`);
      // Beside another fault the majority may be elsewhere for a while: then only the verdict counts.
      if (fault.minority && alone) watches = harmed.map((peer) => new Minority(this, peer));
      await sleep(ms);
      for (const watch of watches) {
        const here = fault.clientsReach ? this.report.clientsAt(watch.peer.name) : [];
        await watch.stop(here);
        this.report.refused(kind, watch.refusals, watch.unreadyMs);
      }
    } finally {
      await fault.end(this, harmed, memo);
      for (const peer of harmed) peer.note(`--- fault ends: ${kind}`);
    }
  }

  async round() {
    this.roundLagMs = 0;
    const plan = this.plan();
    this.lastHarmed = new Set(plan.flatMap((part) => part.harmed.map((peer) => peer.name)));
    const kinds = new Set(plan.map((part) => part.kind));
    const kind = kinds.size === 1 ? plan[0].kind : 'two kinds';
    this.report.begin(kind);
    this.checker.during = kind;
    await Promise.all(plan.map((part) => this.one(part, plan.length === 1)));
    this.report.healed();
    const healed = now();
    await this.allReady();
    const readyMs = now() - healed;
    await this.goesOn();
    await this.heard(healed);
    const calmMs = this.chance.range(1000, 2000);
    await sleep(calmMs);
    this.report.end(readyMs);
    this.checker.during = 'at rest';
    this.clients.home();
    await sleep(calmMs);
  }

  async settle() {
    await this.clients.quiet();
    await this.everyoneHasAll();
    // One message more in each channel: what would come again or too late has come before it.
    await Promise.all(CHANNELS.map((channel) => this.endOf(channel)));
    await this.everyoneHasAll();
    await this.fresh();
    this.checker.finish();
  }

  async everyoneHasAll() {
    try {
      await until('every client has everything', SETTLE_MS, () => {
        const behind = this.checker.behind();
        if (behind.length === 0) return true;
        const { seen, top } = behind[0];
        throw new Error(`${behind.length}: ${seen.who} ${seen.channel} at ${seen.last} of ${top}`);
      });
    } catch (error) {
      this.problem(error.message);
    }
  }

  async endOf(channel) {
    const id = `end-${channel}`;
    const body = { channel, data: { id }, idempotency_key: id };
    try {
      await until(`the end of ${channel} is published`, SETTLE_MS, async () => {
        const peer = this.peers.find((one) => one.child !== undefined);
        const { offset, epoch } = await call(peer, 'publish', body, { headers: API_HEADERS });
        this.checker.ack(channel, id, offset, epoch);
        this.ends.set(channel, offset);
        return true;
      });
    } catch (error) {
      this.problem(error.message);
    }
  }

  /** What newcomers at each peer get of the last messages must be what the others saw. */
  async fresh() {
    for (const peer of this.peers.filter((one) => one.child !== undefined)) {
      for (const channel of CHANNELS)
        await this.freshAt(peer, channel).catch((error) =>
          this.problem(`newcomer at ${peer.name}, ${channel}: ${error.message}`),
        );
    }
  }

  async freshAt(peer, channel) {
    // A peer where nobody listens to the channel may be a moment behind those that were waited for.
    await caughtUp([peer], channel, this.ends.get(channel) ?? 0, { headers: API_HEADERS });
    const { offset, epoch } = await call(peer, 'history', { channel }, { headers: API_HEADERS });
    const from = Math.max(0, offset - FRESH_MESSAGES);
    const stream = eventStream(`${peer.url}/events/${channel}`, { lastEventId: `${epoch}:${from}` });
    const who = `newcomer at ${peer.name}`;
    this.checker.subscribed(who, channel, { epoch, offset: from, recovered: false });
    await until(`${who} has ${channel}`, 10_000, () => stream.id === `${epoch}:${offset}`).catch(
      (error) => this.note('newcomer', error.message),
    );
    stream.close();
    for (const { id, type, data } of stream.events) {
      const at = Number(id.slice(id.lastIndexOf(':') + 1));
      if (type !== 'message') this.problem(`${who} was told of a gap in ${channel}: ${data}`);
      else this.checker.delivered(who, channel, { epoch, offset: at, id: JSON.parse(data).id });
    }
  }

  async go() {
    await this.start();
    this.watchLag();
    const begun = now();
    const end = begun + this.options.minutes * 60_000;
    this.report.text(`${this.peers.length} peers are ready, seed ${this.options.seed}`);
    while (now() < end) {
      try {
        await this.round();
      } catch (error) {
        this.problem(error.message);
        return;
      } finally {
        this.report.end(undefined);
        this.faultMs = now() - begun;
      }
    }
  }

  stop() {
    this.clients?.stop();
    for (const peer of this.peers) {
      peer.expectExit = true;
      peer.child?.kill('SIGKILL');
    }
  }
}

const HOLD = 'chaos-hold (cmake --build DIRECTORY --target chaos-hold; it needs /dev/net/tun)';

/** Why a kind cannot be done. */
function lacking(kind) {
  const { needs, instead } = FAULTS[kind];
  const other = instead?.needs === 'hold' ? `, nor ${HOLD}` : '';
  return `this kernel has no ${needs}${other}`;
}

function listFaults(can) {
  for (const [kind, { what }] of Object.entries(FAULTS)) {
    const fault = possible(kind, can);
    const how = fault === undefined ? `skipped: ${lacking(kind)}` : '';
    const instead = fault !== undefined && fault.what !== what ? fault.what : '';
    console.log(`${kind.padEnd(10)} ${what}${how || instead ? ` (${how || instead})` : ''}`);
  }
}

function usage(text) {
  console.error(`scripts/chaos: ${text}`);
  process.exit(64);
}

function options() {
  const string = { type: 'string' };
  const { values } = parseArgs({
    options: {
      prefix: string,
      dir: string,
      peers: { type: 'string', default: '3' },
      minutes: { type: 'string', default: '2' },
      seed: string,
      rate: { type: 'string', default: '160' },
      slack: { type: 'string', default: '0' },
      record: string,
      only: { type: 'string', multiple: true },
      json: { type: 'boolean', default: false },
      'list-faults': { type: 'boolean', default: false },
    },
  });
  const peers = Number(values.peers);
  const minutes = Number(values.minutes);
  const rate = Number(values.rate);
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed);
  const slackMs = Number(values.slack);
  if (!(slackMs >= 0 && slackMs <= 60_000)) usage('--slack is 0 to 60000.');
  if (peers !== 3 && peers !== 5) usage('--peers is 3 or 5.');
  if (!(minutes > 0 && minutes <= 24 * 60)) usage('--minutes is over 0 and at most 1440.');
  if (!(rate >= 8 && rate <= 2000)) usage('--rate is 8 to 2000.');
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) usage('--seed is a number below 2^32.');
  for (const kind of values.only ?? [])
    if (FAULTS[kind] === undefined) usage(`no fault ${kind}; see --list-faults.`);
  return { ...values, peers, minutes, rate, seed, slackMs };
}

/** The kinds of this run; what the kernel cannot do is said. */
function kinds({ only }, can, report) {
  const all = only ?? Object.keys(FAULTS);
  const missing = all.filter((kind) => possible(kind, can) === undefined);
  for (const kind of missing)
    report.text(`skipped: ${kind}: ${lacking(kind)}`, { skipped: kind });
  const left = all.filter((kind) => !missing.includes(kind));
  if (left.length === 0) usage('this kernel can do none of the faults asked for.');
  return left;
}

const run = new Run(options());
const can = run.net.probe();
if (run.options['list-faults']) {
  listFaults(can);
  process.exit(0);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    run.stop();
    process.exit(130);
  });
run.options.can = can;
run.options.kinds = kinds(run.options, can, run.report);
let status = 1;
try {
  await run.go();
  await run.settle();
  status = run.report.print(run) ? 0 : 1;
  if (run.options.record !== undefined) writeFileSync(run.options.record, recordOf(run));
} catch (error) {
  console.error(`scripts/chaos: ${error.stack}`);
}
run.stop();
run.notes.end(() => process.exit(status));
