import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { calibrationInput, calibrationPairs } from '../../cli/models/calibration.ts';
import { quantisedCheckpoint } from '../../cli/models/quantised.ts';
import { openClip } from '../../cli/onnx/clip.ts';
import { modelFile } from '../../cli/onnx/files.ts';
import { nodeSessions } from '../../cli/onnx/session.ts';
import { loadMerges } from '../../cli/vocab.ts';
import { parseClipConfig } from '../../src/clip/config.ts';
import type { CalibrationInput } from '../../src/clip/int8/calibrate.ts';
import { quantiseMatrix } from '../../src/clip/int8/matrix.ts';
import { exactSign } from '../../src/clip/int8/probe.ts';
import { inputScale } from '../../src/clip/int8/scales.ts';
import { type ClipModel, cosine, loadClip } from '../../src/clip/model.ts';
import type { QuantisedPrecision } from '../../src/clip/precision.ts';
import { createTokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { CancelledError, ModelError } from '../../src/errors.ts';
import { parsePreprocess } from '../../src/image/preprocess-config.ts';
import { readSafetensors } from '../../src/onnx/safetensors.ts';
import { encodeSafetensors } from '../../src/onnx/safetensors-write.ts';
import type { SessionFactory } from '../../src/onnx/session.ts';
import { widen } from '../../src/onnx/widen.ts';
import { spearman } from '../../src/select/ranks.ts';
import { scratch } from '../helpers/tmp.ts';
import { readGolden } from './golden.ts';

const root = await scratch();
const fixtures = fileURLToPath(new URL('../fixtures/clip/', import.meta.url));
const demo = fileURLToPath(new URL('../../demo/model/', import.meta.url));
const CONFIG = 'open_clip_config.json';
const WEIGHTS = 'open_clip_model.safetensors';
const BOTH: QuantisedPrecision[] = ['int8', 'int8-accurate'];

interface Files {
  config: string;
  weights: string;
}
const filesIn = (folder: string): Files => ({ config: join(folder, CONFIG), weights: join(folder, WEIGHTS) });
let made = 0;

async function quantisedPath(files: Files, input: CalibrationInput): Promise<string> {
  const { path } = await quantisedCheckpoint(
    {
      from: { weights_sha256: files.weights, model_cfg: '', preprocess_fingerprint: '', calibration: '' },
      config: parseClipConfig(await readFile(files.config, 'utf8')),
      weightsPath: files.weights,
      input: async () => input,
      threads: 1,
    },
    { env: { SHARDSIEVE_QUANTISED: root } },
  );
  return path;
}

async function open(files: Files, precision: 'fp32' | QuantisedPrecision, input: CalibrationInput) {
  const options = { threads: 1, worker: false };
  if (precision === 'fp32') return openClip(files, options);
  const path = await quantisedPath(files, input);
  return openClip({ ...files, quantised: { path, precision } }, options);
}

/** A model with its tensors changed, as float32. */
async function altered(folder: string, change: (tensors: Map<string, Float32Array>) => void): Promise<Files> {
  const files = filesIn(folder);
  const file = await modelFile(files.weights);
  const { tensors } = await readSafetensors(file);
  const values = new Map<string, Float32Array>();
  for (const { name, dtype, offset, length } of tensors.values()) {
    values.set(name, widen(await file.slice(offset, offset + length), dtype as 'F32'));
  }
  change(values);
  const weights = join(root, `altered-${made++}.safetensors`);
  const named = [...values].map(([name, data]) => ({ name, shape: tensors.get(name)!.shape, data }));
  await writeFile(weights, encodeSafetensors(named));
  return { config: files.config, weights };
}

interface Embedded {
  images: Float32Array;
  texts: Float32Array;
  dim: number;
}

async function embed(model: ClipModel, { pixels, tokens }: CalibrationInput): Promise<Embedded> {
  try {
    const data = Float32Array.from(pixels.flatMap((picture) => [...picture]));
    const images = await model.embedImages(data, pixels.length);
    return { images, texts: await model.embedTexts(tokens), dim: model.dim };
  } finally {
    await model.release();
  }
}

/** The least cosine of a row to its counterpart. */
function nearness(a: Float32Array, b: Float32Array, dim: number): number {
  const rows = a.length / dim;
  return Math.min(...Array.from({ length: rows }, (_, i) => cosine(a, i, b, i, dim)));
}

const scoresOf = ({ images, texts, dim }: Embedded) =>
  Float64Array.from({ length: images.length / dim }, (_, i) => cosine(images, i, texts, i, dim));

async function demoInput(shard: string): Promise<CalibrationInput> {
  const { vision } = parseClipConfig(await readFile(join(demo, CONFIG), 'utf8'));
  const path = fileURLToPath(new URL(`../../demo/shards/${shard}.tar`, import.meta.url));
  return calibrationInput(await calibrationPairs(path), {
    preprocess: parsePreprocess(undefined, vision.imageSize),
    tokenizer: createTokenizer(await loadMerges()),
    fit: 'open_clip',
  });
}
const calibration = await demoInput('demo-00000');
const heldOut = await demoInput('demo-00001');

describe('the demo model in 8 bits', async () => {
  const exact = await embed(await openClip(filesIn(demo), { threads: 1, worker: false }), heldOut);

  it.each(BOTH)('keeps embeddings and the order of scores: %s', async (precision) => {
    const found = await embed(await open(filesIn(demo), precision, calibration), heldOut);
    expect(nearness(found.images, exact.images, exact.dim)).toBeGreaterThan(0.9995);
    expect(nearness(found.texts, exact.texts, exact.dim)).toBeGreaterThan(0.9995);
    expect(spearman(scoresOf(found), scoresOf(exact))).toBeGreaterThan(0.999);
    expect(found.images).not.toEqual(exact.images);
  });

  it.each(BOTH)('keeps them where a norm has channels 50 times the others: %s', async (precision) => {
    // The same function: what a norm gives too much of, its readers take back.
    const outlying = await altered(demo, (tensors) => {
      for (const [name, values] of tensors) {
        const norm = /^(.*resblocks\.\d+)\.ln_([12])\.(weight|bias)$/.exec(name);
        if (norm === null) continue;
        for (const j of [3, 40, 77]) values[j] *= 50;
        if (norm[3] === 'bias') continue;
        const reader = tensors.get(
          `${norm[1]}.${norm[2] === '1' ? 'attn.in_proj_weight' : 'mlp.c_fc.weight'}`,
        )!;
        for (let at = 0; at < reader.length; at += values.length) {
          for (const j of [3, 40, 77]) reader[at + j] /= 50;
        }
      }
    });
    const same = await embed(await open(outlying, 'fp32', calibration), heldOut);
    expect(nearness(same.images, exact.images, exact.dim)).toBeGreaterThan(0.999_999);
    const found = await embed(await open(outlying, precision, calibration), heldOut);
    expect(nearness(found.images, exact.images, exact.dim)).toBeGreaterThan(0.999);
    expect(nearness(found.texts, exact.texts, exact.dim)).toBeGreaterThan(0.999);
    expect(spearman(scoresOf(found), scoresOf(exact))).toBeGreaterThan(0.995);
  });
});

/** In a width of 20 to 64 one rounding is seen in the embedding as it is not in 768. */
const TINY_NEARNESS = 0.99;

/** Pixels that a preprocess could have made, from a fixed generator. */
function tinyInput(side: number, ids: number[][]): CalibrationInput {
  const { mean, std } = parsePreprocess(undefined, side);
  let state = 7;
  const next = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 16) & 255;
  };
  const pixels = Array.from({ length: 12 }, () =>
    Float32Array.from({ length: 3 * side * side }, (_, i) => {
      const colour = Math.floor(i / (side * side));
      return (next() / 255 - mean[colour]) / std[colour];
    }),
  );
  return { pixels, tokens: ids.map((row) => Int32Array.from(row)) };
}

