/** A coordinator at an address of its own, which waits for a rank that never comes. */
import { startCoordinator } from "@rankcast/coordinator";

const { address } = await startCoordinator({ worldSize: 1 });
process.stderr.write(`listening at ${address}\n`);
