/**
 * What a `where` may say: one expression over the columns of the pool, judged row by row, the same at every run.
 *
 * A predicate may come from somebody else's recipe, so it is parsed by DuckDB itself and its tree looked at before
 * anything runs: no second statement, no subquery, no table function, no aggregate, no function that reads settings,
 * clocks or chance. What is not known to be harmless is refused. (The database could reach nothing else anyway: see
 * `database.ts`.)
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import { UsageError } from '../../src/errors.ts';
import { guess } from '../../src/nearest.ts';
import { ask, quoteText, readError } from './database.ts';

export interface Predicate {
  /** As written. */
  text: string;
  /** The columns it uses, by their names in the pool. */
  columns: string[];
}

type Node = { [field: string]: unknown };

const BEFORE = 'SELECT (';
const RELATION = 'pool';

/** The predicate as one item of a SELECT; a comment at its end is closed by the new line. */
export function asItem(predicate: string): string {
  return `(${predicate}\n)`;
}

const EXPRESSIONS = new Set(
  'COLUMN_REF CONSTANT COMPARISON CONJUNCTION OPERATOR BETWEEN CASE CAST COLLATE FUNCTION LAMBDA'.split(' '),
);
const REFUSED: { [kind: string]: string } = {
  SUBQUERY: 'a subquery',
  WINDOW: 'a window function',
  STAR: '*',
  PARAMETER: 'a parameter',
  POSITIONAL_REFERENCE: 'a column by number',
};

/** Functions that DuckDB calls constant and that tell of the session or the clock. */
const OF_THE_SESSION = new Set(
  // age() of one value takes the other from the clock.
  'age current_setting getvariable current_localtime current_localtimestamp vector_type'.split(' '),
);
/** Macros that only compute: `list_sum` and its kind, and these. */
const MACROS =
  /^(list_\w+|array_\w+|nullif|split_part|fmod|fdiv|round_even|roundbankers|md5_number_(lower|upper)|days_in_month|map_contains_\w+|date_add)$/;

/**
 * Checks a predicate against the columns there are. Throws `UsageError` saying where it goes wrong, and for an
 * unknown column which there are and which is the nearest.
 */
export async function checkPredicate(
  connection: DuckDBConnection,
  text: string,
  columns: readonly string[],
): Promise<Predicate> {
  const refuse = (message: string, position?: number, hint?: string): never => {
    throw new UsageError(`where: ${message}${place(text, position)}`, { hint });
  };
  if (text.trim() === '') refuse('the predicate is empty');
  const [{ tree }] = await ask(
    connection,
    `SELECT json_serialize_sql(${quoteText(`${BEFORE}${text}\n) FROM ${RELATION}`)}) AS tree`,
  ).catch((error) => refuse(readError(error).message));
  const parsed = JSON.parse(String(tree)) as Node;
  if (parsed.error === true) {
    if (parsed.error_type !== 'parser') refuse('only one expression is allowed, no other statement');
    refuse(String(parsed.error_message), Number(parsed.position));
  }
  const expression =
    onlyExpression(parsed) ?? refuse('only one expression is allowed, no other clause or statement');
  const known = await functions(connection);
  const used = new Set<string>();

  const visit = (value: unknown, locals: ReadonlySet<string>): void => {
    if (Array.isArray(value)) for (const item of value) visit(item, locals);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
    const node = value as Node;
    const kind = node.class;
    if (kind === undefined) {
      for (const field of Object.values(node)) visit(field, locals);
      return;
    }
    const position = positionOf(node);
    if (typeof kind !== 'string' || !EXPRESSIONS.has(kind)) {
      refuse(`${REFUSED[String(kind)] ?? String(kind).toLowerCase()} is not allowed`, position);
    }
    if (kind === 'CONSTANT') return;
    if (kind === 'COLUMN_REF') {
      const names = node.column_names as string[];
      if (locals.has(names[0].toLowerCase())) return;
      const column = find(names[0], columns);
      if (column !== undefined) used.add(column);
      else {
        const name = names.join('.');
        refuse(`no column ${name}`, position, `${guess(name, columns)}There is ${columns.join(', ')}`);
      }
      return;
    }
    if (kind === 'LAMBDA') {
      const inner = new Set([...locals, ...parameters(node.lhs)]);
      visit(node.expr, inner);
      return;
    }
    if (kind === 'FUNCTION') {
      const name = String(node.function_name).toLowerCase();
      const problem = known.get(name);
      if (problem !== undefined && problem !== '') refuse(`${name}() ${problem}`, position);
      const isPlain = node.filter === null && node.distinct === false && node.catalog === '';
      if (problem === undefined) {
        refuse(`no function ${name}()`, position, guess(name, [...known.keys()]).trim() || undefined);
      } else if (!isPlain) refuse(`${name}() takes its values only`, position);
    }
    const { class: _class, ...fields } = node;
    for (const field of Object.values(fields)) visit(field, locals);
  };
  visit(expression, new Set());
  return { text, columns: [...used] };
}

