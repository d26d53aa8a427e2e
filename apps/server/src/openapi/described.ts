import type { Action } from '@floe/model';
import { sValidator } from '@hono/standard-validator';
import type { Context, MiddlewareHandler } from 'hono';
import type { GenericSchema } from 'valibot';
import { refuse } from '../http-error.ts';
import { inputProblem } from './input-words.ts';

// What a route does and what describes it are one: the document of the API is read from the middleware of its routes.

/** What one middleware of a route says about it. */
export type Part =
  | { readonly kind: 'guard'; readonly action: Action }
  | { readonly kind: 'input'; readonly target: Target; readonly schema: GenericSchema }
  | { readonly kind: 'answer'; readonly answer: Answered };

/** Where an input is in the request. */
export type Target = 'json' | 'param' | 'query';

/** What a route answers when it does what it is asked. */
export interface Answered {
  /** What the route does, in a few words. */
  readonly what: string;
  readonly status: number;
  /** Undefined: without a body. */
  readonly body: GenericSchema | undefined;
  readonly mediaType: string;
}

const PART: unique symbol = Symbol('what a middleware says about its route');

/** Marks a middleware with what it says about its route. */
export function saying<Handler extends object>(part: Part, handler: Handler): Handler {
  return Object.assign(handler, { [PART]: part });
}

export function partOf(handler: object): Part | undefined {
  return PART in handler ? (handler[PART] as Part) : undefined;
}

/** Parses an input of a route, refuses what does not fit, and describes it. */
export function takes<const In extends Target, Schema extends GenericSchema>(target: In, schema: Schema) {
  return saying({ kind: 'input', target, schema }, sValidator(target, schema, orRefuse(schema)));
}

/** Describes what a route does and answers. Errors are an `ApiError` for every route. */
export function answers(
  what: string,
  body?: GenericSchema,
  { status = body === undefined ? 204 : 200, mediaType = 'application/json' }: { readonly status?: number; readonly mediaType?: string } = {},
): MiddlewareHandler {
  return saying({ kind: 'answer', answer: { what, status, body, mediaType } }, async (_c, next) => await next());
}

/** Answers an invalid request with 400 and names the problem. */
function orRefuse(schema: GenericSchema) {
  return (
    result: { readonly success: boolean; readonly error?: readonly { readonly message: string; readonly path?: readonly unknown[] | undefined }[] },
    c: Context,
  ) =>
    result.success
      ? undefined
      : refuse(c, 400, 'REQUEST_INVALID', [...new Set((result.error ?? []).map((issue) => inputProblem(schema, issue)))].join('; '));
}
