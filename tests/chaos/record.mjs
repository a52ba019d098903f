// A run as a page of docs/: where, what, how long, the table, and what was not tested. All of it is
// what the run itself knows, so that nothing has to be copied by hand.
import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { dunlind } from '../e2e/lib/env.mjs';
import { FAULTS, possible } from './faults.mjs';
import { spread } from './report.mjs';

const COLUMNS = [
  ['fault', (r) => r.fault],
  ['rounds', (r) => r.rounds],
  ['publishing gap', (r) => spread(r.publish_gap_ms)],
  ['clients', (r) => r.resume_ms.clients],
  ['client resume', (r) => spread(r.resume_ms)],
  ['stall', (r) => spread(r.stall_ms)],
  ['ready again', (r) => spread(r.ready_ms)],
  ['lost', (r) => r.lost],
  ['duplicated', (r) => r.duplicated],
  ['reordered', (r) => r.reordered],
];

const MINORITY = [
  ['fault', (r) => r.fault],
  ['publish refused within', (r) => spread(r.refusal_ms)],
  ['503 after', (r) => (r.unready_ms ? spread(r.unready_ms) : '-')],
];

const row = (cells) => `| ${cells.join(' | ')} |`;

const table = (columns, records) =>
  [
    row(columns.map(([name]) => name)),
    row(columns.map((_, i) => (i === 0 ? '---' : '---:'))),
    ...records.map((record) => row(columns.map(([, cell]) => cell(record)))),
  ].join('\n');

function command({ peers, minutes, seed, rate, slackMs, only }) {
  const kinds = (only ?? []).map((kind) => ` --only ${kind}`).join('');
  const slack = slackMs > 0 ? ` --slack ${slackMs}` : '';
  return `scripts/chaos --peers ${peers} --minutes ${minutes} --seed ${seed} --rate ${rate}${slack}${kinds}`;
}

/** How each kind was done here, and which were not. */
function kinds({ kinds: done, can }) {
  return Object.entries(FAULTS).map(([kind, { what }]) => {
    const fault = possible(kind, can);
    if (fault === undefined) return `- ${kind}: ${what}. **Not tested**: this kernel cannot.`;
    const how = fault.what === what ? '' : ` (${fault.what})`;
    const left = done.includes(kind) ? '' : ' **Not tested**: not asked for.';
    return `- ${kind}: ${what}${how}.${left}`;
  });
}

export function recordOf(run) {
  const { checker, report, options, broken, lagMs } = run;
  const sum = report.sum(run);
  const records = report.records(checker);
  const version = execFileSync(dunlind, ['--version'], { encoding: 'utf8' }).trim();
  const gib = (totalmem() / 2 ** 30).toFixed(0);
  const lines = [
    `- Command: \`${command(options)}\``,
    `- Ended: ${new Date().toISOString().slice(0, 16)}Z, after ${sum.minutes} minutes of faults`,
    `- Binary: \`${version}\``,
    `- Machine: ${cpus().length} x ${cpus()[0].model.trim()}, ${gib} GiB, Linux ${release()}; all peers and clients on it`,
    `- Faults: ${sum.faults}; messages acknowledged: ${sum.acked}; deliveries: ${sum.delivered}; history reads: ${sum.reads}`,
    `- **Lost: ${sum.lost}. Duplicated: ${sum.duplicated}. Reordered: ${sum.reordered}.** Gaps told: ${sum.gaps_told}. Other promises broken: ${sum.broken}.`,
    `- Publishing gap, all kinds: p50 ${sum.publish_gap_ms.p50}, p99 ${sum.publish_gap_ms.p99}, max ${sum.publish_gap_ms.max} ms; client resume: p50 ${sum.resume_ms.p50}, p99 ${sum.resume_ms.p99}, max ${sum.resume_ms.max} ms`,
    `- The longest the test's own loop stood still, part of any figure: ${lagMs.toFixed(0)} ms`,
    ...(broken.length + checker.problems.length > 0 ? ['', 'Broken:', ''] : []),
    ...[...broken, ...checker.problems].map((line) => `- ${line}`),
    '',
    'Figures in ms, as p50/p90/p99/max:',
    '',
    table(COLUMNS, records),
    '',
    'Peers cut off from the majority, where nothing else was harmed meanwhile:',
    '',
    table(MINORITY, records.filter((record) => record.refusal_ms)),
    '',
    'The kinds:',
    '',
    ...kinds(options),
  ];
  return `${lines.join('\n')}\n`;
}
