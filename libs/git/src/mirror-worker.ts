import { performance } from 'node:perf_hooks';
import { parentPort, workerData } from 'node:worker_threads';
import { describeError, Spawner } from '@floe/runtime';
import { createLocalMirror, type LocalMirror } from './local-mirror.ts';
import { packError, type ThreadData, type ThreadReply, type ThreadRequest } from './thread-messages.ts';

// The worker thread of one mirror. See mirror-thread.ts, which starts it and sends one call at a time.

type Call = Extract<ThreadRequest, { readonly kind: 'call' }>;

function perform(mirror: LocalMirror, call: Call, signal: AbortSignal): Promise<unknown> {
  switch (call.name) {
    case 'fetch':
      return mirror.fetch(signal, ...call.args);
    case 'branches':
      return mirror.branches(signal, ...call.args);
    case 'defaultBranch':
      return mirror.defaultBranch(signal, ...call.args);
    case 'accept':
      return mirror.accept(signal, ...call.args);
    case 'commit':
      return mirror.commit(signal, ...call.args);
    case 'head':
      return mirror.head(signal);
    case 'contains':
      return mirror.contains(signal, ...call.args);
    case 'changedPaths':
      return mirror.changedPaths(signal, ...call.args);
    case 'changedNodes':
      return mirror.changedNodes(signal, ...call.args);
    case 'newCommits':
      return mirror.newCommits(signal, ...call.args);
    case 'signedParts':
      return mirror.signedParts(signal, ...call.args);
    case 'inspect':
      return mirror.inspect(signal, ...call.args);
    case 'without':
      return mirror.without(signal, ...call.args);
    case 'probeCommit':
      return mirror.probeCommit(signal, ...call.args);
    case 'selfMentions':
      return mirror.selfMentions(signal, ...call.args);
    case 'wholeCommit':
      return mirror.wholeCommit(signal, ...call.args);
    case 'treeCommit':
      return mirror.treeCommit(signal, ...call.args);
  }
}

const ALIVE_MS = 1_000;

function throttled(tell: () => void): () => void {
  let toldAt = 0;
  return () => {
    if (performance.now() - toldAt < ALIVE_MS) return;
    toldAt = performance.now();
    tell();
  };
}

function serve(port: NonNullable<typeof parentPort>, data: ThreadData): void {
  const reply = (message: ThreadReply): void => port.postMessage(message);
  // It ends what it runs when this thread ends, however that comes.
  const spawner = new Spawner();
  const mirror = createLocalMirror({
    dir: data.dir,
    url: data.url,
    branch: data.branch,
    tokenSetting: data.tokenSetting,
    ssh: data.ssh,
    exec: spawner.exec,
    limits: data.limits,
    onAlive: throttled(() => reply({ kind: 'alive' })),
    onProgress: (progress) => reply({ kind: 'progress', progress }),
    onDefaultBranch: (name) => reply({ kind: 'default-branch', name }),
    warn: (message, fields) =>
      reply({
        kind: 'warning',
        message,
        fields: Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, value instanceof Error ? describeError(value) : value])),
      }),
  });
  let current: { readonly id: number; readonly controller: AbortController } | undefined;
  port.on('message', (request: ThreadRequest) => {
    if (request.kind === 'cancel') {
      if (current?.id === request.id) current.controller.abort();
      return;
    }
    const controller = new AbortController();
    current = { id: request.id, controller };
    perform(mirror, request, controller.signal).then(
      (value) => reply({ kind: 'done', id: request.id, value }),
      (error: unknown) => reply({ kind: 'failed', id: request.id, failure: packError(error) }),
    );
  });
}

if (parentPort) serve(parentPort, workerData as ThreadData);
