import { forgeLogin } from '@floe/model';

/**
 * The account that all these names name. A forge names it more than once; undefined: one of the names is missing, is no login, or is
 * another's. Then nobody knows who pushed.
 */
export function pusherLogin(...names: readonly (string | null | undefined)[]): string | undefined {
  const [login, ...others] = names.map((name) => forgeLogin(name));
  return others.every((other) => other === login) ? login : undefined;
}
