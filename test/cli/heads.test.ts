import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { downloadHead } from '../../cli/heads/download.ts';
import { openHead } from '../../cli/heads/store.ts';
import { encodeHead } from '../../src/safety/heads/file.ts';
import { KNOWN_HEADS, type KnownHead } from '../../src/safety/heads/known.ts';
import { cli } from '../helpers/cli.ts';
import { fixture } from '../helpers/fixtures.ts';
import { scratch } from '../helpers/tmp.ts';
import { wholeHead } from '../safety/heads/support.ts';

let folder: string;
let env: { SHARDSIEVE_HEADS: string };
beforeAll(async () => {
  folder = await scratch();
  env = { SHARDSIEVE_HEADS: join(folder, 'heads') };
  await mkdir(env.SHARDSIEVE_HEADS);
});

const json = (text: string) => JSON.parse(text) as Record<string, unknown>;

test('import, info and list of a head that nobody published', async () => {
  const zip = join(folder, 'tiny.zip');
  await writeFile(zip, fixture('heads/tiny_keras.zip'));
  const unknown = await cli(['heads', 'import', zip, '--out', join(folder, 'no.safetensors')], { env });
  expect(unknown.code).toBe(1);
  expect(unknown.stderr).toMatch(/tiny\.zip.*--name NAME --model MODEL/);

  // The demo model has other embeddings than this head takes.
  const other = ['--model', 'demo', '--name', 'tiny', '--out', join(folder, 'no.safetensors')];
  const wrong = await cli(['heads', 'import', zip, ...other], { env });
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toMatch(/takes embeddings of 6 components, but those of demo have \d+/);

  const file = join(env.SHARDSIEVE_HEADS, 'mine.safetensors');
  await writeFile(file, encodeHead(wholeHead()));
  const info = await cli(['heads', 'info', file], { env });
  expect(info.code).toBe(0);
  expect(info.stdout).toMatch(/^name {20}test_head$/m);
  expect(info.stdout).toMatch(/lookups on 3, normalise, dense 8→5 relu, dense 5→1 sigmoid, isotonic/);
  expect(json((await cli(['heads', 'info', file, '--json'], { env })).stdout)).toMatchObject({
    name: 'test_head',
    space: { dim: 8 },
    file,
  });

  const list = await cli(['heads', 'list'], { env });
  expect(list.stdout).toMatch(/^laion-l14 +not pulled /m);
  expect(list.stdout).toMatch(/^test_head +here /m);
});

describe('a head that is not there, or is none', () => {
  test.each<[string, string[], number, RegExp]>([
    ['not pulled', ['info', 'laion-b32'], 2, /not on this machine.*heads pull laion-b32/],
    ['a slip', ['info', 'laion-b3'], 2, /Did you mean laion-b32\?/],
    ['no such name', ['pull', 'nothing'], 2, /Known are laion-l14/],
    ['no such file', ['import', 'gone.zip', '--out', 'x'], 1, /no such file \(file gone\.zip\)/],
    ['offline', ['pull', 'laion-b32'], 1, /HF_HUB_OFFLINE is set.*heads import/],
  ])('%s', async (_, args, code, message) => {
    const result = await cli(['heads', ...args], { cwd: folder, env });
    expect(result.stderr).toMatch(message);
    expect(result.code).toBe(code);
  });

  test('a file that is no head', async () => {
    await writeFile(join(folder, 'text.safetensors'), 'not a head');
    const result = await cli(['heads', 'info', 'text.safetensors'], { cwd: folder, env });
    expect(result.stderr).toMatch(/the head .*text\.safetensors/s);
    expect(result.code).toBe(1);
  });
});

describe('downloading a published head', () => {
  const bytes = fixture('heads/tiny_keras.zip');
  const known = async (): Promise<KnownHead> => ({
    ...KNOWN_HEADS[0],
    size: bytes.length,
    sha256: await digest(bytes),
  });
  const digest = async (data: Uint8Array<ArrayBuffer>) =>
    Buffer.from(await crypto.subtle.digest('SHA-256', data)).toString('hex');
  const seen: [string, Record<string, string>][] = [];
  const answering = (...answers: Response[]) => ({
    env: { HF_TOKEN: 'hf_secret', HOME: '/nowhere' },
    sleep: async () => {},
    fetch: async (url: string, init: { headers: Record<string, string> }) => {
      seen.push([url, init.headers]);
      return answers.shift() ?? new Response(null, { status: 500 });
    },
  });

  test('gives the verified bytes, after a busy answer and a cut one, and never sends the token', async () => {
    const answers = [
      new Response(null, { status: 503 }),
      new Response(bytes.slice(0, 1000)),
      new Response(bytes),
    ];
    expect(await downloadHead(await known(), answering(...answers))).toEqual(bytes);
    expect(seen).toHaveLength(3);
    expect(JSON.stringify(seen)).not.toContain('hf_secret');
  });

  test('refuses other bytes, more bytes and a missing file', async () => {
    const changed = bytes.slice();
    changed[500] ^= 1;
    const head = await known();
    const get = (...answers: Response[]) => downloadHead(head, answering(...answers));
    await expect(get(new Response(changed))).rejects.toThrow(/not the file that is known: SHA-256/);
    await expect(get(new Response(Buffer.concat([bytes, bytes])))).rejects.toThrow(/more than \d+ bytes/);
    await expect(get(new Response(null, { status: 404 }))).rejects.toThrow(/answered 404.*heads import/);
  });
});

test('the folder of heads is found by name', async () => {
  const { head } = await openHead(join(env.SHARDSIEVE_HEADS, 'mine.safetensors'));
  await copyFile(
    join(env.SHARDSIEVE_HEADS, 'mine.safetensors'),
    join(env.SHARDSIEVE_HEADS, 'laion-l14.safetensors'),
  );
  const pulled = await openHead('laion-l14', env);
  expect(pulled.head).toEqual(head);
  expect(await readFile(pulled.path)).toEqual(Buffer.from(encodeHead(head)));
});
