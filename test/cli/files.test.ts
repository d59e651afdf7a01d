import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fileSource, stdinSource } from '../../cli/io/file.ts';
import { openFolder } from '../../cli/io/folder.ts';
import { OutputError, ShardError } from '../../src/errors.ts';
import { sha256 } from '../tar/support.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shardsieve-files-'));
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

const big = Uint8Array.from({ length: 3_000_001 }, (_, i) => (i * 7) % 253);

async function gathered(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return new Uint8Array(Buffer.concat(parts));
}

describe('a file as a source', () => {
  test('stream, slice, identity, hash', async () => {
    const path = join(root, '00000.tar');
    writeFileSync(path, big);
    utimesSync(path, 1_700_000_000, 1_700_000_000);
    const source = fileSource(path);
    expect(Buffer.compare(await gathered(source.stream()), big)).toBe(0);
    expect(await source.identity()).toEqual({
      name: '00000.tar',
      size: big.length,
      mtimeMs: 1_700_000_000_000,
    });
    expect(await source.slice(2_999_990, 3_000_001)).toEqual(big.slice(2_999_990));
    expect(await source.hash()).toBe(sha256(big));
    await expect(source.slice(0, big.length + 1)).rejects.toMatchObject({ problem: 'truncated' });
  });

  test('chunks stay as they were when the next one comes', async () => {
    const path = join(root, 'a.tar');
    writeFileSync(path, big);
    const chunks: Uint8Array[] = [];
    for await (const chunk of fileSource(path).stream()) chunks.push(chunk);
    expect(chunks.length).toBeGreaterThan(2);
    expect(Buffer.compare(Buffer.concat(chunks), big)).toBe(0);
  });

  test('what cannot be read is a ShardError by name', async () => {
    for (const [path, problem] of [
      [join(root, 'none.tar'), 'missing'],
      [root, 'unreadable'],
    ]) {
      await expect(gathered(fileSource(path).stream())).rejects.toThrow(ShardError);
      await expect(gathered(fileSource(path).stream())).rejects.toMatchObject({
        problem,
        where: { shard: path },
      });
    }
  });

  test('a signal stops it', async () => {
    const path = join(root, 'a.tar');
    writeFileSync(path, big);
    const stop = new AbortController();
    const reading = (async () => {
      for await (const _ of fileSource(path).stream({ signal: stop.signal })) stop.abort();
    })();
    await expect(reading).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe('stdin as a source', () => {
  test('gives its bytes once, and swallows what is behind the end', async () => {
    const stdin = Readable.from([Buffer.from('ab'), Buffer.from('cd'), Buffer.from('ef')]);
    const source = stdinSource('piped.tar', stdin);
    expect(await source.identity()).toEqual({ name: 'piped.tar' });
    for await (const chunk of source.stream()) {
      expect(Buffer.from(chunk).toString()).toBe('ab');
      break;
    }
    await new Promise((resolve) => stdin.once('end', resolve));
    await expect(gathered(source.stream())).rejects.toMatchObject({ problem: 'unreadable' });
  });

  test('a failing pipe is a ShardError, a signal stops a waiting one', async () => {
    const failing = new Readable({ read: () => failing.destroy(new Error('EIO')) });
    await expect(gathered(stdinSource('x', failing).stream())).rejects.toMatchObject({
      problem: 'unreadable',
    });
    const stop = new AbortController();
    const silent = new Readable({ read: () => undefined });
    const reading = gathered(stdinSource('x', silent).stream({ signal: stop.signal }));
    stop.abort();
    await expect(reading).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe('a directory as a folder', () => {
  test('a file appears on commit, whole; temporary names give nothing away', async () => {
    const folder = openFolder(join(root, 'new/out'));
    expect(await folder.list()).toEqual([]);
    expect(await folder.has('a.parquet')).toBe(false);
    expect(await folder.read('a.parquet')).toBeUndefined();
    const sink = await folder.create('a.parquet');
    await sink.write(big.subarray(0, 10));
    await sink.write(big.subarray(10, 2_000_000));
    await sink.write(big.subarray(2_000_000));
    const [temporary, ...others] = readdirSync(join(root, 'new/out'));
    expect(others).toEqual([]);
    expect(temporary).toMatch(/^\.a_parquet\..*\.tmp$/);
    expect(temporary).not.toMatch(/\.parquet|\.tar/);
    expect(await folder.list()).toEqual([]);
    await sink.commit();
    expect(readdirSync(join(root, 'new/out'))).toEqual(['a.parquet']);
    expect(Buffer.compare((await folder.read('a.parquet')) ?? new Uint8Array(), big)).toBe(0);
    const { size, slice } = await folder.open('a.parquet');
    expect(size).toBe(big.length);
    expect(await slice(5, 9)).toEqual(big.slice(5, 9));
  });

  test('a commit replaces, an abort leaves what was there', async () => {
    const folder = openFolder(root);
    for (const [text, keeps] of [
      ['one', true],
      ['two', false],
      ['three', true],
    ] as const) {
      const sink = await folder.create('x.json');
      await sink.write(Buffer.from(text));
      await (keeps ? sink.commit() : sink.abort());
      expect(readFileSync(join(root, 'x.json'), 'utf8')).toBe(text === 'two' ? 'one' : text);
    }
    await folder.remove('x.json');
    await folder.remove('x.json');
    expect(readdirSync(root)).toEqual([]);
  });

  test('lists by code unit, without folders', async () => {
    for (const name of ['b', 'B', 'a10', 'a9', '.dot']) writeFileSync(join(root, name), '');
    mkdirSync(join(root, 'folder'));
    expect(await openFolder(root).list()).toEqual(['.dot', 'B', 'a10', 'a9', 'b']);
  });

  test.each(['', '.', '..', '../x', 'a/b', 'a\\b', 'a\0'])('%j is no name', async (name) => {
    await expect(openFolder(root).create(name)).rejects.toThrow(OutputError);
  });

  test('what a killed run left is removed at the next opening, a living one is left alone', async () => {
    const script = `
      const { openFolder } = await import(${JSON.stringify(new URL('../../cli/io/folder.ts', import.meta.url).href)});
      const sink = await openFolder(${JSON.stringify(root)}).create('a.tar');
      await sink.write(new Uint8Array(1_000_000));
      process.kill(process.pid, 'SIGKILL');`;
    spawnSync(process.execPath, ['--input-type=module', '-e', script]);
    const left = readdirSync(root);
    expect(left).toHaveLength(1);
    writeFileSync(join(root, '.not_ours.tmp'), '');
    expect(await openFolder(root, { readOnly: true }).list()).toEqual(['.not_ours.tmp']);
    expect(readdirSync(root)).toHaveLength(2);
    const sink = await openFolder(root).create('b.tar');
    expect(existsSync(join(root, left[0]))).toBe(false);
    openFolder(root);
    expect(readdirSync(root)).toHaveLength(2);
    await sink.commit();
    expect(readdirSync(root).sort()).toEqual(['.not_ours.tmp', 'b.tar']);
  });

  test("another machine's file goes after a day, our number's only from before our start", async () => {
    const names = {
      otherFresh: '.a.00000000-1-0123456789ab.tmp',
      otherOld: '.b.00000000-1-0123456789ab.tmp',
    };
    for (const name of Object.values(names)) writeFileSync(join(root, name), '');
    utimesSync(join(root, names.otherOld), 1, 1);
    openFolder(root);
    expect(readdirSync(root)).toEqual([names.otherFresh]);
    const sink = await openFolder(root).create('c');
    const own = readdirSync(root).find((name) => name.startsWith('.c.')) ?? '';
    utimesSync(join(root, own), 1, 1);
    openFolder(root);
    expect(existsSync(join(root, own))).toBe(false);
    await sink.abort();
  });

  test('errors say what to do', async () => {
    writeFileSync(join(root, 'file'), '');
    const inFile = openFolder(join(root, 'file/out'));
    await expect(inFile.create('x')).rejects.toThrow(OutputError);
    await expect(inFile.create('x')).rejects.toThrow('choose another --out');
    expect(await inFile.list()).toEqual([]);
    mkdirSync(join(root, 'taken'));
    const sink = await openFolder(root).create('taken');
    await expect(sink.commit()).rejects.toThrow(OutputError);
    expect(readdirSync(root).sort()).toEqual(['file', 'taken']);
    await expect(openFolder(root, { readOnly: true }).create('x')).rejects.toThrow('only read');
  });
});
