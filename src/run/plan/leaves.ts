/** What single filters can say before a picture is decoded, and which other rows they look at. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { UsageError } from '../../errors.ts';
import type { Detection, DetectorName, LanguageDetector } from '../../language/types.ts';
import type { Json, Row } from '../../metadata/table.ts';
import { BLOCK_KINDS, parseBlockList } from '../../safety/blocklist.ts';
import type { SelectEnv } from '../../select/env.ts';
import { languageRule } from '../../select/filters/language.ts';
import { lengthRule, sizeRule } from '../../select/filters/rows.ts';
import type { LeafFilter, LeafName, Params } from '../../select/spec.ts';
import { loadEntityTable } from '../../select/text-based.ts';
import { type Answer, DROP, KEEP, UNJUDGED } from '../../select/types.ts';
import { parseSubset } from '../../uids/npy.ts';
import { UidSet } from '../../uids/uid-set.ts';
import { parseUidText } from '../../uids/uids.ts';
import { only, UNKNOWN, type Verdicts } from './verdicts.ts';
import { simpleWhere } from './where.ts';

/** What is known of a sample before its picture is decoded. */
export interface Facts {
  /** `text` is well-formed, as it will be read from the parquet. */
  row: Row;
  /** By detector, once it was asked. */
  languages: Map<DetectorName, Detection | null>;
}

export interface Leaf {
  /** Absent where nothing can be said. */
  judge?: (facts: Facts) => Verdicts;
  /** Whether `judge` always gives one answer, once `asks` is answered. */
  isSure: boolean;
  asks?: LanguageDetector;
  /** What it reads, for people. */
  reads: string;
  /** What decides its answers, without paths. */
  identity: Json;
}

/**
 * Which other rows decide what a filter says of a row: none, those that the filters before left, or all of the pool. Of
 * methods over embeddings, products are made in tiles of rows that came in, and counted as `rest`.
 */
export type Scope = 'row' | 'rest' | 'pool';

export function scopeOf(filter: LeafFilter): Scope {
  const [[name, params]] = Object.entries(filter) as [
    LeafName,
    { fraction?: number; of?: 'pool' | 'rest' },
  ][];
  switch (name) {
    case 'score':
      return params.fraction === undefined ? 'row' : params.of!;
    case 'negcliploss':
      return 'pool';
    case 'normsim':
      return params.fraction === undefined ? 'rest' : params.of!;
    case 'image_based':
    case 'near_duplicates':
    case 'unique':
    case 'balance':
    case 'cap':
      return 'rest';
    default:
      return 'row';
  }
}

export interface LeafEnv extends Pick<SelectEnv, 'readFile' | 'entities'> {
  /** The detector whose answers select will go by; `undefined` where it goes by a column that may say otherwise. */
  languages?: (by: DetectorName) => Promise<LanguageDetector | undefined>;
}

/** Throws `UsageError` where a file that the filter names is none of its kind. */
export async function leafOf(filter: LeafFilter, env: LeafEnv): Promise<Leaf> {
  if ('caption' in filter) {
    const fits = lengthRule(filter.caption);
    return plain('caption', filter, ({ row }) => only(fits(row.text) ? KEEP : DROP));
  }
  if ('size' in filter) {
    const rule = sizeRule(filter.size);
    return plain('header', filter, ({ row }) => only(rule(row.original_width, row.original_height)));
  }
  if ('language' in filter) return languageLeaf(filter.language, env);
  if ('text_based' in filter && env.entities !== undefined) {
    const bytes = await env.entities();
    const table = loadEntityTable(bytes);
    const identity = { text_based: bytesToHex(sha256(bytes)) };
    return plain('caption', identity, ({ row }) => only(table.hasEntity(row.text) ? KEEP : DROP));
  }
  if ('block' in filter) return blockLeaf(filter.block, env);
  if ('subset' in filter) {
    const bytes = await read(filter.subset, env);
    const listed = new UidSet(parseSubset(bytes, filter.subset));
    const words = new Uint32Array(4);
    const identity = { subset: bytesToHex(sha256(bytes)) };
    return plain('uid', identity, ({ row }) => {
      parseUidText(row.uid, words, 0);
      return only(listed.findWords(words, 0) >= 0 ? KEEP : DROP);
    });
  }
  if ('where' in filter) {
    const holds = simpleWhere(filter.where);
    if (holds !== undefined) return plain('header', filter, ({ row }) => only(holds(row) ? KEEP : DROP));
  }
  return { isSure: false, reads: needOf(filter), identity: 'after scores' };
}

function plain(reads: string, identity: unknown, judge: (facts: Facts) => Verdicts): Leaf {
  return { judge, isSure: true, reads, identity: JSON.parse(JSON.stringify(identity)) as Json };
}

async function languageLeaf(params: Params<'language'>, env: LeafEnv): Promise<Leaf> {
  const rule = languageRule(params);
  const detector = await env.languages?.(params.by);
  if (detector === undefined) {
    return { isSure: false, reads: 'a column that may hold other answers', identity: 'after scores' };
  }
  const identity = { language: { ...params, detector: detector.fingerprint } };
  const leaf = plain('caption', identity, ({ languages }) => {
    const found = languages.get(params.by);
    return found === undefined ? UNKNOWN : only(rule(found?.language ?? null, found?.probability ?? 0));
  });
  return { ...leaf, asks: detector };
}

const COLUMN_OF = { sha256: 'sha256', uid: 'uid', url: 'url', domain: 'url' } as const;

/** Lists of what is known now drop what they name; that a row is on no list takes all of them. */
async function blockLeaf(params: Params<'block'>, env: LeafEnv): Promise<Leaf> {
  const lists: ReturnType<typeof parseBlockList>[] = [];
  const reads: string[] = [];
  let isSure = true;
  for (const kind of BLOCK_KINDS) {
    const path = params[kind];
    if (path === undefined) continue;
    if (kind === 'pdq' || kind === 'member_sha256') {
      isSure = false;
      continue;
    }
    lists.push(parseBlockList(kind, await read(path, env), path));
    reads.push(kind === 'domain' ? 'url' : kind);
  }
  if (lists.length === 0) return { isSure, reads: 'hashes of the pictures', identity: 'after scores' };
  const identity = { block: Object.fromEntries(lists.map(({ kind, sha256: hash }) => [kind, hash])) };
  const leaf = plain([...new Set(reads)].join(', '), identity, ({ row }) => {
    let answer: Answer = KEEP;
    for (const list of lists) {
      const isListed = list.matches(row[COLUMN_OF[list.kind as keyof typeof COLUMN_OF]]);
      if (isListed === true) return only(DROP);
      if (isListed === null) answer = UNJUDGED;
    }
    return isSure ? only(answer) : UNKNOWN;
  });
  return { ...leaf, isSure };
}

async function read(path: string, { readFile }: LeafEnv): Promise<Uint8Array> {
  if (readFile === undefined)
    throw new UsageError('files that filters name cannot be read here', { file: path });
  return readFile(path);
}

/** What a filter waits for, for people. */
function needOf(filter: LeafFilter): string {
  const [name] = Object.keys(filter) as LeafName[];
  switch (name) {
    case 'score':
      return 'the score';
    case 'safe':
      return 'what classifiers say';
    case 'where':
      return 'columns, by SQL';
    case 'image_based':
    case 'normsim':
    case 'negcliploss':
    case 'near_duplicates':
      return 'embeddings';
    default:
      return 'other rows';
  }
}
