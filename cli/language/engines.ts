/**
 * The two detectors, in whichever thread this is loaded. Both are the original C++ compiled to WebAssembly; answers
 * were compared with PyPI's fasttext and gcld3, see docs/languages.md.
 */
import { readFile } from 'node:fs/promises';
import { ModelError, messageOf } from '../../src/errors.ts';
import type { Detection } from '../../src/language/types.ts';

/** Plain data, so that it can be sent to a thread. */
export type EngineSpec = { name: 'fasttext'; model: string } | { name: 'cld3' };

/** Tells the language of one caption; never of a neighbour. */
export type Engine = (text: string) => Detection;

/** DataComp's arguments of `gcld3.NNetLanguageIdentifier`. */
export const CLD3_MIN_BYTES = 0;
export const CLD3_MAX_BYTES = 1000;

const LABEL = '__label__';
/** In fastText's own file system, which lies in memory. */
const MODEL_FILE = 'model.bin';

/** Loads a detector. Throws `ModelError`. */
export function openEngine(spec: EngineSpec): Promise<Engine> {
  return spec.name === 'fasttext' ? openFasttext(spec.model) : openCld3();
}

/** What is used of the library's module. Its own types ask for Emscripten's, which nobody here has. */
interface FasttextModule {
  FS: {
    writeFile(path: string, bytes: Uint8Array, options: { canOwn: boolean }): void;
    unlink(path: string): void;
  };
  FastText: new () => {
    loadModel(path: string): void;
    predict(text: string, k: number, threshold: number): Predictions;
  };
}

/** A C++ vector: it lives until it is deleted. */
interface Predictions {
  size(): number;
  get(index: number): [probability: number, label: string];
  delete(): void;
}

async function openFasttext(path: string): Promise<Engine> {
  const bytes = await readFile(path).catch((cause) => {
    throw new ModelError(`the language model cannot be read: ${messageOf(cause)}`, { file: path, cause });
  });
  const { getFastTextModule } = await import('fasttext.wasm.js');
  const module: FasttextModule = await getFastTextModule();
  const model = new module.FastText();
  try {
    // The bytes are handed over, not copied.
    module.FS.writeFile(MODEL_FILE, bytes, { canOwn: true });
    model.loadModel(MODEL_FILE);
    // The model has its own copy by now.
    module.FS.unlink(MODEL_FILE);
  } catch (cause) {
    throw new ModelError('not a model that fastText can load', {
      file: path,
      hint: 'Give a supervised fastText model (.bin or .ftz)',
      cause,
    });
  }
  return (text) => {
    // The newline ends the line: without it the end-of-sentence token, which Python always adds, would be missing.
    const found = model.predict(`${text.replaceAll('\n', ' ')}\n`, 1, 0);
    try {
      // A model that knows none of the words, nor the end of the sentence, says nothing.
      if (found.size() === 0) return { language: 'und', probability: 0 };
      const [probability, label] = found.get(0);
      return { language: label.startsWith(LABEL) ? label.slice(LABEL.length) : label, probability };
    } finally {
      found.delete();
    }
  };
}

async function openCld3(): Promise<Engine> {
  const { loadModule } = await import('cld3-asm');
  const identifier = (await loadModule()).create(CLD3_MIN_BYTES, CLD3_MAX_BYTES);
  return (text) => {
    // Native CLD3 stops at the first byte that is not interchange-valid, as NUL is; so does a C string.
    const { language, probability } = identifier.findLanguage(text.replaceAll('\n', ' '));
    return { language, probability };
  };
}
