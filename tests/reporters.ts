import type { Reporter, SerializedError, TestModule, TestRunEndReason } from 'vitest/node';
import { formatOutcomes } from './outcomes.ts';

/** Prints the tables of outcomes. Runs before the default reporter, so that the tables do not push failures out of a truncated log. */
export const printTables: Reporter = {
  onTestRunEnd() {
    const text = formatOutcomes();
    if (text !== '') console.log(text);
  },
};

/** Prints each failure in one line at the end of the run, because many logs keep only their end. */
export const printFailures: Reporter = {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[], reason: TestRunEndReason) {
    const lines = [...modules.flatMap(failuresOf), ...unhandled.map((error) => `outside of tests: ${firstLine(error)}`)];
    if (lines.length > 0) console.log(`\nFailed (${lines.length}):\n${lines.map((line) => `  ${line}`).join('\n')}`);
    else if (reason !== 'passed') console.log(`\nThe run ended early: ${reason}`);
  },
};

function failuresOf(module: TestModule): string[] {
  const tests = [...module.children.allTests('failed')].map(
    (test) => `${module.relativeModuleId} > ${test.fullName}: ${firstLine(test.result().errors?.[0])}`,
  );
  const suites = [module, ...module.children.allSuites()].flatMap((suite) => suite.errors());
  return [...tests, ...suites.map((error) => `${module.relativeModuleId}: ${firstLine(error)}`)];
}

function firstLine(error: SerializedError | undefined): string {
  return (error?.message ?? 'no message').split('\n')[0] ?? '';
}
