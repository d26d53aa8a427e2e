import { emptyJournal, isTrialOpen } from '@floe/model';
import { FloeError, readFileIfPresent, silentLogger, systemClock } from '@floe/runtime';
import { readJournal } from '../state/journal-file.ts';
import { readRecord } from '../server/enrolment-record.ts';
import { loadKeys } from '../server/identity.ts';
import { readKnownReleases, releaseOf } from '../state/known-releases.ts';
import { statePaths } from '../state/state-folder.ts';
import { observeLinks } from '../machines/links.ts';
import { runningOf } from '../state/running-text.ts';
import type { Language } from '../text/words/languages.ts';
import { lastStatus } from './people-status.ts';
import { describeState, localTime, systemRows, table, trialRow } from './text.ts';

export interface StatusOptions {
  readonly root: string | undefined;
  readonly stateDir: string;
  readonly isJson: boolean;
  /** With the details for administrators. */
  readonly isVerbose: boolean;
  /** Of the user who asks; with --verbose it is English. */
  readonly language: Language;
  /** Default: the machine's clock. */
  readonly now?: number;
}

/** The agent's last state on disk, and what the machine has, as text or JSON: for when the agent does not run. */
export async function showStatus(options: StatusOptions): Promise<string> {
  const { journal: path, key, releases } = statePaths(options.stateDir);
  const [reading, pem, observed, known] = await Promise.all([
    readable(readJournal(path)),
    readable(readFileIfPresent(key)),
    observeLinks(options.root ?? ''),
    readable(readKnownReleases(releases)),
  ]);
  if (reading.kind === 'absent' && pem === undefined) throw new FloeError('NO_STATE', `no agent has run here yet: there is no ${key}`);
  if (reading.kind === 'broken')
    throw new FloeError('JOURNAL_BROKEN', `${path} cannot be read (${reading.why}); the agent moves it aside when it starts`);
  // An agent that never received a directive has no journal on disk.
  const { state, since, detail, directive, pending, quarantined } = reading.kind === 'read' ? reading.journal : emptyJournal(0);
  const desired = directive?.release ?? null;
  const running = runningOf(observed.current, releaseOf(known, observed.current));
  if (options.isJson)
    return `${JSON.stringify({ isRunning: false, state, since, detail, desired, pending: pending?.release ?? null, quarantined, observed, running })}\n`;
  const { now = systemClock.now() } = options;
  const endsAt = reading.kind === 'read' && isTrialOpen(reading.journal) ? directive?.trial?.endsAt : undefined;
  if (!options.isVerbose) return lastStatus(state, detail?.code ?? null, endsAt ?? null, { now, language: options.language });
  const trialRows = endsAt === undefined || desired === null ? [] : [trialRow(desired.commit, endsAt, { now })];
  return table([
    ['agent', 'not running; this is its last state on disk (sudo systemctl start floe-agent)'],
    ['state', since === 0 ? `${state}: no directive received yet` : `${state}: ${describeState(state)}, since ${localTime(since, { now })}`],
    ...(detail === null ? [] : [['because', `${detail.message} (${detail.code})`] satisfies [string, string]]),
    ...trialRows,
    ...systemRows({ desired, running, observed, quarantined }),
  ]);
}

/** The machine's identity towards its server, as text or JSON. */
export async function showIdentity(
  options: Omit<StatusOptions, 'isVerbose' | 'language'> & { readonly keyFile: string | undefined },
): Promise<string> {
  const paths = statePaths(options.stateDir);
  const [pem, record] = await Promise.all([readable(readFileIfPresent(paths.key)), readable(readRecord(paths))]);
  // Else the agent's own key would be made.
  if ((options.keyFile ?? record?.keyFile) === undefined && pem === undefined)
    throw new FloeError('NO_STATE', `no agent has run here yet: there is no ${paths.key}`);
  const { root, keyFile } = options;
  const { used: key } = await readable(loadKeys({ root, keyFile, paths, logger: silentLogger }));
  const facts = { publicKey: key.signer.publicKey, machineId: key.machineId, keyFile: key.keyFile ?? paths.key, isEnrolled: record !== undefined };
  if (options.isJson) return `${JSON.stringify(facts)}\n`;
  return table([
    ['host key', facts.publicKey],
    ['machine id', facts.machineId],
    ['key file', facts.keyFile],
    ['enrolled', facts.isEnrolled ? 'yes' : 'no'],
  ]);
}

/** The state folder is root's. */
async function readable<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    const { code, cause } = error as NodeJS.ErrnoException;
    if (![code, (cause as NodeJS.ErrnoException | undefined)?.code].some((each) => each === 'EACCES' || each === 'EPERM')) throw error;
    throw new FloeError('NOT_ALLOWED', 'only root can read the state of floe-agent: use sudo', { cause: error });
  }
}
