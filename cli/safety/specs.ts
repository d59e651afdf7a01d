/** What `--safety` and a recipe's `safety` name. */
import { UsageError } from '../../src/errors.ts';
import { KNOWN_HEADS } from '../../src/safety/heads/known.ts';
import { nearestName } from '../models/aliases.ts';

export type SafetySpec =
  | { kind: 'nsfwjs' }
  | { kind: 'hashes' }
  /** A published head, by the name it is pulled under. */
  | { kind: 'known'; alias: string }
  /** A head's file. */
  | { kind: 'head'; file: string }
  /** A concept file; the default one where it is absent. */
  | { kind: 'concepts'; file?: string }
  /** A word list: a file, or the language of a built-in one; English where it is absent. */
  | { kind: 'words'; list?: string }
  /** A text classifier: `hf-hub:org/name[@revision]` or `local-dir:PATH`. */
  | { kind: 'text'; model: string };

/** Of those, heads over a model's image embeddings. */
export type HeadSpec = Extract<SafetySpec, { kind: 'known' | 'head' | 'concepts' }>;

const PLAIN = ['nsfwjs', 'hashes', 'words', 'concepts', ...KNOWN_HEADS.map(({ alias }) => alias)];
const WITH_VALUE = ['concepts:FILE', 'head:FILE', 'words:FILE', 'text:MODEL'];

/** What `--safety` takes, for help and hints. */
export const SAFETY_NAMES = [...PLAIN, ...WITH_VALUE].join(', ');

/** Reads specs, each of one or more with commas between; the same one twice is one. Throws `UsageError`. */
export function parseSafety(texts: readonly string[]): SafetySpec[] {
  const all = texts.flatMap((text) => text.split(',')).map((text) => text.trim());
  return [...new Set(all)].map(parseOne);
}

/** `--head`: what `--safety` takes, heads only. Throws `UsageError`. */
export function parseHeads(texts: readonly string[]): HeadSpec[] {
  return parseSafety(texts).map((spec) => {
    if (isHead(spec)) return spec;
    throw new UsageError(`--head ${spec.kind}: that is no head over embeddings`, {
      hint: 'There is concepts, concepts:FILE, head:FILE and the published heads: shardsieve heads list',
    });
  });
}

export function isHead(spec: SafetySpec): spec is HeadSpec {
  return spec.kind === 'known' || spec.kind === 'head' || spec.kind === 'concepts';
}

function parseOne(text: string): SafetySpec {
  const colon = text.indexOf(':');
  const name = colon < 0 ? text : text.slice(0, colon);
  const value = colon < 0 ? undefined : text.slice(colon + 1);
  if (value === '')
    throw new UsageError(`--safety ${name}: names nothing behind its colon`, { hint: hint(text) });
  if (name === 'concepts')
    return value === undefined ? { kind: 'concepts' } : { kind: 'concepts', file: value };
  if (name === 'words') return value === undefined ? { kind: 'words' } : { kind: 'words', list: value };
  if (name === 'head' && value !== undefined) return { kind: 'head', file: value };
  if (name === 'text' && value !== undefined) return { kind: 'text', model: value };
  if (value === undefined && (name === 'nsfwjs' || name === 'hashes')) return { kind: name };
  if (value === undefined && KNOWN_HEADS.some(({ alias }) => alias === name))
    return { kind: 'known', alias: name };
  throw new UsageError(`--safety knows no ${JSON.stringify(text.slice(0, 200))}`, { hint: hint(name) });
}

function hint(name: string): string {
  const nearest = nearestName(name, [...PLAIN, 'head', 'text']);
  return `${nearest === undefined || nearest === name ? '' : `Did you mean ${nearest}? `}There is ${SAFETY_NAMES}`;
}
