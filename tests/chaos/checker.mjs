// What the guarantees mean for what clients saw. Nothing here asks a server.
// (1) Every acknowledged message is delivered, once, to every subscriber, unless it was told of a gap
//     there; and to one subscriber at least, gap or not.
// (2) Offset and message belong together for all: publishers, subscribers and readers, on all peers.
// (3) Offsets ascend by one; a step over some is a loss unless the subscriber was told of it.
// (4) What is read stays: a peer's end of a channel never goes back, nor its epoch; no message is
//     missing between others; and what one reader saw, every subscriber gets.
// Memory: one entry a message, none a delivery.

/** Every way to fail, and as what it counts; the self-test sees each of them happen. */
export const RULES = {
  'two messages were acknowledged for one place': 'reordered',
  'recovered, but in another epoch': 'lost',
  'a subscription began again further back': 'reordered',
  'an older epoch came again': 'reordered',
  'a message came after a later one': 'reordered',
  'a message came again': 'duplicated',
  'one message is in two places': 'duplicated',
  'one place has two messages': 'reordered',
  'a subscriber never got the end': 'lost',
  'messages were stepped over without a word': 'lost',
  'another epoch began without a word': 'lost',
  'acknowledged, but no subscriber saw it': 'lost',
  'acknowledged as one message, delivered as another': 'reordered',
  'acknowledged without a place, and no subscriber saw it': 'lost',
  'a reader saw the end of a channel go back': 'lost',
  'a reader missed a message between others': 'lost',
};

const PROBLEMS_MAX = 200;

class Log {
  constructor() {
    this.acked = new Map(); // offset -> id
    this.delivered = new Map(); // offset -> id
    this.read = new Map(); // offset -> id
    this.offsets = new Map(); // id -> offset, as delivered
    this.top = 0; // the highest acknowledged or read offset
  }
}

class Seen {
  constructor(who, channel) {
    this.who = who;
    this.channel = channel;
    this.epoch = undefined;
    this.epochs = new Set(); // those before
    this.first = undefined; // the position it began at
    this.last = undefined;
    this.jumps = []; // { epoch, from, to, during } stepped over
    this.told = []; // { epoch, from, to } announced as missing
    this.strays = []; // messages of another epoch than the subscription's
    this.count = 0;
  }
}

export class Checker {
  constructor() {
    this.logs = new Map(); // channel -> epoch -> Log
    this.seen = new Map();
    this.ends = new Map(); // who, peer, channel -> { epoch, epochs, offset }
    this.tops = new Map(); // who, channel -> { epoch, offset }: the latest read, at whatever peer
    this.unplaced = []; // { channel, id }: acknowledged without an offset
    this.ackedCount = 0;
    this.deliveredCount = 0;
    this.lost = 0;
    this.duplicated = 0;
    this.reordered = 0;
    this.gapsTold = 0;
    this.readCount = 0;
    this.staleReads = 0; // that saw less than the reader had seen at another peer
    this.stalest = 0; // messages
    this.problems = [];
    this.broken = new Set(); // rules
    this.during = 'at rest'; // the kind of fault that goes on
    this.byKind = new Map(); // the same -> { lost, duplicated, reordered }
  }

