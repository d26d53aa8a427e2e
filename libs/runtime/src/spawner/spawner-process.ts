import { describeError } from '../errors.ts';
import { exec, type ExecOptions } from '../exec.ts';
import type { FromSpawner, ToSpawner } from './messages.ts';

// The process of a spawner. See spawner.ts, which starts it.

type Run = Extract<ToSpawner, { readonly kind: 'run' }>;

/** What is on its way, of one run, in characters or bytes: what is above waits in the program's pipe. */
const MOST_UNTAKEN = 1024 * 1024;
/** How often the memory of a run is told. */
const MEMORY_MS = 250;

interface Running {
  readonly abort: () => void;
  readonly taken: (length: number) => void;
}

const runs = new Map<number, Running>();

function tell(message: FromSpawner): void {
  // Nobody is there any more: the end of the channel ends the runs.
  process.send?.(message, undefined, undefined, () => undefined);
}

/** The output of a run. Lines are told together when the program's output was looked at once. */
class Output {
  readonly #run: number;
  #untaken = 0;
  #drained: PromiseWithResolvers<void> | undefined;
  readonly #waiting = { stdout: [] as string[], stderr: [] as string[] };

  constructor(run: number) {
    this.#run = run;
  }

  add(stream: 'stdout' | 'stderr', line: string): void {
    this.#untaken += line.length + 1;
    if (this.#waiting[stream].push(line) === 1) setImmediate(() => this.flush());
  }

  addBytes(bytes: Uint8Array): void {
    this.#untaken += bytes.length;
    tell({ kind: 'bytes', run: this.#run, bytes });
  }

  flush(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      const lines = this.#waiting[stream].splice(0);
      if (lines.length > 0) tell({ kind: 'lines', run: this.#run, stream, lines });
    }
  }

  taken(length: number): void {
    this.#untaken -= length;
    if (this.#untaken > MOST_UNTAKEN) return;
    this.#drained?.resolve();
    this.#drained = undefined;
  }

  whenRead(): Promise<void> | undefined {
    if (this.#untaken <= MOST_UNTAKEN) return undefined;
    this.#drained ??= Promise.withResolvers<void>();
    return this.#drained.promise;
  }
}

async function perform({ run, file, args, options, told }: Run): Promise<void> {
  const aborting = new AbortController();
  const output = new Output(run);
  let telling: NodeJS.Timeout | undefined;
  runs.set(run, { abort: () => aborting.abort(), taken: (length) => output.taken(length) });
  const all: ExecOptions = {
    ...options,
    signal: aborting.signal,
    whenRead: () => output.whenRead(),
    ...(told.stdout === 'bytes' ? { onStdoutBytes: (bytes: Uint8Array) => output.addBytes(bytes) } : {}),
    ...(told.stdout === 'lines' ? { onStdoutLine: (line: string) => output.add('stdout', line) } : {}),
    ...(told.stderr ? { onStderrLine: (line: string) => output.add('stderr', line) } : {}),
    ...(told.memory
      ? {
          onRunning: (memoryBytes: () => number) => (telling = setInterval(() => tell({ kind: 'memory', run, bytes: memoryBytes() }), MEMORY_MS)),
        }
      : {}),
  };
  try {
    const result = await exec(file, args, all);
    output.flush();
    tell({ kind: 'ended', run, result });
  } catch (error) {
    tell({ kind: 'not-started', run, reason: describeError(error instanceof Error ? (error.cause ?? error) : error) });
  } finally {
    clearInterval(telling);
    runs.delete(run);
    leaveWhenAlone();
  }
}

/** Not by `process.exit()`: that can wait without end for a thread of V8 (Node 24), and nobody is left to end this process then. */
function leaveWhenAlone(): void {
  if (!process.connected && runs.size === 0) process.kill(process.pid, 'SIGKILL');
}

process.on('message', (message: ToSpawner) => {
  if (message.kind === 'run') void perform(message);
  else if (message.kind === 'abort') runs.get(message.run)?.abort();
  else runs.get(message.run)?.taken(message.length);
});
// Whoever started it decides when it ends: a signal to the whole service, or from the terminal, is for that process.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => {
  for (const running of runs.values()) {
    running.abort();
    running.taken(Number.POSITIVE_INFINITY);
  }
  leaveWhenAlone();
});
