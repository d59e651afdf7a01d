/** Heads over embeddings at the edge: small enough to run in plain TypeScript, beside towers that are anywhere. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import type { ExportedFile, ExportManifest } from '../../src/clip/export/manifest.ts';
import { ModelError } from '../../src/errors.ts';
import { readHead } from '../../src/safety/heads/file.ts';
import { type HeadRunner, headRunner } from '../../src/safety/heads/run.ts';
import type { R2Reader } from './bindings.ts';
import { findManifest, opener } from './r2.ts';
import type { Pour } from './runtime.ts';

/** What the manifest lists, in its order. Throws `ModelError` for a file that is missing or another. */
export async function readHeads(
  bucket: R2Reader,
  prefix: string,
  { heads, dim }: ExportManifest,
): Promise<HeadRunner[]> {
  const open = opener(bucket, prefix);
  const runners: HeadRunner[] = [];
  for (const file of heads) {
    const runner = await headRunner(await readOne(`${prefix}/${file.name}`, file, await open(file)));
    const { name, space } = runner.head.info;
    if (space.dim !== dim) {
      throw new ModelError(`the head ${name} takes ${space.dim} components, the embeddings have ${dim}`, {
        file: `${prefix}/${file.name}`,
      });
    }
    runners.push(runner);
  }
  return runners;
}

/**
 * Heads for towers that are in another isolate: those exported with these very towers. `elsewhere`: towers that are not
 * the bucket's at all have none. Throws `ModelError` where the bucket's heads are of another export.
 */
export async function headsBeside(
  { MODELS, MODEL }: { MODELS?: R2Reader; MODEL?: string },
  fingerprint: string,
  options: { elsewhere: boolean },
): Promise<HeadRunner[]> {
  if (MODELS === undefined || MODEL === undefined) return [];
  const manifest = await findManifest(MODELS, MODEL);
  if (manifest === undefined || manifest.heads.length === 0) return [];
  if (manifest.fingerprint === fingerprint) return readHeads(MODELS, MODEL, manifest);
  if (options.elsewhere) return [];
  throw new ModelError(
    `the towers are ${fingerprint}, and the heads were exported with ${manifest.fingerprint}`,
    {
      file: MODEL,
      hint: 'Deploy the front and both towers of one export',
    },
  );
}

async function readOne(name: string, { bytes, sha256: wanted }: ExportedFile, pour: Pour) {
  const content = new Uint8Array(bytes);
  let at = 0;
  await pour((chunk) => {
    content.set(chunk, at);
    at += chunk.length;
  });
  if (at !== bytes || bytesToHex(sha256(content)) !== wanted) {
    throw new ModelError('the head is not the one that the manifest lists', {
      file: name,
      hint: 'Upload the exported folder again',
    });
  }
  return readHead({ name, size: bytes, slice: async (start, end) => content.subarray(start, end) });
}
