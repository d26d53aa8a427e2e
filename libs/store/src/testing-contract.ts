import type { CommitSha, HostName } from '@floe/model';
import type { EndedTrial, Trial } from './trial-records.ts';
import type { Timestamp } from './timestamp.ts';

/** `SEEN`: this head has no result yet. `TRYING`: the host was asked to try it. `DONE`: it has its last word. */
export const TESTING_STATES = ['SEEN', 'TRYING', 'DONE'] as const;

/** A branch `testing/<host>`, as it was last looked at. */
export interface TestingBranch {
  readonly repositoryId: string;
  readonly host: HostName;
  readonly head: CommitSha;
  /** When this head was seen first: its trial ends by a time after this, whatever is repeated. */
  readonly seenAt: Timestamp;
  readonly state: (typeof TESTING_STATES)[number];
  /** The newest trial that this branch began, also of an older head. */
  readonly trialId?: string | undefined;
}

export interface TestingStore {
  /** By host. */
  list(repositoryId: string): Promise<readonly TestingBranch[]>;
  /** A row of each host. */
  save(branch: TestingBranch): Promise<void>;
  remove(branch: Pick<TestingBranch, 'repositoryId' | 'host'>): Promise<void>;
  /** Begins the trial and notes that the branch did, both or none: so one head begins one trial. */
  begin(branch: TestingBranch, trial: Omit<Trial, 'id' | 'epoch'>): Promise<TestingBranch>;
  /** Notes as its host's last trial that the head is not tried, and why; not where a trial is under way there. */
  refuse(branch: TestingBranch, refused: Pick<EndedTrial, 'by' | 'result' | 'endedAt'> & Pick<Trial, 'reason'>): Promise<void>;
}
