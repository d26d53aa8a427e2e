import { defaultGates, DEFAULT_POLICY, type RingPolicy, type RolloutPolicy } from '@floe/model';
import { SOAK_MS, type Limits, type Scene } from './scene.ts';

/** Two rings with a soak, and one host at a time. */
function policy(changes: Readonly<Record<number, Partial<RingPolicy>>> = {}): RolloutPolicy {
  const ring = (index: number): RingPolicy => ({
    name: `ring-${index}`,
    members: { hosts: [], labels: [], share: undefined },
    ...defaultGates(index, 2),
    soakMs: SOAK_MS,
    deadlineMs: undefined,
    maxInFlight: undefined,
    windows: [],
    approvals: undefined,
    probes: [],
    pauseAfter: false,
    ...changes[index],
  });
  return { ...DEFAULT_POLICY, rings: [ring(0), ring(1)], maxInFlight: 1 };
}

const CRASHES = { agentCrashes: 1, serverCrashes: 1 };
const NOBODY: Limits = {
  ...CRASHES,
  overrides: 0,
  laters: 0,
  freezes: 0,
  resumes: 0,
  retries: 0,
  aborts: 0,
  holds: 0,
  pins: 0,
  trials: 0,
  bans: 0,
  stops: 0,
  approvals: 0,
  builds: 0,
  alarms: 0,
};

const PUBLISHED = /^revision \d is published$/;
const BOB = /^bob approves/;
const FROZEN = /^a person freezes the fleet$/;
const RESUMED = /^a person resumes$/;

const CANARY: Scene = {
  rings: [0, 1],
  labels: ['red', 'blue'],
  revisions: 3,
  bad: new Set([1]),
  policy: policy(),
  isReadyBehindReports: true,
  superseded: 0,
  limits: { ...NOBODY, overrides: 1, laters: 1, freezes: 1, resumes: 1, aborts: 1 },
  lines: [[PUBLISHED], [PUBLISHED, RESUMED], [PUBLISHED, /^a person aborts/]],
};

