import type { AgentDetail, HostName, StorePath } from '@floe/model';
import { open, ReleaseStatement, type Envelope, type Opened, type Sha256, type TrustedKey, type VerifySignature } from '@floe/protocol';
import { WHY_CODES } from './judge-permit.ts';

/** What is known of this machine and of the connection that brought a signed message. */
export interface OrderContext {
  readonly host: HostName;
  /** The name that it had before, by the configuration of the system that runs. */
  readonly formerHost?: HostName | undefined;
  readonly machineId: string;
  /** Nix's platform of this machine, e.g. `x86_64-linux`. */
  readonly system: string;
  /** The nonce of the connection that brought it. */
  readonly nonce: string;
  /**
   * The server's clock: the time of its welcome and what has passed since by a clock that does not jump. The machine's own
   * clock may be years off (an empty battery), and would make everything expired or nothing.
   */
  readonly serverNow: number;
  /** This machine's own clock. It decides nothing; messages name it where one of the two clocks may be wrong. */
  readonly machineNow: number;
  readonly releaseKeys: readonly TrustedKey[];
  readonly serverKeys: readonly TrustedKey[];
  /** Releases with a lower sequence are refused, whoever signed them. 0: none. */
  readonly rejectBefore: number;
  readonly repository: string | undefined;
  /** The branch that this machine follows, as `refs/heads/…`; undefined: any. */
  readonly ref: string | undefined;
  readonly verify: VerifySignature;
  readonly sha256: Sha256;
}

/** What every message says that the server signs for one agent. */
interface Order {
  readonly host: HostName;
  readonly machineId: string;
  readonly nonce: string;
  readonly release: Envelope;
  readonly expiresAt: number;
}

/** The kind of message: its name in codes and in sentences. */
export interface OrderKind {
  readonly code: 'DIRECTIVE' | 'HINT';
  readonly name: string;
}

export type OpenedOrder<T> =
  | { readonly kind: 'opened'; readonly order: T; readonly release: ReleaseStatement }
  /** `order`: undefined if it could not be read. */
  | { readonly kind: 'refused'; readonly order: T | undefined; readonly toplevel: StorePath | null; readonly detail: AgentDetail };

/** Clocks that differ by less than this agree. */
const CLOCK_SLACK_MS = 3600_000;

/**
 * Judges what a message of the server's says, `opened` by the pinned server keys, and opens the release in it: signed by the pinned keys, meant for
 * this machine and this connection, not expired. What is asked of all that the server orders or hints at is asked here, once. Pure.
 */
export function openOrder<T extends Order>(opened: Opened<T>, { code, name }: OrderKind, context: OrderContext): OpenedOrder<T> {
  if (opened.kind === 'refused') {
    return { kind: 'refused', order: undefined, toplevel: null, detail: detailOf(`${code}_${WHY_CODES[opened.why]}`, `${name}: ${opened.message}`) };
  }
  const order = opened.statement;
  const refuse = (why: string, message: string, toplevel: StorePath | null = null): OpenedOrder<T> => ({
    kind: 'refused',
    order,
    toplevel,
    detail: detailOf(why, message),
  });

  if (order.host !== context.host) return refuse('WRONG_HOST', `${name} is for ${order.host}, this is ${context.host}`);
  if (order.machineId !== context.machineId) return refuse('WRONG_MACHINE', `${name} is for another machine of this name`);
  if (order.nonce !== context.nonce) return refuse(`${code}_REPLAYED`, `${name} was made for another connection`);
  const release = open(order.release, 'floe/release', ReleaseStatement, context.releaseKeys, context.verify);
  if (release.kind === 'refused') return refuse(`RELEASE_${WHY_CODES[release.why]}`, `the release: ${release.message}`);
  const { repository, ref, sequence, toplevel, host, system, purpose } = release.statement;
  if (!isForThisHost(release.statement, context))
    return refuse('RELEASE_WRONG_HOST', `the release is for ${host}, this is ${context.host}`, toplevel);
  if (system !== context.system) return refuse('RELEASE_WRONG_SYSTEM', `the release is for ${system}, this machine is ${context.system}`, toplevel);
  if (context.repository !== undefined && repository !== context.repository) {
    const next = 'have the server follow that again, and commit services.floe.agent.repository = null there before it moves';
    return refuse(
      'RELEASE_WRONG_REPOSITORY',
      `the release is of ${repository}, and this machine follows ${context.repository} alone: ${next}`,
      toplevel,
    );
  }
  // A system of another branch can be tried; it does not move this machine there.
  if (context.ref !== undefined && ref !== context.ref && purpose !== 'test') {
    const next = `have the server follow ${context.ref} again, and commit services.floe.agent.ref = null there before it moves`;
    return refuse('RELEASE_WRONG_REF', `the release is of ${ref}, and this machine follows ${context.ref} alone: ${next}`, toplevel);
  }
  // Before permits and trials: what is below was given up, and a machine that forgot its floor does not take it either.
  if (sequence < context.rejectBefore) {
    const rule = `and this machine takes none below ${context.rejectBefore} (services.floe.agent.rejectBefore)`;
    return refuse('RELEASE_REJECTED_BEFORE', `the release has the sequence ${sequence}, ${rule}: bring it something newer`, toplevel);
  }
  // It was made for this connection: if it has expired, the server's clock was set.
  if (order.expiresAt <= context.serverNow) {
    const now = `by the server's clock, as it was when this machine connected, it is ${dateOf(context.serverNow)}`;
    return refuse(`${code}_EXPIRED`, `${name} expired at ${dateOf(order.expiresAt)}, but ${now}: was the server's clock set back?`, toplevel);
  }
  return { kind: 'opened', order, release: release.statement };
}

/**
 * Whether the release is for the machine of this name. One of another name is only after a rename: the release key signed that its host had this
 * name before, or the running system, which was signed as well, says that this host had that name. So the server alone makes no machine another.
 */
function isForThisHost({ host, formerHost }: ReleaseStatement, context: OrderContext): boolean {
  return host === context.host || formerHost === context.host || host === context.formerHost;
}

/**
 * Why a release counts as expired, and which clock says so; undefined: it does not. The newest date that the release key signed (`asOf`)
 * is a lower bound of the time, whatever the server's clock says.
 */
export function whyExpired(expiresAt: number, asOf: number, { serverNow, machineNow }: OrderContext): string | undefined {
  if (expiresAt > Math.max(serverNow, asOf)) return undefined;
  const expired = `the release expired at ${dateOf(expiresAt)}`;
  if (asOf > serverNow + CLOCK_SLACK_MS) {
    return `${expired}, by the newest date that the release key signed: ${dateOf(asOf)}. The server's clock says ${dateOf(serverNow)}: it was ahead before. The next commit corrects this, or run "floe-agent forget date" on this machine`;
  }
  if (Math.abs(serverNow - machineNow) > CLOCK_SLACK_MS) {
    return `${expired}, by the server's clock, which says ${dateOf(serverNow)}; this machine's says ${dateOf(machineNow)}: set the server's clock, if that is wrong, or push a commit`;
  }
  return `${expired}: push a commit, or have the builder sign it again`;
}

export function detailOf(code: string, message: string): AgentDetail {
  return { code, message: message.slice(0, 1000) };
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString();
}
