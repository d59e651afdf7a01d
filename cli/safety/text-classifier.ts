/** A text classifier from the hub or a folder: `hf-hub:org/name[@revision]` or `local-dir:PATH`. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ModelError, messageOf, UsageError } from '../../src/errors.ts';
import { loadTextClassifier, type TextClassifier } from '../../src/safety/text/classifier.ts';
import { type DownloadOptions, fetchFile } from '../hub/download.ts';
import { downloadError } from '../hub/retry.ts';
import { nameOfFolder, parseModelSpec, slugOf } from '../models/spec.ts';
import { modelFile } from '../onnx/files.ts';
import { type NodeSessionOptions, nodeSessions } from '../onnx/session.ts';

/** Where repositories keep the ONNX form of a model; the first that is there is taken. */
const MODELS = ['model.onnx', 'onnx/model.onnx'];
const HINT = `Wanted are config.json, tokenizer.json and ${MODELS.join(' or ')}, as in a repository of the hub`;

export interface OpenedTextClassifier {
  classifier: TextClassifier;
  /** For people and for `run.json`: `org/name`, or the folder's name. */
  name: string;
  /** The commit on the hub, where it comes from there. */
  revision?: string;
  /** `[a-z0-9_]+`, for the names of columns. */
  slug: string;
}

/** The path of a file of the repository or folder, or `undefined` where it has none of that name. */
type Find = (file: string) => Promise<string | undefined>;

/**
 * Throws `UsageError` for an argument that names no such model, `ModelError` for a file that is missing or not what it
 * must be, and what `downloadFile` throws. Weights outside the `.onnx` file are found in a folder only.
 */
export async function openTextClassifier(
  spec: string,
  options: DownloadOptions & NodeSessionOptions = {},
): Promise<OpenedTextClassifier> {
  const parsed = parseModelSpec(spec);
  if (parsed.kind === 'demo') throw new UsageError('the demo has no text classifier', { hint: HINT });
  if (parsed.kind === 'local') {
    const { name, slug } = nameOfFolder(parsed.folder);
    return { name, slug, classifier: await open(name, inFolder(parsed.folder), options) };
  }
  const hub = { ...options, repo: parsed.repo, revision: parsed.revision };
  // The config settles what the revision stands for, so that all files are of one commit.
  const config = await fetchFile({ ...hub, file: 'config.json' });
  if (!config.ok) throw downloadError(config);
  const revision = config.value.commit;
  const find: Find = async (file) => {
    const found = await fetchFile({ ...hub, revision, file });
    if (!found.ok && found.problem !== 'no_file') throw downloadError(found);
    return found.ok ? found.value.path : undefined;
  };
  const slug = slugOf(parsed.repo.slice(parsed.repo.indexOf('/') + 1));
  return { name: parsed.repo, slug, revision, classifier: await open(parsed.repo, find, options) };
}

function inFolder(folder: string): Find {
  return async (file) => {
    const path = join(folder, file);
    return (await stat(path).catch(() => undefined))?.isFile() === true ? path : undefined;
  };
}

async function open(name: string, find: Find, options: NodeSessionOptions): Promise<TextClassifier> {
  const wanted = async (file: string): Promise<string> => {
    const path = await find(file);
    if (path === undefined)
      throw new ModelError(`the text classifier has no ${file}`, { file: name, hint: HINT });
    return path;
  };
  const config = await readText(await wanted('config.json'));
  const tokenizer = await readText(await wanted('tokenizer.json'));
  const tokenizerConfig = await find('tokenizer_config.json');
  const model = await modelFile((await find(MODELS[0])) ?? (await wanted(MODELS[1])));
  return loadTextClassifier(
    {
      model: await model.slice(0, model.size),
      config,
      tokenizer,
      ...(tokenizerConfig === undefined ? {} : { tokenizerConfig: await readText(tokenizerConfig) }),
      name,
    },
    nodeSessions(model, options),
  );
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new ModelError(`a file of the text classifier cannot be read: ${messageOf(cause)}`, {
      file: path,
      cause,
    });
  }
}
