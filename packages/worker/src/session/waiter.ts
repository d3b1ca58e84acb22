/** What several callers of one session may wait for at once. */

/** One who waits, or several. */
export interface Waiter<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

/** Waits until somebody settles the waiter of `key`; those who waited for it before are settled alike. */
export function awaitTurn<K, T>(waiters: Map<K, Waiter<T>>, key: K): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const earlier = waiters.get(key);
    waiters.set(key, {
      resolve: (value) => {
        earlier?.resolve(value);
        resolve(value);
      },
      reject: (error) => {
        earlier?.reject(error);
        reject(error);
      },
    });
  });
}
