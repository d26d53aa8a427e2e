import { isFloeError, type Clock, type Exec, type Logger } from '@floe/runtime';
import { oneLine } from '@floe/model';
import type { Notice, NoticeKind } from './protocol.ts';
import type { UserRequests } from './requests.ts';

/** Time for desktops to connect again after the agent was restarted, in ms. */
const GRACE_MS = 30_000;
/** How often to check whether a user has logged in, in ms. */
const RECHECK_MS = 60_000;
const WALL_TIMEOUT_MS = 30_000;
const MAX_CHARACTERS = 400;
const MAX_REMEMBERED = 50;
/** Kinds of notices that users should see without asking. The rest is in `floe-agent status`. */
const URGENT_KINDS: ReadonlySet<NoticeKind> = new Set<NoticeKind>(['waiting', 'restart-needed', 'put-back', 'problem']);

export interface WallDeps {
  readonly notices: UserRequests['notices'];
  /** How many desktops show the notices. */
  readonly followerCount: () => number;
  /** Whether a user is logged in, on a terminal or a desktop. */
  readonly isSomeoneHere: () => Promise<boolean>;
  readonly exec: Exec;
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Shows notices on the machine's terminals with util-linux' `wall` when no desktop shows them: each once, in one line. Runs until
 * `signal` aborts; logs its own failures and never throws.
 */
export async function runWall(deps: WallDeps, signal: AbortSignal): Promise<void> {
  const { clock, logger } = deps;
  let current: Notice | null = null;
  let replaced = new AbortController();
  const shown: string[] = [];
  const end = deps.notices((notice) => {
    if (notice?.id === current?.id) return;
    current = notice;
    replaced.abort();
  });
  try {
    while (!signal.aborted) {
      replaced = new AbortController();
      const changed = AbortSignal.any([signal, replaced.signal]);
      const notice = current as Notice | null;
      if (notice === null || !URGENT_KINDS.has(notice.kind) || shown.includes(notice.id)) {
        await aborted(changed);
        continue;
      }
      for (let waitMs = GRACE_MS; ; waitMs = RECHECK_MS) {
        await clock.sleep(waitMs, changed);
        if (changed.aborted) break;
        if (deps.followerCount() > 0 || !(await isSomeoneHere(deps))) continue;
        // Once, whether it works or not: otherwise a broken `wall` would log a line every minute.
        shown.push(notice.id);
        if (shown.length > MAX_REMEMBERED) shown.shift();
        await tell(deps, notice, signal).catch((error: unknown) => logger.warn('a notice could not be shown on the terminals', { error }));
        break;
      }
    }
  } finally {
    end();
  }
}

async function isSomeoneHere({ isSomeoneHere: ask, logger }: WallDeps): Promise<boolean> {
  try {
    return await ask();
  } catch (error) {
    logger.warn('cannot find out who is logged in', { error });
    return false;
  }
}

async function tell({ exec, env, logger }: WallDeps, notice: Notice, signal: AbortSignal): Promise<void> {
  try {
    // By standard input: `wall` may take an argument for a file name.
    const { end, exitCode, stderr } = await exec('wall', ['--timeout', '10'], {
      env,
      signal,
      timeoutMs: WALL_TIMEOUT_MS,
      stdin: `${wallText(notice)}\n`,
    });
    if (end === 'exited' && exitCode === 0) logger.info('showed a notice on the terminals', { notice: notice.id });
    else if (end !== 'aborted')
      logger.warn('a notice could not be shown on the terminals', { notice: notice.id, end, exitCode, said: stderr.trim().slice(-500) });
  } catch (error) {
    if (!isFloeError(error, 'EXEC_NOT_STARTED')) throw error;
    logger.warn('wall cannot be started: is util-linux in PATH?', { error });
  }
}

/** One line for a terminal: the notice, and the commands for its actions. Exported for its tests. */
export function wallText(notice: Notice): string {
  const hint = notice.actions.map((action) => `floe-agent ${action}`).join(' | ') || 'floe-agent status';
  const text = oneLine(`Floe: ${notice.title}. ${notice.body}`);
  const cut = text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS - 1)}…` : text;
  return `${cut} (${hint})`;
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