describe.each(['gelu-f32', 'quickgelu-f16', 'patch14-bf16-custom-text', 'head10-f32'])('%s', async (name) => {
  const folder = join(fixtures, name);
  const golden = await readGolden(join(folder, 'golden.json'));
  const config = parseClipConfig(await readFile(join(folder, CONFIG), 'utf8'));
  const input = tinyInput(config.vision.imageSize, golden.ids);

  it.each(BOTH)('runs in 8 bits, near to fp32: %s', async (precision) => {
    const exact = await embed(await open(filesIn(folder), 'fp32', input), input);
    const found = await embed(await open(filesIn(folder), precision, input), input);
    expect(nearness(found.images, exact.images, exact.dim)).toBeGreaterThan(TINY_NEARNESS);
    expect(nearness(found.texts, exact.texts, exact.dim)).toBeGreaterThan(TINY_NEARNESS);
  });
});

describe.each(['quickgelu-f16', 'patch14-bf16-custom-text'])('%s, damaged', async (name) => {
  const folder = join(fixtures, name);
  const golden = await readGolden(join(folder, 'golden.json'));
  const config = parseClipConfig(await readFile(join(folder, CONFIG), 'utf8'));
  const input = tinyInput(config.vision.imageSize, golden.ids);

  it.each(BOTH)('bears layers of zeros, and inputs that never change: %s', async (precision) => {
    const files = await altered(folder, (tensors) => {
      for (const [tensor, values] of tensors) {
        // A third of the inner layer gives nothing; a norm gives its bias only; a block's attention adds nothing.
        if (tensor.endsWith('c_fc.weight')) values.fill(0, 0, Math.floor(values.length / 3));
        if (tensor.endsWith('c_fc.bias')) values.fill(0, 0, Math.floor(values.length / 3));
        if (tensor.endsWith('resblocks.0.ln_1.weight')) values.fill(0);
        if (/resblocks\.1\.attn\.out_proj\.(weight|bias)$/.test(tensor)) values.fill(0);
        if (/resblocks\.1\.attn\.in_proj_(weight|bias)$/.test(tensor)) values.fill(0);
      }
    });
    const exact = await embed(await open(files, 'fp32', input), input);
    const found = await embed(await open(files, precision, input), input);
    expect(nearness(found.images, exact.images, exact.dim)).toBeGreaterThan(TINY_NEARNESS);
    expect(nearness(found.texts, exact.texts, exact.dim)).toBeGreaterThan(TINY_NEARNESS);
  });
});

