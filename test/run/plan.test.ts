import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { plainMatmul } from '../../src/embeddings/matmul-plain.ts';
import { messageOf } from '../../src/errors.ts';
import type { DetectorName, LanguageDetector } from '../../src/language/types.ts';
import { commitShard } from '../../src/metadata/commit.ts';
import type { Row } from '../../src/metadata/table.ts';
import { gateOf } from '../../src/run/plan/gate.ts';
import { gateEntry, type PlanOptions, planFilters } from '../../src/run/plan/plan.ts';
import { simpleWhere } from '../../src/run/plan/where.ts';
import type { SelectEnv } from '../../src/select/env.ts';
import { parseFilters } from '../../src/select/parse.ts';
import { openPool } from '../../src/select/pool.ts';
import { selectFrom } from '../../src/select/select.ts';
import type { FilterInput } from '../../src/select/spec.ts';
import { writeSubset } from '../../src/uids/npy.ts';
import { formatUid, parseUidText, type Uids, wordsOf } from '../../src/uids/uids.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';

const DIM = 4;

interface Sample {
  row: Row;
  score: number;
  embedding: number[];
  /** Its picture cannot be decoded: it never has a row. */
  isBroken: boolean;
}

const uid = (i: number) => i.toString(16).padStart(32, '0');

/** A text's answers are a function of the text alone, as a detector's are; some time passes before they come. */
const detector = (name: DetectorName): LanguageDetector => ({
  name,
  fingerprint: name,
  async detect(texts) {
    await new Promise((resolve) => setImmediate(resolve));
    return texts.map((text) => {
      if (text === null) return null;
      return {
        language: /the|of/.test(text) ? 'en' : 'de',
        probability: Math.fround((text.length % 10) / 10),
      };
    });
  },
});

const FILES: { [path: string]: Uint8Array } = {
  'uids.txt': new TextEncoder().encode(`${uid(3)}\n${uid(8)}\n${uid(11)}\n`),
  'hashes.txt': new TextEncoder().encode(`${'0a'.repeat(32)}\n`),
  'domains.txt': new TextEncoder().encode('one.example\n'),
  'entries.txt': new TextEncoder().encode('fox\nsea\n'),
  'subset.npy': await subsetFile(Array.from({ length: 60 }, (_, i) => uid(i)).filter((_, i) => i % 3 > 0)),
};

async function subsetFile(names: readonly string[]): Promise<Uint8Array> {
  const uids: Uids = new BigUint64Array(2 * names.length);
  for (const [i, name] of names.entries()) parseUidText(name, wordsOf(uids), i);
  const folder = new MemoryFolder();
  await writeSubset(folder, 'subset.npy', uids, { multiset: true });
  return folder.files.get('subset.npy')!;
}

const env: SelectEnv = {
  languages: async (by) => detector(by),
  readFile: async (path) => FILES[path],
  matmul: async () => plainMatmul,
};

/** Samples with repeats of every kind, odd captions and missing values. */
const sampleArb: fc.Arbitrary<Omit<Sample, 'row'> & { row: Omit<Row, 'key'> }> = fc.record({
  row: fc.record({
    uid: fc.nat(40).map(uid),
    url: fc.constantFrom(null, 'https://one.example/a', 'https://two.example/b', 'no url at all'),
    text: fc.constantFrom(
      'the fox of the sea',
      'fox',
      'ein Fuchs am Meer',
      '\ufeffsea \ud800 fox',
      'a b\u3000c d e f',
      'of',
      'der die das 猫猫猫 \n fox',
    ),
    original_width: fc.integer({ min: 1, max: 12 }),
    original_height: fc.integer({ min: 1, max: 12 }),
    sha256: fc.constantFrom(null, '0a'.repeat(32), '0b'.repeat(32), 'not a hash'),
    face_bboxes: fc.constant(null),
    carried: fc.constant({}),
  }),
  score: fc.constantFrom(0.1, 0.2, 0.24, 0.26, 0.3, 0.4, 0.5),
  embedding: fc.array(fc.integer({ min: -3, max: 3 }), { minLength: DIM, maxLength: DIM }),
  isBroken: fc.nat(5).map((n) => n === 0),
});

