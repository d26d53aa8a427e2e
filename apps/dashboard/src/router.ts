import { signal, type ReadonlySignal } from '@preact/signals';
import { formatRoute, parseRoute, type Route } from './route.ts';

/** Where the reader is, and was. */
export interface Router {
  readonly route: ReadonlySignal<Route>;
  /** The same page with another filter: the address says so, and the back button does not lead through every letter. */
  replace(route: Route): void;
  /** How far down the list of hosts was when the reader left it, and for which page. */
  readonly leftFleet: { readonly scrollY: number; readonly forHref: string };
}

type Browser = Pick<Window, 'location' | 'history' | 'scrollY' | 'addEventListener'>;

/** Follows the address of a browser's window. Links are plain links: whatever opens them finds its way. */
export function createRouter(browser: Browser): Router {
  const route = signal(parseRoute(browser.location.hash));
  let leftFleet = { scrollY: 0, forHref: '' };
  browser.addEventListener('hashchange', () => {
    const next = parseRoute(browser.location.hash);
    // A fragment that names no element moves nothing: the page is still where the reader left it.
    if (route.value.kind === 'fleet' && next.kind !== 'fleet') leftFleet = { scrollY: browser.scrollY, forHref: formatRoute(next) };
    route.value = next;
  });
  return {
    route,
    replace(next) {
      browser.history.replaceState(null, '', formatRoute(next));
      route.value = next;
    },
    get leftFleet() {
      return leftFleet;
    },
  };
}
