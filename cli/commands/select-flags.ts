import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../../src/errors.ts';
import { BLOCK_KINDS } from '../../src/safety/blocklist.ts';
import { PDQ_DISTANCE } from '../../src/safety/pdq/index.ts';
import { takesBound } from '../../src/select/presets.ts';
import { type FilterInput, PRESETS, type PresetName } from '../../src/select/spec.ts';
import type { FilterChoice } from '../jobs/select.ts';
import { finite, repeated, SHARED, wholeNumber } from '../options.ts';
import { parseYaml, readRecipe } from '../recipes/file.ts';

/** The flags that say which rows stay; `select` and `filter` have them. */
export interface SelectFlags {
  preset?: PresetName;
  arch?: string;
  threshold?: number;
  fraction?: number;
  of?: 'pool' | 'rest';
  column?: string;
  where?: string[];
  filter?: string[];
  block?: { [kind: string]: string }[];
  pdqDistance?: number;
  safe?: boolean;
  maxPunsafe?: number;
  join?: string[];
  centroids?: string;
  targets?: string;
  recipe?: string;
  lid?: string;
  strict?: boolean;
  multiset?: boolean;
  unique?: boolean;
}

export function addSelectOptions(command: Command): Command {
  for (const option of [
    new Option('--preset <name>', "one of DataComp's baselines, or a better one").choices(PRESETS),
    new Option('--arch <slug>', "the preset's model: b32, l14 or any slug"),
    SHARED.threshold(),
    SHARED.fraction(),
    new Option('--of <what>', 'what the fraction is of: all rows, or those that the other filters leave')
      .choices(['pool', 'rest'])
      .default('pool'),
    SHARED.column(),
    new Option('--where <sql>', 'a SQL predicate over the columns; repeatable, all must hold').argParser(
      repeated,
    ),
    new Option(
      '--filter <yaml>',
      "any filter as in a recipe, such as '{unique: {by: sha256}}'; repeatable",
    ).argParser(repeated),
    new Option(
      '--block <kind:file>',
      `drop what a list names: ${BLOCK_KINDS.join(':, ')}:FILE; repeatable`,
    ).argParser(blockList),
    new Option(
      '--pdq-distance <bits>',
      `bits in which a hash may differ from one of --block pdq:FILE (default: ${PDQ_DISTANCE})`,
    ).argParser(wholeNumber),
    new Option('--safe', 'keep what is tagged UNLIKELY to be unsafe').conflicts('maxPunsafe'),
    new Option('--max-punsafe <t>', 'keep what is unsafe with this probability at most').argParser(finite),
    new Option('--join <parquet>', 'columns by uid that filters may use; repeatable').argParser(repeated),
    new Option('--centroids <file>', 'for image_based: npy, npz or pt'),
    new Option(
      '--targets <file>',
      'for image_based and normsim: embeddings of the target task, npy, npz or pt',
    ),
    // A recipe may say which, so nothing is the default here.
    SHARED.lid().default(undefined),
    new Option('--recipe <file>', 'filters (and join, strict, repeats) of a recipe; the flags add to them'),
    new Option('--strict', 'a row that cannot be judged (no caption, no score) is an error'),
    new Option('--unique', 'drop repeated uids (the default, but for presets)').conflicts('multiset'),
    SHARED.multiset(),
  ]) {
    command.addOption(option);
  }
  return command;
}

function blockList(
  text: string,
  before: { [kind: string]: string }[] | undefined,
): { [kind: string]: string }[] {
  const kind = BLOCK_KINDS.find((name) => text.startsWith(`${name}:`) && text.length > name.length + 1);
  if (kind === undefined) throw new InvalidArgumentError(`It must be ${BLOCK_KINDS.join(':FILE, ')}:FILE.`);
  return [...(before ?? []), { [kind]: text.slice(kind.length + 1) }];
}

/**
 * The choice that flags make: the recipe's filters, then block-lists, predicates, the preset, other filters, and the
 * score's bound last, unless the preset takes it. Throws `UsageError` where nothing says which samples to keep.
 */
export async function selectionOf(flags: SelectFlags): Promise<FilterChoice> {
  const recipe = flags.recipe === undefined ? undefined : await readRecipe(flags.recipe);
  const filters: FilterInput[] = [...((recipe?.filters ?? []) as FilterInput[])];
  for (const lists of flags.block ?? []) {
    const { pdqDistance: distance } = flags;
    filters.push({
      block: 'pdq' in lists && distance !== undefined ? { ...lists, pdq_distance: distance } : lists,
    });
  }
  if (flags.safe) filters.push({ safe: {} });
  if (flags.maxPunsafe !== undefined) filters.push({ safe: { max_punsafe: flags.maxPunsafe } });
  for (const predicate of flags.where ?? []) filters.push({ where: predicate });
  const { preset, arch, threshold, fraction, of, column } = flags;
  if (preset === undefined && arch !== undefined) {
    throw new UsageError('--arch is of a preset', {
      hint: 'Name the score with --column, or add --preset clip_score',
    });
  }
  for (const name of ['centroids', 'targets'] as const) {
    if (preset !== undefined || flags[name] === undefined) continue;
    throw new UsageError(`--${name} is of a preset`, { hint: 'In a --filter, files stand within it' });
  }
  if (of === 'rest' && fraction === undefined) {
    throw new UsageError('--of is of --fraction', {
      hint: 'In a --filter, it stands within it: {score: {…, of: rest}}',
    });
  }
  if (preset !== undefined) filters.push(presetOf(preset, flags));
  for (const text of flags.filter ?? []) filters.push(parseYaml(text) as FilterInput);
  const isBound = threshold !== undefined || fraction !== undefined;
  if (isBound && !(preset !== undefined && takesBound(preset)))
    filters.push({ score: { column, threshold, fraction, of } });
  else if (column !== undefined) {
    throw new UsageError('--column is of --threshold or --fraction', {
      hint: 'A preset takes its score by --arch',
    });
  }
  if (filters.length === 0 && recipe?.filters === undefined) {
    throw new UsageError('say which samples to keep', {
      hint: 'Add --threshold 0.28, --fraction 0.3, --preset basic_filter, --safe, --where or --recipe',
    });
  }
  const joins = [flags.join ?? [], recipe?.join ?? []].flat();
  // DataComp's own baselines keep repeats, so a preset does.
  const keepsRepeats = recipe?.repeats === 'keep' || (recipe?.repeats === undefined && preset !== undefined);
  return {
    filters,
    multiset: flags.multiset ?? (flags.unique ? false : keepsRepeats),
    strict: flags.strict ?? recipe?.strict,
    lid: flags.lid ?? recipe?.annotate?.lid,
    ...(joins.length > 0 ? { join: joins } : {}),
  };
}

function presetOf(name: PresetName, flags: SelectFlags): FilterInput {
  const { arch, centroids, targets } = flags;
  const { threshold, fraction, of } = takesBound(name) ? flags : {};
  // Of the pool by default, as in DataComp; a recipe need not say so.
  return {
    preset: { name, arch, threshold, fraction, of: of === 'rest' ? of : undefined, centroids, targets },
  };
}
