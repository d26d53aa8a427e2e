import { isFloeError, type Clock, type Exec, type Logger } from '@floe/runtime';
import { oneLine } from '@floe/model';
import type { Notice, NoticeKind } from './protocol.ts';
import type { UserRequests } from './requests.ts';

/** Desktops need this long to follow the notices after the agent was restarted. */
const GRACE_MS = 30_000;
/** How often it is looked whether someone has logged in since. */
const RECHECK_MS = 60_000;
const WALL_TIMEOUT_MS = 30_000;
const MAX_CHARACTERS = 400;
const MAX_REMEMBERED = 50;
/** What people should know although they did not ask. The rest is in `floe-agent status`. */
const NEEDS_PEOPLE: ReadonlySet<NoticeKind> = new Set<NoticeKind>(['waiting', 'restart-needed', 'put-back', 'problem']);

export interface WallDeps {
  readonly notices: UserRequests['notices'];
  /** How many desktops show the notices already. */
  readonly followerCount: () => number;
  /** Whether a person is logged in, on a terminal or a desktop. */
  readonly isSomeoneHere: () => Promise<boolean>;
  readonly exec: Exec;
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Tells the people on this machine's terminals, with util-linux' `wall`, what no desktop shows them: each notice once, in
 * one line. Until `signal` aborts; never throws for what goes wrong with it.
 */
export async function runWall(deps: WallDeps, signal: AbortSignal): Promise<void> {
  const { clock, logger } = deps;
  let current: Notice | null = null;
  let replaced = new AbortController();
  const told: string[] = [];
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
      if (notice === null || !NEEDS_PEOPLE.has(notice.kind) || told.includes(notice.id)) {
        await aborted(changed);
        continue;
      }
      for (let waitMs = GRACE_MS; ; waitMs = RECHECK_MS) {
        await clock.sleep(waitMs, changed);
        if (changed.aborted) break;
        if (deps.followerCount() > 0 || !(await isSomeoneHere(deps))) continue;
        // Once, whether it works or not: a broken wall is not worth a line every minute.
        told.push(notice.id);
        if (told.length > MAX_REMEMBERED) told.shift();
        await tell(deps, notice, signal).catch((error: unknown) => logger.warn('the people at this machine could not be told', { error }));
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
    logger.warn('who is logged in cannot be found out', { error });
    return false;
  }
}

async function tell({ exec, env, logger }: WallDeps, notice: Notice, signal: AbortSignal): Promise<void> {
  try {
    // By standard input: an argument could be taken for a file's name.
    const { end, exitCode, stderr } = await exec('wall', ['--timeout', '10'], {
      env,
      signal,
      timeoutMs: WALL_TIMEOUT_MS,
      stdin: `${wallText(notice)}\n`,
    });
    if (end === 'exited' && exitCode === 0) logger.info('told the people at this machine', { notice: notice.id });
    else if (end !== 'aborted')
      logger.warn('the people at this machine could not be told', { notice: notice.id, end, exitCode, said: stderr.trim().slice(-500) });
  } catch (error) {
    if (!isFloeError(error, 'EXEC_NOT_STARTED')) throw error;
    logger.warn('wall cannot be started: is util-linux in PATH?', { error });
  }
}

/** One line for a terminal: what, and the command that answers it. Exported for its tests. */
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
