/**
 * Joins fleet records of parts into one, for the run that comes after: prints that of the last with the deployments of all, of
 * each what the last record that has it says.
 */
import { messageOf } from '../build/error.js';
import { readRecord } from '../build/commands/fleet.js';
import type { FleetEntry } from '../build/fleet/record.js';

try {
  const records = await Promise.all(process.argv.slice(2).map(readRecord));
  const last = records.at(-1);
  if (!last) throw new Error('Name the records: join-records fleet.json…');
  const deployments = new Map<string, FleetEntry>();
  for (const record of records) for (const entry of record.deployments) deployments.set(entry.name, entry);
  const bases = new Map(records.flatMap((record) => record.bases.map((base) => [base.key, base])));
  const joined = {
    ...last,
    bases: [...bases.values()],
    deployments: [...deployments.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    made: [...new Set(records.flatMap((record) => record.made))].sort(),
  };
  process.stdout.write(`${JSON.stringify(joined, null, 2)}\n`);
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 2;
}
