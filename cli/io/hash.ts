import { createHash } from 'node:crypto';
import type { Hasher } from '../../src/run/score-job.ts';

/** Node's own SHA-256, several times faster than JavaScript's. */
export function sha256Hasher(): Hasher {
  const hash = createHash('sha256');
  return {
    update: (bytes) => {
      hash.update(bytes);
    },
    digest: () => hash.digest('hex'),
  };
}
