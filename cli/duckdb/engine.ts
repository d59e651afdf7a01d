import { messageOf, UsageError } from '../../src/errors.ts';
import type { WhereEngine } from '../../src/select/env.ts';
import { pageScanner } from '../../src/select/page-scan.ts';
import type { PoolFile, Scanner } from '../../src/select/scan.ts';
import { nodePageTools } from '../io/pages.ts';
import type { Opened } from './open.ts';

export interface EngineOptions {
  /** Parquets, or folders of them, whose columns are added by uid. */
  joins?: readonly string[];
  /** What DuckDB may hold, in MB. */
  memoryMb?: number;
  threads?: number;
  /** Whether a second thread reads and decompresses columns. Default: for a million rows or more. */
  pageThread?: boolean;
}

const MANY_ROWS = 1_000_000;

/**
 * What Node reads one pool with: its columns by their pages, SQL predicates and joined columns by DuckDB. Give
 * `scanner` to `openPool` and `where` to the filters; `notes` then says what should be told of the joins. `close` when
 * done. DuckDB's library is loaded when it is first needed.
 */
export interface Engine {
  scanner(files: readonly PoolFile[]): Promise<Scanner>;
  where: WhereEngine;
  readonly notes: readonly string[];
  close(): void;
}

export function createEngine(options: EngineOptions = {}): Engine {
  const { joins = [] } = options;
  let opened: Promise<Opened> | undefined;
  let tools: ReturnType<typeof nodePageTools> | undefined;
  const notes: string[] = [];
  const scannerFor = (files: readonly PoolFile[]): Scanner => {
    const rows = files.reduce((sum, file) => sum + file.rows, 0);
    tools ??= nodePageTools({ thread: options.pageThread ?? rows >= MANY_ROWS });
    return pageScanner(tools);
  };
  const forFiles = (files: readonly PoolFile[]): Promise<Opened> => {
    opened ??= load().then(async ({ open }) => {
      const made = await open(files, scannerFor(files), options);
      notes.push(...made.notes);
      return made;
    });
    return opened;
  };
  return {
    notes,
    async scanner(files) {
      if (joins.length === 0) return scannerFor(files);
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
      tools?.close();
      tools = undefined;
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
