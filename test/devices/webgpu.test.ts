import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openFolder } from '../../cli/io/folder.ts';
import { openNpz } from '../../src/metadata/npz.ts';
import { findChromium } from '../../tools/chromium.ts';
import { cli } from '../helpers/cli.ts';
import { scratch } from '../helpers/tmp.ts';

/**
 * WebGPU on Chromium's software Vulkan, which needs no GPU and computes one as slowly as a CPU can. Skipped where no
 * Chromium with SwiftShader is installed; `npm run ci` installs it where it may.
 */
const vulkan = findChromium()?.vulkan;
const SHARD = 'demo/shards/demo-00000.tar';
const PICTURES = 2;
/** Shaders are compiled for a CPU that other tests share. */
const TIMEOUT = 300_000;

async function score(out: string, device: string, env: NodeJS.ProcessEnv = {}, more: string[] = []) {
  const limit = ['--limit', `${PICTURES}`];
  return cli(['score', SHARD, '--model', 'demo', '--out', out, '--device', device, ...limit, ...more], {
    env,
  });
}

async function embeddings(folder: string) {
  const npz = await openNpz(await openFolder(folder).open('demo-00000.npz'), 'npz');
  return { images: await npz.matrix('demo_img'), texts: await npz.matrix('demo_txt') };
}

describe.skipIf(vulkan === undefined)('webgpu on a Vulkan in software', () => {
  it(
    'embeds as the CPU does, says what ran, and is not mixed with it',
    async () => {
      const folder = await scratch();
      const [cpu, gpu] = [join(folder, 'cpu'), join(folder, 'gpu')];
      expect(await score(cpu, 'cpu')).toMatchObject({ code: 0 });
      const scored = await score(gpu, 'webgpu', vulkan);
      expect(scored.stderr).toContain('model demo: fp32 on webgpu');
      expect(scored.code).toBe(0);
      const [exact, found] = [await embeddings(cpu), await embeddings(gpu)];
      for (const tower of ['images', 'texts'] as const) {
        const { rows, dim, data } = found[tower];
        expect(rows).toBe(PICTURES);
        for (let row = 0; row < rows; row++) {
          const [a, b] = [exact[tower].data, data].map((all) => all.subarray(row * dim, (row + 1) * dim));
          const dot = (x: Float32Array, y: Float32Array) =>
            x.reduce((sum, value, k) => sum + value * y[k], 0);
          expect(1 - dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))).toBeLessThan(1e-5);
        }
      }
      const mixed = await score(cpu, 'webgpu', vulkan);
      expect(mixed).toMatchObject({ code: 1 });
      expect(mixed.stderr).toContain('provider: cpu there, webgpu now');
    },
    TIMEOUT,
  );

  it(
    'says so where the adapter has no half floats',
    async () => {
      const { code, stderr } = await score(join(await scratch(), 'half'), 'webgpu', vulkan, [
        '--precision',
        'fp16',
      ]);
      expect(code).toBe(1);
      expect(stderr).toMatch(/webgpu has no half floats.*Use --precision fp32/s);
    },
    TIMEOUT,
  );
});

it.runIf(process.platform === 'linux')(
  'webgpu without an adapter is an error that says what to install',
  async () => {
    const env = { VK_DRIVER_FILES: '/nonexistent.json', LD_LIBRARY_PATH: vulkan?.LD_LIBRARY_PATH };
    const { code, stderr } = await score(join(await scratch(), 'none'), 'webgpu', env);
    expect(code).toBe(1);
    expect(stderr).toMatch(/webgpu finds no adapter.*libvulkan1/s);
  },
);
