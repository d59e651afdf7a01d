import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { annotate } from '../../cli/jobs/annotate.ts';
import { oracle, PYTHON } from '../helpers/python.ts';
import { scratch } from '../helpers/tmp.ts';

describe.skipIf(PYTHON === undefined)('a copy read by pyarrow (SHARDSIEVE_PYTHON names none)', () => {
  it('has every type, statistic and value of the original', async () => {
    const foreign = join(import.meta.dirname, '../fixtures/annotate/foreign');
    const out = await scratch();
    await annotate({ metadata: foreign, out, lang: ['fasttext', 'cld3'], threads: 1 });
    const found = JSON.parse(oracle(PYTHON!, 'annotate_check.py', foreign, out)) as Record<string, unknown>;
    const rows: Record<string, number> = { a: 60, b: 60, c: 60, d: 0 };
    for (const [shard, report] of Object.entries(found)) {
      expect([shard, report]).toEqual([
        shard,
        {
          rows: [rows[shard], rows[shard]],
          added: ['lang_cld3', 'lang_fasttext', 'lang_fasttext_prob'],
          types: [],
          statistics: [],
          // c.parquet never had Arrow's copy of the schema.
          arrow_types: shard === 'c' ? [] : ['kind'],
          values: [],
        },
      ]);
    }
    expect(Object.keys(found)).toEqual(['a', 'b', 'c', 'd']);
  });
});
