import type { CommitSha, HostName, StorePath } from '@floe/model';
import type { Accepted, Changes, Deferred, LocalStatus, Notice, RollingBack } from '../local/protocol.ts';
import type { Outcome, UserRequests } from '../local/requests.ts';

const path = (letter: string): StorePath => `/nix/store/${letter.repeat(32)}-nixos-system-ada-26.05` as StorePath;
export const BEFORE = path('a');
export const AFTER = path('b');

export const STATUS: LocalStatus = {
  host: 'ada' as HostName,
  server: { url: 'https://floe.example.org', connected: true, since: Date.UTC(2026, 2, 1, 8), stranger: null, refusal: null },
  state: 'DEFERRED',
  since: Date.UTC(2026, 2, 1, 12),
  detail: null,
  waiting: { code: 'ON_BATTERY', message: 'the battery is at 20 %', until: Date.UTC(2026, 2, 4, 12) },
  wait: { what: 'switch', codes: ['ON_BATTERY'], startsAt: null, latestAt: Date.UTC(2026, 2, 4, 12), programs: [] },
  urgent: null,
  laterLeft: 2,
  desired: { toplevel: AFTER, commit: 'c'.repeat(40) as CommitSha, sequence: 17 },
  trial: null,
  running: { toplevel: BEFORE, commit: 'b'.repeat(40) as CommitSha, sequence: 16, repository: 'https://git.example/fleet', ref: 'refs/heads/main' },
  observed: { current: BEFORE, booted: BEFORE, profile: { generation: 41, toplevel: BEFORE } },
  quarantined: [],
  override: null,
  agentVersion: '0.1.0',
};

export const CHANGES: Changes = {
  subject: 'next',
  before: BEFORE,
  after: AFTER,
  packages: [
    { name: 'firefox', before: ['130.0'], after: ['131.0'], sizeDeltaBytes: 3_100_000 },
    { name: 'htop', before: [], after: ['3.3.0'], sizeDeltaBytes: 400_000 },
    { name: 'nano', before: ['8.0'], after: [], sizeDeltaBytes: -2_200_000 },
    { name: 'openssl', before: ['3.0.14'], after: ['3.0.14'], sizeDeltaBytes: 70_000 },
  ],
  addedCount: 1,
  removedCount: 1,
  rebuiltCount: 214,
  sizeBeforeBytes: 4_100_000_000,
  sizeAfterBytes: 4_101_370_000,
};

export function notice(id: string, change: Partial<Notice> = {}): Notice {
  return { id, kind: 'waiting', title: 'A new system is ready', body: 'It switches at 18:00', actions: ['later', 'now'], about: null, ...change };
}

/** An agent as the people at its machine see it. Answers can be replaced; what was asked is kept. */
export class FakeRequests implements UserRequests {
  readonly asked: (string | readonly [string, number | undefined])[] = [];
  statusAnswer: LocalStatus = STATUS;
  laterAnswer: Outcome<Deferred> = { kind: 'ok', until: Date.UTC(2026, 2, 1, 14), laterLeft: 1 };
  nowAnswer: Outcome<Accepted> = { kind: 'ok', toplevel: AFTER };
  rollbackAnswer: Outcome<RollingBack> = { kind: 'ok', toplevel: BEFORE };
  resumeAnswer: Outcome<Accepted> = { kind: 'ok', toplevel: null };
  changesAnswer: (signal: AbortSignal) => Promise<Outcome<Changes>> = async () => ({ kind: 'ok', ...CHANGES });
  readonly listeners = new Set<(notice: Notice | null) => void>();
  #current: Notice | null = null;

  async status() {
    return this.statusAnswer;
  }
  async later(minutes: number | undefined) {
    this.asked.push(['later', minutes]);
    return this.laterAnswer;
  }
  async now() {
    this.asked.push('now');
    return this.nowAnswer;
  }
  async rollback() {
    this.asked.push('rollback');
    return this.rollbackAnswer;
  }
  async resume() {
    this.asked.push('resume');
    return this.resumeAnswer;
  }
  async changes(signal: AbortSignal) {
    return await this.changesAnswer(signal);
  }
  notices = (listener: (notice: Notice | null) => void) => {
    this.listeners.add(listener);
    listener(this.#current);
    return () => void this.listeners.delete(listener);
  };

  say(next: Notice | null): void {
    this.#current = next;
    for (const listener of this.listeners) listener(next);
  }
}
