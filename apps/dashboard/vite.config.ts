import { preact } from '@preact/preset-vite';
import { defineConfig } from 'vite';
import { compress } from './compress.ts';

// Addresses are relative, so that the page also works below a path of a reverse proxy. Nothing may be inlined: the
// server's content security policy allows only its own files.
export default defineConfig({
  base: './',
  plugins: [preact({ reactAliasesEnabled: false, devToolsEnabled: false }), compress()],
  build: { target: 'es2022', modulePreload: { polyfill: false }, assetsInlineLimit: 0, emptyOutDir: true },
  // For work on the page beside a running server: `vite apps/dashboard`.
  server: { proxy: { '/api': 'http://127.0.0.1:8080' } },
});
