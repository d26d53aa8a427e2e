import { nixString } from '@floe/runtime';
import type { HostName, StorePath } from '@floe/model';
import * as v from 'valibot';
import { tryParseAnswer } from './answer.ts';
import { attributePath } from './hosts-attribute.ts';
import { OWN_SETTINGS, readOwnSettings } from './own-settings.ts';
import { DerivationPath, OutputPath } from './store-forms.ts';

/** What one evaluation of a host yields. */
export interface HostAnswer {
  readonly kind: 'evaluated';
  readonly drvPath: string;
  readonly toplevel: StorePath;
  /** Nix's name for it, e.g. `x86_64-linux`. */
  readonly system: string;
  /** `services.floe.agent.labels` of its configuration; none without the module. */
  readonly labels: readonly string[];
  /** `services.floe.agent.ring` of its configuration. */
  readonly ring: string | undefined;
  /** `services.floe.agent.formerHost` of its configuration: its name before a rename. */
  readonly formerHost: HostName | undefined;
  /** `time.timeZone` of its configuration, as it is written there. */
  readonly timeZone: string | undefined;
}

/** An answer that cannot be used, for people. */
export interface BadAnswer {
  readonly kind: 'bad';
  readonly code: 'EVALUATION_UNSUPPORTED' | 'EVALUATION_FAILED';
  readonly error: string;
}

const Answer = v.object({
  drv: v.unknown(),
  out: v.unknown(),
  system: v.unknown(),
  labels: v.unknown(),
  ring: v.unknown(),
  formerHost: v.unknown(),
  timeZone: v.unknown(),
});
const System = v.pipe(v.string(), v.regex(/^[0-9A-Za-z_.-]{1,64}$/));

/** Where the hosts are: the expression of the outputs at an address, and their attribute in it. */
export interface HostsPlace {
  readonly hostsAttribute: string;
  outputsAt(address: string): string;
}

/** The expression of a host's `config`. */
export function configOf(place: HostsPlace, flakeUrl: string, host: HostName): string {
  return `${place.outputsAt(flakeUrl)}.${attributePath(place.hostsAttribute)}.${nixString(host)}.config`;
}

/**
 * A Nix function from a host's `config` to whether it runs Floe's agent. Every NixOS configuration says that: false where it does not
 * have the module. What is not NixOS (it has no services, or is a Home Manager's) says nothing: null.
 */
const SAYS_OURS = `(config:
    if !(config ? services) || config ? home.activationPackage then null
    else if config.services ? floe.agent then config.services.floe.agent.enable or null
    else false)`;

/** The expression that asks only whether the host with this {@link configOf} is Floe's: a set with `isOurs`, true, false or null. */
export function oursExpression(config: string): string {
  return `{ isOurs = ${SAYS_OURS} ${config}; }`;
}

/**
 * The expression for one host. If the value had an attribute called outPath, Nix would print the whole set as that string. With `unlessNotOurs`
 * the system of a host that says that it is not Floe's is not evaluated: its answer is only that ({@link isNotOurs}).
 */
export function hostExpression(config: string, unlessNotOurs = false): string {
  const question = systemExpression(config);
  if (!unlessNotOurs) return question;
  return `if ${SAYS_OURS} ${config} == false then { isOurs = false; } else ${question}`;
}

function systemExpression(config: string): string {
  return `let
  config = ${config};
  t = if config ? home.activationPackage then config.home.activationPackage else config.system.build.toplevel;
  own = ${OWN_SETTINGS};
in
{
  drv = t.drvPath;
  out = t.outPath;
  system = t.system;
  inherit (own config) labels ring formerHost timeZone;
}`;
}

const NotOurs = v.strictObject({ isOurs: v.literal(false) });
const Ours = v.strictObject({ isOurs: v.unknown() });

/** True when the host said that it is not Floe's. */
export function isNotOurs(stdout: string): boolean {
  return tryParseAnswer(NotOurs, stdout) !== undefined;
}

/** True when {@link oursExpression} was answered, in whatever way. */
export function isOursAnswered(stdout: string): boolean {
  return tryParseAnswer(Ours, stdout) !== undefined;
}

/** Reads the answer. One that cannot be used is this host's error: nothing else is known to be wrong. */
export function readHostAnswer(stdout: string): HostAnswer | BadAnswer {
  const answer = tryParseAnswer(Answer, stdout);
  if (answer === undefined) return unsupported('config.system.build.toplevel is not a derivation');
  const { drv, out, system, labels, ring, formerHost, timeZone } = answer;
  if (!v.is(DerivationPath, drv)) return unsupported('config.system.build.toplevel has a drvPath that is not a derivation in the store');
  if (!v.is(OutputPath, out))
    return unsupported('the path of its system is not known before it is built: content-addressed derivations are not supported');
  if (!v.is(System, system)) return unsupported('config.system.build.toplevel names no system such as x86_64-linux');
  const own = readOwnSettings({ labels, ring, formerHost, timeZone });
  if (own.kind === 'bad') return { kind: 'bad', code: 'EVALUATION_FAILED', error: own.error };
  return { ...own, kind: 'evaluated', drvPath: drv, toplevel: out as StorePath, system };
}

function unsupported(error: string): BadAnswer {
  return { kind: 'bad', code: 'EVALUATION_UNSUPPORTED', error };
}
