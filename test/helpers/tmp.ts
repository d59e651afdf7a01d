import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** A folder that is gone after the test file. */
export async function scratch(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'shardsieve-test-'));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Every file below a folder, by relative path, hidden ones too. */
export async function filesOf(folder: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(folder.length + 1), await readFile(path));
  }
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** `filesOf` as text, without the times in shards' stats: what two runs must share. */
export async function withoutTimes(folder: string): Promise<Map<string, string>> {
  const files = [...(await filesOf(folder))].map(([name, bytes]): [string, string] => [
    name,
    name.endsWith('_stats.json')
      ? bytes.toString().replaceAll(/"(start_time|end_time|seconds)": [^\n]*/g, '')
      : bytes.toString('base64'),
  ]);
  return new Map(files);
}
