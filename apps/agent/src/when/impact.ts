import { readlink } from 'node:fs/promises';
import type { StorePath } from '@floe/model';
import { mapOf } from '@floe/nix';
import type { Impact } from '@floe/protocol';
import * as v from 'valibot';
import { readBelow } from '../machines/store-files.ts';
import { parseDryActivate } from './dry-activate.ts';

export interface ImpactDeps {
  /** Target of a link; undefined when there is none, or something else is there. */
  readonly readlink: (path: string) => Promise<string | undefined>;
  /** Text of a file, over any links; undefined when there is none. */
  readonly readFile: (path: string) => Promise<string | undefined>;
}

export interface ImpactInput {
  /** Null where the booted system is unknown (a container): then the current one is compared. */
  readonly booted: StorePath | null;
  readonly current: StorePath | null;
  readonly next: StorePath;
  /** The output of `next`'s `switch-to-configuration dry-activate`, stdout and stderr; null when it could not be run. */
  readonly dryActivate: string | null;
}

export interface ImpactReport {
  readonly impact: Impact;
  /** The units that a switch would change now, also when a reboot is needed. */
  readonly units: readonly string[];
  /** The reason, for messages; null for `none`. */
  readonly reason: string | null;
}

/** Parts that only change with a reboot: links in a toplevel, and `kernel-params`, a text. */
const BOOT_PARTS = {
  kernel: 'the kernel',
  initrd: 'the initrd',
  'kernel-modules': 'the kernel modules',
  'kernel-params': 'the kernel parameters',
} as const;

/** A JSON object of strings in the toplevel (NixOS 25.11 and later, from `system.switch.inhibitors`). */
const INHIBITORS_FILE = 'switch-inhibitors';
const Inhibitors = v.pipe(v.string(), v.parseJson(), mapOf(v.string()));
type Inhibitors = v.InferOutput<typeof Inhibitors>;

/** Units whose stop ends a user's session, or disconnects its programs. */
const SESSION_UNITS = new RegExp(
  `^(?:${[
    // Login screens, and services that start a desktop.
    '(?:display-manager|gdm|sddm|lightdm|greetd|ly|lemurs|xdm|cosmic-greeter|plasmalogin|cage-tty\\d+|phosh|seatd)\\.service',
    '(?:dbus|dbus-broker)\\.(?:service|socket)|systemd-logind\\.service',
    '(?:getty|serial-getty|autovt|kmsconvt)@.*\\.service|graphical\\.target',
    // A user's service manager, and all below it.
    'user(?:-runtime-dir)?@.*\\.service|user(?:-\\d+)?\\.slice|session-.*\\.scope',
    // Inside that: the desktop itself.
    '(?:graphical-session|gnome-session|sway-session|hyprland-session).*\\.target|(?:gnome-shell|gnome-session|plasma-kwin|plasma-ksmserver|wayland-wm@|niri).*\\.service',
    // A user's files.
    'home(?:-.*)?\\.mount',
  ].join('|')})$`,
);

/** How many names a message lists. */
const MAX_NAMED = 3;

/** What {@link readImpact} reads, below `root` ('' for the machine itself). */
export function toplevelFiles(root: string): ImpactDeps {
  return {
    readlink: async (path) => await readlink(`${root}${path}`).catch(() => undefined),
    readFile: async (path) =>
      await readBelow(root, path).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'EISDIR') return undefined;
        throw error;
      }),
  };
}

/** How much a switch to `next` would disrupt. */
export async function readImpact(deps: ImpactDeps, input: ImpactInput): Promise<ImpactReport> {
  const dry = input.dryActivate === null ? null : parseDryActivate(input.dryActivate);
  const units = dry?.touched ?? [];
  const onlyByReboot = [...(await changedBootParts(deps, input)), ...(await changedInhibitors(deps, input))];
  if (onlyByReboot.length > 0) return { impact: 'reboot', units, reason: `only a reboot changes ${list(onlyByReboot)}` };
  if (dry === null) return { impact: 'units', units, reason: 'the new system could not be asked what it would restart' };
  const session = dry.ended.filter((unit) => SESSION_UNITS.test(unit));
  if (session.length > 0) return { impact: 'session', units, reason: `it would stop or restart ${list(session)}` };
  if (units.length > 0) return { impact: 'units', units, reason: `it would touch ${list(units)}` };
  if (dry.touchesMore) return { impact: 'units', units, reason: 'it would restart systemd itself, or turn a swap device off' };
  if (!dry.isUnderstood) return { impact: 'units', units, reason: 'what it would restart could not be understood' };
  return { impact: 'none', units, reason: null };
}

/** Compared with the booted system: a switch since then did not change the running kernel. */
async function changedBootParts(deps: ImpactDeps, { booted, current, next }: ImpactInput): Promise<string[]> {
  const before = booted ?? current;
  if (before === null) return [];
  const changed: string[] = [];
  for (const [name, words] of Object.entries(BOOT_PARTS)) {
    if ((await identify(deps, `${before}/${name}`)) !== (await identify(deps, `${next}/${name}`))) changed.push(words);
  }
  return changed;
}

/** The identity of a part: the target of a link, or the text of a file; undefined when there is none. */
async function identify(deps: ImpactDeps, path: string): Promise<string | undefined> {
  const text = (await deps.readlink(path)) ?? (await deps.readFile(path));
  return text?.trim();
}

/**
 * Inhibitors that both systems name with different values. NixOS' own check decides the same way, against the running system,
 * and refuses the switch. An inhibitor that only one of them has does not count.
 */
async function changedInhibitors(deps: ImpactDeps, { current, next }: ImpactInput): Promise<string[]> {
  if (current === null) return [];
  const [before, after] = await Promise.all([readInhibitors(deps, current), readInhibitors(deps, next)]);
  return [...before]
    .filter(([name, value]) => after.has(name) && after.get(name) !== value)
    .map(([name, value]) => `${name} (${value} → ${after.get(name) ?? ''})`);
}

async function readInhibitors(deps: ImpactDeps, toplevel: StorePath): Promise<Inhibitors> {
  const parsed = v.safeParse(Inhibitors, await deps.readFile(`${toplevel}/${INHIBITORS_FILE}`));
  // NixOS' check also treats an unreadable file as no inhibitors.
  return parsed.success ? parsed.output : new Map();
}

function list(names: readonly string[]): string {
  const named = names.slice(0, MAX_NAMED).join(', ');
  return names.length > MAX_NAMED ? `${named} and ${names.length - MAX_NAMED} more` : named;
}