/** A DuckDB error in a query that begins with the predicate as its first item, as a `UsageError`. */
export function predicateError(
  text: string,
  error: unknown,
  { file, onRows = false }: { file?: string; onRows?: boolean } = {},
): UsageError {
  const { kind, message: told, position } = readError(error);
  const literal = /^Could not convert string ('.*?') to \w+/.exec(told);
  const isOwn = literal !== null && text.includes(literal[1]);
  const message = onRows && !TELLING.has(kind) ? (isOwn ? literal[0] : withoutValues(kind, told)) : told;
  const hint =
    kind === 'Conversion' ? 'TRY_CAST(… AS …) gives NULL where a value cannot be converted' : undefined;
  const first = message.split('\n')[0].replace(/[.!]$/, '');
  return new UsageError(`where: ${first}${place(text, position)}`, { file, hint, cause: error });
}

/** Kinds of errors that speak of the machine; others that come up on rows hold what stands in these. */
const TELLING: ReadonlySet<string> = new Set(['IO', 'Out of Memory', 'Interrupt']);

/** What is wrong without the value: it may be the caption of a picture that nobody wants to read of in a log. */
function withoutValues(kind: string, message: string): string {
  const column = /casting from source column (\w+)/.exec(message)?.[1];
  const where = column === undefined ? '' : ` of ${column}`;
  return `a value${where} cannot be ${kind === 'Conversion' ? 'converted' : `judged (${kind})`}`;
}

/** The expression of the one statement there may be, which must be nothing but `SELECT (…) FROM pool`. */
function onlyExpression(parsed: Node): unknown {
  const statements = parsed.statements as Node[];
  const node = statements.length === 1 ? (statements[0].node as Node) : {};
  const from = node.from_table as Node | undefined;
  const items = node.select_list as unknown[] | undefined;
  const isPlain =
    node.type === 'SELECT_NODE' &&
    items?.length === 1 &&
    from?.type === 'BASE_TABLE' &&
    from.table_name === RELATION &&
    from.alias === '' &&
    from.sample === null &&
    ['where_clause', 'having', 'sample', 'qualify'].every((clause) => node[clause] === null) &&
    ['modifiers', 'group_expressions', 'group_sets'].every((list) => (node[list] as unknown[]).length === 0);
  return isPlain ? items[0] : undefined;
}

/** Every function's name, with '' where it may be used, else why not. */
async function functions(connection: DuckDBConnection): Promise<Map<string, string>> {
  const rows = await ask(
    connection,
    'SELECT DISTINCT lower(function_name) AS name, function_type AS kind, stability FROM duckdb_functions()',
  );
  const known = new Map<string, string>();
  for (const row of rows) {
    const name = String(row.name);
    const problem = problemOf(name, String(row.kind), String(row.stability));
    // One overload that may not be used is enough.
    if (problem !== '' || !known.has(name)) known.set(name, problem);
  }
  return known;
}

function problemOf(name: string, kind: string, stability: string): string {
  if (kind === 'macro') return MACROS.test(name) ? '' : 'is not allowed';
  if (kind === 'aggregate') return 'is of many rows; a predicate judges one';
  if (kind !== 'scalar') return 'is not a function of values';
  if (stability !== 'CONSISTENT' || OF_THE_SESSION.has(name)) return 'is not the same at every run';
  return '';
}

function find(name: string, columns: readonly string[]): string | undefined {
  if (columns.includes(name)) return name;
  const lower = name.toLowerCase();
  return columns.find((column) => column.toLowerCase() === lower);
}

/** The names that a lambda gives its values. */
function parameters(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(parameters);
  if (typeof value !== 'object' || value === null) return [];
  const { column_names: names, ...rest } = value as Node;
  const own = Array.isArray(names) ? names.map((name) => String(name).toLowerCase()) : [];
  return [...own, ...Object.values(rest).flatMap(parameters)];
}

function positionOf(node: Node): number | undefined {
  const position = Number(node.query_location);
  return Number.isSafeInteger(position) ? position : undefined;
}

/** Where in the predicate, of a place in bytes in the query. */
function place(text: string, position: number | undefined): string {
  if (position === undefined || Number.isNaN(position)) return '';
  const bytes = new TextEncoder().encode(text);
  const at = Math.min(Math.max(0, position - BEFORE.length), bytes.length);
  const before = new TextDecoder().decode(bytes.subarray(0, at));
  const rest = text.slice(before.length).trim();
  const near = rest.length > 30 ? `${rest.slice(0, 30)}…` : rest;
  return near === '' ? ', at its end' : `, at character ${[...before].length + 1}: ${near}`;
}
