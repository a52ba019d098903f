// The configuration of deploy/vagrant: dunlind takes each file, and they differ only where machines
// do. The same for the five peers that are made from it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileOf, textOf } from './config.mjs';
import { dunlin, dunlind } from '../e2e/lib/env.mjs';

const dir = mkdtempSync(join(tmpdir(), 'dunlin-config-'));
const key = join(dir, 'cluster.key');
execFileSync(dunlin, ['keygen', '--out', key], { stdio: 'ignore' });
const env = { ...process.env, DUNLIN_CLUSTER_KEY_FILE: key, DUNLIN_API_KEY: 'a key' };

for (const count of [3, 5]) {
  const names = Array.from({ length: count }, (_, i) => `n${i + 1}`);
  for (const name of names)
    test(`${name} of ${count}`, () => {
      const file = fileOf(name, names, dir);
      assert.equal(readFileSync(file, 'utf8'), textOf(name, names));
      const said = execFileSync(dunlind, ['--check', '--config', file], { env, encoding: 'utf8' });
      assert.match(said, /configuration ok/);
    });
}

test('a file that dunlind refuses is found', () => {
  const bad = { ...env, DUNLIN_GOSSIP_LISTEN: 'nowhere' };
  const args = ['--check', '--config', fileOf('n1', ['n1', 'n2', 'n3'], dir)];
  assert.throws(() => execFileSync(dunlind, args, { env: bad, stdio: 'pipe' }), { status: 78 });
});

process.on('exit', () => rmSync(dir, { recursive: true }));
