import { describeError, FloeError, silentLogger } from '@floe/runtime';
import type { AgentJournal } from '@floe/model';
import { readJournal, saveJournal } from '../state/journal-file.ts';
import { lockState, statePaths } from '../state/state-folder.ts';

/** What can be too high in the journal, e.g. because of a stolen key or a clock that was ahead. */
const FORGETTABLE = {
  epoch: {
    value: ({ epoch }: AgentJournal) => `epoch ${epoch}`,
    without: (journal: AgentJournal): AgentJournal => ({ ...journal, epoch: 0 }),
  },
  date: {
    value: ({ freshness }: AgentJournal) => (freshness === null ? 'no date' : `date ${new Date(freshness.asOf).toISOString()}`),
    without: (journal: AgentJournal): AgentJournal => ({ ...journal, freshness: null }),
  },
  sequence: {
    value: ({ sequences }: AgentJournal) =>
      sequences.length === 0
        ? 'no sequence'
        : sequences.map(({ sequence, repository, ref }) => `sequence ${sequence} of ${repository} ${ref}`).join(', '),
    without: (journal: AgentJournal): AgentJournal => ({ ...journal, sequences: [] }),
  },
} as const;

const NAMES = Object.keys(FORGETTABLE) as (keyof typeof FORGETTABLE)[];

/**
 * Removes from the journal what makes the agent refuse every directive. Keys, enrolment, quarantine and the rollback target stay.
 * Returns the text to show. Throws USAGE, AGENT_RUNNING, NO_STATE, JOURNAL_BROKEN, NOT_ALLOWED.
 */
export async function forget(words: readonly string[], options: { readonly stateDir: string }): Promise<string> {
  const names = NAMES.filter((name) => words.includes(name));
  if (names.length === 0 || names.length < new Set(words).size) {
    throw new FloeError('USAGE', `say what to forget: ${NAMES.join(', ')} (see floe-agent forget --help)`);
  }
  const paths = statePaths(options.stateDir);
  try {
    const before = await readJournal(paths.journal);
    if (before.kind === 'absent') throw new FloeError('NO_STATE', `no agent has run here: there is no ${paths.journal}`);
    await using _lock = await lockState(paths, { logger: silentLogger });
    const reading = await readJournal(paths.journal);
    if (reading.kind !== 'read') throw new FloeError('JOURNAL_BROKEN', `${paths.journal} cannot be read; the agent moves it aside when it starts`);
    await saveJournal(
      paths.journal,
      names.reduce((journal, name) => FORGETTABLE[name].without(journal), reading.journal),
    );
    const forgotten = names.map((name) => FORGETTABLE[name].value(reading.journal)).join(', ');
    return `forgotten: ${forgotten}. The agent accepts the next directive that is signed by the keys of this system. Start the agent again: sudo systemctl start floe-agent\n`;
  } catch (error) {
    if (!['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    throw new FloeError('NOT_ALLOWED', `only root can change the journal of floe-agent: use sudo (${describeError(error)})`, { cause: error });
  }
}
