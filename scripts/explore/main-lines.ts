import { actionsOf, type Action } from './actions.ts';
import { initialState, type Scene, type State } from './state.ts';

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
  /^the train has gone on for a day$/,
];

export interface LineStep {
  readonly state: State;
  /** Which action of the state before led here. */
  readonly choice: number;
}

/** The lines differ in what happens when nothing of {@link ORDER} does: the next revision comes, or a person resumes or aborts first. */
export function mainLines(scene: Scene): readonly (readonly LineStep[])[] {
  const published = /^revision \d is published$/;
  return [[published], [/^a person resumes$/, published], [/^a person aborts/, published]].map((turns) => {
    const line: LineStep[] = [{ state: initialState(scene), choice: -1 }];
    for (;;) {
      const actions = actionsOf(line.at(-1)?.state ?? initialState(scene), scene);
      const choice = choose(actions, [...ORDER, ...turns]);
      const action = actions[choice];
      if (action === undefined) return line;
      line.push({ state: action.to, choice });
    }
  });
}

function choose(actions: readonly Action[], order: readonly RegExp[]): number {
  for (const form of order) {
    const index = actions.findIndex(({ label }) => form.test(label));
    if (index >= 0) return index;
  }
  return -1;
}
