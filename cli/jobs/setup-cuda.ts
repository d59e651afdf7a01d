import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { DownloadError } from '../../src/errors.ts';
import { HERE, type Machine } from '../devices/available.ts';
import { cudaFiles, missingLibraries, onnxruntimeFolder } from '../devices/cuda-files.ts';
import { onDisk } from '../hub/disk.ts';
import type { DownloadOptions } from '../hub/download.ts';
import { downloadPinned } from '../hub/pinned.ts';
import { sha512File } from '../onnx/files.ts';
import { type CudaParts, cudaParts } from '../setup/manifest.ts';
import { findPackage, type NugetPackage } from '../setup/nuget.ts';
import { extract } from '../setup/unzip.ts';

export interface SetupCudaOptions extends DownloadOptions {
  /** Index of the NuGet V3 feed to ask in place of the one that onnxruntime-node names. */
  mirror?: string;
  /** The package as a file, fetched elsewhere. */
  from?: string;
  /** Hex or base64; what the package has to be, where a mirror does not say it or is not to be believed. */
  sha512?: string;
  /** Find the package and say what would be done; write nothing. */
  dryRun?: boolean;
  /** Also where the same version is there. */
  force?: boolean;
  /** Where the libraries go; beside onnxruntime-node's binary, which looks nowhere else. */
  folder?: string;
  machine?: Machine;
}

export interface SetupCudaTotals {
  state: 'installed' | 'there' | 'dry_run';
  package: string;
  version: string;
  /** Where it was fetched from, if it was. */
  url?: string;
  /** Hex. */
  sha512?: string;
  folder: string;
  files: { name: string; size?: number; sha256?: string }[];
  /** Libraries of CUDA and cuDNN that the loader does not find yet. */
  missing: string[];
}

const RECORD = 'shardsieve-cuda.json';
const record = z.object({
  version: z.string(),
  files: z.array(z.object({ name: z.string(), size: z.int(), sha256: z.string() })),
});

/**
 * Fetches the CUDA libraries of onnxruntime-node from where its own install script would, checks the package's SHA-512,
 * and puts them where the runtime looks: all of them or none. Does nothing where they are there.
 *
 * Throws `DeviceError` where there are none for this kind of machine, `DownloadError`, `OutputError`, `CancelledError`.
 */
export async function setupCuda(options: SetupCudaOptions = {}): Promise<SetupCudaTotals> {
  const { machine = HERE, folder = onnxruntimeFolder(), dryRun, force, signal } = options;
  const parts = cudaParts(machine);
  const about = { package: parts.name, version: parts.version, folder };
  const there = await installed(folder, parts);
  if (there !== undefined && !force) {
    return { ...about, state: 'there', files: there, missing: await missingLibraries('cuda', folder) };
  }
  const found = options.from === undefined ? await find(parts, options) : undefined;
  if (dryRun) {
    const files = parts.files.map(({ name }) => ({ name }));
    return { ...about, ...found, state: 'dry_run', files, missing: [] };
  }
  const zip = options.from ?? (await fetchPackage(parts, found as Verified, options));
  const sha512 = await sha512File(zip, signal);
  if (options.from !== undefined && options.sha512 !== undefined) checkHash(zip, sha512, options.sha512);
  const files = await place(zip, parts, folder, signal);
  // It is as large as what came out of it, and not needed again.
  if (options.from === undefined) await rm(zip, { force: true });
  const missing = await missingLibraries('cuda', folder);
  return { ...about, state: 'installed', sha512, ...(found ? { url: found.url } : {}), files, missing };
}

type Verified = NugetPackage & { sha512: string };

async function find(parts: CudaParts, options: SetupCudaOptions): Promise<Verified> {
  const { mirror = parts.index } = options;
  const found = await findPackage(mirror, parts.name, parts.version, options);
  const sha512 = options.sha512 === undefined ? found.sha512 : toHex(options.sha512);
  if (sha512 === undefined) {
    throw new DownloadError(
      'the feed does not say what the package’s SHA-512 is, so nothing would be known of it',
      {
        url: found.url,
        hint: 'Name the hash with --sha512; nuget.org has it',
      },
    );
  }
  return { ...found, sha512 };
}

async function fetchPackage(
  parts: CudaParts,
  { url, sha512, size }: Verified,
  options: DownloadOptions,
): Promise<string> {
  const name = `${parts.name}.${parts.version}.nupkg`;
  const known = { name, url, sha512, ...(size === undefined ? {} : { size }) };
  return (await downloadPinned(known, options)).path;
}

async function place(
  zip: string,
  parts: CudaParts,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<{ name: string; size: number; sha256: string }[]> {
  const partial = (name: string) => join(folder, `.${name}.shardsieve-${process.pid}`);
  const targets = new Map(parts.files.map(({ name, path }) => [path, partial(name)]));
  try {
    const written = await extract(zip, targets, signal);
    const files = [];
    // Until the record is back, what is there counts as nobody's.
    await rm(join(folder, RECORD), { force: true });
    for (const { name, path } of parts.files) {
      const { size, sha256 } = written.get(path)!;
      await onDisk(folder, () => rename(partial(name), join(folder, name)));
      files.push({ name, size, sha256 });
    }
    const text = `${JSON.stringify({ version: parts.version, files }, null, 2)}\n`;
    await onDisk(folder, () => writeFile(join(folder, RECORD), text));
    return files;
  } finally {
    for (const target of targets.values()) await rm(target, { force: true }).catch(() => undefined);
  }
}

/** The files that an earlier run put there, where they are of this version and whole by their sizes. */
async function installed(folder: string, { version, files }: CudaParts) {
  const text = await readFile(join(folder, RECORD), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const known = record.safeParse(parsed(text));
  if (!known.success || known.data.version !== version) return undefined;
  const sizes = new Map((await cudaFiles(folder)).map(({ name, size }) => [name as string, size]));
  const isWhole = files.every(({ name }) =>
    known.data.files.some((file) => file.name === name && sizes.get(name) === file.size),
  );
  return isWhole ? known.data.files : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function checkHash(file: string, actual: string, wanted: string): void {
  if (actual === toHex(wanted)) return;
  throw new DownloadError(`the package’s SHA-512 is ${actual}, it should be ${toHex(wanted)}`, { file });
}

/** NuGet writes hashes in base64. */
function toHex(hash: string): string {
  return /^[0-9a-fA-F]{128}$/.test(hash) ? hash.toLowerCase() : Buffer.from(hash, 'base64').toString('hex');
}
