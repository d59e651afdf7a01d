import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ALIASES, DEFAULT_ALIAS } from '../../cli/models/aliases.ts';
import { listModels } from '../../cli/models/list.ts';
import { pullModel, resolveModel } from '../../cli/models/resolve.ts';
import { parseModelSpec, slugOf } from '../../cli/models/spec.ts';
import { packageRoot } from '../../cli/package-root.ts';
import { ModelError, UsageError } from '../../src/errors.ts';
import { COMMIT, FakeHub, noise, sha256, temporaryFolder } from './fake-hub.ts';

const CONFIG = 'open_clip_config.json';
const WEIGHTS = 'open_clip_model.safetensors';
const PICKLE = 'open_clip_pytorch_model.bin';
const weights = noise(5000);

let hub: FakeHub;
let folder: ReturnType<typeof temporaryFolder>;

beforeEach(() => {
  hub = new FakeHub();
  hub.add(CONFIG, '{"model_cfg":{"embed_dim":512}}', false);
  hub.add(WEIGHTS, weights);
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const options = () => ({
  env: { HF_HUB_CACHE: folder.path } as Record<string, string>,
  fetch: (url: string, init: RequestInit) => hub.handle(new Request(url, init)),
  sleep: async () => undefined,
});

async function refusal(spec: string): Promise<Error> {
  return resolveModel(spec, options()).then(
    () => {
      throw new Error('expected a failure');
    },
    (error: Error) => error,
  );
}

function modelFolder(name: string, files: Record<string, string | Uint8Array>): string {
  const path = join(folder.path, name);
  mkdirSync(path, { recursive: true });
  for (const [file, content] of Object.entries(files)) writeFileSync(join(path, file), content);
  return path;
}

describe('a model on the hub', () => {
  test('comes with its commit, slug, config and the hash that the hub gave', async () => {
    const model = await resolveModel('hf-hub:org/name@v1', options());
    const snapshot = join(folder.path, 'models--org--name', 'snapshots', COMMIT);
    expect(model).toEqual({
      spec: 'hf-hub:org/name@v1',
      name: 'org/name',
      revision: COMMIT,
      slug: 'name',
      configPath: join(snapshot, CONFIG),
      weightsPath: join(snapshot, WEIGHTS),
      weightsSha256: sha256(weights),
      configJson: { model_cfg: { embed_dim: 512 } },
    });
    // The weights are asked for at the config's commit: both are of one state of the repository.
    expect(hub.urls('HEAD').map((url) => url.split('/resolve/')[1])).toEqual([
      `v1/${CONFIG}`,
      `${COMMIT}/${WEIGHTS}`,
    ]);
  });

  test('an alias is its repository', async () => {
    hub.repo = 'laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K';
    const model = await resolveModel(DEFAULT_ALIAS, options());
    expect(model).toMatchObject({ name: hub.repo, slug: 'dcb32_256', revision: COMMIT });
    const rows = await listModels(options());
    expect(rows.filter(({ cached, repo }) => cached && repo !== undefined)).toEqual([
      expect.objectContaining({
        alias: DEFAULT_ALIAS,
        isDefault: true,
        revision: COMMIT,
        bytes: weights.length + 31,
      }),
    ]);
    expect(rows.map(({ alias }) => alias)).toEqual([...ALIASES.map(({ name }) => name), 'demo']);
    // Written out, the repository keeps its alias's slug.
    expect((await resolveModel(`hf-hub:${hub.repo}/`, options())).slug).toBe('dcb32_256');
  });

  test('pulling says whether anything came over the line', async () => {
    expect(await pullModel('hf-hub:org/name', options())).toMatchObject({
      weightsBytes: weights.length,
      downloaded: true,
      model: { slug: 'name' },
    });
    expect((await pullModel('hf-hub:org/name', options())).downloaded).toBe(false);
  });

  test('with only a pickle: says so, and downloads none of it', async () => {
    hub.files.delete(WEIGHTS);
    hub.add(PICKLE, noise(9000));
    const error = await refusal('hf-hub:org/name');
    expect(error).toBeInstanceOf(ModelError);
    expect(error.message).toMatch(/weights only as a pickle, open_clip_pytorch_model\.bin.*docs\/models\.md/);
    expect(hub.seen.filter(({ method, url }) => method === 'GET' && url.includes(PICKLE))).toEqual([]);
  });

  test('without weights of any kind', async () => {
    hub.files.delete(WEIGHTS);
    expect((await refusal('hf-hub:org/name')).message).toMatch(
      /org\/name has no open_clip_model\.safetensors/,
    );
  });

  test('without an open_clip config, and in the format of another library', async () => {
    hub.files.delete(CONFIG);
    expect((await refusal('hf-hub:org/name')).message).toMatch(
      /no open_clip_config\.json: it is not an open_clip/,
    );
    hub.add('config.json', '{}', false);
    hub.revisions.add('v2');
    hub.commit = 'e'.repeat(40);
    expect((await refusal('hf-hub:org/name@v2')).message).toMatch(/another library's format/);
  });

  test('that does not exist stays a download error', async () => {
    const error = await refusal('hf-hub:org/nix');
    expect(error).toMatchObject({ code: 'download' });
    expect(error.message).toMatch(/org\/nix was not found/);
  });
});

describe('a folder', () => {
  const files = { [CONFIG]: '{"model_cfg":{}}', [WEIGHTS]: weights };

  test('is a model under its own name', async () => {
    const path = modelFolder('My CLIP (v2)', files);
    expect(await resolveModel(`local-dir:${path}`)).toEqual({
      spec: `local-dir:${path}`,
      name: 'My CLIP (v2)',
      slug: 'my_clip_v2',
      configPath: join(path, CONFIG),
      weightsPath: join(path, WEIGHTS),
      configJson: { model_cfg: {} },
    });
  });

  test('of the hub cache is called by its repository', async () => {
    await resolveModel('hf-hub:org/name', options());
    const path = join(folder.path, 'models--org--name', 'snapshots', COMMIT);
    expect(await resolveModel(`local-dir:${path}`)).toMatchObject({
      name: 'org/name',
      slug: 'name',
      revision: COMMIT,
      weightsSha256: sha256(weights),
    });
  });

  const broken: [string, Record<string, string>, RegExp][] = [
    ['nothing in it', {}, /lacks open_clip_config\.json and open_clip_model\.safetensors/],
    ['no weights', { [CONFIG]: '{}' }, /lacks open_clip_model\.safetensors/],
    ['no config', { [WEIGHTS]: '' }, /lacks open_clip_config\.json/],
    ['a pickle', { [CONFIG]: '{}', [PICKLE]: '' }, /only there as a pickle/],
    ['a config that is no JSON', { [CONFIG]: '{', [WEIGHTS]: '' }, /config cannot be read/],
    ['a config of something else', { [CONFIG]: '[1]', [WEIGHTS]: '' }, /no "model_cfg" object/],
    [
      'a config of a megabyte',
      { [CONFIG]: ' '.repeat(1_048_577), [WEIGHTS]: '' },
      /1048577 bytes, more than/,
    ],
  ];
  test.each(broken)('with %s is refused', async (_, content, message) => {
    const path = modelFolder('broken', content);
    const error = await refusal(`local-dir:${path}`);
    expect(error).toBeInstanceOf(ModelError);
    expect(error.message).toMatch(message);
    expect(error.message).toContain(path);
  });

  test('that is missing, is a file, or holds a dangling link is refused', async () => {
    expect((await refusal(`local-dir:${folder.path}/nix`)).message).toMatch(/does not exist/);
    const path = modelFolder('links', { [CONFIG]: '{}' });
    expect((await refusal(`local-dir:${join(path, CONFIG)}`)).message).toMatch(/not a folder/);
    symlinkSync('nowhere', join(path, WEIGHTS));
    expect((await refusal(`local-dir:${path}`)).message).toMatch(/lacks open_clip_model/);
    expect(await refusal('local-dir:')).toBeInstanceOf(UsageError);
  });
});

describe('the name', () => {
  test.each([
    ['datacomp-b32-265', /Did you mean datacomp-b32-256\?.*Known names: datacomp-b32-256, .*, demo/],
    ['OpenAI-B32', /Did you mean openai-b32\?/],
    ['laion/CLIP', /write hf-hub:laion\/CLIP, for a folder local-dir:laion\/CLIP/],
    ['', /no model is called ""/],
    ['hf-hub:', /not the name of a hub repository/],
    ['hf-hub:a/b@', /not a revision/],
    ['hf-hub:../x', /not the name of a hub repository/],
  ])('%j is refused with what was meant', async (spec, message) => {
    const error = await refusal(spec);
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toMatch(message);
    expect(hub.seen).toEqual([]);
  });

  test('nothing near is not guessed', async () => {
    expect((await refusal('resnet')).message).not.toContain('Did you mean');
  });

  test('a revision may hold slashes and an @', () => {
    expect(parseModelSpec('hf-hub:o/n@refs/pr/3')).toMatchObject({ repo: 'o/n', revision: 'refs/pr/3' });
    expect(parseModelSpec('hf-hub:o/n@a@b')).toMatchObject({ repo: 'o/n', revision: 'a@b' });
  });

  test.each([
    ['CLIP-ViT-B-16-laion2B-s34B-b88K', 'clip_vit_b_16_laion2b_s34b_b88k'],
    ['__a..b__', 'a_b'],
    ['模型', 'model'],
    ['x'.repeat(80), 'x'.repeat(64)],
  ])('the slug of %s is %s', (name, slug) => {
    expect(slugOf(name)).toBe(slug);
  });

  test('no two aliases share a name, a repository or a slug, and slugs can be columns', () => {
    for (const field of ['name', 'repo', 'slug'] as const) {
      expect(new Set(ALIASES.map((alias) => alias[field])).size).toBe(ALIASES.length);
    }
    expect(ALIASES.every(({ slug }) => /^[a-z0-9_]+$/.test(slug))).toBe(true);
    expect(ALIASES.find(({ name }) => name === 'openai-b32')?.slug).toBe('b32');
    expect(ALIASES.find(({ name }) => name === 'openai-l14')?.slug).toBe('l14');
  });
});

test('the package is found from any folder below it, and from none beside it', () => {
  const root = packageRoot();
  expect(readdirSync(root)).toContain('package.json');
  expect(packageRoot(join(root, 'dist', 'cli', 'deeper'))).toBe(root);
  expect(() => packageRoot(folder.path)).toThrow(ModelError);
});