const bound = fc.oneof(
  fc.record({ threshold: fc.constantFrom(0.2, 0.24, 0.3) }),
  fc.record({
    fraction: fc.constantFrom(0.2, 0.5, 1),
    of: fc.constantFrom('pool' as const, 'rest' as const),
  }),
  fc.record({ fraction: fc.constantFrom(0.3, 0.6), of: fc.constant('rest' as const) }),
);
const rowFilter: fc.Arbitrary<FilterInput> = fc.constantFrom<FilterInput>(
  { caption: { min_words: 2 } },
  { caption: { min_words: 3, max_words: 5 } },
  { caption: { min_characters: 4, max_characters: 12 } },
  { caption: { min_fasttext_tokens: 4 } },
  { size: { min_side: 3 } },
  { size: { min_side: 2, max_aspect: 3 } },
  { language: { by: 'fasttext', is: 'en' } },
  { language: { by: 'fasttext', is: ['en', 'de'], min_probability: 0.4 } },
  { language: { by: 'cld3', is: 'de' } },
  { block: { uid: 'uids.txt' } },
  { block: { sha256: 'hashes.txt' } },
  { block: { domain: 'domains.txt', uid: 'uids.txt' } },
  { subset: 'subset.npy' },
);
const poolFilter: fc.Arbitrary<FilterInput> = fc.oneof(
  bound.map((params): FilterInput => ({ score: params })),
  fc.constantFrom('uid', 'text', 'sha256', 'url').map((by): FilterInput => ({ unique: { by } })),
  fc.constantFrom<FilterInput>(
    { cap: { by: 'domain', at_most: 2 } },
    { cap: { by: 'text', at_most: 1, prefer: 'clip_b32_similarity_score' } },
    { balance: { entries: 'entries.txt', cap: 3 } },
    { near_duplicates: { clusters: 2, epsilon: 0.1 } },
    { negcliploss: { fraction: 0.5, of: 'rest', batch: 4 } },
  ),
);
const leafArb = fc.oneof({ weight: 3, arbitrary: rowFilter }, { weight: 2, arbitrary: poolFilter });
const { filter: filterArb } = fc.letrec<{ filter: FilterInput }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 2, withCrossShrink: true },
    { weight: 6, arbitrary: leafArb },
    { weight: 1, arbitrary: tie('filter').map((not): FilterInput => ({ not })) },
    {
      weight: 3,
      arbitrary: fc
        .tuple(
          fc.constantFrom('all', 'any', 'sequence'),
          fc.array(tie('filter'), { minLength: 1, maxLength: 3 }),
        )
        .map(([kind, parts]) => ({ [kind]: parts }) as FilterInput),
    },
  ),
}));

const poolArb = fc
  .array(fc.array(sampleArb, { maxLength: 16 }), { minLength: 1, maxLength: 3 })
  .map((shards) =>
    shards.map((samples, s) =>
      samples.map((sample, i): Sample => ({ ...sample, row: { ...sample.row, key: `${s}-${i}` } })),
    ),
  );

async function folderOf(shards: readonly (readonly Sample[])[]): Promise<MemoryFolder> {
  const folder = new MemoryFolder();
  folder.files.set(
    'run.json',
    new TextEncoder().encode(
      JSON.stringify({ shardsieve: '0', rows: { fingerprint: 'r' }, models: { b32: { fingerprint: 'c' } } }),
    ),
  );
  for (const [s, samples] of shards.entries()) {
    const matrix = Float32Array.from(samples.flatMap(({ embedding }) => unit(embedding)));
    await commitShard(folder, `0000${s}`, {
      table: {
        rows: samples.map(({ row }) => row),
        clips: [
          {
            ...{ slug: 'b32', dim: DIM, image: matrix, text: matrix },
            scores: Float32Array.from(samples, ({ score }) => score),
          },
        ],
      },
      skipped: [],
      stats: {
        input: { name: `0000${s}.tar` },
        seen: samples.length,
        scored: samples.length,
        skipped: {},
        groups: { rows: 'r', 'clip:b32': 'c' },
      },
    });
  }
  return folder;
}

function unit(values: readonly number[]): number[] {
  const norm = Math.hypot(...values) || 1;
  return values[0] === -3 ? values.map(() => 0) : values.map((value) => value / norm);
}

