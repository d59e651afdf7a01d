import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { http } from 'msw';
import { setupServer } from 'msw/node';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type SetupCudaOptions, setupCuda } from '../../cli/jobs/setup-cuda.ts';
import { cudaParts } from '../../cli/setup/manifest.ts';
import { DeviceError, DownloadError } from '../../src/errors.ts';
import { cli } from '../helpers/cli.ts';
import { cutAfter, noise, ranged, temporaryFolder } from '../hub/fake-hub.ts';

/** A NuGet feed in miniature; which package, version and files is what the real onnxruntime-node says. */

const LINUX = { platform: 'linux', arch: 'x64' } as const;
const parts = cudaParts(LINUX);
const INDEX = 'https://feed.example.org/v3/index.json';
const LEAF = `https://feed.example.org/v3/registration/${parts.name.toLowerCase()}/${parts.version}.json`;
const CATALOG = 'https://feed.example.org/v3/catalog/gpu.json';
const PACKAGE = 'https://feed.example.org/v3/flat/gpu.nupkg';

const libraries = new Map(
  parts.files.map(({ name, path }, i) => [name, { path, bytes: noise(60_000 + i, i + 1) }]),
);
const nupkg = new Uint8Array(
  zipSync({
    'gpu.nuspec': new TextEncoder().encode('<package/>'),
    ...Object.fromEntries([...libraries.values()].map(({ path, bytes }) => [path, bytes])),
    'runtimes/linux-x64/native/libonnxruntime.so': noise(50_000, 9),
  }),
);
const sha512 = (encoding: 'hex' | 'base64', bytes: Uint8Array = nupkg) =>
  createHash('sha512').update(bytes).digest(encoding);

let root: ReturnType<typeof temporaryFolder>;
let folder: string;
let seen: Request[];
let catalog: object;
let answers: ((request: Request) => Response)[];

const server = setupServer(
  http.all('*', ({ request }) => {
    seen.push(request);
    switch (request.url) {
      case INDEX:
        return Response.json({
          resources: [
            { '@id': 'https://feed.example.org/v3/flat/', '@type': 'PackageBaseAddress/3.0.0' },
            { '@id': 'https://feed.example.org/v3/registration-gz/', '@type': 'RegistrationsBaseUrl/3.4.0' },
            { '@id': 'https://feed.example.org/v3/registration/', '@type': 'RegistrationsBaseUrl' },
          ],
        });
      case LEAF:
        return Response.json({ packageContent: PACKAGE, catalogEntry: CATALOG, listed: true });
      case CATALOG:
        return Response.json(catalog);
      case PACKAGE:
        return (answers.shift() ?? ((asked) => ranged(nupkg, asked)))(request);
      default:
        return new Response('no', { status: 404 });
    }
  }),
);
beforeAll(() => server.listen());
afterAll(() => server.close());
beforeEach(() => {
  root = temporaryFolder();
  folder = join(root.path, 'bin');
  mkdirSync(folder);
  seen = [];
  answers = [];
  catalog = { packageHash: sha512('base64'), packageHashAlgorithm: 'SHA512', packageSize: nupkg.length };
});
afterEach(() => root.remove());

const setup = (more: SetupCudaOptions = {}) =>
  setupCuda({
    ...{ machine: LINUX, folder, mirror: INDEX, fetch: globalThis.fetch, sleep: async () => {} },
    env: { XDG_CACHE_HOME: join(root.path, 'cache'), HF_TOKEN: 'hf_secret' },
    ...more,
  });
const asked = (url: string) => seen.filter((request) => request.url === url);
const here = () => readdirSync(folder).sort();

