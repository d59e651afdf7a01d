/** How often a key may ask. */

export interface RateLimiter {
  /**
   * Takes one request of `holder` (a key's name, or a client). Where it is one too many, the seconds after which the
   * next has a chance.
   */
  take(holder: string): Promise<{ allowed: true } | { allowed: false; retryAfter: number }>;
}

export interface RateLimit {
  /** Requests a minute, in the long run. */
  perMinute: number;
  /** Requests at once, after a pause. Default `perMinute`. */
  burst?: number;
  /** Milliseconds; default `Date.now`. */
  now?(): number;
}

interface Bucket {
  tokens: number;
  at: number;
}

/** Holders remembered before full buckets, which remember nothing, are dropped. */
const SWEEP_AT = 10_000;

/** A token bucket a holder, in this process's memory. */
export function tokenBuckets({ perMinute, burst = perMinute, now = Date.now }: RateLimit): RateLimiter {
  const perMs = perMinute / 60_000;
  const buckets = new Map<string, Bucket>();
  const levelOf = ({ tokens, at }: Bucket, time: number): number =>
    Math.min(burst, tokens + (time - at) * perMs);
  const sweep = (time: number): void => {
    for (const [holder, bucket] of buckets) if (levelOf(bucket, time) >= burst) buckets.delete(holder);
  };
  return {
    async take(holder) {
      const time = now();
      if (buckets.size >= SWEEP_AT) sweep(time);
      const tokens = levelOf(buckets.get(holder) ?? { tokens: burst, at: time }, time);
      if (tokens < 1) {
        buckets.set(holder, { tokens, at: time });
        return { allowed: false, retryAfter: Math.max(1, Math.ceil((1 - tokens) / perMs / 1000)) };
      }
      buckets.set(holder, { tokens: tokens - 1, at: time });
      return { allowed: true };
    },
  };
}
