/**
 * One cache for two tools: what is written here, Python's `huggingface_hub` finds, and the reverse.
 * Runs where `SHARDSIEVE_PYTHON` names an interpreter that has `huggingface_hub`.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cachedCommits, lookUp, repoCache } from '../../cli/hub/cache.ts';
import { downloadFile } from '../../cli/hub/download.ts';
import { hubSettings } from '../../cli/hub/settings.ts';
import { COMMIT, FakeHub, noise, serve, sha256, temporaryFolder } from './fake-hub.ts';

const python = process.env.SHARDSIEVE_PYTHON;
const run = promisify(execFile);
const FILE = 'sub/weights.safetensors';
const CONFIG = 'open_clip_config.json';
const bytes = noise(30_000);

describe.skipIf(!python)('beside huggingface_hub', () => {
  let hub: FakeHub;
  let folder: ReturnType<typeof temporaryFolder>;
  let server: Awaited<ReturnType<typeof serve>>;
  let env: Record<string, string>;

  beforeEach(async () => {
    hub = new FakeHub();
    hub.store = undefined;
    hub.add(FILE, bytes);
    hub.add(CONFIG, '{"model_cfg":{}}', false);
    folder = temporaryFolder();
    server = await serve(hub, async (body, write) => {
      write(body);
      return 'end';
    });
    env = { HF_HOME: folder.path, HF_ENDPOINT: server.endpoint };
  });
  afterEach(() => {
    server.close();
    folder.remove();
  });

  async function ask(code: string, extra: Record<string, string> = {}): Promise<unknown> {
    const source = `import json, huggingface_hub as h\n${code}`;
    const environment = { PATH: process.env.PATH, HF_HUB_DISABLE_XET: '1', HF_HUB_DISABLE_TELEMETRY: '1' };
    const { stdout } = await run(python!, ['-c', source], { env: { ...environment, ...env, ...extra } });
    return JSON.parse(stdout);
  }

  test.each([
    ['links', {}],
    ['no links', { HF_HUB_DISABLE_SYMLINKS: '1' }],
  ])('finds what was downloaded here (%s)', async (_, extra) => {
    Object.assign(env, extra);
    const got = await downloadFile({ repo: 'org/name', file: FILE, env });
    await downloadFile({ repo: 'org/name', file: CONFIG, revision: 'refs/pr/1', env });
    await downloadFile({ repo: 'org/name', file: 'absent.bin', env }).catch(() => undefined);
    const found = await ask(`
missing = h.try_to_load_from_cache('org/name', 'absent.bin')
info = h.scan_cache_dir()
repo = next(iter(info.repos))
print(json.dumps({
  'try': h.try_to_load_from_cache('org/name', '${FILE}'),
  'commit': h.try_to_load_from_cache('org/name', '${FILE}', revision='${COMMIT}'),
  'ref': h.try_to_load_from_cache('org/name', '${CONFIG}', revision='refs/pr/1'),
  'never': h.try_to_load_from_cache('org/name', 'never-asked'),
  'missing': missing is h._CACHED_NO_EXIST,
  'download': h.hf_hub_download('org/name', '${FILE}', local_files_only=True),
  'warnings': [str(w) for w in info.warnings],
  'repo': [repo.repo_id, repo.repo_type, repo.nb_files, repo.size_on_disk],
  'refs': sorted(repo.refs),
}))`);
    expect(found).toEqual({
      try: got.path,
      commit: got.path,
      ref: join(got.path, '..', '..', CONFIG),
      never: null,
      missing: true,
      download: got.path,
      warnings: [],
      repo: ['org/name', 'model', 2, bytes.length + 16],
      refs: ['main', 'refs/pr/1'],
    });
  });

  test('is found here when it was downloaded there, without a request', async () => {
    const there = await ask(`
missing = None
try:
  h.hf_hub_download('org/name', 'absent.bin')
except h.errors.EntryNotFoundError:
  missing = True
print(json.dumps([h.hf_hub_download('org/name', '${FILE}'), missing]))`);
    const cache = repoCache(hubSettings(env).cacheDir, 'org/name');
    const path = join(cache.folder, 'snapshots', COMMIT, FILE);
    expect(there).toEqual([path, true]);
    hub.seen.length = 0;
    const got = await downloadFile({ repo: 'org/name', file: FILE, env: { ...env, HF_HUB_OFFLINE: '1' } });
    expect(got).toEqual({ path, commit: COMMIT, size: bytes.length, fromCache: true });
    expect(readFileSync(got.path)).toEqual(Buffer.from(bytes));
    expect(await lookUp(cache, 'main', 'absent.bin')).toEqual({ found: 'no_exist', commit: COMMIT });
    expect(await cachedCommits(cache)).toEqual([COMMIT]);
    expect(hub.seen).toEqual([]);
    expect(sha256(readFileSync(join(cache.folder, 'blobs', sha256(bytes))))).toBe(sha256(bytes));
  });

  test.each<Record<string, string>>([
    {},
    { HF_HOME: '' },
    { HF_HOME: '', XDG_CACHE_HOME: '/x/cache' },
    { HF_HOME: '~/hf' },
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a shell's variable, not a template's
    { HF_HOME: '$HOME/hf/${LEAF}', LEAF: 'leaf' },
    { HF_HUB_CACHE: '/somewhere/hub' },
    { HUGGINGFACE_HUB_CACHE: '/legacy/hub' },
    { HF_HUB_CACHE: '$NOWHERE/hub' },
  ])('looks in the same folder: %j', async (extra) => {
    const settings = { HF_HOME: '/hf', HOME: '/home/someone', ...extra };
    const set = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== ''));
    const where = await run(
      python!,
      ['-c', 'from huggingface_hub import constants as c; print(c.HF_HUB_CACHE, end="")'],
      {
        env: { PATH: process.env.PATH, ...set },
      },
    );
    expect(hubSettings(set).cacheDir).toBe(resolve(where.stdout));
  });
});
