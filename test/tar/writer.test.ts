import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OutputError } from '../../src/errors.ts';
import { memorySink } from '../../src/io/memory.ts';
import { BLOCK, USTAR_SIZE_LIMIT } from '../../src/tar/format.ts';
import { isSafeMemberName } from '../../src/tar/names.ts';
import { memberHeader, memberLength, TarWriter } from '../../src/tar/writer.ts';
import { expected, FIXTURES, list, pieces, sha256 } from './support.ts';

interface Member {
  name: string;
  bytes: Uint8Array;
  mtime?: number;
}

const filled = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + length) % 251);

const MEMBERS: Member[] = [
  { name: '0001.jpg', bytes: filled(1000) },
  { name: '0001.txt', bytes: filled(0), mtime: 1_700_000_000.9 },
  { name: 'dir.v1/0002.seg.png', bytes: filled(512) },
  { name: `${'n'.repeat(96)}.jpg`, bytes: filled(511) },
  { name: `${'n'.repeat(97)}.jpg`, bytes: filled(513) },
  { name: `${'p'.repeat(155)}/${'q'.repeat(96)}.png`, bytes: filled(3) },
  { name: `${'p'.repeat(156)}/${'q'.repeat(96)}.png`, bytes: filled(4) },
  { name: `${'deep/'.repeat(60)}x.txt`, bytes: filled(5) },
  { name: 'ü/写真 🎞.jpg', bytes: filled(6) },
  { name: 'bad\udcff\udc80.jpg', bytes: filled(7) },
  { name: './0003.jpg', bytes: filled(300_000) },
  { name: 'line\nend.txt', bytes: filled(8) },
];

async function written(members: readonly Member[]): Promise<Uint8Array> {
  let whole: Uint8Array | undefined;
  const sink = memorySink('t.tar', (bytes) => {
    whole = bytes;
  });
  const writer = new TarWriter(sink);
  for (const { name, bytes, mtime } of members) {
    const before = writer.size;
    await writer.add(name, bytes, { mtime });
    expect(writer.size - before).toBe(memberLength(name, bytes.length));
  }
  await writer.finish();
  await sink.commit();
  return whole ?? new Uint8Array(0);
}

describe('what is written', () => {
  const path = new URL('written.tar', FIXTURES);

  test('is byte for byte the committed tar, which Python reads', async () => {
    const bytes = await written(MEMBERS);
    if (process.env['SHARDSIEVE_UPDATE'] === '1') writeFileSync(path, bytes);
    expect(Buffer.compare(bytes, readFileSync(path))).toBe(0);
    expect(bytes.length % 10_240).toBe(0);
    const golden = expected['written'];
    expect(golden.problem).toBeNull();
    expect(golden.members.map(({ name, type, mtime, sha256 }) => ({ name, type, mtime, sha256 }))).toEqual(
      MEMBERS.map(({ name, bytes, mtime }) => ({
        name,
        type: '0',
        mtime: Math.floor(mtime ?? 0),
        sha256: sha256(bytes),
      })),
    );
  });

  test('reads back here', async () => {
    const { members, error } = await list(pieces(await written(MEMBERS), [1000]));
    expect(error).toBeUndefined();
    expect(members.map((m) => [m.name, m.sha256])).toEqual(MEMBERS.map((m) => [m.name, sha256(m.bytes)]));
  });

  const python = process.env['SHARDSIEVE_PYTHON'];
  test.skipIf(python === undefined)('reads back in Python (skipped without SHARDSIEVE_PYTHON)', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'shardsieve-'));
    try {
      const file = join(folder, 't.tar');
      writeFileSync(file, await written(MEMBERS));
      const script =
        'import sys,tarfile,hashlib,json;t=tarfile.open(sys.argv[1],encoding="utf-8");' +
        'print(json.dumps([[m.name,m.mode,m.uid,hashlib.sha256(t.extractfile(m).read()).hexdigest()] for m in t]))';
      const said = JSON.parse(execFileSync(python ?? '', ['-c', script, file], { encoding: 'utf8' }));
      expect(said).toEqual(MEMBERS.map(({ name, bytes }) => [name, 0o644, 0, sha256(bytes)]));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('an archive of nothing is one record of zeros', async () => {
    expect(await written([])).toEqual(new Uint8Array(10_240));
  });

  test('any safe name and any bytes come back', async () => {
    const name = fc.string({ unit: 'grapheme', maxLength: 300 }).filter(isSafeMemberName);
    const member = fc.record({ name, bytes: fc.uint8Array({ maxLength: 1200 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(member, { maxLength: 5 }), async (members) => {
        const { members: back, error } = await list(pieces(await written(members), [777]));
        expect(error).toBeUndefined();
        expect(back.map((m) => [m.name, m.sha256])).toEqual(members.map((m) => [m.name, sha256(m.bytes)]));
      }),
      { numRuns: 60 },
    );
  });
});

test('a size of 8 GiB and more goes into pax', () => {
  expect(memberHeader('a.jpg', USTAR_SIZE_LIMIT - 1).length).toBe(BLOCK);
  const header = memberHeader('a.jpg', USTAR_SIZE_LIMIT);
  expect(header.length).toBe(3 * BLOCK);
  expect(Buffer.from(header.subarray(BLOCK, BLOCK + 19)).toString()).toBe('19 size=8589934592\n');
});

describe('names that are never written', () => {
  const unsafe = [
    '',
    '/a.jpg',
    '../a.jpg',
    'a/../b.jpg',
    'a/..',
    '..',
    'a\\b.jpg',
    'C:a.jpg',
    'a\0.jpg',
    'a/',
  ];
  test.each(unsafe)('%j', async (name) => {
    const writer = new TarWriter(memorySink('t.tar', () => undefined));
    await expect(writer.add(name, filled(1))).rejects.toThrow(OutputError);
    expect(writer.size).toBe(0);
  });

  test.each(['a.jpg', './a.jpg', 'a..b/..c.jpg', 'ab:c.jpg', '...', 'a b/c.jpg'])('%j is written', (name) => {
    expect(isSafeMemberName(name)).toBe(true);
  });
});
