import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { openFolder } from '../../cli/io/folder.ts';
import { reportSafety, type SafetyReportOptions } from '../../cli/jobs/safety-report.ts';
import { UsageError } from '../../src/errors.ts';
import type { SafetyReport } from '../../src/report/types.ts';
import type { Estimate } from '../../src/safety/heads/train/metrics.ts';
import { openPool } from '../../src/select/pool.ts';
import { formatUid } from '../../src/uids/uids.ts';
import { cli } from '../helpers/cli.ts';
import { fixtureJson } from '../helpers/fixtures.ts';
import { foreignFolder, type Table } from '../helpers/foreign.ts';
import { goodSamples, tarOf } from '../helpers/pool.ts';
import { makeUid } from '../helpers/tables.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const POOL = join(import.meta.dirname, '../fixtures/safety-report');
const LABELS = join(POOL, 'labels.csv');

type Triple = [value: number, low: number, high: number];
interface Golden {
  rows: number;
  removed: { [head: string]: { [level: string]: [number, ...Triple] } };
  curve: { [head: string]: [number, number][] };
  pair: {
    rows: number;
    spearman: number;
    kappa: { [level: string]: number };
    only_b: { [level: string]: number };
  };
  alone: { [level: string]: [number, number] };
  language: { [code: string]: { [head: string]: Triple } };
  small: Triple;
  labelled: {
    [head: string]: {
      samples: number;
      roc_auc: Triple;
      average_precision: number;
      precision: Triple;
      recall: Triple;
    };
  };
  delong: { difference: number; error: number; p: number; needed: number; samples: number };
}

const golden = fixtureJson<Golden>('safety-report/expected.json');
let folder: string;
let report: SafetyReport;
let made: Map<string, Buffer>;
let printed: string;

beforeAll(async () => {
  folder = await scratch();
  const out = join(folder, 'report');
  const { code, stdout, stderr } = await cli(['safety', 'report', POOL, '--labels', LABELS, '--out', out]);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  printed = stdout;
  made = await filesOf(out);
  report = JSON.parse(String(made.get('report.json'))) as SafetyReport;
});

function near({ value, low, high }: Estimate, expected: Triple, digits = 9): void {
  expect([value, low, high].map((n) => n.toFixed(digits))).toEqual(expected.map((n) => n.toFixed(digits)));
}

function named<T extends { name: string }>(list: readonly T[], name: string): T {
  return list.find((one) => one.name === name)!;
}

describe('without labels, as statsmodels, SciPy and scikit-learn have it', () => {
  test('what the two thresholds remove, with Wilson’s intervals', () => {
    expect(report.rows).toBe(golden.rows);
    expect(report.levels).toEqual(['unsure', 'nsfw']);
    expect(report.measures.map(({ name }) => name)).toEqual(Object.keys(golden.removed));
    for (const { name, at } of report.measures) {
      for (const [l, level] of report.levels.entries()) {
        const [removed, ...share] = golden.removed[name][level];
        expect(at[l].removed).toBe(removed);
        near(at[l].share, share);
      }
    }
    expect(named(report.measures, 'safety_weapons')).toMatchObject({ judged: 860, unjudged: 40 });
  });

  test('the curve counts float32 values exactly, also where they lie at the threshold', () => {
    for (const [name, points] of Object.entries(golden.curve)) {
      const { curve, judged } = named(report.measures, name);
      for (const [threshold, removed] of points) {
        const point = curve.find((one) => one.threshold === threshold)!;
        expect(point).toEqual({ threshold, removed, passed: (judged - removed) / judged });
      }
    }
  });

  test('Spearman, kappa, and what one head flags alone', () => {
    const [pair] = report.agreement!.pairs;
    expect(pair.rows).toBe(golden.pair.rows);
    expect(pair.spearman).toBeCloseTo(golden.pair.spearman, 12);
    for (const [l, level] of report.levels.entries()) {
      expect(pair.at[l].kappa).toBeCloseTo(golden.pair.kappa[level], 12);
      expect(pair.at[l].only_b).toBe(golden.pair.only_b[level]);
      expect(report.agreement!.alone[l].by.map(({ alone }) => alone)).toEqual(golden.alone[level]);
    }
  });

  test('languages and sizes: intervals, and whom a head hits harder', () => {
    const [language, side] = report.groups;
    expect(report.groups.map(({ by }) => by)).toEqual([
      ...['language (lang_fasttext)', 'smaller side', 'caption length'],
    ]);
    for (const { value, measures } of language.groups) {
      for (const { measure, at } of measures) near(at[0].share, golden.language[value][measure]);
    }
    near(side.groups.find(({ value }) => value === '128–199 px')!.measures[0].at[0].share, golden.small);
    const zh = language.groups.find(({ value }) => value === 'zh')!;
    expect(zh.measures.map(({ at }) => at[0].against)).toEqual(['same', 'more']);
    expect(printed).toMatch(/safety_weapons, 48\.7% of all, removes more of zh/);
    for (const { groups } of report.groups)
      expect(groups.reduce((sum, { rows }) => sum + rows, 0)).toBe(report.rows);
  });
});

