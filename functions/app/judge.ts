/** What classifiers say of pictures: the columns of `shardsieve score --safety`, one picture at a time. */

import { roundToFloat16 } from '../../src/annotate/half.ts';
import { headTerms, labelsApart } from '../../src/annotate/heads.ts';
import { NSFWJS_UNSAFE, nsfwjsColumns } from '../../src/annotate/pictures.ts';
import { type UnsafeTerm, unsafeRows } from '../../src/annotate/punsafe.ts';
import { NSFWJS_INPUT } from '../../src/safety/nsfwjs/preprocess.ts';
import type { Seen } from './pictures.ts';
import type { SafetyAnswer } from './schemas.ts';
import type { ServedModel, Service } from './service.ts';

/** Whether anything here judges pictures seen by this model. */
export function canJudge({ nsfw }: Pick<Service, 'nsfw'>, { heads }: ServedModel): boolean {
  return nsfw !== undefined || heads.length > 0;
}

/**
 * One answer a picture. `embeddings` are the model's, `[seen.length, dim]`; heads see them rounded to float16, as they
 * are stored, so that a column has one value whether it is made now or later.
 */
export async function judge(
  { nsfw }: Pick<Service, 'nsfw'>,
  { heads }: ServedModel,
  seen: readonly Seen[],
  embeddings: Float32Array,
): Promise<SafetyAnswer[]> {
  const n = seen.length;
  const columns = new Map<string, number[]>();
  const terms: UnsafeTerm[] = [];
  if (nsfw !== undefined) {
    const inputs = new Float32Array(n * NSFWJS_INPUT);
    for (const [i, one] of seen.entries()) if (one.nsfw !== undefined) inputs.set(one.nsfw, i * NSFWJS_INPUT);
    addColumns(columns, nsfwjsColumns(nsfw), await nsfw.classifyInputs(inputs, n));
    terms.push(NSFWJS_UNSAFE);
  }
  const stored = heads.length === 0 ? embeddings : roundToFloat16(embeddings);
  for (const runner of heads) {
    const { info } = runner.head;
    addColumns(columns, info.columns, await runner.run(stored, n));
    terms.push(...headTerms({ info, apart: labelsApart(runner.head) }));
  }
  const { values, tags } = unsafeRows(terms, n, columns);
  return seen.map((_, row) => ({
    punsafe: terms.length === 0 ? null : values[row],
    nsfw_tag: terms.length === 0 ? null : tags[row],
    columns: Object.fromEntries([...columns].map(([name, found]) => [name, numberOrNull(found[row])])),
  }));
}

function addColumns(columns: Map<string, number[]>, names: readonly string[], found: Float32Array): void {
  const width = names.length;
  for (const [k, name] of names.entries()) {
    columns.set(
      name,
      Array.from({ length: found.length / width }, (_, row) => found[row * width + k]),
    );
  }
}

function numberOrNull(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}
