// `dunlin bench overload` against a cluster of the test's own, and what all of its runs must hold.
import assert from 'node:assert/strict';
import { dunlin, full, short } from './env.mjs';
import { run, startCluster } from './peers.mjs';
import { within } from './wait.mjs';

const RATIO = 2; // p99 of the others, with load to without
const LOOSE = 20; // a shared machine: only that nobody is left waiting
const FLOOR_MS = 25; // below it such a ratio says nothing

/** Budget of one peer in MiB, as docs/overload.md has it. */
export const STORE_MIB = 64;
const UNREAD_MIB = 64; // a worker
const BASE_MIB = 32;
const CONNECTION_KIB = 8;
export const budget = (connections, workers = 2) =>
  BASE_MIB + 1.5 * STORE_MIB + workers * UNREAD_MIB + (connections * CONNECTION_KIB) / 1024;

export const config = (history) =>
  `client: {insecure: true}\nworkers: 2\nstore: {max_memory: ${STORE_MIB}MiB}\n` +
  `namespaces: [{name: "", history_size: ${history}, history_ttl: 1h, force_recovery: true}]\n`;

export async function overload(kind, options, history) {
  const cluster = await startCluster({ config: config(history) });
  const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  if (full) words.push('--idle', '--awake', '--repeats', `${options.rounds}`);
  words.push('--server', cluster.peers.map((peer) => peer.url).join(','));
  words.push('--pid', cluster.peers.map((peer) => peer.process.pid).join(','), '--json');
  const tool = run(dunlin, ['bench', 'overload', kind, ...words]);
  await within('the bench ends', full ? 900_000 : 200_000, tool.exited);
  assert.equal(tool.stderr, '');
  const figures = JSON.parse(tool.stdout);
  assert.equal(figures.ok, true, tool.stdout);
  return { cluster, figures, results: figures.load.map(({ result }) => result) };
}

const times = ({ p50, p99, n, stolen_percent: stolen }) =>
  `p50=${p50.toFixed(1)} p99=${p99.toFixed(1)} n=${n} (${stolen} % stolen)`;

const taken = (round) => Math.max(round.calm_stolen_percent, round.loaded_stolen_percent);
const inShort = (round) =>
  `${round.calm_p99_ms.toFixed(1)} to ${round.loaded_p99_ms.toFixed(1)}` +
  (round.counted ? '' : ` (${taken(round)} % stolen: not counted)`);

export function print(figures, connections) {
  const { before, peak, now } = figures.rss_mib;
  console.log(`p99 of each round, calm to loaded, in ms: ${figures.rounds.map(inShort).join(', ')}`);
  console.log(
    `others' latency in ms, calm: ${times(figures.calm_ms)}; loaded: ` +
      `${times(figures.loaded_ms)}; ratio of p99: ${figures.ratio.toFixed(2)}\n` +
      `memory of the largest peer in MiB: ${before} before, ${peak} peak, ${now} after; ` +
      `bound ${budget(connections).toFixed(0)}`,
  );
}

/** Memory, the others' latency and their messages. */
export function checkOthers(figures, connections) {
  const { calm_ms: calm, loaded_ms: loaded } = figures;
  assert.equal(figures.wrong, 0);
  assert.equal(figures.unanswered, 0);
  assert.deepEqual(figures.errors, {});
  if (short) return; // sanitizers have memory and time of their own
  assert.ok(figures.rss_mib.peak <= budget(connections), `${figures.rss_mib.peak} MiB`);
  const bound = full ? RATIO * calm.p99 : LOOSE * Math.max(calm.p99, FLOOR_MS);
  assert.ok(loaded.p99 <= bound, `p99 ${loaded.p99} ms with load, ${calm.p99} ms without`);
}
