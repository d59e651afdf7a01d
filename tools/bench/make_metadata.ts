/**
 * Synthetic metadata in the shape of DataComp's, with the column that `annotate --lang fasttext` adds: as many rows as
 * asked, the same ones for the same seed.
 *
 *   node tools/bench/make_metadata.ts OUT --rows 12800000 [--file-rows 100000] [--seed 0] [--safety]
 *
 * Uids and sha256 are hashes, scores are normal around 0.2 as doubles (with ties: a million different values a column),
 * captions have 1 to 12 words of which one in twenty captions is not ASCII, 48% are English, sides are 150 to 1,650
 * pixels, one picture in six has a face. `--safety` adds eight safety columns in float32. A file is one row group, snappy,
 * as pandas writes them. 12.8 million rows are 2 GB and take about two minutes.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { argv } from 'zx';

const [out] = argv._;
const rows = Number(argv['rows']);
const fileRows = Number(argv['file-rows'] ?? 100_000);
const seed = Number(argv['seed'] ?? 0);
if (out === undefined || !(rows > 0))
  throw new Error('usage: node tools/bench/make_metadata.ts OUT --rows N');

const WORDS =
  'the a of photo red blue car house in on with and dog cat beach sunset woman man portrait vintage poster new york city street old book cover design logo vector illustration free download best price shoes dress black white wedding cake recipe kitchen table chair wood metal glass garden flower tree river mountain snow winter summer'.split(
    ' ',
  );
/** An even number below `below`, one for each row and purpose. */
const pick = (purpose: number, below: number) =>
  `(hash(i * 64 + ${purpose} + ${seed} * 1000003) % ${below})::BIGINT`;
const normal = (purpose: number) =>
  `0.2 + 0.05 * sqrt(-2 * ln((${pick(purpose, 1_000_000)} + 1) / 1000001)) * cos(2 * pi() * ${pick(purpose + 1, 1_000_000)} / 1000000)`;

/** A probability whose logarithm is even: a tenth of the rows is above 0.4, a fifth above 0.16. */
const unsafe = (purpose: number) => `pow(10, -4.0 * ${pick(purpose, 1_000_000)} / 1000000)::FLOAT`;
const SAFETY = ['punsafe', 'nsfw_laion_l14', 'nsfw_nsfwjs_hentai', 'nsfw_nsfwjs_porn', 'nsfw_nsfwjs_sexy']
  .concat(['safety_drugs', 'safety_graphic_violence', 'safety_weapons'])
  .map((name, i) => `${unsafe(20 + i)} AS ${name},`)
  .join('\n');

const instance = await DuckDBInstance.create(':memory:', { memory_limit: '2GB' });
const connection = await instance.connect();
await connection.run(`CREATE TABLE vocabulary AS SELECT ['${WORDS.join("','")}'] AS words`);
await mkdir(out, { recursive: true });
for (let first = 0, file = 0; first < rows; first += fileRows, file++) {
  const last = Math.min(rows, first + fileRows);
  const path = join(out, `${String(file).padStart(6, '0')}.parquet`);
  await connection.run(`
    COPY (SELECT
      md5('uid ${seed} ' || i) AS uid,
      'https://images.example.com/' || substr(md5('url ${seed} ' || i), 1, 20) || '/' || i || '.jpg' AS url,
      array_to_string(list_transform(range(1 + ${pick(1, 12)}), lambda j: words[1 + (hash(i * 31 + j * 7919 + ${seed}) % ${WORDS.length})::BIGINT]), ' ')
        || CASE WHEN ${pick(2, 20)} = 0 THEN ' ñandú 猫' ELSE '' END AS text,
      150 + ${pick(3, 1500)} AS original_width,
      150 + ${pick(4, 1500)} AS original_height,
      ${normal(5)} AS clip_b32_similarity_score,
      ${normal(7)} AS clip_l14_similarity_score,
      CASE WHEN ${pick(9, 6)} = 0 THEN [[0.1, 0.2, 0.3, 0.4]]::DOUBLE[][] ELSE []::DOUBLE[][] END AS face_bboxes,
      sha256('sha ${seed} ' || i) AS sha256,
      ${argv['safety'] ? SAFETY : ''}
      CASE WHEN ${pick(10, 100)} < 48 THEN 'en' ELSE ['de', 'fr', 'es', 'ru', 'zh', 'ja'][1 + ${pick(11, 6)}] END AS lang_fasttext
    FROM (SELECT range AS i FROM range(${first}, ${last})), vocabulary)
    TO '${path.replaceAll("'", "''")}' (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE ${fileRows})`);
}
connection.closeSync();
instance.closeSync();
