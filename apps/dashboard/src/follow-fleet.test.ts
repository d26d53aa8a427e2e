import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Answer, Api } from './api.ts';
import { SILENCE_MS, followFleet, type FollowDeps } from './follow-fleet.ts';
import { fleetView } from '@floe/views/fixtures';

type Stream = Answer<ReadableStream<Uint8Array>>;
const SNAPSHOT = `event: snapshot\ndata: ${JSON.stringify(fleetView())}\n\n`;

/** A server that answers each connection with the next of `answers`, and then says that the session is over. */
function follow(...answers: ((signal: AbortSignal) => Stream)[]) {
  const heard: string[] = [];
  const openEvents: Api['openEvents'] = async (signal) => await Promise.resolve(answers.shift()?.(signal) ?? { kind: 'signed-out', message: '' });
  const api = { openEvents } as Api;
  const deps: FollowDeps = {
    api,
    random: () => 1,
    pause: async () => await Promise.resolve(),
    onMessage: (message) => heard.push(message.type),
    onAlive: () => undefined,
    onLost: (reason, retryInMs) => heard.push(`${reason} ${retryInMs}`),
  };
  return { heard, end: followFleet(deps, new AbortController().signal) };
}

function streamOf(text: string, rest: 'ends' | 'silent' = 'ends'): (signal: AbortSignal) => Stream {
  return (signal) => ({
    kind: 'ok',
    value: new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(text));
        if (rest === 'ends') controller.close();
        else signal.addEventListener('abort', () => controller.error(signal.reason));
      },
    }),
  });
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('a lost connection is made again, at once slower and slower, and from the start once it was live', async () => {
  const failed = (): Stream => ({ kind: 'failed', message: 'away' });
  const { heard, end } = follow(streamOf(SNAPSHOT), failed, failed, streamOf(SNAPSHOT));
  expect(await end).toBe('signed-out');
  const closed = 'The server closed the connection.';
  expect(heard).toEqual(['snapshot', `${closed} 500`, 'away 1000', 'away 2000', 'snapshot', `${closed} 500`]);
});

test('a connection that looks alive and says nothing is lost', async () => {
  const { heard, end } = follow(streamOf(SNAPSHOT, 'silent'));
  await vi.advanceTimersByTimeAsync(SILENCE_MS - 1);
  expect(heard).toEqual(['snapshot']);
  await vi.advanceTimersByTimeAsync(1);
  await end;
  expect(heard).toEqual(['snapshot', 'The server fell silent. 500']);
});

test('no word of the stream turns the page’s reading order round', async () => {
  const shown: string[] = [];
  const told = `event: snapshot\ndata: ${JSON.stringify({ ...fleetView(), repository: { ...fleetView().repository, branch: 'a\u202eb' } })}\n\n`;
  const answers = [streamOf(told)];
  const openEvents: Api['openEvents'] = async (signal) => await Promise.resolve(answers.shift()?.(signal) ?? { kind: 'signed-out', message: '' });
  await followFleet(
    {
      api: { openEvents } as Api,
      random: () => 0,
      pause: async () => await Promise.resolve(),
      onMessage: (message) => message.type === 'snapshot' && shown.push(message.fleet.repository.branch),
      onAlive: () => undefined,
      onLost: () => undefined,
    },
    new AbortController().signal,
  );
  expect(shown).toEqual(['a\ufffdb']);
});

test('what this page cannot read is said, not shown', async () => {
  const { heard, end } = follow(streamOf('event: change\ndata: {"type":"host"}\n\n'));
  await end;
  expect(heard).toEqual(['The server speaks another version than this page. Reload the page. 500']);
});

test('events of names that are not known yet do no harm', async () => {
  const { heard, end } = follow(streamOf(`event: later\ndata: {}\n\n${SNAPSHOT}`));
  await end;
  expect(heard[0]).toBe('snapshot');
});
