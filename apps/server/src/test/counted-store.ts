import type { Store } from '@floe/store';

export interface CountedStore {
  readonly store: Store;
  /** What was asked since the last `reset()`, as `hosts.fleet`. */
  calls(): readonly string[];
  /** How many rows came back. */
  rows(): number;
  /** How many questions are not answered yet. */
  pending(): number;
  reset(): void;
}

/** The store, with what is asked of it recorded. */
export function countedStore(real: Store): CountedStore {
  let calls: string[] = [];
  let rows = 0;
  let pending = 0;
  const watch = <Group extends object>(group: Group, prefix: string): Group =>
    new Proxy(group, {
      get(target, name, receiver) {
        const value: unknown = Reflect.get(target, name, receiver);
        if (typeof name === 'symbol') return typeof value === 'function' ? value.bind(target) : value;
        if (typeof value === 'object' && value !== null) return watch(value, `${prefix}${name}.`);
        if (typeof value !== 'function') return value;
        // Asks nothing itself.
        if (name === 'forPeople') return value.bind(target);
        return (...args: unknown[]): unknown => {
          const result: unknown = Reflect.apply(value, target, args);
          // What answers at once asks the database nothing.
          if (!(result instanceof Promise)) return result;
          calls.push(`${prefix}${name}`);
          pending += 1;
          return result
            .then((answer: unknown) => {
              rows += 1 + rowsIn(answer);
              return answer;
            })
            .finally(() => (pending -= 1));
        };
      },
    });
  return {
    store: watch(real, ''),
    calls: () => calls,
    rows: () => rows,
    pending: () => pending,
    reset() {
      calls = [];
      rows = 0;
    },
  };
}

/** The items of all lists in an answer. */
function rowsIn(answer: unknown): number {
  if (typeof answer !== 'object' || answer === null) return 0;
  const items = Array.isArray(answer) || answer instanceof Set || answer instanceof Map ? [...answer] : Object.values(answer);
  const own = Array.isArray(answer) || answer instanceof Set || answer instanceof Map ? items.length : 0;
  return items.reduce((sum: number, item) => sum + rowsIn(item), own);
}
