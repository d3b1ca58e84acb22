/** What one connection may do to the server of bulk bytes, when they go over gRPC. */
import { connect as connectHttp2 } from "node:http2";
import { type BoundLane, dialNode, grpcLane, type LinkKey } from "@rankcast/coordinator/internal";
import { expect } from "chai";

const KEY: LinkKey = { jobId: "job", token: "secret", certificates: null, insecure: false };
const HEADERS = { ":method": "POST", ":path": "/rankcast.v1.Lane/Pull", "content-type": "application/grpc", te: "trailers" };
/** One byte as a message of gRPC. */
const MESSAGE = Buffer.from([0, 0, 0, 0, 1, 7]);

describe("gRPC lane", () => {
  let lane: BoundLane;
  beforeEach(async () => {
    lane = await grpcLane(KEY).listen("127.0.0.1:0", (connection) => {
      connection.start({ onBytes: (bytes) => connection.write([bytes], () => undefined), onClose: () => undefined });
    });
  });
  afterEach(async () => {
    await lane.close();
  });

  it("cuts a connection that opens stream after stream, and goes on serving others", async () => {
    const socket = await dialNode(lane.address, "grpc", KEY);
    const session = connectHttp2("http://node", { createConnection: () => socket });
    session.on("error", () => undefined);
    const cut = new Promise<void>((resolve) => session.once("close", resolve));
    let answered = 0;
    while (answered < 1000 && !session.destroyed && !session.closed) {
      const stream = session.request(HEADERS);
      stream.on("error", () => undefined);
      const echo = new Promise<void>((resolve) =>
        stream.once("data", () => {
          answered += 1;
          resolve();
        }),
      );
      stream.write(MESSAGE);
      await Promise.race([echo, cut]);
      stream.close(8);
    }
    await cut;
    expect(answered).to.be.within(63, 65);

    const good = await grpcLane(KEY).connect(lane.address);
    const echoed = new Promise<Buffer>((resolve, reject) => {
      good.start({ onBytes: (bytes) => resolve(Buffer.from(bytes)), onClose: (reason) => reject(new Error(reason)) });
    });
    good.write([Buffer.from("chunk")], () => undefined);
    expect((await echoed).toString()).to.equal("chunk");
    good.destroy();
  });

  it("is gone at once when it closes, however many connections say nothing", async () => {
    const socket = await dialNode(lane.address, "grpc", KEY);
    socket.on("error", () => undefined);
    socket.resume();
    const ended = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    await lane.close();
    await ended;
  });
});
