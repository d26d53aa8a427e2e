import {
  CommitSha,
  ForgeLogin,
  SignerName,
  HostLabel,
  HostName,
  ProbeName,
  RingName,
  Role,
  SeenId,
  StorePath,
  TargetName,
  Timestamp,
  TokenLifetime,
  TokenName,
} from '@floe/protocol';
import { InvalidArgumentError } from 'commander';
import * as v from 'valibot';

function parsed<Schema extends v.GenericSchema>(schema: Schema, text: unknown): v.InferOutput<Schema> {
  const result = v.safeParse(schema, text);
  if (!result.success) throw new InvalidArgumentError(result.issues[0].message);
  return result.output;
}

/** A host's name, or a usage error. */
export function hostArgument(text: string): HostName {
  return parsed(HostName, text);
}

/** A whole commit id or the word "clock", or a usage error. */
export function acceptArgument(text: string): CommitSha | 'clock' {
  return text === 'clock' ? text : parsed(CommitSha, text.toLowerCase());
}

/** The beginning of a commit id, as much as the server needs to tell it from others. */
export function commitPrefixArgument(text: string): string {
  return parsed(v.pipe(v.string(), v.toLowerCase(), v.regex(/^[0-9a-f]{7,40}$/, 'a commit is given by 7 to 40 hex digits')), text);
}

/** A label of hosts, or a usage error. */
export function labelArgument(text: string): HostLabel {
  return parsed(HostLabel, text);
}

/** A store path, or a usage error. */
export function storePathArgument(text: string): v.InferOutput<typeof StorePath> {
  return parsed(StorePath, text);
}

/** Why an administrator does something: kept in the audit log, so it may not be empty. */
function reasonArgument(text: string): string {
  return parsed(v.pipe(v.string(), v.trim(), v.nonEmpty('say why in a few words')), text);
}

/** The option of each command that decides something. */
export const REASON = ['--reason <text>', 'why (required); kept in the audit log', reasonArgument] as const;

/** A name that a token may have, or a usage error. */
export function tokenNameArgument(text: string): string {
  return parsed(TokenName, text);
}

/** A login at a forge, or a usage error. */
export function forgeLoginArgument(text: string): string {
  return parsed(ForgeLogin, text);
}

/** Who signs commits, or a usage error. */
export function signerArgument(text: string): string {
  return parsed(SignerName, text);
}

/** The name of a notification target, or a usage error. */
export function targetNameArgument(text: string): string {
  return parsed(TargetName, text);
}

/** The name of a probe in the server's settings. */
export function probeNameArgument(text: string): string {
  return parsed(ProbeName, text);
}

/** A role, or a usage error that names them all. */
export function roleArgument(text: string): v.InferOutput<typeof Role> {
  return parsed(Role, text);
}

const UNIT_MS: Readonly<Record<string, number>> = {
  m: 60_000,
  h: 3600_000,
  d: 24 * 3600_000,
  w: 7 * 24 * 3600_000,
  y: 365 * 24 * 3600_000,
};

/** How long from now on, in ms: "12h", "30d". */
export function lifetimeArgument(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,6})([mhdwy])$/.exec(text) ?? [];
  if (digits === undefined)
    throw new InvalidArgumentError('say how long from now on, in minutes, hours, days, weeks or years: 90m, 12h, 30d, 4w, 1y');
  return parsed(TokenLifetime, Number(digits) * (UNIT_MS[unit] ?? 0));
}

const MAX_TRIAL_MS = 24 * 3600_000;

/** How long a trial lasts. */
export function trialTimeArgument(text: string): number {
  const ms = lifetimeArgument(text);
  if (ms > MAX_TRIAL_MS) throw new InvalidArgumentError('a trial lasts 24 hours at most');
  return ms;
}

/** What entries of the log are about: a host, a commit or a token. */
export function subjectArgument(text: string): string {
  const subject = parsed(v.pipe(v.string(), v.trim(), v.nonEmpty('name a host, a commit or a token'), v.maxLength(256)), text);
  return /^[0-9a-f]{7,40}$/i.test(subject) ? subject.toLowerCase() : subject;
}

/** A number of rows. */
export function limitArgument(text: string): number {
  return parsed(
    v.pipe(
      v.string(),
      v.regex(/^[1-9]\d{0,3}$/, 'a whole number from 1 to 9999'),
      v.transform((digits) => Number(digits)),
    ),
    text,
  );
}

/** A ring's name, or a usage error. */
export function ringArgument(text: string): v.InferOutput<typeof RingName> {
  return parsed(RingName, text);
}

export function seenArgument(text: string): v.InferOutput<typeof SeenId> {
  return parsed(SeenId, text);
}

/** A pause is known by when it began. */
export function seenPauseArgument(text: string): number {
  if (!/^\d{1,16}$/.test(text)) throw new InvalidArgumentError('It takes the id of a pause, as floe rollout shows it.');
  return parsed(Timestamp, Number(text));
}

/** A time, as seen from now. */
export type Until = (now: number) => number;

/** What `untilArgument()` takes. */
export const UNTIL_WORDS = 'when it ends by itself: 12h, 3d, or a date where you are: 2027-01-04T08:00, or 2027-01-04 for its beginning';

/** When something ends: in so long ("12h", "3d"), or at a date where the user is. Whether that is in the past, the server says by its clock. */
export function untilArgument(text: string): Until {
  const [, digits, unit = ''] = /^(\d{1,6})([mhdwy])$/.exec(text) ?? [];
  if (digits !== undefined) {
    const ms = Number(digits) * (UNIT_MS[unit] ?? 0);
    return (now) => now + ms;
  }
  const at = /^\d{4}-\d{2}-\d{2}/.test(text)
    ? Date.parse(text.length === '2027-01-04'.length ? `${text}T00:00` : text.replace(' ', 'T'))
    : Number.NaN;
  if (Number.isNaN(at)) throw new InvalidArgumentError('say for how long (90m, 12h, 3d, 2w), or a date: 2027-01-04T08:00');
  return () => at;
}
