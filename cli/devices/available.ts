/** Whether a device can be had here, and if not, what is missing and how to get it. */
import { DeviceError, messageOf } from '../../src/errors.ts';
import { cudaFiles, missingLibraries, onnxruntimeFolder } from './cuda-files.ts';
import { type Device, type DeviceKind, nameOf } from './spec.ts';

export interface Machine {
  platform: NodeJS.Platform;
  arch: string;
}

export const HERE: Machine = { platform: process.platform, arch: process.arch };

const PROVIDER_DOCS = 'https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html';

/**
 * What can be known before anything is loaded. Throws `DeviceError`. That the device then really runs is seen when its
 * first session is made (`placement.ts`).
 */
export async function requireDevice(device: Device, machine: Machine = HERE): Promise<void> {
  const { platform, arch } = machine;
  const here = `${platform} ${arch}`;
  switch (device.kind) {
    case 'cpu':
    case 'webgpu':
      return;
    case 'coreml':
      if (platform === 'darwin') return;
      throw new DeviceError(`coreml is Apple's, and this is ${here}`, { hint: otherDevices(platform) });
    case 'directml':
      if (platform === 'win32') return;
      throw new DeviceError(`directml is of Windows, and this is ${here}`, { hint: otherDevices(platform) });
    case 'cuda':
    case 'tensorrt':
      if (platform !== 'linux' || arch !== 'x64') {
        throw new DeviceError(`onnxruntime-node has ${device.kind} on Linux x64 only, and this is ${here}`, {
          hint: otherDevices(platform),
        });
      }
      await requireCuda(device.kind);
      // Float32 products would be of 11 bits otherwise (TF32), and fp32 no longer open_clip's numbers. Read by cuBLAS when
      // it is loaded; onnxruntime-node hands no option of the provider on. Whatever was set: the fingerprint says fp32.
      process.env['NVIDIA_TF32_OVERRIDE'] = '0';
  }
}

async function requireCuda(kind: 'cuda' | 'tensorrt'): Promise<void> {
  const files = await cudaFiles(onnxruntimeFolder());
  const absent = files.filter(({ size }) => size === undefined).map(({ name }) => name);
  if (absent.length > 0) {
    throw new DeviceError(`${kind} lacks ${absent.join(', ')}, which npm does not carry`, {
      hint: 'Run: shardsieve setup cuda',
    });
  }
  const missing = await missingLibraries(kind, onnxruntimeFolder());
  if (missing.length === 0) return;
  const isDriver = missing.some((name) => name.startsWith('libcuda.so'));
  throw new DeviceError(`${kind} needs libraries that this machine does not have: ${missing.join(', ')}`, {
    hint: isDriver
      ? "libcuda.so.1 is part of NVIDIA's driver: install it, or pass the GPU into the container (--gpus all)"
      : `Install CUDA 12 and cuDNN 9${kind === 'tensorrt' ? ' and TensorRT 10' : ''} and put them where the loader looks (LD_LIBRARY_PATH); ${PROVIDER_DOCS}`,
  });
}

/** The runtime's refusal, said as what it means for the device. */
export function deviceError(device: Device, cause: unknown, platform = HERE.platform): DeviceError {
  const said = messageOf(cause);
  const name = nameOf(device);
  if (device.kind === 'webgpu' && /adapter|Couldn't load Vulkan/i.test(said)) {
    return new DeviceError('webgpu finds no adapter: no GPU that its driver offers', {
      hint: WEBGPU_HINTS[platform] ?? 'Install the driver of the GPU',
      cause,
    });
  }
  if (/requires f16|shader-f16/i.test(said)) {
    return new DeviceError(`${name} has no half floats (the adapter lacks shader-f16)`, {
      hint: 'Use --precision fp32 there',
      cause,
    });
  }
  return new DeviceError(`${name} cannot be used: ${firstLine(said)}`, {
    hint: 'shardsieve doctor says what this machine has',
    cause,
  });
}

const WEBGPU_HINTS: Partial<Record<NodeJS.Platform, string>> = {
  linux:
    "It needs the Vulkan loader (Debian: libvulkan1) and the GPU's Vulkan driver (Mesa: mesa-vulkan-drivers; NVIDIA's comes with its driver). To try it without a GPU, docs/devices.md has a software one",
  darwin: 'It needs a Mac with Metal',
  win32: "It needs Direct3D 12 and the GPU's driver",
};

function otherDevices(platform: NodeJS.Platform): string {
  const there: Partial<Record<NodeJS.Platform, DeviceKind[]>> = {
    linux: ['cpu', 'webgpu', 'cuda', 'tensorrt'],
    darwin: ['cpu', 'webgpu', 'coreml'],
    win32: ['cpu', 'webgpu', 'directml'],
  };
  return `Here there can be ${(there[platform] ?? ['cpu']).join(', ')}`;
}

/** onnxruntime prefixes its words with a source file and a C++ signature. */
function firstLine(text: string): string {
  const line = text.split('\n')[0].replace(/^\/onnxruntime_src\/\S+ /, '');
  return line.length > 400 ? `${line.slice(0, 397)}...` : line;
}
