import { expect, test } from 'vitest';
import { condemnsConnection, isPassing } from './postgres-codes.ts';

test.each([
  ['0A000', 'cached plan must not change result type'],
  ['08000', 'connection exception'],
  ['08006', 'connection failure'],
  ['08P01', 'protocol violation'],
  ['25006', 'read only sql transaction'],
  ['25P02', 'in failed sql transaction'],
  ['25P03', 'idle in transaction session timeout'],
  ['25P04', 'transaction timeout'],
  ['26000', 'invalid sql statement name'],
  ['40003', 'statement completion unknown'],
  ['42P05', 'duplicate prepared statement'],
  ['53000', 'insufficient resources'],
  ['53200', 'out of memory'],
  ['53300', 'too many connections'],
  ['53400', 'configuration limit exceeded'],
  ['57P01', 'admin shutdown'],
  ['57P02', 'crash shutdown'],
  ['57P03', 'cannot connect now'],
  ['57P04', 'database dropped'],
  ['57P05', 'idle session timeout'],
  ['58000', 'system error'],
  ['58030', 'io error'],
  ['58P01', 'undefined file'],
  ['58P02', 'duplicate file'],
  ['F0000', 'config file error'],
  ['XX000', 'internal error'],
  ['XX001', 'data corrupted'],
  ['XX002', 'index corrupted'],
])('%s (%s) condemns the connection, and the call is tried again', (code) => {
  expect(condemnsConnection(code)).toBe(true);
  expect(isPassing(code)).toBe(true);
});

test.each([
  ['40001', 'serialization failure'],
  ['40P01', 'deadlock detected'],
  ['53100', 'disk full'],
  ['55P03', 'lock not available'],
  ['57014', 'query canceled'],
])('%s (%s) leaves the connection alone, and the call is tried again', (code) => {
  expect(condemnsConnection(code)).toBe(false);
  expect(isPassing(code)).toBe(true);
});

test.each([
  ['22001', 'string data right truncation'],
  ['22P05', 'untranslatable character'],
  ['23505', 'unique violation'],
  ['25001', 'active sql transaction'],
  ['42601', 'syntax error'],
  ['42P01', 'undefined table'],
  ['42501', 'insufficient privilege'],
  ['54000', 'program limit exceeded'],
  ['55000', 'object not in prerequisite state'],
  ['P0001', 'raise exception'],
  ['', 'no code'],
  ['ECONNRESET', 'not a SQLSTATE'],
])('%s (%s) is about the statement', (code) => {
  expect(condemnsConnection(code)).toBe(false);
  expect(isPassing(code)).toBe(false);
});
