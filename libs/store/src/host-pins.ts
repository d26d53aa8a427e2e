import { boundedTime, storableText, type PermittedRelease } from '@floe/model';
import { gt, isNull, or, sql } from 'drizzle-orm';
import type { PinKind, PinSeen } from './records.ts';
import { RowReader } from './row-reader.ts';
import { nested } from './rows-as-text.ts';
import { hosts, pins, releases } from './tables/index.ts';
import { WordColumn } from './rows.ts';
import { isReadableCounter } from './unreadable.ts';

const { id, sequence, toplevel, commit } = releases;

/** What a host is pinned to and held on at `now`, beside its row. */
export function nestedPins(now: number) {
  return nested(
    { pin: pins, commit, id, sequence, toplevel },
    sql`${pins} join ${releases} on ${id} = ${pins.releaseId} and ${isReadableCounter(sequence)}
      where ${pins.host} = ${hosts.host} and ${or(isNull(pins.expiresAt), gt(pins.expiresAt, now))}`,
  );
}

type Row = ReturnType<ReturnType<typeof nestedPins>['read']>[number];

export interface PinsOfHost {
  readonly pin: PermittedRelease | undefined;
  readonly hold: PermittedRelease | undefined;
  readonly seen: readonly PinSeen[];
}

const NO_PINS: PinsOfHost = { pin: undefined, hold: undefined, seen: [] };

export function toPinsOfHost(rows: readonly Row[]): PinsOfHost {
  if (rows.length === 0) return NO_PINS;
  const ofKind = (kind: PinKind): PinnedTo | undefined => {
    const row = rows.find(({ pin }) => pin.kind === kind);
    return row === undefined ? undefined : toPinned(row);
  };
  const [pin, hold] = [ofKind('pin'), ofKind('hold')];
  return { pin: pin?.release, hold: hold?.release, seen: [pin, hold].flatMap((each) => each?.seen ?? []) };
}

interface PinnedTo {
  readonly release: PermittedRelease;
  readonly seen: PinSeen;
}

function toPinned({ pin: { host, kind, reason, by, createdAt, expiresAt, isPermitted, word }, commit: sha, ...ref }: Row): PinnedTo {
  const said = { by: storableText(by, 200), reason: storableText(reason, 2_000) };
  const signed = new RowReader().json('word', word, WordColumn);
  const until = expiresAt === null ? undefined : boundedTime(expiresAt);
  return {
    release: {
      ...ref,
      host,
      ...(isPermitted ? { permit: { kind: 'pin', ...said, ...(signed === undefined ? {} : { word: signed }) } as const } : {}),
    },
    seen: {
      kind,
      ...said,
      at: boundedTime(createdAt),
      expiresAt: until,
      sequence: ref.sequence,
      commit: new RowReader().commit('commit', sha),
    },
  };
}
