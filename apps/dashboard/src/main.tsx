import { effect } from '@preact/signals';
import { render } from 'preact';
import { createApi } from './api.ts';
import { App } from './components/app.tsx';
import { Dashboard } from './dashboard.ts';
import { createRouter } from './router.ts';
import './styles/index.css';

const root = document.querySelector('#app');
if (root === null) throw new Error('index.html has no #app');

const api = createApi({ fetch: globalThis.fetch.bind(globalThis), baseUrl: document.baseURI });
const dashboard = new Dashboard({ api, now: () => Date.now(), random: () => Math.random() });
// Pages of other lengths take each other's places: the list of hosts finds its place by itself.
history.scrollRestoration = 'manual';
const router = createRouter(window);
effect(() => {
  const route = router.route.value;
  if (route.kind === 'fleet') dashboard.filter.value = route.filter;
});
addEventListener('online', () => dashboard.retryNow());

const page = new AbortController();
addEventListener('pagehide', (event) => {
  // A page kept for the back button comes to life again, and its stream with it.
  if (!event.persisted) page.abort();
});
render(<App dashboard={dashboard} router={router} />, root);
await dashboard.run(page.signal);
