/** The bound of one message between a rank and its coordinator, whatever carries it. */

/** A manifest of a million tensors is about 200 MB; gRPC's default of 4 MiB would refuse 20 000 tensors. */
export const MESSAGE_BYTES_MAX = 512 * 2 ** 20;
