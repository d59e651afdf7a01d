import { MetadataError } from '../../src/errors.ts';
import type { Folder, Sink } from '../../src/io/bytes.ts';

/** A `Folder` in memory that records what is done to it and can fail on demand. */
export class MemoryFolder implements Folder {
  readonly label: string;
  readonly files = new Map<string, Uint8Array>();
  /** `create`, `commit`, `remove`, `abort`, `list` and the name, in order. */
  readonly log: string[] = [];
  /** Throws at the operation that it names, such as `commit a.parquet`. */
  failAt: string | undefined;

  constructor(label = 'memory', files: { [name: string]: Uint8Array | string } = {}) {
    this.label = label;
    for (const [name, content] of Object.entries(files)) {
      this.files.set(name, typeof content === 'string' ? new TextEncoder().encode(content) : content);
    }
  }

  async list(): Promise<string[]> {
    this.#note('list');
    return [...this.files.keys()].sort();
  }

  async has(name: string): Promise<boolean> {
    return this.files.has(name);
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    return this.files.get(name);
  }

  async open(
    name: string,
  ): Promise<{ size: number; slice(start: number, end: number): Promise<Uint8Array> }> {
    const bytes = this.files.get(name);
    if (!bytes) throw new MetadataError('no such file', { file: name });
    return {
      size: bytes.length,
      async slice(start, end) {
        if (start < 0 || end > bytes.length || start > end)
          throw new RangeError(`${start}…${end} of ${bytes.length}`);
        return bytes.subarray(start, end);
      },
    };
  }

  async create(name: string): Promise<Sink> {
    this.#note(`create ${name}`);
    const parts: Uint8Array[] = [];
    return {
      name,
      write: async (bytes) => {
        this.#note(`write ${name}`, false);
        parts.push(bytes.slice());
      },
      commit: async () => {
        this.#note(`commit ${name}`);
        const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
        let at = 0;
        for (const part of parts) {
          all.set(part, at);
          at += part.length;
        }
        this.files.set(name, all);
      },
      abort: async () => this.#note(`abort ${name}`),
    };
  }

  async remove(name: string): Promise<void> {
    this.#note(`remove ${name}`);
    this.files.delete(name);
  }

  text(name: string): string {
    return new TextDecoder().decode(this.files.get(name));
  }

  #note(event: string, keep = true): void {
    if (keep) this.log.push(event);
    if (event === this.failAt) throw new Error(`failed on demand: ${event}`);
  }
}
