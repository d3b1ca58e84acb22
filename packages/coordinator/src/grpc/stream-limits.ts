/** Bounds of every gRPC stream of a coordinator. */
import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  ServerListenerBuilder,
  type ServerMethodDefinition,
  status,
} from "@grpc/grpc-js";

/** A manifest of a million tensors is about 200 MB. */
export const MESSAGE_BYTES_MAX = 512 * 2 ** 20;

/** Refuses compressed requests: nobody in a job sends any, and a small one could unfold to anything. */
export function refuseCompression(
  _method: ServerMethodDefinition<unknown, unknown>,
  call: ServerInterceptingCallInterface,
): ServerInterceptingCall {
  return new ServerInterceptingCall(call, {
    start: (next) => {
      next(
        new ServerListenerBuilder()
          .withOnReceiveMetadata((metadata, proceed) => {
            const [encoding] = metadata.get("grpc-encoding");
            if (encoding === undefined || encoding === "identity") proceed(metadata);
            else call.sendStatus({ code: status.UNIMPLEMENTED, details: "compressed messages are not taken" });
          })
          .build(),
      );
    },
  });
}
