import type { NoTrial, StatusText, TestingStatus } from '@floe/model';
import { printableLine } from '@floe/model';
import type { HostView } from '@floe/protocol';
import { shortSha } from './text.ts';

type EndedTrial = Pick<NonNullable<HostView['lastTrial']>, 'commit' | 'by' | 'result' | 'hasFailed'>;

/** How a trial ended, in the words of the machine or of who ended it: the same on the page, on the command line, and in the log of decisions. */
export function trialEndWords({ commit, by, result, hasFailed }: EndedTrial): string {
  const why = result === '' ? '' : `: ${result}`;
  return `the trial of ${shortSha(commit)}, which ${by} asked for, ${hasFailed ? 'failed' : 'is over'}${why}`;
}

/** Why a host is not asked to try a system. */
export function noTrialWords(because: NoTrial, host: string): string {
  switch (because) {
    case 'HOST_NOT_ENROLLED':
      return `no agent is enrolled for ${host}: run: floe enrol ${host}`;
    case 'AGENT_TOO_OLD':
      return `the agent of ${host} is from before trials: it gets a newer one with the fleet`;
    case 'QUARANTINED':
      return `${host} rolled this system back before: while it is what ${host} should run, floe retry ${host} --reason "…" has it judged again; else push a change`;
    case 'ORDERED_QUARANTINE':
      return `a person quarantined this system on ${host}: see who and why with: floe hosts ${host}`;
    case 'NOTHING_TO_TRY':
      return `${host} runs and boots this system already`;
  }
}

/** The status of the head of a branch `testing/<host>`. */
export function describeTesting(status: TestingStatus): StatusText {
  if (status.kind === 'no-host') return { state: 'failure', description: `there is no host ${printableLine(status.name)}: nothing tries this` };
  const { host } = status;
  switch (status.kind) {
    case 'working':
      return { state: 'pending', description: `evaluating and building it for ${host} alone` };
    case 'trying': {
      const until = `${new Date(status.endsAt).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
      return { state: 'pending', description: `${host} is asked to try it until ${until}; the rollout policy in it is not used` };
    }
    case 'over':
      return { state: 'success', description: `the trial on ${host} is over: ${status.result}` };
    case 'failed':
      return { state: 'failure', description: `the trial on ${host} failed: ${status.result}` };
    case 'refused':
      return { state: 'failure', description: `${host}: ${status.why}` };
    case 'no-trial':
      return { state: 'failure', description: noTrialWords(status.because, host) };
    case 'not-on-top':
      return {
        state: 'failure',
        description: `it does not contain ${shortSha(status.tracked)} of ${status.branch}: rebase it on that, and push again`,
      };
    case 'too-late':
      return { state: 'error', description: 'it was not built within 24 hours of the push: push it again' };
    case 'replaced':
      return { state: 'error', description: 'a newer push to the branch replaced it' };
    case 'gone':
      return { state: 'error', description: 'the branch was deleted before anything was tried' };
  }
}
