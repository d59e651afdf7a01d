/**
 * A text classifier (toxicity, say) that people bring: a sequence classifier as ONNX, with the `config.json` and
 * `tokenizer.json` that lie beside it in its repository.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { ModelError } from '../../errors.ts';
import type { Session, SessionFactory, Tensor } from '../../onnx/session.ts';
import { type Port, readSignature } from '../../onnx/signature.ts';
import { type Activation, parseTextConfig, type TextClassifierConfig } from './config.ts';
import { createTextTokenizer, type TextTokenizer } from './tokenizer.ts';

/** Texts a run, of like length. */
const BATCH = 32;
/** Counts up when code changes a number. */
const VERSION = 1;

export interface TextClassifier {
  /** What the columns of an answer stand for, as the model's config names them. */
  readonly labels: readonly string[];
  readonly activation: Activation;
  /** Hex; of everything that decides the numbers: model, tokenizer, configs, code, provider. */
  readonly fingerprint: string;
  /**
   * Scores float32 `[texts.length, labels.length]`, 0–1 unless the model is a regression. A text that is too long is
   * judged by its beginning; an absent one (`null`) has NaN. Throws `ModelError`.
   */
  classify(texts: readonly (string | null)[]): Promise<Float32Array>;
  release(): Promise<void>;
}

export interface TextClassifierFiles {
  /** The bytes of the `.onnx` file. */
  model: Uint8Array;
  /** Texts of the JSON files; `tokenizer_config.json` may be absent. */
  config: string;
  tokenizer: string;
  tokenizerConfig?: string;
  /** For messages. */
  name: string;
}

/** Throws `ModelError` naming the file and field that is not what it must be. */
export async function loadTextClassifier(
  files: TextClassifierFiles,
  sessions: SessionFactory,
): Promise<TextClassifier> {
  const { model, name } = files;
  const tokenizerConfig =
    files.tokenizerConfig === undefined
      ? undefined
      : parseJson(files.tokenizerConfig, `${name}/tokenizer_config.json`);
  const config = parseTextConfig(
    parseJson(files.config, `${name}/config.json`),
    tokenizerConfig,
    `${name}/config.json`,
  );
  const tokenizerFile = `${name}/tokenizer.json`;
  const tokenizerJson = parseJson(files.tokenizer, tokenizerFile);
  const tokenizer = createTextTokenizer(tokenizerJson, tokenizerConfig, config.maxTokens, tokenizerFile);
  const { inputs, outputs } = readSignature(model, name);
  checkInputs(inputs, name);
  const output = outputs.find((port) => port.name === 'logits') ?? outputs[0];
  if (output?.type !== 'float32') throw new ModelError('the model gives no float32 logits', { file: name });
  const texts = [files.config, files.tokenizer, files.tokenizerConfig ?? ''];
  const hashes = [model, ...texts.map(utf8ToBytes)].map((bytes) => bytesToHex(sha256(bytes)));
  const settings = JSON.stringify(['text-classifier', VERSION, ...hashes, sessions.provider]);
  const fingerprint = bytesToHex(sha256(utf8ToBytes(settings))).slice(0, 32);
  return new Loaded(await sessions.create(model), config, tokenizer, inputs, output.name, fingerprint);
}

/** Makes what each known input is fed from a batch of ids; the answers are in rows of `length`. */
const FEEDS: Record<string, (id: number | undefined, padId: number) => number> = {
  input_ids: (id, padId) => id ?? padId,
  attention_mask: (id) => (id === undefined ? 0 : 1),
  token_type_ids: () => 0,
};

function checkInputs(inputs: readonly Port[], file: string): void {
  if (!inputs.some(({ name }) => name === 'input_ids')) {
    throw new ModelError('the model takes no input_ids: it is no text classifier', { file });
  }
  for (const { name, type } of inputs) {
    if (!Object.hasOwn(FEEDS, name) || (type !== 'int64' && type !== 'int32')) {
      throw new ModelError(`the model takes an input that is not known: ${name.slice(0, 60)}`, {
        file,
        hint: 'It must take input_ids, attention_mask and token_type_ids, as int64 or int32, and no others',
      });
    }
  }
}

class Loaded implements TextClassifier {
  readonly labels: readonly string[];
  readonly activation: Activation;
  readonly fingerprint: string;
  readonly #session: Session;
  readonly #padId: number;
  readonly #tokenizer: TextTokenizer;
  readonly #inputs: readonly Port[];
  readonly #output: string;

  constructor(
    session: Session,
    config: TextClassifierConfig,
    tokenizer: TextTokenizer,
    inputs: readonly Port[],
    output: string,
    fingerprint: string,
  ) {
    this.labels = config.labels;
    this.activation = config.activation;
    this.fingerprint = fingerprint;
    this.#session = session;
    this.#padId = config.padId;
    this.#tokenizer = tokenizer;
    this.#inputs = inputs;
    this.#output = output;
  }

  async classify(texts: readonly (string | null)[]): Promise<Float32Array> {
    const width = this.labels.length;
    const out = new Float32Array(texts.length * width).fill(Number.NaN);
    const rows = texts.flatMap((text, at) =>
      text === null ? [] : [{ at, ids: this.#tokenizer.encode(text) }],
    );
    // Padding costs as much as words do. The sort is stable: the batches are a pure function of the texts.
    rows.sort((a, b) => a.ids.length - b.ids.length);
    for (let start = 0; start < rows.length; start += BATCH) {
      const batch = rows.slice(start, start + BATCH);
      const logits = await this.#run(batch.map(({ ids }) => ids));
      for (const [i, { at }] of batch.entries()) {
        out.set(activate(logits.subarray(i * width, (i + 1) * width), this.activation), at * width);
      }
    }
    return out;
  }

  release(): Promise<void> {
    return this.#session.release();
  }

  async #run(batch: readonly number[][]): Promise<Float32Array> {
    const length = Math.max(...batch.map((ids) => ids.length));
    const dims = [batch.length, length];
    const feeds: Record<string, Tensor> = {};
    for (const { name, type } of this.#inputs) {
      const values = batch.flatMap((ids) =>
        Array.from({ length }, (_, i) => FEEDS[name](ids[i], this.#padId)),
      );
      feeds[name] =
        type === 'int64'
          ? { type, dims, data: BigInt64Array.from(values, BigInt) }
          : { type: 'int32', dims, data: Int32Array.from(values) };
    }
    const answer = (await this.#session.run(feeds))[this.#output];
    if (answer?.type !== 'float32' || answer.data.length !== batch.length * this.labels.length) {
      throw new ModelError(`the model's answer is not ${batch.length} rows of ${this.labels.length} labels`, {
        hint: 'Its config.json is of another model: id2label has another number of labels',
      });
    }
    return answer.data;
  }
}

function activate(logits: Float32Array, activation: Activation): Float32Array {
  if (activation === 'none') return logits;
  if (activation === 'sigmoid') return logits.map((x) => 1 / (1 + Math.exp(-x)));
  const top = Math.max(...logits);
  const powers = Float64Array.from(logits, (x) => Math.exp(x - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return Float32Array.from(powers, (x) => x / sum);
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ModelError('the file is not JSON', { file, cause });
  }
}
