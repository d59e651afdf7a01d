/** A full disk, played by a file handle whose writes fail: no half file, a clear error. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { OutputError } from '../../src/errors.ts';

const fail = vi.hoisted(() => ({ code: '', at: 'write' }));

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  const failing = () => Promise.reject(Object.assign(new Error(`${fail.code}: no`), { code: fail.code }));
  return {
    ...real,
    open: async (...args: Parameters<typeof real.open>) => {
      if (fail.code !== '' && fail.at === 'open' && args[1] === 'wx') return failing();
      const handle = await real.open(...args);
      if (fail.code !== '' && fail.at !== 'open' && args[1] === 'wx')
        Object.assign(handle, { [fail.at]: failing });
      return handle;
    },
  };
});

const { openFolder } = await import('../../cli/io/folder.ts');

test.each([
  ['ENOSPC', 'write', 'The disk is full'],
  ['ENOSPC', 'sync', 'The disk is full'],
  ['EDQUOT', 'write', 'quota'],
  ['EROFS', 'open', 'read-only'],
  ['EACCES', 'open', 'You may not write there'],
])('%s on %s', async (code, at, hint) => {
  const root = mkdtempSync(join(tmpdir(), 'shardsieve-full-'));
  try {
    Object.assign(fail, { code, at });
    const writing = async (): Promise<void> => {
      const sink = await openFolder(root).create('a.parquet');
      await sink.write(new Uint8Array(1_000_000));
      await sink.commit();
    };
    const error = await writing().catch((thrown) => thrown);
    expect(error).toBeInstanceOf(OutputError);
    expect(error.message).toContain(hint);
    expect(error.message).toContain('a.parquet');
    expect(readdirSync(root)).toEqual([]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
