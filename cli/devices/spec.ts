/** What `--device` says. */
import { UsageError } from '../../src/errors.ts';
import { guess } from '../../src/nearest.ts';

export const DEVICE_KINDS = ['cpu', 'webgpu', 'cuda', 'tensorrt', 'coreml', 'directml'] as const;
/** Also the provider in `run.json` and in fingerprints: its number is not part of it. */
export type DeviceKind = (typeof DEVICE_KINDS)[number];

export interface Device {
  kind: DeviceKind;
  /** Which of several, where the provider can be told; the first where absent. */
  index?: number;
}

export const CPU: Device = { kind: 'cpu' };

/** Those that onnxruntime lets one choose among by a number. */
const NUMBERED: ReadonlySet<DeviceKind> = new Set(['cuda', 'tensorrt', 'directml']);
/** Copies of a model that a machine might have room for. */
const MAX_DEVICES = 64;

/** `cuda:1` → `{ kind: 'cuda', index: 1 }`. Throws `UsageError`. */
export function parseDevice(text: string): Device {
  const [name, number, ...rest] = text.trim().toLowerCase().split(':');
  const kind = DEVICE_KINDS.find((known) => known === name);
  if (kind === undefined || rest.length > 0) {
    throw new UsageError(`no device is called ${JSON.stringify(text.slice(0, 100))}`, {
      hint: `${guess(name, DEVICE_KINDS)}There is ${DEVICE_KINDS.join(', ')}; ${[...NUMBERED].join(', ')} take a number, as cuda:1`,
    });
  }
  if (number === undefined) return { kind };
  if (!/^\d{1,3}$/.test(number)) {
    throw new UsageError(`${text} has no number after its colon`, {
      hint: 'Devices are counted from 0: cuda:1',
    });
  }
  if (!NUMBERED.has(kind)) {
    throw new UsageError(`${kind} cannot be chosen by a number`, {
      hint:
        kind === 'webgpu'
          ? 'WebGPU takes the adapter that the system puts first; VK_DRIVER_FILES or DRI_PRIME change that'
          : `Write ${kind}; for several copies of the model, name it several times`,
    });
  }
  return { kind, index: Number(number) };
}

/**
 * `cuda:0,cuda:1`, with commas or repeated: a copy of the model on each; a device named twice holds two. The CPU where
 * none is named. Throws `UsageError`, also where kinds are mixed: their numbers differ in the last bits, and one
 * folder's numbers are of one provider.
 */
export function parseDevices(texts: readonly string[] = []): Device[] {
  const names = texts.flatMap((text) => text.split(','));
  if (names.length === 0) return [CPU];
  if (names.length > MAX_DEVICES)
    throw new UsageError(`${names.length} devices are more than ${MAX_DEVICES}`);
  const devices = names.map(parseDevice);
  const other = devices.find(({ kind }) => kind !== devices[0].kind);
  if (other !== undefined) {
    throw new UsageError(`${devices[0].kind} and ${other.kind} cannot score into one folder`, {
      hint: 'Their scores differ in the last digits, so the provider is part of what identifies them. Name devices of one kind',
    });
  }
  return devices;
}

export function nameOf({ kind, index }: Device): string {
  return index === undefined ? kind : `${kind}:${index}`;
}
