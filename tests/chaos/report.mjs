// The stop-watch: how long publishing paused and clients were away, by kind of fault.
// Publishing gap: the longest time without an acknowledgement in the worst channel, from the fault
// until all is well again. Resume: from the fault until a client that lost its connection to a
// harmed peer is subscribed again elsewhere. Stall: the longest time without a message of any one
// subscription, whatever peer it is at.
import { now, quantiles } from './clock.mjs';

class Kind {
  constructor() {
    this.rounds = 0;
    this.gaps = [];
    this.returns = []; // the publishing gap after the fault was taken back
    this.resumes = [];
    this.stalls = [];
    this.ready = [];
    this.refusals = [];
    this.unready = [];
  }
}

const ms = (value) => (value === null ? '-' : String(value));

/** p50/p90/p99/max of a record's figure. */
export const spread = ({ p50, p90, p99, max }) => [p50, p90, p99, max].map(ms).join('/');

function inWords(record) {
  const { fault, rounds, resume_ms, refusal_ms, unready_ms } = record;
  const { lost, duplicated, reordered } = record;
  return (
    `${fault.padEnd(10)} ${String(rounds).padStart(3)} times: ` +
    `publishing gap ${spread(record.publish_gap_ms)}, ` +
    `after it ${spread(record.publish_gap_after_ms)}; ` +
    `${resume_ms.clients} clients resumed in ${spread(resume_ms)}; ` +
    `stall ${spread(record.stall_ms)}; ready after ${spread(record.ready_ms)}` +
    (refusal_ms ? `; refused in ${spread(refusal_ms)}` : '') +
    (unready_ms ? `; 503 after ${spread(unready_ms)}` : '') +
    `; lost ${lost}, duplicated ${duplicated}, reordered ${reordered}`
  );
}

export class Report {
  constructor(channels, json) {
    this.json = json;
    this.kinds = new Map();
    this.lastAck = new Map(channels.map((channel) => [channel, 0]));
    this.lastPub = new Map();
    this.clients = new Map(); // who -> { peer, up, struck }
    this.subscribed = new Set();
    this.round = undefined;
    this.faults = 0;
  }

  text(line, members) {
    if (!this.json) console.log(line);
    else if (members !== undefined) console.log(JSON.stringify(members));
  }

  kind(name) {
    if (!this.kinds.has(name)) this.kinds.set(name, new Kind());
    return this.kinds.get(name);
  }

  // ---- what clients say

  acked(channel, t) {
    const { round } = this;
    if (round !== undefined) {
      const gap = t - Math.max(this.lastAck.get(channel), round.at);
      round.gap = Math.max(round.gap, gap);
      if (round.healedAt !== undefined)
        round.back = Math.max(round.back, t - Math.max(this.lastAck.get(channel), round.healedAt));
    }
    this.lastAck.set(channel, Math.max(t, this.lastAck.get(channel)));
  }

  ackedSince(from) {
    return [...this.lastAck.values()].every((t) => t > from);
  }

  delivered(who, channel, t) {
    const key = `${who}\n${channel}`;
    const { round } = this;
    const last = this.lastPub.get(key);
    if (round !== undefined && last !== undefined)
      round.stall = Math.max(round.stall, t - Math.max(last, round.at));
    this.lastPub.set(key, t);
    const client = this.clients.get(who);
    // Still served by the peer that was harmed, after it has been healed: it was never away.
    if (client?.struck?.over && client.up) client.struck = undefined;
  }

  up(who, channel, peer, t) {
    this.subscribed.add(`${who}\n${channel}`);
    const client = this.clients.get(who) ?? {};
    this.clients.set(who, client);
    client.peer = peer;
    if (client.struck !== undefined && !client.up) {
      this.kind(client.struck.kind).resumes.push(t - client.struck.at);
      client.struck = undefined;
    }
    client.up = true;
  }

  down(who) {
    const client = this.clients.get(who);
    if (client !== undefined) client.up = false;
  }

  knows(who) {
    return this.clients.has(who);
  }

  /** The subscriptions without a message since @from. */
  silentSince(from) {
    return [...this.lastPub].filter(([, t]) => t <= from).map(([key]) => key.replace('\n', ' '));
  }

  subscriptions() {
    return this.subscribed.size;
  }

