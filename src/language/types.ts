/**
 * Which language a caption is in, by the two detectors that DataComp's baselines ask. They are WebAssembly and run
 * in threads, so a platform hands them in.
 */

export type DetectorName = 'fasttext' | 'cld3';

export interface Detection {
  /** As the detector writes it: `en`, `zh`; CLD3 also `zh-Latn` and, where it cannot say, `und`. */
  language: string;
  /** 0 to 1, float32. */
  probability: number;
}

/**
 * Answers depend on the text alone: not on its neighbours, the order, or the number of threads. A newline counts as
 * a space, as in DataComp.
 */
export interface LanguageDetector {
  readonly name: DetectorName;
  /** Of everything that decides the answers: the model's hash, the library, its parameters. */
  readonly fingerprint: string;
  /** One answer a text, in order; `null` for a caption that is `null`. */
  detect(texts: readonly (string | null)[]): Promise<(Detection | null)[]>;
}
