// A backend that publishes through all peers and does not give up: every message has an idempotency
// key, and is retried through another peer until one acknowledges it.
import http from 'node:http';
import { patience } from './env.mjs';
import { api } from './http.mjs';
import { sleep } from './wait.mjs';

const WAIT_MS = 1500; // for one answer, before another peer is asked
const WAITING_MAX = 500; // without an answer; a machine too slow for the rate gets a lower one

export class Publisher {
  constructor(peers, channels, { rate = 1000, size = 0, retryForMs = 60_000 } = {}) {
    this.peers = peers;
    this.channels = channels;
    this.rate = rate;
    this.retryForMs = retryForMs;
    this.padding = 'x'.repeat(size);
    this.agents = peers.map(() => new http.Agent({ keepAlive: true, maxSockets: 256 }));
    this.acks = []; // { at, channel }
    this.logs = new Map(channels.map((c) => [c, new Map()])); // offset -> id
    this.epochs = new Map(channels.map((c) => [c, new Set()]));
    this.faults = [];
    this.retries = 0;
    this.sent = 0;
    this.waiting = 0;
    this.acked = 0;
    this.latencies = [];
    this.lagMaxMs = 0; // of our own event loop: what part of a figure is ours
    this.running = false;
  }

  start() {
    this.running = true;
    this.done = this.#run();
    this.done.catch(() => {});
    return this;
  }

  /** Stops sending, waits for what is under way, then ends each channel with one message more: what
   *  a subscriber still gets again or too late, it has got when that one comes. */
  async stop() {
    this.running = false;
    await this.done;
    while (this.waiting > 0) await sleep(10);
    await Promise.all(this.channels.map((channel, i) => this.send(channel, `end-${channel}`, i)));
    for (const agent of this.agents) agent.destroy();
    if (this.faults.length > 0)
      throw new Error(`publishing: ${this.faults.slice(0, 5).join('; ')}`);
  }

  async #run() {
    const begun = performance.now();
    let due = 0;
    let last = begun;
    while (this.running) {
      await sleep(5);
      const now = performance.now();
      this.lagMaxMs = Math.max(this.lagMaxMs, now - last - 5);
      last = now;
      due = ((now - begun) / 1000) * this.rate;
      if (due - this.sent > this.rate) due = this.sent + this.rate; // no more than a second behind
      while (this.sent < due && this.waiting < WAITING_MAX) this.#one(this.sent++);
    }
  }

  #one(n) {
    return this.send(this.channels[n % this.channels.length], `m${n}`, n);
  }

  /** One message, through the peer at @n first; resolves when it is acknowledged. */
  async send(channel, id, n) {
    const body = JSON.stringify({
      channel,
      data: this.padding === '' ? { id } : { id, padding: this.padding },
      idempotency_key: `key-${id}`,
    });
    const begun = performance.now();
    this.waiting++;
    for (let turn = n; ; turn++) {
      const k = turn % this.peers.length;
      try {
        const res = await api(this.peers[k], 'publish', body, {
          agent: this.agents[k],
          timeoutMs: patience(WAIT_MS),
        });
        const answer = res.json();
        if (answer.result !== undefined) {
          this.#acked(channel, id, answer.result, begun);
          break;
        }
        if (answer.error?.code !== 100 && answer.error?.code !== 111) {
          this.faults.push(`${id}: ${res.text}`);
          break;
        }
      } catch {
        // a lost connection or no answer: the outcome is unknown, so ask again with the same key
      }
      if (performance.now() - begun > patience(this.retryForMs)) {
        this.faults.push(`${id}: not acknowledged within ${this.retryForMs} ms`);
        break;
      }
      this.retries++;
      if (turn - n >= 2) await sleep(20);
    }
    this.waiting--;
  }

  #acked(channel, id, { offset, epoch }, begun) {
    const now = performance.now();
    const log = this.logs.get(channel);
    this.acked++;
    this.acks.push({ at: now, channel });
    this.latencies.push(now - begun);
    if (log.has(offset))
      this.faults.push(`${channel}: ${offset} given to ${log.get(offset)} and ${id}`);
    log.set(offset, id);
    this.epochs.get(channel).add(epoch);
  }

  /** The longest time without an acknowledgement that begins within [from, to]: of any channel, of
   *  the worst channel, and of each. Ask when publishing is over, so that every silence has its
   *  end. */
  gaps(from, to) {
    const longest = (acks) => {
      let last = from;
      let gap = 0;
      for (const { at } of acks) {
        if (at < from) continue;
        gap = Math.max(gap, at - last);
        last = at;
        if (at > to) break;
      }
      return last > to ? gap : Math.max(gap, to - last);
    };
    const each = this.channels.map((c) => longest(this.acks.filter((ack) => ack.channel === c)));
    return { any: longest(this.acks), worst: Math.max(...each), each };
  }
}
