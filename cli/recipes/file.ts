import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseDocument, stringify } from 'yaml';
import { messageOf, UsageError } from '../../src/errors.ts';
import { guess } from '../../src/nearest.ts';
import { parseRecipe, type Recipe } from '../../src/run/recipe.ts';
import { packageRoot } from '../package-root.ts';

/** More text than any recipe has; YAML's aliases could make much of it. */
const MAX_BYTES = 1 << 20;

/**
 * Reads a recipe, YAML or JSON; a name without folder and ending is that of a recipe in the package. Throws
 * `UsageError` naming file, line and field.
 */
export async function readRecipe(recipe: string): Promise<Recipe> {
  const ready = join(packageRoot(), 'recipes');
  const isName = /^[a-z0-9_-]+$/.test(recipe);
  const path = isName ? join(ready, `${recipe}.yaml`) : recipe;
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (isName) {
      const files = (await readdir(ready)).filter((name) => name.endsWith('.yaml')).sort();
      const names = files.map((name) => name.replace(/\.yaml$/, ''));
      throw new UsageError(`no recipe called ${recipe} comes with the package`, {
        hint: `${guess(recipe, names)}There is ${names.join(', ')}; a file is named with its ending, or as ./${recipe}`,
        cause,
      });
    }
    throw new UsageError(`the recipe cannot be read: ${messageOf(cause)}`, { file: path, cause });
  }
  if (text.length > MAX_BYTES) throw new UsageError(`a recipe of ${text.length} characters`, { file: path });
  try {
    return parseRecipe(parseYaml(text));
  } catch (cause) {
    throw new UsageError(messageOf(cause), { file: path, cause });
  }
}

/** A value in YAML's core schema: no tags, no dates, no functions. Throws `UsageError` with line and column. */
export function parseYaml(text: string): unknown {
  const document = parseDocument(text, { prettyErrors: true });
  const [error] = document.errors;
  if (error) throw new UsageError(`not YAML: ${error.message.split('\n')[0].replace(/:$/, '')}`);
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new UsageError(`not YAML that a recipe may hold: ${messageOf(cause)}`, { cause });
  }
}

/** A recipe as people write it, with the address of its schema for editors. */
export function printRecipe(recipe: object): string {
  const known = JSON.parse(JSON.stringify(recipe)) as object;
  return `# Run it with: shardsieve run FILE\n${stringify(known, { lineWidth: 110 }).trimEnd()}\n`;
}
