/** Compares the table of entities with NLTK's answers: `node tools/oracle/words-compare.ts ALL` (see caption_goldens.py). */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { loadEntityTable } from '../../src/select/text-based.ts';

const table = loadEntityTable(readFileSync(new URL('../../assets/wordnet/entities.txt.gz', import.meta.url)));
const lines = gunzipSync(readFileSync(process.argv[2])).toString('utf8').trimEnd().split('\n');
const wrong = lines.filter((line) => table.hasEntity(line.slice(2)) !== (line[0] === '1'));
console.log(`${lines.length} words, ${wrong.length} differ`);
for (const line of wrong.slice(0, 20)) console.log(line);
