import { MetadataError } from '../errors.ts';
import type { Finding, FindingCode } from '../metadata/findings.ts';
import { needingSafety, needingWholePool } from './inspect.ts';
import type { Filter } from './spec.ts';

/** What makes the numbers of a pool ones that cannot be compared, or its rows ones that cannot be counted. */
const NEVER: ReadonlySet<FindingCode> = new Set([
  'accounting',
  'damaged',
  'fingerprint',
  'mixed_models',
  'part_lists_differ',
  'repeated_shard',
  'rows_differ',
]);
/** What of the pool is not there: a threshold can do with the rest, a fraction cannot. */
const PARTIAL: ReadonlySet<FindingCode> = new Set([
  'failed_shards',
  'filtered',
  'missing_parts',
  'not_scored',
  'pilot',
]);

/**
 * Refuses folders that these filters cannot be applied to. Throws `MetadataError` with the first reason, and says how
 * many more there are; gives back what is worth a note.
 */
export function guard(
  findings: readonly Finding[],
  filters: readonly Filter[],
  options: { allowPartial?: boolean; sameRun?: boolean } = {},
): string[] {
  const whole = needingWholePool(filters);
  const fatal = findings.filter(({ code }) => NEVER.has(code));
  if (fatal.length > 0) throw refusal(fatal, '', '');
  const mixed = findings.filter(({ code }) => code === 'mixed_safety');
  if (mixed.length > 0 && readsPunsafe(filters)) throw refusal(mixed, '', '');
  const partial = findings.filter(({ code }) => PARTIAL.has(code));
  if (partial.length > 0 && whole.length > 0 && !options.allowPartial) {
    throw refusal(
      partial,
      `not all of the pool is here, and ${whole.join(', ')} would be of the part: `,
      ', or add --allow-partial',
    );
  }
  // The run that filters says itself what it did not score.
  const told = partial.filter(({ code }) => !(options.sameRun && code === 'filtered'));
  return told.map((finding) => `${finding.folder}: ${describe(finding)}`);
}

/** Whether filters read what classifiers say together: by name, or in a predicate. */
export function readsPunsafe(filters: readonly Filter[]): boolean {
  return needingSafety(filters).classifier || /punsafe|nsfw_tag/i.test(JSON.stringify(filters));
}

function refusal(findings: readonly Finding[], prefix: string, otherwise: string): MetadataError {
  const [first, ...more] = findings;
  const rest = more.length > 0 ? `; and ${more.length} more, which \`shardsieve verify\` lists` : '';
  return new MetadataError(`${prefix}${describe(first)}${rest}`, {
    file: first.places.length === 1 ? `${first.folder}/${first.places[0].file}` : first.folder,
    ...(first.column === undefined ? {} : { column: first.column }),
    hint: `${first.hint}${otherwise}`,
  });
}

function describe({ message, places }: Finding): string {
  const named = places.slice(0, 3).map(({ file }) => file);
  const list = named.length > 0 ? `: ${named.join(', ')}${places.length > 3 ? ', …' : ''}` : '';
  return `${message}${list}`;
}
