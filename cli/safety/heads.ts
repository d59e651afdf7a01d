/** Heads for a run or a folder: pulled ones, files, and concept files, each on the embeddings that it is bound to. */
import { readFile } from 'node:fs/promises';
import { fingerprintOf } from '../../src/annotate/fingerprint.ts';
import { headAnnotator, labelsApart } from '../../src/annotate/heads.ts';
import type { RowAnnotator } from '../../src/annotate/types.ts';
import { ModelError, UsageError } from '../../src/errors.ts';
import type { RunEntry } from '../../src/metadata/run.ts';
import type { WantedModel } from '../../src/run/score-job.ts';
import { parseConcepts } from '../../src/safety/heads/concepts.ts';
import { headSha256 } from '../../src/safety/heads/file.ts';
import type { Head } from '../../src/safety/heads/head.ts';
import { checkSpace, type EmbeddingModel } from '../../src/safety/heads/space.ts';
import { conceptsPath, headOfConcepts } from '../heads/concepts.ts';
import { nodeHead } from '../heads/run.ts';
import { openHead } from '../heads/store.ts';

/** Embeddings of one model. */
export interface EmbeddingSpace {
  slug: string;
  model: Omit<EmbeddingModel, 'dim'>;
  /** The model itself, for what has to be embedded. Throws where it cannot be had. */
  want(): Promise<WantedModel>;
}

interface HeadContext {
  spaces: readonly EmbeddingSpace[];
  threads?: number;
  onNote?: (text: string) => void;
}

/** What `run.json` says of a model, as what heads are bound to. */
export function embeddingModel(entry: RunEntry): Omit<EmbeddingModel, 'dim'> {
  const text = (field: string) => (typeof entry[field] === 'string' ? String(entry[field]) : undefined);
  const [weightsSha256, preprocessFingerprint] = [text('weights_sha256'), text('preprocess_fingerprint')];
  return {
    name: text('name') ?? 'an unknown model',
    ...(weightsSha256 === undefined ? {} : { weightsSha256 }),
    ...(preprocessFingerprint === undefined ? {} : { preprocessFingerprint }),
  };
}

/** A head by the name it is pulled under, or by its file. Throws `UsageError`, `ModelError`. */
export async function openKnownHead(spec: string, context: HeadContext): Promise<RowAnnotator> {
  const { head } = await openHead(spec);
  const { slug, model } = spaceFor(head, context);
  const { title, licence, source } = head.info;
  const hash = headSha256(head);
  return headAnnotator(
    {
      info: head.info,
      apart: labelsApart(head),
      identity: hash,
      about: { title, head_sha256: hash, licence, source },
      load: () => nodeHead(head, { threads: context.threads }),
    },
    slug,
    { name: model.name, weights: model.weightsSha256 ?? null },
  );
}

/** The embeddings that a head is bound to. Throws `ModelError` where none of them is, naming head and models. */
function spaceFor(head: Head, { spaces, onNote }: HeadContext): EmbeddingSpace {
  const { name, space } = head.info;
  let refusal: unknown;
  for (const candidate of spaces) {
    try {
      // That the lengths agree is seen when the embeddings are: the weights decide.
      for (const note of checkSpace(head, { ...candidate.model, dim: space.dim })) onNote?.(note);
      return candidate;
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      refusal = error;
    }
  }
  if (spaces.length === 1) throw refusal;
  const there = spaces.map(({ slug, model }) => `${slug} (${model.name})`).join(', ');
  throw new ModelError(
    `the head ${name} is for embeddings of ${space.name}, and ${there === '' ? 'there are none here' : `these are of ${there}`}`,
    {
      hint: 'A head means nothing in another space: score with its model, or train a head on these embeddings',
    },
  );
}

/** Counts up when the way from prompts to a head changes. */
const CONCEPTS_VERSION = 1;

/**
 * A concept file, whose prompts the model's own text tower embeds when the first row is judged. Throws `UsageError` for
 * the file, and where more than one model could be meant.
 */
export async function openConcepts(file: string | undefined, context: HeadContext): Promise<RowAnnotator> {
  const path = conceptsPath(file);
  if (path.endsWith('.safetensors')) return openKnownHead(path, context);
  const text = await readFile(path, 'utf8').catch(() => {
    throw new UsageError('there is no such concept file', { file: path });
  });
  const concepts = parseConcepts(text, path);
  const [space, ...more] = context.spaces;
  if (space === undefined || more.length > 0) {
    throw new UsageError(
      space === undefined
        ? 'no model made embeddings here, so concepts cannot be looked for'
        : `concepts are looked for by one model, and there are ${context.spaces.map(({ slug }) => slug).join(', ')}`,
      {
        file: path,
        hint: `Make a head of it: shardsieve heads import ${path} --model MODEL --out HEAD, then --safety head:HEAD`,
      },
    );
  }
  const { slug, model } = space;
  const wanted = await space.want();
  if (wanted.entry['weights_sha256'] !== model.weightsSha256 && model.weightsSha256 !== undefined) {
    throw new ModelError(
      `the embeddings ${slug} are of ${model.name}, and ${String(wanted.entry['name'])} has other weights`,
      { hint: 'Name the model that made them with --model' },
    );
  }
  const labels = Object.keys(concepts.concepts);
  const { name, thresholds = {} } = concepts;
  const prompts = [labels.map((label) => [label, concepts.concepts[label]]), concepts.neutral];
  const identity = fingerprintOf(['concepts', CONCEPTS_VERSION, prompts]);
  return headAnnotator(
    {
      info: { name, labels, columns: labels.map((label) => `safety_${label}`), thresholds },
      apart: true,
      identity,
      about: { title: concepts.title ?? `zero-shot concepts ${name}`, prompts: identity },
      load: async () => nodeHead(await headOfConcepts(path, wanted), { threads: context.threads }),
    },
    slug,
    { name: model.name, weights: String(wanted.entry['weights_sha256']) },
  );
}
