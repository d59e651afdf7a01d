/**
 * Whether a member's name may be written to a tar, and through it, by whoever unpacks that, to a disk. Names are only
 * ever read as keys here and never joined to a path; this is the wall for what goes out.
 *
 * Refused: empty names, absolute ones (`/x`, `C:x`), a `..` between slashes, backslashes (Windows reads them as
 * slashes), NULs, and a slash at the end (a file cannot have it).
 */
export function isSafeMemberName(name: string): boolean {
  if (name === '' || name.startsWith('/') || name.endsWith('/')) return false;
  if (name.includes('\\') || name.includes('\0') || /^[A-Za-z]:/.test(name)) return false;
  return !name.split('/').includes('..');
}
