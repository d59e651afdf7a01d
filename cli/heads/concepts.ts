/** Concept files on this machine, and the heads that a model's own text tower makes of them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../src/errors.ts';
import type { WantedModel } from '../../src/run/score-job.ts';
import { conceptHead, parseConcepts } from '../../src/safety/heads/concepts.ts';
import type { Head } from '../../src/safety/heads/head.ts';
import { packageRoot } from '../package-root.ts';

/** The default file, by name: `concepts`, or no file at all. */
export function conceptsPath(file?: string): string {
  return file === undefined || file === 'default'
    ? join(packageRoot(), 'assets', 'safety', 'concepts.yaml')
    : file;
}

/**
 * Reads a concept file, checks it, and only then loads the model and embeds its prompts. Throws `UsageError` for the
 * file, `ModelError` for the model.
 */
export async function headOfConcepts(file: string, wanted: WantedModel): Promise<Head> {
  const text = await readFile(file, 'utf8').catch(() => {
    throw new UsageError('there is no such concept file', { file });
  });
  const concepts = parseConcepts(text, file);
  const { clip, tokenizer } = await wanted.load();
  try {
    const name = String(wanted.entry['name']);
    return await conceptHead(
      concepts,
      {
        embed: (texts) =>
          clip.embedTexts(
            texts.map((prompt) => {
              const { ids, truncated } = tokenizer.encode(prompt);
              if (!truncated) return ids;
              throw new UsageError(`the prompt ${JSON.stringify(prompt)} is longer than the model reads`, {
                file,
                hint: `Say it in fewer than ${tokenizer.contextLength} tokens`,
              });
            }),
          ),
        logitScale: clip.logitScale,
        space: {
          name,
          dim: clip.dim,
          weights_sha256: [String(wanted.entry['weights_sha256'])],
          models: [name],
        },
        preprocessFingerprint: String(wanted.entry['preprocess_fingerprint']),
      },
      file,
    );
  } finally {
    await clip.release();
  }
}
