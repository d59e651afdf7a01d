/** The runtime of the Workers, where its faults can be made: Node runs the same compiled module. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { exportModel } from '../../cli/jobs/export-model.ts';
import { EdgeRuntime } from '../../functions/workers/runtime.ts';
import { exactSign } from '../../src/clip/int8/probe.ts';
import { ModelError } from '../../src/errors.ts';
import { scratch } from '../helpers/tmp.ts';

const folder = await scratch();
let wasm: WebAssembly.Module;
let model: Uint8Array;

beforeAll(async () => {
  wasm = await WebAssembly.compile(
    new Uint8Array(await readFile('node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm')),
  );
  const env = { ...process.env, SHARDSIEVE_QUANTISED: join(folder, 'quantised') };
  await exportModel({ model: 'demo', out: join(folder, 'towers') }, { env });
  model = new Uint8Array(await readFile(join(folder, 'towers', 'image.ort')));
});

const feeds = (fill: number) => {
  const data = new Float32Array(3 * 64 * 64).fill(fill);
  return { pixels: { type: 'float32', dims: [1, 3, 64, 64], data } } as const;
};
const pour = (bytes: Uint8Array) => async (write: (chunk: Uint8Array) => void) => {
  for (let at = 0; at < bytes.length; at += 500_000) write(bytes.subarray(at, at + 500_000));
};

describe('the runtime of the Workers', () => {
  it('multiplies signed bytes exactly, as the exported graphs take for granted', async () => {
    expect(await exactSign(await EdgeRuntime.start(wasm, 16))).toBe('signed');
  });

  it('runs again and again in the memory it has', async () => {
    const runtime = await EdgeRuntime.start(wasm, 24);
    const session = await runtime.load(model.length, pour(model));
    const first = await session.run(feeds(0.5));
    const before = runtime.touched();
    for (let i = 0; i < 50; i++) await session.run(feeds(i / 50));
    expect(await session.run(feeds(0.5))).toEqual(first);
    // Where an allocation lands varies by pages; fifty runs that kept something would be megabytes.
    expect(runtime.touched()).toBeLessThan(before + 2 ** 18);
    expect(runtime.size).toBe(24 * 2 ** 20);
    await session.release();
    await session.release();
    await expect(session.run(feeds(1))).rejects.toThrow(/released/);
    // What it held can be had again.
    await (await runtime.load(model.length, pour(model))).run(feeds(0.5));
    expect(runtime.touched()).toBeLessThan(before + 2 ** 20);
  });

  it('says what is wrong with a model: too large, cut short, too long, no model; and goes on', async () => {
    const runtime = await EdgeRuntime.start(wasm, 24);
    const loading = async (bytes: number, content: Uint8Array) => {
      const error = await runtime.load(bytes, pour(content)).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(ModelError);
      return String(error);
    };
    expect(await loading(64 * 2 ** 20, model)).toMatch(/does not fit.*docs\/edge\.md/);
    expect(await loading(model.length, model.subarray(0, -1))).toMatch(/ends after/);
    expect(await loading(model.length - 1, model)).toMatch(/longer than/);
    expect(
      await loading(
        model.length,
        model.map((byte) => byte ^ 0x55),
      ),
    ).toMatch(/cannot load the model/);
    const session = await runtime.load(model.length, pour(model));
    const wrong = { pixels: { type: 'float32', dims: [1, 3, 8, 8], data: new Float32Array(192) } } as const;
    await expect(session.run(wrong)).rejects.toThrow(/failed in a run/);
    expect((await session.run(feeds(0)))['embedding'].data).toHaveLength(128);
  });
});
