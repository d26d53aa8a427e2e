import type * as v from 'valibot';

/** What a valibot schema is made of, as far as a walk needs it. */
interface SchemaParts {
  readonly kind: string;
  readonly type: string;
  readonly pipe?: readonly unknown[];
  readonly entries?: Readonly<Record<string, unknown>>;
  readonly item?: unknown;
  readonly items?: readonly unknown[];
  readonly key?: unknown;
  readonly value?: unknown;
  readonly wrapped?: unknown;
  readonly options?: readonly unknown[];
  readonly literal?: unknown;
  readonly requirement?: unknown;
  readonly examples?: readonly unknown[];
}

/** A schema without its pipe, and the pipe's actions: checks, transformations. Pipes in pipes are laid out. */
export interface Layer {
  readonly schema: SchemaParts;
  readonly actions: readonly SchemaParts[];
}

export function isSchema(value: unknown): value is v.GenericSchema {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'schema';
}

/** The outermost layer of a schema. */
export function layerOf(schema: unknown): Layer {
  const parts = schema as SchemaParts;
  const actions: SchemaParts[] = [];
  for (const step of parts.pipe?.slice(1) ?? []) {
    if (isSchema(step)) throw new Error(`a pipe that goes on with a schema (${step.type}) is not walked here: teach the walk`);
    actions.push(step as SchemaParts);
  }
  const first = parts.pipe?.[0] as SchemaParts | undefined;
  if (first === undefined || first.pipe === undefined) return { schema: parts, actions };
  const inner = layerOf(first);
  return { schema: inner.schema, actions: [...inner.actions, ...actions] };
}

/** The schemas directly inside, by the name of their place. */
export function childrenOf({ schema }: Layer): readonly (readonly [string, unknown])[] {
  const children: (readonly [string, unknown])[] = Object.entries(schema.entries ?? {});
  if (schema.item !== undefined) children.push(['[]', schema.item]);
  for (const [index, item] of (schema.items ?? []).entries()) children.push([String(index), item]);
  if (isSchema(schema.key)) children.push(['{key}', schema.key]);
  if (isSchema(schema.value)) children.push(['{value}', schema.value]);
  if (schema.wrapped !== undefined) children.push(['', schema.wrapped]);
  // A picklist's options are values.
  for (const [index, option] of (schema.options ?? []).entries()) if (isSchema(option)) children.push([`|${index}`, option]);
  return children;
}

/** The number that an action of this type names; the last one counts. */
export function requirementOf({ actions }: Layer, type: string): number | undefined {
  const requirement = actions.findLast((action) => action.type === type)?.requirement;
  return typeof requirement === 'number' ? requirement : undefined;
}
