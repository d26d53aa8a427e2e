import type { AgentDetail, StorePath } from '@floe/model';
import { FloeError, isFloeError } from '@floe/runtime';
import type { StoreFiles } from './store-files.ts';

/** What an agent can keep up to date. */
export const TARGET_KINDS = ['nixos', 'darwin', 'home-manager', 'profile'] as const;
export type TargetKind = (typeof TARGET_KINDS)[number];

/** The kind of a store path, by the files in it, and the evidence. */
export interface Shape {
  readonly kind: TargetKind | 'unknown';
  readonly why: string;
}

const NAMES: Record<Shape['kind'], string> = {
  nixos: 'a NixOS system',
  darwin: 'a nix-darwin system',
  'home-manager': 'a Home Manager generation',
  profile: 'a plain profile',
  unknown: 'nothing that Floe knows',
};

/** The files that mark each kind: all of one group. docs/targets.md says what makes them. */
const MARKS: Record<Exclude<TargetKind, 'profile'>, readonly (readonly string[])[]> = {
  nixos: [['nixos-version'], ['bin/switch-to-configuration']],
  darwin: [['darwin-version'], ['darwin-version.json']],
  'home-manager': [['hm-version'], ['home-files', 'home-path']],
};

/** The script that activates a closure of each kind. */
const ACTIVATED_BY: Record<Exclude<TargetKind, 'profile'>, string> = {
  nixos: 'bin/switch-to-configuration',
  darwin: 'activate',
  'home-manager': 'activate',
};

const MARKED_KINDS = ['nixos', 'darwin', 'home-manager'] as const;
/** A folder of programs, or the manifest of `nix-env` or `nix profile`. */
const PROFILE_MARKS = ['bin', 'manifest.nix', 'manifest.json'];

/** The kind of a valid store path. Runs nothing of it. Marks of two kinds make it unknown: a wrong guess would run as root. */
export async function recogniseShape(files: StoreFiles, path: StorePath): Promise<Shape> {
  const hasAll = async (group: readonly string[]): Promise<boolean> =>
    (await Promise.all(group.map(async (file) => await files.has(path, file)))).every(Boolean);
  const found: { readonly kind: (typeof MARKED_KINDS)[number]; readonly mark: string }[] = [];
  for (const kind of MARKED_KINDS) {
    for (const group of MARKS[kind]) {
      if (await hasAll(group)) {
        found.push({ kind, mark: group.join(' and ') });
        break;
      }
    }
  }
  const [first, second] = found;
  if (first !== undefined && second !== undefined) {
    return { kind: 'unknown', why: `it has ${first.mark} as ${NAMES[first.kind]} has, but ${second.mark} as ${NAMES[second.kind]}` };
  }
  if (first !== undefined) {
    const script = ACTIVATED_BY[first.kind];
    if (await files.has(path, script)) return { kind: first.kind, why: `it has ${first.mark}` };
    return { kind: 'unknown', why: `it has ${first.mark} as ${NAMES[first.kind]} has, but no ${script} to switch to it with` };
  }
  for (const mark of PROFILE_MARKS) {
    if (await files.has(path, mark)) return { kind: 'profile', why: `it has ${mark} and no mark of a system` };
  }
  return { kind: 'unknown', why: `it has no mark of a system, and none of ${PROFILE_MARKS.join(', ')}` };
}

/**
 * Throws `FloeError('SHAPE_MISMATCH')` unless the closure is of this machine's target. Call it before anything of the closure runs:
 * a Home Manager generation must never run as a system, nor the other way round.
 */
export function assertShape(target: TargetKind, shape: Shape): void {
  if (shape.kind === target) return;
  throw new FloeError(
    'SHAPE_MISMATCH',
    `this machine's target is ${target} and takes ${NAMES[target]}, but what is offered is ${NAMES[shape.kind]} (${shape.why}): ` +
      `nothing of it was run. Correct this host's output in the fleet's flake, or FLOE_TARGET on the machine`,
    { data: { target, shape: shape.kind } },
  );
}

/** Why a closure is not for this target; null: it is. */
export async function misfitOf(target: TargetKind, files: StoreFiles, path: StorePath): Promise<AgentDetail | null> {
  try {
    assertShape(target, await recogniseShape(files, path));
    return null;
  } catch (error) {
    if (isFloeError(error, 'SHAPE_MISMATCH')) return { code: error.code, message: error.message };
    throw error;
  }
}
