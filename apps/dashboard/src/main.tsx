import { signal } from '@preact/signals';
import { render } from 'preact';
import { createApi } from './api.ts';
import { App } from './components/app.tsx';
import { Dashboard } from './dashboard.ts';
import { parseRoute } from './route.ts';
import './styles/index.css';

const root = document.querySelector('#app');
if (root === null) throw new Error('index.html has no #app');

const api = createApi({ fetch: globalThis.fetch.bind(globalThis), baseUrl: document.baseURI });
const dashboard = new Dashboard({ api, now: () => Date.now(), random: () => Math.random() });
const route = signal(parseRoute(location.hash));
addEventListener('hashchange', () => (route.value = parseRoute(location.hash)));
addEventListener('online', () => dashboard.retryNow());

const page = new AbortController();
addEventListener('pagehide', (event) => {
  // A page kept for the back button comes to life again, and its stream with it.
  if (!event.persisted) page.abort();
});
render(<App dashboard={dashboard} route={route} />, root);
await dashboard.run(page.signal);
