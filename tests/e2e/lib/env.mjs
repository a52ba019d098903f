// What the environment says: which binaries, and how much time there is.
// DUN_TEST_SHORT marks sanitizer builds, which are several times slower; deadlines stretch with it.
import { accessSync, constants } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

export const short = process.env.DUN_TEST_SHORT === '1';
export const full = process.env.DUN_TEST_FULL === '1';
export const binDir = resolve(process.env.DUN_BIN ?? join(root, 'build/release'));
export const dunlind = join(binDir, 'dunlind');
export const dunlin = join(binDir, 'dunlin');

for (const program of [dunlind, dunlin]) {
  try {
    accessSync(program, constants.X_OK);
  } catch {
    console.error(`${program} is not there; build it, or set DUN_BIN to the build directory`);
    process.exit(1);
  }
}

/** One of three values: for the short, the usual and the full run. */
export function pick(inShort, usual, inFull = usual) {
  return full ? inFull : short ? inShort : usual;
}

/** A deadline that makes room for a slow build. */
export function patience(ms) {
  return short ? ms * 4 : ms;
}
