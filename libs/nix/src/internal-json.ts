import { stripVTControlCharacters } from 'node:util';
import * as v from 'valibot';

/** Numbers of Nix's activities and results (nix: src/libutil/logging.hh; the same in 2.8 and 2.26). */
export const ACTIVITY = { copyPath: 100, fileTransfer: 101, realise: 102, copyPaths: 103, builds: 104, build: 105, substitute: 108 } as const;
export const RESULT = { buildLogLine: 101, progress: 105, setExpected: 106 } as const;

const Position = v.optional(v.nullable(v.string()));
const Coordinate = v.optional(v.nullable(v.number()));
const Where = { file: Position, line: Coordinate, column: Coordinate };
const LogEvent = v.variant('action', [
  v.object({
    action: v.literal('msg'),
    level: v.number(),
    msg: v.string(),
    raw_msg: v.optional(v.string()),
    ...Where,
    /** The call sites of an evaluation error, the innermost first; `--show-trace` prints all of them. */
    trace: v.fallback(v.optional(v.array(v.object(Where))), undefined),
  }),
  v.object({
    action: v.literal('start'),
    id: v.number(),
    type: v.number(),
    text: v.optional(v.string(), ''),
    fields: v.fallback(v.array(v.union([v.number(), v.string()])), []),
  }),
  v.object({ action: v.literal('stop'), id: v.number() }),
  v.object({ action: v.literal('result'), id: v.number(), type: v.number(), fields: v.array(v.union([v.number(), v.string()])) }),
]);
/** A line of `--log-format internal-json`. */
export type LogEvent = v.InferOutput<typeof LogEvent>;
type Message = Extract<LogEvent, { action: 'msg' }>;

const PREFIX = '@nix ';

/** Parses a line of standard error; undefined: not in the format (a crash, a warning of the garbage collector). */
export function parseLogLine(line: string): LogEvent | undefined {
  if (!line.startsWith(PREFIX)) return undefined;
  try {
    const parsed = v.safeParse(LogEvent, JSON.parse(line.slice(PREFIX.length)));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}

/** A location in a file of the store. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** An error that Nix reported, without colours. */
export interface NixMessage {
  readonly text: string;
  readonly place?: Place | undefined;
  /** Its call sites, the innermost first. */
  readonly calls: readonly Place[];
}

const KEPT_LINES = 20;
const KEPT_MESSAGES = 50;
const KEPT_PATHS = 10_000;
const WARNING_CHARACTERS = 500;
/** The prefix of `builtins.trace` output, without which no repository can produce a message. */
const TRACE = 'trace: ';
/**
 * Nix prints it when an allocation fails, as a message without a `raw_msg`. A builder can do the same, because Nix passes its
 * messages on. So once a builder was started, neither this nor a list of derivations to be built is trusted.
 */
const OUT_OF_MEMORY = 'error: out of memory';
const SHOW_TRACE_HINT = "(use '--show-trace'";
const DERIVATION = /^\s*(\/nix\/store\/[0-9a-z]{32}-[0-9A-Za-z+\-._?=]+\.drv)\s*$/;

/**
 * Collects from the log what explains a failure. Texts may come from the repository and are only shown; the other fields
 * (`startedBuilds`, `hasRunOutOfMemory`, …) are written by Nix alone.
 */
export class FailureLog {
  /** Errors; for builds, the causes come first. */
  readonly messages: NixMessage[] = [];
  /** Output of the expressions: `builtins.trace`, `builtins.warn`. Each once. */
  readonly warnings: string[] = [];
  /** The last lines that builders printed. */
  readonly buildLines: string[] = [];
  /** The last lines that are not in the format. */
  readonly plainLines: string[] = [];
  /** Derivations that Nix announced to build. */
  readonly plannedBuilds = new Set<string>();
  /** Derivations whose builder was started, here or on another machine. */
  readonly startedBuilds = new Set<string>();
  /** Store paths whose download from a cache was started. */
  readonly startedDownloads = new Set<string>();
  hasRunOutOfMemory = false;
  /** A download of a file was begun: what failed after it may be another matter once the file is here. */
  hasDownloaded = false;

  /** Adds a line of standard error; `parsed` avoids parsing it again. */
  add(line: string, event: LogEvent | undefined = parseLogLine(line)): void {
    if (event === undefined) {
      if (line.trim() !== '') keepLast(this.plainLines, stripVTControlCharacters(line));
    } else if (event.action === 'msg') {
      this.#addMessage(event);
    } else if (event.action === 'start') {
      const [path] = event.fields;
      if (event.type === ACTIVITY.build) addBounded(this.startedBuilds, path);
      else if (event.type === ACTIVITY.fileTransfer) this.hasDownloaded = true;
      else if (event.type === ACTIVITY.substitute) addBounded(this.startedDownloads, path);
    } else if (event.action === 'result' && event.type === RESULT.buildLogLine && typeof event.fields[0] === 'string') {
      keepLast(this.buildLines, stripVTControlCharacters(event.fields[0]));
    }
  }

  #addMessage(event: Message): void {
    const text = stripVTControlCharacters(event.raw_msg ?? event.msg);
    const isFromExpression = event.raw_msg === undefined ? event.level === 0 && text.startsWith(TRACE) : event.level === 1;
    if (isFromExpression) this.#warn(event.raw_msg === undefined ? text.slice(TRACE.length) : text);
    else if (event.level === 0) this.#fail(event, text);
    else if (event.level === 1) keepLast(this.plainLines, text);
    else if (this.startedBuilds.size === 0) addBounded(this.plannedBuilds, DERIVATION.exec(text)?.[1]);
  }

  #fail(event: Message, text: string): void {
    if (event.raw_msg === undefined && text === OUT_OF_MEMORY && this.startedBuilds.size === 0) this.hasRunOutOfMemory = true;
    if (event.raw_msg === undefined && text.startsWith(SHOW_TRACE_HINT)) return;
    if (this.messages.length >= KEPT_MESSAGES) return;
    const calls = (event.trace ?? []).map(placeOf).filter((place) => place !== undefined);
    this.messages.push({ text: text.replace(/^error:\s*/, ''), place: placeOf(event), calls });
  }

  #warn(text: string): void {
    const short = text.trim().slice(0, WARNING_CHARACTERS);
    if (short !== '' && this.warnings.length < KEPT_LINES && !this.warnings.includes(short)) this.warnings.push(short);
  }
}

/** Undefined for a location outside of the store: the expressions that Floe itself passes to Nix. */
function placeOf({ file, line, column }: Pick<Message, 'file' | 'line' | 'column'>): Place | undefined {
  if (typeof file !== 'string' || typeof line !== 'number' || typeof column !== 'number' || !file.startsWith('/nix/store/')) return undefined;
  const suffix = `:${line}:${column}`; // Nix 2.26 repeats them in the file name
  return { file: file.endsWith(suffix) ? file.slice(0, -suffix.length) : file, line, column };
}

function keepLast(lines: string[], line: string): void {
  lines.push(line);
  if (lines.length > KEPT_LINES) lines.shift();
}

function addBounded(paths: Set<string>, path: string | number | undefined): void {
  if (typeof path === 'string' && paths.size < KEPT_PATHS) paths.add(path);
}
