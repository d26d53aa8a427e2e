import type { HostAction } from './host-action.ts';

/** What somebody may be: of people, each with all that those before it may do. */
export const ROLES = [
  /** For a CI: submits releases and reads what comes of them, and nothing else. None of the others may do that but the administrator. */
  'submitter',
  /** Reads everything that is no secret. */
  'viewer',
  /** Has hosts and commits tried again, and stops rollouts or lets them go on. */
  'operator',
  /** Also lets commits and rings pass that wait for a decision. */
  'approver',
  /** Everything: also who is in the fleet, and who may use the API. */
  'administrator',
] as const;
export type Role = (typeof ROLES)[number];

/**
 * Everything that the API can be asked for, with the lowest role of people that may. An action that changes something is also what the
 * audit log calls a refusal of it.
 */
const LOWEST_ROLE = {
  read: 'viewer',
  retry: 'operator',
  resume: 'operator',
  deploy: 'operator',
  evaluate: 'operator',
  'pause-rollout': 'operator',
  'resume-rollout': 'operator',
  'abort-rollout': 'operator',
  pin: 'operator',
  quarantine: 'operator',
  try: 'operator',
  accept: 'approver',
  'approve-rollout': 'approver',
  'hotfix-rollout': 'administrator',
  'break-glass': 'administrator',
  submit: 'administrator',
  'submit-release': 'administrator',
  enrol: 'administrator',
  revoke: 'administrator',
  forget: 'administrator',
  rename: 'administrator',
  'accept-clock': 'administrator',
  'collect-cache': 'administrator',
  'manage-tokens': 'administrator',
  'test-notification': 'administrator',
  'test-probe': 'administrator',
} as const satisfies Readonly<Record<HostAction, Role>> & Readonly<Record<string, Role>>;
export type Action = keyof typeof LOWEST_ROLE;
export const ACTIONS = Object.keys(LOWEST_ROLE) as readonly Action[];

/** Who may do what: the one place that decides it. */
export function mayDo(role: Role, action: Action): boolean {
  if (role === 'submitter') return action === 'submit-release';
  const needed = ROLES.indexOf(LOWEST_ROLE[action]);
  // A word that is no action is nobody's.
  return needed >= 0 && ROLES.indexOf(role) >= needed;
}

/** The lowest role of people that may. */
export function roleFor(action: Action): Role {
  return LOWEST_ROLE[action];
}

/** Who can approve a rollout. */
export const APPROVING_ROLES = ['approver', 'administrator'] as const satisfies readonly Role[];

/**
 * The form of a token's name: what people read in the audit log, so lower case only (no `Ada` beside `ada`), and safe in an
 * address.
 */
export const TOKEN_NAME_FORM = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;
/** The same as a sentence for error messages. */
export const TOKEN_NAME_RULE = 'a token name is 1 to 64 lower-case letters, digits, dots, - or _, and begins and ends with a letter or digit';
/** The audit log's names for the server itself: a person of that name could not be told from it. */
export const RESERVED_TOKEN_NAMES: readonly string[] = ['floe', 'floe-server'];
