import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expandShards } from '../../cli/io/inputs.ts';
import { UsageError } from '../../src/errors.ts';

let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'shardsieve-inputs-'));
  for (const folder of ['pool', 'other', 'empty', 'literal', 'sub/deep'])
    mkdirSync(join(root, folder), { recursive: true });
  const files = [
    ...['00000', '00002', '00003', '00010', '00012'].map((name) => `pool/${name}.tar`),
    'pool/00000_stats.json',
    'pool/.hidden.tar',
    'pool/packed.tar.gz',
    'pool/Packed2.tgz',
    'other/00002.tgz',
    'literal/[ab].tar',
    'literal/a.tar',
    'literal/{1..2}.tar',
    'literal/1.tar',
    'sub/x.tar',
    'sub/deep/y.tar',
  ];
  for (const file of files) writeFileSync(join(root, file), '');
  symlinkSync(join(root, 'pool/00000.tar'), join(root, 'sub/link.tar'));
});

afterAll(() => rmSync(root, { recursive: true }));

/** Arguments and answers relative to the folder made above. */
async function expanded(args: string[], name?: string): Promise<string[]> {
  const sources = await expandShards(
    args.map((arg) =>
      arg === '-' ? arg : arg.startsWith('@') ? `@${join(root, arg.slice(1))}` : `${root}/${arg}`,
    ),
    { name },
  );
  return sources.map((source) => (source.name.startsWith('/') ? relative(root, source.name) : source.name));
}

const refused = (args: string[], name?: string): Promise<UsageError> =>
  expanded(args, name).then(
    (names) => expect.fail(`not refused: ${names}`),
    (error) => {
      expect(error).toBeInstanceOf(UsageError);
      return error;
    },
  );

describe('what an argument stands for', () => {
  test('a folder: its shards by code unit', async () => {
    expect(await expanded(['pool'])).toEqual(
      ['00000.tar', '00002.tar', '00003.tar', '00010.tar', '00012.tar', 'Packed2.tgz', 'packed.tar.gz'].map(
        (n) => `pool/${n}`,
      ),
    );
  });

  test('a brace range passes over the numbers that are not there', async () => {
    expect(await expanded(['pool/{00000..00012}.tar'])).toEqual(
      ['00000', '00002', '00003', '00010', '00012'].map((n) => `pool/${n}.tar`),
    );
    expect(await expanded(['pool/{00012..00009}.tar'])).toEqual(['pool/00012.tar', 'pool/00010.tar']);
    expect(await expanded(['{pool,empty}/0000{0..2..2}.tar'])).toEqual(['pool/00000.tar', 'pool/00002.tar']);
    expect((await refused(['pool/{00020..00030}.tar'])).message).toContain('matches no file');
    expect((await refused(['pool/{0..99999999}.tar'])).message).toContain('more than');
  });

  test('a brace list keeps the names that are not there: their shards fail by name', async () => {
    expect(await expanded(['pool/{00000,00001}.tar'])).toEqual(['pool/00000.tar', 'pool/00001.tar']);
  });

  test('a glob, by code unit; with braces too', async () => {
    expect(await expanded(['pool/0000*.tar'])).toEqual([
      'pool/00000.tar',
      'pool/00002.tar',
      'pool/00003.tar',
    ]);
    expect(await expanded(['pool/000[01]?.tar'])).toHaveLength(5);
    expect(await expanded(['sub/**/*.tar'])).toEqual(['sub/deep/y.tar', 'sub/link.tar', 'sub/x.tar']);
    expect(await expanded(['{sub,empty}/*.tar'])).toEqual(['sub/link.tar', 'sub/x.tar']);
    expect((await refused(['empty/*.tar'])).message).toContain('matches no file');
  });

  test('a file that is called like a pattern is that file', async () => {
    expect(await expanded(['literal/[ab].tar'])).toEqual(['literal/[ab].tar']);
    expect(await expanded(['literal/{1..2}.tar'])).toEqual(['literal/{1..2}.tar']);
    expect(await expanded(['literal'])).toHaveLength(4);
  });

  test('a missing file is a shard that fails when it is read', async () => {
    const [source] = await expandShards([join(root, 'pool/none.tar')]);
    const reading = (async () => {
      for await (const _ of source.stream()) expect.fail('bytes from nowhere');
    })();
    await expect(reading).rejects.toMatchObject({ code: 'shard', problem: 'missing' });
    await expect(source.identity()).rejects.toMatchObject({ problem: 'missing' });
  });

  test('a list, with comments and patterns', async () => {
    writeFileSync(
      join(root, 'list.txt'),
      `# a pilot\n\n  ${root}/pool/00003.tar  \r\n${root}/pool/{00000..00001}.tar\n`,
    );
    expect(await expanded(['sub/x.tar', '@list.txt'])).toEqual([
      'sub/x.tar',
      'pool/00003.tar',
      'pool/00000.tar',
    ]);
    for (const [text, what] of [
      ['# none\n', 'empty'],
      ['@other.txt\n', 'neither'],
      ['-\n', 'neither'],
    ]) {
      writeFileSync(join(root, 'bad.txt'), text);
      expect((await refused(['@bad.txt'])).message).toContain(what);
    }
    expect((await refused(['@nowhere.txt'])).message).toContain('nowhere.txt');
  });

  test('stdin, by the name it is given', async () => {
    expect(await expanded(['-', 'sub/x.tar'], 'piped')).toEqual(['piped', 'sub/x.tar']);
    expect((await refused(['-'])).message).toContain('--name');
  });

  test('arguments keep their order', async () => {
    expect(await expanded(['sub/x.tar', 'pool/00012.tar', 'pool/00000.tar'])).toEqual([
      'sub/x.tar',
      'pool/00012.tar',
      'pool/00000.tar',
    ]);
  });

  test('relative names stay relative', async () => {
    const here = relative(process.cwd(), root);
    const names = (await expandShards([`${here}/pool/0000*.tar`, `${here}/sub/{x..x}.tar`])).map(
      (source) => source.name,
    );
    expect(names.map((name) => relative(here, name))).toEqual([
      'pool/00000.tar',
      'pool/00002.tar',
      'pool/00003.tar',
      'sub/x.tar',
    ]);
  });
});

describe('what is refused', () => {
  test('two shards of one base name, both named', async () => {
    const error = await refused(['pool', 'other/00002.tgz']);
    expect(error.message).toContain('pool/00002.tar');
    expect(error.message).toContain('other/00002.tgz');
    expect((await refused(['sub/x.tar', 'sub/*.tar'])).message).toContain('given twice');
    expect((await refused(['sub/x.tar', '-'], 'x.tar')).message).toContain('one base name');
  });

  test('nothing, addresses, and folders without shards', async () => {
    await expect(expandShards([])).rejects.toThrow('no shards were given');
    await expect(expandShards([''])).rejects.toThrow(UsageError);
    await expect(expandShards(['https://host/0.tar'])).rejects.toThrow('is an address');
    await expect(expandShards(['pipe:cat 0.tar'])).rejects.toThrow('is an address');
    expect((await refused(['empty'])).message).toContain('has no .tar');
  });
});
