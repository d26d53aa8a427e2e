import { fetchReason, FloeError, isFloeError, isTimeout, readBoundedText, type Clock } from '@floe/runtime';
import type { CacheErrorCode, CacheFiles } from './cache-files.ts';
import { sendFile } from './send-file.ts';

/** The headers by which a cache admits a request: read for each one, so that a new login is used at once. */
export type Authorize = (method: string, url: URL) => Promise<Readonly<Record<string, string>>>;

export interface HttpFilesOptions {
  /** Without a login in it, and without a slash at its end. */
  readonly url: string;
  /** How it is called in messages. Default: its URL. */
  readonly place?: string | undefined;
  /** Default: everybody may read. */
  readonly authorize?: Authorize | undefined;
  /** What is to be done where it does not admit us. */
  readonly adviceOnRefusal: string;
  readonly clock: Pick<Clock, 'sleep'>;
  readonly signal?: AbortSignal | undefined;
  /** Default: 30 s without a byte. */
  readonly silenceMs?: number | undefined;
}

const SILENCE_MS = 30_000;
/** So many times longer for what is sent: a slow line takes a minute for the megabytes that wait in the kernel, and nothing tells how many have left. */
const WHILE_SENDING = 4;
/** What may pass is tried so often; what is final once. */
const ATTEMPTS = 3;
const RETRY_MS = 500;
const MISSING: ReadonlySet<number> = new Set([404, 410]);
/** What S3 answers for a missing object where listing is not allowed; Nix takes it as missing, too. */
const FORBIDDEN = 403;
/** Where only GET is known, or a link is signed for it. */
const WITHOUT_HEAD: ReadonlySet<number> = new Set([400, 401, 403, 405, 501]);

interface Answer {
  readonly status: number;
  readonly text: string | undefined;
  readonly bytes: number | undefined;
}

/** A cache that is reached over HTTP. Reads follow redirects, unless a login goes with them. Every request has a limit of silence. */
export class HttpFiles implements CacheFiles {
  readonly #options: HttpFilesOptions;

  constructor(options: HttpFilesOptions) {
    this.#options = options;
  }

  get place(): string {
    return this.#options.place ?? this.#options.url;
  }

  async readText(name: string, maxBytes: number): Promise<string | undefined> {
    const { status, text } = await this.#ask('GET', name, maxBytes);
    if (MISSING.has(status) || status === FORBIDDEN) return undefined;
    if (status !== 200) throw this.#refusal(status, name);
    return text;
  }

  async sizeOf(name: string): Promise<number | 'unknown' | undefined> {
    let answer = await this.#ask('HEAD', name, 0);
    if (WITHOUT_HEAD.has(answer.status)) answer = await this.#ask('GET', name, 0);
    const { status, bytes } = answer;
    if (MISSING.has(status) || status === FORBIDDEN) return undefined;
    if (status !== 200) throw this.#refusal(status, name);
    return bytes ?? 'unknown';
  }

  /** Throws CACHE_FOREIGN where no cache answers, and CACHE_REFUSES where it does not admit us. Resolves to false where nothing is there yet. */
  async hasInfo(): Promise<boolean> {
    const { status, text } = await this.#ask('GET', 'nix-cache-info', 4096);
    // A login that may do nothing there is refused at the first file that is written.
    if (MISSING.has(status) || (status === FORBIDDEN && this.#options.authorize !== undefined)) return false;
    if (status !== 200) throw this.#refusal(status, 'nix-cache-info');
    if (text === undefined || !/^StoreDir: *\/nix\/store *$/m.test(text))
      throw this.#error('CACHE_FOREIGN', 'is no cache of /nix/store: what answers there may be a login page, or another service');
    return true;
  }

  /** Writes a file: the text itself, or what is in the file at `path`. `onSent` gets the bytes of each part. */
  async put(name: string, body: { readonly text: string } | { readonly path: string; readonly bytes: number }, onSent?: (bytes: number) => void) {
    const { status } = await this.#repeated(async () => {
      const url = this.#urlOf(name);
      const headers = (await this.#options.authorize?.('PUT', url)) ?? {};
      const sent = await sendFile(url, body, { headers, signal: this.#options.signal, silenceMs: WHILE_SENDING * this.#silenceMs, onSent });
      return { status: sent, text: undefined, bytes: undefined };
    });
    if (status >= 200 && status < 300) return;
    throw this.#refusal(status, name);
  }

  get #silenceMs(): number {
    return this.#options.silenceMs ?? SILENCE_MS;
  }

  /** A narinfo may name its content by a whole URL. */
  #urlOf(name: string): URL {
    return /^https?:\/\//.test(name) ? new URL(name) : new URL(`${this.#options.url}/${name}`);
  }

  async #ask(method: 'GET' | 'HEAD', name: string, maxBytes: number): Promise<Answer> {
    const { authorize, signal } = this.#options;
    return await this.#repeated(async () => {
      const url = this.#urlOf(name);
      const isOurs = url.href.startsWith(`${this.#options.url}/`);
      const headers = isOurs ? await authorize?.(method, url) : undefined;
      const limits = [AbortSignal.timeout(this.#silenceMs), ...(signal === undefined ? [] : [signal])];
      const redirect = headers === undefined ? 'follow' : 'manual';
      const response = await fetch(url, { method, headers: headers ?? {}, redirect, signal: AbortSignal.any(limits) });
      const announced = response.headers.get('content-length');
      const isPacked = response.headers.has('content-encoding');
      const bytes = announced === null || isPacked || !/^\d{1,16}$/.test(announced) ? undefined : Number(announced);
      if (maxBytes > 0 && response.status === 200) return { status: 200, text: await readBoundedText(response, maxBytes), bytes };
      await response.body?.cancel().catch(() => undefined);
      return { status: response.status, text: undefined, bytes };
    });
  }

  async #repeated(work: () => Promise<Answer>): Promise<Answer> {
    const { signal, clock } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      let cause: unknown;
      let why: string;
      try {
        const answer = await work();
        if (!mayPass(answer.status)) return answer;
        why = `answers with status ${answer.status}`;
      } catch (error) {
        if (isFloeError(error))
          throw error.code === 'ANSWER_TOO_LONG' ? this.#error('CACHE_FOREIGN', 'answers with more than a narinfo', error) : error;
        if (signal?.aborted === true) throw new FloeError('NIX_STOPPED', 'using the cache was stopped', { retryable: true });
        cause = error;
        why = isTimeout(error) ? 'was silent for too long' : `does not answer (${fetchReason(error)})`;
      }
      if (attempt === ATTEMPTS) throw this.#error('CACHE_AWAY', `${why}: see that it runs, and that this machine reaches it`, cause);
      await clock.sleep(RETRY_MS * 2 ** (attempt - 1), signal);
    }
  }

  #refusal(status: number, name: string): FloeError<CacheErrorCode> {
    if (status === 401 || status === 403 || status === 407)
      return this.#error('CACHE_REFUSES', `does not admit us (status ${status}): ${this.#options.adviceOnRefusal}`);
    if (status === 507) return this.#error('CACHE_FULL', 'has no room left (status 507): make room there; Floe continues then');
    if (status >= 300 && status < 400) return this.#error('CACHE_REFUSES', `sends us elsewhere (status ${status}): set its own URL, or its region`);
    return this.#error('CACHE_PATH_REFUSED', `does not take or give ${name} (status ${status})`);
  }

  #error(code: CacheErrorCode, what: string, cause?: unknown): FloeError<CacheErrorCode> {
    return new FloeError(code, `the cache ${this.place} ${what}`, { retryable: true, cause });
  }
}

function mayPass(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501 && status !== 507);
}
