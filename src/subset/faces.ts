/**
 * Faces in the samples of a subset: blurred, or their boxes written into the JSON, or both, as DataComp's resharder
 * does. Samples without boxes pass untouched.
 *
 * A picture whose boxes make no sense, or that does not decode, is never passed on as it is: the sample is left out,
 * counted and named. (DataComp's resharder leaves it out with a traceback in its log; boxes in pixels, or with corners
 * swapped, blur nothing there.)
 */
import { SampleError } from '../errors.ts';
import { gunzipMember } from '../io/gunzip.ts';
import type { Json, JsonObject } from '../webdataset/json.ts';
import { IMAGE_EXTENSIONS } from '../webdataset/pair.ts';
import { DEFAULT_CAPS, type RawMember, type RawSample } from '../webdataset/samples.ts';
import { withField } from './json-field.ts';

/** `[x0, y0, x1, y1]` as shares of width and height, from the top left. */
export type Boxes = readonly (readonly number[])[];

/** What metadata says of faces, by uid. */
export interface FaceTable {
  /** The `face_bboxes` of a uid, null where there are none; `undefined` where the metadata has no such uid. */
  get(uid: string): unknown;
}

export interface FaceOptions {
  /** Without it, the boxes are those of the sample's own JSON, `face_bboxes`. */
  table?: FaceTable;
  /**
   * Gives the picture anew as WebP, blurred in its boxes. Without it pictures stay. Throws `SampleError`
   * `undecodable_image`, `image_too_large`.
   */
  blur?: (picture: Uint8Array, boxes: Boxes) => Promise<Uint8Array>;
  /** Write the boxes into the JSON. */
  inject?: boolean;
}

export interface FaceCounts {
  /** Samples whose picture was blurred, and how many boxes that were. */
  blurred: number;
  boxes: number;
  /** Samples whose JSON was given their boxes. */
  injected: number;
  /** Samples that the metadata does not know: passed on as they are. */
  unknown: number;
  /** Further pictures of blurred samples, which would show the faces still: left out. */
  pictures: number;
}

export type FaceOutcome =
  | { members: readonly RawMember[] }
  /** Why the sample cannot be passed on: `bad_face_bboxes`, or a reason of `SampleError`. */
  | { reason: string; detail: string };

export class Faces {
  readonly counts: FaceCounts = { blurred: 0, boxes: 0, injected: 0, unknown: 0, pictures: 0 };
  readonly #options: FaceOptions;

  constructor(options: FaceOptions) {
    this.#options = options;
  }

  /** @param json of the sample, `undefined` where it has none. */
  async apply(sample: RawSample, uid: string, json: JsonObject | undefined): Promise<FaceOutcome> {
    const { table, blur, inject } = this.#options;
    const said = table === undefined ? (json?.['face_bboxes'] ?? null) : table.get(uid);
    if (said === undefined) {
      this.counts.unknown++;
      return sample;
    }
    const boxes = boxesOf(said);
    if (typeof boxes === 'string') return { reason: 'bad_face_bboxes', detail: boxes };
    if (boxes.length === 0) return sample;
    try {
      const members = blur === undefined ? sample.members : await this.#blurred(sample, boxes, blur);
      // What the JSON said itself it says already.
      return { members: inject && table !== undefined ? this.#injected(members, boxes) : members };
    } catch (error) {
      if (!(error instanceof SampleError)) throw error;
      return { reason: error.reason, detail: error.message };
    }
  }

  async #blurred(
    sample: RawSample,
    boxes: Boxes,
    blur: NonNullable<FaceOptions['blur']>,
  ): Promise<RawMember[]> {
    const first = IMAGE_EXTENSIONS.flatMap((ext) => [ext, `${ext}.gz`])
      .map((ext) => sample.members.find((member) => member.ext === ext))
      .find((member) => member !== undefined);
    if (first === undefined)
      throw new SampleError('no_image', 'boxes of faces, and no picture', { key: sample.key });
    const picture = first.gz ? gunzipMember(first.bytes, DEFAULT_CAPS.member) : first.bytes;
    const bytes = await blur(picture, boxes);
    const webp: RawMember = { ...first, ext: 'webp', name: `${sample.key}.webp`, bytes, gz: false };
    const rest = sample.members.filter((member) => member === first || !isPicture(member));
    this.counts.blurred++;
    this.counts.boxes += boxes.length;
    this.counts.pictures += sample.members.length - rest.length;
    return rest.map((member) => (member === first ? webp : member));
  }

  #injected(members: readonly RawMember[], boxes: Boxes): RawMember[] {
    this.counts.injected++;
    return members.map((member) => {
      // A packed JSON would have to be packed anew; img2dataset writes none.
      if (member.ext !== 'json') return member;
      const text = withField(new TextDecoder().decode(member.bytes), 'face_bboxes', JSON.stringify(boxes));
      return { ...member, bytes: new TextEncoder().encode(text) };
    });
  }
}

function isPicture({ ext }: RawMember): boolean {
  return IMAGE_EXTENSIONS.some((known) => ext === known || ext === `${known}.gz`);
}

/**
 * The boxes of a `face_bboxes`, `[]` where it is null, or what is wrong with them. A box may reach over the picture's
 * edge; one that does not touch the picture at all is in another unit (pixels), and blurring by it would blur nothing.
 */
export function boxesOf(value: unknown): Boxes | string {
  if (value === null) return [];
  if (!Array.isArray(value)) return `face_bboxes is ${shown(value)} and no list`;
  for (const box of value as Json[]) {
    if (!Array.isArray(box) || box.length !== 4 || !box.every((side) => typeof side === 'number')) {
      return `the box ${shown(box)} is not four numbers`;
    }
    const [x0, y0, x1, y1] = box as number[];
    if (![x0, y0, x1, y1].every(Number.isFinite)) return `the box ${shown(box)} has a number that is none`;
    if (x1 < x0 || y1 < y0) return `the box ${shown(box)} has its corners swapped`;
    if (x0 >= 1 || y0 >= 1 || x1 <= 0 || y1 <= 0) return `the box ${shown(box)} lies outside of the picture`;
  }
  return value as Boxes;
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 80);
}
