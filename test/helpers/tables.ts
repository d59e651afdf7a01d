import type { ShardOutput } from '../../src/metadata/commit.ts';
import type { ClipColumns, Row } from '../../src/metadata/table.ts';

/** Rows and columns that differ from one another, made of their number alone. */

export function makeUid(i: number): string {
  return (i + 1).toString(16).padStart(32, '0');
}

export function makeRow(i: number): Row {
  return {
    uid: makeUid(i),
    key: `${i}`.padStart(9, '0'),
    url: i % 3 === 0 ? null : `https://example.com/${i}`,
    text: `caption ${i}, naïve 猫`,
    original_width: 640 + i,
    original_height: 480,
    sha256: i % 2 === 0 ? null : 'ab'.repeat(32),
    face_bboxes: [
      null,
      [],
      [[0.25, 0.5, 0.75, 1]],
      [
        [0, 0, 1, 1],
        [0.125, 0.25, 0.5, 0.625],
      ],
    ][i % 4],
    carried: {},
  };
}

export function makeRows(count: number): Row[] {
  return Array.from({ length: count }, (_, i) => makeRow(i));
}

export function makeClip(slug: string, rows: number, dim = 4): ClipColumns {
  return {
    slug,
    dim,
    scores: Float32Array.from({ length: rows }, (_, i) => (i + slug.length) / 32),
    image: Float32Array.from({ length: rows * dim }, (_, i) => Math.sin(i + slug.length)),
    text: Float32Array.from({ length: rows * dim }, (_, i) => Math.cos(i + slug.length)),
  };
}

/** A shard with these models; its fingerprints are `fp-<group>`. */
export function makeOutput(rows: number, slugs: string[]): ShardOutput {
  const groups = ['rows', ...slugs.map((slug) => `clip:${slug}`)];
  return {
    table: { rows: makeRows(rows), clips: slugs.map((slug) => makeClip(slug, rows)) },
    skipped: [{ key: 'x', reason: 'no_image', detail: 'none' }],
    stats: {
      input: { name: 'pool/00000.tar', size: 10_240, mtimeMs: 1 },
      seen: rows + 1,
      scored: rows,
      skipped: { no_image: 1 },
      groups: Object.fromEntries(groups.map((group) => [group, `fp-${group}`])),
    },
  };
}