/** The uids that a selection keeps, repeats too; or what it fails with. */
async function subsetOf(
  shards: readonly (readonly Sample[])[],
  filters: readonly FilterInput[],
  strict: boolean,
): Promise<string> {
  const pool = await openPool([await folderOf(shards)]);
  try {
    const { uids } = await selectFrom(pool, { filters: parseFilters(filters), env, strict });
    return Array.from({ length: uids.length / 2 }, (_, i) => formatUid(uids, i)).join('\n');
  } catch (error) {
    // Counts and files in messages are of the rows that are there.
    return `failed: ${messageOf(error).replace(/\d+/g, 'n')}`;
  }
}

/** What scoring with a plan leaves of each shard, and how many samples it never had to decode. */
async function gated(
  shards: readonly (readonly Sample[])[],
  filters: readonly FilterInput[],
  strict: boolean,
): Promise<{ shards: Sample[][]; dropped: number }> {
  const gate = gateOf(await planFilters(parseFilters(filters), { ...env, strict }));
  let dropped = 0;
  const left: Sample[][] = [];
  for (const samples of shards) {
    const shard = gate?.open();
    const kept = await Promise.all(
      samples.map(async (sample) => {
        const meeting = shard?.meet(sample.row);
        const isDropped = (await meeting?.dropped) !== undefined;
        meeting?.settle(!isDropped && !sample.isBroken);
        if (isDropped) dropped++;
        return isDropped || sample.isBroken ? [] : [sample];
      }),
    );
    left.push(kept.flat());
  }
  return { shards: left, dropped };
}

