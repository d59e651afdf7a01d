import type { Detection, LanguageDetector } from '../../language/types.ts';

/**
 * A detector for captions that come one by one: those that come while it is busy are asked together. What it answers
 * depends on the caption alone.
 */
export class AskedTogether {
  readonly #detector: LanguageDetector;
  #waiting: { text: string; resolve(found: Detection | null): void; reject(error: unknown): void }[] = [];
  #isBusy = false;

  constructor(detector: LanguageDetector) {
    this.#detector = detector;
  }

  ask(text: string): Promise<Detection | null> {
    const { promise, resolve, reject } = Promise.withResolvers<Detection | null>();
    this.#waiting.push({ text, resolve, reject });
    if (!this.#isBusy) void this.#answer();
    return promise;
  }

  async #answer(): Promise<void> {
    this.#isBusy = true;
    while (this.#waiting.length > 0) {
      const asked = this.#waiting;
      this.#waiting = [];
      try {
        const found = await this.#detector.detect(asked.map(({ text }) => text));
        for (const [i, { resolve }] of asked.entries()) resolve(found[i]);
      } catch (error) {
        for (const { reject } of asked) reject(error);
      }
    }
    this.#isBusy = false;
  }
}
