import { timeLimit, type RolloutPolicy } from '@floe/model';
import { percentOf } from './complete.ts';
import { problem, type Path } from './problems.ts';
import type { FleetPolicy, Ring, Window } from './schema.ts';

/** A sum of decimal fractions: 33.3 + 33.3 + 33.4. */
const ROUNDING = 1e-6;

/** What each attribute allows by itself, but not together. */
export function meaningProblems(written: FleetPolicy, { presence }: RolloutPolicy): readonly string[] {
  const rings = written.rings ?? [];
  return [
    ...ringNames(rings),
    ...members(rings, 'hosts'),
    ...members(rings, 'labels'),
    ...shares(rings),
    ...rings.flatMap(windows),
    ...rings.flatMap(probes),
    ...twice(
      (written.checks ?? []).map((check, index) => ({ path: ['checks', index], value: check, key: check, of: 'the list' })),
      'is named twice',
    ),
    ...twice(
      (written.steppingStones ?? []).map((name, index) => ({ path: ['steppingStones', index], value: name, key: name, of: 'the list' })),
      'is named twice',
    ),
    ...(presence.staleMs < presence.lostMs
      ? []
      : [
          `presence: a host cannot be lost (after ${timeLimit(presence.lostMs)}) before it is stale (after ${timeLimit(presence.staleMs)}): give "lost" more time than "stale"`,
        ]),
  ];
}

interface Named {
  readonly path: Path;
  readonly value: string;
  /** What must differ. */
  readonly key: string;
  /** Where it is named. */
  readonly of: string;
}

function twice(all: readonly Named[], what: string): readonly string[] {
  const first = new Map<string, Named>();
  return all.flatMap((named) => {
    const before = first.get(named.key);
    if (before === undefined) first.set(named.key, named);
    return before === undefined ? [] : [problem(named.path, named.value, what.replace('%', before.of))];
  });
}

/** In commands and addresses, upper and lower case are no difference. */
function ringNames(rings: readonly Ring[]): readonly string[] {
  const named = rings.map(({ name }, index) => ({ path: ['rings', index, 'name'], value: name, key: name.toLowerCase(), of: `rings[${index}]` }));
  return twice(named, 'is the name of % already: each ring has its own');
}

function probes(ring: Ring, index: number): readonly string[] {
  const named = (ring.probes ?? []).map(({ name }, position) => ({
    path: ['rings', index, 'probes', position, 'name'],
    value: name,
    key: name,
    of: '',
  }));
  return twice(named, 'is a probe of this ring already');
}

/** The same name or label in two rings: it would be a guess which was meant. */
function members(rings: readonly Ring[], kind: 'hosts' | 'labels'): readonly string[] {
  const named = rings.flatMap((ring, index) =>
    (ring[kind] ?? []).map((value, position) => ({ path: ['rings', index, kind, position], value, key: value, of: `ring "${ring.name}"` })),
  );
  return twice(named, 'is in % already: a host is in one ring');
}

function shares(rings: readonly Ring[]): readonly string[] {
  let sum = 0;
  return rings.flatMap(({ share }, index): string[] => {
    const percent = percentOf(share ?? undefined) ?? 0;
    const before = sum;
    sum += percent;
    if (before > 100 + ROUNDING || sum <= 100 + ROUNDING) return [];
    const left = Number(Math.max(0, 100 - before).toFixed(2));
    return [problem(['rings', index, 'share'], share, `is more than there is: the rings before it leave ${left} % of the fleet`)];
  });
}

function windows(ring: Ring, index: number): readonly string[] {
  return (ring.windows ?? []).flatMap((window, position) => windowProblems(window, ['rings', index, 'windows', position]));
}

function windowProblems({ allow, deny }: Window, path: Path): readonly string[] {
  if ((allow === undefined) !== (deny === undefined)) return [];
  const is = allow === undefined ? 'says neither when it allows changes nor when it denies them' : 'both allows and denies changes';
  return [problem(path, { allow, deny }, `${is}: give "allow" or "deny", with a cron expression`)];
}
