import { send, SEND_LIMIT_MS, type SendOutcome } from '@floe/notify';
import { fullJitter, isAboutSubject, type BackoffOptions, type Clock, type Logger, type Wake } from '@floe/runtime';
import type { NotificationStore } from '@floe/store';
import { messageOf } from './message.ts';
import type { NotifyTarget } from './notify-config.ts';

/** How often a target is looked at without a hint: another server may have put something and ended. */
const LOOK_MS = 30_000;
/** Longer than one try takes, so that one that lives needs no renewal. */
const LEASE_MS = SEND_LIMIT_MS + 10_000;
/** For a target that fails or is away. */
const AWAY: BackoffOptions = { baseMs: 2_000, capMs: 15 * 60_000 };
const MIN_PAUSE_MS = 1_000;

export interface SendLoopDeps {
  readonly store: Pick<NotificationStore, 'claim' | 'markSent' | 'markFailed' | 'states'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  readonly publicUrl: string;
  /** A problem with a target, for people; undefined ends it. */
  readonly onProblem: (code: string, problem: string | undefined) => void;
}

/** Sends one target what is due, until `signal` aborts. Each target has a loop of its own: one that fails or is slow stops no other. */
export async function runSendLoop(deps: SendLoopDeps, target: NotifyTarget, wake: Wake, signal: AbortSignal): Promise<void> {
  const { store, clock, random, logger, onProblem } = deps;
  const { name } = target;
  let failures = 0;
  while (!signal.aborted) {
    try {
      const claimed = await store.claim(name, clock.now(), LEASE_MS);
      if (claimed.kind === 'wait') {
        const state = (await store.states()).find((each) => each.name === name);
        onProblem(`NOTIFY_${name.toUpperCase().replaceAll('-', '_')}`, problemOf(name, state?.failing));
        const waitMs = claimed.until === undefined ? LOOK_MS : Math.min(LOOK_MS, Math.max(0, claimed.until - clock.now()));
        await wake.wait(waitMs, signal);
      } else {
        const events = claimed.events.map(({ event }) => event);
        const message = messageOf(events, deps.publicUrl, clock.now());
        const outcome = await send(target.address, message, { now: clock.now(), signal });
        await settle(deps, name, claimed, outcome, signal);
      }
      failures = 0;
    } catch (error) {
      if (isAboutSubject(error)) logger.error('a notification target cannot be worked on; the others go on', { target: name, error });
      else logger.debug('notifications wait for the database', { error });
      await clock.sleep(Math.max(MIN_PAUSE_MS, fullJitter(failures++, AWAY, random)), signal);
    }
  }
}

async function settle(
  { store, clock, random, logger }: SendLoopDeps,
  name: string,
  claimed: Parameters<NotificationStore['markSent']>[1],
  outcome: SendOutcome,
  signal: AbortSignal,
): Promise<void> {
  const at = clock.now();
  const facts = { target: name, events: claimed.events.length };
  if (outcome.kind === 'sent') {
    logger.info('a notification was sent', facts);
    await store.markSent(name, claimed, at);
    return;
  }
  if (signal.aborted) {
    // Cut off by us: whoever runs next sends it at once.
    await store.markFailed(name, claimed, { error: 'the server stopped', at, pausedUntil: at });
    return;
  }
  const failing = (await store.states()).find((each) => each.name === name)?.failing;
  const pauseMs = Math.max(MIN_PAUSE_MS, outcome.afterMs ?? 0, fullJitter(failing?.failures ?? 0, AWAY, random));
  logger.warn('a notification was not sent; trying again later', { ...facts, reason: outcome.reason, pauseMs });
  await store.markFailed(name, claimed, { error: outcome.reason, at, pausedUntil: at + pauseMs });
}

/** One try may fail by chance. */
const FAILURES_TO_NOTICE = 2;

/** For people. What the target answered is untrusted, and shown as such. */
function problemOf(name: string, failing: { readonly failures: number; readonly error: string } | undefined): string | undefined {
  if (failing === undefined || failing.failures < FAILURES_TO_NOTICE) return undefined;
  return `nobody is told by way of ${name}: it ${failing.error}. Floe tries again for a day; when it is repaired, run: floe notify test ${name}`;
}
