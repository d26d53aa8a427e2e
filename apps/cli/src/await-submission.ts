import { HostView, type HostName } from '@floe/protocol';
import { submissionWords } from '@floe/views';
import type { ApiClient } from './api-client.ts';
import type { Cli } from './cli.ts';

const LOOK_EVERY_MS = 500;
/** To publish a large system takes longer: it goes on without anybody who waits. */
const WAIT_MS = 30_000;

/** What the server has made of a store path so far. */
export interface SubmissionNews {
  /** `waiting`: nothing final within the time that somebody waits. */
  readonly kind: 'published' | 'failed' | 'waiting';
  readonly text: string;
}

/** Waits for what the server makes of a store path, and notes what it says meanwhile. */
export async function awaitSubmission(cli: Cli, api: ApiClient, host: HostName, id: string): Promise<SubmissionNews> {
  const { clock, signal } = cli.deps;
  const until = clock.monotonic() + WAIT_MS;
  let noted: string | undefined;
  for (;;) {
    const { submission } = await api.get(`/api/hosts/${host}`, HostView);
    if (submission?.id !== id) return { kind: 'failed', text: `another store path of ${host} replaced it; see: floe hosts ${host}` };
    const text = submissionWords(submission);
    if (submission.state !== 'WAITING') return { kind: submission.state === 'PUBLISHED' ? 'published' : 'failed', text };
    if (clock.monotonic() >= until) return { kind: 'waiting', text: `${text}; see: floe hosts ${host}` };
    if (text !== noted) cli.out.note(text);
    noted = text;
    await clock.sleep(LOOK_EVERY_MS, signal);
    signal.throwIfAborted();
  }
}
