/** Each device tried on a graph of one product. */
import * as ort from 'onnxruntime-node';
import { exactSign } from '../../src/clip/int8/probe.ts';
import { messageOf } from '../../src/errors.ts';
import { Graph } from '../../src/onnx/graph.ts';
import { requireDevice } from '../devices/available.ts';
import { DEVICE_KINDS, type DeviceKind } from '../devices/spec.ts';
import { createRuntimeSession } from '../onnx/runtime.ts';

export interface DeviceState {
  device: DeviceKind;
  ready: boolean;
  /** Why not, and how to get it. */
  reason?: string;
}

/** Providers that this onnxruntime-node was built with; those that are not bundled need libraries of their own. */
export function builtIn(): { name: string; bundled: boolean }[] {
  return ort.listSupportedBackends().map(({ name, bundled }) => ({ name, bundled }));
}

export async function tryDevices(): Promise<DeviceState[]> {
  const states: DeviceState[] = [];
  for (const device of DEVICE_KINDS) {
    try {
      await requireDevice({ kind: device });
      await multiply(device);
      states.push({ device, ready: true });
    } catch (error) {
      states.push({ device, ready: false, reason: messageOf(error) });
    }
  }
  return states;
}

async function multiply(kind: DeviceKind): Promise<void> {
  const graph = new Graph('doctor', '');
  const a = graph.input('a', 'float32', ['m', 8]);
  const b = graph.floats('b', [8, 8], new Float32Array(64).fill(0.5));
  graph.output('c', graph.node('Gemm', [a, b]), 'float32', ['m', 8]);
  const session = await createRuntimeSession({
    graph: graph.finish(),
    folder: '.',
    lean: false,
    device: { kind },
  });
  try {
    const { c } = await session.run({
      a: { type: 'float32', dims: [2, 8], data: new Float32Array(16).fill(1) },
    });
    if (c.data.some((value) => Number(value) !== 4)) throw new Error(`${kind} multiplies wrongly`);
  } finally {
    await session.release();
  }
}

/** Which bytes the CPU multiplies exactly: what `--precision int8` is made of here. `undefined`: none. */
export async function exactBytes(): Promise<string | undefined> {
  return exactSign({
    location: '',
    provider: 'cpu',
    create: (graph) => createRuntimeSession({ graph, folder: '.', lean: false }),
  }).catch(() => undefined);
}
