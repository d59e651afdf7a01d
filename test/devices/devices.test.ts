import { describe, expect, it } from 'vitest';
import { deviceError, type Machine, requireDevice } from '../../cli/devices/available.ts';
import { cudaFiles, onnxruntimeFolder } from '../../cli/devices/cuda-files.ts';
import { parseDevice, parseDevices } from '../../cli/devices/spec.ts';
import { checkPrecision } from '../../cli/models/precision.ts';
import { checkPlacement, readPlacement } from '../../cli/onnx/placement.ts';
import { DeviceError, UsageError } from '../../src/errors.ts';

const LINUX: Machine = { platform: 'linux', arch: 'x64' };
const MAC: Machine = { platform: 'darwin', arch: 'arm64' };
const WINDOWS: Machine = { platform: 'win32', arch: 'x64' };

const hasNoCuda = (await cudaFiles(onnxruntimeFolder())).every(({ size }) => size === undefined);
const isBare = process.platform === 'linux' && process.arch === 'x64' && hasNoCuda;

describe('--device', () => {
  it('names one device or several of one kind', () => {
    expect(parseDevices()).toEqual([{ kind: 'cpu' }]);
    expect(parseDevices(['cuda:0,CUDA:1', 'cuda:3'])).toEqual(
      [0, 1, 3].map((index) => ({ kind: 'cuda', index })),
    );
    expect(parseDevices(['webgpu', 'webgpu'])).toEqual([{ kind: 'webgpu' }, { kind: 'webgpu' }]);
  });

  it.each([
    ['gpu', /no device is called "gpu"/],
    ['cudda', /Did you mean cuda\?/],
    ['', /no device is called ""/],
    ['cuda:', /no number after its colon/],
    ['cuda:-1', /no number/],
    ['cuda:1:2', /no device/],
    ['cpu:1', /cannot be chosen by a number/],
    ['webgpu:1', /VK_DRIVER_FILES/],
  ])('%j is refused', (text, message) => {
    expect(() => parseDevice(text)).toThrow(UsageError);
    expect(() => parseDevice(text)).toThrow(message);
  });

  it('does not mix kinds: one folder’s numbers are of one provider', () => {
    expect(() => parseDevices(['cuda:0', 'cpu'])).toThrow(/cuda and cpu cannot score into one folder/);
  });
});

