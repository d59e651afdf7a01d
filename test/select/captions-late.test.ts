import { expect, it } from 'vitest';
import { selectSubset } from '../../cli/jobs/select.ts';
import { uidOf, writeParquets } from '../helpers/duckdb.ts';
import { scratch } from '../helpers/tmp.ts';

/** 400 rows: half are English, captions have one to five words, some are null. */
async function pool(): Promise<string> {
  const folder = await scratch();
  const text =
    "CASE WHEN i % 37 > 0 THEN array_to_string(list_transform(range(1 + i % 5), lambda j: 'word'), ' ') END";
  const columns = `${uidOf('hash(i)')} AS uid, ${text} AS text, CASE WHEN i % 2 = 0 THEN 'en' ELSE 'de' END AS lang_fasttext,
    300 AS original_width, 150 + i AS original_height`;
  await writeParquets(folder, { 'a.parquet': `SELECT ${columns} FROM range(400) r(i)` });
  return folder;
}

it('captions of rows that are out already are not read, and the rows that stay are the same', async () => {
  const metadata = await pool();
  const preset = [{ preset: { name: 'basic_filter' as const } }];
  const some = await selectSubset({ metadata, filters: preset });
  const all = await selectSubset({ metadata, filters: preset, explain: true });
  expect(some.keptRows).toBe(all.keptRows);
  const counts = ({ before, after, unjudged }: (typeof some.steps)[number]) => [before, after, unjudged];
  const [parts, complete] = [some.steps[0].parts!, all.steps[0].parts!];
  expect(parts.map(counts)).toEqual(complete.map(counts));
  expect(counts(parts[1])).toEqual([200, 117, 6]);
  // A dry run says what the captions' filter would keep of the whole pool.
  expect(parts[1].alone).toBe(117);
  expect(complete[1].alone).toBe(234);
});

it('where a filter sees all rows, so does one of captions in it', async () => {
  const metadata = await pool();
  const language = { language: { by: 'fasttext' as const, is: 'en' } };
  const caption = { caption: { min_words: 3 } };
  const kept = async (filters: Parameters<typeof selectSubset>[0]['filters']) => {
    const { keptRows } = await selectSubset({ metadata, filters });
    return keptRows;
  };
  // Rows whose caption is null are judged by neither.
  expect(await kept([language, { not: caption }])).toBe(200 - 117 - 6);
  expect(await kept([{ any: [{ sequence: [language, caption] }, caption] }])).toBe(234);
});
