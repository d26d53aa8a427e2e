// Part of the gate: one line for each method that only tests call.
import { join } from 'node:path';
import { findUnusedMethods } from './unused-methods.ts';

const NOT_OURS = /(^|\/)(node_modules|test|testing|testkit|tests)\/|\.test\.tsx?$|\/fixtures\.ts$/;
const unused = findUnusedMethods(join(import.meta.dirname, '..'), (path) => /^(apps|libs|bench|scripts)\//.test(path) && !NOT_OURS.test(path));
for (const { at, owner, name } of unused)
  console.error(`${at}: only tests call ${name} of ${owner}: remove it, or say who calls it by "@uncalled WHO"`);
process.exitCode = unused.length === 0 ? 0 : 1;
