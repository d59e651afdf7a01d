import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MemoryFolder } from './memory-folder.ts';

/**
 * Tests against the reference libraries run where these name an interpreter (and a checkout of DataComp):
 *
 * - `SHARDSIEVE_PYTHON`: tools/oracle/requirements.txt
 * - `SHARDSIEVE_TRAIN_PYTHON`: the same with webdataset 0.2.86, the newest that open_clip 3.3.0's loader works with
 * - `SHARDSIEVE_RESHARD_PYTHON`: tools/oracle/requirements-reshard.txt, which DataComp's resharder runs with
 * - `SHARDSIEVE_DATACOMP`: a checkout of github.com/mlfoundations/datacomp
 */
export const PYTHON = process.env['SHARDSIEVE_PYTHON'];
export const TRAIN_PYTHON = process.env['SHARDSIEVE_TRAIN_PYTHON'];
export const RESHARD_PYTHON = process.env['SHARDSIEVE_RESHARD_PYTHON'];
export const DATACOMP = process.env['SHARDSIEVE_DATACOMP'];

/** Runs a script of tools/oracle and returns what it printed. */
export function oracle(interpreter: string, script: string, ...args: string[]): string {
  const path = fileURLToPath(new URL(`../../tools/oracle/${script}`, import.meta.url));
  return execFileSync(interpreter, [path, ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Writes a folder in memory to disk, hands over its path, and takes it away. */
export async function onDisk<T>(folder: MemoryFolder, use: (path: string) => T | Promise<T>): Promise<T> {
  const path = mkdtempSync(join(tmpdir(), 'shardsieve-'));
  try {
    for (const [name, bytes] of folder.files) writeFileSync(join(path, name), bytes);
    return await use(path);
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}
