/** What an administrator can decide about one host, each with a reason. */
export const HOST_ACTIONS = [
  /** Let it try again a system that it rolled back or refused, or admit a host whose key two machines used. */
  'retry',
  /** Have it follow the fleet again, although somebody chose another system on the machine. */
  'resume',
  /** Have it take what it was told to run at once, over its windows and its users' "later". */
  'deploy',
  /** End its enrolment: its key is refused from now on. */
  'revoke',
  /** Remove it: it is out of the flake, and not enrolled. */
  'forget',
] as const;
export type HostAction = (typeof HOST_ACTIONS)[number];
