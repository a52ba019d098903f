// Watches peers that are cut off from the majority: they must refuse publishes with the temporary
// error within 2 s, say 503 at /readyz, and send their clients away. Asked from the hub, which
// reaches every peer whatever is cut.
import { sleep } from '../e2e/lib/wait.mjs';
import { now } from './clock.mjs';

const REFUSES_MS = 2000;
const TEMPORARY = 100;
const EVERY_MS = 250;
const PATIENCE_MS = 5000;

export class Minority {
  constructor(run, peer) {
    this.run = run;
    this.peer = peer;
    this.at = now();
    this.running = true;
    this.waiting = new Map(); // number of a publish -> when it was asked for
    this.refusals = []; // ms each
    this.unreadyMs = undefined;
    this.n = 0;
    this.done = this.#watch();
  }

  async #watch() {
    while (this.running) {
      this.#publish(this.n++);
      const status = await this.peer.readyStatus();
      if (status === 503) this.unreadyMs ??= now() - this.at;
      await sleep(EVERY_MS);
    }
  }

  async #publish(n) {
    const begun = now();
    this.waiting.set(n, begun);
    const body = {
      channel: `cut-${this.peer.name}`,
      data: { id: `cut-${this.peer.name}-${Math.round(this.at)}-${n}` },
    };
    let text;
    try {
      const res = await this.peer.publish(body, PATIENCE_MS);
      const { result, error } = res.json();
      const ms = now() - begun;
      // What was asked for in the cut may be taken, rightly, when it is over.
      if (result !== undefined && this.running) this.#broken('acknowledged a publish');
      else if (error?.code === TEMPORARY) this.refusals.push(ms);
      else if (error !== undefined) this.#broken(`refused with ${res.text}`);
      return;
    } catch (error) {
      text = error.message;
    } finally {
      this.waiting.delete(n);
    }
    if (this.running) this.#broken(`gave no answer to a publish: ${text}`);
  }

  #broken(text) {
    const after = (now() - this.at).toFixed(0);
    this.run.problem(`${this.peer.name}, cut off for ${after} ms, ${text}`);
  }

  /** Judged just before the cut is healed; @here: clients still connected to it. */
  async stop(here) {
    this.running = false;
    const limit = REFUSES_MS + this.run.options.slackMs + this.run.roundLagMs;
    const ages = [...this.waiting.values()].map((begun) => now() - begun);
    const slow = [...this.refusals, ...ages].filter((ms) => ms > limit);
    if (slow.length > 0)
      this.#broken(`took ${slow.map((ms) => ms.toFixed(0)).join(', ')} ms and more to refuse publishes`);
    if (this.refusals.length === 0) this.#broken('refused no publish');
    if (this.unreadyMs === undefined) this.#broken('never said 503 at /readyz');
    if (here.length > 0) this.#broken(`kept its clients ${here.join(', ')}`);
    await this.done;
  }
}
