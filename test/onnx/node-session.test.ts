import { createHash } from 'node:crypto';
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openClip } from '../../cli/onnx/clip.ts';
import { modelFile, sha256File } from '../../cli/onnx/files.ts';
import { type NodeSessionOptions, nodeSessions } from '../../cli/onnx/session.ts';
import { parseClipConfig } from '../../src/clip/config.ts';
import { loadClip } from '../../src/clip/model.ts';
import { CancelledError, ModelError } from '../../src/errors.ts';

const fixture = fileURLToPath(new URL('../fixtures/clip/quickgelu-f16/', import.meta.url));
const WEIGHTS = 'open_clip_model.safetensors';
const CONFIG = 'open_clip_config.json';
const CAPTION = [Int32Array.of(62, 5, 6, 63)];

let root: string;
let snapshot: string;
let expected: Float32Array;

/** The hub's cache: blobs by hash, snapshots of relative symlinks. */
async function hubCache(repo: string): Promise<string> {
  const revision = join(repo, 'snapshots', 'c0ffee');
  await mkdir(join(repo, 'blobs'), { recursive: true });
  await mkdir(revision, { recursive: true });
  for (const name of [WEIGHTS, CONFIG]) {
    const blob = await sha256File(join(fixture, name));
    await copyFile(join(fixture, name), join(repo, 'blobs', blob));
    await symlink(join('..', '..', 'blobs', blob), join(revision, name));
  }
  return revision;
}

async function embed(folder: string, options: NodeSessionOptions): Promise<Float32Array> {
  const model = await openClip({ config: join(folder, CONFIG), weights: join(folder, WEIGHTS) }, options);
  try {
    return await model.embedTexts(CAPTION);
  } finally {
    await model.release();
  }
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'shardsieve-session-'));
  snapshot = await hubCache(join(root, 'models--org--näme with space'));
  expected = await embed(fixture, { threads: 1, worker: false });
});
afterAll(() => rm(root, { recursive: true }));

describe('weights in a hub cache of symlinks', () => {
  it('are used where they lie, and nothing is written beside them', async () => {
    const before = await readdir(root, { recursive: true });
    const config = parseClipConfig(await readFile(join(snapshot, CONFIG), 'utf8'));
    const weights = await modelFile(join(snapshot, WEIGHTS));
    const sessions = nodeSessions(weights, { threads: 1 });
    const model = await loadClip({ config, weights, sessions });
    expect(await model.embedTexts(CAPTION)).toEqual(expected);
    expect(sessions.route).toBe('in-place');
    expect(await readdir(root, { recursive: true })).toEqual(before);
    await model.release();
  });

  it.each<[string, NodeSessionOptions]>([
    ['from memory', { weights: 'memory' }],
    ['from memory, in this thread', { weights: 'memory', worker: false }],
    ['without rearranged copies', { lean: true }],
  ])('give the same %s', async (_, options) => {
    const rows = await embed(snapshot, { threads: 1, ...options });
    for (const [k, value] of rows.entries()) expect(value).toBeCloseTo(expected[k], 6);
  });

  it('are read into memory where the runtime cannot reach the file', async () => {
    const config = parseClipConfig(await readFile(join(snapshot, CONFIG), 'utf8'));
    const weights = await modelFile(join(snapshot, WEIGHTS));
    const sessions = nodeSessions({ ...weights, path: join(root, 'gone', 'blob') }, { threads: 1 });
    const model = await loadClip({ config, weights, sessions });
    expect(sessions.route).toBe('memory');
    expect(await model.embedTexts(CAPTION)).toEqual(expected);
    await model.release();
  });
});

describe('what cannot be loaded', () => {
  it('names a missing folder, config or weights', async () => {
    const config = join(fixture, CONFIG);
    await expect(openClip({ config: join(root, 'no.json'), weights: '' })).rejects.toThrow(/no\.json/);
    await expect(openClip({ config, weights: join(root, 'no') })).rejects.toThrow(ModelError);
    await expect(openClip({ config, weights: root })).rejects.toThrow(/not a regular file/);
    const dangling = join(root, 'dangling');
    await symlink('nowhere', dangling);
    await expect(openClip({ config, weights: dangling })).rejects.toThrow(/dangling/);
  });

  it('names a file that was cut, before the runtime sees it', async () => {
    const cut = join(root, 'cut.safetensors');
    await copyFile(join(fixture, WEIGHTS), cut);
    await truncate(cut, 30_000);
    await expect(openClip({ config: join(fixture, CONFIG), weights: cut })).rejects.toThrow(
      /cut short.*cut\.safe/,
    );
  });

  it.each([true, false])('gives the runtime’s refusal as a ModelError (worker: %s)', async (worker) => {
    const file = await modelFile(join(fixture, WEIGHTS));
    const broken = nodeSessions(file, { worker }).create(Uint8Array.of(1, 2, 3));
    await expect(broken).rejects.toThrow(ModelError);
    await expect(broken).rejects.toThrow(/onnxruntime cannot load/);
  });

  it.each([true, false])('gives a failing run as a ModelError and can go on (worker: %s)', async (worker) => {
    const file = await modelFile(join(fixture, WEIGHTS));
    const graphs: Uint8Array[] = [];
    const real = nodeSessions(file, { threads: 1, worker });
    const config = parseClipConfig(await readFile(join(fixture, CONFIG), 'utf8'));
    const spy = {
      location: real.location,
      provider: 'cpu',
      create: (graph: Uint8Array) => {
        graphs.push(graph);
        return real.create(graph);
      },
    };
    await (await loadClip({ config, weights: file, sessions: spy })).release();
    const session = await real.create(graphs[1]);
    await expect(session.run({})).rejects.toThrow(ModelError);
    const ids = { type: 'int32', dims: [1, 4], data: CAPTION[0] } as const;
    const end = { type: 'int32', dims: [1], data: Int32Array.of(3) } as const;
    expect((await session.run({ ids, end }))['embedding'].dims).toEqual([1, 12]);
    await session.release();
    await expect(session.run({ ids, end })).rejects.toThrow(ModelError);
  });
});

describe('sha256File', () => {
  it('hashes what the name leads to', async () => {
    const bytes = await readFile(join(fixture, WEIGHTS));
    const hash = createHash('sha256').update(bytes).digest('hex');
    expect(await sha256File(join(snapshot, WEIGHTS))).toBe(hash);
  });

  it('fails by type, and stops when told to', async () => {
    await expect(sha256File(join(root, 'none'))).rejects.toThrow(ModelError);
    await writeFile(join(root, 'file'), 'x');
    const stopped = sha256File(join(root, 'file'), AbortSignal.abort());
    await expect(stopped).rejects.toBeInstanceOf(CancelledError);
  });
});
