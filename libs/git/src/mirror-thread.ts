import { Worker } from 'node:worker_threads';
import type { Logger } from '@floe/runtime';
import { gitError } from './errors.ts';
import { memoryBytes } from './limits.ts';
import { watchMemory } from './memory-watch.ts';
import type { FetchProgress, MirrorOperations } from './mirror-types.ts';
import { unpackError, type ThreadData, type ThreadReply, type ThreadRequest } from './thread-messages.ts';

export interface MirrorThreadOptions {
  readonly workerUrl: URL;
  readonly data: ThreadData;
  readonly logger: Logger;
  /** How long a call may go without progress. */
  readonly silenceMs: number;
  readonly onProgress: (progress: FetchProgress) => void;
  readonly onDefaultBranch: (name: string) => void;
}

// How long a cancelled call may take to return; then the thread is terminated. A call that returns keeps the packs that the
// thread has in memory.
const CANCEL_GRACE_MS = 2_000;

/** The worker thread of one mirror. The first call starts it, and the first call after it died. It runs one call at a time; the others wait. */
export class MirrorThread implements AsyncDisposable {
  readonly #options: MirrorThreadOptions;
  #worker: Worker | undefined;
  #lastTurn: Promise<unknown> = Promise.resolve();
  #lastId = 0;
  readonly #disposal = new AbortController();

  constructor(options: MirrorThreadOptions) {
    this.#options = options;
  }

  /** Runs one operation in the thread. Rejects with the signal's reason as soon as it aborts. */
  async call<Name extends keyof MirrorOperations>(
    name: Name,
    args: Parameters<MirrorOperations[Name]>,
    signal?: AbortSignal,
  ): Promise<Awaited<ReturnType<MirrorOperations[Name]>>> {
    const end = AbortSignal.any([this.#disposal.signal, ...(signal ? [signal] : [])]);
    end.throwIfAborted();
    this.#lastId += 1;
    const request = { kind: 'call', id: this.#lastId, name, args } as Extract<ThreadRequest, { kind: 'call' }>;
    const turn = this.#lastTurn.then(() => this.#perform(request, end));
    this.#lastTurn = turn.catch(() => undefined);
    // The result of the operation with that name: both sides are this package.
    return (await rejectOnAbort(turn, end)) as Awaited<ReturnType<MirrorOperations[Name]>>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#disposal.signal.aborted) this.#disposal.abort(new DOMException('the mirror is closed', 'AbortError'));
    await this.#lastTurn;
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const { workerUrl, data, logger } = this.#options;
    const worker = new Worker(workerUrl, {
      workerData: data,
      name: 'git-mirror',
      resourceLimits: { maxOldGenerationSizeMb: Math.ceil(memoryBytes(data.limits) / 1024 ** 2) },
    });
    worker.on('error', (error) => logger.error('the git thread failed', { dir: data.dir, error }));
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
    });
    this.#worker = worker;
    return worker;
  }

  /** Settles when the thread is free: it has answered, or it has died. */
  async #perform(request: Extract<ThreadRequest, { kind: 'call' }>, end: AbortSignal): Promise<unknown> {
    end.throwIfAborted();
    const { silenceMs, data, logger, onProgress, onDefaultBranch } = this.#options;
    const worker = this.#worker ?? this.#start();
    let isTimedOut = false;
    let graceTimer: NodeJS.Timeout | undefined;
    function cancel(): void {
      worker.postMessage({ kind: 'cancel', id: request.id } satisfies ThreadRequest);
      graceTimer ??= setTimeout(() => void worker.terminate(), CANCEL_GRACE_MS);
    }
    const limit = setTimeout(() => {
      isTimedOut = true;
      cancel();
    }, silenceMs);
    end.addEventListener('abort', cancel, { once: true });
    const memory = watchMemory(worker, memoryBytes(data.limits));
    const heard = Promise.withResolvers<unknown>();
    function onMessage(reply: ThreadReply): void {
      if (reply.kind === 'warning') logger.warn(reply.message, reply.fields);
      else if (reply.kind === 'default-branch') onDefaultBranch(reply.name);
      else if (reply.kind === 'progress' || reply.kind === 'alive') {
        // Not after the limit, because the call is being cancelled.
        if (!isTimedOut) limit.refresh();
        if (reply.kind === 'progress') onProgress(reply.progress);
      } else if (reply.id !== request.id) return;
      else if (reply.kind === 'done') heard.resolve(reply.value);
      else heard.reject(unpackError(reply.failure));
    }
    function onExit(): void {
      heard.reject(gitError('GIT_WORKER_STOPPED', 'the git thread died during an operation; it is restarted', { data: { dir: data.dir } }));
    }
    worker.on('message', onMessage);
    worker.on('exit', onExit);
    try {
      worker.postMessage(request);
      return await heard.promise;
    } catch (error) {
      end.throwIfAborted();
      const exceeded = memory.failure();
      if (exceeded !== undefined) throw exceeded;
      if (!isTimedOut) throw error;
      const seconds = silenceMs / 1000;
      const what =
        request.name === 'fetch'
          ? `${data.url} sent nothing for ${seconds} s (FLOE_REPOSITORY_SILENCE_SECONDS)`
          : `the server's copy of ${data.url} gave no answer for ${seconds} s (${request.name}): this server may be overloaded, or its disk slow`;
      throw gitError('GIT_TIMED_OUT', `${what}; Floe tries again`, {
        data: { url: data.url, silenceMs, operation: request.name },
        cause: error,
      });
    } finally {
      memory.end();
      clearTimeout(limit);
      clearTimeout(graceTimer);
      end.removeEventListener('abort', cancel);
      worker.off('message', onMessage);
      worker.off('exit', onExit);
    }
  }
}

function rejectOnAbort<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
