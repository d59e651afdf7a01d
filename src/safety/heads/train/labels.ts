/** A file of labels: `uid,label`, one sample a line. */
import { UsageError } from '../../../errors.ts';

/** Ten million labels; nobody has made more by hand. */
const MAX_BYTES = 512 * 2 ** 20;

export interface LabelFile {
  /** In lower case, in the order of the lines. */
  uids: string[];
  /** A class for each uid. */
  labels: Int32Array;
  /** Names of the classes, sorted; of two, the one that is looked for comes second. */
  classes: string[];
}

/**
 * Reads CSV (RFC 4180) with a header that has `uid` and `label`; other columns are left alone. Labels are 0 and 1, or
 * names. `positive` says which of two is looked for; 1 needs no saying. Throws `UsageError` naming file, line and
 * field: no such column, a uid that is none, a uid twice, an empty label, a `positive` that does not occur.
 */
export function parseLabels(bytes: Uint8Array, file: string, positive?: string): LabelFile {
  const fail = (problem: string, hint: string) => new UsageError(problem, { file, hint });
  const example = 'It begins with the line uid,label and has one 32-digit uid and one label a line';
  if (bytes.length > MAX_BYTES)
    throw fail(`the labels have ${bytes.length} bytes, more than ${MAX_BYTES}`, example);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw fail('the labels are not UTF-8', example);
  }
  const lines = text.split(/\r?\n/);
  const header = cells(lines[0] ?? '') ?? [];
  const [uidAt, labelAt] = ['uid', 'label'].map((name) => header.findIndex((cell) => cell.trim() === name));
  if (uidAt < 0 || labelAt < 0)
    throw fail(`the labels have no column ${uidAt < 0 ? 'uid' : 'label'} in their first line`, example);
  const uids: string[] = [];
  const names: string[] = [];
  const seen = new Map<string, number>();
  for (let i = 1; i < lines.length; i++) {
    if (lines[i] === '') continue;
    const row = cells(lines[i]);
    const at = `line ${i + 1}`;
    if (row?.length !== header.length)
      throw fail(`${at} has ${row?.length ?? 'broken'} cells, not ${header.length}`, example);
    const uid = row[uidAt].trim().toLowerCase();
    const label = row[labelAt].trim();
    if (!/^[0-9a-f]{32}$/.test(uid))
      throw fail(`${at}: uid ${JSON.stringify(uid.slice(0, 40))} is not 32 hex digits`, example);
    if (label === '') throw fail(`${at}: the label is empty`, 'Label the sample, or remove the line');
    const before = seen.get(uid);
    if (before !== undefined)
      throw fail(`${at}: uid ${uid} stands in line ${before} too`, 'Give each sample one label');
    seen.set(uid, i + 1);
    uids.push(uid);
    names.push(label);
  }
  if (uids.length === 0) throw fail('there are no labels', example);
  const classes = order([...new Set(names)].sort(), positive, fail);
  const numbers = new Map(classes.map((name, i) => [name, i]));
  return { uids, labels: Int32Array.from(names, (name) => numbers.get(name) ?? 0), classes };
}

function order(
  classes: string[],
  positive: string | undefined,
  fail: (problem: string, hint: string) => UsageError,
): string[] {
  const listed = classes.slice(0, 10).join(', ');
  if (positive !== undefined && !classes.includes(positive))
    throw fail(`no sample is labelled ${JSON.stringify(positive)}`, `Labels are ${listed}`);
  if (classes.length > 100)
    throw fail(`there are ${classes.length} different labels`, `Among them ${listed}`);
  if (classes.length !== 2) return classes;
  const wanted = positive ?? (classes[0] === '0' && classes[1] === '1' ? '1' : undefined);
  if (wanted === undefined)
    throw fail(
      `which of ${listed} is looked for is not said`,
      `Add --positive ${classes[1]}, or label by 0 and 1`,
    );
  return classes[0] === wanted ? [classes[1], classes[0]] : classes;
}

/** The cells of one line; `undefined` where a quote is not closed. Cells do not hold line breaks: uids and labels never do. */
function cells(line: string): string[] | undefined {
  if (!line.includes('"')) return line.split(',');
  const found: string[] = [];
  const cell = /\s*(?:"((?:[^"]|"")*)"|([^",]*))\s*(,|$)/y;
  while (cell.lastIndex <= line.length) {
    const match = cell.exec(line);
    if (match === null) return undefined;
    found.push(match[1] === undefined ? match[2] : match[1].replaceAll('""', '"'));
    if (match[3] === '') return found;
  }
  return found;
}