  clientsAt(peer) {
    return [...this.clients].filter(([, c]) => c.up && c.peer === peer).map(([who]) => who);
  }

  // ---- what the schedule says

  begin(kind) {
    this.round = { kind, at: now(), gap: 0, back: 0, stall: 0, healedAt: undefined };
  }

  strike(kind, peers) {
    this.faults++;
    for (const client of this.clients.values()) {
      if (!client.up || !peers.includes(client.peer)) continue;
      client.struck = { kind: this.round.kind, at: now(), over: false };
    }
  }

  refused(kind, refusals, unreadyMs) {
    this.kind(this.round.kind).refusals.push(...refusals);
    if (unreadyMs !== undefined) this.kind(this.round.kind).unready.push(unreadyMs);
  }

  healed() {
    this.round.healedAt = now();
  }

  end(readyMs) {
    const { round } = this;
    this.round = undefined;
    if (round === undefined) return;
    for (const client of this.clients.values()) if (client.struck) client.struck.over = true;
    const kind = this.kind(round.kind);
    kind.rounds++;
    kind.gaps.push(round.gap);
    kind.returns.push(round.back);
    kind.stalls.push(round.stall);
    if (readyMs !== undefined) kind.ready.push(readyMs);
    this.text(
      `  worst channel unacknowledged for ${round.gap.toFixed(0)} ms (${round.back.toFixed(0)} after ` +
        `the fault), worst subscription silent for ${round.stall.toFixed(0)} ms, ` +
        `ready ${readyMs?.toFixed(0)} ms after`,
    );
  }

  /** A record a kind of fault: figures in ms, and what @checker found while it went on. */
  records(checker) {
    return [...new Set([...this.kinds.keys(), ...checker.byKind.keys()])].sort().map((name) => {
      const { rounds, gaps, returns, resumes, stalls, ready, refusals, unready } =
        this.kinds.get(name) ?? new Kind();
      return {
        fault: name,
        rounds,
        publish_gap_ms: quantiles(gaps),
        publish_gap_after_ms: quantiles(returns),
        resume_ms: { ...quantiles(resumes), clients: resumes.length },
        stall_ms: quantiles(stalls),
        ready_ms: quantiles(ready),
        ...(refusals.length > 0 && { refusal_ms: quantiles(refusals) }),
        ...(unready.length > 0 && { unready_ms: quantiles(unready) }),
        lost: 0,
        duplicated: 0,
        reordered: 0,
        ...checker.byKind.get(name),
      };
    });
  }

  /** The sum of it, in the order of the words that the last line is to begin with. */
  sum({ checker, broken, options, faultMs }) {
    const all = [...this.kinds.values()];
    const few = ({ p50, p99, max }) => ({ p50, p99, max });
    const { lost, duplicated, reordered } = checker;
    return {
      faults: this.faults,
      acked: checker.ackedCount,
      lost,
      duplicated,
      reordered,
      publish_gap_ms: few(quantiles(all.flatMap((kind) => kind.gaps))),
      resume_ms: few(quantiles(all.flatMap((kind) => kind.resumes))),
      delivered: checker.deliveredCount,
      gaps_told: checker.gapsTold,
      reads: checker.readCount,
      reads_behind: checker.staleReads,
      reads_behind_max: checker.stalest,
      broken: broken.length,
      peers: options.peers,
      minutes: Number((faultMs / 60_000).toFixed(1)),
      seed: options.seed,
    };
  }

  /** Prints everything; true if every promise was kept. */
  print(run) {
    const { checker, broken, lagMs } = run;
    const sum = this.sum(run);
    this.text('\nby kind of fault, ms as p50/p90/p99/max:');
    for (const record of this.records(checker)) this.text(inWords(record), record);
    for (const line of checker.problems) this.text(line, { problem: line });
    if (this.json) for (const line of broken) console.log(JSON.stringify({ broken: line }));
    this.text(
      `\n${sum.delivered} deliveries, ${sum.gaps_told} gaps told; ${sum.reads} reads, ` +
        `${sum.reads_behind} of them at a peer up to ${sum.reads_behind_max} messages behind; ` +
        `our own loop stood still for up to ${lagMs.toFixed(0)} ms`,
    );
    console.log(JSON.stringify(sum));
    return sum.lost + sum.duplicated + sum.reordered + sum.broken === 0;
  }
}
