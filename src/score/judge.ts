/** What looks at pictures while they pass, beside the towers: classifiers of pixels, hashes. */
import type { Fit, ImageDecoder, Pixels } from '../image/types.ts';
import type { Column } from '../metadata/columns.ts';
import type { Pdq } from '../safety/pdq/hash.ts';

/** How pictures become pixels. */
export interface PictureReading {
  decoder: ImageDecoder;
  fit: Fit;
}

export interface Picture {
  /** As it lies in its shard. */
  bytes: Uint8Array;
  /** `undefined` where it cannot be decoded. */
  pixels: Pixels | undefined;
}

/** What is kept of a picture until its row is made, so that its pixels need not be: an input of a model, or hashes. */
export type Look = Float32Array | PictureHashes;

export interface PictureHashes {
  pdq: Pdq | undefined;
  /** Hex, of the bytes. */
  sha256: string;
}

/** Judges pictures in two steps: each is looked at as soon as it is decoded, rows are made of several looks at once. */
export interface PictureJudge {
  /** `undefined` where there is nothing to judge. */
  look(picture: Picture): Look | undefined;
  /** The columns of as many rows as there are looks. A row depends on its look alone; without one it holds nulls. */
  judge(looks: readonly (Look | undefined)[]): Promise<Column[]>;
}

/** Columns of batches end to end, as plain values: whether a batch held a null shall not change the column's type. */
export function joinColumns(
  schema: readonly { name: string; type: 'string' | 'int' | 'bool' | 'float' | 'double' }[],
  batches: readonly (readonly Column[])[],
): Column[] {
  return schema.map(({ name, type }, i) => {
    const values: Column['values'][number][] = [];
    for (const columns of batches) for (const value of columns[i].values) values.push(value);
    // The types were compared with the schema, batch by batch.
    return { name, type, values } as Column;
  });
}
