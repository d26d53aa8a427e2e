import { makeHome, run } from '../../apps/cli/src/test/harness.ts';
import { FleetEvent } from '@floe/protocol';
import * as v from 'valibot';
import { expect } from 'vitest';

/** What could steer a terminal or turn a line around. Line ends stay. */
// oxlint-disable-next-line no-control-regex -- they are what is meant
const STEERING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;
/** What a number or a value without a form leaves in a sentence. */
const FORMLESS = /\bNaN\b|\bInfinity\b|\bundefined\b|\[object |Invalid Date/;
/** The longest text that a command prints of a fleet of a few dozen hosts. */
const MOST_CHARACTERS = 4_000_000;

/** An answer to whoever said something wrong: it may have their own words in it. */
export function expectBounded(text: string, what: string): void {
  expect(text.length, `${what}: nothing is said`).toBeGreaterThan(0);
  expect(text.length, `${what}: too long`).toBeLessThan(1_000);
  expect(text.isWellFormed(), `${what}: half a character`).toBe(true);
}

/** A text for people is whole, steers nothing, has an end, and says no number that is none. */
export function expectReadable(text: string, what: string): void {
  expect(text.isWellFormed(), `${what}: half a character`).toBe(true);
  expect(STEERING.exec(text)?.[0], `${what}: steers a terminal`).toBeUndefined();
  expect(FORMLESS.exec(text)?.[0], `${what}: a value without a form`).toBeUndefined();
  expect(text.length, `${what}: too long`).toBeLessThan(MOST_CHARACTERS);
}

/** What an answer holds, as whoever asked for it reads it. Reading changes nothing: all of it is inside of its bounds already. */
export function overTheWire<Schema extends v.GenericSchema>(schema: Schema, value: unknown): v.InferOutput<Schema> {
  const json: unknown = JSON.parse(JSON.stringify(value));
  const read = v.parse(schema, json);
  expect(read).toEqual(json);
  return read;
}

/** The command line for people, against a server that answers so. */
export class CommandLine implements AsyncDisposable {
  readonly #home: Awaited<ReturnType<typeof makeHome>>;
  readonly #env: Readonly<Record<string, string>>;

  private constructor(home: Awaited<ReturnType<typeof makeHome>>, url: string) {
    this.#home = home;
    this.#env = { XDG_CONFIG_HOME: home.folder, FLOE_SERVER_URL: url, FLOE_TOKEN_FILE: home.tokenFile };
  }

  static async open(url: string, token: string): Promise<CommandLine> {
    const home = await makeHome(token);
    return new CommandLine(home, url);
  }

  /** Runs a command, which must succeed, and gives what it printed. */
  async print(...argv: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await run(argv, this.#env);
    expect(code, `${argv.join(' ')}: ${stderr}`).toBe(0);
    for (const text of [stdout, stderr]) expectReadable(text, argv.join(' '));
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#home[Symbol.asyncDispose]();
  }
}

/** Reads a server's events as the page does, and keeps them. */
export class EventReader implements AsyncDisposable {
  readonly events: FleetEvent[] = [];
  readonly #stop = new AbortController();
  readonly #reading: Promise<void>;

  constructor(url: string, token: string) {
    this.#reading = this.#read(url, token);
    this.#reading.catch(() => undefined);
  }

  async #read(url: string, token: string): Promise<void> {
    const answer = await fetch(`${url}/api/events`, { headers: { authorization: `Bearer ${token}` }, signal: this.#stop.signal });
    let rest = '';
    for await (const piece of (answer.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
      const blocks = `${rest}${piece}`.split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) this.#take(block);
    }
  }

  #take(block: string): void {
    const data = /^event: change\ndata: (?<data>.*)$/s.exec(block)?.groups?.['data'];
    if (data === undefined) return;
    this.events.push(overTheWire(FleetEvent, JSON.parse(data)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#reading.catch((error: unknown) => {
      if (!(error instanceof Error && error.name === 'AbortError')) throw error;
    });
  }
}