describe('machines that cut off products of signed bytes', () => {
  /** Answers the probe with what such a machine would say. */
  const machine = (answers: { signed: number; unsigned: number }): SessionFactory => ({
    location: 'w',
    provider: 'fake',
    create: async () => ({
      async run({ x }) {
        const dims = [x.dims[0], 32];
        const of = (value: number) => ({
          ...({ type: 'float32', dims } as const),
          data: new Float32Array(dims[0] * 32).fill(value),
        });
        return { signed: of(answers.signed), unsigned: of(answers.unsigned) };
      },
      release: async () => {},
    }),
  });
  const exact = 64 * 255 * 127;

  it('are found out, and are handed unsigned ones, or refused', async () => {
    expect(await exactSign(machine({ signed: exact, unsigned: exact }))).toBe('signed');
    expect(await exactSign(machine({ signed: 32 * 32_767, unsigned: exact }))).toBe('unsigned');
    await expect(exactSign(machine({ signed: 32 * 32_767, unsigned: 0 }))).rejects.toThrow(
      /--precision fp32/,
    );
    const file = await modelFile(filesIn(demo).weights);
    expect(await exactSign(nodeSessions(file, { threads: 1, worker: false }))).toMatch(/signed$/);
  });

  it.each(BOTH)('get the same bits: %s', async (precision) => {
    const files = filesIn(demo);
    const weights = await modelFile(files.weights);
    const file = await modelFile(await quantisedPath(files, calibration));
    const few = { pixels: heldOut.pixels.slice(0, 5), tokens: heldOut.tokens.slice(0, 5) };
    const [signed, unsigned] = await Promise.all(
      (['signed', 'unsigned'] as const).map(async (sign) => {
        const sessions = nodeSessions(file, { threads: 1, worker: false });
        const config = parseClipConfig(await readFile(files.config, 'utf8'));
        return embed(
          await loadClip({ config, weights, sessions, quantised: { file, precision, sign } }),
          few,
        );
      }),
    );
    expect(unsigned).toEqual(signed);
  });
});

