import { roleFor } from '@floe/model';
import * as protocol from '@floe/protocol';
import { toJsonSchema, toJsonSchemaDefs } from '@valibot/to-json-schema';
import { capitalised } from '@floe/views';
import type { GenericSchema } from 'valibot';
import packageJson from '../../package.json' with { type: 'json' };
import { partOf, type Part, type Target } from './described.ts';

/** A route as Hono lists it: one entry for each of its middlewares. */
export interface ListedRoute {
  readonly method: string;
  readonly path: string;
  readonly handler: object;
}

/** A route of the API, with what its middlewares say about it. */
export interface DescribedRoute {
  readonly method: string;
  readonly path: string;
  readonly parts: readonly Part[];
}

type Json = { readonly [key: string]: unknown };

const API = '/api/';

/** The routes of the API, in the order in which they were added. */
export function describedRoutes(listed: readonly ListedRoute[]): readonly DescribedRoute[] {
  const routes = Map.groupBy(
    listed.filter(({ method, path }) => method !== 'ALL' && path.startsWith(API)),
    ({ method, path }) => `${method} ${path}`,
  );
  return [...routes.values()].flatMap((entries) => {
    const [first] = entries;
    return first === undefined ? [] : [{ method: first.method, path: first.path, parts: entries.flatMap(({ handler }) => partOf(handler) ?? []) }];
  });
}

const EXPORTED: Readonly<Record<string, unknown>> = protocol;
/** Schemas of the protocol have their own names in the document. */
const NAMED: Readonly<Record<string, GenericSchema>> = Object.fromEntries(
  Object.entries(EXPORTED).filter((entry): entry is [string, GenericSchema] => /^[A-Z][a-zA-Z]+$/.test(entry[0]) && isSchema(entry[1])),
);

function isSchema(value: unknown): value is GenericSchema {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'schema';
}

const REFERENCE = '#/components/schemas/';
const CONVERSION = {
  target: 'draft-2020-12',
  // As it is sent: what the server parses into something else is described by what is sent.
  typeMode: 'input',
  // A check that JSON Schema cannot say is left out; the server makes it all the same, and says why it refuses.
  errorMode: 'ignore',
  overrideRef: ({ referenceId }: { readonly referenceId: string }) => `${REFERENCE}${referenceId}`,
} as const;

function toSchema(schema: GenericSchema): Json {
  const { $schema: _schema, $defs: _defs, ...rest } = toJsonSchema(schema, { ...CONVERSION, definitions: NAMED });
  return rest;
}

/** The API of this server in the terms of OpenAPI 3.1, made from its routes. */
export function describeApi(listed: readonly ListedRoute[]): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const { method, path, parts } of describedRoutes(listed)) {
    const name = path.replaceAll(/:(\w+)/g, '{$1}');
    (paths[name] ??= {})[method.toLowerCase()] = operationOf(method, path, parts);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Floe',
      version: packageJson.version,
      description: 'The API of floe-server. Times are milliseconds since 1970-01-01 UTC. A request body is JSON, and may not be longer than 64 KiB.',
    },
    paths,
    components: {
      schemas: usedBy(paths),
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'An API token: floe token create' },
        session: { type: 'apiKey', in: 'cookie', name: 'floe_session', description: 'Of a browser that signed in with POST /api/session' },
      },
    },
  };
}

function operationOf(method: string, path: string, parts: readonly Part[]): Json {
  const answer = parts.find((part) => part.kind === 'answer')?.answer;
  const guard = parts.find((part) => part.kind === 'guard');
  const input = (target: Target): Json | undefined => {
    const schema = parts.find((part) => part.kind === 'input' && part.target === target);
    return schema?.kind === 'input' ? toSchema(schema.schema) : undefined;
  };
  const body = input('json');
  return {
    operationId: [
      method.toLowerCase(),
      ...path
        .slice(API.length)
        .split(/[^a-zA-Z]/)
        .map(capitalised),
    ].join(''),
    summary: answer?.what ?? '',
    ...(guard === undefined ? {} : { description: `For the role ${roleFor(guard.action)} and those above it.` }),
    security: guard === undefined ? [] : [{ token: [] }, { session: [] }],
    parameters: [...parametersOf('path', input('param')), ...parametersOf('query', input('query'))],
    ...(body === undefined ? {} : { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: {
      ...(answer === undefined
        ? {}
        : {
            [answer.status]: {
              description: answer.what,
              ...(answer.body === undefined ? {} : { content: { [answer.mediaType]: { schema: toSchema(answer.body) } } }),
            },
          }),
      default: { description: 'It was not done; the message says why', content: { 'application/json': { schema: toSchema(protocol.ApiError) } } },
    },
  };
}

function parametersOf(place: 'path' | 'query', schema: Json | undefined): readonly Json[] {
  const { properties = {}, required = [] } = (schema ?? {}) as {
    readonly properties?: Readonly<Record<string, Json>>;
    readonly required?: readonly string[];
  };
  return Object.entries(properties).map(([name, each]) => ({ name, in: place, required: place === 'path' || required.includes(name), schema: each }));
}

/** Those schemas with names that something refers to, and what they refer to themselves. */
function usedBy(paths: Json): Json {
  const all: Readonly<Record<string, unknown>> = toJsonSchemaDefs(NAMED, CONVERSION);
  const used = new Set<string>();
  const look = (json: unknown): void => {
    for (const [, name = ''] of JSON.stringify(json).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      if (used.has(name)) continue;
      used.add(name);
      look(all[name]);
    }
  };
  look(paths);
  return Object.fromEntries([...used].toSorted().map((name) => [name, all[name]]));
}
