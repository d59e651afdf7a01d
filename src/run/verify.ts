import { CancelledError, MetadataError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { type CheckedFolder, checkFolders } from '../metadata/check.ts';
import { checkEmbeddings, checkScores } from '../metadata/check-values.ts';
import { type Finding, Findings } from '../metadata/findings.ts';
import { checkUids } from '../select/check-uids.ts';
import { checkResharded } from '../subset/check.ts';
import { openResharded } from '../subset/resharded.ts';
import { checkInputs } from './check-inputs.ts';
import type { Hasher, NamedSource } from './score-job.ts';

export interface VerifyOptions {
  /** What the metadata was made from. */
  sources?: readonly NamedSource[];
  /** Read embeddings, the bytes of the sources, and resharded tars too. */
  deep?: boolean;
  hasher: () => Hasher;
  onShard?: (shard: string) => void;
  signal?: AbortSignal;
}

export interface VerifiedFolder {
  folder: string;
  kind: 'shardsieve' | 'foreign' | 'resharded' | 'none';
  shards: number;
  /** Rows of metadata, or samples of resharded shards. */
  rows: number;
}

export interface VerifyReport {
  /** Nothing is wrong, and nothing is lacking but parts that were not named. */
  ok: boolean;
  folders: VerifiedFolder[];
  rows: number;
  /** Different uids of the metadata. */
  distinct: number;
  findings: Finding[];
}

/**
 * Checks everything that can be checked of folders of metadata or of resharded samples. What is found is in the
 * report, never thrown, but for `CancelledError`. Memory: some 50 bytes a row, for the uids.
 */
export async function verify(folders: readonly Folder[], options: VerifyOptions): Promise<VerifyReport> {
  const { deep = false, signal } = options;
  const findings = new Findings();
  const verified: VerifiedFolder[] = [];
  const metadata: Folder[] = [];
  for (const folder of folders) {
    try {
      const resharded = await openResharded(folder);
      if (resharded === undefined) metadata.push(folder);
      else {
        const { shards, samples } = await checkResharded(resharded, findings, { deep, signal });
        verified.push({ folder: folder.label, kind: 'resharded', shards, rows: samples });
      }
    } catch (error) {
      if (!(error instanceof MetadataError)) throw error;
      const { message } = error;
      findings.add({
        ...{ code: 'damaged', level: 'problem', folder: folder.label, message, hint: 'Run reshard again' },
      });
    }
  }
  const checked = await checkFolders(metadata, { signal });
  for (const finding of checked.findings) findings.add(finding);
  for (const { folder, kind, shards } of checked.folders) {
    const rows = shards.reduce((sum, { parquet }) => sum + parquet.rows, 0);
    const known = kind === 'shardsieve' || kind === 'foreign' ? kind : 'none';
    verified.push({ folder: folder.label, kind: known, shards: shards.length, rows });
  }
  const { rows, distinct } = await checkValues(checked.folders, findings, options);
  if (options.sources !== undefined) {
    const { hasher } = options;
    await checkInputs(checked.folders, options.sources, findings, { ...(deep ? { hasher } : {}), signal });
  }
  const list = findings.list();
  // What somebody left out on purpose, and said so, is no failure.
  const fails = ({ level, code }: Finding) =>
    level !== 'note' && code !== 'missing_parts' && code !== 'filtered';
  return { ok: !list.some(fails), folders: verified, rows, distinct, findings: list };
}

async function checkValues(
  folders: readonly CheckedFolder[],
  findings: Findings,
  { deep = false, onShard, signal }: VerifyOptions,
): Promise<{ rows: number; distinct: number }> {
  const shards = folders.flatMap((folder) => folder.shards);
  for (const shard of shards) {
    if (signal?.aborted) throw new CancelledError();
    await checkScores(shard, findings);
    if (deep) await checkEmbeddings(shard, findings);
    onShard?.(shard.shard);
  }
  return checkUids(shards, findings);
}
