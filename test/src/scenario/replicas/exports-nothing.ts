/** A replica module without createReplica. */
export const width = 1024;