export const SCENES = {
  canary: CANARY,
  together: { ...CANARY, rings: [0, 0] },
  train: { ...CANARY, superseded: 3 },
  hold: {
    ...CANARY,
    limits: { ...NOBODY, holds: 1, resumes: 1, retries: 1, aborts: 1, freezes: 1 },
    lines: [
      [PUBLISHED, /^a: a person holds/, PUBLISHED],
      [PUBLISHED, /^b: a person holds/, PUBLISHED, /^b: the hold ends/],
      [PUBLISHED, /^a person aborts/, /^a: a person holds/, PUBLISHED],
    ],
  },
  pin: {
    ...CANARY,
    limits: { ...NOBODY, pins: 1, resumes: 1, retries: 1, aborts: 1, freezes: 1 },
    lines: [
      [PUBLISHED, PUBLISHED, /^a: an administrator pins it to revision 0$/, PUBLISHED, /^a: the pin ends$/],
      [PUBLISHED, PUBLISHED, /^b: an administrator pins it to revision 1$/, PUBLISHED],
      [PUBLISHED, PUBLISHED, /^b: an administrator pins it to revision 2$/, /^b: the pin ends$/],
    ],
  },
  trial: {
    ...CANARY,
    limits: { ...NOBODY, trials: 1, resumes: 1, aborts: 1, freezes: 1, laters: 1 },
    lines: [
      [PUBLISHED, PUBLISHED, /^b: a person has it try revision 2$/, /^b: the server ends its trial$/],
      [PUBLISHED, PUBLISHED, /^a: a person has it try revision 0$/, PUBLISHED, /^a: the time of its trial is over$/],
      [PUBLISHED, /^a: a person has it try revision 1$/, PUBLISHED],
    ],
  },
  overridden: {
    ...CANARY,
    limits: { ...NOBODY, trials: 1, overrides: 1, bans: 1 },
    lines: [
      [PUBLISHED, PUBLISHED, /^b: a person has it try revision 2$/, /^b: a user switches/],
      [PUBLISHED, PUBLISHED, /^a: a user switches/, /^a: a person has it try revision 2$/],
    ],
  },
  ban: {
    ...CANARY,
    limits: { ...NOBODY, bans: 1, resumes: 1, retries: 1, aborts: 1 },
    lines: [
      [PUBLISHED, /^a: a person quarantines revision 1/, PUBLISHED],
      [PUBLISHED, PUBLISHED, /^b: a person quarantines revision 2/],
      [PUBLISHED, /^a person aborts/, PUBLISHED, /^a: a person quarantines revision 2/],
    ],
  },
  stop: {
    ...CANARY,
    limits: { ...NOBODY, stops: 1, resumes: 1, retries: 1, aborts: 1, laters: 1 },
    lines: [
      [PUBLISHED, /stops the label red$/, PUBLISHED, /^the stop of the label red ends$/],
      [PUBLISHED, /stops the label blue$/, PUBLISHED, /^the stop of the label blue ends$/],
      [PUBLISHED, /^a person aborts/, PUBLISHED],
    ],
  },
  restart: {
    ...CANARY,
    needsRestart: true,
    limits: { ...NOBODY, resumes: 1, aborts: 1, freezes: 1 },
    lines: [
      [PUBLISHED, /^a: the machine is restarted$/, PUBLISHED, /^a: the machine is restarted$/, /^b: the machine is restarted$/],
      [PUBLISHED, PUBLISHED, FROZEN, /^the freeze ends$/, /^a: the machine is restarted$/],
      [PUBLISHED, PUBLISHED, /^a: the machine is restarted$/, /^a person aborts/, PUBLISHED],
    ],
  },
  'taken-back': {
    ...CANARY,
    needsRestart: true,
    limits: { ...NOBODY, bans: 1, stops: 1, overrides: 1, holds: 1 },
    lines: [
      [PUBLISHED, PUBLISHED, /^a: a person quarantines revision 2$/, /^a: the quarantine of revision 2 is lifted$/, /^a: the machine is restarted$/],
      [PUBLISHED, PUBLISHED, /stops the label red$/, /^the stop of the label red ends$/, /^a: the machine is restarted$/],
      [PUBLISHED, PUBLISHED, /^a: a person holds/, PUBLISHED],
    ],
  },
  carried: {
    ...CANARY,
    revisions: 4,
    changes: [
      [1, 2, 3],
      [1, 3],
    ],
    limits: { ...NOBODY, resumes: 1, retries: 1, laters: 1 },
    lines: [
      [PUBLISHED, PUBLISHED],
      [PUBLISHED, RESUMED, PUBLISHED],
    ],
  },
  commits: {
    ...CANARY,
    rings: [0, 0, 1],
    labels: ['red', 'red', 'blue'],
    revisions: 4,
    bad: new Set([2]),
    changes: [
      [1, 3],
      [2, 3],
      [1, 2, 3],
    ],
    limits: { ...NOBODY, agentCrashes: 0, resumes: 1 },
    lines: [
      [PUBLISHED, PUBLISHED],
      [/^b: loses its connection/, PUBLISHED, PUBLISHED, /^b: connects/],
    ],
  },
  approval: {
    ...CANARY,
    policy: policy({ 1: { approvals: { count: 1, role: 'approver', notAuthor: true } } }),
    limits: { ...NOBODY, approvals: 1, builds: 1, holds: 1, resumes: 1 },
    lines: [
      [PUBLISHED, PUBLISHED, BOB],
      [PUBLISHED, PUBLISHED, /^eve/, /is built late$/, BOB],
      [PUBLISHED, PUBLISHED, /^b: a person holds/, /^b: the hold ends/, BOB],
    ],
  },
  probe: {
    ...CANARY,
    policy: policy({ 0: { probes: [{ name: 'errors', everyMs: SOAK_MS }] } }),
    limits: { ...NOBODY, alarms: 1, resumes: 1, aborts: 1, holds: 1 },
    lines: [
      [PUBLISHED, PUBLISHED],
      [PUBLISHED, RESUMED],
      [PUBLISHED, /^a: a person holds/, PUBLISHED],
    ],
  },
  stone: {
    ...CANARY,
    rings: [0, 0],
    revisions: 4,
    bad: new Set([2]),
    stone: 1,
    limits: { ...NOBODY, bans: 1, resumes: 1 },
    lines: [
      [PUBLISHED],
      [/^b: loses its connection/, PUBLISHED, PUBLISHED, PUBLISHED, /^b: connects/],
      [/^b: loses its connection/, PUBLISHED, PUBLISHED, /^b: connects/],
    ],
  },
} as const satisfies Record<string, Scene>;

/** What happens in each. */
export const ABOUT: Readonly<Record<keyof typeof SCENES, string>> = {
  canary: 'one host in each ring, a user who switches by hand, another who says "later", a freeze, a resume, an abort with revert',
  together: 'the same with both hosts in the first ring: they compete for one place',
  train: 'the same where a newer revision waits for the train',
  hold: 'a person holds a host where it is, or has one that failed try again',
  pin: 'an administrator pins a host to any revision, also below what it was told',
  trial: 'a person has a host try a revision: it ends by the host, by the server, or it fails',
  overridden: 'the same with a user who switches by hand, and a person who quarantines what is tried',
  ban: 'a person says of a revision that it does not run on a host',
  stop: 'a person stops the hosts of a label',
  restart: 'systems take effect with a restart of the machine, and are taken back while a rollout stands still',
  'taken-back': 'the same with a person who quarantines, stops or holds, and a user who switches by hand',
  carried: 'a bad revision changes both hosts, and the next one only the first of them',
  commits: 'three hosts, two of them in the first ring: each revision changes others',
  approval: 'the second ring is approved, by somebody who pushed none of it, for what it gets',
  probe: 'something outside is asked, which may say no, or nothing',
  stone: 'a host that was away has to pass a stepping stone',
};
