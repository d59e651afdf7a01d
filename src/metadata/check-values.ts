import type { CheckedShard } from './check-shard.ts';
import { scoreColumn, slugOf } from './columns.ts';
import { addDamaged, type Findings } from './findings.ts';
import { type Float32Matrix, openNpz } from './npz.ts';
import type { ParquetFile } from './parquet-read.ts';

/**
 * How far a stored embedding's length may lie from 1, and the dot product of two of them from the score.
 *
 * A component rounded to float16 is off by at most 2⁻¹¹ of itself, so a unit vector's length is off by at most 2⁻¹¹,
 * and by Cauchy's inequality the dot product of two by at most 2 · 2⁻¹¹ + 2⁻²². Components below 2⁻¹⁴ lose up to 2⁻²⁵
 * each instead, which at 1,024 dimensions adds less than 2⁻²⁰.
 */
const LENGTH_TOLERANCE = 2 ** -11 * 1.02;
const DOT_TOLERANCE = 2 ** -10 * 1.02;
/** Other tools normalise in float16 too, which rounds twice more; they may also not normalise at all. */
const FOREIGN_FACTOR = 8;

/** Counts NaN and null in the scores of a shard; reads those columns. `rows` are not judged by them. */
export async function checkScores(shard: CheckedShard, findings: Findings): Promise<void> {
  const { folder, parquet } = shard;
  const columns = parquet.columns
    .filter(({ name, type }) => slugOf(name) !== undefined && (type === 'FLOAT' || type === 'DOUBLE'))
    .map(({ name }) => name);
  if (columns.length === 0) return;
  const missing = new Map(columns.map((column) => [column, 0]));
  try {
    for await (const { chunks } of parquet.groups(columns)) {
      for (const [column, pieces] of chunks) {
        let count = 0;
        for (const piece of pieces) {
          for (let i = 0; i < piece.length; i++) if (!Number.isFinite(piece[i])) count++;
        }
        missing.set(column, missing.get(column)! + count);
      }
    }
  } catch (error) {
    addDamaged(findings, { folder: folder.label, file: parquet.name, isOwn: shard.isOwn }, error);
    return;
  }
  for (const [column, count] of missing) {
    if (count === 0) continue;
    findings.add({
      // Shardsieve writes no NaN; from others it is a row that cannot be judged.
      ...{ code: 'score_nan', level: shard.isOwn ? 'problem' : 'note', column },
      ...{ folder: folder.label, file: parquet.name, detail: `${count} of ${parquet.rows} rows` },
      message: 'rows without a score, or with one that is not a number',
      hint: 'Selecting never keeps them',
    });
  }
}

/** Rows of embeddings held at a time. */
const BATCH_ROWS = 8192;

/**
 * Reads the embeddings of a shard: whether they are numbers, of length 1, and give the score. Holds some thousand
 * rows of one model, and its scores.
 */
export async function checkEmbeddings(shard: CheckedShard, findings: Findings): Promise<void> {
  const { folder, parquet, arrays, isOwn } = shard;
  if (arrays === undefined || parquet.rows === 0) return;
  const file = `${shard.shard}.npz`;
  const factor = isOwn ? 1 : FOREIGN_FACTOR;
  const level = isOwn ? ('problem' as const) : ('note' as const);
  const hint = isOwn
    ? 'Remove the shard’s _stats.json and run score again'
    : 'Ask whoever made them whether embeddings were normalised, and in what precision';
  const usable = (name: string) => arrays.get(name)?.rows === parquet.rows;
  const npz = await openNpz(await folder.open(file), file);
  const slugs = [...arrays.keys()].filter((name) => name.endsWith('_img')).map((name) => name.slice(0, -4));
  for (const slug of slugs) {
    const [image, text] = [`${slug}_img`, `${slug}_txt`];
    if (!usable(image)) continue;
    try {
      const column = scoreColumn(slug);
      const isPair = usable(text) && arrays.get(text)?.dim === arrays.get(image)?.dim;
      const hasScore = parquet.columns.some(({ name }) => name === column);
      const scores = isPair && hasScore ? await readNumbers(parquet, column) : undefined;
      const counts = { broken: [0, 0], off: [0, 0], apart: 0, most: 0 };
      for (let start = 0; start < parquet.rows; start += BATCH_ROWS) {
        const range = { start, end: Math.min(start + BATCH_ROWS, parquet.rows) };
        const pictures = await npz.matrix(image, range);
        const captions = usable(text) ? await npz.matrix(text, range) : undefined;
        for (const [i, matrix] of [pictures, captions].entries()) {
          if (matrix === undefined) continue;
          const { broken, off } = lengths(matrix, LENGTH_TOLERANCE * factor);
          counts.broken[i] += broken;
          counts.off[i] += off;
        }
        if (scores === undefined || captions === undefined) continue;
        const part = scores.subarray(range.start, range.end);
        const { count, most } = compareScores(part, pictures, captions, DOT_TOLERANCE * factor);
        counts.apart += count;
        counts.most = Math.max(counts.most, most);
      }
      const place = { folder: folder.label, file, hint };
      for (const [i, name] of [image, text].entries()) {
        if (counts.broken[i] > 0) {
          findings.add({
            ...{ ...place, code: 'npz_not_finite', level: 'problem' },
            message: 'embeddings with infinite values or NaN',
            detail: `${counts.broken[i]} rows of ${name}`,
          });
        }
        if (counts.off[i] > 0) {
          findings.add({
            ...{ ...place, code: 'npz_not_unit', level },
            message: 'embeddings whose length is not 1',
            detail: `${counts.off[i]} rows of ${name}`,
          });
        }
      }
      if (counts.apart > 0) {
        findings.add({
          ...{ ...place, code: 'score_not_dot', level, column },
          message: 'scores that are not the dot product of their embeddings',
          detail: `${counts.apart} rows, by up to ${counts.most.toPrecision(2)}`,
        });
      }
    } catch (error) {
      addDamaged(findings, { folder: folder.label, file, isOwn }, error);
    }
  }
}

function lengths({ rows, dim, data }: Float32Matrix, tolerance: number): { broken: number; off: number } {
  let broken = 0;
  let off = 0;
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let i = row * dim; i < (row + 1) * dim; i++) sum += data[i] * data[i];
    if (!Number.isFinite(sum)) broken++;
    else if (Math.abs(Math.sqrt(sum) - 1) > tolerance) off++;
  }
  return { broken, off };
}

/** A column as doubles; what is no number is NaN. */
async function readNumbers(parquet: ParquetFile, column: string): Promise<Float64Array> {
  const values = new Float64Array(parquet.rows).fill(Number.NaN);
  let row = 0;
  for await (const { chunks } of parquet.groups([column])) {
    for (const piece of chunks.get(column)!) {
      for (let i = 0; i < piece.length; i++, row++) {
        const value = piece[i];
        if (typeof value === 'number') values[row] = value;
      }
    }
  }
  return values;
}

/** Scores further from the dot product than `tolerance`; those that are no number are counted elsewhere. */
function compareScores(
  scores: Float64Array,
  { data: image, dim }: Float32Matrix,
  { data: text }: Float32Matrix,
  tolerance: number,
): { count: number; most: number } {
  let count = 0;
  let most = 0;
  for (const [row, score] of scores.entries()) {
    if (!Number.isFinite(score)) continue;
    let dot = 0;
    for (let i = row * dim; i < (row + 1) * dim; i++) dot += image[i] * text[i];
    const away = Math.abs(dot - score);
    if (!(away > tolerance)) continue;
    count++;
    most = Math.max(most, away);
  }
  return { count, most };
}
