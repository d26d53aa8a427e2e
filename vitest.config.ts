import { defineConfig } from 'vitest/config';
import { LongestFirst } from './tests/longest-first.ts';
import { printFailures, printTables } from './tests/reporters.ts';

const everywhere = '{apps,libs,nix,scripts,bench}';
const setupFiles = ['scripts/testing/setup.ts'];
/** What a test waits for may take a while on a busy machine. */
const expect = { poll: { timeout: 30_000 } };
/** Ends what hangs, and nothing else: what takes seconds takes minutes beside six other loads. */
const HANGS_AFTER_MS = 300_000;

// The suffix of a test file names the world that it needs. Groups run one after another, so that tests that start many
// processes do not starve those with tight time limits; two files at a time suit a machine with two cores, and three where files wait for a
// database, or for servers and machines that wait for each other. Those that start programs are one group, so that no slow file runs alone at its end.
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    globalSetup: ['tests/outcomes.ts', 'tests/prepare.ts'],
    reporters: [printTables, 'default', printFailures],
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'unit',
          include: [`${everywhere}/**/*.test.ts`],
          exclude: ['**/*.{nix,pg,e2e,lab,browser}.test.ts', '**/node_modules/**'],
          setupFiles: [...setupFiles, 'scripts/testing/own-programs.ts'],
          expect,
          sequence: { groupOrder: 0 },
          testTimeout: HANGS_AFTER_MS,
          hookTimeout: HANGS_AFTER_MS,
        },
      },
      {
        test: {
          name: 'pg',
          include: [`${everywhere}/**/*.pg.test.ts`, 'tests/**/*.pg.test.ts'],
          setupFiles,
          expect,
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
          testTimeout: HANGS_AFTER_MS,
          hookTimeout: HANGS_AFTER_MS,
        },
      },
      {
        test: {
          name: 'nix',
          include: [`${everywhere}/**/*.nix.test.ts`],
          setupFiles,
          expect,
          maxWorkers: 3,
          sequence: { groupOrder: 2 },
          testTimeout: HANGS_AFTER_MS,
          hookTimeout: HANGS_AFTER_MS,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['tests/**/*.e2e.test.ts'],
          globalSetup: ['tests/programs.ts'],
          setupFiles,
          expect,
          maxWorkers: 3,
          sequence: { groupOrder: 2 },
          // Above what a wait may be stretched to on a busy machine: its own words say more than a timeout.
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
      {
        test: {
          name: 'lab',
          include: ['tests/**/*.lab.test.ts'],
          globalSetup: ['tests/programs.ts'],
          setupFiles,
          expect,
          // Machines mostly wait for each other: a file takes less than half a processor.
          maxWorkers: 4,
          sequence: { groupOrder: 3 },
          // Each wait has a limit of its own, which a busy machine stretches.
          testTimeout: 1_800_000,
          hookTimeout: 1_800_000,
        },
      },
      {
        test: {
          name: 'browser',
          include: ['tests/**/*.browser.test.ts'],
          globalSetup: ['tests/programs.ts'],
          setupFiles,
          expect,
          maxWorkers: 3,
          sequence: { groupOrder: 2 },
          testTimeout: HANGS_AFTER_MS,
          hookTimeout: HANGS_AFTER_MS,
        },
      },
    ],
  },
});
