/** Which embeddings a head may be used on. */
import { ModelError } from '../../errors.ts';
import type { Head, HeadSpace } from './head.ts';

/** What is known of the model that made some embeddings: an entry of `run.json`, or a loaded checkpoint. */
export interface EmbeddingModel {
  /** For messages: `org/name`, a folder, or what a foreign folder calls it. */
  name: string;
  /** Length of an embedding. */
  dim: number;
  /** SHA-256 of its weights file; absent in a folder that Shardsieve did not write. */
  weightsSha256?: string;
  /** DataComp's name for the embeddings, in a folder of DataComp's form without a `run.json`. */
  datacomp?: string;
  preprocessFingerprint?: string;
}

/**
 * The model of a metadata folder's embeddings: by the entry that `run.json` has under the slug; without one the folder
 * is foreign, and only DataComp's `b32` and `l14` say anything.
 */
export function embeddingModel(
  slug: string,
  dim: number,
  entry?: { readonly [field: string]: unknown },
): EmbeddingModel {
  if (entry === undefined) return { name: `${slug}, which nothing describes`, dim, datacomp: slug };
  const text = (field: string) => (typeof entry[field] === 'string' ? entry[field] : undefined);
  return {
    name: text('name') ?? slug,
    dim,
    weightsSha256: text('weights_sha256') ?? 'unknown',
    ...(text('preprocess_fingerprint') === undefined
      ? {}
      : { preprocessFingerprint: text('preprocess_fingerprint') }),
  };
}

/**
 * Refuses a head on embeddings of another space. The weights' hash decides; where the head's publisher named none,
 * the model's repository does; embeddings that DataComp published say only `b32` or `l14`, which are OpenAI's two.
 * Answers with what should be told once, and throws `ModelError` naming both.
 */
export function checkSpace(head: Head, model: EmbeddingModel): string[] {
  const { info } = head;
  const { space } = info;
  const refuse = (why: string): never => {
    throw new ModelError(
      `the head ${info.name} is for embeddings of ${space.name}, and these are of ${model.name}: ${why}`,
      {
        hint: 'A head means nothing in another space: score with its model, or train a head on these embeddings',
      },
    );
  };
  if (model.dim !== space.dim) refuse(`they have ${model.dim} components, the head takes ${space.dim}`);
  const notes: string[] = [];
  const by = matchOf(space, model);
  if (by === undefined) refuse(reason(space, model));
  if (by === 'name') {
    notes.push(
      `${info.name}: that ${model.name} is its model is known by the name only; heads pull with a connection records the hash`,
    );
  }
  if (by === 'datacomp')
    notes.push(
      `${info.name}: taken for DataComp's own ${space.datacomp} embeddings, which name no weights file`,
    );
  const { preprocess_fingerprint: wanted } = info;
  if (
    wanted !== null &&
    model.preprocessFingerprint !== undefined &&
    wanted !== model.preprocessFingerprint
  ) {
    notes.push(`${info.name}: its training pictures were preprocessed otherwise; probabilities may shift`);
  }
  return notes;
}

function matchOf(space: HeadSpace, model: EmbeddingModel): 'hash' | 'name' | 'datacomp' | undefined {
  if (model.weightsSha256 !== undefined) {
    if (space.weights_sha256.includes(model.weightsSha256)) return 'hash';
    return space.weights_sha256.length === 0 && space.models.includes(model.name) ? 'name' : undefined;
  }
  return model.datacomp !== undefined && model.datacomp === space.datacomp ? 'datacomp' : undefined;
}

function reason(space: HeadSpace, model: EmbeddingModel): string {
  if (model.weightsSha256 === undefined) return 'nothing says which weights made them';
  const short = (hash: string) => `${hash.slice(0, 12)}…`;
  const theirs =
    space.weights_sha256.map(short).join(' or ') || space.models.join(' or ') || 'unknown weights';
  return `weights ${short(model.weightsSha256)}, not ${theirs}`;
}
