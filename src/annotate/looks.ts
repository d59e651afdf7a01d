/** The looks that judges take at the pictures of a metadata shard. */
import { SampleError } from '../errors.ts';
import { sniff } from '../image/sniff.ts';
import { Budget } from '../score/ahead.ts';
import type { Look, Picture, PictureJudge, PictureReading } from '../score/judge.ts';
import { DECODED_PIXELS } from '../score/prepare.ts';

/** By judge, then by picture. */
export type Looks = (Look | undefined)[][];

/** Decodes each picture once for all judges; no more than `DECODED_PIXELS` at a time. */
export class Looker {
  readonly #judges: readonly PictureJudge[];
  readonly #reading: PictureReading;
  readonly #budget = new Budget(DECODED_PIXELS);

  constructor(judges: readonly PictureJudge[], reading: PictureReading) {
    this.#judges = judges;
    this.#reading = reading;
  }

  async look(pictures: readonly (Uint8Array | undefined)[]): Promise<Looks> {
    const looks: Looks = this.#judges.map(() => new Array<Look | undefined>(pictures.length).fill(undefined));
    await Promise.all(
      pictures.map(async (bytes, row) => {
        if (bytes === undefined) return;
        await this.#decoded(bytes, (picture) => {
          for (const [j, judge] of this.#judges.entries()) looks[j][row] = judge.look(picture);
        });
      }),
    );
    return looks;
  }

  async #decoded(bytes: Uint8Array, then: (picture: Picture) => void): Promise<void> {
    const { decoder, fit } = this.#reading;
    try {
      const header = sniff(bytes);
      await this.#budget.use(header.width * header.height, async () =>
        then({ bytes, pixels: await decoder.decode(bytes, header, { fit }) }),
      );
    } catch (error) {
      if (!(error instanceof SampleError)) throw error;
      then({ bytes, pixels: undefined });
    }
  }
}
