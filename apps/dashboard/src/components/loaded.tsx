import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import type { Answer } from '../api.ts';

/** What was asked for: undefined while it is on its way. */
export interface Asked<T> {
  readonly answer: Answer<T> | undefined;
  readonly again: () => void;
}

/** Asks the server, and again whenever one of `keys` is another; what was there stays until the new answer. */
export function useAsked<T>(ask: (signal: AbortSignal) => Promise<Answer<T>>, keys: readonly unknown[]): Asked<T> {
  const answer = useSignal<Answer<T> | undefined>(undefined);
  const attempt = useSignal(0);
  useEffect(() => {
    const leave = new AbortController();
    async function load(): Promise<void> {
      const got = await ask(leave.signal);
      if (!leave.signal.aborted) answer.value = got;
    }
    void load();
    return () => leave.abort();
  }, [...keys, attempt.value]);
  return {
    answer: answer.value,
    again: () => {
      attempt.value += 1;
    },
  };
}

/** An answer, or why there is none, with a way to ask again. */
export function Loaded<T>({ asked, children }: { readonly asked: Asked<T>; readonly children: (value: T) => ComponentChildren }) {
  const { answer, again } = asked;
  if (answer === undefined) return <p class="aside">Loading …</p>;
  if (answer.kind === 'ok') return <>{children(answer.value)}</>;
  return (
    <p role="alert">
      {answer.message}{' '}
      <button type="button" onClick={again}>
        Try again
      </button>
    </p>
  );
}
