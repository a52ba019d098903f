// How a client process tells the run what it saw: a line of JSON an event, on stdout.
import { createInterface } from 'node:readline';
import { now } from './clock.mjs';

/** @event: ack, sub, pub, gap, down, end or fault; see clients.mjs for the members. */
export function say(event, members) {
  process.stdout.write(`${JSON.stringify({ e: event, t: now(), ...members })}\n`);
}

/** What the run gave this process to do. */
export const task = JSON.parse(process.argv[2]);

/** @task.peers in the order of client number @i: beginnings differ, and so do the second choices. */
export function order(i) {
  const n = task.peers.length;
  const step = Math.floor(i / n) % 2 === 0 ? 1 : n - 1;
  return task.peers.map((_, k) => task.peers[(i + k * step) % n]);
}

/** The run sends a line of a word; @words has a function for each. */
export function listen(words) {
  createInterface({ input: process.stdin }).on('line', (line) => words[line]());
}

process.on('SIGTERM', () => process.exit(0));
