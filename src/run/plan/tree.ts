/** Filters as trees of what can be said before decoding. */
import type { LanguageDetector } from '../../language/types.ts';
import type { Json } from '../../metadata/table.ts';
import { parseFilters } from '../../select/parse.ts';
import { presetFilters } from '../../select/presets.ts';
import type { Filter, LeafFilter } from '../../select/spec.ts';
import { type Facts, type Leaf, type LeafEnv, leafOf, type Scope, scopeOf } from './leaves.ts';
import { join, not, UNKNOWN, type Verdicts } from './verdicts.ts';

export type Tree =
  | { kind: 'leaf'; filter: LeafFilter; leaf: Leaf }
  | { kind: 'not'; part: Tree }
  | { kind: 'all' | 'any' | 'sequence'; parts: Tree[] };

/** The filters that are applied one after another: presets and sequences are lists of them. */
export function inOrder(filters: readonly Filter[]): Filter[] {
  return filters.flatMap((filter) => {
    if ('preset' in filter) return inOrder(parseFilters(presetFilters(filter.preset)));
    return 'sequence' in filter ? inOrder(filter.sequence) : [filter];
  });
}

export async function treeOf(filter: Filter, env: LeafEnv): Promise<Tree> {
  if ('not' in filter) return { kind: 'not', part: await treeOf(filter.not, env) };
  const several = async (kind: 'all' | 'any' | 'sequence', filters: readonly Filter[]): Promise<Tree> => {
    const parts: Tree[] = [];
    for (const one of filters) parts.push(await treeOf(one, env));
    return { kind, parts };
  };
  if ('preset' in filter) return several('sequence', parseFilters(presetFilters(filter.preset)));
  if ('all' in filter) return several('all', filter.all);
  if ('any' in filter) return several('any', filter.any);
  if ('sequence' in filter) return several('sequence', filter.sequence);
  return { kind: 'leaf', filter, leaf: await leafOf(filter, env) };
}

/** The filters that hold no others. */
export function leavesIn(filter: Filter): LeafFilter[] {
  if ('not' in filter) return leavesIn(filter.not);
  if ('preset' in filter) return parseFilters(presetFilters(filter.preset)).flatMap(leavesIn);
  for (const kind of ['all', 'any', 'sequence'] as const) {
    const parts = (filter as { [name: string]: unknown })[kind] as Filter[] | undefined;
    if (parts !== undefined) return parts.flatMap(leavesIn);
  }
  return [filter as LeafFilter];
}

/** The widest of its leaves. */
export function scopeIn(filter: Filter): Scope {
  const scopes = leavesIn(filter).map(scopeOf);
  return scopes.includes('pool') ? 'pool' : scopes.includes('rest') ? 'rest' : 'row';
}

export function judge(tree: Tree, facts: Facts): Verdicts {
  if (tree.kind === 'leaf') return tree.leaf.judge?.(facts) ?? UNKNOWN;
  if (tree.kind === 'not') return not(judge(tree.part, facts));
  return join(
    tree.kind,
    tree.parts.map((part) => judge(part, facts)),
  );
}

export function isSure(tree: Tree): boolean {
  if (tree.kind === 'leaf') return tree.leaf.isSure;
  return tree.kind === 'not' ? isSure(tree.part) : tree.parts.every(isSure);
}

/** What may come of a tree whose leaves answer whatever they can: whether it is ever surely out, or surely kept. */
export function reach(tree: Tree): { out: boolean; kept: boolean } {
  if (tree.kind === 'leaf') {
    // A leaf that is not sure may know what is out: a list that names a row.
    const { judge, isSure } = tree.leaf;
    return { out: judge !== undefined, kept: judge !== undefined && isSure };
  }
  if (tree.kind === 'not') {
    const { out, kept } = reach(tree.part);
    return { out: kept, kept: out };
  }
  const parts = tree.parts.map(reach);
  const [every, some] = [parts.every.bind(parts), parts.some.bind(parts)];
  return tree.kind === 'any'
    ? { out: every(({ out }) => out), kept: some(({ kept }) => kept) }
    : { out: some(({ out }) => out), kept: every(({ kept }) => kept) };
}

export function leavesOf(tree: Tree): Leaf[] {
  if (tree.kind === 'leaf') return [tree.leaf];
  return tree.kind === 'not' ? leavesOf(tree.part) : tree.parts.flatMap(leavesOf);
}

/** The detectors that have to be asked for a full answer. */
export function asksIn(tree: Tree): LanguageDetector[] {
  return leavesOf(tree).flatMap(({ asks }) => asks ?? []);
}

/** What decides the tree's answers. */
export function identityOf(tree: Tree): Json {
  if (tree.kind === 'leaf') return tree.leaf.identity;
  return { [tree.kind]: tree.kind === 'not' ? identityOf(tree.part) : tree.parts.map(identityOf) };
}
