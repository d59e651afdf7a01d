/** The choice that `name` was probably meant to be, or `undefined` where none is near. */
export function nearest(name: string, choices: readonly string[]): string | undefined {
  const [best] = choices
    .map((choice) => ({ choice, away: distance(choice.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.away - b.away);
  return best && best.away <= 1 + name.length / 4 ? best.choice : undefined;
}

/** `Did you mean X? ` or nothing, to begin a hint with. */
export function guess(name: string, choices: readonly string[]): string {
  const found = nearest(name, choices);
  return found === undefined ? '' : `Did you mean ${found}? `;
}

/** Levenshtein's distance. */
export function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