describe('with labels', () => {
  test('areas with DeLong’s intervals, precision and recall with Wilson’s', () => {
    expect(report.labelled).toMatchObject({ samples: 260, positive: '1' });
    for (const [name, expected] of Object.entries(golden.labelled)) {
      const { samples, roc_auc, average_precision, at, roc, pr } = named(report.labelled!.measures, name);
      expect(samples).toBe(expected.samples);
      near(roc_auc!, expected.roc_auc);
      expect(average_precision!.value).toBeCloseTo(expected.average_precision, 9);
      near(at[0].precision, expected.precision);
      near(at[0].recall, expected.recall);
      expect([roc[0], roc.at(-1)]).toEqual([
        { fpr: 0, tpr: 0 },
        { fpr: 1, tpr: 1 },
      ]);
      expect(pr.at(-1)!.recall).toBe(1);
    }
  });

  test('DeLong’s test, and how many labels it would take', () => {
    const { delong } = golden;
    const [{ samples, difference, p, needed, more }] = report.labelled!.comparisons;
    expect(samples).toBe(delong.samples);
    expect(difference.value).toBeCloseTo(delong.difference, 12);
    expect(difference.high - difference.value).toBeCloseTo(1.959963984540054 * delong.error, 9);
    expect(p).toBeCloseTo(delong.p, 12);
    // statsmodels leaves out the power of a test that errs on the wrong side, as this does.
    expect(needed).toBe(Math.ceil(delong.needed));
    expect(more).toBe(0);
  });

  test('names, more than two of them, and measures that judge one class only', async () => {
    const scores = {
      punsafe: Float32Array.from({ length: 40 }, (_, i) => (i % 10) / 10),
      safety_x: [...Array(39).fill(null), 0.5],
    };
    const metadata = await write('kinds', scores);
    const kinds = join(folder, 'kinds.csv');
    const lines = scores.safety_x.map((_, i) => `${makeUid(i)},${['gun', 'cat', 'dog'][i % 3]}`);
    await writeFile(kinds, `uid,label\n${lines.join('\n')}\n`);
    const open = await cli(['safety', 'report', metadata, '--labels', kinds]);
    expect(open.code).toBe(2);
    expect(open.stderr).toMatch(/which of cat, dog, gun is looked for is not said.*--positive/);
    const { stdout } = await cli([
      'safety',
      'report',
      metadata,
      '--labels',
      kinds,
      '--positive',
      'gun',
      '--json',
    ]);
    const { labelled } = JSON.parse(stdout) as SafetyReport;
    expect(labelled).toMatchObject({ positives: 14, positive: 'gun', comparisons: [] });
    expect(named(labelled!.measures, 'safety_x')).toMatchObject({ samples: 1, unjudged: 39, roc_auc: null });
  });
});

