import { HOST_NAME_FORM } from '@floe/model';

/** What the address asks to look at. Commit statuses link to `#/revisions/<sha>`. */
export type Route =
  | { readonly kind: 'fleet' }
  | { readonly kind: 'host'; readonly host: string }
  | { readonly kind: 'revision'; readonly sha: string };

/** The route of a fragment; whatever it does not know is the fleet. */
export function parseRoute(fragment: string): Route {
  const [, page, name = '', ...rest] = fragment.replace(/^#/, '').split('/');
  if (rest.length > 0) return { kind: 'fleet' };
  if (page === 'hosts' && HOST_NAME_FORM.test(name)) return { kind: 'host', host: name };
  if (page === 'revisions' && /^[0-9a-f]{7,40}$/.test(name)) return { kind: 'revision', sha: name };
  return { kind: 'fleet' };
}

export function formatRoute(route: Route): string {
  switch (route.kind) {
    case 'fleet':
      return '#/';
    case 'host':
      return `#/hosts/${route.host}`;
    case 'revision':
      return `#/revisions/${route.sha}`;
  }
}
