import { execInTest } from '@floe/runtime';
import { expect, it } from 'vitest';
import { KNOWN_HOST_FORM, sshCommand } from './ssh-access.ts';

it.each(['/var/lib/floe/home', '/a b/it\'s 50% "of" $HOME/`x`'])('a shell and ssh read the paths below %s as they are', async (home) => {
  const { stdout } = await execInTest('sh', ['-c', `ssh() { for each; do printf '%s\\n' "$each"; done; }; ${sshCommand(home)}`]);
  const args = stdout.trimEnd().split('\n');
  expect(args.slice(0, 2)).toEqual(['-F', 'none']);
  expect(args).toContain(`IdentityFile="${home.replaceAll('%', '%%').replaceAll('"', '\\"')}/input-key"`);
  expect(args).toContain('StrictHostKeyChecking=yes');
});

it.each(['a', 'a ssh-rsa', 'a ssh-rsa AAAA\nb', '# a comment', '', 'a b ssh-rsa AAAA !'])('%j is no line of known_hosts', (line) => {
  expect(KNOWN_HOST_FORM.test(line)).toBe(false);
});
