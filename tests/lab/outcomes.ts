import { noteOutcome as note } from '../outcomes.ts';

/** One line of the lab's table at the end of a run: what was done to a machine, where, and what became of it. */
export interface Outcome {
  readonly fault: string;
  readonly where: string;
  readonly outcome: string;
}

export function noteOutcome({ fault, where, outcome }: Outcome): void {
  note({ table: 'Machines under faults', fault, where, outcome });
}