  #problem(rule, text, n = 1, during = this.during) {
    const kind = RULES[rule];
    const sums = this.byKind.get(during) ?? { lost: 0, duplicated: 0, reordered: 0 };
    this.byKind.set(during, sums);
    sums[kind] += n;
    this.broken.add(rule);
    this[kind] += n;
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(`${kind}: ${rule}: ${text}`);
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
      this.#problem(
        'two messages were acknowledged for one place',
        `${channel}: ${offset} for ${there} and for ${id}`,
      );
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
        this.#problem(
          'recovered, but in another epoch',
          `${who} ${channel}: ${seen.epoch} became ${epoch}`,
        );
      return;
    }
    this.gapsTold++;
    const same = epoch === seen.epoch;
    if (same && offset < seen.last)
      this.#problem(
        'a subscription began again further back',
        `${who} ${channel}: at ${offset} after ${seen.last}`,
      );
    seen.told.push({ epoch: seen.epoch, from: seen.last + 1, to: same ? offset : Infinity });
    if (!same) seen.first = offset;
    seen.last = same ? Math.max(seen.last, offset) : offset;
    this.#epoch(seen, epoch, `${who} ${channel}`);
  }

  /** @of: whoever stood in one epoch and now stands in @epoch. */
  #epoch(of, epoch, text) {
    if (of.epoch !== undefined && of.epoch !== epoch) {
      of.epochs.add(of.epoch);
      if (of.epochs.has(epoch)) this.#problem('an older epoch came again', `${text}: ${epoch}`);
    }
    of.epoch = epoch;
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
      seen.strays.push({ from: seen.epoch, to: epoch, offset, during: this.during });
      this.#epoch(seen, epoch, `${who} ${channel}`);
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
      seen.jumps.push({
        epoch: seen.epoch,
        from: seen.last + 1,
        to: offset - 1,
        during: this.during,
      });
    seen.last = Math.max(seen.last, offset);
    this.#place(seen, offset, id);
  }

  #back(seen, offset, id) {
    const { who, channel, last } = seen;
    const skipped = [...seen.jumps, ...seen.told].some(
      (j) => (j.epoch ?? seen.epoch) === seen.epoch && j.from <= offset && offset <= j.to,
    );
    const text = `${who} ${channel}: ${offset} (${id}) after ${last}`;
    if (skipped || offset <= seen.first) this.#problem('a message came after a later one', text);
    else this.#problem('a message came again', text);
  }

  /** @who read at @peer what is after @after: @pubs, @limit at most, of a channel that ends at @offset. */
  read(who, channel, { peer, epoch, offset, after, limit, pubs }) {
    this.readCount++;
    const key = `${who}\n${peer}\n${channel}`;
    const text = `${who} ${channel} at ${peer}`;
    const end = this.ends.get(key) ?? { epoch: undefined, epochs: new Set(), offset: 0 };
    this.ends.set(key, end);
    if (end.epoch === epoch && offset < end.offset)
      this.#problem(
        'a reader saw the end of a channel go back',
        `${text}: ${epoch}:${offset} after ${end.offset}`,
      );
    this.#epoch(end, epoch, text);
    end.offset = offset;
    this.#elsewhere(who, channel, epoch, offset);
    const log = this.#log(channel, epoch);
    pubs.forEach((pub, i) => {
      if (pub.offset !== after + 1 + i)
        this.#problem(
          'a reader missed a message between others',
          `${text}: ${pub.offset} came as ${after + 1 + i}`,
        );
      const there = log.read.get(pub.offset) ?? log.delivered.get(pub.offset);
      if (there === undefined) log.read.set(pub.offset, pub.id);
      else if (there !== pub.id) this.#twoOrders(text, pub.offset, pub.id, there);
    });
    const due = Math.min(limit, offset - after);
    if (pubs.length < due)
      this.#problem(
        'a reader missed a message between others',
        `${text}: ${pubs.length} of ${due} after ${after}`,
        due - pubs.length,
      );
    log.top = Math.max(log.top, offset);
  }

  /** Peers may differ by what is on its way; how far is a figure, not a fault. */
  #elsewhere(who, channel, epoch, offset) {
    const key = `${who}\n${channel}`;
    const top = this.tops.get(key);
    if (top?.epoch === epoch && offset < top.offset) {
      this.staleReads++;
      this.stalest = Math.max(this.stalest, top.offset - offset);
    } else {
      this.tops.set(key, { epoch, offset });
    }
  }

  #twoOrders(text, offset, id, there) {
    this.#problem('one place has two messages', `${text}: ${offset} is ${id}, for others ${there}`);
  }

  #place({ who, channel, epoch }, offset, id) {
    const log = this.#log(channel, epoch);
    const there = log.delivered.get(offset);
    const read = log.read.get(offset);
    if ((there ?? read ?? id) !== id) this.#twoOrders(`${who} ${channel}`, offset, id, there ?? read);
    log.read.delete(offset);
    if (there !== undefined) return;
    log.delivered.set(offset, id);
    for (const [other, { offsets }] of this.logs.get(channel)) {
      const at = offsets.get(id);
      if (at === undefined) continue;
      const text = `${channel}: ${id} at ${other}:${at} and at ${epoch}:${offset} (${who})`;
      this.#problem('one message is in two places', text);
    }
    log.offsets.set(id, offset);
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
        'a subscriber never got the end',
        `${seen.who} ${seen.channel}: ${seen.last} of ${top}`,
        Math.max(1, top - (seen.last ?? 0)),
      );
    for (const [channel, epochs] of this.logs) this.#finishChannel(channel, epochs);
    for (const { channel, id } of this.unplaced) {
      const logs = [...(this.logs.get(channel)?.values() ?? [])];
      if (!logs.some((log) => log.offsets.has(id)))
        this.#problem(
          'acknowledged without a place, and no subscriber saw it',
          `${channel}: ${id}`,
        );
    }
  }

  #finishSeen(seen) {
    const { who, channel } = seen;
    const covered = ({ epoch, from, to }) =>
      seen.told.some((t) => (t.epoch ?? epoch) === epoch && t.from <= from && to <= t.to);
    for (const jump of seen.jumps) {
      if (covered(jump)) continue;
      const text = `${who} ${channel}: ${jump.from} to ${jump.to}`;
      const n = jump.to - jump.from + 1;
      this.#problem('messages were stepped over without a word', text, n, jump.during);
    }
    for (const stray of seen.strays) {
      if (seen.told.some((t) => (t.epoch ?? stray.from) === stray.from)) continue;
      const text = `${who} ${channel}: ${stray.offset} of epoch ${stray.to} in ${stray.from}`;
      this.#problem('another epoch began without a word', text, 1, stray.during);
    }
  }

  #finishChannel(channel, epochs) {
    for (const log of epochs.values()) {
      for (const [offset, id] of log.acked) {
        const got = log.delivered.get(offset);
        if (got === undefined)
          this.#problem('acknowledged, but no subscriber saw it', `${channel}: ${id} at ${offset}`);
        else if (got !== id)
          this.#problem(
            'acknowledged as one message, delivered as another',
            `${channel}: ${offset} is ${id} and ${got}`,
          );
      }
    }
  }
}
