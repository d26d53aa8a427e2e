import type { ApiToken } from '@floe/store';
import { shortSha } from '@floe/views';

/** Where there is another administrator, nobody alone lets a commit pass below the floor. */
export function neededForGlass(tokens: readonly ApiToken[], person: string, now: number): 1 | 2 {
  const isOther = ({ role, expiresAt, ...token }: ApiToken): boolean =>
    role === 'administrator' && (expiresAt === undefined || expiresAt > now) && token.person !== person;
  return tokens.some(isOther) ? 2 : 1;
}

export function glassAnswer(sha: string, outcome: 'repeated' | 'waits' | 'broken'): string {
  const short = shortSha(sha);
  const second = `It passes when a second administrator, another person, runs: floe rollout break-glass ${short} --reason "…"`;
  switch (outcome) {
    case 'repeated':
      return `you have asked for that already. ${second}`;
    case 'waits':
      return `that ${short} may pass below the floor of the server's settings is asked for, and all who are told of such things are told. ${second}`;
    case 'broken':
      return `${short} may pass below the floor of the server's settings, and is looked at again from the start. The gates of its own policy hold, and no other commit passes.`;
  }
}
