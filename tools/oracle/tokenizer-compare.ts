/**
 * Compares the tokenizer with rows that `tokenizer_goldens.py` wrote:
 *
 *     node tools/oracle/tokenizer-compare.ts fuzz.jsonl…
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { loadMerges } from '../../cli/vocab.ts';
import { createTokenizer } from '../../src/clip/tokenizer/tokenizer.ts';

const SHOWN = 10;
const tokenizer = createTokenizer(await loadMerges());
for (const file of process.argv.slice(2)) {
  let rows = 0;
  let different = 0;
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const [caption, ids, truncated] = JSON.parse(line) as [string, number[], boolean];
    rows++;
    const got = tokenizer.encode(caption);
    if (got.ids.join() === ids.join() && got.truncated === truncated) continue;
    if (different++ < SHOWN) console.log(`${JSON.stringify(caption)}\n  want ${ids}\n  got  ${got.ids}`);
  }
  console.log(`${file}: ${rows} captions, ${different} different`);
  if (different > 0) process.exitCode = 1;
}
