// Bounds of a policy. What the schema accepts, the database stores and the pages show; nothing in it grows with a commit's size.

/** The longest policy, as JSON. It is read with every revision. */
export const MAX_POLICY_BYTES = 128 * 1024;
export const MAX_RINGS = 20;
/** Names and globs of one ring. */
export const MAX_RING_HOSTS = 1_000;
/** Labels of one ring, and of one host. */
export const MAX_LABELS = 50;
export const MAX_WINDOWS = 50;
export const MAX_BUDGETS = 50;
export const MAX_CHECKS = 100;
/** Each is a row per host. */
export const MAX_STEPPING_STONES = 20;
export const MAX_CHECK_CHARACTERS = 200;
export const MAX_APPROVALS = 20;
/** Probes of one ring, and of one server. Each costs a request at a time. */
export const MAX_PROBES = 16;
/** The largest number of hosts that a limit or a gate names. */
export const MAX_POLICY_HOSTS = 10_000;
export const MAX_CRON_CHARACTERS = 200;
export const MAX_TIME_ZONE_CHARACTERS = 64;

/** A ring's name: in commands and addresses. */
export const RING_NAME_FORM = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,38}[A-Za-z0-9])?$/;
export const RING_NAME_RULE = 'a ring name is 1 to 40 letters, digits, dots, - or _, and begins and ends with a letter or digit';
export const MAX_RING_NAME_CHARACTERS = 40;

/** A label of a host, e.g. `laptop` or `role=dns`. */
export const LABEL_FORM = /^[A-Za-z0-9](?:[A-Za-z0-9._:/=@+-]{0,62}[A-Za-z0-9])?$/;
export const LABEL_RULE = 'a label is 1 to 64 letters, digits, or . _ : / = @ + -, and begins and ends with a letter or digit, as in role=dns';
export const MAX_LABEL_CHARACTERS = 64;

/** A host name, or a glob with `*` and `?`. */
export const HOST_GLOB_FORM = /^[A-Za-z0-9._*?-]{1,253}$/;
export const HOST_GLOB_RULE = 'hosts are names, or patterns with * and ?, as in web* or dns?';

/** The name of a notification target, or of a probe, in the server's settings. */
export const MAX_TARGET_NAME_CHARACTERS = 32;
export const TARGET_NAME_FORM = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;
export const TARGET_NAME_RULE = '1 to 32 lower-case letters, digits and -';
/** Notification targets of one server. Each costs a message an event. */
export const MAX_TARGETS = 16;
