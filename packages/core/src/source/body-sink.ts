/** Where the bytes of a body go: the reader of the connection writes straight into memory that the consumer lends, so that no byte is copied on the way. */

/** A consumer that lends memory. */
export interface BodySink {
  /** Memory for the next bytes, at least one byte long. The same until `filled`. */
  space(): Uint8Array;
  /**
   * The first `count` bytes of `space()` are there. Returns what to wait for before more is read; null to go on at once.
   * @throws to refuse the body.
   */
  filled(count: number): Promise<void> | null;
}

/** Copies a piece that is already in memory into a sink. Resolves when the sink is ready for more. */
export async function copyInto(sink: BodySink, piece: Uint8Array): Promise<void> {
  for (let position = 0; position < piece.length; ) {
    const space = sink.space();
    const part = piece.subarray(position, position + space.length);
    space.set(part);
    position += part.length;
    const busy = sink.filled(part.length);
    if (busy !== null) await busy;
  }
}
