import { describe, expect, it } from 'vitest';
import { DEVICE_KINDS } from '../../cli/devices/spec.ts';
import { freeSpace, processor } from '../../cli/doctor/machine.ts';
import { findChromium } from '../../tools/chromium.ts';
import { cli } from '../helpers/cli.ts';

describe('doctor', () => {
  it('tells what the machine has, and why it lacks what it lacks', async () => {
    const { code, stdout } = await cli(['doctor', '--json'], { env: { HF_HUB_CACHE: '/nowhere/hub' } });
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.node).toBe(process.version);
    expect(report.processor.usable).toBeGreaterThan(0);
    expect(report.memory.available).toBeLessThanOrEqual(report.memory.total);
    expect(report.libraries.onnxruntime).toMatch(/^\d+\.\d+\.\d+/);
    expect(report.providers).toContainEqual({ name: 'cpu', bundled: true });
    expect(report.devices.map(({ device }: { device: string }) => device)).toEqual([...DEVICE_KINDS]);
    expect(report.devices[0]).toEqual({ device: 'cpu', ready: true });
    const foreign = process.platform === 'darwin' ? 'directml' : 'coreml';
    const absent = report.devices.find(({ device }: { device: string }) => device === foreign);
    expect(absent).toEqual({ device: foreign, ready: false, reason: expect.stringContaining('and this is') });
    // HF_HUB_OFFLINE is what the helper sets.
    expect(report.hub).toMatchObject({ cache: '/nowhere/hub', offline: true, has_token: false });
    expect(report.models).toEqual(['demo']);
    expect(report.uses).toMatchObject({ device: 'cpu', model: 'datacomp-b32-256', model_is_here: false });
  });

  it('prints the same for people', async () => {
    const { code, stdout } = await cli(['doctor']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {2}cpu +ready$/m);
    expect(stdout).toMatch(/^hub .*\n +offline: no request is made; no token$/m);
    expect(stdout).toMatch(
      /^a run uses +cpu with \d+ threads, datacomp-b32-256, which is downloaded first$/m,
    );
  });

  const vulkan = findChromium()?.vulkan;
  it.skipIf(vulkan === undefined)(
    'finds WebGPU ready where there is a Vulkan, if only in software',
    async () => {
      const { stdout } = await cli(['doctor', '--json'], { env: vulkan });
      const report = JSON.parse(stdout);
      expect(report.devices).toContainEqual({ device: 'webgpu', ready: true });
      expect(report.graphics.vulkan).toEqual([vulkan?.VK_DRIVER_FILES]);
    },
  );

  it('looks at the nearest folder that is there', async () => {
    // Others write to the disk meanwhile.
    const there = (await freeSpace('/')) ?? 0;
    expect(Math.abs(((await freeSpace('/no/such/folder/yet')) ?? 0) - there)).toBeLessThan(0.01 * there);
  });

  it.runIf(process.platform === 'linux' && process.arch === 'x64')(
    'knows the processor’s features',
    async () => {
      const { features = [] } = await processor();
      // Everything that onnxruntime still has quick code for has these.
      expect(features).toEqual(expect.arrayContaining(['avx2', 'fma']));
      expect((await processor('win32')).features).toBeUndefined();
    },
  );
});
