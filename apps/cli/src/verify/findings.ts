/** So many of a kind are named; the rest is counted. */
const NAMED = 200;

export interface Finding {
  /** Of the export, from 1; undefined: it is about no line, or about the repository. */
  readonly line: number | undefined;
  readonly what: string;
}

/** What a check found. However much a hostile export gives it, it names a bounded number of things. */
export class Findings {
  readonly bent: Finding[] = [];
  /** What is so, and may be right: a host that is behind, or keeps what a user chose. */
  readonly notes: Finding[] = [];
  bentCount = 0;
  notesCount = 0;

  bend(line: number | undefined, what: string): void {
    this.bentCount += 1;
    if (this.bent.length < NAMED) this.bent.push({ line, what: what.slice(0, 1_000) });
  }

  note(line: number | undefined, what: string): void {
    this.notesCount += 1;
    if (this.notes.length < NAMED) this.notes.push({ line, what: what.slice(0, 1_000) });
  }
}
