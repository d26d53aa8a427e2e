import { join } from 'node:path';
import type { Exec } from '@floe/runtime';
import * as v from 'valibot';

/** Nix text as it was written, or a value. */
const Shown = v.union([v.strictObject({ text: v.string() }), v.strictObject({ value: v.unknown() })]);
type Shown = v.InferOutput<typeof Shown>;
const Entries = v.pipe(
  v.string(),
  v.parseJson(),
  v.array(v.strictObject({ name: v.string(), type: v.string(), description: v.string(), default: v.optional(Shown), example: v.optional(Shown) })),
);
type Entry = v.InferOutput<typeof Entries>[number];

const INTRODUCTION = `# Options of the agent's NixOS module

<!-- Written by "sh scripts/run.sh options" from nix/modules/agent/. -->

\`\`\`nix
{ config, inputs, ... }:
{
  imports = [ inputs.floe.nixosModules.agent ];

  services.floe.agent = {
    enable = true;
    # These lines are what "floe enrol HOST" prints.
    serverUrl = "https://floe.example.org";
    trustedReleaseKeys = [ "release-1:…" ];
    trustedServerKeys = [ "server-1:…" ];
    substituters = [ "https://floe.example.org/cache" ];
    trustedPublicKeys = [ "cache-1:…" ];

    userGroup = "users";
    policy.windows = [ { cron = "0 3 * * *"; durationMinutes = 120; } ];
    policy.reboot.when = "window";
    healthChecks.web.http.url = "http://localhost:8080/health";
    healthChecks.database.unit = "postgresql.service";
  };
}
\`\`\`

The one-time token of \`floe enrol\` ends after 15 minutes. So switch the machine to these options first, without a token. Then run
\`floe enrol HOST\` and type the token into \`/run/floe-enrolment-token\` there: the agent looks for it every 5 seconds.

Any other way that makes a file works too, if the token is encrypted, committed and switched to within these 15 minutes. With sops-nix:

\`\`\`nix
sops.secrets.floe-enrolment-token = { };
services.floe.agent.enrolmentTokenFile = config.sops.secrets.floe-enrolment-token.path;
\`\`\`

With agenix:

\`\`\`nix
age.secrets.floe-enrolment-token.file = ./floe-enrolment-token.age;
services.floe.agent.enrolmentTokenFile = config.age.secrets.floe-enrolment-token.path;
\`\`\`

Once \`floe hosts HOST\` shows the machine as enrolled, take the secret and the option out again: the agent has its own key by then.

Health checks and policy are files of the system, \`/etc/floe/health-checks.json\` and \`/etc/floe/agent-policy.json\`: each
generation brings its own. What else these settings mean is in [configuration.md](configuration.md#floe-agent).
`;

/** docs/agent-options.md, from the module's own options. `lib`: a Nix expression; without it the stub in this folder. */
export async function agentOptionsReference(exec: Exec, env: NodeJS.ProcessEnv, lib?: string): Promise<string> {
  const agent = join(import.meta.dirname, 'agent.nix');
  const expression = `(import ${agent} { ${lib === undefined ? '' : `lib = ${lib};`} }).reference`;
  const result = await exec('nix-instantiate', ['--eval', '--strict', '--json', '--expr', expression], { env, timeoutMs: 60_000 });
  if (result.end !== 'exited' || result.exitCode !== 0) throw new Error(`the options cannot be read:\n${result.stderr}`);
  return [INTRODUCTION, ...v.parse(Entries, result.stdout).map(section)].join('\n');
}

function section(entry: Entry): string {
  const facts = [
    `type: \`${entry.type}\``,
    entry.default === undefined ? 'must be set' : `default: ${literal(entry.default)}`,
    ...(entry.example === undefined ? [] : [`example: ${literal(entry.example)}`]),
  ];
  return `## \`${entry.name}\`\n\n${entry.description.trim()}\n\n${facts.map((fact) => `- ${fact}\n`).join('')}`;
}

function literal(shown: Shown): string {
  return `\`${'text' in shown ? shown.text : nixValue(shown.value)}\``;
}

function nixValue(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value).replaceAll('${', '\\${');
  if (Array.isArray(value)) return value.length === 0 ? '[ ]' : `[ ${value.map(nixValue).join(' ')} ]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const attributes = Object.entries(value).map(([name, each]) => `${name} = ${nixValue(each)};`);
  return attributes.length === 0 ? '{ }' : `{ ${attributes.join(' ')} }`;
}
