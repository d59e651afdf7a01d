/** Language detection on Node: each detector is started when it is first asked for, in threads of its own. */
import { availableParallelism } from 'node:os';
import type { Detection, DetectorName, LanguageDetector } from '../../src/language/types.ts';
import type { RunEntry } from '../../src/metadata/run.ts';
import { fingerprint } from '../../src/run/fingerprint.ts';
import type { PinnedOptions } from '../hub/pinned.ts';
import { CLD3_MAX_BYTES, CLD3_MIN_BYTES, type EngineSpec } from './engines.ts';
import { findLidModel, type LidChoice, libraryVersion, lidHash } from './models.ts';
import { type DetectorThreads, openThreads } from './threads.ts';

/** Each thread holds a model of its own, 130 MB of the full one. */
const MOST_THREADS = 8;

export interface LanguagesOptions extends PinnedOptions {
  /** Threads a detector; the machine's cores, at most 8, by default. */
  threads?: number;
  /** fastText's model; `compressed` by default. */
  lid?: LidChoice;
}

/** What `run.json` says of a detector; `fingerprint` is made of all that decides its answers. */
export interface DetectorEntry extends RunEntry {
  detector: DetectorName;
  library: string;
}

export interface Detector extends LanguageDetector {
  entry: DetectorEntry;
}

export interface Languages {
  /**
   * The detector of a name, known by its fingerprint; its threads start with the first caption. Throws `ModelError`,
   * `DownloadError`.
   */
  detector(name: DetectorName): Promise<Detector>;
  /** Ends all threads. */
  close(): Promise<void>;
}

export function createLanguages(options: LanguagesOptions = {}): Languages {
  const count = options.threads ?? Math.min(availableParallelism(), MOST_THREADS);
  const detectors = new Map<DetectorName, Promise<Detector>>();
  const started: Promise<DetectorThreads>[] = [];
  const open = async (name: DetectorName): Promise<Detector> => {
    const { spec, entry } = await describe(name, options);
    let threads: Promise<DetectorThreads> | undefined;
    const detect = async (texts: readonly (string | null)[]): Promise<(Detection | null)[]> => {
      if (threads === undefined) {
        threads = openThreads(spec, count);
        started.push(threads);
      }
      return (await threads).detect(texts);
    };
    return { name, fingerprint: entry.fingerprint, entry, detect };
  };
  return {
    detector(name) {
      const known = detectors.get(name) ?? open(name);
      detectors.set(name, known);
      known.catch(() => detectors.delete(name));
      return known;
    },
    async close() {
      const opened = await Promise.allSettled(started.splice(0));
      await Promise.all(opened.map((one) => (one.status === 'fulfilled' ? one.value.close() : undefined)));
    },
  };
}

async function describe(
  name: DetectorName,
  options: LanguagesOptions,
): Promise<{ spec: EngineSpec; entry: DetectorEntry }> {
  if (name === 'cld3') {
    const decisive = {
      detector: name,
      library: `cld3-asm ${libraryVersion('cld3-asm')}`,
      min_bytes: CLD3_MIN_BYTES,
      max_bytes: CLD3_MAX_BYTES,
    };
    return { spec: { name }, entry: { ...decisive, fingerprint: fingerprint(decisive) } };
  }
  const model = await findLidModel(options.lid ?? 'compressed', options);
  const decisive = ofFasttext(model.sha256);
  return {
    spec: { name, model: model.path },
    entry: { ...decisive, model: model.name, fingerprint: fingerprint(decisive) },
  };
}

/** The fingerprint of fastText with a model, without opening or downloading it. Throws `ModelError`. */
export async function fasttextFingerprint(lid: LidChoice): Promise<string> {
  return fingerprint(ofFasttext(await lidHash(lid)));
}

/** What decides fastText's answers. */
function ofFasttext(sha256: string) {
  return {
    detector: 'fasttext' as const,
    library: `fasttext.wasm.js ${libraryVersion('fasttext.wasm.js')}`,
    model_sha256: sha256,
  };
}
