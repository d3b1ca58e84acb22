/** The launcher of one node. Arguments: node rank, port of the rendezvous on node 0. */
import { fileURLToPath } from "node:url";
import { launch } from "@rankcast/coordinator";

const [nodeRank = "0", port = "29400"] = process.argv.slice(2);

const { reports } = await launch({
  script: fileURLToPath(new URL("./rank.js", import.meta.url)),
  nnodes: 2,
  nodeRank: Number(nodeRank),
  nprocPerNode: 2,
  rdzvEndpoint: `127.0.0.1:${port}`,
});
// Both nodes have the same reports: one load and one update of the whole job.
if (nodeRank === "0") {
  for (const { generation, nodes, worldSize, bytes, timings } of reports) {
    console.log(
      `generation ${generation}: ${worldSize} ranks on ${nodes} nodes, ${bytes} bytes, cast in ${timings.broadcastMs.toFixed(1)} ms`,
    );
  }
}
