import { resolve, whyNot, type WhyFacts, type WhyNot, type WhyRule } from '@floe/model';
import { NOW, type Scene } from './scene.ts';
import { factsOf, reportedBy, ringOf } from './facts.ts';
import { admittedNow } from './server-side.ts';
import { systemIn, type Host, type State } from './state.ts';
import { situationOf } from './told.ts';

/** What stands between the host and the newest revision whose rollout has begun, as people are told. */
export function whyOf(state: State, host: Host, scene: Scene): readonly WhyNot[] {
  const situation = situationOf(state, host, scene);
  const { course } = state;
  const facts: WhyFacts = {
    ...reportedBy(host),
    host: host.name,
    enrolment: 'enrolled',
    isConnected: host.session !== undefined,
    newest: { kind: 'ended', offer: { kind: 'release', toplevel: systemIn(state.newest, host, scene) } },
    situation,
    desired: resolve(situation),
    rollout: course && { course, facts: factsOf(state, scene), ring: ringOf(state, host, scene) },
    train: undefined,
    admitted: admittedNow(state, host, scene),
  };
  return whyNot(facts, NOW);
}

/** The approvals of the host's ring are not there. */
export function isUnapproved(state: State, host: Host, scene: Scene): boolean {
  const ring = ringOf(state, host, scene);
  if (state.course === undefined || scene.policy.rings[ring]?.approvals === undefined) return false;
  const binds = `${state.newest}.${state.builds}`;
  return !state.approvals.some((each) => each.ring === ring && each.by !== 'eve' && each.binds === binds);
}

/** The rules by which a person keeps the host from the newest revision. */
export function heldBy(state: State, host: Host, scene: Scene): readonly WhyRule[] {
  const { trial, pin, hold, ordered, stone, stops = [] } = situationOf(state, host, scene);
  const newest = systemIn(state.newest, host, scene);
  return [
    ...(trial === undefined ? [] : (['trial'] as const)),
    ...(pin !== undefined && pin.toplevel !== newest ? (['pin'] as const) : []),
    ...(state.isFrozen ? (['freeze'] as const) : []),
    ...(stops.length > 0 ? (['label-stop'] as const) : []),
    ...(hold !== undefined && hold.toplevel !== newest ? (['hold'] as const) : []),
    ...(stone !== undefined && stone.toplevel !== newest && ordered?.has(stone.toplevel) === true ? (['stepping-stone'] as const) : []),
    ...(ordered?.has(newest) === true ? (['ordered-quarantine'] as const) : []),
  ];
}
