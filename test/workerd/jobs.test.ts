import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openFolder } from '../../cli/io/folder.ts';
import { shardLine } from '../../functions/app/shard-schemas.ts';
import { ShardsieveClient } from '../../functions/client/client.ts';
import { readStats } from '../../src/metadata/folder.ts';
import { openNpz } from '../../src/metadata/npz.ts';
import { readColumns } from '../../src/metadata/parquet-read.ts';
import { readRun } from '../../src/metadata/run.ts';
import { cli } from '../helpers/cli.ts';
import { makeTar } from '../helpers/shards.ts';
import { type JobsWorker, startJobsWorker } from './jobs-worker.ts';
import { smallShards, someOf } from './small-shards.ts';

// Three starts of workerd, each of which loads towers: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

/** Of `jobs.worker.ts`. */
const LEASE_MS = 2_000;
const SCORE = 'clip_demo_similarity_score';

let root: string;
let worker: JobsWorker;
let shards: { [file: string]: Uint8Array };
const state = () => join(root, 'state');

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'shardsieve-jobs-'));
  shards = await smallShards();
  await mkdir(join(root, 'pool'));
  worker = await startJobsWorker(state());
  for (const [file, bytes] of Object.entries(shards)) {
    await writeFile(join(root, 'pool', file), bytes);
    await worker.put(`pool/${file}`, bytes);
  }
});
afterAll(async () => {
  await worker?.dispose();
  await rm(root, { recursive: true, force: true });
});

/** Files of a shard in the bucket, without the times of its stats. */
async function filesOf(out: string, shard: string) {
  const files: { [name: string]: unknown } = {};
  for (const key of await worker.list(`${out}/${shard}`)) {
    const bytes = (await worker.get(key))!;
    const name = key.slice(out.length + 1);
    if (!name.endsWith('_stats.json')) files[name] = bytes;
    else {
      const { start_time, end_time, seconds, ...stats } = JSON.parse(new TextDecoder().decode(bytes));
      expect([start_time, end_time, typeof seconds]).toEqual([
        expect.any(String),
        expect.any(String),
        'number',
      ]);
      files[name] = stats;
    }
  }
  return files;
}