describe('the page', () => {
  test('asks nobody for anything, runs nothing, and shows no sample', () => {
    expect([...made.keys()]).toEqual(['report.html', 'report.json']);
    const page = String(made.get('report.html'));
    expect(page).toMatch(/^<!doctype html>/);
    expect(page).toContain("default-src 'none'");
    expect(page).not.toMatch(/<script|<link|<img|https?:|url\(|@import/);
    expect(page).not.toMatch(/word word/);
    expect(page.match(/<svg class="chart"/g)).toHaveLength(3);
    expect(page).toContain('prefers-color-scheme:dark');
  });

  test('figures stand under their headings', () => {
    const rows = String(made.get('report.html'))
      .split('<tr>')
      .map((row) => row.split(/<\/t[hd]>/).map((cell) => cell.replace(/<[^>]*>/g, ' ').trim()));
    const at = rows.findIndex((row) => row.includes('removed at unsure'));
    const [head, first] = [rows[at], rows[at + 1]];
    const figure = (title: string) => first[head.indexOf(title)];
    expect(figure('measure')).toBe('nsfw_ laion_ l14');
    expect(figure('removed at nsfw')).toMatch(/^8\.2% \(6\.6–10\.2\) +≥ 0\.5: 74$/);
    expect([figure('judged'), figure('not judged')]).toEqual(['900', '0']);
  });

  test('values of the data are text in it', async () => {
    const metadata = await write('markup', {
      punsafe: [0.2, 0.01],
      domain: ['<script>alert(1)</script>', '" onload="x'],
    });
    const out = join(folder, 'markup.html');
    expect((await cli(['safety', 'report', metadata, '--by', 'domain', '--out', out])).code).toBe(0);
    const page = String(await readFile(out));
    expect(page).toContain('&#60;script&#62;alert(1)&#60;/script&#62;');
    expect(page).not.toMatch(/<script|" onload/);
  });
});

describe('showing what is unsafe', () => {
  let metadata: string;
  let shards: string;
  beforeAll(async () => {
    // Uids of goodSamples begin at 0, of makeUid at 1.
    shards = join(folder, 'pool');
    await mkdir(shards);
    await writeFile(join(shards, '00000.tar'), await tarOf(await goodSamples(1, 30)));
    metadata = await write('show', {
      punsafe: Array.from({ length: 30 }, (_, i) => i / 30),
      text: Array.from({ length: 30 }, (_, i) => `secret caption ${i}`),
    });
  });

  async function page(name: string, ...args: string[]): Promise<{ html: string; json: string }> {
    const out = join(folder, name);
    const { code, stdout, stderr } = await cli(['safety', 'report', metadata, '--out', out, ...args]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).not.toContain('secret');
    const files = await filesOf(out);
    return { html: String(files.get('report.html')), json: String(files.get('report.json')) };
  }

  const sizes = (html: string) =>
    [...html.matchAll(/src="data:image\/(\w+);base64,([^"]+)"/g)].map(([, type, data]) => {
      const bytes = Buffer.from(data, 'base64');
      // The width of a PNG stands at byte 16.
      return { type, side: type === 'png' ? Math.max(bytes.readUInt32BE(16), bytes.readUInt32BE(20)) : 0 };
    });

  test('without leave: nothing', async () => {
    const { html, json } = await page('quiet');
    for (const text of [html, json]) expect(text).not.toMatch(/secret|data:image\/|[0-9a-f]{32}/);
  });

  test('with leave: captions folded away, pictures of twelve pixels', async () => {
    const { html, json } = await page('blurred', '--show-unsafe', '--shards', shards);
    expect(sizes(html)).toHaveLength(15);
    for (const size of sizes(html)) expect(size).toEqual({ type: 'png', side: 12 });
    // Rows 0 to 2 are kept, 12 of the others are drawn.
    expect(html.match(/<details><summary>caption<\/summary><bdi>secret caption/g)).toHaveLength(15);
    expect(json).not.toMatch(/secret|data:image/);
    const { examples } = JSON.parse(json) as SafetyReport;
    expect(examples!.sets[1].rows.map(({ uid }) => uid)).toEqual([2, 1, 0].map(makeUid));
  });

  test('clear pictures are folded away, too', async () => {
    const { html } = await page('clear', '--show-unsafe=clear', '--shards', shards);
    expect(sizes(html).map(({ type }) => type)).toEqual(Array(15).fill('webp'));
    expect(html.match(/<details><summary>picture<\/summary><img/g)).toHaveLength(15);
  });

  test('pictures need leave and a page', async () => {
    await expect(reportSafety({ metadata, shards, out: folder })).rejects.toThrow(/Add --show-unsafe/);
    await expect(reportSafety({ metadata, showUnsafe: 'blurred' })).rejects.toThrow(
      /no page to show samples on/,
    );
    const { code, stderr } = await cli(['safety', 'report', metadata, '--show-unsafe=soft', '--out', folder]);
    expect(stderr).toMatch(/blurred, clear/);
    expect(code).toBe(2);
  });
});

