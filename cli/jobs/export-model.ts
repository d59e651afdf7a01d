/** `models export`: a checkpoint's towers as files that the Workers load. */
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { exportedGraphs } from '../../src/clip/export/graphs.ts';
import {
  type ExportedFile,
  type ExportManifest,
  encodeManifest,
  exportedFiles,
  MANIFEST_FILE,
  parseManifest,
} from '../../src/clip/export/manifest.ts';
import { TOWERS_VERSION } from '../../src/clip/model.ts';
import { CancelledError, UsageError } from '../../src/errors.ts';
import { fingerprint } from '../../src/run/fingerprint.ts';
import { encodeHeads } from '../heads/export.ts';
import { openHeads } from '../heads/open.ts';
import { openFolder } from '../io/folder.ts';
import type { ResolveOptions } from '../models/resolve.ts';
import { modelFile, sha256File } from '../onnx/files.ts';
import { writeOrtFormat } from '../onnx/ort-format.ts';
import { parseHeads } from '../safety/specs.ts';
import { type ModelChoice, wantModels } from './models.ts';

export interface ExportChoice {
  model: string;
  /** A folder; what an earlier export left in it is replaced. */
  out: string;
  /**
   * `int8-accurate` (default) or `int8`: in 32 bits the towers do not fit into a Worker. In `int8` two runtimes, which
   * differ in last bits, round enough values the other way to move a score by more than .001 (docs/fidelity.md).
   */
  precision?: ModelChoice['precision'];
  slug?: string;
  calibrate?: string;
  /** Heads over the image embeddings, as `--safety` names them. */
  heads?: readonly string[];
  threads?: number;
}

/**
 * Writes `image.ort`, `text.ort`, `table.f16`, `heads/<name>.safetensors` and, last, `manifest.json`. Nothing is done where
 * the folder holds this very export already; where only its heads differ, its towers stay. Throws `UsageError`, `ModelError`, `OutputError`, and what `resolveModel` throws.
 */
export async function exportModel(
  choice: ExportChoice,
  options: ResolveOptions = {},
): Promise<{ manifest: ExportManifest; reused: boolean }> {
  const { model, out, precision = 'int8-accurate', slug, calibrate, threads } = choice;
  if (precision !== 'int8' && precision !== 'int8-accurate') {
    throw new UsageError(`towers are not exported to Workers in ${precision}`, {
      hint: 'An isolate of 128 MB holds them in int8 or int8-accurate only',
    });
  }
  const specs = parseHeads(choice.heads ?? []);
  const slugs = slug === undefined ? [] : [slug];
  const [wanted] = await wantModels({ models: [model], slugs, precision, calibrate, threads }, options);
  const { checkpoint } = wanted;
  if (checkpoint?.quantised === undefined) throw new UsageError(`${model} has no weights here to export`);
  const { resolved, config, preprocess, made: from, quantised } = checkpoint;
  const { name, revision } = resolved;
  const { weights_sha256, model_cfg, preprocess_fingerprint } = from;
  const made = {
    weights_sha256,
    model_cfg,
    quantised_sha256: quantised.sha256,
    towers: TOWERS_VERSION,
    provider: 'wasm',
  };
  const identity = {
    name,
    ...(revision === undefined ? {} : { revision }),
    slug: wanted.slug,
    fingerprint: fingerprint({ kind: 'clip', ...made, precision, preprocess_fingerprint }),
  };
  const opened = await openHeads([wanted], { models: [model], threads }, specs, options);
  const heads = encodeHeads(opened.get(wanted.slug) ?? [], config.embedDim);
  const folder = openFolder(out);
  const before = await folder.read(MANIFEST_FILE);
  let kept: ExportManifest | undefined;
  if (before !== undefined) {
    const found = await complete(out, new TextDecoder().decode(before));
    if (found?.fingerprint === identity.fingerprint && found.slug === identity.slug) {
      const hashes = (files: readonly ExportedFile[]) => files.map(({ sha256 }) => sha256).join();
      if (hashes(found.heads) === hashes(heads.map(({ file: one }) => one)))
        return { manifest: found, reused: true };
      kept = found;
    }
    await folder.remove(MANIFEST_FILE);
    for (const { name: old } of found?.heads ?? []) await rm(join(out, old), { force: true });
  }
  const file = await modelFile(quantised.path);
  const graphs = await exportedGraphs({
    ...{ config, precision, quantised: file, location: basename(file.path) },
    weights: await modelFile(resolved.weightsPath),
  });
  const write = async (name: string, make: (path: string) => Promise<void>) => {
    if (options.signal?.aborted) throw new CancelledError('stopped while exporting the model');
    const path = join(out, name);
    await rm(path, { force: true });
    await make(path);
    return { name, bytes: (await stat(path)).size, sha256: await sha256File(path, options.signal) };
  };
  const tower = (graph: Uint8Array) => (path: string) => writeOrtFormat(graph, dirname(file.path), path);
  // The folder exists once something was written to it.
  const sink = await folder.create(MANIFEST_FILE);
  try {
    const files = kept?.files ?? {
      image: await write('image.ort', tower(graphs.image)),
      text: await write('text.ort', tower(graphs.text)),
      table: await write('table.f16', (path) => writeFile(path, graphs.table)),
    };
    if (heads.length > 0) await mkdir(join(out, 'heads'), { recursive: true });
    for (const { file: one, content } of heads) await writeFile(join(out, one.name), content);
    const manifest = encodeManifest({
      ...identity,
      precision,
      dim: config.embedDim,
      context_length: config.text.contextLength,
      vocab_size: config.text.vocabSize,
      text_width: config.text.width,
      image_size: config.vision.imageSize,
      logit_scale: graphs.logitScale,
      preprocess,
      preprocess_fingerprint,
      made,
      files,
      heads: heads.map(({ file: one }) => one),
    });
    await sink.write(new TextEncoder().encode(manifest));
    await sink.commit();
    return { manifest: parseManifest(manifest, join(out, MANIFEST_FILE)), reused: false };
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** The manifest of an earlier export, where its files are whole. */
async function complete(out: string, text: string): Promise<ExportManifest | undefined> {
  try {
    const manifest = parseManifest(text, join(out, MANIFEST_FILE));
    for (const { name, sha256 } of exportedFiles(manifest)) {
      if ((await sha256File(join(out, name))) !== sha256) return undefined;
    }
    return manifest;
  } catch {
    return undefined;
  }
}
