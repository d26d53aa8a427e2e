import type { Clock, Env, Exec } from '@floe/runtime';
import type { ApiClient } from './api-client.ts';
import type { Style, View } from './view/terminal.ts';

/** A stream that text is written to; `columns` is set on a terminal. */
export interface TextSink {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** Where a token is read from. */
export type TextSource = NodeJS.ReadableStream & { readonly isTTY?: boolean | undefined };

/** All that `floe` touches of the machine. */
export interface CliDeps {
  readonly env: Env;
  readonly stdin: TextSource;
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  readonly fetch: typeof fetch;
  readonly clock: Clock;
  readonly random: () => number;
  /** Runs git and nix. */
  readonly exec: Exec;
  /** Aborts on Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Options that every command takes, before or after its name. */
export interface GlobalOptions {
  readonly server?: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

/** Data goes to stdout, remarks to stderr. */
export interface Output {
  readonly style: Style;
  /** Width of the terminal; undefined when stdout is none. */
  readonly columns: number | undefined;
  readonly errorColumns: number | undefined;
  readonly print: (text: string) => void;
  /** One JSON document, on one line when `isLine`. */
  json(value: unknown, isLine?: boolean): void;
  /** A remark or an error. */
  readonly note: (text: string) => void;
  /** Help that was asked for, as it is laid out. */
  readonly help: (text: string) => void;
  /** What is wrong with a command line. */
  readonly usage: (text: string) => void;
  /** A question, or the end of its line. */
  readonly ask: (text: string) => void;
}

/** What a command works with. */
export interface Cli {
  readonly deps: CliDeps;
  readonly out: Output;
  options(): GlobalOptions;
  /** The server that the options, the environment or the login name, with its token. */
  api(): Promise<ApiClient>;
  /** What the process ends with when the command did not fail. */
  exitCode: number;
}

/** What things are shown with now. */
export function viewOf({ deps, out }: Pick<Cli, 'deps' | 'out'>): View {
  return { now: deps.clock.now(), style: out.style, columns: out.columns };
}