describe('columns of other kinds', () => {
  test('counts, harmless classes, two classes as one measure, values out of 0 to 1', async () => {
    const metadata = await write(
      'kinds-of',
      {
        punsafe: [0.1, 0.7, 0.2, null],
        nsfw_tag: ['UNSURE', 'NSFW', 'UNSURE', null],
        nsfw_nsfwjs_porn: Float32Array.from([0.05, 0.35, 0, 0]),
        nsfw_nsfwjs_hentai: Float32Array.from([0.05, 0.35, 0, 0]),
        nsfw_nsfwjs_neutral: Float32Array.from([0.9, 0.3, 1, 1]),
        safety_h14: [-0.25, 1.5, 0.5, 0.2],
        safety_words: [0, 3, 1, 25],
      },
      ['safety_words'],
    );
    const { stdout } = await cli([
      'safety',
      'report',
      metadata,
      '--json',
      '--threshold',
      '0.7',
      '--threshold',
      '0.1',
    ]);
    const { measures, levels, agreement, main } = JSON.parse(stdout) as SafetyReport;
    expect(main).toBe('punsafe');
    expect(levels).toEqual(['0.1', '0.7']);
    const removed = Object.fromEntries(measures.map(({ name, at }) => [name, at.map((one) => one.removed)]));
    expect(removed).toEqual({
      punsafe: [3, 1],
      nsfw_nsfwjs_hentai: [1, 0],
      nsfw_nsfwjs_porn: [1, 0],
      safety_h14: [3, 1],
      safety_words: [3, 3],
      // Each below, together at the threshold.
      'nsfw_nsfwjs_porn + nsfw_nsfwjs_hentai': [2, 1],
    });
    expect(named(measures, 'safety_h14')).toMatchObject({ below_zero: 1, above_one: 1 });
    const words = named(measures, 'safety_words').curve.map((point) => [point.threshold, point.removed]);
    expect(words.slice(0, 4)).toEqual([
      [1, 3],
      [2, 2],
      [3, 2],
      [4, 1],
    ]);
    expect(agreement!.measures).toEqual([
      'safety_h14',
      'safety_words',
      'nsfw_nsfwjs_porn + nsfw_nsfwjs_hentai',
    ]);
  });
});

test('a head that flags nothing hits no group harder than another', async () => {
  const codes = ['en', 'de', 'fr'].flatMap((code, i) => Array<string>(7 * i + 1).fill(code));
  const metadata = await write('nothing', { punsafe: codes.map(() => 0.01), lang_cld3: codes });
  const { stdout } = await cli(['safety', 'report', metadata, '--json']);
  const [{ by, groups }] = (JSON.parse(stdout) as SafetyReport).groups;
  expect(by).toBe('language (lang_cld3)');
  expect(groups.map(({ value }) => value)).toEqual(['fr', 'de', 'en']);
  for (const { measures } of groups)
    expect(measures[0].at[0]).toMatchObject({ against: 'same', share: { low: 0 } });
});

describe('metadata that Shardsieve annotated', () => {
  const demo = join(import.meta.dirname, '../../demo/shards/demo-00000.tar');
  let metadata: string;
  let own: SafetyReport;
  beforeAll(async () => {
    metadata = join(folder, 'own');
    expect((await cli(['score', demo, '--model', 'demo', '--out', metadata, '-q'])).code).toBe(0);
    const head = join(folder, 'animals.safetensors');
    const labels = join(folder, 'animals.csv');
    await writeFile(labels, await animalLabels(metadata));
    const train = [
      'heads',
      'train',
      '--embeddings',
      metadata,
      '--labels',
      labels,
      '--out',
      head,
      '--folds',
      '3',
    ];
    expect((await cli([...train, '-q'])).stderr).toBe('');
    const concepts = join(import.meta.dirname, '../../tools/safety-demo/concepts.yaml');
    const safety = `head:${head},concepts:${concepts}`;
    const annotated = await cli(['annotate', metadata, '--safety', safety, '-q']);
    expect(annotated.stderr).toBe('');
    const { stdout, stderr } = await cli(['safety', 'report', metadata, '--labels', labels, '--json']);
    expect(stderr).toMatch(/not by language: no lang_fasttext/);
    own = JSON.parse(stdout) as SafetyReport;
  });

  test('a head’s own thresholds are looked at, as run.json has them', async () => {
    expect(own.measures.map(({ name }) => name)).toEqual([
      'punsafe',
      'safety_animals',
      'safety_arms_and_alcohol',
    ]);
    const run = JSON.parse(String(await readFile(join(metadata, 'run.json'))));
    const [{ unsure, nsfw }] = run.groups['safety:animals'].unsafe;
    expect(nsfw).not.toBe(0.5);
    expect(named(own.measures, 'safety_animals').at.map(({ threshold }) => threshold)).toEqual([
      unsure,
      nsfw,
    ]);
    expect(own.agreement!.measures).toEqual(['safety_animals', 'safety_arms_and_alcohol']);
  });

  test('select keeps what the report says it keeps', async () => {
    const kept = async (...filter: string[]) => {
      const { stdout } = await cli(['select', metadata, '--dry-run', '--json', ...filter]);
      return (JSON.parse(stdout) as { kept: number }).kept;
    };
    const likely = own.tags!.find(({ tag }) => tag === 'UNLIKELY')!.rows;
    expect(own.tags!.map(({ rows }) => rows).reduce((a, b) => a + b)).toBe(own.rows);
    expect(likely).toBeGreaterThan(0);
    expect(await kept('--safe')).toBe(likely);
    // What --max-punsafe keeps has no more than it, and no value lies at 0.5.
    const { judged, at } = named(own.measures, 'punsafe');
    expect(at[1]).toMatchObject({ threshold: 0.5 });
    expect(await kept('--max-punsafe', '0.5')).toBe(judged - at[1].removed);
  });

  test('a head on what it was trained on is better than words', () => {
    const [, trained, words] = own.labelled!.measures.map(({ roc_auc }) => roc_auc!.value);
    expect(trained).toBeGreaterThan(words);
    const { p, difference } = own.labelled!.comparisons.at(-1)!;
    expect(difference.value).toBeCloseTo(trained - words, 12);
    expect(p).toBeLessThan(0.05);
  });
});

