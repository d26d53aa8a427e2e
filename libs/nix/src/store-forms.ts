import { STORE_PATH_FORM } from '@floe/model';
import * as v from 'valibot';

/** Nix allows names of 211 characters. */
const MAX_PATH_CHARACTERS = 256;
export const DerivationPath = v.pipe(v.string(), v.maxLength(MAX_PATH_CHARACTERS), v.regex(/^\/nix\/store\/[0-9a-z]{32}-[0-9A-Za-z+\-._?=]+\.drv$/));
export const OutputPath = v.pipe(v.string(), v.maxLength(MAX_PATH_CHARACTERS), v.regex(STORE_PATH_FORM));
