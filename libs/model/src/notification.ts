/** What administrators are told of. */
export const NOTIFICATION_KINDS = [
  /** A commit waits for a person. */
  'commit-held',
  /** A commit was refused, does not evaluate or does not build: no host gets it. */
  'commit-failed',
  /** A host tried a system and rolled back. */
  'host-rolled-back',
  /** A host tried or refused a system, and did not recover. */
  'host-failed',
  /** A host was not seen for so long that it is given up. */
  'host-lost',
  /** A rollout stopped and waits for a person. */
  'rollout-paused',
  /** A rollout reached its end. */
  'rollout-complete',
] as const;
export type NotificationKind = (typeof NOTIFICATION_KINDS)[number];
