import { join } from 'node:path';
import { emptyJournal } from '@floe/model';
import { FloeError, readFileIfPresent, signerFromPem } from '@floe/runtime';
import { readJournal } from './journal-file.ts';
import { statePaths } from './state-folder.ts';
import { observeLinks } from './system-files.ts';

export interface StatusOptions {
  readonly root: string | undefined;
  readonly stateDir: string;
  readonly isJson: boolean;
}

/** Where the agent stands and what the machine has, as text or JSON. */
export async function showStatus(options: StatusOptions): Promise<string> {
  const { journal: path, key } = statePaths(options.stateDir);
  const [reading, pem, observed] = await Promise.all([readJournal(path), readFileIfPresent(key), observeLinks(options.root ?? '')]);
  if (reading.kind === 'absent' && pem === undefined) throw new FloeError('NO_STATE', `no agent has run here yet: there is no ${key}`);
  if (reading.kind === 'broken')
    throw new FloeError('JOURNAL_BROKEN', `${path} cannot be read (${reading.why}); the agent moves it aside when it starts`);
  // An agent that was never told anything has written nothing down.
  const { state, since, detail, directive, pending, quarantined } = reading.kind === 'read' ? reading.journal : emptyJournal(0);
  if (options.isJson)
    return `${JSON.stringify({ state, since, detail, desired: directive?.release ?? null, waiting: pending?.release ?? null, quarantined, observed })}\n`;
  const rows: [string, string][] = [
    ['state', since === 0 ? `${state}: nothing was asked of this machine yet` : `${state} since ${new Date(since).toISOString()}`],
    ...(detail === null ? [] : [['because', `${detail.message} (${detail.code})`] satisfies [string, string]]),
    ['desired', directive?.release.toplevel ?? '-'],
    ['commit', directive?.release.commit ?? '-'],
    ['running', observed.current ?? '-'],
    ['next boot', observed.profile === null ? '-' : `${observed.profile.toplevel} (generation ${observed.profile.generation})`],
  ];
  return table(rows);
}

/** Who this machine is to its server, as text or JSON. */
export async function showIdentity(options: StatusOptions): Promise<string> {
  const paths = statePaths(options.stateDir);
  const [pem, machineId, enrolment] = await Promise.all([
    readFileIfPresent(paths.key),
    readFileIfPresent(join(options.root ?? '/', 'etc/machine-id')),
    readFileIfPresent(paths.enrolment),
  ]);
  if (pem === undefined) throw new FloeError('NO_STATE', `no agent has run here yet: there is no ${paths.key}`);
  const facts = { publicKey: signerFromPem('host', pem).publicKey, machineId: machineId?.trim() ?? null, isEnrolled: enrolment !== undefined };
  if (options.isJson) return `${JSON.stringify(facts)}\n`;
  return table([
    ['host key', facts.publicKey],
    ['machine id', facts.machineId ?? '-'],
    ['enrolled', facts.isEnrolled ? 'yes' : 'no'],
  ]);
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `${name.padEnd(width)}  ${text}\n`).join('');
}
