/** Work of several replicas that is over as a whole. */

/** Waits for all, so that nothing still works when the first failure (in order) is thrown. */
export async function allOrFirstFailure<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(work);
  return settled.map((each) => {
    if (each.status === "rejected") throw each.reason;
    return each.value;
  });
}
