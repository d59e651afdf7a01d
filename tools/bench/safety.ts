/**
 * What the checks of src/safety cost, in processor time, which another's load disturbs less:
 *
 *     node tools/bench/safety.ts
 */
import { createHash } from 'node:crypto';
import { openNsfwjs } from '../../cli/safety/nsfwjs.ts';
import { builtInWords } from '../../cli/safety/words.ts';
import { type BlockKind, parseBlockList } from '../../src/safety/blocklist.ts';
import { NSFWJS_BATCH } from '../../src/safety/nsfwjs/model.ts';
import { NSFWJS_INPUT, nsfwjsInput } from '../../src/safety/nsfwjs/preprocess.ts';
import { pdq } from '../../src/safety/pdq/hash.ts';
import { WordMatcher } from '../../src/safety/words/words.ts';
import { drawn } from '../../test/safety/drawn.ts';

const ROUNDS = 5;

/** The best of some rounds, in ms of processor time for one of `n` things. */
async function cost(name: string, n: number, work: () => unknown): Promise<void> {
  await work();
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / 1000 / n);
  }
  const each = best < 0.1 ? `${(best * 1000).toFixed(2)} µs` : `${best.toFixed(2)} ms`;
  console.log(`${name.padEnd(44)} ${each.padStart(10)}   ${Math.round(1000 / best).toLocaleString('en')} /s`);
}

const picture = drawn('waves', 512, 384);
const model = await openNsfwjs({ threads: 1, worker: false });
const inputs = new Float32Array(NSFWJS_BATCH * NSFWJS_INPUT);
await cost('nsfwjs: preprocess 512×384', NSFWJS_BATCH, () => {
  for (let i = 0; i < NSFWJS_BATCH; i++) nsfwjsInput(picture, inputs, i * NSFWJS_INPUT);
});
await cost(`nsfwjs: network, batches of ${NSFWJS_BATCH}`, NSFWJS_BATCH * 4, async () => {
  for (let i = 0; i < 4; i++) await model.classifyInputs(inputs, NSFWJS_BATCH);
});
await model.release();

for (const side of [224, 512, 1024]) {
  const pixels = drawn('waves', side, side);
  await cost(`pdq: hash of ${side}×${side}`, 10, () => {
    for (let i = 0; i < 10; i++) pdq(pixels);
  });
}

const sha = (text: string) => createHash('sha256').update(text).digest('hex');
const list = (kind: BlockKind, n: number, entry: (i: number) => string) =>
  parseBlockList(
    kind,
    new TextEncoder().encode(Array.from({ length: n }, (_, i) => entry(i)).join('\n')),
    'list',
  );
const url = (i: number) => `https://cdn${i % 1000}.site${i % 5000}.example.com/path/${i}/a.jpg?w=300`;
const urls = Array.from({ length: 100_000 }, (_, i) => url(i));
const hashes = urls.map(sha);
const all = (found: ReturnType<typeof list>, values: string[]) => () => {
  for (const value of values) found.matches(value);
};
await cost(
  'pdq: list of 1,000,000',
  2000,
  all(
    list('pdq', 1_000_000, (i) => sha(`a${i}`)),
    hashes.slice(0, 2000),
  ),
);
await cost(
  'sha256: list of 1,000,000',
  100_000,
  all(
    list('sha256', 1_000_000, (i) => sha(`a${i}`)),
    hashes,
  ),
);
await cost(
  'domain: list of 1,000,000',
  100_000,
  all(
    list('domain', 1_000_000, (i) => `bad${i}.com`),
    urls,
  ),
);
await cost(
  'url: list of 1,000,000',
  100_000,
  all(
    list('url', 1_000_000, (i) => `https://bad${i}.com/${i}`),
    urls,
  ),
);

const words =
  'the of a photo picture vintage blue dress woman man dog with in on mountain lake stock vector'.split(' ');
const captions = urls.map((_, i) =>
  Array.from({ length: 6 + (i % 9) }, (_, k) => words[(i * 7 + k * k * 3) % words.length]).join(' '),
);
for (const languages of [['en'], ['ar', 'cs', 'de', 'en', 'es', 'fr', 'it', 'ja', 'ko', 'pt', 'ru', 'zh']]) {
  const matcher = new WordMatcher(await Promise.all(languages.map(builtInWords)));
  await cost(`words: ${languages.length} list(s)`, captions.length, () => matcher.countAll(captions));
}
