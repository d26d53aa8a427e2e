import { isFloeError, NO_TIME_LIMIT, type Clock, type Exec, type ExecResult, type Logger } from '@floe/runtime';
import { oneLine, printable } from '@floe/model';
import type { Notice, NoticeAction } from '../local/protocol.ts';

const LABELS: Readonly<Record<NoticeAction, string>> = { later: 'Later', now: 'Now', rollback: 'Go back' };
/** A notice without a question is shown and not waited for. */
const SHOW_TIMEOUT_MS = 30_000;
/** Right after a login the notification server may not be there yet. */
const RETRY_AFTER_MS = [2_000, 8_000, 20_000];
const BUS = 'org.freedesktop.Notifications';

export interface DesktopDeps {
  readonly exec: Exec;
  /** Of the session: PATH with notify-send, DBUS_SESSION_BUS_ADDRESS. */
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called with what the person chose. */
  readonly chosen: (action: NoticeAction, notice: Notice) => Promise<void>;
  /** Called when it turns out that notices can be shown, or that they cannot. True is assumed until then. */
  readonly ableChanged: (canShow: boolean) => void;
}

/**
 * One notification on a desktop, which always shows the newest notice: through libnotify's notify-send (0.8 or later),
 * which waits until the person chooses, and says what.
 */
export class Desktop implements AsyncDisposable {
  readonly #deps: DesktopDeps;
  #shown: string | undefined;
  #canShow = true;
  /** The notification server's number of the notification on the screen. */
  #number: number | undefined;
  #isNew: boolean | undefined;
  #showing: Promise<void> = Promise.resolve();
  #replaced = new AbortController();

  constructor(deps: DesktopDeps) {
    this.#deps = deps;
  }

  /** Replaces what is shown; null takes it away. The same notice again changes nothing. Returns before it is shown. */
  show(notice: Notice | null): void {
    if (notice?.id === this.#shown) return;
    this.#shown = notice?.id;
    this.#replaced.abort();
    const replaced = new AbortController();
    this.#replaced = replaced;
    // One after another: the one before says the number that the next one replaces.
    this.#showing = this.#showing.then(async () => {
      if (replaced.signal.aborted) return;
      await (notice === null ? this.#takeAway() : this.#put(notice, replaced.signal));
    });
  }

  /** Leaves what is on the screen. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#replaced.abort();
    await this.#showing;
  }

  async #put(notice: Notice, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps;
    let result = await this.#try(notice, signal);
    for (const waitMs of RETRY_AFTER_MS) {
      if (signal.aborted || isShown(result)) break;
      await clock.sleep(waitMs, signal);
      if (!signal.aborted) result = await this.#try(notice, signal);
    }
    if (!signal.aborted) this.#learn(isShown(result), result);
    if (!isShown(result)) logger.info('notice', { kind: notice.kind, title: notice.title, body: notice.body });
    const action = notice.actions.find((each) => result?.stdout.split('\n').includes(each));
    if (action !== undefined && !signal.aborted) await this.#deps.chosen(action, notice);
  }

  async #try(notice: Notice, signal: AbortSignal): Promise<ExecResult | undefined> {
    const { actions } = notice;
    if (actions.length > 0 && this.#number === undefined && !(await this.#saysNumberAtOnce())) await this.#send(notice, [], signal);
    const result = await this.#send(notice, actions, signal);
    if (actions.length === 0 || result?.end !== 'exited') return result;
    // A server without actions, or a notify-send that is too old for them: then without.
    if (result.exitCode !== 0) return await this.#send(notice, [], signal);
    // It was answered or closed: its number is nobody's now.
    this.#number = undefined;
    return result;
  }

  /**
   * Before 0.8.4 notify-send keeps the number to itself until it ends, and it ends with the person's choice. There, a
   * notice is first shown without actions, for its number.
   */
  async #saysNumberAtOnce(): Promise<boolean> {
    if (this.#isNew !== undefined) return this.#isNew;
    const { exec, env } = this.#deps;
    const result = await exec('notify-send', ['--version'], { env, timeoutMs: SHOW_TIMEOUT_MS }).catch(() => undefined);
    if (result === undefined) return true; // There is none; what is done next finds out.
    const [, major = 0, minor = 0, patch = 0] = (/(\d{1,9})\.(\d{1,9})\.(\d{1,9})/.exec(result.stdout) ?? []).map(Number);
    this.#isNew = major > 0 || minor > 8 || (minor === 8 && patch >= 4);
    return this.#isNew;
  }

  #learn(canShow: boolean, result: ExecResult | undefined): void {
    if (canShow === this.#canShow) return;
    this.#canShow = canShow;
    const { logger, ableChanged } = this.#deps;
    if (!canShow) {
      const said = result === undefined ? 'notify-send is not there' : result.stderr.trim().slice(-500);
      logger.warn('notices cannot be shown on this desktop; they are only logged', { said });
    }
    ableChanged(canShow);
  }

  async #send(notice: Notice, actions: readonly NoticeAction[], signal: AbortSignal): Promise<ExecResult | undefined> {
    const { exec, env, logger } = this.#deps;
    try {
      // With buttons it waits for a person, until the notice is taken back.
      const options = { env, signal, timeoutMs: actions.length === 0 ? SHOW_TIMEOUT_MS : NO_TIME_LIMIT };
      const result = await exec('notify-send', notifyArguments(notice, actions, this.#number), options);
      const number = Number(result.stdout.split('\n')[0]);
      // 0 is no notification; a failed one repeats the number that it was to replace.
      if (Number.isInteger(number) && number > 0) this.#number = number;
      return result;
    } catch (error) {
      if (!isFloeError(error, 'EXEC_NOT_STARTED')) throw error;
      logger.debug('notify-send cannot be started', { error });
      return undefined;
    }
  }

  async #takeAway(): Promise<void> {
    if (this.#number === undefined) return;
    const { exec, env, logger } = this.#deps;
    const call = ['--user', 'call', BUS, '/org/freedesktop/Notifications', BUS, 'CloseNotification', 'u', String(this.#number)];
    this.#number = undefined;
    // It may be closed already, and there may be no busctl: an old notice stays, and the agent refuses what is chosen in it.
    await exec('busctl', call, { env, timeoutMs: SHOW_TIMEOUT_MS }).catch((error: unknown) => logger.debug('the notification is left', { error }));
  }
}

/** Replaced while it was on the screen counts too. */
function isShown(result: ExecResult | undefined): boolean {
  return result !== undefined && (result.end === 'aborted' || (result.end === 'exited' && result.exitCode === 0));
}

/** The command line for a notice. Exported for its tests. */
export function notifyArguments(notice: Notice, actions: readonly NoticeAction[], replaced: number | undefined): string[] {
  const isUrgent = notice.kind === 'put-back' || notice.kind === 'problem';
  return [
    '--app-name=Floe',
    '--icon=system-software-update',
    `--urgency=${isUrgent ? 'critical' : 'normal'}`,
    '--print-id',
    ...(replaced === undefined ? [] : [`--replace-id=${replaced}`]),
    // A question stays until it is answered, and notify-send with it: without --wait, which would do so without actions too.
    ...(actions.length === 0 ? [] : ['--expire-time=0', ...actions.map((action) => `--action=${action}=${LABELS[action]}`)]),
    '--',
    oneLine(notice.title),
    markup(notice.body),
  ];
}

/** A notification server reads simple markup in the body, and notify-send reads backslashes. */
function markup(text: string): string {
  const escaped = printable(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return escaped.replaceAll('\\', String.raw`\\`);
}