describe('a device that this machine cannot have', () => {
  it.each([
    ['coreml', LINUX, /coreml is Apple's, and this is linux x64.*cuda/],
    ['coreml', WINDOWS, /coreml is Apple's.*directml/],
    ['directml', MAC, /directml is of Windows, and this is darwin arm64.*coreml/],
    ['cuda', MAC, /on Linux x64 only, and this is darwin arm64/],
    ['tensorrt', WINDOWS, /on Linux x64 only, and this is win32 x64/],
  ] as const)('%s on %o', async (kind, machine, message) => {
    await expect(requireDevice({ kind }, machine)).rejects.toThrow(DeviceError);
    await expect(requireDevice({ kind }, machine)).rejects.toThrow(message);
  });

  it.each([
    ['cpu', LINUX],
    ['webgpu', LINUX],
    ['coreml', MAC],
    ['directml', WINDOWS],
  ] as const)('%s may be on %o', async (kind, machine) => {
    await expect(requireDevice({ kind }, machine)).resolves.toBeUndefined();
  });

  it.runIf(isBare)('cuda without its libraries names them, and the command that gets them', async () => {
    await expect(requireDevice({ kind: 'cuda' })).rejects.toThrow(
      /lacks libonnxruntime_providers_cuda\.so.*Run: shardsieve setup cuda/,
    );
  });

  it('the runtime’s own words become what they mean', () => {
    const gone = 'Failed to get a WebGPU adapter: No supported adapters';
    expect(deviceError({ kind: 'webgpu' }, new Error(gone), 'linux').message).toMatch(
      /no adapter.*libvulkan1/,
    );
    const half = 'Program Cast requires f16 but the device does not support it.';
    expect(deviceError({ kind: 'webgpu' }, new Error(half)).message).toMatch(/no half floats.*fp32/);
    expect(
      deviceError({ kind: 'cuda', index: 3 }, new Error('CUDA failure 101: invalid device')).message,
    ).toMatch(/^cuda:3 cannot be used: CUDA failure 101/);
  });
});

describe('what ran where', () => {
  const profile = (nodes: [provider: string, op: string][]) =>
    JSON.stringify([
      { cat: 'Session', name: 'model_run' },
      ...nodes.map(([provider, op_name]) => ({ cat: 'Node', dur: 5, args: { provider, op_name } })),
      { cat: 'Node', name: 'fence', args: {} },
    ]);
  const check = (nodes: [string, string][], kind: 'webgpu' | 'tensorrt' | 'cuda') =>
    checkPlacement(readPlacement(profile(nodes)), { kind });

  it('shapes may be the CPU’s', () => {
    check(
      [
        ['WebGpuExecutionProvider', 'Gemm'],
        ['CPUExecutionProvider', 'Concat'],
      ],
      'webgpu',
    );
  });

  it('work on the CPU is an error that names it', () => {
    const nodes: [string, string][] = [
      ['WebGpuExecutionProvider', 'Gemm'],
      ['CPUExecutionProvider', 'Softmax'],
      ['CPUExecutionProvider', 'Softmax'],
    ];
    expect(() => check(nodes, 'webgpu')).toThrow(DeviceError);
    expect(() => check(nodes, 'webgpu')).toThrow(
      /webgpu cannot run the whole model: 2 Softmax went to the CPU/,
    );
  });

  it('what makes a shape of integers is the model’s own work where it gives floats', () => {
    const lookUp = (type: string) =>
      readPlacement(
        JSON.stringify([
          { cat: 'Node', args: { provider: 'CoreMLExecutionProvider', op_name: 'CoreML_1' } },
          {
            cat: 'Node',
            args: {
              provider: 'CPUExecutionProvider',
              op_name: 'Gather',
              output_type_shape: [{ [type]: [1, 8] }],
            },
          },
        ]),
      );
    checkPlacement(lookUp('int64'), { kind: 'coreml' });
    expect(() => checkPlacement(lookUp('float'), { kind: 'coreml' })).toThrow(
      /1 Gather of floats went to the CPU/,
    );
  });

  it('nothing on the device is an error, whatever else ran', () => {
    expect(() => check([['CPUExecutionProvider', 'Shape']], 'cuda')).toThrow(
      /nothing of the model ran on cuda/,
    );
  });

  it('TensorRT may leave parts to CUDA, CUDA none to TensorRT', () => {
    const nodes: [string, string][] = [
      ['TensorrtExecutionProvider', 'TRTKernel_graph_1'],
      ['CUDAExecutionProvider', 'Gelu'],
    ];
    check(nodes, 'tensorrt');
    expect(() => check(nodes, 'cuda')).toThrow(/1 TRTKernel_graph_1/);
  });
});

describe('--precision by device', () => {
  it.each([
    ['fp16', 'cpu', /fp16 is for GPUs/],
    ['int8', 'cuda', /int8 runs on the CPU only, and cuda was named/],
    ['int8-accurate', 'webgpu', /no kernel there/],
  ] as const)('%s on %s is refused', (precision, device, message) => {
    expect(() => checkPrecision({ precision }, device)).toThrow(UsageError);
    expect(() => checkPrecision({ precision }, device)).toThrow(message);
  });

  it('the others are taken', () => {
    expect(checkPrecision({}, 'cuda')).toBe('fp32');
    expect(checkPrecision({ precision: 'fp16' }, 'webgpu')).toBe('fp16');
    expect(checkPrecision({ precision: 'int8' }, 'cpu')).toBe('int8');
    expect(() => checkPrecision({ precision: 'fp16', calibrate: 'x' }, 'cuda')).toThrow(/no scales/);
  });
});
