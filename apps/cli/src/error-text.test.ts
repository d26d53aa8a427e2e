import { FloeError } from '@floe/runtime';
import { expect, test } from 'vitest';
import { errorText } from './error-text.ts';

test('the server’s code is at the end of the first line, once', () => {
  const of = (serverCode: string | undefined, message: string): string => errorText(new FloeError('REFUSED', message, { data: { serverCode } }));
  expect(of('APPROVAL_CHANGED', 'since you looked, a host was added:\nfox')).toBe('since you looked, a host was added: (APPROVAL_CHANGED)\nfox');
  expect(of('DATABASE_REFUSES', 'the server failed: DATABASE_REFUSES')).toBe('the server failed: DATABASE_REFUSES');
  expect(of(undefined, 'there is no ring other')).toBe('there is no ring other');
});
