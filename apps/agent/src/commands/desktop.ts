import { isFloeError, NO_TIME_LIMIT, type Clock, type Exec, type ExecResult, type Logger } from '@floe/runtime';
import { oneLine, printable } from '@floe/model';
import { NOTIFICATIONS, NOTIFICATIONS_PATH, notificationServer, readsMarkup } from './notification-server.ts';
import { buttonFor, questionFor } from '../text/notice-words.ts';
import type { Words } from '../text/words/en.ts';
import type { NoticeAction } from '../text/notice-about.ts';
import type { Notice } from '../local/protocol.ts';

/** A notice without a question is shown and not waited for. */
const SHOW_TIMEOUT_MS = 30_000;
/** Right after a login the notification server may not be there yet. */
const RETRY_AFTER_MS = [2_000, 8_000, 20_000];
/** How often to look whether another notification server has come, while there is a notice. */
const LOOK_EVERY_MS = 20_000;
/** The freedesktop name of a click on the notification itself, which also servers without buttons know. */
const CLICK = 'default';
/** In place of a notification server's name: it took the notice, and had ended before it could be asked for. */
const GONE = 'gone';
/** The button of a question that means no. */
const NO = 'no';

export interface DesktopDeps {
  readonly exec: Exec;
  /** Of the session: PATH with notify-send, DBUS_SESSION_BUS_ADDRESS. */
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Of the user's language. */
  readonly words: Words;
  /** Called with the action that the user chose. */
  readonly chosen: (action: NoticeAction, notice: Notice) => Promise<void>;
  /** Called when the first notice shows whether notices can be shown, and when that changes. Assumed true before. */
  readonly ableChanged: (canShow: boolean) => void;
}

/**
 * One notification on a desktop, which always shows the newest notice. It uses libnotify's notify-send (0.8 or later), which waits
 * for the user and prints the chosen action.
 */
export class Desktop implements AsyncDisposable {
  readonly #deps: DesktopDeps;
  #shown: string | undefined;
  #canShow = true;
  /** What nobody has answered or closed. */
  #standing: Notice | undefined;
  /** Who shows it, by its name on the bus. */
  #server: string | undefined;
  /** The notification server's number of the notification on the screen. */
  #number: number | undefined;
  /** The notification on the screen waits for an answer; without buttons nothing is known of its end. */
  #hasButtons = false;
  #isNew: boolean | undefined;
  #showing: Promise<void> = Promise.resolve();
  #replaced = new AbortController();

  constructor(deps: DesktopDeps) {
    this.#deps = deps;
  }

  /** Shows `notice` instead of the last one; null: removes that. The same notice again changes nothing. Returns before it is shown. */
  show(notice: Notice | null): void {
    if (notice?.id === this.#shown) return;
    this.#shown = notice?.id;
    this.#begin(notice);
  }

  /**
   * Shows what stands again when another notification server has come (it restarted, or came late), until `signal` aborts: it shows nothing of
   * what came before it.
   */
  async watch(signal: AbortSignal): Promise<void> {
    const { clock, exec, env } = this.#deps;
    for (;;) {
      await clock.sleep(LOOK_EVERY_MS, signal);
      if (signal.aborted) return;
      const standing = this.#standing;
      const server = standing === undefined ? undefined : await notificationServer(exec, env);
      if (standing === undefined || server === undefined || server === this.#server || standing !== this.#standing) continue;
      // The bus starts one when the first notice is sent.
      const isFirst = this.#server === undefined && this.#canShow;
      this.#server = server;
      if (isFirst) continue;
      this.#begin(standing, { isNewServer: true });
    }
  }

  #begin(notice: Notice | null, { isNewServer = false } = {}): void {
    this.#replaced.abort();
    this.#standing = notice ?? undefined;
    const replaced = new AbortController();
    this.#replaced = replaced;
    // One after another: each must replace the number that the last one printed.
    this.#showing = this.#showing.then(async () => {
      if (isNewServer) this.#number = undefined;
      if (replaced.signal.aborted) return;
      await (notice === null ? this.#remove() : this.#put(notice, replaced.signal));
    });
  }

