// What the guarantees mean for what clients saw. Nothing here asks a server.
// (1) Every acknowledged message is delivered, once, to every subscriber, unless it was told of a gap
//     there; and to one subscriber at least, gap or not.
// (2) Offset and message belong together for all: publishers and subscribers, on all peers.
// (3) Offsets ascend by one; a step over some is a loss unless the subscriber was told of it.
// Memory: one entry a message, none a delivery.

const PROBLEMS_MAX = 200;

class Log {
  constructor() {
    this.acked = new Map(); // offset -> id
    this.delivered = new Map(); // offset -> id
    this.offsets = new Map(); // id -> offset, as delivered
    this.top = 0; // the highest acknowledged offset
  }
}

class Seen {
  constructor(who, channel) {
    this.who = who;
    this.channel = channel;
    this.epoch = undefined;
    this.first = undefined; // the position it began at
    this.last = undefined;
    this.jumps = []; // { epoch, from, to } stepped over
    this.told = []; // { epoch, from, to } announced as missing
    this.strays = []; // messages of another epoch than the subscription's
    this.count = 0;
  }
}

export class Checker {
  constructor() {
    this.logs = new Map(); // channel -> epoch -> Log
    this.seen = new Map();
    this.unplaced = []; // { channel, id }: acknowledged without an offset
    this.ackedCount = 0;
    this.deliveredCount = 0;
    this.lost = 0;
    this.duplicated = 0;
    this.reordered = 0;
    this.gapsTold = 0;
    this.problems = [];
  }

