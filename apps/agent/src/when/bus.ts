import { oneLine, storableText } from '@floe/model';
import type { Exec } from '@floe/runtime';
import * as v from 'valibot';
import { INHIBITOR_NAME } from '../machines/nixos/scripts.ts';

/** A user's session, as logind reports it. */
export interface UserSession {
  readonly user: string;
  /** Null for a remote session. */
  readonly seat: string | null;
  /** `x11`, `wayland`, `mir`, `tty`, `unspecified`, … */
  readonly type: string;
  readonly isRemote: boolean;
  /** False: in the background, or closing. */
  readonly isActive: boolean;
  readonly isLocked: boolean;
  /** Since when there was no input, by the machine's clock in ms; null: there is input, or the desktop does not report it. */
  readonly idleSince: number | null;
}

/** What a program keeps the machine from, by logind (`systemd-inhibit`, a desktop's "do not sleep"). */
export interface Inhibitor {
  /** `shutdown`, `sleep`, `idle`, `handle-lid-switch`, … */
  readonly what: readonly string[];
  /** The program's name for itself, and its reason. */
  readonly who: string;
  readonly why: string;
  /** `block`, `block-weak` (does not bind root) or `delay` (for a few seconds). */
  readonly mode: string;
}

export interface BusDeps {
  readonly exec: Exec;
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** How `busctl --json=short` writes a value: its D-Bus signature, and the value. */
function answer<const T extends string, S extends v.GenericSchema>(type: T, data: S) {
  return v.pipe(v.string(), v.parseJson(), v.object({ type: v.literal(type), data }));
}
function variant<const T extends string, S extends v.GenericSchema>(type: T, data: S) {
  return v.object({ type: v.literal(type), data });
}

const NM = 'org.freedesktop.NetworkManager';
const MeteredAnswer = answer('u', v.number());
/** NMMetered: unknown 0, yes 1, no 2, guessed yes 3, guessed no 4. */
const METERED = new Map([
  [1, true],
  [3, true],
  [2, false],
  [4, false],
]);

const LOGIN = 'org.freedesktop.login1';
/** Id, user id, user name, seat, object path. */
const SessionsAnswer = answer('a(susso)', v.tuple([v.array(v.tuple([v.string(), v.number(), v.string(), v.string(), v.string()]))]));
const SessionAnswer = answer(
  'a{sv}',
  v.tuple([
    v.object({
      Name: variant('s', v.string()),
      Class: variant('s', v.string()),
      State: variant('s', v.string()),
      Type: variant('s', v.string()),
      Remote: variant('b', v.boolean()),
      Seat: variant('(so)', v.tuple([v.string(), v.string()])),
      IdleHint: variant('b', v.boolean()),
      /** Microseconds since 1970; 0 when it never was idle. */
      IdleSinceHint: variant('t', v.union([v.number(), v.pipe(v.string(), v.digits(), v.transform(Number))])),
      LockedHint: v.optional(variant('b', v.boolean())),
    }),
  ]),
);

/** What is looked at of a text that somebody else chose, before it is cut. */
const MAX_WORDS = 1_000;
/** A store path, and what is below it: the last group is its last part. systemd-inhibit calls a program by its command unless it is told a name. */
const IN_STORE = /\/nix\/store\/[0-9a-z]{32}-([^\s/'"()]*)(?:\/([^\s/'"()]+))*/g;

/** What, who, why, mode, user id, process id. */
const InhibitorsAnswer = answer('a(ssssuu)', v.tuple([v.array(v.tuple([v.string(), v.string(), v.string(), v.string(), v.number(), v.number()]))]));

/** Session classes of users; others are greeters, lock screens, managers and background jobs. */
const USER_CLASSES = new Set(['user', 'user-early', 'user-light', 'user-early-light']);

/** Whether NetworkManager considers the connection metered; null: unknown, or it does not run. */
export async function readMetered(deps: BusDeps): Promise<boolean | null> {
  const text = await busctl(deps, ['get-property', NM, '/org/freedesktop/NetworkManager', NM, 'Metered']);
  const parsed = v.safeParse(MeteredAnswer, text);
  return parsed.success ? (METERED.get(parsed.output.data) ?? null) : null;
}

/** The sessions of users; null when logind does not answer. */
export async function readSessions(deps: BusDeps): Promise<readonly UserSession[] | null> {
  const listed = v.safeParse(SessionsAnswer, await busctl(deps, ['call', LOGIN, '/org/freedesktop/login1', `${LOGIN}.Manager`, 'ListSessions']));
  if (!listed.success) return null;
  const [rows] = listed.output.data;
  const sessions = await Promise.all(rows.map(async ([, , , , path]) => await readSession(deps, path)));
  // A session that cannot be read may be a user's.
  if (sessions.includes('unreadable')) return null;
  return sessions.filter((each) => each !== 'unreadable' && each !== null);
}

/** What programs keep the machine from, but for the agent's own; null when logind does not answer. */
export async function readInhibitors(deps: BusDeps): Promise<readonly Inhibitor[] | null> {
  const listed = v.safeParse(InhibitorsAnswer, await busctl(deps, ['call', LOGIN, '/org/freedesktop/login1', `${LOGIN}.Manager`, 'ListInhibitors']));
  if (!listed.success) return null;
  const [rows] = listed.output.data;
  return rows
    .filter(([, who, , , userId]) => who !== INHIBITOR_NAME || userId !== 0)
    .map(([what, who, why, mode]) => ({ what: what.split(':'), who: shown(who, 60) || 'a program', why: shown(why, 120), mode }));
}

/** Any user may choose these words, and others read them, who know no store paths. */
function shown(text: string, length: number): string {
  const named = oneLine(text.slice(0, MAX_WORDS)).replaceAll(IN_STORE, (_path, name: string, last: string | undefined) => last ?? name);
  return storableText(oneLine(named), length);
}

/** Null for a session that is not a user's, or that has ended. */
async function readSession(deps: BusDeps, path: string): Promise<UserSession | 'unreadable' | null> {
  const text = await busctl(deps, ['call', LOGIN, path, 'org.freedesktop.DBus.Properties', 'GetAll', 's', `${LOGIN}.Session`]);
  if (text === undefined) return null;
  const parsed = v.safeParse(SessionAnswer, text);
  if (!parsed.success) return 'unreadable';
  const [session] = parsed.output.data;
  if (!USER_CLASSES.has(session.Class.data)) return null;
  const [seat] = session.Seat.data;
  return {
    user: session.Name.data,
    seat: seat === '' ? null : seat,
    type: session.Type.data,
    isRemote: session.Remote.data,
    isActive: session.State.data === 'active',
    isLocked: session.LockedHint?.data ?? false,
    idleSince: session.IdleHint.data ? session.IdleSinceHint.data / 1000 : null,
  };
}

/** The system bus's answer in JSON; undefined without one. It starts no service. */
async function busctl({ exec, env, timeoutMs, signal }: BusDeps, args: readonly string[]): Promise<string | undefined> {
  const options = ['--system', '--json=short', '--auto-start=no', `--timeout=${Math.max(1, Math.ceil(timeoutMs / 1000))}`];
  const result = await exec('busctl', [...options, ...args], { env, signal, timeoutMs, maxStdoutBytes: 1024 * 1024 });
  return result.end === 'exited' && result.exitCode === 0 ? result.stdout : undefined;
}