/** Drawings in folders of animals, as the demo's addresses tell them. */
async function animalLabels(metadata: string): Promise<string> {
  const lines = ['uid,label'];
  const pool = await openPool([openFolder(metadata, { readOnly: true })]);
  const requests = [{ name: 'uid', as: 'uid' } as const, { name: 'url', as: 'text' } as const];
  for await (const batch of pool.scan(requests)) {
    for (let i = 0; i < batch.rows; i++) {
      const uid = formatUid(new BigUint64Array(batch.uids().slice(4 * i, 4 * i + 4).buffer), 0);
      lines.push(`${uid},${Number(batch.texts('url')[i]?.includes('/animals/'))}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

describe('what cannot be reported', () => {
  const one: Table = { punsafe: [0.1] };

  test('the command says it in one line, with nothing on stdout', async () => {
    const metadata = await write('bad', { text: ['a'] });
    const { code, stdout, stderr } = await cli(['safety', 'report', metadata]);
    expect(stderr).toMatch(/^error: .*no safety column.*shardsieve annotate METADATA --safety .*\n$/);
    expect(stdout).toBe('');
    expect(code).toBe(2);
    const wrong = await cli(['safety', 'report', metadata, '--threshold', 'high']);
    expect(wrong.stderr).toMatch(/must be a number/);
    expect(wrong.code).toBe(2);
  });

  test.each<[string, Table, Omit<SafetyReportOptions, 'metadata'>, RegExp]>([
    ['a column that is none', one, { columns: ['punsave'] }, /no column punsave.*punsafe/],
    [
      'a column of text',
      { nsfw_tag: ['NSFW'] },
      { columns: ['nsfw_tag'] },
      /nsfw_tag is BYTE_ARRAY, not a number/,
    ],
    ['groups by captions', one, { by: ['text'] }, /not grouped by text: its values are single samples' own/],
    ['groups by a score', one, { by: ['punsafe'] }, /punsafe is DOUBLE: rows are grouped by names/],
    ['too many thresholds', one, { thresholds: [1, 2, 3, 4, 5, 6, 7] }, /7 thresholds are more than/],
    ['a label without labels', one, { positive: 'x' }, /Add --labels/],
    ['no such labels', one, { labels: 'none.csv' }, /no such file of labels \(file none.csv\)/],
    [
      'unknown uids',
      one,
      { labels: `${makeUid(0)},1\n${'f'.repeat(32)},0` },
      /1 of 2 labelled uids are not in the metadata: f{32}/,
    ],
    ['one class', one, { labels: `${makeUid(0)},1` }, /every label is "1".*both kinds/],
  ])('%s', async (name, table, options, message) => {
    const metadata = await write(`bad ${name}`, table);
    const labels = options.labels?.includes(',') ? join(folder, `${name}.csv`) : options.labels;
    if (labels?.startsWith(folder)) await writeFile(labels, `uid,label\n${options.labels}\n`);
    const failed = reportSafety({ ...options, labels, metadata });
    await expect(failed).rejects.toThrow(message);
    await expect(failed).rejects.toBeInstanceOf(UsageError);
  });
});

/** Writes one parquet and returns its folder; columns in `integers` are INT32. */
async function write(name: string, table: Table, integers: string[] = []): Promise<string> {
  const path = join(folder, name);
  await mkdir(path, { recursive: true });
  for (const [file, bytes] of foreignFolder({ '00000': table }, name, integers).files)
    await writeFile(join(path, file), bytes);
  return path;
}
