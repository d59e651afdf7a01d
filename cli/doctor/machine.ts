/** What the machine is: processor, memory, graphics, room on disk. What a system does not tell is left out. */
import { execFile } from 'node:child_process';
import { readdir, readFile, statfs } from 'node:fs/promises';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** Longer than any of these takes that is going to answer. */
const PATIENCE_MS = 10_000;

export interface Processor {
  model: string;
  /** Hardware threads of the machine, and those that this process may use. */
  threads: number;
  usable: number;
  /** Of those that matter to products of matrices; absent where the system does not say. */
  features?: string[];
}

/** As Linux and Apple name them. */
const FEATURES = [
  ...['avx2', 'f16c', 'fma', 'avx512f', 'avx512_bf16', 'avx512_vnni', 'avx_vnni', 'amx_int8', 'amx_bf16'],
  ...['asimd', 'asimddp', 'i8mm', 'bf16', 'sve', 'sve2'],
  ...['FEAT_DotProd', 'FEAT_I8MM', 'FEAT_BF16'],
];

export async function processor(platform = process.platform): Promise<Processor> {
  const all = cpus();
  const about = {
    model: all[0]?.model.trim() ?? 'unknown',
    threads: all.length,
    usable: availableParallelism(),
  };
  const words = new Set((await featureText(platform)).split(/[\s:]+/));
  const features = FEATURES.filter((name) => words.has(name));
  return words.size > 1 ? { ...about, features } : about;
}

async function featureText(platform: NodeJS.Platform): Promise<string> {
  if (platform === 'linux') {
    const text = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
    return /^(?:flags|Features)\s*:(.*)$/m.exec(text)?.[1] ?? '';
  }
  if (platform !== 'darwin') return '';
  // `hw.optional.arm.FEAT_I8MM: 1`
  const text = await output('sysctl', ['hw.optional']);
  return text
    .split('\n')
    .filter((line) => line.endsWith(': 1'))
    .map((line) => line.replace(/^.*\.(\w+): 1$/, '$1'))
    .join(' ');
}

export interface Memory {
  /** Bytes of the machine. */
  total: number;
  /** Bytes that this process may still have; a container's limit counts. */
  available: number;
}

export function memory(): Memory {
  const limit = process.constrainedMemory();
  const total = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return { total, available: Math.min(total, Math.max(process.availableMemory(), 0) || freemem()) };
}

export interface Graphics {
  /** NVIDIA's own list, where its tool is there. */
  nvidia: string[];
  /** Devices that Linux has a graphics driver for: vendor and device by their numbers. */
  drm: string[];
  /** Vulkan's drivers: files that the loader reads. */
  vulkan: string[];
}

export async function graphics(env: NodeJS.ProcessEnv = process.env): Promise<Graphics> {
  const query = ['--query-gpu=index,name,memory.total,driver_version', '--format=csv,noheader'];
  const nvidia = (await output('nvidia-smi', query)).split('\n').filter((line) => line.trim() !== '');
  const cards = (await list('/sys/class/drm')).filter((name) => /^card\d+$/.test(name));
  const drm = await Promise.all(
    cards.map(async (card) => {
      const read = async (what: string) =>
        (await readFile(`/sys/class/drm/${card}/device/${what}`, 'utf8').catch(() => '?')).trim();
      return `${card} ${await read('vendor')}:${await read('device')}`;
    }),
  );
  return { nvidia, drm, vulkan: await vulkanDrivers(env) };
}

async function vulkanDrivers(env: NodeJS.ProcessEnv): Promise<string[]> {
  const named = env['VK_DRIVER_FILES'] ?? env['VK_ICD_FILENAMES'];
  if (named) return named.split(delimiter);
  const folders = ['/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/etc/vulkan/icd.d'];
  const found = await Promise.all(
    folders.map(async (folder) =>
      (await list(folder)).filter((name) => name.endsWith('.json')).map((name) => join(folder, name)),
    ),
  );
  return found.flat();
}

/** Bytes free for this user where `path` is or would be; `undefined` where the file system does not say. */
export async function freeSpace(path: string): Promise<number | undefined> {
  for (let folder = path; ; folder = dirname(folder)) {
    const space = await statfs(folder).catch(() => undefined);
    if (space !== undefined) return space.blocks === 0 ? undefined : space.bavail * space.bsize;
    if (dirname(folder) === folder) return undefined;
  }
}

async function list(folder: string): Promise<string[]> {
  return (await readdir(folder).catch((): string[] => [])).sort();
}

async function output(command: string, args: string[]): Promise<string> {
  return run(command, args, { timeout: PATIENCE_MS }).then(
    ({ stdout }) => stdout,
    () => '',
  );
}
