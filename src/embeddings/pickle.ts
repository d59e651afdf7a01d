/**
 * Python's pickle as data: a stack machine over the few opcodes with which torch writes tensors and NumPy arrays,
 * protocols 2 to 5. Nothing is imported and nothing is called but the functions of an allow-list that the caller hands
 * in; any other global or opcode ends the reading with its name. Opcodes: CPython's `pickletools.py`.
 *
 * Every length is checked against the bytes that are left, values are shared and never copied by reference (a memo
 * cannot multiply them), and nothing here recurses: the work is bounded by the size of the pickle.
 */
import { MetadataError } from '../errors.ts';

/** A global of the allow-list, not yet called. */
export class Global {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

export class Tuple {
  readonly items: readonly PickleValue[];
  constructor(items: readonly PickleValue[]) {
    this.items = items;
  }
}

/** A text too long to be a name, as UTF-8: NumPy's values under protocol 2. */
export class LongText {
  readonly utf8: Uint8Array;
  constructor(utf8: Uint8Array) {
    this.utf8 = utf8;
  }
}

/** What an allowed function made: the caller's own. */
export class Made<T = unknown> {
  readonly value: T;
  constructor(value: T) {
    this.value = value;
  }
}

export type PickleValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | LongText
  | Tuple
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Global
  | Made;

export interface PickleRules {
  /** For messages. */
  file: string;
  /** Globals by `module name`: what calling one gives. A global that is only named has a function that throws. */
  globals: ReadonlyMap<string, (args: readonly PickleValue[]) => PickleValue>;
  /** Sets an object's state. */
  build(object: PickleValue, state: PickleValue): void;
  /** What a persistent id stands for. */
  persistent(id: PickleValue): PickleValue;
}

/** A tensor takes some twenty; each can make a value that is far larger than its byte. */
const MAX_OPCODES = 1_000_000;
/** Texts up to this are names and keys. */
const SHORT_TEXT = 64 * 1024;
const MARK = Symbol('mark');
type Slot = PickleValue | typeof MARK;

/** The value of the first pickle in `bytes`. Throws `MetadataError` where it is damaged or not allowed. */
export function readPickle(bytes: Uint8Array, rules: PickleRules): PickleValue {
  return new Machine(bytes, rules).run();
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #rules: PickleRules;
  readonly #stack: Slot[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #at = 0;

  constructor(bytes: Uint8Array, rules: PickleRules) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#rules = rules;
  }

  run(): PickleValue {
    for (let count = 0; ; count++) {
      if (count === MAX_OPCODES)
        throw this.#fail(`more than ${MAX_OPCODES} opcodes, as no file of tensors has`);
      const at = this.#at;
      const op = this.#u8();
      if (op === 0x2e) return this.#pop();
      if (!this.#constant(op) && !this.#container(op) && !this.#reference(op)) {
        throw this.#fail(`the opcode 0x${op.toString(16).padStart(2, '0')} at byte ${at} is not allowed`);
      }
    }
  }