describe('what cannot be quantised', () => {
  const folder = join(fixtures, 'gelu-f32');

  it('is named: weights, and values of a layer, that are no numbers', async () => {
    const input = tinyInput(parseClipConfig(await readFile(join(folder, CONFIG), 'utf8')).vision.imageSize, [
      [62, 5, 63],
    ]);
    const files = await altered(folder, (tensors) => {
      tensors.get('visual.transformer.resblocks.0.mlp.c_fc.weight')![0] = Number.NaN;
    });
    const failing = open(files, 'int8', input);
    await expect(failing).rejects.toThrow(ModelError);
    await expect(failing).rejects.toThrow(/visual\.transformer\.resblocks\.0\.mlp\.c_proj/);
    expect(() =>
      quantiseMatrix('some.layer', Float32Array.of(1, Number.POSITIVE_INFINITY), undefined, 2),
    ).toThrow(/some\.layer/);
  });
});

describe('a quantised checkpoint', () => {
  it('is the same whenever it is made, and is made again where it was cut short', async () => {
    const files = filesIn(join(fixtures, 'gelu-f32'));
    const config = parseClipConfig(await readFile(files.config, 'utf8'));
    const input = tinyInput(config.vision.imageSize, [[62, 5, 6, 63]]);
    const from = { weights_sha256: 'w', model_cfg: 'm', preprocess_fingerprint: 'p', calibration: 'c' };
    const parts = { from, config, weightsPath: files.weights, input: async () => input };
    const env = { SHARDSIEVE_QUANTISED: join(root, 'again') };
    const notes: string[] = [];
    const make = () => quantisedCheckpoint(parts, { env, onNote: (text) => notes.push(text) });
    const first = await make();
    expect(await make()).toEqual(first);
    expect(notes).toHaveLength(1);
    const bytes = await readFile(first.path);
    await truncate(first.path, bytes.length - 1);
    expect(await make()).toEqual(first);
    expect(await readFile(first.path)).toEqual(bytes);
    expect(notes[1]).toMatch(/damaged, and are made again/);
    expect(await readdir(dirname(first.path))).toEqual([basename(first.path)]);
    const elsewhere = { ...parts, from: { ...from, calibration: 'e' } };
    const full = quantisedCheckpoint(elsewhere, { env: { SHARDSIEVE_QUANTISED: first.path } });
    await expect(full).rejects.toThrow(/cannot be kept.*SHARDSIEVE_QUANTISED/);
    const stopped = quantisedCheckpoint(elsewhere, { env, signal: AbortSignal.abort() });
    await expect(stopped).rejects.toThrow(CancelledError);
    const other = await quantisedCheckpoint({ ...parts, from: { ...from, calibration: 'd' } }, { env });
    expect(dirname(other.path)).not.toBe(dirname(first.path));
  });
});

describe('one matrix', () => {
  it('is quantised by columns to within half a step, and a column of zeros stays one', () => {
    const weight = Float32Array.of(1, -2, 0.5, 0, 0, 0, 1e-3, 2e-3, -3e-3);
    const found = quantiseMatrix('x', weight, Float32Array.of(1, 2, 3), 3);
    expect([...found.bias]).toEqual([1, 2, 3]);
    expect([...found.weight.filter((_, k) => k % 3 === 1)]).toEqual([0, 0, 0]);
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 3; j++) {
        const back = found.weight[j * 3 + i] * found.scale[i];
        expect(Math.abs(back - weight[i * 3 + j])).toBeLessThanOrEqual(found.scale[i] / 2 + 1e-9);
      }
    }
    expect(Math.max(...found.weight.map(Math.abs))).toBe(127);
  });

  it('has an input whose bytes cover what was seen, and zero', () => {
    for (const [min, max] of [
      [-1, 3],
      [0.5, 2],
      [-4, -1],
      [-1e-6, 1e-6],
    ]) {
      const { scale, zero } = inputScale({ min: Float32Array.of(min), max: Float32Array.of(max) });
      expect((0 - zero) * scale).toBeLessThanOrEqual(Math.min(0, min) + scale / 2);
      expect((255 - zero) * scale).toBeGreaterThanOrEqual(Math.max(0, max) - scale / 2);
      expect(Number.isInteger(zero) && zero >= 0 && zero <= 255).toBe(true);
    }
    expect(inputScale({ min: Float32Array.of(0), max: Float32Array.of(0) })).toEqual({ scale: 1, zero: 0 });
  });
});
