import { release } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import sharp from 'sharp';
import { VERSION } from '../../src/version.ts';
import { cudaFiles, missingLibraries, onnxruntimeFolder } from '../devices/cuda-files.ts';
import { builtIn, type DeviceState, exactBytes, tryDevices } from '../doctor/devices.ts';
import {
  freeSpace,
  type Graphics,
  graphics,
  type Memory,
  memory,
  type Processor,
  processor,
} from '../doctor/machine.ts';
import { type Env, hubSettings } from '../hub/settings.ts';
import { DEFAULT_ALIAS } from '../models/aliases.ts';
import { listModels } from '../models/list.ts';
import { quantisedFolder } from '../models/quantised.ts';

export interface DoctorReport {
  shardsieve: string;
  node: string;
  system: string;
  processor: Processor;
  memory: Memory;
  libraries: { onnxruntime: string; sharp: string; libvips: string };
  /** Of onnxruntime's providers, what the binary was built with. */
  providers: { name: string; bundled: boolean }[];
  devices: DeviceState[];
  graphics: Graphics;
  /** Libraries of `setup cuda`, and what they lack of the system; on Linux x64. */
  cuda?: { files: { name: string; size?: number }[]; missing: string[] };
  hub: { cache: string; endpoint: string; offline: boolean; has_token: boolean; free?: number };
  quantised: { folder: string; free?: number };
  /** Models with a short name that are on this machine. */
  models: string[];
  /** What a run takes where nothing is named. */
  uses: { device: string; threads: number; model: string; model_is_here: boolean; int8?: string };
}

/** Looks at this machine, makes no request and writes nothing. */
export async function examine(env: Env = process.env): Promise<DoctorReport> {
  const { cacheDir, endpoint, offline, token } = hubSettings(env);
  const folder = onnxruntimeFolder();
  const files = await cudaFiles(folder);
  const hasCuda = process.platform === 'linux' && process.arch === 'x64';
  const isThere = files.some(({ size }) => size !== undefined);
  const models = (await listModels({ env })).filter(({ cached }) => cached).map(({ alias }) => alias);
  const cpu = await processor();
  const int8 = await exactBytes();
  const quantised = quantisedFolder(env);
  return {
    shardsieve: VERSION,
    node: process.version,
    system: `${process.platform} ${process.arch}, ${release()}`,
    processor: cpu,
    memory: memory(),
    libraries: {
      onnxruntime: ort.env.versions.node ?? 'unknown',
      sharp: sharp.versions.sharp ?? 'unknown',
      libvips: sharp.versions.vips,
    },
    providers: builtIn(),
    devices: await tryDevices(),
    graphics: await graphics(),
    ...(hasCuda ? { cuda: { files, missing: isThere ? await missingLibraries('cuda', folder) : [] } } : {}),
    hub: {
      ...{ cache: cacheDir, endpoint, offline, has_token: token !== undefined },
      ...freeIn(await freeSpace(cacheDir)),
    },
    quantised: { folder: quantised, ...freeIn(await freeSpace(join(quantised))) },
    models,
    uses: {
      ...{
        device: 'cpu',
        threads: cpu.usable,
        model: DEFAULT_ALIAS,
        model_is_here: models.includes(DEFAULT_ALIAS),
      },
      ...(int8 === undefined ? {} : { int8: `${int8} bytes` }),
    },
  };
}

function freeIn(free: number | undefined): { free?: number } {
  return free === undefined ? {} : { free };
}
