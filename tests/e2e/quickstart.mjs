// The tour of the README, step by step as a newcomer types it, with curl and a cluster of
// `dunlin dev`.
import assert from 'node:assert/strict';
import { dunlin } from './lib/env.mjs';
import { devPort, run, story } from './lib/peers.mjs';
import { until, within } from './lib/wait.mjs';

async function curl(...args) {
  const it = run('curl', ['-s', ...args]);
  return (await within('curl ends', 10_000, it.exited)).stdout;
}

story('the tour of the README holds', async () => {
  const port = await devPort(3);
  const at = (i) => `http://127.0.0.1:${port + i}`;
  const dev = run(dunlin, ['dev', '--peers', '3', '--port', `${port}`]);
  await until('ready', 30_000, () => /^ready$/m.test(dev.stdout));

  // A page that is open: at the second peer.
  const stream = run('curl', ['-sN', `${at(1)}/events/news`]);
  await until('the stream is open', 10_000, () => stream.stdout.includes('id: '));
  const answer = await curl(
    '-d',
    '{"channel":"news","data":{"text":"hello"}}',
    `${at(0)}/api/publish`,
  );
  const { result } = JSON.parse(answer);
  assert.equal(result.offset, 1);
  await until('hello arrives', 5000, () => stream.stdout.includes('data: {"text":"hello"}'));

  const [, pid] = /^peer=n3 pid=(\d+)/m.exec(dev.stdout);
  process.kill(Number(pid), 'SIGKILL');
  await until('publishing goes on', 10_000, async () => {
    const body = '{"channel":"news","data":{"text":"still here"},"idempotency_key":"tour"}';
    return JSON.parse(await curl('-d', body, `${at(0)}/api/publish`)).result;
  });
  await until('it arrives', 5000, () => stream.stdout.includes('{"text":"still here"}'));
  assert.ok(stream.stdout.includes(`id: ${result.epoch}:2`));
  process.kill(stream.pid);

  await curl('-d', '{"channel":"news","data":"missed"}', `${at(1)}/api/publish`);
  const back = run('curl', [
    '-sN',
    '-H',
    `Last-Event-ID: ${result.epoch}:2`,
    `${at(0)}/events/news`,
  ]);
  await until('exactly what was missed', 5000, () => back.stdout.includes('data: "missed"'));
  assert.equal([...back.stdout.matchAll(/^data: /gm)].length, 1);
  process.kill(back.pid);

  assert.match(await curl(`${at(0)}/`), /<html/);
  process.kill(dev.pid, 'SIGINT');
  await within('Ctrl-C ends all', 30_000, dev.exited);
});
