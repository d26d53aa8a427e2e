import { dueProbes, soakEnd, type ProbeVerdict } from '@floe/model';
import { factsOf } from './facts.ts';
import { NOW, SOAK_MS, type Scene } from './scene.ts';
import type { State } from './state.ts';

// What happens outside: time, and the probe that is asked.

export function passSoak(state: State): State {
  const { course, probe } = state;
  if (course === undefined) return state;
  const old = NOW - SOAK_MS;
  const answers = probe.answers.map((each) => ({ ...each, askedAt: old }));
  return { ...state, course: { ...course, since: old }, probe: { ...probe, answers, asked: probe.asked && { ...probe.asked, at: old } } };
}

/** The probe is asked, if it is due; undefined: it is not. One question at a time. */
export function askProbe(state: State, scene: Scene): State | undefined {
  const { course, probe } = state;
  if (course === undefined || probe.asked !== undefined) return undefined;
  const facts = factsOf(state, scene);
  if (!dueProbes(course, facts, soakEnd(course, facts), NOW).some(({ at }) => at <= NOW)) return undefined;
  const isAskedAtEnd = course.state === 'SOAKING' && course.since <= NOW - SOAK_MS;
  return { ...state, probe: { ...probe, asked: { ring: course.ring, at: NOW }, isAskedAtEnd } };
}

/** It answers what it was asked. `unknown`: no answer, for so long that nobody waits any more. */
export function answerProbe(state: State, verdict: ProbeVerdict): State {
  const { answers, asked, isAskedAtEnd } = state.probe;
  if (asked === undefined) return state;
  const before = answers.find(({ ring }) => ring === asked.ring);
  const said = {
    verdict,
    value: undefined,
    max: undefined,
    min: undefined,
    detail: '',
    tries: verdict === 'unknown' ? 10 : 0,
    isAcknowledged: false,
  };
  const answer = { ring: asked.ring, name: 'errors', number: (before?.number ?? 0) + 1, askedAt: asked.at, ...said };
  const rest = answers.filter((each) => each !== before);
  return { ...state, probe: { answers: [...rest, answer], asked: undefined, isAskedAtEnd: false, isGoodAtEnd: isAskedAtEnd && verdict === 'good' } };
}