const leftovers = async () =>
  (await worker.list('.shardsieve/')).filter((key) => /^\.shardsieve\/(state|parts)\//.test(key));

describe('a job over three shards', () => {
  test('is done in many pieces, and what it writes is what the command line writes', async () => {
    const { status, location, job } = await worker.create({ prefix: 'pool/', out: 'metadata/pool' });
    expect([status, job]).toMatchObject([202, { state: 'running', shards: { total: 3, done: 0 } }]);
    expect(location).toBe(`/v1/jobs/${job.id}`);
    const done = await worker.finished(job.id);
    const out = join(root, 'edge');
    await worker.copyOut('metadata/pool', out);
    const native = join(root, 'native');
    const scored = await cli([
      'score',
      join(root, 'pool/*'),
      '--model',
      'demo',
      '--out',
      native,
      '--allow-truncated',
    ]);
    expect([scored.code, scored.stderr]).toMatchObject([0, expect.any(String)]);
    const [edge, node] = [openFolder(out), openFolder(native)];
    expect((await edge.list()).filter((name) => name !== 'unfinished.json')).toEqual(await node.list());

    const totals = { seen: 0, scored: 0, skipped: {} as { [reason: string]: number } };
    for (const shard of ['a', 'b', 'c']) {
      const [ours, theirs] = [(await readStats(edge, shard))!, (await readStats(node, shard))!];
      const { unsupported_at_edge: unsupported = 0, ...skipped } = ours.skipped;
      // The two CMYK JPEGs: one is scored by the command line, the other has no caption anyway.
      expect(unsupported).toBe(shard === 'c' ? 1 : 0);
      expect(skipped).toEqual(theirs.skipped);
      expect([ours.seen, ours.scored]).toEqual([theirs.seen, theirs.scored - unsupported]);
      expect(ours.input.sha256).toBe(theirs.input.sha256);
      expect(ours.groups['rows']).toBe(theirs.groups['rows']);
      expect([ours.columns, ours.embeddings, ours.truncated]).toEqual([
        theirs.columns,
        theirs.embeddings,
        theirs.truncated,
      ]);
      totals.seen += ours.seen;
      totals.scored += ours.scored;
      for (const [reason, n] of Object.entries(ours.skipped))
        totals.skipped[reason] = (totals.skipped[reason] ?? 0) + n;

      const mine = await readColumns(edge, `${shard}.parquet`);
      const other = await readColumns(node, `${shard}.parquet`);
      const kept = keptRows(other, mine);
      expect(mine.map(({ name, type }) => [name, type])).toEqual(other.map(({ name, type }) => [name, type]));
      for (const [c, { name, values }] of other.entries()) {
        const expected = kept.map((row) => values[row]);
        if (name !== SCORE) expect([...mine[c].values]).toEqual(expected);
        else
          for (const [i, score] of expected.entries())
            expect(Math.abs(Number(mine[c].values[i]) - Number(score))).toBeLessThan(1e-3);
      }
      await sameEmbeddings([edge, node], shard, kept);
    }
    expect(done).toMatchObject({
      shards: { total: 3, done: 3, failed: 0, working: 0, waiting: 0 },
      accounting: { ...totals, truncated: ['c'] },
    });
    const [run, theirs] = [(await readRun(edge))!, (await readRun(node))!];
    expect(run.rows).toEqual(theirs.rows);
    expect(run.models['demo']['preprocess_fingerprint']).toBe(
      theirs.models['demo']['preprocess_fingerprint'],
    );

    // More than one invocation a shard, and every window of it once.
    const steps = await worker.steps();
    const times = (step: string) => steps.filter((one) => one === step).length;
    expect([times('a saved'), times('b saved'), times('a put'), times('b put')]).toEqual([2, 1, 3, 2]);
    expect(await leftovers()).toEqual([]);
  });

  test('and it is selected from and verified as it is', async () => {
    const out = join(root, 'edge');
    const subset = join(root, 'subset.npy');
    const selected = await cli(['select', out, '--fraction', '0.5', '--out', subset, '--json']);
    expect([selected.code, selected.stderr]).toEqual([0, expect.any(String)]);
    const verified = await cli(['verify', out, '--shards', join(root, 'pool/*'), '--deep']);
    expect([verified.code, verified.stdout]).toEqual([
      0,
      expect.stringMatching(/everything is as it should be/),
    ]);
  });

  test('the same job again finds it all done, and another one may not replace it', async () => {
    const before = (await worker.steps()).length;
    const client = new ShardsieveClient({ endpoint: worker.url.href });
    const again = await client.createJob({ prefix: 'pool/', out: 'metadata/pool' });
    await worker.finished(again.id);
    expect((await client.job(again.id)).shards).toMatchObject({ done: 3, failed: 0 });
    await expect(client.createJob({ prefix: 'nothing/', out: 'metadata/x' })).rejects.toMatchObject({
      status: 422,
    });
    expect((await worker.steps()).length).toBe(before);
    const files = await filesOf('metadata/pool', 'a');
    await worker.put('other/a.tar', shards['c.tar']);
    const other = await worker.create({ shards: ['other/a.tar', 'pool/missing.tar'], out: 'metadata/pool' });
    const refused = await worker.finished(other.job.id);
    expect(refused.shards).toMatchObject({ done: 0, failed: 2 });
    expect(refused.failed).toEqual([
      {
        shard: 'a',
        problem: 'refused',
        message: expect.stringMatching(/already holds it, from other bytes/),
      },
      { shard: 'missing', problem: 'missing', message: expect.stringMatching(/it is not there/) },
    ]);
    expect(await filesOf('metadata/pool', 'a')).toEqual(files);
  });
});

test('safety columns are those of the command line, as far as the decoders are the same', async () => {
  const { job } = await worker.create({
    shards: ['pool/b.tar.gz'],
    out: 'metadata/safe',
    safety: ['hashes'],
    embeddings: false,
  });
  expect((await worker.finished(job.id)).shards).toMatchObject({ done: 1 });
  await worker.copyOut('metadata/safe', join(root, 'safe'));
  const flags = [
    '--model',
    'demo',
    '--no-embeddings',
    '--safety',
    'hashes',
    '--out',
    join(root, 'safe-native'),
  ];
  expect((await cli(['score', join(root, 'pool/b.tar.gz'), ...flags])).code).toBe(0);
  const [edge, node] = [openFolder(join(root, 'safe')), openFolder(join(root, 'safe-native'))];
  expect((await edge.list()).filter((name) => name !== 'unfinished.json')).toEqual(await node.list());
  const theirs = await readColumns(node, 'b.parquet');
  for (const [c, { name, values }] of (await readColumns(edge, 'b.parquet')).entries()) {
    expect(name).toBe(theirs[c].name);
    for (const [row, value] of values.entries()) {
      const other = theirs[c].values[row];
      if (typeof value === 'number') expect(Math.abs(value - Number(other))).toBeLessThan(1e-3);
      else expect([name, value]).toEqual([name, other]);
    }
  }
  const stats = async (folder: typeof edge) => (await readStats(folder, 'b'))!;
  expect((await stats(edge)).columns).toEqual((await stats(node)).columns);
});

describe('whatever happens to it', () => {
  test('failing at every step of the way, and delivered twice, it writes the same bytes', async () => {
    const steps = [
      'scored',
      'put',
      'saved',
      'sent',
      'write a.npz',
      'write a.parquet',
      'write a_stats.json',
      'committed',
    ];
    await worker.faults(...steps.map((step) => ({ step, shard: 'a', times: 1 })));
    const { job } = await worker.create({ shards: ['pool/a.tar'], out: 'metadata/hard' });
    const message = { kind: 'shard', job: job.id, shard: 'a', key: 'pool/a.tar', piece: 0 } as const;
    for (let times = 0; times < 3; times++) await worker.send(message);
    const done = await worker.finished(job.id);
    expect(done.shards).toMatchObject({ done: 1, failed: 0 });
    const left = JSON.parse(new TextDecoder().decode((await worker.get('test/faults.json'))!)) as {
      times: number;
    }[];
    expect(left.map(({ times }) => times)).toEqual(steps.map(() => 0));
    await worker.send(message);
    await until(async () => (await leftovers()).length === 0);
    expect(await filesOf('metadata/hard', 'a')).toEqual(await filesOf('metadata/pool', 'a'));
  });

  test('killed in the middle of a piece, it goes on from the last part that was counted', async () => {
    await worker.faults({ step: 'scored', shard: 'a', times: 1, hang: true });
    const { job } = await worker.create({ shards: ['pool/a.tar'], out: 'metadata/killed' });
    await until(async () => (await worker.steps()).at(-1) === 'a scored');
    await worker.faults({ step: 'write a_stats.json', shard: 'a', times: 1, hang: true });
    await worker.dispose();
    worker = await startJobsWorker(state());
    expect(await worker.list('metadata/killed/a')).toEqual([]);
    // A real queue would deliver the message again; this one died with the process.
    await new Promise((resolve) => setTimeout(resolve, LEASE_MS));
    const message = { kind: 'shard', job: job.id, shard: 'a', key: 'pool/a.tar', piece: 0 } as const;
    await worker.send(message);
    // The second time between the parquet and the stats.
    await until(async () => (await worker.steps()).at(-1) === 'a write a_stats.json');
    expect(await worker.job(job.id)).toMatchObject({
      shards: { done: 0, working: 1 },
      working: [{ shard: 'a', seen: 14, scored: 14, size: shards['a.tar'].length }],
    });
    await worker.dispose();
    worker = await startJobsWorker(state());
    expect(await worker.list('metadata/killed/a')).toEqual(
      ['a.npz', 'a.parquet', 'a_skipped.jsonl'].map((name) => `metadata/killed/${name}`),
    );
    await worker.faults();
    await new Promise((resolve) => setTimeout(resolve, LEASE_MS));
    await worker.send({ ...message, piece: 2 });
    expect((await worker.finished(job.id)).accounting).toMatchObject({ seen: 14, scored: 14 });
    expect((await worker.steps()).filter((step) => step === 'a scored')).toEqual([]);
    expect(await filesOf('metadata/killed', 'a')).toEqual(await filesOf('metadata/pool', 'a'));
  });

  test('a shard that is replaced while it is scored is begun anew', async () => {
    await worker.put('odd/d.tar', shards['a.tar']);
    await worker.faults({ step: 'saved', shard: 'd', times: 1 });
    const { job } = await worker.create({ shards: ['odd/d.tar'], out: 'metadata/replaced' });
    await until(async () => (await worker.steps()).includes('d saved'));
    // A second before its message comes again.
    await worker.put('odd/d.tar', new Uint8Array(gunzipSync(shards['b.tar.gz'])));
    expect((await worker.finished(job.id)).accounting).toMatchObject({ seen: 8, scored: 8 });
    const [replaced, asItIs] = await Promise.all([
      filesOf('metadata/replaced', 'd'),
      filesOf('metadata/pool', 'b'),
    ]);
    expect(replaced['d.npz']).toEqual(asItIs['b.npz']);
  });

  test('a shard that fails each time is given up with its reason, one that is no tar at once; a job again makes it good', async () => {
    await worker.faults({ step: 'scored', shard: 'a', times: 100 });
    await worker.put('odd/no.tar', new TextEncoder().encode('no tar '.repeat(100)));
    const request = { shards: ['pool/a.tar', 'pool/c.tar', 'odd/no.tar'], out: 'metadata/poison' };
    const { job } = await worker.create(request);
    const done = await worker.finished(job.id);
    expect(done.shards).toEqual({ total: 3, done: 1, failed: 2, working: 0, waiting: 0 });
    expect(done.failed).toEqual([
      { shard: 'a', problem: 'failed', message: 'the test stops a at scored' },
      {
        shard: 'no',
        problem: 'not_a_tar',
        message: expect.stringMatching(/does not begin with a tar header/),
      },
    ]);
    const unfinished = async () => {
      const bytes = await worker.get('metadata/poison/unfinished.json');
      return (
        bytes && (JSON.parse(new TextDecoder().decode(bytes)) as { pending: string[]; failed: unknown[] })
      );
    };
    await until(async () => (await unfinished())?.pending.length === 0);
    expect((await unfinished())?.failed).toEqual(done.failed);
    await worker.faults();
    const again = await worker.create({ ...request, shards: ['pool/a.tar'] });
    expect((await worker.finished(again.job.id)).shards).toMatchObject({ done: 1, failed: 0 });
    await until(async () => (await unfinished())?.failed.length === 1);
  });
});

describe('what is asked of it', () => {
  test.each([
    [{ prefix: 'nothing/', out: 'metadata/x' }, 422, /no shard lies behind nothing/],
    [{ shards: ['pool/a.tar', 'other/a.tar'], out: 'metadata/x' }, 422, /would write the same files/],
    [{ prefix: 'pool/', out: '/metadata' }, 422, /out/],
    [{ prefix: 'pool/', out: '.shardsieve/jobs' }, 422, /out/],
    [{ prefix: 'pool/', shards: ['pool/a.tar'], out: 'metadata/x' }, 422, /either shards or a prefix/],
    [{ prefix: 'pool/', out: 'metadata/x', model: 'other' }, 422, /no model "other"/],
    [{ prefix: 'pool/', out: 'metadata/pool', caption: 'json:caption' }, 409, /made with other settings/],
  ])('%j is refused', async (request, status, detail) => {
    const answer = await worker.create(request);
    expect([answer.status, answer.job.detail]).toEqual([status, expect.stringMatching(detail)]);
  });

  test('a job that is not there is not found', async () => {
    for (const id of ['5a0e2b7e-1111-4222-8333-444455556666', 'x', '..%2f..']) {
      expect((await fetch(new URL(`/v1/jobs/${id}`, worker.url))).status).toBe(404);
    }
  });
});

test('a shard in a request’s body is answered while it arrives in workerd too, with the numbers of a job', async () => {
  // `a` and some samples more: lines come in runs of 16.
  const tar = await makeTar(await someOf('demo-00000', 20));
  const sent = request(new URL('/v1/shards/a.tar?captions=true', worker.url), { method: 'PUT' });
  sent.write(tar.subarray(0, tar.length - 40_000));
  const answer = await new Promise<IncomingMessage>((resolve) => sent.on('response', resolve));
  let text = '';
  for await (const chunk of answer) {
    if (text === '') sent.end(tar.subarray(tar.length - 40_000));
    text += String(chunk);
  }
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => shardLine.parse(JSON.parse(line)));
  const columns = await readColumns(openFolder(join(root, 'edge')), 'a.parquet');
  const values = (name: string) => [...columns.find((column) => column.name === name)!.values];
  const scored = lines.filter((line) => line.kind === 'scored').slice(0, values('key').length);
  expect(scored.map(({ key, uid, caption }) => [key, uid, caption])).toEqual(
    values('key').map((key, i) => [key, values('uid')[i], values('text')[i]]),
  );
  // Of other batches than the job's.
  for (const [i, score] of values(SCORE).entries())
    expect(scored[i].scores['demo']).toBeCloseTo(Number(score), 6);
  expect(lines.at(-1)).toMatchObject({
    kind: 'end',
    complete: true,
    seen: 20,
    bytes: tar.length,
  });
});

