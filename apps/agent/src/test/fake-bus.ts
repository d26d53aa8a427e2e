import type { Exec, ExecResult } from '@floe/runtime';
import { expect } from 'vitest';

/** Values by the last words of the `busctl` command that asks for them; a text is the answer as it is. */
export type BusAnswers = Readonly<Record<string, unknown>>;

/** `Metered` of NetworkManager, as the last words of a command. */
export const METERED = 'org.freedesktop.NetworkManager Metered';
/** `ListSessions` of logind. */
export const LIST = 'org.freedesktop.login1.Manager ListSessions';

/** `ListInhibitors` of logind. */
export const INHIBITORS = 'org.freedesktop.login1.Manager ListInhibitors';

/** A bus on which each method or property, by its last words, has an answer in JSON; all else fails. */
export function busWith(answers: BusAnswers): Exec {
  return async (file, args) => {
    expect(file).toBe('busctl');
    expect(args).toEqual(expect.arrayContaining(['--system', '--json=short', '--auto-start=no']));
    const key = Object.keys(answers).find((each) => args.join(' ').endsWith(each));
    if (key === undefined) return await Promise.resolve(exited('', 1));
    const value = answers[key];
    return exited(typeof value === 'string' ? value : JSON.stringify(value));
  };
}

/** `GetAll` of the session with this id, as the last words of a command. */
export function allOf(id: string): string {
  return `${sessionPath(id)} org.freedesktop.DBus.Properties GetAll s org.freedesktop.login1.Session`;
}

/** What `ListSessions` answers. */
export function sessionList(...ids: readonly string[]): unknown {
  return { type: 'a(susso)', data: [ids.map((id) => [id, 1000, 'ada', 'seat0', sessionPath(id)])] };
}

/** Properties of a session, each with its D-Bus signature. */
export type SessionChanges = Readonly<Record<string, readonly [string, unknown]>>;

/** What `GetAll` answers of Ada at her desktop, as systemd writes it: with more than is asked for. */
export function sessionProperties(changes: SessionChanges = {}): unknown {
  const all: Record<string, readonly [string, unknown]> = {
    Id: ['s', '2'],
    User: ['(uo)', [1000, '/org/freedesktop/login1/user/_1000']],
    Name: ['s', 'ada'],
    Timestamp: ['t', 1793624400000000],
    VTNr: ['u', 2],
    Seat: ['(so)', ['seat0', '/org/freedesktop/login1/seat/seat0']],
    Remote: ['b', false],
    Type: ['s', 'wayland'],
    Class: ['s', 'user'],
    Active: ['b', true],
    State: ['s', 'active'],
    IdleHint: ['b', false],
    IdleSinceHint: ['t', 1793624400000000],
    LockedHint: ['b', false],
    ...changes,
  };
  return { type: 'a{sv}', data: [Object.fromEntries(Object.entries(all).map(([name, [type, data]]) => [name, { type, data }]))] };
}

function sessionPath(id: string): string {
  return `/org/freedesktop/login1/session/${id}`;
}

function exited(stdout: string, exitCode = 0): ExecResult {
  return { end: 'exited', exitCode, signal: null, stdout, stderr: exitCode === 0 ? '' : 'Call failed', durationMs: 1 };
}
