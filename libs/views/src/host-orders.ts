import { NO_COMMIT } from '@floe/model';
import type { HostOrderView, LabelStopView } from '@floe/protocol';
import { utcTime } from './text.ts';
import { shortSha } from './text.ts';

const WHAT: Readonly<Record<HostOrderView['kind'], string>> = {
  pin: 'pinned to',
  hold: 'held on',
  deploy: 'asked to take, over windows and "later",',
  quarantine: 'not to run',
  'quarantine-all': 'like all hosts not to run',
};

/** A release of a host, by its commit, as people know it. The number is said where the commit is not known. */
export function releaseWords(sequence: number, commit: string | null | undefined): string {
  if (commit === null || commit === undefined) return `revision #${sequence}`;
  return commit === NO_COMMIT ? 'a store path' : shortSha(commit);
}

/** An order about a host: "pinned to 3f9c2ab1d0 (revision #3) by ada since 2026-11-28 14:20 UTC, until 2026-11-29 08:00 UTC: demo at noon". */
export function orderWords({ kind, sequence, commit, by, reason, since, until }: HostOrderView): string {
  const end = until === null ? (kind === 'deploy' ? '' : ', until somebody ends it') : `, until ${utcTime(until)}`;
  const what = commit === null ? releaseWords(sequence, commit) : `${releaseWords(sequence, commit)} (revision #${sequence})`;
  return `${WHAT[kind]} ${what} by ${by} since ${utcTime(since)}${end}: ${reason}`;
}

/** The command that ends a quarantine which a person ordered. */
export function liftCommand(host: string, { commit, isOfAll }: { readonly commit: string; readonly isOfAll: boolean }): string {
  return `floe quarantine ${isOfAll ? '--all' : host} ${shortSha(commit)} --lift --reason "…"`;
}

/** "the label role=dns is paused by ada since 2026-11-28 14:20 UTC: the resolvers are moved" */
export function labelStopWords({ label, by, reason, at, until }: LabelStopView): string {
  return `the label ${label} is paused by ${by} since ${utcTime(at)}${until === null ? '' : `, until ${utcTime(until)}`}: ${reason}`;
}

/** A person's pause of all rollouts, which holds every host that is not pinned. */
export function freezeWords({
  by,
  reason,
  at,
  until,
}: {
  readonly by: string;
  readonly reason: string;
  readonly at: number;
  readonly until: number | null;
}): string {
  return `all rollouts are paused by ${by} since ${utcTime(at)}${until === null ? '' : `, until ${utcTime(until)}`}: ${reason}`;
}
