/** Does it when first asked, and again only if it failed, or after `forget`. */
export function once<T>(work: () => Promise<T>): (() => Promise<T>) & { forget(): void } {
  let done: Promise<T> | undefined;
  const ask = (): Promise<T> => {
    if (done !== undefined) return done;
    const begun: Promise<T> = work().catch((error: unknown) => {
      if (done === begun) done = undefined;
      throw error;
    });
    done = begun;
    return begun;
  };
  return Object.assign(ask, {
    forget: () => {
      done = undefined;
    },
  });
}
