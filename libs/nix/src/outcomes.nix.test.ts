import { join } from 'node:path';
import type { HostName, StorePath } from '@floe/model';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BuildResult, HostEvaluation } from './index.ts';
import { commitFlake, OTHER_SYSTEM, SYSTEM, WORLDS, type World } from './test/worlds.ts';

const signal = new AbortController().signal;
const limits = { timeoutMs: 60_000, maxMemoryBytes: 2 * 1024 ** 3, signal };

describe.each(WORLDS.filter(({ isMissing }) => !isMissing))('with $name', ({ isDaemon, open }) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(async () => {
    await world.close();
  });

  async function evaluate(url: string, hosts: readonly string[], isAsked?: (host: string) => boolean): Promise<Map<string, HostEvaluation>> {
    const results = new Map<string, HostEvaluation>();
    await world.nix.evaluateHosts(url, hosts as HostName[], {
      concurrency: 2,
      timeoutMs: 60_000,
      maxMemoryBytes: 2 * 1024 ** 3,
      signal,
      isAsked,
      onResult: (result) => results.set(result.host, result),
    });
    return results;
  }

  describe.skipIf(isDaemon)('a host whose evaluation fails', () => {
    const THROWN = ['No space left on device', 'type sqlite', "program 'git' failed", 'cannot connect to socket', 'out of memory'];
    const toplevel = (expression: string): string => `{ config.system.build.toplevel = ${expression}; }`;
    const labelled = (agent: string, more = ''): string =>
      `{ config = { ${more} system.build.toplevel = derivation { name = "x"; system = "${SYSTEM}"; builder = "/bin/sh"; }; services.floe.agent = ${agent}; }; }`;
    const AGENTS = {
      labelled: '{ labels = [ "role=dns" "laptop" "role=dns" ]; ring = "canary"; formerHost = "ws0001"; }',
      label: '{ labels = [ "a" "a b" ]; }',
      lambda: '{ labels = [ (x: x) ]; }',
      unlisted: '{ labels = "a"; }',
      many: '{ labels = builtins.genList toString 51; }',
      ring: '{ ring = "a/b"; }',
      former: '{ formerHost = "a/b"; }',
      formers: '{ formerHost = [ "ws0001" ]; }',
      thrown: '{ ring = throw "no ring today"; }',
    };

    it('is that host’s error, whatever its text is; the others continue', async () => {
      const hosts = Object.fromEntries(THROWN.map((text, index) => [`throws${index}`, toplevel(`throw ${JSON.stringify(text)}`)]));
      const all = {
        ...hosts,
        undefined: toplevel('import ./undefined.nix'),
        traces: toplevel('builtins.trace "error: out of memory" (abort "SQLite")'),
        good: toplevel(`builtins.trace "all is well" (derivation { name = "x"; system = "${SYSTEM}"; builder = "/bin/sh"; })`),
        addressed: toplevel(
          `derivation { name = "x"; system = "${SYSTEM}"; builder = "/bin/sh"; __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; }`,
        ),
        number: toplevel('{ drvPath = 1; outPath = "x"; system = "y"; }'),
        tokyo: labelled('{ }', 'time.timeZone = "Asia/Tokyo";'),
        nowhere: labelled('{ }', 'time.timeZone = null;'),
        oddly: labelled('{ }', 'time.timeZone = { };'),
        ...Object.fromEntries(Object.entries(AGENTS).map(([name, agent]) => [name, labelled(agent)])),
      };
      const outputs = Object.entries(all).map(([name, value]) => `nixosConfigurations.${name} = ${value};`);
      const url = await commitFlake(world.dir, {
        'flake.nix': `{ outputs = { self }: { ${outputs.join('\n')} }; }`,
        'undefined.nix': 'sqlite',
      });
      const results = await evaluate(url, Object.keys(all));
      for (const [index, text] of THROWN.entries()) {
        expect(results.get(`throws${index}`)).toMatchObject({ kind: 'failed', code: 'EVALUATION_FAILED', isRetryable: false, error: text });
      }
      expect(results.get('undefined')).toMatchObject({ code: 'EVALUATION_FAILED', error: "undefined variable 'sqlite' (undefined.nix:1:1)" });
      expect(results.get('traces')).toMatchObject({
        code: 'EVALUATION_FAILED',
        error: "evaluation aborted with the following error message: 'SQLite'",
        warnings: ['error: out of memory'],
      });
      expect(results.get('good')).toMatchObject({ kind: 'evaluated', warnings: ['all is well'] });
      expect(results.get('addressed')).toMatchObject({
        code: 'EVALUATION_UNSUPPORTED',
        error: expect.stringContaining('content-addressed') as string,
      });
      expect(results.get('number')).toMatchObject({ code: 'EVALUATION_UNSUPPORTED' });
      expect(results.get('good')).toMatchObject({ labels: [], ring: undefined, formerHost: undefined });
      expect(
        ['good', 'tokyo', 'nowhere', 'oddly'].map((name) => [results.get(name)?.kind, Reflect.get(results.get(name) ?? {}, 'timeZone')]),
      ).toEqual([
        ['evaluated', undefined],
        ['evaluated', 'Asia/Tokyo'],
        ['evaluated', undefined],
        ['evaluated', 'a value of the type set'],
      ]);
      expect(results.get('labelled')).toMatchObject({ kind: 'evaluated', labels: ['role=dns', 'laptop'], ring: 'canary', formerHost: 'ws0001' });
      const own = (name: string): unknown => ({ ...results.get(name), warnings: undefined, durationMs: undefined });
      const failed = { kind: 'failed', code: 'EVALUATION_FAILED', isRetryable: false };
      const rule = 'a label is 1 to 64 letters, digits, or . _ : / = @ + -, and begins and ends with a letter or digit, as in role=dns';
      for (const [name, error] of [
        ['label', `services.floe.agent.labels[1]: "a b" is not possible: ${rule}`],
        ['lambda', `services.floe.agent.labels[0]: a value of the type lambda is not possible: ${rule}`],
        ['unlisted', 'services.floe.agent.labels: is not a list of texts, as in [ "laptop" "site=berlin" ]'],
        ['many', 'services.floe.agent.labels: has 51 entries: 50 are the most'],
        ['ring', expect.stringMatching(/^services\.floe\.agent\.ring: "a\/b" is not possible: a ring name is/) as string],
        ['former', 'services.floe.agent.formerHost: "a/b" is not possible: it is the name that this machine had in nixosConfigurations before'],
        ['formers', expect.stringContaining('formerHost: a value of the type list is not possible') as string],
        ['thrown', 'no ring today'],
      ] as const) {
        expect(own(name)).toMatchObject({ ...failed, host: name, error });
      }
    });

    it('is not evaluated further when it is asked whether it is Floe’s, and says no', async () => {
      const system = `system.build.toplevel = derivation { name = "x"; system = "${SYSTEM}"; builder = "/bin/sh"; };`;
      const broken = 'system.build.toplevel = throw "broken";';
      const all = {
        // NixOS without the module, as an installer is; its system is broken, too.
        installer: `{ services.openssh.enable = true; ${broken} }`,
        off: `{ services.floe.agent.enable = false; ${system} }`,
        odd: `{ services.floe.agent.enable = "yes"; ${system} }`,
        on: `{ services.floe.agent.enable = true; ${system} }`,
        onbroken: `{ services.floe.agent.enable = true; ${broken} }`,
        // No NixOS: these say nothing, and are built.
        plain: `{ ${system} }`,
        labelled: `{ services.floe.agent.labels = [ "a" ]; ${system} }`,
        plainbroken: `{ ${broken} }`,
        silent: '(throw "a template")',
      };
      const outputs = Object.entries(all).map(([name, config]) => `nixosConfigurations.${name}.config = ${config};`);
      const url = await commitFlake(world.dir, { 'flake.nix': `{ outputs = { self }: { ${outputs.join('\n')} }; }` });
      const kinds = async (isAsked: boolean): Promise<unknown> =>
        Object.fromEntries(
          [...(await evaluate(url, Object.keys(all), () => isAsked))].map(([name, result]) => [
            name,
            result.kind === 'failed' && result.isSilent === true ? 'silent' : result.kind,
          ]),
        );
      expect(await kinds(true)).toEqual({
        installer: 'not-ours',
        off: 'not-ours',
        odd: 'evaluated',
        on: 'evaluated',
        onbroken: 'failed',
        plain: 'evaluated',
        labelled: 'evaluated',
        plainbroken: 'failed',
        silent: 'silent',
      });
      // Whoever is enrolled is not asked.
      expect(await kinds(false)).toEqual({
        installer: 'failed',
        off: 'evaluated',
        odd: 'evaluated',
        on: 'evaluated',
        onbroken: 'failed',
        plain: 'evaluated',
        labelled: 'evaluated',
        plainbroken: 'failed',
        silent: 'failed',
      });
    });

    it('with a location in an input names the input, and the last location in the fleet’s own files', async () => {
      const input = await commitFlake(world.dir, {
        'flake.nix': '{ outputs = { self }: { lib.mk = import ./lib/mk.nix; }; }',
        'lib/mk.nix': 'f: let x = f.start + y; y = x; in { config.system.build.toplevel = if f ? start then x else f.missing; }',
      });
      const base = input.replace(/[?].*/, '');
      const files = {
        'flake.nix': `{ inputs.base.url = "${base}?ref=main"; outputs = { self, base }: { nixosConfigurations = {
  ada = base.lib.mk { start = 1; };
  cyd.config.system.build.toplevel = (import ./cyd.nix) base.lib.mk;
}; }; }`,
        'cyd.nix': 'mk:\n  (mk { }).config.system.build.toplevel',
        'flake.lock': await lockOf(world, base, input),
      };
      const results = await evaluate(await commitFlake(world.dir, files), ['ada', 'cyd']);
      const message = (host: string): string => (results.get(host) as { error: string }).error;
      expect(message('ada')).toMatch(/^infinite recursion encountered \(lib\/mk\.nix:1:\d+ in the input base(, used at flake\.nix:2:3)?\)$/);
      expect(message('cyd')).toMatch(/^attribute 'missing' missing \(lib\/mk\.nix:1:\d+ in the input base, used at (cyd|flake)\.nix:\d+:\d+\)$/);
      expect(JSON.stringify([...results])).not.toMatch(/«string»|«none»|getFlake|nix\/store/);
    });
  });

  describe.skipIf(isDaemon)('the output floe', () => {
    it('is read as data, and lists say whether it is there', async () => {
      const url = await commitFlake(world.dir, {
        'flake.nix': '{ outputs = { self }: { nixosConfigurations.ada = { }; floe = import ./floe.nix; }; }',
        'floe.nix': 'let n = 12.5; in { rings = [ { name = "${"can"}ary"; share = n; deadline = null; } ]; budgets."role=dns" = 1; }',
      });
      expect(await world.nix.listHosts(url, limits)).toMatchObject({ hosts: ['ada'], hasPolicy: true });
      expect(await world.nix.readFleetPolicy(url, limits)).toEqual({
        rings: [{ name: 'canary', share: 12.5, deadline: null }],
        budgets: { 'role=dns': 1 },
      });
    });

    it('that holds more than plain data, or too much of it, is said to be unusable, and where', async () => {
      const unusable = [
        ['{ rings = [ { name = "a"; hosts = x: x; } ]; }', /^rings\[0\]\.hosts: is a function, and the output floe is plain data only/],
        ['{ checks = [ (derivation { name = "c"; system = "s"; builder = "b"; }) ]; }', /^checks\[0\]: is a derivation/],
        ['{ labels = { ada = ./.; }; }', /^labels\.ada: is a path/],
        ['let f = { rings = [ f ]; }; in f', /^(?:rings\[0\]\.?)+: is a set or list deeper than any policy/],
        ['{ rings = throw "no rings today"; }', /^the output floe cannot be read: no rings today/],
        ['{ x = builtins.genList (n: "0123456789") 100000; }', /^the output floe is larger than 1 MiB/],
      ] as const;
      async function tried([output, message]: (typeof unusable)[number]): Promise<void> {
        const url = await commitFlake(world.dir, { 'flake.nix': `{ outputs = { self }: { nixosConfigurations.ada = { }; floe = ${output}; }; }` });
        await expect(world.nix.readFleetPolicy(url, limits)).rejects.toMatchObject({
          code: 'POLICY_INVALID',
          retryable: false,
          message: expect.stringMatching(message) as string,
        });
      }
      await Promise.all(unusable.map(tried));
    });
  });

  describe.skipIf(isDaemon)('an input that cannot be fetched', () => {
    it('is named with its address, and is retried', async () => {
      const url = await commitFlake(world.dir, {
        'flake.nix': '{ inputs.base.url = "git+http://127.0.0.1:9/base.git"; outputs = { self, base }: { nixosConfigurations.ada = base.ada; }; }',
        'flake.lock': lock({ type: 'git', url: 'http://127.0.0.1:9/base.git', rev: 'a'.repeat(40), narHash: `sha256-${'A'.repeat(43)}=` }),
      });
      const waiting = expect.stringMatching(/^waiting for input base \(http:\/\/127\.0\.0\.1:9\/base\.git\): /) as string;
      expect((await evaluate(url, ['ada'])).get('ada')).toMatchObject({ kind: 'failed', code: 'INPUT_AWAY', isRetryable: true, error: waiting });
      const needed = await commitFlake(world.dir, {
        'flake.nix': '{ inputs.base.url = "git+http://127.0.0.1:9/base.git"; outputs = { self, base }: { nixosConfigurations = base.hosts; }; }',
        'flake.lock': lock({ type: 'git', url: 'http://127.0.0.1:9/base.git', rev: 'a'.repeat(40), narHash: `sha256-${'A'.repeat(43)}=` }),
      });
      await expect(world.nix.listHosts(needed, limits)).rejects.toMatchObject({ code: 'INPUT_AWAY', retryable: true, message: waiting });
    });

    it.each([
      ['missing', undefined, /^flake\.lock is missing: run `nix flake lock`/],
      ['with conflict marks', '<<<<<<< HEAD\n{}\n=======\n', /^flake\.lock cannot be read/],
      ['with a NUL', '{\0}', /^flake\.lock cannot be read/],
      ['larger than the limit for command output', ' '.repeat(17 * 1024 ** 2), /^flake\.lock cannot be read/],
      ['without an entry', '{"nodes":{"root":{}},"root":"root","version":7}', /^flake\.lock has no entry for the input base/],
      [
        'of another address',
        lock({ type: 'git', url: 'http://127.0.0.1:9/other.git', rev: 'a'.repeat(40), narHash: `sha256-${'A'.repeat(43)}=` }),
        /base|flake\.lock/,
      ],
    ])('whose flake.lock is %s: the error says what to commit', async (_name, text, message) => {
      const input = await commitFlake(world.dir, { 'flake.nix': '{ outputs = { self }: { }; }' });
      const url = await commitFlake(world.dir, {
        'flake.nix': `{ inputs.base.url = "${input.replace(/&rev.*/, '')}"; outputs = { self, base }: { nixosConfigurations.ada = base.ada; }; }`,
        ...(text === undefined ? {} : { 'flake.lock': text }),
      });
      await expect(world.nix.listHosts(url, limits)).rejects.toMatchObject({
        code: 'FLAKE_LOCK_INVALID',
        retryable: false,
        message: expect.stringMatching(message) as string,
      });
    });
  });

  describe('the nixConfig of a flake', () => {
    const lacking = async (flake: string, nix = world.nix): Promise<unknown> =>
      await nix.lackingSettings(await commitFlake(world.dir, { 'flake.nix': flake }), limits);
    const nothing = { substituters: [], keys: [], features: [] };

    it('is compared with the settings of this server, and what is lacking is named', async () => {
      const flake = `{
        nixConfig = {
          extra-substituters = [ "https://cache.nixos.org?priority=5" "https://fleet.example.org/" ];
          substituters = "https://fleet.example.org/ https://more.example.org";
          extra-trusted-public-keys = [ "fleet-1:AAAA" ];
          extra-experimental-features = [ "flakes" "pipe-operators" ];
          sandbox = false;
        };
        outputs = { self }: throw "never asked";
      }`;
      const wanted = {
        substituters: ['https://cache.nixos.org?priority=5', 'https://more.example.org', 'https://fleet.example.org/'],
        keys: ['fleet-1:AAAA'],
        features: ['pipe-operators'],
      };
      expect(await lacking(flake)).toEqual({
        ...wanted,
        substituters: expect.toSatisfy((all: string[]) => all.toSorted().join() === wanted.substituters.toSorted().join()) as unknown,
      });
      const set = world.with(
        'substituters = https://cache.nixos.org/ https://fleet.example.org https://more.example.org',
        'trusted-public-keys = fleet-1:AAAA',
      );
      expect(await lacking(flake, set)).toEqual({ ...nothing, features: ['pipe-operators'] });
    });

    it.each([
      ['is missing', '{ outputs = { self }: { }; }'],
      [
        'has other things in it',
        '{ nixConfig = { extra-substituters = [ 1 { } ]; substituters = { a = 1; }; keys = x: x; }; outputs = { self }: { }; }',
      ],
      ['cannot be read', '{ nixConfig = throw "no"; outputs = { self }: { }; }'],
      ['is of a flake that cannot be parsed', '{ nixConfig = '],
      ['never ends', '{ nixConfig.substituters = let x = x; in x; outputs = { self }: { }; }'],
      ['is too large', `{ nixConfig.substituters = [ "${'a '.repeat(80_000)}" ]; outputs = { self }: { }; }`],
    ])('that %s names nothing, and fails nothing', async (_what, flake) => {
      expect(await lacking(flake)).toEqual(nothing);
    });
  });

  describe('a build', () => {
    /** Runs `script` as a build that needs `inputs`. Its store path is unique to this run. */
    const drv = (name: string, script: string, more = '', inputs = ''): string =>
      `derivation { name = "${name}"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" ''${script}'' ]; PATH = "/usr/bin:/bin"; unique = "${world.dir}"; inputs = [ ${inputs} ]; ${more} }`;
    const source = (name: string, script = 'exit 1'): string =>
      drv(name, script, 'outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = "0000000000000000000000000000000000000000000000000000";');

    async function build(expression: string, nix = world.nix, between: () => Promise<void> = async () => undefined): Promise<BuildResult> {
      const url = await commitFlake(world.dir, {
        'flake.nix': `{ outputs = { self }: { nixosConfigurations.ada.config.system.build.toplevel = ${expression}; }; }`,
      });
      const evaluated = (await evaluate(url, ['ada'])).get('ada');
      if (evaluated?.kind !== 'evaluated') throw new Error(JSON.stringify(evaluated));
      await between();
      return await nix.build(evaluated, { signal, timeoutMs: 60_000, root: join(world.dir, 'roots/ada') });
    }

    it('that fails is the host’s error, even when it mentions sqlite and a full disk', async () => {
      const inner = drv('sqlite-3.45.1', 'echo No space left on device >&2; exit 3');
      const result = await build(drv('system', 'exit 0', '', `(${inner})`));
      expect(result).toMatchObject({
        kind: 'failed',
        code: 'BUILD_FAILED',
        isRetryable: false,
        error: expect.stringMatching(/^builder for 'sqlite-3\.45\.1\.drv' failed/) as string,
      });
      expect(await build(drv('no-output', 'true'))).toMatchObject({ code: 'BUILD_FAILED', isRetryable: false });
      expect(await build(drv('killed', 'kill -9 $$'))).toMatchObject({ code: 'BUILD_FAILED', isRetryable: false });
    });

    it('whose source cannot be downloaded is retried, and the source is named', async () => {
      const result = await build(drv('system', 'exit 0', '', `(${source('kernel.tar.gz', 'echo cannot resolve host >&2; exit 1')})`));
      expect(result).toMatchObject({
        code: 'BUILD_DOWNLOAD_FAILED',
        isRetryable: true,
        error: expect.stringMatching(/^the download of kernel\.tar\.gz failed; Floe tries again\n.*\n.*\n?cannot resolve host/s) as string,
      });
    });

    it('in which a source and another derivation fail is the host’s error', async () => {
      const both = `(${source('slow.tar.gz', 'sleep 1; exit 1')}) (${drv('fails', 'exit 3')})`;
      const nix = world.with('max-jobs = 2');
      expect(await build(drv('system', 'exit 0', '', both), nix)).toMatchObject({ code: 'BUILD_FAILED', isRetryable: false });
    });

    it('that no available machine can run is reported once, with what is missing', async () => {
      const other = drv('arm', 'exit 0').replace(SYSTEM, OTHER_SYSTEM);
      const result = await build(drv('system', 'exit 0', '', `(${other})`));
      expect(result).toMatchObject({
        code: 'BUILD_NO_MACHINE',
        isRetryable: false,
        error: expect.stringMatching(new RegExp(`^arm needs a machine of ${OTHER_SYSTEM}; this server builds for .*${SYSTEM}`)) as string,
      });
      const special = await build(drv('special', 'exit 0', 'requiredSystemFeatures = [ "quantum" ];'));
      expect(special).toMatchObject({ code: 'BUILD_NO_MACHINE', error: expect.stringContaining('with quantum') as string });
    });

    it('of a system is told apart when nobody here builds for its architecture, and nothing is built to find that out', async () => {
      const arm = drv('armhost', 'mkdir $out').replace(SYSTEM, OTHER_SYSTEM);
      const systems = {
        here: drv('herehost', 'mkdir $out'),
        arm,
        inner: drv('inner', 'mkdir $out', '', `(${drv('armpart', 'exit 0').replace(SYSTEM, OTHER_SYSTEM)})`),
      };
      const outputs = Object.entries(systems).map(([name, text]) => `nixosConfigurations.${name}.config.system.build.toplevel = ${text};`);
      const results = await evaluate(
        await commitFlake(world.dir, { 'flake.nix': `{ outputs = { self }: { ${outputs.join('\n')} }; }` }),
        Object.keys(systems),
      );
      const targets = [...results.values()].flatMap((result) => (result.kind === 'evaluated' ? [result] : []));
      const named = async (nix = world.nix): Promise<Record<string, string>> => {
        const found = await nix.notBuiltHere(targets, signal);
        return Object.fromEntries(targets.flatMap(({ host, drvPath }) => (found.has(drvPath) ? [[host, found.get(drvPath) ?? '']] : [])));
      };
      expect(await named()).toEqual({
        arm: expect.stringMatching(
          new RegExp(`^needs a machine of ${OTHER_SYSTEM}; this server builds for .*${SYSTEM}.*nix.buildMachines`),
        ) as string,
      });
      if (isDaemon) return;
      // Emulated, or by a remote builder that may be away just now.
      expect(await named(world.with(`extra-platforms = ${OTHER_SYSTEM}`))).toEqual({});
      expect(await named(world.with(`builders = ssh://nobody ${OTHER_SYSTEM}`))).toEqual({});
      // What is there already needs no machine: somebody else built it, as a CI does for a cache.
      const armhost = targets.find(({ host }) => host === 'arm');
      const options = { signal, timeoutMs: 60_000, root: join(world.dir, 'roots/arm') };
      expect(await world.with(`extra-platforms = ${OTHER_SYSTEM}`).build(armhost as NonNullable<typeof armhost>, options)).toMatchObject({
        kind: 'built',
      });
      expect(await named()).toEqual({});
    });

    it('whose derivation the garbage collector removed is reported as that', async () => {
      const result = await build(drv('collected', 'mkdir $out'), world.nix, async () => {
        const path = (await world.run('nix-store', '--gc', '--print-dead')).split('\n').find((each) => each.endsWith('-collected.drv'));
        expect(path).toBeDefined();
        await world.run('nix-store', '--delete', path as StorePath);
      });
      expect(result).toMatchObject({ code: 'BUILD_DERIVATION_MISSING', isRetryable: true });
    });
  });
});

function lock(locked: Readonly<Record<string, string>>): string {
  const { type, url } = locked;
  return JSON.stringify({ nodes: { base: { locked, original: { type, url } }, root: { inputs: { base: 'base' } } }, root: 'root', version: 7 });
}

/** The lock file for an input at a commit. */
async function lockOf(world: World, base: string, input: string): Promise<string> {
  const rev = /rev=([0-9a-f]{40})/.exec(input)?.[1] ?? '';
  const url = base.replace(/^git\+/, '');
  const narHash = await world.run(
    'nix',
    'eval',
    '--raw',
    '--expr',
    `(builtins.fetchTree { type = "git"; url = "${url}"; ref = "main"; rev = "${rev}"; }).narHash`,
  );
  const locked = { type: 'git', url, ref: 'main', rev, narHash };
  const original = { type: 'git', url, ref: 'main' };
  return JSON.stringify({ nodes: { base: { locked, original }, root: { inputs: { base: 'base' } } }, root: 'root', version: 7 });
}
