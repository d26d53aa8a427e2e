import { defineConfig } from 'drizzle-kit';

// `npx drizzle-kit generate --name what-changes` writes the next migration from the tables. Forward only: never edit one.
export default defineConfig({ dialect: 'postgresql', schema: './libs/store/src/tables/index.ts', out: './migrations' });
