/** open_clip's text cleaning `lower`, the default of its CLIP tokenizer. */
import { fixText } from './ftfy/fix-text.ts';
import { unescapeHtml } from './html.ts';
import { lowerCase } from './unicode.ts';

/**
 * Text on which cleaning only lowers case and moves white space: printable ASCII without an ampersand, and the
 * white space that `fix_text` keeps. Nothing else in it can be an entity, a control, or not ASCII.
 */
const PLAIN = /^[\t\n\f\r -%'-~]*$/;

/**
 * `whitespace_clean(basic_clean(text)).lower()`, but that white space is left as it is: the pattern that cuts the
 * text into words skips it at any length, and no rule of lower-casing looks across it.
 */
export function cleanLower(text: string): string {
  if (PLAIN.test(text)) return text.toLowerCase();
  return lowerCase(unescapeHtml(unescapeHtml(fixText(text))));
}
