import { actionsOf } from './actions.ts';
import { fingerprint, keyOf } from './canonical.ts';
import { endsWell, standsWell } from './fair.ts';
import { wrongStep, wrongWith } from './invariants.ts';
import { mainLines } from './main-lines.ts';
import type { Scene } from './scene.ts';
import { initialState, type State } from './state.ts';

/** What was broken, with the steps that lead there. */
export interface Counterexample {
  readonly problem: string;
  readonly story: readonly string[];
}

export interface Exploration {
  readonly states: number;
  /** States of the main lines, from which it began. */
  readonly lines: number;
  readonly steps: number;
  /** Every state within so many steps of the main lines was visited. */
  readonly depth: number;
  /** No state is left to visit. */
  readonly isComplete: boolean;
  readonly counterexample: Counterexample | undefined;
}

export interface Bounds {
  readonly maxDepth: number;
  readonly isOver: (states: number) => boolean;
  readonly onDepth?: (depth: number, states: number) => void;
}

/** Breadth first from every state of the main lines, so that a counterexample leaves them by the fewest steps. */
export function explore(scene: Scene, { maxDepth, isOver, onDepth }: Bounds): Exploration {
  const seen = new Set<number>();
  const live = new Set<number>();
  const standing = new Set<number>();
  // The way to a state: the state before it, and the number of the action. Stories are told by going that way again.
  const parents: number[] = [];
  const choices: number[] = [];
  let frontier: { readonly state: State; readonly id: number }[] = [];
  let steps = 0;
  let lines = 0;
  for (const line of mainLines(scene)) {
    let parent = -1;
    for (const { state, choice } of line) {
      const key = fingerprint(keyOf(state));
      parents.push(parent);
      choices.push(choice);
      parent = parents.length - 1;
      if (seen.has(key)) continue;
      seen.add(key);
      frontier.push({ state, id: parent });
    }
    lines += line.length;
  }
  const found = (problem: string, id: number, choice?: number): Exploration => ({
    states: seen.size,
    lines,
    steps,
    depth,
    isComplete: false,
    counterexample: { problem, story: tell(scene, pathTo(id, parents, choices), choice) },
  });
  let depth = 0;
  for (; depth < maxDepth && frontier.length > 0; depth += 1) {
    const next: typeof frontier = [];
    for (const { state, id } of frontier) {
      if (isOver(seen.size)) return { states: seen.size, lines, steps, depth, isComplete: false, counterexample: undefined };
      for (const [choice, { to }] of actionsOf(state, scene).entries()) {
        steps += 1;
        const step = wrongStep(state, to, scene);
        if (step !== undefined) return found(step, id, choice);
        const key = fingerprint(keyOf(to));
        if (seen.has(key)) continue;
        seen.add(key);
        const wrong = wrongWith(to, scene) ?? endsWell(to, scene, live) ?? standsWell(to, scene, standing);
        if (wrong !== undefined) return found(wrong, id, choice);
        parents.push(id);
        choices.push(choice);
        next.push({ state: to, id: parents.length - 1 });
      }
    }
    frontier = next;
    onDepth?.(depth + 1, seen.size);
  }
  return { states: seen.size, lines, steps, depth, isComplete: frontier.length === 0, counterexample: undefined };
}

function pathTo(id: number, parents: readonly number[], choices: readonly number[]): readonly number[] {
  const path: number[] = [];
  for (let at = id; (parents[at] ?? -1) >= 0; at = parents[at] ?? -1) path.unshift(choices[at] ?? 0);
  return path;
}

/** The actions in words. */
function tell(scene: Scene, path: readonly number[], last: number | undefined): readonly string[] {
  const story: string[] = [];
  let state = initialState(scene);
  for (const choice of last === undefined ? path : [...path, last]) {
    const action = actionsOf(state, scene)[choice];
    if (action === undefined) break;
    story.push(action.label);
    state = action.to;
  }
  return story;
}

/** Goes the way of a story; undefined: one of its steps cannot happen. */
export function replay(scene: Scene, story: readonly string[]): { readonly state: State; readonly problem: string | undefined } | undefined {
  let state = initialState(scene);
  for (const label of story) {
    const action = actionsOf(state, scene).find((each) => each.label === label);
    if (action === undefined) return undefined;
    const problem = wrongStep(state, action.to, scene) ?? wrongWith(action.to, scene);
    state = action.to;
    if (problem !== undefined) return { state, problem };
  }
  return { state, problem: endsWell(state, scene, new Set()) ?? standsWell(state, scene, new Set()) };
}
