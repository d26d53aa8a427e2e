// Rewrites docs/agent-options.md: sh scripts/run.sh options
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exec } from '../libs/runtime/src/index.ts';
import { agentOptionsReference } from '../nix/testing/options-reference.ts';

const file = join(import.meta.dirname, '../docs/agent-options.md');
await writeFile(file, await agentOptionsReference(exec, process.env));
