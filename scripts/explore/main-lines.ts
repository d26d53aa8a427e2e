import { actionsOf, type Action } from './actions.ts';
import type { Scene } from './scene.ts';
import { initialState, type State } from './state.ts';

// What happens when nothing goes wrong but the bad revision: the lines around which everything else is tried. Whatever an exploration
// from the beginning alone reached in the same time, it would not see a second ring.

/** What comes first when several things can happen. Nothing else does. */
const ORDER: readonly RegExp[] = [
  /"go" of epoch \d+ arrives$/,
  /directive of epoch \d+ arrives$/,
  /"ready" of epoch \d+ arrives$/,
  /its reports arrive$/,
  /finishes to/,
  /asks for its "go"$/,
  /^the server looks, and tells whoever is there$/,
  /^the soak passes$/,
  /^the probe is asked$/,
  /^the probe says that all is well$/,
  /^the train has gone on for a day$/,
];

const PUBLISHED = /^revision \d is published$/;

/** Several times the longest: a fleet that is never at rest is what the search finds. */
const MAX_LINE = 500;

export interface LineStep {
  readonly state: State;
  /** Which action of the state before led here. */
  readonly choice: number;
}

/** Each of the scene's lines: what people do, in its order, when nothing of {@link ORDER} happens; then the next revision comes. */
export function mainLines(scene: Scene): readonly (readonly LineStep[])[] {
  return scene.lines.map((turns) => {
    const line: LineStep[] = [{ state: initialState(scene), choice: -1 }];
    const left = [...turns];
    while (line.length < MAX_LINE) {
      const actions = actionsOf(line.at(-1)?.state ?? initialState(scene), scene);
      let choice = choose(actions, ORDER);
      while (choice < 0 && left.length > 0) choice = choose(actions, left.splice(0, 1));
      if (choice < 0) choice = choose(actions, [PUBLISHED]);
      const action = actions[choice];
      if (action === undefined) return line;
      line.push({ state: action.to, choice });
    }
    return line;
  });
}

/** The first action that one of the forms fits, or -1. */
function choose(actions: readonly Action[], order: readonly RegExp[]): number {
  for (const form of order) {
    const index = actions.findIndex(({ label }) => form.test(label));
    if (index >= 0) return index;
  }
  return -1;
}