  /** Numbers, texts, bytes. */
  #constant(op: number): boolean {
    const { length } = this.#stack;
    if (op === 0x80) {
      const protocol = this.#u8();
      if (protocol < 2 || protocol > 5) throw this.#fail(`pickle protocol ${protocol} is not read`);
      return true;
    }
    // FRAME: its length promises bytes that the opcodes themselves are checked for.
    if (op === 0x95) this.#length(8);
    else if (op === 0x4e) this.#push(null);
    else if (op === 0x88 || op === 0x89) this.#push(op === 0x88);
    else if (op === 0x4b) this.#push(this.#u8());
    else if (op === 0x4d) this.#push(this.#unsigned(2));
    else if (op === 0x4a) this.#push(this.#unsigned(4) | 0);
    else if (op === 0x8a) this.#push(this.#long(this.#u8()));
    else if (op === 0x47) this.#push(this.#float());
    else if (op === 0x8c || op === 0x58 || op === 0x8d) {
      this.#push(this.#text(this.#take(this.#length(op === 0x8c ? 1 : op === 0x58 ? 4 : 8))));
    } else if (op === 0x43 || op === 0x42 || op === 0x8e || op === 0x96) {
      this.#push(this.#take(this.#length(op === 0x43 ? 1 : op === 0x42 ? 4 : 8)));
    }
    return op === 0x95 || this.#stack.length > length;
  }

  /** Tuples, lists, dicts. */
  #container(op: number): boolean {
    if (op === 0x28) this.#stack.push(MARK);
    else if (op === 0x29) this.#push(new Tuple([]));
    else if (op >= 0x85 && op <= 0x87) this.#push(new Tuple(this.#popMany(op - 0x84)));
    else if (op === 0x74) this.#push(new Tuple(this.#popToMark()));
    else if (op === 0x5d) this.#push([]);
    else if (op === 0x7d) this.#push(new Map());
    else if (op === 0x61 || op === 0x65) {
      const items = op === 0x61 ? this.#popMany(1) : this.#popToMark();
      const list = this.#top();
      if (!Array.isArray(list)) throw this.#fail('it appends to what is no list');
      for (const item of items) list.push(item);
    } else if (op === 0x73 || op === 0x75) {
      const items = op === 0x73 ? this.#popMany(2) : this.#popToMark();
      const dict = this.#top();
      if (!(dict instanceof Map) || items.length % 2 !== 0)
        throw this.#fail('it sets items of what is no dict');
      for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
    } else return false;
    return true;
  }

  /** The memo, globals and calls. */
  #reference(op: number): boolean {
    if (op === 0x71 || op === 0x72) this.#memo.set(this.#unsigned(op === 0x71 ? 1 : 4), this.#top());
    else if (op === 0x94) this.#memo.set(this.#memo.size, this.#top());
    else if (op === 0x68 || op === 0x6a) {
      const value = this.#memo.get(this.#unsigned(op === 0x68 ? 1 : 4));
      if (value === undefined) throw this.#fail('it recalls what was never noted');
      this.#push(value);
    } else if (op === 0x63) this.#push(this.#global(this.#line(), this.#line()));
    else if (op === 0x93) {
      const [module, name] = this.#popMany(2);
      this.#push(this.#global(module, name));
    } else if (op === 0x51) this.#push(this.#rules.persistent(this.#pop()));
    else if (op === 0x52) {
      const [callee, args] = this.#popMany(2);
      if (!(callee instanceof Global) || !(args instanceof Tuple))
        throw this.#fail('it calls what is no function');
      const made = this.#rules.globals.get(callee.name)?.(args.items);
      this.#push(made ?? null);
    } else if (op === 0x62) {
      const state = this.#pop();
      this.#rules.build(this.#top(), state);
    } else return false;
    return true;
  }

  #global(module: PickleValue, name: PickleValue): Global {
    const full = `${String(module)} ${String(name)}`.slice(0, 200);
    if (typeof module === 'string' && typeof name === 'string' && this.#rules.globals.has(full))
      return new Global(full);
    throw new MetadataError(
      `the file asks for ${full.replace(' ', '.')}, which is not read: nothing in it is run`,
      {
        file: this.#rules.file,
        hint: 'Only tensors and NumPy arrays are read. Load it where you trust it and write the array with numpy.save',
      },
    );
  }

  #push(value: PickleValue): void {
    this.#stack.push(value);
  }

  #pop(): PickleValue {
    return this.#popMany(1)[0];
  }

  #top(): PickleValue {
    const top = this.#pop();
    this.#push(top);
    return top;
  }

  #popMany(count: number): PickleValue[] {
    const values = this.#stack.splice(Math.max(0, this.#stack.length - count));
    if (values.length < count || values.includes(MARK))
      throw this.#fail('it takes values that are not there');
    return values.filter((value) => value !== MARK);
  }

  #popToMark(): PickleValue[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) throw this.#fail('it takes values that are not there');
    const values = this.#stack.splice(mark).slice(1);
    return values.filter((value) => value !== MARK);
  }

  #take(length: number): Uint8Array {
    const start = this.#at;
    if (length > this.#bytes.length - start) throw this.#fail('it ends too early');
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  #u8(): number {
    return this.#take(1)[0];
  }

  #unsigned(width: number): number {
    return this.#take(width).reduceRight((value, byte) => value * 256 + byte, 0);
  }

  /** A length, which may not promise more than there is. */
  #length(width: number): number {
    const length = this.#unsigned(width);
    if (length > this.#bytes.length - this.#at)
      throw this.#fail(`a length of ${length} bytes, more than there are`);
    return length;
  }

  #float(): number {
    this.#take(8);
    return this.#view.getFloat64(this.#at - 8);
  }

  /** A signed number, which as a size or an offset has to be exact. */
  #long(width: number): number {
    if (width > 8) return Number.NaN;
    const bytes = this.#take(width);
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) value = value * 256n + BigInt(bytes[i]);
    const number = Number(width === 0 ? 0n : BigInt.asIntN(8 * width, value));
    return Number.isSafeInteger(number) ? number : Number.NaN;
  }

  #text(utf8: Uint8Array): PickleValue {
    return utf8.length > SHORT_TEXT ? new LongText(utf8) : new TextDecoder().decode(utf8);
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0 || end - this.#at > 1000) throw this.#fail('a global without a name');
    const line = this.#take(end - this.#at);
    this.#at++;
    return new TextDecoder().decode(line);
  }

  #fail(what: string): MetadataError {
    return new MetadataError(`the pickle cannot be read: ${what}`, { file: this.#rules.file });
  }
}
