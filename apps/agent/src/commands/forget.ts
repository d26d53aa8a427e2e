import { describeError, FloeError, silentLogger } from '@floe/runtime';
import type { AgentJournal } from '@floe/model';
import { readJournal, saveJournal } from '../state/journal-file.ts';
import { lockState, statePaths } from '../state/state-folder.ts';

/** What an agent was told too far of, e.g. with a stolen key or by a clock that was ahead. */
const FORGETTABLE = {
  epoch: {
    told: ({ epoch }: AgentJournal) => `epoch ${epoch}`,
    without: (journal: AgentJournal): AgentJournal => ({ ...journal, epoch: 0 }),
  },
  date: {
    told: ({ freshness }: AgentJournal) => (freshness === null ? 'no date' : `date ${new Date(freshness.asOf).toISOString()}`),
    without: (journal: AgentJournal): AgentJournal => ({ ...journal, freshness: null }),
  },
  sequence: {
    told: ({ sequences }: AgentJournal) =>
      sequences.length === 0
        ? 'no sequence'
        : sequences.map(({ sequence, repository, ref }) => `sequence ${sequence} of ${repository} ${ref}`).join(', '),
    without: (journal: AgentJournal): AgentJournal => ({ ...journal, sequences: [] }),
  },
} as const;

const NAMES = Object.keys(FORGETTABLE) as (keyof typeof FORGETTABLE)[];

/**
 * Takes out of the journal what keeps every directive from being accepted; keys, enrolment, quarantine and the way back stay.
 * Returns what to tell. Throws USAGE, AGENT_RUNNING, NO_STATE, JOURNAL_BROKEN, NOT_ALLOWED.
 */
export async function forget(words: readonly string[], options: { readonly stateDir: string }): Promise<string> {
  const names = NAMES.filter((name) => words.includes(name));
  if (names.length === 0 || names.length < new Set(words).size) {
    throw new FloeError('USAGE', `say what to forget: ${NAMES.join(', ')} (see floe-agent forget --help)`);
  }
  const paths = statePaths(options.stateDir);
  try {
    const before = await readJournal(paths.journal);
    if (before.kind === 'absent') throw new FloeError('NO_STATE', `no agent was told anything here: there is no ${paths.journal}`);
    await using _lock = await lockState(paths, { logger: silentLogger });
    const reading = await readJournal(paths.journal);
    if (reading.kind !== 'read') throw new FloeError('JOURNAL_BROKEN', `${paths.journal} cannot be read; the agent moves it aside when it starts`);
    await saveJournal(
      paths.journal,
      names.reduce((journal, name) => FORGETTABLE[name].without(journal), reading.journal),
    );
    const told = names.map((name) => FORGETTABLE[name].told(reading.journal)).join(', ');
    return `forgotten: ${told}. The next directive that the keys of this system let pass is taken. Start the agent again: sudo systemctl start floe-agent\n`;
  } catch (error) {
    if (!['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    throw new FloeError('NOT_ALLOWED', `only root can change what floe-agent wrote down: use sudo (${describeError(error)})`, { cause: error });
  }
}
