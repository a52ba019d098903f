// The addresses and configuration files of the machines of deploy/vagrant. Three peers run those
// files as they are; for five, the file of n1 is written anew with the other names and addresses.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const NETWORK = '192.168.56';
const FOLDER = fileURLToPath(new URL('../../deploy/vagrant', import.meta.url));
const COMMITTED = ['n1', 'n2', 'n3'];

export const addressOf = (index) => `${NETWORK}.${11 + index}`;

const joinOf = (names) => `join: [${names.map((_, i) => `${addressOf(i)}:7946`).join(', ')}]`;

/** @text with @from for @to; what is not there once or more is an error, so a file cannot drift. */
function change(text, from, to) {
  if (!text.includes(from)) throw new Error(`deploy/vagrant/n1.yaml has no "${from}"`);
  return text.replaceAll(from, to);
}

const voters = (names) => `voters: [${names.join(', ')}]`;
const committed = (name) => join(FOLDER, `${name}.yaml`);

/** The file of peer @name in a cluster of @names, made from that of n1. */
export function textOf(name, names) {
  const own = addressOf(names.indexOf(name));
  let text = readFileSync(committed('n1'), 'utf8');
  text = change(text, 'name: n1\n', `name: ${name}\n`);
  text = change(text, `listen: ${addressOf(0)}:`, `listen: ${own}:`);
  text = change(text, voters(COMMITTED), voters(names));
  return change(text, joinOf(COMMITTED), joinOf(names));
}

/** The path of the same: the file as it is in deploy/vagrant, or one that is put in @dir. */
export function fileOf(name, names, dir) {
  if (names.join() === COMMITTED.join()) return committed(name);
  const file = join(dir, `${name}.yaml`);
  writeFileSync(file, textOf(name, names));
  return file;
}
