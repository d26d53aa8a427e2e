import { HostView, type HostName } from '@floe/protocol';
import { trialEndWords, words } from '@floe/views';
import type { ApiClient } from './api-client.ts';
import type { Cli } from './cli.ts';

const LOOK_EVERY_MS = 500;
/** A download may take longer: the trial goes on without anybody who waits. */
const WAIT_MS = 30_000;

/** What the machine has made of a trial so far. */
export interface TrialNews {
  /** `waiting`: nothing final within the time that somebody waits. */
  readonly kind: 'runs' | 'ended' | 'failed' | 'waiting';
  readonly text: string;
}

/** Waits for the machine's answer, and notes what it does meanwhile. */
export async function awaitTrial(cli: Cli, api: ApiClient, host: HostName, id: string): Promise<TrialNews> {
  const { clock, signal } = cli.deps;
  const until = clock.monotonic() + WAIT_MS;
  const later = `see: floe hosts ${host}`;
  let noted: string | undefined;
  for (;;) {
    const view = await api.get(`/api/hosts/${host}`, HostView);
    const { trial, lastTrial } = view;
    if (lastTrial?.id === id) return { kind: lastTrial.hasFailed ? 'failed' : 'ended', text: trialEndWords(lastTrial) };
    if (trial?.id !== id) return { kind: 'ended', text: `another trial of ${host} replaced it; ${later}` };
    if (!view.isConnected) return { kind: 'waiting', text: `${host} is not connected: it begins when it comes back, if that is before the end` };
    const isAboutIt = trial.toplevel !== null && view.stateToplevel === trial.toplevel;
    if (isAboutIt && view.state === 'TRYING') return { kind: 'runs', text: `${host} runs it now` };
    const doing = isAboutIt ? `${host}: ${words(view.state)}` : `${host} has not answered yet`;
    if (clock.monotonic() >= until) return { kind: 'waiting', text: `${doing}; ${later}` };
    if (doing !== noted) cli.out.note(doing);
    noted = doing;
    await clock.sleep(LOOK_EVERY_MS, signal);
    signal.throwIfAborted();
  }
}
