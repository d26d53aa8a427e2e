import { expect, it } from 'vitest';
import { isOpenDatabase } from './repository-sandbox.ts';

it.each([
  ['postgres://floe@localhost/floe', true],
  ['postgres://floe@127.0.0.1:5432/floe', true],
  ['postgres://floe@db.example.org/floe', true],
  ['postgres://floe:secret@localhost/floe', false],
  ['postgres://floe@localhost/floe?host=/run/postgresql', false],
  ['postgres://floe@%2Frun%2Fpostgresql/floe', false],
  ['postgres:///floe?host=/run/postgresql', false],
])('tells whether repository code could use a database that asks for no password: %s', (url, isOpen) => {
  expect(isOpenDatabase(url)).toBe(isOpen);
});
