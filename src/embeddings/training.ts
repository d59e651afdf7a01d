import { mapAhead } from '../score/ahead.ts';
import { checkpoint, TILE } from './matmul.ts';
import { gather, pieceRows } from './stream.ts';
import { type EmbeddingFile, type Float32Matrix, type Side, slice } from './types.ts';

const MEMORY = 512 * 1024 * 1024;

/** The rows of a training, passed over again and again: held where they fit, read again where they do not. */
export class Training {
  /** Rows of the pool in the order drawn; all rows where absent. */
  readonly order: Uint32Array | undefined;
  readonly rows: number;
  /** Number of pieces. */
  readonly pieces: number;
  /** Rows passed by in all passes so far. */
  done = 0;
  readonly #files: readonly EmbeddingFile[];
  readonly #side: Side;
  readonly #signal: AbortSignal | undefined;
  readonly #memory: number;
  readonly #sorted: Uint32Array | undefined;
  readonly #held = new Map<number, Float32Matrix>();
  #heldBytes = 0;

  constructor(
    files: readonly EmbeddingFile[],
    { order, total }: { order?: Uint32Array; total: number },
    { side = 'image', memory = MEMORY, signal }: { side?: Side; memory?: number; signal?: AbortSignal },
  ) {
    this.order = order;
    this.#sorted = order?.slice().sort();
    this.rows = order?.length ?? total;
    this.pieces = Math.ceil(this.rows / TILE);
    this.#files = files;
    this.#side = side;
    this.#memory = memory;
    this.#signal = signal;
  }

  /** All pieces once, in the order of the pool or in that given. The matrices may not be changed. */
  async *pass(order?: Uint32Array): AsyncGenerator<Float32Matrix, void, undefined> {
    const { pieces } = this;
    const numbers = async function* () {
      for (let i = 0; i < pieces; i++) yield order?.[i] ?? i;
    };
    for await (const matrix of mapAhead(numbers(), 2, (piece) => this.#piece(piece))) {
      checkpoint(this.#signal);
      this.done += matrix.rows;
      yield matrix;
    }
  }

  async #piece(piece: number): Promise<Float32Matrix> {
    const held = this.#held.get(piece);
    if (held !== undefined) return held;
    const rows = pieceRows(this.rows, piece * TILE, this.#sorted);
    const matrix = await gather(this.#files, this.#side, rows);
    const bytes = matrix.rows * matrix.dim * 4;
    if (this.#heldBytes + bytes > this.#memory) return matrix;
    this.#heldBytes += bytes;
    const kept = slice(matrix, 0, matrix.rows);
    this.#held.set(piece, kept);
    return kept;
  }
}
