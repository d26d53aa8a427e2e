import { PassThrough } from 'node:stream';
import type { SshAddress } from '@floe/model';
import { NO_TIME_LIMIT, strictSsh, type Exec, type ExecResult } from '@floe/runtime';
import type { GitTransport, SshLogin } from './git-transport.ts';
import { notGit, refusal } from './http-errors.ts';
import { MAX_REFS_BYTES, mib, tooLarge } from './limits.ts';
import { encodePacket, frame, PacketReader } from './pkt-line.ts';
import { translateSsh, withoutSsh } from './ssh-errors.ts';

export interface GitSshOptions {
  readonly url: string;
  readonly address: SshAddress;
  readonly ssh: SshLogin;
  readonly exec: Exec;
  readonly signal: AbortSignal;
}

/** "I want nothing", or the end of the list of refs. */
const FLUSH = '0000';
const AHEAD_BYTES = 256 * 1024;
const MAX_STDERR_BYTES = 16 * 1024;
/** ssh has nothing to tidy up. */
const KILL_AFTER_MS = 500;

/**
 * Git's protocol over ssh: the same requests as over HTTP, each in a connection of its own, so that what comes is counted, checked and written by the
 * same code. git itself is not needed here. ssh uses the key and the known hosts of the settings alone; what the server sends cannot make it run
 * anything. What still runs at the disposal is ended.
 */
export function createGitSsh(options: GitSshOptions): GitTransport {
  const { url } = options;
  const closing = new AbortController();
  const running = new Set<Promise<unknown>>();

  /** What the server says to `input`. Throws, once all of it was read, when ssh or the program there failed. */
  async function* converse(input: string): AsyncGenerator<Uint8Array, void> {
    const { exec, signal, ssh } = options;
    const ended = new AbortController();
    const said = new PassThrough({ highWaterMark: AHEAD_BYTES });
    said.once('close', () => ended.abort());
    let received = 0;
    const run = exec('ssh', argumentsOf(options), {
      signal: AbortSignal.any([signal, closing.signal, ended.signal]),
      // The mirror's silence limit ends it.
      timeoutMs: NO_TIME_LIMIT,
      killAfterMs: KILL_AFTER_MS,
      maxStderrBytes: MAX_STDERR_BYTES,
      // Nothing else of this process: neither secrets, nor an agent's socket.
      env: { PATH: ssh.searchPath, LC_ALL: 'C' },
      stdin: Buffer.from(input, 'latin1'),
      onStdoutBytes(bytes) {
        received += bytes.length;
        if (!said.destroyed) said.write(bytes);
      },
      whenRead: () => (said.writableNeedDrain && !said.destroyed ? drained(said) : undefined),
    })
      .then(
        (result) => failureOf(result, received),
        (error: unknown) => withoutSsh(url, error),
      )
      .finally(() => said.end());
    running.add(run);
    void run.finally(() => running.delete(run));
    yield* said as AsyncIterable<Uint8Array>;
    const failure = await run;
    signal.throwIfAborted();
    if (failure !== undefined) throw failure;
  }

  function failureOf(result: ExecResult, received: number): Error | undefined {
    if (result.end !== 'exited' || result.exitCode !== 0) return translateSsh(options, result, received > 0);
    return received > 0 ? undefined : notGit(url, new Error('the server said nothing'));
  }

  /** As HTTP begins: with the name of the service. What follows the list is not waited for. */
  async function* refs(): AsyncGenerator<Uint8Array, void> {
    yield Buffer.from(`${encodePacket('# service=git-upload-pack\n')}${FLUSH}`);
    const packets = new PacketReader(converse(FLUSH));
    for (let packet = await packets.next(); packet !== 'end'; packet = await packets.next()) {
      yield frame(packet);
      if (packet === 'flush') return;
    }
  }

  /** The answer without the list of refs, with which every connection begins. */
  async function* objects(body: string): AsyncGenerator<Uint8Array, void> {
    const packets = new PacketReader(converse(body));
    let bytes = 0;
    for (let packet = await packets.next(); packet !== 'flush'; packet = await packets.next()) {
      if (packet === 'end') return;
      bytes += packet.length;
      if (bytes > MAX_REFS_BYTES) throw tooLarge(`its list of branches and tags is larger than ${mib(MAX_REFS_BYTES)}`);
      const line = packet.toString('utf8');
      if (line.startsWith('ERR ')) throw refusal(url, line.slice(4));
    }
    yield* packets.rest();
  }

  return {
    discover: async () => await Promise.resolve(refs()),
    uploadPack: async (body) => await Promise.resolve(objects(body)),
    async [Symbol.asyncDispose]() {
      closing.abort();
      await Promise.all(running);
    },
  };
}

/** The program there and its argument are one text, which the shell of that user reads. Nothing in the path has to be quoted for it. */
function argumentsOf({ address: { user, host, port, path }, ssh }: GitSshOptions): readonly string[] {
  return [
    ...strictSsh(ssh),
    // Its notices are not what went wrong.
    '-o',
    'LogLevel=ERROR',
    '-T',
    ...(port === undefined ? [] : ['-p', `${port}`]),
    ...(user === undefined ? [] : ['-l', user]),
    '--',
    host,
    `git-upload-pack '${path}'`,
  ];
}

function drained(stream: PassThrough): Promise<void> {
  return new Promise((resolve) => {
    for (const event of ['drain', 'close'] as const) stream.once(event, resolve);
  });
}
