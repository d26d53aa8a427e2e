import { HOST_NAME_FORM } from '@floe/model';
import type { HostFilter } from './host-list.ts';

/** What the address asks to look at. Commit statuses link to `#/revisions/<sha>`. */
export type Route =
  | { readonly kind: 'fleet'; readonly filter: HostFilter }
  | { readonly kind: 'host'; readonly host: string }
  | { readonly kind: 'revisions' }
  | { readonly kind: 'revision'; readonly sha: string };

export const ALL_HOSTS: HostFilter = { text: '', onlyAttention: false };
export const FLEET: Route = { kind: 'fleet', filter: ALL_HOSTS };

/** The route of a fragment; whatever it does not know is the fleet. */
export function parseRoute(fragment: string): Route {
  const [path = '', query = ''] = fragment.replace(/^#/, '').split('?', 2);
  const [, page, name = '', ...rest] = path.split('/');
  if (rest.length > 0) return FLEET;
  if (page === 'hosts' && HOST_NAME_FORM.test(name)) return { kind: 'host', host: name };
  if (page === 'revisions' && name === '') return { kind: 'revisions' };
  if (page === 'revisions' && /^[0-9a-f]{7,40}$/.test(name)) return { kind: 'revision', sha: name };
  const asked = new URLSearchParams(query);
  return { kind: 'fleet', filter: { text: asked.get('q') ?? '', onlyAttention: asked.get('attention') === 'yes' } };
}

export function formatRoute(route: Route): string {
  switch (route.kind) {
    case 'fleet': {
      const asked = new URLSearchParams();
      if (route.filter.text !== '') asked.set('q', route.filter.text);
      if (route.filter.onlyAttention) asked.set('attention', 'yes');
      return asked.size === 0 ? '#/' : `#/?${asked.toString()}`;
    }
    case 'host':
      return `#/hosts/${route.host}`;
    case 'revisions':
      return '#/revisions';
    case 'revision':
      return `#/revisions/${route.sha}`;
  }
}
