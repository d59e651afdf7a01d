/** The embeddings of labelled samples, found in metadata by their uids, and what model made them. */
import { openPoolEmbeddings } from '../../src/embeddings/files.ts';
import { CancelledError, MetadataError, UsageError } from '../../src/errors.ts';
import { inspectFolder } from '../../src/metadata/folder.ts';
import type { HeadSpace } from '../../src/safety/heads/head.ts';
import type { Labelled } from '../../src/safety/heads/train/data.ts';
import type { LabelFile } from '../../src/safety/heads/train/labels.ts';
import { openPool } from '../../src/select/pool.ts';
import { openFolder } from '../io/folder.ts';
import { readLabels, rowsOfLabels } from './labels.ts';

export interface LabelledPool {
  data: Labelled;
  space: Omit<HeadSpace, 'dim'>;
  preprocessFingerprint: string | null;
  notes: string[];
}

export interface LabelledChoice {
  folders: readonly string[];
  /** The CSV. */
  labels: string;
  positive?: string;
  slug?: string;
  signal?: AbortSignal;
}

/**
 * Reads labels and the embeddings they are for. A uid that is in the pool more than once is taken where it is first.
 * Throws `UsageError` for labels that are none or that name unknown uids, and `MetadataError`.
 */
export async function readLabelled(choice: LabelledChoice): Promise<LabelledPool> {
  const labels = await readLabels(choice.labels, choice.positive);
  const folders = choice.folders.map((folder) => openFolder(folder, { readOnly: true }));
  const pool = await openPool(folders);
  const model = await modelOf(choice);
  const rows = await rowsOfLabels(labels, pool, { file: choice.labels, signal: choice.signal });
  const { files } = await openPoolEmbeddings(folders, model.slug);
  let embeddings = new Float32Array(0);
  let dim = 0;
  const order = Int32Array.from(rows.keys()).sort((i, j) => rows[i] - rows[j]);
  let next = 0;
  for (const [f, { start, rows: count }] of pool.files.entries()) {
    if (choice.signal?.aborted) throw new CancelledError();
    const from = next;
    while (next < order.length && rows[order[next]] < start + count) next++;
    const here = order.subarray(from, next);
    if (here.length === 0) continue;
    const matrix = await files[f].image(Uint32Array.from(here, (i) => rows[i] - start));
    if (dim === 0) {
      dim = matrix.dim;
      embeddings = new Float32Array(rows.length * dim);
    } else if (matrix.dim !== dim) {
      throw new MetadataError(`embeddings of ${matrix.dim} components, not ${dim} as in the other files`, {
        file: files[f].name,
      });
    }
    for (const [k, i] of here.entries())
      embeddings.set(matrix.data.subarray(k * dim, (k + 1) * dim), i * dim);
  }
  checkFinite(embeddings, dim, labels);
  return {
    data: { rows: rows.length, dim, embeddings, labels: labels.labels, classes: labels.classes },
    space: model.space,
    preprocessFingerprint: model.preprocessFingerprint,
    notes: pool.notes,
  };
}

function checkFinite(embeddings: Float32Array, dim: number, labels: LabelFile): void {
  const bad = embeddings.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  throw new MetadataError(`the embedding of ${labels.uids[Math.floor(bad / dim)]} holds ${embeddings[bad]}`, {
    hint: 'Remove its label, or score its shard again',
  });
}

/** The slug, and whose embeddings these are: by `run.json`, else by DataComp's names. */
async function modelOf(choice: LabelledChoice) {
  const known: { slug: string; name: string; hash: string; preprocess: string }[] = [];
  let foreign: string[] | undefined;
  for (const path of choice.folders) {
    const there = await inspectFolder(openFolder(path, { readOnly: true }));
    if (there.run === undefined) foreign = ['b32', 'l14'];
    for (const [slug, entry] of Object.entries(there.run?.models ?? {})) {
      known.push({
        slug,
        name: String(entry['name']),
        hash: String(entry['weights_sha256']),
        preprocess: String(entry['preprocess_fingerprint']),
      });
    }
  }
  const slugs = [...new Set([...known.map(({ slug }) => slug), ...(foreign ?? [])])];
  const slug = choice.slug ?? (slugs.length === 1 ? slugs[0] : undefined);
  if (slug === undefined || !slugs.includes(slug)) {
    throw new UsageError(
      slug === undefined
        ? 'more than one model made embeddings here'
        : `no model ${slug} made embeddings here`,
      { hint: `Name one with --slug: ${slugs.join(', ') || 'there is none'}` },
    );
  }
  const own = known.filter((model) => model.slug === slug);
  if (own.length > 0 && foreign !== undefined)
    throw new MetadataError(`one folder says which weights made ${slug}, another does not`, {
      hint: 'Train on folders of one kind',
    });
  const other = own.find(({ hash }) => hash !== own[0].hash);
  if (other !== undefined) {
    throw new MetadataError(`${slug} is ${own[0].name} in one folder and ${other.name} in another`, {
      hint: 'A head is trained on the embeddings of one model',
    });
  }
  if (own.length === 0) {
    const space = {
      name: `DataComp's ${slug} (OpenAI CLIP)`,
      weights_sha256: [],
      models: [],
      datacomp: slug === 'b32' ? ('b32' as const) : ('l14' as const),
    };
    return { slug, space, preprocessFingerprint: null };
  }
  const [{ name, hash, preprocess }] = own;
  return { slug, space: { name, weights_sha256: [hash], models: [name] }, preprocessFingerprint: preprocess };
}