type Columns = Awaited<ReturnType<typeof readColumns>>;

/** Rows of the one whose keys are in the other. */
function keptRows(all: Columns, some: Columns): number[] {
  const keys = (columns: Columns) => Array.from(columns.find(({ name }) => name === 'key')!.values, String);
  const there = new Set(keys(some));
  return [...keys(all)].flatMap((key, row) => (there.has(key) ? [row] : []));
}

async function sameEmbeddings(
  folders: ReturnType<typeof openFolder>[],
  shard: string,
  kept: number[],
): Promise<void> {
  const [mine, other] = await Promise.all(
    folders.map(async (folder) => openNpz(await folder.open(`${shard}.npz`), `${shard}.npz`)),
  );
  expect(mine.names).toEqual(other.names);
  for (const name of mine.names) {
    const { rows, dim, data } = await mine.matrix(name);
    const whole = await other.matrix(name);
    expect([rows, dim]).toEqual([kept.length, whole.dim]);
    for (const [i, row] of kept.entries()) {
      let cosine = 0;
      for (let k = 0; k < dim; k++) cosine += data[i * dim + k] * whole.data[row * dim + k];
      expect(cosine).toBeGreaterThan(0.999);
    }
  }
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const started = Date.now(); Date.now() - started < 90_000; ) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('it did not come to that');
}
