/**
 * Which provider runs which node. onnxruntime gives to the CPU what another provider has no kernel for, and says so
 * only in a log; here a first run is profiled and looked at. (Its own switch against that, `disable_cpu_ep_fallback`,
 * refuses every graph that computes a shape, which belongs on the CPU.)
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as ort from 'onnxruntime-node';
import { z } from 'zod';
import { DeviceError } from '../../src/errors.ts';
import type { Device, DeviceKind } from '../devices/spec.ts';
import { nameOf } from '../devices/spec.ts';

/** Nodes of a graph by provider and operator; one that gives floats is counted apart, as `Gather of floats`. */
export type Placement = Map<string, Map<string, number>>;

/** As onnxruntime calls itself in its profiles. */
export const PROVIDER_NAMES: Record<DeviceKind, string> = {
  cpu: 'CPUExecutionProvider',
  webgpu: 'WebGpuExecutionProvider',
  cuda: 'CUDAExecutionProvider',
  tensorrt: 'TensorrtExecutionProvider',
  coreml: 'CoreMLExecutionProvider',
  directml: 'DmlExecutionProvider',
};

/** What shapes and masks are made of: a handful of integers. The same of floats is the model's own work. */
const SHAPE_OPS: ReadonlySet<string> = new Set([
  ...['Shape', 'Concat', 'Slice', 'Gather', 'Unsqueeze', 'Squeeze', 'Cast', 'Reshape', 'Identity'],
  ...['Equal', 'Greater', 'Expand', 'Constant', 'ConstantOfShape'],
]);

const FLOATS = /float|double/;

const events = z.array(
  z.object({
    cat: z.string().optional(),
    args: z
      .object({
        provider: z.string().optional(),
        op_name: z.string().optional(),
        /** One object an output: its type, and its shape. */
        output_type_shape: z.array(z.record(z.string(), z.unknown())).optional(),
      })
      .optional(),
  }),
);

/** Runs `warmUp` while the session that `create` makes is profiled; its options have to say the prefix. */
export async function profiled(
  create: (profile: { enableProfiling: true; profileFilePrefix: string }) => Promise<ort.InferenceSession>,
  warmUp: (session: ort.InferenceSession) => Promise<void>,
): Promise<{ session: ort.InferenceSession; placement: Placement }> {
  const folder = await mkdtemp(join(tmpdir(), 'shardsieve-profile-'));
  try {
    const session = await create({ enableProfiling: true, profileFilePrefix: join(folder, 'first-run') });
    try {
      await warmUp(session);
      session.endProfiling();
      const [name] = await readdir(folder);
      return { session, placement: readPlacement(await readFile(join(folder, name), 'utf8')) };
    } catch (error) {
      await session.release();
      throw error;
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Of a profile in Chrome's trace format. */
export function readPlacement(json: string): Placement {
  const placement: Placement = new Map();
  for (const { cat, args } of events.parse(JSON.parse(json))) {
    if (cat !== 'Node' || args?.provider === undefined || args.op_name === undefined) continue;
    const ops = placement.get(args.provider) ?? new Map<string, number>();
    const types = (args.output_type_shape ?? []).flatMap((output) => Object.keys(output));
    const op = types.some((type) => FLOATS.test(type)) ? `${args.op_name} of floats` : args.op_name;
    placement.set(args.provider, ops.set(op, (ops.get(op) ?? 0) + 1));
  }
  return placement;
}

/**
 * Throws `DeviceError` where other providers than the device's did more than make shapes. TensorRT's parts that it
 * leaves to CUDA stay on the GPU.
 */
export function checkPlacement(placement: Placement, device: Device): void {
  const own = new Set([PROVIDER_NAMES[device.kind]]);
  if (device.kind === 'tensorrt') own.add(PROVIDER_NAMES.cuda);
  if (![...own].some((provider) => placement.has(provider))) {
    throw new DeviceError(
      `nothing of the model ran on ${nameOf(device)}: onnxruntime left all of it to the CPU`,
      {
        hint: 'shardsieve doctor says what this machine has',
      },
    );
  }
  for (const [provider, ops] of placement) {
    if (own.has(provider)) continue;
    const strange = [...ops]
      .filter(([op]) => !SHAPE_OPS.has(op) && !op.startsWith('Memcpy'))
      .map(([op, n]) => `${n} ${op}`);
    if (strange.length === 0) continue;
    throw new DeviceError(
      `${nameOf(device)} cannot run the whole model: ${strange.join(', ')} went to the CPU`,
      {
        hint: 'Use another --device or --precision; the CPU does not step in unasked',
      },
    );
  }
}