describe('the subset is the same with the plan and without', () => {
  let [combinations, saved] = [0, 0];
  const check = async (
    shards: readonly (readonly Sample[])[],
    filters: readonly FilterInput[],
    strict: boolean,
  ) => {
    const whole = shards.map((samples) => samples.filter(({ isBroken }) => !isBroken));
    const plan = await gated(shards, filters, strict);
    combinations++;
    if (plan.dropped > 0) saved++;
    expect(await subsetOf(plan.shards, filters, strict)).toBe(await subsetOf(whole, filters, strict));
  };

  it('whatever the filters and their order', async () => {
    await fc.assert(
      fc.asyncProperty(
        poolArb,
        fc.array(filterArb, { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        (shards, filters, strict) => check(shards, filters, strict),
      ),
      { numRuns: 500 },
    );
  });

  it('of repeats, after filters that are moved, partly moved and not moved', async () => {
    const threshold = fc
      .constantFrom(0.2, 0.3)
      .map((least): FilterInput => ({ score: { threshold: least } }));
    const before = fc.oneof(
      rowFilter,
      threshold,
      fc
        .tuple(fc.boolean(), rowFilter, threshold)
        .map(([isAny, ...parts]): FilterInput => (isAny ? { any: parts } : { all: parts })),
    );
    const unique = fc.constantFrom('uid', 'text', 'sha256').map((by): FilterInput => ({ unique: { by } }));
    await fc.assert(
      fc.asyncProperty(
        poolArb,
        fc.array(before, { maxLength: 2 }),
        unique,
        fc.array(leafArb, { maxLength: 1 }),
        fc.boolean(),
        (shards, first, repeats, after, strict) => check(shards, [...first, repeats, ...after], strict),
      ),
      { numRuns: 400 },
    );
  });

  it('of filters that come before what looks at the rest', async () => {
    await fc.assert(
      fc.asyncProperty(
        poolArb,
        fc.array(rowFilter, { minLength: 1, maxLength: 3 }),
        fc.array(leafArb, { maxLength: 2 }),
        (shards, before, after) => check(shards, [...before, ...after], false),
      ),
      { numRuns: 300 },
    );
    // A plan that moves nothing would pass all of this.
    expect(combinations).toBeGreaterThan(1150);
    expect(saved / combinations).toBeGreaterThan(0.25);
  });
});

describe('the plan', () => {
  const plan = async (filters: FilterInput[], options: Partial<PlanOptions> = {}) => {
    const made = await planFilters(parseFilters(filters), { ...env, ...options });
    return made.filters.map(({ name, when, why }) => `${name} ${when}${why === undefined ? '' : `: ${why}`}`);
  };
  const caption: FilterInput = { caption: { min_words: 3 } };
  const size: FilterInput = { size: { min_side: 200 } };

  it('moves what is known before decoding, and says what is not moved and why', async () => {
    expect(await plan([{ preset: 'basic_filter' }, { score: { threshold: 0.3 } }, caption])).toEqual([
      'language before decoding',
      'caption before decoding',
      'size before decoding',
      'score after scores: it reads the score',
      'caption 2 before decoding',
    ]);
    expect(await plan([caption, { score: { fraction: 0.3, of: 'rest' } }, size])).toEqual([
      'caption before decoding',
      'score after scores: it compares rows',
      'size after scores: score fraction 0.3 of rest comes before it and compares the rows that are left',
    ]);
    expect(await plan([caption, { score: { fraction: 0.3 } }])).toEqual([
      'caption after scores: score fraction 0.3 is of the whole pool, so every row is scored',
      'score after scores: it compares rows',
    ]);
    expect(await plan([size, { unique: { by: 'text' } }, { safe: {} }])).toEqual([
      'size before decoding',
      'unique partly before decoding: repeats within a shard',
      'safe after scores: it reads what classifiers say',
    ]);
    expect(
      await plan([{ any: [caption, { score: { threshold: 0.3 } }] }, { all: [size, { safe: {} }] }]),
    ).toEqual([
      'any after scores: it reads caption, the score',
      'all partly before decoding: where it can be told by then',
    ]);
  });

  it('moves less where a row that cannot be judged is an error', async () => {
    expect(await plan([caption, { score: { threshold: 0.3 } }, size], { strict: true })).toEqual([
      'caption before decoding',
      'score after scores: it reads the score',
      'size after scores: --strict counts what score threshold 0.3 before it cannot judge',
    ]);
  });

  it('moves nothing where filters read a column whose type all rows decide', async () => {
    const filters: FilterInput[] = [caption, { where: 'Rating > 3' }];
    expect((await plan(filters, { carried: ['rating'] }))[0]).toBe(
      'caption after scores: the type of the carried column rating depends on every row',
    );
    expect((await plan(filters, { carried: ['other', 'caption'] }))[0]).toBe('caption before decoding');
  });

  it('tells languages only where select will ask the same detector', async () => {
    const filters: FilterInput[] = [{ language: { is: 'en' } }];
    expect(await plan(filters, { languages: async () => undefined })).toEqual([
      'language after scores: it reads a column that may hold other answers',
    ]);
  });

  it('is known by what decides it, not by paths', async () => {
    const entry = async (filters: FilterInput[], options: Partial<PlanOptions> = {}) =>
      gateEntry(await planFilters(parseFilters(filters), { ...env, ...options }));
    const block = await entry([{ block: { uid: 'uids.txt' } }]);
    expect(JSON.stringify(block)).not.toContain('uids.txt');
    const renamed = { readFile: async () => FILES['uids.txt'] };
    expect(await entry([{ block: { uid: 'other.txt' } }], renamed)).toEqual(block);
    expect(
      await entry([{ block: { uid: 'u' } }], { readFile: async () => FILES['entries.txt'] }).catch(messageOf),
    ).toContain('is no uid');
    expect(await entry([caption, { score: { fraction: 0.3 } }])).toBeUndefined();
    expect(await entry([caption, { score: { threshold: 0.3 } }])).toEqual(await entry([caption]));
    expect(await entry([caption, size])).not.toEqual(await entry([size, caption]));
  });
});

describe('predicates that need no SQL', () => {
  const row = { original_width: 300, original_height: 200 };
  it.each([
    ['original_width >= 300', true],
    ['ORIGINAL_WIDTH > 300', false],
    ['"original_height" = 200 and original_width <> 200', true],
    ['least(original_width, original_height) >= 200.5', false],
    ['greatest(original_height, original_width) < 301', true],
  ])('%s is %s', (predicate, expected) => {
    expect(simpleWhere(predicate)?.(row)).toBe(expected);
  });
  it.each([
    'original_width >= 300 OR true',
    'NOT original_width >= 300',
    'original_width >= 300 -- and more',
    'original_width BETWEEN 1 AND 300',
    'length(text) > 5',
    'original_width >= 300 AND text IS NOT NULL',
    "original_width >= '300'",
  ])('%s is left to DuckDB', (predicate) => {
    expect(simpleWhere(predicate)).toBeUndefined();
  });
});
