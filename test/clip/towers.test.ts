import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parseClipConfig } from '../../src/clip/config.ts';
import { type ClipParts, loadClip } from '../../src/clip/model.ts';
import { ModelError } from '../../src/errors.ts';
import { parseSafetensorsHeader, type RangedBytes, readSafetensors } from '../../src/onnx/safetensors.ts';
import type { Session, SessionFactory } from '../../src/onnx/session.ts';

const folder = new URL('../fixtures/clip/gelu-f32/', import.meta.url);
const config = parseClipConfig(await readFile(new URL('open_clip_config.json', folder), 'utf8'));
const original = await readFile(new URL('open_clip_model.safetensors', folder));

/** Records what it is given; runs nothing. */
class FakeSessions implements SessionFactory {
  readonly location = 'blob';
  readonly provider = 'fake';
  readonly graphs: Uint8Array[] = [];
  released = 0;
  failAt = Number.POSITIVE_INFINITY;

  async create(graph: Uint8Array): Promise<Session> {
    if (this.graphs.length >= this.failAt) throw new ModelError('no room');
    this.graphs.push(graph);
    return {
      run: async () => ({}),
      release: async () => {
        this.released++;
      },
    };
  }
}

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

/** The fixture with another header over bytes of the right length; the tensors' values do not matter here. */
function altered(change: (header: Header) => void): RangedBytes {
  const length = Number(new DataView(original.buffer, original.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(original.subarray(8, 8 + length).toString()) as Header;
  delete header['__metadata__'];
  change(header);
  const width: Record<string, number> = { F32: 4, I64: 8, F64: 8, F16: 2 };
  let end = 0;
  for (const entry of Object.values(header)) {
    const start = end;
    end += entry.shape.reduce((a, b) => a * b, width[entry.dtype]);
    entry.data_offsets = [start, end];
  }
  const json = Buffer.from(JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return { name: 'altered', size: bytes.length, slice: async (a, b) => bytes.slice(a, b) };
}

const load = (weights: RangedBytes, parts: Partial<ClipParts> = {}) =>
  loadClip({ config, sessions: new FakeSessions(), ...parts, weights });

describe('the checkpoint against its config', () => {
  it.each<[string, RegExp, (header: Header) => void]>([
    ['a missing tensor', /lacks a tensor.*visual\.ln_pre\.bias/, (h) => delete h['visual.ln_pre.bias']],
    ['a missing scale', /lacks a tensor.*logit_scale/, (h) => delete h['logit_scale']],
    [
      'another shape',
      /shape \[24, 12, 1\], the config asks for \[24, 12\].*visual\.proj/,
      (h) => h['visual.proj'].shape.push(1),
    ],
    [
      'another grid of positions',
      /visual\.positional_embedding/,
      (h) => {
        h['visual.positional_embedding'].shape[0] = 50;
      },
    ],
    [
      'a type that cannot be run',
      /type F64.*text_projection/,
      (h) => {
        h['text_projection'].dtype = 'F64';
      },
    ],
    [
      'a part the config does not name',
      /does not account for.*visual\.transformer\.resblocks\.0\.ls_1\.gamma/,
      (h) => {
        h['visual.transformer.resblocks.0.ls_1.gamma'] = { dtype: 'F32', shape: [24], data_offsets: [0, 0] };
      },
    ],
  ])('refuses %s by name', async (_, message, change) => {
    await expect(load(altered(change))).rejects.toThrow(ModelError);
    await expect(load(altered(change))).rejects.toThrow(message);
  });

  it('accepts what changes no embedding', async () => {
    const file = altered((header) => {
      header['logit_scale'].shape = [1];
      header['logit_bias'] = { dtype: 'F32', shape: [], data_offsets: [0, 0] };
      header['vocab_size'] = { dtype: 'I64', shape: [], data_offsets: [0, 0] };
    });
    expect((await load(file)).dim).toBe(12);
  });

  it('frees the first tower where the second cannot be loaded', async () => {
    const sessions = new FakeSessions();
    sessions.failAt = 1;
    await expect(
      load(
        altered(() => {}),
        { sessions },
      ),
    ).rejects.toThrow('no room');
    expect(sessions.released).toBe(1);
  });
});

describe('the graphs', () => {
  it('hold no weights: all of them lie in the checkpoint', async () => {
    const sessions = new FakeSessions();
    await load(
      { name: 'f', size: original.length, slice: async (a, b) => original.subarray(a, b) },
      { sessions },
    );
    expect(sessions.graphs).toHaveLength(2);
    for (const graph of sessions.graphs) expect(graph.length).toBeLessThan(20_000);
  });

  it('refuse an answer of the wrong size rather than give it', async () => {
    const model = await load(altered(() => {}));
    await expect(model.embedTexts([Int32Array.of(1, 63)])).rejects.toThrow(ModelError);
  });
});

describe('the fixture', () => {
  it('is what safetensors itself wrote', async () => {
    const bytes: RangedBytes = {
      name: 'f',
      size: original.length,
      slice: async (a, b) => original.subarray(a, b),
    };
    const { tensors } = await readSafetensors(bytes);
    expect(tensors.get('visual.conv1.weight')?.shape).toEqual([24, 3, 8, 8]);
    expect(() => parseSafetensorsHeader(original.subarray(8, 40), original.length, 'f')).toThrow(ModelError);
  });
});