  #problem(kind, text, n = 1) {
    this[kind] += n;
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(`${kind}: ${text}`);
  }

  #log(channel, epoch) {
    if (!this.logs.has(channel)) this.logs.set(channel, new Map());
    const epochs = this.logs.get(channel);
    if (!epochs.has(epoch)) epochs.set(epoch, new Log());
    return epochs.get(epoch);
  }

  #seen(who, channel) {
    const key = `${who}\n${channel}`;
    if (!this.seen.has(key)) this.seen.set(key, new Seen(who, channel));
    return this.seen.get(key);
  }

  /** A publisher was told that @id is at @offset. */
  ack(channel, id, offset, epoch) {
    const log = this.#log(channel, epoch);
    const there = log.acked.get(offset);
    this.ackedCount++;
    if (there !== undefined && there !== id)
      this.#problem('reordered', `${channel}: ${offset} was acknowledged for ${there} and ${id}`);
    log.acked.set(offset, id);
    log.top = Math.max(log.top, offset);
  }

  /** A publisher was told that @id is taken, but not where. */
  ackUnplaced(channel, id) {
    this.ackedCount++;
    this.unplaced.push({ channel, id });
  }

  /** The subscription of @who stands at @offset; @recovered: everything after its last one comes. */
  subscribed(who, channel, { epoch, offset, recovered }) {
    const seen = this.#seen(who, channel);
    if (seen.last === undefined) {
      Object.assign(seen, { epoch, first: offset, last: offset });
      return;
    }
    if (recovered) {
      if (epoch !== seen.epoch)
        this.#problem('lost', `${who} ${channel}: ${seen.epoch} became ${epoch}, yet recovered`);
      return;
    }
    this.gapsTold++;
    const same = epoch === seen.epoch;
    if (same && offset < seen.last)
      this.#problem('reordered', `${who} ${channel}: began at ${offset} after ${seen.last}`);
    seen.told.push({ epoch: seen.epoch, from: seen.last + 1, to: same ? offset : Infinity });
    if (!same) seen.first = offset;
    seen.last = same ? Math.max(seen.last, offset) : offset;
    seen.epoch = epoch;
  }

  /** @who was told that it misses @from..@to (to = Infinity: nobody knows). */
  gap(who, channel, { from, to }) {
    const seen = this.#seen(who, channel);
    this.gapsTold++;
    seen.told.push({ epoch: undefined, from, to }); // of whatever epoch it was in
  }

  /** A message came. @epoch is that of the subscription where the client does not say. */
  delivered(who, channel, { epoch, offset, id }) {
    const seen = this.#seen(who, channel);
    this.deliveredCount++;
    seen.count++;
    if (epoch !== undefined && seen.epoch !== undefined && epoch !== seen.epoch) {
      seen.strays.push({ from: seen.epoch, to: epoch, offset });
      seen.epoch = epoch;
      seen.first = offset - 1;
      seen.last = offset - 1;
    }
    if (seen.epoch === undefined) seen.epoch = epoch;
    if (seen.last === undefined) {
      seen.first = offset - 1;
      seen.last = offset - 1;
    }
    if (offset <= seen.last) this.#back(seen, offset, id);
    else if (offset > seen.last + 1)
      seen.jumps.push({ epoch: seen.epoch, from: seen.last + 1, to: offset - 1 });
    seen.last = Math.max(seen.last, offset);
    this.#place(seen, offset, id);
  }

  #back(seen, offset, id) {
    const { who, channel, last } = seen;
    const skipped = [...seen.jumps, ...seen.told].some(
      (j) => (j.epoch ?? seen.epoch) === seen.epoch && j.from <= offset && offset <= j.to,
    );
    if (skipped || offset <= seen.first)
      this.#problem('reordered', `${who} ${channel}: ${offset} (${id}) came after ${last}`);
    else this.#problem('duplicated', `${who} ${channel}: ${offset} (${id}) again, after ${last}`);
  }

  #place({ who, channel, epoch }, offset, id) {
    const log = this.#log(channel, epoch);
    const there = log.delivered.get(offset);
    if (there === undefined) {
      log.delivered.set(offset, id);
      for (const [other, { offsets }] of this.logs.get(channel)) {
        const at = offsets.get(id);
        if (at === undefined) continue;
        const text = `${channel}: ${id} is at ${other}:${at} and at ${epoch}:${offset} (${who})`;
        this.#problem('duplicated', text);
      }
      log.offsets.set(id, offset);
    } else if (there !== id) {
      this.#problem('reordered', `${who} ${channel}: ${offset} is ${id}, for others ${there}`);
    }
  }

  /** The subscriptions that have not yet seen all that was acknowledged. */
  behind() {
    const out = [];
    for (const seen of this.seen.values()) {
      const log = this.#log(seen.channel, seen.epoch);
      if (seen.last === undefined || seen.last < log.top) out.push({ seen, top: log.top });
    }
    return out;
  }

  /** The judgement; once, when nothing more will come. */
  finish() {
    for (const seen of this.seen.values()) this.#finishSeen(seen);
    for (const { seen, top } of this.behind())
      this.#problem(
        'lost',
        `${seen.who} ${seen.channel}: stands at ${seen.last} of ${top}`,
        Math.max(1, top - (seen.last ?? 0)),
      );
    for (const [channel, epochs] of this.logs) this.#finishChannel(channel, epochs);
    for (const { channel, id } of this.unplaced) {
      const logs = [...(this.logs.get(channel)?.values() ?? [])];
      if (!logs.some((log) => log.offsets.has(id)))
        this.#problem('lost', `${channel}: ${id} acknowledged, seen by nobody`);
    }
  }

  #finishSeen(seen) {
    const { who, channel } = seen;
    const covered = ({ epoch, from, to }) =>
      seen.told.some((t) => (t.epoch ?? epoch) === epoch && t.from <= from && to <= t.to);
    for (const jump of seen.jumps) {
      if (covered(jump)) continue;
      const text = `${who} ${channel}: ${jump.from} to ${jump.to} stepped over without a word`;
      this.#problem('lost', text, jump.to - jump.from + 1);
    }
    for (const stray of seen.strays) {
      if (seen.told.some((t) => (t.epoch ?? stray.from) === stray.from)) continue;
      const text = `${who} ${channel}: ${stray.offset} of epoch ${stray.to} in ${stray.from}`;
      this.#problem('lost', text);
    }
  }

  #finishChannel(channel, epochs) {
    for (const log of epochs.values()) {
      for (const [offset, id] of log.acked) {
        const got = log.delivered.get(offset);
        if (got === undefined)
          this.#problem('lost', `${channel}: ${id} acknowledged at ${offset}, seen by nobody`);
        else if (got !== id)
          this.#problem('reordered', `${channel}: ${offset} acknowledged as ${id}, came as ${got}`);
      }
    }
  }
}
