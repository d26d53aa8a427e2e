import type { LineFault } from './faulty-line.ts';
import { randomFrom, type Random } from './random.ts';

export const HOSTS = ['ada', 'bob', 'cyd'] as const;
export type Host = (typeof HOSTS)[number];
export const LINES = ['database', 'forge', 'webhooks', 'agents'] as const;
export type Line = (typeof LINES)[number];

/** A push. The `texts` of a host distinguish pushes in the folder of its machine. */
export type Push =
  | { readonly kind: 'good'; readonly hosts: readonly Host[] }
  | { readonly kind: 'readme' }
  /** One host does not evaluate, does not build, or is unhealthy after the switch; a later good push fixes it. */
  | { readonly kind: 'broken' | 'unbuildable' | 'unhealthy'; readonly host: Host }
  /** The last commit is reverted by another one. */
  | { readonly kind: 'revert' }
  /** The branch loses its last commit; an administrator accepts that. */
  | { readonly kind: 'forced'; readonly host: Host }
  /** A commit with author and committer lines that git itself would not write. */
  | { readonly kind: 'odd-author'; readonly host: Host; readonly line: string };

export type Fault =
  | { readonly kind: 'line'; readonly line: Line; readonly fault: LineFault; readonly forMs: number }
  | { readonly kind: 'kill'; readonly who: 'server' | Host; readonly downMs: number }
  /** As soon as its log has this text. */
  | { readonly kind: 'kill-at'; readonly who: 'server' | Host; readonly text: string; readonly downMs: number }
  | { readonly kind: 'stop-database'; readonly downMs: number }
  /** Until the end of the phase: the process hangs, and does not exit. */
  | { readonly kind: 'suspend'; readonly who: 'server' | Host; readonly forMs: number };

export type Step = { readonly atMs: number } & ({ readonly push: Push } | { readonly fault: Fault });
export interface Phase {
  readonly number: number;
  readonly steps: readonly Step[];
}

const SERVER_POINTS = [
  'push received',
  'a revision was taken in',
  '"state":"BUILDING"',
  '"state":"PUBLISHED"',
  'desired state changed',
  'directive sent',
  'agent connected',
] as const;
const AGENT_POINTS = [
  '"state":"DOWNLOADING"',
  '"state":"STAGED"',
  '"state":"ACTIVATING"',
  '"state":"VERIFYING"',
  '"state":"COMMITTING"',
  '"state":"ROLLING_BACK"',
] as const;
const ODD_LINES = [
  'author name<mail@example.org> 1700000000 +0000',
  'author Nobody <> 1700000000 +0000',
  'author  <a@b> 1700000000 +0000',
  'author A <a@b> -1 +0000',
  'author A <a@b> 99999999999999999 +0000',
  'author A <a@b> 1700000000',
  'author A <a@b>',
  'author A <a<b>c> 1700000000 +9999',
  'author \u202eevil\u001b[2J <a@b> 1700000000 -0000',
] as const;

/** The campaign that is derived from `seed`: the same on every machine. */
export function planOf(seed: number, phases: number): Phase[] {
  const random = randomFrom(seed);
  return Array.from({ length: phases }, (_, index) => planPhase(random, index + 1));
}

function planPhase(random: Random, number: number): Phase {
  const steps: Step[] = [];
  let atMs = 0;
  const pushes = random.integer(1, 3);
  for (let count = 0; count < pushes; count += 1) {
    steps.push({ atMs, push: planPush(random) });
    // Some pushes come before the previous ones can have been evaluated.
    atMs += random.pick([50, 400, 1_500, 3_000]);
  }
  const faults = random.integer(1, 3);
  for (let count = 0; count < faults; count += 1) steps.push({ atMs: random.integer(0, atMs + 1_500), fault: planFault(random) });
  return { number, steps: steps.toSorted((left, right) => left.atMs - right.atMs) };
}

function planPush(random: Random): Push {
  const host = random.pick(HOSTS);
  const kind = random.pick(['good', 'good', 'good', 'all', 'readme', 'broken', 'unbuildable', 'unhealthy', 'revert', 'forced', 'odd-author']);
  switch (kind) {
    case 'good':
      return { kind, hosts: [host] };
    case 'all':
      return { kind: 'good', hosts: HOSTS };
    case 'readme':
    case 'revert':
      return { kind };
    case 'broken':
    case 'unbuildable':
    case 'unhealthy':
    case 'forced':
      return { kind, host };
    default:
      return { kind: 'odd-author', host, line: random.pick(ODD_LINES) };
  }
}

function planFault(random: Random): Fault {
  const who = random.pick<'server' | Host>(['server', 'server', ...HOSTS]);
  const ms = random.pick([200, 700, 1_500, 3_000]);
  switch (random.pick(['line', 'line', 'line', 'kill', 'kill-at', 'kill-at', 'stop-database', 'suspend'])) {
    case 'line':
      return { kind: 'line', line: random.pick(LINES), fault: random.pick(['cut', 'freeze', 'slow', 'half-close', 'reset-once']), forMs: ms };
    case 'kill':
      return { kind: 'kill', who, downMs: ms };
    case 'kill-at':
      return { kind: 'kill-at', who, text: who === 'server' ? random.pick(SERVER_POINTS) : random.pick(AGENT_POINTS), downMs: ms };
    case 'stop-database':
      return { kind: 'stop-database', downMs: ms };
    default:
      return { kind: 'suspend', who, forMs: ms };
  }
}

/** A step in words. */
export function tell(step: Step): string {
  const at = `${(step.atMs / 1000).toFixed(1).padStart(5)} s  `;
  if ('push' in step) {
    const { push } = step;
    const about = push.kind === 'good' ? ` for ${push.hosts.join(', ')}` : 'host' in push ? ` for ${push.host}` : '';
    return `${at}push: ${push.kind}${about}${'line' in push ? ` (${JSON.stringify(push.line)})` : ''}`;
  }
  const { fault } = step;
  switch (fault.kind) {
    case 'line':
      return `${at}${fault.line}: ${fault.fault} for ${fault.forMs} ms`;
    case 'kill':
      return `${at}${fault.who}: killed, back after ${fault.downMs} ms`;
    case 'kill-at':
      return `${at}${fault.who}: killed when it says ${fault.text}, back after ${fault.downMs} ms`;
    case 'stop-database':
      return `${at}database: crashed, back after ${fault.downMs} ms`;
    case 'suspend':
      return `${at}${fault.who}: hangs for ${fault.forMs} ms`;
  }
}

/** A step in two or three words, for a table. */
export function name(step: Step): string {
  if ('push' in step) return `push ${step.push.kind}`;
  const { fault } = step;
  return fault.kind === 'line' ? `${fault.line} ${fault.fault}` : 'who' in fault ? `${fault.kind} ${fault.who}` : fault.kind;
}