describe('setup cuda', () => {
  it('fetches the package that belongs to this onnxruntime, checks it, and puts its libraries in place', async () => {
    expect(parts.files.map(({ name }) => name).sort()).toEqual(
      ['cuda', 'shared', 'tensorrt'].map((part) => `libonnxruntime_providers_${part}.so`),
    );
    const done = await setup();
    expect(done).toMatchObject({
      state: 'installed',
      version: parts.version,
      url: PACKAGE,
      sha512: sha512('hex'),
    });
    expect(here()).toEqual([...libraries.keys(), 'shardsieve-cuda.json'].sort());
    for (const [name, { bytes }] of libraries) {
      expect(new Uint8Array(readFileSync(join(folder, name)))).toEqual(bytes);
      expect(statSync(join(folder, name)).mode & 0o111).toBeGreaterThan(0);
    }
    // The hub's token is nobody else's.
    expect(seen.map(({ headers }) => headers.get('authorization'))).toEqual(seen.map(() => null));
    // The package itself is not kept.
    expect(readdirSync(join(root.path, 'cache/shardsieve/files/blobs'))).toEqual([]);
  });

  it('does nothing a second time, and puts back what was lost', async () => {
    await setup();
    seen = [];
    expect(await setup()).toMatchObject({ state: 'there' });
    expect(seen).toEqual([]);
    const [name] = libraries.keys();
    writeFileSync(join(folder, name), 'cut');
    expect(await setup()).toMatchObject({ state: 'installed' });
    expect(statSync(join(folder, name)).size).toBe(libraries.get(name)?.bytes.length);
    expect(await setup({ force: true })).toMatchObject({ state: 'installed' });
  });

  it('goes on where the connection broke', async () => {
    answers = [() => cutAfter(nupkg, 70_000)];
    await setup();
    expect(asked(PACKAGE).map(({ headers }) => headers.get('range'))).toEqual([null, 'bytes=70000-']);
    expect(here()).toHaveLength(4);
  });

  it('does not install another package than the feed says', async () => {
    const other = nupkg.slice();
    other[other.length >> 1] ^= 1;
    answers = [0, 1].map(() => (request: Request) => ranged(other, request));
    await expect(setup()).rejects.toThrow(DownloadError);
    expect(here()).toEqual([]);
    await expect(setup({ sha512: sha512('hex', noise(3)) })).rejects.toThrow(/SHA-512 is .*should be/);
    expect(here()).toEqual([]);
  });

  it('asks for the hash where the feed has none, and takes it in either form', async () => {
    catalog = { packageHash: 'x', packageHashAlgorithm: 'MD5' };
    await expect(setup()).rejects.toThrow(/does not say what the package’s SHA-512 is.*--sha512/);
    expect(asked(PACKAGE)).toEqual([]);
    expect(await setup({ sha512: sha512('base64') })).toMatchObject({ state: 'installed' });
    expect(await setup({ sha512: sha512('hex'), force: true })).toMatchObject({ state: 'installed' });
  });

  it('leaves nothing where a library is not in the package', async () => {
    const poor = zipSync({ 'gpu.nuspec': new Uint8Array(10), [parts.files[0].path]: noise(1000) });
    const from = join(root.path, 'poor.nupkg');
    writeFileSync(from, poor);
    await expect(setup({ from })).rejects.toThrow(/holds no whole .*providers_shared\.so/);
    writeFileSync(from, nupkg.subarray(0, nupkg.length >> 1));
    await expect(setup({ from })).rejects.toThrow(DownloadError);
    expect(here()).toEqual([]);
  });

  it('takes a file that was fetched elsewhere, and makes no request', async () => {
    const from = join(root.path, 'gpu.nupkg');
    writeFileSync(from, nupkg);
    await expect(setup({ from, sha512: sha512('hex', noise(3)) })).rejects.toThrow(/SHA-512/);
    expect(await setup({ from, sha512: sha512('hex') })).toMatchObject({
      state: 'installed',
      sha512: sha512('hex'),
    });
    expect(seen).toEqual([]);
    expect(existsSync(from)).toBe(true);
  });

  it('writes nothing on a dry run', async () => {
    expect(await setup({ dryRun: true })).toMatchObject({
      state: 'dry_run',
      url: PACKAGE,
      sha512: sha512('hex'),
    });
    expect(asked(PACKAGE)).toEqual([]);
    expect(here()).toEqual([]);
  });

  it('is refused where onnxruntime-node has no such libraries', async () => {
    const mac = setup({ machine: { platform: 'darwin', arch: 'arm64' } });
    await expect(mac).rejects.toThrow(DeviceError);
    await expect(mac).rejects.toThrow(/no CUDA libraries for darwin arm64.*linux x64/);
  });

  it('a feed that is none is told', async () => {
    await expect(setup({ mirror: 'https://feed.example.org/else' })).rejects.toThrow(/the feed answered 404/);
    await expect(setup({ mirror: CATALOG })).rejects.toThrow(/another form.*--mirror/s);
    const offline = setup({ env: { XDG_CACHE_HOME: root.path, HF_HUB_OFFLINE: '1' } });
    await expect(offline).rejects.toThrow(/HF_HUB_OFFLINE is set.*--from/);
    expect(here()).toEqual([]);
  });

  it('the command says what stands in the way', async () => {
    const { code, stderr } = await cli(['setup', 'cuda', '--dry-run'], { env: { HF_HUB_OFFLINE: '1' } });
    expect(code).toBe(1);
    expect(stderr).toMatch(/HF_HUB_OFFLINE is set|no CUDA libraries/);
  });
});
