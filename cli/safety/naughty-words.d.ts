/** The package has no types of its own. */
declare module 'naughty-words' {
  /** Words and phrases by language tag. */
  const lists: Record<string, string[]>;
  export default lists;
}
