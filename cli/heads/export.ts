/** Heads as they lie beside exported towers. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import type { ExportedFile } from '../../src/clip/export/manifest.ts';
import { ModelError, UsageError } from '../../src/errors.ts';
import { encodeHead } from '../../src/safety/heads/file.ts';
import type { Head } from '../../src/safety/heads/head.ts';

export interface EncodedHead {
  file: ExportedFile;
  content: Uint8Array;
}

/** Of all heads together: the front has little left beside NSFWJS and a decoded picture, and holds a head twice while reading it. */
const MAX_BYTES = 8 * 2 ** 20;

/**
 * In the order given; `dim` is the length of the towers' embeddings. Throws `UsageError` for heads that would write one
 * column twice or do not fit into the front, `ModelError` for one of another length.
 */
export function encodeHeads(heads: readonly Head[], dim: number): EncodedHead[] {
  const taken = new Map<string, string>();
  const encoded = heads.map((head) => {
    const { name, space, columns } = head.info;
    if (space.dim !== dim) {
      throw new ModelError(`the head ${name} takes ${space.dim} components, the embeddings have ${dim}`);
    }
    for (const column of [`head ${name}`, ...columns]) {
      const other = taken.get(column);
      if (other !== undefined) {
        throw new UsageError(`the heads ${other} and ${name} both make ${column}`, {
          hint: 'Export one of them, or give one another name',
        });
      }
      taken.set(column, name);
    }
    const content = encodeHead(head);
    const file = {
      name: `heads/${name}.safetensors`,
      bytes: content.length,
      sha256: bytesToHex(sha256(content)),
    };
    return { file, content };
  });
  const total = encoded.reduce((sum, { file }) => sum + file.bytes, 0);
  if (total > MAX_BYTES) {
    throw new UsageError(`the heads have ${total} bytes, a Worker holds ${MAX_BYTES} beside all else`, {
      hint: 'Export fewer, or smaller ones; shardsieve serve runs any',
    });
  }
  return encoded;
}
