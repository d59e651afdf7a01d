/** The table behind `text_based`, which ships with the package. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MetadataError, messageOf } from '../src/errors.ts';
import { type EntityTable, loadEntityTable } from '../src/select/text-based.ts';
import { packageRoot } from './package-root.ts';

const ENTITIES = join('assets', 'wordnet', 'entities.txt.gz');

/** Throws `MetadataError` where the file is missing or broken. */
export async function loadEntities(): Promise<EntityTable> {
  const file = join(packageRoot(), ENTITIES);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw new MetadataError(`cannot read the table of entities: ${messageOf(error)}`, {
      file,
      hint: 'Reinstall shardsieve: the file ships with it',
      cause: error,
    });
  }
  return loadEntityTable(bytes);
}