  /** The notification stays on the screen. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#replaced.abort();
    await this.#showing;
  }

  async #put(notice: Notice, signal: AbortSignal): Promise<void> {
    const { clock, logger, exec, env } = this.#deps;
    this.#server ??= await notificationServer(exec, env);
    let result = await this.#try(notice, signal);
    for (const waitMs of RETRY_AFTER_MS) {
      if (signal.aborted || isShown(result)) break;
      await clock.sleep(waitMs, signal);
      // It came meanwhile: its next restart must be seen.
      this.#server ??= await notificationServer(exec, env);
      if (!signal.aborted) result = await this.#try(notice, signal);
    }
    if (!signal.aborted) this.#learn(isShown(result), result);
    if (!isShown(result)) logger.info('notice', { kind: notice.kind, title: notice.title, body: notice.body });
    // A server that ends closes what it shows.
    const isClosed = isShown(result) && this.#hasButtons && (await notificationServer(exec, env)) === this.#server;
    if (isClosed && !signal.aborted) this.#standing = undefined;
    const answer = result === undefined || signal.aborted ? undefined : answerOf(result, notice.actions);
    // Without buttons a click is all that people have: it asks, as it could be meant to close the notice. So does what they may regret.
    const action = answer === CLICK ? clickOf(notice) : answer;
    if (action === undefined) return;
    if ((answer === CLICK || action === 'rollback') && !(await this.#isSure(action, notice, signal))) return;
    if (!signal.aborted) await this.#deps.chosen(action, notice);
  }

  /** Asks once. Another notice that comes meanwhile is an answer, too: no. */
  async #isSure(action: NoticeAction, notice: Notice, signal: AbortSignal): Promise<boolean> {
    const { words } = this.#deps;
    const { title, body } = questionFor(action, notice.about, words);
    const buttons = [
      [action, buttonFor(action, notice.about, words)],
      [NO, words.button.no],
      [CLICK, buttonFor(action, notice.about, words)],
    ] as const;
    const result = await this.#run({ kind: notice.kind, title, body }, buttons, signal);
    this.#number = undefined;
    const answer = result === undefined ? undefined : answerOf(result, [action]);
    return answer === action || answer === CLICK;
  }

  /** Says something beside the notice, for some seconds. */
  async tell(title: string, body: string): Promise<void> {
    const { exec, env, logger } = this.#deps;
    const hasMarkup = await readsMarkup(exec, env);
    const args = notifyArguments({ kind: 'switched', title, body }, { buttons: [], replaced: undefined, hasMarkup });
    await exec('notify-send', args, { env, timeoutMs: SHOW_TIMEOUT_MS }).catch((error: unknown) => logger.debug('nothing could be said', { error }));
  }

  async #try(notice: Notice, signal: AbortSignal): Promise<ExecResult | undefined> {
    const { actions } = notice;
    if (actions.length > 0 && this.#number === undefined && !(await this.#printsNumberAtOnce())) await this.#send(notice, [], signal);
    const result = await this.#send(notice, actions, signal);
    this.#hasButtons = actions.length > 0;
    if (!this.#hasButtons || result?.end !== 'exited') return result;
    // A server without actions, or a notify-send that is too old for them: then without.
    if (result.exitCode !== 0) {
      this.#hasButtons = false;
      return await this.#send(notice, [], signal);
    }
    // The notification was answered or closed, so its number is free.
    this.#number = undefined;
    return result;
  }

  /**
   * Before 0.8.4 notify-send prints the number only when it ends, so after the user's choice. There, a notice is first shown
   * without actions to get its number.
   */
  async #printsNumberAtOnce(): Promise<boolean> {
    if (this.#isNew !== undefined) return this.#isNew;
    const { exec, env } = this.#deps;
    const result = await exec('notify-send', ['--version'], { env, timeoutMs: SHOW_TIMEOUT_MS }).catch(() => undefined);
    if (result === undefined) return true; // No notify-send: sending will fail.
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
    const { words } = this.#deps;
    const buttons = actions.map((each) => [each, buttonFor(each, notice.about, words)] as const);
    const click = clickOf(notice);
    const clicked = click === undefined || actions.length === 0 ? [] : [[CLICK, buttonFor(click, notice.about, words)] as const];
    return await this.#run(notice, [...buttons, ...clicked], signal);
  }

  async #run(shown: Shown, buttons: readonly Button[], signal: AbortSignal): Promise<ExecResult | undefined> {
    const { exec, env, logger } = this.#deps;
    try {
      // With actions it waits for the user, until another notice replaces this one.
      const options = { env, signal, timeoutMs: buttons.length === 0 ? SHOW_TIMEOUT_MS : NO_TIME_LIMIT };
      let isNoted = Promise.resolve();
      const onStdoutLine = (line: string): void => {
        if (Number(line) > 0) isNoted = this.#noteServer();
      };
      const args = notifyArguments(shown, { buttons, replaced: this.#number, hasMarkup: await readsMarkup(exec, env) });
      const result = await exec('notify-send', args, { ...options, onStdoutLine });
      await isNoted;
      const number = Number(result.stdout.split('\n')[0]);
      // 0 is no notification; a failed call repeats the number that it should have replaced.
      if (Number.isInteger(number) && number > 0) this.#number = number;
      return result;
    } catch (error) {
      if (!isFloeError(error, 'EXEC_NOT_STARTED')) throw error;
      logger.debug('notify-send cannot be started', { error });
      return undefined;
    }
  }

  /** Who gave a notification its number is the one whose restart must be seen, also where it came only with that notification. */
  async #noteServer(): Promise<void> {
    const { exec, env } = this.#deps;
    if (this.#server === undefined) this.#server = (await notificationServer(exec, env)) ?? GONE;
  }

  async #remove(): Promise<void> {
    if (this.#number === undefined) return;
    const { exec, env, logger } = this.#deps;
    const call = ['--user', 'call', NOTIFICATIONS, NOTIFICATIONS_PATH, NOTIFICATIONS, 'CloseNotification', 'u', String(this.#number)];
    this.#number = undefined;
    // It may be closed already, or busctl missing: then the old notice stays, and the agent refuses its actions.
    await exec('busctl', call, { env, timeoutMs: SHOW_TIMEOUT_MS }).catch((error: unknown) =>
      logger.debug('the notification could not be removed', { error }),
    );
  }
}

/** True also for a notification that another one replaced. */
function isShown(result: ExecResult | undefined): boolean {
  return result !== undefined && (result.end === 'aborted' || (result.end === 'exited' && result.exitCode === 0));
}

/** What a click on the notice asks about; undefined: it has no choices. */
function clickOf({ actions }: Notice): NoticeAction | undefined {
  return actions.find((each) => each !== 'later');
}

/** What was chosen. */
function answerOf({ stdout }: ExecResult, actions: readonly NoticeAction[]): NoticeAction | typeof CLICK | undefined {
  const lines = stdout.split('\n');
  return actions.find((each) => lines.includes(each)) ?? (lines.includes(CLICK) ? CLICK : undefined);
}

type Shown = Pick<Notice, 'kind' | 'title' | 'body'>;
/** The name of an action, and what its button says. */
type Button = readonly [NoticeAction | typeof CLICK | typeof NO, string];

interface NotifyOptions {
  readonly buttons: readonly Button[];
  /** The number of the notification on the screen. */
  readonly replaced: number | undefined;
  /** As of {@link readsMarkup}. */
  readonly hasMarkup: boolean;
}

/** The command line for a notice. Exported for its tests. */
export function notifyArguments(notice: Shown, { buttons, replaced, hasMarkup }: NotifyOptions): string[] {
  const isUrgent = notice.kind === 'put-back' || notice.kind === 'problem';
  return [
    '--app-name=Floe',
    '--icon=system-software-update',
    `--urgency=${isUrgent ? 'critical' : 'normal'}`,
    '--print-id',
    ...(replaced === undefined ? [] : [`--replace-id=${replaced}`]),
    // With actions it stays until it is answered, and notify-send runs until then, without --wait.
    ...(buttons.length === 0 ? [] : ['--expire-time=0', ...buttons.map(([name, text]) => `--action=${name}=${text}`)]),
    '--',
    oneLine(notice.title),
    backslashes(hasMarkup ? markup(printable(notice.body)) : printable(notice.body)),
  ];
}

/** Notification servers interpret simple markup in the body. */
function markup(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** notify-send interprets backslashes. */
function backslashes(text: string): string {
  return text.replaceAll('\\', String.raw`\\`);
}
