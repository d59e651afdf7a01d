import { messageOf, UsageError } from '../../src/errors.ts';
import type { WhereEngine } from '../../src/select/env.ts';
import { type PoolFile, parquetScanner, type Scanner } from '../../src/select/scan.ts';
import type { Opened } from './open.ts';

export interface EngineOptions {
  /** Parquets, or folders of them, whose columns are added by uid. */
  joins?: readonly string[];
  /** Pools of fewer rows are left to the neutral reader. Default: 100,000. */
  smallest?: number;
  /** What DuckDB may hold, in MB. */
  memoryMb?: number;
  threads?: number;
}

const SMALLEST = 100_000;

/**
 * DuckDB for one pool: a fast scanner, SQL predicates, joined columns. Give `scanner` to `openPool` and `where` to the
 * filters; `notes` then says what should be told of the joins. `close` when done. DuckDB's library is loaded when it
 * is first needed; where there is none for the platform, pools are read by the neutral reader.
 */
export interface Engine {
  scanner(files: readonly PoolFile[]): Promise<Scanner>;
  where: WhereEngine;
  readonly notes: readonly string[];
  close(): void;
}

export function createEngine(options: EngineOptions = {}): Engine {
  const { joins = [], smallest = SMALLEST } = options;
  let opened: Promise<Opened> | undefined;
  const notes: string[] = [];
  const forFiles = (files: readonly PoolFile[]): Promise<Opened> => {
    opened ??= load().then(async ({ open }) => {
      const made = await open(files, options);
      notes.push(...made.notes);
      return made;
    });
    return opened;
  };
  return {
    notes,
    async scanner(files) {
      if (joins.length === 0) {
        const rows = files.reduce((sum, file) => sum + file.rows, 0);
        // DuckDB takes a while to load, in which a small pool is read.
        if (rows < smallest) return parquetScanner;
        if (!(await load().then(Boolean, () => false))) return parquetScanner;
      }
      return (await forFiles(files)).scanner;
    },
    where: {
      async test(pool, predicate, signal) {
        const { files, test } = await forFiles(pool.files);
        if (files !== pool.files) throw new UsageError('where: this DuckDB was opened for another pool');
        return test(predicate, signal);
      },
    },
    close() {
      opened?.then(({ close }) => close()).catch(() => undefined);
      opened = undefined;
    },
  };
}

function load(): Promise<typeof import('./open.ts')> {
  return import('./open.ts').catch((cause: unknown) => {
    throw new UsageError(`DuckDB, which predicates and joins need, cannot be loaded: ${messageOf(cause)}`, {
      cause,
      hint: 'It has builds for Linux, macOS and Windows on x64 and arm64; was it left out by npm install --omit=optional?',
    });
  });
}
