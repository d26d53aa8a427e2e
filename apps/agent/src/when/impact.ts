import { readlink } from 'node:fs/promises';
import type { StorePath } from '@floe/model';
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
  /** Null where a machine does not say what it started with (a container): then the current one stands for it. */
  readonly booted: StorePath | null;
  readonly current: StorePath | null;
  readonly next: StorePath;
  /** What `next`'s `switch-to-configuration dry-activate` printed, on both channels; null when it could not be run. */
  readonly dryActivate: string | null;
}

export interface ImpactReport {
  readonly impact: Impact;
  /** The units that a switch now would touch, also when a reboot is what it takes. */
  readonly units: readonly string[];
  /** What makes it so, for people; null for `none`. */
  readonly reason: string | null;
}

/** What only a start of the machine puts in place: as links in a toplevel, `kernel-params` as a text. */
const BOOT_PARTS = {
  kernel: 'the kernel',
  initrd: 'the initrd',
  'kernel-modules': 'the kernel modules',
  'kernel-params': 'the kernel parameters',
} as const;

/** A JSON object of strings in the toplevel (NixOS 25.11 and later, from `system.switch.inhibitors`). */
const INHIBITORS_FILE = 'switch-inhibitors';
const Inhibitors = v.pipe(v.string(), v.parseJson(), v.record(v.string(), v.string()));
type Inhibitors = v.InferOutput<typeof Inhibitors>;

/** Units without which the session of a person at the machine ends, or its programs lose what they talk to. */
const SESSION_UNITS = new RegExp(
  `^(?:${[
    // Login screens and what starts a desktop by itself.
    '(?:display-manager|gdm|sddm|lightdm|greetd|ly|lemurs|xdm|cosmic-greeter|plasmalogin|cage-tty\\d+|phosh|seatd)\\.service',
    '(?:dbus|dbus-broker)\\.(?:service|socket)|systemd-logind\\.service',
    '(?:getty|serial-getty|autovt|kmsconvt)@.*\\.service|graphical\\.target',
    // A person's own service manager, and all that is below it.
    'user(?:-runtime-dir)?@.*\\.service|user(?:-\\d+)?\\.slice|session-.*\\.scope',
    // In there: the desktop itself.
    '(?:graphical-session|gnome-session|sway-session|hyprland-session).*\\.target|(?:gnome-shell|gnome-session|plasma-kwin|plasma-ksmserver|wayland-wm@|niri).*\\.service',
    // What a person works on.
    'home(?:-.*)?\\.mount',
  ].join('|')})$`,
);

/** At most so many names in a sentence. */
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

/** How much of the machine a switch to `next` would touch. */
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

/** Compared with what was booted, not with what was switched to since: only that is in the running kernel. */
async function changedBootParts(deps: ImpactDeps, { booted, current, next }: ImpactInput): Promise<string[]> {
  const before = booted ?? current;
  if (before === null) return [];
  const changed: string[] = [];
  for (const [name, words] of Object.entries(BOOT_PARTS)) {
    if ((await identify(deps, `${before}/${name}`)) !== (await identify(deps, `${next}/${name}`))) changed.push(words);
  }
  return changed;
}

/** What names a part: the store path of a link, the text of a file; undefined when there is none. */
async function identify(deps: ImpactDeps, path: string): Promise<string | undefined> {
  const text = (await deps.readlink(path)) ?? (await deps.readFile(path));
  return text?.trim();
}

/**
 * Those that both systems name, with different values. That is how NixOS' own check before a switch decides, against the
 * system that runs now, and then refuses the switch: an inhibitor that comes or goes holds nothing up.
 */
async function changedInhibitors(deps: ImpactDeps, { current, next }: ImpactInput): Promise<string[]> {
  if (current === null) return [];
  const [before, after] = await Promise.all([readInhibitors(deps, current), readInhibitors(deps, next)]);
  return Object.entries(before)
    .filter(([name, value]) => Object.hasOwn(after, name) && after[name] !== value)
    .map(([name, value]) => `${name} (${value} → ${after[name] ?? ''})`);
}

async function readInhibitors(deps: ImpactDeps, toplevel: StorePath): Promise<Inhibitors> {
  const parsed = v.safeParse(Inhibitors, await deps.readFile(`${toplevel}/${INHIBITORS_FILE}`));
  // NixOS' check takes what it cannot read for none, too.
  return parsed.success ? parsed.output : {};
}

function list(names: readonly string[]): string {
  const named = names.slice(0, MAX_NAMED).join(', ');
  return names.length > MAX_NAMED ? `${named} and ${names.length - MAX_NAMED} more` : named;
}
